use access::{Kind, Lookup};
use api::{ApiError, Json, found};
use app::App;
use axum::response::{IntoResponse, Response};
use clusters::{Address, Digest, Report};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::ReportParameters;
use crate::report::{find, queued};
use crate::token::Token;

/// Which cluster of which token: `/{chain}/{address}/clusters/{id}`.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ClusterPath {
    /// One of `/v1/chains`.
    #[param(example = "ethereum")]
    chain: String,
    /// The token's contract: `0x` and 40 hex digits, in either case.
    #[param(value_type = String, example = "0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7",
        pattern = "^0[xX][0-9a-fA-F]{40}$")]
    address: Address,
    /// The cluster's `id` in the report.
    #[param(value_type = String, example = "0c0ba9cb7ff28a7a8cd0ff2cbb0a1a2a1a5fbd7e4cb2e7a2fd9a0b6d5c1e3f47",
        pattern = "^[0-9a-fA-F]{64}$")]
    pub(crate) id: Digest,
}

impl ClusterPath {
    pub(crate) fn token(&self) -> Token {
        Token { chain: self.chain.clone(), address: self.address }
    }
}

/// Answers from the newest report, as old as it is; 202 when there is none yet.
pub(crate) async fn answer<T: Serialize>(
    app: &App,
    token: &Token,
    parameters: ReportParameters,
    read: impl FnOnce(&Report) -> Result<T, ApiError> + Send,
) -> Result<Response, ApiError> {
    token.on(app)?;
    let (hit, stale) = match find(app, token, parameters).await? {
        Lookup::Fresh(hit) => (hit, None),
        Lookup::Stale(hit, job) => (hit, Some(job)),
        Lookup::Queued(job) => return Ok(queued(token, job).into_response()),
    };
    let response = Json(read(&hit.stamped.value.read()?)?).into_response();
    Ok(found(&hit, stale.as_ref().map(Option::as_ref), response))
}

/// 404 for a cluster that the newest report has not.
pub(crate) fn unknown_cluster() -> ApiError {
    let detail = "The newest report has no such cluster. A cluster's id changes with its members, and with what the \
                  report was asked for: take it from a report of the same parameters.";
    ApiError::new(Kind::NotFound, "unknown_cluster", detail)
}
