//! Every day: has all members ranked anew.

use std::time::Duration;

use access::messages::RebuildStandings;
use app::App;
use worker::{RunError, Schedule};

use crate::enqueue;

pub fn schedule() -> Schedule<App> {
    Schedule::new("referrals-start-rebuild", Duration::from_secs(24 * 3600), start)
}

async fn start(app: App) -> Result<(), RunError> {
    let day = app.clock.now().day();
    enqueue(&app, &day.to_string(), &RebuildStandings { day }).await
}
