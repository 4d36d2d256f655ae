//! Accounts: sign up, sign in, stay signed in, sign out, leave.

pub mod answer_challenge;
pub mod change_password;
pub mod confirm_sign_up;
pub mod customize_message;
pub mod delete_account;
pub mod forgot_password;
pub mod get_caller;
pub mod get_keys;
pub mod refresh_session;
pub mod remove_account;
pub mod resend_code;
pub mod reset_password;
pub mod sign_in;
pub mod sign_out;
pub mod sign_up;

mod bearer;
mod letters;
mod membership;
mod session;

use api::Endpoint;
use app::App;
use worker::{Departure, Trigger, Worker};

/// What this domain is asked and answers, for the OpenAPI document; the tests hold it to what it really does.
pub const EXAMPLES: &str = include_str!("../examples.json");

pub fn routes() -> Vec<Endpoint<App>> {
    vec![
        answer_challenge::route(),
        change_password::route(),
        confirm_sign_up::route(),
        delete_account::route(),
        forgot_password::route(),
        get_caller::route(),
        get_keys::route(),
        refresh_session::route(),
        resend_code::route(),
        reset_password::route(),
        sign_in::route(),
        sign_out::route(),
        sign_up::route(),
    ]
}

/// `departures` are the steps of every domain by which an account leaves.
pub fn workers(departures: Vec<Departure<App>>) -> Vec<Worker<App>> {
    vec![remove_account::worker(departures)]
}

pub fn triggers() -> Vec<Trigger<App>> {
    vec![customize_message::trigger()]
}

/// Membership goes with the account; the pool's own record goes last, by [`remove_account`].
pub fn departure() -> Departure<App> {
    Departure::new("accounts", membership::leave)
}
