use std::sync::Arc;

use access::messages::{Choices, RefreshClusters};
use access::tables::{REPORTS, Table};
use access::{Computed, Dqo, Freshness, Lookup};
use api::{ApiError, Queued};
use app::App;
use clusters::{Parameters, Report};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::IntoParams;

use crate::parameter::{BlockNumber, Bounded, LabelsParameter, Time, flag};
use crate::past::{self, check};
use crate::token::Token;

/// A cluster report as JSON, kept as the bytes that are sent: nothing between the worker and the caller parses it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterReport(pub Arc<RawValue>);

impl ClusterReport {
    /// What is in it. Serving it needs no more than its text.
    pub(crate) fn read(&self) -> Result<Report, ApiError> {
        serde_json::from_str(self.0.get())
            .map_err(|error| ApiError::new(access::Kind::Internal, "malformed_report", "").caused_by(error))
    }
}

impl Computed for ClusterReport {
    const TABLE: &'static Table = &REPORTS;
    const VERSION: u32 = 3;
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
    /// Lets hubs join wallets like any other holder.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    pub include_hubs: bool,
    /// Counts transfers of nothing as trade.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    pub include_zero_value: bool,
    /// What two addresses exchanged in both directions together joins nothing below this many billionths of what all
    /// hold. Without effect where hubs or transfers of nothing are included.
    #[param(value_type = u32, minimum = 0, maximum = 1_000_000_000, default = 1, required = false)]
    pub dust_parts_per_billion: Bounded<0, 1_000_000_000>,
    /// A single transfer that was less than this share, in percent, of all its sender ever got, to somebody who had the
    /// token from elsewhere already, joins nobody to a group. Without effect where hubs or transfers of nothing are
    /// included.
    #[param(value_type = u32, minimum = 0, maximum = 100, default = 35, required = false)]
    pub gift_percent: Bounded<0, 100>,
    /// Lets an outsider that kept nothing, and passed on what it was sent to a few, join holders. Without effect where
    /// hubs or transfers of nothing are included, and where no contract is known.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = true, required = false)]
    pub conduits: bool,
    /// Lets an outsider that traded with two or more of the top holders join them.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    pub magic_nodes: bool,
    /// Takes a known contract for a hub.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = true, required = false)]
    pub contracts_are_hubs: bool,
    /// Joins holders that one account, no hub, sent the chain's own coin before their first transfer of the token.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    pub common_funder: bool,
    /// How many blocks before that first transfer a funding counts.
    #[param(value_type = u32, minimum = 1, maximum = 10_000_000, default = 7200, required = false)]
    pub funding_window: Bounded<1, 10_000_000>,
    /// Joins holders whose first transfer of the token came from the same pool at the same time.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = bool, default = false, required = false)]
    pub synchronous: bool,
    /// How many blocks apart is the same time; 0 is one block.
    #[param(value_type = u32, minimum = 0, maximum = 1000, default = 0, required = false)]
    pub synchronous_window: Bounded<0, 1000>,
    /// The SHA-256 of a file of labels that was posted to `/v1/labels`, whose word counts before the built-in labels;
    /// or `none`: not even those.
    #[param(value_type = String, required = false, pattern = "^(none|[0-9a-f]{64})$")]
    pub labels: LabelsParameter,
    /// The state after this block. It never changes once made.
    #[param(value_type = u64, required = false)]
    pub block: Option<BlockNumber>,
    /// The state at this time, RFC 3339 or seconds since 1970: after the last block that was made by then.
    #[param(value_type = String, required = false, example = "2024-10-29T09:12:00Z")]
    pub at: Option<Time>,
}

impl Default for ReportParameters {
    fn default() -> Self {
        let Parameters {
            top,
            hub_degree,
            include_hubs,
            include_zero_value,
            dust_parts_per_billion,
            gift_percent,
            conduits,
            magic_nodes,
            contracts_are_hubs,
            common_funder,
            funding_window,
            synchronous,
            synchronous_window,
        } = Parameters::default();
        Self {
            top: Bounded(top),
            hub_degree: Bounded(hub_degree),
            include_hubs,
            include_zero_value,
            dust_parts_per_billion: Bounded(dust_parts_per_billion),
            gift_percent: Bounded(gift_percent),
            conduits,
            magic_nodes,
            contracts_are_hubs,
            common_funder,
            funding_window: Bounded(funding_window),
            synchronous,
            synchronous_window: Bounded(synchronous_window),
            labels: LabelsParameter::BuiltIn,
            block: None,
            at: None,
        }
    }
}

impl ReportParameters {
    /// As the worker is told. A time must have become a block before, see [`find`].
    pub(crate) fn choices(self) -> Choices {
        Choices {
            top: self.top.0,
            hub_degree: self.hub_degree.0,
            include_hubs: self.include_hubs,
            include_zero_value: self.include_zero_value,
            dust_parts_per_billion: self.dust_parts_per_billion.0,
            gift_percent: self.gift_percent.0,
            conduits: self.conduits,
            magic_nodes: self.magic_nodes,
            contracts_are_hubs: self.contracts_are_hubs,
            common_funder: self.common_funder,
            funding_window: self.funding_window.0,
            synchronous: self.synchronous,
            synchronous_window: self.synchronous_window.0,
            labels: self.labels.name(),
            block: self.block.map(|block| block.0),
        }
    }

    pub(crate) fn message(self, token: &Token) -> RefreshClusters {
        let (chain, address) = (token.chain.clone(), token.address.to_string());
        RefreshClusters { chain, address, choices: self.choices() }
    }
}

/// As the engine takes them.
pub(crate) fn engine(choices: &Choices) -> Parameters {
    Parameters {
        top: choices.top,
        hub_degree: choices.hub_degree,
        include_hubs: choices.include_hubs,
        include_zero_value: choices.include_zero_value,
        dust_parts_per_billion: choices.dust_parts_per_billion,
        gift_percent: choices.gift_percent,
        conduits: choices.conduits,
        magic_nodes: choices.magic_nodes,
        contracts_are_hubs: choices.contracts_are_hubs,
        common_funder: choices.common_funder,
        funding_window: choices.funding_window,
        synchronous: choices.synchronous,
        synchronous_window: choices.synchronous_window,
    }
}

/// Under which the report of this message stands: the token, and what differs from the defaults, in one order.
pub(crate) fn key(message: &RefreshClusters) -> String {
    let RefreshClusters { chain, address, choices } = message;
    format!("{chain}/{address}{}", chosen(choices))
}

/// What of these differs from the defaults: `/top=50/labels=none`.
pub(crate) fn chosen(choices: &Choices) -> String {
    let Choices {
        top,
        hub_degree,
        include_hubs,
        include_zero_value,
        dust_parts_per_billion,
        gift_percent,
        conduits,
        magic_nodes,
        contracts_are_hubs,
        common_funder,
        funding_window,
        synchronous,
        synchronous_window,
        labels,
        block,
    } = choices;
    let default = Choices::default();
    let mut parts = Vec::new();
    let mut add = |name: &str, value: &dyn std::fmt::Display, differs: bool| {
        if differs {
            parts.push(format!("/{name}={value}"));
        }
    };
    add("top", top, *top != default.top);
    add("hub", hub_degree, *hub_degree != default.hub_degree);
    add("hubs", include_hubs, *include_hubs != default.include_hubs);
    add("zero", include_zero_value, *include_zero_value != default.include_zero_value);
    add("dust", dust_parts_per_billion, *dust_parts_per_billion != default.dust_parts_per_billion);
    add("gift", gift_percent, *gift_percent != default.gift_percent);
    add("conduits", conduits, *conduits != default.conduits);
    add("magic", magic_nodes, *magic_nodes != default.magic_nodes);
    add("contracts", contracts_are_hubs, *contracts_are_hubs != default.contracts_are_hubs);
    add("funder", common_funder, *common_funder != default.common_funder);
    add("funding", funding_window, *funding_window != default.funding_window);
    add("sync", synchronous, *synchronous != default.synchronous);
    add("window", synchronous_window, *synchronous_window != default.synchronous_window);
    if let Some(labels) = labels {
        add("labels", labels, true);
    }
    if let Some(block) = block {
        add("block", block, true);
    }
    parts.concat()
}

/// Reports of the newest state, which become stale.
pub(crate) fn reports(app: &App) -> Dqo<ClusterReport> {
    app.dqo(app.settings.reports)
}

/// How reports are kept: one of a block in the past is never made again while its row is there.
pub(crate) fn freshness(app: &App, is_past: bool) -> Freshness {
    let settings = app.settings.reports;
    if is_past { Freshness { staleness: std::time::Duration::MAX, ..settings } } else { settings }
}

/// # Errors
/// 400 for a block or time beyond the chain's last safe block, 404 for labels nobody posted, and what the read path says.
pub(crate) async fn find(
    app: &App,
    token: &Token,
    parameters: ReportParameters,
) -> Result<Lookup<ClusterReport>, ApiError> {
    let message = past::resolve(app, token, parameters).await?.message(token);
    let key = key(&message);
    let reports = app.dqo::<ClusterReport>(freshness(app, message.choices.block.is_some()));
    if past::needs_check(&message.choices) && reports.peek(&key).await?.is_none() {
        check(app, token, message.choices.labels.as_deref(), message.choices.block).await?;
    }
    Ok(reports.get(&key, &message).await?)
}

/// 202 for a report that is not there yet.
pub(crate) fn queued(token: &Token, job: access::JobView) -> Queued {
    Queued::new(format!("Token {token} was queued for cluster analysis."), job)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token { chain: "ethereum".into(), address: clusters::Address([0xab; 20]) }
    }

    fn asked(query: &[(&str, &str)]) -> ReportParameters {
        let pairs: serde_json::Map<_, _> =
            query.iter().map(|&(name, value)| (name.to_owned(), serde_json::Value::from(value))).collect();
        serde_json::from_value(pairs.into()).unwrap()
    }

    #[test]
    fn defaults_are_the_engines_and_add_nothing_to_a_key() {
        assert_eq!(engine(&Choices::default()), Parameters::default());
        assert_eq!(ReportParameters::default().choices(), Choices::default());
        let written =
            asked(&[("top", "1000"), ("contractsAreHubs", "true"), ("magicNodes", "false"), ("fundingWindow", "7200")]);
        assert_eq!(written, ReportParameters::default());
        assert_eq!(key(&written.message(&token())), token().key());
    }

    #[test]
    fn every_choice_has_a_place_in_the_key_and_order_has_none() {
        let digest = "0".repeat(64);
        let all = [
            ("top", "5"),
            ("hubDegree", "9"),
            ("includeHubs", "true"),
            ("includeZeroValue", "true"),
            ("dustPartsPerBillion", "0"),
            ("giftPercent", "0"),
            ("conduits", "false"),
            ("magicNodes", "true"),
            ("contractsAreHubs", "false"),
            ("commonFunder", "true"),
            ("fundingWindow", "1"),
            ("synchronous", "true"),
            ("synchronousWindow", "3"),
            ("labels", &digest),
            ("block", "77"),
        ];
        let key_of = |query: &[(&str, &str)]| key(&asked(query).message(&token()));
        let keys: std::collections::BTreeSet<_> = all.iter().map(|choice| key_of(&[*choice])).collect();
        assert_eq!(keys.len(), all.len());
        assert!(!keys.contains(&key_of(&[])));
        let reversed: Vec<_> = all.iter().rev().copied().collect();
        assert_eq!(key_of(&all), key_of(&reversed));
        assert!(key_of(&all).len() < 400, "{}", key_of(&all));
    }
}
