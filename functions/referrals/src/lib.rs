//! Referrals: codes and their places, invitations by mail, points and rank.

pub mod administer_members;
pub mod change_member;
pub mod check_code;
pub mod create_user;
pub mod credit_points;
pub mod get_leaderboard;
pub mod get_member;
pub mod get_stats;
pub mod list_invites;
pub mod list_letters;
pub mod rebuild_standings;
pub mod send_digests;
pub mod send_invite;
pub mod start_digests;
pub mod start_rebuild;
pub mod stop_letters;
pub mod withdraw_invite;

mod admin;
mod as_of;
mod board;
mod checkpoint;
mod invite;
mod listing;
mod member;
mod sorting;
mod stats;

pub use admin::{AdminError, Command, Done, Who, carry_out};
pub use list_letters::UnmarkedLetter;
pub use member::MemberView;

use access::EnqueueError;
use access::messages::Message;
use api::Endpoint;
use app::App;
use worker::{Departure, RunError, Schedule, Trigger, Worker};

/// What this domain is asked and answers, for the OpenAPI document; the tests hold it to what it really does.
pub const EXAMPLES: &str = include_str!("../examples.json");

pub fn routes() -> Vec<Endpoint<App>> {
    vec![
        change_member::route(),
        check_code::route(),
        create_user::route(),
        get_leaderboard::route(),
        get_member::route(),
        get_stats::route(),
        list_invites::route(),
        list_letters::route(),
        send_invite::route(),
        stop_letters::route(),
        withdraw_invite::route(),
    ]
}

pub fn workers() -> Vec<Worker<App>> {
    vec![credit_points::worker(), rebuild_standings::worker(), send_digests::worker()]
}

pub fn schedules() -> Vec<Schedule<App>> {
    vec![start_digests::schedule(), start_rebuild::schedule()]
}

pub fn triggers() -> Vec<Trigger<App>> {
    vec![administer_members::trigger()]
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
