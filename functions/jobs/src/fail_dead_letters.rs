//! Dead letters: fails the jobs whose messages nobody could work on, so that no caller polls for ever.

use access::messages::DEAD_LETTERS;
use access::{Envelope, JobError, Kind};
use app::App;
use worker::{RunError, Worker};

pub fn worker() -> Worker<App> {
    Worker::dead_letters("jobs-fail-dead-letters", &DEAD_LETTERS, fail)
}

async fn fail(app: App, envelope: Envelope) -> Result<(), RunError> {
    let last = app.jobs.find(&envelope.job).await?.and_then(|row| row.view.error);
    // The last attempt's reason tells more than that there were too many.
    let error = last.unwrap_or_else(|| {
        JobError::new(
            Kind::Internal,
            "gave_up",
            "The work broke off at every attempt; it will not be tried again by itself.",
        )
    });
    if app.jobs.fail_undeliverable(&envelope, &error).await? {
        tracing::error!(job.id = envelope.job, code = error.code, "a job was given up");
    }
    Ok(())
}
