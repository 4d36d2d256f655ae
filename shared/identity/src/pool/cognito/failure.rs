//! What Cognito's errors mean.

use std::error::Error;

use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};

use crate::password::PasswordRefused;
use crate::pool::PoolError;

/// A call that Cognito did not do.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exception's name; none when there was no answer to read.
    code: Option<String>,
    message: String,
    /// The answer was a fault of the service, or none.
    passing: bool,
    source: Cause,
}

/// An SDK error with all its causes on one line: its own `Display` says only "service error", and its `Debug` shows the
/// answer, which may hold tokens.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

pub(super) fn failed<E>(error: SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let passing = match &error {
        SdkError::ServiceError(service) => service.raw().status().as_u16() >= 500,
        SdkError::ConstructionFailure(_) => false,
        // Time-outs, broken connections, unreadable answers.
        _ => true,
    };
    let message = error.message().unwrap_or_default().to_owned();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    Failure { code: error.code().map(str::to_owned), message, passing, source: Cause(text) }
}

impl Failure {
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What was given does not let its holder do this: a password, a token, a session or a code. Cognito's pause after
    /// wrong passwords goes by the same name, and only its text tells.
    pub(super) fn denies(&self) -> bool {
        self.is("NotAuthorizedException") && !self.mentions("attempts exceeded")
    }

    pub(super) fn mentions(&self, word: &str) -> bool {
        self.message.to_ascii_lowercase().contains(word)
    }

    pub(super) fn into_unavailable(self) -> PoolError {
        PoolError::unavailable(self.source)
    }

    pub(super) fn into_refused(self) -> PoolError {
        PoolError::refused(self.source)
    }
}

/// What an error means wherever it comes; a call that knows better looks first.
impl From<Failure> for PoolError {
    fn from(failure: Failure) -> Self {
        match failure.code.as_deref().unwrap_or_default() {
            "NotAuthorizedException" if !failure.denies() => Self::TooMany,
            "UserNotFoundException" => Self::UnknownUser,
            "UserNotConfirmedException" => Self::NotConfirmed,
            "PasswordResetRequiredException" => Self::ResetRequired,
            "CodeMismatchException" => Self::CodeWrong,
            "ExpiredCodeException" => Self::CodeExpired,
            "UsernameExistsException" | "AliasExistsException" => Self::UserExists,
            "InvalidPasswordException" | "PasswordHistoryPolicyViolationException" => {
                Self::PasswordRefused(PasswordRefused::ByPool)
            }
            "RefreshTokenReuseException" => Self::SessionEnded,
            "TooManyRequestsException"
            | "TooManyFailedAttemptsException"
            | "LimitExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded" => Self::TooMany,
            // A trigger of ours failed or took too long, or the mail service did.
            "UnexpectedLambdaException" | "CodeDeliveryFailureException" | "InternalErrorException" => {
                failure.into_unavailable()
            }
            _ if failure.passing => failure.into_unavailable(),
            _ => failure.into_refused(),
        }
    }
}
