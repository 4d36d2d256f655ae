//! Members in order, as objects: short lists of them, one after the other in a folder.

use access::{BlobError, BlobStore, JobError, Kind, Ranked, Timestamp};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use worker::RunError;

/// So many objects are written or removed side by side.
const SIDE_BY_SIDE: usize = 8;

/// An object is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("an object of ranked members is cut off or unreadable")]
pub(crate) struct Unreadable;

impl From<Unreadable> for RunError {
    fn from(error: Unreadable) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a ranking cannot be read");
        Self::Discard(JobError::new(Kind::Internal, "internal", "A step of the work failed."))
    }
}

/// Points, time of joining in milliseconds, both eight bytes little-endian, the id's length in two bytes, the id.
pub(crate) fn encode(members: &[Ranked]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(members.len() * 56);
    for member in members {
        let user = &member.user.as_bytes()[..member.user.len().min(usize::from(u16::MAX))];
        bytes.put_u64_le(member.points);
        bytes.put_u64_le(member.time_created.millis());
        bytes.put_u16_le(u16::try_from(user.len()).unwrap_or(u16::MAX));
        bytes.put_slice(user);
    }
    bytes.freeze()
}

pub(crate) fn decode(mut bytes: Bytes) -> Result<Vec<Ranked>, Unreadable> {
    let mut members = Vec::new();
    while bytes.has_remaining() {
        let points = bytes.try_get_u64_le().map_err(|_| Unreadable)?;
        let time_created = Timestamp(bytes.try_get_u64_le().map_err(|_| Unreadable)?);
        let length = usize::from(bytes.try_get_u16_le().map_err(|_| Unreadable)?);
        if bytes.remaining() < length {
            return Err(Unreadable);
        }
        let user = String::from_utf8(bytes.split_to(length).to_vec()).map_err(|_| Unreadable)?;
        members.push(Ranked { user, points, time_created });
    }
    Ok(members)
}

/// Where the list with this number is in a folder.
pub(crate) fn key(folder: &str, number: u64) -> String {
    format!("{folder}/{number:08}")
}

/// Writes these lists, numbered from 0.
pub(crate) async fn write(blobs: &dyn BlobStore, folder: &str, lists: Vec<Bytes>) -> Result<(), BlobError> {
    let calls: Vec<_> = (0..).zip(lists).map(|(number, list)| (key(folder, number), list)).collect();
    let calls: Vec<_> = calls.iter().map(|(key, list)| blobs.put(key, list.clone())).collect();
    stream::iter(calls).buffer_unordered(SIDE_BY_SIDE).try_collect().await
}

/// Removes that many lists.
pub(crate) async fn remove(blobs: &dyn BlobStore, folder: &str, lists: u64) -> Result<(), BlobError> {
    let keys: Vec<_> = (0..lists).map(|number| key(folder, number)).collect();
    let calls: Vec<_> = keys.iter().map(|key| blobs.delete(key)).collect();
    stream::iter(calls).buffer_unordered(SIDE_BY_SIDE).try_collect().await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranked() -> impl Strategy<Value = Ranked> {
        (any::<u64>(), any::<u64>(), "\\PC{0,40}").prop_map(|(points, time, user)| Ranked {
            user,
            points,
            time_created: Timestamp(time),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(members in prop::collection::vec(ranked(), 0..20)) {
            prop_assert_eq!(decode(encode(&members)).unwrap(), members);
        }

        #[test]
        fn what_is_cut_off_is_never_read_as_whole(members in prop::collection::vec(ranked(), 1..5), cut in 1_usize..18) {
            let whole = encode(&members);
            let read = decode(whole.slice(..whole.len() - cut));
            prop_assert!(read.is_err() || read.unwrap().len() < members.len());
        }

        #[test]
        fn nonsense_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(bytes.into());
        }
    }
}
