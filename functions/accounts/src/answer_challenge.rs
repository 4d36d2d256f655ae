//! POST /v1/auth/challenge: the answer to what a sign-in asked for.

use access::Kind;
use api::{ApiError, Endpoint, Json};
use app::App;
use axum::extract::State;
use axum::response::Response;
use identity::{Challenge, ChallengeResponse, ChallengeSession, Code, Password};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::session::{Asked, Session, refused, signed_in};

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-answer-challenge", routes!(answer_challenge))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChallengeAnswer {
    /// As in the answer to the sign-in.
    #[schema(example = "NEW_PASSWORD_REQUIRED")]
    challenge: String,
    session: String,
    /// For `NEW_PASSWORD_REQUIRED`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "password", min_length = 10, max_length = 256)]
    new_password: Option<Password>,
    /// For those that ask for a code.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "402816")]
    code: Option<Code>,
}

/// Goes on with a sign-in that was answered with a challenge.
#[utoipa::path(post, path = "/v1/auth/challenge", tag = "accounts", request_body = ChallengeAnswer,
    responses((status = 200, body = Session), (status = 409, body = Asked, content_type = "application/problem+json",
        description = "Another challenge, or `challenge_expired`: sign in again.")))]
async fn answer_challenge(State(app): State<App>, Json(body): Json<ChallengeAnswer>) -> Result<Response, ApiError> {
    let response = match (body.new_password, body.code) {
        (Some(password), None) => ChallengeResponse::NewPassword(password),
        (None, Some(code)) => ChallengeResponse::Code(code),
        _ => {
            let detail = "Expected either `newPassword` or `code`.";
            return Err(ApiError::new(Kind::Invalid, "invalid_body", detail));
        }
    };
    let challenge = Challenge { name: body.challenge, session: ChallengeSession::new(body.session) };
    let outcome = app.users.answer_challenge(&challenge, &response).await.map_err(refused)?;
    signed_in(&app, outcome).await
}
