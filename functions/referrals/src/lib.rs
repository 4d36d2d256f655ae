//! Referrals: codes and their places, invitations by mail, points and rank.

pub mod credit_points;
pub mod get_leaderboard;
pub mod get_stats;
pub mod rebuild_standings;
pub mod send_digests;
pub mod start_digests;
pub mod start_rebuild;

mod as_of;
mod board;
mod checkpoint;
mod listing;
mod sorting;
mod stats;

use access::EnqueueError;
use access::messages::Message;
use api::Endpoint;
use app::App;
use worker::{Departure, RunError, Schedule, Worker};

pub fn routes() -> Vec<Endpoint<App>> {
    vec![get_leaderboard::route(), get_stats::route()]
}

pub fn workers() -> Vec<Worker<App>> {
    vec![credit_points::worker(), rebuild_standings::worker(), send_digests::worker()]
}

pub fn schedules() -> Vec<Schedule<App>> {
    vec![start_digests::schedule(), start_rebuild::schedule()]
}

/// What members have is removed with the member, by `accounts`.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("referrals")
}

/// Queues work that is done once under this key.
async fn enqueue<M: Message>(app: &App, key: &str, message: &M) -> Result<(), RunError> {
    match app.jobs.enqueue(key, message).await {
        Ok(_) => Ok(()),
        Err(EnqueueError::Access(error)) => Err(error.into()),
        Err(EnqueueError::Queue(error)) => Err(access::GoOnError::Queue(error).into()),
    }
}
