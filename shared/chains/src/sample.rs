use async_trait::async_trait;
use clusters::{Address, Amount, Transfer, sample};
use tokio::sync::OnceCell;

use crate::source::{block_at, supply, whole_blocks};
use crate::{Block, Budget, Chunk, SourceError, TokenKind, TokenMetadata, TransferSource};

const SEED: u64 = 1;
const ROWS: u64 = 20_000;
const CROWD: u32 = 1_500;

/// A chain with one made-up token, so that an installation answers before it has a node or a file. Its rows are made
/// when first asked for and are the same everywhere.
#[derive(Debug)]
pub struct SampleSource {
    token: sample::Token,
    rows: OnceCell<Rows>,
}

#[derive(Debug)]
struct Rows {
    transfers: Vec<Transfer>,
    head: Block,
    supply: Option<Amount>,
}

/// The one token a [`SampleSource`] has.
pub fn sample_token() -> Address {
    sample::Token::new(SEED).address
}

impl SampleSource {
    pub fn new() -> Self {
        Self { token: sample::Token::new(SEED), rows: OnceCell::new() }
    }

    async fn rows(&self) -> Result<&Rows, SourceError> {
        let lost = |error| SourceError::Unavailable { host: "sample".into(), source: Box::new(error) };
        let make = async || {
            let made = tokio::task::spawn_blocking(|| sample::transfers(SEED, ROWS, CROWD).collect::<Vec<_>>());
            let transfers = made.await.map_err(lost)?;
            let last = transfers.last().map(|last| Block { number: last.block, timestamp: last.timestamp });
            let head = last.unwrap_or(Block { number: 0, timestamp: None });
            Ok(Rows { supply: supply(&transfers), head, transfers })
        };
        self.rows.get_or_try_init(make).await
    }

    async fn rows_of(&self, token: Address) -> Result<&Rows, SourceError> {
        if token == self.token.address {
            return self.rows().await;
        }
        Err(SourceError::NotAToken { reason: format!("the sample has only the token {}", self.token.address) })
    }
}

impl Default for SampleSource {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl TransferSource for SampleSource {
    async fn head(&self) -> Result<Block, SourceError> {
        Ok(self.rows().await?.head)
    }

    async fn metadata(&self, token: Address) -> Result<TokenMetadata, SourceError> {
        let rows = self.rows_of(token).await?;
        Ok(TokenMetadata {
            name: Some(self.token.name.to_owned()),
            symbol: Some(self.token.symbol.to_owned()),
            decimals: Some(self.token.decimals),
            total_supply: rows.supply,
            kind: TokenKind::Erc20,
            contract: None,
        })
    }

    async fn first_block(&self, token: Address) -> Result<u64, SourceError> {
        Ok(self.rows_of(token).await?.transfers.first().map_or(0, |first| first.block))
    }

    async fn chunk(&self, token: Address, from: u64, budget: Budget) -> Result<Chunk, SourceError> {
        let rows = self.rows_of(token).await?;
        let start = rows.transfers.partition_point(|transfer| transfer.block < from);
        let rest = &rows.transfers[start..];
        let (count, cut) = whole_blocks(rest, budget.max_transfers);
        let through = cut.unwrap_or_else(|| rows.head.number.max(from.saturating_sub(1)));
        Ok(Chunk { transfers: rest[..count].to_vec(), through, head: rows.head, bad_rows: 0 })
    }

    async fn contracts(&self, addresses: &[Address]) -> Result<Vec<Address>, SourceError> {
        let known = [self.token.contract, self.token.pool];
        Ok(addresses.iter().copied().filter(|address| known.contains(address)).collect())
    }

    async fn block_at(&self, token: Address, timestamp: u64) -> Result<Option<u64>, SourceError> {
        block_at(&self.rows_of(token).await?.transfers, timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::check;

    #[tokio::test]
    async fn it_keeps_the_contract_of_sources() {
        let source = SampleSource::new();
        let all: Vec<_> = sample::transfers(SEED, ROWS, CROWD).collect();
        check(&source, sample_token(), Address([7; 20]), &all).await;
    }
}
