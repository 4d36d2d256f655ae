//! From an environment to a running function: configuration, logs, metrics, ports, and the Lambda runtime's two ways of
//! being called. The only crate that reads the environment or knows Lambda.

mod assemble;
mod config;
mod http;
mod jwks;
mod queue;
pub mod telemetry;

pub use assemble::{AssembleError, Ports, assemble, deployed};
pub use config::{Config, ConfigError};
pub use http::serve_http;
pub use queue::{serve_schedule, serve_sqs};
