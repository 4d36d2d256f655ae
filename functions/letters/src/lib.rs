//! Letters: what is written to members and by them, sent once, and what comes back.

pub mod send_mail;
pub mod take_mail_events;

mod invitation;
mod unsubscribe;
mod weekly_points;

use app::App;
use worker::{Departure, Worker};

pub fn workers() -> Vec<Worker<App>> {
    vec![send_mail::worker(), take_mail_events::worker()]
}

/// A letter's row names no person: it has ids, which lead to nobody once the account is deleted, and keyed hashes. It
/// goes by itself. Who asked not to be written to is not written to by a later account either.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("letters")
}
