//! POST /v1/auth/confirm/resend: another code for an account that is not confirmed yet.

use access::limits::{CODES_BY_ADDRESS, CODES_BY_IP};
use api::{ApiError, By, Endpoint, Json, evenly};
use app::App;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::routes;

use crate::forgot_password::{Address, MailPerhaps, accepted};

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-resend-code", routes!(resend_code)).counted(&[(CODES_BY_IP, By::Ip)])
}

/// Sends another code, if there is somebody to send it to; the answer does not tell.
#[utoipa::path(post, path = "/v1/auth/confirm/resend", tag = "accounts", request_body = Address,
    responses((status = 202, body = MailPerhaps)))]
async fn resend_code(State(app): State<App>, Json(body): Json<Address>) -> Result<Response, ApiError> {
    app.limits.admit(&[(CODES_BY_ADDRESS, body.email.as_str())]).await?;
    let sent = evenly(app.users.resend_code(&body.email)).await;
    Ok(accepted(sent, "If this address waits to be confirmed, a new code is on its way."))
}
