use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use super::EvmOptions;
use super::refusal::{Refusal, RpcError};
use crate::SourceError;

type BoxError = Box<dyn Error + Send + Sync>;

/// A node and how to speak with it: one request, or one repeated until it is answered, or many in batches.
pub(super) struct Rpc {
    url: Url,
    /// All of the URL that is ever shown.
    pub(super) host: String,
    /// Parts of the URL that a node's message might repeat.
    secrets: Vec<String>,
    pub(super) options: EvmOptions,
    client: OnceCell<reqwest::Client>,
    next_id: AtomicU64,
    /// Calls the node takes in one batch, as far as is known.
    batch_size: AtomicUsize,
    /// Nothing is sent before: the node asked us to wait.
    closed_until: Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) params: Value,
}

/// Why one request has no result.
#[derive(Debug)]
pub(super) enum Failure {
    Throttled {
        retry_after: Option<Duration>,
    },
    Transient {
        source: BoxError,
    },
    TimedOut {
        source: BoxError,
    },
    TooManyResults {
        suggested: Option<(u64, u64)>,
        message: String,
    },
    TooWide {
        numbers: Vec<u64>,
        suggested: Option<(u64, u64)>,
        message: String,
    },
    /// The node's last word on this request.
    Refused {
        message: String,
    },
    /// The node knows us and says no.
    Denied {
        message: String,
    },
    /// The node answered, and the answer tells that we cannot work with this token.
    Unsupported {
        reason: String,
    },
}

/// Something that was answered but cannot be so.
#[derive(Debug, thiserror::Error)]
#[error("the answer makes no sense: {0}")]
pub(super) struct Nonsense(pub(super) String);

#[derive(Debug, thiserror::Error)]
#[error("HTTP status {0}")]
struct Status(StatusCode);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// The longest batch sent, and what is tried after a node refused one.
const LONGEST_BATCH: usize = 100;
/// A refusal is a text, not a result.
const REFUSAL_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<RpcError>,
}

enum Batch {
    Answers(Vec<Answer>),
    Refused,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Rpc {
    /// Costs nothing: the HTTP client is built with the first request.
    pub(super) fn new(url: Url, options: EvmOptions) -> Self {
        let mut host = url.host_str().unwrap_or("unnamed host").to_owned();
        if let Some(port) = url.port() {
            host = format!("{host}:{port}");
        }
        let mut secrets: Vec<String> = url.path_segments().into_iter().flatten().map(str::to_owned).collect();
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.extend(url.query().map(str::to_owned));
        secrets.extend(url.password().map(str::to_owned));
        secrets.push(url.username().to_owned());
        secrets.retain(|secret| secret.len() >= 4);
        // A longer one may contain a shorter one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self {
            url,
            host,
            secrets,
            options,
            client: OnceCell::new(),
            next_id: AtomicU64::new(1),
            batch_size: AtomicUsize::new(LONGEST_BATCH),
            closed_until: Mutex::new(None),
        }
    }

    /// One call, repeated while that may help.
    pub(super) async fn call(&self, call: &Call, deadline: Option<Instant>) -> Result<Box<RawValue>, SourceError> {
        let mut retry = self.retry(deadline);
        loop {
            match self.once(call).await {
                Ok(result) => return Ok(result),
                Err(failure) => retry.pause(failure).await?,
            }
        }
    }

    /// One call, sent once.
    pub(super) async fn once(&self, call: &Call) -> Result<Box<RawValue>, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let bytes = self.post(&request(id, call)).await?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(nonsense)?;
        if let Some(error) = answer.error {
            return Err(self.failure_of(call, &error));
        }
        if answer.id != Some(id.into()) {
            return Err(transient(Nonsense("it is the answer to another request".into())));
        }
        Ok(answer.result.unwrap_or_else(|| RawValue::NULL.to_owned()))
    }

    /// Many calls, in batches where the node takes them. The answers come in the order of `calls`; `Err` inside is the
    /// node's last word on that one call.
    pub(super) async fn all(
        &self,
        calls: &[Call],
        deadline: Option<Instant>,
    ) -> Result<Vec<Result<Box<RawValue>, String>>, SourceError> {
        let mut answers: Vec<Option<Result<Box<RawValue>, String>>> = calls.iter().map(|_| None).collect();
        let mut retry = self.retry(deadline);
        let mut failures = 0;
        loop {
            let missing: Vec<usize> = (0..calls.len()).filter(|place| answers[*place].is_none()).collect();
            // Some nodes answer a batch with an error that does not say why.
            let size = if failures >= 2 { 1 } else { self.batch_size.load(Ordering::Relaxed).max(1) };
            if size == 1 || missing.len() <= 1 {
                let singles = missing.into_iter().map(|place| async move {
                    match self.call(&calls[place], deadline).await {
                        Ok(result) => Ok((place, Ok(result))),
                        Err(SourceError::Refused { reason, .. }) => Ok((place, Err(reason))),
                        Err(error) => Err(error),
                    }
                });
                let found: Vec<_> =
                    stream::iter(singles).buffer_unordered(self.options.ranges_in_flight.max(1)).try_collect().await?;
                for (place, answer) in found {
                    answers[place] = Some(answer);
                }
                return Ok(answers.into_iter().flatten().collect());
            }
            let mut failed = None;
            for group in missing.chunks(size) {
                match self.batch(calls, group, &mut answers).await {
                    Ok(true) => {}
                    Ok(false) => {
                        let smaller = if size > 10 { 10 } else { 1 };
                        self.batch_size.fetch_min(smaller, Ordering::Relaxed);
                        tracing::debug!(host = self.host, batch.calls = size, "batch refused");
                        break;
                    }
                    Err(failure) => {
                        failed = Some(failure);
                        break;
                    }
                }
            }
            if let Some(failure) = failed {
                failures += 1;
                retry.pause(failure).await?;
            } else if answers.iter().all(Option::is_some) {
                return Ok(answers.into_iter().flatten().collect());
            }
        }
    }

    /// Sends one batch and files its answers. `false` when the node takes no batch of this size.
    async fn batch(
        &self,
        calls: &[Call],
        group: &[usize],
        answers: &mut [Option<Result<Box<RawValue>, String>>],
    ) -> Result<bool, Failure> {
        let first = self.next_id.fetch_add(group.len() as u64, Ordering::Relaxed);
        let places: HashMap<u64, usize> = (first..).zip(group.iter().copied()).collect();
        let body = (first..).zip(group).map(|(id, place)| request(id, &calls[*place])).collect();
        let Batch::Answers(found) = self.post_batch(&Value::Array(body)).await? else { return Ok(false) };
        let mut failed = None;
        for answer in found {
            let place = answer.id.as_ref().and_then(Value::as_u64).and_then(|id| places.get(&id).copied());
            match (place, answer.error) {
                (Some(place), None) => {
                    answers[place] = Some(Ok(answer.result.unwrap_or_else(|| RawValue::NULL.to_owned())));
                }
                (Some(place), Some(error)) => match self.failure_of(&calls[place], &error) {
                    Failure::Refused { message } => answers[place] = Some(Err(message)),
                    failure => failed = Some(failure),
                },
                // An error for nobody is one for the batch.
                (None, Some(error)) => match self.failure(&error) {
                    failure @ Failure::Throttled { .. } => failed = Some(failure),
                    _ => return Ok(false),
                },
                (None, None) => return Err(transient(Nonsense("it is the answer to another request".into()))),
            }
        }
        match failed {
            Some(failure) => Err(failure),
            None if group.iter().any(|place| answers[*place].is_none()) => {
                Err(transient(Nonsense("calls of a batch are left out".into())))
            }
            None => Ok(true),
        }
    }

    async fn post_batch(&self, body: &Value) -> Result<Batch, Failure> {
        let bytes = match self.post(body).await {
            Ok(bytes) => bytes,
            Err(Failure::Refused { .. } | Failure::TooManyResults { .. }) => return Ok(Batch::Refused),
            Err(failure) => return Err(failure),
        };
        if let Ok(answers) = serde_json::from_slice::<Vec<Answer>>(&bytes) {
            return Ok(Batch::Answers(answers));
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(nonsense)?;
        match answer.error.map(|error| self.failure(&error)) {
            Some(failure @ (Failure::Throttled { .. } | Failure::TimedOut { .. })) => Err(failure),
            _ => Ok(Batch::Refused),
        }
    }

    /// One HTTP request; the body of a successful answer.
    async fn post(&self, body: &Value) -> Result<Vec<u8>, Failure> {
        self.wait().await;
        let client = self.client.get_or_try_init(|| async { self.client() }).await?;
        let sent = client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send()
            .await;
        let mut response = sent.map_err(broken)?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let limit = if status.is_success() { self.options.max_response_bytes } else { REFUSAL_BYTES };
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if bytes.len() + part.len() > limit {
                if status.is_success() {
                    let message = format!("the answer is longer than {limit} bytes");
                    return Err(Failure::TooManyResults { suggested: None, message });
                }
                break;
            }
            bytes.extend_from_slice(&part);
        }
        if status.is_success() {
            return Ok(bytes);
        }
        Err(self.status_failure(status, retry_after, &bytes))
    }

    fn status_failure(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
        let said = serde_json::from_slice::<Answer>(body).ok().and_then(|answer| answer.error);
        let failure = said.as_ref().map(|error| self.failure(error));
        match (status.as_u16(), failure) {
            (429, Some(Failure::Throttled { retry_after: asked })) => {
                Failure::Throttled { retry_after: retry_after.or(asked) }
            }
            (429, _) => Failure::Throttled { retry_after },
            (503, None) if retry_after.is_some() => Failure::Throttled { retry_after },
            // A refusal that is understood says more than the status.
            (
                _,
                Some(failure @ (Failure::TooManyResults { .. } | Failure::TooWide { .. } | Failure::Throttled { .. })),
            ) => failure,
            (401 | 403, said) => {
                let message = match said {
                    Some(Failure::Refused { message }) => format!("it denies us access: {message}"),
                    _ => format!("it denies us access (HTTP status {status})"),
                };
                Failure::Denied { message }
            }
            (413, _) => Failure::TooManyResults { suggested: None, message: format!("HTTP status {status}") },
            (408 | 504 | 524, _) => Failure::TimedOut { source: Box::new(Status(status)) },
            (500.., _) => transient(Status(status)),
            (_, Some(failure)) => failure,
            (_, None) => Failure::Refused { message: format!("HTTP status {status}") },
        }
    }

    fn client(&self) -> Result<reqwest::Client, Failure> {
        let mut builder = reqwest::Client::builder()
            .timeout(self.options.request_time)
            .connect_timeout(self.options.request_time.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        if self.url.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(broken)
    }

    fn failure_of(&self, call: &Call, error: &RpcError) -> Failure {
        // Of an old block this says that its state was not kept; waiting does not bring it back.
        if call.method == "eth_getBalance" && error.is_missing_state() {
            return Failure::Refused { message: self.shown(&error.message) };
        }
        self.failure(error)
    }

    fn failure(&self, error: &RpcError) -> Failure {
        let message = self.shown(&error.message);
        match error.refusal() {
            Refusal::Throttled { retry_after } => Failure::Throttled { retry_after },
            Refusal::TooManyResults { suggested } => Failure::TooManyResults { suggested, message },
            Refusal::TooWide { numbers, suggested } => Failure::TooWide { numbers, suggested, message },
            Refusal::TimedOut => Failure::TimedOut { source: Box::new(Said(message)) },
            Refusal::Unwell => transient(Said(message)),
            Refusal::Final => Failure::Refused { message: format!("{message} (code {})", error.code) },
        }
    }

    /// A node's text without control characters, without what it may repeat of our URL, and not too long.
    fn shown(&self, text: &str) -> String {
        let mut text: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "…");
        }
        text.chars().take(200).collect()
    }

    pub(super) fn retry(&self, deadline: Option<Instant>) -> Retry<'_> {
        Retry { rpc: self, deadline, failures: 0 }
    }

    /// Until the node may be asked again.
    pub(super) async fn wait(&self) {
        loop {
            let closed_until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
            match closed_until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }

    fn close_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed_until = Some(closed_until.map_or(until, |earlier| earlier.max(until)));
    }

    pub(super) fn error(&self, failure: Failure) -> SourceError {
        failure.of(&self.host)
    }
}

impl Failure {
    /// As what `host` is to blame for.
    pub(super) fn of(self, host: &str) -> SourceError {
        let host = host.to_owned();
        match self {
            Self::Throttled { retry_after } => SourceError::Throttled { host, retry_after },
            Self::Transient { source } | Self::TimedOut { source } => SourceError::Unavailable { host, source },
            Self::Denied { message } => SourceError::Misconfigured { host, reason: message },
            Self::Unsupported { reason } => SourceError::Unsupported { reason },
            Self::Refused { message: reason }
            | Self::TooManyResults { message: reason, .. }
            | Self::TooWide { message: reason, .. } => SourceError::Refused { host, reason },
        }
    }
}

/// The patience left for one piece of work.
pub(super) struct Retry<'a> {
    rpc: &'a Rpc,
    deadline: Option<Instant>,
    failures: u32,
}

impl Retry<'_> {
    /// Waits until the next try makes sense, or gives up: when the failure is final, has come too often, or the wait
    /// would pass the deadline.
    pub(super) async fn pause(&mut self, failure: Failure) -> Result<(), SourceError> {
        self.failures += 1;
        let options = &self.rpc.options;
        let asked = match &failure {
            Failure::Throttled { retry_after } => *retry_after,
            Failure::Transient { .. } | Failure::TimedOut { .. } => None,
            _ => return Err(self.rpc.error(failure)),
        };
        let doubled = options.backoff.saturating_mul(1 << (self.failures - 1).min(16));
        // Half to whole, so that many waiting clients do not come back together.
        let backoff = doubled.min(options.longest_wait).mul_f64(0.5 + 0.5 * jitter());
        let wait = asked.map_or(backoff, |asked| asked.max(backoff.min(options.longest_wait / 8)));
        // A wait too long is not added to anything: it may be absurd.
        let late = |deadline: Instant| Instant::now() + wait > deadline;
        if self.failures >= options.attempts || wait > options.longest_wait || self.deadline.is_some_and(late) {
            return Err(self.rpc.error(failure));
        }
        tracing::debug!(
            host = self.rpc.host,
            failures = self.failures,
            wait_ms = wait.as_secs_f64() * 1e3,
            ?failure,
            "rpc failed"
        );
        if matches!(failure, Failure::Throttled { .. }) {
            self.rpc.close_for(wait);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Uniform in 0..1. Spreads load, nothing more: no result depends on it.
fn jitter() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

fn request(id: u64, call: &Call) -> Value {
    serde_json::json!({"jsonrpc": "2.0", "id": id, "method": call.method, "params": call.params})
}

fn transient(source: impl Error + Send + Sync + 'static) -> Failure {
    Failure::Transient { source: Box::new(source) }
}

pub(super) fn nonsense(error: impl fmt::Display) -> Failure {
    transient(Nonsense(error.to_string()))
}

fn broken(error: reqwest::Error) -> Failure {
    // The URL in reqwest's text is the whole one.
    let error = error.without_url();
    if error.is_timeout() { Failure::TimedOut { source: Box::new(error) } } else { transient(error) }
}
