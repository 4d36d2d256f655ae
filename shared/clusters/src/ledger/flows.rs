mod order;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use order::Order;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::accounts::wide;
use super::index::NONE;
use super::{Exchanged, Moment};
use crate::memory::Pieces;
use crate::{Amount, Transfer, Units};

/// What accounts sent each other.
///
/// A transfer is appended as a flow of its own, which costs no lookup. [`Flows::sort`] brings them in the order of
/// their pairs for an analysis, which looks closer at few of them. [`Flows::settle`] adds each to the first of its pair
/// that goes in the same direction, whenever that leaves half of them or fewer, so that memory grows with pairs.
#[derive(Clone, Debug)]
pub(super) struct Flows {
    keys: Pieces<Key>,
    /// By flow: the lower 128 bits of what it moved, least first.
    totals: Pieces<[u64; 2]>,
    /// By flow: its first transfer.
    firsts: Pieces<Moment>,
    /// By flow: its position in `repeats`, or `NONE` for a flow of one transfer. Flows past its end are of one.
    repeated: Vec<u32>,
    repeats: Vec<Repeat>,
    /// What a flow's total has above its 128 bits, by flow; hardly any has.
    excess: HashMap<u32, Units>,
    order: Order,
    state: State,
    /// With so many flows it is time to see whether settling is worth it.
    room: usize,
}

/// One direction between two accounts, apart for transfers of something and of nothing, so that an analysis can leave
/// the latter out.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Key {
    from: u32,
    /// With `NOTHING` for transfers of nothing.
    to: u32,
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

/// A set of flows.
#[derive(Default)]
pub(crate) struct Flags(Vec<u64>);

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
/// There are fewer flows, so that an entry has room for one.
const MOST: usize = 1 << 30;
/// Fewer flows than this, 150 MB of them, are not settled to save memory.
const ROOM: usize = 1 << 21;
/// One kind of flow in so many is counted to know how many kinds there are.
const SAMPLED: usize = 1 << 6;

impl Default for Flows {
    fn default() -> Self {
        Self {
            keys: Pieces::new(),
            totals: Pieces::new(),
            firsts: Pieces::new(),
            repeated: Vec::new(),
            repeats: Vec::new(),
            excess: HashMap::new(),
            order: Order::default(),
            state: State::Settled,
            room: ROOM,
        }
    }
}

impl Flows {
    /// A transfer and between whom it was.
    pub(super) fn push(&mut self, transfer: &Transfer, ends: [u32; 2]) {
        let flow = self.keys.len();
        self.extend(std::slice::from_ref(transfer), &[ends]);
        let [_, _, low, high] = *transfer.value.as_limbs();
        if low | high != 0 {
            self.exceed(flow, [low, high]);
        }
    }

    /// Transfers of less than 2¹²⁸, and between whom they were.
    #[inline]
    pub(super) fn extend(&mut self, transfers: &[Transfer], ends: &[[u32; 2]]) {
        let key = |(transfer, &[from, to]): (&Transfer, &[u32; 2])| Key::new(from, to, transfer.value == Amount::ZERO);
        self.keys.extend(transfers.iter().zip(ends).map(key));
        self.totals.extend(transfers.iter().map(|transfer| {
            let [low, high, ..] = *transfer.value.as_limbs();
            [low, high]
        }));
        self.firsts.extend(transfers.iter().map(Moment::of));
        self.state = State::Added;
    }

    /// A flow as it was saved.
    pub(super) fn push_sum(&mut self, from: u32, to: u32, Exchanged { transfers, total, first, last }: Exchanged) {
        let flow = self.keys.len();
        let [a, b, c, d, e] = total.limbs();
        self.keys.push(Key::new(from, to, total == Units::ZERO));
        self.totals.push([a, b]);
        self.firsts.push(first);
        let excess = Units::from_limbs([c, d, e, 0, 0]);
        if excess != Units::ZERO {
            self.excess.insert(position(flow), excess);
        }
        if transfers > 1 {
            *self.repeat(flow) = Repeat { transfers, last };
        }
        self.state = State::Added;
    }

    /// What is known of a flow of several transfers; it becomes one.
    fn repeat(&mut self, flow: usize) -> &mut Repeat {
        if self.repeated.len() <= flow {
            self.repeated.resize(self.keys.len(), NONE);
        }
        let place = &mut self.repeated[flow];
        if *place == NONE {
            *place = position(self.repeats.len());
            self.repeats.push(Repeat { transfers: 1, last: self.firsts[flow] });
        }
        &mut self.repeats[*place as usize]
    }

    /// Adds `[low, high]` times 2¹²⁸.
    #[cold]
    fn exceed(&mut self, flow: usize, [low, high]: [u64; 2]) {
        *self.excess.entry(position(flow)).or_default() += Units::from_limbs([low, high, 0, 0, 0]);
    }

    /// Settles when it is time for it and worth it.
    #[inline]
    pub(super) fn make_room(&mut self, accounts: usize) {
        if self.keys.len() >= self.room {
            self.make_more_room(accounts);
        }
    }

    #[cold]
    pub(super) fn make_more_room(&mut self, accounts: usize) {
        if self.kinds() <= self.keys.len() / 2 {
            self.settle(accounts);
        }
        self.room = ROOM.max(self.keys.len() + self.keys.len() / 2);
    }

    /// About how many would be left after settling. Which kinds are counted nobody can foresee.
    fn kinds(&self) -> usize {
        let random = RandomState::new();
        let (odd, mask) = (random.hash_one(0) | 1, random.hash_one(1));
        let kinds = self.keys.iter().map(|key| (u64::from(key.from) << 32) | u64::from(key.to));
        let mixed = |kind: u64| {
            let product = u128::from(kind ^ mask) * u128::from(odd);
            (product ^ (product >> 64)) as usize
        };
        let counted: HashSet<u64> = kinds.filter(|&kind| mixed(kind).is_multiple_of(SAMPLED)).collect();
        counted.len() * SAMPLED
    }

    pub(super) fn settle(&mut self, accounts: usize) {
        self.sort(accounts);
        if self.state == State::Settled {
            return;
        }
        self.merge();
        self.state = State::Settled;
    }

    pub(super) fn sort(&mut self, accounts: usize) {
        if self.state >= State::Sorted {
            return;
        }
        assert!(self.keys.len() < MOST, "2^30 flows of 72 bytes or more do not fit in memory");
        self.order = Order::of(&self.keys, accounts);
        self.state = State::Sorted;
    }

    /// Adds each flow to the first like it, and takes it out.
    fn merge(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        let mut gone = vec![false; self.keys.len()];
        for pair in order.by_pair() {
            // By kind: two may have sent each other tokens a million times.
            let mut firsts = [None; 4];
            for entry in pair {
                match firsts[entry.kind()] {
                    Some(first) => {
                        self.absorb(first, entry.flow());
                        gone[entry.flow() as usize] = true;
                    }
                    None => firsts[entry.kind()] = Some(entry.flow()),
                }
            }
        }
        order.renumber(&self.squeeze(&gone));
        self.order = order;
    }

    /// Adds `later` to `flow`, which came before it.
    fn absorb(&mut self, flow: u32, later: u32) {
        let (at, from) = (flow as usize, later as usize);
        let added = self.exchanged(later);
        let repeat = self.repeat(at);
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
    }

    /// Takes flows out. The new numbers of those that stay, by the old ones.
    fn squeeze(&mut self, gone: &[bool]) -> Vec<Option<u32>> {
        let mut kept = 0_u32;
        let number = |gone: &bool| {
            let number = (!gone).then_some(kept);
            kept += u32::from(!gone);
            number
        };
        let numbers: Vec<Option<u32>> = gone.iter().map(number).collect();
        // What was repeated by then is; the rest was one transfer.
        self.repeated.resize(self.keys.len(), NONE);
        self.keys.take_out(gone);
        self.totals.take_out(gone);
        self.firsts.take_out(gone);
        let mut is_gone = gone.iter();
        self.repeated.retain(|_| !is_gone.next().is_some_and(|gone| *gone));
        let excess = std::mem::take(&mut self.excess);
        let renumbered = |(flow, excess): (u32, Units)| Some((numbers[flow as usize]?, excess));
        self.excess = excess.into_iter().filter_map(renumbered).collect();
        numbers
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair> {
        debug_assert!(self.state >= State::Sorted, "pairs of flows that are not sorted");
        self.order.pairs().map(|(accounts, place, flows)| {
            let is_nothing = flows.iter().all(|entry| entry.is_nothing());
            Pair { accounts, is_nothing, place }
        })
    }

    pub(super) fn of_pair(&self, pair: Pair) -> impl Iterator<Item = Flow> {
        self.order.at(pair.place).map(|entry| self.keys[entry.flow() as usize].flow(entry.flow()))
    }

    /// Each direction of a pair once if they are settled.
    pub(super) fn iter(&self) -> impl Iterator<Item = Flow> {
        (0..).zip(self.keys.iter()).map(|(flow, key)| key.flow(flow))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// With what sorting takes.
    pub(super) fn bytes(&self) -> usize {
        let of_flow = size_of::<Key>() + size_of::<[u64; 2]>() + size_of::<Moment>() + Order::BYTES;
        of_flow * self.keys.len() + size_of::<u32>() * self.repeated.len() + size_of::<Repeat>() * self.repeats.len()
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

    /// Those that moved as much or more.
    pub(super) fn at_least(&self, least: Units) -> Flags {
        let mut flags = Flags(vec![0; self.len().div_ceil(64)]);
        let [low, high, beyond @ ..] = least.limbs();
        if beyond == [0; 3] {
            let least = wide([low, high]);
            for (start, totals) in self.totals.slices() {
                for (flags, totals) in flags.0[start / 64..].iter_mut().zip(totals.chunks(64)) {
                    let bits = totals.iter().enumerate().map(|(bit, total)| u64::from(wide(*total) >= least) << bit);
                    *flags = bits.fold(0, |all, bit| all | bit);
                }
            }
        }
        for &flow in self.excess.keys().filter(|flow| self.total(**flow) >= least) {
            flags.0[flow as usize / 64] |= 1 << (flow % 64);
        }
        flags
    }

    pub(super) fn exchanged(&self, flow: u32) -> Exchanged {
        let first = self.firsts[flow as usize];
        let repeat = self.repeated.get(flow as usize).copied().unwrap_or(NONE);
        let once = Repeat { transfers: 1, last: first };
        let Repeat { transfers, last } = self.repeats.get(repeat as usize).copied().unwrap_or(once);
        Exchanged { transfers, total: self.total(flow), first, last }
    }
}

impl Flags {
    #[inline]
    pub(crate) fn has(&self, flow: u32) -> bool {
        self.0.get(flow as usize / 64).is_some_and(|flags| (flags >> (flow % 64)) & 1 == 1)
    }
}

impl Key {
    #[inline]
    fn new(from: u32, to: u32, is_nothing: bool) -> Self {
        Self { from, to: if is_nothing { to | NOTHING } else { to } }
    }

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

    /// The later of the two accounts.
    #[inline]
    fn later(&self) -> u32 {
        self.from.max(self.to())
    }
}

/// Positions here are below `MOST`, which `sort` sees to, or of accounts.
#[inline]
fn position(position: usize) -> u32 {
    u32::try_from(position).expect("2^32 entries of 64 bytes or more do not fit in memory")
}
