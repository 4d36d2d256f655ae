//! From an environment to a running function: configuration, logs, metrics, ports, and the Lambda runtime's two ways of
//! being called. The only crate that reads the environment or knows Lambda.

mod assemble;
mod config;
mod denylist;
mod http;
mod jwks;
mod queue;
pub mod telemetry;
mod trigger;

pub use assemble::{AssembleError, MakeUsers, Ports, assemble, deployed};
pub use config::{Config, ConfigError};
pub use http::serve_http;
pub use queue::{serve_schedule, serve_sqs};
pub use trigger::serve_trigger;
