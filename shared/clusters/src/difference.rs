//! What changed between two states of a token.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::analysis::Display;
use crate::{Address, AsOf, Cluster, Digest, Holder, Metrics, Report, Units};

/// What changed from one report to another. Empty, but for `before`, `after` and what is the same in both, when nothing
/// did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub before: AsOf,
    pub after: AsOf,
    pub supply: SupplyChange,
    /// Holders of the later report that are none of the earlier, by rank. They may have held something below its top.
    pub joined: Vec<Held>,
    /// Holders of the earlier report that are none of the later, by rank. They may still hold something below its top.
    pub left: Vec<Held>,
    /// Holders of both whose amount or rank changed: who moved most first, then by address.
    pub moved: Vec<Move>,
    /// How many holders of both have the same amount and rank.
    pub unmoved: u32,
    /// What the holders that a report looks at have together: the change of it is that of all that joined, left and
    /// moved.
    pub top: Change,
    /// Clusters that are not the same set of members, largest change of amount first, then by id.
    pub clusters: Vec<ClusterChange>,
    /// How many clusters have the same members in both.
    pub unchanged_clusters: u32,
    pub metrics: MetricsChange,
}

/// An amount in both states. In base units; `display` is of the change, in whole tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub before: Units,
    pub after: Units,
    /// `after` less `before`; negative where it became less.
    pub change: Units,
    pub display: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupplyChange {
    pub minted: Change,
    pub burned: Change,
    pub circulating: Change,
    pub positive: Change,
}

/// What somebody had in the one report that has them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    pub address: Address,
    pub rank: u32,
    pub amount: Units,
    pub display: Option<f64>,
    pub share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    pub address: Address,
    pub amount: Change,
    pub rank_before: u32,
    pub rank_after: u32,
    pub share_before: f64,
    pub share_after: f64,
}

/// What became of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Turn {
    /// Nobody of it was in a cluster before.
    New,
    /// Nobody of it is in a cluster any more.
    Gone,
    /// Members joined, none left.
    Grown,
    /// Members left, none joined.
    Shrunk,
    /// Members joined, and others left.
    Changed,
    /// Several became one.
    Merged,
    /// One became several.
    Split,
    /// Several became several others.
    Regrouped,
}

/// Clusters that belong together because most of one are in the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterChange {
    pub turn: Turn,
    /// Ids in the earlier report, by rank.
    pub before: Vec<Digest>,
    /// Ids in the later report, by rank.
    pub after: Vec<Digest>,
    /// Members after that were none before, sorted. Some may come from another change's clusters.
    pub joined: Vec<Address>,
    /// Members before that are none after, sorted.
    pub left: Vec<Address>,
    /// What all of them have.
    pub amount: Change,
    pub share_before: f64,
    pub share_after: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsChange {
    pub before: Metrics,
    pub after: Metrics,
}

impl Difference {
    /// Whether both states are the same in all that it looks at.
    pub fn is_empty(&self) -> bool {
        let SupplyChange { minted, burned, circulating, positive } = &self.supply;
        self.joined.is_empty()
            && self.left.is_empty()
            && self.moved.is_empty()
            && self.clusters.is_empty()
            && [minted, burned, circulating, positive].iter().all(|change| change.change == Units::ZERO)
            && self.metrics.before == self.metrics.after
    }
}

/// What changed from `before` to `after`, two reports about one token, made with the same parameters if the difference
/// is to be the token's and not the question's.
///
/// A cluster has the same id as long as it has the same members. Others are matched by their largest overlap: each
/// belongs to that cluster of the other report with which it has most members in common (of several, to the larger
/// one), and all that belong together are one [`ClusterChange`]. So a single member that changes sides makes neither a
/// merger nor a split. Exchanging the two reports gives the same changes the other way round.
pub fn difference(before: &Report, after: &Report) -> Difference {
    let display = Display { decimals: after.token.decimals };
    let change = |before: Units, after: Units| Change {
        before,
        after,
        change: after - before,
        display: display.number(after - before),
    };
    let known: BTreeMap<Address, &Holder> = before.holders.iter().map(|holder| (holder.address, holder)).collect();
    let stayed: BTreeSet<Address> = after.holders.iter().map(|holder| holder.address).collect();
    let (mut joined, mut moved, mut unmoved) = (Vec::new(), Vec::new(), 0);
    for holder in &after.holders {
        match known.get(&holder.address) {
            None => joined.push(held(holder)),
            Some(was) if (was.amount, was.rank) == (holder.amount, holder.rank) => unmoved += 1,
            Some(was) => moved.push(Move {
                address: holder.address,
                amount: change(was.amount, holder.amount),
                rank_before: was.rank,
                rank_after: holder.rank,
                share_before: was.share,
                share_after: holder.share,
            }),
        }
    }
    moved.sort_by_key(|one| (Reverse(size(one.amount.change)), one.address));
    let left = before.holders.iter().filter(|holder| !stayed.contains(&holder.address)).map(held).collect();
    let (clusters, unchanged_clusters) = cluster_changes(&before.clusters, &after.clusters, &change);
    let total = |report: &Report| report.holders.iter().map(|holder| holder.amount).sum();
    let (was, is) = (&before.supply, &after.supply);
    Difference {
        before: before.as_of,
        after: after.as_of,
        supply: SupplyChange {
            minted: change(was.minted, is.minted),
            burned: change(was.burned, is.burned),
            circulating: change(was.circulating, is.circulating),
            positive: change(was.positive, is.positive),
        },
        joined,
        left,
        moved,
        unmoved,
        top: change(total(before), total(after)),
        clusters,
        unchanged_clusters,
        metrics: MetricsChange { before: before.metrics, after: after.metrics },
    }
}

fn held(holder: &Holder) -> Held {
    Held {
        address: holder.address,
        rank: holder.rank,
        amount: holder.amount,
        display: holder.display,
        share: holder.share,
    }
}

fn size(change: Units) -> Units {
    if change.is_negative() { -change } else { change }
}

/// The changes, and how many clusters are the same in both.
fn cluster_changes(
    before: &[Cluster],
    after: &[Cluster],
    change: &dyn Fn(Units, Units) -> Change,
) -> (Vec<ClusterChange>, u32) {
    let (mut changes, mut unchanged) = (Vec::new(), 0);
    for (olds, news) in related(before, after) {
        let olds: Vec<&Cluster> = olds.into_iter().map(|index| &before[index]).collect();
        let news: Vec<&Cluster> = news.into_iter().map(|index| &after[index]).collect();
        let members = |clusters: &[&Cluster]| -> BTreeSet<Address> {
            clusters.iter().flat_map(|cluster| cluster.members.iter().copied()).collect()
        };
        let (was, is) = (members(&olds), members(&news));
        let joined: Vec<Address> = is.difference(&was).copied().collect();
        let left: Vec<Address> = was.difference(&is).copied().collect();
        let turn = match (olds.len(), news.len()) {
            (0, _) => Turn::New,
            (_, 0) => Turn::Gone,
            (1, 1) => match (joined.is_empty(), left.is_empty()) {
                (true, true) => {
                    unchanged += 1;
                    continue;
                }
                (false, true) => Turn::Grown,
                (true, false) => Turn::Shrunk,
                (false, false) => Turn::Changed,
            },
            (_, 1) => Turn::Merged,
            (1, _) => Turn::Split,
            _ => Turn::Regrouped,
        };
        let ids = |clusters: &[&Cluster]| clusters.iter().map(|cluster| cluster.id).collect();
        let amount = |clusters: &[&Cluster]| clusters.iter().map(|cluster| cluster.amount).sum();
        let share = |clusters: &[&Cluster]| clusters.iter().map(|cluster| cluster.share).sum();
        changes.push(ClusterChange {
            turn,
            before: ids(&olds),
            after: ids(&news),
            joined,
            left,
            amount: change(amount(&olds), amount(&news)),
            share_before: share(&olds),
            share_after: share(&news),
        });
    }
    changes.sort_by(|a, b| {
        let key = |one: &ClusterChange| (Reverse(size(one.amount.change)), one.turn);
        key(a).cmp(&key(b)).then_with(|| (&a.after, &a.before).cmp(&(&b.after, &b.before)))
    });
    (changes, unchanged)
}

/// The clusters that belong together, those before and those after, each by its place in its report.
fn related(before: &[Cluster], after: &[Cluster]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let home: BTreeMap<Address, usize> =
        (0..).zip(before).flat_map(|(old, cluster)| cluster.members.iter().map(move |&member| (member, old))).collect();
    let mut overlaps: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (new, cluster) in after.iter().enumerate() {
        for old in cluster.members.iter().filter_map(|member| home.get(member)) {
            *overlaps.entry((*old, new)).or_default() += 1;
        }
    }
    // By cluster: its largest overlap, and with whom. Of equal ones the first stands, which has the lower rank.
    let (mut successors, mut predecessors) = (vec![(0, None); before.len()], vec![(0, None); after.len()]);
    for (&(old, new), &overlap) in &overlaps {
        if overlap > successors[old].0 {
            successors[old] = (overlap, Some(new));
        }
        if overlap > predecessors[new].0 {
            predecessors[new] = (overlap, Some(old));
        }
    }
    let mut components = crate::components::Components::new(before.len() + after.len());
    for (old, &(_, new)) in successors.iter().enumerate() {
        if let Some(new) = new {
            components.join(old, before.len() + new);
        }
    }
    for (new, &(_, old)) in predecessors.iter().enumerate() {
        if let Some(old) = old {
            components.join(old, before.len() + new);
        }
    }
    let mut groups: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for node in 0..before.len() + after.len() {
        let (olds, news) = groups.entry(components.find(node)).or_default();
        match node.checked_sub(before.len()) {
            None => olds.push(node),
            Some(new) => news.push(new),
        }
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests;
