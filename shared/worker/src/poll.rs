use std::future::Future;
use std::time::Duration;

use futures::future::{Either, select};

use crate::{Ports, Worker, process};

/// How long one look at the queue waits for a message.
const WAIT: Duration = Duration::from_secs(20);

/// Takes messages off the queue one by one until `shutdown`, finishing what it has begun: what Lambda's event source
/// does for a deployed worker. `limit` is how long a handler may work on one message.
pub async fn poll<S: Ports>(worker: Worker<S>, state: S, limit: Duration, shutdown: impl Future<Output = ()> + Unpin) {
    let mut shutdown = shutdown;
    loop {
        let receive = state.queue().receive(worker.queue, 1, WAIT);
        let received = match select(receive, &mut shutdown).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => return,
        };
        let deliveries = match received {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    queue = worker.queue.name,
                    "receiving failed"
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let receipts: Vec<_> = deliveries.iter().map(|d| (d.message_id.clone(), d.receipt.clone())).collect();
        let failed = process(&worker, &state, deliveries, limit).await;
        for (id, receipt) in receipts {
            if !failed.contains(&id)
                && let Err(error) = state.queue().delete(worker.queue, &receipt).await
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "a message that is done with stays");
            }
        }
    }
}
