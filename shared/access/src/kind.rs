/// What sort of failure an error is. Errors know their kind, never a status: one place maps it to HTTP, one to
/// retry or discard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request itself is wrong; repeating it unchanged cannot help.
    Invalid,
    /// Nobody is known to be asking.
    Unauthenticated,
    /// Somebody is asking for what is not theirs.
    Forbidden,
    NotFound,
    /// The request is sound but the state it assumes is not there (any more).
    Conflict,
    /// Over a limit; later it may be allowed.
    TooMany,
    /// Something we depend on does not answer; later it may.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl Kind {
    /// Whether the same request may succeed later without anybody changing it.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::TooMany | Self::Unavailable | Self::Internal)
    }
}
