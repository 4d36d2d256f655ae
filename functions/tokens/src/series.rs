//! How concentrated a token was at each of several blocks: transfers are added once, in the order of blocks, and looked
//! at on the way.

use std::collections::HashSet;
use std::sync::Arc;

use access::Computed;
use access::messages::RefreshHistory;
use access::tables::{REPORTS, Table};
use app::App;
use clusters::{Address, AsOf, Concentration, Metrics, Parameters, Report, Units};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use worker::{Outcome, Run, RunError};

use crate::kept::{Kept, SegmentRow};
use crate::refresh_clusters::{ADDING, Progress, READING, Work, bad_rows, blocking, broken, is_over, share};
use crate::report::{chosen, freshness};
use crate::tally::{Tallies, Tally};

/// A history as JSON, kept as the bytes that are sent. Beside the reports, as `history/<token>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricHistory(pub Arc<RawValue>);

impl Computed for MetricHistory {
    const TABLE: &'static Table = &REPORTS;
    const VERSION: u32 = 1;
}

/// Under which the history of this message stands.
pub(crate) fn key(message: &RefreshHistory) -> String {
    let RefreshHistory { chain, address, points, from, to, choices } = message;
    let bound = |name: &str, block: &Option<u64>| block.map_or(String::new(), |block| format!("/{name}={block}"));
    let (from, to) = (bound("from", from), bound("to", to));
    format!("history/{chain}/{address}/points={points}{from}{to}{}", chosen(choices))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Series<'a> {
    token: &'a clusters::Token,
    parameters: Parameters,
    points: &'a [Box<RawValue>],
    computed_at: u64,
}

/// What a report says, short. Amounts and shares as there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    block: u64,
    /// Of the last transfer up to the block, in seconds since 1970, where it is known.
    timestamp: Option<u64>,
    /// Everybody with a positive balance, not only the largest.
    holders: u64,
    clusters: usize,
    /// What all holders have together, in base units.
    supply: Units,
    by_holder: Concentration,
    by_entity: Concentration,
    by_entity_adjusted: Concentration,
    score: Option<f64>,
}

/// Where the job is: what is to be looked at, and what was seen. Points are kept as they were written.
#[derive(Serialize, Deserialize)]
struct Plan {
    blocks: Vec<u64>,
    points: Vec<Box<RawValue>>,
}

pub(crate) async fn refresh(app: App, message: RefreshHistory, run: Run<App>) -> Result<Outcome, RunError> {
    let work = Work::begin(&app, &message.chain, &message.address, run).await?;
    let mut progress = Progress::of(&work.run);
    let Some(segments) = work.read(message.to, &mut progress).await? else { return Ok(Outcome::Continue) };

    let tallies = Tallies::of(&app, &work.token);
    let (mut tally, mut plan) = match tallies.resume::<Plan>(&work.run).await? {
        Some(left) => left,
        None => begin(&message, &work.kept, &segments, &tallies).await?,
    };
    let mut contracts = Contracts::default();
    let last = plan.blocks.len().saturating_sub(1);
    while let Some(&block) = plan.blocks.get(plan.points.len()) {
        let at = READING + (ADDING - READING) * share(plan.points.len(), plan.blocks.len());
        let shown = ("looking back", at, at);
        let is_there = tally.advance(&work.kept, &segments, block, &mut progress, shown).await?;
        if is_there {
            let (point, report) = contracts.look(&work, &mut tally, block, &segments, &message).await?;
            plan.points.push(serde_json::value::to_raw_value(&point).map_err(|error| broken(&error))?);
            if plan.points.len() > last {
                return publish(&work, &message, &report, &plan, &tallies).await;
            }
        }
        if !is_there || is_over(&work.run) {
            tallies.pause(&work.run, &mut tally, &plan).await?;
            return Ok(Outcome::Continue);
        }
    }
    Err(broken(&std::io::Error::other("a plan without blocks")))
}

async fn begin(
    message: &RefreshHistory,
    kept: &Kept,
    segments: &[SegmentRow],
    tallies: &Tallies,
) -> Result<(Tally, Plan), RunError> {
    let to = message.to.unwrap_or_else(|| segments.last().map_or(0, |row| row.through_block));
    let from = match message.from {
        Some(from) => from,
        None => first_transfer(kept, segments).await?.unwrap_or(to),
    };
    let blocks = evenly(from.min(to), to, message.points);
    let first = blocks.first().copied().unwrap_or(to);
    Ok((tallies.begin(first).await?, Plan { blocks, points: Vec::new() }))
}

async fn first_transfer(kept: &Kept, segments: &[SegmentRow]) -> Result<Option<u64>, RunError> {
    let Some(row) = segments.iter().find(|row| row.rows > 0) else { return Ok(None) };
    let segment = kept.transfers(row).await?;
    Ok(segment.and_then(|segment| segment.transfers.first().map(|first| first.block)))
}

/// So many blocks from `from` to `to`, each once, with both ends.
fn evenly(from: u64, to: u64, points: u32) -> Vec<u64> {
    let (span, steps) = (u128::from(to.saturating_sub(from)), u128::from(points.max(2) - 1));
    let at = |step: u128| u64::try_from(u128::from(from) + span * step / steps).unwrap_or(to);
    let mut blocks: Vec<u64> = (0..=steps).map(at).collect();
    blocks.dedup();
    blocks
}

/// Which addresses were asked about already.
#[derive(Default)]
struct Contracts {
    asked: HashSet<Address>,
    found: Vec<Address>,
}

impl Contracts {
    async fn look(
        &mut self,
        work: &Work,
        tally: &mut Tally,
        block: u64,
        segments: &[SegmentRow],
        message: &RefreshHistory,
    ) -> Result<(Point, Report), RunError> {
        let mut top = tally.ledger.top_holders(message.choices.top as usize);
        top.retain(|address| self.asked.insert(*address));
        if !top.is_empty() {
            self.found.extend(work.contracts(&top).await?);
        }
        let subject = work.subject(self.found.iter().copied(), bad_rows(segments, block));
        let ledger = std::mem::take(&mut tally.ledger);
        let (ledger, report) = work.analyse(ledger, subject, &message.choices).await?;
        let (ledger, holders) = blocking(move || {
            let holders = ledger.holders();
            (ledger, holders)
        })
        .await?;
        tally.ledger = ledger;
        let AsOf { timestamp, .. } = report.as_of;
        let Metrics { by_holder, by_entity, by_entity_adjusted, score } = report.metrics;
        let (clusters, supply) = (report.clusters.len(), report.supply.positive);
        let point =
            Point { block, timestamp, holders, clusters, supply, by_holder, by_entity, by_entity_adjusted, score };
        Ok((point, report))
    }
}

async fn publish(
    work: &Work,
    message: &RefreshHistory,
    report: &Report,
    plan: &Plan,
    tallies: &Tallies,
) -> Result<Outcome, RunError> {
    let series = Series {
        token: &report.token,
        parameters: report.parameters,
        points: &plan.points,
        computed_at: work.app.clock.now().millis(),
    };
    let json = serde_json::value::to_raw_value(&series).map_err(|error| broken(&error))?;
    let histories = work.app.dqo(freshness(&work.app, message.to.is_some()));
    let published =
        histories.publish(work.run.claim(), &key(message), MetricHistory(Arc::<RawValue>::from(json))).await?;
    if published.is_none() {
        return Err(RunError::Lost);
    }
    tallies.finish(&work.run).await;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_spread_evenly_with_both_ends(from in 0..1_u64 << 53, span in 0..1_u64 << 53, points in 2..=200_u32) {
            let blocks = evenly(from, from + span, points);
            prop_assert_eq!((blocks[0], blocks[blocks.len() - 1]), (from, from + span));
            prop_assert!(blocks.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(blocks.len() as u64, u64::from(points).min(span + 1));
            let steps: Vec<u64> = blocks.windows(2).map(|pair| pair[1] - pair[0]).collect();
            if let (Some(least), Some(most)) = (steps.iter().min(), steps.iter().max()) {
                prop_assert!(most - least <= 1);
            }
        }
    }
}
