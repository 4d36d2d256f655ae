//! The read path's face: what a [`Lookup`] looks like over HTTP.

use access::{Found, JobState, JobView, Kind, LookupError};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{AGE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::ApiError;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const X_CACHE_TIER: HeaderName = HeaderName::from_static("x-cache-tier");
const X_REFRESH_JOB: HeaderName = HeaderName::from_static("x-refresh-job");

/// Seconds after which asking again for a queued result makes sense.
const POLL_SECONDS: u32 = 1;

/// Work that was asked for. Times are milliseconds since 1970.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Ask for it at `/v1/jobs/{job}`.
    #[schema(example = "5c5k1v0m2w7h8e4a9b3d6f1g2j")]
    pub job: String,
    #[schema(example = "refresh-clusters")]
    pub kind: String,
    /// `queued`, `running`, `done` or `failed`.
    #[schema(example = "running")]
    pub state: &'static str,
    /// How often a worker began.
    #[schema(example = 1)]
    pub attempts: u32,
    /// What its worker is doing.
    #[schema(example = "reading transfers", required = false)]
    pub stage: Option<String>,
    /// 0..1
    #[schema(example = 0.4, minimum = 0, maximum = 1)]
    pub progress: f64,
    #[schema(example = 1_795_000_000_000_u64)]
    pub queued_at: u64,
    #[schema(example = 1_795_000_000_100_u64, required = false)]
    pub started_at: Option<u64>,
    #[schema(required = false)]
    pub finished_at: Option<u64>,
    /// Until when its worker, or the queue, is trusted to be on it.
    #[schema(example = 1_795_000_060_000_u64)]
    pub lease_until: u64,
    /// Grows with every worker that takes the job.
    #[schema(example = 1)]
    pub fence: u64,
    #[schema(required = false)]
    pub error: Option<Failure>,
}

/// Why a job failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JobFailure)]
pub struct Failure {
    /// Stable, snake case.
    #[schema(example = "not_a_token")]
    pub code: String,
    #[schema(example = "0x… on chain ethereum is not a token: there is no contract.")]
    pub detail: String,
}

impl From<JobView> for Job {
    fn from(view: JobView) -> Self {
        Self {
            job: view.job,
            kind: view.kind,
            state: view.state.name(),
            attempts: view.attempts,
            stage: view.stage,
            progress: view.progress,
            queued_at: view.queued_at,
            started_at: view.started_at,
            finished_at: view.finished_at,
            lease_until: view.lease_until,
            fence: view.fence,
            error: view.error.map(|error| Failure { code: error.code, detail: error.detail }),
        }
    }
}

impl IntoResponse for Job {
    fn into_response(self) -> Response {
        let open = self.state == JobState::Queued.name() || self.state == JobState::Running.name();
        let mut response = Json(self).into_response();
        if open {
            response.headers_mut().insert(RETRY_AFTER, POLL_SECONDS.into());
        }
        response
    }
}

/// 202: the answer is being computed; ask the same again, or follow the job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Queued {
    #[schema(example = 202)]
    pub status_code: u16,
    #[schema(example = "Token 0x… on chain ethereum was queued for cluster analysis.")]
    pub detail: String,
    pub job: Job,
}

impl Queued {
    pub fn new(detail: String, job: JobView) -> Self {
        Self { status_code: StatusCode::ACCEPTED.as_u16(), detail, job: job.into() }
    }
}

impl IntoResponse for Queued {
    fn into_response(self) -> Response {
        // Ids are hex-like text, so this always is a header value.
        let location = HeaderValue::try_from(format!("/v1/jobs/{}", self.job.job));
        let mut response = (StatusCode::ACCEPTED, Json(self)).into_response();
        if let Ok(location) = location {
            response.headers_mut().insert(LOCATION, location);
        }
        response.headers_mut().insert(RETRY_AFTER, POLL_SECONDS.into());
        response
    }
}

/// Says on an answer how old it is and where it was found: `Age` in seconds, `X-Cache: fresh` or `stale`, `X-Cache-Tier`,
/// and for a stale one `X-Refresh-Job`, the job that renews it.
pub fn found<T>(found: &Found<T>, stale: Option<Option<&JobView>>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(AGE, found.age.as_secs().into());
    headers.insert(X_CACHE, HeaderValue::from_static(if stale.is_some() { "stale" } else { "fresh" }));
    headers.insert(X_CACHE_TIER, HeaderValue::from_static(found.tier.name()));
    if let Some(job) = stale.flatten().and_then(|job| HeaderValue::try_from(&job.job).ok()) {
        headers.insert(X_REFRESH_JOB, job);
    }
    response
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Failed { error, retry_after } => {
                let seconds = u32::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
                let failed = Self::new(error.kind, code_of(&error), error.detail);
                if error.kind == Kind::Invalid { failed } else { failed.retry_after(seconds.max(1)) }
            }
            LookupError::Queue(source) => Self::new(
                Kind::Unavailable,
                "queue_unavailable",
                "The work could not be queued. Try again in a moment.",
            )
            .caused_by(source),
            LookupError::Access(source) => source.into(),
            LookupError::Blob(source) => {
                Self::new(source.kind(), "storage_unavailable", "Storage does not answer. Try again in a moment.")
                    .caused_by(source)
            }
        }
    }
}

impl From<access::EnqueueError> for ApiError {
    fn from(error: access::EnqueueError) -> Self {
        match error {
            access::EnqueueError::Access(source) => source.into(),
            access::EnqueueError::Queue(source) => LookupError::Queue(source).into(),
        }
    }
}

impl From<access::AccessError> for ApiError {
    fn from(error: access::AccessError) -> Self {
        match error {
            access::AccessError::BadCursor => {
                Self::new(Kind::Invalid, "bad_cursor", "The cursor is not one that this list gave out.")
            }
            error @ (access::AccessError::AlreadyExists { .. } | access::AccessError::ConditionFailed { .. }) => {
                Self::new(Kind::Conflict, "conflict", "Another request was faster; read again and repeat.")
                    .caused_by(error)
            }
            error => Self::new(error.kind(), "storage_unavailable", "Storage does not answer. Try again in a moment.")
                .caused_by(error),
        }
    }
}

/// The codes of failed work that clients may branch on; stored ones of an older version become their kind's.
fn code_of(error: &access::JobError) -> &'static str {
    const KNOWN: [&str; 9] = [
        "not_a_token",
        "unsupported_token",
        "unknown_chain",
        "unknown_labels",
        "beyond_head",
        "source_unavailable",
        "source_unreadable",
        "upstream_timeout",
        "abandoned",
    ];
    let known = KNOWN.into_iter().find(|code| *code == error.code);
    known.unwrap_or(match error.kind {
        Kind::NotFound => "not_found",
        Kind::Invalid => "invalid",
        Kind::Unavailable => "unavailable",
        _ => "failed",
    })
}
