use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use access::messages::{Message, QueueSpec};
use access::{Clock, Delivery, Envelope, Ids, Jobs, Kind, Queue};
use futures::future::BoxFuture;

use crate::run::{Disposition, Run, RunError, backoff};

/// What the edge needs of the application's state.
pub trait Ports: Clone + Send + Sync + 'static {
    fn jobs(&self) -> &Jobs;
    fn queue(&self) -> &Arc<dyn Queue>;
    fn clock(&self) -> &Arc<dyn Clock>;
    fn ids(&self) -> &Arc<dyn Ids>;
}

/// How a handler ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result is published and the job done.
    Done,
    /// What is done is kept; the rest is for another message.
    Continue,
}

type Handle<S> = Arc<dyn Fn(S, Delivery, Duration) -> BoxFuture<'static, Disposition> + Send + Sync>;

/// One function that takes messages of one queue.
pub struct Worker<S> {
    /// As deployed: `<domain>-<verb-noun>`.
    pub name: &'static str,
    pub queue: &'static QueueSpec,
    handle: Handle<S>,
}

impl<S> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Self { name: self.name, queue: self.queue, handle: Arc::clone(&self.handle) }
    }
}

impl<S: Ports> Worker<S> {
    /// A worker that does jobs. `handler` gets the message and its [`Run`]; by the time it returns
    /// [`Outcome::Done`] it has published its result with the run's claim.
    pub fn job<M, F, Fut>(name: &'static str, handler: F) -> Self
    where
        M: Message,
        F: Fn(S, M, Run<S>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Outcome, RunError>> + Send + 'static,
    {
        let handle: Handle<S> = Arc::new(move |state, delivery, remaining| {
            Box::pin(Run::carry_out(state, M::QUEUE, delivery, remaining, handler.clone()))
        });
        Self { name, queue: M::QUEUE, handle }
    }

    /// A worker that takes what other queues gave up on.
    pub fn dead_letters<F, Fut>(name: &'static str, queue: &'static QueueSpec, handler: F) -> Self
    where
        F: Fn(S, Envelope) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let handle: Handle<S> = Arc::new(move |state, delivery, _| {
            let handler = handler.clone();
            Box::pin(async move {
                let Ok(envelope) = serde_json::from_str::<Envelope>(&delivery.body) else {
                    // Nothing names a job in it, so nobody waits for it.
                    tracing::error!(message_id = delivery.message_id, "a dead letter is no message of ours, dropped");
                    return Disposition::Delete;
                };
                match handler(state, envelope).await {
                    Ok(()) => Disposition::Delete,
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, message_id = delivery.message_id, "a dead letter stays");
                        Disposition::KeepFor(Duration::from_secs(60))
                    }
                }
            })
        });
        Self { name, queue, handle }
    }

    /// A worker that takes messages that are not ours: whatever another service puts into the queue, as often and in
    /// whatever order it likes. No job keeps it from being handled twice, so twice must do no more than once.
    pub fn notices<F, Fut>(name: &'static str, queue: &'static QueueSpec, handler: F) -> Self
    where
        F: Fn(S, String) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let handle: Handle<S> = Arc::new(move |state, delivery, _| {
            let handler = handler.clone();
            Box::pin(async move {
                let Delivery { body, message_id, receive_count, .. } = delivery;
                match handler(state.clone(), body).await {
                    Ok(()) => Disposition::Delete,
                    Err(RunError::Discard(error)) => {
                        tracing::error!(code = error.code, message_id, "a notice can never be taken, dropped");
                        Disposition::Delete
                    }
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, message_id, receive_count, "a notice is tried again");
                        Disposition::KeepFor(backoff(&state, receive_count))
                    }
                }
            })
        });
        Self { name, queue, handle }
    }

    pub(crate) fn handle(&self, state: S, delivery: Delivery, remaining: Duration) -> BoxFuture<'static, Disposition> {
        (self.handle)(state, delivery, remaining)
    }
}

type Tick<S> = Arc<dyn Fn(S) -> BoxFuture<'static, Result<(), RunError>> + Send + Sync>;

/// One function that is called by the clock.
pub struct Schedule<S> {
    /// As deployed: `<domain>-<verb-noun>`.
    pub name: &'static str,
    pub every: Duration,
    tick: Tick<S>,
}

impl<S> Clone for Schedule<S> {
    fn clone(&self) -> Self {
        Self { name: self.name, every: self.every, tick: Arc::clone(&self.tick) }
    }
}

impl<S: Ports> Schedule<S> {
    pub fn new<F, Fut>(name: &'static str, every: Duration, tick: F) -> Self
    where
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        Self { name, every, tick: Arc::new(move |state| Box::pin(tick(state))) }
    }

    /// # Errors
    /// Whatever the handler could not do; the next tick tries again.
    pub async fn tick(&self, state: S) -> Result<(), RunError> {
        (self.tick)(state).await
    }
}

/// Whether trying again can help.
pub(crate) const fn is_worth_a_retry(kind: Kind) -> bool {
    kind.is_retryable()
}
