use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, Entry};
use http::header::{CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
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
    let outcome = match &failure {
        Some(failure) => failure.code,
        None if status.is_client_error() || status.is_server_error() => "error",
        None => "ok",
    };
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
    let is_page = response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
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

#[cfg(test)]
mod tests {
    use access::Kind;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::{get as on_get, post as on_post};
    use serde_json::{Value, json};
    use utoipa_axum::routes;

    use super::*;
    use crate::testing::{Log, REQUEST_ID, Recorded, get, post, request, send, served};
    use crate::{ApiError, Endpoint, Json, Path};

    fn without_latency(mut lines: Vec<Value>) -> Vec<Value> {
        for line in &mut lines {
            let latency = line.as_object_mut().unwrap().remove("latency_ms");
            assert_eq!(latency.is_some_and(|ms| ms.is_f64()), line["message"] == "request");
        }
        lines
    }

    #[tokio::test]
    async fn a_request_is_one_line() {
        let (log, _guard) = Log::capture();
        let router = served(Router::new().route("/v1/tokens/{address}", on_get(|Path(_): Path<String>| async {})));
        get(&router, "/v1/tokens/0xabc?code=hunter2").await;
        let line = json!({
            "level": "INFO", "message": "request", "request_id": REQUEST_ID, "method": "GET",
            "route": "/v1/tokens/{address}", "status": 200, "outcome": "ok",
        });
        assert_eq!(without_latency(log.lines()), [line]);
    }

    #[tokio::test]
    async fn a_refusal_is_one_line_with_its_code() {
        let (log, _guard) = Log::capture();
        get(&served(Router::new()), "/secret-path").await;
        let line = json!({
            "level": "INFO", "message": "request", "request_id": REQUEST_ID, "method": "GET",
            "route": "unmatched", "status": 404, "outcome": "unknown_route",
        });
        assert_eq!(without_latency(log.lines()), [line]);
    }

    #[tokio::test]
    async fn a_failure_is_logged_once_with_its_cause() {
        let (log, _guard) = Log::capture();
        let failing = || async {
            Err::<(), _>(ApiError::new(Kind::Unavailable, "queue_unavailable", "").caused_by("connection reset"))
        };
        get(&served(Router::new().route("/", on_get(failing))), "/").await;
        let error = json!({
            "level": "ERROR", "message": "request failed", "request_id": REQUEST_ID, "method": "GET", "route": "/",
            "kind": "Unavailable", "code": "queue_unavailable", "cause": "connection reset",
        });
        let line = json!({
            "level": "INFO", "message": "request", "request_id": REQUEST_ID, "method": "GET", "route": "/",
            "status": 503, "outcome": "queue_unavailable",
        });
        assert_eq!(without_latency(log.lines()), [error, line]);
    }

    #[tokio::test]
    async fn a_panic_is_logged_once_with_its_message() {
        async fn panics() -> &'static str {
            panic!("the number was 42")
        }
        let (log, _guard) = Log::capture();
        get(&served(Router::new().route("/", on_get(panics))), "/").await;
        let errors: Vec<_> = log.lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
        assert_eq!(errors.len(), 1);
        assert_eq!((&errors[0]["code"], &errors[0]["cause"]), (&json!("panic"), &json!("the number was 42")));
    }

    #[tokio::test]
    async fn a_librarys_failure_is_logged_with_its_words() {
        let (log, _guard) = Log::capture();
        let handler = || async { (StatusCode::INTERNAL_SERVER_ERROR, "extension missing") };
        get(&served(Router::new().route("/", on_get(handler))), "/").await;
        assert_eq!(log.lines()[0]["cause"], "extension missing");
    }

    #[tokio::test]
    async fn a_refusal_in_a_handlers_own_json_is_no_success() {
        let (log, _guard) = Log::capture();
        let handler = || async { (StatusCode::BAD_REQUEST, axum::Json(json!({"valid": false}))) };
        get(&served(Router::new().route("/", on_get(handler))), "/").await;
        assert_eq!(log.lines()[0]["outcome"], "error");
    }

    #[tokio::test]
    async fn what_a_handler_logs_names_its_request() {
        let (log, _guard) = Log::capture();
        let handler = || async { tracing::warn!("odd") };
        get(&served(Router::new().route("/", on_get(handler))), "/").await;
        let line = log.lines().into_iter().find(|line| line["message"] == "odd").unwrap();
        let span = json!({"name": "request", "request_id": REQUEST_ID, "method": "GET", "route": "/"});
        assert_eq!(line["span"], span);
    }

    #[tokio::test]
    async fn nothing_a_caller_wrote_is_logged() {
        let (log, _guard) = Log::capture();
        let router = served(Router::new().route("/v1/{name}", on_post(|Json(_): Json<u32>| async {})));
        let asked = |uri: &str| {
            request("POST", uri)
                .header("content-type", "application/json")
                .header("authorization", "Bearer hunter2")
                .header("cookie", "hunter2")
                .header("user-agent", "hunter2")
                .header("x-forwarded-for", "hunter2")
                .header("x-request-id", "hunter2 ")
        };
        for uri in ["/v1/hunter2?code=hunter2", "/hunter2"] {
            send(&router, asked(uri).body(Body::from(r#""hunter2""#)).unwrap()).await;
        }
        let strange = request("HUNTER2", "/v1/x").body(Body::empty()).unwrap();
        send(&router, strange).await;
        assert_eq!(log.lines().len(), 3);
        assert!(!log.text().to_lowercase().contains("hunter2"), "{}", log.text());
    }

    #[utoipa::path(post, path = "/v1/things/{id}", responses((status = 200)))]
    async fn make_thing(Path(id): Path<u32>, Json(size): Json<u32>) -> String {
        format!("{id} of {size}")
    }

    #[tokio::test]
    async fn requests_and_their_latency_are_counted_by_endpoint() {
        let recorded = Recorded::default();
        let _guard = metrics::set_default_local_recorder(&recorded);
        let router = served(Endpoint::new("things-make-thing", routes!(make_thing)).into());
        post(&router, "/v1/things/1", "1").await;
        post(&router, "/v1/things/2", "1").await;
        post(&router, "/v1/things/x", "1").await;
        get(&router, "/v1/things/1").await;
        get(&router, "/nowhere").await;
        assert_eq!(recorded.value("requests{endpoint=things-make-thing,status=200}"), 2.0);
        assert_eq!(
            recorded.names(),
            [
                "latency{endpoint=things-make-thing}",
                "latency{endpoint=things-make-thing}",
                "latency{endpoint=things-make-thing}",
                "latency{endpoint=unmatched}",
                "latency{endpoint=unmatched}",
                "requests{endpoint=things-make-thing,status=200}",
                "requests{endpoint=things-make-thing,status=200}",
                "requests{endpoint=things-make-thing,status=400}",
                "requests{endpoint=unmatched,status=404}",
                "requests{endpoint=unmatched,status=405}",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn latency_is_in_milliseconds_and_a_timed_out_request_keeps_its_endpoint() {
        #[utoipa::path(get, path = "/", responses((status = 200)))]
        async fn wait_for_ever() {
            std::future::pending::<()>().await;
        }
        let recorded = Recorded::default();
        let _guard = metrics::set_default_local_recorder(&recorded);
        get(&served(Endpoint::new("things-wait", routes!(wait_for_ever)).into()), "/").await;
        let latency = recorded.value("latency{endpoint=things-wait}");
        assert!((25_000.0..25_100.0).contains(&latency), "{latency}");
        assert_eq!(recorded.value("requests{endpoint=things-wait,status=503}"), 1.0);
    }

    #[test]
    fn milliseconds_are_rounded_to_a_microsecond() {
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567)), 1.235);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2000.0);
    }
}
