use std::borrow::Cow;
use std::error::Error;

use access::Kind;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::mismatch::Mismatch;
use crate::request_id::RequestId;

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What a caller reads when we broke. Constant, so that no cause can leak; the cause is in the log.
const INTERNAL_DETAIL: &str = "Something went wrong on our side. The log has it under this request id.";
const UNAVAILABLE_DETAIL: &str = "This cannot be answered right now. Try again in a moment.";
const RETRY_AFTER_SECONDS: u32 = 5;

/// The body of every answer from 400 up: `application/problem+json` after RFC 9457. `type` is left out, which that
/// document reads as `about:blank`: `code` is what programs tell problems apart by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The status in words.
    #[schema(example = "Not Found")]
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[schema(example = 404, minimum = 400, maximum = 599)]
    pub status: u16,
    /// The HTTP status again, under the name older clients read.
    #[serde(rename = "status_code")]
    #[schema(example = 404, minimum = 400, maximum = 599)]
    pub status_code: u16,
    /// What happened, for people.
    #[schema(example = "There is no such route.")]
    pub detail: Cow<'static, str>,
    /// What happened, for programs: stable, in snake_case.
    #[schema(example = "unknown_route")]
    pub code: Cow<'static, str>,
    /// The `x-request-id` of this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Seconds after which the same request may succeed; also in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// What in the request was not as expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<Mismatch>,
}

/// An error that can be answered. `?` in a handler turns it into an [`ApiError`].
pub trait Fault: Error + Send + Sync + 'static {
    fn kind(&self) -> Kind;

    /// Stable, in snake_case: clients branch on it.
    fn code(&self) -> &'static str;

    /// One or two sentences for the caller. Not shown for [`Kind::Unavailable`] and [`Kind::Internal`], whose bodies
    /// are constant.
    fn detail(&self) -> String {
        self.to_string()
    }

    /// Seconds after which the same request may succeed, where that is known.
    fn retry_after_seconds(&self) -> Option<u32> {
        None
    }
}

/// What a handler fails with: a [`Problem`] to be, and its cause for the log.
#[derive(Debug)]
pub struct ApiError(Box<Failed>);

#[derive(Debug)]
struct Failed {
    kind: Kind,
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u32>,
    errors: Vec<Mismatch>,
    asks_for_bearer: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Rides in the extensions of an error answer to where it is logged.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) code: &'static str,
    /// The error and its sources, `: ` between them.
    pub(crate) cause: Option<String>,
}

/// The one place where kinds become statuses.
const fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        // The front end goes to its log-in page on 403; the code tells the two apart.
        Kind::Unauthenticated | Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl ApiError {
    /// `detail` is shown to the caller as it is, except for [`Kind::Internal`], whose body is constant.
    pub fn new(kind: Kind, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Failed {
            kind,
            status: status_of(kind),
            code,
            detail: detail.into(),
            retry_after_seconds: matches!(kind, Kind::TooMany | Kind::Unavailable).then_some(RETRY_AFTER_SECONDS),
            errors: Vec::new(),
            asks_for_bearer: kind == Kind::Unauthenticated,
            source: None,
        }))
    }

    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// The cause: for the log, never for the caller.
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// For a sign-in that failed: 401. Everything that lacks a valid bearer token is 403.
    pub fn unauthorized(mut self) -> Self {
        self.0.status = StatusCode::UNAUTHORIZED;
        self.0.asks_for_bearer = false;
        self
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn code(&self) -> &'static str {
        self.0.code
    }

    pub(crate) fn mismatch(code: &'static str, mismatch: Mismatch) -> Self {
        let mut error = Self::new(Kind::Invalid, code, mismatch.sentence());
        error.0.errors.push(mismatch);
        error
    }

    /// For what HTTP itself refuses and no kind stands for: 405, 413, 415.
    pub(crate) fn with_status(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        let kind = match status {
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Kind::Forbidden,
            StatusCode::TOO_MANY_REQUESTS => Kind::TooMany,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Kind::Unavailable,
            status if status.is_server_error() => Kind::Internal,
            _ => Kind::Invalid,
        };
        let mut error = Self::new(kind, code, detail);
        error.0.status = status;
        error
    }

    fn problem(&self) -> Problem {
        let Failed { kind, status, code, detail, retry_after_seconds, errors, .. } = &*self.0;
        let (code, detail) = match kind {
            Kind::Internal => ("internal", Cow::Borrowed(INTERNAL_DETAIL)),
            _ => (*code, detail.clone()),
        };
        Problem {
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            status: status.as_u16(),
            status_code: status.as_u16(),
            detail,
            code: Cow::Borrowed(code),
            request_id: RequestId::current().map(|id| id.to_string()),
            retry_after: *retry_after_seconds,
            errors: errors.clone(),
        }
    }
}

impl<F: Fault> From<F> for ApiError {
    fn from(fault: F) -> Self {
        let kind = fault.kind();
        let detail = match kind {
            Kind::Internal => Cow::Borrowed(INTERNAL_DETAIL),
            Kind::Unavailable => Cow::Borrowed(UNAVAILABLE_DETAIL),
            _ => Cow::Owned(fault.detail()),
        };
        let error = Self::new(kind, fault.code(), detail);
        let error = match fault.retry_after_seconds() {
            Some(seconds) => error.retry_after(seconds),
            None => error,
        };
        error.caused_by(fault)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let Failed { kind, status, code, asks_for_bearer, source, .. } = *self.0;
        let body = serde_json::to_vec(&problem).expect("a problem is plain strings and numbers");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if asks_for_bearer {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let cause = source.map(|source| chain(&*source));
        response.extensions_mut().insert(Failure { kind, code, cause });
        response
    }
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Every refusal looks the same: what axum itself (or a handler) answers as plain text from 400 up becomes a problem.
/// JSON and HTML bodies were meant as they are. `Allow` and `Retry-After` are kept.
pub(crate) async fn unify(response: Response) -> Response {
    let status = response.status();
    let is_text = response.headers().get(CONTENT_TYPE).is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || !is_text || response.extensions().get::<Failure>().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("not_found", "There is nothing here."),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "This route does not take this method."),
        StatusCode::PAYLOAD_TOO_LARGE => ("payload_too_large", "The body is larger than this route takes."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "This route does not take this media type."),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => ("unavailable", UNAVAILABLE_DETAIL),
        status if status.is_server_error() => ("internal", INTERNAL_DETAIL),
        _ => ("invalid_request", "The request cannot be understood."),
    };
    let mut error = ApiError::with_status(status, code, detail);
    if status.is_server_error() {
        // Such texts are written by libraries for programmers, and short.
        let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
        error = error.caused_by(String::from_utf8_lossy(&text).into_owned());
    }
    let mut problem = error.into_response();
    for name in [ALLOW, RETRY_AFTER] {
        for value in parts.headers.get_all(&name) {
            problem.headers_mut().insert(name.clone(), value.clone());
        }
    }
    problem
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get as route;
    use serde_json::json;

    use super::*;
    use crate::testing::{get, served};

    #[derive(Debug, thiserror::Error)]
    #[error("ann's secret number is 42")]
    struct Broken {
        kind: Kind,
        retry_after_seconds: Option<u32>,
        source: Option<Cause>,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the disk is full")]
    struct Cause;

    impl Fault for Broken {
        fn kind(&self) -> Kind {
            self.kind
        }

        fn code(&self) -> &'static str {
            "broken"
        }

        fn retry_after_seconds(&self) -> Option<u32> {
            self.retry_after_seconds
        }
    }

    fn failing(kind: Kind, retry_after_seconds: Option<u32>) -> Router {
        let handler = move || async move {
            Err::<(), ApiError>(Broken { kind, retry_after_seconds, source: Some(Cause) }.into())
        };
        served(Router::new().route("/", route(handler)))
    }

    #[tokio::test]
    async fn a_fault_of_the_callers_is_told_with_its_own_code_and_detail() {
        let own = "ann's secret number is 42";
        for (kind, status) in [
            (Kind::Invalid, 400),
            (Kind::Unauthenticated, 403),
            (Kind::Forbidden, 403),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
        ] {
            let answer = get(&failing(kind, None), "/").await;
            answer.assert_problem(status, "broken", own);
            assert_eq!(answer.header("www-authenticate"), (kind == Kind::Unauthenticated).then_some("Bearer"));
            assert_eq!(answer.header("retry-after"), None);
        }
    }

    #[tokio::test]
    async fn over_a_limit_says_when_to_come_back() {
        let answer = get(&failing(Kind::TooMany, Some(30)), "/").await;
        answer.assert_problem_with(429, "broken", "ann's secret number is 42", &json!({"retryAfter": 30}));
        assert_eq!(answer.header("retry-after"), Some("30"));
    }

    #[tokio::test]
    async fn a_fault_of_ours_is_told_in_constant_words() {
        let answer = get(&failing(Kind::Internal, None), "/").await;
        answer.assert_problem(500, "internal", INTERNAL_DETAIL);
        let answer = get(&failing(Kind::Unavailable, None), "/").await;
        answer.assert_problem_with(503, "broken", UNAVAILABLE_DETAIL, &json!({"retryAfter": 5}));
        assert_eq!(answer.header("retry-after"), Some("5"));
        let answer = get(&failing(Kind::Unavailable, Some(9)), "/").await;
        assert_eq!(answer.header("retry-after"), Some("9"));
    }

    #[tokio::test]
    async fn a_detail_given_by_hand_is_told_unless_it_is_internal() {
        let answering = |kind| {
            let handler = move || async move { Err::<(), _>(ApiError::new(kind, "given", "Words for the caller.")) };
            served(Router::new().route("/", route(handler)))
        };
        let answer = get(&answering(Kind::Unavailable), "/").await;
        answer.assert_problem_with(503, "given", "Words for the caller.", &json!({"retryAfter": 5}));
        get(&answering(Kind::Internal), "/").await.assert_problem(500, "internal", INTERNAL_DETAIL);
    }

    #[tokio::test]
    async fn a_plain_text_refusal_becomes_a_problem() {
        for (status, code) in [
            (StatusCode::NOT_FOUND, "not_found"),
            (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
            (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        ] {
            let router = served(Router::new().route("/", route(move || async move { (status, "a library's words") })));
            let answer = get(&router, "/").await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.json()["code"], code);
            assert_eq!(answer.json()["requestId"], crate::testing::REQUEST_ID);
            assert!(!answer.text().contains("a library's words"));
        }
    }

    #[tokio::test]
    async fn a_refusal_that_is_json_stays_as_it_is() {
        let body = json!({"valid": false});
        let handler = || async { (StatusCode::BAD_REQUEST, axum::Json(json!({"valid": false}))) };
        let answer = get(&served(Router::new().route("/", route(handler))), "/").await;
        assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, body));
    }

    #[test]
    fn a_cause_is_told_with_its_sources() {
        let broken = Broken { kind: Kind::Internal, retry_after_seconds: None, source: Some(Cause) };
        assert_eq!(chain(&broken), "ann's secret number is 42: the disk is full");
    }
}
