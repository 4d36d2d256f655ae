use super::dust::Dust;
use crate::Parameters;
use crate::ledger::{Exchanged, Ledger};

/// The rank of who is not among the top holders.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Who traded with whom, as far as the parameters count it.
pub(super) struct Graph<'a> {
    trades: Trades<'a>,
    /// By account: its rank from 0 among the top holders, or `OUTSIDE`.
    pub(super) ranks: Vec<u32>,
    /// By account: how many distinct others it traded with, dust not counted.
    pub(super) degrees: Vec<u32>,
    pub(super) edges: Vec<Edge>,
}

/// What one top holder sent another.
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// In the ledger; the first of several.
    pub(super) flow: u32,
    pub(super) exchanged: Exchanged,
    /// The two exchanged next to nothing, in both directions together.
    pub(super) is_dust: bool,
}

#[derive(Clone, Copy)]
struct Trades<'a> {
    ledger: &'a Ledger,
    include_zero_value: bool,
    dust: Dust,
}

impl<'a> Graph<'a> {
    pub(super) fn of(ledger: &'a Ledger, top: &[u32], dust: Dust, parameters: &Parameters) -> Self {
        let trades = Trades { ledger, include_zero_value: parameters.include_zero_value, dust };
        let mut ranks = vec![OUTSIDE; ledger.accounts.len()];
        for (rank, &account) in (0..).zip(top) {
            ranks[account as usize] = rank;
        }
        let mut degrees = vec![0; ledger.accounts.len()];
        let mut edges = Vec::new();
        for (a, b, first) in trades.pairs() {
            let is_dust = dust.is_pair(ledger, first);
            if !is_dust {
                degrees[a as usize] += 1;
                degrees[b as usize] += 1;
            }
            if ranks[a as usize] != OUTSIDE && ranks[b as usize] != OUTSIDE {
                trades.push_edges(first, is_dust, &ranks, &mut edges);
            }
        }
        Self { trades, ranks, degrees, edges }
    }

    /// Whether the balance of an account is none to speak of.
    pub(super) fn kept_nothing(&self, account: u32) -> bool {
        self.trades.dust.is_left_over(self.trades.ledger.accounts[account as usize].balance)
    }

    /// The accounts outside the top that traded more than dust with a top holder, each with that holder's rank, once
    /// for a pair.
    pub(super) fn outsiders(&self) -> impl Iterator<Item = (u32, usize)> {
        self.outsiders_where(|_, _| true)
    }

    /// Those of them that are wanted; asking is cheaper than telling dust.
    pub(super) fn outsiders_where(&self, wanted: impl Fn(u32, usize) -> bool) -> impl Iterator<Item = (u32, usize)> {
        let Trades { ledger, dust, .. } = self.trades;
        let pairs =
            self.trades.pairs().filter_map(|(a, b, first)| match (self.ranks[a as usize], self.ranks[b as usize]) {
                (OUTSIDE, OUTSIDE) => None,
                (OUTSIDE, rank) => Some((a, rank as usize, first)),
                (rank, OUTSIDE) => Some((b, rank as usize, first)),
                _ => None,
            });
        pairs
            .filter(move |&(outsider, rank, first)| wanted(outsider, rank) && !dust.is_pair(ledger, first))
            .map(|(outsider, rank, _)| (outsider, rank))
    }
}

/// A flow of something, and whether its pair exchanged next to nothing.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub(super) flow: u32,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) is_dust: bool,
}

impl Graph<'_> {
    /// All that went to and from each of the accounts, in their order.
    pub(super) fn movements(&self, accounts: &[u32]) -> Vec<Vec<Moved>> {
        let Trades { ledger, dust, .. } = self.trades;
        let mut places = vec![OUTSIDE; ledger.accounts.len()];
        for (place, &account) in (0..).zip(accounts) {
            places[account as usize] = place;
        }
        let mut movements = vec![Vec::new(); accounts.len()];
        for (a, b, first) in self.trades.pairs() {
            let kept = [a, b].map(|account| places[account as usize]);
            if kept == [OUTSIDE; 2] {
                continue;
            }
            let is_dust = dust.is_pair(ledger, first);
            for (key, flow) in ledger.flows_of_pair(first).filter(|(key, _)| !key.is_nothing()) {
                let moved = Moved { flow, from: key.from(), to: key.to(), is_dust };
                for place in kept.into_iter().filter(|&place| place != OUTSIDE) {
                    movements[place as usize].push(moved);
                }
            }
        }
        movements
    }
}

impl<'a> Trades<'a> {
    /// Each unordered pair of accounts that traded, with its first flow.
    fn pairs(self) -> impl Iterator<Item = (u32, u32, u32)> + 'a {
        let keys = (0..).zip(&self.ledger.flow_keys);
        keys.filter(move |&(flow, key)| {
            let counts = |is_nothing: bool| self.include_zero_value || !is_nothing;
            let mut flows = self.ledger.flows_of_pair(flow);
            key.is_first() && (counts(key.is_nothing()) || flows.any(|(key, _)| counts(key.is_nothing())))
        })
        .map(|(flow, key)| (key.from(), key.to(), flow))
    }

    /// One edge for each direction in which something was sent.
    fn push_edges(self, first: u32, is_dust: bool, ranks: &[u32], edges: &mut Vec<Edge>) {
        let start = edges.len();
        for (key, flow) in self.ledger.flows_of_pair(first) {
            if key.is_nothing() && !self.include_zero_value {
                continue;
            }
            let [from, to] = [key.from(), key.to()].map(|account| ranks[account as usize] as usize);
            let exchanged = self.ledger.exchanged(flow);
            match edges[start..].iter_mut().find(|edge| edge.from == from) {
                Some(edge) => edge.exchanged = edge.exchanged.join(exchanged),
                None => edges.push(Edge { from, to, flow, exchanged, is_dust }),
            }
        }
    }
}
