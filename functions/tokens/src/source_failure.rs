//! What a chain's failure means to whoever asked for a token.

use access::{JobError, Kind};
use chains::SourceError;

use crate::token::Token;

/// In words for the caller; the cause goes to the log, since it may name files or hosts.
pub(crate) fn explain(error: &SourceError, token: &Token) -> JobError {
    match error {
        SourceError::NotAToken { reason } => {
            JobError::new(Kind::NotFound, "not_a_token", format!("{token} is not a token: {reason}."))
        }
        SourceError::Unsupported { reason } => {
            JobError::new(Kind::Invalid, "unsupported_token", format!("{token} is not supported: {reason}."))
        }
        error if error.is_retryable() => {
            tracing::warn!(error = error as &dyn std::error::Error, "a chain's source does not answer");
            let detail = format!("The source of chain {} does not answer; try again in a moment.", token.chain);
            JobError::new(Kind::Unavailable, "source_unavailable", detail)
        }
        error => {
            tracing::error!(error = error as &dyn std::error::Error, "a chain's source cannot be read");
            let detail = format!("The source of chain {} cannot be read; its operator has to see to it.", token.chain);
            JobError::new(Kind::Unavailable, "source_unreadable", detail)
        }
    }
}
