//! Memory for lists of many megabytes: in large pages where the system grants them, and never moved.
//!
//! A page of 4 KiB costs more to get than to fill, and reading at random among many of them means looking up where they
//! are each time. A list that is moved when it grows pays for its pages again.

mod list;
mod pieces;

pub(crate) use list::List;
use memmap2::MmapMut;
pub(crate) use pieces::Pieces;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What can lie in such memory: numbers and lists of numbers.
pub(crate) trait Plain: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Copy> Plain for T {}

/// A list of fixed length, all zeros at first.
#[derive(Debug)]
pub(crate) enum Room<T> {
    Small(Vec<T>),
    /// Its length in bytes may be less than the mapping's.
    Large(MmapMut, usize),
}

/// The size of a large page, as a rule.
const PAGE: usize = 2 << 20;

impl<T: Plain> Room<T> {
    pub(crate) fn zeroed(length: usize) -> Self {
        let bytes = length.saturating_mul(size_of::<T>());
        if bytes >= PAGE
            && let Some(whole_pages) = bytes.checked_next_multiple_of(PAGE)
            && let Ok(map) = MmapMut::map_anon(whole_pages)
        {
            // A system without large pages says no; it gives small ones.
            #[cfg(target_os = "linux")]
            drop(map.advise(memmap2::Advice::HugePage));
            return Self::Large(map, bytes);
        }
        Self::Small(T::new_vec_zeroed(length).expect("memory"))
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::Small(list) => list,
            Self::Large(map, bytes) => <[T]>::ref_from_bytes(&map[..*bytes]).expect(FITS),
        }
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::Small(list) => list,
            Self::Large(map, bytes) => <[T]>::mut_from_bytes(&mut map[..*bytes]).expect(FITS),
        }
    }
}

const FITS: &str = "a mapping begins at a page and is as long as its list or longer";

impl<T: Plain> Clone for Room<T> {
    fn clone(&self) -> Self {
        let mut room = Self::zeroed(self.as_slice().len());
        room.as_mut_slice().copy_from_slice(self.as_slice());
        room
    }
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_zeroed_and_keeps_what_is_put_into_it_whatever_its_size() {
        for length in [0, 1, PAGE / 16 - 1, PAGE / 16, PAGE] {
            let mut room = Room::<[u64; 2]>::zeroed(length);
            assert!(room.as_slice().iter().all(|numbers| *numbers == [0; 2]));
            assert_eq!(room.as_slice().len(), length);
            assert_eq!(matches!(room, Room::Large(..)), 16 * length >= PAGE);
            if let Some(last) = room.as_mut_slice().last_mut() {
                *last = [1, 2];
            }
            assert_eq!(room.clone().as_slice(), room.as_slice());
            assert_eq!(room.as_slice().last(), (length > 0).then_some(&[1, 2]));
        }
    }
}
