//! A whole application in this process, with people who ask it things and a clock that moves when told.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use access::messages::{CREDIT_POINTS, DEAD_LETTERS, QUEUES, QueueSpec, REFRESH_CLUSTERS};
use access::{
    Aws, BlobStore, Clock, Delivery, FolderBlobs, Freshness, Ids, InProcessQueue, JobPolicy, ManualClock, Outgoing,
    Queue, QueueError, RandomIds, RedisTier, SeededIds, Timestamp,
};
use api::{ClientIp, Edge};
use app::{App, Settings};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use chains::{Block, Budget, Chain, Chains, Chunk, SourceError, TokenKind, TokenMetadata, TransferSource};
use clusters::{Address, Amount, Transfer, sample};
use holdfast::{Embedded, Messenger};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use identity::{EmbeddedPool, EmbeddedPoolParts, HashCost, LocalIssuer, PoolPolicy};
use mail::{FileOutbox, Letter, MailError, Mailer, MessageId};
use runtime::{MakeUsers, Ports, assemble};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::faults::{Counted, Faults, Moment, Proxy, RedisProxy, client};
use crate::rows::Rows;

/// The chain all tests' tokens are on.
pub(crate) const CHAIN: &str = "testnet";
pub(crate) const STALENESS: Duration = Duration::from_secs(600);
/// Later than any day these tests run on: the engine removes what has expired by the machine's clock.
const START: Timestamp = Timestamp(4_000_000_000_000);

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) queue: Arc<Flaky>,
    pub(crate) source: Arc<Scripted>,
    /// Every letter written.
    pub(crate) outbox: Arc<FileOutbox>,
    pub(crate) mail: Arc<FlakyMail>,
    pub(crate) token: Address,
    router: Router,
    issuer: Arc<LocalIssuer>,
    ground: Arc<Ground>,
    dir: TempDir,
    drained: AtomicBool,
    redis: Option<String>,
}

/// What worlds can share that have nothing else in common, because making it takes longer than most of them last: the
/// engine of the tables, and a client for the proxies of processes that die.
pub(crate) struct Ground {
    tables: Embedded,
    client: OnceLock<reqwest::Client>,
}

/// A process of a [`World`]'s deployment that dies at one of its calls.
pub(crate) struct Doomed {
    pub(crate) app: App,
    pub(crate) faults: Arc<Faults>,
    /// As this process speaks to it.
    pub(crate) queue: Arc<dyn Queue>,
    _tables: Proxy,
    _redis: Option<RedisProxy>,
}

/// What a process speaks to.
struct Outside {
    aws: Aws,
    queue: Arc<dyn Queue>,
    mailer: Arc<dyn Mailer>,
    blobs: Arc<dyn BlobStore>,
    chains: Chains,
    redis: Option<RedisTier>,
    ids: Arc<dyn Ids>,
}

/// How a world differs from the usual one.
#[derive(Default)]
pub(crate) struct Setting {
    pub(crate) rows: Option<(u64, u32)>,
    pub(crate) jobs: Option<JobPolicy>,
    /// A Redis, and what the deployment is called there.
    pub(crate) redis: Option<(String, String)>,
    /// Who sends letters, instead of the outbox.
    pub(crate) mailer: Option<Arc<dyn Mailer>>,
    /// After how many transfers a checkpoint is kept.
    pub(crate) checkpoint_rows: Option<u64>,
    /// How much memory adding up may take.
    pub(crate) ledger_bytes: Option<u64>,
    /// Of an earlier world, of whose tables this one reads nothing but of another token.
    pub(crate) ground: Option<(Arc<Ground>, Address)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub(crate) async fn with(setting: Setting) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let is_new = setting.ground.is_none();
        let (ground, token) = match setting.ground {
            Some((ground, token)) => (ground, token),
            None => {
                let ground = Ground { tables: Embedded::in_memory().await.unwrap(), client: OnceLock::new() };
                (Arc::new(ground), sample::Token::new(1).address)
            }
        };
        let clock = Arc::new(ManualClock::at(START));
        let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(7));
        let queue = Arc::new(Flaky::default());
        let (rows, crowd) = setting.rows.unwrap_or((3000, 300));
        let source = Arc::new(Scripted::of_sample(token, rows, crowd));
        let issuer = issuer();
        let letterhead = Settings::default().letterhead;
        let outbox = FileOutbox::new(dir.path().join("outbox"), letterhead, Arc::clone(&clock) as _, Arc::clone(&ids));
        let outbox = Arc::new(outbox);
        let mail = Arc::new(FlakyMail { inner: Arc::clone(&outbox), down: AtomicBool::new(false) });
        let mailer = Arc::clone(&mail) as Arc<dyn Mailer>;
        let redis_url = setting.redis.as_ref().map(|(url, _)| url.clone());
        let redis = redis_url.as_ref().map(|url| RedisTier::open(url, Arc::clone(&clock) as _).unwrap());
        let environment = setting.redis.map_or_else(|| "test".to_owned(), |(_, environment)| environment);
        let freshness = Freshness { staleness: STALENESS, ..Freshness::default() };
        let app = assemble(Ports {
            aws: ground.tables.aws(),
            table_prefix: "test-".into(),
            queue: Arc::clone(&queue) as _,
            blobs: Arc::new(FolderBlobs::new(dir.path(), Arc::clone(&ids))),
            redis,
            cursor_secret: b"a secret of tests".to_vec(),
            chains: Chains::new(vec![Chain {
                id: CHAIN.into(),
                chain_id: Some(1337),
                name: "Testnet".into(),
                native_asset: Some("TST".into()),
                source: Arc::clone(&source) as _,
            }]),
            issuers: vec![issuer.as_issuer(vec!["tests".into()])],
            users: users(&issuer, &clock, &ids, &mailer),
            mailer: setting.mailer.unwrap_or(mailer),
            jobs: setting.jobs.unwrap_or_default(),
            settings: Settings {
                environment,
                reports: freshness,
                metadata: freshness,
                checkpoint_rows: setting.checkpoint_rows.unwrap_or(Settings::default().checkpoint_rows),
                ledger_bytes: setting.ledger_bytes.unwrap_or(Settings::default().ledger_bytes),
                keys: issuer.jwks().into(),
                ..Settings::default()
            },
            clock: Arc::clone(&clock) as _,
            ids,
        })
        .unwrap();
        if is_new {
            app.tables.create_missing().await.unwrap();
        }
        let router = holdfast::router(&app, &Edge::default()).unwrap();
        let (drained, redis) = (AtomicBool::new(true), redis_url);
        Self { app, clock, queue, source, outbox, mail, token, router, issuer, ground, dir, drained, redis }
    }

    /// A second process of the same deployment: its own caches over the same tables and queues.
    pub(crate) fn another_process(&self) -> Router {
        let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(8));
        let app = self.process(Outside {
            aws: self.aws(),
            queue: Arc::clone(&self.queue) as _,
            mailer: Arc::clone(&self.mail) as _,
            blobs: self.blobs(&ids),
            chains: self.app.chains.clone(),
            redis: None,
            ids,
        });
        holdfast::router(&app, &Edge::default()).unwrap()
    }

    /// Another, that dies at its `at`-th call of anything outside: tables, queues, mail, object storage, the chain, or a
    /// Redis if there is one.
    pub(crate) async fn doomed(&self, at: usize, moment: Moment) -> Doomed {
        let tables = Proxy::start(&self.aws(), self.ground.client.get_or_init(client).clone()).await;
        let faults = Arc::clone(&tables.faults);
        let redis = match &self.redis {
            Some(url) => Some(RedisProxy::start(url, Arc::clone(&faults)).await),
            None => None,
        };
        let tier = match &redis {
            Some(redis) => Some(redis.tier(Arc::clone(&self.clock) as _).await),
            None => None,
        };
        let ids: Arc<dyn Ids> = Arc::new(RandomIds);
        let counted = Counted::<dyn Queue> { inner: Arc::clone(&self.queue) as _, faults: Arc::clone(&faults) };
        let queue: Arc<dyn Queue> = Arc::new(counted);
        let mailer = Counted::<dyn Mailer> { inner: Arc::clone(&self.mail) as _, faults: Arc::clone(&faults) };
        let blobs = Counted::<dyn BlobStore> { inner: self.blobs(&ids), faults: Arc::clone(&faults) };
        let chains = self.app.chains.iter().cloned().map(|chain| {
            let source = Counted::<dyn TransferSource> { inner: chain.source, faults: Arc::clone(&faults) };
            Chain { source: Arc::new(source), ..chain }
        });
        let app = self.process(Outside {
            aws: tables.aws(),
            queue: Arc::clone(&queue),
            mailer: Arc::new(mailer),
            blobs: Arc::new(blobs),
            chains: Chains::new(chains.collect()),
            redis: tier,
            ids,
        });
        faults.stop(at, moment);
        Doomed { app, faults, queue, _tables: tables, _redis: redis }
    }

    /// For another world to stand on.
    pub(crate) fn ground(&self) -> Arc<Ground> {
        Arc::clone(&self.ground)
    }

    fn blobs(&self, ids: &Arc<dyn Ids>) -> Arc<dyn BlobStore> {
        Arc::new(FolderBlobs::new(self.dir.path(), Arc::clone(ids)))
    }

    fn aws(&self) -> Aws {
        self.ground.tables.aws()
    }

    pub(crate) fn rows(&self) -> Rows {
        Rows { aws: self.aws(), prefix: "test-", since: START }
    }

    fn process(&self, outside: Outside) -> App {
        let Outside { aws, queue, mailer, blobs, chains, redis, ids } = outside;
        let freshness = Freshness { staleness: STALENESS, ..Freshness::default() };
        let app = assemble(Ports {
            aws,
            table_prefix: "test-".into(),
            queue,
            blobs,
            redis,
            cursor_secret: b"a secret of tests".to_vec(),
            chains,
            issuers: vec![self.issuer.as_issuer(vec!["tests".into()])],
            users: users(&self.issuer, &self.clock, &ids, &mailer),
            mailer,
            jobs: *self.app.jobs.policy(),
            settings: Settings {
                environment: self.app.settings.environment.clone(),
                reports: freshness,
                metadata: freshness,
                checkpoint_rows: self.app.settings.checkpoint_rows,
                ..Settings::default()
            },
            clock: Arc::clone(&self.clock) as _,
            ids,
        });
        app.unwrap()
    }

    pub(crate) fn ann(&self) -> Person {
        self.person("ann")
    }

    pub(crate) fn person(&self, name: &str) -> Person {
        let token = self.issuer.issue(name, &[], "tests", 3600, self.clock.now().seconds()).unwrap();
        self.bearer(&token)
    }

    /// Somebody of the group that may do what operators do.
    pub(crate) fn admin(&self) -> Person {
        let groups = ["admin".to_owned()];
        let token = self.issuer.issue("root", &groups, "tests", 3600, self.clock.now().seconds()).unwrap();
        self.bearer(&token)
    }

    pub(crate) fn anon(&self) -> Person {
        Person { router: self.router.clone(), token: None, ip: None, headers: Vec::new() }
    }

    /// Whoever has this bearer token.
    pub(crate) fn bearer(&self, token: &str) -> Person {
        Person { token: Some(token.to_owned()), ..self.anon() }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/tokens/{CHAIN}/{}{rest}", self.token)
    }

    /// What waits in a queue, in flight or not.
    pub(crate) fn depth(&self, queue: &QueueSpec) -> usize {
        let depths: HashMap<_, _> = self.queue.inner.depths().into_iter().collect();
        depths.get(queue.name).copied().unwrap_or(0)
    }

    pub(crate) async fn receive(&self, queue: &QueueSpec) -> Option<Delivery> {
        self.queue.receive(queue, 1, Duration::ZERO).await.unwrap().pop()
    }

    /// Lets the worker of clusters take one message, as Lambda would. `true` when it is done with.
    pub(crate) async fn work_on(&self, delivery: Delivery, limit: Duration) -> bool {
        self.hand_for(&REFRESH_CLUSTERS, delivery, limit).await
    }

    /// The same with any queue's worker.
    pub(crate) async fn handle(&self, queue: &'static QueueSpec, delivery: Delivery) -> bool {
        self.hand_for(queue, delivery, Duration::from_secs(30)).await
    }

    /// The same, with so much time for it.
    pub(crate) async fn hand_for(&self, queue: &'static QueueSpec, delivery: Delivery, limit: Duration) -> bool {
        let (receipt, id) = (delivery.receipt.clone(), delivery.message_id.clone());
        let workers = lambdas::workers();
        let worker = workers.iter().find(|worker| worker.queue == queue).unwrap();
        let failed = worker::process(worker, &self.app, vec![delivery], limit).await;
        let done = !failed.contains(&id);
        if done {
            self.queue.inner.delete(queue, &receipt).await.unwrap();
        }
        done
    }

    /// Lets every worker take what there is, until there is nothing.
    pub(crate) async fn work_all(&self) {
        for queue in QUEUES {
            while let Some(delivery) = self.receive(queue).await {
                assert!(self.handle(queue, delivery).await, "{} comes back", queue.name);
            }
        }
    }

    /// Takes messages until there are none; returns how many were handled.
    pub(crate) async fn work(&self) -> usize {
        let mut handled = 0;
        while let Some(delivery) = self.receive(&REFRESH_CLUSTERS).await {
            self.work_on(delivery, Duration::from_secs(120)).await;
            handled += 1;
        }
        handled
    }

    /// Lets the consumer of dead letters take all there are.
    pub(crate) async fn bury(&self) -> usize {
        let workers = lambdas::workers();
        let worker = workers.iter().find(|worker| worker.queue == &DEAD_LETTERS).unwrap();
        let mut handled = 0;
        while let Some(delivery) = self.receive(&DEAD_LETTERS).await {
            let receipt = delivery.receipt.clone();
            assert!(worker::process(worker, &self.app, vec![delivery], Duration::from_secs(10)).await.is_empty());
            self.queue.inner.delete(&DEAD_LETTERS, &receipt).await.unwrap();
            handled += 1;
        }
        handled
    }

    pub(crate) async fn sweep(&self) {
        self.tick("jobs-sweep-abandoned").await;
    }

    /// Lets the clock call a schedule.
    pub(crate) async fn tick(&self, name: &str) {
        let schedules = lambdas::schedules();
        let schedule = schedules.iter().find(|schedule| schedule.name == name).unwrap();
        schedule.tick(self.app.clone()).await.unwrap();
    }

    /// Whether object storage holds anything below this folder.
    pub(crate) fn stored(&self, folder: &str) -> bool {
        self.dir.path().join(folder).exists()
    }

    /// Where object storage is.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// All objects below this folder, in order.
    pub(crate) fn paths(&self, folder: &str) -> Vec<String> {
        fn list(folder: &std::path::Path, all: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { list(&path, all) } else { all.push(path) }
            }
        }
        let mut all = Vec::new();
        list(&self.dir.path().join(folder), &mut all);
        let names = all.iter().map(|path| path.strip_prefix(self.dir.path()).unwrap().to_str().unwrap().to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// How many objects there are below this folder.
    pub(crate) fn objects(&self, folder: &str) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
            let paths = entries.map(|entry| entry.unwrap().path());
            paths.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.dir.path().join(folder))
    }

    /// Says that messages may be left when the test ends.
    pub(crate) fn leaves_messages(&self) {
        self.drained.store(false, Ordering::Relaxed);
    }
}

impl Doomed {
    pub(crate) fn router(&self) -> Router {
        holdfast::router(&self.app, &Edge::default()).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.drained.load(Ordering::Relaxed) {
            // Whoever asks for a report leaves one; tests of points take them.
            let left = self.queue.inner.depths().into_iter().filter(|(name, _)| *name != CREDIT_POINTS.name);
            let left: Vec<_> = left.filter(|(_, depth)| *depth > 0).collect();
            assert!(left.is_empty(), "messages nobody handled: {left:?}");
        }
    }
}

/// One key for all tests: making it takes a moment.
pub(crate) fn issuer() -> Arc<LocalIssuer> {
    static ISSUER: std::sync::LazyLock<(TempDir, Arc<LocalIssuer>)> = std::sync::LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let issuer = LocalIssuer::open(dir.path()).unwrap();
        (dir, Arc::new(issuer))
    });
    Arc::clone(&ISSUER.1)
}

/// The embedded user pool, with hashes that cost little, whose codes go to the outbox.
fn users(
    issuer: &Arc<LocalIssuer>,
    clock: &Arc<ManualClock>,
    ids: &Arc<dyn Ids>,
    mailer: &Arc<dyn Mailer>,
) -> MakeUsers {
    let (issuer, ids, clock) = (Arc::clone(issuer), Arc::clone(ids), Arc::clone(clock));
    let messenger = Arc::new(Messenger { mailer: Arc::clone(mailer), pages: Settings::default().pages });
    Box::new(move |tables, rao| {
        let policy = PoolPolicy { hash: HashCost { memory_kib: 8, passes: 1, lanes: 1 }, ..PoolPolicy::default() };
        let (tables, rao, client_id) = (tables.clone(), rao.clone(), "tests".to_owned());
        let parts = EmbeddedPoolParts { tables, rao, issuer, messenger, clock, ids, client_id, policy };
        Ok(Arc::new(EmbeddedPool::new(parts)?))
    })
}

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Person {
    router: Router,
    token: Option<String>,
    ip: Option<ClientIp>,
    headers: Vec<(&'static str, String)>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Person {
    pub(crate) fn at(&self, router: Router) -> Self {
        Self { router, ..self.clone() }
    }

    /// Connected from this address, as the gateway sees it. Without it nobody knows from where.
    pub(crate) fn from(&self, ip: &str) -> Self {
        Self { ip: Some(ClientIp::new(ip.parse().unwrap())), ..self.clone() }
    }

    /// Who writes this into every request.
    pub(crate) fn saying(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name, value.to_owned()));
        other
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask_with(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.ask_with(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.ask_with(Method::DELETE, path, body).await
    }

    pub(crate) async fn ask_with(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.send(request, body.to_string().into()).await
    }

    /// With an empty object for a body, except in a GET.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Answer {
        let body = if method == Method::GET { Body::empty() } else { "{}".into() };
        self.send(Request::builder().method(method).uri(path).header("content-type", "application/json"), body).await
    }

    /// With a body of another kind.
    pub(crate) async fn post_text(&self, path: &str, content_type: &str, body: &str) -> Answer {
        self.send(Request::post(path).header("content-type", content_type), body.to_owned().into()).await
    }

    async fn send(&self, mut request: http::request::Builder, body: Body) -> Answer {
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(ip) = self.ip {
            request = request.extension(ip);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn assert(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body[..self.body.len().min(600)]));
        self
    }

    /// Status and code of a problem, and that the problem says the same as the status.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) -> &Self {
        self.assert(status);
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status_code"], status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["requestId"], self.header("x-request-id"));
        self
    }
}

/// A queue that can be told to refuse what is sent.
#[derive(Default)]
pub(crate) struct Flaky {
    pub(crate) inner: InProcessQueue,
    pub(crate) down: AtomicBool,
    /// Without the points for reports.
    pub(crate) sent: AtomicUsize,
    /// By receipt, for how long a message was last hidden.
    hidden: Mutex<HashMap<String, Duration>>,
}

impl Flaky {
    /// For how long the message with this receipt was last hidden.
    pub(crate) fn hidden(&self, receipt: &str) -> Duration {
        self.hidden.lock().unwrap()[receipt]
    }
}

#[async_trait]
impl Queue for Flaky {
    async fn send(&self, queue: &QueueSpec, message: Outgoing) -> Result<(), QueueError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(QueueError::Unavailable { source: "told to be down".into() });
        }
        if queue != &CREDIT_POINTS {
            self.sent.fetch_add(1, Ordering::SeqCst);
        }
        self.inner.send(queue, message).await
    }

    async fn receive(&self, queue: &QueueSpec, max: u8, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let deliveries = self.inner.receive(queue, max, wait).await?;
        let hidden = deliveries.iter().map(|delivery| (delivery.receipt.clone(), queue.visibility));
        self.hidden.lock().unwrap().extend(hidden);
        Ok(deliveries)
    }

    async fn delete(&self, queue: &QueueSpec, receipt: &str) -> Result<(), QueueError> {
        self.inner.delete(queue, receipt).await
    }

    async fn change_visibility(
        &self,
        queue: &QueueSpec,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        self.inner.change_visibility(queue, receipt, visibility).await?;
        self.hidden.lock().unwrap().insert(receipt.to_owned(), visibility);
        Ok(())
    }
}

/// Letters into the outbox, unless it is told to refuse them.
pub(crate) struct FlakyMail {
    inner: Arc<FileOutbox>,
    pub(crate) down: AtomicBool,
}

#[async_trait]
impl Mailer for FlakyMail {
    async fn send(&self, letter: &Letter) -> Result<MessageId, MailError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(MailError::Unavailable { source: "told to be down".into() });
        }
        self.inner.send(letter).await
    }
}

/// A chain that holds one token, and does as it is told: fail, stop half-way, give little at a time.
pub(crate) struct Scripted {
    pub(crate) token: Address,
    transfers: Vec<Transfer>,
    pub(crate) behaviour: Mutex<Behaviour>,
    /// The last block that is safe, where that is not yet the last of all.
    pub(crate) safe: Mutex<Option<u64>>,
    pub(crate) asked: AtomicUsize,
    /// From which block each read of transfers began.
    pub(crate) read_from: Mutex<Vec<u64>>,
    /// Told when a read has stopped half-way.
    pub(crate) stopped: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Works,
    /// Gives at most so many blocks at a time.
    InPieces(u64),
    Down,
    NotAToken,
    /// Gives the first piece, then never answers.
    HangsAfter(u64),
    /// Says nothing of a token.
    Silent,
}

impl Scripted {
    fn of_sample(token: Address, rows: u64, crowd: u32) -> Self {
        Self {
            token,
            transfers: sample::transfers(1, rows, crowd).collect(),
            behaviour: Mutex::new(Behaviour::Works),
            safe: Mutex::new(None),
            asked: AtomicUsize::new(0),
            read_from: Mutex::default(),
            stopped: Notify::new(),
        }
    }

    pub(crate) fn now(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn behaviour(&self) -> Behaviour {
        *self.behaviour.lock().unwrap()
    }

    fn check(&self, token: Address) -> Result<(), SourceError> {
        match self.behaviour() {
            Behaviour::Down => Err(SourceError::Unavailable { host: "node".into(), source: "told to be down".into() }),
            Behaviour::NotAToken => Err(SourceError::NotAToken { reason: "there is no contract".into() }),
            _ if token != self.token => Err(SourceError::NotAToken { reason: "there is no contract".into() }),
            _ => Ok(()),
        }
    }

    pub(crate) fn blocks(&self) -> RangeInclusive<u64> {
        self.transfers.first().unwrap().block..=self.transfers.last().unwrap().block
    }

    /// All there is to be read, for comparison.
    pub(crate) fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }
}

#[async_trait]
impl TransferSource for Scripted {
    async fn head(&self) -> Result<Block, SourceError> {
        let number = self.safe.lock().unwrap().unwrap_or(*self.blocks().end());
        let seen = self.transfers.iter().rev().find(|transfer| transfer.block <= number);
        Ok(Block { number, timestamp: seen.and_then(|transfer| transfer.timestamp) })
    }

    async fn metadata(&self, token: Address) -> Result<TokenMetadata, SourceError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Others get a turn, as they would while a node is asked.
        tokio::task::yield_now().await;
        if self.behaviour() == Behaviour::Silent {
            std::future::pending::<()>().await;
        }
        self.check(token)?;
        Ok(TokenMetadata {
            name: Some("Sample Token".into()),
            symbol: Some("SMPL".into()),
            decimals: Some(18),
            total_supply: Some(Amount::MAX),
            kind: TokenKind::Erc20,
            contract: Some(true),
        })
    }

    async fn first_block(&self, _: Address) -> Result<u64, SourceError> {
        Ok(*self.blocks().start())
    }

    async fn chunk(&self, token: Address, from: u64, _: Budget) -> Result<Chunk, SourceError> {
        self.check(token)?;
        self.read_from.lock().unwrap().push(from);
        let head = self.head().await?;
        let through = match self.behaviour() {
            Behaviour::HangsAfter(_) if from > *self.blocks().start() => {
                self.stopped.notify_one();
                std::future::pending().await
            }
            Behaviour::InPieces(blocks) | Behaviour::HangsAfter(blocks) => head.number.min(from + blocks - 1),
            _ => head.number,
        };
        let within = |transfer: &&Transfer| (from..=through).contains(&transfer.block);
        let transfers = self.transfers.iter().filter(within).copied().collect();
        Ok(Chunk { transfers, through: through.max(from - 1), head, bad_rows: 0 })
    }

    async fn contracts(&self, _: &[Address]) -> Result<Vec<Address>, SourceError> {
        Ok(Vec::new())
    }

    async fn block_at(&self, token: Address, timestamp: u64) -> Result<Option<u64>, SourceError> {
        self.check(token)?;
        let next = self.transfers.iter().find(|transfer| transfer.timestamp > Some(timestamp));
        Ok(Some(next.map_or(*self.blocks().end(), |transfer| transfer.block - 1)))
    }
}
