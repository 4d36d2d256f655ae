//! POST /v1/auth/password/reset: a new password, with the code from the mail.

use access::EmailAddress;
use access::limits::{CODES_BY_ADDRESS, CODES_BY_IP};
use api::{ApiError, By, Endpoint, Json, evenly};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use identity::{Code, Password};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::letters;
use crate::session::{code_refused, refused};

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-reset-password", routes!(reset_password)).counted(&[(CODES_BY_IP, By::Ip)])
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reset {
    #[schema(value_type = String, format = "email", example = "ann@example.org")]
    email: EmailAddress,
    #[schema(value_type = String, example = "402816")]
    code: Code,
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 256)]
    password: Password,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Changed {
    #[schema(example = "The password is changed, and every session has ended. Sign in at /v1/auth/signin.")]
    pub(crate) detail: &'static str,
}

/// Sets a new password and ends every session.
#[utoipa::path(post, path = "/v1/auth/password/reset", tag = "accounts", request_body = Reset,
    responses((status = 200, body = Changed),
        (status = 400, description = "`code_wrong`, also for one that is no longer good: ask for another at \
            /v1/auth/password/forgot.")))]
async fn reset_password(State(app): State<App>, Json(body): Json<Reset>) -> Result<Response, ApiError> {
    app.limits.admit(&[(CODES_BY_ADDRESS, body.email.as_str())]).await?;
    evenly(Box::pin(reset(&app, &body))).await?;
    let detail = "The password is changed, and every session has ended. Sign in at /v1/auth/signin.";
    Ok(axum::Json(Changed { detail }).into_response())
}

async fn reset(app: &App, body: &Reset) -> Result<(), ApiError> {
    app.users.reset_password(&body.email, &body.code, &body.password).await.map_err(code_refused)?;
    if let Some(user) = app.users.find(&body.email).await.map_err(refused)? {
        app.denylist.revoke_user(&user.sub, app.clock.now().seconds()).await?;
        letters::password_changed(app, &user.sub).await;
    }
    Ok(())
}
