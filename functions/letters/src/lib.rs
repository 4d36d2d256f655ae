//! Letters: what is written to members, sent once.

pub mod send_mail;

mod outgoing;
mod weekly_points;

use app::App;
use worker::{Departure, Worker};

pub fn workers() -> Vec<Worker<App>> {
    vec![send_mail::worker()]
}

/// A letter's row names no person: its key is an id, and it goes by itself.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("letters")
}
