use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use clusters::{Transfer, TxHash};
use futures::stream;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::contract::{check, read_all};

const TOKEN: Address = Address([0x70; 20]);
const STRANGER: Address = Address([0x57; 20]);
const AMPLE: Budget = Budget { max_transfers: usize::MAX, time: Duration::from_secs(60) };

/// How much a node gives, and how it says that it gives no more. The texts are those of real providers.
#[derive(Clone, Copy, Debug)]
enum Provider {
    Unlimited,
    /// At most so many logs; names a range that would do.
    Results(usize),
    /// The same with the range in the error's data, as Infura has it.
    ResultsInData(usize),
    /// At most so many logs; says nothing at all about those left out.
    Silent(usize),
    /// At most so many blocks (QuickNode, with status 413).
    Blocks(u64),
    /// At most so many blocks, as BNB Smart Chain's nodes say it.
    MaximumBlocks(u64),
    /// Names no number.
    SomeBlocks(u64),
    /// Too slow for more than so many blocks.
    Slow(u64),
    /// Answers larger than so many bytes are not sent.
    Size(usize),
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Status(u16),
    RetryAfter(u16, u64),
    /// An error inside an answer of status 200.
    Rpc(i64, &'static str),
    Garbage,
    Truncated,
    /// Sends a byte and nothing more.
    Hang,
    OtherId,
}

struct Node {
    /// With their blocks, in the order in which they are sent.
    logs: Vec<(u64, Value)>,
    head: u64,
    chain_id: u64,
    provider: Provider,
    /// Faults of the next requests.
    faults: Mutex<VecDeque<Fault>>,
    /// A range holding this block always fails, where it is not refused.
    broken_block: Option<u64>,
    /// A range holding this block is never answered.
    hanging_block: Option<u64>,
    deployed: u64,
    /// Below, state is not kept.
    state_from: u64,
    longest_batch: usize,
    /// How a batch is refused.
    batch_refusal: Fault,
    calls: BTreeMap<String, String>,
    codes: BTreeMap<Address, String>,
    /// Transfers of the chain's own coin: block, sender, receiver and amount. No fees are paid.
    payments: Vec<(u64, Address, Address, u64)>,
    /// Whether a payment of this amount is a contract's, which no transaction shows.
    internal: Option<u64>,
    /// What is said of state that is not kept.
    forgotten: (i64, &'static str),
    requests: AtomicUsize,
    ranges: Mutex<Vec<(u64, u64)>>,
}

impl Default for Node {
    fn default() -> Self {
        let supply = format!("0x{:064x}", 5);
        Self {
            logs: Vec::new(),
            head: 10_000,
            chain_id: 1,
            provider: Provider::Unlimited,
            faults: Mutex::default(),
            broken_block: None,
            hanging_block: None,
            deployed: 1,
            state_from: 0,
            longest_batch: usize::MAX,
            batch_refusal: Fault::Rpc(-32600, "batch requests are not supported"),
            calls: BTreeMap::from([(contract::TOTAL_SUPPLY.to_owned(), supply)]),
            codes: BTreeMap::from([(TOKEN, "0x6080".to_owned())]),
            payments: Vec::new(),
            internal: None,
            forgotten: (-32000, "missing trie node 00aa (path ) state 0xbb is not available"),
            requests: AtomicUsize::new(0),
            ranges: Mutex::default(),
        }
    }
}

fn refused(code: i64, message: impl Into<String>) -> (StatusCode, Value) {
    (StatusCode::OK, json!({"error": {"code": code, "message": message.into()}}))
}

impl Node {
    fn logs(&self, filter: &Value) -> (StatusCode, Value) {
        let block = |name: &str| hex::quantity(filter[name].as_str().unwrap()).unwrap();
        let (from, to) = (block("fromBlock"), block("toBlock"));
        assert_eq!(filter["address"], json!(TOKEN));
        self.ranges.lock().unwrap().push((from, to));
        if to > self.head {
            return refused(-32602, "block range extends beyond current head block");
        }
        let width = to - from + 1;
        let found: Vec<&(u64, Value)> = self.logs.iter().filter(|(block, _)| (from..=to).contains(block)).collect();
        let result = |found: Vec<&(u64, Value)>| {
            let logs: Vec<&Value> = found.into_iter().map(|(_, log)| log).collect();
            (StatusCode::OK, json!({"result": logs}))
        };
        // The longest range from the start that a limit on results lets through.
        let enough = |limit: usize| {
            let mut blocks: Vec<u64> = found.iter().map(|(block, _)| *block).collect();
            blocks.sort_unstable();
            blocks[limit].saturating_sub(1).max(from)
        };
        match self.provider {
            Provider::Results(limit) if found.len() > limit => {
                let to = enough(limit);
                let text = format!(
                    "Query returned more than {limit} results. Try with this block range [{from:#x}, {to:#x}]."
                );
                refused(-32602, text)
            }
            Provider::ResultsInData(limit) if found.len() > limit => {
                let data = json!({"from": format!("{from:#x}"), "to": format!("{:#x}", enough(limit)), "limit": limit});
                let message = format!("query returned more than {limit} results");
                (StatusCode::OK, json!({"error": {"code": -32005, "message": message, "data": data}}))
            }
            Provider::Silent(limit) => {
                let mut ordered = found;
                ordered.sort_by_key(|(block, _)| *block);
                ordered.truncate(limit);
                result(ordered)
            }
            Provider::Blocks(most) if width > most => {
                let (_, body) = refused(-32614, format!("eth_getLogs is limited to a {most} range"));
                (StatusCode::PAYLOAD_TOO_LARGE, body)
            }
            Provider::MaximumBlocks(most) if width > most => {
                refused(-32005, format!("exceed maximum block range: {most}"))
            }
            Provider::SomeBlocks(most) if width > most => refused(-32600, "block range is too wide"),
            Provider::Slow(most) if width > most => refused(-32000, "query timeout exceeded"),
            Provider::Size(most) if json!(found).to_string().len() > most => {
                refused(-32008, "response size should not greater than 10000000 bytes")
            }
            _ if self.broken_block.is_some_and(|block| (from..=to).contains(&block)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, Value::Null)
            }
            _ => result(found),
        }
    }

    fn code(&self, params: &Value) -> (StatusCode, Value) {
        let address: Address = params[0].as_str().unwrap().parse().unwrap();
        let block = params[1].as_str().unwrap();
        let block = if block == "latest" { self.head } else { hex::quantity(block).unwrap() };
        if block < self.state_from {
            return refused(self.forgotten.0, self.forgotten.1);
        }
        let code = self.codes.get(&address).filter(|_| block >= self.deployed);
        (StatusCode::OK, json!({"result": code.map_or("0x", String::as_str)}))
    }

    fn balance(&self, params: &Value) -> (StatusCode, Value) {
        let address: Address = params[0].as_str().unwrap().parse().unwrap();
        let until = hex::quantity(params[1].as_str().unwrap()).unwrap();
        if until < self.state_from {
            return refused(self.forgotten.0, self.forgotten.1);
        }
        // Everyone was born rich enough.
        let mut balance = 1_u64 << 40;
        for (block, from, to, amount) in &self.payments {
            if *block <= until && *to == address {
                balance += amount;
            }
            if *block <= until && *from == address {
                balance -= amount;
            }
        }
        (StatusCode::OK, json!({"result": format!("{balance:#x}")}))
    }

    fn block(&self, params: &Value) -> (StatusCode, Value) {
        let number = hex::quantity(params[0].as_str().unwrap()).unwrap();
        let mut block = json!({"number": params[0], "timestamp": format!("{:#x}", number * 12)});
        if params[1] == json!(true) {
            let payments = self.payments.iter().enumerate();
            let shown = payments.filter(|(_, payment)| payment.0 == number && self.internal != Some(payment.3));
            let transaction = |(index, (_, from, to, amount)): (usize, &(u64, Address, Address, u64))| json!({"hash": payment_hash(index), "from": from, "to": to, "value": format!("{amount:#x}")});
            let creation = json!({"hash": payment_hash(99), "from": STRANGER, "to": null, "value": "0x0"});
            block["transactions"] = shown.map(transaction).chain([creation]).collect();
        }
        (StatusCode::OK, json!({"result": block}))
    }

    fn answer(&self, request: &Value) -> (StatusCode, Value) {
        let params = &request["params"];
        let (status, mut body) = match request["method"].as_str().unwrap() {
            "eth_chainId" => (StatusCode::OK, json!({"result": format!("{:#x}", self.chain_id)})),
            "eth_blockNumber" => (StatusCode::OK, json!({"result": format!("{:#x}", self.head)})),
            "eth_getBlockByNumber" => self.block(params),
            "eth_getBalance" => self.balance(params),
            "eth_getLogs" => self.logs(&params[0]),
            "eth_getCode" => self.code(params),
            "eth_call" => match self.calls.get(params[0]["data"].as_str().unwrap()) {
                Some(answer) => (StatusCode::OK, json!({"result": answer})),
                None => refused(3, "execution reverted"),
            },
            method => refused(-32601, format!("the method {method} does not exist/is not available")),
        };
        if body.is_object() {
            body["jsonrpc"] = json!("2.0");
            body["id"] = request["id"].clone();
        }
        (status, body)
    }

    fn faulty(fault: Fault, id: &Value) -> Response {
        let hold = |start: &'static [u8]| {
            let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(start))]);
            Body::from_stream(start.chain(stream::pending())).into_response()
        };
        match fault {
            Fault::Status(status) => (StatusCode::from_u16(status).unwrap(), "<html>").into_response(),
            Fault::RetryAfter(status, seconds) => {
                let wait = [(header::RETRY_AFTER, seconds.to_string())];
                (StatusCode::from_u16(status).unwrap(), wait, "slow down").into_response()
            }
            Fault::Rpc(code, message) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
                    .to_string()
                    .into_response()
            }
            Fault::Garbage => "<html>all is well</html>".into_response(),
            Fault::Truncated => "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[{\"addr".into_response(),
            Fault::Hang => hold(b"{"),
            Fault::OtherId => "{\"jsonrpc\":\"2.0\",\"id\":999999,\"result\":[]}".into_response(),
        }
    }

    async fn serve(Shared(node): Shared<Arc<Self>>, body: Bytes) -> Response {
        node.requests.fetch_add(1, Ordering::Relaxed);
        let request: Value = serde_json::from_slice(&body).unwrap();
        let fault = node.faults.lock().unwrap().pop_front();
        if let Some(fault) = fault {
            return Self::faulty(fault, &request["id"]);
        }
        let Some(batch) = request.as_array() else {
            let block = |name: &str| request["params"][0][name].as_str().and_then(hex::quantity);
            if let (Some(hanging), Some(from), Some(to)) = (node.hanging_block, block("fromBlock"), block("toBlock"))
                && (from..=to).contains(&hanging)
            {
                return Self::faulty(Fault::Hang, &request["id"]);
            }
            let (status, body) = node.answer(&request);
            return (status, body.to_string()).into_response();
        };
        if batch.len() > node.longest_batch {
            return Self::faulty(node.batch_refusal, &Value::Null);
        }
        // In any order, as the specification allows.
        let answers: Vec<Value> = batch.iter().rev().map(|request| node.answer(request).1).collect();
        Value::Array(answers).to_string().into_response()
    }

    async fn start(self) -> Running {
        let node = Arc::new(self);
        let router = Router::new().fallback(Self::serve).with_state(node.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/v2/s3cret?key=h1dden", listener.local_addr().unwrap().port());
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Running { node, url: url.parse().unwrap(), server }
    }
}

fn payment_hash(index: usize) -> TxHash {
    let mut hash = [0xee; 32];
    hash[..8].copy_from_slice(&(index as u64).to_be_bytes());
    TxHash(hash)
}

struct Running {
    node: Arc<Node>,
    url: Url,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn quick() -> EvmOptions {
    EvmOptions {
        confirmations: 0,
        backoff: Duration::from_millis(1),
        request_time: Duration::from_secs(20),
        ..EvmOptions::default()
    }
}

impl Running {
    fn source(&self) -> EvmSource {
        self.source_with(quick())
    }

    fn source_with(&self, options: EvmOptions) -> EvmSource {
        EvmSource::new(self.url.clone(), options)
    }

    fn wider_than(&self, most: u64) -> usize {
        self.node.ranges.lock().unwrap().iter().filter(|(from, to)| to - from + 1 > most).count()
    }
}

fn transfer(block: u64, index: u32) -> Transfer {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&block.to_be_bytes());
    hash[8..12].copy_from_slice(&index.to_be_bytes());
    let [.., low] = block.to_be_bytes();
    let (from, to) = (Address([low; 20]), Address([0x11; 20]));
    let value = Amount::from(block) * Amount::from(1000) + Amount::from(index);
    Transfer { block, timestamp: Some(block * 12), tx: TxHash(hash), log_index: Some(index), from, to, value }
}

fn log_of(transfer: &Transfer) -> Value {
    let topic = |address: Address| format!("0x{}{}", "0".repeat(24), &address.to_string()[2..]);
    json!({
        "address": TOKEN, "topics": [log::TRANSFER, topic(transfer.from), topic(transfer.to)],
        "data": format!("0x{:064x}", transfer.value), "blockNumber": format!("{:#x}", transfer.block),
        "transactionHash": transfer.tx, "logIndex": format!("{:#x}", transfer.log_index.unwrap()),
        "removed": false, "blockTimestamp": format!("{:#x}", transfer.timestamp.unwrap()),
    })
}

/// `per_block` transfers in every `every`th block.
fn transfers(blocks: std::ops::Range<u64>, every: usize, per_block: u32) -> Vec<Transfer> {
    blocks.step_by(every).flat_map(|block| (0..per_block).map(move |index| transfer(block, index))).collect()
}

fn node_with(expected: &[Transfer], head: u64, provider: Provider) -> Node {
    Node {
        logs: expected.iter().map(|transfer| (transfer.block, log_of(transfer))).collect(),
        head,
        provider,
        ..Node::default()
    }
}

#[tokio::test]
async fn a_node_holds_to_the_contract_of_sources() {
    let mut expected = transfers(100..9000, 97, 3);
    expected.extend(transfers(9500..9502, 1, 12));
    let node = Node { deployed: 77, ..node_with(&expected, 10_000, Provider::Unlimited) }.start().await;
    check(&node.source_with(EvmOptions { chain_id: Some(1), ..quick() }), TOKEN, STRANGER, &expected).await;
    assert_eq!(node.source().first_block(TOKEN).await.unwrap(), 77);
}

#[tokio::test]
async fn every_providers_limit_is_met_with_all_transfers_once_and_in_order() {
    // A desert, then a launch with so many transfers in every block, then a trickle.
    let launch = |per_block| {
        let mut transfers = transfers(50_000..50_300, 1, per_block);
        transfers.extend((50_300..200_000).step_by(5_003).map(|block| transfer(block, 7)));
        transfers
    };
    for (provider, per_block, first_range, most_requests) in [
        (Provider::Results(10_000), 40, 2_000, 60),
        (Provider::ResultsInData(1_000), 9, 2_000, 60),
        (Provider::Results(100), 9, 2_000, 250),
        (Provider::Blocks(2_000), 9, 10_000, 130),
        (Provider::MaximumBlocks(10_000), 9, 2_000, 60),
        (Provider::SomeBlocks(3_000), 9, 10_000, 200),
        (Provider::Slow(5_000), 9, 40_000, 200),
        (Provider::Size(100_000), 9, 2_000, 250),
        (Provider::Silent(1_000), 9, 2_000, 200),
        (Provider::Unlimited, 9, 2_000, 40),
    ] {
        let expected = launch(per_block);
        let node = node_with(&expected, 210_000, provider).start().await;
        let source = node.source_with(EvmOptions { first_range, ..quick() });
        let found = read_all(&source, TOKEN, 0, AMPLE).await.unwrap();
        assert!(found == expected, "{provider:?}: {} of {}", found.len(), expected.len());
        let requests = node.node.requests.load(Ordering::Relaxed);
        assert!(requests <= most_requests, "{provider:?} took {requests} requests");
        if let Provider::Blocks(most) | Provider::MaximumBlocks(most) = provider {
            // Those under way when the limit was learned, and a probe now and then.
            assert!(node.wider_than(most) <= 12, "{provider:?}: {}", node.wider_than(most));
        }
    }
}

#[tokio::test]
async fn an_answer_longer_than_we_take_is_asked_for_in_parts() {
    let expected = transfers(0..2_000, 1, 2);
    let node = node_with(&expected, 3_000, Provider::Unlimited).start().await;
    let source = node.source_with(EvmOptions { max_response_bytes: 200_000, ..quick() });
    assert!(read_all(&source, TOKEN, 0, AMPLE).await.unwrap() == expected);
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let expected = transfers(0..3_000, 50, 2);
    for faults in [
        vec![Fault::Status(500), Fault::Status(502), Fault::Status(503)],
        vec![Fault::RetryAfter(429, 0); 4],
        vec![Fault::RetryAfter(503, 0), Fault::Status(429)],
        vec![Fault::Garbage, Fault::Truncated, Fault::OtherId],
        vec![Fault::Rpc(-32005, "project ID request rate exceeded"), Fault::Rpc(429, "Too Many Requests")],
        vec![Fault::Rpc(-32603, "Internal error"), Fault::Rpc(-32000, "header not found")],
        vec![Fault::Status(504), Fault::Status(408)],
    ] {
        // Once before everything, and once among the ranges.
        for quiet in [0, 2] {
            let node = node_with(&expected, 20_000, Provider::Blocks(1_000)).start().await;
            let source = node.source();
            if quiet > 0 {
                source.head().await.unwrap();
            }
            node.node.faults.lock().unwrap().extend(&faults);
            assert!(read_all(&source, TOKEN, 0, AMPLE).await.unwrap() == expected, "{faults:?}");
            assert!(node.node.faults.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_node_that_stops_talking_is_asked_again_after_a_while() {
    let expected = transfers(0..3_000, 50, 2);
    let node = node_with(&expected, 3_000, Provider::Unlimited).start().await;
    node.node.faults.lock().unwrap().extend([Fault::Hang, Fault::Hang]);
    let source = node.source_with(EvmOptions { request_time: Duration::from_millis(300), ..quick() });
    assert!(read_all(&source, TOKEN, 0, AMPLE).await.unwrap() == expected);
}

#[tokio::test]
async fn what_does_not_pass_is_an_error_that_says_whether_to_come_back() {
    let node = Node::default().start().await;
    let source = node.source();
    let with = async |fault: Fault| {
        *node.node.faults.lock().unwrap() = std::iter::repeat_n(fault, 6).collect();
        let error = source.head().await.unwrap_err();
        node.node.faults.lock().unwrap().clear();
        error
    };
    let error = with(Fault::Status(500)).await;
    assert!(matches!(error, SourceError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
    let error = with(Fault::Garbage).await;
    assert!(matches!(error, SourceError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
    let error = with(Fault::RetryAfter(429, 120)).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)), "{error:?}");
    assert!(error.is_retryable());
    let error = with(Fault::Status(401)).await;
    assert!(matches!(error, SourceError::Misconfigured { .. }) && !error.is_retryable(), "{error:?}");
    let error = with(Fault::Rpc(-32601, "the method does not exist")).await;
    assert!(matches!(error, SourceError::Refused { .. }) && !error.is_retryable(), "{error:?}");
    let error = with(Fault::Status(302)).await;
    assert!(matches!(error, SourceError::Refused { .. }), "no redirect is followed: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_the_node_asks_for_is_kept_by_everyone_and_one_too_long_by_nobody() {
    let rpc = Rpc::new("http://127.0.0.1:1".parse().unwrap(), EvmOptions::default());
    let throttled = |seconds| Failure::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
    let start = Instant::now();
    let mut retry = rpc.retry(None);
    let everyone = async {
        futures::join!(retry.pause(throttled(30)), async {
            tokio::task::yield_now().await;
            rpc.wait().await;
            Instant::now()
        })
    };
    let (paused, other) = everyone.await;
    paused.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(30));
    assert!(other >= start + Duration::from_secs(30));

    let waited = start.elapsed();
    assert!(rpc.retry(None).pause(throttled(61)).await.is_err());
    assert!(rpc.retry(Some(start)).pause(throttled(u64::MAX)).await.is_err());
    let soon = Some(Instant::now() + Duration::from_secs(5));
    assert!(rpc.retry(soon).pause(throttled(6)).await.is_err());
    assert_eq!(start.elapsed(), waited, "giving up takes no time");

    let mut retry = rpc.retry(None);
    let mut tries = 1;
    while retry.pause(nonsense("no")).await.is_ok() {
        tries += 1;
    }
    assert_eq!(tries, EvmOptions::default().attempts);
    // Half a second and its doublings up to the fifth, each at least half.
    assert!(start.elapsed() - waited >= Duration::from_millis(250 + 500 + 1000 + 2000 + 4000));
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused() {
    let node = Node { chain_id: 56, ..Node::default() }.start().await;
    let source = node.source_with(EvmOptions { chain_id: Some(1), ..quick() });
    for error in [
        source.head().await.unwrap_err(),
        source.chunk(TOKEN, 0, AMPLE).await.unwrap_err(),
        source.metadata(TOKEN).await.unwrap_err(),
        source.contracts(&[TOKEN]).await.unwrap_err(),
    ] {
        assert!(error.to_string().ends_with("expected a node of chain 1, this is one of chain 56"), "{error}");
        assert!(!error.is_retryable());
    }
    assert!(node.source().head().await.is_ok(), "nothing was expected");
}

#[tokio::test]
async fn blocks_that_may_be_replaced_are_left_alone() {
    let expected = transfers(0..1_000, 10, 1);
    let node = node_with(&expected, 999, Provider::Unlimited).start().await;
    let source = node.source_with(EvmOptions { confirmations: 100, ..quick() });
    let head = Block { number: 899, timestamp: Some(899 * 12) };
    assert_eq!(source.head().await.unwrap(), head);
    let chunk = source.chunk(TOKEN, 0, AMPLE).await.unwrap();
    assert_eq!((chunk.through, chunk.head), (899, head));
    assert!(chunk.transfers == expected[..90]);
    // A chain younger than that has one safe block.
    let source = node.source_with(EvmOptions { confirmations: 5_000, ..quick() });
    assert_eq!(source.chunk(TOKEN, 0, AMPLE).await.unwrap().through, 0);
}

#[tokio::test]
async fn logs_out_of_order_twice_or_removed_do_no_harm() {
    let expected = transfers(0..1_000, 10, 3);
    let mut node = node_with(&expected, 1_000, Provider::Unlimited);
    node.logs.reverse();
    node.logs.extend_from_within(..5);
    let mut removed = log_of(&transfer(500, 77));
    removed["removed"] = json!(true);
    node.logs.push((500, removed));
    let mut malformed = log_of(&transfer(500, 78));
    malformed["data"] = json!("0x");
    node.logs.push((500, malformed));
    let node = node.start().await;
    let chunk = node.source().chunk(TOKEN, 0, AMPLE).await.unwrap();
    assert!(chunk.transfers == expected);
    assert_eq!(chunk.bad_rows, 1);
    let (mut next, mut bad_rows) = (0, 0);
    while next <= 1_000 {
        let chunk = node.source().chunk(TOKEN, next, Budget { max_transfers: 100, ..AMPLE }).await.unwrap();
        next = chunk.through + 1;
        bad_rows += chunk.bad_rows;
    }
    assert_eq!(bad_rows, 1, "counted where it is read, not where it is read ahead");
}

#[tokio::test]
async fn what_was_read_before_an_error_is_kept() {
    let expected = transfers(0..10_000, 10, 1);
    let broken = Node { broken_block: Some(7_777), ..node_with(&expected, 10_000, Provider::Blocks(500)) };
    let node = broken.start().await;
    let source = node.source();
    let chunk = source.chunk(TOKEN, 0, AMPLE).await.unwrap();
    assert!(chunk.through < 7_777 && chunk.through >= 6_999, "{}", chunk.through);
    assert!(chunk.transfers == expected[..expected.partition_point(|transfer| transfer.block <= chunk.through)]);
    let error = source.chunk(TOKEN, chunk.through + 1, AMPLE).await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_was_read_when_the_time_is_up_is_kept() {
    let expected = transfers(0..10_000, 10, 1);
    let hanging = Node { hanging_block: Some(7_777), ..node_with(&expected, 10_000, Provider::Unlimited) };
    let node = hanging.start().await;
    let source = node.source_with(EvmOptions { first_range: 500, widest_range: 500, ..quick() });
    let chunk = source.chunk(TOKEN, 0, Budget { time: Duration::from_millis(200), ..AMPLE }).await.unwrap();
    assert!(chunk.through < 7_777 && chunk.through >= 499, "{}", chunk.through);
    assert!(chunk.transfers == expected[..expected.partition_point(|transfer| transfer.block <= chunk.through)]);
}

#[tokio::test]
async fn a_head_no_chain_can_have_is_an_error() {
    let node = Node { head: u64::MAX, ..Node::default() }.start().await;
    let source = node.source();
    assert!(matches!(source.head().await, Err(SourceError::Unavailable { .. })));
    let forever = Budget { time: Duration::MAX, ..AMPLE };
    assert!(matches!(source.chunk(TOKEN, 0, forever).await, Err(SourceError::Unavailable { .. })));
}

#[tokio::test]
async fn a_block_that_alone_is_too_much_is_refused() {
    let expected = transfers(5_000..5_001, 1, 50);
    let node = node_with(&expected, 6_000, Provider::Results(40)).start().await;
    let source = node.source();
    let chunk = source.chunk(TOKEN, 0, AMPLE).await.unwrap();
    assert_eq!(chunk.through, 4_999);
    let error = source.chunk(TOKEN, 5_000, AMPLE).await.unwrap_err();
    assert!(error.to_string().contains("Query returned more than 40 results"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn an_erc721_token_is_refused_by_what_it_says_and_by_its_events() {
    let mut item = log_of(&transfer(10, 0));
    item["topics"].as_array_mut().unwrap().push(json!(format!("0x{:064x}", 1)));
    item["data"] = json!("0x");
    let mut node = Node { logs: vec![(10, item)], ..Node::default() };
    node.calls.insert(contract::IS_ERC721.to_owned(), format!("0x{:064x}", 1));
    let node = node.start().await;
    for error in
        [node.source().chunk(TOKEN, 0, AMPLE).await.unwrap_err(), node.source().metadata(TOKEN).await.unwrap_err()]
    {
        let expected =
            format!("not supported: {TOKEN} is an ERC-721 token: its transfers move single items, not amounts");
        assert_eq!(error.to_string(), expected);
    }
}

fn abi(text: &str) -> String {
    let mut answer = format!("0x{:064x}{:064x}", 32, text.len());
    for byte in text.bytes() {
        answer += &format!("{byte:02x}");
    }
    answer + &"0".repeat(64 - text.len() * 2 % 64)
}

#[tokio::test]
async fn metadata_is_read_from_new_tokens_and_old_ones() {
    let mut node = Node::default();
    node.calls.extend([
        (contract::NAME.to_owned(), abi("Helios")),
        (contract::SYMBOL.to_owned(), format!("0x{:0<64}", "484c53")),
        (contract::DECIMALS.to_owned(), format!("0x{:064x}", 18)),
    ]);
    let expected = TokenMetadata {
        name: Some("Helios".into()),
        symbol: Some("HLS".into()),
        decimals: Some(18),
        total_supply: Some(Amount::from(5)),
        kind: TokenKind::Erc20,
        contract: Some(true),
    };
    let node = node.start().await;
    assert_eq!(node.source().metadata(TOKEN).await.unwrap(), expected);
    assert_eq!(node.node.requests.load(Ordering::Relaxed), 1, "one batch");
}

#[tokio::test]
async fn metadata_may_be_missing_but_not_the_supply() {
    let node = Node::default().start().await;
    let metadata = node.source().metadata(TOKEN).await.unwrap();
    assert_eq!((metadata.name, metadata.symbol, metadata.decimals), (None, None, None));

    let node = Node { calls: BTreeMap::new(), ..Node::default() }.start().await;
    let error = node.source().metadata(TOKEN).await.unwrap_err();
    assert_eq!(error.to_string(), format!("not a token: the contract at {TOKEN} has no total supply"));
}

#[tokio::test]
async fn contracts_are_found_whatever_batches_a_node_takes() {
    let addresses: Vec<Address> = (1..=130_u8).map(|byte| Address([byte; 20])).collect();
    let mut codes: BTreeMap<Address, String> =
        addresses.iter().step_by(3).map(|address| (*address, "0x60".to_owned())).collect();
    let expected: Vec<Address> = codes.keys().copied().collect();
    // A wallet that delegates is a wallet.
    codes.insert(addresses[1], format!("0xef0100{}", "ab".repeat(20)));
    for (longest_batch, batch_refusal) in [
        (usize::MAX, Fault::Garbage),
        (10, Fault::Rpc(-32600, "batch size is too large")),
        (10, Fault::Status(413)),
        (3, Fault::Rpc(-32000, "Batch of more than 3 requests are not allowed on free tier")),
        (0, Fault::Status(400)),
        (0, Fault::Rpc(-32600, "batch requests are not supported")),
        (0, Fault::Status(500)),
        (0, Fault::Garbage),
    ] {
        let node = Node { codes: codes.clone(), longest_batch, batch_refusal, ..Node::default() }.start().await;
        node.node.faults.lock().unwrap().push_back(Fault::Status(429));
        let found = node.source().contracts(&addresses).await.unwrap();
        assert_eq!(found, expected, "{longest_batch} {batch_refusal:?}");
    }
}

#[tokio::test]
async fn the_first_block_is_zero_where_a_node_does_not_keep_old_state() {
    let node = Node { state_from: 9_000, deployed: 4_321, ..Node::default() }.start().await;
    assert_eq!(node.source().first_block(TOKEN).await.unwrap(), 0);
    let node = Node { deployed: 4_321, ..Node::default() }.start().await;
    assert_eq!(node.source().first_block(TOKEN).await.unwrap(), 4_321);
    let node = Node { deployed: 0, ..Node::default() }.start().await;
    assert_eq!(node.source().first_block(TOKEN).await.unwrap(), 0);
}

#[tokio::test]
async fn no_error_shows_more_of_the_url_than_its_host() {
    let node = Node::default().start().await;
    let source = node.source();
    let message = "invalid key s3cret in /v2/s3cret?key=h1dden";
    let mut shown = vec![format!("{source:?}")];
    for fault in [
        Fault::Rpc(-32000, message),
        Fault::Rpc(-32603, message),
        Fault::Rpc(-32602, "query returned more than 10 results for s3cret"),
        Fault::Status(403),
        Fault::Status(500),
        Fault::Truncated,
    ] {
        *node.node.faults.lock().unwrap() = std::iter::repeat_n(fault, 6).collect();
        let error = source.head().await.unwrap_err();
        node.node.faults.lock().unwrap().clear();
        shown.push(format!("{error} {error:?}"));
    }
    // Nobody listens.
    let port = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let url = format!("http://s3cret:h1dden@127.0.0.1:{port}/s3cret?h1dden").parse().unwrap();
    let error = EvmSource::new(url, quick()).head().await.unwrap_err();
    assert!(error.is_retryable());
    shown.push(format!("{error} {error:?}"));
    for text in shown {
        assert!(!text.contains("s3cret") && !text.contains("h1dden"), "{text}");
        assert!(text.contains("127.0.0.1"), "{text}");
    }
}

fn wallet(byte: u8) -> Address {
    Address([byte; 20])
}

fn funded(funder: u8, block: u64, index: usize, amount: u64) -> Option<Funded> {
    let (funder, tx) = (wallet(funder), payment_hash(index));
    Some(Funded { funder, block, tx, amount: Amount::from(amount).into() })
}

#[tokio::test]
async fn the_nearest_funding_is_found_by_balances_and_its_block() {
    let payments = vec![
        (400, wallet(9), wallet(1), 50),
        (700, wallet(9), wallet(1), 60),
        // Spent in the block in which the token came.
        (950, wallet(1), wallet(8), 100),
        (949, wallet(7), wallet(2), 5),
        (949, wallet(6), wallet(2), 80),
        (950, wallet(5), wallet(3), 7),
        (100, wallet(5), wallet(4), 7),
        (951, wallet(5), wallet(4), 7),
        (800, wallet(9), wallet(10), 33),
    ];
    let node = Node { payments, internal: Some(33), ..Node::default() }.start().await;
    let asked = [1, 2, 3, 4, 10, 11].map(|byte| (wallet(byte), 950));
    let expected = [funded(9, 700, 1, 60), funded(6, 949, 4, 80), funded(5, 950, 5, 7), None, None, None];
    assert_eq!(node.source().fundings(&asked, 600).await.unwrap(), expected);
    let requests = node.node.requests.load(Ordering::Relaxed);
    assert!(requests <= 2 + 10 + 4, "batches of balances, and a block for each that got something: {requests}");
    // The window's edge is in it.
    for (window, expected) in [(250, funded(9, 700, 1, 60)), (249, None)] {
        assert_eq!(node.source().fundings(&asked[..1], window).await.unwrap(), [expected], "{window}");
    }
    // More blocks than the chain has had.
    assert_eq!(node.source().fundings(&[(wallet(4), 960)], u32::MAX).await.unwrap(), [funded(5, 951, 7, 7)]);
    assert_eq!(node.source().fundings(&[(wallet(4), 0)], 10).await.unwrap(), [None]);
}

#[tokio::test]
async fn of_state_that_a_node_forgot_no_funding_is_known() {
    let payments = vec![(700, wallet(9), wallet(1), 60), (5_000, wallet(9), wallet(2), 60)];
    for forgotten in [
        (-32000, "missing trie node 00aa (path ) state 0xbb is not available"),
        (-32000, "header not found"),
        (-32602, "historical state unavailable"),
        (4444, "pruned history unavailable"),
    ] {
        for longest_batch in [usize::MAX, 0] {
            let payments = payments.clone();
            let node = Node { payments, forgotten, state_from: 4_000, longest_batch, ..Node::default() }.start().await;
            let asked = [(wallet(1), 900), (wallet(2), 5_001)];
            let found = node.source().fundings(&asked, 500).await.unwrap();
            assert_eq!(found, [None, funded(9, 5_000, 1, 60)], "{forgotten:?}");
        }
    }
    let elsewhere = Node { chain_id: 56, ..Node::default() }.start().await;
    let source = elsewhere.source_with(EvmOptions { chain_id: Some(1), ..quick() });
    assert!(matches!(source.fundings(&[], 5).await, Err(SourceError::Misconfigured { .. })));
}

#[tokio::test]
async fn what_passes_is_waited_for_while_fundings_are_sought() {
    let node = Node { payments: vec![(700, wallet(9), wallet(1), 60)], ..Node::default() }.start().await;
    let source = node.source();
    for fault in [Fault::Status(500), Fault::RetryAfter(429, 0), Fault::Garbage, Fault::Rpc(-32603, "Internal error")] {
        node.node.faults.lock().unwrap().push_back(fault);
        assert_eq!(source.fundings(&[(wallet(1), 900)], 500).await.unwrap(), [funded(9, 700, 0, 60)], "{fault:?}");
    }
    // Batches and then single calls, each as often as it is tried.
    *node.node.faults.lock().unwrap() = std::iter::repeat_n(Fault::Status(500), 50).collect();
    assert!(source.fundings(&[(wallet(1), 900)], 500).await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn a_tail_that_is_replaced_within_the_confirmations_leaves_no_trace() {
    // Two nodes behind one address: the second has other blocks from 990 on.
    let kept = transfers(900..990, 10, 2);
    let orphaned: Vec<Transfer> = (990..1_000).map(|block| transfer(block, 5)).collect();
    let replacing: Vec<Transfer> = (990..1_020).step_by(3).map(|block| transfer(block, 9)).collect();
    let before = node_with(&[&kept[..], &orphaned].concat(), 999, Provider::Unlimited).start().await;
    let expected = [&kept[..], &replacing].concat();
    let after = node_with(&expected, 1_040, Provider::Unlimited).start().await;
    let options = || EvmOptions { confirmations: 12, ..quick() };

    let first = before.source_with(options()).chunk(TOKEN, 0, AMPLE).await.unwrap();
    assert_eq!((first.through, first.head.number), (987, 987));
    let second = after.source_with(options()).chunk(TOKEN, first.through + 1, AMPLE).await.unwrap();
    assert!([first.transfers, second.transfers].concat() == expected);
    // The first node again, behind what is known by now: nothing new, and nothing undone.
    let behind = before.source_with(options()).chunk(TOKEN, second.through + 1, AMPLE).await.unwrap();
    assert_eq!((behind.transfers.len(), behind.through), (0, second.through));
}

#[tokio::test]
async fn logs_of_blocks_that_are_not_yet_in_the_chain_or_no_longer_are_an_error_that_may_pass() {
    let mut pending = log_of(&transfer(500, 0));
    pending["blockNumber"] = Value::Null;
    let mut reorganised = log_of(&transfer(500, 0));
    reorganised["data"] = json!(format!("0x{:064x}", 1));
    // One place holds two different events: halves of two chains.
    for logs in [vec![(500, pending)], vec![(500, log_of(&transfer(500, 0))), (500, reorganised)]] {
        let node = Node { logs, ..Node::default() }.start().await;
        let error = node.source().chunk(TOKEN, 0, AMPLE).await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
    }
}

#[test]
fn the_result_of_one_request_is_read_by_itself() {
    let expected = transfers(500..503, 1, 2);
    let logs: Vec<Value> = expected.iter().rev().map(log_of).collect();
    let read = |text: &str| read_logs(text.as_bytes(), TOKEN, (500, 502));
    let (transfers, bad_rows) = read(&json!(logs).to_string()).unwrap();
    assert!(transfers == expected && bad_rows == 0);
    for text in ["", "{}", "[{}]", "null", "[1]"] {
        assert!(matches!(read(text), Err(SourceError::Unavailable { .. })), "{text}");
    }
}

#[test]
fn ranges_widen_over_few_logs_and_not_beyond_what_the_node_takes() {
    let options = EvmOptions::default();
    let mut pace = Pace { width: 2_000, cap: 10_000, at_cap: 0, in_flight: 1, unhindered: 0, hold: 0 };
    for _ in 0..10 {
        pace.answered(pace.width, 0, &options);
    }
    assert_eq!(pace.width, 10_000);
    for _ in 0..STREAK {
        pace.answered(pace.width, 0, &options);
    }
    assert_eq!(pace.cap, 20_000, "a limit may have been misread");
    assert_eq!(pace.in_flight, 2);
    pace.answered(10_000, 9_000, &options);
    assert_eq!(pace.width, 5_000);
    pace.answered(5_000, 4_000, &options);
    assert_eq!(pace.width, 5_000);
    pace.answered(100, 0, &options);
    assert_eq!(pace.width, 5_000, "the end of a range says nothing about a whole one");
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Status(500)),
        Just(Fault::Status(504)),
        Just(Fault::RetryAfter(429, 0)),
        Just(Fault::Garbage),
        Just(Fault::Truncated),
        Just(Fault::OtherId),
        Just(Fault::Rpc(-32005, "limit exceeded")),
        Just(Fault::Rpc(-32000, "query timeout exceeded")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_lies_where_and_goes_wrong_every_transfer_comes_once_and_in_order(
        blocks in prop::collection::btree_map(0..5_000_u64, 1..12_u32, 0..60),
        provider in prop_oneof![
            (12..60_usize).prop_map(Provider::Results),
            (12..60_usize).prop_map(Provider::ResultsInData),
            (50..2_000_u64).prop_map(Provider::Blocks),
            (50..2_000_u64).prop_map(Provider::SomeBlocks),
            (100..2_000_u64).prop_map(Provider::Slow),
            (8_000..40_000_usize).prop_map(Provider::Size),
        ],
        faults in prop::collection::vec(fault(), 0..5),
        first_range in 1..4_000_u64,
        ranges_in_flight in 1..6_usize,
        max_transfers in prop_oneof![1..50_usize, Just(usize::MAX)],
        from in 0..1_000_u64,
    ) {
        let all: Vec<Transfer> =
            blocks.iter().flat_map(|(block, count)| (0..*count).map(|index| transfer(*block, index))).collect();
        let expected: Vec<Transfer> = all.iter().copied().filter(|transfer| transfer.block >= from).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = node_with(&all, 5_500, provider).start().await;
            node.node.faults.lock().unwrap().extend(faults);
            let source = node.source_with(EvmOptions { first_range, ranges_in_flight, ..quick() });
            let found = read_all(&source, TOKEN, from, Budget { max_transfers, ..AMPLE }).await.unwrap();
            assert!(found == expected, "{} of {}", found.len(), expected.len());
        });
    }
}
