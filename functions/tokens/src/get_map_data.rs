//! GET /v1/tokens/{chain}/{address}/map.json: the laid-out map, for programs that draw it.

use access::Lookup;
use api::{ApiError, Caller, Endpoint, Path, Query, Queued, found};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use utoipa_axum::routes;

use crate::ReportParameters;
use crate::laid_out::laid_out;
use crate::report::{find, queued};
use crate::token::Token;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-map-data", routes!(get_map_data))
}

/// A token's cluster report laid out as a map: where each holder's circle stands and how large it is, who deals with
/// whom, and what the page of the map shows beside. The same report is laid out the same way.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/map.json", tag = "tokens",
    params(Token, ReportParameters), security(("bearer" = [])),
    responses(
        (status = 200, body = serde_json::Value, description = "The map.", headers(
            ("age" = u64, description = "Seconds since its report was made."),
            ("x-cache" = String, description = "`fresh` or `stale`."),
            ("x-refresh-job" = String, description = "The job that renews a stale one."))),
        (status = 202, body = Queued, description = "There is no report yet; it was queued."),
        (status = 404, description = "There is no token at this address.")))]
async fn get_map_data(
    _: Caller,
    State(app): State<App>,
    Path(token): Path<Token>,
    Query(parameters): Query<ReportParameters>,
) -> Result<Response, ApiError> {
    token.on(&app)?;
    let data = |hit: &access::Found<_>| {
        let text = serde_json::to_string(&laid_out(hit)?)
            .map_err(|error| ApiError::new(access::Kind::Internal, "malformed_map", "").caused_by(error))?;
        let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "private, no-cache")];
        Ok::<_, ApiError>((headers, text).into_response())
    };
    Ok(match find(&app, &token, parameters).await? {
        Lookup::Fresh(hit) => found(&hit, None, data(&hit)?),
        Lookup::Stale(hit, job) => found(&hit, Some(job.as_ref()), data(&hit)?),
        Lookup::Queued(job) => queued(&token, job).into_response(),
    })
}
