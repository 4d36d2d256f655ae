//! GET /v1/version: which build answers.

use api::Endpoint;
use app::App;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("system-get-version", routes!(get_version))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    #[schema(example = "holdfast")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The deployment: `prod`, `dev`, `local`.
    #[schema(example = "prod")]
    environment: String,
}

/// Which build answers.
#[utoipa::path(get, path = "/v1/version", tag = "system", responses((status = 200, body = Version)))]
async fn get_version(State(app): State<App>) -> Json<Version> {
    let environment = app.settings.environment.clone();
    Json(Version { name: "holdfast", version: env!("CARGO_PKG_VERSION"), environment })
}
