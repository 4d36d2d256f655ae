//! POST /v1/auth/password/forgot: a code to reset a password with.

use access::EmailAddress;
use access::limits::{CODES_BY_ADDRESS, CODES_BY_IP};
use api::{ApiError, By, Endpoint, Json, evenly};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use identity::PoolError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-forgot-password", routes!(forgot_password)).counted(&[(CODES_BY_IP, By::Ip)])
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    #[schema(value_type = String, format = "email", example = "ann@example.org")]
    pub(crate) email: EmailAddress,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MailPerhaps {
    #[schema(example = "If this address has an account, a code is on its way.")]
    detail: &'static str,
}

/// Sends a code, if there is somebody to send it to; the answer does not tell.
#[utoipa::path(post, path = "/v1/auth/password/forgot", tag = "accounts", request_body = Address,
    responses((status = 202, body = MailPerhaps)))]
async fn forgot_password(State(app): State<App>, Json(body): Json<Address>) -> Result<Response, ApiError> {
    app.limits.admit(&[(CODES_BY_ADDRESS, body.email.as_str())]).await?;
    let sent = evenly(app.users.forgot_password(&body.email)).await;
    Ok(accepted(sent, "If this address has an account, a code is on its way."))
}

/// 202, whatever became of it. A failure must not be told either: a code that could not be sent is one that somebody
/// was to be sent.
pub(crate) fn accepted(sent: Result<(), PoolError>, detail: &'static str) -> Response {
    match sent {
        Err(error @ (PoolError::Unavailable { .. } | PoolError::Refused { .. })) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a code could not be sent");
        }
        Err(error) => tracing::info!(code = error.code(), "no code was sent"),
        Ok(()) => {}
    }
    (StatusCode::ACCEPTED, axum::Json(MailPerhaps { detail })).into_response()
}
