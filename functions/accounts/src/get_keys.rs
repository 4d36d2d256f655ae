//! GET /.well-known/jwks.json: the public keys of the tokens issued here.

use api::Endpoint;
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-get-keys", routes!(get_keys))
}

/// The public keys (RFC 7517) of the pool embedded here. Where Cognito issues the tokens it publishes its keys itself,
/// and this list is empty.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "accounts",
    responses((status = 200, body = serde_json::Value, content_type = "application/jwk-set+json")))]
async fn get_keys(State(app): State<App>) -> Response {
    let headers = [(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, app.settings.keys.to_string()).into_response()
}
