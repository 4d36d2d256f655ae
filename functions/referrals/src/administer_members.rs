//! Invoked directly by operators: what `holdfast admin` does, in a deployment. IAM decides who may.

use access::{JobError, Kind};
use api::Fault;
use app::App;
use serde_json::{Value, json};
use worker::{CalledBy, RunError, Trigger};

use crate::admin::{Command, carry_out};

pub fn trigger() -> Trigger<App> {
    Trigger::new("referrals-administer-members", CalledBy::Operators, administer)
}

async fn administer(app: App, event: Value) -> Result<Value, RunError> {
    let command: Command = serde_json::from_value(event).map_err(|error| {
        // What was given may be an address or a password: only what was expected is told.
        let expected = "a command such as {\"command\":\"create-user\",\"email\":\"…\"}: create-user, set-places, \
                        disable-code, enable-code, rebuild-standings, reconcile-mail, mark-sent or release, with its fields";
        tracing::warn!(line = error.line(), "an operator's command has no shape we know");
        RunError::Discard(JobError::new(Kind::Invalid, "bad_command", format!("Expected {expected}.")))
    })?;
    let done = carry_out(&app, command).await.map_err(|error| {
        let (kind, code, detail) = (error.kind(), error.code(), error.to_string());
        tracing::warn!(error = &error as &dyn std::error::Error, code, "an operator's command was not carried out");
        RunError::of(JobError::new(kind, code, detail))
    })?;
    Ok(serde_json::to_value(done).unwrap_or_else(|_| json!({})))
}
