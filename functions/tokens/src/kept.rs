//! A token's transfers as they are kept: runs of whole blocks in object storage, listed in table `segments`. A run is
//! never changed. The next one begins where the last one ends, and of two workers that read the same blocks at the same
//! time one wins the row: the list has neither gaps nor overlaps, whoever writes it.
//!
//! An object is written before the run that names it. A worker that dies in between leaves one that the next worker
//! does not name if the chain has gone on and its run reaches further. So a row of its own names it from before it is
//! written, and a later job removes both.

use std::time::Duration;

use access::tables::{SEGMENTS, Table};
use access::{AccessError, Dao, Expression, Row, Timestamp};
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

/// An object on its way: there from before it is written until a run names it or it is removed. Beside the runs, as
/// `arriving/<token>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArrivingRow {
    /// The sort key. Of what is in the object, not its first block, from which several workers may read at once.
    #[serde(rename = "fromBlock")]
    id: u64,
    /// The first block of its run.
    begins: u64,
    blob: String,
    /// Milliseconds since 1970.
    since: u64,
}

impl Row for ArrivingRow {
    const TABLE: &'static Table = &SEGMENTS;
}

/// No worker is on its way for so long.
const ARRIVAL: Duration = Duration::from_secs(3600);

/// What is kept of one token.
pub(crate) struct Kept {
    app: App,
    dao: Dao<SegmentRow>,
    arriving: Dao<ArrivingRow>,
    key: String,
}

impl Kept {
    pub(crate) fn of(app: &App, token: &Token) -> Self {
        let (tables, rao) = (&app.tables, &app.rao);
        Self { app: app.clone(), dao: Dao::open(tables, rao), arriving: Dao::open(tables, rao), key: token.key() }
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
        if chunk.transfers.is_empty() {
            return self.insert(&row).await;
        }
        let bytes = segment::encode(&chunk.transfers, from, chunk.through);
        let mut head = [0; 8];
        head.copy_from_slice(&Sha256::digest(&bytes)[..8]);
        let id = u64::from_be_bytes(head);
        let blob = format!("transfers/{}/{from:012}-{:012}-{id:016x}.seg", self.key, chunk.through);
        let since = self.app.clock.now().millis();
        match self
            .arriving
            .insert_if_absent(&self.arrivals(), &ArrivingRow { id, begins: from, blob: blob.clone(), since })
            .await
        {
            // One that died with the same blocks left it.
            Ok(()) | Err(AccessError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.app.blobs.put(&blob, bytes.into()).await?;
        row.blob = Some(blob);
        let next = self.insert(&row).await?;
        self.arrived(id).await?;
        Ok(next)
    }

    async fn insert(&self, row: &SegmentRow) -> Result<u64, RunError> {
        match self.dao.insert_if_absent(&self.key, row).await {
            Ok(()) => Ok(row.through_block + 1),
            Err(AccessError::AlreadyExists { .. }) => {
                let theirs = self.dao.get(&self.key, Some(row.from_block.into())).await?;
                // Both may have read the same, then the object is theirs too.
                if let Some(blob) = &row.blob
                    && theirs.as_ref().and_then(|theirs| theirs.blob.as_ref()) != Some(blob)
                {
                    self.app.blobs.delete(blob).await?;
                }
                Ok(theirs.map_or(row.from_block, |theirs| theirs.through_block + 1))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn arrived(&self, id: u64) -> Result<(), RunError> {
        let is_there = Expression::new("attribute_exists(#token)").name("#token", "token");
        match self.arriving.delete_if(&self.arrivals(), Some(id.into()), is_there).await {
            Ok(()) | Err(AccessError::ConditionFailed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes objects that did not arrive: those of workers that must be dead, from blocks before `next`, which other
    /// runs hold.
    pub(crate) async fn remove_strays(&self, next: u64) -> Result<(), RunError> {
        let now = self.app.clock.now();
        for row in self.arriving.page(&self.arrivals(), None, 100).await?.items {
            if row.begins >= next || now.since(Timestamp(row.since)) < ARRIVAL {
                continue;
            }
            let run = self.dao.get(&self.key, Some(row.begins.into())).await?;
            if run.and_then(|run| run.blob).as_ref() != Some(&row.blob) {
                self.app.blobs.delete(&row.blob).await?;
            }
            self.arrived(row.id).await?;
        }
        Ok(())
    }

    fn arrivals(&self) -> String {
        format!("arriving/{}", self.key)
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
