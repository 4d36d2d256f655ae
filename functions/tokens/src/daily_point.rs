//! The first report a member asks for on a day is worth a point.

use std::sync::Arc;
use std::time::Duration;

use access::Cached;
use access::messages::{CreditPoints, PointSource};
use app::App;
use serde::{Deserialize, Serialize};

/// In the cache under `<account>/<day>` once somebody has seen to the point of that day.
#[derive(Serialize, Deserialize)]
struct SeenTo {}

impl Cached for SeenTo {
    const PREFIX: &'static str = "dailypoints";
    const VERSION: u32 = 1;
    const TTL: Duration = Duration::from_secs(24 * 3600);
}

/// Queues the point, unless this process or another is known to have done so today: then nothing is asked but memory,
/// or once the cache. However often it is queued, it is given once. A failure is logged, and the next report tries again.
pub(crate) async fn earn(app: &App, user: &str) {
    let day = app.clock.now().day();
    if app.members.has_reported(user, day) {
        return;
    }
    let key = format!("{user}/{day}");
    if app.rao.get::<SeenTo>(&key).await.is_none() {
        let message = CreditPoints { user: user.to_owned(), day, source: PointSource::Report };
        if let Err(error) = app.jobs.enqueue(&key, &message).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a daily point could not be queued");
            return;
        }
        app.rao.put(&key, Arc::new(SeenTo {}), SeenTo::TTL).await;
    }
    app.members.note_report(user, day);
}
