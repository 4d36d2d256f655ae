use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::messages::{Message, QueueSpec};
use access::{AccessError, Claim, Claimed, Delivery, Envelope, GoOnError, JobError, Kind, LookupError};
use futures::future::{Either, select};
use metrics::counter;
use tracing::Instrument;

use crate::worker::is_worth_a_retry;
use crate::{Outcome, Ports};

/// Why a handler did not finish. The one place where a failure becomes a retry or an end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It may work later: the message comes back after a growing delay.
    #[error("{0}")]
    Retry(JobError),
    /// It can never work: the job fails at once, with this reason for whoever waits.
    #[error("{0}")]
    Discard(JobError),
    /// Another worker has taken the job over; whatever this one still does is of no use.
    #[error("another worker has taken the job over")]
    Lost,
}

impl RunError {
    /// Retry or end, by the error's kind.
    pub fn of(error: JobError) -> Self {
        if is_worth_a_retry(error.kind) { Self::Retry(error) } else { Self::Discard(error) }
    }

    /// A failure whose words are not for callers: they read a constant, the log has the cause.
    fn hidden(kind: Kind, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error = cause, "a step of the work failed");
        Self::of(JobError::new(kind, "internal", "A step of the work failed; it is tried again."))
    }
}

impl From<AccessError> for RunError {
    fn from(error: AccessError) -> Self {
        Self::hidden(error.kind(), &error)
    }
}

impl From<access::BlobError> for RunError {
    fn from(error: access::BlobError) -> Self {
        Self::hidden(error.kind(), &error)
    }
}

impl From<LookupError> for RunError {
    fn from(error: LookupError) -> Self {
        Self::hidden(error.kind(), &error)
    }
}

impl From<GoOnError> for RunError {
    fn from(error: GoOnError) -> Self {
        Self::hidden(Kind::Unavailable, &error)
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    Delete,
    /// It comes back after so long.
    KeepFor(Duration),
}

/// One attempt at a job, as its handler sees it.
#[derive(Clone)]
pub struct Run<S> {
    state: S,
    claim: Claim,
    /// On the monotonic clock.
    ends: Duration,
    told: Arc<Mutex<(String, f64)>>,
}

impl<S: Ports> Run<S> {
    /// The right to publish the result.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// How long this invocation may still work. A handler that sees it run out saves what it has and returns
    /// [`Outcome::Continue`].
    pub fn remaining(&self) -> Duration {
        self.ends.saturating_sub(self.state.clock().monotonic())
    }

    /// Ends a job that leaves no result to be read.
    ///
    /// # Errors
    /// [`RunError::Lost`] when another worker has the job now.
    pub async fn finish(&self) -> Result<(), RunError> {
        if self.state.jobs().complete(&self.claim).await? { Ok(()) } else { Err(RunError::Lost) }
    }

    /// Tells whoever waits what is being done and how far it is, 0..1.
    ///
    /// # Errors
    /// [`RunError::Lost`] when another worker has the job now.
    pub async fn progress(&self, stage: &str, fraction: f64) -> Result<(), RunError> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = (stage.to_owned(), fraction);
        self.renew().await
    }

    async fn renew(&self) -> Result<(), RunError> {
        let (stage, fraction) = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.state.jobs().renew(&self.claim, &stage, fraction).await? { Ok(()) } else { Err(RunError::Lost) }
    }

    /// The ladder every job goes up: read the message, claim the job, work under a kept lease, settle.
    pub(crate) async fn carry_out<M, F, Fut>(
        state: S,
        queue: &'static QueueSpec,
        delivery: Delivery,
        remaining: Duration,
        handler: F,
    ) -> Disposition
    where
        M: Message,
        F: Fn(S, M, Self) -> Fut + Send + Sync,
        Fut: Future<Output = Result<Outcome, RunError>> + Send,
    {
        let Ok(envelope) = serde_json::from_str::<Envelope>(&delivery.body) else {
            tracing::error!(message_id = delivery.message_id, "a message is no envelope, dropped");
            return Disposition::Delete;
        };
        let claim = match state.jobs().claim(&envelope).await {
            Ok(Claimed::Yes(claim)) => *claim,
            Ok(Claimed::Settled) => return Disposition::Delete,
            Ok(Claimed::Busy(left)) => return Disposition::KeepFor(left + Duration::from_secs(1)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a job could not be claimed");
                return Disposition::KeepFor(backoff(&state, delivery.receive_count));
            }
        };
        let span = tracing::info_span!(
            "job",
            job.kind = M::KIND,
            job.id = envelope.job,
            job.generation = envelope.generation,
            job.part = envelope.part,
            job.attempt = claim.row.view.attempts
        );
        let run = Self {
            ends: state.clock().monotonic() + remaining,
            told: Arc::new(Mutex::new(("starting".to_owned(), claim.row.view.progress))),
            state,
            claim,
        };
        let settled = async {
            let outcome = match serde_json::from_str::<M>(&envelope.message) {
                Ok(message) => {
                    let work = Box::pin(handler(run.state.clone(), message, run.clone()));
                    run.under_lease(queue, &delivery.receipt, work).await
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a message does not have its shape");
                    let detail = "The work was described in a form this version does not know; ask again.";
                    Err(RunError::Discard(JobError::new(Kind::Internal, "bad_message", detail)))
                }
            };
            run.settle(outcome, queue, delivery.receive_count).await
        };
        settled.instrument(span).await
    }

    /// Works while a heartbeat renews the lease and hides the message; stops when the lease is lost.
    async fn under_lease(
        &self,
        queue: &'static QueueSpec,
        receipt: &str,
        work: impl Future<Output = Result<Outcome, RunError>> + Unpin,
    ) -> Result<Outcome, RunError> {
        let lease = self.state.jobs().policy().lease;
        let beat = Box::pin(async {
            loop {
                // A little longer than the lease: when the message comes back the job can be claimed.
                let hidden = lease + Duration::from_secs(5);
                if let Err(error) = self.state.queue().change_visibility(queue, receipt, hidden).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a message could not be kept hidden");
                }
                tokio::time::sleep(lease / 4).await;
                // Any other failure: the next beat asks again, the lease outlives several.
                if let Err(RunError::Lost) = self.renew().await {
                    return RunError::Lost;
                }
            }
        });
        match select(work, beat).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((lost, _)) => Err(lost),
        }
    }

    async fn settle(&self, outcome: Result<Outcome, RunError>, queue: &QueueSpec, receive_count: u32) -> Disposition {
        let (word, settled) = match outcome {
            Ok(Outcome::Done) => ("done", Ok(Disposition::Delete)),
            // The next message is out before this one is deleted: killed in between, both are there and one is void.
            Ok(Outcome::Continue) => {
                ("continued", self.state.jobs().go_on(&self.claim).await.map(|()| Disposition::Delete).map_err(drop))
            }
            Err(RunError::Lost) => ("lost", Ok(Disposition::KeepFor(self.state.jobs().policy().lease))),
            Err(RunError::Discard(error)) => {
                tracing::info!(code = error.code, "the job cannot be done");
                (
                    "discarded",
                    self.state.jobs().fail(&self.claim, &error).await.map(|_| Disposition::Delete).map_err(drop),
                )
            }
            Err(RunError::Retry(error)) => {
                tracing::warn!(code = error.code, receive_count, "the job is tried again");
                // After the last attempt the message only has to become a dead letter, which nobody should wait for.
                let is_last = receive_count >= queue.max_receive_count;
                let delay = if is_last { Duration::ZERO } else { backoff(&self.state, receive_count) };
                let released = self.state.jobs().release(&self.claim, &error).await;
                ("retried", released.map(|()| Disposition::KeepFor(delay)).map_err(drop))
            }
        };
        counter!("job_attempts", "kind" => self.claim.row.view.kind.clone(), "outcome" => word).increment(1);
        // What could not be written down is found again when the lease ends.
        settled.unwrap_or(Disposition::KeepFor(self.state.jobs().policy().lease))
    }
}

/// 5 s, 10 s, 20 s … at most 15 min, give or take a quarter.
pub(crate) fn backoff<S: Ports>(state: &S, receive_count: u32) -> Duration {
    let doubled = Duration::from_secs(5) * 2_u32.saturating_pow(receive_count.saturating_sub(1).min(8));
    doubled.min(Duration::from_secs(900)).mul_f64(0.75 + 0.5 * state.ids().unit())
}
