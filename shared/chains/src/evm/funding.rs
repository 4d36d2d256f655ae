//! Who paid for an address's first steps. JSON-RPC has no index of the chain's own coin, so balances are searched for a
//! block in which the address got some, and that block for the transfer.

use clusters::{Address, Amount, Funded, TxHash, Units};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::EvmSource;
use super::rpc::{Call, nonsense};
use crate::{SourceError, hex};

#[derive(Deserialize)]
struct FullBlock<'a> {
    #[serde(borrow)]
    transactions: Vec<RawTransaction<'a>>,
}

#[derive(Deserialize)]
struct RawTransaction<'a> {
    hash: &'a str,
    from: &'a str,
    /// `None` where it makes a contract.
    to: Option<&'a str>,
    value: &'a str,
}

/// One address's search. While it is on, the address has more at `end` than at `start`, so that it got something between.
#[derive(Clone, Copy)]
struct Search {
    place: usize,
    address: Address,
    start: u64,
    end: u64,
    at_end: Amount,
}

impl Search {
    fn middle(&self) -> u64 {
        self.start + (self.end - self.start) / 2
    }
}

impl EvmSource {
    /// See [`crate::TransferSource::fundings`]. For each address about 2 + log₂ `window` balances and one block are
    /// asked for.
    pub(super) async fn find_fundings(
        &self,
        asked: &[(Address, u64)],
        window: u32,
    ) -> Result<Vec<Option<Funded>>, SourceError> {
        self.check_chain(None).await?;
        let mut found = vec![None; asked.len()];
        let (mut ended, mut searches): (Vec<Search>, Vec<Search>) = (Vec::new(), self.searches(asked, window).await?);
        loop {
            ended.extend(searches.extract_if(.., |search| search.end - search.start <= 1));
            if searches.is_empty() {
                break;
            }
            let balances: Vec<(Address, u64)> =
                searches.iter().map(|search| (search.address, search.middle())).collect();
            let mut balances = self.balances(&balances).await?.into_iter();
            searches.retain_mut(|search| {
                // A node that forgot the state in between ends the search of this address.
                let Some(balance) = balances.next().flatten() else { return false };
                let middle = search.middle();
                // The later half where it can be: what came last is nearest.
                if balance < search.at_end {
                    search.start = middle;
                } else {
                    (search.end, search.at_end) = (middle, balance);
                }
                true
            });
        }
        let transfers = ended.into_iter().map(|search| async move {
            let funded = self.largest_payment(search.end, search.address).await?;
            Ok::<_, SourceError>((search.place, funded))
        });
        let in_flight = self.rpc.options.ranges_in_flight.max(1);
        let transfers: Vec<_> = stream::iter(transfers).buffer_unordered(in_flight).try_collect().await?;
        for (place, funded) in transfers {
            found[place] = funded;
        }
        Ok(found)
    }

    /// Those addresses that have more just before their block than `window` blocks before, or more in it than just
    /// before.
    async fn searches(&self, asked: &[(Address, u64)], window: u32) -> Result<Vec<Search>, SourceError> {
        let ends = |block: u64| [block.saturating_sub(u64::from(window) + 1), block.saturating_sub(1), block];
        let balances: Vec<(Address, u64)> =
            asked.iter().flat_map(|&(address, block)| ends(block).map(|block| (address, block))).collect();
        let balances = self.balances(&balances).await?;
        let mut searches = Vec::new();
        for ((place, &(address, block)), known) in asked.iter().enumerate().zip(balances.chunks_exact(3)) {
            let &[Some(at_start), Some(before), Some(at_block)] = known else { continue };
            let [start, just_before, block] = ends(block);
            if before > at_start {
                searches.push(Search { place, address, start, end: just_before, at_end: before });
            } else if at_block > before {
                searches.push(Search { place, address, start: just_before, end: block, at_end: at_block });
            }
        }
        Ok(searches)
    }

    /// `None` where the node keeps no state that old.
    async fn balances(&self, of: &[(Address, u64)]) -> Result<Vec<Option<Amount>>, SourceError> {
        let call = |&(address, block): &(Address, u64)| Call {
            method: "eth_getBalance",
            params: json!([address, format!("{block:#x}")]),
        };
        let calls: Vec<Call> = of.iter().map(call).collect();
        let answers = self.rpc.all(&calls, None).await?;
        let balance = |answer: Result<Box<RawValue>, String>| match answer {
            Ok(result) => match serde_json::from_str::<&str>(result.get()).ok().and_then(quantity) {
                Some(balance) => Ok(Some(balance)),
                None => Err(self.rpc.error(nonsense("a balance is no number"))),
            },
            Err(_) => Ok(None),
        };
        answers.into_iter().map(balance).collect()
    }

    /// The largest transfer to the address in the block; `None` where no transaction was one: a contract paid, or a
    /// validator was rewarded.
    async fn largest_payment(&self, block: u64, address: Address) -> Result<Option<Funded>, SourceError> {
        let params = json!([format!("{block:#x}"), true]);
        // Blocks are large: they are asked for one by one.
        let full = match self.rpc.call(&Call { method: "eth_getBlockByNumber", params }, None).await {
            Ok(full) => full,
            // A node that keeps no such block, or one too large to take.
            Err(SourceError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let full: Option<FullBlock<'_>> =
            serde_json::from_str(full.get()).map_err(|error| self.rpc.error(nonsense(error)))?;
        let mut largest: Option<Funded> = None;
        for transaction in full.into_iter().flat_map(|full| full.transactions) {
            if transaction.to.and_then(|to| to.parse().ok()) != Some(address) {
                continue;
            }
            let (tx, funder) = (transaction.hash.parse::<TxHash>(), transaction.from.parse::<Address>());
            let (Ok(tx), Ok(funder), Some(amount)) = (tx, funder, quantity(transaction.value)) else {
                return Err(self.rpc.error(nonsense("a transaction that cannot be read")));
            };
            let amount = Units::from(amount);
            if amount > largest.map_or(Units::ZERO, |largest| largest.amount) && funder != address {
                largest = Some(Funded { funder, block, tx, amount });
            }
        }
        Ok(largest)
    }
}

/// `0x` and 1 to 64 hex digits.
fn quantity(text: &str) -> Option<Amount> {
    let digits = text.strip_prefix("0x")?;
    let is_number = (1..=64).contains(&digits.len()) && digits.bytes().all(|digit| hex::digit(digit) < 16);
    is_number.then(|| Amount::from_str_radix(digits, 16).ok()).flatten()
}
