//! The examples in the OpenAPI document are what the application answers, with what changes from run to run (tokens, ids)
//! replaced and long lists cut. `WRITE_EXAMPLES=1 cargo test -p it examples` writes them anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use access::EmailAddress;
use http::Method;
use identity::{NewUser, Password};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::world::{Answer, Behaviour, CHAIN, Person, World};

const PASSWORD: &str = "a tortoise on the windowsill";
const ANOTHER: &str = "two herons in the rain";

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Examples {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

/// What was asked and answered, by `operationId`.
#[derive(Default)]
struct Book(BTreeMap<String, Examples>);

impl Book {
    /// Asks and writes down; a problem goes by its code, another answer by `name` where its status has several.
    async fn tell(&mut self, who: &Person, method: Method, path: &str, body: Option<Value>, name: &str) -> Answer {
        let answer = match &body {
            Some(body) => who.ask_with(method.clone(), path, body).await,
            None => who.ask(method.clone(), path).await,
        };
        let told = answer.json();
        let status = answer.status.as_u16();
        let name = if status >= 400 { told["code"].as_str().unwrap() } else { name };
        let key = if name.is_empty() { status.to_string() } else { format!("{status} {name}") };
        let examples = self.0.entry(operation(&method, path)).or_default();
        if examples.request.is_none() || status < 300 && examples.answers.keys().all(|key| !key.starts_with('2')) {
            examples.request = body.map(presentable);
        }
        examples.answers.insert(key, presentable(told));
        answer
    }

    async fn post(&mut self, who: &Person, path: &str, body: Value) -> Answer {
        self.tell(who, Method::POST, path, Some(body), "").await
    }

    async fn get(&mut self, who: &Person, path: &str) -> Answer {
        self.tell(who, Method::GET, path, None, "").await
    }

    /// A problem that any operation may answer.
    async fn shared(&mut self, who: &Person, path: &str) {
        let problem = who.get(path).await;
        let key = format!("{} {}", problem.status.as_u16(), problem.json()["code"].as_str().unwrap());
        self.0.entry("*".to_owned()).or_default().answers.insert(key, presentable(problem.json()));
    }

    /// Compares with the domain's file, or writes it.
    #[expect(clippy::disallowed_methods, reason = "told by whoever runs the tests")]
    #[track_caller]
    fn check(self, domain: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../functions/{domain}/examples.json"));
        if std::env::var_os("WRITE_EXAMPLES").is_some() {
            std::fs::write(path, serde_json::to_string_pretty(&self.0).unwrap() + "\n").unwrap();
            return;
        }
        let file: BTreeMap<String, Examples> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for (operation, told) in &self.0 {
            assert_eq!(file.get(operation), Some(told), "{operation}");
        }
        assert_eq!(file.len(), self.0.len(), "examples of what was not asked");
    }
}

fn operation(method: &Method, path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let fits = |template: &str| {
        let (asked, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        asked.len() == template.len() && asked.iter().zip(template).all(|(a, t)| t.starts_with('{') || *a == t)
    };
    let endpoints = lambdas::endpoints();
    for endpoint in &endpoints {
        let routes = endpoint.routes();
        if let Some((_, template)) = routes.iter().find(|(known, template)| known == method && fits(template)) {
            let is_only = routes.iter().filter(|(_, other)| other == template).count() == 1;
            let suffix = if is_only { String::new() } else { format!("-{}", method.as_str().to_lowercase()) };
            return format!("{}{suffix}", endpoint.name);
        }
    }
    panic!("{method} {path} is no operation")
}

/// With the same text in every run, and short.
fn presentable(value: Value) -> Value {
    const SHOWN: usize = 3;
    match value {
        Value::Object(fields) => {
            let shown = fields.into_iter().map(|(name, value)| {
                let value = match value.as_str().and_then(|text| stand_in(&name, text)) {
                    Some(text) => json!(text),
                    None => presentable(value),
                };
                (name, value)
            });
            Value::Object(shown.collect::<Map<_, _>>())
        }
        Value::Array(values) => values.into_iter().take(SHOWN).map(presentable).collect(),
        other => other,
    }
}

fn stand_in(name: &str, text: &str) -> Option<&'static str> {
    Some(match name {
        "accessToken" => "eyJraWQiOiJ…",
        "idToken" => "eyJhbGciOiJ…",
        "refreshToken" => "mVw3o0Zk…",
        "session" => "AYABeGq1…",
        "requestId" => "01K5M3V4T6Q2N8Z7R9C0XHPW1E",
        "invite" => "3v9n1c8zkqf2m7x5t0w4h6j1ab",
        "sub" | "user" => "5f0c2f6e-8f0a-4c58-9c1e-0b6a2f6c9d11",
        "job" => "01K5M3V5B2E8G4J7M0Q3T6W9YA",
        "referralCode" => "7K3F-9QXB",
        "nextCursor" => "q1YkP7d0…",
        "n" => "xjlCRBqkX5…",
        "kid" => "2a7c41d9",
        "code" if text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()) => "402816",
        _ => return None,
    })
}

#[tokio::test]
async fn what_the_document_says_of_accounts_is_what_they_answer() {
    let world = World::new().await;
    let mut book = Book::default();
    let anon = world.anon();
    let code = world.first_member().await;
    let code = code.as_str();
    let ben = |more: Value| {
        let mut body = json!({ "email": "ben@example.org" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let sign_up = ben(json!({ "password": PASSWORD, "referralCode": code }));
    book.post(&anon, "/v1/auth/signup", sign_up).await.assert(201);
    let unknown = ben(json!({ "password": PASSWORD, "referralCode": "0000-0000" }));
    book.post(&anon, "/v1/auth/signup", unknown).await.assert(409);
    book.post(&anon, "/v1/auth/confirm/resend", ben(json!({}))).await.assert(202);
    let right = ben(json!({ "password": PASSWORD }));
    book.post(&anon, "/v1/auth/signin", right.clone()).await.assert(409);

    let mailed = world.code_for("ben@example.org").await;
    let wrong = if mailed == "402816" { "402817" } else { "402816" };
    book.post(&anon, "/v1/auth/confirm", ben(json!({ "code": wrong }))).await.assert(400);
    anon.post("/v1/auth/confirm", &ben(json!({ "code": mailed }))).await.assert(200);
    let session = book.post(&anon, "/v1/auth/signin", right).await.assert(200).json();
    book.post(&anon, "/v1/auth/signin", ben(json!({ "password": ANOTHER }))).await.assert(401);
    world.examples_of_confirmation(&mut book, code).await;
    world.examples_of_a_challenge(&mut book).await;

    let refresh = json!({ "refreshToken": session["refreshToken"] });
    let session = book.post(&anon, "/v1/auth/refresh", refresh).await.assert(200).json();
    let me = world.bearer(session["accessToken"].as_str().unwrap());
    book.get(&me, "/v1/auth/whoami").await.assert(200);
    let change = |old: &str, new: &str| json!({ "oldPassword": old, "newPassword": new });
    book.post(&me, "/v1/auth/password/change", change(PASSWORD, ANOTHER)).await.assert(200);
    book.post(&me, "/v1/auth/password/change", change(PASSWORD, ANOTHER)).await.assert(401);

    world.clock.advance(Duration::from_secs(900));
    book.post(&anon, "/v1/auth/password/forgot", ben(json!({}))).await.assert(202);
    let mailed = world.code_for("ben@example.org").await;
    let wrong = if mailed == "402816" { "402817" } else { "402816" };
    let reset = |code: &str| ben(json!({ "code": code, "password": PASSWORD }));
    book.post(&anon, "/v1/auth/password/reset", reset(wrong)).await.assert(400);
    book.post(&anon, "/v1/auth/password/reset", reset(&mailed)).await.assert(200);
    let signed_in =
        async || anon.post("/v1/auth/signin", &ben(json!({ "password": PASSWORD }))).await.assert(200).json();
    world.clock.advance(Duration::from_secs(6));
    let session = signed_in().await;
    let me = world.bearer(session["accessToken"].as_str().unwrap());
    let out = json!({ "refreshToken": session["refreshToken"] });
    book.post(&me, "/v1/auth/signout", out.clone()).await.assert(200);
    book.post(&anon, "/v1/auth/refresh", out).await.assert(403);
    book.get(&anon, "/.well-known/jwks.json").await.assert(200);
    let me = world.bearer(signed_in().await["accessToken"].as_str().unwrap());
    let leave = |password: &str| Some(json!({ "password": password }));
    book.tell(&me, Method::DELETE, "/v1/auth/account", leave(ANOTHER), "").await.assert(401);
    book.tell(&me, Method::DELETE, "/v1/auth/account", leave(PASSWORD), "").await.assert(202);
    world.work_all().await;
    book.check("accounts");
}

impl World {
    async fn code_of(&self, session: &Value) -> String {
        let me = self.with_token(session).get("/v1/referrals/me").await.json();
        me["referralCode"].as_str().unwrap().to_owned()
    }

    /// Answers with and without a session, to two who sign up.
    async fn examples_of_confirmation(&self, book: &mut Book, code: &str) {
        let anon = self.anon();
        for (email, password, name) in
            [("cat@example.org", Some(PASSWORD), "with a password"), ("dan@example.org", None, "without a password")]
        {
            let sign_up = json!({ "email": email, "password": PASSWORD, "referralCode": code });
            anon.post("/v1/auth/signup", &sign_up).await.assert(201);
            let mut body = json!({ "email": email, "code": self.code_for(email).await });
            if let Some(password) = password {
                body["password"] = json!(password);
            }
            book.tell(&anon, Method::POST, "/v1/auth/confirm", Some(body), name).await.assert(200);
        }
    }

    /// Somebody whose password an operator has set.
    async fn examples_of_a_challenge(&self, book: &mut Book) {
        let (email, password) = (EmailAddress::new("eve@example.org").unwrap(), Password::new(PASSWORD).unwrap());
        let made = NewUser { email, password, password_is_temporary: true };
        self.app.users.create_user(&made).await.unwrap();
        let anon = self.anon();
        let eve = json!({ "email": "eve@example.org", "password": PASSWORD });
        let asked = book.post(&anon, "/v1/auth/signin", eve).await.assert(409).json();
        let chosen =
            |session: &Value| json!({ "challenge": asked["challenge"], "session": session, "newPassword": ANOTHER });
        book.post(&anon, "/v1/auth/challenge", chosen(&asked["session"])).await.assert(200);
        book.post(&anon, "/v1/auth/challenge", chosen(&asked["session"])).await.assert(409);
    }
}

#[tokio::test]
async fn what_the_document_says_of_tokens_and_jobs_is_what_they_answer() {
    let world = World::new().await;
    let (mut tokens, mut jobs) = (Book::default(), Book::default());
    let ann = world.ann();
    tokens.get(&ann, "/v1/chains").await.assert(200);
    let queued = tokens.get(&ann, &world.path("/clusters?top=5")).await.assert(202).json();
    let job = format!("/v1/jobs/{}", queued["job"]["job"].as_str().unwrap());
    jobs.tell(&ann, Method::GET, &job, None, "waiting").await.assert(200);
    world.work().await;
    jobs.tell(&ann, Method::GET, &job, None, "done").await.assert(200);
    jobs.get(&ann, &format!("/v1/jobs/{}", "0".repeat(26))).await.assert(404);
    tokens.get(&ann, &world.path("/clusters?top=5")).await.assert(200);
    let (nobodys, pair) = (format!("/clusters/{}", "0".repeat(64)), format!("from={}&to={}", world.token, world.token));
    tokens.get(&ann, &world.path("/holders?limit=2")).await.assert(202);
    tokens.get(&ann, &world.path(&nobodys)).await.assert(202);
    let (some, other) = ("1".repeat(40), "2".repeat(40));
    let strangers = format!("{nobodys}/explain?from=0x{some}&to=0x{other}");
    tokens.get(&ann, &world.path(&strangers)).await.assert(202);
    world.work().await;
    tokens.get(&ann, &world.path("/holders?limit=2")).await.assert(200);
    tokens.get(&ann, &world.path(&nobodys)).await.assert(404);
    tokens.get(&ann, &world.path(&strangers)).await.assert(404);
    tokens.get(&ann, &world.path(&format!("{nobodys}/explain?{pair}"))).await.assert(400);
    let report = ann.get(&world.path("/clusters")).await.json();
    let cluster = &report["clusters"][0];
    let path = world.path(&format!("/clusters/{}", cluster["id"].as_str().unwrap()));
    tokens.get(&ann, &path).await.assert(200);
    let member = |index: usize| cluster["members"][index].as_str().unwrap();
    tokens.get(&ann, &format!("{path}/explain?from={}&to={}", member(0), member(1))).await.assert(200);
    tokens.get(&ann, &world.path("/history?points=3")).await.assert(202);
    world.work().await;
    tokens.get(&ann, &world.path("/history?points=3")).await.assert(200);
    let (since, until) = (world.source.blocks().start() + 40, world.source.blocks().end().to_owned());
    let changes = world.path(&format!("/changes?since={since}&block={until}&top=9"));
    tokens.get(&ann, &changes).await.assert(202);
    world.work().await;
    tokens.get(&ann, &changes).await.assert(200);
    for beyond in ["/history?to=99999999", "/clusters?block=99999999", "/changes?since=99999999"] {
        tokens.get(&ann, &world.path(beyond)).await.assert(400);
    }
    tokens.get(&ann, &world.path("/map.json?top=6")).await.assert(202);
    tokens.get(&ann, &world.path("/map.svg?top=6")).await.assert(202);
    world.work().await;
    tokens.get(&ann, &world.path("/map.json?top=6")).await.assert(200);
    let label = |kind: &str| json!([{"address": format!("0x{}", "1".repeat(40)), "name": "Our pool", "kind": kind}]);
    tokens.post(&ann, "/v1/labels", label("pool")).await.assert(201);
    tokens.post(&ann, "/v1/labels", label("whale")).await.assert(400);

    // Somebody else in another process has just asked, and the node takes its time.
    world.source.now(Behaviour::Silent);
    let (other, path) = (ann.at(world.another_process()), world.path(""));
    let before = world.source.asked.load(Ordering::SeqCst);
    let first = tokio::spawn(async move { other.get(&path).await });
    while world.source.asked.load(Ordering::SeqCst) == before {
        tokio::task::yield_now().await;
    }
    tokens.get(&ann, &world.path("")).await.assert(202);
    first.abort();
    let world = World::new().await;
    let ann = world.ann();
    tokens.get(&ann, &world.path("")).await.assert(200);

    let none = format!("/v1/tokens/{CHAIN}/0x{}", "1".repeat(40));
    tokens.get(&ann, &none).await.assert(404);
    for rest in ["/clusters", "/history", "/changes?since=18000000"] {
        ann.get(&format!("{none}{rest}")).await.assert(202);
    }
    world.work().await;
    for rest in ["/clusters", "/holders", "/history", "/changes?since=18000000", "/map", "/map.json", "/map.svg"] {
        tokens.get(&ann, &format!("{none}{rest}")).await.assert(404);
    }
    tokens.check("tokens");
    jobs.check("jobs");
}

#[tokio::test]
async fn what_the_document_says_of_the_system_is_what_it_answers() {
    let world = World::new().await;
    let mut book = Book::default();
    let (anon, ann) = (world.anon(), world.ann());
    book.get(&anon, "/healthcheck").await.assert(200);
    book.get(&anon, "/v1/version").await.assert(200);
    book.shared(&anon, "/v1/chains").await;
    book.shared(&anon, "/nowhere").await;
    book.shared(&ann, &world.path("/clusters?top=0")).await;
    world.source.now(Behaviour::Down);
    book.shared(&ann, &world.path("")).await;
    for _ in 0..120 {
        ann.get("/v1/chains").await;
    }
    book.shared(&ann, "/v1/chains").await;
    book.check("system");
}

#[test]
fn whatever_is_declared_has_an_example() {
    let document = serde_json::to_value(lambdas::document()).unwrap();
    let mut without = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let named = |what: &str| format!("{method} {path}: {what}");
            let bodies = operation["requestBody"]["content"].as_object();
            if bodies.is_some_and(|bodies| bodies.values().any(|body| body.get("example").is_none())) {
                without.push(named("request"));
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                // Those by reference have theirs where they lead; pages and the document itself are not JSON of ours.
                let contents = response["content"].as_object();
                let is_ours = response.get("$ref").is_none()
                    && contents.is_none_or(|contents| contents.values().any(|content| content.get("schema").is_some()));
                let has = contents.is_some_and(|all| all.values().any(|content| content.get("examples").is_some()));
                if is_ours && !has && status != "204" {
                    without.push(named(status));
                }
            }
        }
    }
    assert!(without.is_empty(), "{without:#?}");
}

#[tokio::test]
async fn what_the_document_says_of_referrals_is_what_they_answer() {
    let world = World::new().await;
    let mut book = Book::default();
    let (anon, admin) = (world.anon(), world.admin());
    let code = world.first_member().await;
    let session = world.member("ben@example.org", &code).await;
    world.member("cat@example.org", &world.code_of(&session).await).await;
    let (ben, ann) = (world.with_token(&session), world.ann());
    let sub = ben.get("/v1/auth/whoami").await.json()["sub"].as_str().unwrap().to_owned();

    book.get(&anon, &format!("/v1/referrals/valid?code={code}")).await.assert(200);
    book.get(&ben, "/v1/referrals/me").await.assert(200);
    book.get(&ann, "/v1/referrals/me").await.assert(404);
    world.sweep().await;
    world.work_all().await;
    book.get(&ben, "/v1/referrals/stats").await.assert(200);
    book.get(&ann, "/v1/referrals/stats").await.assert(404);
    book.get(&ben, "/v1/referrals/leaderboard?limit=2").await.assert(200);

    let dan = json!({ "email": "dan@example.org" });
    let invited = book.post(&ben, "/v1/referrals/invites", dan.clone()).await.assert(202).json();
    book.post(&ann, "/v1/referrals/invites", dan).await.assert(409);
    let keyed = |key: &'static str| ben.clone().saying("idempotency-key", key);
    let eve = |name: &str| json!({ "email": format!("{name}@example.org") });
    ben.clone().saying("idempotency-key", "one").post("/v1/referrals/invites", &eve("eve")).await.assert(202);
    book.post(&keyed("one"), "/v1/referrals/invites", eve("fay")).await.assert(422);
    book.post(&keyed("a,b"), "/v1/referrals/invites", eve("fay")).await.assert(400);
    for number in 0..18 {
        ben.post("/v1/referrals/invites", &eve(&format!("guest-{number}"))).await.assert(202);
    }
    book.post(&ben, "/v1/referrals/invites", eve("fay")).await.assert(429);
    world.work_all().await;
    book.get(&ben, "/v1/referrals/invites").await.assert(200);
    let id = invited["invite"]["invite"].as_str().unwrap();
    let gone = format!("/v1/referrals/invites/{id}");
    assert_eq!(ben.ask(Method::DELETE, &gone).await.status, 204);
    book.tell(&ben, Method::DELETE, &gone, None, "").await.assert(404);

    let letter =
        world.outbox.list(100, None).await.unwrap().into_iter().find(|one| one.to.as_str() == "dan@example.org");
    let link = letter.unwrap().unsubscribe.unwrap();
    let path = &link[link.find("/v1/").unwrap()..];
    let reader = anon.clone().saying("accept", "application/json");
    book.get(&reader, path).await.assert(200);
    book.tell(&reader, Method::POST, path, None, "").await.assert(200);
    book.get(&reader, "/v1/referrals/unsubscribe?token=AAAA").await.assert(400);
    book.tell(&reader, Method::POST, "/v1/referrals/unsubscribe?token=AAAA", None, "").await.assert(400);

    book.post(&admin, "/v1/admin/users", json!({ "email": "gus@example.org" })).await.assert(201);
    book.post(&ben, "/v1/admin/users", json!({ "email": "gus@example.org" })).await.assert(403);
    let member = format!("/v1/admin/users/{sub}");
    let places = |total: u32| Some(json!({ "totalReferrals": total, "referralIsValid": true }));
    book.tell(&admin, Method::PATCH, &member, places(25), "").await.assert(200);
    book.tell(&admin, Method::PATCH, &member, places(0), "").await.assert(409);
    book.tell(&admin, Method::PATCH, "/v1/admin/users/nobody", places(25), "").await.assert(404);
    book.tell(&ben, Method::PATCH, &member, places(25), "").await.assert(403);
    book.get(&admin, "/v1/admin/letters").await.assert(200);
    book.get(&ben, "/v1/admin/letters").await.assert(403);
    book.check("referrals");
}
