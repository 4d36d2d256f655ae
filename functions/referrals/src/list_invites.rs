//! GET /v1/referrals/invites: whom the caller has invited by mail, and what became of it.

use api::{ApiError, Caller, Endpoint, Limit, Page, Query};
use app::App;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::invite::InviteView;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-list-invites", routes!(list_invites))
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

/// The caller's invitations of the last 60 days, in no order that means anything.
#[utoipa::path(get, path = "/v1/referrals/invites", tag = "referrals", params(Asked), security(("bearer" = [])),
    responses((status = 200, body = Page<InviteView>)))]
async fn list_invites(
    caller: Caller,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<InviteView>>, ApiError> {
    let page = app.members.invites_of(caller.sub.as_str(), asked.cursor.as_deref(), asked.limit.get()).await?;
    let now = app.clock.now();
    let items = page.items.iter().map(|invite| InviteView::of(invite, now)).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}
