use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::structure::structure;
use super::{Flow, Moment, Tie, TieKind, when};
use crate::analysis::Display;
use crate::components::Components;
use crate::report::Cluster;
use crate::{Address, Link, Report, TxHash, Units};

/// A cluster as a graph. Nodes are its members in order of their addresses, then whom they have in common.
pub(super) struct Web<'a> {
    pub(super) members: &'a [Address],
    /// Strongest first.
    pub(super) ties: Vec<Tie>,
    /// By tie: the nodes of its ends.
    pub(super) ends: Vec<[usize; 2]>,
    /// By node: the nodes it is tied to, each with the tie, in order of the ties.
    pub(super) neighbours: Vec<Vec<(usize, usize)>>,
    /// By node.
    pub(super) articulations: Vec<bool>,
    pub(super) display: Display,
}

/// Ties on the way to be ranked, with the nodes of their ends.
struct Builder<'a> {
    members: &'a [Address],
    nodes: usize,
    ties: Vec<(Tie, [usize; 2])>,
    display: Display,
}

/// What somebody in common sent a member.
struct Given {
    member: Address,
    block: u64,
    tx: TxHash,
    amount: Units,
}

impl<'a> Web<'a> {
    pub(super) fn of(report: &Report, cluster: &'a Cluster) -> Self {
        let members = &cluster.members[..];
        let display = Display { decimals: report.token.decimals };
        let mut builder = Builder { members, nodes: members.len(), ties: Vec::new(), display };
        builder.add_links(&report.links);
        for funder in report.common_funders.iter().filter(|funder| funder.cluster == cluster.id) {
            let given = funder.fundings.iter().map(|funding| Given {
                member: funding.member,
                block: funding.block,
                tx: funding.tx,
                amount: funding.amount,
            });
            builder.add_given(TieKind::CommonFunder, funder.address, given);
        }
        for (kind, nodes) in [(TieKind::Conduit, &report.conduits), (TieKind::MagicNode, &report.magic_nodes)] {
            for node in nodes.iter().filter(|node| node.cluster == cluster.id) {
                builder.add_node(kind, node.address, &node.members);
            }
        }
        for acquisition in report.acquisitions.iter().filter(|acquisition| acquisition.cluster == cluster.id) {
            let given = acquisition.purchases.iter().map(|purchase| Given {
                member: purchase.member,
                block: purchase.block,
                tx: purchase.tx,
                amount: purchase.amount,
            });
            builder.add_given(TieKind::Acquisition, acquisition.pool, given);
        }
        builder.finish()
    }

    pub(super) fn degree(&self, node: usize) -> u32 {
        u32::try_from(self.neighbours[node].len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_member(&self, node: usize) -> bool {
        node < self.members.len()
    }

    /// The ties of the maximum spanning forest (Kruskal), without those to somebody in common who joins no two there.
    /// They have no ties among each other, so that nobody comes to join no two by another's being left out.
    pub(super) fn spanning(&self) -> Vec<usize> {
        let mut components = Components::new(self.neighbours.len());
        let mut used = vec![0_u32; self.neighbours.len()];
        let mut spanning: Vec<usize> = Vec::new();
        for (tie, &[a, b]) in self.ends.iter().enumerate() {
            if components.find(a) != components.find(b) {
                components.join(a, b);
                used[a] += 1;
                used[b] += 1;
                spanning.push(tie);
            }
        }
        spanning.retain(|&tie| self.ends[tie].iter().all(|&node| self.is_member(node) || used[node] > 1));
        spanning
    }
}

impl<'a> Builder<'a> {
    fn node(&self, address: Address) -> Option<usize> {
        self.members.binary_search(&address).ok()
    }

    fn add_links(&mut self, links: &[Link]) {
        let mut pairs: BTreeMap<[usize; 2], Vec<&Link>> = BTreeMap::new();
        for link in links.iter().filter(|link| link.joins) {
            if let (Some(from), Some(to)) = (self.node(link.from), self.node(link.to))
                && from != to
            {
                pairs.entry([from.min(to), from.max(to)]).or_default().push(link);
            }
        }
        for (ends, links) in pairs {
            let moment = |block, timestamp, tx| Moment { block, timestamp, tx };
            let first = links.iter().map(|link| moment(link.first_block, link.first_timestamp, link.first_tx));
            let last = links.iter().map(|link| moment(link.last_block, link.last_timestamp, link.last_tx));
            let flow = |link: &&Link| Flow {
                from: link.from,
                to: link.to,
                transfers: link.transfers,
                amount: link.amount,
                display: link.display,
            };
            let amount = links.iter().map(|link| link.amount).sum();
            let tie = Tie {
                kind: TieKind::Transfer,
                ends: ends.map(|node| self.members[node]),
                via: None,
                transfers: Some(links.iter().map(|link| link.transfers).sum()),
                amount: Some(amount),
                display: self.display.number(amount),
                flows: links.iter().map(flow).collect(),
                first: first.min_by_key(when),
                last: last.max_by_key(when),
                bridge: false,
            };
            self.ties.push((tie, ends));
        }
    }

    fn add_node(&mut self, kind: TieKind, via: Address, members: &[Address]) {
        let tie = |member| Tie {
            kind,
            ends: [member, via],
            via: Some(via),
            transfers: None,
            amount: None,
            display: None,
            flows: Vec::new(),
            first: None,
            last: None,
            bridge: false,
        };
        let mut ties: Vec<(Tie, usize)> =
            members.iter().filter_map(|&member| Some((tie(member), self.node(member)?))).collect();
        ties.dedup_by_key(|&mut (_, node)| node);
        self.add_common(via, ties);
    }

    /// Several to one member are one tie.
    fn add_given(&mut self, kind: TieKind, via: Address, given: impl Iterator<Item = Given>) {
        let mut by_member: BTreeMap<usize, Vec<Given>> = BTreeMap::new();
        for one in given {
            if let Some(node) = self.node(one.member).filter(|_| one.member != via) {
                by_member.entry(node).or_default().push(one);
            }
        }
        let display = |amount| if kind == TieKind::CommonFunder { None } else { self.display.number(amount) };
        let ties = by_member.into_iter().map(|(node, given)| {
            let member = self.members[node];
            let amount = given.iter().map(|one| one.amount).sum();
            let moments = || given.iter().map(|one| Moment { block: one.block, timestamp: None, tx: one.tx });
            let transfers = given.len() as u64;
            let tie = Tie {
                kind,
                ends: [member, via],
                via: Some(via),
                transfers: Some(transfers),
                amount: Some(amount),
                display: display(amount),
                flows: vec![Flow { from: via, to: member, transfers, amount, display: display(amount) }],
                first: moments().min_by_key(when),
                last: moments().max_by_key(when),
                bridge: false,
            };
            (tie, node)
        });
        let ties = ties.collect();
        self.add_common(via, ties);
    }

    /// Ties of members with one they have in common. It is a node of its own unless it is a member, and no reason for
    /// anything if it has one of them only.
    fn add_common(&mut self, via: Address, ties: Vec<(Tie, usize)>) {
        let node = match self.node(via) {
            Some(member) => member,
            None if ties.len() < 2 => return,
            None => {
                self.nodes += 1;
                self.nodes - 1
            }
        };
        self.ties.extend(ties.into_iter().map(|(tie, member)| (tie, [member, node])));
    }

    fn finish(mut self) -> Web<'a> {
        self.ties.sort_by_key(|(tie, _)| (tie.kind, Reverse(tie.transfers), Reverse(tie.amount), tie.ends));
        let (mut ties, ends): (Vec<Tie>, Vec<[usize; 2]>) = self.ties.into_iter().unzip();
        let mut neighbours = vec![Vec::new(); self.nodes];
        for (tie, &[a, b]) in ends.iter().enumerate() {
            neighbours[a].push((b, tie));
            neighbours[b].push((a, tie));
        }
        let found = structure(&neighbours, ties.len());
        for (tie, bridge) in ties.iter_mut().zip(found.bridges) {
            tie.bridge = bridge;
        }
        Web { members: self.members, ties, ends, neighbours, articulations: found.articulations, display: self.display }
    }
}
