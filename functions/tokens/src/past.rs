//! States of a token in the past: from a time to a block, and what can be said before any work is queued.

use std::sync::Arc;
use std::time::Duration;

use access::messages::Choices;
use access::{Cached, Kind, LookupError};
use api::ApiError;
use app::App;
use chains::SourceError;
use serde::{Deserialize, Serialize};

use crate::ReportParameters;
use crate::label_file;
use crate::parameter::{BlockNumber, Time};
use crate::source_failure::explain;
use crate::token::Token;

/// The last block made by a time, which stays what it is once it is safe. In the cache under `<token>/<time>`.
#[derive(Serialize, Deserialize)]
struct BlockAt {
    block: u64,
}

impl Cached for BlockAt {
    const PREFIX: &'static str = "blocktimes";
    const VERSION: u32 = 1;
    const TTL: Duration = Duration::from_secs(24 * 3600);
}

/// The same with a block instead of a time.
///
/// # Errors
/// 400 where both are given, where the time is none of a safe block, or where the source does not know times.
pub(crate) async fn resolve(
    app: &App,
    token: &Token,
    parameters: ReportParameters,
) -> Result<ReportParameters, ApiError> {
    let Some(time) = parameters.at else { return Ok(parameters) };
    if parameters.block.is_some() {
        let detail = "Query parameters `block` and `at` say the same thing: expected one of them.";
        return Err(ApiError::new(Kind::Invalid, "invalid_query", detail));
    }
    let block = block_at(app, token, time).await?;
    Ok(ReportParameters { block: Some(BlockNumber(block)), at: None, ..parameters })
}

async fn block_at(app: &App, token: &Token, Time(time): Time) -> Result<u64, ApiError> {
    let key = format!("{}/{time}", token.key());
    if let Some(hit) = app.rao.get::<BlockAt>(&key).await {
        return Ok(hit.value.block);
    }
    let chain = token.on(app)?;
    let failed = |error: SourceError| failed(&error, token);
    let head = chain.source.head().await.map_err(failed)?;
    if let Some(newest) = head.timestamp
        && time > newest
    {
        let detail = format!(
            "Query parameter `at` is later than the last safe block of chain {}, {} at {newest} seconds since 1970.",
            token.chain, head.number
        );
        return Err(ApiError::new(Kind::Invalid, "beyond_head", detail));
    }
    let block = chain.source.block_at(token.address, time).await.map_err(failed)?;
    let Some(block) = block else {
        let detail = format!("Query parameter `at` is before the first block of chain {}.", token.chain);
        return Err(ApiError::new(Kind::Invalid, "before_first_block", detail));
    };
    let block = block.min(head.number);
    app.rao.put(&key, Arc::new(BlockAt { block }), BlockAt::TTL).await;
    Ok(block)
}

/// Whether [`check`] has anything to say.
pub(crate) fn needs_check(choices: &Choices) -> bool {
    choices.block.is_some() || choices.labels.as_deref().is_some_and(|labels| labels != "none")
}

/// Before work is queued for the first time: that the block is there and safe, and the labels are known.
///
/// # Errors
/// 400 `beyond_head` with the chain's last safe block, 404 `unknown_labels`.
pub(crate) async fn check(app: &App, token: &Token, labels: Option<&str>, block: Option<u64>) -> Result<(), ApiError> {
    if let Some(labels) = labels
        && !label_file::is_known(app, labels).await.map_err(LookupError::from)?
    {
        return Err(ApiError::new(Kind::NotFound, "unknown_labels", label_file::unknown(labels)));
    }
    let Some(block) = block else { return Ok(()) };
    let head = token.on(app)?.source.head().await.map_err(|error| failed(&error, token))?;
    if block > head.number {
        let detail = format!("Block {block} is beyond the last safe block of chain {}, {}.", token.chain, head.number);
        return Err(ApiError::new(Kind::Invalid, "beyond_head", detail));
    }
    Ok(())
}

fn failed(error: &SourceError, token: &Token) -> ApiError {
    LookupError::Failed { error: explain(error, token), retry_after: Duration::ZERO }.into()
}
