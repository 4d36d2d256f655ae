//! GET /v1/tokens/{chain}/{address}/clusters/{id}/explain?from=&to=: how two members of a cluster are connected.

use access::Kind;
use api::{ApiError, Caller, Endpoint, Path, Queued};
use app::App;
use axum::extract::State;
use axum::response::Response;
use clusters::{Address, Digest, PathError, Report};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::ReportParameters;
use crate::asked::{Asked, Own};
use crate::cluster::{ClusterPath, answer, unknown_cluster};
use crate::evidence::ClusterExplanation;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-explain-cluster", routes!(explain_cluster))
}

#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Ends {
    /// A member: `0x` and 40 hex digits, in either case.
    #[param(value_type = String, example = "0x19a2ee9dbbb5cc3a4b4b8b41d1c5cc6f43cb3bd9")]
    from: Address,
    /// Another member.
    #[param(value_type = String, example = "0x7c1c1c5d9c5e9a04b1c4c0f4a7d2f0c3a0f6a2b1")]
    to: Address,
}

impl Own for Ends {
    const NAMES: &'static [&'static str] = &["from", "to"];
}

/// How two members of a cluster are connected: by the fewest ties, and of such ways the strongest.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/clusters/{id}/explain", tag = "tokens",
    params(ClusterPath, Ends, ReportParameters), security(("bearer" = [])),
    responses(
        (status = 200, body = ClusterExplanation, headers(
            ("age" = u64, description = "Seconds since the report was made."),
            ("x-cache" = String, description = "`fresh` or `stale`."))),
        (status = 202, body = Queued, description = "There is no report yet; it was queued."),
        (status = 400, description = "`from` and `to` are the same, or not addresses."),
        (status = 404, description = "There is no token at this address, its newest report has no such cluster, or one \
                                      of the two is no member of it: the code tells which.")))]
async fn explain_cluster(
    _: Caller,
    State(app): State<App>,
    Path(path): Path<ClusterPath>,
    Asked { own, parameters }: Asked<Ends>,
) -> Result<Response, ApiError> {
    if own.from == own.to {
        let detail = "Query parameters `from` and `to` are the same address: expected two members of the cluster.";
        return Err(ApiError::new(Kind::Invalid, "same_address", detail));
    }
    answer(&app, &path.token(), parameters, |report| explain(report, path.id, own)).await
}

fn explain(report: &Report, cluster: Digest, Ends { from, to }: Ends) -> Result<clusters::Path, ApiError> {
    if !report.clusters.iter().any(|known| known.id == cluster) {
        return Err(unknown_cluster());
    }
    let way = report.path(from, to).map_err(|error| not_connected(&error))?;
    if way.cluster != cluster {
        let detail = format!("Both are members of another cluster, {}.", way.cluster);
        return Err(ApiError::new(Kind::NotFound, "not_in_cluster", detail));
    }
    Ok(way)
}

fn not_connected(error: &PathError) -> ApiError {
    let code = match error {
        PathError::NotAHolder(_) => "not_a_holder",
        PathError::Excluded { .. } => "excluded_holder",
        PathError::Alone(_) | PathError::DifferentClusters { .. } => "not_in_cluster",
    };
    ApiError::new(Kind::NotFound, code, format!("{error}."))
}
