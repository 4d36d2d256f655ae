//! What the evidence of clusters looks like, for the document; it is sent as the engine makes it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterEvidence {
    /// SHA-256 of its members: the same set has the same id in every report.
    #[schema(example = "0c0ba9cb7ff28a7a8cd0ff2cbb0a1a2a1a5fbd7e4cb2e7a2fd9a0b6d5c1e3f47")]
    id: String,
    /// Among the report's clusters, from 1.
    #[schema(example = 1)]
    rank: u32,
    /// Base units, a decimal string.
    #[schema(example = "928039224190901290008")]
    amount: String,
    /// Whole tokens; null where the decimals are not known.
    display: Option<f64>,
    /// Of all that is held, 0..1.
    #[schema(example = 0.059)]
    share: f64,
    /// By rank.
    members: Vec<ClusterMember>,
    /// The fewest ties that join them all, as strong as there are, strongest first. Every bridge is among them.
    spanning: Vec<ClusterTie>,
    /// How many ties are bridges.
    #[schema(example = 3)]
    bridges: u32,
    ties: ClusterTieCounts,
    /// How many transfers of the token there were between members.
    #[schema(example = 41)]
    transfers: u64,
    /// What they moved, in base units.
    #[schema(example = "28039224190901290008")]
    transferred: String,
    transferred_display: Option<f64>,
    /// The first that is known of any tie.
    first: Option<ClusterMoment>,
    last: Option<ClusterMoment>,
    /// Excluded hubs its members have links with. They join nothing.
    hubs_touched: Vec<String>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterMember {
    /// Among the holders, from 1.
    #[schema(example = 4)]
    rank: u32,
    #[schema(example = "0x19a2ee9dbbb5cc3a4b4b8b41d1c5cc6f43cb3bd9")]
    address: String,
    /// Base units, a decimal string.
    #[schema(example = "928039224190901290008")]
    amount: String,
    display: Option<f64>,
    #[schema(example = 0.012)]
    share: f64,
    label: Option<String>,
    /// How many ties it has.
    #[schema(example = 2)]
    ties: u32,
    /// Whether the others hang together by it.
    articulation: bool,
}

/// How many ties of each kind there are, also those that are not needed to join the members.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterTieCounts {
    #[schema(example = 12)]
    transfer: u32,
    common_funder: u32,
    conduit: u32,
    magic_node: u32,
    acquisition: u32,
}

/// One reason for two to be one.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterTie {
    /// `transfer`, `commonFunder`, `conduit`, `magicNode` or `acquisition`.
    #[schema(example = "transfer")]
    kind: String,
    /// Of a transfer the two members; otherwise the member, then `via`.
    #[schema(min_items = 2, max_items = 2)]
    ends: Vec<String>,
    /// The conduit, magic node, funder or pool that the member has in common with others.
    via: Option<String>,
    /// In both directions; null for a conduit or a magic node.
    #[schema(example = 5)]
    transfers: Option<u64>,
    /// In both directions: base units of the token; of a common funder, of the chain's own coin.
    #[schema(example = "28039224190901290008")]
    amount: Option<String>,
    display: Option<f64>,
    /// Each direction in which something went.
    flows: Vec<ClusterFlow>,
    first: Option<ClusterMoment>,
    last: Option<ClusterMoment>,
    /// Whether the cluster hangs by it: without it, it would be two.
    bridge: bool,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterFlow {
    from: String,
    to: String,
    transfers: u64,
    amount: String,
    display: Option<f64>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterMoment {
    #[schema(example = 18_000_002)]
    block: u64,
    /// Seconds since 1970, where the source knows it.
    #[schema(example = 1_692_940_212)]
    timestamp: Option<u64>,
    tx: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterExplanation {
    cluster: String,
    from: String,
    to: String,
    /// How many ties it takes.
    #[schema(example = 3)]
    length: u32,
    /// From member to member.
    steps: Vec<ClusterStep>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterStep {
    from: String,
    to: String,
    /// One, or two with somebody in common between them.
    ties: Vec<ClusterTie>,
}

#[cfg(test)]
mod tests {
    use clusters::{Labels, Ledger, Parameters, analyse, sample};
    use serde_json::{from_value, to_value};

    use super::*;

    #[test]
    fn the_document_says_what_is_sent() {
        let token = sample::Token::new(1);
        let mut ledger = Ledger::new();
        sample::transfers(1, 3_000, 300).for_each(|transfer| ledger.push(&transfer));
        let parameters = Parameters { magic_nodes: true, ..Parameters::default() };
        let report = analyse(&mut ledger, &token.subject(), &Labels::builtin("ethereum"), &parameters);
        assert!(!report.clusters.is_empty());
        for cluster in &report.clusters {
            let evidence = to_value(report.evidence(&cluster.id).unwrap()).unwrap();
            let told: ClusterEvidence = from_value(evidence.clone()).unwrap();
            assert_eq!(to_value(told).unwrap(), evidence);
            let ends = [cluster.members[0], *cluster.members.last().unwrap()];
            let path = to_value(report.path(ends[0], ends[1]).unwrap()).unwrap();
            let told: ClusterExplanation = from_value(path.clone()).unwrap();
            assert_eq!(to_value(told).unwrap(), path);
        }
    }
}
