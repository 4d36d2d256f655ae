//! The person behind a verified access token.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest `sub` accepted, in bytes. Cognito's are UUIDs (36).
const USER_ID_BYTES_MAX: usize = 128;

/// A person's stable id: the token's `sub`. Never empty, at most 128 bytes, visible ASCII only, so that it can stand
/// in a record's key as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

/// The text is empty, longer than 128 bytes, or holds something else than visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user id is 1 to {USER_ID_BYTES_MAX} visible ASCII characters")]
pub struct UserIdError;

impl UserId {
    pub fn new(id: impl Into<String>) -> Result<Self, UserIdError> {
        let id = id.into();
        let fits = (1..=USER_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(id)) } else { Err(UserIdError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = UserIdError;

    fn try_from(id: String) -> Result<Self, UserIdError> {
        Self::new(id)
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The claims of a verified access token.
///
/// `Debug` shows the id and the groups only: a user name may be an e-mail address, which must not reach a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Stable for the person, unlike the user name.
    pub sub: UserId,
    pub username: String,
    /// Cognito's `cognito:groups`; empty when the token has none.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Exactly as in the allow-list.
    pub issuer: String,
    pub client_id: String,
    /// Seconds since 1970; none when the token does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<u64>,
    /// Seconds since 1970.
    pub expires_at: u64,
    /// The token's own id, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

impl Caller {
    /// Whether the token names `group`, compared exactly.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("sub", &self.sub).field("groups", &self.groups).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Caller {
        Caller {
            sub: UserId::new("0b1c").unwrap(),
            username: "ann@example.org".into(),
            groups: vec!["admin".into()],
            issuer: "urn:test".into(),
            client_id: "web".into(),
            issued_at: Some(3),
            expires_at: 7,
            jti: None,
        }
    }

    #[test]
    fn a_caller_is_in_its_own_groups_only() {
        assert!(ann().is_in("admin"));
        assert!(!ann().is_in("Admin"));
        assert!(!ann().is_in(""));
    }

    #[test]
    fn a_user_name_never_shows_in_debug_output() {
        let shown = format!("{:?}", ann());
        assert!(!shown.contains("ann@"), "{shown}");
        assert!(shown.contains("0b1c"));
    }

    #[test]
    fn a_caller_survives_json() {
        let json = serde_json::to_string(&ann()).unwrap();
        assert_eq!(serde_json::from_str::<Caller>(&json).unwrap(), ann());
    }

    #[test]
    fn a_user_id_is_checked_by_serde_too() {
        for bad in ["", "a b", "a\u{0}", "zoë", &"x".repeat(129)] {
            assert_eq!(UserId::new(bad), Err(UserIdError));
            assert!(serde_json::from_value::<UserId>(bad.into()).is_err());
        }
        assert_eq!(UserId::new("x".repeat(128)).unwrap().as_str().len(), 128);
    }
}
