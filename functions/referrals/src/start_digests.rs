//! Every week: has every member who has points written to.

use std::time::Duration;

use access::messages::SendDigests;
use app::App;
use worker::{RunError, Schedule};

use crate::enqueue;

const DAYS: u64 = 7;

pub fn schedule() -> Schedule<App> {
    Schedule::new("referrals-start-digests", Duration::from_secs(DAYS * 24 * 3600), start)
}

async fn start(app: App) -> Result<(), RunError> {
    let week = app.clock.now().day() / DAYS;
    enqueue(&app, &week.to_string(), &SendDigests { week }).await
}
