use std::error::Error as StdError;
use std::fmt;

use access::{EmailAddress, Kind};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Content;

/// What is written to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub to: EmailAddress,
    pub content: Content,
}

/// What the mail service calls a letter it took: bounces and complaints come back under it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub String);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sends letters.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// One call is at most one letter on its way, and two calls are two: whoever repeats decides to. What was taken
    /// may still bounce later.
    async fn send(&self, letter: &Letter) -> Result<MessageId, MailError>;
}

/// Why a letter was not sent, or may not have been. Sources name no address.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// This letter never will be: a bad or suppressed address, or content that is not taken. Not to be repeated.
    #[error("the letter was rejected: {source}")]
    Rejected { source: Box<dyn StdError + Send + Sync> },
    #[error("expected a sender, and in a sandbox a recipient, that the mail service has verified: {source}")]
    NotVerified { source: Box<dyn StdError + Send + Sync> },
    #[error("the mail service lets this account send nothing at present: {source}")]
    Paused { source: Box<dyn StdError + Send + Sync> },
    /// Over the rate or the day's quota; later it may be taken.
    #[error("too many letters at once or in a day: {source}")]
    Throttled { source: Box<dyn StdError + Send + Sync> },
    /// Surely not sent.
    #[error("the mail service does not answer: {source}")]
    Unavailable { source: Box<dyn StdError + Send + Sync> },
    /// The letter was handed over and no answer came. To repeat it may be to send it twice.
    #[error("the letter may have been sent: {source}")]
    Uncertain { source: Box<dyn StdError + Send + Sync> },
    /// There is no address to send from: no letter can be, until somebody sets one up.
    #[error("the deployment has no address to send letters from")]
    NoSender,
    /// Our configuration or permissions are wrong.
    #[error("the mail service refused the call: {source}")]
    Refused { source: Box<dyn StdError + Send + Sync> },
}

impl MailError {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Rejected { .. } => Kind::Invalid,
            Self::NoSender => Kind::Conflict,
            Self::Throttled { .. } => Kind::TooMany,
            Self::Paused { .. } | Self::Unavailable { .. } | Self::Uncertain { .. } => Kind::Unavailable,
            Self::NotVerified { .. } | Self::Refused { .. } => Kind::Internal,
        }
    }

    /// Whether a repeat may be a second letter. A code may well come twice, an invitation should not.
    pub const fn may_have_been_sent(&self) -> bool {
        matches!(self, Self::Uncertain { .. })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected an address with ASCII characters only before the @")]
struct NotAscii;

/// No mail service of ours has SMTPUTF8, so such a letter would bounce.
pub(crate) fn check_deliverable(to: &EmailAddress) -> Result<(), MailError> {
    let is_deliverable = to.local_part().is_ascii();
    if is_deliverable { Ok(()) } else { Err(MailError::Rejected { source: Box::new(NotAscii) }) }
}

/// An error with all its causes on one line, without the addresses that mail services like to quote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Cause(String);

impl Cause {
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            // SDK errors repeat what they wrap.
            if !text.ends_with(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        Self(without_addresses(&text))
    }

    pub(crate) fn contains(&self, words: &str) -> bool {
        self.0.contains(words)
    }
}

fn without_addresses(text: &str) -> String {
    let is_boundary = |c: char| c.is_whitespace() || "<>()[]{},;:\"'`".contains(c);
    let pieces = text.split_inclusive(is_boundary).map(|piece| {
        let word = piece.trim_end_matches(is_boundary);
        if word.contains('@') { format!("[address]{}", &piece[word.len()..]) } else { piece.to_owned() }
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_names_no_address() {
        let quoted = "Email address is not verified. The following identities failed the check in region EU-WEST-1: \
                      ann@example.com, \"Bob\" <bob@example.com>";
        let hidden = "Email address is not verified. The following identities failed the check in region EU-WEST-1: \
                      [address], \"Bob\" <[address]>";
        assert_eq!(without_addresses(quoted), hidden);
        assert_eq!(without_addresses("nothing to hide"), "nothing to hide");
        assert_eq!(without_addresses("@ ann@b"), "[address] [address]");
    }

    #[test]
    fn only_a_rejected_letter_and_one_without_a_sender_are_given_up() {
        let source = || Box::new(NotAscii);
        let kept = [
            MailError::NotVerified { source: source() },
            MailError::Paused { source: source() },
            MailError::Throttled { source: source() },
            MailError::Unavailable { source: source() },
            MailError::Uncertain { source: source() },
            MailError::Refused { source: source() },
        ];
        assert!(kept.iter().all(|error| error.kind().is_retryable()));
        assert_eq!(kept.iter().filter(|error| error.may_have_been_sent()).count(), 1);
        let rejected = MailError::Rejected { source: source() };
        for given_up in [rejected, MailError::NoSender] {
            assert!(!given_up.kind().is_retryable() && !given_up.may_have_been_sent());
        }
    }
}
