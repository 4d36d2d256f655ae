//! Processes that die: what they ask of the outside is counted, and any one of these calls can be their last.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use access::messages::QueueSpec;
use access::{
    Aws, AwsConfig, BlobError, BlobStore, Credentials, Delivery, Outgoing, Queue, QueueError, RedisTier, Roots,
};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chains::{Block, Budget, Chunk, SourceError, TokenMetadata, TransferSource};
use clusters::{Address, Funded};
use http::StatusCode;
use mail::{Letter, MailError, Mailer, MessageId};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Where a call is stopped: before anybody sees it, or when it has taken effect and nobody knows yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
    /// It has taken effect; whoever asked a [`Proxy`] is told that it failed, and lives.
    Lost,
    /// Before anybody sees it, until it is let go.
    Held,
}

pub(crate) const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];

/// Counts calls, and can stop one for ever. Whoever made it is then as good as dead.
#[derive(Default)]
pub(crate) struct Faults {
    calls: AtomicUsize,
    stop: Mutex<Option<(usize, Moment)>>,
    stopped: Notify,
    let_go: Notify,
}

impl Faults {
    /// Lets a call go on that is held.
    pub(crate) fn let_go(&self) {
        self.let_go.notify_one();
    }

    /// Counts calls from here on, and stops this one; the first is 1.
    pub(crate) fn stop(&self, at: usize, moment: Moment) {
        self.calls.store(0, Ordering::SeqCst);
        *self.stop.lock().unwrap() = Some((at, moment));
    }

    /// How many calls this makes.
    pub(crate) async fn count<T>(&self, operation: impl Future<Output = T>) -> usize {
        self.stop(usize::MAX, Moment::Before);
        operation.await;
        self.calls()
    }

    /// How many calls there were since the last [`Faults::stop`].
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits for a call to be stopped.
    pub(crate) async fn stopped(&self) {
        self.stopped.notified().await;
    }

    /// What comes of this; `None` when it was stopped at a call.
    pub(crate) async fn unless_stopped<T>(&self, operation: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = operation => Some(done),
            () = self.stopped() => None,
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        self.call_or_lose(call).await.0
    }

    /// With whether its answer is to be lost.
    async fn call_or_lose<T>(&self, call: impl Future<Output = T>) -> (T, bool) {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let stop = self.stop.lock().unwrap().filter(|(at, _)| *at == number).map(|(_, moment)| moment);
        if stop == Some(Moment::Before) {
            self.hang().await;
        }
        if stop == Some(Moment::Held) {
            self.stopped.notify_one();
            self.let_go.notified().await;
        }
        let answer = call.await;
        if stop == Some(Moment::After) {
            self.hang().await;
        }
        (answer, stop == Some(Moment::Lost))
    }

    async fn hang(&self) {
        self.stopped.notify_one();
        std::future::pending::<()>().await;
    }
}

/// Stands between clients and the engine of the tables.
pub(crate) struct Proxy {
    pub(crate) faults: Arc<Faults>,
    address: SocketAddr,
    _serving: JoinSet<std::io::Result<()>>,
}

#[derive(Clone)]
struct Forward {
    faults: Arc<Faults>,
    engine: String,
    client: reqwest::Client,
}

/// For any number of proxies.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_gzip().no_proxy().build().unwrap()
}

impl Proxy {
    pub(crate) async fn start(engine: &Aws, client: reqwest::Client) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (faults, address) = (Arc::new(Faults::default()), listener.local_addr().unwrap());
        let engine = engine.sdk_config().endpoint_url().unwrap().to_owned();
        let forward = Forward { faults: Arc::clone(&faults), engine, client };
        let router = Router::new().fallback(Forward::call).with_state(forward);
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await });
        Self { faults, address, _serving: serving }
    }

    pub(crate) fn aws(&self) -> Aws {
        Aws::new(AwsConfig {
            region: "eu-west-2".into(),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: Credentials::new("local", "local", None, None, "proxy"),
            roots: Roots::System,
        })
    }
}

impl Forward {
    async fn call(State(forward): State<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let asked = forward.client.request(parts.method, format!("{}{}", forward.engine, parts.uri));
        let asked = asked.headers(parts.headers).body(body);
        let answer = async {
            let answer = asked.send().await.unwrap();
            let (status, headers) = (answer.status(), answer.headers().clone());
            (status, headers, answer.bytes().await.unwrap())
        };
        let ((status, headers, body), is_lost) = forward.faults.call_or_lose(answer).await;
        if is_lost {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// Stands between clients and a Redis: every command is a call.
pub(crate) struct RedisProxy {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl RedisProxy {
    /// `redis`: its address, `redis://127.0.0.1:6379`.
    pub(crate) async fn start(redis: &str, faults: Arc<Faults>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let redis: SocketAddr = redis.strip_prefix("redis://").unwrap().parse().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                // It ends with an error when either side goes away.
                connections.spawn(pass_on(client, redis, Arc::clone(&faults)));
            }
        });
        Self { address, _serving: serving }
    }

    /// A client that is connected: what connecting takes is not counted among what follows.
    pub(crate) async fn tier(&self, clock: Arc<dyn access::Clock>) -> RedisTier {
        let tier = RedisTier::open(&format!("redis://{}", self.address), clock).unwrap();
        tier.get("connected").await;
        tier
    }
}

async fn pass_on(client: TcpStream, redis: SocketAddr, faults: Arc<Faults>) -> std::io::Result<()> {
    let redis = TcpStream::connect(redis).await?;
    let ((commands, mut to_client), (answers, mut to_redis)) = (client.into_split(), redis.into_split());
    let (mut commands, mut answers) = (BufReader::new(commands), BufReader::new(answers));
    loop {
        let command = whole(&mut commands).await?;
        let call = async {
            to_redis.write_all(&command).await?;
            whole(&mut answers).await
        };
        let answer = faults.call(call).await?;
        to_client.write_all(&answer).await?;
    }
}

/// The next command or answer, with all it is made of.
async fn whole(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut parts = 1;
    while parts > 0 {
        parts -= 1;
        let line = bytes.len();
        if from.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let count = || std::str::from_utf8(&bytes[line + 1..]).unwrap().trim_end().parse::<i64>().unwrap();
        match bytes[line] {
            b'*' | b'~' | b'>' => parts += count().max(0),
            b'%' | b'|' => parts += 2 * count(),
            // A string of so many bytes; of less than none where there is none.
            b'$' | b'=' | b'!' => {
                if let Ok(length) = usize::try_from(count()) {
                    let start = bytes.len();
                    bytes.resize(start + length + 2, 0);
                    from.read_exact(&mut bytes[start..]).await?;
                }
            }
            _ => {}
        }
    }
    Ok(bytes)
}

/// A port whose calls are counted.
pub(crate) struct Counted<T: ?Sized> {
    pub(crate) inner: Arc<T>,
    pub(crate) faults: Arc<Faults>,
}

#[async_trait]
impl Queue for Counted<dyn Queue> {
    async fn send(&self, queue: &QueueSpec, message: Outgoing) -> Result<(), QueueError> {
        self.faults.call(self.inner.send(queue, message)).await
    }

    async fn receive(&self, queue: &QueueSpec, max: u8, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.faults.call(self.inner.receive(queue, max, wait)).await
    }

    async fn delete(&self, queue: &QueueSpec, receipt: &str) -> Result<(), QueueError> {
        self.faults.call(self.inner.delete(queue, receipt)).await
    }

    async fn change_visibility(
        &self,
        queue: &QueueSpec,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        self.faults.call(self.inner.change_visibility(queue, receipt, visibility)).await
    }
}

#[async_trait]
impl Mailer for Counted<dyn Mailer> {
    async fn send(&self, letter: &Letter) -> Result<MessageId, MailError> {
        self.faults.call(self.inner.send(letter)).await
    }
}

#[async_trait]
impl BlobStore for Counted<dyn BlobStore> {
    async fn put(&self, key: &str, value: Bytes) -> Result<(), BlobError> {
        self.faults.call(self.inner.put(key, value)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        self.faults.call(self.inner.get(key)).await
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.faults.call(self.inner.delete(key)).await
    }
}

#[async_trait]
impl TransferSource for Counted<dyn TransferSource> {
    async fn head(&self) -> Result<Block, SourceError> {
        self.faults.call(self.inner.head()).await
    }

    async fn metadata(&self, token: Address) -> Result<TokenMetadata, SourceError> {
        self.faults.call(self.inner.metadata(token)).await
    }

    async fn first_block(&self, token: Address) -> Result<u64, SourceError> {
        self.faults.call(self.inner.first_block(token)).await
    }

    async fn chunk(&self, token: Address, from: u64, budget: Budget) -> Result<Chunk, SourceError> {
        self.faults.call(self.inner.chunk(token, from, budget)).await
    }

    async fn contracts(&self, addresses: &[Address]) -> Result<Vec<Address>, SourceError> {
        self.faults.call(self.inner.contracts(addresses)).await
    }

    async fn fundings(&self, asked: &[(Address, u64)], window: u32) -> Result<Vec<Option<Funded>>, SourceError> {
        self.faults.call(self.inner.fundings(asked, window)).await
    }

    async fn block_at(&self, token: Address, timestamp: u64) -> Result<Option<u64>, SourceError> {
        self.faults.call(self.inner.block_at(token, timestamp)).await
    }
}

/// Ends at its n-th poll, whatever it was about to do.
pub(crate) struct Mortal<F> {
    inner: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Mortal<F> {
    /// Ends after so many polls that did not finish it.
    pub(crate) fn after(polls: usize, inner: F) -> Self {
        Self { inner: Box::pin(inner), polls }
    }
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.polls.checked_sub(1) {
            None => Poll::Ready(None),
            Some(left) => {
                self.polls = left;
                self.inner.as_mut().poll(context).map(Some)
            }
        }
    }
}
