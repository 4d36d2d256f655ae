//! POST /v1/auth/signin: address and password for a session.

use access::EmailAddress;
use access::limits::{SIGN_IN_BY_ADDRESS, SIGN_IN_BY_IP};
use api::{ApiError, By, Endpoint, Json, evenly};
use app::App;
use axum::extract::State;
use axum::response::Response;
use identity::PasswordAttempt;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::session::{Asked, Session, refused, signed_in};

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-sign-in", routes!(sign_in)).counted(&[(SIGN_IN_BY_IP, By::Ip)])
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    #[schema(value_type = String, format = "email", example = "ann@example.org")]
    email: EmailAddress,
    #[schema(value_type = String, format = "password")]
    password: PasswordAttempt,
}

/// Begins a session. A wrong password and an unknown address get the same answer in the same time.
#[utoipa::path(post, path = "/v1/auth/signin", tag = "accounts", request_body = Credentials,
    responses((status = 200, body = Session),
        (status = 401, description = "`wrong_credentials`: the address or the password is wrong."),
        (status = 409, body = Asked, content_type = "application/problem+json", description = "`unconfirmed`, `reset_required`, or a `challenge` to answer.")))]
async fn sign_in(State(app): State<App>, Json(body): Json<Credentials>) -> Result<Response, ApiError> {
    app.limits.admit(&[(SIGN_IN_BY_ADDRESS, body.email.as_str())]).await?;
    let outcome = evenly(app.users.sign_in(&body.email, &body.password)).await.map_err(refused)?;
    signed_in(&app, outcome).await
}
