//! Why a cluster is one: what ties its members together, what it hangs by, and how two of them are connected.

mod path;
mod structure;
mod web;

use serde::{Deserialize, Serialize};

use crate::{Address, Digest, Report, TxHash, Units};

pub use path::{Path, PathError, Step};
use web::Web;

/// What joined two members, strongest kind first.
///
/// A transfer of the token itself between two members is the only kind that is a fact about both of them alone. Who
/// paid for somebody's first steps decided that there is such a wallet. An address that kept nothing of what one sent it
/// was a way, and most likely somebody's own. Dealing with the same outsider moves the token between two members, but by
/// way of a third who may not know. Buying at the same time and place moves nothing
/// between them at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TieKind {
    Transfer,
    CommonFunder,
    Conduit,
    MagicNode,
    Acquisition,
}

/// A block and what happened in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    pub block: u64,
    /// Seconds since 1970, where the source knows it.
    pub timestamp: Option<u64>,
    pub tx: TxHash,
}

/// What went in one direction of a tie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    pub from: Address,
    pub to: Address,
    pub transfers: u64,
    /// In base units of the token; of a common funder, of the chain's own coin.
    pub amount: Units,
    /// In whole tokens; `None` for the chain's own coin.
    pub display: Option<f64>,
}

/// One reason for two to be one: a pair of members that sent each other the token, in either direction or both, or a
/// member and whom it has in common with others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tie {
    pub kind: TieKind,
    /// Of a transfer the two members, sorted; otherwise the member, then `via`.
    pub ends: [Address; 2],
    /// The conduit, magic node, funder or pool that the member has in common with others.
    pub via: Option<Address>,
    /// How many, in both directions; `None` for a conduit or a magic node, of which a report keeps no more than whom it
    /// joined.
    pub transfers: Option<u64>,
    /// How much, in both directions; in the units of `flows`.
    pub amount: Option<Units>,
    pub display: Option<f64>,
    /// Each direction in which something went, from the first end's on.
    pub flows: Vec<Flow>,
    pub first: Option<Moment>,
    pub last: Option<Moment>,
    /// Whether the cluster hangs by it: without it, it would be two.
    pub bridge: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub rank: u32,
    pub address: Address,
    pub amount: Units,
    pub display: Option<f64>,
    pub share: f64,
    pub label: Option<String>,
    /// How many ties it has.
    pub ties: u32,
    /// Whether the others hang together by it: without it, they would not be one.
    pub articulation: bool,
}

/// How many ties of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TieCounts {
    pub transfer: u32,
    pub common_funder: u32,
    pub conduit: u32,
    pub magic_node: u32,
    pub acquisition: u32,
}

/// Why a cluster is one, from the report it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub id: Digest,
    /// Among the report's clusters, from 1.
    pub rank: u32,
    pub amount: Units,
    pub display: Option<f64>,
    pub share: f64,
    /// By rank.
    pub members: Vec<Member>,
    /// The fewest ties that join them all, as strong as there are, strongest first. Every bridge is among them.
    pub spanning: Vec<Tie>,
    /// How many ties are bridges.
    pub bridges: u32,
    /// All ties, the spanning ones and those that could be spared.
    pub ties: TieCounts,
    /// Transfers of the token between two members, and what they moved.
    pub transfers: u64,
    pub transferred: Units,
    pub transferred_display: Option<f64>,
    /// The first and the last that is known of any tie.
    pub first: Option<Moment>,
    pub last: Option<Moment>,
    /// The excluded hubs its members have links with, sorted. They join nothing.
    pub hubs_touched: Vec<Address>,
}

impl Report {
    /// Why this cluster is one; `None` if the report has none of this id.
    ///
    /// Its ties are a graph over the members and whom they have in common (a conduit, a magic node, a funder, the pool of one
    /// acquisition; a funder that is a member itself is that member). Spanning is the maximum spanning forest of it, by
    /// strength: first the kind (see [`TieKind`]), since it decides how much a tie proves, whatever its amount; then
    /// the number of transfers, since coincidence does not repeat itself; then the amount; then the addresses, so that
    /// the same report always gives the same ties. Whoever in common joins no two members there is left out.
    pub fn evidence(&self, cluster: &Digest) -> Option<Evidence> {
        let found = self.clusters.iter().find(|found| found.id == *cluster)?;
        let web = Web::of(self, found);
        let members = self.holders.iter().filter(|holder| holder.cluster == Some(*cluster)).map(|holder| {
            let node = web.members.binary_search(&holder.address).ok();
            Member {
                rank: holder.rank,
                address: holder.address,
                amount: holder.amount,
                display: holder.display,
                share: holder.share,
                label: holder.label.clone(),
                ties: node.map_or(0, |node| web.degree(node)),
                articulation: node.is_some_and(|node| web.articulations[node]),
            }
        });
        let members = members.collect();
        let between = || web.ties.iter().filter(|tie| tie.kind == TieKind::Transfer);
        let transferred = between().filter_map(|tie| tie.amount).sum();
        let mut ties = TieCounts::default();
        for tie in &web.ties {
            *match tie.kind {
                TieKind::Transfer => &mut ties.transfer,
                TieKind::CommonFunder => &mut ties.common_funder,
                TieKind::Conduit => &mut ties.conduit,
                TieKind::MagicNode => &mut ties.magic_node,
                TieKind::Acquisition => &mut ties.acquisition,
            } += 1;
        }
        Some(Evidence {
            id: found.id,
            rank: found.rank,
            amount: found.amount,
            display: found.display,
            share: found.share,
            members,
            bridges: u32::try_from(web.ties.iter().filter(|tie| tie.bridge).count()).unwrap_or(u32::MAX),
            ties,
            transfers: between().filter_map(|tie| tie.transfers).sum(),
            transferred,
            transferred_display: web.display.number(transferred),
            first: web.ties.iter().filter_map(|tie| tie.first).min_by_key(when),
            last: web.ties.iter().filter_map(|tie| tie.last).max_by_key(when),
            spanning: web.spanning().into_iter().map(|tie| web.ties[tie].clone()).collect(),
            hubs_touched: found.hubs_touched.clone(),
        })
    }
}

/// Of two in one block a report does not say which was first: the transaction's hash decides.
fn when(moment: &Moment) -> (u64, TxHash) {
    (moment.block, moment.tx)
}

#[cfg(test)]
mod tests;
