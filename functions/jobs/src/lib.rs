//! Jobs as callers see them, and what keeps them honest: the consumer of dead letters and the sweep.

pub mod fail_dead_letters;
pub mod get_job;
pub mod sweep_abandoned;

use api::Endpoint;
use app::App;
use worker::{Departure, Schedule, Worker};

/// What this domain is asked and answers, for the OpenAPI document; the tests hold it to what it really does.
pub const EXAMPLES: &str = include_str!("../examples.json");

pub fn routes() -> Vec<Endpoint<App>> {
    vec![get_job::route()]
}

pub fn workers() -> Vec<Worker<App>> {
    vec![fail_dead_letters::worker()]
}

pub fn schedules() -> Vec<Schedule<App>> {
    vec![sweep_abandoned::schedule()]
}

/// A job names what is done, not who asked.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("jobs")
}
