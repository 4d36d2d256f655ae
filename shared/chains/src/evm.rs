mod contract;
mod funding;
mod log;
mod refusal;
mod rpc;

use std::collections::BTreeMap;
use std::future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use clusters::{Address, Amount, Funded, Transfer};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use crate::source::whole_blocks;
use crate::{Block, Budget, Chunk, SourceError, TokenKind, TokenMetadata, TransferSource, hex};
use log::Logs;
use rpc::{Call, Failure, Rpc, nonsense};

/// How a node is used. The defaults suit public nodes and the large providers.
#[derive(Clone, Debug)]
pub struct EvmOptions {
    /// Asked of the node before anything else, where given.
    pub chain_id: Option<u64>,
    /// Blocks behind the head that are left alone, because they may still be replaced.
    pub confirmations: u64,
    /// Requests under way at once.
    pub ranges_in_flight: usize,
    /// Blocks of the first range asked for; later ones follow what the node gives.
    pub first_range: u64,
    /// Blocks of the widest range asked for.
    pub widest_range: u64,
    /// For one request, from sending to the last byte of the answer.
    pub request_time: Duration,
    /// Tries for one request, the first included.
    pub attempts: u32,
    /// Before the second try, doubled for each further one, and less a random part of up to a half.
    pub backoff: Duration,
    /// Longer than this nobody waits: the caller is told instead.
    pub longest_wait: Duration,
    /// Of one answer, unpacked.
    pub max_response_bytes: usize,
}

impl Default for EvmOptions {
    fn default() -> Self {
        Self {
            chain_id: None,
            confirmations: 12,
            ranges_in_flight: 4,
            first_range: 2_000,
            widest_range: 1_000_000,
            request_time: Duration::from_secs(30),
            attempts: 6,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            max_response_bytes: 64 << 20,
        }
    }
}

/// A chain read from a node over JSON-RPC. Creating it costs nothing; the first request opens the connection.
#[derive(Debug)]
pub struct EvmSource {
    rpc: Rpc,
    right_chain: OnceCell<()>,
    pace: Mutex<Pace>,
}

/// How wide ranges are and how many are under way. It outlives a call, so that the next one starts with what was learned.
#[derive(Debug)]
struct Pace {
    width: u64,
    /// The widest the node takes, as far as it said so.
    cap: u64,
    /// Answers at the cap since it was last tried to go beyond: a limit may have been misread.
    at_cap: u32,
    in_flight: usize,
    /// Answers since the node last asked us to slow down.
    unhindered: u32,
    /// Answers to wait for before ranges are widened again: the last time was too much.
    hold: u32,
}

/// Few enough that a range of twice the width stays below the usual limit of 10,000.
const FEW_LOGS: usize = 2_500;
const MANY_LOGS: usize = 7_500;
/// Some nodes give no more than a round number of logs and do not say that there are others.
const SUSPICIOUS: [usize; 7] = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];
/// Answers at the cap before it is doubled, and answers before another range is added.
const STREAK: u32 = 64;
/// Answers between a refusal and the next attempt at wider ranges.
const HOLD: u32 = 8;
/// Beyond any chain; low enough to count on from.
const HIGHEST_BLOCK: u64 = 1 << 60;
/// As good as no deadline.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How often a range that took too long is quartered. Six times make one block of 4,096.
const MOST_TIMEOUTS: u32 = 6;

impl Pace {
    fn answered(&mut self, width: u64, received: usize, options: &EvmOptions) {
        self.unhindered += 1;
        if self.unhindered >= STREAK && self.in_flight < options.ranges_in_flight {
            self.in_flight += 1;
            self.unhindered = 0;
        }
        let held = self.hold > 0;
        self.hold = self.hold.saturating_sub(1);
        if received > MANY_LOGS {
            self.width = self.width.min((width / 2).max(1));
        } else if !held && received < FEW_LOGS && width >= self.width {
            if self.width >= self.cap && self.cap < options.widest_range {
                self.at_cap += 1;
                if self.at_cap >= STREAK {
                    self.at_cap = 0;
                    self.cap = self.cap.saturating_mul(2).min(options.widest_range);
                }
            }
            self.width = self.width.saturating_mul(2).min(self.cap);
        }
    }

    fn slower(&mut self) {
        self.in_flight = (self.in_flight / 2).max(1);
        self.unhindered = 0;
    }
}

/// A part of the blocks on its way.
struct Slot {
    to: u64,
    state: State,
}

enum State {
    /// To be asked for, in ranges of at most `limit` blocks.
    Waiting {
        limit: u64,
        timeouts: u32,
    },
    Asked,
    Answered(Logs),
    Failed(SourceError),
}

enum Fetched {
    Logs(Logs),
    /// The same blocks again, in ranges of at most so many.
    Narrower {
        limit: u64,
        timeouts: u32,
    },
}

#[derive(Deserialize)]
struct Header<'a> {
    timestamp: &'a str,
}

impl EvmSource {
    /// `url` may hold a secret: of it, only the host is ever shown.
    pub fn new(url: Url, options: EvmOptions) -> Self {
        let pace = Pace {
            width: options.first_range.clamp(1, options.widest_range.max(1)),
            cap: options.widest_range.max(1),
            at_cap: 0,
            in_flight: options.ranges_in_flight.max(1),
            unhindered: 0,
            hold: 0,
        };
        Self { rpc: Rpc::new(url, options), right_chain: OnceCell::new(), pace: Mutex::new(pace) }
    }

    /// Makes sure, once, that the node serves the chain it is said to serve.
    async fn check_chain(&self, deadline: Option<Instant>) -> Result<(), SourceError> {
        let Some(expected) = self.rpc.options.chain_id else { return Ok(()) };
        let check = || async {
            let found = self.quantity("eth_chainId", deadline).await?;
            if found == expected {
                return Ok(());
            }
            let reason = format!("expected a node of chain {expected}, this is one of chain {found}");
            Err(SourceError::Misconfigured { host: self.rpc.host.clone(), reason })
        };
        self.right_chain.get_or_try_init(check).await.copied()
    }

    async fn quantity(&self, method: &'static str, deadline: Option<Instant>) -> Result<u64, SourceError> {
        let result = self.rpc.call(&Call { method, params: json!([]) }, deadline).await?;
        let number = serde_json::from_str::<&str>(result.get()).ok().and_then(hex::quantity);
        number.ok_or_else(|| self.rpc.error(nonsense(format!("{method} is no number"))))
    }

    async fn safe_head(&self, deadline: Option<Instant>) -> Result<Block, SourceError> {
        self.check_chain(deadline).await?;
        let newest = self.quantity("eth_blockNumber", deadline).await?;
        if newest > HIGHEST_BLOCK {
            return Err(self.rpc.error(nonsense(format!("block {newest} cannot have been reached"))));
        }
        let number = newest.saturating_sub(self.rpc.options.confirmations);
        Ok(Block { number, timestamp: self.time_of(number, deadline).await? })
    }

    /// When a block was made. A time is welcome, but no reason to fail: nodes differ in the blocks they keep.
    async fn time_of(&self, number: u64, deadline: Option<Instant>) -> Result<Option<u64>, SourceError> {
        let params = json!([format!("{number:#x}"), false]);
        match self.rpc.call(&Call { method: "eth_getBlockByNumber", params }, deadline).await {
            Ok(header) => Ok(serde_json::from_str::<Option<Header<'_>>>(header.get())
                .ok()
                .flatten()
                .and_then(|header| hex::quantity(header.timestamp))),
            Err(SourceError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `None` where the node will not tell, as nodes without old state.
    async fn has_code(&self, address: Address, block: u64) -> Result<Option<bool>, SourceError> {
        match self.rpc.call(&code_call(address, &format!("{block:#x}")), None).await {
            Ok(code) => Ok(bytes(&code).map(|code| is_contract(&code))),
            Err(SourceError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The logs of some blocks, or how to ask for them instead. Repeats what may pass.
    async fn fetch(
        &self,
        token: Address,
        (from, to): (u64, u64),
        timeouts: u32,
        deadline: Instant,
    ) -> Result<Fetched, SourceError> {
        let width = to - from + 1;
        let filter = json!([{
            "address": token, "topics": [log::TRANSFER],
            "fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}"),
        }]);
        let call = Call { method: "eth_getLogs", params: filter };
        let mut retry = self.rpc.retry(Some(deadline));
        loop {
            let answer = self.rpc.once(&call).await;
            let logs = match answer {
                Ok(result) => log::decode(&result, token, from, to),
                Err(failure) => Err(failure),
            };
            let failure = match logs {
                Ok(logs) => {
                    if width > 1 && SUSPICIOUS.contains(&logs.received) {
                        return Ok(Fetched::Narrower { limit: width.div_ceil(2), timeouts });
                    }
                    self.pace().answered(width, logs.received, &self.rpc.options);
                    return Ok(Fetched::Logs(logs));
                }
                Err(failure) => failure,
            };
            if width > 1
                && let Some(narrower) = self.narrower(&failure, (from, to), timeouts)
            {
                tracing::debug!(host = self.rpc.host, range.from = from, range.to = to, ?failure, "range narrowed");
                return Ok(narrower);
            }
            if matches!(failure, Failure::Throttled { .. }) {
                self.pace().slower();
            }
            retry.pause(failure).await?;
        }
    }

    /// What a failure says about ranges; notes it for those to come.
    fn narrower(&self, failure: &Failure, (from, to): (u64, u64), timeouts: u32) -> Option<Fetched> {
        let width = to - from + 1;
        // A range the node says it would answer is of use when it begins where ours does.
        let useful = |suggested: Option<(u64, u64)>| {
            let (first, last) = suggested?;
            (first == from && (from..to).contains(&last)).then(|| last - first + 1)
        };
        let half = width.div_ceil(2);
        let mut pace = self.pace();
        let (limit, timeouts) = match failure {
            Failure::TooManyResults { suggested, .. } => (useful(*suggested).unwrap_or(half), timeouts),
            Failure::TooWide { numbers, suggested, .. } => {
                // The text holds the limit, perhaps among other numbers; the smallest is safe, below ten is no limit.
                let named = numbers.iter().copied().filter(|number| (10..width).contains(number)).min();
                let limit = useful(*suggested).or(named).unwrap_or(half);
                pace.cap = pace.cap.min(limit);
                pace.at_cap = 0;
                (limit, timeouts)
            }
            Failure::TimedOut { .. } if timeouts < MOST_TIMEOUTS => (width.div_ceil(4), timeouts + 1),
            _ => return None,
        };
        pace.width = pace.width.min(limit);
        pace.hold = HOLD;
        Some(Fetched::Narrower { limit, timeouts })
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `from..=head` in order, until the end or the budget's. Errors only when nothing was read.
    async fn read(
        &self,
        token: Address,
        from: u64,
        head: Block,
        end: Budget,
        deadline: Instant,
    ) -> Result<Chunk, SourceError> {
        let mut chunk = Chunk { transfers: Vec::new(), through: from, head, bad_rows: 0 };
        // The next block to be delivered, and the next not in any slot.
        let (mut due, mut next) = (from, from);
        let mut slots: BTreeMap<u64, Slot> = BTreeMap::new();
        let mut asked = FuturesUnordered::new();
        let mut ended = false;
        // Their blocks: what is cut off is counted by the call that reads it again.
        let mut bad_rows = Vec::new();
        loop {
            while let Some(entry) = slots.first_entry() {
                if matches!(entry.get().state, State::Waiting { .. } | State::Asked) {
                    break;
                }
                let Slot { to, state } = entry.remove();
                match state {
                    State::Answered(mut logs) => {
                        chunk.transfers.append(&mut logs.transfers);
                        bad_rows.append(&mut logs.bad_rows);
                        due = to + 1;
                    }
                    // What was read is good; the next call meets the trouble again, if it is still there.
                    State::Failed(_) if due > from => {
                        ended = true;
                        break;
                    }
                    State::Failed(error) => return Err(error),
                    State::Waiting { .. } | State::Asked => {}
                }
            }
            chunk.through = due.saturating_sub(1);
            chunk.bad_rows = bad_rows.len() as u64;
            let (count, cut) = whole_blocks(&chunk.transfers, end.max_transfers);
            if let Some(cut) = cut {
                chunk.transfers.truncate(count);
                chunk.through = cut;
                bad_rows.retain(|block| *block <= cut);
                chunk.bad_rows = bad_rows.len() as u64;
                return Ok(chunk);
            }
            let progress = due > from;
            let full = progress && chunk.transfers.len() >= end.max_transfers;
            if due > head.number || full || ended || (progress && Instant::now() >= deadline) {
                return Ok(chunk);
            }

            let in_flight = self.pace().in_flight;
            while asked.len() < in_flight {
                let Some((range, timeouts)) = self.launch(&mut slots, &mut next, head.number, in_flight) else { break };
                asked.push(self.fetch(token, range, timeouts, deadline).map(move |fetched| (range.0, fetched)));
            }
            let late = async {
                if progress {
                    tokio::time::sleep_until(deadline).await;
                } else {
                    future::pending::<()>().await;
                }
            };
            let (start, fetched) = tokio::select! {
                Some(done) = asked.next() => done,
                () = late => return Ok(chunk),
            };
            let state = match fetched {
                Ok(Fetched::Logs(logs)) => State::Answered(logs),
                Ok(Fetched::Narrower { limit, timeouts }) => State::Waiting { limit, timeouts },
                Err(error) => State::Failed(error),
            };
            if let Some(slot) = slots.get_mut(&start) {
                slot.state = state;
            }
        }
    }

    /// Picks the range to ask for next and marks it. The first slot always goes on; others only while not too much
    /// waits behind it, and nothing behind a failure.
    fn launch(
        &self,
        slots: &mut BTreeMap<u64, Slot>,
        next: &mut u64,
        head: u64,
        in_flight: usize,
    ) -> Option<((u64, u64), u32)> {
        let width = self.pace().width.max(1);
        let mut useful = slots.iter().enumerate().take_while(|(_, (_, slot))| !matches!(slot.state, State::Failed(_)));
        let waiting = useful.find_map(|(place, (from, slot))| match slot.state {
            State::Waiting { limit, timeouts } => Some((place, *from, slot.to, limit, timeouts)),
            _ => None,
        });
        let failed = slots.values().any(|slot| matches!(slot.state, State::Failed(_)));
        let busy = slots.values().filter(|slot| !matches!(slot.state, State::Waiting { .. })).count();
        let room = busy < 2 * in_flight;
        if let Some((place, from, to, limit, timeouts)) = waiting {
            if place > 0 && !room {
                return None;
            }
            let last = to.min(from.saturating_add(limit.min(width).max(1) - 1));
            slots.insert(from, Slot { to: last, state: State::Asked });
            if last < to {
                // What was too much here need not be so behind it.
                slots.insert(last + 1, Slot { to, state: State::Waiting { limit: u64::MAX, timeouts: 0 } });
            }
            return Some(((from, last), timeouts));
        }
        if *next > head || !room || failed {
            return None;
        }
        let range = (*next, head.min(next.saturating_add(width - 1)));
        slots.insert(range.0, Slot { to: range.1, state: State::Asked });
        *next = range.1.saturating_add(1);
        Some((range, 0))
    }
}

#[async_trait]
impl TransferSource for EvmSource {
    async fn head(&self) -> Result<Block, SourceError> {
        self.safe_head(None).await
    }

    async fn metadata(&self, token: Address) -> Result<TokenMetadata, SourceError> {
        self.check_chain(None).await?;
        let ask = |data| Call { method: "eth_call", params: json!([{"to": token, "data": data}, "latest"]) };
        let calls = [
            code_call(token, "latest"),
            ask(contract::NAME),
            ask(contract::SYMBOL),
            ask(contract::DECIMALS),
            ask(contract::TOTAL_SUPPLY),
            ask(contract::IS_ERC721),
        ];
        let answers = self.rpc.all(&calls, None).await?;
        // A call that fails says that the contract has no such function.
        let mut answers = answers.into_iter().map(|answer| answer.ok().and_then(|answer| bytes(&answer)));
        let mut next = || answers.next().flatten();
        let (code, name, symbol, decimals, supply, erc721) = (next(), next(), next(), next(), next(), next());

        if code.is_some_and(|code| !is_contract(&code)) {
            return Err(SourceError::NotAToken { reason: format!("no contract is at {token}") });
        }
        if erc721.as_deref().and_then(contract::word) == Some(Amount::from(1)) {
            let reason = format!("{token} is an ERC-721 token: its transfers move single items, not amounts");
            return Err(SourceError::Unsupported { reason });
        }
        let total_supply = supply.as_deref().and_then(contract::word);
        if total_supply.is_none() {
            return Err(SourceError::NotAToken { reason: format!("the contract at {token} has no total supply") });
        }
        Ok(TokenMetadata {
            name: name.as_deref().and_then(contract::text),
            symbol: symbol.as_deref().and_then(contract::text),
            decimals: decimals.as_deref().and_then(contract::word).and_then(|number| u8::try_from(number).ok()),
            total_supply,
            kind: TokenKind::Erc20,
            contract: Some(true),
        })
    }

    /// Assumes that the contract was deployed once.
    async fn first_block(&self, token: Address) -> Result<u64, SourceError> {
        let head = self.safe_head(None).await?.number;
        // Nodes without old state refuse most often at its beginning.
        match self.has_code(token, 0).await? {
            Some(false) => {}
            Some(true) | None => return Ok(0),
        }
        match self.has_code(token, head).await? {
            Some(true) => {}
            Some(false) => return Err(SourceError::NotAToken { reason: format!("no contract is at {token}") }),
            None => return Ok(0),
        }
        let (mut without, mut with) = (0, head);
        while with - without > 1 {
            let middle = without + (with - without) / 2;
            match self.has_code(token, middle).await? {
                Some(true) => with = middle,
                Some(false) => without = middle,
                None => return Ok(0),
            }
        }
        Ok(with)
    }

    async fn chunk(&self, token: Address, from: u64, budget: Budget) -> Result<Chunk, SourceError> {
        let deadline = Instant::now() + budget.time.min(FOREVER);
        let head = self.safe_head(Some(deadline)).await?;
        if from > head.number {
            // Nothing new, or a node that is behind the one that answered before.
            let through = head.number.max(from - 1);
            return Ok(Chunk { transfers: Vec::new(), through, head, bad_rows: 0 });
        }
        self.read(token, from, head, budget, deadline).await
    }

    async fn contracts(&self, addresses: &[Address]) -> Result<Vec<Address>, SourceError> {
        self.check_chain(None).await?;
        let calls: Vec<Call> = addresses.iter().map(|address| code_call(*address, "latest")).collect();
        let answers = self.rpc.all(&calls, None).await?;
        let mut contracts = Vec::new();
        for (address, answer) in addresses.iter().zip(answers) {
            let code = answer.map_err(|reason| SourceError::Refused { host: self.rpc.host.clone(), reason })?;
            let code = bytes(&code).ok_or_else(|| self.rpc.error(nonsense("code that is not hex")))?;
            if is_contract(&code) {
                contracts.push(*address);
            }
        }
        Ok(contracts)
    }

    async fn block_at(&self, _: Address, timestamp: u64) -> Result<Option<u64>, SourceError> {
        let known = |time: Option<u64>| {
            let reason = || "its node does not tell when blocks were made".to_owned();
            time.ok_or_else(|| SourceError::Unsupported { reason: reason() })
        };
        let head = self.safe_head(None).await?;
        // The first block's time is nothing on some chains, so the search does not begin with a guess at it.
        let (mut low, mut high) = (0, head.number);
        if timestamp >= known(head.timestamp)? {
            return Ok(Some(high));
        }
        // Blocks before `low` are not later, `high` and what follows are.
        while low < high {
            let middle = low + (high - low) / 2;
            if known(self.time_of(middle, None).await?)? <= timestamp { low = middle + 1 } else { high = middle }
        }
        Ok(low.checked_sub(1))
    }

    /// Needs a node that keeps old state; of an address whose state it forgot nothing is known. A balance that only fell
    /// in the window shows no funding, and of several fundings one of the later is found, not surely the last. What a
    /// contract paid is not found.
    async fn fundings(&self, asked: &[(Address, u64)], window: u32) -> Result<Vec<Option<Funded>>, SourceError> {
        self.find_fundings(asked, window).await
    }
}

/// Reads the result of one `eth_getLogs` for a token's transfers in these blocks, first and last: the transfers in the
/// order of the chain, and how many events look like transfers and are none.
///
/// # Errors
/// [`SourceError::Unavailable`] for an answer that cannot be right, [`SourceError::Unsupported`] for an ERC-721 token.
pub fn read_logs(result: &[u8], token: Address, blocks: (u64, u64)) -> Result<(Vec<Transfer>, u64), SourceError> {
    let read = serde_json::from_slice::<&RawValue>(result).map_err(nonsense);
    let logs = read.and_then(|result| log::decode(result, token, blocks.0, blocks.1));
    let logs = logs.map_err(|failure| failure.of("answer"))?;
    Ok((logs.transfers, logs.bad_rows.len() as u64))
}

fn code_call(address: Address, block: &str) -> Call {
    Call { method: "eth_getCode", params: json!([address, block]) }
}

fn bytes(result: &RawValue) -> Option<Vec<u8>> {
    serde_json::from_str::<&str>(result.get()).ok().and_then(hex::prefixed)
}

/// An account that delegates by EIP-7702 has code too, and is a person's wallet still.
fn is_contract(code: &[u8]) -> bool {
    let delegates = code.len() == 23 && code.starts_with(&[0xef, 0x01, 0x00]);
    !code.is_empty() && !delegates
}

#[cfg(test)]
mod tests;
