use std::error::Error as StdError;
use std::time::Duration;

use async_trait::async_trait;

use crate::Kind;
use crate::messages::QueueSpec;

mod in_process;
mod sqs;

pub use in_process::InProcessQueue;
pub use sqs::SqsQueue;

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub body: String,
    /// FIFO queues only: messages of one group are delivered one after the other, in order.
    pub group: Option<String>,
    /// FIFO queues only: a second message with the same id within five minutes is accepted and not delivered.
    pub deduplication: Option<String>,
    /// Standard queues only: not delivered before; whole seconds, at most 900.
    pub delay: Duration,
}

/// A message as received, hidden from others until its visibility ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub message_id: String,
    /// For this receive only; a later receive makes it void.
    pub receipt: String,
    pub body: String,
    /// How often it has been received, this time included.
    pub receive_count: u32,
    pub group: Option<String>,
}

/// Why a queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("the queue does not answer: {source}")]
    Unavailable { source: Box<dyn StdError + Send + Sync> },
    #[error("the queue refused the call: {source}")]
    Refused { source: Box<dyn StdError + Send + Sync> },
}

impl QueueError {
    pub(crate) fn refused(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Refused { source: Box::new(source) }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::Refused { .. } => Kind::Internal,
        }
    }
}

/// A message queue with SQS's rules.
#[async_trait]
pub trait Queue: Send + Sync {
    async fn send(&self, queue: &QueueSpec, message: Outgoing) -> Result<(), QueueError>;

    /// At most `max` (1..=10) messages; waits up to `wait` for the first.
    async fn receive(&self, queue: &QueueSpec, max: u8, wait: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// The message is done with. Deleting what is gone already is fine.
    async fn delete(&self, queue: &QueueSpec, receipt: &str) -> Result<(), QueueError>;

    /// Hides the message for `visibility` from now, whole seconds; zero makes it visible at once.
    async fn change_visibility(&self, queue: &QueueSpec, receipt: &str, visibility: Duration)
    -> Result<(), QueueError>;
}
