use super::{Plain, Room};

/// A list in one piece: reading it at random costs less than of [`super::Pieces`], growing more.
#[derive(Clone, Debug)]
pub(crate) struct List<T: Plain> {
    room: Room<T>,
    length: usize,
}

/// The room of a list that was empty.
const FIRST: usize = 1 << 6;
/// Room that is not used yet takes no memory, copying does.
const GROWTH: usize = 4;

impl<T: Plain> List<T> {
    pub(crate) fn new() -> Self {
        Self { room: Room::default(), length: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        &self.room.as_slice()[..self.length]
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.room.as_mut_slice()[..self.length]
    }

    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        if self.length == self.room.as_slice().len() {
            self.grow();
        }
        self.room.as_mut_slice()[self.length] = item;
        self.length += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let mut room = Room::zeroed(FIRST.max(GROWTH * self.length));
        room.as_mut_slice()[..self.length].copy_from_slice(self.as_slice());
        self.room = room;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_what_was_pushed(items in prop::collection::vec(any::<u64>(), 0..5 * FIRST), again: u64) {
            let mut list = List::new();
            for (length, item) in items.iter().enumerate() {
                prop_assert_eq!(list.len(), length);
                list.push(*item);
            }
            let copy = list.clone();
            prop_assert_eq!(copy.as_slice(), &items);
            list.as_mut_slice().fill(again);
            prop_assert!(list.as_slice().iter().all(|item| *item == again));
            prop_assert_eq!(list.as_slice().len(), items.len());
        }
    }
}
