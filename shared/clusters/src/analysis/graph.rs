use super::dust::Dust;
use super::neighbours::{Neighbours, Trade, Trades, by_other};
use crate::Parameters;
use crate::ledger::{Exchanged, Flow, Ledger};

/// The rank of who is not among the top holders.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Who traded with whom, as far as the parameters count it.
pub(super) struct Graph<'a> {
    trades: Trades<'a>,
    /// By account: its rank from 0 among the top holders, or `OUTSIDE`.
    pub(super) ranks: Vec<u32>,
    /// By account: in how many flows it is.
    counts: Vec<u32>,
    /// By account: its degree, or less than makes a hub.
    degrees: Vec<u32>,
    /// Of the top holders by rank, then of others.
    neighbours: Neighbours,
    holders: usize,
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

impl<'a> Graph<'a> {
    pub(super) fn of(ledger: &'a Ledger, top: &[u32], dust: &'a Dust, parameters: &Parameters) -> Self {
        let trades = Trades { ledger, include_zero_value: parameters.include_zero_value, dust };
        let mut ranks = vec![OUTSIDE; ledger.accounts.len()];
        for (rank, &account) in (0..).zip(top) {
            ranks[account as usize] = rank;
        }
        let counts = trades.counts();
        // Nobody else can be a hub.
        let busy = (0..).zip(counts.iter().zip(&ranks));
        let busy = busy.filter(|&(_, (&count, &rank))| count >= parameters.hub_degree && rank == OUTSIDE);
        let accounts: Vec<u32> = top.iter().copied().chain(busy.map(|(account, _)| account)).collect();
        let neighbours = trades.neighbours(&accounts, &counts);
        let mut degrees = vec![0; ledger.accounts.len()];
        for (&account, degree) in accounts.iter().zip(neighbours.degrees(trades)) {
            degrees[account as usize] = degree;
        }
        let edges = edges(trades, &neighbours, top.len(), &ranks);
        Self { trades, ranks, counts, degrees, neighbours, holders: top.len(), edges }
    }

    /// How many distinct others the account traded with, dust not counted; of one outside the top that is no hub by it,
    /// any number that makes no hub.
    pub(super) fn degree(&self, account: u32) -> u32 {
        self.degrees[account as usize]
    }

    /// How many distinct others each of the accounts traded with, dust not counted, no two of them the same.
    pub(super) fn degrees(&self, accounts: &[u32]) -> Vec<u32> {
        if accounts.is_empty() {
            return Vec::new();
        }
        self.trades.neighbours(accounts, &self.counts).degrees(self.trades)
    }

    /// Whether the balance of an account is none to speak of.
    pub(super) fn kept_nothing(&self, account: u32) -> bool {
        self.trades.dust.is_left_over(self.trades.ledger.accounts.balance(account))
    }

    /// The accounts outside the top that traded more than dust with a top holder, each with that holder's rank, once
    /// for a pair; as far as both are wanted.
    pub(super) fn outsiders(
        &self,
        outsider: impl Fn(u32) -> bool,
        holder: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (u32, usize)> {
        let mut wanted = Vec::new();
        (0..self.holders).filter(move |&rank| holder(rank)).flat_map(move |rank| {
            wanted.clear();
            let is_wanted = |trade: &&Trade| self.ranks[trade.other as usize] == OUTSIDE && outsider(trade.other);
            wanted.extend(self.neighbours.of(rank).iter().filter(is_wanted));
            let pairs = by_other(&mut wanted).filter(|between| !self.trades.are_dust(between));
            pairs.map(|between| (between[0].other, rank)).collect::<Vec<_>>()
        })
    }

    /// All that went to and from each of the accounts, in their order, each direction of a pair once.
    pub(super) fn movements(&self, accounts: &[u32]) -> Vec<Vec<Moved>> {
        let Trades { ledger, .. } = self.trades;
        let neighbours = self.trades.neighbours(accounts, &self.counts);
        let mut sorted = Vec::new();
        let of_account = |n| {
            let mut movements: Vec<Moved> = Vec::new();
            sorted.clear();
            sorted.extend_from_slice(neighbours.of(n));
            for between in by_other(&mut sorted) {
                let (is_dust, start) = (self.trades.are_dust(between), movements.len());
                for Flow { flow, from, to, .. } in between.iter().map(|trade| ledger.flow(trade.flow)) {
                    let exchanged = ledger.exchanged(flow);
                    match movements[start..].iter_mut().find(|moved| moved.from == from) {
                        Some(moved) => moved.exchanged = moved.exchanged.join(exchanged),
                        None => movements.push(Moved { flow, from, to, exchanged, is_dust }),
                    }
                }
            }
            movements
        };
        (0..accounts.len()).map(of_account).collect()
    }
}

/// One for each direction in which a top holder sent another something.
fn edges(trades: Trades<'_>, neighbours: &Neighbours, top: usize, ranks: &[u32]) -> Vec<Edge> {
    let ledger = trades.ledger;
    let mut edges: Vec<Edge> = Vec::new();
    let mut later = Vec::new();
    for (rank, n) in (0..).zip(0..top) {
        later.clear();
        let is_later = |trade: &&Trade| {
            let other = ranks[trade.other as usize];
            other != OUTSIDE && other > rank
        };
        later.extend(neighbours.of(n).iter().filter(is_later));
        for between in by_other(&mut later) {
            let (is_dust, start) = (trades.are_dust(between), edges.len());
            // Transfers of nothing are later than those of something.
            let flows = |is_nothing: bool| {
                let flows = between.iter().map(|trade| ledger.flow(trade.flow));
                flows.filter(move |flow| flow.is_nothing == is_nothing)
            };
            for flow in flows(false).chain(flows(true)) {
                let [from, to] = [flow.from, flow.to].map(|account| ranks[account as usize] as usize);
                let (flow, exchanged) = (flow.flow, ledger.exchanged(flow.flow));
                match edges[start..].iter_mut().find(|edge| edge.from == from) {
                    Some(edge) => edge.exchanged = edge.exchanged.join(exchanged),
                    None => edges.push(Edge { from, to, flow, exchanged, is_dust }),
                }
            }
        }
    }
    edges
}
