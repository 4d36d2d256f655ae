use prefetch_index::prefetch_index;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::dust::Dust;
use crate::ledger::{Flow, Ledger};
use crate::memory::Room;

/// Which flows are looked at.
#[derive(Clone, Copy)]
pub(super) struct Trades<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) include_zero_value: bool,
    pub(super) dust: &'a Dust,
}

/// With whom some accounts traded: for each of them the flows to and from it, by age.
///
/// An analysis asks this of few accounts. Putting the flows of these together costs a pass over all flows; bringing all
/// in the order of their pairs would cost several.
pub(super) struct Neighbours {
    /// Those of the n-th account are before `ends[n]`, from the end of the one before it on; the first is nobody's.
    ends: Vec<u32>,
    trades: Room<Trade>,
}

/// So many trades ahead memory is asked for what is known of the other.
const AHEAD: usize = 16;

/// A flow between an account and another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(super) struct Trade {
    pub(super) other: u32,
    pub(super) flow: u32,
}

impl<'a> Trades<'a> {
    /// Each flow, and the accounts of one that comes somewhat later.
    fn flows(self) -> impl Iterator<Item = (Flow, [u32; 2])> + 'a {
        self.ledger.flows_ahead().filter(move |(flow, _)| self.include_zero_value || !flow.is_nothing)
    }

    /// By account: in how many flows it is, at least as many as it traded with others.
    pub(super) fn counts(self) -> Vec<u32> {
        let mut counts = vec![0; self.ledger.accounts.len()];
        self.flows().for_each(|(Flow { from, to, .. }, later)| {
            later.into_iter().for_each(|account| prefetch_index(&counts, account as usize));
            counts[from as usize] += 1;
            counts[to as usize] += 1;
        });
        counts
    }

    /// Of `accounts`, no two of them the same. `counts` is what [`Self::counts`] says.
    pub(super) fn neighbours(self, accounts: &[u32], counts: &[u32]) -> Neighbours {
        // By account: where its next flow goes. All that nobody asks for goes to the first place, over and over, which
        // costs less than asking each time.
        let mut places = vec![0_u32; counts.len()];
        let mut end = 1;
        let ends = accounts.iter().map(|&account| {
            places[account as usize] = end;
            end += counts[account as usize];
            end
        });
        let ends = ends.collect();
        let mut room = Room::zeroed(end as usize);
        let trades = room.as_mut_slice();
        self.flows().for_each(|(Flow { flow, from, to, .. }, later)| {
            later.into_iter().for_each(|account| prefetch_index(&places, account as usize));
            for (account, other) in [(from, to), (to, from)] {
                let place = &mut places[account as usize];
                trades[*place as usize] = Trade { other, flow };
                *place += u32::from(*place != 0);
            }
        });
        Neighbours { ends, trades: room }
    }

    /// Whether the trades between two are next to nothing.
    pub(super) fn are_dust(self, trades: &[Trade]) -> bool {
        self.dust.are(self.ledger, trades.iter().map(|trade| trade.flow))
    }
}

impl Neighbours {
    /// Of the n-th account.
    pub(super) fn of(&self, n: usize) -> &[Trade] {
        let start = n.checked_sub(1).map_or(1, |before| self.ends[before]);
        &self.trades.as_slice()[start as usize..self.ends[n] as usize]
    }

    /// With how many others each account traded more than dust.
    pub(super) fn degrees(&self, trades: Trades<'_>) -> Vec<u32> {
        // By account: the last that was seen to trade with it, counted from 1.
        let mut seen = vec![0; trades.ledger.accounts.len()];
        let mut unsure = Vec::new();
        let degree = |(n, by): (usize, u32)| {
            let mut degree = 0;
            unsure.clear();
            let of_account = self.of(n);
            for (at, &trade) in of_account.iter().enumerate() {
                if let Some(later) = of_account.get(at + AHEAD) {
                    prefetch_index(&seen, later.other as usize);
                }
                if trades.dust.is_enough(trade.flow) {
                    let seen = &mut seen[trade.other as usize];
                    degree += u32::from(*seen != by);
                    *seen = by;
                } else {
                    unsure.push(trade);
                }
            }
            unsure.retain(|trade| seen[trade.other as usize] != by);
            degree + by_other(&mut unsure).filter(|between| !trades.are_dust(between)).map(|_| 1).sum::<u32>()
        };
        (0..self.ends.len()).zip(1..).map(degree).collect()
    }
}

/// The trades with each other account.
pub(super) fn by_other(trades: &mut [Trade]) -> impl Iterator<Item = &[Trade]> {
    trades.sort_unstable();
    trades.chunk_by(|a, b| a.other == b.other)
}
