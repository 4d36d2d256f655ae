use std::process::ExitCode;
use std::sync::Arc;

use app::App;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use worker::Trigger;

use crate::deployed;
use crate::http::run;

/// Answers another AWS service's calls until Lambda ends the process.
pub fn serve_trigger(trigger: Trigger<App>) -> ExitCode {
    run(async |config, telemetry| {
        let app = deployed(&config)?;
        let trigger = Arc::new(trigger);
        lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
            let (trigger, app) = (Arc::clone(&trigger), app.clone());
            async move {
                let answer = trigger.answer(app, event.payload).await;
                telemetry.flush();
                answer.map_err(Error::from)
            }
        }))
        .await
    })
}
