//! The deployed thing without Docker: the real template and the real binaries on an emulator of AWS, or on any AWS that
//! is already there.
//!
//! [`Servers`] are what runs beside the functions, kept and ended by a [`keeper`] process of their own. [`Deployment`] is
//! what a deployed stack says of itself: all that logs and end-to-end tests need.

mod aws;
mod checkout;
mod deploy;
pub mod keeper;
mod leftovers;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use aws::AwsCli;
pub use checkout::Checkout;
pub use deploy::{Plan, deploy};
pub use keeper::{Kept, Servers};
pub use leftovers::{ended, leftovers};

/// A stack that stands, as kept in its folder and read by the end-to-end tests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    pub aws: AwsCli,
    pub stack_name: String,
    /// In front of every deployed name: `holdfast-local`.
    pub prefix: String,
    /// Without a slash at its end.
    pub api_url: String,
    pub user_pool_id: String,
    pub user_pool_client_id: String,
    /// Seconds after which a report is refreshed.
    pub report_staleness: u64,
    /// The emulator's; none where the AWS was there before.
    pub servers: Option<Servers>,
}

/// Why a stack does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("{doing}")]
    Io { doing: String, source: std::io::Error },
    #[error("no template.yaml in this folder or above it: run this in a checkout of Holdfast")]
    NoCheckout,
    #[error("`{line}` failed{said}")]
    Command { line: String, said: String },
    #[error("{what} is not what was expected: {expected}")]
    Unexpected { what: String, expected: &'static str },
    #[error("{server} did not start; its log, {log}, ends with:\n{tail}")]
    NotStarted { server: &'static str, log: String, tail: String },
    #[error("the stack {stack} could not be deployed:\n{reasons}")]
    Refused { stack: String, reasons: String },
    #[error("a stack is up already: `holdfast stack down` ends it")]
    AlreadyUp,
    #[error("no stack is up: `holdfast stack up` starts one")]
    NotUp,
}

impl StackError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// The file in a stack's folder that says how to reach it.
const FILE: &str = "deployment.json";

impl Deployment {
    pub fn file(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// What stands in the folder, if anything does.
    pub fn read(folder: &Path) -> Result<Option<Self>, StackError> {
        let path = Self::file(folder);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| StackError::Unexpected {
                what: path.display().to_string(),
                expected: "what `holdfast stack up` of this version wrote",
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StackError::io(format!("reading {}", path.display()))(error)),
        }
    }

    pub fn write(&self, folder: &Path) -> Result<(), StackError> {
        let path = Self::file(folder);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| StackError::Io { doing: format!("writing {}", path.display()), source: error.into() })?;
        fs::write(&path, text).map_err(StackError::io(format!("writing {}", path.display())))
    }
}
