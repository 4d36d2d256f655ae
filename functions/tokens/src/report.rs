use std::sync::Arc;

use access::messages::RefreshClusters;
use access::tables::{REPORTS, Table};
use access::{Computed, Dqo, LookupError};
use api::Queued;
use app::App;
use clusters::Parameters;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::IntoParams;

use crate::token::Token;

/// A cluster report as JSON, kept as the bytes that are sent: nothing between the worker and the caller parses it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterReport(pub Arc<RawValue>);

impl Computed for ClusterReport {
    const TABLE: &'static Table = &REPORTS;
    const VERSION: u32 = 1;
}

/// What a caller may choose about a report. Each choice is a report of its own, made from the same transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ReportParameters {
    /// How many of the largest holders are looked at.
    #[param(value_type = u32, minimum = 1, maximum = 10_000, default = 1000, required = false)]
    pub top: Bounded<1, 10_000>,
    /// From how many distinct counterparties on an address is a hub, which joins nothing.
    #[param(value_type = u32, minimum = 2, maximum = 1_000_000, default = 200, required = false)]
    pub hub_degree: Bounded<2, 1_000_000>,
}

impl Default for ReportParameters {
    fn default() -> Self {
        let Parameters { top, hub_degree, .. } = Parameters::default();
        Self { top: Bounded(top), hub_degree: Bounded(hub_degree) }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => {
                let expected = format!("a whole number from {MIN} to {MAX}");
                Err(serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &expected.as_str()))
            }
        }
    }
}

impl ReportParameters {
    pub(crate) fn message(self, token: &Token) -> RefreshClusters {
        RefreshClusters {
            chain: token.chain.clone(),
            address: token.address.to_string(),
            top: self.top.0,
            hub_degree: self.hub_degree.0,
        }
    }
}

/// Under which the report of this message stands.
pub(crate) fn key(message: &RefreshClusters) -> String {
    let RefreshClusters { chain, address, top, hub_degree } = message;
    format!("{chain}/{address}/top={top}/hub={hub_degree}")
}

pub(crate) fn reports(app: &App) -> Dqo<ClusterReport> {
    app.dqo(app.settings.reports)
}

pub(crate) async fn find(
    app: &App,
    token: &Token,
    parameters: ReportParameters,
) -> Result<access::Lookup<ClusterReport>, LookupError> {
    let message = parameters.message(token);
    reports(app).get(&key(&message), &message).await
}

/// 202 for a report that is not there yet.
pub(crate) fn queued(token: &Token, job: access::JobView) -> Queued {
    Queued::new(format!("Token {token} was queued for cluster analysis."), job)
}
