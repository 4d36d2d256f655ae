//! GET /v1/tokens/{chain}/{address}/clusters: who really holds a token. Queued: 202 until the report is there.

use std::sync::Arc;

use access::{Lookup, Stamped};
use api::{ApiError, Caller, Endpoint, Json, Path, Queued, found};
use app::App;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::asked::{Asked, Own};
use crate::bubblemaps::Map;
use crate::daily_point;
use crate::report::{find, queued};
use crate::token::Token;
use crate::{ClusterReport, ReportParameters};

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-clusters", routes!(get_clusters))
}

#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Answered {
    /// `bubblemaps`: in the field names of Bubblemaps' Data API 0.3.1.
    #[serde(default)]
    #[param(inline, required = false, default = "json")]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Bubblemaps,
}

impl Own for Answered {
    const NAMES: &'static [&'static str] = &["format"];
}

/// Who really holds a token: its largest holders, the links between them, the clusters these make, and how
/// concentrated it is by holder and by cluster. 202 while the report is being made; afterwards the newest one at once,
/// also when it is old and a new one is on its way.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/clusters", tag = "tokens",
    params(Token, Answered, ReportParameters), security(("bearer" = [])),
    responses(
        (status = 200, body = serde_json::Value, description = "The report.", headers(
            ("age" = u64, description = "Seconds since it was made."),
            ("x-cache" = String, description = "`fresh` or `stale`."),
            ("x-refresh-job" = String, description = "The job that renews a stale one."))),
        (status = 202, body = Queued, headers(
            ("location" = String, description = "The job."),
            ("retry-after" = u32, description = "Seconds after which to ask again."))),
        (status = 400, description = "`beyond_head`: the block or time is beyond the chain's last safe block."),
        (status = 404, description = "There is no token at this address, or `unknown_labels`.")))]
async fn get_clusters(
    caller: Caller,
    State(app): State<App>,
    Path(token): Path<Token>,
    Asked { own: Answered { format }, parameters }: Asked<Answered>,
) -> Result<Response, ApiError> {
    token.on(&app)?;
    let found_or_queued = find(&app, &token, parameters).await?;
    daily_point::earn(&app, caller.sub.as_str()).await;
    Ok(match found_or_queued {
        Lookup::Fresh(hit) => found(&hit, None, body(&hit.stamped, format)?),
        Lookup::Stale(hit, job) => found(&hit, Some(job.as_ref()), body(&hit.stamped, format)?),
        Lookup::Queued(job) => queued(&token, job).into_response(),
    })
}

fn body(report: &Arc<Stamped<ClusterReport>>, format: Format) -> Result<Response, ApiError> {
    match format {
        Format::Json => Ok(as_it_is(report)),
        Format::Bubblemaps => Ok(Json(Map::from(&report.value.read()?)).into_response()),
    }
}

/// The report's bytes, without a copy.
fn as_it_is(report: &Arc<Stamped<ClusterReport>>) -> Response {
    struct Shared(Arc<Stamped<ClusterReport>>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.value.0.get().as_bytes()
        }
    }

    let bytes = Bytes::from_owner(Shared(Arc::clone(report)));
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
