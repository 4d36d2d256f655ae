//! GET /v1/jobs/{id}: how far a job is.

use access::Kind;
use api::{ApiError, Caller, Endpoint, Job, Path};
use app::App;
use axum::extract::State;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("jobs-get-job", routes!(get_job))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct JobPath {
    /// As in `job` of a 202 answer.
    #[param(value_type = String, min_length = 26, max_length = 26, example = "5c5k1v0m2w7h8e4a9b3d6f1g2j")]
    id: JobId,
}

struct JobId(String);

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Ok(Self(text));
        }
        let expected = &"a job id: 26 lower-case letters and digits";
        Err(serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), expected))
    }
}

/// How far a job is. While it is open, `Retry-After` says when to ask again.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(JobPath), security(("bearer" = [])),
    responses((status = 200, body = Job), (status = 404, description = "No job of the last seven days has this id.")))]
async fn get_job(_: Caller, State(app): State<App>, Path(path): Path<JobPath>) -> Result<Job, ApiError> {
    let row = app.jobs.find(&path.id.0).await?;
    let row =
        row.ok_or_else(|| ApiError::new(Kind::NotFound, "unknown_job", "No job of the last seven days has this id."))?;
    Ok(row.view.into())
}
