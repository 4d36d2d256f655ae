//! Each function may do what it needs and nothing more: with one action taken away it fails.

use serde_json::{Value, json};

use crate::stage::{Answer, Stage};

/// A function's role with one action less, given back at the end.
struct Deprived<'a> {
    stage: &'a Stage,
    role: String,
    policy: String,
    before: Value,
}

impl<'a> Deprived<'a> {
    async fn of(stage: &'a Stage, function: &str, action: &str) -> Self {
        let function = stage.function(function);
        let configuration = ["lambda", "get-function-configuration", "--function-name", &function];
        let role = stage.aws(&configuration).await["Role"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let listed = stage.aws(&["iam", "list-role-policies", "--role-name", &role]).await;
        let policy = listed["PolicyNames"][0].as_str().unwrap().to_owned();
        let found = stage.aws(&["iam", "get-role-policy", "--role-name", &role, "--policy-name", &policy]).await;
        let before = found["PolicyDocument"].clone();
        let mut after = before.clone();
        let mut taken = 0;
        for statement in after["Statement"].as_array_mut().unwrap() {
            let actions = match statement["Action"].take() {
                Value::Array(actions) => actions,
                one => vec![one],
            };
            let (gone, kept): (Vec<_>, Vec<_>) = actions.into_iter().partition(|listed| listed == action);
            taken += gone.len();
            // A statement needs an action; this one allows nothing here.
            statement["Action"] = if kept.is_empty() { json!(["sts:GetCallerIdentity"]) } else { Value::Array(kept) };
        }
        assert!(taken > 0, "{function} has no {action}: {before}");
        let deprived = Self { stage, role, policy, before };
        deprived.put(&after).await;
        deprived
    }

    async fn put(&self, document: &Value) {
        let document = document.to_string();
        let (role, policy) = (self.role.as_str(), self.policy.as_str());
        let arguments = ["iam", "put-role-policy", "--role-name", role, "--policy-name", policy];
        self.stage.aws(&[&arguments[..], &["--policy-document", &document]].concat()).await;
    }

    async fn give_back(self) {
        let before = self.before.clone();
        self.put(&before).await;
    }
}

fn enforced(stage: &Stage) -> bool {
    let enforced = stage.deployment.servers.as_ref().is_some_and(|servers| servers.enforces_iam);
    if !enforced {
        println!("skipped: roles are enforced only with `holdfast stack test --enforce-iam`");
    }
    enforced
}

fn is_refused(answer: &Answer) -> bool {
    answer.status.is_server_error()
}

#[tokio::test]
async fn without_reading_its_table_a_job_is_not_shown() {
    let stage = Stage::enter_alone().await;
    if !enforced(&stage) {
        return;
    }
    let path = "/v1/jobs/00000000000000000000000000";
    let with = stage.get(path).await.expect(404);
    let deprived = Deprived::of(&stage, "jobs-get-job", "dynamodb:GetItem").await;
    let without = stage.until(path, "refused", is_refused).await;
    assert_ne!(with.status, without.status);
    deprived.give_back().await;
    stage.until(path, "allowed again", |answer| answer.status == 404).await;
}

#[tokio::test]
async fn without_sending_to_its_queue_no_job_is_accepted() {
    let stage = Stage::enter_alone().await;
    if !enforced(&stage) {
        return;
    }
    stage.get(&stage.fresh_clusters()).await.expect(202);
    let deprived = Deprived::of(&stage, "tokens-get-clusters", "sqs:SendMessage").await;
    let path = stage.fresh_clusters();
    // Never "queued" when nothing was: the row is withdrawn and the caller told.
    stage.until(&path, "refused", |answer| answer.status == 503 && answer.header("retry-after").is_some()).await;
    deprived.give_back().await;
    stage.until(&path, "made", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn without_keeping_metadata_it_is_not_answered() {
    let stage = Stage::enter_alone().await;
    if !enforced(&stage) {
        return;
    }
    let Some(redis) = stage.redis() else { return };
    let path = format!("/v1/tokens/sample/{}", chains::sample_token());
    stage.get(&path).await.expect(200);
    let deprived = Deprived::of(&stage, "tokens-get-metadata", "dynamodb:Query").await;
    // What is cached needs no table.
    redis.command("FLUSHALL");
    stage.until(&path, "refused", is_refused).await;
    deprived.give_back().await;
    stage.until(&path, "allowed again", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn without_reading_labels_no_report_with_them_is_queued() {
    let stage = Stage::enter_alone().await;
    if !enforced(&stage) {
        return;
    }
    // Whether somebody posted them is looked up before anything is queued.
    let with_labels = |digit: &str| format!("{}&labels={}", stage.fresh_clusters(), digit.repeat(64));
    stage.get(&with_labels("1")).await.expect_problem(404, "unknown_labels");
    let deprived = Deprived::of(&stage, "tokens-get-clusters", "s3:GetObject").await;
    stage.until(&with_labels("2"), "refused", is_refused).await;
    let without = stage.fresh_clusters();
    stage.get(&without).await.expect(202);
    deprived.give_back().await;
    stage.until(&with_labels("3"), "allowed again", |answer| answer.status == 404).await;
    stage.until(&without, "made", |answer| answer.status == 200).await;
}
