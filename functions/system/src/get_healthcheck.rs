//! GET /healthcheck: whether this process answers. Asks nothing of anything behind it.

use api::Endpoint;
use app::App;
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("system-get-healthcheck", routes!(get_healthcheck)).uncounted()
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the service answers.
#[utoipa::path(get, path = "/healthcheck", tag = "system", responses((status = 200, body = Health)))]
async fn get_healthcheck() -> Json<Health> {
    Json(Health { status: "ok" })
}
