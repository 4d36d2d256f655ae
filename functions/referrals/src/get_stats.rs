//! GET /v1/referrals/stats: the caller's points and rank, now and day by day.

use access::Kind;
use api::{ApiError, Caller, Endpoint, Query};
use app::App;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::as_of::dated;
use crate::stats::InviteStatsResponse;

pub fn route() -> Endpoint<App> {
    Endpoint::new("referrals-get-stats", routes!(get_stats))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StatsQuery {
    /// How far back the charts go.
    #[serde(default)]
    #[param(inline, required = false)]
    range: Range,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
enum Range {
    #[default]
    #[serde(rename = "1w")]
    Week,
    #[serde(rename = "1m")]
    Month,
    #[serde(rename = "1y")]
    Year,
    #[serde(rename = "all")]
    All,
}

impl Range {
    /// Today is one more.
    const fn days(self) -> u64 {
        match self {
            Self::Week => 7,
            Self::Month => 30,
            Self::Year => 365,
            Self::All => u64::MAX,
        }
    }
}

/// The caller's points and rank, against seven days ago, and how they came about. The last value of each chart is
/// today's, as of now; a day on which nobody was ranked has none.
#[utoipa::path(get, path = "/v1/referrals/stats", tag = "referrals", params(StatsQuery), security(("bearer" = [])),
    responses(
        (status = 200, body = InviteStatsResponse, headers(
            ("x-ranking-as-of" = String, description = "When all were ranked, where the rank is not the live one: an \
                RFC 3339 time, or `never`."))),
        (status = 404, description = "`not_a_member`")))]
async fn get_stats(
    caller: Caller,
    State(app): State<App>,
    Query(query): Query<StatsQuery>,
) -> Result<Response, ApiError> {
    let (user, today) = (caller.sub.as_str(), app.clock.now().day());
    let from = today.saturating_sub(query.range.days());
    let (standing, history) = tokio::join!(app.members.standing(user), app.members.history(user, from));
    let standing =
        standing?.ok_or_else(|| ApiError::new(Kind::NotFound, "not_a_member", "This account is no member."))?;
    Ok(dated(standing.as_of, Json(InviteStatsResponse::of(&standing, &history?, today))))
}
