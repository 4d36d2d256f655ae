//! PATCH /v1/admin/users/{user}: how many may join with a member's code, and whether anybody may.

use access::Kind;
use api::{ApiError, Caller, Endpoint, Json, Path};
use app::App;
use axum::extract::State;
use identity::UserId;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::admin::{AdminError, only_admins, set_places, set_validity};
use crate::member::MemberView;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-change-member", routes!(change_member))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MemberChange {
    /// Used ones among them; never fewer than are used.
    #[schema(example = 20)]
    total_referrals: Option<u32>,
    /// Whether anybody may join with the code.
    #[schema(example = true)]
    referral_is_valid: Option<bool>,
}

/// Changes a member's code. Both together are two changes: when the first is refused, the second is not made.
#[utoipa::path(patch, path = "/v1/admin/users/{user}", tag = "admin", request_body = MemberChange, security(("bearer" = [])),
    params(("user" = String, Path, description = "The account's id", example = "5f0c2f6e-8f0a-4c58-9c1e-0b6a2f6c9d11")),
    responses((status = 200, body = MemberView),
        (status = 403, description = "`not_allowed`: for the group `admin`"),
        (status = 404, description = "`not_a_member`"),
        (status = 409, description = "`below_used`: more places are used than that.")))]
async fn change_member(
    caller: Caller,
    State(app): State<App>,
    Path(user): Path<String>,
    Json(change): Json<MemberChange>,
) -> Result<axum::Json<MemberView>, ApiError> {
    only_admins(&caller)?;
    // What cannot be an account's id is nobody's, and no question for the table.
    let user = UserId::new(&user).map_err(|_| AdminError::UnknownMember)?;
    let mut member = None;
    if let Some(total) = change.total_referrals {
        member = Some(set_places(&app, user.as_str(), total).await?);
    }
    if let Some(valid) = change.referral_is_valid {
        member = Some(set_validity(&app, user.as_str(), valid).await?);
    }
    let nothing = || ApiError::new(Kind::Invalid, "nothing_to_change", "Expected totalReferrals or referralIsValid.");
    member.map(axum::Json).ok_or_else(nothing)
}
