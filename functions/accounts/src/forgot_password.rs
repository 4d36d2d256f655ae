//! POST /v1/auth/password/forgot: a code to reset a password with.

use access::EmailAddress;
use access::limits::CODES_BY_ADDRESS;
use api::{ApiError, Endpoint, Json, evenly};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use identity::PoolError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::session::refused;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-forgot-password", routes!(forgot_password))
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
    accepted(sent, "If this address has an account, a code is on its way.")
}

/// 202, whatever the pool said of the address; only a pool that does not answer is told.
pub(crate) fn accepted(sent: Result<(), PoolError>, detail: &'static str) -> Result<Response, ApiError> {
    match sent {
        Err(error @ (PoolError::Unavailable { .. } | PoolError::Refused { .. })) => return Err(refused(error)),
        Err(error) => tracing::info!(code = error.code(), "no code was sent"),
        Ok(()) => {}
    }
    Ok((StatusCode::ACCEPTED, axum::Json(MailPerhaps { detail })).into_response())
}
