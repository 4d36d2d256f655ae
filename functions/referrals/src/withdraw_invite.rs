//! DELETE /v1/referrals/invites/{invite}: takes an invitation back; one that waits is not sent.

use access::Kind;
use api::{ApiError, Caller, Endpoint, Path};
use app::App;
use axum::extract::State;
use http::StatusCode;
use utoipa_axum::routes;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-withdraw-invite", routes!(withdraw_invite))
}

/// Withdraws an invitation. If its letter is under way already it arrives; the day's allowance stays used.
#[utoipa::path(delete, path = "/v1/referrals/invites/{invite}", tag = "referrals", security(("bearer" = [])),
    params(("invite" = String, Path, description = "Its id, from the list", example = "3v9n1c8zkqf2m7x5t0w4h6j1ab")),
    responses((status = 204, description = "It is withdrawn."), (status = 404, description = "`no_invite`")))]
async fn withdraw_invite(
    caller: Caller,
    State(app): State<App>,
    Path(invite): Path<String>,
) -> Result<StatusCode, ApiError> {
    // An empty or endless key is none of ours, and no question for the table.
    let is_id = (1..=64).contains(&invite.len());
    if is_id && app.members.withdraw_invite(caller.sub.as_str(), &invite).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::new(Kind::NotFound, "no_invite", "You have no such invitation."))
}
