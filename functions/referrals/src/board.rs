//! The newest finished ranking, read from its objects.

use access::{BlobError, Rank};
use app::App;
use members::Standing;

use crate::listing::{self, Unreadable};

/// So many members are in one object.
pub(crate) const PAGE: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BoardError {
    #[error(transparent)]
    Blobs(#[from] BlobError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// The members on one page, counted from 0, best first; `None` when there is no such page, or not any more.
pub(crate) async fn page(app: &App, standing: &Standing, page: u64) -> Result<Option<Vec<Rank>>, BoardError> {
    if page >= standing.pages {
        return Ok(None);
    }
    let Some(bytes) = app.blobs.get(&listing::key(&standing.folder, page)).await? else { return Ok(None) };
    let members = listing::decode(bytes)?;
    let first = page * PAGE as u64 + 1;
    Ok(Some((first..).zip(members).map(|(rank, ranked)| Rank { rank, ranked }).collect()))
}

/// At most `limit` members from this rank on; fewer at the end, or when the ranking was replaced meanwhile.
pub(crate) async fn from(app: &App, standing: &Standing, rank: u64, limit: usize) -> Result<Vec<Rank>, BoardError> {
    let (page_size, first) = (PAGE as u64, rank.saturating_sub(1));
    let mut found: Vec<Rank> = Vec::new();
    let mut number = first / page_size;
    while found.len() < limit {
        let Some(ranks) = page(app, standing, number).await? else { break };
        found.extend(ranks.into_iter().filter(|one| one.rank >= rank).take(limit - found.len()));
        number += 1;
    }
    Ok(found)
}
