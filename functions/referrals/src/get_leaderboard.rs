//! GET /v1/referrals/leaderboard: who has the most points, page by page.

use access::{Kind, Rank};
use api::{ApiError, Caller, Endpoint, Fault, Limit, Page, Query};
use app::App;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use members::AsOf;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::as_of::dated;
use crate::board::{self, BoardError};

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-get-leaderboard", routes!(get_leaderboard))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LeaderboardQuery {
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit<25, 100>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// A member as others see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// From 1. A number may be missing where somebody has left since all were ranked.
    #[schema(example = 1)]
    rank: u64,
    /// The beginning of the address, or `member`.
    #[schema(example = "a***")]
    name: String,
    #[schema(example = 340)]
    points: u64,
    /// Whether this is who asks.
    is_caller: bool,
}

/// What a cursor of the leaderboard opens for.
const LIST: &str = "leaderboard";

/// Members by points, then by who joined earlier. Ranks may move between two pages.
#[utoipa::path(get, path = "/v1/referrals/leaderboard", tag = "referrals", params(LeaderboardQuery),
    security(("bearer" = [])),
    responses((status = 200, body = Page<Entry>, headers(
        ("x-ranking-as-of" = String, description = "When all were ranked, where the ranks are not the live ones: an \
            RFC 3339 time, or `never`.")))))]
async fn get_leaderboard(
    caller: Caller,
    State(app): State<App>,
    Query(query): Query<LeaderboardQuery>,
) -> Result<Response, ApiError> {
    let from = query.cursor.as_deref().map_or(Ok(1), |cursor| app.cursors.open::<u64>(LIST, cursor))?;
    let limit = query.limit.get();
    // One more tells whether there is another page.
    let (mut ranks, as_of) = ranks(&app, from, limit + 1).await?;
    let is_last = ranks.len() <= limit as usize;
    ranks.truncate(limit as usize);
    let next_cursor = (!is_last).then(|| app.cursors.seal(LIST, &(from + u64::from(limit))));

    let users: Vec<_> = ranks.iter().map(|rank| rank.ranked.user.clone()).collect();
    let mut names = app.members.names(&users).await?;
    let entries = ranks.into_iter().filter_map(|Rank { rank, ranked }| {
        let name = names.remove(&ranked.user)?;
        Some(Entry { rank, name, points: ranked.points, is_caller: ranked.user == caller.sub.as_str() })
    });
    Ok(dated(as_of, Json(Page { items: entries.collect(), next_cursor })))
}

async fn ranks(app: &App, from: u64, limit: u32) -> Result<(Vec<Rank>, AsOf), ApiError> {
    if let Some(live) = app.ranking.from(from, limit).await {
        return Ok((live, AsOf::Now));
    }
    let Some(standing) = app.members.newest_standing().await? else { return Ok((Vec::new(), AsOf::Never)) };
    let ranks = board::from(app, &standing, from, limit as usize).await?;
    Ok((ranks, AsOf::Rebuild(standing.timestamp)))
}

impl Fault for BoardError {
    fn kind(&self) -> Kind {
        match self {
            Self::Blobs(error) => error.kind(),
            Self::Unreadable(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        "storage_unavailable"
    }
}
