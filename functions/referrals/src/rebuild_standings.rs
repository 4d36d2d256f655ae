//! Worker: ranks all members from the table. The result is the same wherever it is killed and however often it is
//! repeated, and it never holds more than a part of them.
//!
//! Read: the table goes by once; pieces of it are sorted and written as objects. Merge: the pieces are read as one,
//! and each page of it is written as an object of the board, as a row of each member's history, and into a new set in
//! Redis. Then the set and the board are put in place, and what is not needed any more is removed.

use std::time::Duration;

use access::messages::RebuildStandings;
use access::{Rank, Timestamp};
use app::App;
use members::Standing;
use serde::{Deserialize, Serialize};
use worker::{Outcome, Run, RunError, Worker};

use crate::board::PAGE;
use crate::checkpoint::Progress;
use crate::listing;
use crate::sorting::{Merge, Piece};

pub fn worker() -> Worker<App> {
    Worker::job("referrals-rebuild-standings", rebuild)
}

/// So many members are sorted in memory.
const PIECE: usize = 50_000;
/// So many rows are read at once, if their bytes allow it.
const ROWS: u32 = 5_000;
/// After so many pages of the merge it is written down how far it is.
const PAGES: u64 = 10;
/// What the steps between two looks at the clock may take, and the last ones.
const RESERVE: Duration = Duration::from_secs(20);
/// How long after somebody has left ranks are looked for that were written meanwhile.
const LEFT_LATELY: Duration = Duration::from_secs(3 * 24 * 3600);
/// Readers may have one in hand while the next is put in place.
const STANDINGS_KEPT: usize = 2;

/// How far a run is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Stage {
    Read {
        as_of: Timestamp,
        /// The key behind which the table is not read yet.
        after: Option<String>,
        pieces: Vec<Piece>,
        /// Whether there is a set in Redis to be filled.
        live: bool,
    },
    Merge {
        as_of: Timestamp,
        pieces: Vec<Piece>,
        /// How many of each piece are written.
        taken: Vec<u64>,
        pages: u64,
        live: bool,
    },
    /// The board is there.
    Tidy { pieces: Vec<Piece> },
}

async fn rebuild(app: App, message: RebuildStandings, run: Run<App>) -> Result<Outcome, RunError> {
    let rebuild = Rebuild { progress: Progress::of(&app, &run), app, run, day: message.day };
    let mut stage = match rebuild.progress.load().await? {
        Some(stage) => stage,
        None => rebuild.begin().await?,
    };
    loop {
        let next = match stage {
            Stage::Read { as_of, after, pieces, live } => rebuild.read(as_of, after, pieces, live).await?,
            Stage::Merge { as_of, pieces, taken, pages, live } => {
                rebuild.merge(as_of, pieces, taken, pages, live).await?
            }
            Stage::Tidy { pieces } => {
                rebuild.tidy(&pieces).await?;
                rebuild.run.finish().await?;
                return Ok(Outcome::Done);
            }
        };
        let Some(next) = next else { return Ok(Outcome::Continue) };
        stage = next;
    }
}

struct Rebuild {
    app: App,
    run: Run<App>,
    progress: Progress,
    day: u64,
}

impl Rebuild {
    async fn begin(&self) -> Result<Stage, RunError> {
        let as_of = self.app.clock.now();
        // Before the first row is read: whatever is earned from here on is in the new set as well.
        let live = self.app.ranking.begin(&self.progress.name).await;
        let stage = Stage::Read { as_of, after: None, pieces: Vec::new(), live };
        self.progress.save(&stage).await?;
        Ok(stage)
    }

    /// `None`: this invocation's time is up.
    async fn read(
        &self,
        as_of: Timestamp,
        mut after: Option<String>,
        mut pieces: Vec<Piece>,
        live: bool,
    ) -> Result<Option<Stage>, RunError> {
        let mut members = Vec::new();
        loop {
            let (scanned, next) = self.app.members.scan(after.as_deref(), ROWS).await?;
            members.extend(scanned.members);
            for (user, left) in scanned.forgotten {
                if as_of.since(left) < LEFT_LATELY {
                    self.app.members.forget_points(&user).await?;
                }
            }
            let is_over = next.is_none();
            let is_late = self.run.remaining() < RESERVE;
            after = next;
            if members.len() >= PIECE || (!members.is_empty() && (is_late || is_over)) {
                // Of its own name: a worker that lost the job may be writing the same piece otherwise.
                let folder = format!("sorting/{}/{}-{}", self.progress.name, self.progress.fence(), pieces.len());
                let piece = Piece::write(&*self.app.blobs, folder, std::mem::take(&mut members)).await?;
                pieces.push(piece);
                if !is_over {
                    let stage = Stage::Read { as_of, after: after.clone(), pieces: pieces.clone(), live };
                    self.progress.save(&stage).await?;
                    self.run.progress("reading members", 0.2).await?;
                }
            }
            if is_over {
                let stage = Stage::Merge { as_of, pieces, taken: Vec::new(), pages: 0, live };
                self.progress.save(&stage).await?;
                return Ok(Some(stage));
            }
            if is_late {
                return Ok(None);
            }
        }
    }

    /// `None`: this invocation's time is up.
    async fn merge(
        &self,
        as_of: Timestamp,
        pieces: Vec<Piece>,
        taken: Vec<u64>,
        mut pages: u64,
        mut live: bool,
    ) -> Result<Option<Stage>, RunError> {
        let total: u64 = pieces.iter().map(|piece| piece.members).sum();
        let board = format!("standings/{}", self.progress.name);
        let mut merge = Merge::open(&*self.app.blobs, &pieces, &taken).await?;
        loop {
            let members = merge.next(PAGE).await?;
            if members.is_empty() {
                break;
            }
            let first = pages * PAGE as u64 + 1;
            let ranks: Vec<_> =
                (first..).zip(&members).map(|(rank, ranked)| Rank { rank, ranked: ranked.clone() }).collect();
            let key = listing::key(&board, pages);
            let (put, written, filled) = tokio::join!(
                self.app.blobs.put(&key, listing::encode(&members)),
                self.app.members.write_history(&ranks, self.day, total, as_of),
                async { live && self.app.ranking.fill(&self.progress.name, &members).await },
            );
            put?;
            written?;
            live = filled;
            pages += 1;
            let is_late = self.run.remaining() < RESERVE;
            if is_late || pages.is_multiple_of(PAGES) {
                let stage = Stage::Merge { as_of, pieces: pieces.clone(), taken: merge.taken(), pages, live };
                self.progress.save(&stage).await?;
                self.run.progress("ranking members", 0.2 + 0.8 * share(pages * PAGE as u64, total)).await?;
            }
            if is_late {
                return Ok(None);
            }
        }
        if live && !self.app.ranking.publish(&self.progress.name).await {
            tracing::warn!("the live ranking stays as it was");
        }
        let standing = Standing { timestamp: as_of, day: self.day, total, pages, folder: board };
        self.app.members.announce_standing(&standing).await?;
        tracing::info!(standing.total = total, standing.live = live, "all members were ranked");
        let stage = Stage::Tidy { pieces };
        self.progress.save(&stage).await?;
        Ok(Some(stage))
    }

    async fn tidy(&self, pieces: &[Piece]) -> Result<(), RunError> {
        for piece in pieces {
            piece.remove(&*self.app.blobs).await?;
        }
        let standings = self.app.members.standings().await?;
        let old = standings.len().saturating_sub(STANDINGS_KEPT);
        for standing in &standings[..old] {
            listing::remove(&*self.app.blobs, &standing.folder, standing.pages).await?;
            self.app.members.drop_standing(standing.timestamp).await?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to look at")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
