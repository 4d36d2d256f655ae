//! Why a request is not let in.

/// Why a bearer token was refused. `Display` is [`Refused::detail`]: a constant sentence, safe to send, which never
/// repeats anything from the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// No `Authorization` header, or an empty one.
    Missing,
    /// Not `Bearer <token>`, or not a JSON Web Token of the strict shape we take.
    Malformed,
    /// Above [`crate::TOKEN_BYTES_MAX`].
    TooLong,
    /// `alg` is not RS256.
    WrongAlgorithm,
    /// `iss` is not on the allow-list.
    UnknownIssuer,
    /// `token_use` is not `access`.
    WrongUse,
    /// `client_id` is not one of the issuer's allowed clients.
    WrongClient,
    Expired,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// The issuer's current keys do not include `kid`.
    UnknownKey,
    BadSignature,
    /// Signed out before it expired.
    Revoked,
    /// The issuer's keys could not be had: ours to mend, the only refusal that says nothing about the token. The same
    /// request may succeed later.
    KeysUnavailable,
}

impl Refused {
    /// Every refusal, for tables and documentation.
    pub const ALL: [Self; 13] = [
        Self::Missing,
        Self::Malformed,
        Self::TooLong,
        Self::WrongAlgorithm,
        Self::UnknownIssuer,
        Self::WrongUse,
        Self::WrongClient,
        Self::Expired,
        Self::NotYetValid,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Revoked,
        Self::KeysUnavailable,
    ];

    /// Stable, snake case: for clients and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed => "token_malformed",
            Self::TooLong => "token_too_long",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongUse => "wrong_token_use",
            Self::WrongClient => "wrong_client",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Revoked => "token_revoked",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    /// A sentence for the person or client that sent the token.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Missing => "Sign in first: this needs a bearer token.",
            Self::Malformed => "The bearer token is malformed.",
            Self::TooLong => "The bearer token is too long.",
            Self::WrongAlgorithm => "The bearer token is signed with an algorithm that is not accepted.",
            Self::UnknownIssuer => "The bearer token comes from an issuer that is not accepted.",
            Self::WrongUse => "The bearer token is not an access token.",
            Self::WrongClient => "The bearer token was issued to a client that is not accepted.",
            Self::Expired => "The bearer token has expired. Sign in again.",
            Self::NotYetValid => "The bearer token is not valid yet.",
            Self::UnknownKey => "The bearer token is signed with an unknown key.",
            Self::BadSignature => "The bearer token's signature is wrong.",
            Self::Revoked => "The bearer token has been revoked. Sign in again.",
            Self::KeysUnavailable => "The token cannot be verified at the moment. Try again shortly.",
        }
    }

    /// Whether another token would help. Only [`Refused::KeysUnavailable`] is our fault.
    pub const fn is_callers_fault(self) -> bool {
        !matches!(self, Self::KeysUnavailable)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_snake_case_and_details_are_sentences() {
        let codes: HashSet<_> = Refused::ALL.iter().map(|refused| refused.code()).collect();
        assert_eq!(codes.len(), Refused::ALL.len());
        for refused in Refused::ALL {
            assert!(refused.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(refused.detail().ends_with('.'));
            assert_eq!(refused.to_string(), refused.detail());
        }
    }

    #[test]
    fn only_missing_keys_are_not_the_callers_fault() {
        let ours: Vec<_> = Refused::ALL.into_iter().filter(|refused| !refused.is_callers_fault()).collect();
        assert_eq!(ours, [Refused::KeysUnavailable]);
    }
}
