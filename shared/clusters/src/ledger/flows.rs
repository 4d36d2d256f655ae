mod order;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use order::Order;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::index::NONE;
use super::low::Low;
use super::{Exchanged, Moment};
use crate::memory::Pieces;
use crate::{Transfer, TxHash, Units};

/// What accounts sent each other.
///
/// A transfer is appended as a flow of its own, which costs no lookup. [`Flows::settle`] adds each to the first of its
/// pair that goes in the same direction, whenever that leaves half of them or fewer, so that memory grows with pairs.
#[derive(Clone, Debug)]
pub(super) struct Flows {
    keys: Pieces<Key>,
    /// By flow: what it moved, but for the excess.
    totals: Pieces<Low>,
    /// By flow: its first transfer.
    firsts: Pieces<Stamp>,
    /// By flow: the block of its first transfer, if it is late; hardly any is.
    late: HashMap<u32, u64>,
    /// By flow: its position in `repeats`, or `NONE` for a flow of one transfer. Flows past its end are of one.
    repeated: Vec<u32>,
    repeats: Vec<Repeat>,
    /// What a flow's total has above its lower part, by flow; hardly any has.
    excess: HashMap<u32, Units>,
    /// Each direction of a pair is one flow.
    is_settled: bool,
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

/// A moment, packed.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Stamp {
    /// Or `LATE`.
    block: u32,
    timestamp: u32,
    position: u32,
    tx: TxHash,
}

/// A block that is kept elsewhere.
const LATE: u32 = u32::MAX;

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

/// A set of flows.
#[derive(Default)]
pub(crate) struct Flags(Vec<u64>);

/// A bit that no position of an account has.
const NOTHING: u32 = NONE;
/// There are fewer flows, so that an entry has room for one.
const MOST: usize = 1 << 30;
const TOO_MANY: &str = "2^30 flows of 68 bytes or more do not fit in memory";
/// Fewer flows than this, 140 MB of them, are not settled to save memory.
const ROOM: usize = 1 << 21;
/// So many flows ahead memory is asked for what is known of their accounts.
const AHEAD: usize = 16;
/// One kind of flow in so many is counted to know how many kinds there are.
const SAMPLED: usize = 1 << 6;

impl Default for Flows {
    fn default() -> Self {
        Self {
            keys: Pieces::new(),
            totals: Pieces::new(),
            firsts: Pieces::new(),
            late: HashMap::new(),
            repeated: Vec::new(),
            repeats: Vec::new(),
            excess: HashMap::new(),
            is_settled: true,
            room: ROOM,
        }
    }
}

impl Flows {
    /// A transfer and between whom it was.
    pub(super) fn push(&mut self, transfer: &Transfer, [from, to]: [u32; 2]) {
        let (total, moment) = (transfer.value.into(), Moment::of(transfer));
        self.push_sum(from, to, Exchanged { transfers: 1, total, first: moment, last: moment });
    }

    /// Transfers of less than 2¹²⁸ in early blocks, and between whom they were.
    #[inline]
    pub(super) fn extend(&mut self, transfers: &[Transfer], ends: &[[u32; 2]]) {
        self.keys.extend(transfers.iter().zip(ends), |key, (transfer, &[from, to])| {
            *key = Key::new(from, to, Low::of(&transfer.value) == 0);
        });
        self.totals.extend(transfers.iter(), |total, transfer| *total = Low::new(Low::of(&transfer.value)));
        self.firsts.extend(transfers.iter(), |first, transfer| {
            first.block = transfer.block.try_into().unwrap_or(LATE);
            first.timestamp = Moment::short_time(transfer);
            first.position = Moment::place(transfer);
            first.tx = transfer.tx;
        });
        self.is_settled = false;
    }

    /// A flow of one transfer or several, whatever its block and total.
    pub(super) fn push_sum(&mut self, from: u32, to: u32, Exchanged { transfers, total, first, last }: Exchanged) {
        let flow = self.keys.len();
        let (low, excess) = Low::split(total);
        self.keys.push(Key::new(from, to, total == Units::ZERO));
        self.totals.push(low);
        self.firsts.push(Stamp::of(&first));
        if !is_early(first.block) {
            self.late.insert(position(flow), first.block);
        }
        if excess != Units::ZERO {
            self.excess.insert(position(flow), excess);
        }
        if transfers > 1 {
            *self.repeat(flow) = Repeat { transfers, last };
        }
        self.is_settled = false;
    }

    /// What is known of a flow of several transfers; it becomes one.
    fn repeat(&mut self, flow: usize) -> &mut Repeat {
        if self.repeated.len() <= flow {
            self.repeated.resize(self.keys.len(), NONE);
        }
        let place = &mut self.repeated[flow];
        if *place == NONE {
            *place = position(self.repeats.len());
            let last = self.firsts[flow].moment(flow, &self.late);
            self.repeats.push(Repeat { transfers: 1, last });
        }
        &mut self.repeats[*place as usize]
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
        assert!(self.keys.len() < MOST, "{TOO_MANY}");
        if self.kinds() <= self.keys.len() / 2 {
            self.settle(accounts);
        }
        self.room = MOST.min(ROOM.max(self.keys.len() + self.keys.len() / 2));
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
        if self.is_settled {
            return;
        }
        assert!(self.keys.len() < MOST, "{TOO_MANY}");
        self.merge(&Order::of(&self.keys, accounts));
        self.is_settled = true;
    }

    /// Adds each flow to the first like it, and takes it out.
    fn merge(&mut self, order: &Order) {
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
        self.squeeze(&gone);
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
        if added.first.order() < self.first(flow).order() {
            self.firsts[at] = Stamp::of(&added.first);
            // Of an early one it is not asked.
            if !is_early(added.first.block) {
                self.late.insert(flow, added.first.block);
            }
        }
        let (sum, is_more) = self.totals[at].wide().overflowing_add(self.totals[from].wide());
        self.totals[at] = Low::new(sum);
        if is_more {
            *self.excess.entry(flow).or_default() += Units::from(1);
        }
        if !self.excess.is_empty()
            && let Some(excess) = self.excess.remove(&later)
        {
            *self.excess.entry(flow).or_default() += excess;
        }
    }

    /// Takes flows out.
    fn squeeze(&mut self, gone: &[bool]) {
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
        let late = std::mem::take(&mut self.late);
        self.late = late.into_iter().filter_map(|(flow, block)| Some((numbers[flow as usize]?, block))).collect();
    }

    pub(super) fn flow(&self, flow: u32) -> Flow {
        self.keys[flow as usize].flow(flow)
    }

    /// Each direction of a pair once if they are settled.
    pub(super) fn iter(&self) -> impl Iterator<Item = Flow> {
        self.keys.slices().flat_map(|(start, keys)| (position(start)..).zip(keys).map(|(flow, key)| key.flow(flow)))
    }

    /// With the accounts of one `AHEAD` of it, or its own.
    pub(super) fn iter_ahead(&self) -> impl Iterator<Item = (Flow, [u32; 2])> {
        self.keys.slices().flat_map(|(start, keys)| {
            (position(start)..).zip(keys).enumerate().map(move |(at, (flow, key))| {
                let later = keys.get(at + AHEAD).unwrap_or(key);
                (key.flow(flow), [later.from, later.to()])
            })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// With what settling them takes, or looking at all of them from both ends.
    pub(super) fn bytes(&self) -> usize {
        let of_flow = size_of::<Key>() + size_of::<Low>() + size_of::<Stamp>() + Order::BYTES.max(2 * size_of::<Key>());
        let of_repeats = size_of::<u32>() * self.repeated.len() + size_of::<Repeat>() * self.repeats.len();
        let (late, excess) = (size_of::<(u32, u64)>(), size_of::<(u32, Units)>());
        of_flow * self.keys.len() + of_repeats + late * self.late.capacity() + excess * self.excess.capacity()
    }

    pub(super) fn first(&self, flow: u32) -> Moment {
        self.firsts[flow as usize].moment(flow as usize, &self.late)
    }

    pub(super) fn total(&self, flow: u32) -> Units {
        let excess = if self.excess.is_empty() { None } else { self.excess.get(&flow) };
        self.totals[flow as usize].with(excess.copied().unwrap_or_default())
    }

    /// Those that moved as much or more.
    pub(super) fn at_least(&self, least: Units) -> Flags {
        let mut flags = Flags(vec![0; self.len().div_ceil(64)]);
        let (low, above) = Low::split(least);
        if above == Units::ZERO {
            let least = low.wide();
            for (start, totals) in self.totals.slices() {
                for (flags, totals) in flags.0[start / 64..].iter_mut().zip(totals.chunks(64)) {
                    let bits = totals.iter().enumerate().map(|(bit, total)| u64::from(total.wide() >= least) << bit);
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
        let first = self.first(flow);
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

impl Stamp {
    #[inline]
    fn of(&Moment { block, timestamp, position, tx }: &Moment) -> Self {
        Self { block: block.try_into().unwrap_or(LATE), timestamp, position, tx }
    }

    fn moment(&self, flow: usize, late: &HashMap<u32, u64>) -> Moment {
        let Self { block, timestamp, position: place, tx } = *self;
        let block = if block == LATE { late[&position(flow)] } else { block.into() };
        Moment { block, timestamp, position: place, tx }
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

/// Whether a block's number is kept with its flow.
#[inline]
pub(super) fn is_early(block: u64) -> bool {
    block < u64::from(LATE)
}

/// Positions here are below `MOST`, which `sort` sees to, or of accounts.
#[inline]
fn position(position: usize) -> u32 {
    u32::try_from(position).expect("2^32 entries of 64 bytes or more do not fit in memory")
}
