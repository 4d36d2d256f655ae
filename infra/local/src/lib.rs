//! Holdfast on one machine: the whole API and all workers in one process, and the command line.

mod desk;
mod embedded;
mod keep;
mod member;
mod messenger;
mod sample;
mod serve;

pub mod commands;

pub use embedded::{Embedded, EmbeddedError};
pub use keep::{DataDir, KeepError, Lock};
pub use sample::{SAMPLE_CHAIN, sample_token};
pub use serve::{Local, Options, ServeError, Server, local_app, router};
