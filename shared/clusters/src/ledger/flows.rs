use std::collections::HashMap;

use super::index::NONE;
use super::{Exchanged, Moment};
use crate::{Amount, Transfer, Units};

/// What accounts sent each other.
///
/// A transfer is appended as a flow of its own, which costs no lookup. [`Flows::sort`] brings them in the order of
/// their pairs for an analysis, which looks closer at few of them. [`Flows::settle`] adds each to the first of its pair
/// that goes in the same direction, whenever there are twice as many as last time, so that memory grows with pairs.
#[derive(Clone, Debug)]
pub(super) struct Flows {
    keys: Vec<Key>,
    /// By flow: the lower 128 bits of what it moved, least first.
    totals: Vec<[u64; 2]>,
    /// By flow: its first transfer.
    firsts: Vec<Moment>,
    repeats: Vec<Repeat>,
    /// What a flow's total has above its 128 bits, by flow; hardly any has.
    excess: HashMap<u32, Units>,
    /// The pairs by the later of their accounts: those of account `a` are from `starts[a]` to before `starts[a + 1]`.
    starts: Vec<u32>,
    /// The flows in the order of their pairs.
    sorted: Vec<Entry>,
    state: State,
    /// With so many flows it is time to settle.
    room: usize,
}

/// One direction between two accounts, apart for transfers of something and of nothing, so that an analysis can leave
/// the latter out.
#[derive(Clone, Copy, Debug)]
struct Key {
    from: u32,
    /// With `NOTHING` for transfers of nothing.
    to: u32,
    /// Position in `repeats`, `NONE` for a flow of one transfer, or `GONE` for one that was added to another.
    repeat: u32,
}

/// Most flows are of one transfer, so what only others need is elsewhere.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    transfers: u64,
    last: Moment,
}

/// A flow, or a part of one that is not added up yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) flow: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Its transfers move nothing.
    pub(crate) is_nothing: bool,
}

/// Two accounts that traded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) accounts: [u32; 2],
    /// They only sent each other nothing.
    pub(crate) is_nothing: bool,
    /// Where its flows are in the order of pairs.
    place: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Some were added since.
    Added,
    Sorted,
    /// Sorted, and each direction of a pair is one flow.
    Settled,
}

/// A bit that no position of an account has.
const NOTHING: u32 = NONE;
const GONE: u32 = NONE | 1;
/// There are fewer flows, so that an entry has room for one.
const MOST: usize = 1 << 30;
/// Fewer flows than this, 180 MB of them, are not settled to save memory.
const ROOM: usize = 1 << 21;

impl Default for Flows {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            totals: Vec::new(),
            firsts: Vec::new(),
            repeats: Vec::new(),
            excess: HashMap::new(),
            starts: vec![0],
            sorted: Vec::new(),
            state: State::Settled,
            room: ROOM,
        }
    }
}

impl Flows {
    #[inline]
    pub(super) fn push(&mut self, from: u32, to: u32, transfer: &Transfer) {
        let [a, b, c, d] = *transfer.value.as_limbs();
        self.append(from, to, transfer.value == Amount::ZERO, [a, b], Moment::of(transfer));
        self.exceed(self.keys.len() - 1, [c, d]);
    }

    /// A flow as it was saved.
    pub(super) fn push_sum(&mut self, from: u32, to: u32, Exchanged { transfers, total, first, last }: Exchanged) {
        let [a, b, c, d, e] = total.limbs();
        self.append(from, to, total == Units::ZERO, [a, b], first);
        let excess = Units::from_limbs([c, d, e, 0, 0]);
        if excess != Units::ZERO {
            self.excess.insert(position(self.keys.len() - 1), excess);
        }
        if transfers > 1 {
            self.keys[self.totals.len() - 1].repeat = position(self.repeats.len());
            self.repeats.push(Repeat { transfers, last });
        }
    }

    #[inline]
    fn append(&mut self, from: u32, to: u32, is_nothing: bool, total: [u64; 2], first: Moment) {
        self.keys.push(Key { from, to: if is_nothing { to | NOTHING } else { to }, repeat: NONE });
        self.totals.push(total);
        self.firsts.push(first);
        self.state = State::Added;
    }

    /// Adds `[low, high]` times 2¹²⁸.
    #[inline]
    fn exceed(&mut self, flow: usize, [low, high]: [u64; 2]) {
        if low | high != 0 {
            *self.excess.entry(position(flow)).or_default() += Units::from_limbs([low, high, 0, 0, 0]);
        }
    }

    /// Settles when it is time for it.
    #[inline]
    pub(super) fn make_room(&mut self, accounts: usize) {
        if self.keys.len() >= self.room {
            self.settle(accounts);
            self.room = ROOM.max(2 * self.keys.len());
        }
    }

    pub(super) fn settle(&mut self, accounts: usize) {
        self.sort(accounts);
        if self.state == State::Settled {
            return;
        }
        self.merge();
        self.squeeze();
        self.state = State::Added;
        self.sort(accounts);
        self.state = State::Settled;
    }

    /// A counting sort by the later account, and each account's flows by the earlier one: most accounts have few, the
    /// later of two fewer than the earlier.
    pub(super) fn sort(&mut self, accounts: usize) {
        if self.state >= State::Sorted {
            return;
        }
        let Self { keys, starts, sorted, .. } = self;
        assert!(keys.len() < MOST, "2^30 flows of 80 bytes or more do not fit in memory");
        starts.clear();
        starts.resize(accounts + 1, 0);
        for key in &*keys {
            starts[key.from.max(key.to()) as usize] += 1;
        }
        let mut end = 0;
        for start in &mut *starts {
            end += *start;
            *start = end;
        }
        sorted.clear();
        sorted.resize(end as usize, Entry(0));
        for (flow, key) in keys.iter().enumerate() {
            let start = &mut starts[key.from.max(key.to()) as usize];
            *start -= 1;
            sorted[*start as usize] = Entry::new(flow, key);
        }
        for range in starts.windows(2) {
            let of_account = &mut sorted[range[0] as usize..range[1] as usize];
            if of_account.len() > 1 {
                of_account.sort_unstable();
            }
            let mut before = None;
            for entry in of_account {
                let other = Some(entry.other());
                if std::mem::replace(&mut before, other) != other {
                    *entry = entry.beginning();
                }
            }
        }
        self.state = State::Sorted;
    }

    /// Adds each flow to the first like it.
    fn merge(&mut self) {
        let sorted = std::mem::take(&mut self.sorted);
        for pair in sorted.chunk_by(|_, next| !next.begins()) {
            // By kind: two may have sent each other tokens a million times.
            let mut firsts = [None; 4];
            for entry in pair {
                match firsts[entry.kind()] {
                    Some(first) => self.absorb(first, entry.flow()),
                    None => firsts[entry.kind()] = Some(entry.flow()),
                }
            }
        }
        self.sorted = sorted;
    }

    /// Adds `later` to `flow`, which came before it.
    fn absorb(&mut self, flow: u32, later: u32) {
        let (at, from) = (flow as usize, later as usize);
        let added = self.exchanged(later);
        if self.keys[at].repeat == NONE {
            self.keys[at].repeat = position(self.repeats.len());
            self.repeats.push(Repeat { transfers: 1, last: self.firsts[at] });
        }
        let repeat = &mut self.repeats[self.keys[at].repeat as usize];
        repeat.transfers += added.transfers;
        if added.last.order() >= repeat.last.order() {
            repeat.last = added.last;
        }
        if added.first.order() < self.firsts[at].order() {
            self.firsts[at] = added.first;
        }
        let [low, high] = self.totals[from];
        let total = &mut self.totals[at];
        let (sum, carry) = total[0].overflowing_add(low);
        let (high, carry_high) = total[1].overflowing_add(high);
        let (high, carry_again) = high.overflowing_add(u64::from(carry));
        *total = [sum, high];
        if carry_high || carry_again {
            self.exceed(at, [1, 0]);
        }
        if !self.excess.is_empty()
            && let Some(excess) = self.excess.remove(&later)
        {
            *self.excess.entry(flow).or_default() += excess;
        }
        self.keys[from].repeat = GONE;
    }

    /// Takes those that were added to others out.
    fn squeeze(&mut self) {
        let mut excess = HashMap::new();
        let mut kept = 0;
        for flow in 0..self.keys.len() {
            if self.keys[flow].repeat == GONE {
                continue;
            }
            if let Some(of_this) = self.excess.get(&position(flow)) {
                excess.insert(position(kept), *of_this);
            }
            self.keys[kept] = self.keys[flow];
            self.totals[kept] = self.totals[flow];
            self.firsts[kept] = self.firsts[flow];
            kept += 1;
        }
        self.keys.truncate(kept);
        self.totals.truncate(kept);
        self.firsts.truncate(kept);
        self.excess = excess;
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair> {
        debug_assert!(self.state >= State::Sorted, "pairs of flows that are not sorted");
        let (mut place, mut later) = (0, 0);
        std::iter::from_fn(move || {
            let entry = self.sorted.get(place)?;
            while self.starts[later + 1] as usize <= place {
                later += 1;
            }
            let mut pair =
                Pair { accounts: [entry.other(), position(later)], is_nothing: true, place: position(place) };
            for entry in self.flows_at(place) {
                pair.is_nothing &= entry.is_nothing();
                place += 1;
            }
            Some(pair)
        })
    }

    /// The entries of the pair that begins there.
    #[inline]
    fn flows_at(&self, place: usize) -> impl Iterator<Item = Entry> {
        let (first, rest) = self.sorted[place..].split_first().expect("a pair has a flow");
        std::iter::once(*first).chain(rest.iter().copied().take_while(|entry| !entry.begins()))
    }

    pub(super) fn of_pair(&self, pair: Pair) -> impl Iterator<Item = Flow> {
        self.flows_at(pair.place as usize).map(|entry| self.keys[entry.flow() as usize].flow(entry.flow()))
    }

    /// Each direction of a pair once if they are settled.
    pub(super) fn iter(&self) -> impl Iterator<Item = Flow> {
        (0..).zip(&self.keys).map(|(flow, key)| key.flow(flow))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn first(&self, flow: u32) -> &Moment {
        &self.firsts[flow as usize]
    }

    pub(super) fn total(&self, flow: u32) -> Units {
        let [low, high] = self.totals[flow as usize];
        let mut total = Units::from_limbs([low, high, 0, 0, 0]);
        if let Some(excess) = self.excess.get(&flow) {
            let [a, b, c, _, _] = excess.limbs();
            total += Units::from_limbs([0, 0, a, b, c]);
        }
        total
    }

    pub(super) fn exchanged(&self, flow: u32) -> Exchanged {
        let first = self.firsts[flow as usize];
        let repeat = self.keys[flow as usize].repeat;
        let once = Repeat { transfers: 1, last: first };
        let Repeat { transfers, last } = self.repeats.get(repeat as usize).copied().unwrap_or(once);
        Exchanged { transfers, total: self.total(flow), first, last }
    }
}

impl Key {
    fn flow(&self, flow: u32) -> Flow {
        Flow { flow, from: self.from, to: self.to(), is_nothing: self.is_nothing() }
    }

    #[inline]
    fn to(&self) -> u32 {
        self.to & !NOTHING
    }

    #[inline]
    fn is_nothing(&self) -> bool {
        self.to & NOTHING != 0
    }
}

/// A flow among those of its later account, packed so that sorting sorts by the earlier account, then by age: that
/// account in 31 bits, the flow in 30, and a bit each for the beginning of a pair, the direction, and nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u64);

impl Entry {
    const BEGINS: u64 = 4;
    const BACK: u64 = 2;
    const NOTHING: u64 = 1;

    #[inline]
    fn new(flow: usize, key: &Key) -> Self {
        let (from, to) = (key.from, key.to());
        let back = if from > to { Self::BACK } else { 0 };
        let nothing = if key.is_nothing() { Self::NOTHING } else { 0 };
        Self((u64::from(from.min(to)) << 33) | ((flow as u64) << 3) | back | nothing)
    }

    #[inline]
    fn beginning(self) -> Self {
        Self(self.0 | Self::BEGINS)
    }

    #[inline]
    fn begins(self) -> bool {
        self.0 & Self::BEGINS != 0
    }

    #[inline]
    fn is_nothing(self) -> bool {
        self.0 & Self::NOTHING != 0
    }

    /// Direction, and something or nothing: below 4.
    #[inline]
    fn kind(self) -> usize {
        usize::from(self.0 & Self::BACK != 0) * 2 + usize::from(self.is_nothing())
    }

    /// The earlier account.
    #[inline]
    fn other(self) -> u32 {
        (self.0 >> 33) as u32
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "30 bits are left")]
    fn flow(self) -> u32 {
        ((self.0 >> 3) as u32) & ((1 << 30) - 1)
    }
}

/// Positions here are below `MOST`, which `sort` holds, or of accounts.
#[inline]
fn position(position: usize) -> u32 {
    u32::try_from(position).expect("2^32 entries of 64 bytes or more do not fit in memory")
}
