use std::ops::RangeInclusive;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Key;
use crate::memory::{Pieces, Room};

/// Flows in the order of their pairs: by the later of their accounts, then the earlier, then by age.
pub(super) struct Order(Room<Entry>);

/// So many groups of accounts, at most, are filled side by side, each at a place of its own in memory: the processor
/// keeps about as many pages at hand.
const GROUPS: u32 = 1 << 8;
/// A group has so many accounts, at least and at most.
const SIZES: RangeInclusive<u32> = 1 << 6..=1 << 16;

impl Order {
    /// What a flow takes.
    pub(super) const BYTES: usize = size_of::<Entry>();

    /// Two passes, so that neither jumps about in more memory than the caches hold: into groups of neighbouring accounts,
    /// then within each group. Of two accounts the later has fewer flows, most have few.
    pub(super) fn of(keys: &Pieces<Key>, accounts: usize) -> Self {
        let accounts = super::position(accounts);
        let size = accounts.div_ceil(GROUPS).next_power_of_two().clamp(*SIZES.start(), *SIZES.end());
        let shift = size.trailing_zeros();
        let mut groups = vec![0_u32; (accounts >> shift) as usize + 1];
        for key in keys.iter() {
            groups[(key.later() >> shift) as usize] += 1;
        }
        sum_up(&mut groups);
        let mut room = Room::zeroed(keys.len());
        let entries = room.as_mut_slice();
        // The account of an entry, counted from the first of its group.
        let mut members = Room::zeroed(keys.len());
        let members = members.as_mut_slice();
        // From behind, so that each group's number ends as its beginning.
        for (flow, key) in (0..keys.len()).rev().zip(keys.iter().rev()) {
            let later = key.later();
            let place = &mut groups[(later >> shift) as usize];
            *place -= 1;
            entries[*place as usize] = Entry::new(flow, key);
            members[*place as usize] = member(later & (size - 1));
        }
        let (mut starts, mut apart) = (vec![0; size as usize], Vec::new());
        let ends = groups.iter().skip(1).copied().chain([super::position(keys.len())]);
        for (&start, end) in groups.iter().zip(ends) {
            let range = start as usize..end as usize;
            starts.fill(0);
            members[range.clone()].iter().for_each(|&member| starts[usize::from(member)] += 1);
            sum_up(&mut starts);
            let group = &mut entries[range.clone()];
            apart.clear();
            apart.extend_from_slice(group);
            for (&entry, &member) in apart.iter().zip(&members[range]).rev() {
                let place = &mut starts[usize::from(member)];
                *place -= 1;
                group[*place as usize] = entry;
            }
            for (member, &from) in starts.iter().enumerate() {
                let to = starts.get(member + 1).map_or(group.len(), |&next| next as usize);
                begin_pairs(&mut group[from as usize..to]);
            }
        }
        Self(room)
    }

    /// The flows of each pair.
    pub(super) fn by_pair(&self) -> impl Iterator<Item = &[Entry]> {
        self.0.as_slice().chunk_by(|_, next| !next.begins())
    }
}

/// Each number becomes the sum of all up to it.
fn sum_up(numbers: &mut [u32]) {
    let mut sum = 0;
    for number in numbers {
        sum += *number;
        *number = sum;
    }
}

/// Sorts the entries of an account and marks where pairs begin.
fn begin_pairs(entries: &mut [Entry]) {
    if entries.len() > 1 {
        entries.sort_unstable();
    }
    let mut before = None;
    for entry in entries {
        let other = Some(entry.other());
        if std::mem::replace(&mut before, other) != other {
            entry.0 |= Entry::BEGINS;
        }
    }
}

/// A flow among those of its later account, packed so that sorting sorts by the earlier account, then by age: that
/// account in 31 bits, the flow in 30, and a bit each for the beginning of a pair, the direction, and nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub(super) struct Entry(u64);

impl Entry {
    const BEGINS: u64 = 4;
    const BACK: u64 = 2;
    const NOTHING: u64 = 1;
    const FLOW: u64 = (super::MOST as u64 - 1) << 3;

    #[inline]
    fn new(flow: usize, key: &Key) -> Self {
        let (from, to) = (key.from, key.to());
        let back = if from > to { Self::BACK } else { 0 };
        let nothing = if key.is_nothing() { Self::NOTHING } else { 0 };
        Self((u64::from(from.min(to)) << 33) | ((flow as u64) << 3) | back | nothing)
    }

    #[inline]
    pub(super) fn begins(self) -> bool {
        self.0 & Self::BEGINS != 0
    }

    #[inline]
    pub(super) fn is_nothing(self) -> bool {
        self.0 & Self::NOTHING != 0
    }

    /// Direction, and something or nothing: below 4.
    #[inline]
    pub(super) fn kind(self) -> usize {
        usize::from(self.0 & Self::BACK != 0) * 2 + usize::from(self.is_nothing())
    }

    /// The earlier account.
    #[inline]
    fn other(self) -> u32 {
        (self.0 >> 33) as u32
    }

    #[inline]
    pub(super) fn flow(self) -> u32 {
        ((self.0 & Self::FLOW) >> 3) as u32
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a group has at most 2^16 accounts")]
fn member(place: u32) -> u16 {
    place as u16
}
