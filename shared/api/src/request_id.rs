use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::Extensions;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use crate::problem::ApiError;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes an id for a request that brings none.
pub type NewRequestId = Arc<dyn Fn() -> String + Send + Sync>;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Names one request in its answer, in every problem and in the log.
///
/// Taken from the caller's `x-request-id` when that is 8 to 64 letters, digits, `-` or `_`; otherwise from the host,
/// which may put a `RequestId` into the request's extensions (Lambda's own id); otherwise made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// For an id the host made.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id of the request being answered by this task. `None` outside of a request and in spawned tasks.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, new: &NewRequestId) -> Self {
        headers
            .get(X_REQUEST_ID)
            .and_then(Self::from_caller)
            .or_else(|| extensions.get::<Self>().cloned())
            .unwrap_or_else(|| Self(new().into()))
    }

    /// Narrow, because the id is written to logs and headers as it is.
    fn from_caller(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let is_id = (8..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_id.then(|| Self(text.into()))
    }

    pub(crate) async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A handler that hands work on takes the id with it. Empty only where the edge is not around the router.
impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self("".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(header: Option<&str>, host: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(header).unwrap());
        }
        let mut extensions = Extensions::new();
        if let Some(host) = host {
            extensions.insert(RequestId::new(host));
        }
        RequestId::of(&headers, &extensions, &(Arc::new(|| "made".to_owned()) as NewRequestId)).to_string()
    }

    #[test]
    fn the_callers_id_comes_first_then_the_hosts_then_a_new_one() {
        assert_eq!(of(Some("callers-id_1"), Some("hosts-id")), "callers-id_1");
        assert_eq!(of(None, Some("hosts-id")), "hosts-id");
        assert_eq!(of(None, None), "made");
    }

    #[test]
    fn a_callers_id_has_8_to_64_characters() {
        for (length, taken) in [(7, false), (8, true), (64, true), (65, false)] {
            assert_eq!(of(Some(&"a".repeat(length)), None) != "made", taken, "{length}");
        }
    }

    proptest! {
        #[test]
        fn a_callers_id_is_letters_digits_dash_and_underscore(text in "[ -~]{8,64}") {
            let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            prop_assert_eq!(of(Some(&text), None) == text, plain);
        }
    }
}
