use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::Address;

/// Finds the position of a key in a list that holds the keys; the list is the caller's.
///
/// A slot keeps half of its key's hash, so that a lookup seldom touches another key, and growing touches none.
#[derive(Clone, Debug)]
pub(super) struct Index {
    slots: HashTable<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    position: u32,
}

pub(super) enum Place {
    Old(u32),
    New(u32),
}

impl Index {
    pub(super) fn new() -> Self {
        Self { slots: HashTable::new() }
    }

    /// The position of the key with this hash for which `is_key` holds; if there is none, `len` becomes its position,
    /// and the caller appends it to its list there.
    #[inline]
    pub(super) fn place(&mut self, hash: u32, len: usize, is_key: impl Fn(u32) -> bool) -> Place {
        let is_key = |slot: &Slot| slot.hash == hash && is_key(slot.position);
        match self.slots.entry(spread(hash), is_key, |slot| spread(slot.hash)) {
            Entry::Occupied(slot) => Place::Old(slot.get().position),
            Entry::Vacant(vacant) => {
                let position = u32::try_from(len).expect("more than 2^32 entries of 64 bytes or more do not fit in memory");
                vacant.insert(Slot { hash, position });
                Place::New(position)
            }
        }
    }

    #[inline]
    pub(super) fn find(&self, hash: u32, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        let slot = self.slots.find(spread(hash), |slot| slot.hash == hash && is_key(slot.position))?;
        Some(slot.position)
    }
}

/// The table takes the bucket from the low and a filter byte from the high bits; multiplying fills the high ones.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
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
        let bytes = &address.0;
        let a = u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]);
        let b = u64::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]]);
        let c = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        let half = fold(a ^ self.seed[0], b ^ self.seed[1]);
        high(fold(half ^ u64::from(c), self.seed[2] | 1))
    }

    /// Of an unordered pair.
    #[inline]
    pub(super) fn pair(&self, smaller: u32, larger: u32) -> u32 {
        let key = (u64::from(smaller) << 32) | u64::from(larger);
        high(fold(key ^ self.seed[0], self.seed[1] | 1))
    }
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
#[expect(clippy::cast_possible_truncation, reason = "the upper half of 64 bits has 32")]
fn high(hash: u64) -> u32 {
    (hash >> 32) as u32
}
