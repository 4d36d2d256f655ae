//! [`BlobStore`]: whole values under keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::{BlobError, BlobStore, FolderBlobs, RandomIds, S3Blobs};
use bytes::Bytes;
use tempfile::TempDir;

use crate::servers;

/// An adapter under test, empty.
struct Subject {
    blobs: Arc<dyn BlobStore>,
    /// Removed with the subject.
    _folder: Option<TempDir>,
}

impl Subject {
    async fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Arc::new(FolderBlobs::new(folder.path(), Arc::new(RandomIds)));
        Self { blobs, _folder: Some(folder) }
    }

    async fn s3() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let bucket = format!("contract-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let aws = servers::aws().await;
        aws.s3().create_bucket().bucket(&bucket).send().await.unwrap();
        Self { blobs: Arc::new(S3Blobs::new(aws, bucket)), _folder: None }
    }

    async fn put(&self, key: &str, value: impl Into<Bytes>) {
        self.blobs.put(key, value.into()).await.unwrap();
    }

    async fn get(&self, key: &str) -> Option<Bytes> {
        self.blobs.get(key).await.unwrap()
    }
}

/// Every rule once for each adapter.
macro_rules! rules {
    ($($rule:ident)*) => {
        mod folder {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Subject::folder().await).await; })*
        }

        mod s3 {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Subject::s3().await).await; })*
        }
    };
}

rules! {
    what_is_put_is_got
    a_second_put_replaces_the_first
    what_is_missing_is_none
    the_beginning_of_a_key_is_no_key
    deleting_what_is_gone_is_fine
    bad_keys_are_refused
    puts_at_once_leave_one_whole_value
}

async fn what_is_put_is_got(subject: Subject) {
    let large: Bytes = (0_u32..5 << 18).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    assert_eq!(large.len(), 5 << 20);
    let every_byte: Bytes = (0..=u8::MAX).collect();
    let values = [("empty", Bytes::new()), ("a/b=1/c_2/every-byte.bin", every_byte), ("a/large.seg", large)];
    for (key, value) in &values {
        subject.put(key, value.clone()).await;
    }
    for (key, value) in &values {
        // Not assert_eq: nobody wants five megabytes printed.
        assert!(subject.get(key).await.as_ref() == Some(value), "{key}");
    }
}

async fn a_second_put_replaces_the_first(subject: Subject) {
    subject.put("a", "the longer value of the two").await;
    subject.put("a", "shorter").await;
    assert_eq!(subject.get("a").await, Some("shorter".into()));
    subject.put("a", "").await;
    assert_eq!(subject.get("a").await, Some(Bytes::new()));
}

async fn what_is_missing_is_none(subject: Subject) {
    assert_eq!(subject.get("never").await, None);
    assert_eq!(subject.get("not/even/the.folder").await, None);
}

async fn the_beginning_of_a_key_is_no_key(subject: Subject) {
    subject.put("a/b", "value").await;
    assert_eq!(subject.get("a").await, None);
    assert_eq!(subject.get("a/b/c").await, None);
    subject.blobs.delete("a").await.unwrap();
    subject.blobs.delete("a/b/c").await.unwrap();
    assert_eq!(subject.get("a/b").await, Some("value".into()));
}

async fn deleting_what_is_gone_is_fine(subject: Subject) {
    subject.put("a/b", "value").await;
    subject.put("a/c", "other").await;
    subject.blobs.delete("a/b").await.unwrap();
    assert_eq!(subject.get("a/b").await, None);
    subject.blobs.delete("a/b").await.unwrap();
    subject.blobs.delete("never").await.unwrap();
    assert_eq!(subject.get("a/c").await, Some("other".into()), "its neighbour stays");
    subject.put("a/b", "again").await;
    assert_eq!(subject.get("a/b").await, Some("again".into()));
}

async fn bad_keys_are_refused(subject: Subject) {
    let long = "x".repeat(513);
    for key in ["", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/.b", "a b", "a\\b", "a\0", "ä", "a?b", &long] {
        let refused = |error| matches!(error, BlobError::BadKey { key: named } if named == key);
        assert!(subject.blobs.put(key, "value".into()).await.is_err_and(refused), "put {key:?}");
        assert!(subject.blobs.get(key).await.is_err_and(refused), "get {key:?}");
        assert!(subject.blobs.delete(key).await.is_err_and(refused), "delete {key:?}");
    }
    // Names of files end at 255 bytes, keys do not.
    subject.put(&["x".repeat(170), "y".repeat(170), "z".repeat(170)].join("/"), "value").await;
}

async fn puts_at_once_leave_one_whole_value(subject: Subject) {
    const LENGTH: usize = 512 << 10;
    let is_whole = |value: &Bytes| value.len() == LENGTH && value.iter().all(|byte| *byte == value[0]);
    subject.put("a/contended", vec![0; LENGTH]).await;
    let puts = futures::future::join_all((1..=8).map(|byte| subject.put("a/contended", vec![byte; LENGTH])));
    let gets = async {
        for _ in 0..16 {
            assert!(subject.get("a/contended").await.as_ref().is_some_and(is_whole));
        }
    };
    let (_, ()) = tokio::join!(puts, gets);
    let last = subject.get("a/contended").await.unwrap();
    assert!(is_whole(&last) && last[0] != 0);
}
