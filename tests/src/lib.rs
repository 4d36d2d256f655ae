//! Integration tests: the whole application in this process over a real DynamoDB engine, and the contracts that all
//! adapters of a port keep.
#![cfg(test)]

mod accounts;
mod contracts;
mod endpoints;
mod invites;
mod jobs;
mod limits;
mod local;
mod members;
mod read_path;
mod referrals;
mod servers;
mod tables;
mod world;
