//! Worker: reads what is new of a token's transfers, keeps it, and makes a cluster report, or the history of what
//! reports say. Killed anywhere it is taken up where it was; delivered twice it publishes once; out of time it goes on
//! in another invocation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use access::messages::{AnalyseToken, Choices, RefreshClusters};
use access::{JobError, Kind};
use app::App;
use chains::{Budget, SourceError, TokenMetadata, TransferSource};
use clusters::{Funded, Ledger, Report, Subject, analyse};
use serde_json::value::RawValue;
use worker::{Outcome, Run, RunError, Worker};

use crate::ClusterReport;
use crate::kept::{Kept, SegmentRow};
use crate::label_file::labels_for;
use crate::report::{engine, freshness, key};
use crate::source_failure::explain;
use crate::tally::Tallies;
use crate::token::Token;

pub fn worker() -> Worker<App> {
    Worker::job("tokens-refresh-clusters", analyse_token)
}

/// One piece of reading; kept as one object.
const CHUNK: Budget = Budget { max_transfers: 250_000, time: Duration::from_secs(10) };
/// What the analysis of the largest tokens and publishing it, or leaving what was added up to the next invocation, may
/// take; reading and adding up stop before it.
const RESERVE: Duration = Duration::from_secs(25);
/// The least time a piece of reading gets.
const LEAST: Duration = Duration::from_secs(1);
/// Of the progress shown, how much is reading.
pub(crate) const READING: f64 = 0.6;
/// And where adding up ends.
pub(crate) const ADDING: f64 = 0.95;

async fn analyse_token(app: App, message: AnalyseToken, run: Run<App>) -> Result<Outcome, RunError> {
    match message {
        AnalyseToken::Clusters(message) => refresh(app, message, run).await,
        AnalyseToken::History(message) => crate::series::refresh(app, message, run).await,
    }
}

async fn refresh(app: App, message: RefreshClusters, run: Run<App>) -> Result<Outcome, RunError> {
    let work = Work::begin(&app, &message.chain, &message.address, run).await?;
    let choices = &message.choices;
    let mut progress = Progress::of(&work.run);
    let Some(segments) = work.read(choices.block, &mut progress).await? else { return Ok(Outcome::Continue) };

    progress.tell("adding up", READING).await?;
    let started = app.clock.monotonic();
    let tallies = Tallies::of(&app, &work.token);
    let newest = segments.last().map_or(0, |row| row.through_block);
    let until = choices.block.unwrap_or(newest);
    let mut tally = match tallies.resume::<()>(&work.run).await? {
        Some((tally, ())) => tally,
        None => tallies.begin(until).await?,
    };
    let shown = ("adding up", READING, ADDING);
    if !tally.advance(&work.kept, &segments, until, &mut progress, shown).await? {
        tallies.pause(&work.run, &mut tally, ()).await?;
        return Ok(Outcome::Continue);
    }
    if choices.block.is_none() {
        tallies.keep(&mut tally).await?;
    }

    let top = tally.ledger.top_holders(choices.top as usize);
    let contracts = work.contracts(&top).await?;
    let fundings = work.fundings(&tally.ledger, &top, choices).await?;
    progress.tell("finding clusters", ADDING).await?;
    let subject = Subject { fundings, ..work.subject(contracts, bad_rows(&segments, until)) };
    let (_, mut report) = work.analyse(tally.ledger, subject, choices).await?;
    report.computed_at = Some(app.clock.now().millis());
    report.duration_ms = u64::try_from(app.clock.monotonic().saturating_sub(started).as_millis()).ok();

    let json = serde_json::value::to_raw_value(&report).map_err(|error| broken(&error))?;
    let reports = app.dqo(freshness(&app, choices.block.is_some()));
    let published =
        reports.publish(work.run.claim(), &key(&message), ClusterReport(Arc::<RawValue>::from(json))).await?;
    if published.is_none() {
        return Err(RunError::Lost);
    }
    tallies.finish(&work.run).await;
    Ok(Outcome::Done)
}

/// What every analysis of a token stands on.
pub(crate) struct Work {
    pub(crate) app: App,
    pub(crate) run: Run<App>,
    pub(crate) token: Token,
    pub(crate) kept: Kept,
    pub(crate) known: TokenMetadata,
    source: Arc<dyn TransferSource>,
}

impl Work {
    pub(crate) async fn begin(app: &App, chain: &str, address: &str, run: Run<App>) -> Result<Self, RunError> {
        let token = token_of(chain, address)?;
        let chain = app.chains.get(&token.chain).ok_or_else(|| {
            let detail = format!("There is no chain {} any more.", token.chain);
            RunError::Discard(JobError::new(Kind::NotFound, "unknown_chain", detail))
        })?;
        let source = Arc::clone(&chain.source);
        let known = source.metadata(token.address).await.map_err(|error| source_fault(&error, &token))?;
        Ok(Self { app: app.clone(), run, kept: Kept::of(app, &token), token, known, source })
    }

    /// Reads and keeps everything up to the chain's last safe block, or at least up to `until`, and lists what is kept.
    /// `None`: this invocation's time is up before.
    pub(crate) async fn read(
        &self,
        until: Option<u64>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Vec<SegmentRow>>, RunError> {
        let fault = |error: SourceError| source_fault(&error, &self.token);
        let mut next = match self.kept.next_block().await? {
            Some(next) => next,
            None => self.source.first_block(self.token.address).await.map_err(fault)?,
        };
        if self.run.claim().row.part == 0 {
            self.kept.remove_strays(next).await?;
        }
        let first = next;
        while until.is_none_or(|until| next <= until) {
            let left = self.run.remaining().saturating_sub(RESERVE);
            let budget = Budget { time: CHUNK.time.min(left).max(LEAST), ..CHUNK };
            let chunk = self.source.chunk(self.token.address, next, budget).await.map_err(fault)?;
            let head = chunk.head.number;
            if chunk.through < next {
                // Nothing is safe beyond what is kept.
                break;
            }
            next = self.kept.append(next, &chunk).await?;
            let all = until.unwrap_or(head).min(head).saturating_add(1).saturating_sub(first);
            progress.tell("reading transfers", READING * ratio(next.saturating_sub(first), all)).await?;
            if next > head {
                break;
            }
            if is_over(&self.run) {
                return Ok(None);
            }
        }
        match until {
            // Whoever asked was told of a block that another node knew.
            Some(until) if next <= until => Err(self.behind(until)),
            _ => Ok(Some(self.kept.segments().await?)),
        }
    }

    fn behind(&self, block: u64) -> RunError {
        let detail = format!("The source of chain {} has not reached block {block} yet.", self.token.chain);
        RunError::Retry(JobError::new(Kind::Unavailable, "source_unavailable", detail))
    }

    /// Those that are contracts.
    pub(crate) async fn contracts(&self, addresses: &[clusters::Address]) -> Result<Vec<clusters::Address>, RunError> {
        self.source.contracts(addresses).await.map_err(|error| source_fault(&error, &self.token))
    }

    /// Who paid for the first steps of these holders, where that is asked for and the source can tell.
    async fn fundings(
        &self,
        ledger: &Ledger,
        holders: &[clusters::Address],
        choices: &Choices,
    ) -> Result<BTreeMap<clusters::Address, Funded>, RunError> {
        if !choices.common_funder {
            return Ok(BTreeMap::new());
        }
        let asked = ledger.first_blocks(holders);
        let found = self.source.fundings(&asked, choices.funding_window).await;
        let found = found.map_err(|error| source_fault(&error, &self.token))?;
        Ok(asked.iter().zip(found).filter_map(|(&(holder, _), funded)| Some((holder, funded?))).collect())
    }

    pub(crate) fn subject(&self, contracts: impl IntoIterator<Item = clusters::Address>, bad_rows: u64) -> Subject {
        Subject {
            chain: self.token.chain.clone(),
            address: self.token.address,
            name: self.known.name.clone(),
            symbol: self.known.symbol.clone(),
            decimals: self.known.decimals,
            total_supply: self.known.total_supply,
            kind: match self.known.kind {
                chains::TokenKind::Erc20 => clusters::TokenKind::Erc20,
                chains::TokenKind::Unknown => clusters::TokenKind::Unknown,
            },
            contracts: BTreeSet::from_iter(contracts),
            bad_rows,
            duplicate_rows: 0,
            fundings: BTreeMap::new(),
        }
    }

    /// The ledger comes back, to be added to.
    pub(crate) async fn analyse(
        &self,
        mut ledger: Ledger,
        subject: Subject,
        choices: &Choices,
    ) -> Result<(Ledger, Report), RunError> {
        let labels = labels_for(&self.app, &self.token.chain, choices).await?;
        let parameters = engine(choices);
        blocking(move || {
            let report = analyse(&mut ledger, &subject, &labels, &parameters);
            (ledger, report)
        })
        .await
    }
}

fn token_of(chain: &str, address: &str) -> Result<Token, RunError> {
    let address = address.parse().map_err(|error: clusters::ParseError| {
        RunError::Discard(JobError::new(Kind::Invalid, "bad_address", format!("address: {error}")))
    })?;
    Ok(Token { chain: chain.to_owned(), address })
}

/// Rows without a place in the chain: those of the runs that begin by this block.
pub(crate) fn bad_rows(segments: &[SegmentRow], until: u64) -> u64 {
    segments.iter().filter(|row| row.from_block <= until).map(|row| row.bad_rows).sum()
}

/// Whether this invocation must come to an end.
pub(crate) fn is_over(run: &Run<App>) -> bool {
    run.remaining() <= RESERVE
}

/// What is told of a job: never less than before, over all its invocations.
pub(crate) struct Progress<'a> {
    pub(crate) run: &'a Run<App>,
    highest: f64,
}

impl<'a> Progress<'a> {
    pub(crate) fn of(run: &'a Run<App>) -> Self {
        Self { run, highest: run.claim().row.view.progress }
    }

    pub(crate) async fn tell(&mut self, stage: &str, fraction: f64) -> Result<(), RunError> {
        self.highest = self.highest.max(fraction);
        self.run.progress(stage, self.highest).await
    }
}

pub(crate) fn share(done: usize, all: usize) -> f64 {
    ratio(done as u64, all as u64)
}

#[expect(clippy::cast_precision_loss, reason = "for a progress bar")]
fn ratio(done: u64, all: u64) -> f64 {
    (done as f64 / all.max(1) as f64).min(1.0)
}

fn source_fault(error: &SourceError, token: &Token) -> RunError {
    let explained = explain(error, token);
    if error.is_retryable() { RunError::Retry(explained) } else { RunError::Discard(explained) }
}

pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> RunError {
    tracing::error!(error, "a report could not be made of what is stored");
    RunError::Retry(JobError::new(Kind::Internal, "internal", "The report could not be made; it is tried again."))
}

/// Work for the processor, off the threads that answer.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RunError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))
}
