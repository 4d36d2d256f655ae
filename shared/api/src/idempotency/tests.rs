use access::{
    Aws, AwsConfig, Clock, Credentials, Cursors, ManualClock, Rao, RaoConfig, Roots, SeededIds, Tables, Timestamp,
};
use async_trait::async_trait;
use axum::extract::FromRef;
use identity::{FetchError, JwksFetch, LocalIssuer, Refused};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use utoipa::openapi::Info;
use utoipa_axum::routes;

use super::*;
use crate::testing::{Answer as Seen, Recorded, request, send, served};
use crate::{Caller, Endpoint, document};

fn read(value: &[u8]) -> Result<Option<String>, Mismatch> {
    let mut headers = HeaderMap::new();
    headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
    key_of(&headers)
}

#[test]
fn a_key_is_a_string_or_bare() {
    let long = "k".repeat(255);
    for (header, key) in [
        (r#""8e03978e-40d5-43dd-bc93-6894a57f9324""#, "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (r#""a""#, "a"),
        ("a", "a"),
        (" \"a\"\t", "a"),
        (r#""a,b;c""#, "a,b;c"),
        (r#""a\"b\\c""#, r#"a"b\c"#),
        ("order:42/x+y=", "order:42/x+y="),
        (&long, &long),
        (&format!("\"{long}\""), &long),
    ] {
        assert_eq!(read(header.as_bytes()), Ok(Some(key.to_owned())), "{header}");
    }
    assert_eq!(key_of(&HeaderMap::new()), Ok(None));
}

#[test]
fn anything_else_is_refused() {
    let (long, quoted) = ("k".repeat(256), format!("\"{}\"", "k".repeat(256)));
    for header in [
        "",
        " ",
        r#""""#,
        r#"""#,
        r#""a"#,
        r#"a""#,
        r#""a"b"#,
        r#""a"; v=1"#,
        r#""a", "b""#,
        "a,b",
        "a;v=1",
        "a b",
        r#""a b""#,
        r#""a\b""#,
        r#""a\"#,
        r"a\b",
        "a\tb",
        &long,
        &quoted,
    ] {
        let refused = read(header.as_bytes()).unwrap_err();
        assert_eq!((&*refused.name, &*refused.got), ("Idempotency-Key", "another value"), "{header}");
    }
    assert!(read("schlüssel".as_bytes()).is_err());
    let mut twice = HeaderMap::new();
    for key in ["a", "a"] {
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static(key));
    }
    assert_eq!(key_of(&twice).unwrap_err().sentence(), "Header `Idempotency-Key` was given more than once.");
}

proptest! {
    #[test]
    fn a_key_comes_back_from_its_quotes(key in "[!-~]{1,255}") {
        let quoted = format!("\"{}\"", key.replace('\\', r"\\").replace('"', "\\\""));
        prop_assert_eq!(read(quoted.as_bytes()), Ok(Some(key)));
    }

    #[test]
    fn no_header_is_too_strange_to_be_read(value in prop::collection::vec(32_u8..=255, 0..300)) {
        prop_assume!(!value.contains(&127));
        if let Ok(key) = read(&value) {
            let key = key.unwrap();
            prop_assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        }
    }
}

#[test]
fn what_a_client_should_repeat_is_not_kept() {
    for (status, repeated) in [
        (200, false),
        (202, false),
        (204, false),
        (302, false),
        (400, false),
        (403, false),
        (404, false),
        (409, false),
        (422, false),
        (408, true),
        (429, true),
        (500, true),
        (502, true),
        (503, true),
        (504, true),
    ] {
        assert_eq!(may_be_repeated(StatusCode::from_u16(status).unwrap()), repeated, "{status}");
    }
}

#[test]
fn an_answer_is_kept_with_the_headers_that_are_its_own() {
    let kept = ["cache-control", "content-type", "location", "retry-after"];
    let mut headers = HeaderMap::new();
    for name in kept.iter().chain(&["set-cookie", "x-request-id", "ratelimit", "date"]) {
        headers.insert(*name, HeaderValue::from_static("value"));
    }
    let answer = answer(StatusCode::CREATED, &headers, Bytes::from_static(b"body"));
    assert_eq!(answer.headers, kept.map(|name| (name.to_owned(), "value".to_owned())));
    let replayed = replay(answer).unwrap();
    assert_eq!(
        (replayed.status().as_u16(), &replayed.headers()[IDEMPOTENCY_REPLAYED]),
        (201, &HeaderValue::from_static("true"))
    );
    assert_eq!(replayed.headers().len(), kept.len() + 1);
    for wrong in [("bad name", "v"), ("location", "a\nb")] {
        let headers = vec![(wrong.0.to_owned(), wrong.1.to_owned())];
        assert!(replay(Answer { status: 200, headers, body: Bytes::new() }).is_err());
    }
    assert!(replay(Answer { status: 9, headers: Vec::new(), body: Bytes::new() }).is_err());
}

#[derive(Clone)]
struct Home(Arc<Verifier>);

impl FromRef<Home> for Arc<Verifier> {
    fn from_ref(home: &Home) -> Self {
        Self::clone(&home.0)
    }
}

#[utoipa::path(post, path = "/orders", security(("bearer" = [])), responses((status = 201, description = "Done.")))]
async fn make_order(_: Caller) -> StatusCode {
    StatusCode::CREATED
}

#[utoipa::path(post, path = "/open", responses((status = 201)))]
async fn make_open() {}

struct Offline;

#[async_trait]
impl JwksFetch for Offline {
    async fn fetch(&self, _: &str) -> Result<String, FetchError> {
        Err(FetchError::Status(500))
    }
}

/// An idempotent endpoint whose store does not answer, or that was not given one.
struct House {
    router: Router,
    token: String,
    _keys: TempDir,
}

fn house(is_set_up: bool) -> House {
    let keys = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::open(keys.path()).unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
    let seconds = Arc::clone(&clock);
    let now = Arc::new(move || seconds.now().seconds());
    let verifier = Verifier::new(vec![issuer.as_issuer(vec!["web".into()])], Arc::new(Offline), None, now).unwrap();
    let verifier = Arc::new(verifier);
    let mut router = Router::from(Endpoint::new("orders-make-order", routes!(make_order)).idempotent());
    if is_set_up {
        let aws = Aws::new(AwsConfig {
            region: "eu-west-2".into(),
            // The port of `discard`, where nobody listens.
            endpoint_url: Some("http://127.0.0.1:9".into()),
            credentials: Credentials::new("nobody", "nothing", None, None, "tests"),
            roots: Roots::System,
        });
        let (clock, ids): (Arc<dyn Clock>, _) = (clock, Arc::new(SeededIds::new(1)));
        let rao = Rao::new(RaoConfig::default(), None, Arc::clone(&clock), Arc::clone(&ids) as _);
        let tables = Tables::new(aws, "t-", Cursors::new(b"a secret of tests"));
        router = replayed(router, Idempotency::open(&tables, &rao, clock, ids), Arc::clone(&verifier));
    }
    let token = issuer.issue("ann", &[], "web", 3600, 1_800_000_000).unwrap();
    House { router: served(router.with_state(Home(verifier))), token, _keys: keys }
}

impl House {
    async fn order(&self, key: Option<&str>, token: Option<&str>) -> Seen {
        let asked = request("POST", "/orders");
        let asked = key.into_iter().fold(asked, |asked, key| asked.header("idempotency-key", key));
        let asked =
            token.into_iter().fold(asked, |asked, token| asked.header("authorization", format!("Bearer {token}")));
        send(&self.router, asked.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_asked_of_the_store() {
    for is_set_up in [true, false] {
        let house = house(is_set_up);
        assert_eq!(house.order(None, Some(&house.token)).await.status, StatusCode::CREATED);
        house.order(None, None).await.assert_problem(403, "token_missing", Refused::Missing.detail());
    }
}

#[tokio::test]
async fn a_key_is_never_taken_without_a_store() {
    let house = house(false);
    let detail = "Something went wrong on our side. The log has it under this request id.";
    house.order(Some("k"), Some(&house.token)).await.assert_problem(500, "internal", detail);
}

#[tokio::test]
async fn while_the_store_is_down_a_request_with_a_key_is_not_carried_out() {
    let house = house(true);
    let answer = house.order(Some("k"), Some(&house.token)).await;
    let detail = "This cannot be answered right now. Try again in a moment.";
    answer.assert_problem_with(503, "idempotency_unavailable", detail, &json!({"retryAfter": 5}));
}

#[tokio::test]
async fn who_is_not_signed_in_is_refused_as_without_a_key() {
    let house = house(true);
    house.order(Some("k"), None).await.assert_problem(403, "token_missing", Refused::Missing.detail());
    house.order(Some("k"), Some("no.token")).await.assert_problem(403, "token_malformed", Refused::Malformed.detail());
}

#[tokio::test]
async fn a_bad_key_is_a_400_that_does_not_repeat_it() {
    let house = house(true);
    let answer = house.order(Some("a b"), Some(&house.token)).await;
    let detail = format!("Header `Idempotency-Key` was another value: expected {EXPECTED}.");
    let error = json!({"in": "header", "name": "Idempotency-Key", "expected": EXPECTED, "got": "another value"});
    answer.assert_problem_with(400, "invalid_idempotency_key", &detail, &json!({"errors": [error]}));
}

#[tokio::test]
async fn an_answer_of_the_layers_own_is_the_endpoints_in_the_metrics() {
    let recorded = Recorded::default();
    let house = house(false);
    let _guard = metrics::set_default_local_recorder(&recorded);
    house.order(Some("a b"), Some(&house.token)).await;
    assert_eq!(recorded.value("requests{endpoint=orders-make-order,status=400}"), 1.0);
}

#[test]
fn the_document_has_the_header_and_its_refusals() {
    let endpoint: Endpoint<Home> = Endpoint::new("orders-make-order", routes!(make_order)).idempotent();
    let document = serde_json::to_value(document([&endpoint], Info::new("Test", "1"))).unwrap();
    let operation = &document["paths"]["/orders"]["post"];
    let parameter = &operation["parameters"][0];
    assert_eq!(
        (&parameter["name"], &parameter["in"], &parameter["required"]),
        (&json!("Idempotency-Key"), &json!("header"), &json!(false))
    );
    assert_eq!(parameter["schema"], json!({"type": "string", "minLength": 1, "maxLength": 255}));
    let statuses: Vec<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(statuses, ["201", "400", "403", "409", "422", "default"]);
    let schema: &Value = &operation["responses"]["422"]["content"]["application/problem+json"]["schema"];
    assert_eq!(schema, &json!({"$ref": "#/components/schemas/Problem"}));
}

#[test]
#[should_panic(expected = "orders-make-open: an idempotent operation asks for a bearer token")]
fn an_open_endpoint_cannot_be_idempotent() {
    let _: Endpoint<()> = Endpoint::new("orders-make-open", routes!(make_open)).idempotent();
}
