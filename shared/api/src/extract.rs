use access::Kind;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use url::form_urlencoded;

use crate::mismatch::{Location, Mismatch};
use crate::problem::ApiError;

/// The path's parameters; 400 `invalid_path` says which one was wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<T>(pub T);

/// The query's parameters; 400 `invalid_query` says which one was wrong. Where `T` has `deny_unknown_fields` an
/// unknown parameter is refused with the list of the known ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

/// A JSON body, in and out. In: 415 when it is not declared as JSON, 413 when it is too large, 400 `malformed_json`
/// when it is none, 400 `invalid_body` with the field that is not as expected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
                Err(refuse_path(rejection, template))
            }
        }
    }
}

fn refuse_path(rejection: PathRejection, template: &str) -> ApiError {
    let wrong_handler =
        |cause: String| ApiError::new(Kind::Internal, "path_and_handler_differ", "").caused_by(cause);
    let kind = match rejection {
        PathRejection::FailedToDeserializePathParams(error) => error.into_kind(),
        other => return wrong_handler(other.to_string()),
    };
    let read = |name: &str, value: &str, expected: &str| {
        ApiError::mismatch("invalid_path", Mismatch::read(Location::Path, name, Some(value), expected))
    };
    match kind {
        ErrorKind::ParseErrorAtKey { key, value, expected_type } => read(&key, &value, expected_type),
        ErrorKind::ParseErrorAtIndex { index, value, expected_type } => {
            read(parameter(template, index), &value, expected_type)
        }
        ErrorKind::ParseError { value, expected_type } => read(parameter(template, 0), &value, expected_type),
        ErrorKind::DeserializeError { key, value, message } => read(&key, &value, &message),
        ErrorKind::InvalidUtf8InPathParam { key } => read(&key, "bytes", "UTF-8 text"),
        // Only where the whole path is one value of its own type.
        ErrorKind::Message(message) => {
            let mismatch = Mismatch::read(Location::Path, parameter(template, 0), None, &message);
            ApiError::mismatch("invalid_path", mismatch)
        }
        other => wrong_handler(other.to_string()),
    }
}

/// The name of a path template's parameter: `chain` is the first in `/v1/tokens/{chain}/{address}`.
fn parameter(template: &str, index: usize) -> &str {
    let parameters = template.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    parameters.map(|name| name.trim_start_matches('*')).nth(index).unwrap_or_default()
}

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query));
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let name = name_of(error.path());
            let value = form_urlencoded::parse(query).find(|(key, _)| *key == *name).map(|(_, value)| value);
            let message = error.inner().to_string();
            ApiError::mismatch(
                "invalid_query",
                Mismatch::read(Location::Query, &name, value.as_deref(), &message),
            )
        })
    }
}

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        if !is_json(request.headers()) {
            let detail = "The body must be JSON, declared as `content-type: application/json`.";
            return Err(ApiError::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::with_status(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "The body is larger than this route takes.",
            ),
            _ => ApiError::new(Kind::Invalid, "body_cut_off", "The body could not be read to its end."),
        })?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::new(Kind::Invalid, "malformed_json", "The body is empty: expected JSON."));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refuse_json(&name_of(error.path()), error.inner()))?;
    deserializer.end().map_err(|error| refuse_json("", &error))?;
    Ok(value)
}

fn refuse_json(name: &str, error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    if error.classify() != Category::Data {
        let detail = format!("The body is not JSON: see line {line}, column {column}.");
        return ApiError::new(Kind::Invalid, "malformed_json", detail);
    }
    let text = error.to_string();
    let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    ApiError::mismatch("invalid_body", Mismatch::read(Location::Body, name, None, message))
}

/// Empty for the root, which `serde_path_to_error` writes as a dot.
fn name_of(path: &serde_path_to_error::Path) -> String {
    let name = path.to_string();
    if name == "." { String::new() } else { name }
}

/// `application/json` or `application/<something>+json`, with any parameters. A declared type is asked for because
/// browsers send others across origins without a preflight.
fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}
