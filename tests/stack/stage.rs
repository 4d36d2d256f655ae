//! A stack that is up, and people who ask it things.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use access::{Clock, Ids, RandomIds, SystemClock};
use chains::sample_token;
use holdfast::stack::Deployment;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) struct Stage {
    pub(crate) deployment: Deployment,
    http: reqwest::Client,
    /// A user of the stack's own pool, who has signed in.
    pub(crate) token: String,
    _turn: Turn,
}

/// Most tests go side by side; one that takes something away from all of them goes alone.
enum Turn {
    Shared(#[expect(dead_code, reason = "held, not looked at")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held, not looked at")] RwLockWriteGuard<'static, ()>),
}

static TURN: RwLock<()> = RwLock::const_new(());

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(240);

impl Stage {
    pub(crate) async fn enter() -> Self {
        Self::with(Turn::Shared(TURN.read().await)).await
    }

    pub(crate) async fn enter_alone() -> Self {
        Self::with(Turn::Alone(TURN.write().await)).await
    }

    async fn with(turn: Turn) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the stack to test is named by whoever put it up")]
        let file = std::env::var("HOLDFAST_STACK").expect("these tests are run by `holdfast stack test`");
        let folder = Path::new(&file).parent().expect("a file is in a folder");
        let deployment = Deployment::read(folder).unwrap().expect("the stack is up");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let token = TOKEN.get_or_init(|| sign_in(deployment.clone())).await.clone();
        Self { deployment, http, token, _turn: turn }
    }

    /// As a user nobody else asks as, whose requests count for no other test.
    pub(crate) async fn as_somebody_new(mut self) -> Self {
        self.token = sign_in(self.deployment.clone()).await;
        self
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.deployment.api_url))
    }

    /// As somebody who is signed in.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).bearer_auth(&self.token).send().await.unwrap()).await
    }

    /// As nobody.
    pub(crate) async fn get_anonymously(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// Asks again until the answer is as wished.
    pub(crate) async fn until(&self, path: &str, what: &str, wished: impl Fn(&Answer) -> bool) -> Answer {
        let clock = SystemClock::default();
        let started = clock.monotonic();
        loop {
            let answer = self.get(path).await;
            if wished(&answer) {
                return answer;
            }
            let waited = clock.monotonic() - started;
            assert!(waited < PATIENCE, "{path}: not {what} after {waited:?}, but {answer:?}");
            // A caller has two requests a second.
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }

    /// Asks with somebody's token until the answer has this status.
    pub(crate) async fn until_of(&self, token: &str, path: &str, status: u16) {
        let clock = SystemClock::default();
        let started = clock.monotonic();
        loop {
            let answer = Answer::of(self.request(Method::GET, path).bearer_auth(token).send().await.unwrap()).await;
            if answer.status == status {
                return;
            }
            let waited = clock.monotonic() - started;
            assert!(waited < PATIENCE, "{path}: not {status} after {waited:?}, but {answer:?}");
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }

    /// What a call of the AWS command line answers.
    pub(crate) async fn aws(&self, arguments: &[&str]) -> Value {
        aws(&self.deployment, arguments).await
    }

    /// A URL of the sample token's clusters that nobody has asked for before.
    pub(crate) fn fresh_clusters(&self) -> String {
        format!("/v1/tokens/sample/{}/clusters?top={}", sample_token(), fresh_top())
    }

    pub(crate) fn function(&self, name: &str) -> String {
        format!("{}-{name}", self.deployment.prefix)
    }

    /// Calls a function directly, as operators and other services do.
    pub(crate) async fn invoke(&self, name: &str, event: &Value) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let (event_file, answer) = (folder.path().join("event.json"), folder.path().join("answer.json"));
        std::fs::write(&event_file, event.to_string()).unwrap();
        let payload = format!("fileb://{}", event_file.display());
        let (function, answer_path) = (self.function(name), answer.display().to_string());
        let arguments = ["lambda", "invoke", "--function-name", &function, "--payload", &payload, &answer_path];
        let told = self.aws(&arguments).await;
        let answer = std::fs::read_to_string(&answer).unwrap();
        assert!(told.get("FunctionError").is_none(), "{name}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// What the emulator's mail service took for an address, oldest first; nothing where there is none to look at.
    pub(crate) async fn mailed(&self, to: &str) -> Option<Vec<Value>> {
        let endpoint = self.deployment.servers.as_ref().and(self.deployment.aws.endpoint_url.as_ref())?;
        let asked = self.http.get(format!("{endpoint}/_ministack/ses/messages")).send().await.unwrap();
        let all: Value = asked.json().await.unwrap();
        let accounts = all["messages"].as_object().cloned().unwrap_or_default();
        let letters = accounts.into_values().flat_map(|letters| letters.as_array().cloned().unwrap_or_default());
        Some(letters.filter(|letter| letter["To"][0] == to).collect())
    }

    /// Waits for a letter to an address with this in its subject.
    pub(crate) async fn letter(&self, to: &str, subject: &str) -> Option<Value> {
        let clock = SystemClock::default();
        let started = clock.monotonic();
        loop {
            let letters = self.mailed(to).await?;
            let is_it = |letter: &&Value| letter["Subject"].as_str().is_some_and(|text| text.contains(subject));
            if let Some(letter) = letters.iter().find(is_it) {
                return Some(letter.clone());
            }
            let waited = clock.monotonic() - started;
            assert!(waited < PATIENCE, "no letter `{subject}` after {waited:?}, but {} others", letters.len());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// The emulator's Redis, if this stack has one of its own.
    pub(crate) fn redis(&self) -> Option<Redis> {
        self.deployment.servers.as_ref().map(|servers| Redis(servers.redis_port))
    }
}

static TOKEN: OnceCell<String> = OnceCell::const_new();

/// A value of `top` no other test of this run uses, and with a good chance none of another run.
pub(crate) fn fresh_top() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut random = [0; 2];
    RandomIds.fill(&mut random);
    let start = 200 + u32::from(u16::from_be_bytes(random)) % 9000;
    200 + (start + NEXT.fetch_add(97, Ordering::Relaxed)) % 9800
}

async fn aws(deployment: &Deployment, arguments: &[&str]) -> Value {
    let aws = deployment.aws.clone();
    let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
    let call = move || aws.json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(call).await.unwrap().unwrap()
}

/// A new user of the pool, confirmed, and the access token of signing in.
async fn sign_in(deployment: Deployment) -> String {
    tokens_of(&deployment, &new_user(&deployment).await).await["AccessToken"].as_str().unwrap().to_owned()
}

pub(crate) const PASSWORD: &str = "correct horse battery staple 7";

/// Nobody else's.
pub(crate) fn fresh_name() -> String {
    RandomIds.id(SystemClock::default().now()).to_lowercase()
}

pub(crate) async fn new_user(deployment: &Deployment) -> String {
    let user = format!("{}@example.org", fresh_name());
    let pool = ["--user-pool-id", deployment.user_pool_id.as_str(), "--username", &user];
    let create = ["cognito-idp", "admin-create-user", "--message-action", "SUPPRESS"];
    aws(deployment, &[&create[..], &pool[..]].concat()).await;
    let set = ["cognito-idp", "admin-set-user-password", "--permanent", "--password", PASSWORD];
    aws(deployment, &[&set[..], &pool[..]].concat()).await;
    user
}

pub(crate) async fn tokens_of(deployment: &Deployment, user: &str) -> Value {
    let parameters = format!("{{\"USERNAME\":\"{user}\",\"PASSWORD\":\"{PASSWORD}\"}}");
    let arguments = [
        "cognito-idp",
        "initiate-auth",
        "--auth-flow",
        "USER_PASSWORD_AUTH",
        "--client-id",
        &deployment.user_pool_client_id,
        "--auth-parameters",
        &parameters,
    ];
    aws(deployment, &arguments).await["AuthenticationResult"].clone()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json()["code"], code, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        answer
    }
}

/// Spoken to directly, past everything of ours.
#[derive(Clone, Copy)]
pub(crate) struct Redis(u16);

impl Redis {
    /// What is answered to a command, or nothing when nobody answers.
    pub(crate) fn command(self, line: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 512];
        let read = stream.read(&mut answer).ok()?;
        (read > 0).then(|| String::from_utf8_lossy(&answer[..read]).into_owned())
    }

    pub(crate) async fn until(self, line: &str, what: &str, wished: impl Fn(Option<&str>) -> bool) {
        let clock = SystemClock::default();
        let started = clock.monotonic();
        loop {
            let answer = self.command(line);
            if wished(answer.as_deref()) {
                return;
            }
            let waited = clock.monotonic() - started;
            assert!(waited < PATIENCE, "Redis: {line}: not {what} after {waited:?}, but {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
