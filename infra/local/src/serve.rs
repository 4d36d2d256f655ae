use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::{
    BadRedisUrl, Clock, FolderBlobs, Ids, InProcessQueue, JobPolicy, RandomIds, RedisTier, SystemClock, Timestamp,
};
use api::{ClientIp, Edge, EdgeError, edge, limited, replayed};
use app::{App, Settings};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use chains::{Chain, Chains, SampleSource};
use identity::{EmbeddedPool, EmbeddedPoolParts, LocalIssuer, LocalIssuerError, PoolPolicy, UserIdError};
use mail::{FileOutbox, Mailer};
use runtime::{AssembleError, MakeUsers, Ports, assemble};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::poll;

use crate::desk::{self, Desk};
use crate::embedded::{Embedded, EmbeddedError};
use crate::keep::{DataDir, KeepError};
use crate::messenger::Messenger;

/// The chain that is always there, so that the first request works without a network.
pub const SAMPLE_CHAIN: &str = "sample";
/// The client id in the tokens this machine issues.
pub(crate) const CLIENT_ID: &str = "local";
/// Workers of each queue that run side by side.
const POLLERS: usize = 2;
/// How long one message may be worked on before the rest goes into another; as a deployed function's time-out.
const JOB_LIMIT: Duration = Duration::from_secs(120);
/// How long requests and jobs under way may take after the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How the local server is set up.
pub struct Options {
    pub data: DataDir,
    /// Beside the sample.
    pub chains: Vec<Chain>,
    pub redis_url: Option<String>,
    pub edge: Edge,
    pub settings: Settings,
    pub jobs: JobPolicy,
}

impl Options {
    pub fn new(data: DataDir) -> Self {
        let settings = Settings { environment: "local".into(), ..Settings::default() };
        Self { data, chains: Vec::new(), redis_url: None, edge: Edge::default(), settings, jobs: JobPolicy::default() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Tables(#[from] EmbeddedError),
    #[error("the tables cannot be created")]
    Create(#[source] access::AccessError),
    #[error("the key that signs local bearer tokens")]
    Keys(#[from] LocalIssuerError),
    #[error("REDIS_URL: {0}")]
    Redis(#[from] BadRedisUrl),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error(transparent)]
    Edge(#[from] EdgeError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("accepted jobs cannot be taken up again")]
    Resume(#[source] worker::RunError),
}

/// An application over what is kept in one folder.
pub struct Local {
    pub app: App,
    pub issuer: Arc<LocalIssuer>,
    /// Every letter written here.
    pub outbox: Arc<FileOutbox>,
    pub queue: Arc<InProcessQueue>,
    tables: Embedded,
    _lock: File,
}

/// Opens the folder's tables, objects and keys and puts the application together; nothing runs yet.
pub async fn local_app(options: &Options) -> Result<Local, ServeError> {
    local_app_in(options, options.data.lock()?).await
}

/// The same, for whoever holds the folder already.
pub(crate) async fn local_app_in(options: &Options, lock: File) -> Result<Local, ServeError> {
    let tables = Embedded::open(&options.data.tables()).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let queue = Arc::new(InProcessQueue::new());
    let keys = options.data.keys();
    // Making a key takes a moment of the processor.
    let opened = tokio::task::spawn_blocking(move || LocalIssuer::open(&keys)).await;
    let issuer = opened.map_err(|error| LocalIssuerError::from(std::io::Error::other(error)))??;
    let issuer = Arc::new(issuer);
    let pages = options.settings.pages.clone();
    let letterhead = options.settings.letterhead.clone();
    let outbox = FileOutbox::new(options.data.outbox(), letterhead, Arc::clone(&clock), Arc::clone(&ids));
    let outbox = Arc::new(outbox);
    let mailer: Arc<dyn Mailer> = Arc::clone(&outbox) as _;
    let users: MakeUsers = {
        let (issuer, clock, ids) = (Arc::clone(&issuer), Arc::clone(&clock), Arc::clone(&ids));
        let messenger = Arc::new(Messenger { mailer: Arc::clone(&mailer), pages });
        Box::new(move |tables, rao| {
            let parts = EmbeddedPoolParts {
                tables: tables.clone(),
                rao: rao.clone(),
                issuer,
                messenger,
                clock,
                ids,
                client_id: CLIENT_ID.to_owned(),
                policy: PoolPolicy::default(),
            };
            Ok(Arc::new(EmbeddedPool::new(parts)?))
        })
    };
    let settings = Settings { keys: issuer.jwks().into(), ..options.settings.clone() };
    let redis = options.redis_url.as_ref().map(|url| RedisTier::open(url, Arc::clone(&clock))).transpose()?;
    let app = assemble(Ports {
        aws: tables.aws(),
        table_prefix: String::new(),
        queue: Arc::clone(&queue) as _,
        blobs: Arc::new(FolderBlobs::new(options.data.blobs(), Arc::clone(&ids))),
        redis,
        cursor_secret: options.data.cursor_secret()?,
        chains: chains(options),
        issuers: vec![issuer.as_issuer(vec![CLIENT_ID.to_owned()])],
        users,
        mailer,
        jobs: options.jobs,
        settings,
        clock,
        ids,
    })?;
    app.tables.create_missing().await.map_err(ServeError::Create)?;
    Ok(Local { app, issuer, outbox, queue, tables, _lock: lock })
}

fn chains(options: &Options) -> Chains {
    let mut all = vec![Chain {
        id: SAMPLE_CHAIN.to_owned(),
        chain_id: None,
        name: "Sample".to_owned(),
        native_asset: None,
        source: Arc::new(SampleSource::new()),
    }];
    all.extend(options.chains.iter().cloned());
    Chains::new(all)
}

impl Local {
    /// A bearer token of this machine, good for a day.
    pub fn token(&self, user: &str) -> Result<String, UserIdError> {
        token(&self.issuer, user, &[], self.app.clock.now())
    }
}

pub(crate) fn token(
    issuer: &LocalIssuer,
    user: &str,
    groups: &[String],
    now: Timestamp,
) -> Result<String, UserIdError> {
    issuer.issue(user, groups, CLIENT_ID, 24 * 3600, now.seconds())
}

/// The whole API and all workers, running.
pub struct Server {
    pub address: SocketAddr,
    local: Local,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Server {
    /// Listens, answers, and works off queues from the moment this returns.
    pub async fn start(options: Options, listen: SocketAddr) -> Result<Self, ServeError> {
        let local = local_app(&options).await?;
        let desk = Desk { app: local.app.clone(), outbox: Arc::clone(&local.outbox) };
        let router = with_desk(&local.app, &options.edge, Some(desk))?;
        let listener =
            TcpListener::bind(listen).await.map_err(|source| ServeError::Listen { address: listen, source })?;
        let address = listener.local_addr().map_err(|source| ServeError::Listen { address: listen, source })?;
        options.data.announce(address)?;
        resume(&local.app).await?;

        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            let router = router.into_make_service_with_connect_info::<SocketAddr>();
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the server ended");
            }
        });
        for worker in lambdas::workers() {
            for _ in 0..POLLERS {
                let stopped = Box::pin(stop.clone().cancelled_owned());
                tasks.spawn(poll(worker.clone(), local.app.clone(), JOB_LIMIT, stopped));
            }
        }
        for schedule in lambdas::schedules() {
            let (app, stop) = (local.app.clone(), stop.clone());
            tasks.spawn(async move {
                let mut ticks = tokio::time::interval(schedule.every);
                while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                    if let Err(error) = schedule.tick(app.clone()).await {
                        tracing::error!(error = &error as &dyn std::error::Error, schedule = schedule.name, "failed");
                    }
                }
            });
        }
        Ok(Self { address, local, tasks, stop })
    }

    pub const fn local(&self) -> &Local {
        &self.local
    }

    /// Serves until `told`, then finishes what is under way, but no longer than a grace period: a job that is cut off
    /// is taken up at the next start.
    pub async fn run_until(mut self, told: impl Future<Output = ()>) -> Result<(), ServeError> {
        told.await;
        self.stop.cancel();
        let ended = tokio::time::timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("work under way was cut off; it is taken up at the next start");
            self.tasks.shutdown().await;
        }
        let Local { app, tables, .. } = self.local;
        drop(app);
        // The engine waits for its clients' idle connections; they may outlive us by a moment.
        let _ = tokio::time::timeout(Duration::from_secs(2), tables.close()).await;
        Ok(())
    }
}

/// All endpoints behind one edge.
pub fn router(app: &App, settings: &Edge) -> Result<Router, EdgeError> {
    with_desk(app, settings, None)
}

fn with_desk(app: &App, settings: &Edge, desk: Option<Desk>) -> Result<Router, EdgeError> {
    let mut router = Router::new();
    if let Some(desk) = desk {
        router = router.merge(desk::routes().with_state(desk));
    }
    for endpoint in lambdas::endpoints() {
        router = router.merge(Router::from(endpoint));
    }
    let router = limited(router, app.limits.clone(), Arc::clone(&app.verifier));
    let router = replayed(router, app.idempotency.clone(), Arc::clone(&app.verifier));
    let (ids, clock) = (Arc::clone(&app.ids), Arc::clone(&app.clock));
    let new_id = Arc::new(move || ids.id(clock.now()));
    Ok(edge(router, settings, new_id)?.layer(map_request(note_peer)).with_state(app.clone()))
}

/// Who connected is who asks; there is no gateway in front.
async fn note_peer(mut request: Request) -> Request {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let ip = ClientIp::new(peer.ip());
        request.extensions_mut().insert(ip);
    }
    request
}

/// The queues of the process before are gone with it; what it had accepted stands in the job rows.
async fn resume(app: &App) -> Result<(), ServeError> {
    let all = Timestamp(u64::MAX >> 1);
    let failed = |error: worker::RunError| ServeError::Resume(error);
    let open = app.jobs.open_before(all, 10_000).await.map_err(|error| failed(error.into()))?;
    for row in open {
        let recovered = app.jobs.recover_before(&row, all).await.map_err(|error| failed(error.into()))?;
        tracing::info!(job.id = row.view.job, outcome = ?recovered, "a job of the run before");
    }
    Ok(())
}
