//! GET /v1/admin/letters: letters that were set out for and never marked as sent; nobody knows whether they were.

use access::{AccessError, Timestamp};
use api::{ApiError, Caller, Endpoint, Limit, Page, Query};
use app::App;
use axum::Json;
use axum::extract::State;
use mail::Outgoing;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::admin::only_admins;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-list-letters", routes!(list_letters))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    #[serde(default)]
    #[param(inline)]
    limit: Limit<100, 1000>,
    /// Younger ones may be under way: 300 unless given.
    #[param(example = 300)]
    older_than_seconds: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// A letter of which nobody knows whether it was sent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmarkedLetter {
    /// What makes it one; no address.
    #[schema(example = "invite/5d1q9v0c2m7x8e4a9b3d6f1g2j")]
    pub letter: String,
    /// Since when, in milliseconds since 1970.
    #[schema(example = 1_795_000_000_000_u64)]
    pub claimed_at: u64,
    #[schema(example = 3600)]
    pub age_seconds: u64,
}

/// Letters that somebody set out to send and that were never marked, oldest first. `holdfast admin reconcile-mail` settles
/// them.
#[utoipa::path(get, path = "/v1/admin/letters", tag = "admin", params(Asked), security(("bearer" = [])),
    responses((status = 200, body = Page<UnmarkedLetter>),
        (status = 403, description = "`not_allowed`: for the group `admin`")))]
async fn list_letters(
    caller: Caller,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<UnmarkedLetter>>, ApiError> {
    only_admins(&caller)?;
    let older_than_seconds = asked.older_than_seconds.unwrap_or(300);
    let page = unmarked(&app, older_than_seconds, asked.cursor.as_deref(), asked.limit.get()).await?;
    Ok(Json(Page { items: page.items, next_cursor: page.next_cursor }))
}

pub(crate) async fn unmarked(
    app: &App,
    older_than_seconds: u32,
    cursor: Option<&str>,
    limit: u32,
) -> Result<access::Page<UnmarkedLetter>, AccessError> {
    let now = app.clock.now();
    // One later, so that 0 seconds lists those of this millisecond as well.
    let before = Timestamp(now.millis().saturating_sub(u64::from(older_than_seconds) * 1000).saturating_add(1));
    let page = app.ledger.unmarked(before, cursor, limit).await?;
    let letter = |outgoing: Outgoing| UnmarkedLetter {
        age_seconds: now.since(Timestamp(outgoing.claimed_at)).as_secs(),
        claimed_at: outgoing.claimed_at,
        letter: outgoing.letter,
    };
    Ok(access::Page { items: page.items.into_iter().map(letter).collect(), next_cursor: page.next_cursor })
}
