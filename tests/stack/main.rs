//! The deployed stack, from outside: real HTTP through its gateway, its own binaries, queues and tables.
//!
//! `holdfast stack test` runs these; they need a stack that is up and are no part of a plain `cargo test`.

mod accounts;
mod chain;
mod edge;
mod failures;
mod identity;
mod privileges;
mod reads;
mod referrals;
mod stage;
mod tokens;
