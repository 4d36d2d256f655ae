//! POST /v1/auth/signup: an account for an address, with somebody's referral code.

use access::EmailAddress;
use access::limits::{SIGN_UP_BY_ADDRESS, SIGN_UP_BY_IP};
use api::{ApiError, By, Endpoint, Json, LONG_BEAT, on_the_beat};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use identity::{Password, PoolError, UserStatus};
use members::ReferralCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::letters;
use crate::session::refused;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-sign-up", routes!(sign_up)).counted(&[(SIGN_UP_BY_IP, By::Ip)])
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignUp {
    #[schema(value_type = String, format = "email", example = "ann@example.org")]
    email: EmailAddress,
    /// No rules of composition; not one of the most common.
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 256)]
    password: Password,
    /// Of a member who has places left.
    #[schema(value_type = String, example = "7K3F-9QXB")]
    referral_code: ReferralCode,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct CodeSent {
    #[schema(example = "A code is on its way to a***@e***. It confirms the account at /v1/auth/confirm.")]
    detail: String,
    delivery: Delivery,
}

#[derive(Serialize, ToSchema)]
struct Delivery {
    #[schema(example = "EMAIL")]
    medium: &'static str,
    #[schema(example = "a***@e***")]
    destination: String,
}

impl CodeSent {
    fn to(email: &EmailAddress) -> Self {
        let destination = email.masked();
        let detail = format!("A code is on its way to {destination}. It confirms the account at /v1/auth/confirm.");
        Self { detail, delivery: Delivery { medium: "EMAIL", destination } }
    }
}

/// Begins an account. The answer does not tell whether the address has one already; its owner gets a mail then.
#[utoipa::path(post, path = "/v1/auth/signup", tag = "accounts", request_body = SignUp,
    responses((status = 201, body = CodeSent),
        (status = 409, description = "`referral_invalid`: the code is unknown, disabled or used up.")))]
async fn sign_up(State(app): State<App>, Json(body): Json<SignUp>) -> Result<Response, ApiError> {
    app.limits.admit(&[(SIGN_UP_BY_ADDRESS, body.email.as_str())]).await?;
    on_the_beat(LONG_BEAT, begin(&app, &body)).await?;
    Ok((StatusCode::CREATED, axum::Json(CodeSent::to(&body.email))).into_response())
}

async fn begin(app: &App, body: &SignUp) -> Result<(), ApiError> {
    if !app.members.is_valid_code(&body.referral_code).await? {
        let detail = "This referral code is unknown, disabled or used up. Ask whoever gave it to you for another.";
        return Err(ApiError::new(access::Kind::Conflict, "referral_invalid", detail));
    }
    match app.users.sign_up(&body.email, &body.password).await {
        Ok(begun) => Ok(app.members.bind(begun.sub.as_str(), &body.referral_code).await?),
        Err(PoolError::UserExists) => again(app, body).await,
        Err(error) => Err(refused(error)),
    }
}

/// An address that nobody has confirmed belongs to nobody: whoever signs up last sets the password. A confirmed one is
/// told by mail, and only its owner learns of it.
async fn again(app: &App, body: &SignUp) -> Result<(), ApiError> {
    let Some(user) = app.users.find(&body.email).await.map_err(refused)? else { return Ok(()) };
    if user.status != UserStatus::Unconfirmed {
        letters::account_exists(app, &user.sub).await;
        return Ok(());
    }
    app.users.delete(&user.sub).await.map_err(refused)?;
    match app.users.sign_up(&body.email, &body.password).await {
        Ok(begun) => Ok(app.members.bind(begun.sub.as_str(), &body.referral_code).await?),
        // Somebody else signs up with it at this moment; the codes are in the same mailbox.
        Err(PoolError::UserExists) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}
