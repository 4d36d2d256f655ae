//! A token's transfers as they are kept: runs of whole blocks in object storage, listed in table `segments`. A run is
//! never changed. The next one begins where the last one ends, and of two workers that read the same blocks at the same
//! time one wins the row: the list has neither gaps nor overlaps, whoever writes it.

use access::tables::{SEGMENTS, Table};
use access::{AccessError, Dao, Row};
use app::App;
use bytes::Bytes;
use chains::{Chunk, segment};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use worker::RunError;

use crate::token::Token;

/// One run of whole blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SegmentRow {
    pub(crate) from_block: u64,
    pub(crate) through_block: u64,
    pub(crate) rows: u64,
    pub(crate) bad_rows: u64,
    /// The object that holds the transfers; none where there were none.
    blob: Option<String>,
}

impl Row for SegmentRow {
    const TABLE: &'static Table = &SEGMENTS;
}

/// What is kept of one token.
pub(crate) struct Kept {
    app: App,
    dao: Dao<SegmentRow>,
    key: String,
}

impl Kept {
    pub(crate) fn of(app: &App, token: &Token) -> Self {
        Self { app: app.clone(), dao: Dao::open(&app.tables, &app.rao), key: token.key() }
    }

    /// The first block that is not kept yet; `None` when nothing is.
    pub(crate) async fn next_block(&self) -> Result<Option<u64>, RunError> {
        Ok(self.dao.newest(&self.key, true).await?.map(|row| row.through_block + 1))
    }

    /// Keeps what was read from block `from` on, and returns the next block to be read. When another worker has kept
    /// blocks from `from` on already, that stands and this is dropped.
    pub(crate) async fn append(&self, from: u64, chunk: &Chunk) -> Result<u64, RunError> {
        let mut row = SegmentRow {
            from_block: from,
            through_block: chunk.through,
            rows: chunk.transfers.len() as u64,
            bad_rows: chunk.bad_rows,
            blob: None,
        };
        if !chunk.transfers.is_empty() {
            let bytes = segment::encode(&chunk.transfers, from, chunk.through);
            let digest = Sha256::digest(&bytes);
            let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let blob = format!("transfers/{}/{from:012}-{:012}-{name}.seg", self.key, chunk.through);
            self.app.blobs.put(&blob, bytes.into()).await?;
            row.blob = Some(blob);
        }
        match self.dao.insert_if_absent(&self.key, &row).await {
            Ok(()) => Ok(row.through_block + 1),
            Err(AccessError::AlreadyExists { .. }) => {
                let theirs = self.dao.get(&self.key, Some(from.into())).await?;
                // Both may have read the same, then the object is theirs too.
                if let Some(blob) =
                    row.blob.filter(|blob| theirs.as_ref().and_then(|row| row.blob.as_ref()) != Some(blob))
                {
                    self.app.blobs.delete(&blob).await?;
                }
                Ok(theirs.map_or(from, |row| row.through_block + 1))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Every run that is kept, in the order of blocks.
    pub(crate) async fn segments(&self) -> Result<Vec<SegmentRow>, RunError> {
        let mut rows = Vec::new();
        let mut start = None;
        loop {
            let page = self.dao.page(&self.key, start.as_deref(), 1000).await?;
            rows.extend(page.items);
            match page.next_cursor {
                Some(cursor) => start = Some(cursor),
                None => return Ok(rows),
            }
        }
    }

    /// The packed transfers of a run; `None` where it has none.
    pub(crate) async fn packed(&self, row: &SegmentRow) -> Result<Option<Bytes>, RunError> {
        let Some(blob) = &row.blob else { return Ok(None) };
        match self.app.blobs.get(blob).await? {
            Some(bytes) => Ok(Some(bytes)),
            None => {
                Err(AccessError::Malformed { table: SEGMENTS.name, source: "the object a row names is gone".into() }
                    .into())
            }
        }
    }
}
