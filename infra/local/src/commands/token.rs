//! `holdfast token`: a bearer token for the local server.

use access::{Clock, SystemClock};
use identity::LocalIssuer;

use super::Failure;
use crate::keep::DataDir;
use crate::serve::token;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whose token: any name; the same name is the same person each time
    #[arg(long, default_value = "ann")]
    user: String,
    /// A group the person is in, such as admin; may be given several times
    #[arg(long)]
    group: Vec<String>,
    /// The folder of the server it is for
    #[arg(long, default_value = ".holdfast")]
    data: std::path::PathBuf,
}

/// # Errors
/// When the folder's key cannot be read or made, or the name is empty.
pub fn run(arguments: &Arguments) -> Result<String, Failure> {
    let issuer = LocalIssuer::open(&DataDir::open(&arguments.data)?.keys())?;
    Ok(token(&issuer, &arguments.user, &arguments.group, SystemClock::default().now())?)
}
