use std::error::Error as StdError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;

use crate::error::Chain;
use crate::{Aws, Ids, Kind};

/// Why object storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("{key:?} is no blob key: expected letters, digits and . _ - = between slashes")]
    BadKey { key: String },
    #[error("object storage does not answer: {source}")]
    Unavailable { source: Box<dyn StdError + Send + Sync> },
    #[error("object storage refused the call: {source}")]
    Refused { source: Box<dyn StdError + Send + Sync> },
}

impl BlobError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::BadKey { .. } | Self::Refused { .. } => Kind::Internal,
        }
    }
}

/// Object storage for what is too large for a row. Readers see a whole value or none.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Writes or replaces.
    async fn put(&self, key: &str, value: Bytes) -> Result<(), BlobError>;

    async fn get(&self, key: &str) -> Result<Option<Bytes>, BlobError>;

    /// Removing what is not there is fine.
    async fn delete(&self, key: &str) -> Result<(), BlobError>;
}

/// Amazon S3.
pub struct S3Blobs {
    aws: Aws,
    bucket: String,
}

impl S3Blobs {
    pub fn new(aws: Aws, bucket: impl Into<String>) -> Self {
        Self { aws, bucket: bucket.into() }
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn put(&self, key: &str, value: Bytes) -> Result<(), BlobError> {
        let call = self.aws.s3().put_object().bucket(&self.bucket).key(checked(key)?).body(value.into());
        call.send().await.map(drop).map_err(failed)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        let sent = self.aws.s3().get_object().bucket(&self.bucket).key(checked(key)?).send().await;
        match sent {
            Ok(object) => {
                let body = object.body.collect().await;
                Ok(Some(body.map_err(|e| BlobError::Unavailable { source: Box::new(e) })?.into_bytes()))
            }
            Err(e) if e.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let sent = self.aws.s3().delete_object().bucket(&self.bucket).key(checked(key)?).send().await;
        sent.map(drop).map_err(failed)
    }
}

/// Files below one folder, for the local server.
pub struct FolderBlobs {
    root: PathBuf,
    ids: std::sync::Arc<dyn Ids>,
}

impl FolderBlobs {
    pub fn new(root: impl Into<PathBuf>, ids: std::sync::Arc<dyn Ids>) -> Self {
        Self { root: root.into(), ids }
    }

    fn path(&self, key: &str) -> Result<PathBuf, BlobError> {
        Ok(self.root.join(checked(key)?))
    }
}

#[async_trait]
impl BlobStore for FolderBlobs {
    async fn put(&self, key: &str, value: Bytes) -> Result<(), BlobError> {
        let path = self.path(key)?;
        let mut noise = [0; 8];
        self.ids.fill(&mut noise);
        // Beside its place, so that the rename stays in one file system.
        let partial = path.with_file_name(format!(".partial-{:016x}", u64::from_le_bytes(noise)));
        let write = async {
            tokio::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).await?;
            tokio::fs::write(&partial, &value).await?;
            tokio::fs::rename(&partial, &path).await
        };
        let written = write.await;
        if written.is_err() {
            let _ = tokio::fs::remove_file(&partial).await;
        }
        written.map_err(io)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        match tokio::fs::read(self.path(key)?).await {
            Ok(value) => Ok(Some(value.into())),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(io(e)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        match tokio::fs::remove_file(self.path(key)?).await {
            Err(e) if !is_missing(&e) => Err(io(e)),
            _ => Ok(()),
        }
    }
}

/// Keys become paths: nothing in them may climb out of the folder or hide.
fn checked(key: &str) -> Result<&str, BlobError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-' | b'=');
    let good = key.len() <= 512
        && key.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed));
    if good { Ok(key) } else { Err(BlobError::BadKey { key: key.to_owned() }) }
}

/// A folder is no blob, and below a blob there is none.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory)
}

fn io(error: std::io::Error) -> BlobError {
    BlobError::Unavailable { source: Box::new(error) }
}

fn failed<E>(error: SdkError<E>) -> BlobError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let refused = match &error {
        SdkError::ServiceError(service) => {
            service.raw().status().as_u16() < 500 && service.err().code() != Some("SlowDown")
        }
        SdkError::ConstructionFailure(_) => true,
        _ => false,
    };
    let source = Box::new(Chain::of(&error));
    if refused { BlobError::Refused { source } } else { BlobError::Unavailable { source } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_leave_its_folder() {
        for bad in ["", "/a", "a//b", "../a", "a/../b", "a/.hidden", "a b", "a\\b", "a/"] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
        assert!(checked("transfers/ethereum/0xab/000-999.seg").is_ok());
    }
}
