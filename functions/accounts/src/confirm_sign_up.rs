//! POST /v1/auth/confirm: the code from the mail makes the account, and its owner a member.

use access::EmailAddress;
use access::limits::{CODES_BY_ADDRESS, CODES_BY_IP};
use api::{ApiError, By, Endpoint, Json, evenly};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use identity::{Code, PasswordAttempt, PoolError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::membership;
use crate::session::{self, Session, code_refused, refused};

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-confirm-sign-up", routes!(confirm_sign_up)).counted(&[(CODES_BY_IP, By::Ip)])
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[schema(value_type = String, format = "email", example = "ann@example.org")]
    email: EmailAddress,
    #[schema(value_type = String, example = "402816")]
    code: Code,
    /// With it the answer is a session.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "password")]
    password: Option<PasswordAttempt>,
}

/// With a password a session; without it only that it worked.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what the handler answers")]
enum Confirmed {
    Session(Session),
    Welcome(Welcome),
}

#[derive(Serialize, ToSchema)]
struct Welcome {
    #[schema(example = "The account is confirmed. Sign in at /v1/auth/signin.")]
    detail: &'static str,
}

/// Confirms an account. Asked again after it broke off half-way it does the rest: nobody stays confirmed and no member.
#[utoipa::path(post, path = "/v1/auth/confirm", tag = "accounts", request_body = Confirmation,
    responses((status = 200, body = Confirmed),
        (status = 400, description = "`code_wrong`, also for one that is no longer good: ask for another at \
            /v1/auth/confirm/resend.")))]
async fn confirm_sign_up(State(app): State<App>, Json(body): Json<Confirmation>) -> Result<Response, ApiError> {
    app.limits.admit(&[(CODES_BY_ADDRESS, body.email.as_str())]).await?;
    evenly(Box::pin(confirm(&app, &body))).await
}

async fn confirm(app: &App, body: &Confirmation) -> Result<Response, ApiError> {
    let confirmed = app.users.confirm_sign_up(&body.email, &body.code).await.map_err(code_refused)?;
    membership::join(app, &confirmed.sub).await?;
    let Some(password) = &body.password else {
        // Where the code did not count, whoever has nothing else learns nothing from it.
        if confirmed.already {
            return Err(code_refused(PoolError::CodeWrong));
        }
        let detail = "The account is confirmed. Sign in at /v1/auth/signin.";
        return Ok(axum::Json(Welcome { detail }).into_response());
    };
    match app.users.sign_in(&body.email, password).await {
        Err(PoolError::WrongCredentials) if confirmed.already => Err(code_refused(PoolError::CodeWrong)),
        outcome => Ok(session::answer(outcome.map_err(refused)?)),
    }
}
