//! GET /v1/tokens/{chain}/{address}: what a token says of itself. No queue: computed while the caller waits, cached.

use std::sync::Arc;
use std::time::Duration;

use access::Lookup;
use api::{ApiError, Caller, Endpoint, Path, Queued, found};
use app::App;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use crate::Metadata;
use crate::source_failure::explain;
use crate::token::Token;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-metadata", routes!(get_metadata))
}

/// Below the edge's own limit, so that the caller reads what was slow.
const LIMIT: Duration = Duration::from_secs(20);

/// What a token says of itself.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}", tag = "tokens", params(Token), security(("bearer" = [])),
    responses(
        (status = 200, body = Metadata, headers(
            ("age" = u64, description = "Seconds since it was read."),
            ("x-cache" = String, description = "`fresh`, or `stale` when the source does not answer."))),
        (status = 202, body = Queued, description = "Another caller's reading takes long; ask again."),
        (status = 404, description = "There is no token at this address.")))]
async fn get_metadata(_: Caller, State(app): State<App>, Path(token): Path<Token>) -> Result<Response, ApiError> {
    let source = Arc::clone(&token.on(&app)?.source);
    let key = token.key();
    let asked = token.clone();
    let read = move || async move {
        let known = source.metadata(asked.address).await.map_err(|error| explain(&error, &asked))?;
        Ok(Metadata::new(&asked, known))
    };
    Ok(match app.dqo(app.settings.metadata).compute("read-metadata", &key, LIMIT, read).await? {
        Lookup::Fresh(hit) => found(&hit, None, Json(&hit.stamped.value).into_response()),
        Lookup::Stale(hit, job) => found(&hit, Some(job.as_ref()), Json(&hit.stamped.value).into_response()),
        Lookup::Queued(job) => Queued::new(format!("Token {token} is being read."), job).into_response(),
    })
}
