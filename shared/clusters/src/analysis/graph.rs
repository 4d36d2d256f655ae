use crate::Parameters;
use crate::ledger::{Exchanged, Ledger};

pub(super) const OUTSIDE: u32 = u32::MAX;

/// Who traded with whom, as far as the parameters count it.
pub(super) struct Graph<'a> {
    ledger: &'a Ledger,
    include_zero_value: bool,
    /// By account: its rank from 0 among the top holders, or `OUTSIDE`.
    pub(super) ranks: Vec<u32>,
    /// By account: how many distinct others it traded with.
    pub(super) degrees: Vec<u32>,
    pub(super) edges: Vec<Edge>,
}

/// What one top holder sent another.
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) exchanged: Exchanged,
}

impl<'a> Graph<'a> {
    pub(super) fn of(ledger: &'a Ledger, top: &[u32], parameters: &Parameters) -> Self {
        let mut ranks = vec![OUTSIDE; ledger.accounts.len()];
        for (rank, &account) in (0..).zip(top) {
            ranks[account as usize] = rank;
        }
        let degrees = vec![0; ledger.accounts.len()];
        let mut graph =
            Self { ledger, include_zero_value: parameters.include_zero_value, ranks, degrees, edges: Vec::new() };
        let (mut degrees, mut edges) = (std::mem::take(&mut graph.degrees), Vec::new());
        for (a, b, first) in graph.pairs() {
            degrees[a as usize] += 1;
            degrees[b as usize] += 1;
            if graph.ranks[a as usize] != OUTSIDE && graph.ranks[b as usize] != OUTSIDE {
                graph.push_edges(first, &mut edges);
            }
        }
        Self { degrees, edges, ..graph }
    }

    /// Each unordered pair of accounts that traded once, with its first flow.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let firsts = (0..).zip(&self.ledger.flow_keys).filter(|(_, key)| key.is_first);
        let counted = |&(first, key): &(u32, _)| -> bool {
            let key: &crate::ledger::FlowKey = key;
            !key.zero_value
                || self.include_zero_value
                || self.ledger.flows_of_pair(first).any(|(key, _)| !key.zero_value)
        };
        firsts.filter(counted).map(|(first, key)| (key.from, key.to, first))
    }

    fn push_edges(&self, first: u32, edges: &mut Vec<Edge>) {
        let start = edges.len();
        for (key, flow) in self.ledger.flows_of_pair(first) {
            if key.zero_value && !self.include_zero_value {
                continue;
            }
            let from = self.ranks[key.from as usize] as usize;
            let to = self.ranks[key.to as usize] as usize;
            let exchanged = self.ledger.exchanged(flow);
            match edges[start..].iter_mut().find(|edge| edge.from == from) {
                Some(edge) => edge.exchanged = edge.exchanged.join(exchanged),
                None => edges.push(Edge { from, to, exchanged }),
            }
        }
    }
}
