//! GET /v1/tokens/{chain}/{address}/changes: what changed between two states of a token.

use std::borrow::Cow;

use access::{Kind, Lookup};
use api::{ApiError, Caller, Endpoint, Json, Path, Queued, found};
use app::App;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use clusters::difference;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::ReportParameters;
use crate::asked::{Asked, Own};
use crate::parameter::{BlockNumber, Time};
use crate::past;
use crate::report::{find, queued};
use crate::token::Token;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-changes", routes!(get_changes))
}

/// The earlier state: exactly one of the two.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Earlier {
    /// A block: the state at its end.
    #[param(value_type = u64, required = false, example = 18_000_000)]
    since: Option<BlockNumber>,
    /// Seconds since 1970 or RFC 3339: the state at the last block made by then.
    #[param(value_type = String, required = false, example = "2024-01-31T00:00:00Z")]
    since_time: Option<Time>,
}

impl Own for Earlier {
    const NAMES: &'static [&'static str] = &["since", "sinceTime"];
}

/// What changed from one state of a token to a later one: who joined the largest holders, who left them, whose balance
/// or rank moved, what became of clusters, supply and metrics. The earlier state is of `since` or `sinceTime`, the later
/// of `block` or `at`, without which it is the newest. Both are reports with the same parameters; 202 while one of them
/// is being made.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/changes", tag = "tokens",
    params(Token, Earlier, ReportParameters), security(("bearer" = [])),
    responses(
        (status = 200, body = serde_json::Value, description = "The changes.", headers(
            ("age" = u64, description = "Seconds since the later report was made."),
            ("x-cache" = String, description = "`fresh` or `stale`."),
            ("x-refresh-job" = String, description = "The job that renews a stale one."))),
        (status = 202, body = Queued, description = "One of the two reports is not there yet; it was queued."),
        (status = 400, description = "The earlier state is not given, is given twice or is the later one; or \
            `beyond_head`: a block or time is beyond the chain's last safe block."),
        (status = 404, description = "There is no token at this address, or `unknown_labels`.")))]
async fn get_changes(
    _: Caller,
    State(app): State<App>,
    Path(token): Path<Token>,
    Asked { own: Earlier { since, since_time }, parameters }: Asked<Earlier>,
) -> Result<Response, ApiError> {
    token.on(&app)?;
    if since.is_some() == since_time.is_some() {
        return Err(unfit("Query parameters `since` and `sinceTime` name the earlier state: expected one of them."));
    }
    let later = past::resolve(&app, &token, parameters).await?;
    let earlier = ReportParameters { block: since, at: since_time, ..parameters };
    let earlier = past::resolve(&app, &token, earlier).await?;
    if let (Some(BlockNumber(since)), Some(BlockNumber(until))) = (earlier.block, later.block)
        && since > until
    {
        return Err(unfit(format!("The earlier state, of block {since}, is later than that of block {until}.")));
    }
    // Both are looked for, so that both are being made when neither is there.
    let before = find(&app, &token, earlier).await?;
    let after = find(&app, &token, later).await?;
    let before = match before {
        Lookup::Fresh(hit) | Lookup::Stale(hit, _) => hit,
        Lookup::Queued(job) => return Ok(queued(&token, job).into_response()),
    };
    let (after, stale) = match after {
        Lookup::Fresh(hit) => (hit, None),
        Lookup::Stale(hit, job) => (hit, Some(job)),
        Lookup::Queued(job) => return Ok(queued(&token, job).into_response()),
    };
    let changes = difference(&before.stamped.value.read()?, &after.stamped.value.read()?);
    Ok(found(&after, stale.as_ref().map(Option::as_ref), Json(changes).into_response()))
}

fn unfit(detail: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(Kind::Invalid, "invalid_query", detail)
}
