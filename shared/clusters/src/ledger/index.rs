use std::hash::{BuildHasher, RandomState};

use prefetch_index::prefetch_index;

use crate::Address;
use crate::memory::Room;

/// Finds the position of a key in a list that holds the keys; the list is the caller's.
///
/// An open-addressing table with linear probing. A key's first slot follows from the upper bits of its hash; the other
/// bits are in the slot, beside the position, so that a lookup seldom touches another key.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// A power of two of them, half of them empty at least. In the lower bits, as many as it takes to number them, one
    /// more than the position, or 0 where there is none.
    slots: Room<u32>,
    used: usize,
    /// How many bits it takes to number the slots.
    bits: u32,
}

pub(super) enum Place {
    Old(u32),
    New(u32),
}

/// Positions are below this, so that the highest bit is free for other things.
pub(super) const NONE: u32 = 1 << 31;

const FULL: &str = "2^30 entries of 64 bytes or more do not fit in memory";

impl Index {
    pub(super) fn new() -> Self {
        let bits = 4;
        Self { slots: Room::zeroed(1 << bits), used: 0, bits }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }

    /// The position of the key with this hash for which `is_key` holds; if there is none, `len` becomes its position,
    /// and the caller appends it to its list there. `hash_at` tells the hash of the key at a position.
    #[inline]
    pub(super) fn place(
        &mut self,
        hash: u32,
        len: usize,
        is_key: impl Fn(u32) -> bool,
        hash_at: impl Fn(u32) -> u32,
    ) -> Place {
        if 2 * (self.used + 1) > self.slots.as_slice().len() {
            self.grow(hash_at);
        }
        match self.search(hash, is_key) {
            Ok(position) => Place::Old(position),
            Err(slot) => {
                let position = u32::try_from(len).expect(FULL);
                self.slots.as_mut_slice()[slot] = self.rest(hash) | (position + 1);
                self.used += 1;
                Place::New(position)
            }
        }
    }

    #[inline]
    pub(super) fn find(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        self.search(hash, is_key).ok()
    }

    /// The position of the key, or the slot where it belongs.
    #[inline]
    fn search(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let slots = self.slots.as_slice();
        let (mask, rest) = (slots.len() - 1, self.rest(hash));
        let ordinals = (1 << self.bits) - 1;
        let mut at = self.first_slot(hash);
        loop {
            let slot = slots[at & mask];
            let Some(position) = (slot & ordinals).checked_sub(1) else { return Err(at & mask) };
            if slot & !ordinals == rest && is_key(position) {
                return Ok(position);
            }
            at += 1;
        }
    }

    /// Asks memory for what finding each of the keys takes, and does not wait for it.
    #[inline]
    pub(super) fn prefetch(&self, hashes: impl Iterator<Item = u32>) {
        let slots = self.slots.as_slice();
        hashes.for_each(|hash| prefetch_index(slots, self.first_slot(hash)));
    }

    /// For each hash the position of the first key of which a slot says no other, most probably the one sought, or
    /// `NONE`.
    #[inline]
    pub(super) fn likely(&self, hashes: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
        hashes.map(|hash| self.search(hash, |_| true).unwrap_or(NONE))
    }

    #[inline]
    fn first_slot(&self, hash: u32) -> usize {
        (hash >> (32 - self.bits)) as usize
    }

    /// The bits of the hash that do not tell its first slot, above those of an ordinal.
    #[inline]
    fn rest(&self, hash: u32) -> u32 {
        hash << self.bits
    }

    #[cold]
    fn grow(&mut self, hash_at: impl Fn(u32) -> u32) {
        self.bits += 1;
        assert!(self.bits < 32, "{FULL}");
        self.slots = Room::zeroed(1 << self.bits);
        for (position, ordinal) in (0..).zip(1..).take(self.used) {
            let hash = hash_at(position);
            // All keys differ, so only an empty slot ends the search.
            if let Err(free) = self.search(hash, |_| false) {
                self.slots.as_mut_slice()[free] = self.rest(hash) | ordinal;
            }
        }
    }
}

/// Hashes keys with numbers drawn for this process: whoever emits transfers chooses the addresses in them, and must
/// not be able to choose such as fall together. Nothing that leaves the ledger depends on the hash.
#[derive(Clone, Debug)]
pub(super) struct Hasher {
    seed: [u64; 3],
}

impl Hasher {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self { seed: [0_u64, 1, 2].map(|n| random.hash_one(n)) }
    }

    #[inline]
    pub(super) fn address(&self, address: &Address) -> u32 {
        let [a, b, c] = words(address);
        let half = fold(a ^ self.seed[0], b ^ self.seed[1]);
        high(fold(half ^ c, self.seed[2] | 1))
    }
}

/// The address as 8, 8 and 4 bytes, in 64 bits each.
#[inline]
fn words(Address(bytes): &Address) -> [u64; 3] {
    let word = |at: usize| {
        let mut word = [0; 8];
        let end = (at + 8).min(bytes.len());
        word[..end - at].copy_from_slice(&bytes[at..end]);
        u64::from_le_bytes(word)
    };
    [word(0), word(8), word(16)]
}

/// The two halves of the product, one folded over the other.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low(product) ^ low(product >> 64)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low(wide: u128) -> u64 {
    wide as u64
}

#[inline]
fn high(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_found_where_they_were_placed(keys in prop::collection::vec((any::<u16>(), 0..8_u32), 0..300)) {
            // Few hashes for many keys, at both ends of the table.
            let hash = |key: &(u16, u32)| key.1.wrapping_sub(4);
            let (mut index, mut list, mut expected) = (Index::new(), Vec::new(), HashMap::new());
            for key in keys {
                let is_key = |position: u32| list[position as usize] == key;
                let place = index.place(hash(&key), list.len(), is_key, |position| hash(&list[position as usize]));
                match (place, expected.get(&key)) {
                    (Place::Old(position), Some(&known)) => prop_assert_eq!(position, known),
                    (Place::New(position), None) => {
                        prop_assert_eq!(position as usize, list.len());
                        expected.insert(key, position);
                        list.push(key);
                    }
                    _ => prop_assert!(false, "{key:?} is new or not"),
                }
            }
            for (key, position) in expected {
                prop_assert_eq!(index.find(hash(&key), |position| list[position as usize] == key), Some(position));
            }
        }
    }
}
