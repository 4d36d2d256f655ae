//! What joins holders besides transfers between them.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::gifts::Histories;
use super::graph::{Graph, Moved, OUTSIDE};
use super::hubs::Hubs;
use super::{Address, Ledger, Ranked};
use crate::ledger::Flow;
use crate::{Reason, TxHash};

/// How many addresses a pool may send the token for the first time, in the blocks of a synchronous acquisition, before
/// it says nothing any more: at a launch or in an airdrop strangers come together too.
const CROWD: usize = 50;

/// To how many others at most an account passes on what it was sent, to be no more than a way there; and with how many
/// that are no hubs it may have dealt for gifts to count as well.
const FEW: usize = 3;

/// What was found of each kind that was asked for. Members are ranks of holders that are no hubs, two or more.
#[derive(Default)]
pub(super) struct Joints {
    pub(super) conduits: Vec<Magic>,
    pub(super) magic: Vec<Magic>,
    pub(super) funders: Vec<Funder>,
    pub(super) groups: Vec<Group>,
    /// A hub, and a holder that is none, which these would join if the hub were let in.
    pub(super) kept_apart: Vec<(usize, usize)>,
    /// Groups that were too many to tell anything.
    pub(super) crowded: u64,
    /// Holders that are no hubs, whose funding is not known.
    pub(super) unfunded: u64,
}

/// An account outside the top, and the holders it joins.
pub(super) struct Magic {
    pub(super) account: u32,
    pub(super) members: Vec<usize>,
}

pub(super) struct Funder {
    pub(super) address: Address,
    /// Those that it funded.
    pub(super) funded: Vec<usize>,
    /// The same, and itself if it is a top holder.
    pub(super) members: Vec<usize>,
}

/// Holders that a pool sent the token first in the same blocks, each with the flow from the pool.
pub(super) struct Group {
    pub(super) pool: Address,
    pub(super) members: Vec<usize>,
    pub(super) flows: Vec<u32>,
}

impl Joints {
    pub(super) fn find(
        ledger: &Ledger,
        graph: &Graph<'_>,
        hubs: &Hubs<'_>,
        holders: &[Ranked],
        conduits: Vec<Magic>,
    ) -> Self {
        let mut finder = Finder { ledger, graph, hubs, holders, found: Self { conduits, ..Self::default() } };
        if hubs.parameters.magic_nodes {
            finder.magic_nodes();
        }
        if hubs.parameters.common_funder {
            finder.common_funders();
        }
        if hubs.parameters.synchronous {
            finder.acquisitions();
        }
        finder.found
    }

    /// The members of each.
    pub(super) fn sets(&self) -> impl Iterator<Item = &[usize]> {
        let magic = self.conduits.iter().chain(&self.magic).map(|node| &node.members[..]);
        let funders = self.funders.iter().map(|funder| &funder.members[..]);
        magic.chain(funders).chain(self.groups.iter().map(|group| &group.members[..]))
    }
}

/// Accounts outside the top that are no hubs and traded with two or more top holders that are none either, those that
/// kept nothing, by address.
pub(super) fn passages(ledger: &Ledger, graph: &Graph<'_>, hubs: &Hubs<'_>, holders: &[Ranked]) -> Vec<Magic> {
    let mut passed: Vec<(Address, u32, usize)> = graph
        .outsiders(|outsider| graph.kept_nothing(outsider), |rank| holders[rank].reason.is_none())
        .map(|(outsider, rank)| (ledger.accounts.address(outsider), outsider, rank))
        .collect();
    passed.sort_unstable();
    let nodes = passed.chunk_by(|a, b| a.1 == b.1).filter(|node| node.len() > 1);
    nodes
        .filter(|node| hubs.reason(node[0].0, graph.degree(node[0].1)).is_none())
        .map(|node| Magic { account: node[0].1, members: node.iter().map(|&(_, _, rank)| rank).collect() })
        .collect()
}

impl Magic {
    /// What it is as a conduit, once it is known what went through it; `None` if it is none, or joins fewer than two.
    pub(super) fn conduit(
        self,
        ledger: &Ledger,
        graph: &Graph<'_>,
        hubs: &Hubs<'_>,
        holders: &[Ranked],
        histories: &Histories<'_>,
    ) -> Option<Self> {
        let account = self.account;
        let moved = || histories.movements(account).iter().filter(|moved| !moved.is_dust);
        let (into, out): (Vec<&Moved>, Vec<&Moved>) = moved().partition(|moved| moved.to == account);
        if out.is_empty() || out.len() > FEW {
            return None;
        }
        // What only goes on to an exchange may be the exchange's from the start: it takes deposits at such addresses.
        let is_custodian = |moved: &&Moved| {
            let address = ledger.accounts.address(moved.to);
            matches!(hubs.reason(address, graph.degree(moved.to)), Some(Reason::Exchange | Reason::Degree))
        };
        if out.iter().all(is_custodian) {
            return None;
        }
        // What comes and goes in one transaction goes through a contract, which anybody may use.
        let transactions = |moved: &[&Moved]| -> Vec<TxHash> {
            moved.iter().flat_map(|Moved { exchanged, .. }| [exchanged.first_tx(), exchanged.last_tx()]).collect()
        };
        let came = transactions(&into);
        if transactions(&out).iter().any(|tx| came.contains(tx)) {
            return None;
        }
        let is_wallet = |other: &u32| hubs.reason(ledger.accounts.address(*other), graph.degree(*other)).is_none();
        let others = moved().map(|moved| if moved.to == account { moved.from } else { moved.to });
        let dealt_with_few = others.filter(is_wallet).collect::<BTreeSet<u32>>().len() <= FEW;
        let is_tied = |&rank: &usize| {
            let member = holders[rank].account;
            let mut with = moved().filter(|moved| moved.from == member || moved.to == member);
            dealt_with_few || !with.any(|moved| histories.is_gift(moved))
        };
        let members: Vec<usize> = self.members.into_iter().filter(is_tied).collect();
        let sent = |&rank: &usize| into.iter().any(|moved| moved.from == holders[rank].account);
        (members.len() > 1 && members.iter().any(sent)).then_some(Self { account, members })
    }
}

struct Finder<'a> {
    ledger: &'a Ledger,
    graph: &'a Graph<'a>,
    hubs: &'a Hubs<'a>,
    holders: &'a [Ranked],
    found: Joints,
}

/// The first transfer a top holder was sent; mints do not count.
#[derive(Clone, Copy)]
struct Arrival {
    sender: Address,
    account: u32,
    block: u64,
    rank: usize,
    flow: u32,
}

impl Finder<'_> {
    fn is_hub(&self, rank: usize) -> bool {
        self.holders[rank].reason.is_some()
    }

    /// Those that are no hubs. What the hubs among them would join is noted.
    fn members(&mut self, ranks: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let (hubs, members): (Vec<_>, Vec<_>) = ranks.into_iter().partition(|&rank| self.is_hub(rank));
        if let Some(&one) = members.first() {
            self.found.kept_apart.extend(hubs.into_iter().map(|hub| (hub, one)));
        }
        members
    }

    /// Accounts outside the top that are no hubs and traded with two or more top holders that are none either, by
    /// address.
    fn magic_nodes(&mut self) {
        let (ledger, graph, hubs) = (self.ledger, self.graph, self.hubs);
        let mut touched = vec![false; ledger.accounts.len()];
        for (outsider, _) in graph.outsiders(|_| true, |rank| !self.is_hub(rank)) {
            touched[outsider as usize] = true;
        }
        let mut traded: Vec<(Address, u32, usize)> = graph
            .outsiders(|outsider| touched[outsider as usize], |_| true)
            .map(|(outsider, rank)| (ledger.accounts.address(outsider), outsider, rank))
            .collect();
        traded.sort_unstable();
        for node in traded.chunk_by(|a, b| a.1 == b.1).filter(|node| node.len() > 1) {
            let (address, account, _) = node[0];
            if hubs.reason(address, graph.degree(account)).is_none() {
                let members = self.members(node.iter().map(|&(_, _, rank)| rank));
                if members.len() > 1 {
                    self.found.magic.push(Magic { account, members });
                }
            }
        }
    }

    /// Accounts that are no hubs and sent top holders the chain's coin in time, by address. One that did so for as many
    /// as make a hub is taken for one.
    fn common_funders(&mut self) {
        let parameters = self.hubs.parameters;
        let addresses: Vec<Address> = self.holders.iter().map(|holder| holder.address).collect();
        let mut funded: Vec<(Address, usize)> = Vec::new();
        for (rank, (holder, first)) in self.ledger.first_blocks(&addresses).into_iter().enumerate() {
            let Some(funding) = self.hubs.subject.fundings.get(&holder) else {
                self.found.unfunded += u64::from(!self.is_hub(rank));
                continue;
            };
            let counts = first.saturating_sub(parameters.funding_window.into())..=first;
            if counts.contains(&funding.block) && funding.funder != holder && funding.funder != Address::ZERO {
                funded.push((funding.funder, rank));
            }
        }
        funded.sort_unstable();
        for of_one in funded.chunk_by(|a, b| a.0 == b.0) {
            let funder = of_one[0].0;
            if !parameters.include_hubs && of_one.len() >= parameters.hub_degree as usize {
                continue;
            }
            let funded = of_one.iter().map(|&(_, rank)| rank);
            let account = self.ledger.find_account(funder);
            let own = account.map(|account| self.graph.ranks[account as usize]).filter(|&rank| rank != OUTSIDE);
            let own = own.map(|rank| rank as usize);
            let degree = account.map_or(0, |account| self.graph.degree(account));
            if self.hubs.reason(funder, degree).is_some() {
                let others: Vec<usize> = funded.filter(|&rank| !self.is_hub(rank)).collect();
                self.found
                    .kept_apart
                    .extend(own.into_iter().flat_map(|own| others.iter().map(move |&rank| (own, rank))));
                continue;
            }
            let members = self.members(own.into_iter().chain(funded));
            if members.len() > 1 {
                let funded = members.iter().copied().filter(|&rank| Some(rank) != own).collect();
                self.found.funders.push(Funder { address: funder, funded, members });
            }
        }
    }

    /// Top holders that the same market sent the token first, by market, then block. A group begins with the earliest
    /// and spans so many blocks from there at most, without a chain of ever later ones. Hubs have their place in groups
    /// and are no members.
    fn acquisitions(&mut self) {
        let window = u64::from(self.hubs.parameters.synchronous_window);
        let arrivals = self.arrivals();
        let mut groups: Vec<&[Arrival]> = Vec::new();
        let mut rest = &arrivals[..];
        while let Some(first) = rest.first() {
            let last = (first.sender, first.block.saturating_add(window));
            let (group, after) = rest.split_at(rest.partition_point(|next| (next.sender, next.block) <= last));
            rest = after;
            if group.len() > 1 {
                groups.push(group);
            }
        }
        for (group, crowd) in groups.iter().zip(self.crowds(&groups)) {
            if crowd > CROWD {
                let others = group.iter().filter(|arrival| !self.is_hub(arrival.rank)).count();
                self.found.crowded += u64::from(others > 1);
                continue;
            }
            let members = self.members(group.iter().map(|arrival| arrival.rank));
            if members.len() > 1 {
                let joined = group.iter().filter(|arrival| !self.is_hub(arrival.rank));
                let flows = joined.map(|arrival| arrival.flow).collect();
                self.found.groups.push(Group { pool: group[0].sender, members, flows });
            }
        }
    }

    /// From markets, by sender, then block.
    fn arrivals(&self) -> Vec<Arrival> {
        let mut first: Vec<Option<((u64, u32), Arrival)>> = vec![None; self.holders.len()];
        for Flow { flow, from: account, to, is_nothing } in self.ledger.flows() {
            let rank = self.graph.ranks[to as usize];
            if rank == OUTSIDE || is_nothing {
                continue;
            }
            let (place, rank) = (self.ledger.first_place(flow), rank as usize);
            let sender = self.ledger.accounts.address(account);
            if first[rank].is_none_or(|(kept, from)| (place, sender) < (kept, from.sender)) {
                first[rank] = Some((place, Arrival { sender, account, block: place.0, rank, flow }));
            }
        }
        let is_market = |arrival: &Arrival| self.hubs.is_market(arrival.sender, self.graph.degree(arrival.account));
        let mut arrivals: Vec<Arrival> =
            first.into_iter().flatten().map(|(_, arrival)| arrival).filter(is_market).collect();
        arrivals.sort_unstable_by_key(|arrival| (arrival.sender, arrival.block, arrival.rank));
        arrivals
    }

    /// How many addresses, holders or not, each group's market sent the token for the first time in the group's blocks.
    fn crowds(&self, groups: &[&[Arrival]]) -> Vec<usize> {
        let mut of_market: HashMap<u32, Range<usize>> = HashMap::new();
        for (index, group) in groups.iter().enumerate() {
            of_market.entry(group[0].account).or_insert(index..index).end = index + 1;
        }
        let mut crowds = vec![0; groups.len()];
        for flow in self.ledger.flows().filter(|flow| !flow.is_nothing) {
            let Some(range) = of_market.get(&flow.from) else { continue };
            let (block, _) = self.ledger.first_place(flow.flow);
            // The groups of one market follow each other.
            let later = groups[range.clone()].partition_point(|group| group[group.len() - 1].block < block);
            let index = range.start + later;
            if index < range.end && groups[index][0].block <= block {
                crowds[index] += 1;
            }
        }
        crowds
    }
}
