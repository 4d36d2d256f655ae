//! GET /openapi.json: what all endpoints take and answer, as generated from their code.

use api::Endpoint;
use app::App;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use utoipa_axum::routes;

/// Written by `cargo xtask openapi`; `tidy` fails when it is not what the code says.
pub(crate) const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

pub fn route() -> Endpoint<App> {
    Endpoint::new("system-get-openapi", routes!(get_openapi)).uncounted()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
async fn get_openapi() -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")], DOCUMENT).into_response()
}
