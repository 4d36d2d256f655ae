//! GET /v1/tokens/{chain}/{address}/map.svg: the map of a token's holders as a drawing.

use access::Lookup;
use api::{ApiError, Caller, Endpoint, Path, Query, Queued, found};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa_axum::routes;

use crate::ReportParameters;
use crate::laid_out::laid_out;
use crate::report::{find, queued};
use crate::token::Token;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-map-svg", routes!(get_map_svg))
}

/// What a drawing that is opened by itself may do: use the style in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";

/// The map of a token's holders as a drawing that needs nothing else, dark or light as its reader prefers.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/map.svg", tag = "tokens",
    params(Token, ReportParameters), security(("bearer" = [])),
    responses(
        (status = 200, description = "A drawing.", content_type = "image/svg+xml"),
        (status = 202, body = Queued, description = "There is no report yet; it was queued."),
        (status = 404, description = "There is no token at this address.")))]
async fn get_map_svg(
    _: Caller,
    State(app): State<App>,
    Path(token): Path<Token>,
    Query(parameters): Query<ReportParameters>,
) -> Result<Response, ApiError> {
    token.on(&app)?;
    let drawing = |hit: &access::Found<_>| {
        let headers =
            [(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "private, no-cache"), (CONTENT_SECURITY_POLICY, POLICY)];
        Ok::<_, ApiError>((headers, laid_out(hit)?.to_svg()).into_response())
    };
    Ok(match find(&app, &token, parameters).await? {
        Lookup::Fresh(hit) => found(&hit, None, drawing(&hit)?),
        Lookup::Stale(hit, job) => found(&hit, Some(job.as_ref()), drawing(&hit)?),
        Lookup::Queued(job) => queued(&token, job).into_response(),
    })
}
