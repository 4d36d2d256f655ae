//! Referrals: codes and their places, invitations by mail, points and rank.

pub mod administer_members;
pub mod change_member;
pub mod check_code;
pub mod create_user;
pub mod get_member;
pub mod list_invites;
pub mod list_letters;
pub mod send_invite;
pub mod stop_letters;
pub mod withdraw_invite;

mod admin;
mod invite;
mod member;

pub use admin::{AdminError, Command, Done, Who, carry_out};
pub use list_letters::UnmarkedLetter;
pub use member::MemberView;

use api::Endpoint;
use app::App;
use worker::{Departure, Schedule, Trigger, Worker};

pub fn routes() -> Vec<Endpoint<App>> {
    vec![
        change_member::route(),
        check_code::route(),
        create_user::route(),
        get_member::route(),
        list_invites::route(),
        list_letters::route(),
        send_invite::route(),
        stop_letters::route(),
        withdraw_invite::route(),
    ]
}

pub fn workers() -> Vec<Worker<App>> {
    vec![]
}

pub fn schedules() -> Vec<Schedule<App>> {
    vec![]
}

pub fn triggers() -> Vec<Trigger<App>> {
    vec![administer_members::trigger()]
}

/// What members have is removed with the member, by `accounts`.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("referrals")
}
