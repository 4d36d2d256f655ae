//! `cargo xtask new-endpoint`.
use std::path::Path;

use crate::failure::Result;

#[derive(clap::Args)]
pub(crate) struct Request {
    domain: String,
}

pub(crate) fn write(_root: &Path, _request: &Request) -> Result<()> {
    Ok(())
}
