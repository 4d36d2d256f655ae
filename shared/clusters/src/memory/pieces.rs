use std::ops::{Index, IndexMut};

use super::{Plain, Room};

/// A list that grows piece by piece, each twice as long as the one before.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<T: Plain> {
    pieces: Vec<Room<T>>,
    length: usize,
}

/// The length of the first piece.
const FIRST: usize = 1 << 10;

impl<T: Plain> Pieces<T> {
    pub(crate) fn new() -> Self {
        Self { pieces: Vec::new(), length: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        let (piece, place) = place(self.length);
        if piece == self.pieces.len() {
            self.pieces.push(Room::zeroed(FIRST << piece));
        }
        self.pieces[piece].as_mut_slice()[place] = item;
        self.length += 1;
    }

    /// Appends one item for each of `sources`; `put` fills it in where it stays.
    #[inline]
    pub(crate) fn extend<S>(&mut self, mut sources: impl ExactSizeIterator<Item = S>, put: impl Fn(&mut T, S)) {
        while sources.len() > 0 {
            let (piece, place) = place(self.length);
            if piece == self.pieces.len() {
                self.pieces.push(Room::zeroed(FIRST << piece));
            }
            let free = &mut self.pieces[piece].as_mut_slice()[place..];
            let count = sources.len().min(free.len());
            // In this order: of two iterators the first is asked first, and what it gave is lost if the second ends.
            free[..count].iter_mut().zip(sources.by_ref()).for_each(|(place, source)| put(place, source));
            self.length += count;
        }
    }

    /// The list in slices, each with the position of its first item.
    #[inline]
    pub(crate) fn slices(&self) -> impl DoubleEndedIterator<Item = (usize, &[T])> {
        self.pieces.iter().enumerate().map(|(piece, room)| {
            let start = (FIRST << piece) - FIRST;
            let slice = room.as_slice();
            (start, &slice[..slice.len().min(self.length - start)])
        })
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.slices().flat_map(|(_, slice)| slice)
    }

    /// Takes out the items for which `gone` is true; the others move up.
    pub(crate) fn take_out(&mut self, gone: &[bool]) {
        let mut kept = 0;
        for (index, gone) in gone.iter().enumerate() {
            if !gone {
                self[kept] = self[index];
                kept += 1;
            }
        }
        self.length = kept;
        self.pieces.truncate(if kept == 0 { 0 } else { place(kept - 1).0 + 1 });
    }
}

impl<T: Plain> Index<usize> for Pieces<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        let (piece, place) = place(index);
        &self.pieces[piece].as_slice()[place]
    }
}

impl<T: Plain> IndexMut<usize> for Pieces<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        let (piece, place) = place(index);
        &mut self.pieces[piece].as_mut_slice()[place]
    }
}

/// Its piece, and its place there.
#[inline]
fn place(index: usize) -> (usize, usize) {
    let from_first = index + FIRST;
    let piece = from_first.ilog2() - FIRST.ilog2();
    (piece as usize, from_first - (FIRST << piece))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_a_list(
            batches in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..3 * FIRST), 0..5),
            pushed in prop::collection::vec(any::<u32>(), 0..2 * FIRST),
            gone in prop::collection::vec(any::<bool>(), 17 * FIRST),
        ) {
            let (mut pieces, mut list) = (Pieces::new(), Vec::new());
            for batch in batches {
                pieces.extend(batch.iter(), |place, item| *place = *item);
                list.extend(batch);
            }
            for item in pushed {
                pieces.push(item);
                list.push(item);
            }
            for _ in 0..2 {
                prop_assert_eq!(pieces.len(), list.len());
                prop_assert!(pieces.iter().eq(&list) && pieces.iter().rev().eq(list.iter().rev()));
                prop_assert!((0..list.len()).all(|index| pieces[index] == list[index]));
                prop_assert!(pieces.slices().all(|(start, slice)| list[start..].starts_with(slice)));
                let gone = &gone[..list.len()];
                pieces.take_out(gone);
                let mut kept = gone.iter();
                list.retain(|_| !kept.next().unwrap());
                prop_assert_eq!(pieces.clone().len(), list.len());
            }
        }
    }
}
