use std::io;

/// Why a task stopped; its text is all the person at the terminal gets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("{doing}: {source}")]
    Json { doing: String, source: serde_json::Error },
    /// A program that was started and did not succeed; it has said why itself.
    #[error("`{line}` ended with {status}")]
    Command { line: String, status: String },
    /// What was asked for cannot be done, with what would have to be different.
    #[error("{0}")]
    Refused(String),
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Says what was being done when an operating system call failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Failure::Io { doing: what(), source })
    }
}

impl<T> Doing<T> for serde_json::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Failure::Json { doing: what(), source })
    }
}
