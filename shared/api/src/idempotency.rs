use std::sync::Arc;
use std::time::Duration;

use access::{AccessError, Answer, Attempt, Begun, Digest, Idempotency, Kind};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use identity::Verifier;
use tokio::runtime::Handle;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, Ref, RefOr, Required, Response as Described, ResponseBuilder, Type,
};

use crate::caller::{Verified, verify};
use crate::edge::{Deadline, Edge};
use crate::extract::body as read_body;
use crate::mismatch::{Location, Mismatch};
use crate::problem::{ApiError, Fault, PROBLEM_JSON};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const MAX_KEY_LENGTH: usize = 255;
const EXPECTED: &str = "one string of 1 to 255 visible ASCII characters, such as `\"8e03978e-40d5-43dd\"`";

/// After the time limit, until nothing of the request runs any more.
const GRACE: Duration = Duration::from_secs(1);
/// An attempt is mostly done long before it must be, so whoever repeats it need not wait for that.
const SOON: Duration = Duration::from_secs(2);

/// What an answer is repeated with, beside status and body. All else is of the one request, or the edge adds it.
const KEPT_HEADERS: [HeaderName; 4] = [CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER];

/// Where answers are kept; rides in a request's extensions to its endpoint, which knows whether it repeats them.
#[derive(Clone)]
struct Replaying {
    idempotency: Idempotency,
    verifier: Arc<Verifier>,
}

/// Gives the endpoints in `router` that are [`Endpoint::idempotent`] where to keep their answers. Without it their
/// requests with an `Idempotency-Key` are refused. Call it before [`edge`], so that it is inside.
///
/// [`Endpoint::idempotent`]: crate::Endpoint::idempotent
/// [`edge`]: crate::edge()
pub fn replayed<S>(router: Router<S>, idempotency: Idempotency, verifier: Arc<Verifier>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(Extension(Replaying { idempotency, verifier }))
}

/// Around an idempotent endpoint: of all requests of one caller with one key, one reaches the handler, and the others
/// get its answer.
pub(crate) async fn once(State(endpoint): State<&'static str>, request: Request, next: Next) -> Response {
    match key_of(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => run_once(endpoint, &key, request, next).await.unwrap_or_else(IntoResponse::into_response),
        Err(mismatch) => ApiError::mismatch("invalid_idempotency_key", mismatch).into_response(),
    }
}

async fn run_once(endpoint: &str, key: &str, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let replaying = request.extensions().get::<Replaying>().cloned();
    // Nobody would notice that requests are not protected, so they are not taken.
    let replaying = replaying.ok_or_else(|| ApiError::new(Kind::Internal, "idempotency_not_set_up", ""))?;
    let Replaying { idempotency, verifier } = replaying;

    let verified = match request.extensions().get::<Verified>() {
        Some(Verified(verified)) => verified.clone(),
        None => verify(request.headers(), &verifier).await,
    };
    request.extensions_mut().insert(Verified(verified.clone()));
    let caller = verified?;
    let whose =
        Digest::of(&[caller.issuer.as_bytes(), caller.sub.as_str().as_bytes(), endpoint.as_bytes(), key.as_bytes()]);

    let within = time_left(&request) + GRACE;
    let (parts, body) = request.into_parts();
    let body = read_body(Request::from_parts(parts.clone(), body)).await?;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let payload = Digest::of(&[parts.method.as_str().as_bytes(), path.as_bytes(), content_type, &body]);

    match idempotency.begin(whose, payload, within).await.map_err(StoreFailed)? {
        Begun::Started(attempt) => {
            let guard = Guard { idempotency, attempt: Some(attempt) };
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            finish(guard, response).await
        }
        Begun::Answered(answer) => replay(answer),
        Begun::AnswerNotKept => Err(Repeated::AnswerNotKept.into()),
        Begun::InProgress { at_most } => Err(Repeated::InProgress { retry_after: at_most.min(SOON) }.into()),
        Begun::OtherPayload => Err(other_payload()),
    }
}

/// Until this request is dropped by the edge, or would be: whoever serves without one is expected to be no slower.
fn time_left(request: &Request) -> Duration {
    request.extensions().get::<Deadline>().map_or_else(|| Edge::default().time_limit, Deadline::left)
}

async fn finish(mut guard: Guard, response: Response) -> Result<Response, ApiError> {
    let (parts, body) = response.into_parts();
    // While the guard is armed: an answer that breaks off is none.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(ApiError::new(Kind::Internal, "answer_cut_off", "").caused_by(error)),
    };
    // From here on it is not given up when this request is dropped: the handler has done what it was asked for.
    let Some(attempt) = guard.attempt.take() else { return Ok(Response::from_parts(parts, Body::from(body))) };
    if may_be_repeated(parts.status) {
        give_up(&guard.idempotency, &attempt).await;
    } else {
        let answer = answer(parts.status, &parts.headers, body.clone());
        match guard.idempotency.finish(&attempt, answer).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("an idempotent request took longer than its time; another took its place"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the answer of an idempotent request is not kept: a repeat runs again");
            }
        }
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Whether the same request should be tried again: then it must find nobody's answer.
fn may_be_repeated(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

async fn give_up(idempotency: &Idempotency, attempt: &Attempt) {
    if let Err(error) = idempotency.abandon(attempt).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "an idempotent request that failed can be repeated only when its time is over");
    }
}

fn answer(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Answer {
    let text = |name: &HeaderName| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned()));
    Answer { status: status.as_u16(), headers: KEPT_HEADERS.iter().filter_map(text).collect(), body }
}

fn replay(answer: Answer) -> Result<Response, ApiError> {
    let unreadable = |cause: http::Error| ApiError::new(Kind::Internal, "kept_answer_unreadable", "").caused_by(cause);
    let start = Response::builder().status(answer.status);
    let start = answer.headers.into_iter().fold(start, |start, (name, value)| start.header(name, value));
    start.header(IDEMPOTENCY_REPLAYED, "true").body(Body::from(answer.body)).map_err(unreadable)
}

/// Gives the attempt up when the request is dropped: by the time limit, a panic, or a caller who went away. In a Lambda
/// that is frozen by then, the attempt ends with its time.
struct Guard {
    idempotency: Idempotency,
    attempt: Option<Attempt>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (Some(attempt), Ok(runtime)) = (self.attempt.take(), Handle::try_current()) {
            let idempotency = self.idempotency.clone();
            runtime.spawn(async move { give_up(&idempotency, &attempt).await });
        }
    }
}

/// The key, as an RFC 8941 string or bare, as most clients send it; both spellings are the same key.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Mismatch> {
    let wrong = |got: &'static str| Mismatch {
        location: Location::Header,
        name: "Idempotency-Key".to_owned(),
        expected: EXPECTED.into(),
        got: got.into(),
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(wrong("several")),
    };
    let other = || wrong("another value");
    let value = value.to_str().map_err(|_| other())?.trim_matches([' ', '\t']);
    let key = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted).ok_or_else(other)?,
        // A comma is where a gateway joined two lines; what follows a semicolon would be parameters.
        None if value.contains(['"', '\\', ',', ';']) => return Err(other()),
        None => value.to_owned(),
    };
    let is_good = (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { Ok(Some(key)) } else { Err(other()) }
}

/// What stands before the closing quote, where that is the end.
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.as_str().is_empty().then_some(key),
            '\\' => key.push(rest.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

/// Without it nothing is done: whoever sent a key wants it done once or not at all.
#[derive(Debug, thiserror::Error)]
#[error("answers to idempotent requests cannot be looked up")]
struct StoreFailed(#[source] AccessError);

impl Fault for StoreFailed {
    fn kind(&self) -> Kind {
        self.0.kind()
    }

    fn code(&self) -> &'static str {
        "idempotency_unavailable"
    }
}

/// A repeat that has no answer yet, or none any more.
#[derive(Debug, thiserror::Error)]
enum Repeated {
    #[error("A request with this `Idempotency-Key` is being answered. Ask again in a moment.")]
    InProgress { retry_after: Duration },
    #[error("A request with this `Idempotency-Key` was answered; the answer was too large to be kept.")]
    AnswerNotKept,
}

impl Fault for Repeated {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InProgress { .. } => "idempotency_in_progress",
            Self::AnswerNotKept => "idempotency_answer_not_kept",
        }
    }

    fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::InProgress { retry_after } => {
                Some(u32::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1))
            }
            Self::AnswerNotKept => None,
        }
    }
}

fn other_payload() -> ApiError {
    let detail = "This `Idempotency-Key` came with another request before: method, path, query, content type or body \
                  differ. A new request needs a new key.";
    ApiError::with_status(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
}

/// Adds to an operation what [`once`] takes and answers.
pub(crate) fn describe(operation: &mut Operation) {
    operation.parameters.get_or_insert_with(Vec::new).push(RefOr::T(parameter()));
    for (status, description) in [
        ("400", "The request is wrong, or `invalid_idempotency_key`."),
        ("409", "A request with this key is being answered, `idempotency_in_progress`: ask again after `Retry-After`."),
        ("422", "`idempotency_key_reused`: the key came with another request before."),
    ] {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| problem(description).into());
    }
}

fn parameter() -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(MAX_KEY_LENGTH));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Of all requests with this key one is carried out; for 24 hours the others get its answer, with \
             `Idempotency-Replayed: true`. A random UUID serves well.",
        ))
        .schema(Some(RefOr::T(schema.build().into())))
        .build()
}

fn problem(description: &str) -> Described {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}

#[cfg(test)]
mod tests;
