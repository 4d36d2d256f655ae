//! GET /v1/referrals/me: the caller's code, its places, and who joined with it.

use access::Kind;
use api::{ApiError, Caller, Endpoint, Limit, Query};
use app::App;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::member::MemberView;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-get-member", routes!(get_member))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    #[serde(default)]
    #[param(inline)]
    limit: Limit<25, 100>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Own {
    #[serde(flatten)]
    member: MemberView,
    /// Who joined with the code, a page of them.
    referrals: Vec<Joined>,
    /// Null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Joined {
    /// As much of the address as may be shown; `member` where nothing is, `deleted` of an account that is gone.
    #[schema(example = "b***@e***")]
    invited_user: String,
    /// When, in milliseconds since 1970.
    #[schema(example = 1_795_000_000_000_u64)]
    timestamp: u64,
    #[schema(example = true)]
    confirmed: bool,
}

/// The caller's referral code and who joined with it.
#[utoipa::path(get, path = "/v1/referrals/me", tag = "referrals", params(Asked), security(("bearer" = [])),
    responses((status = 200, body = Own), (status = 404, description = "`not_a_member`")))]
async fn get_member(caller: Caller, State(app): State<App>, Query(asked): Query<Asked>) -> Result<Json<Own>, ApiError> {
    let user = caller.sub.as_str();
    let member = app.members.find(user).await?.ok_or_else(not_a_member)?;
    let page = app.members.referrals_of(user, asked.cursor.as_deref(), asked.limit.get()).await?;
    let there = page.items.iter().filter(|referral| !referral.is_forgotten());
    let there: Vec<_> = there.map(|referral| referral.invited_user.clone()).collect();
    let mut shown = app.members.shown(&there).await?;
    let referrals = page.items.into_iter().map(|referral| Joined {
        invited_user: match referral.is_forgotten() {
            true => "deleted".to_owned(),
            false => shown.remove(&referral.invited_user).unwrap_or_else(|| "member".to_owned()),
        },
        timestamp: referral.timestamp.millis(),
        confirmed: referral.confirmed,
    });
    Ok(Json(Own { member: member.into(), referrals: referrals.collect(), next_cursor: page.next_cursor }))
}

pub(crate) fn not_a_member() -> ApiError {
    ApiError::new(Kind::NotFound, "not_a_member", "This account is no member.")
}
