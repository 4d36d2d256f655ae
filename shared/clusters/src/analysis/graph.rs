use super::dust::Dust;
use crate::Parameters;
use crate::ledger::{Exchanged, Flow, Ledger, Pair};

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

/// Something that was sent, and whether its pair exchanged next to nothing.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    /// In the ledger; the first of several.
    pub(super) flow: u32,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) exchanged: Exchanged,
    pub(super) is_dust: bool,
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
    dust: &'a Dust,
}

impl<'a> Graph<'a> {
    pub(super) fn of(ledger: &'a Ledger, top: &[u32], dust: &'a Dust, parameters: &Parameters) -> Self {
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

    /// Whether the balance of an account is none to speak of.
    pub(super) fn kept_nothing(&self, account: u32) -> bool {
        self.trades.dust.is_left_over(self.trades.ledger.accounts[account].balance())
    }

    /// The accounts outside the top that traded more than dust with a top holder, each with that holder's rank, once
    /// for a pair.
    pub(super) fn outsiders(&self) -> impl Iterator<Item = (u32, usize)> {
        self.outsiders_where(|_, _| true)
    }

    /// Those of them that are wanted; asking is cheaper than telling dust.
    pub(super) fn outsiders_where(&self, wanted: impl Fn(u32, usize) -> bool) -> impl Iterator<Item = (u32, usize)> {
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
        pairs
            .filter(move |&(outsider, rank, pair)| wanted(outsider, rank) && !dust.is_pair(ledger, pair))
            .map(|(outsider, rank, _)| (outsider, rank))
    }

    /// All that went to and from each of the accounts, in their order, each direction of a pair once.
    pub(super) fn movements(&self, accounts: &[u32]) -> Vec<Vec<Moved>> {
        let Trades { ledger, dust, .. } = self.trades;
        let mut places = vec![OUTSIDE; ledger.accounts.len()];
        for (place, &account) in (0..).zip(accounts) {
            places[account as usize] = place;
        }
        let mut movements = vec![Vec::new(); accounts.len()];
        let mut of_pair: Vec<Moved> = Vec::new();
        for pair in self.trades.pairs() {
            let kept = pair.accounts.map(|account| places[account as usize]);
            if kept == [OUTSIDE; 2] {
                continue;
            }
            let is_dust = dust.is_pair(ledger, pair);
            of_pair.clear();
            for Flow { flow, from, to, .. } in ledger.flows_of_pair(pair).filter(|flow| !flow.is_nothing) {
                let exchanged = ledger.exchanged(flow);
                match of_pair.iter_mut().find(|moved| moved.from == from) {
                    Some(moved) => moved.exchanged = moved.exchanged.join(exchanged),
                    None => of_pair.push(Moved { flow, from, to, exchanged, is_dust }),
                }
            }
            for place in kept.into_iter().filter(|&place| place != OUTSIDE) {
                movements[place as usize].extend_from_slice(&of_pair);
            }
        }
        movements
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
            let (flow, exchanged) = (flow.flow, self.ledger.exchanged(flow.flow));
            match edges[start..].iter_mut().find(|edge| edge.from == from) {
                Some(edge) => edge.exchanged = edge.exchanged.join(exchanged),
                None => edges.push(Edge { from, to, flow, exchanged, is_dust }),
            }
        }
    }
}
