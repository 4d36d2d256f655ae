//! Requests with an `Idempotency-Key` over a real DynamoDB engine: crowds with one key, processes that die half-way, and
//! how long an answer is repeated.

use std::convert::Infallible;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::{Aws, Clock, Cursors, Idempotency, ManualClock, RandomIds, Rao, RaoConfig, Tables, Timestamp};
use api::{Caller, Edge, Endpoint, edge, replayed};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::join_all;
use holdfast::Embedded;
use http::header::LOCATION;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use identity::{FetchError, JwksFetch, Verifier};
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;
use utoipa_axum::routes;

use crate::faults::{Moment, Proxy, client};
use crate::world::issuer;

/// Later than any day these tests run on: the engine removes what has expired by the machine's clock.
const START: Timestamp = Timestamp(4_000_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// What was ordered, and how the next order is answered.
#[derive(Default)]
struct Orders {
    made: Mutex<Vec<String>>,
    /// Not 0: instead of 201.
    status: AtomicU16,
    /// Not 0: so many bytes, instead of a line.
    length: AtomicUsize,
    panics: AtomicBool,
    /// Makes the order and answers when it is released.
    hangs: AtomicBool,
    hanging: Notify,
    released: Notify,
}

#[derive(Clone)]
struct Shop {
    verifier: Arc<Verifier>,
    orders: Arc<Orders>,
}

impl FromRef<Shop> for Arc<Verifier> {
    fn from_ref(shop: &Shop) -> Self {
        Self::clone(&shop.verifier)
    }
}

#[utoipa::path(method(post, put), path = "/orders", security(("bearer" = [])), responses((status = 201)))]
async fn make_order(State(shop): State<Shop>, caller: Caller, body: String) -> Response {
    let orders = &shop.orders;
    let number = {
        let mut made = orders.made.lock().unwrap();
        made.push(format!("{} {body}", caller.username));
        made.len()
    };
    assert!(!orders.panics.load(Ordering::SeqCst), "told to panic");
    if orders.hangs.load(Ordering::SeqCst) {
        orders.hanging.notify_one();
        orders.released.notified().await;
    }
    let status = match orders.status.load(Ordering::SeqCst) {
        0 => StatusCode::CREATED,
        status => StatusCode::from_u16(status).unwrap(),
    };
    let body = match orders.length.load(Ordering::SeqCst) {
        0 => format!("order {number}"),
        length => "x".repeat(length),
    };
    (status, [(LOCATION, format!("/orders/{number}")), (http::header::CONTENT_TYPE, "text/x-order".into())], body)
        .into_response()
}

#[utoipa::path(post, path = "/refunds", security(("bearer" = [])), responses((status = 201)))]
async fn make_refund(shop: State<Shop>, caller: Caller, body: String) -> Response {
    make_order(shop, caller, body).await
}

struct Offline;

#[async_trait]
impl JwksFetch for Offline {
    async fn fetch(&self, _: &str) -> Result<String, FetchError> {
        Err(FetchError::Status(500))
    }
}

/// A shop with idempotent orders.
struct House {
    engine: Embedded,
    clock: Arc<ManualClock>,
    orders: Arc<Orders>,
    router: Router,
}

/// One request.
#[derive(Clone, Copy)]
struct Ask<'a> {
    who: &'a str,
    key: &'a str,
    method: &'a str,
    path: &'a str,
    content_type: &'a str,
    body: &'a str,
}

const ASK: Ask<'static> =
    Ask { who: "ann", key: "k-1", method: "POST", path: "/orders", content_type: "text/plain", body: "tea" };

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == "true"
    }

    /// What is the same in all answers to one key.
    fn kept(&self) -> (u16, &str, &str, &[u8]) {
        (self.status, self.header("location"), self.header("content-type"), &self.body)
    }

    #[track_caller]
    fn assert_problem(&self, status: u16, code: &str, retry_after: &str) {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!((self.status, body["code"].as_str().unwrap()), (status, code));
        assert_eq!(self.header("retry-after"), retry_after);
        assert!(!self.is_replayed());
    }

    #[track_caller]
    fn assert_order(&self, number: usize, is_replayed: bool) {
        let (location, body) = (format!("/orders/{number}"), format!("order {number}"));
        assert_eq!(self.kept(), (201, &*location, "text/x-order", body.as_bytes()));
        assert_eq!(self.is_replayed(), is_replayed);
    }
}

fn tables(aws: Aws) -> Tables {
    Tables::new(aws, "t-", Cursors::new(b"a secret of tests"))
}

impl House {
    async fn new() -> Self {
        let engine = Embedded::in_memory().await.unwrap();
        tables(engine.aws()).create_missing().await.unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let orders = Arc::default();
        let router = process(engine.aws(), &clock, &orders, TIME_LIMIT);
        Self { engine, clock, orders, router }
    }

    fn process(&self, aws: Aws) -> Router {
        process(aws, &self.clock, &self.orders, TIME_LIMIT)
    }

    async fn ask(&self, ask: Ask<'_>) -> Answer {
        self.ask_at(self.router.clone(), ask).await
    }

    fn ask_at(&self, router: Router, ask: Ask<'_>) -> impl Future<Output = Answer> + Send + use<> {
        // Valid at any time a test moves to.
        let token = issuer().issue(ask.who, &[], "tests", 90 * 24 * 3600, START.seconds()).unwrap();
        let request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", ask.content_type)
            .header("idempotency-key", ask.key)
            .body(Body::from(ask.body.to_owned()))
            .unwrap();
        async move {
            let answered: Result<_, Infallible> = router.oneshot(request).await;
            let (parts, body) = answered.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: parts.status.as_u16(), headers: parts.headers, body }
        }
    }

    fn made(&self) -> Vec<String> {
        self.orders.made.lock().unwrap().clone()
    }

    /// Asks, and dies as soon as the order is made: nothing of the request is ever polled or dropped.
    async fn dies_when_made(&self, ask: Ask<'_>) {
        self.orders.hangs.store(true, Ordering::SeqCst);
        let mut asked = ManuallyDrop::new(Box::pin(self.ask_at(self.router.clone(), ask)));
        tokio::select! {
            answer = &mut *asked => panic!("it hangs, but answered {answer:?}"),
            () = self.orders.hanging.notified() => {}
        }
        self.orders.hangs.store(false, Ordering::SeqCst);
    }

    /// Repeats until the attempt before is given up, which happens beside it.
    async fn ask_until_free(&self, ask: Ask<'_>) -> Answer {
        for _ in 0..10_000 {
            let answer = self.ask(ask).await;
            if answer.status != 409 {
                return answer;
            }
        }
        panic!("still in progress");
    }
}

/// A process of the deployment whose tables are there.
fn process(aws: Aws, clock: &Arc<ManualClock>, orders: &Arc<Orders>, time_limit: Duration) -> Router {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let rao = Rao::new(RaoConfig::default(), None, Arc::clone(&clock), Arc::new(RandomIds));
    let idempotency = Idempotency::open(&tables(aws), &rao, Arc::clone(&clock), Arc::new(RandomIds));
    let issuers = vec![issuer().as_issuer(vec!["tests".into()])];
    let seconds = Arc::new(move || clock.now().seconds());
    let verifier = Arc::new(Verifier::new(issuers, Arc::new(Offline), None, seconds).unwrap());
    let endpoints = [
        Endpoint::new("orders-make-order", routes!(make_order)).idempotent(),
        Endpoint::new("refunds-make-refund", routes!(make_refund)).idempotent(),
    ];
    let router = endpoints.into_iter().fold(Router::new(), |all, endpoint| all.merge(Router::from(endpoint)));
    let router = replayed(router, idempotency, Arc::clone(&verifier));
    let settings = Edge { time_limit, ..Edge::default() };
    let router = edge(router, &settings, Arc::new(|| "made-id-1".to_owned())).unwrap();
    router.with_state(Shop { verifier, orders: Arc::clone(orders) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_at_once_one_is_carried_out_and_the_others_get_its_answer_or_wait() {
    let house = House::new().await;
    let asked = (0..50).map(|_| tokio::spawn(house.ask_at(house.router.clone(), ASK)));
    let answers: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(house.made(), ["ann tea"]);
    for answer in &answers {
        match answer.status {
            409 => answer.assert_problem(409, "idempotency_in_progress", "2"),
            _ => answer.assert_order(1, answer.is_replayed()),
        }
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201 && !answer.is_replayed()).count(), 1);
    house.ask(ASK).await.assert_order(1, true);
    house.ask(Ask { key: "\"k-1\"", ..ASK }).await.assert_order(1, true);
    assert_eq!(house.made().len(), 1);
}

#[tokio::test]
async fn a_key_is_for_one_payload() {
    let house = House::new().await;
    house.ask(ASK).await.assert_order(1, false);
    house.dies_when_made(Ask { key: "in-progress", ..ASK }).await;
    let made = house.made();
    for key in ["k-1", "in-progress"] {
        for other in [
            Ask { body: "coffee", key, ..ASK },
            Ask { body: "", key, ..ASK },
            Ask { path: "/orders?to=ben", key, ..ASK },
            Ask { content_type: "text/html", key, ..ASK },
            Ask { method: "PUT", key, ..ASK },
        ] {
            house.ask(other).await.assert_problem(422, "idempotency_key_reused", "");
        }
    }
    assert_eq!(house.made(), made);
    house.ask(ASK).await.assert_order(1, true);
}

#[tokio::test]
async fn each_caller_and_each_endpoint_has_keys_of_its_own() {
    let house = House::new().await;
    let asks = [ASK, Ask { who: "ben", ..ASK }, Ask { path: "/refunds", ..ASK }, Ask { key: "k-2", ..ASK }];
    for (number, ask) in (1..).zip(asks) {
        house.ask(ask).await.assert_order(number, false);
    }
    for (number, ask) in (1..).zip(asks) {
        house.ask(ask).await.assert_order(number, true);
    }
    assert_eq!(house.made(), ["ann tea", "ben tea", "ann tea", "ann tea"]);
}

#[tokio::test]
async fn who_is_killed_blocks_a_repeat_no_longer_than_it_could_have_run() {
    let house = House::new().await;
    house.dies_when_made(ASK).await;
    house.ask(ASK).await.assert_problem(409, "idempotency_in_progress", "2");
    house.clock.advance(TIME_LIMIT - Duration::from_secs(60));
    house.ask(ASK).await.assert_problem(409, "idempotency_in_progress", "2");
    house.clock.advance(Duration::from_secs(61));
    house.ask(ASK).await.assert_order(2, false);
    house.ask(ASK).await.assert_order(2, true);
    assert_eq!(house.made().len(), 2);
}

#[tokio::test]
async fn who_comes_back_after_its_time_does_not_overwrite_who_took_its_place() {
    let house = House::new().await;
    house.orders.hangs.store(true, Ordering::SeqCst);
    let first = house.ask_at(house.router.clone(), ASK);
    let mut first = pin!(first);
    tokio::select! {
        answer = &mut first => panic!("it hangs, but answered {answer:?}"),
        () = house.orders.hanging.notified() => {}
    }
    house.orders.hangs.store(false, Ordering::SeqCst);
    house.clock.advance(TIME_LIMIT + Duration::from_secs(1));
    house.ask(ASK).await.assert_order(2, false);
    house.orders.released.notify_one();
    first.await.assert_order(1, false);
    house.ask(ASK).await.assert_order(2, true);
}

#[tokio::test]
async fn a_request_that_is_dropped_or_panics_can_be_repeated_at_once() {
    let house = House::new().await;
    let drops = house.ask_at(house.router.clone(), ASK);
    house.orders.hangs.store(true, Ordering::SeqCst);
    let dropped = tokio::spawn(drops);
    house.orders.hanging.notified().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    house.orders.hangs.store(false, Ordering::SeqCst);
    house.ask_until_free(ASK).await.assert_order(2, false);

    house.orders.panics.store(true, Ordering::SeqCst);
    let panics = Ask { key: "panics", ..ASK };
    house.ask(panics).await.assert_problem(500, "internal", "");
    house.orders.panics.store(false, Ordering::SeqCst);
    house.ask_until_free(panics).await.assert_order(4, false);

    house.orders.hangs.store(true, Ordering::SeqCst);
    let slow = Ask { key: "slow", ..ASK };
    let impatient = process(house.engine.aws(), &house.clock, &house.orders, Duration::from_secs(2));
    house.ask_at(impatient, slow).await.assert_problem(503, "timeout", "5");
    house.orders.hangs.store(false, Ordering::SeqCst);
    let made = house.made().len();
    house.ask_until_free(slow).await.assert_order(made + 1, false);
}

#[tokio::test]
async fn an_answer_that_should_be_asked_for_again_is_not_kept_and_any_other_is() {
    let house = House::new().await;
    for (status, is_kept) in [
        (500, false),
        (503, false),
        (429, false),
        (408, false),
        (200, true),
        (204, true),
        (400, true),
        (404, true),
        (409, true),
        (422, true),
    ] {
        let key = format!("status-{status}");
        let ask = Ask { key: &key, ..ASK };
        house.orders.status.store(status, Ordering::SeqCst);
        let (before, first) = (house.made().len(), house.ask(ask).await);
        assert_eq!((first.status, first.is_replayed()), (status, false));
        house.orders.status.store(0, Ordering::SeqCst);
        let second = house.ask(ask).await;
        if is_kept {
            assert_eq!((second.kept(), second.is_replayed()), (first.kept(), true), "{status}");
        } else {
            second.assert_order(before + 2, false);
        }
    }
}

#[tokio::test]
async fn an_answer_is_repeated_for_a_day() {
    let house = House::new().await;
    house.ask(ASK).await.assert_order(1, false);
    house.clock.advance(DAY - Duration::from_millis(1));
    house.ask(ASK).await.assert_order(1, true);
    house.clock.advance(Duration::from_millis(1));
    // Another payload is nothing to it: the key is free.
    house.ask(Ask { body: "coffee", ..ASK }).await.assert_order(2, false);
    house.ask(ASK).await.assert_problem(422, "idempotency_key_reused", "");
}

#[tokio::test]
async fn an_answer_too_large_to_keep_is_given_once_and_the_work_done_once() {
    let house = House::new().await;
    house.orders.length.store(256 << 10, Ordering::SeqCst);
    let first = house.ask(ASK).await;
    assert_eq!(house.ask(ASK).await.kept(), first.kept());
    house.orders.length.store((256 << 10) + 1, Ordering::SeqCst);
    let large = Ask { key: "large", ..ASK };
    let answer = house.ask(large).await;
    assert_eq!((answer.status, answer.body.len()), (201, (256 << 10) + 1));
    house.ask(large).await.assert_problem(409, "idempotency_answer_not_kept", "");
    house.ask(Ask { body: "coffee", ..large }).await.assert_problem(422, "idempotency_key_reused", "");
    assert_eq!(house.made().len(), 2);
}

#[tokio::test]
async fn a_process_killed_at_any_call_leaves_a_key_that_can_be_used_again() {
    let house = House::new().await;
    let proxy = Proxy::start(&house.engine.aws(), client()).await;
    // How often the order is made in the end, and whether the key is free, blocked, or answered at first.
    for (at, moment, made, at_first) in [
        (1, Moment::Before, 1, "free"),
        (1, Moment::After, 1, "blocked"),
        (2, Moment::Before, 2, "blocked"),
        (2, Moment::After, 1, "answered"),
    ] {
        let key = format!("killed-{at}-{moment:?}");
        let (ask, before) = (Ask { key: &key, ..ASK }, house.made().len());
        proxy.faults.stop(at, moment);
        let mut killed = ManuallyDrop::new(Box::pin(house.ask_at(house.process(proxy.aws()), ask)));
        tokio::select! {
            answer = &mut *killed => panic!("it dies at call {at}, but answered {answer:?}"),
            () = proxy.faults.stopped() => {}
        }
        let bens = house.ask(Ask { who: "ben", ..ask }).await;
        assert_eq!((bens.status, bens.is_replayed()), (201, false), "another's answer is nobody else's");

        let first = house.ask(ask).await;
        let found = match (first.status, first.is_replayed()) {
            (409, false) => "blocked",
            (201, true) => "answered",
            (201, false) => "free",
            other => panic!("{other:?}"),
        };
        assert_eq!(found, at_first, "{key}");
        house.clock.advance(TIME_LIMIT + Duration::from_secs(1));
        let (second, third) = (house.ask(ask).await, house.ask(ask).await);
        assert_eq!((second.status, second.kept(), third.is_replayed()), (201, third.kept(), true), "{key}");
        let by_ann = house.made()[before..].iter().filter(|order| order.starts_with("ann")).count();
        assert_eq!(by_ann, made, "{key}");
        assert_eq!(house.ask(Ask { who: "ben", ..ask }).await.kept(), bens.kept());
    }
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_is_sent_again_and_does_not_stand_in_its_own_way() {
    let house = House::new().await;
    let proxy = Proxy::start(&house.engine.aws(), client()).await;
    for (number, at) in (1..).zip([1, 2]) {
        let key = format!("lost-{at}");
        let ask = Ask { key: &key, ..ASK };
        proxy.faults.stop(at, Moment::Lost);
        house.ask_at(house.process(proxy.aws()), ask).await.assert_order(number, false);
        assert_eq!(proxy.faults.calls(), 3, "two, and one again");
        house.ask(ask).await.assert_order(number, true);
    }
    // Giving up.
    let ask = Ask { key: "lost-503", ..ASK };
    house.orders.status.store(503, Ordering::SeqCst);
    proxy.faults.stop(2, Moment::Lost);
    assert_eq!(house.ask_at(house.process(proxy.aws()), ask).await.status, 503);
    assert_eq!(proxy.faults.calls(), 3);
    house.orders.status.store(0, Ordering::SeqCst);
    house.ask(ask).await.assert_order(4, false);
}

#[tokio::test]
async fn a_request_costs_two_calls_and_a_repeat_one() {
    let house = House::new().await;
    let proxy = Proxy::start(&house.engine.aws(), client()).await;
    let router = house.process(proxy.aws());
    assert_eq!(proxy.faults.count(house.ask_at(router.clone(), ASK)).await, 2);
    assert_eq!(proxy.faults.count(house.ask_at(router.clone(), ASK)).await, 1);
    assert_eq!(proxy.faults.count(house.ask_at(router, Ask { body: "coffee", ..ASK })).await, 1);
}

#[tokio::test]
async fn while_the_tables_are_gone_nothing_is_carried_out() {
    let house = House::new().await;
    house.ask(ASK).await.assert_order(1, false);
    let House { engine, clock, orders, router } = house;
    let aws = engine.aws();
    engine.close().await.unwrap();
    let house = House { engine: Embedded::in_memory().await.unwrap(), clock, orders, router };
    for ask in [ASK, Ask { key: "k-2", ..ASK }] {
        house.ask_at(house.process(aws.clone()), ask).await.assert_problem(503, "idempotency_unavailable", "5");
    }
    assert_eq!(house.made().len(), 1);
}

#[tokio::test]
async fn at_rest_there_is_neither_the_key_nor_the_caller_nor_the_payload() {
    let house = House::new().await;
    let ask = Ask { who: "ann-of-many-letters", key: "key-of-many-letters", body: "tea-of-many-letters", ..ASK };
    house.ask(ask).await.assert_order(1, false);
    let scan = house.engine.aws().dynamodb().scan().table_name("t-idempotency").send().await.unwrap();
    let [row] = scan.items() else { panic!("one row") };
    let text = format!("{row:?}");
    assert!(!text.contains("of-many-letters"), "{text}");
    let held_until: u64 = row["heldUntil"].as_n().unwrap().parse().unwrap();
    assert_eq!(held_until, START.plus(DAY).millis());
    assert_eq!(row["expiresAt"].as_n().unwrap(), &(held_until / 1000 + 1).to_string());
}
