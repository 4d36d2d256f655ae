//! Holdfast on one machine: the whole API and all workers in one process, and the command line.

mod embedded;
mod keep;
mod sample;
mod serve;

pub mod commands;

pub use embedded::{Embedded, EmbeddedError};
pub use keep::{DataDir, KeepError};
pub use sample::{SAMPLE_CHAIN, sample_token};
pub use serve::{Local, Options, ServeError, Server, local_app, router};
