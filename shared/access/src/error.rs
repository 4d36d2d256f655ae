use std::error::Error as StdError;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::Kind;

pub(crate) type Item = std::collections::HashMap<String, AttributeValue>;
type Source = Box<dyn StdError + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("a row with this key exists already in table {table}")]
    AlreadyExists { table: &'static str },
    /// The condition of a change did not hold. `row` is what was there, where the store returned it.
    #[error("the condition on a row of table {table} did not hold")]
    ConditionFailed { table: &'static str, row: Option<Box<Item>> },
    /// Another writer was faster; repeating the whole operation is safe.
    #[error("another transaction touched the same rows of table {table}")]
    Contended { table: &'static str },
    #[error("a row of table {table} does not have the shape expected: {source}")]
    Malformed { table: &'static str, source: Source },
    #[error("the cursor is not one of ours for this list")]
    BadCursor,
    #[error("{store} does not answer: {source}")]
    Unavailable { store: &'static str, source: Source },
    #[error("{store} refused the call: {source}")]
    Refused { store: &'static str, source: Source },
}

impl AccessError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::AlreadyExists { .. } | Self::ConditionFailed { .. } => Kind::Conflict,
            Self::BadCursor => Kind::Invalid,
            Self::Contended { .. } | Self::Unavailable { .. } => Kind::Unavailable,
            Self::Malformed { .. } | Self::Refused { .. } => Kind::Internal,
        }
    }

    pub(crate) fn malformed(table: &'static str, source: impl Into<Source>) -> Self {
        Self::Malformed { table, source: source.into() }
    }

    /// What a failed SDK call means. `table` is the table or the store's name for the message.
    pub(crate) fn from_sdk<E>(store: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if error.code() == Some("TransactionConflictException") {
            return Self::Contended { table: store };
        }
        let passing = match &error {
            SdkError::ServiceError(service) => {
                service.raw().status().as_u16() >= 500 || service.err().code().is_some_and(is_throttling)
            }
            SdkError::ConstructionFailure(_) => false,
            // Time-outs, broken connections, unreadable answers.
            _ => true,
        };
        if passing {
            Self::Unavailable { store, source: Box::new(Chain::of(&error)) }
        } else {
            Self::Refused { store, source: Box::new(Chain::of(&error)) }
        }
    }

    /// Why a transaction failed in which no condition was found unmet.
    pub(crate) fn from_transaction(table: &'static str, error: SdkError<TransactWriteItemsError>) -> Self {
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
            let reasons = cancelled.cancellation_reasons();
            if reasons.iter().any(|r| r.code().is_some_and(|code| code == "TransactionConflict" || is_throttling(code)))
            {
                return Self::Contended { table };
            }
        }
        Self::from_sdk(table, error)
    }
}

/// The first write of a cancelled transaction whose condition did not hold, by its place, with the row that was there.
pub(crate) fn unmet(error: &SdkError<TransactWriteItemsError>) -> Option<(usize, Option<Box<Item>>)> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return None;
    };
    let mut reasons = cancelled.cancellation_reasons().iter().enumerate();
    let (write, reason) = reasons.find(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))?;
    Some((write, reason.item().cloned().map(Box::new)))
}

fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "ProvisionedThroughputExceededException"
            | "ThrottlingError"
            | "RequestLimitExceeded"
            | "TransactionInProgressException"
            | "RequestThrottled"
            | "SlowDown"
    )
}

/// An SDK error with all its causes on one line: its own `Display` says only "service error".
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Chain(String);

impl Chain {
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self(text)
    }
}
