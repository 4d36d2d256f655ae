//! Worker: gives a member points. Delivered twice it gives them once.

use access::messages::CreditPoints;
use app::App;
use members::Credited;
use worker::{Outcome, Run, RunError, Worker};

pub fn worker() -> Worker<App> {
    Worker::job("referrals-credit-points", credit)
}

async fn credit(app: App, message: CreditPoints, run: Run<App>) -> Result<Outcome, RunError> {
    // Accounts that are no members ask for reports as well.
    if app.members.credit(&message.user, message.day, message.source).await? == Credited::Done {
        tracing::info!(points.day = message.day, "points were credited");
    }
    run.finish().await?;
    Ok(Outcome::Done)
}
