//! What every deployment answers about itself. Public.

pub mod get_docs;
pub mod get_healthcheck;
pub mod get_openapi;
pub mod get_version;

use api::Endpoint;
use app::App;
use worker::Departure;

/// What this domain is asked and answers, for the OpenAPI document; the tests hold it to what it really does.
pub const EXAMPLES: &str = include_str!("../examples.json");

pub fn routes() -> Vec<Endpoint<App>> {
    vec![get_docs::route(), get_healthcheck::route(), get_openapi::route(), get_version::route()]
}

/// Nothing here knows anybody.
pub fn departure() -> Departure<App> {
    Departure::nothing_kept("system")
}
