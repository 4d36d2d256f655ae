use std::any::Any;
use std::time::Duration;

use access::Kind;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use http_body_util::Limited;
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::problem::ApiError;
use crate::request_id::NewRequestId;
use crate::{cors, observe};

/// Below this, gzip costs more than it saves.
const COMPRESS_ABOVE_BYTES: u64 = 1024;

/// What the edge allows. Read from the configuration by whoever serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Origins whose pages may call us: `scheme://host[:port]`, compared exactly; `*` alone for all.
    pub allowed_origins: Vec<String>,
    /// Whether browsers may send cookies or client certificates. Not together with `*`. A bearer token needs it not.
    pub allow_credentials: bool,
    /// A larger body is answered with 413.
    pub max_body_bytes: usize,
    /// Until the answer's head; then 503 with code `timeout`, and the handler is dropped. Below the gateway's 29 s.
    pub time_limit: Duration,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            allow_credentials: false,
            max_body_bytes: 1 << 20,
            time_limit: Duration::from_secs(25),
        }
    }
}

/// A configuration that must not be served with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    #[error("allowed origin `*` cannot be combined with credentials")]
    AnyOriginWithCredentials,
    #[error("allowed origin `{origin}` is not `scheme://host[:port]` in lower case")]
    NotAnOrigin { origin: String },
}

/// Puts the edge around all of `router`'s routes, its unknown ones included. Call it last: routes added later are
/// outside of it.
///
/// From the outside in: request id, span, log line and metrics; uniform refusals and security headers; CORS; gzip;
/// panics; time limit; body limit. So an answer to a panic still has its CORS headers and its request id.
pub fn edge<S>(router: Router<S>, edge: &Edge, new_request_id: NewRequestId) -> Result<Router<S>, EdgeError>
where
    S: Clone + Send + Sync + 'static,
{
    let max_body_bytes = edge.max_body_bytes;
    let compressible = SizeAbove::new(COMPRESS_ABOVE_BYTES).and(NotForContentType::IMAGES).and(NotForContentType::SSE);
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(new_request_id, observe::observe))
        .layer(from_fn_with_state(cors::layer(edge)?, cors::answer))
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(edge.time_limit, limit_time))
        // The limit is on what is read, so a handler that reads no body is not in its way.
        .layer(map_request(move |request: Request| async move {
            request.map(|body| Body::new(Limited::new(body, max_body_bytes)))
        }))
        .layer(DefaultBodyLimit::disable());
    Ok(router.fallback(unknown_route).method_not_allowed_fallback(wrong_method).layer(layers))
}

async fn unknown_route() -> ApiError {
    ApiError::new(Kind::NotFound, "unknown_route", "There is no such route.")
}

/// The router adds `Allow` to both answers.
async fn wrong_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let detail = "This route does not take this method; `Allow` has those it takes.";
    ApiError::with_status(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response()
}

/// When the request is dropped; rides in its extensions to whoever has to know how long it may still run.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

async fn limit_time(State(limit): State<Duration>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Deadline(Instant::now() + limit));
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(Kind::Unavailable, "timeout", "The answer took too long. Try again in a moment.")
            .caused_by(format!("no answer within {} ms", limit.as_millis()))
            .into_response(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature `CatchPanicLayer` asks for")]
fn answer_panic(payload: Box<dyn Any + Send>) -> Response {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    ApiError::new(Kind::Internal, "panic", "").caused_by(message).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::routing::{get as on_get, post as on_post};
    use flate2::read::GzDecoder;
    use http::header::CONTENT_TYPE;
    use serde_json::json;

    use super::*;
    use crate::testing::{Answer, REQUEST_ID, behind, get, post, request, send, served};
    use crate::{Json, RequestId};

    fn hello() -> Router {
        Router::new().route("/hello", on_get(|| async { "hello" }).post(|| async { "posted" }))
    }

    async fn with_header(router: &Router, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
        let start = request(method, uri);
        let all = headers.iter().fold(start, |request, (name, value)| request.header(*name, *value));
        send(router, all.body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn every_answer_names_its_request() {
        let router = served(hello());
        assert_eq!(get(&router, "/hello").await.header("x-request-id"), Some(REQUEST_ID));
        let answer = with_header(&router, "GET", "/nowhere", &[("x-request-id", "callers-own-id")]).await;
        assert_eq!(answer.header("x-request-id"), Some("callers-own-id"));
        assert_eq!(answer.json()["requestId"], "callers-own-id");
        let answer = with_header(&router, "GET", "/hello", &[("x-request-id", "<script>")]).await;
        assert_eq!(answer.header("x-request-id"), Some(REQUEST_ID));
    }

    #[tokio::test]
    async fn the_hosts_request_id_is_used_when_the_caller_brings_none() {
        let mut asked = request("GET", "/hello").body(Body::empty()).unwrap();
        asked.extensions_mut().insert(RequestId::new("lambda-1"));
        assert_eq!(send(&served(hello()), asked).await.header("x-request-id"), Some("lambda-1"));
    }

    #[tokio::test]
    async fn a_handler_can_take_the_request_id() {
        let handler = |id: RequestId| async move {
            assert_eq!(RequestId::current().as_ref(), Some(&id));
            id.to_string()
        };
        assert_eq!(get(&served(Router::new().route("/", on_get(handler))), "/").await.text(), REQUEST_ID);
    }

    #[tokio::test]
    async fn an_unknown_route_is_a_404_problem() {
        get(&served(hello()), "/nowhere").await.assert_problem(404, "unknown_route", "There is no such route.");
    }

    #[tokio::test]
    async fn a_method_the_route_does_not_take_is_a_405_problem_with_allow() {
        let answer = with_header(&served(hello()), "DELETE", "/hello", &[]).await;
        let detail = "This route does not take this method; `Allow` has those it takes.";
        answer.assert_problem(405, "method_not_allowed", detail);
        assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    }

    #[tokio::test]
    async fn options_answers_with_what_the_route_takes() {
        let answer = with_header(&served(hello()), "OPTIONS", "/hello", &[]).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
        assert_eq!(with_header(&served(hello()), "OPTIONS", "/nowhere", &[]).await.status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn head_is_get_without_its_body() {
        let answer = with_header(&served(hello()), "HEAD", "/hello", &[]).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""));
        assert_eq!(answer.header("content-length"), Some("5"));
        let answer = with_header(&served(hello()), "HEAD", "/nowhere", &[]).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::NOT_FOUND, ""));
        let router = served(Router::new().route("/", on_get(|| async { "x".repeat(5000) })));
        let answer = with_header(&router, "HEAD", "/", &[("accept-encoding", "gzip")]).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""));
    }

    fn panicking() -> Router {
        async fn panics() -> &'static str {
            panic!("the number was 42")
        }
        Router::new().route("/", on_get(panics))
    }

    fn for_site() -> Edge {
        Edge { allowed_origins: vec!["https://site.example".to_owned()], ..Edge::default() }
    }

    #[tokio::test]
    async fn a_panic_is_a_500_problem_that_browsers_can_read() {
        let router = behind(&for_site(), panicking());
        let answer = with_header(&router, "GET", "/", &[("origin", "https://site.example")]).await;
        let detail = "Something went wrong on our side. The log has it under this request id.";
        answer.assert_problem(500, "internal", detail);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://site.example"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_too_long_is_a_503_problem() {
        let router = served(Router::new().route("/", on_get(std::future::pending::<()>)));
        let answer = get(&router, "/").await;
        let detail = "The answer took too long. Try again in a moment.";
        answer.assert_problem_with(503, "timeout", detail, &json!({"retryAfter": 5}));
        assert_eq!(answer.header("retry-after"), Some("5"));
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        let config = Edge { max_body_bytes: 10, ..Edge::default() };
        let length = |text: String| async move { text.len().to_string() };
        let json_length = |Json(text): Json<String>| async move { text.len().to_string() };
        let router = Router::new().route("/text", on_post(length)).route("/json", on_post(json_length));
        let router = behind(&config, router);
        assert_eq!(post(&router, "/json", r#""12345678""#).await.text(), "8");
        assert_eq!(post(&router, "/text", "1234567890").await.text(), "10");
        let detail = "The body is larger than this route takes.";
        post(&router, "/json", r#""123456789""#).await.assert_problem(413, "payload_too_large", detail);
        post(&router, "/text", "12345678901").await.assert_problem(413, "payload_too_large", detail);
    }

    #[tokio::test]
    async fn a_limit_above_axums_own_holds() {
        let config = Edge { max_body_bytes: 8 << 20, ..Edge::default() };
        let router =
            behind(&config, Router::new().route("/", on_post(|text: String| async move { text.len().to_string() })));
        assert_eq!(post(&router, "/", &"x".repeat(4 << 20)).await.text(), (4 << 20).to_string());
    }

    #[tokio::test]
    async fn large_answers_are_compressed_for_those_who_take_it() {
        let text = "x".repeat(5000);
        let copy = text.clone();
        let small = "x".repeat(1000);
        let router = Router::new()
            .route("/large", on_get(move || async move { copy }))
            .route("/small", on_get(move || async move { small }));
        let router = served(router);

        let answer = with_header(&router, "GET", "/large", &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let mut unpacked = String::new();
        GzDecoder::new(&*answer.body).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);

        assert_eq!(get(&router, "/large").await.text(), text);
        let answer = with_header(&router, "GET", "/small", &[("accept-encoding", "gzip")]).await;
        assert_eq!(answer.header("content-encoding"), None);
    }

    #[tokio::test]
    async fn pages_of_allowed_origins_may_call() {
        let config = Edge { allow_credentials: true, ..for_site() };
        let router = behind(&config, hello());
        let answer = with_header(&router, "GET", "/hello", &[("origin", "https://site.example")]).await;
        assert_eq!(answer.text(), "hello");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://site.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("origin")));
        assert!(answer.header("access-control-expose-headers").is_some_and(|all| all.contains("x-request-id")));

        for other in ["https://other.example", "https://site.example.evil.example", "http://site.example", "null"] {
            let answer = with_header(&router, "GET", "/hello", &[("origin", other)]).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_preflight_is_answered_before_the_route() {
        let router = behind(&for_site(), hello());
        let asked = [("origin", "https://site.example"), ("access-control-request-method", "POST")];
        let answer = with_header(&router, "OPTIONS", "/hello", &asked).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://site.example"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD,POST,PUT,PATCH,DELETE"));
        let headers = "authorization,content-type,if-none-match,idempotency-key,x-request-id";
        assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
        assert_eq!(answer.header("access-control-allow-credentials"), None);

        let asked = [("origin", "https://other.example"), ("access-control-request-method", "POST")];
        let answer = with_header(&router, "OPTIONS", "/hello", &asked).await;
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }

    #[tokio::test]
    async fn without_configuration_no_page_may_call() {
        let answer = with_header(&served(hello()), "GET", "/hello", &[("origin", "https://site.example")]).await;
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }

    fn refused(config: &Edge) -> Option<EdgeError> {
        edge(hello(), config, std::sync::Arc::new(String::new)).err()
    }

    #[test]
    fn any_origin_with_credentials_is_not_served() {
        let any = Edge { allowed_origins: vec!["*".to_owned()], ..Edge::default() };
        assert_eq!(refused(&any), None);
        let with_credentials = Edge { allow_credentials: true, ..any };
        assert_eq!(refused(&with_credentials), Some(EdgeError::AnyOriginWithCredentials));
    }

    #[test]
    fn an_origin_no_browser_sends_is_not_served() {
        let of = |origin: &str| Edge { allowed_origins: vec![origin.to_owned()], ..Edge::default() };
        for good in ["https://site.example", "http://localhost:5173", "http://[::1]:3000"] {
            assert_eq!(refused(&of(good)), None, "{good}");
        }
        for bad in [
            "",
            "null",
            "site.example",
            "https://site.example/",
            "https://site.example/app",
            "https://Site.example",
            "https://*.example",
            "https://ann@site.example",
            "ftp://site.example",
            "https://",
        ] {
            assert_eq!(refused(&of(bad)), Some(EdgeError::NotAnOrigin { origin: bad.to_owned() }), "{bad}");
        }
    }

    #[tokio::test]
    async fn answers_carry_security_headers_and_a_handlers_own_stand() {
        let page = || async { ([(CONTENT_TYPE, "text/html; charset=utf-8")], "<p>") };
        let own = || async { ([("referrer-policy", "origin")], "own") };
        let router = served(hello().route("/page", on_get(page)).route("/own", on_get(own)));
        for uri in ["/hello", "/nowhere"] {
            let answer = get(&router, uri).await;
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
            assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
            let policy = Some("default-src 'none'; frame-ancestors 'none'");
            assert_eq!(answer.header("content-security-policy"), policy);
        }
        assert_eq!(get(&router, "/hello").await.header("cache-control"), None);
        assert_eq!(get(&router, "/page").await.header("content-security-policy"), None);
        assert_eq!(get(&router, "/own").await.header("referrer-policy"), Some("origin"));
    }
}
