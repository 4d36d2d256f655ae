//! What goes wrong, and what callers see of it.

use access::Envelope;
use access::messages::{Choices, RefreshClusters};
use serde_json::{Value, json};

use crate::stage::{Stage, fresh_top};

/// On a chain whose node never answers.
const UNREACHABLE: &str = "0x00000000000000000000000000000000000000d0";

#[tokio::test]
async fn a_poison_message_becomes_a_dead_letter_and_its_job_fails() {
    let stage = Stage::enter().await;
    if stage.deployment.servers.is_none() {
        println!("skipped: this deployment has no chain `down`");
        return;
    }
    let path = format!("/v1/tokens/down/{UNREACHABLE}/clusters?top={}", fresh_top());
    let accepted = stage.get(&path).await.expect(202);
    let job = accepted.header("location").unwrap().to_owned();
    let failed = stage.until(&job, "failed", |answer| answer.json()["state"] == "failed").await.json();
    assert_eq!(failed["attempts"], 5, "as often as the queue delivers: {failed}");
    assert_eq!(failed["error"]["code"], "source_unavailable", "{failed}");
    let answer = stage.get(&path).await.expect_problem(503, "source_unavailable");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn of_a_batch_only_what_failed_comes_back() {
    let stage = Stage::enter().await;
    if stage.deployment.servers.is_none() {
        println!("skipped: this deployment has no chain `down`");
        return;
    }
    let good = stage.fresh_clusters();
    let good_job = stage.get(&good).await.expect(202).json()["job"]["job"].clone();
    stage.until(&good, "made", |answer| answer.status == 200).await;
    let top = fresh_top();
    let bad = format!("/v1/tokens/down/{UNREACHABLE}/clusters?top={top}");
    let bad_job = stage.get(&bad).await.expect(202).json()["job"]["job"].clone();

    let message = RefreshClusters {
        chain: "down".into(),
        address: UNREACHABLE.into(),
        choices: Choices { top, ..Choices::default() },
    };
    let envelope = |job: &Value| Envelope {
        job: job.as_str().unwrap().to_owned(),
        generation: 1,
        part: 0,
        message: serde_json::to_string(&message).unwrap(),
    };
    let record = |id: &str, body: String| {
        json!({
            "messageId": id, "receiptHandle": id, "body": body, "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-2:000000000000:refresh-clusters.fifo",
            "awsRegion": "eu-west-2", "attributes": { "ApproximateReceiveCount": "1", "MessageGroupId": id },
            "messageAttributes": {}, "md5OfBody": ""
        })
    };
    let batch = json!({ "Records": [
        record("no-envelope", "nobody wrote this".to_owned()),
        record("cannot-be-done-now", serde_json::to_string(&envelope(&bad_job)).unwrap()),
        record("done-before", serde_json::to_string(&envelope(&good_job)).unwrap()),
    ]});
    let folder = tempfile::tempdir().unwrap();
    let (payload, answer) = (folder.path().join("batch.json"), folder.path().join("answer.json"));
    std::fs::write(&payload, batch.to_string()).unwrap();
    let (payload, function) = (format!("file://{}", payload.display()), stage.function("tokens-refresh-clusters"));
    let arguments = ["lambda", "invoke", "--function-name", &function, "--payload", &payload];
    stage.aws(&[&arguments[..], &[answer.to_str().unwrap()]].concat()).await;
    let answer: Value = serde_json::from_slice(&std::fs::read(answer).unwrap()).unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "cannot-be-done-now" }] }));
}

#[tokio::test]
async fn redis_may_die_and_come_back_and_nobody_notices() {
    let stage = Stage::enter_alone().await;
    let Some(redis) = stage.redis() else {
        println!("skipped: this deployment's Redis is not ours to kill");
        return;
    };
    let path = stage.fresh_clusters();
    stage.until(&path, "made", |answer| answer.status == 200).await;
    assert!(redis.command("DBSIZE").is_some_and(|keys| keys.trim() != ":0"), "what was read is cached");

    redis.command("SHUTDOWN NOSAVE");
    redis.until("PING", "gone", |answer| answer.is_none()).await;
    let mut asked = 0;
    while redis.command("PING").is_none() {
        stage.get(&path).await.expect(200);
        asked += 1;
    }
    assert!(asked > 0, "it was away while we asked");
    let another = stage.fresh_clusters();
    stage.until(&another, "made", |answer| answer.status == 200).await;
    // The breaker asks again by itself, and what is read then is cached again.
    let path = &path;
    let cached = async {
        loop {
            stage.get(path).await.expect(200);
            if redis.command("DBSIZE").is_some_and(|keys| keys.trim() != ":0") {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), cached).await.expect("Redis is used again");
}
