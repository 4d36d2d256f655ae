use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Delivery, Outgoing, Queue, QueueError};
use crate::messages::QueueSpec;

/// SQS remembers deduplication ids for so long, whatever became of the message.
const DEDUPLICATION_WINDOW: Duration = Duration::from_secs(300);

/// A queue in this process with SQS's rules: FIFO groups, deduplication, visibility, receive counts, redrive, delay.
/// It keeps nothing over a restart; accepted jobs are sent again from their rows.
#[derive(Default)]
pub struct InProcessQueue {
    queues: Mutex<HashMap<String, State>>,
    changed: Notify,
    next: AtomicU64,
}

#[derive(Default)]
struct State {
    /// In the order they were accepted.
    messages: VecDeque<Stored>,
    /// Deduplication ids and when each is forgotten.
    seen: HashMap<String, Instant>,
}

struct Stored {
    id: String,
    message: Outgoing,
    visible_at: Instant,
    receive_count: u32,
    /// Of the last receive.
    receipt: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("a FIFO queue needs a group and a deduplication id")]
    FifoWithoutGroup,
    #[error("a FIFO queue takes no delay for a single message")]
    FifoWithDelay,
    #[error("a standard queue takes no deduplication id")]
    StandardWithDeduplication,
    #[error("the message is not in flight")]
    NotInFlight,
    #[error("a message is 1 to 1,048,576 bytes")]
    Size,
}

impl InProcessQueue {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many messages each queue holds, in flight or not.
    pub fn depths(&self) -> Vec<(String, usize)> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let mut depths: Vec<_> = queues.iter().map(|(name, state)| (name.clone(), state.messages.len())).collect();
        depths.sort();
        depths
    }

    fn with<T>(&self, queue: &QueueSpec, change: impl FnOnce(&mut State) -> T) -> T {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        change(queues.entry(queue.name.to_owned()).or_default())
    }

    fn unique(&self, what: &str) -> String {
        format!("{what}-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What can be received now, and when something may be next.
    fn take(&self, queue: &QueueSpec, max: usize) -> (Vec<Delivery>, Option<Instant>) {
        let now = Instant::now();
        let mut dead = Vec::new();
        let (taken, next) = self.with(queue, |state| {
            state.redrive(queue, now, &mut dead);
            // A group with a message in flight, or one whose older message is still hidden, gives nothing more.
            let mut closed: HashSet<String> = HashSet::new();
            let mut taken = Vec::new();
            for stored in &mut state.messages {
                let group = stored.message.group.clone().filter(|_| queue.fifo);
                let hidden = stored.visible_at > now;
                if hidden || group.as_ref().is_some_and(|group| closed.contains(group)) {
                    closed.extend(group);
                    continue;
                }
                if taken.len() == max {
                    break;
                }
                stored.receive_count += 1;
                stored.visible_at = now + queue.visibility;
                let receipt = format!("{}#{}", stored.id, stored.receive_count);
                stored.receipt = Some(receipt.clone());
                taken.push(Delivery {
                    message_id: stored.id.clone(),
                    receipt,
                    body: stored.message.body.clone(),
                    receive_count: stored.receive_count,
                    group: stored.message.group.clone(),
                });
            }
            let next = state.messages.iter().map(|stored| stored.visible_at).filter(|at| *at > now).min();
            (taken, next)
        });
        if let (Some(target), false) = (queue.dead_letter, dead.is_empty()) {
            self.with(target, |state| state.messages.extend(dead));
            self.changed.notify_waiters();
        }
        (taken, next)
    }

    fn in_flight<T>(&self, queue: &QueueSpec, receipt: &str, change: impl FnOnce(&mut State, usize) -> T) -> Option<T> {
        let done = self.with(queue, |state| {
            let at = state.messages.iter().position(|stored| stored.receipt.as_deref() == Some(receipt))?;
            Some(change(state, at))
        });
        self.changed.notify_waiters();
        done
    }
}

impl State {
    /// Moves what has been received too often out, in order.
    fn redrive(&mut self, queue: &QueueSpec, now: Instant, dead: &mut Vec<Stored>) {
        if queue.dead_letter.is_none() {
            return;
        }
        let mut at = 0;
        while let Some(stored) = self.messages.get(at) {
            if stored.visible_at <= now && stored.receive_count >= queue.max_receive_count {
                if let Some(mut stored) = self.messages.remove(at) {
                    stored.receipt = None;
                    stored.receive_count = 0;
                    dead.push(stored);
                }
            } else {
                at += 1;
            }
        }
    }
}

#[async_trait]
impl Queue for InProcessQueue {
    async fn send(&self, queue: &QueueSpec, message: Outgoing) -> Result<(), QueueError> {
        if message.body.is_empty() || message.body.len() > 1 << 20 {
            return Err(QueueError::refused(Refusal::Size));
        }
        if queue.fifo && (message.group.is_none() || message.deduplication.is_none()) {
            return Err(QueueError::refused(Refusal::FifoWithoutGroup));
        }
        if queue.fifo && !message.delay.is_zero() {
            return Err(QueueError::refused(Refusal::FifoWithDelay));
        }
        if !queue.fifo && message.deduplication.is_some() {
            return Err(QueueError::refused(Refusal::StandardWithDeduplication));
        }
        let now = Instant::now();
        let id = self.unique("message");
        self.with(queue, |state| {
            state.seen.retain(|_, until| *until > now);
            if let Some(deduplication) = &message.deduplication {
                if state.seen.contains_key(deduplication) {
                    return;
                }
                state.seen.insert(deduplication.clone(), now + DEDUPLICATION_WINDOW);
            }
            let visible_at = now + message.delay;
            state.messages.push_back(Stored { id, message, visible_at, receive_count: 0, receipt: None });
        });
        self.changed.notify_waiters();
        Ok(())
    }

    async fn receive(&self, queue: &QueueSpec, max: u8, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let until = Instant::now() + wait;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let (taken, next) = self.take(queue, usize::from(max.clamp(1, 10)));
            if !taken.is_empty() || Instant::now() >= until {
                return Ok(taken);
            }
            // Whichever is first: a change, a hidden message becoming visible, the end of the wait. All lead to
            // another look.
            let look_again = next.map_or(until, |next| next.min(until));
            let _ = timeout_at(look_again, changed).await;
        }
    }

    async fn delete(&self, queue: &QueueSpec, receipt: &str) -> Result<(), QueueError> {
        self.in_flight(queue, receipt, |state, at| {
            state.messages.remove(at);
        });
        Ok(())
    }

    async fn change_visibility(
        &self,
        queue: &QueueSpec,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        let now = Instant::now();
        let changed = self.in_flight(queue, receipt, |state, at| {
            let stored = &mut state.messages[at];
            if stored.visible_at <= now {
                return false;
            }
            stored.visible_at = now + visibility;
            true
        });
        if changed == Some(true) { Ok(()) } else { Err(QueueError::refused(Refusal::NotInFlight)) }
    }
}
