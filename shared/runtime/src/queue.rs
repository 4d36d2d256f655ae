use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use access::{Clock, Delivery};
use app::App;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use worker::{Schedule, Worker};

use crate::deployed;
use crate::http::run;

/// A batch as Lambda's event source delivers it; only what is used of it.
#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attributes {
    approximate_receive_count: String,
    message_group_id: Option<String>,
}

/// Which messages of a batch must come back.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failures {
    batch_item_failures: Vec<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

impl From<Record> for Delivery {
    fn from(record: Record) -> Self {
        Self {
            message_id: record.message_id,
            receipt: record.receipt_handle,
            body: record.body,
            receive_count: record.attributes.approximate_receive_count.parse().unwrap_or(1),
            group: record.attributes.message_group_id,
        }
    }
}

/// Time kept back to tell Lambda the outcome.
const MARGIN: Duration = Duration::from_secs(2);

/// Takes an SQS event source's batches with one worker until Lambda ends the process.
pub fn serve_sqs(worker: Worker<App>) -> ExitCode {
    run(async |config, telemetry| {
        let app = deployed(&config)?;
        lambda_runtime::run(service_fn(|event: LambdaEvent<Batch>| {
            let (worker, app) = (worker.clone(), app.clone());
            async move {
                let left = remaining(&app, &event.context);
                let deliveries = event.payload.records.into_iter().map(Delivery::from).collect();
                let failed = worker::process(&worker, &app, deliveries, left).await;
                telemetry.flush();
                let failed = failed.into_iter().map(|item_identifier| Failure { item_identifier });
                Ok::<_, Error>(Failures { batch_item_failures: failed.collect() })
            }
        }))
        .await
    })
}

/// Does what is to be done whenever the scheduler calls, until Lambda ends the process.
pub fn serve_schedule(schedule: Schedule<App>) -> ExitCode {
    run(async |config, telemetry| {
        let app = deployed(&config)?;
        let schedule = Arc::new(schedule);
        lambda_runtime::run(service_fn(|_: LambdaEvent<serde_json::Value>| {
            let (schedule, app) = (Arc::clone(&schedule), app.clone());
            async move {
                let done = schedule.tick(app).await;
                telemetry.flush();
                done.map_err(Error::from)
            }
        }))
        .await
    })
}

fn remaining(app: &App, context: &Context) -> Duration {
    let deadline = Duration::from_millis(context.deadline);
    let now = Duration::from_millis(Clock::now(&*app.clock).millis());
    deadline.saturating_sub(now).saturating_sub(MARGIN)
}
