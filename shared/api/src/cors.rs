use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AGE, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method, Uri};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::edge::{Edge, EdgeError};
use crate::idempotency::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
use crate::request_id::X_REQUEST_ID;

/// Two hours, the longest Chromium takes.
const PREFLIGHT_AGE: Duration = Duration::from_secs(7200);

/// Exact origins from the configuration. Headers and methods are listed, never `*`, which credentials would void.
pub(crate) fn layer(edge: &Edge) -> Result<CorsLayer, EdgeError> {
    let origins = if edge.allowed_origins.iter().any(|origin| origin == "*") {
        if edge.allow_credentials {
            return Err(EdgeError::AnyOriginWithCredentials);
        }
        AllowOrigin::any()
    } else {
        AllowOrigin::list(edge.allowed_origins.iter().map(|origin| exact(origin)).collect::<Result<Vec<_>, _>>()?)
    };
    Ok(CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(edge.allow_credentials)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, IDEMPOTENCY_KEY, X_REQUEST_ID])
        .expose_headers([
            AGE,
            ETAG,
            IDEMPOTENCY_REPLAYED,
            LINK,
            LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-cache"),
            HeaderName::from_static("x-ranking-as-of"),
            HeaderName::from_static("x-refresh-job"),
            X_REQUEST_ID,
        ])
        .max_age(PREFLIGHT_AGE))
}

/// Browsers send `scheme://host[:port]` in lower case and nothing else; any other text would never match.
fn exact(origin: &str) -> Result<HeaderValue, EdgeError> {
    let refused = || EdgeError::NotAnOrigin { origin: origin.to_owned() };
    let uri: Uri = origin.parse().map_err(|_| refused())?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https")).ok_or_else(refused)?;
    let host = uri.authority().ok_or_else(refused)?;
    let is_exact = origin == format!("{scheme}://{host}").to_lowercase() && !host.as_str().contains(['@', '*']);
    if is_exact { HeaderValue::from_str(origin).map_err(|_| refused()) } else { Err(refused()) }
}

/// Preflights are answered here; a plain OPTIONS is a question to the route, which answers with what it allows.
pub(crate) async fn answer(State(cors): State<CorsLayer>, request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS && !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return next.run(request).await;
    }
    match cors.layer(next).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
