use std::net::SocketAddr;
use std::path::Path;

use access::{Aws, AwsConfig, Credentials, Roots};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A DynamoDB engine in this process, spoken to over loopback with AWS's own protocol.
pub struct Embedded {
    address: SocketAddr,
    /// Ends the engine when dropped.
    stop: DropGuard,
    done: JoinHandle<Result<(), String>>,
}

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("the table file cannot be opened: {0}")]
    Open(String),
    #[error("no loopback port for the tables")]
    Listen(#[from] std::io::Error),
    #[error("the table engine ended badly: {0}")]
    Ended(String),
}

impl Embedded {
    /// Tables kept in this file, created when missing.
    pub async fn open(file: &Path) -> Result<Self, EmbeddedError> {
        let file = file.to_str().ok_or_else(|| EmbeddedError::Open("its path is not UTF-8".into()))?;
        Self::serve(Database::new(file).map_err(|error| EmbeddedError::Open(error.to_string()))?).await
    }

    /// Tables that end with the process; for tests.
    pub async fn in_memory() -> Result<Self, EmbeddedError> {
        Self::serve(Database::memory().map_err(|error| EmbeddedError::Open(error.to_string()))?).await
    }

    async fn serve(database: Database) -> Result<Self, EmbeddedError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let done = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, stopped));
        Ok(Self { address, stop: stop.drop_guard(), done })
    }

    /// Clients that speak to it.
    pub fn aws(&self) -> Aws {
        Aws::new(AwsConfig {
            region: "eu-west-2".into(),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: Credentials::new("local", "local", None, None, "embedded"),
            roots: Roots::System,
        })
    }

    /// Ends the engine and waits until the file is closed.
    pub async fn close(self) -> Result<(), EmbeddedError> {
        drop(self.stop);
        match self.done.await {
            Ok(ended) => ended.map_err(EmbeddedError::Ended),
            Err(error) => Err(EmbeddedError::Ended(error.to_string())),
        }
    }
}
