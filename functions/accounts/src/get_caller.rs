//! GET /v1/auth/whoami: who the bearer token says is calling.

use api::{ApiError, Caller, Endpoint};
use app::App;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::session::refused;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-get-caller", routes!(get_caller))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WhoAmI {
    #[schema(example = "5f0c2f6e-8f0a-4c58-9c1e-0b6a2f6c9d11")]
    sub: String,
    #[schema(example = "ann@example.org")]
    email: Option<String>,
    email_verified: bool,
    groups: Vec<String>,
    #[schema(example = "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_AbCdEf123")]
    issuer: String,
    /// When the token ends, in milliseconds since 1970.
    expires_at: u64,
}

/// Who is calling.
#[utoipa::path(get, path = "/v1/auth/whoami", tag = "accounts", security(("bearer" = [])),
    responses((status = 200, body = WhoAmI)))]
async fn get_caller(caller: Caller, State(app): State<App>) -> Result<Json<WhoAmI>, ApiError> {
    // Access tokens do not carry the address.
    let user = app.users.find_by_sub(&caller.sub).await.map_err(refused)?;
    Ok(Json(WhoAmI {
        sub: caller.sub.to_string(),
        email: user.as_ref().map(|user| user.email.as_str().to_owned()),
        email_verified: user.is_some_and(|user| user.email_verified),
        groups: caller.groups.clone(),
        issuer: caller.issuer.clone(),
        expires_at: caller.expires_at * 1000,
    }))
}
