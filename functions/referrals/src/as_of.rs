use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use members::AsOf;

/// On answers whose ranks are not the live ones.
const RANKING_AS_OF: HeaderName = HeaderName::from_static("x-ranking-as-of");

/// Says on an answer how old its ranks are: the RFC 3339 time of the rebuild they come from, or `never` before the
/// first. Nothing when they are live.
pub(crate) fn dated(as_of: AsOf, answer: impl IntoResponse) -> Response {
    let mut answer = answer.into_response();
    let value = match as_of {
        AsOf::Now => return answer,
        AsOf::Never => HeaderValue::from_static("never"),
        AsOf::Rebuild(at) => {
            let time = i64::try_from(at.millis()).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
            match time.and_then(|time| HeaderValue::try_from(time.to_string()).ok()) {
                Some(value) => value,
                None => return answer,
            }
        }
    };
    answer.headers_mut().insert(RANKING_AS_OF, value);
    answer
}

#[cfg(test)]
mod tests {
    use access::Timestamp;

    use super::*;

    #[test]
    fn only_ranks_that_are_not_live_have_a_date() {
        let header = |as_of| {
            let answer = dated(as_of, "");
            answer.headers().get(RANKING_AS_OF).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(AsOf::Now), None);
        assert_eq!(header(AsOf::Never).as_deref(), Some("never"));
        assert_eq!(header(AsOf::Rebuild(Timestamp(1_790_000_000_000))).as_deref(), Some("2026-09-21T14:13:20Z"));
    }
}
