//! Integration tests: the whole application in this process over a real DynamoDB engine, and the contracts that all
//! adapters of a port keep.
#![cfg(test)]

mod accounts;
mod contracts;
mod endpoints;
mod examples;
mod faults;
mod idempotency;
mod invites;
mod jobs;
mod killed;
mod limits;
mod local;
mod map;
mod members;
mod oracle;
mod points;
mod read_path;
mod referrals;
mod rows;
mod servers;
mod tables;
mod tokens;
mod tokens_killed;
mod tokens_past;
mod world;
