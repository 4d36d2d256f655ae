//! Referrals: codes and their places, invitations by mail, points and rank.

use api::Endpoint;
use app::App;
use worker::{Departure, Schedule, Worker};

pub fn routes() -> Vec<Endpoint<App>> {
    vec![]
}

pub fn workers() -> Vec<Worker<App>> {
    vec![]
}

pub fn schedules() -> Vec<Schedule<App>> {
    vec![]
}

/// What members have is removed with the member, by `accounts`.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("referrals")
}
