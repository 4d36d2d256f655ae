//! What every transfer source must hold to, whatever it reads.

use std::time::Duration;

use clusters::{Address, Transfer};

use crate::{Block, Budget, SourceError, TransferSource};

const AMPLE: Duration = Duration::from_secs(60);

/// Everything from block `from` on, in chunks, each checked.
pub(crate) async fn read_all(
    source: &dyn TransferSource,
    token: Address,
    from: u64,
    budget: Budget,
) -> Result<Vec<Transfer>, SourceError> {
    let mut all = Vec::new();
    let mut next = from;
    loop {
        let chunk = source.chunk(token, next, budget).await?;
        assert!(chunk.through >= next, "a chunk of {next}.. ended at {}", chunk.through);
        let blocks: Vec<u64> = chunk.transfers.iter().map(|transfer| transfer.block).collect();
        assert!(blocks.iter().all(|block| (next..=chunk.through).contains(block)));
        let first = blocks.first().copied();
        assert!(blocks.len() <= budget.max_transfers || blocks.iter().all(|block| Some(*block) == first));
        all.extend(chunk.transfers);
        if chunk.through >= chunk.head.number {
            return Ok(all);
        }
        next = chunk.through + 1;
    }
}

/// `expected` are all of the token's transfers, in order. `stranger` is no token.
pub(crate) async fn check(source: &dyn TransferSource, token: Address, stranger: Address, expected: &[Transfer]) {
    for max_transfers in [1, 7, 1000, usize::MAX] {
        let budget = Budget { max_transfers, time: AMPLE };
        assert!(read_all(source, token, 0, budget).await.unwrap() == expected, "in steps of {max_transfers}");
    }
    // No time at all still gets on.
    let hurried = Budget { max_transfers: usize::MAX, time: Duration::ZERO };
    assert!(read_all(source, token, 0, hurried).await.unwrap() == expected);

    let first = source.first_block(token).await.unwrap();
    assert!(expected.first().is_none_or(|transfer| transfer.block >= first));
    let budget = Budget { max_transfers: usize::MAX, time: AMPLE };
    assert!(read_all(source, token, first, budget).await.unwrap() == expected);

    // From the middle on.
    let middle = expected[expected.len() / 2].block;
    let rest: Vec<Transfer> = expected.iter().copied().filter(|transfer| transfer.block >= middle).collect();
    assert!(read_all(source, token, middle, budget).await.unwrap() == rest);

    let head = source.head().await.unwrap();
    assert!(expected.last().is_none_or(|transfer| transfer.block <= head.number));
    for from in [head.number + 1, head.number + 1000] {
        let past = source.chunk(token, from, budget).await.unwrap();
        assert!(past.transfers.is_empty());
        assert_eq!((past.through, past.bad_rows), (from - 1, 0));
        let Block { number, .. } = past.head;
        assert!(past.through >= number);
    }

    assert!(source.metadata(token).await.unwrap().total_supply.is_some());
    assert!(matches!(source.metadata(stranger).await, Err(SourceError::NotAToken { .. })));
    assert!(matches!(source.first_block(stranger).await, Err(SourceError::NotAToken { .. })));
    assert!(source.contracts(&[]).await.unwrap().is_empty());
    assert!(!source.contracts(&[stranger]).await.unwrap().contains(&stranger));

    assert!(source.fundings(&[], 10).await.unwrap().is_empty());
    let asked: Vec<_> = expected.iter().take(5).map(|transfer| (transfer.to, transfer.block)).collect();
    for window in [1, 100] {
        let fundings = source.fundings(&asked, window).await.unwrap();
        assert_eq!(fundings.len(), asked.len());
        for (&(_, block), funded) in asked.iter().zip(fundings) {
            assert!(funded.is_none_or(|funded| (block.saturating_sub(window.into())..=block).contains(&funded.block)));
        }
    }
}
