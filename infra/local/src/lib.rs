//! Holdfast on one machine: the whole API and all workers in one process, and the command line.

mod desk;
mod embedded;
mod keep;
mod messenger;
mod serve;

pub mod commands;
pub mod stack;

pub use chains::sample_token;
pub use embedded::{Embedded, EmbeddedError};
pub use keep::{DataDir, KeepError, Lock};
pub use messenger::Messenger;
pub use serve::{Local, Options, SAMPLE_CHAIN, ServeError, Server, local_app, router};
