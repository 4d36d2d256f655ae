//! A token's kept transfers added up to a block, over as many invocations as it takes.
//!
//! What the transfers up to a block add up to is one thing, wherever one begins and however often one stops: a tally is
//! carried from one invocation to the next of the same job, and now and then kept as a checkpoint from which any later
//! one may begin. A checkpoint that is gone, damaged or of another version is passed over; at worst all is added again.

use std::sync::Arc;

use access::tables::{SEGMENTS, Table};
use access::{AccessError, Dao, JobError, Kind, Row};
use app::App;
use bytes::Bytes;
use chains::segment::{self, Segment};
use clusters::{Ledger, Transfer};
use serde::{Deserialize, Serialize};
use worker::{Run, RunError};

use crate::kept::{Kept, SegmentRow};
use crate::refresh_clusters::{Progress, blocking, broken, is_over, share};
use crate::token::Token;

/// A place to begin: all transfers before a block, added up. Beside the runs of transfers, as `checkpoints/<token>`.
/// The row comes before its object and goes after it, so that no object is without one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CheckpointRow {
    /// The first block that is not in it.
    from_block: u64,
    /// How many transfers are.
    rows: u64,
}

impl Row for CheckpointRow {
    const TABLE: &'static Table = &SEGMENTS;
}

/// How many checkpoints of a token are kept.
const CHECKPOINTS: usize = 3;

/// The transfers of all blocks before `next`.
pub(crate) struct Tally {
    pub(crate) ledger: Ledger,
    pub(crate) next: u64,
    /// How many rows the checkpoint it began with has.
    begun: u64,
    /// Whether anything was added in this invocation: each does something, however little time it has.
    moved: bool,
    /// The run it is in, for as long as it is.
    open: Option<(u64, Arc<Segment>)>,
    /// How many bytes the ledger may take.
    most: u64,
}

/// Where a token's tallies are kept.
pub(crate) struct Tallies {
    app: App,
    dao: Dao<CheckpointRow>,
    token: String,
}

impl Tally {
    /// Adds what is kept of the blocks up to and including `until`. `false`: this invocation's time is up before. What
    /// is told goes from one fraction to another over all runs. A token that takes more memory than there is ends the
    /// job.
    pub(crate) async fn advance(
        &mut self,
        kept: &Kept,
        segments: &[SegmentRow],
        until: u64,
        progress: &mut Progress<'_>,
        (stage, from, to): (&str, f64, f64),
    ) -> Result<bool, RunError> {
        let begin = segments.partition_point(|row| row.through_block < self.next);
        let end = segments.partition_point(|row| row.from_block <= until);
        for (at, row) in segments.iter().enumerate().take(end).skip(begin) {
            if self.moved && is_over(progress.run) {
                return Ok(false);
            }
            progress.tell(stage, from + (to - from) * share(at, segments.len())).await?;
            if let Some(segment) = self.open(kept, row).await? {
                let (mut ledger, next) = (std::mem::take(&mut self.ledger), self.next);
                let most = self.most;
                self.ledger = blocking(move || {
                    ledger.extend_from_slice(within(&segment.transfers, next, until));
                    if ledger.bytes() > most {
                        ledger.settle();
                    }
                    ledger
                })
                .await?;
                if self.ledger.bytes() > most {
                    return Err(too_large(&self.ledger, row.through_block.min(until), until));
                }
                self.moved = true;
            }
            self.next = self.next.max(row.through_block.min(until) + 1);
            if row.through_block <= until {
                self.open = None;
            }
        }
        self.next = self.next.max(until + 1);
        Ok(true)
    }

    /// The transfers of a run; those of the last one again without reading them.
    async fn open(&mut self, kept: &Kept, row: &SegmentRow) -> Result<Option<Arc<Segment>>, RunError> {
        if let Some((_, segment)) = self.open.as_ref().filter(|(from, _)| *from == row.from_block) {
            return Ok(Some(Arc::clone(segment)));
        }
        let segment = kept.transfers(row).await?;
        self.open = segment.as_ref().map(|segment| (row.from_block, Arc::clone(segment)));
        Ok(segment)
    }

    /// As bytes, behind `head`, a line of JSON of what else is to be carried.
    async fn pack(&mut self, head: Vec<u8>) -> Result<Bytes, RunError> {
        let mut ledger = std::mem::take(&mut self.ledger);
        let (ledger, bytes) = blocking(move || {
            let mut bytes = head;
            let saved = ledger.save(&mut bytes);
            (ledger, saved.map(|()| bytes))
        })
        .await?;
        self.ledger = ledger;
        Ok(bytes.map_err(|error| broken(&error))?.into())
    }
}

fn too_large(ledger: &Ledger, block: u64, until: u64) -> RunError {
    let (rows, megabytes) = (ledger.rows(), ledger.bytes() / 1_000_000);
    let detail = format!(
        "The token has too many holders and pairs of them to be added up: {rows} transfers up to block {block}, of {until}, \
         take {megabytes} MB. A report of an earlier block may fit: block={block} is too late."
    );
    RunError::Discard(JobError::new(Kind::Invalid, "token_too_large", detail))
}

/// Those of the blocks `from..=until`; ordered by block, as a run is.
fn within(transfers: &[Transfer], from: u64, until: u64) -> &[Transfer] {
    let begin = transfers.partition_point(|transfer| transfer.block < from);
    let end = transfers.partition_point(|transfer| transfer.block <= until);
    transfers.get(begin..end).unwrap_or_default()
}

/// What a job carries from one invocation to the next beside the tally.
#[derive(Debug, Serialize, Deserialize)]
struct Carried<T> {
    next: u64,
    begun: u64,
    rest: T,
}

impl Tallies {
    pub(crate) fn of(app: &App, token: &Token) -> Self {
        Self { app: app.clone(), dao: Dao::open(&app.tables, &app.rao), token: token.key() }
    }

    /// The newest checkpoint with no block after `until`, or nothing yet.
    pub(crate) async fn begin(&self, until: u64) -> Result<Tally, RunError> {
        let mut bound = until + 1;
        while let Some(row) = self.dao.newest_until(&self.rows(), bound.into()).await? {
            if let Some(bytes) = self.app.blobs.get(&self.place(row.from_block)).await?
                && let Some(ledger) = load(bytes, 0).await?
                && ledger.rows() == row.rows
            {
                return Ok(self.tally(ledger, row.from_block));
            }
            let Some(before) = row.from_block.checked_sub(1) else { break };
            bound = before;
        }
        Ok(self.tally(Ledger::new(), 0))
    }

    /// Keeps a tally of everything there is for later ones to begin with, once enough is new in it.
    pub(crate) async fn keep(&self, tally: &mut Tally) -> Result<(), RunError> {
        let rows = tally.ledger.rows();
        if rows < tally.begun.saturating_add(self.app.settings.checkpoint_rows.max(1)) {
            return Ok(());
        }
        let row = CheckpointRow { from_block: tally.next, rows };
        match self.dao.insert_if_absent(&self.rows(), &row).await {
            Ok(()) | Err(AccessError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let bytes = tally.pack(Vec::new()).await?;
        self.app.blobs.put(&self.place(row.from_block), bytes).await?;
        self.remove_old().await
    }

    async fn remove_old(&self) -> Result<(), RunError> {
        let mut rows = self.dao.page(&self.rows(), None, 100).await?.items;
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.from_block));
        for row in rows.iter().skip(CHECKPOINTS) {
            self.app.blobs.delete(&self.place(row.from_block)).await?;
            let unchanged = access::Expression::new("attribute_exists(#token)").name("#token", "token");
            match self.dao.delete_if(&self.rows(), Some(row.from_block.into()), unchanged).await {
                Ok(()) | Err(AccessError::ConditionFailed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What the invocation before left of this job, where it was not the first.
    pub(crate) async fn resume<T: for<'a> Deserialize<'a>>(
        &self,
        run: &Run<App>,
    ) -> Result<Option<(Tally, T)>, RunError> {
        if run.claim().row.part == 0 {
            return Ok(None);
        }
        let Some(bytes) = self.app.blobs.get(&carried_at(run)).await? else { return Ok(None) };
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let Ok(Carried { next, begun, rest }) = serde_json::from_slice(&bytes[..end]) else { return Ok(None) };
        let ledger = load(bytes, end + 1).await?;
        Ok(ledger.map(|ledger| (Tally { begun, ..self.tally(ledger, next) }, rest)))
    }

    /// Leaves the tally for this job's next invocation. Lost, it is made again.
    pub(crate) async fn pause<T: Serialize>(&self, run: &Run<App>, tally: &mut Tally, rest: T) -> Result<(), RunError> {
        let carried = Carried { next: tally.next, begun: tally.begun, rest };
        let mut head = serde_json::to_vec(&carried).map_err(|error| broken(&error))?;
        head.push(b'\n');
        let bytes = tally.pack(head).await?;
        Ok(self.app.blobs.put(&carried_at(run), bytes).await?)
    }

    /// Removes what was left, when the job is done. What a crash leaves ends by the bucket's expiry rule.
    pub(crate) async fn finish(&self, run: &Run<App>) {
        if run.claim().row.part > 0
            && let Err(error) = self.app.blobs.delete(&carried_at(run)).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "what a job carried was not removed");
        }
    }

    fn tally(&self, ledger: Ledger, next: u64) -> Tally {
        let most = self.app.settings.ledger_bytes;
        Tally { begun: ledger.rows(), ledger, next, moved: false, open: None, most }
    }

    fn rows(&self) -> String {
        format!("checkpoints/{}", self.token)
    }

    fn place(&self, from_block: u64) -> String {
        format!("transfers/{}/before-{from_block:012}.ledger", self.token)
    }
}

/// Of this start of this job: what an earlier start left is of no use.
fn carried_at(run: &Run<App>) -> String {
    let row = &run.claim().row;
    format!("reports/carried/{}-{}", row.view.job, row.generation)
}

/// The ledger in these bytes; `None` where it is damaged or of another version.
async fn load(bytes: Bytes, from: usize) -> Result<Option<Ledger>, RunError> {
    let loaded = blocking(move || Ledger::load(&mut bytes.get(from..).unwrap_or_default())).await?;
    if let Err(error) = &loaded {
        tracing::warn!(error = error as &dyn std::error::Error, "what was added up before cannot be used");
    }
    Ok(loaded.ok())
}

impl Kept {
    /// The transfers of a run, unpacked; `None` where it has none.
    pub(crate) async fn transfers(&self, row: &SegmentRow) -> Result<Option<Arc<Segment>>, RunError> {
        let Some(packed) = self.packed(row).await? else { return Ok(None) };
        let segment = blocking(move || segment::decode(&packed)).await?;
        Ok(Some(Arc::new(segment.map_err(|error| broken(&error))?)))
    }
}
