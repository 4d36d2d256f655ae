//! Files of labels that callers have posted: kept under the SHA-256 of their bytes, of nobody, for good.

use access::messages::Choices;
use access::{BlobError, JobError, Kind};
use app::App;
use bytes::Bytes;
use clusters::{Digest, LabelError, Labels};
use sha2::Digest as _;
use worker::RunError;

/// No file labels more.
pub(crate) const MAX_LABELS: usize = 20_000;

/// Why a file is not taken, in words for whoever posted it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("The labels cannot be read: {}.", place(.0))]
    Malformed(#[source] LabelError),
    #[error("The file labels {0} addresses: expected at most {MAX_LABELS}.")]
    TooMany(usize),
    #[error("The file labels nothing.")]
    Empty,
}

/// With the column where an error names only the line.
fn place(error: &LabelError) -> String {
    let text = error.to_string();
    let column = match error {
        LabelError::Address { .. } => "address",
        LabelError::Kind { .. } => "kind",
        _ => return text,
    };
    text.replacen(": ", &format!(", column {column}: "), 1)
}

pub(crate) fn read(bytes: &[u8]) -> Result<Labels, Unfit> {
    let labels = Labels::parse(bytes).map_err(Unfit::Malformed)?;
    match labels.len() {
        0 => Err(Unfit::Empty),
        1..=MAX_LABELS => Ok(labels),
        count => Err(Unfit::TooMany(count)),
    }
}

/// Keeps a file that [`read`] takes. The same bytes again are the same file.
pub(crate) async fn keep(app: &App, bytes: Bytes) -> Result<Digest, BlobError> {
    let digest = Digest(sha2::Sha256::digest(&bytes).into());
    app.blobs.put(&place_of(&digest.to_string()), bytes).await?;
    Ok(digest)
}

pub(crate) async fn is_known(app: &App, labels: &str) -> Result<bool, BlobError> {
    Ok(labels == "none" || app.blobs.get(&place_of(labels)).await?.is_some())
}

pub(crate) fn unknown(labels: &str) -> String {
    format!("There are no labels {labels}: post the file to /v1/labels first.")
}

/// What an analysis with these choices knows.
pub(crate) async fn labels_for(app: &App, chain: &str, choices: &Choices) -> Result<Labels, RunError> {
    let file = match choices.labels.as_deref() {
        None => return Ok(Labels::builtin(chain)),
        Some("none") => return Ok(Labels::none()),
        Some(file) => file,
    };
    let unknown = || RunError::Discard(JobError::new(Kind::NotFound, "unknown_labels", unknown(file)));
    let bytes = app.blobs.get(&place_of(file)).await?.ok_or_else(unknown)?;
    let mut labels = Labels::builtin(chain);
    labels.extend(
        read(&bytes)
            .map_err(|error| RunError::Discard(JobError::new(Kind::Invalid, "unknown_labels", error.to_string())))?,
    );
    Ok(labels)
}

fn place_of(digest: &str) -> String {
    format!("labels/{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_column() {
        let text = refused("address,name,kind\n0x12,A,pool\n");
        assert!(text.starts_with("The labels cannot be read: line 2, column address: "), "{text}");
        let text = refused(&format!("address,name,kind\n\n0x{},A,whale\n", "1".repeat(40)));
        assert!(text.starts_with("The labels cannot be read: line 3, column kind: expected a kind"), "{text}");
        let text = refused("[{\"address\":\"0x12\"}]");
        assert!(text.contains("line 1 column"), "{text}");
        assert_eq!(refused("address,name,kind\n"), "The file labels nothing.");
    }

    #[test]
    fn a_file_of_too_many_labels_is_refused() {
        let rows = |count: usize| {
            let rows: Vec<_> = (1..=count).map(|i| format!("0x{i:040x},A,pool")).collect();
            format!("address,name,kind\n{}\n", rows.join("\n"))
        };
        assert_eq!(read(rows(MAX_LABELS).as_bytes()).unwrap().len(), MAX_LABELS);
        assert_eq!(refused(&rows(MAX_LABELS + 1)), "The file labels 20001 addresses: expected at most 20000.");
    }
}
