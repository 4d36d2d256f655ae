//! DELETE /v1/auth/account: the account and everything of it, in every domain.

use access::messages::RemoveAccount;
use api::{ApiError, Caller, Endpoint, Json, Queued};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use identity::{PasswordAttempt, PoolError};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::session::refused;

pub fn route() -> Endpoint<App> {
    Endpoint::new("accounts-delete-account", routes!(delete_account))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Deletion {
    #[schema(value_type = String, format = "password")]
    password: PasswordAttempt,
}

/// Deletes the caller's account. A worker removes or makes anonymous what every domain keeps of it; sessions end now.
/// Whoever gets no answer signs in and asks again.
#[utoipa::path(delete, path = "/v1/auth/account", tag = "accounts", request_body = Deletion,
    security(("bearer" = [])),
    responses((status = 202, body = Queued), (status = 401, description = "The password is wrong.")))]
async fn delete_account(
    caller: Caller,
    State(app): State<App>,
    Json(body): Json<Deletion>,
) -> Result<Response, ApiError> {
    let user = app.users.find_by_sub(&caller.sub).await.map_err(refused)?;
    let user = user.ok_or_else(|| refused(PoolError::WrongCredentials))?;
    app.users.sign_in(&user.email, &body.password).await.map_err(refused)?;
    // First: nobody's token outlives the account, wherever this ends.
    app.denylist.revoke_user(&caller.sub, app.clock.now().seconds()).await?;
    let message = RemoveAccount { user: caller.sub.to_string() };
    let job = app.jobs.enqueue(caller.sub.as_str(), &message).await?;
    match app.users.sign_out_user(&caller.sub).await {
        // The worker was faster: there is nobody left to sign out.
        Ok(()) | Err(PoolError::UnknownUser) => {}
        Err(error) => return Err(refused(error)),
    }
    Ok(Queued::new("Your account and everything of it is being deleted.".to_owned(), job.view).into_response())
}
