//! GET /v1/tokens/{chain}/{address}/map: the map of a token's holders as a page.

use access::Lookup;
use api::{ApiError, Caller, Endpoint, Path, Query, found};
use app::App;
use axum::extract::{FromRequestParts, State};
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, RETRY_AFTER, VARY};
use http::request::Parts;
use map::Content;
use utoipa_axum::routes;

use crate::ReportParameters;
use crate::laid_out::laid_out;
use crate::report::{find, queued};
use crate::token::Token;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-map", routes!(get_map))
}

/// The map of a token's holders as a page, complete in itself. A browser that opens an address sends no bearer token:
/// then the page comes without data and asks `map.json` itself, with the token of the front end. With a token the data
/// is in it, or, while the report is being made, the job, which the page follows.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/map", tag = "tokens",
    params(Token, ReportParameters), security((), ("bearer" = [])),
    responses(
        (status = 200, description = "A page.", content_type = "text/html"),
        (status = 202, description = "A page that follows the job and then shows the map.", content_type = "text/html",
            headers(("location" = String, description = "The job."),
                ("retry-after" = u32, description = "Seconds after which to ask again."))),
        (status = 404, description = "There is no token at this address.")))]
async fn get_map(
    State(app): State<App>,
    Path(token): Path<Token>,
    Query(parameters): Query<ReportParameters>,
    mut parts: Parts,
) -> Result<Response, ApiError> {
    token.on(&app)?;
    if !parts.headers.contains_key(AUTHORIZATION) {
        return Ok(page(StatusCode::OK, Content::Nothing, "public, max-age=300"));
    }
    Caller::from_request_parts(&mut parts, &app).await?;
    let shown = |hit: &access::Found<_>| Ok::<_, ApiError>(page(StatusCode::OK, Content::Map(&laid_out(hit)?), OWN));
    Ok(match find(&app, &token, parameters).await? {
        Lookup::Fresh(hit) => found(&hit, None, shown(&hit)?),
        Lookup::Stale(hit, job) => found(&hit, Some(job.as_ref()), shown(&hit)?),
        Lookup::Queued(job) => {
            let queued = queued(&token, job);
            let job = serde_json::to_string(&queued.job)
                .map_err(|error| ApiError::new(access::Kind::Internal, "malformed_job", "").caused_by(error))?;
            let mut response = page(StatusCode::ACCEPTED, Content::Queued(&job), OWN);
            let told = queued.into_response();
            for name in [LOCATION, RETRY_AFTER] {
                if let Some(value) = told.headers().get(&name) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            response
        }
    })
}

/// What is one caller's is in no cache but their own, and there asked for anew.
const OWN: &str = "private, no-cache";

fn page(status: StatusCode, content: Content<'_>, cache: &'static str) -> Response {
    let headers = [
        (CACHE_CONTROL, cache),
        (CONTENT_SECURITY_POLICY, map::CONTENT_SECURITY_POLICY.as_str()),
        (VARY, "authorization"),
    ];
    (status, headers, Html(map::page(content))).into_response()
}
