//! GET /v1/tokens/{chain}/{address}/history: how concentrated a token was at several blocks. Queued as clusters are.

use std::sync::Arc;

use access::messages::RefreshHistory;
use access::{Kind, Lookup, Stamped};
use api::{ApiError, Caller, Endpoint, Path, Query, Queued, found};
use app::App;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::ReportParameters;
use crate::parameter::{BlockNumber, Bounded, LabelsParameter, flag};
use crate::past;
use crate::report::freshness;
use crate::series::{self, MetricHistory};
use crate::token::Token;

pub fn route() -> Endpoint<App> {
    Endpoint::new("tokens-get-history", routes!(get_history))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// At how many blocks, evenly spaced.
    #[param(value_type = u32, minimum = 2, maximum = 200, default = 30, required = false)]
    points: Bounded<2, 200>,
    /// The first block; without it the first with a transfer.
    #[param(value_type = u64, required = false)]
    from: Option<BlockNumber>,
    /// The last block; without it the newest. With it the history never changes once made.
    #[param(value_type = u64, required = false)]
    to: Option<BlockNumber>,
    /// This and the following as in a cluster report.
    #[param(value_type = u32, minimum = 1, maximum = 10_000, default = 1000, required = false)]
    top: Bounded<1, 10_000>,
    #[param(value_type = u32, minimum = 2, maximum = 1_000_000, default = 200, required = false)]
    hub_degree: Bounded<2, 1_000_000>,
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    include_hubs: bool,
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    include_zero_value: bool,
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    magic_nodes: bool,
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = true, required = false)]
    contracts_are_hubs: bool,
    #[param(value_type = String, required = false, pattern = "^(none|[0-9a-f]{64})$")]
    labels: LabelsParameter,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        let ReportParameters {
            top,
            hub_degree,
            include_hubs,
            include_zero_value,
            magic_nodes,
            contracts_are_hubs,
            labels,
            ..
        } = ReportParameters::default();
        let (points, from, to) = (Bounded(30), None, None);
        Self {
            points,
            from,
            to,
            top,
            hub_degree,
            include_hubs,
            include_zero_value,
            magic_nodes,
            contracts_are_hubs,
            labels,
        }
    }
}

impl HistoryQuery {
    fn message(&self, token: &Token) -> RefreshHistory {
        let report = ReportParameters {
            top: self.top,
            hub_degree: self.hub_degree,
            include_hubs: self.include_hubs,
            include_zero_value: self.include_zero_value,
            magic_nodes: self.magic_nodes,
            contracts_are_hubs: self.contracts_are_hubs,
            labels: self.labels,
            ..ReportParameters::default()
        };
        RefreshHistory {
            chain: token.chain.clone(),
            address: token.address.to_string(),
            points: self.points.0,
            from: self.from.map(|block| block.0),
            to: self.to.map(|block| block.0),
            choices: report.choices(),
        }
    }
}

/// For the document only: what is sent was written by the worker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HistoryView {
    /// As in a cluster report.
    token: serde_json::Value,
    /// As in a cluster report.
    parameters: serde_json::Value,
    /// By block; fewer than asked for where there are fewer blocks.
    points: Vec<HistoryPoint>,
    /// Milliseconds since 1970.
    #[schema(example = 1_795_000_000_000_u64)]
    computed_at: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HistoryPoint {
    /// The state after this block.
    #[schema(example = 18_000_100)]
    block: u64,
    /// Of the last transfer up to the block, in seconds since 1970, where it is known.
    timestamp: Option<u64>,
    /// Everybody with a positive balance.
    #[schema(example = 312)]
    holders: u64,
    #[schema(example = 9)]
    clusters: u64,
    /// What all holders have together: base units, a decimal string.
    #[schema(example = "909329998789996798000000000")]
    supply: String,
    by_holder: ConcentrationView,
    by_entity: ConcentrationView,
    by_entity_adjusted: ConcentrationView,
    /// 0..100, from `byEntityAdjusted`; null where that counts nobody.
    #[schema(example = 61.2)]
    score: Option<f64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConcentrationView {
    #[schema(example = 0.97)]
    gini: f64,
    #[schema(example = 0.21)]
    hhi: f64,
    #[schema(example = 2)]
    nakamoto: u64,
    #[schema(example = 4.8)]
    effective_holders: f64,
    #[schema(example = 0.93)]
    top10_share: f64,
}

/// How concentrated a token was at evenly spaced blocks, the last of them the newest or `to`. 202 while it is being
/// made; afterwards the newest one at once, also when it is old and a new one is on its way.
#[utoipa::path(get, path = "/v1/tokens/{chain}/{address}/history", tag = "tokens",
    params(Token, HistoryQuery), security(("bearer" = [])),
    responses(
        (status = 200, body = HistoryView, headers(
            ("age" = u64, description = "Seconds since it was made."),
            ("x-cache" = String, description = "`fresh` or `stale`."),
            ("x-refresh-job" = String, description = "The job that renews a stale one."))),
        (status = 202, body = Queued),
        (status = 400, description = "`beyond_head`: a block is beyond the chain's last safe block."),
        (status = 404, description = "There is no token at this address, or `unknown_labels`.")))]
async fn get_history(
    _: Caller,
    State(app): State<App>,
    Path(token): Path<Token>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, ApiError> {
    token.on(&app)?;
    if query.from.zip(query.to).is_some_and(|(from, to)| from > to) {
        let detail = "Query parameter `from` is a later block than `to`.";
        return Err(ApiError::new(Kind::Invalid, "invalid_query", detail));
    }
    let message = query.message(&token);
    let key = series::key(&message);
    let histories = app.dqo::<MetricHistory>(freshness(&app, message.to.is_some()));
    let latest = message.to.or(message.from);
    if (latest.is_some() || past::needs_check(&message.choices)) && histories.peek(&key).await?.is_none() {
        past::check(&app, &token, message.choices.labels.as_deref(), latest).await?;
    }
    Ok(match histories.get(&key, &message).await? {
        Lookup::Fresh(hit) => found(&hit, None, body(&hit.stamped)),
        Lookup::Stale(hit, job) => found(&hit, Some(job.as_ref()), body(&hit.stamped)),
        Lookup::Queued(job) => Queued::new(format!("The history of token {token} was queued."), job).into_response(),
    })
}

/// The history's bytes as they are, without a copy.
fn body(history: &Arc<Stamped<MetricHistory>>) -> Response {
    struct Shared(Arc<Stamped<MetricHistory>>);

    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.value.0.get().as_bytes()
        }
    }

    let mut response = Response::new(Body::from(Bytes::from_owner(Shared(Arc::clone(history)))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
