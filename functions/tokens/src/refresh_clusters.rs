//! Worker: reads what is new of a token's transfers, keeps it, and makes the cluster report. Killed anywhere it is taken
//! up where it was; delivered twice it publishes once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use access::messages::RefreshClusters;
use access::{JobError, Kind};
use app::App;
use chains::{Budget, SourceError, TransferSource, segment};
use clusters::{Labels, Ledger, Parameters, Subject, analyse};
use serde_json::value::RawValue;
use worker::{Outcome, Run, RunError, Worker};

use crate::ClusterReport;
use crate::history::History;
use crate::report::{key, reports};
use crate::source_failure::explain;
use crate::token::Token;

pub fn worker() -> Worker<App> {
    Worker::job("tokens-refresh-clusters", refresh)
}

/// One piece of reading; kept as one object.
const CHUNK: Budget = Budget { max_transfers: 250_000, time: Duration::from_secs(10) };
/// What the analysis of the largest tokens and publishing it may take; reading stops before it.
const RESERVE: Duration = Duration::from_secs(25);
/// Of the progress shown, how much is reading.
const READING: f64 = 0.8;

async fn refresh(app: App, message: RefreshClusters, run: Run<App>) -> Result<Outcome, RunError> {
    let token = token_of(&message)?;
    let chain = app.chains.get(&token.chain).ok_or_else(|| {
        let detail = format!("There is no chain {} any more.", token.chain);
        RunError::Discard(JobError::new(Kind::NotFound, "unknown_chain", detail))
    })?;
    let source = Arc::clone(&chain.source);
    let fault = |error: SourceError| source_fault(&error, &token);

    let known = source.metadata(token.address).await.map_err(fault)?;
    let history = History::of(&app, &token);
    if !read_new(&run, &*source, &history, &token).await? {
        return Ok(Outcome::Continue);
    }

    run.progress("adding up", READING).await?;
    let started = app.clock.monotonic();
    let (ledger, bad_rows) = add_up(&run, &history).await?;
    let parameters = Parameters { top: message.top, hub_degree: message.hub_degree, ..Parameters::default() };
    let contracts = source.contracts(&ledger.top_holders(message.top as usize)).await.map_err(fault)?;

    run.progress("finding clusters", 0.95).await?;
    let subject = Subject {
        chain: token.chain.clone(),
        address: token.address,
        name: known.name,
        symbol: known.symbol,
        decimals: known.decimals,
        total_supply: known.total_supply,
        kind: match known.kind {
            chains::TokenKind::Erc20 => clusters::TokenKind::Erc20,
            chains::TokenKind::Unknown => clusters::TokenKind::Unknown,
        },
        contracts: BTreeSet::from_iter(contracts),
        bad_rows,
        fundings: BTreeMap::new(),
        duplicate_rows: 0,
    };
    let labels = Labels::builtin(&token.chain);
    let mut report = blocking(move || analyse(&ledger, &subject, &labels, &parameters)).await?;
    report.computed_at = Some(app.clock.now().millis());
    report.duration_ms = u64::try_from(app.clock.monotonic().saturating_sub(started).as_millis()).ok();

    let json = serde_json::value::to_raw_value(&report).map_err(|error| broken(&error))?;
    let published =
        reports(&app).publish(run.claim(), &key(&message), ClusterReport(Arc::<RawValue>::from(json))).await?;
    if published.is_some() { Ok(Outcome::Done) } else { Err(RunError::Lost) }
}

fn token_of(message: &RefreshClusters) -> Result<Token, RunError> {
    let address = message.address.parse().map_err(|error: clusters::ParseError| {
        RunError::Discard(JobError::new(Kind::Invalid, "bad_address", format!("address: {error}")))
    })?;
    Ok(Token { chain: message.chain.clone(), address })
}

/// Reads and keeps everything up to the chain's last safe block. `false`: this invocation's time is up before.
async fn read_new(
    run: &Run<App>,
    source: &dyn TransferSource,
    history: &History,
    token: &Token,
) -> Result<bool, RunError> {
    let fault = |error: SourceError| source_fault(&error, token);
    let first = source.first_block(token.address);
    let (mut next, first) = match history.next_block().await? {
        Some(next) => (next, 0),
        None => {
            let first = first.await.map_err(fault)?;
            (first, first)
        }
    };
    loop {
        let left = run.remaining().saturating_sub(RESERVE);
        if left.is_zero() {
            return Ok(false);
        }
        let budget = Budget { time: CHUNK.time.min(left), ..CHUNK };
        let chunk = source.chunk(token.address, next, budget).await.map_err(fault)?;
        let head = chunk.head.number;
        if chunk.through < next {
            // Nothing is safe beyond what is kept.
            return Ok(true);
        }
        next = history.append(next, &chunk).await?;
        run.progress("reading transfers", READING * share(next - first, head + 1 - first.min(head))).await?;
        if next > head {
            return Ok(true);
        }
    }
}

/// All kept transfers as balances and links, and how many rows of the source could not be read.
async fn add_up(run: &Run<App>, history: &History) -> Result<(Ledger, u64), RunError> {
    let segments = history.segments().await?;
    let bad_rows = segments.iter().map(crate::history::SegmentRow::bad_rows).sum();
    let mut ledger = Ledger::new();
    let count = segments.len() as u64;
    for (at, row) in segments.iter().enumerate() {
        let Some(packed) = history.packed(row).await? else { continue };
        ledger = blocking(move || {
            let segment = segment::decode(&packed)?;
            ledger.extend_from_slice(&segment.transfers);
            Ok::<_, segment::SegmentError>(ledger)
        })
        .await?
        .map_err(|error| broken(&error))?;
        if at % 16 == 15 {
            run.progress("adding up", READING + 0.15 * share(at as u64, count)).await?;
        }
    }
    Ok((ledger, bad_rows))
}

#[expect(clippy::cast_precision_loss, reason = "for a progress bar")]
fn share(done: u64, all: u64) -> f64 {
    (done as f64 / all.max(1) as f64).min(1.0)
}

fn source_fault(error: &SourceError, token: &Token) -> RunError {
    let explained = explain(error, token);
    if error.is_retryable() { RunError::Retry(explained) } else { RunError::Discard(explained) }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> RunError {
    tracing::error!(error, "a report could not be made of what is stored");
    RunError::Retry(JobError::new(Kind::Internal, "internal", "The report could not be made; it is tried again."))
}

/// Work for the processor, off the threads that answer.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RunError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))
}
