//! POST /v1/auth/signout: ends this session, or all of them.

use api::{ApiError, Caller, Endpoint, Json};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use identity::RefreshToken;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::session::refused;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-sign-out", routes!(sign_out))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignOut {
    /// Of this session; it serves no more.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    refresh_token: Option<RefreshToken>,
    /// Ends every session of the caller, on all devices.
    #[serde(default)]
    everywhere: bool,
}

#[derive(Serialize, ToSchema)]
struct SignedOut {
    #[schema(example = "Signed out.")]
    detail: &'static str,
}

/// Ends the session: the access token this request came with is refused from now on, the refresh token too.
#[utoipa::path(post, path = "/v1/auth/signout", tag = "accounts", request_body = SignOut, security(("bearer" = [])),
    responses((status = 200, body = SignedOut)))]
async fn sign_out(caller: Caller, State(app): State<App>, Json(body): Json<SignOut>) -> Result<Response, ApiError> {
    if let Some(token) = &body.refresh_token {
        app.users.revoke(token).await.map_err(refused)?;
    }
    if body.everywhere {
        app.users.sign_out_user(&caller.sub).await.map_err(refused)?;
        app.denylist.revoke_user(&caller.sub, app.clock.now().seconds()).await?;
    } else {
        app.denylist.revoke_token(&caller).await?;
    }
    let detail = if body.everywhere { "Signed out everywhere." } else { "Signed out." };
    Ok(axum::Json(SignedOut { detail }).into_response())
}
