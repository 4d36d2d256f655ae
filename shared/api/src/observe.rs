use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::header::{CONTENT_SECURITY_POLICY, Entry};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use metrics::Unit;
use tracing::Instrument;

use crate::endpoint::EndpointName;
use crate::problem::{Failure, unify};
use crate::request_id::{NewRequestId, RequestId, X_REQUEST_ID};

const REQUESTS: &str = "requests";
const LATENCY: &str = "latency";
/// The route and endpoint of what matches none: a path is the caller's text and belongs neither in a label nor in a log.
const UNMATCHED: &str = "unmatched";

/// Tells the installed recorder the units of this crate's metrics: `requests` {endpoint, status} and `latency`
/// {endpoint}, in milliseconds. Once, after the recorder is installed.
pub fn describe_metrics() {
    metrics::describe_counter!(REQUESTS, Unit::Count, "Requests answered.");
    metrics::describe_histogram!(LATENCY, Unit::Milliseconds, "From a request's head to its answer's.");
}

/// One span, one log line and two metrics a request, and the log's only line about a failure. Nothing of what the
/// caller wrote but the method and a well-formed request id: no path, query, header, body or address.
pub(crate) async fn observe(State(new_id): State<NewRequestId>, mut request: Request, next: Next) -> Response {
    // Tokio's clock, for it is the one the time limit goes by; tests can pause it.
    let started = tokio::time::Instant::now();
    let id = RequestId::of(request.headers(), request.extensions(), &new_id);
    let method = name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let endpoint = EndpointName::default();
    request.extensions_mut().insert(endpoint.clone());
    request.extensions_mut().insert(id.clone());

    // At the level of errors, so that those a handler logs have their request id whatever the filter.
    let span = tracing::error_span!("request", request_id = %id, method, route);
    let answer = async { unify(next.run(request).await).await };
    let mut response = id.clone().scope(answer).instrument(span).await;
    finish(&mut response, &id);

    let status = response.status();
    let latency_ms = milliseconds(started.elapsed());
    let failure = response.extensions_mut().remove::<Failure>();
    let outcome = failure.as_ref().map_or("ok", |failure| failure.code);
    if let Some(Failure { kind, code, cause }) = &failure
        && status.is_server_error()
    {
        let cause = cause.as_deref().unwrap_or("none given");
        tracing::error!(request_id = %id, method, route, ?kind, code, cause, "request failed");
    }
    tracing::info!(request_id = %id, method, route, status = status.as_u16(), latency_ms, outcome, "request");
    record(endpoint.get().unwrap_or(UNMATCHED), status, latency_ms);
    response
}

fn record(endpoint: &'static str, status: StatusCode, latency_ms: f64) {
    metrics::counter!(REQUESTS, "endpoint" => endpoint, "status" => status.as_str().to_owned()).increment(1);
    metrics::histogram!(LATENCY, "endpoint" => endpoint).record(latency_ms);
}

/// Rounded to a microsecond, which is what a log reader can use.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A method may be any word; only the standard ones are ours to repeat.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "other",
    }
}

/// The request id, and what keeps browsers from doing more with an answer than reading it. A handler's own headers
/// stand; pages may bring their own policy and get none from us.
fn finish(response: &mut Response, id: &RequestId) {
    let is_page = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let policy = (!is_page).then_some((CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"));
    let fixed: [(HeaderName, &str); 3] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed.into_iter().chain(policy) {
        if let Entry::Vacant(entry) = headers.entry(name) {
            entry.insert(HeaderValue::from_static(value));
        }
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, value);
    }
}
