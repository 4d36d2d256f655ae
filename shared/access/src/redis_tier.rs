use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use metrics::counter;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, ScriptInvocation, Value};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::Clock;

/// A Redis that answers later than this is as good as none.
const TIME_LIMIT: Duration = Duration::from_millis(50);
/// The first command also connects, with TLS where asked for.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// After so many failures in a row nobody asks for a while.
const BREAKER_FAILURES: u32 = 3;
const BREAKER_PAUSE: Duration = Duration::from_secs(5);

/// Redis or Valkey behind a time limit and a breaker. Connects when first asked; no method fails or takes longer than
/// its limit.
#[derive(Clone)]
pub struct RedisTier {
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    connection: OnceCell<Connection>,
    connecting: tokio::sync::Mutex<()>,
    failures: AtomicU32,
    /// On the monotonic clock, milliseconds; nobody asks before.
    closed_until: AtomicU64,
    clock: Arc<dyn Clock>,
}

#[expect(clippy::large_enum_variant, reason = "one for each process")]
enum Target {
    Single(redis::Client),
    Cluster(ClusterClient),
}

#[derive(Clone)]
enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

/// The address in `REDIS_URL` is not one.
#[derive(Debug, thiserror::Error)]
#[error("expected redis://, rediss:// or redis+cluster:// with host and port: {reason}")]
pub struct BadRedisUrl {
    reason: String,
}

impl RedisTier {
    /// `url`: `redis://`, `rediss://` (TLS), `redis+cluster://` or `rediss+cluster://`. Nothing is connected yet.
    pub fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, BadRedisUrl> {
        // The library's message may quote the address with its password.
        let bad = |error: RedisError| BadRedisUrl { reason: format!("{:?}", error.kind()) };
        let target = if let Some((scheme, rest)) = url.split_once("+cluster://") {
            let nodes = rest.split(',').map(|node| format!("{scheme}://{node}"));
            let client = ClusterClient::builder(nodes).response_timeout(TIME_LIMIT).connection_timeout(CONNECT_LIMIT);
            Target::Cluster(client.build().map_err(bad)?)
        } else {
            Target::Single(redis::Client::open(url).map_err(bad)?)
        };
        Ok(Self {
            inner: Arc::new(Inner {
                target,
                connection: OnceCell::new(),
                connecting: tokio::sync::Mutex::new(()),
                failures: AtomicU32::new(0),
                closed_until: AtomicU64::new(0),
                clock,
            }),
        })
    }

    /// `None` when Redis cannot be asked; `Some(None)` when it has no such key.
    pub async fn get(&self, key: &str) -> Option<Option<Vec<u8>>> {
        self.ask(redis::cmd("GET").arg(key)).await
    }

    /// `None` when Redis cannot be asked.
    pub async fn get_many(&self, keys: &[&str]) -> Option<Vec<Option<Vec<u8>>>> {
        self.ask(redis::cmd("MGET").arg(keys)).await
    }

    pub async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let _: Option<Value> = self.ask(redis::cmd("SET").arg(key).arg(value).arg("PX").arg(millis)).await;
    }

    pub async fn delete(&self, key: &str) {
        let _: Option<Value> = self.ask(redis::cmd("DEL").arg(key)).await;
    }

    /// What a script answers; `None` when Redis cannot be asked. It may have run all the same when the answer was late.
    pub(crate) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        let now = self.may_ask()?;
        let outcome = match self.connection().await {
            Some(mut connection) => in_time(script.invoke_async(&mut connection)).await,
            None => Err(Failed::Unreachable),
        };
        self.settle(now, outcome)
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let now = self.may_ask()?;
        let outcome = match self.connection().await {
            Some(mut connection) => in_time(command.query_async(&mut connection)).await,
            None => Err(Failed::Unreachable),
        };
        self.settle(now, outcome)
    }

    /// Milliseconds on the monotonic clock; `None` while the breaker is open.
    fn may_ask(&self) -> Option<u64> {
        let now = u64::try_from(self.inner.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        if now < self.inner.closed_until.load(Ordering::Relaxed) {
            counter!("redis.calls", "outcome" => "not_asked").increment(1);
            return None;
        }
        Some(now)
    }

    /// Counts how a call made at `now` ended, and opens the breaker when it was one failure too many.
    fn settle<T>(&self, now: u64, outcome: Result<T, Failed>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.inner.failures.store(0, Ordering::Relaxed);
                counter!("redis.calls", "outcome" => "ok").increment(1);
                Some(value)
            }
            // A key of another type says nothing of the server: a miss, and the others are asked on.
            Err(why @ Failed::WrongType) => {
                counter!("redis.calls", "outcome" => why.name()).increment(1);
                None
            }
            Err(why) => {
                let why = why.name();
                counter!("redis.calls", "outcome" => why).increment(1);
                if self.inner.failures.fetch_add(1, Ordering::Relaxed) + 1 >= BREAKER_FAILURES {
                    let pause = u64::try_from(BREAKER_PAUSE.as_millis()).unwrap_or(u64::MAX);
                    self.inner.closed_until.store(now.saturating_add(pause), Ordering::Relaxed);
                    self.inner.failures.store(0, Ordering::Relaxed);
                    tracing::warn!(why, pause_seconds = BREAKER_PAUSE.as_secs(), "redis is not asked for a while");
                }
                None
            }
        }
    }

    /// The shared connection; nobody waits for another's attempt to connect longer than the time limit.
    async fn connection(&self) -> Option<Connection> {
        if let Some(connection) = self.inner.connection.get() {
            return Some(connection.clone());
        }
        let _one_attempt = timeout(TIME_LIMIT, self.inner.connecting.lock()).await.ok()?;
        let connect = async {
            match &self.inner.target {
                Target::Single(client) => {
                    let config = ConnectionManagerConfig::new()
                        .set_connection_timeout(Some(CONNECT_LIMIT))
                        .set_response_timeout(Some(TIME_LIMIT))
                        .set_number_of_retries(1)
                        .set_max_delay(TIME_LIMIT);
                    ConnectionManager::new_lazy_with_config(client.clone(), config).map(Connection::Single)
                }
                Target::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
            }
        };
        let connect = async { timeout(CONNECT_LIMIT, connect).await.map_err(drop)?.map_err(drop) };
        self.inner.connection.get_or_try_init(|| connect).await.ok().cloned()
    }
}

/// Why there is no answer.
#[derive(Clone, Copy)]
enum Failed {
    Slow,
    Unreachable,
    /// Out of memory.
    Full,
    WrongType,
    Other,
}

impl Failed {
    const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Unreachable => "unreachable",
            Self::Full => "full",
            Self::WrongType => "wrong_type",
            Self::Other => "failed",
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, Failed> {
    let answer = timeout(TIME_LIMIT, answer).await.map_err(|_| Failed::Slow)?;
    answer.map_err(|error| match error.code() {
        Some("OOM") => Failed::Full,
        Some("WRONGTYPE") => Failed::WrongType,
        _ => Failed::Other,
    })
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
