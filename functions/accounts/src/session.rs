use api::ApiError;
use app::App;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use identity::{Challenge, PoolError, SignIn, Tokens, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// What a signed-in front end keeps: the access token goes with every request, the refresh token gets new ones.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    #[schema(example = "eyJ…")]
    access_token: String,
    /// Says who it is; not for requests.
    #[schema(example = "eyJ…")]
    id_token: String,
    /// Serves once: every refresh brings the next.
    #[schema(example = "b64u…")]
    refresh_token: String,
    /// Seconds until the access token ends.
    #[schema(example = 900)]
    expires_in: u64,
    #[schema(example = "Bearer")]
    token_type: &'static str,
}

impl From<Tokens> for Session {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access.as_str().to_owned(),
            id_token: tokens.id.as_str().to_owned(),
            refresh_token: tokens.refresh.as_str().to_owned(),
            expires_in: tokens.expires_in_seconds,
            token_type: "Bearer",
        }
    }
}

impl IntoResponse for Session {
    fn into_response(self) -> Response {
        ([(CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

/// A right password, and something to be answered before there are tokens: 409.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    #[schema(example = 409)]
    status: u16,
    #[serde(rename = "status_code")]
    #[schema(example = 409)]
    status_code: u16,
    #[schema(example = "challenge")]
    code: &'static str,
    #[schema(example = "Choose a new password first, at /v1/auth/challenge.")]
    detail: &'static str,
    /// By Cognito's name.
    #[schema(example = "NEW_PASSWORD_REQUIRED")]
    challenge: String,
    /// To be sent back with the answer.
    session: String,
}

impl From<Challenge> for Asked {
    fn from(challenge: Challenge) -> Self {
        let detail = if challenge.name == identity::NEW_PASSWORD_REQUIRED {
            "Choose a new password first, at /v1/auth/challenge."
        } else {
            "Answer the challenge first, at /v1/auth/challenge."
        };
        Self {
            status: 409,
            status_code: 409,
            code: "challenge",
            detail,
            challenge: challenge.name,
            session: challenge.session.as_str().to_owned(),
        }
    }
}

impl IntoResponse for Asked {
    fn into_response(self) -> Response {
        let headers = [(CACHE_CONTROL, "no-store"), (http::header::CONTENT_TYPE, "application/problem+json")];
        (StatusCode::CONFLICT, headers, Json(self)).into_response()
    }
}

/// The answer to a right password. Whoever signs in is a member: a confirmation that broke off half-way is finished here.
pub(crate) async fn signed_in(app: &App, outcome: SignIn) -> Result<Response, ApiError> {
    if let SignIn::Tokens(tokens) = &outcome {
        let sub = owner(app, tokens).await?;
        crate::membership::join(app, &sub).await?;
    }
    Ok(answer(outcome))
}

/// The same for somebody who is known to be a member.
pub(crate) fn answer(outcome: SignIn) -> Response {
    match outcome {
        SignIn::Challenge(challenge) => Asked::from(challenge).into_response(),
        SignIn::Tokens(tokens) => Session::from(tokens).into_response(),
    }
}

/// Whose tokens these are, which is told by nobody but the verifier.
async fn owner(app: &App, tokens: &Tokens) -> Result<UserId, ApiError> {
    let header = format!("Bearer {}", tokens.access.as_str());
    let caller = app.verifier.verify(Some(&header)).await?;
    Ok(caller.sub.clone())
}

/// What became of a call of the pool, for the caller. A wrong password is 401: nobody is being sent to where they are.
pub(crate) fn refused(error: PoolError) -> ApiError {
    let is_credentials = matches!(error, PoolError::WrongCredentials | PoolError::UnknownUser);
    let (kind, code, detail) = (error.kind(), error.code(), error.to_string());
    let answer = ApiError::new(kind, code, sentence(&detail)).caused_by(error);
    if is_credentials { answer.unauthorized() } else { answer }
}

/// The same of a code from a mail. Wrong, expired and guessed at too often are one: the last two would tell that there
/// is an account which was sent one, or none.
pub(crate) fn code_refused(error: PoolError) -> ApiError {
    match error {
        PoolError::CodeWrong | PoolError::CodeExpired | PoolError::TooMany => {
            let (wrong, detail) = (PoolError::CodeWrong, "The code is wrong or no longer good. Ask for another.");
            ApiError::new(wrong.kind(), wrong.code(), detail).caused_by(error)
        }
        error => refused(error),
    }
}

/// An error's words as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
