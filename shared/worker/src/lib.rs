//! The SQS edge: takes batches, claims jobs, keeps their leases while a handler works, and decides what becomes of a
//! message when it cannot. A handler sees one message; delivered twice, it runs once.

mod batch;
mod departure;
mod poll;
mod run;
mod trigger;
mod worker;

pub use batch::process;
pub use departure::Departure;
pub use poll::poll;
pub use run::{Run, RunError};
pub use trigger::{CalledBy, Trigger};
pub use worker::{Outcome, Ports, Schedule, Worker};
