//! POST /v1/auth/refresh: new tokens for a refresh token.

use api::{ApiError, Endpoint, Json};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use identity::RefreshToken;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::session::{Session, refused};

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-refresh-session", routes!(refresh_session))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refresh {
    #[schema(value_type = String)]
    refresh_token: RefreshToken,
}

/// New tokens. The refresh token among them is the one to use next time.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "accounts", request_body = Refresh,
    responses((status = 200, body = Session), (status = 403, description = "`session_ended`: sign in again.")))]
async fn refresh_session(State(app): State<App>, Json(body): Json<Refresh>) -> Result<Response, ApiError> {
    let tokens = app.users.refresh(&body.refresh_token).await.map_err(refused)?;
    Ok(Session::from(tokens).into_response())
}
