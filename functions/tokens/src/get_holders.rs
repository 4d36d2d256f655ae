//! GET /v1/tokens/{chain}/{address}/holders: a token's largest holders, page by page, from its newest cluster report.

use access::{Found, Lookup};
use api::{ApiError, Caller, Endpoint, Limit, Page, Path, Query, Queued, found};
use app::App;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::report::{find, key, queued, reports};
use crate::token::Token;
use crate::{ClusterReport, ReportParameters};

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-holders", routes!(get_holders))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HoldersQuery {
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit<100, 1000>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// A position in the holders of one report: pages fit together even when a newer report comes in between.
#[derive(Serialize, Deserialize)]
struct Position {
    report: u64,
    offset: usize,
}

/// What of a report this endpoint reads.
#[derive(Deserialize)]
struct Holders<'a> {
    #[serde(borrow)]
    holders: Vec<&'a RawValue>,
}

/// For the document only: the rows are sent as they stand in the report.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HolderRow {
    #[schema(example = 1)]
    rank: u32,
    #[schema(example = "0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7")]
    address: String,
    /// Base units, a decimal string.
    #[schema(example = "928039224190901290008")]
    amount: String,
    /// Of all that is held, 0..1.
    #[schema(example = 0.059)]
    share: f64,
    /// The cluster's id, where it is in one.
    cluster: Option<String>,
}

/// For the document only, as [`HolderRow`].
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HolderPage {
    items: Vec<HolderRow>,
    /// Null on the last page.
    next_cursor: Option<String>,
}

/// A token's largest holders by rank. All pages come from the report that the first one came from.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/holders", tag = "tokens",
    params(Token, HoldersQuery), security(("bearer" = [])),
    responses(
        (status = 200, body = HolderPage),
        (status = 202, body = Queued, description = "There is no report yet; it was queued."),
        (status = 404, description = "There is no token at this address.")))]
async fn get_holders(
    _: Caller,
    State(app): State<App>,
    Path(token): Path<Token>,
    Query(query): Query<HoldersQuery>,
) -> Result<Response, ApiError> {
    token.on(&app)?;
    let parameters = ReportParameters::default();
    let report = key(&parameters.message(&token));
    let list = format!("holders/{report}");
    let limit = query.limit.get() as usize;
    if let Some(cursor) = &query.cursor {
        let position: Position = app.cursors.open(&list, cursor)?;
        let hit = reports(&app).at(&report, position.report).await?;
        let hit = hit.ok_or(access::AccessError::BadCursor)?;
        return page(&app, &list, &hit, None, position.offset, limit);
    }
    match find(&app, &token, parameters).await? {
        Lookup::Fresh(hit) => page(&app, &list, &hit, None, 0, limit),
        Lookup::Stale(hit, job) => page(&app, &list, &hit, Some(job.as_ref()), 0, limit),
        Lookup::Queued(job) => Ok(queued(&token, job).into_response()),
    }
}

fn page(
    app: &App,
    list: &str,
    hit: &Found<ClusterReport>,
    stale: Option<Option<&access::JobView>>,
    offset: usize,
    limit: usize,
) -> Result<Response, ApiError> {
    let Holders { holders } = serde_json::from_str(hit.stamped.value.0.get())
        .map_err(|error| ApiError::new(access::Kind::Internal, "malformed_report", "").caused_by(error))?;
    let items: Vec<_> = holders.iter().skip(offset).take(limit).copied().collect();
    let end = offset + items.len();
    let next_cursor = (end < holders.len())
        .then(|| app.cursors.seal(list, &Position { report: hit.stamped.timestamp.millis(), offset: end }));
    Ok(found(hit, stale, Json(Page { items, next_cursor }).into_response()))
}
