use std::borrow::Cow;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use clusters::{Address, Amount, Funded, Transfer};
use serde::{Deserialize, Serialize};

/// A block of a chain; `timestamp` in seconds since 1970 where the source knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub number: u64,
    pub timestamp: Option<u64>,
}

/// The rules a token follows, as far as its contract tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenKind {
    Erc20,
    Unknown,
}

/// What a token says of itself. `name` and `symbol` come from strangers: at most 64 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenMetadata {
    pub name: Option<String>,
    pub symbol: Option<String>,
    pub decimals: Option<u8>,
    /// Base units, written as a decimal string.
    #[serde(with = "decimal")]
    pub total_supply: Option<Amount>,
    pub kind: TokenKind,
    /// Whether code stands at the address; `None` where the source cannot know.
    pub contract: Option<bool>,
}

/// How much one [`TransferSource::chunk`] may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Exceeded only by a single block that alone holds more.
    pub max_transfers: usize,
    /// Exceeded only while nothing has been read yet, and then by one request at most.
    pub time: Duration,
}

/// A token's transfers over consecutive whole blocks, ordered by block, then log index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub transfers: Vec<Transfer>,
    /// Every block from the one asked for up to and including this one is covered. The token is read to its end when
    /// `through >= head.number`.
    pub through: u64,
    /// The last safe block seen.
    pub head: Block,
    /// Rows left out because they could not be read: bad lines of a file, malformed events of a contract.
    pub bad_rows: u64,
}

/// Reads the transfers of tokens on one chain. Repeating a call gives the same answer, except that the head moves on.
#[async_trait]
pub trait TransferSource: Send + Sync {
    /// The last block that is safe from reorganisation.
    async fn head(&self) -> Result<Block, SourceError>;

    /// What the token says of itself. [`SourceError::NotAToken`] where there is no fungible token at this address,
    /// [`SourceError::Unsupported`] for an ERC-721 token.
    async fn metadata(&self, token: Address) -> Result<TokenMetadata, SourceError>;

    /// A block before which the token has no transfers: its deployment, or 0 where the source cannot tell.
    async fn first_block(&self, token: Address) -> Result<u64, SourceError>;

    /// The transfers from block `from` on, as far as the budget goes. Covers at least one block, or fails; past the
    /// head the answer is empty.
    async fn chunk(&self, token: Address, from: u64, budget: Budget) -> Result<Chunk, SourceError>;

    /// Those of `addresses` that are contracts, in the order given.
    async fn contracts(&self, addresses: &[Address]) -> Result<Vec<Address>, SourceError>;

    /// For each address with the block of its first steps ([`clusters::Ledger::first_blocks`]): a transfer of the chain's
    /// own coin to it in that block or at most `window` blocks before, the nearest as far as the source can tell. `None`
    /// where there is none, or the source does not know; by default it knows of none.
    async fn fundings(&self, asked: &[(Address, u64)], _window: u32) -> Result<Vec<Option<Funded>>, SourceError> {
        Ok(vec![None; asked.len()])
    }

    /// The last safe block at or before this time, in seconds since 1970, or another between that and the token's next
    /// transfer; `None` when there was no block yet. [`SourceError::Unsupported`] where times are not known.
    async fn block_at(&self, token: Address, timestamp: u64) -> Result<Option<u64>, SourceError> {
        let _ = (token, timestamp);
        Err(SourceError::Unsupported { reason: "its source does not tell when blocks were made".into() })
    }
}

/// A place in a file that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: line {line}, column {column}: expected {expected}, got {got:?}")]
pub struct BadInput {
    pub file: String,
    /// Counted from 1.
    pub line: u64,
    /// The name in the file's header.
    pub column: String,
    pub expected: Cow<'static, str>,
    /// At most 80 characters of what was there.
    pub got: String,
}

/// Why a source has no answer. Texts name a node by its host only: the rest of its URL may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("not a token: {reason}")]
    NotAToken { reason: String },
    #[error("not supported: {reason}")]
    Unsupported { reason: String },
    #[error(transparent)]
    BadInput(#[from] Box<BadInput>),
    /// The input is fine but cannot be understood without an option that was not given.
    #[error("{file}: option `{option}` is needed: {reason}")]
    MissingOption { file: String, option: &'static str, reason: String },
    #[error("{file}: cannot be read")]
    File { file: String, source: io::Error },
    /// The node is not the one it was configured to be, or refuses our credentials.
    #[error("{host}: {reason}")]
    Misconfigured { host: String, reason: String },
    /// The node understood the request and will not answer it, however often it is asked.
    #[error("{host} refused: {reason}")]
    Refused { host: String, reason: String },
    #[error("{host} is throttling us")]
    Throttled { host: String, retry_after: Option<Duration> },
    #[error("{host} is unavailable")]
    Unavailable { host: String, source: Box<dyn std::error::Error + Send + Sync> },
}

impl SourceError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }

    /// How long the other side asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// How many of `transfers` (ordered by block) are whole blocks of at most `max` rows together, but at least the first
/// block; and the block through which these are complete, or `None` when they are all.
pub(crate) fn whole_blocks(transfers: &[Transfer], max: usize) -> (usize, Option<u64>) {
    let Some(beyond) = transfers.get(max) else { return (transfers.len(), None) };
    let mut count = transfers.partition_point(|transfer| transfer.block < beyond.block);
    if count == 0 {
        count = transfers.partition_point(|transfer| transfer.block <= beyond.block);
    }
    (count, transfers.get(count).map(|next| next.block - 1))
}

/// What [`TransferSource::block_at`] says where all transfers are known, ordered by block.
pub(crate) fn block_at(transfers: &[Transfer], timestamp: u64) -> Result<Option<u64>, SourceError> {
    if transfers.iter().any(|transfer| transfer.timestamp.is_none()) {
        return Err(SourceError::Unsupported { reason: "its transfers do not tell when they were".into() });
    }
    let later = transfers.partition_point(|transfer| transfer.timestamp.is_some_and(|time| time <= timestamp));
    Ok(match transfers.get(later) {
        Some(next) => next.block.checked_sub(1),
        None => transfers.last().map(|last| last.block),
    })
}

/// Minted − burned; `None` where more was burned than minted, or it does not fit.
pub(crate) fn supply(transfers: &[Transfer]) -> Option<Amount> {
    let (mut minted, mut burned) = (Amount::ZERO, Amount::ZERO);
    for transfer in transfers {
        match (transfer.from == Address::ZERO, transfer.to == Address::ZERO) {
            (true, false) => minted = minted.checked_add(transfer.value)?,
            (false, true) => burned = burned.checked_add(transfer.value)?,
            _ => {}
        }
    }
    minted.checked_sub(burned)
}

mod decimal {
    use clusters::Amount;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(amount: &Option<Amount>, serializer: S) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => serializer.collect_str(amount),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amount>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| Amount::from_str_radix(&text, 10).map_err(de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clusters::TxHash;

    fn at(block: u64) -> Transfer {
        let (from, to) = (Address([1; 20]), Address([2; 20]));
        Transfer { block, timestamp: None, tx: TxHash::default(), log_index: None, from, to, value: Amount::from(1) }
    }

    #[test]
    fn a_cut_falls_between_blocks() {
        let rows = |blocks: &[u64]| blocks.iter().copied().map(at).collect::<Vec<_>>();
        let cut = |blocks: &[u64], max| whole_blocks(&rows(blocks), max);
        assert_eq!(cut(&[1, 2, 3], 3), (3, None));
        assert_eq!(cut(&[1, 2, 9], 2), (2, Some(8)));
        assert_eq!(cut(&[1, 2, 2, 3], 2), (1, Some(1)));
        assert_eq!(cut(&[2, 2, 2, 7], 2), (3, Some(6)), "a block is never divided");
        assert_eq!(cut(&[2, 2, 2], 2), (3, None));
    }

    #[test]
    fn the_block_at_a_time_is_the_last_before_the_next_transfer() {
        let timed = |block, timestamp| Transfer { timestamp, ..at(block) };
        let rows = [timed(5, Some(100)), timed(5, Some(100)), timed(9, Some(140))];
        for (time, block) in [(99, 4), (100, 8), (139, 8), (140, 9), (999, 9)] {
            assert_eq!(block_at(&rows, time).unwrap(), Some(block), "at {time}");
        }
        assert_eq!(block_at(&[timed(0, Some(100))], 99).unwrap(), None);
        assert_eq!(block_at(&[], 99).unwrap(), None);
        assert!(matches!(block_at(&[timed(5, None)], 99), Err(SourceError::Unsupported { .. })));
    }

    #[test]
    fn metadata_is_written_with_the_supply_as_a_decimal_string() {
        let metadata = TokenMetadata {
            name: Some("Helios".into()),
            symbol: None,
            decimals: Some(18),
            total_supply: Some(Amount::MAX),
            kind: TokenKind::Erc20,
            contract: Some(true),
        };
        let json = serde_json::to_value(&metadata).unwrap();
        assert_eq!(
            json["totalSupply"],
            "115792089237316195423570985008687907853269984665640564039457584007913129639935"
        );
        assert_eq!(json["kind"], "erc20");
        assert_eq!(serde_json::from_value::<TokenMetadata>(json).unwrap(), metadata);
    }

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        let throttled = SourceError::Throttled { host: "node".into(), retry_after: Some(Duration::from_secs(3)) };
        assert!(throttled.is_retryable());
        assert_eq!(throttled.retry_after(), Some(Duration::from_secs(3)));
        assert!(!SourceError::NotAToken { reason: "no code".into() }.is_retryable());
    }
}
