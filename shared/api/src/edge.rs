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
    let compressible = SizeAbove::new(COMPRESS_ABOVE_BYTES)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::SSE);
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

async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
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
