use access::Kind;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
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
                // What axum does not say where the whole path is one value of its own type.
                let values = RawPathParams::from_request_parts(parts, state).await.ok();
                // Nor which field of a struct a message of its own type is about.
                if let Some(mismatch) = values.as_ref().and_then(wrong_field::<T>) {
                    return Err(ApiError::mismatch("invalid_path", mismatch));
                }
                let only = values.as_ref().and_then(|values| values.iter().next()).map(|(_, value)| value);
                let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
                Err(refuse_path(rejection, template, only))
            }
        }
    }
}

/// Which parameter a struct does not take, read again in a way that tells; `None` where that reads it well, or where the
/// path is no struct.
fn wrong_field<T: DeserializeOwned>(values: &RawPathParams) -> Option<Mismatch> {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    let error = serde_path_to_error::deserialize::<_, T>(deserializer).err()?;
    let name = name_of(error.path());
    let (_, value) = values.iter().find(|(key, _)| *key == name)?;
    Some(Mismatch::read(Location::Path, &name, Some(value), &error.inner().to_string()))
}

fn refuse_path(rejection: PathRejection, template: &str, only: Option<&str>) -> ApiError {
    let wrong_handler = |cause: String| ApiError::new(Kind::Internal, "path_and_handler_differ", "").caused_by(cause);
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
        ErrorKind::InvalidUtf8InPathParam { key } => read(&key, "other bytes", "UTF-8 text"),
        ErrorKind::Message(message) => read(parameter(template, 0), only.unwrap_or_default(), &message),
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
            ApiError::mismatch("invalid_query", Mismatch::read(Location::Query, &name, value.as_deref(), &message))
        })
    }
}

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        if !is_json(request.headers()) {
            let detail = "The body must be JSON, declared as `content-type: application/json`.";
            return Err(ApiError::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let bytes = body(request).await?;
        parse(&bytes).map(Self)
    }
}

/// All of the body; 413 when it is too large.
pub async fn body(request: Request) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "The body is larger than this route takes.",
        ),
        _ => ApiError::new(Kind::Invalid, "body_cut_off", "The body could not be read to its end."),
    })
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::{get as on_get, post as on_post};
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::Limit;
    use crate::testing::{Answer, get, post, request, send, served};

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Address(String);

    impl TryFrom<String> for Address {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, &'static str> {
            if text.starts_with("0x") { Ok(Self(text)) } else { Err("an address, 0x and 40 hex digits") }
        }
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Chain {
        Ethereum,
        Base,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Search {
        #[serde(default)]
        limit: Limit<20, 100>,
        cursor: Option<String>,
        depth: Option<u32>,
        chain: Chain,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct SignIn {
        email: String,
        password: Address,
        #[serde(default)]
        devices: Vec<Device>,
        keep: Option<bool>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Device {
        port: u16,
    }

    fn router() -> Router {
        let search = |Query(search): Query<Search>| async move {
            let chain = matches!(search.chain, Chain::Base);
            format!("{} {chain} {:?} {:?}", search.limit.get(), search.cursor, search.depth)
        };
        let sign_in = |Json(body): Json<SignIn>| async move {
            let ports: Vec<_> = body.devices.iter().map(|device| device.port).collect();
            Json(json!({"email": body.email, "password": body.password.0, "ports": ports, "keep": body.keep}))
        };
        served(
            Router::new()
                .route("/search", on_get(search))
                .route("/sign-in", on_post(sign_in))
                .route("/pair/{chain}/{number}", on_get(|Path(_): Path<(Chain, u32)>| async {}))
                .route("/one/{address}", on_get(|Path(Address(text)): Path<Address>| async move { text }))
                .route("/number/{count}", on_get(|Path(count): Path<i64>| async move { count.to_string() }))
                .route("/wrong/{a}/{b}", on_get(|Path(_): Path<(u8, u8, u8)>| async {})),
        )
    }

    #[track_caller]
    fn assert_mismatch(answer: &Answer, code: &str, mismatch: (&str, &str, &str, &str), detail: &str) {
        let (location, name, expected, got) = mismatch;
        let errors = json!({"errors": [{"in": location, "name": name, "expected": expected, "got": got}]});
        answer.assert_problem_with(400, code, detail, &errors);
    }

    #[tokio::test]
    async fn good_parameters_reach_the_handler() {
        let router = router();
        assert_eq!(get(&router, "/search?chain=base&limit=7&cursor=a%20b").await.text(), r#"7 true Some("a b") None"#);
        assert_eq!(get(&router, "/search?chain=ethereum&depth=2").await.text(), "20 false None Some(2)");
        assert_eq!(get(&router, "/one/0xab").await.text(), "0xab");
        assert_eq!(get(&router, "/number/-3").await.text(), "-3");
    }

    #[tokio::test]
    async fn a_wrong_query_parameter_is_told_with_what_was_expected() {
        let router = router();
        for (query, name, expected, got, detail) in [
            (
                "chain=base&limit=0",
                "limit",
                "a whole number from 1 to 100",
                "0",
                "Query parameter `limit` was `0`: expected a whole number from 1 to 100.",
            ),
            (
                "chain=base&depth=deep",
                "depth",
                "a whole number",
                "deep",
                "Query parameter `depth` was `deep`: expected a whole number.",
            ),
            (
                "chain=tron",
                "chain",
                "`ethereum` or `base`",
                "tron",
                "Query parameter `chain` was `tron`: expected `ethereum` or `base`.",
            ),
            ("limit=5", "chain", "a value", "nothing", "Query parameter `chain` is required."),
            (
                "chain=base&limit=5&limit=6",
                "limit",
                "one value",
                "several",
                "Query parameter `limit` was given more than once.",
            ),
            (
                "chain=base&offset=5",
                "offset",
                "one of `limit`, `cursor`, `depth`, `chain`",
                "an unknown parameter",
                "Query parameter `offset` is unknown: expected one of `limit`, `cursor`, `depth`, `chain`.",
            ),
        ] {
            let answer = get(&router, &format!("/search?{query}")).await;
            assert_mismatch(&answer, "invalid_query", ("query", name, expected, got), detail);
        }
    }

    #[tokio::test]
    async fn a_wrong_path_parameter_is_told_with_what_was_expected() {
        let router = router();
        for (uri, name, expected, got, detail) in [
            (
                "/one/abc",
                "address",
                "an address, 0x and 40 hex digits",
                "abc",
                "Path parameter `address` was `abc`: expected an address, 0x and 40 hex digits.",
            ),
            (
                "/number/many",
                "count",
                "a whole number",
                "many",
                "Path parameter `count` was `many`: expected a whole number.",
            ),
            (
                "/pair/base/-1",
                "number",
                "a whole number, not negative",
                "-1",
                "Path parameter `number` was `-1`: expected a whole number, not negative.",
            ),
            (
                "/pair/tron/1",
                "chain",
                "`ethereum` or `base`",
                "tron",
                "Path parameter `chain` was `tron`: expected `ethereum` or `base`.",
            ),
            (
                "/number/%ff",
                "count",
                "UTF-8 text",
                "other bytes",
                "Path parameter `count` was `other bytes`: expected UTF-8 text.",
            ),
        ] {
            assert_mismatch(&get(&router, uri).await, "invalid_path", ("path", name, expected, got), detail);
        }
    }

    #[tokio::test]
    async fn a_handler_that_does_not_fit_its_path_is_our_fault() {
        let answer = get(&router(), "/wrong/1/2").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (500, &json!("internal")));
    }

    #[tokio::test]
    async fn a_good_body_reaches_the_handler() {
        let body = r#"{"email":"a@b.example","password":"0x1","devices":[{"port":80}],"keep":true}"#;
        let echoed = json!({"email": "a@b.example", "password": "0x1", "ports": [80], "keep": true});
        assert_eq!(post(&router(), "/sign-in", body).await.json(), echoed);
    }

    #[tokio::test]
    async fn a_wrong_body_field_is_told_with_its_way_but_not_its_value() {
        let router = router();
        for (body, name, expected, got, detail) in [
            (
                json!({"email": 5, "password": "0x1"}),
                "email",
                "a string",
                "a number",
                "Body field `email` was a number: expected a string.",
            ),
            (json!({"email": "a"}), "password", "a value", "nothing", "Body field `password` is required."),
            (
                json!({"email": "a", "password": "hunter2"}),
                "password",
                "an address, 0x and 40 hex digits",
                "another value",
                "Body field `password` was another value: expected an address, 0x and 40 hex digits.",
            ),
            (
                json!({"email": "a", "password": "0x", "devices": [{"port": 80}, {"port": "hunter2"}]}),
                "devices[1].port",
                "a whole number, not negative",
                "a string",
                "Body field `devices[1].port` was a string: expected a whole number, not negative.",
            ),
            (
                json!({"email": "a", "password": "0x", "devices": [{}]}),
                "devices[0].port",
                "a value",
                "nothing",
                "Body field `devices[0].port` is required.",
            ),
            (
                json!({"email": "a", "password": "0x", "devices": [{"port": 70000}]}),
                "devices[0].port",
                "a whole number, not negative",
                "a number",
                "Body field `devices[0].port` was a number: expected a whole number, not negative.",
            ),
            (
                json!({"email": "a", "password": "0x", "keep": "hunter2"}),
                "keep",
                "true or false",
                "a string",
                "Body field `keep` was a string: expected true or false.",
            ),
            (
                json!({"email": "a", "password": "0x", "colour": "hunter2"}),
                "colour",
                "one of `email`, `password`, `devices`, `keep`",
                "an unknown field",
                "Body field `colour` is unknown: expected one of `email`, `password`, `devices`, `keep`.",
            ),
            (json!("hunter2"), "", "an object", "a string", "The body was a string: expected an object."),
        ] {
            let answer = post(&router, "/sign-in", &body.to_string()).await;
            assert_mismatch(&answer, "invalid_body", ("body", name, expected, got), detail);
            assert!(!answer.text().contains("hunter2"), "{}", answer.text());
        }
    }

    #[tokio::test]
    async fn what_is_no_json_is_told_by_its_place() {
        let router = router();
        let place = |text: &str| format!("The body is not JSON: see {text}.");
        for (body, detail) in [
            ("", "The body is empty: expected JSON.".to_owned()),
            ("{\n  hunter2", place("line 2, column 3")),
            (r#"{"email":"a","password":"0x"} hunter2"#, place("line 1, column 31")),
            (r#"{"email":"a""#, place("line 1, column 12")),
        ] {
            post(&router, "/sign-in", body).await.assert_problem(400, "malformed_json", &detail);
        }
    }

    #[tokio::test]
    async fn a_body_must_be_declared_as_json() {
        let sent = async |declared: Option<&str>| {
            let asked = request("POST", "/sign-in");
            let asked = declared.into_iter().fold(asked, |asked, value| asked.header("content-type", value));
            send(&router(), asked.body(Body::from(r#"{"email":"a","password":"0x"}"#)).unwrap()).await
        };
        let detail = "The body must be JSON, declared as `content-type: application/json`.";
        for declared in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("text/json")] {
            sent(declared).await.assert_problem(415, "unsupported_media_type", detail);
        }
        for declared in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert_eq!(sent(Some(declared)).await.status, StatusCode::OK, "{declared}");
        }
    }

    #[test]
    fn parameters_are_named_by_their_template() {
        assert_eq!(parameter("/v1/{chain}/x/{*rest}", 0), "chain");
        assert_eq!(parameter("/v1/{chain}/x/{*rest}", 1), "rest");
        assert_eq!(parameter("/v1/{chain}", 1), "");
    }

    proptest! {
        #[test]
        fn a_body_never_comes_back_in_its_refusal(secret in "[a-z]{12,40}", template in 0usize..6) {
            let body = match template {
                0 => json!({"email": [secret], "password": "0x"}),
                1 => json!({"email": "a", "password": secret}),
                2 => json!({"email": {"x": secret}, "password": "0x"}),
                3 => json!({"email": "a", "password": "0x", "keep": format!("`{secret}`, expected `{secret}`")}),
                4 => json!({"email": "a", "password": "0x", "devices": secret}),
                _ => json!({"email": "a", "password": "0x", "devices": [{"port": format!("\", expected {secret}")}]}),
            };
            let error = parse::<SignIn>(body.to_string().as_bytes()).err().expect("each of them is wrong");
            prop_assert!(!format!("{error:?}").contains(&secret), "{error:?}");
        }

        #[test]
        fn bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = parse::<SignIn>(&bytes);
            let _ = parse::<Value>(&bytes);
        }
    }
}
