//! Referrals, invitations and points as deployed: operators invoke a function, letters go through the mail service, what
//! comes back goes through its topic.

use std::sync::Arc;
use std::time::Duration;

use access::{
    Aws, AwsConfig, Clock, Credentials, Cursors, Ids, RandomIds, Rao, RaoConfig, Roots, SystemClock, Tables, Vault,
};
use futures::future::join_all;
use members::{Members, ReferralUse, Refusal};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{Answer, PASSWORD, Stage, fresh_name, new_user};

/// A member, signed in.
struct Member {
    email: String,
    code: String,
    user: String,
    token: String,
}

impl Stage {
    /// Made by an operator, who sets the password as well.
    async fn first_member(&self) -> Member {
        let email = format!("{}@example.org", fresh_name());
        let made = json!({ "command": "create-user", "email": email, "password": PASSWORD });
        let made = self.invoke("referrals-administer-members", &made).await;
        let body = json!({ "email": email, "password": PASSWORD });
        let session = self.send(Method::POST, "/v1/auth/signin", None, Some(&body)).await.expect(200).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (code, user) = (text(&made["referralCode"]), text(&made["user"]));
        Member { email, code, user, token: text(&session["accessToken"]) }
    }

    async fn send(&self, method: Method, path: &str, who: Option<&Member>, body: Option<&Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(member) = who {
            request = request.bearer_auth(&member.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    async fn read(&self, path: &str, who: &Member) -> Value {
        self.send(Method::GET, path, Some(who), None).await.expect(200).json()
    }

    /// The state of a member's only invitation.
    async fn invited(&self, who: &Member, wished: &str) {
        let clock = SystemClock::default();
        let started = clock.monotonic();
        loop {
            let state = self.read("/v1/referrals/invites", who).await["items"][0]["state"].clone();
            if state == wished {
                return;
            }
            assert!(clock.monotonic() - started < Duration::from_secs(120), "not {wished}, but {state}");
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }
}

#[tokio::test]
async fn a_member_invites_a_friend_by_mail_who_joins() {
    let stage = Stage::enter().await;
    let ann = stage.first_member().await;
    let me = stage.read("/v1/referrals/me", &ann).await;
    assert_eq!((&me["referralCode"], &me["referralsRemaining"]), (&json!(ann.code), &json!(10)));
    let valid = stage.send(Method::GET, &format!("/v1/referrals/valid?code={}", ann.code), None, None).await;
    assert_eq!(valid.expect(200).json()["valid"], true);

    let friend = format!("{}@example.org", fresh_name());
    let body = json!({ "email": friend });
    let ask = |key: &'static str, body: Value| {
        let request = stage.request(Method::POST, "/v1/referrals/invites").bearer_auth(&ann.token);
        async move { Answer::of(request.header("idempotency-key", key).json(&body).send().await.unwrap()).await }
    };
    let first = ask("one", body.clone()).await.expect(202);
    let again = ask("one", body.clone()).await.expect(202);
    assert_eq!((first.text, again.header("idempotency-replayed")), (again.text.clone(), Some("true")));
    ask("one", json!({ "email": ann.email })).await.expect_problem(422, "idempotency_key_reused");
    let Some(letter) = stage.letter(&friend, "invites you").await else {
        println!("skipped from here: only the emulator's letters can be read, and only it takes any code");
        return;
    };
    let text = letter["BodyText"].as_str().unwrap();
    assert!(text.contains(&ann.code), "{text}");
    stage.invited(&ann, "sent").await;

    let sign_up = json!({ "email": friend, "password": PASSWORD, "referralCode": ann.code });
    stage.send(Method::POST, "/v1/auth/signup", None, Some(&sign_up)).await.expect(201);
    let confirm = json!({ "email": friend, "code": "123456", "password": PASSWORD });
    stage.send(Method::POST, "/v1/auth/confirm", None, Some(&confirm)).await.expect(200);
    stage.invited(&ann, "accepted").await;
    let stats = stage.read("/v1/referrals/stats", &ann).await;
    assert_eq!((&stats["points"], &stats["invited"]), (&json!(100), &json!(1)));
    assert_eq!(
        stage.mailed(&friend).await.unwrap().iter().filter(|one| one["Subject"] == letter["Subject"]).count(),
        1
    );
}

#[tokio::test]
async fn who_follows_the_link_or_bounces_is_not_written_to_again() {
    let stage = Stage::enter().await;
    let (ann, bob) = (stage.first_member().await, stage.first_member().await);
    let invite = async |who: &Member, friend: &str| {
        let body = json!({ "email": friend });
        stage.send(Method::POST, "/v1/referrals/invites", Some(who), Some(&body)).await.expect(202);
    };
    let friend = format!("{}@example.org", fresh_name());
    invite(&ann, &friend).await;
    let Some(letter) = stage.letter(&friend, "invites you").await else {
        println!("skipped: only the emulator's letters can be read");
        return;
    };
    stage.invited(&ann, "sent").await;
    let text = letter["BodyText"].as_str().unwrap();
    let at = text.find("/v1/referrals/unsubscribe?token=").expect("a way out");
    let path = text[at..].split_whitespace().next().unwrap();
    let out = Answer::of(stage.request(Method::POST, path).send().await.unwrap()).await;
    assert_eq!(out.expect(200).json()["scope"], "invites");

    // As the mail service tells of it, twice.
    let notice = json!({
        "eventType": "Bounce",
        "mail": { "messageId": letter["MessageId"], "destination": [friend] },
        "bounce": { "bounceType": "Permanent", "bouncedRecipients": [{ "emailAddress": friend }] },
    });
    let topics = stage.aws(&["sns", "list-topics"]).await;
    let topics = topics["Topics"].as_array().unwrap().iter().filter_map(|topic| topic["TopicArn"].as_str());
    let topic =
        topics.into_iter().find(|arn| arn.ends_with(&stage.function("mail-events"))).expect("a topic").to_owned();
    for _ in 0..2 {
        stage.aws(&["sns", "publish", "--topic-arn", &topic, "--message", &notice.to_string()]).await;
    }
    stage.invited(&ann, "bounced").await;

    // Another member's invitation looks sent, and is not.
    invite(&bob, &friend).await;
    stage.invited(&bob, "sent").await;
    assert_eq!(stage.mailed(&friend).await.unwrap().len(), 1);
}

#[tokio::test]
async fn members_are_ranked_and_operators_decide() {
    let stage = Stage::enter().await;
    let ann = stage.first_member().await;
    let job = stage.invoke("referrals-administer-members", &json!({ "command": "rebuild-standings" })).await;
    let job = format!("/v1/jobs/{}", job["job"].as_str().unwrap());
    stage.until(&job, "done", |answer| answer.json()["state"] == "done").await;
    let board = stage.read("/v1/referrals/leaderboard?limit=100", &ann).await;
    let names: Vec<_> = board["items"].as_array().unwrap().iter().map(|entry| entry["isCaller"] == true).collect();
    assert!(names.contains(&true) || board["nextCursor"].is_string(), "{board}");

    let administer = async |command: Value| stage.invoke("referrals-administer-members", &command).await;
    let places = json!({ "command": "set-places", "user": ann.user, "total": 3 });
    assert_eq!(administer(places).await["totalReferrals"], 3);
    let disabled = json!({ "command": "disable-code", "user": ann.email });
    assert_eq!(administer(disabled).await["referralIsValid"], false);
    let valid = stage.send(Method::GET, &format!("/v1/referrals/valid?code={}", ann.code), None, None).await;
    assert_eq!(valid.expect(200).json()["valid"], false);
    assert!(administer(json!({ "command": "reconcile-mail" })).await["letters"].is_array());
    // Over HTTP only the group of operators may.
    let body = json!({ "email": "nobody@example.org" });
    let refused = stage.send(Method::POST, "/v1/admin/users", Some(&ann), Some(&body)).await;
    refused.expect_problem(403, "not_allowed");
    let new = new_user(&stage.deployment).await;
    let pool = ["--user-pool-id", stage.deployment.user_pool_id.as_str(), "--username", &new, "--group-name", "admin"];
    stage.aws(&[&["cognito-idp", "admin-add-user-to-group"], &pool[..]].concat()).await;
    let session = json!({ "email": new, "password": PASSWORD });
    let session = stage.send(Method::POST, "/v1/auth/signin", None, Some(&session)).await.expect(200).json();
    let token = session["accessToken"].as_str().unwrap().to_owned();
    let root = Member { email: new, code: String::new(), user: String::new(), token };
    let made = json!({ "email": format!("{}@example.org", fresh_name()) });
    let made = stage.send(Method::POST, "/v1/admin/users", Some(&root), Some(&made)).await.expect(201).json();
    let path = format!("/v1/admin/users/{}", made["user"].as_str().unwrap());
    let changed = stage.send(Method::PATCH, &path, Some(&root), Some(&json!({ "totalReferrals": 25 }))).await;
    assert_eq!(changed.expect(200).json()["totalReferrals"], 25);
    stage.read("/v1/admin/letters", &root).await;
}

/// In the tables that were deployed, past the gateway, which lets a caller ask 120 times a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_at_once_exactly_ten_win() {
    const CROWD: usize = 1_000;
    let stage = Stage::enter_alone().await;
    let Some(endpoint) = stage.deployment.servers.as_ref().and(stage.deployment.aws.endpoint_url.clone()) else {
        println!("skipped: these tables are not ours to fill");
        return;
    };
    #[expect(clippy::disallowed_methods, reason = "told by whoever runs the tests")]
    let rounds: usize = std::env::var("ROUNDS").ok().map_or(1, |rounds| rounds.parse().unwrap());
    let aws = Aws::new(AwsConfig {
        region: stage.deployment.aws.region.clone(),
        endpoint_url: Some(endpoint),
        credentials: Credentials::new("test", "test", None, None, "stack"),
        roots: Roots::Amazon,
    });
    let (clock, ids) = (Arc::new(SystemClock::default()), Arc::new(RandomIds) as Arc<dyn Ids>);
    let rao = Rao::new(RaoConfig::default(), None, Arc::clone(&clock) as _, Arc::clone(&ids));
    let secret = b"not the deployment's: nothing is sealed here";
    let tables = Tables::new(aws, &format!("{}-", stage.deployment.prefix), Cursors::new(secret));
    let members = Members::open(&tables, &rao, &Vault::new(secret), Arc::clone(&clock) as _, Arc::clone(&ids));
    for round in 1..=rounds {
        let (owner, crowd) = (fresh_name(), fresh_name());
        members.create_user(&owner).await.unwrap();
        let code = members.find(&owner).await.unwrap().unwrap().referral_code;
        let started = clock.monotonic();
        let uses = (0..CROWD).map(|number| {
            let (members, invitee) = (members.clone(), format!("{crowd}-{number}"));
            tokio::spawn(async move {
                loop {
                    // Whoever is told to come again does.
                    if let Ok(outcome) = members.referral_use(&code, &invitee).await {
                        return outcome;
                    }
                }
            })
        });
        let outcomes: Vec<_> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
        let won = outcomes.iter().filter(|outcome| **outcome == ReferralUse::Done).count();
        let full = outcomes.iter().filter(|outcome| **outcome == ReferralUse::Refused(Refusal::NoPlaceLeft)).count();
        let seconds = (clock.monotonic() - started).as_secs_f64();
        println!("round {round}: {won} won, {full} found no place, {seconds:.1} s");
        assert_eq!((won, full), (10, CROWD - 10));
        let row = members.find(&owner).await.unwrap().unwrap();
        assert_eq!((row.referrals_used, row.points), (10, 1_000));
        let listed = members.referrals_of(&owner, None, 100).await.unwrap().items;
        assert_eq!(listed.len(), 10);
        for referral in listed {
            let invitee = members.find(&referral.invited_user).await.unwrap().expect("whole rows");
            assert_eq!(invitee.invited_by.as_deref(), Some(owner.as_str()));
        }
    }
}
