use super::dust::Dust;
use crate::Parameters;
use crate::ledger::{Exchanged, Ledger, Pair};

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
        for pair in trades.pairs() {
            let [a, b] = pair.accounts;
            let is_dust = dust.is_pair(ledger, pair);
            if !is_dust {
                degrees[a as usize] += 1;
                degrees[b as usize] += 1;
            }
            if ranks[a as usize] != OUTSIDE && ranks[b as usize] != OUTSIDE {
                trades.push_edges(pair, is_dust, &ranks, &mut edges);
            }
        }
        Self { trades, ranks, degrees, edges }
    }

    /// The accounts outside the top that traded more than dust with a top holder, each with that holder's rank, once
    /// for a pair.
    pub(super) fn outsiders(&self) -> impl Iterator<Item = (u32, usize)> {
        let Trades { ledger, dust, .. } = self.trades;
        let pairs = self.trades.pairs().filter_map(|pair| {
            let [a, b] = pair.accounts;
            match [a, b].map(|account| self.ranks[account as usize]) {
                [OUTSIDE, OUTSIDE] => None,
                [OUTSIDE, rank] => Some((a, rank as usize, pair)),
                [rank, OUTSIDE] => Some((b, rank as usize, pair)),
                _ => None,
            }
        });
        pairs.filter(move |&(_, _, pair)| !dust.is_pair(ledger, pair)).map(|(outsider, rank, _)| (outsider, rank))
    }
}

impl<'a> Trades<'a> {
    /// Each two accounts that traded.
    fn pairs(self) -> impl Iterator<Item = Pair> + 'a {
        self.ledger.pairs().filter(move |pair| self.include_zero_value || !pair.is_nothing)
    }

    /// One edge for each direction in which something was sent.
    fn push_edges(self, pair: Pair, is_dust: bool, ranks: &[u32], edges: &mut Vec<Edge>) {
        let start = edges.len();
        let flows =
            |is_nothing: bool| self.ledger.flows_of_pair(pair).filter(move |flow| flow.is_nothing == is_nothing);
        for flow in flows(false).chain(flows(true).filter(|_| self.include_zero_value)) {
            let [from, to] = [flow.from, flow.to].map(|account| ranks[account as usize] as usize);
            let exchanged = self.ledger.exchanged(flow.flow);
            match edges[start..].iter_mut().find(|edge| edge.from == from) {
                Some(edge) => edge.exchanged = edge.exchanged.join(exchanged),
                None => edges.push(Edge { from, to, exchanged, is_dust }),
            }
        }
    }
}
