use std::error::Error;

use access::{AccessError, Kind};

use crate::password::PasswordRefused;

type Source = Box<dyn Error + Send + Sync>;

/// Why a pool did not do what it was asked. `Display` never repeats anything a caller gave.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The address is not known, or the password is not its own: a caller never learns which.
    #[error("the address or the password is wrong")]
    WrongCredentials,
    /// Nobody has this `sub`. Only what is asked about a `sub` answers so; to a caller it looks like
    /// [`PoolError::WrongCredentials`].
    #[error("the address or the password is wrong")]
    UnknownUser,
    /// The password is right but the address was never confirmed.
    #[error("the address has not been confirmed")]
    NotConfirmed,
    /// An administrator has made the password void: forgot and reset give another.
    #[error("the password must be reset")]
    ResetRequired,
    /// Also for an address that is not known.
    #[error("the code is wrong")]
    CodeWrong,
    #[error("the code has expired")]
    CodeExpired,
    /// The code has been guessed at too often and is void, or too many codes were asked for; also the pool's own limits.
    #[error("too many attempts")]
    TooMany,
    #[error("the address has an account")]
    UserExists,
    #[error("the password cannot be used")]
    PasswordRefused(#[from] PasswordRefused),
    /// Longer than [`crate::ADDRESS_CHARACTERS_MAX`].
    #[error("the address is too long")]
    AddressRefused,
    /// Unknown, answered already, or too old: sign in again.
    #[error("the challenge has expired")]
    ChallengeExpired,
    /// The refresh or access token is unknown, expired, revoked or was used again: sign in again.
    #[error("the session has ended")]
    SessionEnded,
    /// The same call may succeed later.
    #[error("the user pool does not answer")]
    Unavailable { source: Source },
    /// The pool does not take the call as it is: configuration, permissions, or a fault of ours.
    #[error("the user pool refused the call")]
    Refused { source: Source },
}

impl PoolError {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::WrongCredentials | Self::UnknownUser | Self::SessionEnded => Kind::Unauthenticated,
            Self::NotConfirmed | Self::ResetRequired | Self::UserExists | Self::ChallengeExpired => Kind::Conflict,
            Self::CodeWrong | Self::CodeExpired | Self::PasswordRefused(_) | Self::AddressRefused => Kind::Invalid,
            Self::TooMany => Kind::TooMany,
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::Refused { .. } => Kind::Internal,
        }
    }

    /// Stable, snake case: for clients.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WrongCredentials | Self::UnknownUser => "wrong_credentials",
            Self::NotConfirmed => "unconfirmed",
            Self::ResetRequired => "reset_required",
            Self::CodeWrong => "code_wrong",
            Self::CodeExpired => "code_expired",
            Self::TooMany => "too_many_attempts",
            Self::UserExists => "user_exists",
            Self::PasswordRefused(refused) => refused.code(),
            Self::AddressRefused => "address_too_long",
            Self::ChallengeExpired => "challenge_expired",
            Self::SessionEnded => "session_ended",
            Self::Unavailable { .. } => "pool_unavailable",
            Self::Refused { .. } => "pool_refused",
        }
    }

    pub(crate) fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable { source: source.into() }
    }

    pub(crate) fn refused(source: impl Into<Source>) -> Self {
        Self::Refused { source: source.into() }
    }
}

/// A conflict that was not expected is a race with somebody else: later it is over.
impl From<AccessError> for PoolError {
    fn from(error: AccessError) -> Self {
        match error.kind() {
            Kind::Unavailable | Kind::Conflict => Self::unavailable(error),
            _ => Self::refused(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_and_an_unknown_user_look_the_same() {
        let (wrong, unknown) = (PoolError::WrongCredentials, PoolError::UnknownUser);
        assert_eq!(wrong.to_string(), unknown.to_string());
        assert_eq!((wrong.kind(), wrong.code()), (unknown.kind(), unknown.code()));
    }

    #[test]
    fn a_store_that_does_not_answer_is_told_from_one_that_refuses() {
        let source = || "x".into();
        let down = PoolError::from(AccessError::Unavailable { store: "t", source: source() });
        assert!(matches!(down, PoolError::Unavailable { .. }) && down.source().is_some());
        let race = PoolError::from(AccessError::Contended { table: "t" });
        assert!(matches!(race, PoolError::Unavailable { .. }));
        let fault = PoolError::from(AccessError::Refused { store: "t", source: source() });
        assert!(matches!(fault, PoolError::Refused { .. }) && fault.source().is_some());
    }
}
