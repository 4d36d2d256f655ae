//! What a port promises, asked of all its adapters alike.

mod blobs;
mod cache;
mod limits;
mod mail;
mod pool;
mod queue;
