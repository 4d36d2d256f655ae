use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use access::{Ids, RandomIds};

/// The folder in which the local server keeps everything: tables, objects, keys.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// Who has the folder.
#[derive(Debug)]
pub enum Lock {
    /// We, until this is dropped.
    Ours(fs::File),
    /// A running server; where it listens, or nothing while it starts.
    ServerAt(String),
}

#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct KeepError {
    path: PathBuf,
    source: io::Error,
}

impl DataDir {
    /// Creates the folder when it is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeepError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| KeepError { path: path.clone(), source })?;
        Ok(Self(path))
    }

    pub fn tables(&self) -> PathBuf {
        self.0.join("tables.sqlite")
    }

    pub fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The secret that seals cursors, made when first asked for.
    pub fn cursor_secret(&self) -> Result<Vec<u8>, KeepError> {
        let path = self.keys().join("cursor-secret");
        match fs::read(&path) {
            Ok(secret) if secret.len() == 32 => return Ok(secret),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(KeepError { path, source: error }),
            _ => {}
        }
        let mut secret = vec![0; 32];
        RandomIds.fill(&mut secret);
        write_private(&path, &secret)?;
        Ok(secret)
    }

    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox")
    }

    /// Keeps a second server off this folder; held until dropped.
    pub fn lock(&self) -> Result<fs::File, KeepError> {
        match self.try_lock()? {
            Lock::Ours(file) => Ok(file),
            Lock::ServerAt(_) => {
                let in_use = "another server uses this folder; stop it or give another --data";
                Err(KeepError { path: self.0.join("lock"), source: io::Error::other(in_use) })
            }
        }
    }

    /// The folder for ourselves, or the address of the server that has it.
    pub fn try_lock(&self) -> Result<Lock, KeepError> {
        let path = self.0.join("lock");
        let fail = |source| KeepError { path: path.clone(), source };
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock::Ours(file)),
            Err(fs::TryLockError::Error(error)) => Err(fail(error)),
            Err(fs::TryLockError::WouldBlock) => {
                let told = fs::read_to_string(self.address()).unwrap_or_default();
                Ok(Lock::ServerAt(told.trim().to_owned()))
            }
        }
    }

    /// Tells other commands where the server of this folder listens.
    pub fn announce(&self, address: std::net::SocketAddr) -> Result<(), KeepError> {
        let path = self.address();
        fs::write(&path, address.to_string()).map_err(|source| KeepError { path, source })
    }

    fn address(&self) -> PathBuf {
        self.0.join("address")
    }
}

/// Appears whole or not at all, readable by its owner only.
fn write_private(path: &Path, content: &[u8]) -> Result<(), KeepError> {
    let fail = |source| KeepError { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(fail)?;
    let partial = path.with_extension("partial");
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&partial).map_err(fail)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&partial, path).map_err(fail)
}
