//! Integration tests: the whole application in this process over a real DynamoDB engine, and the contracts that all
//! adapters of a port keep.
#![cfg(test)]

mod contracts;
mod endpoints;
mod jobs;
mod local;
mod read_path;
mod servers;
mod tables;
mod world;
