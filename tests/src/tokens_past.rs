//! Parameters of reports, states in the past, histories, labels, and tokens that take several invocations.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use access::messages::REFRESH_CLUSTERS;
use access::{Delivery, JobPolicy, JobState, Jobs};
use clusters::{Labels, Ledger, Parameters, Report, Subject, TokenKind, analyse, difference};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::faults::Mortal;
use crate::world::{Behaviour, CHAIN, STALENESS, Setting, World};

const LIMIT: Duration = Duration::from_secs(120);
/// Less than an invocation keeps for its end: each does one step.
pub(crate) const TINY: Duration = Duration::from_secs(1);

impl World {
    /// What the engine says of all transfers up to this block. Through its text, as what is served.
    fn expected(&self, until: u64, parameters: &Parameters, labels: &Labels) -> Value {
        serde_json::from_str(&self.text(until, parameters, labels)).unwrap()
    }

    /// The same as text.
    pub(crate) fn text(&self, until: u64, parameters: &Parameters, labels: &Labels) -> String {
        let mut ledger = Ledger::new();
        let transfers = self.source.transfers().iter().filter(|transfer| transfer.block <= until);
        transfers.for_each(|transfer| ledger.push(transfer));
        let subject = Subject {
            chain: CHAIN.into(),
            address: self.token,
            name: Some("Sample Token".into()),
            symbol: Some("SMPL".into()),
            decimals: Some(18),
            total_supply: Some(clusters::Amount::MAX),
            kind: TokenKind::Erc20,
            contracts: BTreeSet::new(),
            bad_rows: 0,
            duplicate_rows: 0,
            fundings: std::collections::BTreeMap::new(),
        };
        serde_json::to_string(&analyse(&mut ledger, &subject, labels, parameters)).unwrap()
    }

    async fn report(&self, query: &str) -> Value {
        let path = self.path(&format!("/clusters{query}"));
        let mut report = self.ann().get(&path).await.assert(200).json();
        report["computedAt"] = Value::Null;
        report["durationMs"] = Value::Null;
        report
    }

    /// A block so many hundredths of the way from the first to the last.
    pub(crate) fn at(&self, percent: u64) -> u64 {
        let blocks = self.source.blocks();
        blocks.start() + (blocks.end() - blocks.start()) * percent / 100
    }
}

/// A report or history without when it was made and how long that took.
pub(crate) fn masked(text: &str) -> String {
    let mut text = text.to_owned();
    for name in ["\"computedAt\":", "\"durationMs\":"] {
        let Some(start) = text.find(name).map(|at| at + name.len()) else { continue };
        let end = start + text[start..].find([',', '}']).unwrap();
        text.replace_range(start..end, "null");
    }
    text
}

#[tokio::test]
async fn equal_requests_share_a_job_whatever_the_order_of_their_parameters() {
    let world = World::new().await;
    let ann = world.ann();
    let job = async |query: &str| {
        let answer = ann.get(&world.path(&format!("/clusters{query}"))).await;
        answer.assert(202).json()["job"]["job"].as_str().unwrap().to_owned()
    };
    assert_eq!(job("").await, job("?top=1000&contractsAreHubs=true&fundingWindow=7200").await);
    let choices = ["?magicNodes=true&top=50", "?top=50&magicNodes=true", "?includeHubs=false&top=50&magicNodes=true"];
    let mut jobs = BTreeSet::new();
    for query in choices {
        jobs.insert(job(query).await);
    }
    assert_eq!(jobs.len(), 1);
    assert_eq!(world.queue.sent.load(Ordering::SeqCst), 2);
    assert_eq!(world.work().await, 2);
    let parameters = Parameters { top: 50, magic_nodes: true, ..Parameters::default() };
    let expected = world.expected(u64::MAX, &parameters, &Labels::builtin(CHAIN));
    assert_eq!(world.report("?magicNodes=true&top=50").await, expected);
    for query in ["magicNodes=yes", "block=-1", "block=1e3", "at=noon", "labels=mine", "synchronousWindow=x"] {
        ann.get(&world.path(&format!("/clusters?{query}"))).await.assert_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn a_message_of_an_older_version_is_still_done() {
    let world = World::new().await;
    let (chain, address) = (CHAIN.to_owned(), world.token.to_string());
    let job = {
        use access::messages::{Choices, RefreshClusters};
        let message = RefreshClusters { chain, address: address.clone(), choices: Choices::default() };
        let key = format!("{CHAIN}/{address}/top=1000/hub=200");
        world.app.jobs.enqueue(&key, &message).await.unwrap().view.job
    };
    let mut delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
    let mut envelope: Value = serde_json::from_str(&delivery.body).unwrap();
    envelope["message"] = json!({"chain": CHAIN, "address": address, "top": 1000, "hubDegree": 200}).to_string().into();
    delivery.body = envelope.to_string();
    assert!(world.work_on(delivery, LIMIT).await);
    assert_eq!(world.app.jobs.find(&job).await.unwrap().unwrap().view.state, JobState::Done);
    world.report("").await;
}

#[tokio::test]
async fn a_state_in_the_past_is_what_the_engine_says_of_the_transfers_by_then_and_never_stale() {
    let world = World::new().await;
    let ann = world.ann();
    let block = world.at(40);
    let query = format!("?block={block}");
    ann.get(&world.path(&format!("/clusters{query}"))).await.assert(202);
    assert_eq!(world.work().await, 1);
    let expected = world.expected(block, &Parameters::default(), &Labels::builtin(CHAIN));
    assert_eq!(world.report(&query).await, expected);
    assert_ne!(world.expected(u64::MAX, &Parameters::default(), &Labels::builtin(CHAIN)), expected);

    world.clock.advance(STALENESS * 100);
    let answer = world.ann().get(&world.path(&format!("/clusters{query}"))).await;
    assert_eq!(answer.assert(200).header("x-cache"), "fresh");
    assert_eq!(world.depth(&REFRESH_CLUSTERS), 0);

    // Only what was needed is read.
    let other = World::new().await;
    other.source.now(Behaviour::InPieces(10));
    other.ann().get(&other.path(&format!("/clusters?block={}", other.at(10)))).await.assert(202);
    assert_eq!(other.work().await, 1);
    let read = other.source.read_from.lock().unwrap().last().copied().unwrap();
    assert!(read <= other.at(10), "{read}");
}

#[tokio::test]
async fn a_time_is_the_last_block_by_then() {
    let world = World::new().await;
    let ann = world.ann();
    let middle = world.source.transfers()[1500];
    let time = middle.timestamp.unwrap();
    let written = jiff::Timestamp::from_second(i64::try_from(time).unwrap()).unwrap();
    let job = async |query: String| {
        ann.get(&world.path(&format!("/clusters?{query}"))).await.assert(202).json()["job"]["job"].clone()
    };
    let first = job(format!("at={time}")).await;
    assert_eq!(job(format!("at={written}")).await, first);
    let next = world.source.transfers().iter().find(|transfer| transfer.block > middle.block).unwrap();
    assert_eq!(job(format!("block={}", next.block - 1)).await, first, "the same state by its block");
    assert_eq!(world.work().await, 1);
    let report = world.report(&format!("?at={time}")).await;
    assert_eq!(report["asOf"]["block"], middle.block);
    assert_eq!(report, world.expected(middle.block, &Parameters::default(), &Labels::builtin(CHAIN)));
}

#[tokio::test]
async fn what_has_not_happened_yet_is_refused_with_the_head() {
    let world = World::new().await;
    let ann = world.ann();
    let head = *world.source.blocks().end();
    let later = world.source.transfers().last().unwrap().timestamp.unwrap() + 1;
    for rest in ["/clusters?block=", "/history?to=", "/history?from="] {
        let answer = ann.get(&world.path(&format!("{rest}{}", head + 1))).await;
        answer.assert_problem(400, "beyond_head");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&head.to_string()));
    }
    ann.get(&world.path(&format!("/clusters?at={later}"))).await.assert_problem(400, "beyond_head");
    ann.get(&world.path("/clusters?at=5&block=5")).await.assert_problem(400, "invalid_query");
    ann.get(&world.path("/history?from=6&to=5")).await.assert_problem(400, "invalid_query");
    assert_eq!(world.queue.sent.load(Ordering::SeqCst), 0);
    ann.get(&world.path(&format!("/clusters?block={head}"))).await.assert(202);
    assert_eq!(world.work().await, 1);

    // A node that is behind the one that was asked first: tried again.
    let behind = World::new().await;
    behind.ann().get(&behind.path(&format!("/clusters?block={}", behind.at(90)))).await.assert(202);
    *behind.source.safe.lock().unwrap() = Some(behind.at(50));
    let delivery = behind.receive(&REFRESH_CLUSTERS).await.unwrap();
    assert!(!behind.work_on(delivery.clone(), LIMIT).await);
    *behind.source.safe.lock().unwrap() = None;
    assert!(behind.work_on(delivery, LIMIT).await);
    behind.report(&format!("?block={}", behind.at(90))).await;
    behind.leaves_messages();
}

#[tokio::test]
async fn a_callers_labels_count_before_the_built_in_ones() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/clusters")).await.assert(202);
    world.work().await;
    let largest = world.report("").await["holders"][2]["address"].as_str().unwrap().to_owned();
    let file = format!("address,name,kind\n{largest},Our pool,pool\n");
    let kept = ann.post_text("/v1/labels", "text/csv", &file).await.assert(201).json();
    assert_eq!(kept["count"], 1);
    let again = world.person("ben").post_text("/v1/labels", "text/csv", &file).await.assert(201).json();
    assert_eq!(again, kept);
    let digest = kept["labels"].as_str().unwrap();

    let query = format!("?labels={digest}");
    ann.get(&world.path(&format!("/clusters{query}"))).await.assert(202);
    ann.get(&world.path("/clusters?labels=none")).await.assert(202);
    assert_eq!(world.work().await, 2);
    let mut labels = Labels::builtin(CHAIN);
    labels.extend(Labels::parse(file.as_bytes()).unwrap());
    let report = world.report(&query).await;
    assert_eq!(report["holders"][2]["label"], "Our pool");
    assert_eq!(report, world.expected(u64::MAX, &Parameters::default(), &labels));
    assert_eq!(world.report("?labels=none").await, world.expected(u64::MAX, &Parameters::default(), &Labels::none()));
    let json = format!(r#"[{{"address":"{largest}","name":"Our pool","kind":"pool"}}]"#);
    let kept = ann.post_text("/v1/labels", "application/json", &json).await.assert(201).json();
    assert_ne!(kept["labels"], *digest);
}

#[tokio::test]
async fn labels_that_are_none_are_refused() {
    let world = World::new().await;
    let ann = world.ann();
    let answer = ann.post_text("/v1/labels", "text/csv", "address,name,kind\n0x12,A,pool\n").await;
    answer.assert_problem(400, "invalid_labels");
    assert!(answer.json()["detail"].as_str().unwrap().contains("line 2, column address"));
    ann.post_text("/v1/labels", "text/csv", "").await.assert_problem(400, "invalid_labels");
    ann.post_text("/v1/labels", "text/csv", &"x".repeat((1 << 20) + 1)).await.assert_problem(413, "payload_too_large");
    world.anon().post_text("/v1/labels", "text/csv", "").await.assert_problem(403, "token_missing");
    for rest in ["/clusters", "/history"] {
        let unknown = format!("{rest}?labels={}", "0".repeat(64));
        ann.get(&world.path(&unknown)).await.assert_problem(404, "unknown_labels");
    }
    assert_eq!(world.queue.sent.load(Ordering::SeqCst), 0);
}

/// What reports say at each of the blocks of a history.
fn assert_points(world: &World, history: &Value, parameters: &Parameters) {
    for point in history["points"].as_array().unwrap() {
        let block = point["block"].as_u64().unwrap();
        let report = world.expected(block, parameters, &Labels::builtin(CHAIN));
        for name in ["byHolder", "byEntity", "byEntityAdjusted", "score"] {
            assert_eq!(point[name], report["metrics"][name], "{name} at {block}");
        }
        assert_eq!(point["timestamp"], report["asOf"]["timestamp"]);
        assert_eq!(point["supply"], report["supply"]["positive"]);
        assert_eq!(point["clusters"], report["clusters"].as_array().unwrap().len());
        if report["holders"].as_array().unwrap().len() < parameters.top as usize {
            assert_eq!(point["holders"], report["holders"].as_array().unwrap().len());
        }
    }
}

#[tokio::test]
async fn a_history_says_what_reports_say_at_each_block() {
    let world = World::new().await;
    world.source.now(Behaviour::InPieces(97));
    let ann = world.ann();
    let path = world.path("/history?points=7&hubDegree=20");
    let body = ann.get(&path).await.assert(202).json();
    assert_eq!(body["job"]["kind"], "refresh-history");
    assert_eq!(world.work().await, 1);
    let history = ann.get(&path).await.assert(200).json();
    let blocks: Vec<_> = history["points"].as_array().unwrap().iter().map(|point| &point["block"]).collect();
    assert_eq!(blocks.len(), 7);
    let ends = world.source.blocks();
    assert_eq!((blocks[0], blocks[6]), (&json!(ends.start()), &json!(ends.end())));
    assert_eq!(history["token"]["symbol"], "SMPL");
    assert_points(&world, &history, &Parameters { hub_degree: 20, ..Parameters::default() });

    // Between two blocks of the past it never changes.
    let (from, to) = (world.at(20), world.at(60));
    let path = world.path(&format!("/history?points=3&from={from}&to={to}"));
    ann.get(&path).await.assert(202);
    assert_eq!(world.work().await, 1);
    let history = ann.get(&path).await.assert(200).json();
    assert_eq!((&history["points"][0]["block"], &history["points"][2]["block"]), (&json!(from), &json!(to)));
    assert_points(&world, &history, &Parameters::default());
    world.clock.advance(STALENESS * 100);
    assert_eq!(world.ann().get(&path).await.assert(200).header("x-cache"), "fresh");
}

#[tokio::test]
async fn changes_are_what_two_reports_differ_in() {
    let world = World::new().await;
    let ann = world.ann();
    let (since, until) = (world.at(30), world.at(70));
    let report = |block: u64| -> Report {
        serde_json::from_value(world.expected(block, &Parameters::default(), &Labels::builtin(CHAIN))).unwrap()
    };
    let expected = |until: u64| serde_json::to_value(difference(&report(since), &report(until))).unwrap();
    let path = world.path(&format!("/changes?since={since}&block={until}"));
    let job = ann.get(&path).await.assert(202).header("location").to_owned();
    assert_eq!(ann.get(&path).await.assert(202).header("location"), job);
    assert_eq!(world.work().await, 2, "both reports were queued, once");
    let answer = ann.get(&path).await;
    assert_eq!(answer.assert(200).header("x-cache"), "fresh");
    let changes = answer.json();
    assert_eq!(changes, expected(until));
    assert_ne!(changes["joined"], json!([]));

    let to_the_newest = world.path(&format!("/changes?since={since}"));
    ann.get(&to_the_newest).await.assert(202);
    assert_eq!(world.work().await, 1);
    assert_eq!(ann.get(&to_the_newest).await.assert(200).json(), expected(u64::MAX));

    let same = ann.get(&world.path(&format!("/changes?since={since}&block={since}"))).await.assert(200).json();
    assert_eq!(
        (&same["joined"], &same["left"], &same["moved"], &same["clusters"]),
        (&json!([]), &json!([]), &json!([]), &json!([]))
    );

    for (query, code) in [
        (String::new(), "invalid_query"),
        (format!("?since={since}&sinceTime=1"), "invalid_query"),
        (format!("?since={until}&block={since}"), "invalid_query"),
        ("?since=-1".to_owned(), "invalid_query"),
        ("?since=99999999".to_owned(), "beyond_head"),
    ] {
        ann.get(&world.path(&format!("/changes{query}"))).await.assert_problem(400, code);
    }
    assert_eq!(world.depth(&REFRESH_CLUSTERS), 0, "what is refused queues nothing");
}

#[tokio::test]
async fn with_little_time_a_job_goes_on_in_many_invocations_and_its_progress_only_grows() {
    let world = World::with(Setting { rows: Some((1500, 200)), ..Setting::default() }).await;
    world.source.now(Behaviour::InPieces(100));
    let ann = world.ann();
    for path in [world.path("/clusters"), world.path("/history?points=5"), world.path("/clusters?top=9")] {
        let job = ann.get(&path).await.assert(202).json()["job"]["job"].as_str().unwrap().to_owned();
        let mut seen = 0.0;
        let mut steps = 0;
        while let Some(delivery) = world.receive(&REFRESH_CLUSTERS).await {
            assert!(world.work_on(delivery, TINY).await);
            let view = world.app.jobs.find(&job).await.unwrap().unwrap().view;
            assert!(view.progress >= seen, "{path}: {} after {seen}", view.progress);
            seen = view.progress;
            steps += 1;
        }
        assert!(steps > 5, "{path}: {steps} steps");
        assert!((seen - 1.0).abs() < f64::EPSILON);
        ann.get(&path).await.assert(200);
        assert_eq!(world.objects("reports/carried"), 0, "nothing is left behind");
    }
    assert_eq!(world.report("").await, world.expected(u64::MAX, &Parameters::default(), &Labels::builtin(CHAIN)));
    assert_points(&world, &ann.get(&world.path("/history?points=5")).await.json(), &Parameters::default());
}

#[tokio::test]
async fn a_token_that_takes_more_memory_than_there_is_fails_with_a_reason_and_a_state_that_fits_does_not() {
    let world = World::with(Setting { ledger_bytes: Some(50_000), ..Setting::default() }).await;
    let ann = world.ann();
    let job = ann.get(&world.path("/clusters")).await.assert(202).json()["job"]["job"].as_str().unwrap().to_owned();
    assert_eq!(world.work().await, 1);
    let view = ann.get(&format!("/v1/jobs/{job}")).await.assert(200).json();
    assert_eq!((&view["state"], &view["attempts"]), (&json!("failed"), &json!(1)), "{view}");
    assert_eq!(view["error"]["code"], "token_too_large");
    assert!(view["error"]["detail"].as_str().unwrap().contains("transfers up to block"), "{view}");
    let early = world.at(5);
    ann.get(&world.path(&format!("/clusters?block={early}"))).await.assert(202);
    assert_eq!(world.work().await, 1);
    let expected = world.expected(early, &Parameters::default(), &Labels::builtin(CHAIN));
    assert_eq!(world.report(&format!("?block={early}")).await, expected);
}

#[tokio::test]
async fn a_checkpoint_that_is_damaged_or_gone_is_passed_over() {
    let world = World::with(Setting { checkpoint_rows: Some(200), ..Setting::default() }).await;
    let ann = world.ann();
    world.source.now(Behaviour::InPieces(200));
    for percent in [30, 50, 70, 80, 90] {
        *world.source.safe.lock().unwrap() = Some(world.at(percent));
        world.clock.advance(STALENESS + Duration::from_secs(1));
        ann.get(&world.path("/clusters")).await;
        assert_eq!(world.work().await, 1);
    }
    let ledgers: Vec<_> = world.paths("transfers").into_iter().filter(|path| path.ends_with(".ledger")).collect();
    assert_eq!(ledgers.len(), 3, "older ones are removed: {ledgers:?}");
    for (number, breakage) in ["damaged", "cut", "of another version", "gone"].into_iter().enumerate() {
        let newest = world.dir().join(ledgers.last().unwrap());
        let mut bytes = std::fs::read(&newest).unwrap();
        match breakage {
            "damaged" => *bytes.last_mut().unwrap() ^= 1,
            "cut" => bytes.truncate(bytes.len() / 2),
            "of another version" => bytes[8] = 0xff,
            _ => {}
        }
        if breakage == "gone" {
            std::fs::remove_file(&newest).unwrap();
        } else {
            std::fs::write(&newest, bytes).unwrap();
        }
        let top = 20 + number;
        ann.get(&world.path(&format!("/clusters?top={top}"))).await.assert(202);
        assert_eq!(world.work().await, 1);
        let parameters = Parameters { top: u32::try_from(top).unwrap(), ..Parameters::default() };
        let expected = world.expected(world.at(90), &parameters, &Labels::builtin(CHAIN));
        assert_eq!(world.report(&format!("?top={top}")).await, expected, "{breakage}");
    }
}

/// What happens to one token.
#[derive(Clone, Debug)]
struct Story {
    rounds: Vec<Round>,
    checkpoint_rows: u64,
}

#[derive(Clone, Debug)]
struct Round {
    /// How far the chain has got, in hundredths of all blocks.
    head: u64,
    /// Of that, where to look back to, in hundredths.
    past: Option<u64>,
    /// How many blocks the source gives at a time.
    piece: u64,
    /// For each invocation whether it has little time, and after how many polls it dies.
    invocations: Vec<(bool, Option<usize>)>,
}

fn stories() -> impl Strategy<Value = Story> {
    let invocation = (any::<bool>(), prop::option::weighted(0.6, 0_usize..120));
    let round = (5_u64..=100, prop::option::of(0_u64..=100), 40_u64..700, prop::collection::vec(invocation, 0..6));
    let round = round.prop_map(|(head, past, piece, invocations)| Round { head, past, piece, invocations });
    (prop::collection::vec(round, 1..4), 1_u64..400)
        .prop_map(|(rounds, checkpoint_rows)| Story { rounds, checkpoint_rows })
}

/// Lives through it; every report must be what the engine says of all transfers at once.
async fn live_through(story: Story) {
    let setting =
        Setting { rows: Some((800, 120)), checkpoint_rows: Some(story.checkpoint_rows), ..Setting::default() };
    let world = World::with(setting).await;
    let mut head = 0;
    for round in story.rounds {
        head = world.at(round.head).max(head);
        *world.source.safe.lock().unwrap() = Some(head);
        world.source.now(Behaviour::InPieces(round.piece));
        world.clock.advance(STALENESS + Duration::from_secs(1));
        let block = round.past.map(|percent| {
            let start = *world.source.blocks().start();
            start + (head - start) * percent / 100
        });
        let query = block.map_or(String::new(), |block| format!("?block={block}"));
        let key = block.map_or(String::new(), |block| format!("/block={block}"));
        let job = Jobs::id("refresh-clusters", &format!("{CHAIN}/{}{key}", world.token));
        world.ann().get(&world.path(&format!("/clusters{query}"))).await;
        let mut fates = round.invocations.into_iter();
        let mut waiting: Option<Delivery> = None;
        loop {
            let delivery = match waiting.take() {
                Some(delivery) => delivery,
                None => match world.receive(&REFRESH_CLUSTERS).await {
                    Some(delivery) => delivery,
                    None => {
                        let state = world.app.jobs.find(&job).await.unwrap().unwrap().view.state;
                        if state == JobState::Done {
                            break;
                        }
                        // Killed before the message of the next part was sent: the sweep sends it.
                        world.clock.advance(JobPolicy::default().patience + Duration::from_secs(60));
                        world.sweep().await;
                        continue;
                    }
                },
            };
            let (hurried, dies) = fates.next().unwrap_or((false, None));
            let limit = if hurried { TINY } else { LIMIT };
            let work = world.work_on(delivery.clone(), limit);
            let done = match dies {
                Some(polls) => Mortal::after(polls, work).await,
                None => Some(work.await),
            };
            if done != Some(true) {
                world.clock.advance(JobPolicy::default().lease + Duration::from_secs(1));
                waiting = Some(delivery);
            }
        }
        let expected = world.expected(block.unwrap_or(head), &Parameters::default(), &Labels::builtin(CHAIN));
        assert_eq!(world.report(&query).await, expected);
    }
}

#[test]
fn whatever_happens_on_the_way_a_report_is_what_it_is_from_scratch() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 24, max_shrink_iters: 40, ..Config::default() });
    let lived = runner.run(&stories(), |story| {
        let told = format!("{story:?}");
        let lived = runtime.block_on(async { tokio::spawn(live_through(story)).await });
        lived.map_err(|error| TestCaseError::fail(format!("{error} in {told}")))
    });
    lived.unwrap();
}
