use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::MutexGuard;

use crate::blobs::{BlobError, BlobStore};
use crate::dao::Row;
use crate::jobs::{Claim, JobError, JobRow, JobState, JobView, Jobs, Start};
use crate::messages::Message;
use crate::queue::QueueError;
use crate::tables::Table;
use crate::{AccessError, Cached, Clock, Dao, Kind, Rao, Tables, Tier, Timestamp};

/// A kind of result that is computed, kept in a table of its own and refreshed when stale.
pub trait Computed: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Has a numeric sort key `timestamp`.
    const TABLE: &'static Table;
    /// Of the cached JSON shape.
    const VERSION: u32;
}

/// A computed value and when it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped<T> {
    pub timestamp: Timestamp,
    pub value: T,
}

impl<T: Computed> Cached for Stamped<T> {
    const PREFIX: &'static str = T::TABLE.name;
    const VERSION: u32 = T::VERSION;
}

/// A value out of the read path.
#[derive(Clone, Debug)]
pub struct Found<T> {
    pub stamped: Arc<Stamped<T>>,
    pub age: Duration,
    pub tier: Tier,
}

/// What the read path answers.
#[derive(Clone, Debug)]
pub enum Lookup<T> {
    Fresh(Found<T>),
    /// Older than allowed; the job that refreshes it, if one could be started.
    Stale(Found<T>, Option<JobView>),
    /// Nothing yet.
    Queued(JobView),
}

/// Why the read path has no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The work was tried and could not be done; not tried again for `retry_after`.
    #[error("{error}")]
    Failed { error: JobError, retry_after: Duration },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl LookupError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Failed { error, .. } => error.kind,
            Self::Queue(error) => error.kind(),
            Self::Access(error) => error.kind(),
            Self::Blob(error) => error.kind(),
        }
    }
}

/// How results of one kind are kept.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// A row older than this is stale (strictly).
    pub staleness: Duration,
    /// How long old rows are kept.
    pub keep: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { staleness: Duration::from_secs(1800), keep: Duration::from_secs(30 * 24 * 3600) }
    }
}

/// How long a stale value may be served from the cache: a job is refreshing it, the table is asked again soon.
const REFRESH_WINDOW: Duration = Duration::from_secs(15);
/// A value above this, compressed, goes to object storage. A row holds 400 KB with its keys.
const INLINE_BYTES: usize = 350_000;
/// No result may unpack to more.
const UNPACKED_BYTES: usize = 256 << 20;
/// How long a second caller waits for a first one's inline computation before it gets 202.
const SHARED_WAIT: Duration = Duration::from_millis(2500);

/// Database Queue Object: reads through cache and table, and has computed what is missing or stale, once.
pub struct Dqo<T> {
    parts: Arc<Parts<T>>,
}

impl<T> Clone for Dqo<T> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

struct Parts<T> {
    dao: Dao<ResultRow<T>>,
    rao: Rao,
    jobs: Jobs,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    freshness: Freshness,
}

/// The stored form: the value as compressed JSON in the row, or the key of the object that holds it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound = "")]
struct ResultRow<T> {
    timestamp: u64,
    data: Option<Bytes>,
    blob: Option<String>,
    /// Of the JSON.
    bytes: u64,
    expires_at: u64,
    #[serde(skip)]
    value: PhantomData<fn() -> T>,
}

impl<T: Computed> Row for ResultRow<T> {
    const TABLE: &'static Table = T::TABLE;
}

/// A read that may have found something, fresh or not.
enum Known<T> {
    Fresh(Found<T>),
    Stale(Found<T>),
    Nothing,
}

impl<T> Known<T> {
    fn seen(&self) -> u64 {
        match self {
            Self::Fresh(found) | Self::Stale(found) => found.stamped.timestamp.millis(),
            Self::Nothing => 0,
        }
    }
}

impl<T: Computed> Dqo<T> {
    pub fn open(
        tables: &Tables,
        rao: &Rao,
        jobs: &Jobs,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        freshness: Freshness,
    ) -> Self {
        let parts =
            Parts { dao: Dao::open(tables, rao), rao: rao.clone(), jobs: jobs.clone(), blobs, clock, freshness };
        Self { parts: Arc::new(parts) }
    }

    pub fn jobs(&self) -> &Jobs {
        &self.parts.jobs
    }

    /// The value, at once; when it is stale or missing, one job for it is under way afterwards, however many ask.
    ///
    /// # Errors
    /// [`LookupError::Failed`] while a failed job cools down, [`LookupError::Queue`] when the job could not be
    /// queued; both only when there is not even a stale value.
    pub async fn get<M: Message>(&self, pk: &str, message: &M) -> Result<Lookup<T>, LookupError> {
        let (_gate, known) = match self.look(M::KIND, pk).await? {
            Look::Known(gate, known) => (gate, known),
            Look::Job(row) => {
                let answer = settle(Known::Nothing, Start::Existing(row), self.parts.clock.now());
                self.counted(&answer);
                return answer;
            }
        };
        let answer = match known {
            Known::Fresh(found) => Ok(Lookup::Fresh(found)),
            known => match self.ensure(pk, message, &known).await {
                Ok(Ensured::Job(row)) => settle(known, row, self.parts.clock.now()),
                Ok(Ensured::Newer(found)) => Ok(Lookup::Fresh(found)),
                Err(error) => match known {
                    // An answer that is old beats none.
                    Known::Stale(found) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a stale result could not be refreshed"
                        );
                        Ok(Lookup::Stale(found, None))
                    }
                    _ => Err(error),
                },
            },
        };
        self.counted(&answer);
        answer
    }

    /// Only what is there, without starting anything.
    pub async fn peek(&self, pk: &str) -> Result<Option<Found<T>>, LookupError> {
        Ok(match self.known(pk).await? {
            Known::Fresh(found) | Known::Stale(found) => Some(found),
            Known::Nothing => None,
        })
    }

    /// The value made at exactly this time, as long as its row is kept.
    pub async fn at(&self, pk: &str, timestamp: u64) -> Result<Option<Found<T>>, LookupError> {
        let newest = self.peek(pk).await?;
        if newest.as_ref().is_some_and(|found| found.stamped.timestamp.millis() == timestamp) {
            return Ok(newest);
        }
        let Some(row) = self.parts.dao.get(pk, Some(timestamp.into())).await? else { return Ok(None) };
        let stamped = Arc::new(Stamped { timestamp: Timestamp(timestamp), value: self.unpack(row).await? });
        let (Known::Fresh(found) | Known::Stale(found)) = self.judge(stamped, Tier::Table) else { return Ok(None) };
        Ok(Some(found))
    }

    /// The value, computed here when it is stale or missing. Of many who ask at once one computes; the others get the
    /// old value, or wait briefly, then are told of the job. `compute` goes on when the caller goes away.
    ///
    /// # Errors
    /// [`LookupError::Failed`] when the computation failed, now or within the cool-down, and there is no old value.
    pub async fn compute<F, Fut>(
        &self,
        kind: &'static str,
        pk: &str,
        limit: Duration,
        compute: F,
    ) -> Result<Lookup<T>, LookupError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    {
        let (gate, known) = match self.look(kind, pk).await? {
            Look::Known(gate, known) => (gate, known),
            Look::Job(row) => {
                let answer = self.wait_for(pk, *row, Known::Nothing).await;
                self.counted(&answer);
                return answer;
            }
        };
        let began = match &known {
            Known::Fresh(_) => None,
            known => Some(self.begin_inline(kind, pk, known).await),
        };
        drop(gate);
        let answer = match (began, known) {
            (None, known) => settle_known(known),
            (Some(began), known) => match began {
                Ok(Ensured::Newer(found)) => Ok(Lookup::Fresh(found)),
                Ok(Ensured::Job(Start::Started(row))) => {
                    let (dqo, pk) = (self.clone(), pk.to_owned());
                    let work = tokio::spawn(async move { dqo.run_inline(&pk, *row, limit, compute()).await });
                    let done = work.await.unwrap_or_else(|panic| {
                        tracing::error!(error = &panic as &dyn std::error::Error, "an inline computation broke off");
                        Err(LookupError::Failed { error: broken(), retry_after: Duration::ZERO })
                    });
                    match (done, known) {
                        (Ok(found), _) => Ok(Lookup::Fresh(found)),
                        (Err(error), Known::Stale(found)) => {
                            tracing::warn!(
                                error = &error as &dyn std::error::Error,
                                "a stale result could not be refreshed"
                            );
                            Ok(Lookup::Stale(found, None))
                        }
                        (Err(error), _) => Err(error),
                    }
                }
                Ok(Ensured::Job(Start::Existing(row))) => match known {
                    Known::Stale(found) => Ok(Lookup::Stale(found, Some(row.view))),
                    known => self.wait_for(pk, *row, known).await,
                },
                Err(error) => match known {
                    Known::Stale(found) => Ok(Lookup::Stale(found, None)),
                    _ => Err(error),
                },
            },
        };
        self.counted(&answer);
        answer
    }

    /// Writes a worker's result and ends its job, all or nothing, then puts it in the cache. `None`: another worker
    /// has taken over, nothing was written.
    pub async fn publish(&self, claim: &Claim, pk: &str, value: T) -> Result<Option<Arc<Stamped<T>>>, LookupError> {
        // Newer than what is there even if this machine's clock is behind the last writer's.
        let timestamp = Timestamp(self.parts.clock.now().millis().max(claim.row.result_at + 1));
        let row = self.pack(pk, timestamp, &value).await?;
        let put = self.parts.dao.put(pk, &row, None)?;
        if !self.parts.jobs.finish(claim, timestamp, vec![put]).await? {
            return Ok(None);
        }
        let stamped = Arc::new(Stamped { timestamp, value });
        self.parts.rao.put(pk, Arc::clone(&stamped), self.cache_for(Duration::ZERO)).await;
        Ok(Some(stamped))
    }

    async fn known(&self, pk: &str) -> Result<Known<T>, LookupError> {
        if let Some(hit) = self.parts.rao.get::<Stamped<T>>(pk).await {
            return Ok(self.judge(hit.value, hit.tier));
        }
        self.read(pk, false).await
    }

    /// What is known of a key. Of many readers in this process who find nothing in the cache one asks the table; those
    /// who waited behind it take what it found: the value, or the job it started.
    async fn look(&self, kind: &str, pk: &str) -> Result<Look<'_, T>, LookupError> {
        if let Some(hit) = self.parts.rao.get::<Stamped<T>>(pk).await {
            return Ok(Look::Known(None, self.judge(hit.value, hit.tier)));
        }
        let (gate, waited) = self.parts.jobs.one_at_a_time(kind, pk).await;
        if waited {
            if let Some(hit) = self.parts.rao.get::<Stamped<T>>(pk).await {
                return Ok(Look::Known(None, self.judge(hit.value, hit.tier)));
            }
            if let Some(row) = self.parts.jobs.remembered(kind, pk, 0) {
                return Ok(Look::Job(Box::new(row)));
            }
        }
        Ok(Look::Known(Some(gate), self.read(pk, false).await?))
    }

    async fn read(&self, pk: &str, consistent: bool) -> Result<Known<T>, LookupError> {
        let Some(row) = self.parts.dao.newest(pk, consistent).await? else { return Ok(Known::Nothing) };
        let timestamp = Timestamp(row.timestamp);
        let value = self.unpack(row).await?;
        let stamped = Arc::new(Stamped { timestamp, value });
        let known = self.judge(Arc::clone(&stamped), Tier::Table);
        let (Known::Fresh(found) | Known::Stale(found)) = &known else { return Ok(known) };
        self.parts.rao.put(pk, stamped, self.cache_for(found.age)).await;
        Ok(known)
    }

    fn judge(&self, stamped: Arc<Stamped<T>>, tier: Tier) -> Known<T> {
        let age = self.parts.clock.now().since(stamped.timestamp);
        let found = Found { stamped, age, tier };
        if age > self.parts.freshness.staleness { Known::Stale(found) } else { Known::Fresh(found) }
    }

    /// How long a value of this age may be cached: until it is stale, then only for the refresh window.
    fn cache_for(&self, age: Duration) -> Duration {
        let left = self.parts.freshness.staleness.saturating_sub(age);
        left.clamp(REFRESH_WINDOW, Stamped::<T>::TTL)
    }

    async fn ensure<M: Message>(&self, pk: &str, message: &M, known: &Known<T>) -> Result<Ensured<T>, LookupError> {
        if let Some(row) = self.parts.jobs.remembered(M::KIND, pk, known.seen()) {
            return Ok(Ensured::Job(Start::Existing(Box::new(row))));
        }
        let start = self.parts.jobs.start(pk, message, known.seen()).await?;
        match self.newer(pk, start, known, async |seen| self.parts.jobs.start(pk, message, seen).await).await? {
            Ensured::Job(Start::Started(row)) => match self.parts.jobs.send(&row).await {
                Ok(()) => {
                    self.parts.jobs.remember(&row);
                    Ok(Ensured::Job(Start::Started(row)))
                }
                Err(error) => {
                    self.parts.jobs.withdraw(&row).await?;
                    Err(error.into())
                }
            },
            other => Ok(other),
        }
    }

    async fn begin_inline(&self, kind: &str, pk: &str, known: &Known<T>) -> Result<Ensured<T>, LookupError> {
        if let Some(row) = self.parts.jobs.remembered(kind, pk, known.seen()) {
            return Ok(Ensured::Job(Start::Existing(Box::new(row))));
        }
        let start = self.parts.jobs.start_inline(kind, pk, known.seen()).await?;
        self.newer(pk, start, known, async |seen| self.parts.jobs.start_inline(kind, pk, seen).await).await
    }

    /// A job that is done with a newer result than we saw means that our read was behind: read again, consistently.
    /// Only when that result is gone (expired) is the job started over.
    async fn newer(
        &self,
        pk: &str,
        start: Start,
        known: &Known<T>,
        again: impl AsyncFnOnce(u64) -> Result<Start, AccessError>,
    ) -> Result<Ensured<T>, LookupError> {
        let Start::Existing(row) = start else { return Ok(Ensured::Job(start)) };
        if row.view.state != JobState::Done {
            self.parts.jobs.remember(&row);
            return Ok(Ensured::Job(Start::Existing(row)));
        }
        match self.read(pk, true).await? {
            Known::Fresh(found) => Ok(Ensured::Newer(found)),
            Known::Stale(found) if found.stamped.timestamp.millis() > known.seen() => {
                let row = again(found.stamped.timestamp.millis()).await?;
                Ok(Ensured::Job(row))
            }
            _ => Ok(Ensured::Job(again(row.result_at).await?)),
        }
    }

    async fn run_inline(
        &self,
        pk: &str,
        row: JobRow,
        limit: Duration,
        compute: impl Future<Output = Result<T, JobError>>,
    ) -> Result<Found<T>, LookupError> {
        let claim = Claim { row };
        let outcome = tokio::time::timeout(limit, compute).await.unwrap_or_else(|_| {
            Err(JobError::new(Kind::Unavailable, "upstream_timeout", "The source did not answer in time; try again."))
        });
        match outcome {
            Ok(value) => {
                if let Some(stamped) = self.publish(&claim, pk, value).await? {
                    return Ok(Found { stamped, age: Duration::ZERO, tier: Tier::Computed });
                }
                // Our lease ran out and another computed it meanwhile.
                match self.read(pk, true).await? {
                    Known::Fresh(found) | Known::Stale(found) => Ok(found),
                    Known::Nothing => Err(LookupError::Failed { error: broken(), retry_after: Duration::ZERO }),
                }
            }
            Err(error) => {
                self.parts.jobs.fail(&claim, &error).await?;
                Err(LookupError::Failed { error, retry_after: self.parts.jobs.policy().cooldown })
            }
        }
    }

    /// Waits for another caller's inline computation.
    async fn wait_for(&self, pk: &str, row: JobRow, known: Known<T>) -> Result<Lookup<T>, LookupError> {
        let mut row = row;
        let mut pause = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while row.view.state == JobState::Running && waited < SHARED_WAIT {
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(320));
            row = match self.parts.jobs.find(&row.view.job).await? {
                Some(row) => row,
                None => break,
            };
        }
        if row.view.state == JobState::Done
            && let Known::Fresh(found) | Known::Stale(found) = self.read(pk, true).await?
        {
            return Ok(Lookup::Fresh(found));
        }
        settle(known, Start::Existing(Box::new(row)), self.parts.clock.now())
    }

    async fn pack(&self, pk: &str, timestamp: Timestamp, value: &T) -> Result<ResultRow<T>, LookupError> {
        let malformed = |e| AccessError::malformed(T::TABLE.name, e);
        let json = serde_json::to_vec(value).map_err(malformed)?;
        let packed = zstd::bulk::compress(&json, 3).map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
        let mut row = ResultRow {
            timestamp: timestamp.millis(),
            data: None,
            blob: None,
            bytes: json.len() as u64,
            expires_at: timestamp.plus(self.parts.freshness.keep).seconds(),
            value: PhantomData,
        };
        if packed.len() <= INLINE_BYTES {
            row.data = Some(packed.into());
        } else {
            // Written before the row that names it; left behind by a crash, it ends by the bucket's expiry rule.
            let blob = format!("{}/{pk}/{}.json.zst", T::TABLE.name, timestamp.millis());
            self.parts.blobs.put(&blob, packed.into()).await?;
            row.blob = Some(blob);
        }
        Ok(row)
    }

    async fn unpack(&self, row: ResultRow<T>) -> Result<T, LookupError> {
        let packed = match (row.data, row.blob) {
            (Some(data), _) => data,
            (None, Some(blob)) => match self.parts.blobs.get(&blob).await? {
                Some(data) => data,
                None => return Err(AccessError::malformed(T::TABLE.name, "the object a row names is gone").into()),
            },
            (None, None) => return Err(AccessError::malformed(T::TABLE.name, "a row holds no value").into()),
        };
        let bytes = usize::try_from(row.bytes).unwrap_or(usize::MAX).min(UNPACKED_BYTES);
        let json = zstd::bulk::decompress(&packed, bytes).map_err(|e| AccessError::malformed(T::TABLE.name, e))?;
        Ok(serde_json::from_slice(&json).map_err(|e| AccessError::malformed(T::TABLE.name, e))?)
    }

    fn counted(&self, answer: &Result<Lookup<T>, LookupError>) {
        let (outcome, tier) = match answer {
            Ok(Lookup::Fresh(found)) if found.tier == Tier::Computed => ("miss", found.tier.name()),
            Ok(Lookup::Fresh(found)) => ("fresh", found.tier.name()),
            Ok(Lookup::Stale(found, _)) => ("stale", found.tier.name()),
            Ok(Lookup::Queued(_)) => ("miss", "none"),
            Err(_) => ("failed", "none"),
        };
        counter!("reads", "table" => T::TABLE.name, "outcome" => outcome, "tier" => tier).increment(1);
    }
}

enum Look<'a, T> {
    /// With the gate, where others wait behind it for what becomes of this.
    Known(Option<MutexGuard<'a, ()>>, Known<T>),
    Job(Box<JobRow>),
}

enum Ensured<T> {
    Job(Start),
    /// Somebody else has finished it since we looked.
    Newer(Found<T>),
}

fn settle_known<T>(known: Known<T>) -> Result<Lookup<T>, LookupError> {
    match known {
        Known::Fresh(found) => Ok(Lookup::Fresh(found)),
        Known::Stale(found) => Ok(Lookup::Stale(found, None)),
        Known::Nothing => Err(LookupError::Failed { error: broken(), retry_after: Duration::ZERO }),
    }
}

fn settle<T>(known: Known<T>, start: Start, now: Timestamp) -> Result<Lookup<T>, LookupError> {
    let (Start::Started(row) | Start::Existing(row)) = start;
    match known {
        Known::Fresh(found) => Ok(Lookup::Fresh(found)),
        Known::Stale(found) => Ok(Lookup::Stale(found, Some(row.view))),
        Known::Nothing if row.view.state == JobState::Failed => {
            let retry_after = Timestamp(row.cooldown_until).since(now);
            Err(LookupError::Failed { error: row.view.error.unwrap_or_else(broken), retry_after })
        }
        Known::Nothing => Ok(Lookup::Queued(row.view)),
    }
}

fn broken() -> JobError {
    JobError::new(Kind::Internal, "internal", "The work broke off.")
}
