//! Every minute: brings back jobs whose lease ran out because a worker died or a message was lost.

use std::time::Duration;

use access::Recovered;
use app::App;
use worker::{RunError, Schedule};

/// Of each shard, per sweep.
const ROWS: u32 = 100;

pub fn schedule() -> Schedule<App> {
    Schedule::new("jobs-sweep-abandoned", Duration::from_secs(60), sweep)
}

async fn sweep(app: App) -> Result<(), RunError> {
    for row in app.jobs.abandoned(ROWS).await? {
        match app.jobs.recover(&row).await? {
            Recovered::SentAgain => tracing::warn!(job.id = row.view.job, "an abandoned job was sent again"),
            Recovered::Failed => tracing::error!(job.id = row.view.job, "an abandoned job was failed"),
            Recovered::MovedOn => {}
        }
    }
    Ok(())
}
