use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};

use crate::dao::{Expression, Row, Unique, Write};
use crate::messages::{Message, QUEUES, QueueSpec};
use crate::queue::{Outgoing, Queue, QueueError};
use crate::tables::{JOBS, Table};
use crate::{AccessError, Clock, Dao, Kind, Rao, Tables, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    Queued,
    Running,
    Done,
    Failed,
}

impl JobState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Why a job did not do what was asked, in words for the caller who waits for it. Nothing secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct JobError {
    pub kind: Kind,
    /// Stable, snake case.
    pub code: String,
    pub detail: String,
}

impl JobError {
    pub fn new(kind: Kind, code: &str, detail: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), detail: detail.into() }
    }
}

/// What a caller sees of a job. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Ask for it at `/v1/jobs/{job}`.
    pub job: String,
    pub kind: String,
    pub state: JobState,
    /// How often a worker began.
    pub attempts: u32,
    /// What the worker is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// 0..1
    pub progress: f64,
    pub queued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<u64>,
    /// Until when its worker, or the queue, is trusted to be on it.
    pub lease_until: u64,
    /// Grows with every worker that takes the job; only the highest may write.
    pub fence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
}

/// The row of table `jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRow {
    #[serde(flatten)]
    pub view: JobView,
    /// What the job is about, within its kind.
    pub key: String,
    /// Grows with every start of the job.
    pub generation: u64,
    /// Grows with every continuation within a generation.
    pub part: u32,
    /// Grows with every message sent for a part.
    pub sends: u32,
    /// Timestamp of the newest result this job has published; 0 before the first.
    pub result_at: u64,
    /// A failed job is not started again before; milliseconds since 1970.
    pub cooldown_until: u64,
    /// The queue and the message, so that a lost message can be sent again. None for what is computed inline.
    pub queue: Option<String>,
    pub message: Option<String>,
    /// There while the job is open: its shard of the index the sweep reads.
    pub open: Option<String>,
    /// Seconds since 1970.
    pub expires_at: u64,
}

impl Row for JobRow {
    const TABLE: &'static Table = &JOBS;
}
impl Unique for JobRow {}

/// The body of a queue message: which part of which generation of a job, and what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub job: String,
    pub generation: u64,
    pub part: u32,
    /// The [`Message`] as JSON.
    pub message: String,
}

/// How long things may take before others step in.
#[derive(Clone, Copy, Debug)]
pub struct JobPolicy {
    /// A worker that has not renewed its lease for so long is taken for dead.
    pub lease: Duration,
    /// A message that nobody has taken for so long is taken for lost.
    pub patience: Duration,
    /// How long a failed job is left alone.
    pub cooldown: Duration,
    /// How long a finished job is remembered.
    pub keep: Duration,
    /// A job that the sweep finds abandoned after so many attempts is failed.
    pub max_attempts: u32,
}

impl Default for JobPolicy {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            patience: Duration::from_secs(900),
            cooldown: Duration::from_secs(60),
            keep: Duration::from_secs(7 * 24 * 3600),
            max_attempts: 5,
        }
    }
}

/// The `jobs` table and the messages that belong to it. Every change is one conditional update.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) dao: Dao<JobRow>,
    tables: Tables,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    policy: JobPolicy,
    /// Jobs seen lately, by id, and until when on the monotonic clock that is believed.
    recent: Arc<Cache<String, (JobRow, Duration)>>,
    gates: Arc<[Mutex<()>]>,
}

/// What came of asking for a job to be started.
#[derive(Clone, Debug)]
pub enum Start {
    /// This call started it and must see to it.
    Started(Box<JobRow>),
    /// It is there: running, waiting, failed a moment ago, or done with a newer result than the caller has seen.
    Existing(Box<JobRow>),
}

/// A worker's right to do a job, as long as it renews it.
#[derive(Clone, Debug)]
pub struct Claim {
    pub row: JobRow,
}

/// What came of trying to take a job.
#[derive(Clone, Debug)]
pub enum Claimed {
    Yes(Box<Claim>),
    /// Finished, failed, or started anew since the message was sent: the message is of no use any more.
    Settled,
    /// Another worker is on it for at least so long.
    Busy(Duration),
}

/// Open jobs are spread over so many keys of the index, so that no one key takes all its writes.
const SHARDS: u64 = 8;
/// How many keys can be read from the table side by side in one process, at most.
const GATES: usize = 256;
/// How long this process remembers that a job is there already, instead of asking the table with every request.
const MEMO: Duration = Duration::from_secs(2);

impl Jobs {
    pub fn open(tables: &Tables, rao: &Rao, queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, policy: JobPolicy) -> Self {
        let recent = Arc::new(Cache::new(10_000));
        let gates = (0..GATES).map(|_| Mutex::new(())).collect();
        Self { dao: Dao::open(tables, rao), tables: tables.clone(), queue, clock, policy, recent, gates }
    }

    pub const fn policy(&self) -> &JobPolicy {
        &self.policy
    }

    /// The id under which this key of this kind is one job: 26 characters, the same in every process.
    pub fn id(kind: &str, key: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(kind.as_bytes());
        hash.update([0]);
        hash.update(key.as_bytes());
        let mut head = [0; 16];
        head.copy_from_slice(&hash.finalize()[..16]);
        ulid::Ulid::from_bytes(head).to_string().to_lowercase()
    }

    pub async fn find(&self, job: &str) -> Result<Option<JobRow>, AccessError> {
        self.dao.get(job, None).await
    }

    /// Starts a queued job unless it is under way. `seen` is the timestamp of the newest result the caller knows, 0
    /// for none: a job that has published a newer one since is not started again.
    ///
    /// The message is sent by [`Jobs::send`]; until then nobody else will start the job.
    pub async fn start<M: Message>(&self, key: &str, message: &M, seen: u64) -> Result<Start, AccessError> {
        let body = serde_json::to_string(message).map_err(|e| AccessError::malformed(JOBS.name, e))?;
        self.start_row(M::KIND, key, seen, Some((M::QUEUE.name, body)), self.policy.patience).await
    }

    /// Starts a job that the caller itself computes now, within its lease.
    pub async fn start_inline(&self, kind: &str, key: &str, seen: u64) -> Result<Start, AccessError> {
        self.start_row(kind, key, seen, None, self.policy.lease).await
    }

    async fn start_row(
        &self,
        kind: &str,
        key: &str,
        seen: u64,
        message: Option<(&str, String)>,
        lease: Duration,
    ) -> Result<Start, AccessError> {
        let now = self.clock.now();
        let job = Self::id(kind, key);
        // Queued or running is decided here: an inline job has a worker from the first moment.
        let inline = message.is_none();
        let mut set = String::from(
            "SET #kind = :kind, #key = :key, generation = if_not_exists(generation, :zero) + :one, \
             fence = if_not_exists(fence, :zero) + :inline, part = :zero, sends = :one, #state = :state, \
             attempts = :inline, progress = :zero, queuedAt = :now, leaseUntil = :lease, \
             resultAt = if_not_exists(resultAt, :zero), cooldownUntil = :zero, #open = :open, expiresAt = :expires",
        );
        let remove = if inline {
            set.push_str(", startedAt = :now");
            " REMOVE stage, finishedAt, #error, #queue, #message"
        } else {
            set.push_str(", #queue = :queue, #message = :message");
            " REMOVE stage, finishedAt, #error, startedAt"
        };
        let mut change = Expression::new(set + remove)
            .name("#kind", "kind")
            .name("#key", "key")
            .name("#state", "state")
            .name("#open", "open")
            .name("#error", "error")
            .name("#queue", "queue")
            .name("#message", "message")
            .string(":kind", kind)
            .string(":key", key)
            .number(":zero", 0)
            .number(":one", 1)
            .number(":inline", u8::from(inline))
            .string(":state", if inline { "running" } else { "queued" })
            .string(":queued", "queued")
            .string(":running", "running")
            .string(":done", "done")
            .string(":failed", "failed")
            .number(":now", now.millis())
            .number(":lease", now.plus(lease).millis())
            .number(":seen", seen)
            .string(":open", shard(&job))
            .number(":expires", now.plus(self.policy.keep).seconds());
        if let Some((queue, body)) = message {
            change = change.string(":queue", queue).string(":message", body);
        }
        let condition = "attribute_not_exists(job) OR (#state = :done AND resultAt <= :seen) \
                         OR (#state = :failed AND cooldownUntil <= :now) \
                         OR (#state IN (:queued, :running) AND leaseUntil < :now)";
        match self.dao.update_if(&job, None, change, condition).await {
            Ok(row) => {
                self.changed(&row);
                Ok(Start::Started(Box::new(row)))
            }
            Err(AccessError::ConditionFailed { row: Some(row), .. }) => {
                Ok(Start::Existing(Box::new(Dao::<JobRow>::read(*row)?)))
            }
            Err(error) => Err(error),
        }
    }

    /// An open or cooling job as this process saw it a moment ago, if it has not published more than `seen`.
    pub(crate) fn remembered(&self, kind: &str, key: &str, seen: u64) -> Option<JobRow> {
        let (row, until) = self.recent.get(&Self::id(kind, key))?;
        let open = matches!(row.view.state, JobState::Queued | JobState::Running);
        let cooling = row.view.state == JobState::Failed && row.cooldown_until > self.clock.now().millis();
        (until > self.clock.monotonic() && (open || cooling) && row.result_at <= seen).then_some(row)
    }

    pub(crate) fn remember(&self, row: &JobRow) {
        self.recent.insert(row.view.job.clone(), (row.clone(), self.clock.monotonic() + MEMO));
    }

    /// Counts a job's new state, and forgets what this process believed of it.
    fn changed(&self, row: &JobRow) {
        self.recent.remove(&row.view.job);
        counter!("jobs", "kind" => row.view.kind.clone(), "state" => row.view.state.name()).increment(1);
    }

    /// Lets one reader of a key at a time past in this process, and tells whether this one had to wait. Keys share
    /// a bounded number of gates, so nothing slow may be done behind one.
    pub(crate) async fn one_at_a_time(&self, kind: &str, key: &str) -> (MutexGuard<'_, ()>, bool) {
        let id = Self::id(kind, key);
        let gate = id.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let gate = &self.gates[gate % self.gates.len()];
        match gate.try_lock() {
            Ok(guard) => (guard, false),
            Err(_) => (gate.lock().await, true),
        }
    }

    /// Sends the message of a job's current part. Sent twice it is delivered once.
    pub async fn send(&self, row: &JobRow) -> Result<(), QueueError> {
        let (Some(name), Some(message)) = (&row.queue, &row.message) else { return Ok(()) };
        let envelope = Envelope {
            job: row.view.job.clone(),
            generation: row.generation,
            part: row.part,
            message: message.clone(),
        };
        let body = serde_json::to_string(&envelope).map_err(QueueError::refused)?;
        let outgoing = Outgoing {
            body,
            group: Some(row.view.job.clone()),
            deduplication: Some(format!("{}-{}-{}-{}", row.view.job, row.generation, row.part, row.sends)),
            delay: Duration::ZERO,
        };
        self.queue.send(spec(name)?, outgoing).await
    }

    /// Starts a job whose doing is all there is to it, and sends its message. One that is under way, or was done within
    /// the time jobs are remembered, is left as it is.
    pub async fn enqueue<M: Message>(&self, key: &str, message: &M) -> Result<JobRow, EnqueueError> {
        let row = match self.start(key, message, 0).await? {
            Start::Started(row) => row,
            Start::Existing(row) => return Ok(*row),
        };
        if let Err(error) = self.send(&row).await {
            self.withdraw(&row).await?;
            return Err(error.into());
        }
        Ok(*row)
    }

    /// Ends such a job. `false`: another worker has taken over.
    pub async fn complete(&self, claim: &Claim) -> Result<bool, AccessError> {
        self.finish(claim, self.clock.now(), Vec::new()).await
    }

    /// Takes back a start whose message could not be sent: the job may be started again at once. If the message went
    /// out after all, it finds its job failed and is dropped.
    pub async fn withdraw(&self, row: &JobRow) -> Result<(), AccessError> {
        let error = JobError::new(Kind::Unavailable, "queue_unavailable", "The work could not be queued.");
        self.end(row, "generation = :generation AND #state = :queued", &error, Duration::ZERO).await.map(drop)
    }

    /// Takes the job of this message, if it still needs doing.
    pub async fn claim(&self, envelope: &Envelope) -> Result<Claimed, AccessError> {
        let now = self.clock.now();
        let change = Expression::new(
            "SET #state = :running, fence = fence + :one, attempts = attempts + :one, \
             startedAt = if_not_exists(startedAt, :now), leaseUntil = :lease REMOVE #error",
        )
        .name("#state", "state")
        .name("#error", "error")
        .string(":running", "running")
        .string(":queued", "queued")
        .number(":one", 1)
        .number(":now", now.millis())
        .number(":lease", now.plus(self.policy.lease).millis())
        .number(":generation", envelope.generation)
        .number(":part", envelope.part);
        let condition = "generation = :generation AND part = :part \
                         AND (#state = :queued OR (#state = :running AND leaseUntil < :now))";
        match self.dao.update_if(&envelope.job, None, change, condition).await {
            Ok(row) => {
                self.changed(&row);
                Ok(Claimed::Yes(Box::new(Claim { row })))
            }
            Err(AccessError::ConditionFailed { row, .. }) => {
                let row = row.map(|row| Dao::<JobRow>::read(*row)).transpose()?;
                Ok(match row {
                    Some(row)
                        if row.view.state == JobState::Running
                            && (row.generation, row.part) == (envelope.generation, envelope.part) =>
                    {
                        Claimed::Busy(Timestamp(row.view.lease_until).since(now))
                    }
                    _ => Claimed::Settled,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Renews the lease and tells how far the work is. `false`: another worker has taken over, stop.
    pub async fn renew(&self, claim: &Claim, stage: &str, progress: f64) -> Result<bool, AccessError> {
        let lease = self.clock.now().plus(self.policy.lease).millis();
        let change = Expression::new("SET leaseUntil = :lease, stage = :stage, progress = :progress")
            .name("#state", "state")
            .number(":lease", lease)
            .string(":stage", stage)
            .number(":progress", progress.clamp(0.0, 1.0));
        self.fenced(claim, change).await.map(|row| row.is_some())
    }

    /// Gives the job back for another attempt: whoever gets the message next may take it at once.
    pub async fn release(&self, claim: &Claim, error: &JobError) -> Result<(), AccessError> {
        let change = Expression::new("SET #state = :queued, leaseUntil = :lease, #error = :error")
            .name("#state", "state")
            .name("#error", "error")
            .string(":queued", "queued")
            .number(":lease", self.clock.now().plus(self.policy.patience).millis())
            .value(":error", error_value(error)?);
        self.fenced(claim, change).await.map(drop)
    }

    /// Ends this part and sends the message of the next, so that the work goes on in another invocation.
    pub async fn go_on(&self, claim: &Claim) -> Result<(), GoOnError> {
        let change = Expression::new(
            "SET #state = :queued, part = part + :one, sends = :one, leaseUntil = :lease, attempts = :zero",
        )
        .name("#state", "state")
        .string(":queued", "queued")
        .number(":zero", 0)
        .number(":one", 1)
        .number(":lease", self.clock.now().plus(self.policy.patience).millis());
        if let Some(row) = self.fenced(claim, change).await? {
            self.send(&row).await?;
        }
        Ok(())
    }

    /// Ends the job without a result; it is left alone for the cool-down. `false`: it was no longer this worker's.
    pub async fn fail(&self, claim: &Claim, error: &JobError) -> Result<bool, AccessError> {
        self.end(&claim.row, "#state = :running AND fence = :fence", error, self.policy.cooldown).await
    }

    /// Ends the job of a message that nobody could work on. `false`: it has ended or begun anew already.
    pub async fn fail_undeliverable(&self, envelope: &Envelope, error: &JobError) -> Result<bool, AccessError> {
        let Some(row) = self.find(&envelope.job).await? else { return Ok(false) };
        if (row.generation, row.part) != (envelope.generation, envelope.part) {
            return Ok(false);
        }
        let condition = "generation = :generation AND part = :part AND (#state = :queued OR \
                         (#state = :running AND leaseUntil < :now))";
        self.end(&row, condition, error, self.policy.cooldown).await
    }

    /// Open jobs whose lease ran out before now, at most `limit` of each shard.
    pub async fn abandoned(&self, limit: u32) -> Result<Vec<JobRow>, AccessError> {
        self.open_before(self.clock.now(), limit).await
    }

    /// Open jobs whose lease ends before `before`, at most `limit` of each shard.
    pub async fn open_before(&self, before: Timestamp, limit: u32) -> Result<Vec<JobRow>, AccessError> {
        let mut rows = Vec::new();
        for shard in 0..SHARDS {
            rows.extend(self.dao.indexed_before(&shard.to_string(), before.millis(), None, limit).await?.items);
        }
        Ok(rows)
    }

    /// Brings an abandoned job back: its message is sent again, or it is failed after too many attempts. Nothing
    /// happens when it has moved on meanwhile.
    pub async fn recover(&self, row: &JobRow) -> Result<Recovered, GoOnError> {
        self.recover_before(row, self.clock.now()).await
    }

    /// [`Jobs::recover`] for jobs whose lease ends before `before`: all of them, when the process that held their
    /// messages is known to be gone.
    pub async fn recover_before(&self, row: &JobRow, before: Timestamp) -> Result<Recovered, GoOnError> {
        let unchanged = "generation = :generation AND part = :part AND fence = :fence \
                         AND #state IN (:queued, :running) AND leaseUntil < :before";
        if row.queue.is_none() || row.view.attempts >= self.policy.max_attempts {
            let error =
                JobError::new(Kind::Unavailable, "abandoned", "The work was begun and not finished; try again.");
            let change = self.ending(row, &error, Duration::ZERO)?.number(":before", before.millis());
            return Ok(match self.settle(&row.view.job, change, unchanged).await? {
                true => Recovered::Failed,
                false => Recovered::MovedOn,
            });
        }
        let change = Expression::new("SET #state = :queued, sends = sends + :one, leaseUntil = :lease")
            .name("#state", "state")
            .string(":queued", "queued")
            .string(":running", "running")
            .number(":one", 1)
            .number(":lease", self.clock.now().plus(self.policy.patience).millis())
            .number(":generation", row.generation)
            .number(":part", row.part)
            .number(":fence", row.view.fence)
            .number(":before", before.millis());
        match self.dao.update_if(&row.view.job, None, change, unchanged).await {
            Ok(row) => {
                self.send(&row).await?;
                Ok(Recovered::SentAgain)
            }
            Err(AccessError::ConditionFailed { .. }) => Ok(Recovered::MovedOn),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the job with these writes, all or nothing: a result and its job can never disagree. `false`: another
    /// worker has taken over, nothing was written.
    pub(crate) async fn finish(
        &self,
        claim: &Claim,
        result_at: Timestamp,
        mut writes: Vec<Write>,
    ) -> Result<bool, AccessError> {
        let now = self.clock.now();
        let change = Expression::new(
            "SET #state = :done, progress = :one, finishedAt = :now, resultAt = :result, leaseUntil = :now, \
             expiresAt = :expires REMOVE #open, #error, stage",
        )
        .name("#state", "state")
        .name("#open", "open")
        .name("#error", "error")
        .string(":done", "done")
        .string(":running", "running")
        .number(":one", 1)
        .number(":now", now.millis())
        .number(":result", result_at.millis())
        .number(":expires", now.plus(self.policy.keep).seconds())
        .number(":fence", claim.row.view.fence);
        let condition = "#state = :running AND fence = :fence AND resultAt < :result";
        writes.insert(0, self.dao.update(&claim.row.view.job, None, change, condition)?);
        let mut tries = 0;
        loop {
            match self.tables.transact(writes.clone()).await {
                Ok(()) => {
                    self.recent.remove(&claim.row.view.job);
                    counter!("jobs", "kind" => claim.row.view.kind.clone(), "state" => "done").increment(1);
                    return Ok(true);
                }
                Err(AccessError::ConditionFailed { .. }) => return Ok(false),
                // A heartbeat of our own may touch the row in the same moment.
                Err(AccessError::Contended { .. }) if tries < 5 => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// A change that only the worker with the highest fence may make; `None` when that is no longer this one.
    async fn fenced(&self, claim: &Claim, change: Expression) -> Result<Option<JobRow>, AccessError> {
        let change = change.string(":mine", "running").number(":fence", claim.row.view.fence);
        let condition = "#state = :mine AND fence = :fence";
        match self.dao.update_if(&claim.row.view.job, None, change, condition).await {
            Ok(row) => {
                self.recent.remove(&row.view.job);
                Ok(Some(row))
            }
            Err(AccessError::ConditionFailed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn end(
        &self,
        row: &JobRow,
        condition: &str,
        error: &JobError,
        cooldown: Duration,
    ) -> Result<bool, AccessError> {
        let mut change = self.ending(row, error, cooldown)?;
        // DynamoDB refuses values that neither expression uses.
        change.values.retain(|(placeholder, _)| change.text.contains(placeholder) || condition.contains(placeholder));
        self.settle(&row.view.job, change, condition).await
    }

    fn ending(&self, row: &JobRow, error: &JobError, cooldown: Duration) -> Result<Expression, AccessError> {
        let now = self.clock.now();
        Ok(Expression::new(
            "SET #state = :failed, finishedAt = :now, cooldownUntil = :cooldown, leaseUntil = :now, #error = :error, \
             expiresAt = :expires REMOVE #open, stage",
        )
        .name("#state", "state")
        .name("#open", "open")
        .name("#error", "error")
        .string(":failed", "failed")
        .string(":queued", "queued")
        .string(":running", "running")
        .number(":now", now.millis())
        .number(":cooldown", now.plus(cooldown).millis())
        .number(":expires", now.plus(self.policy.keep).seconds())
        .number(":generation", row.generation)
        .number(":part", row.part)
        .number(":fence", row.view.fence)
        .value(":error", error_value(error)?))
    }

    async fn settle(&self, job: &str, change: Expression, condition: &str) -> Result<bool, AccessError> {
        match self.dao.update_if(job, None, change, condition).await {
            Ok(row) => {
                self.changed(&row);
                Ok(true)
            }
            Err(AccessError::ConditionFailed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What came of bringing back an abandoned job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    SentAgain,
    Failed,
    MovedOn,
}

/// A job's row was changed or its message sent, but not both: the sweep will notice.
#[derive(Debug, thiserror::Error)]
pub enum GoOnError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// A job could not be queued; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

fn shard(job: &str) -> String {
    let sum: u64 = job.bytes().map(u64::from).sum();
    (sum % SHARDS).to_string()
}

fn error_value(error: &JobError) -> Result<aws_sdk_dynamodb::types::AttributeValue, AccessError> {
    serde_dynamo::to_attribute_value(error).map_err(|e| AccessError::malformed(JOBS.name, e))
}

fn spec(name: &str) -> Result<&'static QueueSpec, QueueError> {
    let found = QUEUES.into_iter().find(|queue| queue.name == name);
    found.ok_or_else(|| QueueError::refused(UnknownQueue(name.to_owned())))
}

#[derive(Debug, thiserror::Error)]
#[error("no queue is called {0}")]
struct UnknownQueue(String);
