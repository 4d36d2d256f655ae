//! Which transfers are so slight a tie that they should not bind a group.

use std::collections::{BTreeMap, HashMap};

use super::dust::parts_per_billion;
use super::graph::{Edge, Graph, Moved};
use super::{Ledger, Ranked};
use crate::components::Components;
use crate::{Parameters, Units};

/// How many wallets a group may have for a single gift to bind it to another.
const PAIR: usize = 2;

/// What some accounts were sent and sent.
pub(super) struct Histories<'a> {
    ledger: &'a Ledger,
    movements: HashMap<u32, Vec<Moved>>,
    percent: u32,
}

impl<'a> Histories<'a> {
    pub(super) fn of(
        ledger: &'a Ledger,
        graph: &Graph<'_>,
        accounts: impl Iterator<Item = u32>,
        parameters: &Parameters,
    ) -> Self {
        let mut accounts: Vec<u32> = accounts.collect();
        accounts.sort_unstable();
        accounts.dedup();
        let movements = if accounts.is_empty() { Vec::new() } else { graph.movements(&accounts) };
        let movements = accounts.into_iter().zip(movements).collect();
        Self { ledger, movements, percent: parameters.gift_percent }
    }

    /// To and from an account.
    pub(super) fn movements(&self, account: u32) -> &[Moved] {
        self.movements.get(&account).map_or(&[], Vec::as_slice)
    }

    /// Whether two accounts whose histories these are have nothing between them but a single transfer, `moved` being a
    /// flow of theirs, and that a small part of all its sender ever got, to somebody who had the token from elsewhere
    /// already. A wallet's first tokens are no gift to it: whoever sent them may have made it.
    pub(super) fn is_gift(&self, moved: &Moved) -> bool {
        let Moved { flow, from, to, exchanged, .. } = *moved;
        if self.percent == 0 || exchanged.transfers > 1 {
            return false;
        }
        let received = self.received(from);
        if !received.is_positive() || exchanged.total >= parts_per_billion(received, self.percent * 10_000_000) {
            return false;
        }
        let place = exchanged.first_place();
        let to_receiver = self.movements(to).iter();
        let (own, between): (Vec<&Moved>, Vec<&Moved>) =
            to_receiver.filter(|other| other.flow != flow).partition(|other| other.from != from && other.to != from);
        let had = |other: &&Moved| other.to == to && !other.is_dust && other.exchanged.first_place() < place;
        between.is_empty() && own.iter().any(had)
    }

    /// All that an account ever got, less what it burned: what it has, and what it sent. Nothing is missed where the
    /// ledger keeps no more than sums of mints.
    pub(super) fn received(&self, account: u32) -> Units {
        let sent = self.movements(account).iter().filter(|moved| moved.from == account);
        sent.map(|moved| moved.exchanged.total).sum::<Units>() + self.ledger.accounts.balance(account)
    }
}

/// The edges that are single transfers between two wallets, of more than dust.
pub(super) fn single(graph: &Graph<'_>, holders: &[Ranked]) -> Vec<usize> {
    let is_single = |edge: &Edge| {
        let are_wallets = [edge.from, edge.to].iter().all(|&rank| holders[rank].reason.is_none());
        !edge.is_dust && edge.exchanged.transfers == 1 && are_wallets
    };
    graph.edges.iter().enumerate().filter(|(_, edge)| is_single(edge)).map(|(edge, _)| edge).collect()
}

/// Joins by gifts what they suffice for: groups of at most two, and groups that have several gifts between them. What
/// was joined by other gifts does not count as a group.
pub(super) fn join(components: &mut Components, gifts: &[(usize, usize)], holders: usize) {
    let mut sizes = vec![0_usize; holders];
    for rank in 0..holders {
        sizes[components.find(rank)] += 1;
    }
    let mut between: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for &(from, to) in gifts {
        let (from, to) = (components.find(from), components.find(to));
        if from != to {
            *between.entry((from.min(to), from.max(to))).or_default() += 1;
        }
    }
    between.retain(|&(a, b), gifts| *gifts > 1 || (sizes[a] <= PAIR && sizes[b] <= PAIR));
    for (a, b) in between.into_keys() {
        components.join(a, b);
    }
}
