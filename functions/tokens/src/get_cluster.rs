//! GET /v1/tokens/{chain}/{address}/clusters/{id}: why a cluster is one, from the token's newest report.

use api::{ApiError, Caller, Endpoint, Path, Query, Queued};
use app::App;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::routes;

use crate::ReportParameters;
use crate::cluster::{ClusterPath, answer, unknown_cluster};
use crate::evidence::ClusterEvidence;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-cluster", routes!(get_cluster))
}

/// Why a cluster is one: its members, the fewest ties that join them, those it hangs by, and since when. From the same
/// report as the list of clusters with the same parameters.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/clusters/{id}", tag = "tokens",
    params(ClusterPath, ReportParameters), security(("bearer" = [])),
    responses(
        (status = 200, body = ClusterEvidence, headers(
            ("age" = u64, description = "Seconds since the report was made."),
            ("x-cache" = String, description = "`fresh` or `stale`."))),
        (status = 202, body = Queued, description = "There is no report yet; it was queued."),
        (status = 404, description = "There is no token at this address, or its newest report has no such cluster.")))]
async fn get_cluster(
    _: Caller,
    State(app): State<App>,
    Path(path): Path<ClusterPath>,
    Query(parameters): Query<ReportParameters>,
) -> Result<Response, ApiError> {
    answer(&app, &path.token(), parameters, |report| report.evidence(&path.id).ok_or_else(unknown_cluster)).await
}
