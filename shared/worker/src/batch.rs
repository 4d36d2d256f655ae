use std::collections::HashSet;
use std::time::Duration;

use access::Delivery;

use crate::run::Disposition;
use crate::{Ports, Worker};

/// Handles a batch and returns the ids of the messages that must come back (`batchItemFailures`). In a FIFO queue
/// everything of a group behind its first failure comes back as well, so that the order holds.
pub async fn process<S: Ports>(
    worker: &Worker<S>,
    state: &S,
    deliveries: Vec<Delivery>,
    remaining: Duration,
) -> Vec<String> {
    let started = state.clock().monotonic();
    let mut blocked: HashSet<String> = HashSet::new();
    let mut failed = Vec::new();
    for delivery in deliveries {
        let (id, receipt, group) = (delivery.message_id.clone(), delivery.receipt.clone(), delivery.group.clone());
        let behind = worker.queue.fifo && group.as_ref().is_some_and(|group| blocked.contains(group));
        let left = remaining.saturating_sub(state.clock().monotonic().saturating_sub(started));
        let disposition = if behind {
            Disposition::KeepFor(Duration::ZERO)
        } else {
            worker.handle(state.clone(), delivery, left).await
        };
        if let Disposition::KeepFor(delay) = disposition {
            // Failing this only means that the message comes back at its queue's pace.
            if let Err(error) = state.queue().change_visibility(worker.queue, &receipt, delay).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a message keeps its queue's visibility");
            }
            blocked.extend(group);
            failed.push(id);
        }
    }
    failed
}
