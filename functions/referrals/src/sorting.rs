//! Putting more members in order than fit into memory: pieces that do are sorted and written as objects, then read side
//! by side, a short list of each at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::vec;

use access::{BlobStore, Ranked};
use serde::{Deserialize, Serialize};
use worker::RunError;

use crate::listing::{self, Unreadable};

/// So many members are in one object.
const LIST: usize = 2_000;

/// A sorted piece, written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) folder: String,
    pub(crate) members: u64,
}

impl Piece {
    pub(crate) async fn write(
        blobs: &dyn BlobStore,
        folder: String,
        mut members: Vec<Ranked>,
    ) -> Result<Self, RunError> {
        members.sort_unstable();
        let lists = members.chunks(LIST).map(listing::encode).collect();
        listing::write(blobs, &folder, lists).await?;
        Ok(Self { folder, members: members.len() as u64 })
    }

    pub(crate) async fn remove(&self, blobs: &dyn BlobStore) -> Result<(), RunError> {
        Ok(listing::remove(blobs, &self.folder, self.members.div_ceil(LIST as u64)).await?)
    }
}

/// Reads sorted pieces as one. Holds one list of each.
pub(crate) struct Merge<'a> {
    blobs: &'a dyn BlobStore,
    readers: Vec<Reader<'a>>,
    /// The next of each piece that has one, the best on top.
    heads: BinaryHeap<Reverse<(Ranked, usize)>>,
}

struct Reader<'a> {
    piece: &'a Piece,
    list: vec::IntoIter<Ranked>,
    /// How many of the piece were taken from it, the head among them.
    read: u64,
}

impl<'a> Merge<'a> {
    /// From where so many of each piece were taken; from the start for those not given.
    pub(crate) async fn open(blobs: &'a dyn BlobStore, pieces: &'a [Piece], taken: &[u64]) -> Result<Self, RunError> {
        let mut merge = Self { blobs, readers: Vec::with_capacity(pieces.len()), heads: BinaryHeap::new() };
        for (at, piece) in pieces.iter().enumerate() {
            let read = taken.get(at).copied().unwrap_or(0);
            let mut reader = Reader { piece, list: Vec::new().into_iter(), read };
            if read < piece.members {
                let within = usize::try_from(read).unwrap_or(usize::MAX) % LIST;
                let mut list = reader.load(blobs).await?;
                list.drain(..within.min(list.len()));
                reader.list = list.into_iter();
            }
            merge.readers.push(reader);
            merge.advance(at).await?;
        }
        Ok(merge)
    }

    /// How many of each piece were given out.
    pub(crate) fn taken(&self) -> Vec<u64> {
        let mut taken: Vec<_> = self.readers.iter().map(|reader| reader.read).collect();
        for Reverse((_, at)) in &self.heads {
            taken[*at] -= 1;
        }
        taken
    }

    /// The next so many, best first; fewer at the end.
    pub(crate) async fn next(&mut self, count: usize) -> Result<Vec<Ranked>, RunError> {
        let mut members = Vec::with_capacity(count);
        while members.len() < count
            && let Some(Reverse((member, at))) = self.heads.pop()
        {
            members.push(member);
            self.advance(at).await?;
        }
        Ok(members)
    }

    async fn advance(&mut self, at: usize) -> Result<(), RunError> {
        let reader = &mut self.readers[at];
        if reader.read == reader.piece.members {
            return Ok(());
        }
        let next = match reader.list.next() {
            Some(next) => next,
            None => {
                reader.list = reader.load(self.blobs).await?.into_iter();
                reader.list.next().ok_or(Unreadable)?
            }
        };
        reader.read += 1;
        self.heads.push(Reverse((next, at)));
        Ok(())
    }
}

impl Reader<'_> {
    /// The list in which the next member is.
    async fn load(&self, blobs: &dyn BlobStore) -> Result<Vec<Ranked>, RunError> {
        let key = listing::key(&self.piece.folder, self.read / LIST as u64);
        let bytes = blobs.get(&key).await?.ok_or(Unreadable)?;
        Ok(listing::decode(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use access::{FolderBlobs, SeededIds, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn blobs(dir: &tempfile::TempDir) -> FolderBlobs {
        FolderBlobs::new(dir.path(), Arc::new(SeededIds::new(1)))
    }

    fn members(count: u64) -> Vec<Ranked> {
        let one = |n: u64| Ranked { user: format!("u{n}"), points: n * 7919 % 501, time_created: Timestamp(n % 13) };
        (0..count).map(one).collect()
    }

    #[tokio::test]
    async fn pieces_longer_than_a_list_are_read_in_order_from_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = blobs(&dir);
        let all = members(9_001);
        let mut pieces = Vec::new();
        for (number, piece) in all.chunks(4_500).enumerate() {
            pieces.push(Piece::write(&blobs, format!("p/{number}"), piece.to_vec()).await.unwrap());
        }
        let mut expected = all;
        expected.sort();

        let (mut read, mut taken) = (Vec::new(), Vec::new());
        loop {
            // As if another invocation went on each time.
            let mut merge = Merge::open(&blobs, &pieces, &taken).await.unwrap();
            let next = merge.next(999).await.unwrap();
            taken = merge.taken();
            if next.is_empty() {
                break;
            }
            read.extend(next);
            assert_eq!(taken.iter().sum::<u64>(), read.len() as u64);
        }
        assert!(read == expected);
        for piece in &pieces {
            piece.remove(&blobs).await.unwrap();
            piece.remove(&blobs).await.unwrap();
            assert_eq!(blobs.get(&listing::key(&piece.folder, 0)).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn an_object_that_is_missing_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = blobs(&dir);
        let piece = Piece::write(&blobs, "p".into(), members(3)).await.unwrap();
        piece.remove(&blobs).await.unwrap();
        assert!(Merge::open(&blobs, &[piece], &[]).await.is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn merged_pieces_are_the_whole_in_order(sizes in prop::collection::vec(0_usize..40, 0..6), step in 1_usize..50) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let blobs = blobs(&dir);
                let mut all = members(sizes.iter().sum::<usize>() as u64);
                let (mut pieces, mut start) = (Vec::new(), 0);
                for (number, size) in sizes.iter().enumerate() {
                    let members = all[start..start + size].to_vec();
                    pieces.push(Piece::write(&blobs, format!("p/{number}"), members).await.unwrap());
                    start += size;
                }
                all.sort();
                let mut merge = Merge::open(&blobs, &pieces, &[]).await.unwrap();
                let mut read = Vec::new();
                while read.len() < all.len() {
                    read.extend(merge.next(step).await.unwrap());
                }
                assert!(merge.next(1).await.unwrap().is_empty());
                assert!(read == all);
            });
        }
    }
}
