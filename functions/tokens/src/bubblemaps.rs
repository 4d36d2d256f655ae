//! A report in the field names of Bubblemaps' Data API 0.3.1 (`GET /v0/tokens/map/{chain}/{token}`), for clients that
//! read those. Where the meaning differs is in `docs/bubblemaps.md`.

use std::collections::{BTreeMap, BTreeSet};

use clusters::{Address, Holder, Kind, Link, MagicNode, Report};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Map {
    metadata: Metadata,
    metrics: Metrics,
    nodes: Nodes,
    relationships: Vec<Relationship>,
    clusters: Vec<Cluster>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    /// RFC 3339, UTC.
    dt_update: Option<String>,
    /// Seconds since 1970.
    ts_update: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Metrics {
    supply_stats: SupplyStats,
    scores: Scores,
}

/// Shares, 0 to 1.
#[derive(Debug, Serialize)]
struct SupplyStats {
    cexs: f64,
    dexs: f64,
    contracts: f64,
    /// How old a wallet is, one token's transfers do not say.
    fresh_wallets: Option<f64>,
    top_10_adjusted: f64,
    bundles: f64,
}

#[derive(Debug, Serialize)]
struct Scores {
    bubblemaps_score: Option<f64>,
    gini_index: f64,
    herfindahl_hirschman_index: f64,
    nakamoto_coefficient: u64,
}

#[derive(Debug, Serialize)]
struct Nodes {
    top_holders: Vec<Node>,
    magic_nodes: Vec<Node>,
    /// Always empty: ours are no addresses.
    time_nodes: Vec<Node>,
}

#[derive(Debug, Serialize)]
struct Node {
    address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_data: Option<HolderData>,
    address_details: AddressDetails,
    is_shown_on_map: bool,
}

#[derive(Debug, Serialize)]
struct HolderData {
    /// Whole tokens; null where the decimals are not known.
    amount: Option<f64>,
    rank: u32,
    share: f64,
}

/// Null is not known.
#[derive(Debug, Serialize)]
struct AddressDetails {
    label: Option<String>,
    degree: u32,
    is_supernode: bool,
    is_contract: Option<bool>,
    is_cex: Option<bool>,
    is_dex: Option<bool>,
    entity_id: Option<String>,
    inward_relations: Option<u32>,
    outward_relations: Option<u32>,
    first_activity_date: Option<String>,
}

#[derive(Debug, Serialize)]
struct Relationship {
    from_address: Address,
    to_address: Address,
    rel_type: &'static str,
    data: RelationshipData,
}

#[derive(Debug, Serialize)]
struct RelationshipData {
    total_value: Option<f64>,
    total_transfers: u64,
    /// Seconds since 1970.
    first_date: Option<u64>,
    last_date: Option<u64>,
    token_key: TokenKey,
}

#[derive(Debug, Serialize)]
struct TokenKey {
    chain: String,
    address: Address,
}

#[derive(Debug, Serialize)]
struct Cluster {
    share: f64,
    amount: Option<f64>,
    holder_count: usize,
    holders: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    magic_nodes: Option<Vec<Address>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    magic_node_count: Option<usize>,
}

impl From<&Report> for Map {
    fn from(report: &Report) -> Self {
        let (mut inward, mut outward) = (BTreeMap::<Address, u32>::new(), BTreeMap::<Address, u32>::new());
        for link in &report.links {
            *outward.entry(link.from).or_default() += 1;
            *inward.entry(link.to).or_default() += 1;
        }
        let hubs: BTreeSet<Address> = report.excluded.iter().map(|hub| hub.address).collect();
        let top_holder = |holder: &Holder| {
            let count = |relations: &BTreeMap<_, _>| Some(relations.get(&holder.address).copied().unwrap_or(0));
            Node {
                address: holder.address,
                holder_data: Some(HolderData { amount: holder.display, rank: holder.rank, share: holder.share }),
                address_details: AddressDetails {
                    label: holder.label.clone(),
                    degree: holder.degree,
                    is_supernode: holder.degree >= report.parameters.hub_degree,
                    is_contract: Some(is_dex(holder.kind) || is_contract(holder.kind)),
                    is_cex: Some(holder.kind == Kind::Exchange),
                    is_dex: Some(is_dex(holder.kind)),
                    entity_id: None,
                    inward_relations: count(&inward),
                    outward_relations: count(&outward),
                    first_activity_date: None,
                },
                is_shown_on_map: !hubs.contains(&holder.address),
            }
        };
        Self {
            metadata: Metadata {
                dt_update: report.computed_at.and_then(date),
                ts_update: report.computed_at.map(|millis| millis / 1000),
            },
            metrics: metrics(report),
            nodes: Nodes {
                top_holders: report.holders.iter().map(top_holder).collect(),
                magic_nodes: report.magic_nodes.iter().map(|node| magic_node(node, report)).collect(),
                time_nodes: Vec::new(),
            },
            relationships: report
                .links
                .iter()
                .filter(|link| link.joins)
                .map(|link| relationship(link, report))
                .collect(),
            clusters: report.clusters.iter().map(|found| cluster(found, report)).collect(),
        }
    }
}

fn is_dex(kind: Kind) -> bool {
    matches!(kind, Kind::Pool | Kind::Router)
}

/// Of code, and neither exchange nor pool.
fn is_contract(kind: Kind) -> bool {
    matches!(kind, Kind::Contract | Kind::Bridge)
}

fn metrics(report: &Report) -> Metrics {
    let share = |is: &dyn Fn(Kind) -> bool| {
        report.holders.iter().filter(|holder| is(holder.kind)).fold(0.0, |sum, holder| sum + holder.share)
    };
    let adjusted = &report.metrics.by_entity_adjusted;
    Metrics {
        supply_stats: SupplyStats {
            cexs: share(&|kind| kind == Kind::Exchange),
            dexs: share(&is_dex),
            contracts: share(&is_contract),
            fresh_wallets: None,
            top_10_adjusted: adjusted.top10_share,
            bundles: report.clusters.iter().take(10).fold(0.0, |sum, cluster| sum + cluster.share),
        },
        scores: Scores {
            bubblemaps_score: report.metrics.score,
            gini_index: adjusted.gini,
            herfindahl_hirschman_index: adjusted.hhi,
            nakamoto_coefficient: adjusted.nakamoto,
        },
    }
}

/// An outsider: what it is, nobody asked; labelled hubs are no magic nodes unless hubs are included.
fn magic_node(node: &MagicNode, report: &Report) -> Node {
    let is_hub = if report.parameters.include_hubs { None } else { Some(false) };
    Node {
        address: node.address,
        holder_data: None,
        address_details: AddressDetails {
            label: None,
            degree: node.degree,
            is_supernode: node.degree >= report.parameters.hub_degree,
            is_contract: None,
            is_cex: is_hub,
            is_dex: is_hub,
            entity_id: None,
            inward_relations: None,
            outward_relations: None,
            first_activity_date: None,
        },
        is_shown_on_map: true,
    }
}

fn relationship(link: &Link, report: &Report) -> Relationship {
    Relationship {
        from_address: link.from,
        to_address: link.to,
        rel_type: "GROUPED_TRANSFER",
        data: RelationshipData {
            total_value: link.display,
            total_transfers: link.transfers,
            first_date: link.first_timestamp,
            last_date: link.last_timestamp,
            token_key: TokenKey { chain: report.token.chain.clone(), address: report.token.address },
        },
    }
}

fn cluster(found: &clusters::Cluster, report: &Report) -> Cluster {
    let magic = report.magic_nodes.iter().filter(|node| node.cluster == found.id).map(|node| node.address);
    let magic: Option<Vec<Address>> = report.parameters.magic_nodes.then(|| magic.collect());
    Cluster {
        share: found.share,
        amount: found.display,
        holder_count: found.members.len(),
        holders: found.members.clone(),
        magic_node_count: magic.as_ref().map(Vec::len),
        magic_nodes: magic,
    }
}

fn date(millis: u64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use clusters::{Ledger, Parameters, Subject, analyse, sample};
    use serde_json::{Value, json, to_value};

    use super::*;

    /// Two parties and a hub among the holders, and a magic node outside.
    fn report(subject: &Subject, parameters: Parameters) -> Report {
        let mut ledger = Ledger::new();
        sample::transfers(1, 3_000, 300).for_each(|transfer| ledger.push(&transfer));
        let mut report = analyse(&mut ledger, subject, &sample::Token::new(1).labels(), &parameters);
        report.computed_at = Some(1_795_000_000_123);
        report
    }

    fn usual() -> Report {
        report(
            &sample::Token::new(1).subject(),
            Parameters { magic_nodes: true, hub_degree: 50, ..Parameters::default() },
        )
    }

    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn set(names: &'static str) -> BTreeSet<&'static str> {
        names.split(' ').collect()
    }

    #[test]
    fn every_field_has_its_published_name_and_place() {
        let map = to_value(Map::from(&usual())).unwrap();
        assert_eq!(keys(&map), set("metadata metrics nodes relationships clusters"));
        assert_eq!(map["metadata"], json!({"dt_update": "2026-11-18T11:06:40.123Z", "ts_update": 1_795_000_000}));
        assert_eq!(keys(&map["metrics"]), set("supply_stats scores"));
        let stats = "cexs dexs contracts fresh_wallets top_10_adjusted bundles";
        assert_eq!(keys(&map["metrics"]["supply_stats"]), set(stats));
        let scores = "bubblemaps_score gini_index herfindahl_hirschman_index nakamoto_coefficient";
        assert_eq!(keys(&map["metrics"]["scores"]), set(scores));
        assert_eq!(keys(&map["nodes"]), set("top_holders magic_nodes time_nodes"));
        let node = &map["nodes"]["top_holders"][0];
        assert_eq!(keys(node), set("address holder_data address_details is_shown_on_map"));
        assert_eq!(keys(&node["holder_data"]), set("amount rank share"));
        let details = "label degree is_supernode is_contract is_cex is_dex entity_id inward_relations \
                       outward_relations first_activity_date";
        assert_eq!(keys(&node["address_details"]), details.split_whitespace().collect());
        assert_eq!(keys(&map["nodes"]["magic_nodes"][0]), set("address address_details is_shown_on_map"));
        let relationship = &map["relationships"][0];
        assert_eq!(keys(relationship), set("from_address to_address rel_type data"));
        assert_eq!(relationship["rel_type"], "GROUPED_TRANSFER");
        let data = "total_value total_transfers first_date last_date token_key";
        assert_eq!(keys(&relationship["data"]), set(data));
        assert_eq!(keys(&relationship["data"]["token_key"]), set("chain address"));
        let cluster = "share amount holder_count holders magic_nodes magic_node_count";
        assert_eq!(keys(&map["clusters"][0]), set(cluster));
    }

    #[test]
    fn amounts_are_numbers_and_hubs_are_hidden() {
        let report = usual();
        let map = to_value(Map::from(&report)).unwrap();
        let hubs: BTreeSet<Address> = report.excluded.iter().map(|hub| hub.address).collect();
        assert!(!hubs.is_empty() && report.links.iter().any(|link| !link.joins));
        for (node, holder) in map["nodes"]["top_holders"].as_array().unwrap().iter().zip(&report.holders) {
            assert_eq!(node["holder_data"]["amount"], holder.display.unwrap());
            assert_eq!(node["is_shown_on_map"], !hubs.contains(&holder.address));
        }
        let relationships = map["relationships"].as_array().unwrap();
        assert_eq!(relationships.len(), report.links.iter().filter(|link| link.joins).count());
        let ends = relationships.iter().flat_map(|one| [&one["from_address"], &one["to_address"]]);
        assert!(ends.into_iter().all(|end| !hubs.contains(&end.as_str().unwrap().parse().unwrap())));
        let counts =
            map["clusters"].as_array().unwrap().iter().map(|cluster| cluster["holder_count"].as_u64().unwrap());
        assert_eq!(counts.sum::<u64>(), report.clusters.iter().map(|one| one.members.len() as u64).sum::<u64>());
        let bundles = map["metrics"]["supply_stats"]["bundles"].as_f64().unwrap();
        assert!(bundles > 0.0 && bundles < 1.0, "{bundles}");
    }

    #[test]
    fn what_is_not_known_is_null_or_absent() {
        let subject = Subject { decimals: None, ..sample::Token::new(1).subject() };
        let mut report = report(&subject, Parameters::default());
        report.computed_at = None;
        report.links[0].first_timestamp = None;
        report.links[0].joins = true;
        let map = to_value(Map::from(&report)).unwrap();
        assert_eq!(map["metadata"], json!({"dt_update": null, "ts_update": null}));
        assert_eq!(map["nodes"]["top_holders"][0]["holder_data"]["amount"], Value::Null);
        assert_eq!(map["nodes"]["top_holders"][0]["address_details"]["first_activity_date"], Value::Null);
        assert_eq!(map["relationships"][0]["data"]["first_date"], Value::Null);
        assert_eq!(map["metrics"]["supply_stats"]["fresh_wallets"], Value::Null);
        assert!(map["clusters"][0].get("magic_nodes").is_none());
        assert_eq!(map["nodes"]["magic_nodes"], json!([]));
    }
}
