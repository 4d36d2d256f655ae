//! POST /v1/auth/password/change: a new password, with the old one.

use api::{ApiError, Caller, Endpoint, Json};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use identity::{Password, PasswordAttempt};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::bearer::access_token;
use crate::letters;
use crate::reset_password::Changed;
use crate::session::refused;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-change-password", routes!(change_password))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    #[schema(value_type = String, format = "password")]
    old_password: PasswordAttempt,
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 256)]
    new_password: Password,
}

/// Sets a new password. Sessions go on.
#[utoipa::path(post, path = "/v1/auth/password/change", tag = "accounts", request_body = Change,
    security(("bearer" = [])),
    responses((status = 200, body = Changed), (status = 401, description = "The old password is wrong.")))]
async fn change_password(
    caller: Caller,
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<Change>,
) -> Result<Response, ApiError> {
    let token = access_token(&headers);
    app.users.change_password(&token, &body.old_password, &body.new_password).await.map_err(refused)?;
    letters::password_changed(&app, &caller.sub).await;
    Ok(axum::Json(Changed { detail: "The password is changed." }).into_response())
}
