//! What every deployment answers about itself. Public.

pub mod get_docs;
pub mod get_healthcheck;
pub mod get_openapi;
pub mod get_version;

use api::Endpoint;
use app::App;
use worker::Departure;

pub fn routes() -> Vec<Endpoint<App>> {
    vec![get_docs::route(), get_healthcheck::route(), get_openapi::route(), get_version::route()]
}

/// Nothing here knows anybody.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("system")
}
