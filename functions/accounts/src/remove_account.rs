//! Worker: takes an account out of every domain, then out of the pool. Delivered twice it finds nothing left to do.

use access::messages::RemoveAccount;
use access::{JobError, Kind};
use app::App;
use identity::UserId;
use worker::{Departure, Outcome, Run, RunError, Worker};

pub fn worker(departures: Vec<Departure<App>>) -> Worker<App> {
    Worker::job("accounts-remove-account", move |app, message, run| remove(app, message, run, departures.clone()))
}

async fn remove(
    app: App,
    message: RemoveAccount,
    run: Run<App>,
    departures: Vec<Departure<App>>,
) -> Result<Outcome, RunError> {
    let user = UserId::new(&message.user)
        .map_err(|_| RunError::Discard(JobError::new(Kind::Invalid, "bad_user", "This is no account's id.")))?;
    let steps = f64::from(u32::try_from(departures.len()).unwrap_or(u32::MAX)) + 1.0;
    let mut done = 0.0;
    for departure in &departures {
        run.progress(departure.domain, done / steps).await?;
        departure.leave(app.clone(), message.user.clone()).await?;
        done += 1.0;
    }
    // Last: as long as the pool knows the account, the rest can be found by it.
    run.progress("account", done / steps).await?;
    app.users.delete(&user).await.map_err(|error| failed(&error, error.kind()))?;
    // Whoever asked may have signed in since; from here on nobody can.
    let revoked = app.denylist.revoke_user(&user, app.clock.now().seconds()).await;
    revoked.map_err(|error| failed(&error, Kind::Unavailable))?;
    run.finish().await?;
    Ok(Outcome::Done)
}

fn failed(error: &(dyn std::error::Error + 'static), kind: Kind) -> RunError {
    tracing::warn!(error, "an account could not be removed");
    RunError::of(JobError::new(kind, "internal", "A step of the work failed; it is tried again."))
}
