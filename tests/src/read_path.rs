//! RAO → DAO → DQO, promise by promise, over the cluster reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use access::messages::{DEAD_LETTERS, REFRESH_CLUSTERS};
use access::{Claimed, Envelope, JobPolicy, JobState, Jobs, Queue};
use clusters::{Labels, Ledger, Parameters, Subject, TokenKind, analyse};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::world::{Behaviour, CHAIN, STALENESS, Setting, World};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_report_is_queued_then_made_then_served() {
    let world = World::new().await;
    let ann = world.ann();

    let answer = ann.get(&world.path("/clusters")).await;
    answer.assert(202);
    let body = answer.json();
    let job = body["job"]["job"].as_str().unwrap().to_owned();
    assert_eq!(body["status_code"], 202);
    assert_eq!(body["detail"], format!("Token {} on chain {CHAIN} was queued for cluster analysis.", world.token));
    assert_eq!(body["job"]["state"], "queued");
    assert_eq!(answer.header("location"), format!("/v1/jobs/{job}"));
    assert_eq!(answer.header("retry-after"), "1");

    assert_eq!(world.work().await, 1);

    let answer = ann.get(&world.path("/clusters")).await;
    answer.assert(200);
    assert_eq!((answer.header("x-cache"), answer.header("age")), ("fresh", "0"));
    let done = ann.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!((&done["state"], &done["progress"], &done["attempts"]), (&json!("done"), &json!(1.0), &json!(1)));
}

#[tokio::test]
async fn the_report_is_what_the_engine_says_of_all_transfers() {
    let world = World::new().await;
    world.source.now(Behaviour::InPieces(7));
    let ann = world.ann();
    ann.get(&world.path("/clusters?top=50&hubDegree=20")).await.assert(202);
    world.work().await;
    let mut served = ann.get(&world.path("/clusters?top=50&hubDegree=20")).await.json();

    let mut ledger = Ledger::new();
    world.source.transfers().iter().for_each(|transfer| ledger.push(transfer));
    let subject = Subject {
        chain: CHAIN.into(),
        address: world.token,
        name: Some("Sample Token".into()),
        symbol: Some("SMPL".into()),
        decimals: Some(18),
        total_supply: Some(clusters::Amount::MAX),
        kind: TokenKind::Erc20,
        contracts: BTreeSet::new(),
        bad_rows: 0,
        fundings: BTreeMap::new(),
        duplicate_rows: 0,
    };
    let parameters = Parameters { top: 50, hub_degree: 20, ..Parameters::default() };
    let mut expected =
        serde_json::to_value(analyse(&mut ledger, &subject, &Labels::builtin(CHAIN), &parameters)).unwrap();
    for report in [&mut served, &mut expected] {
        report["computedAt"] = Value::Null;
        report["durationMs"] = Value::Null;
    }
    assert_eq!(served, expected);
}

#[tokio::test]
async fn a_thousand_cold_readers_start_one_job() {
    let world = World::new().await;
    let processes: Vec<_> = (0..10).map(|_| world.another_process()).collect();
    let path = world.path("/clusters");
    let readers = (0..1000).map(|reader| {
        let person = world.person(&format!("reader{}", reader % 20)).at(processes[reader % 10].clone());
        let path = path.clone();
        tokio::spawn(async move { person.get(&path).await })
    });
    let mut jobs = BTreeSet::new();
    for answer in join_all(readers).await {
        let answer = answer.unwrap();
        answer.assert(202);
        jobs.insert(answer.json()["job"]["job"].as_str().unwrap().to_owned());
    }
    assert_eq!(jobs.len(), 1);
    assert_eq!(world.queue.sent.load(Ordering::SeqCst), 1);
    assert_eq!(world.depth(&REFRESH_CLUSTERS), 1);
    world.work().await;
}

#[tokio::test]
async fn a_stale_report_is_served_at_once_and_refreshed_once() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/clusters")).await.assert(202);
    world.work().await;

    world.clock.advance(STALENESS);
    assert_eq!(
        ann.get(&world.path("/clusters")).await.assert(200).header("x-cache"),
        "fresh",
        "not older than allowed"
    );
    world.clock.advance(Duration::from_millis(1));
    for _ in 0..3 {
        let answer = ann.get(&world.path("/clusters")).await;
        answer.assert(200);
        assert_eq!((answer.header("x-cache"), answer.header("age")), ("stale", "600"));
        assert_eq!(answer.header("x-refresh-job").len(), 26);
    }
    assert_eq!(world.work().await, 1);
    let answer = ann.get(&world.path("/clusters")).await;
    assert_eq!((answer.header("x-cache"), answer.header("age")), ("fresh", "0"));
}

#[tokio::test]
async fn each_choice_of_parameters_is_a_report_of_its_own_from_the_same_transfers() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/clusters?top=10")).await.assert(202);
    ann.get(&world.path("/clusters?top=20")).await.assert(202);
    assert_eq!(world.work().await, 2);
    for top in [10, 20] {
        let report = ann.get(&world.path(&format!("/clusters?top={top}"))).await.json();
        assert_eq!(report["holders"].as_array().unwrap().len(), top);
        assert_eq!(report["parameters"]["top"], top);
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_is_never_called_queued() {
    let world = World::new().await;
    let ann = world.ann();
    world.queue.down.store(true, Ordering::SeqCst);
    let answer = ann.get(&world.path("/clusters")).await;
    answer.assert_problem(503, "queue_unavailable");
    assert!(!answer.header("retry-after").is_empty());

    world.queue.down.store(false, Ordering::SeqCst);
    ann.get(&world.path("/clusters")).await.assert(202);
    world.work().await;
    ann.get(&world.path("/clusters")).await.assert(200);

    world.queue.down.store(true, Ordering::SeqCst);
    world.clock.advance(STALENESS + Duration::from_secs(1));
    assert_eq!(ann.get(&world.path("/clusters")).await.assert(200).header("x-cache"), "stale");
}

#[tokio::test]
async fn a_message_delivered_twice_is_worked_on_once() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/clusters")).await.assert(202);
    let delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
    assert!(world.work_on(delivery.clone(), LIMIT).await);
    let asked = world.source.asked.load(Ordering::SeqCst);
    let first = ann.get(&world.path("/clusters")).await.json();

    world.clock.advance(Duration::from_secs(30));
    assert!(world.work_on(delivery, LIMIT).await, "the second time it is dropped");
    assert_eq!(world.source.asked.load(Ordering::SeqCst), asked);
    assert_eq!(ann.get(&world.path("/clusters")).await.json(), first);
}

#[tokio::test]
async fn a_worker_killed_half_way_is_replaced_and_the_job_finished_once() {
    let world = World::new().await;
    let ann = world.ann();
    let job = ann.get(&world.path("/clusters")).await.json()["job"]["job"].as_str().unwrap().to_owned();

    world.source.now(Behaviour::HangsAfter(5));
    let delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
    {
        let stopped = world.source.stopped.notified();
        let killed = world.work_on(delivery.clone(), LIMIT);
        tokio::select! {
            _ = killed => panic!("it hangs"),
            () = stopped => {}
        }
    }
    let row = world.app.jobs.find(&job).await.unwrap().unwrap();
    assert_eq!((row.view.state, row.view.fence), (JobState::Running, 1));

    // Redelivered too early, it waits for the first worker's lease.
    world.source.now(Behaviour::InPieces(5));
    assert!(!world.work_on(delivery.clone(), LIMIT).await);
    world.clock.advance(JobPolicy::default().lease + Duration::from_secs(1));
    assert!(world.work_on(delivery.clone(), LIMIT).await);
    let row = world.app.jobs.find(&job).await.unwrap().unwrap();
    assert_eq!((row.view.state, row.view.fence, row.view.attempts), (JobState::Done, 2, 2));

    assert!(world.work_on(delivery, LIMIT).await, "a third delivery finds it done");
    let report = ann.get(&world.path("/clusters")).await.json();
    assert_eq!(report["health"]["rows"], world.source.transfers().len());
    world.leaves_messages();
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_publish() {
    let world = World::new().await;
    world.ann().get(&world.path("/clusters")).await.assert(202);
    let delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
    let envelope: Envelope = serde_json::from_str(&delivery.body).unwrap();
    let Claimed::Yes(first) = world.app.jobs.claim(&envelope).await.unwrap() else { panic!("free") };
    assert!(matches!(world.app.jobs.claim(&envelope).await.unwrap(), Claimed::Busy(_)));
    world.clock.advance(JobPolicy::default().lease + Duration::from_secs(1));
    let Claimed::Yes(second) = world.app.jobs.claim(&envelope).await.unwrap() else { panic!("lease over") };
    assert!(second.row.view.fence > first.row.view.fence);

    let reports = world.app.dqo::<tokens::ClusterReport>(world.app.settings.reports);
    let value = |text: &str| tokens::ClusterReport(serde_json::from_str(text).unwrap());
    assert!(reports.publish(&first, "k", value("1")).await.unwrap().is_none());
    assert!(!world.app.jobs.renew(&first, "late", 0.5).await.unwrap());
    assert!(reports.peek("k").await.unwrap().is_none(), "nothing was written");
    assert!(reports.publish(&second, "k", value("2")).await.unwrap().is_some());
    assert_eq!(reports.peek("k").await.unwrap().unwrap().stamped.value.0.get(), "2");
    assert!(reports.publish(&second, "k", value("3")).await.unwrap().is_none(), "a job is done once");
    world.leaves_messages();
}

#[tokio::test]
async fn a_source_that_is_down_is_tried_again_and_the_caller_keeps_waiting() {
    let world = World::new().await;
    let ann = world.ann();
    world.source.now(Behaviour::Down);
    let job = ann.get(&world.path("/clusters")).await.json()["job"]["job"].as_str().unwrap().to_owned();
    let delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
    assert!(!world.work_on(delivery.clone(), LIMIT).await, "the message comes back");
    let body = ann.get(&world.path("/clusters")).await.assert(202).json();
    assert_eq!((&body["job"]["state"], &body["job"]["attempts"]), (&json!("queued"), &json!(1)));
    let view = ann.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!(view["error"]["code"], "source_unavailable");

    world.source.now(Behaviour::Works);
    assert!(world.work_on(delivery, LIMIT).await);
    ann.get(&world.path("/clusters")).await.assert(200);
    world.leaves_messages();
}

#[tokio::test]
async fn what_is_no_token_is_404_for_a_while_and_then_tried_again() {
    let world = World::new().await;
    let ann = world.ann();
    world.source.now(Behaviour::NotAToken);
    ann.get(&world.path("/clusters")).await.assert(202);
    assert_eq!(world.work().await, 1);
    let answer = ann.get(&world.path("/clusters")).await;
    answer.assert_problem(404, "not_a_token");
    assert!(answer.json()["detail"].as_str().unwrap().contains("there is no contract"));
    world.clock.advance(Duration::from_secs(30));
    ann.get(&world.path("/clusters")).await.assert_problem(404, "not_a_token");

    world.source.now(Behaviour::Works);
    world.clock.advance(Duration::from_secs(31));
    ann.get(&world.path("/clusters")).await.assert(202);
    world.work().await;
    ann.get(&world.path("/clusters")).await.assert(200);
}

#[tokio::test]
async fn a_job_nobody_could_do_ends_failed_through_the_dead_letters() {
    let world = World::new().await;
    let ann = world.ann();
    world.source.now(Behaviour::Down);
    ann.get(&world.path("/clusters")).await.assert(202);
    for attempt in 1..=REFRESH_CLUSTERS.max_receive_count {
        let delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
        let receipt = delivery.receipt.clone();
        assert!(!world.work_on(delivery, LIMIT).await);
        if attempt < REFRESH_CLUSTERS.max_receive_count {
            assert!(world.receive(&REFRESH_CLUSTERS).await.is_none(), "it comes back after a while");
            world.queue.inner.change_visibility(&REFRESH_CLUSTERS, &receipt, Duration::ZERO).await.unwrap();
        }
    }
    // After the last attempt there is nothing to wait for.
    assert!(world.receive(&REFRESH_CLUSTERS).await.is_none());
    assert_eq!(world.depth(&DEAD_LETTERS), 1);
    assert_eq!(world.bury().await, 1);
    ann.get(&world.path("/clusters")).await.assert_problem(503, "source_unavailable");
    world.clock.advance(Duration::from_secs(61));
    ann.get(&world.path("/clusters")).await.assert(202);
    world.source.now(Behaviour::Works);
    world.work().await;
    ann.get(&world.path("/clusters")).await.assert(200);
}

#[tokio::test]
async fn work_that_outlasts_an_invocation_goes_on_in_the_next_where_it_was() {
    let world = World::new().await;
    let ann = world.ann();
    world.source.now(Behaviour::InPieces(40));
    let job = ann.get(&world.path("/clusters")).await.json()["job"]["job"].as_str().unwrap().to_owned();
    // Too short for anything but to notice it: each time one invocation hands over to another.
    for part in 0..3 {
        let delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
        assert!(world.work_on(delivery, Duration::from_secs(1)).await);
        let row = world.app.jobs.find(&job).await.unwrap().unwrap();
        assert_eq!((row.part, row.view.state), (part + 1, JobState::Queued));
    }
    assert_eq!(world.depth(&REFRESH_CLUSTERS), 1);
    assert_eq!(world.work().await, 1);
    let report = ann.get(&world.path("/clusters")).await.json();
    assert_eq!(report["health"]["rows"], world.source.transfers().len());
}

#[tokio::test]
async fn a_refresh_reads_only_what_is_new() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/clusters")).await.assert(202);
    world.work().await;
    world.clock.advance(STALENESS + Duration::from_secs(1));
    ann.get(&world.path("/clusters")).await.assert(200);
    world.work().await;
    let (first, head) = (*world.source.blocks().start(), *world.source.blocks().end());
    assert_eq!(*world.source.read_from.lock().unwrap(), [first, head + 1]);
}

#[tokio::test]
async fn a_lost_message_is_sent_again_by_the_sweep_and_a_hopeless_job_ended() {
    let policy = JobPolicy { max_attempts: 2, ..JobPolicy::default() };
    let world = World::with(Setting { jobs: Some(policy), ..Setting::default() }).await;
    let ann = world.ann();
    let job = ann.get(&world.path("/clusters")).await.json()["job"]["job"].as_str().unwrap().to_owned();
    let lost = world.receive(&REFRESH_CLUSTERS).await.unwrap();
    world.queue.inner.delete(&REFRESH_CLUSTERS, &lost.receipt).await.unwrap();

    world.sweep().await;
    assert_eq!(world.depth(&REFRESH_CLUSTERS), 0, "it is not yet given up");
    world.clock.advance(policy.patience + Duration::from_secs(1));
    world.sweep().await;
    world.sweep().await;
    assert_eq!(world.depth(&REFRESH_CLUSTERS), 1, "once");

    // Two workers die over it.
    for _ in 0..2 {
        let delivery = world.receive(&REFRESH_CLUSTERS).await.unwrap();
        let envelope: Envelope = serde_json::from_str(&delivery.body).unwrap();
        assert!(matches!(world.app.jobs.claim(&envelope).await.unwrap(), Claimed::Yes(_)));
        world.queue.inner.delete(&REFRESH_CLUSTERS, &delivery.receipt).await.unwrap();
        world.clock.advance(policy.lease + Duration::from_secs(1));
        world.sweep().await;
    }
    let row = world.app.jobs.find(&job).await.unwrap().unwrap();
    assert_eq!(row.view.state, JobState::Failed);
    assert_eq!(row.view.error.unwrap().code, "abandoned");
    assert_eq!(world.depth(&REFRESH_CLUSTERS), 0);
}

#[tokio::test]
async fn a_reader_who_finds_nothing_after_the_job_is_done_reads_again_instead_of_starting_over() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/clusters")).await.assert(202);
    world.work().await;
    // As a reader whose read was behind: it has seen nothing, but the job is done.
    let message = access::messages::RefreshClusters {
        chain: CHAIN.into(),
        address: world.token.to_string(),
        choices: access::messages::Choices::default(),
    };
    let key = format!("{CHAIN}/{}", world.token);
    assert!(matches!(world.app.jobs.start(&key, &message, 0).await.unwrap(), access::Start::Existing(_)));
    ann.at(world.another_process()).get(&world.path("/clusters")).await.assert(200);
    assert_eq!(world.queue.sent.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_report_too_large_for_a_row_comes_back_whole() {
    let world = World::with(Setting { rows: Some((60_000, 24_000)), ..Setting::default() }).await;
    let ann = world.ann();
    ann.get(&world.path("/clusters?top=10000")).await.assert(202);
    world.work().await;
    let here = ann.get(&world.path("/clusters?top=10000")).await;
    here.assert(200);
    let elsewhere = ann.at(world.another_process()).get(&world.path("/clusters?top=10000")).await;
    elsewhere.assert(200);
    assert_eq!(elsewhere.header("x-cache-tier"), "table");
    assert_eq!(here.body, elsewhere.body);
    assert!(world.stored("reports"), "it went to object storage");
}

#[tokio::test]
async fn a_report_that_fits_a_row_is_not_in_object_storage() {
    let world = World::new().await;
    world.ann().get(&world.path("/clusters")).await.assert(202);
    world.work().await;
    world.ann().get(&world.path("/clusters")).await.assert(200);
    assert!(!world.stored("reports"));
}

#[test]
fn a_jobs_id_is_the_same_everywhere() {
    assert_eq!(Jobs::id("refresh-clusters", "a/b"), Jobs::id("refresh-clusters", "a/b"));
    assert_ne!(Jobs::id("refresh-clusters", "a/b"), Jobs::id("refresh-clustersa", "/b"));
    assert_eq!(Jobs::id("k", "v").len(), 26);
}
