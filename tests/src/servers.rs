//! The real servers behind the contracts: Valkey for Redis, MiniStack for SQS, S3 and Cognito. The shared ones start once a
//! process. None outlives the process, however it ends.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use access::{Aws, AwsConfig, Credentials, Roots};
use identity::CognitoPoolConfig;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Where `cargo xtask venv` installs servers, whatever the target folder of this build is.
const VENV_BIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin");

/// Runs `$2…` until it ends or standard input closes, which it does when the test process dies, then removes folder
/// `$1`. In the background a shell reads from /dev/null, hence descriptor 3.
const WATCHDOG: &str = r#"
folder=$1
shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -9 "$server"; } &
watch=$!
exec 3<&-
wait "$server"
kill "$watch" 2>/dev/null
rm -rf -- "$folder"
"#;

/// The only one whose buckets are created without saying where.
pub(crate) const REGION: &str = "us-east-1";
/// Whose queues and buckets they are, in the emulator.
pub(crate) const ACCOUNT: &str = "000000000000";

/// A server's process and the shell that ends it with us.
struct Server {
    watchdog: Child,
    log: File,
    port: u16,
}

enum NotStarted {
    /// It ended by itself: mostly because another took the port in between.
    Ended(String),
    Silent(String),
}

impl Server {
    /// `command` gets the port and a folder of its own; `ready` says whether it is this server that answers there.
    fn start(port: u16, command: &dyn Fn(u16, &Path) -> Command, ready: &Ready) -> Result<Self, NotStarted> {
        let folder = tempfile::Builder::new().prefix("holdfast-it-").tempdir().unwrap().keep();
        let log = tempfile::tempfile().unwrap();
        let server = command(port, &folder);
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(&folder).arg(server.get_program()).args(server.get_args());
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => watchdog.env(name, value),
                None => watchdog.env_remove(name),
            };
        }
        // In a group of its own, Ctrl-C reaches the tests first and the watchdog cleans up after them.
        watchdog.current_dir(&folder).process_group(0).stdin(Stdio::piped());
        watchdog.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
        let mut server = Self { watchdog: watchdog.spawn().expect("every Unix has sh"), log, port };
        for _ in 0..3000 {
            if server.watchdog.try_wait().unwrap().is_some() {
                return Err(NotStarted::Ended(server.log()));
            }
            if ready(port, &folder) {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(NotStarted::Silent(server.log()))
    }

    /// On a port nobody uses.
    fn start_anywhere(command: &dyn Fn(u16, &Path) -> Command, ready: &Ready) -> Self {
        let mut last = String::new();
        for _ in 0..10 {
            match Self::start(free_port(), command, ready) {
                Ok(server) => return server,
                Err(NotStarted::Ended(log)) => last = log,
                Err(NotStarted::Silent(log)) => panic!("the server does not answer after a minute:\n{log}"),
            }
        }
        panic!("the server ended by itself ten times, last with:\n{last}")
    }

    fn log(&mut self) -> String {
        let mut text = String::new();
        let _ = self.log.rewind();
        let _ = self.log.read_to_string(&mut text);
        text
    }
}

impl Drop for Server {
    /// Returns when the server is gone and its port free.
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

type Ready = dyn Fn(u16, &Path) -> bool;

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// One question and what came back until `end`, the connection's end or a second of silence.
fn ask(port: u16, question: &[u8], end: &dyn Fn(&[u8]) -> bool) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(question)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    while !end(&answer) {
        match stream.read(&mut buffer)? {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A Valkey, which speaks Redis's protocol and keeps nothing on disk. It ends when dropped.
pub(crate) struct Valkey {
    port: u16,
    server: Option<Server>,
}

impl Valkey {
    /// One for this test alone, to be killed or counted.
    pub(crate) async fn start() -> Self {
        let start = || Server::start_anywhere(&valkey_command, &valkey_ready);
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        Self { port: server.port, server: Some(server) }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a crash would. Nothing listens on its port afterwards.
    pub(crate) async fn kill(&mut self) {
        let server = self.server.take().expect("it runs");
        tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    }

    /// Starts it again, empty, on the port it had.
    pub(crate) async fn restart(&mut self) {
        assert!(self.server.is_none(), "kill it first");
        let port = self.port;
        let start = move || {
            let mut last = String::new();
            for _ in 0..100 {
                match Server::start(port, &valkey_command, &valkey_ready) {
                    Ok(server) => return server,
                    // A passing connection of another process may hold the port for a moment.
                    Err(NotStarted::Ended(log) | NotStarted::Silent(log)) => last = log,
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            panic!("valkey does not start again on port {port}:\n{last}")
        };
        self.server = Some(tokio::task::spawn_blocking(start).await.unwrap());
    }

    /// The raw answer to a command of words without spaces, past everything of ours.
    pub(crate) async fn command(&self, line: &str) -> String {
        let (port, line) = (self.port, format!("{line}\r\n"));
        let asked = tokio::task::spawn_blocking(move || ask(port, line.as_bytes(), &is_whole_reply));
        asked.await.unwrap().expect("valkey answers")
    }

    /// How often it has been asked a command (lower case) since it started.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let info = self.command("INFO commandstats").await;
        let prefix = format!("cmdstat_{command}:calls=");
        let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}

/// The Valkey all tests share; keys must be the test's own.
pub(crate) async fn valkey() -> &'static Valkey {
    static SHARED: OnceCell<Valkey> = OnceCell::const_new();
    SHARED.get_or_init(Valkey::start).await
}

fn valkey_command(port: u16, folder: &Path) -> Command {
    let on_path = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let installed = format!("{VENV_BIN}/valkey-server");
    let program = ["valkey-server", "redis-server", &installed].into_iter().find(|program| on_path(program));
    let mut command = Command::new(program.expect("no valkey-server and no redis-server here: run `cargo xtask venv`"));
    command.args(["--bind", "127.0.0.1", "--port"]).arg(port.to_string()).arg("--dir").arg(folder);
    command.args(["--save", "", "--appendonly", "no"]);
    command
}

/// It answers, and from the folder given: another test's server on this port is not meant.
fn valkey_ready(port: u16, folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ask(port, b"CONFIG GET dir\r\n", &|answer| String::from_utf8_lossy(answer).contains(&name))
        .is_ok_and(|answer| answer.contains(&name))
}

/// A reply of one line, or of one string with its length in front; nothing else is asked for here.
fn is_whole_reply(answer: &[u8]) -> bool {
    let Some(line) = answer.windows(2).position(|two| two == b"\r\n") else { return false };
    let length = std::str::from_utf8(&answer[..line]).ok().and_then(|head| head.strip_prefix('$'));
    let length = length.and_then(|length| length.parse::<usize>().ok()).map_or(0, |length| length + 2);
    answer.len() >= line + 2 + length
}

struct MiniStack {
    server: Server,
}

impl MiniStack {
    fn start() -> Self {
        Self { server: Server::start_anywhere(&ministack_command, &ministack_ready) }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }
}

fn ministack_command(port: u16, folder: &Path) -> Command {
    let program = format!("{VENV_BIN}/ministack");
    assert!(Path::new(&program).exists(), "no emulator of AWS in target/venv: run `cargo xtask venv`");
    let mut command = Command::new(program);
    command
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("MINISTACK_REGION", REGION)
        .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
        // Shown by the health page: whose server it is.
        .env("MINISTACK_EDITION", folder.file_name().unwrap_or_default())
        .env("TMPDIR", folder)
        .env("SERVICES", "sqs,s3,ses,cognito-idp")
        .env("LOG_LEVEL", "WARNING")
        .env("AUTH", "false")
        .env("SFTP_ENABLED", "0")
        .env("IOT_MTLS_ENABLED", "0")
        .env("PERSIST_STATE", "0")
        .env("S3_PERSIST", "0")
        .env("LOCALSTACK_PERSISTENCE", "0")
        .env_remove("MINISTACK_HOST");
    command
}

fn ministack_ready(port: u16, folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let question = b"GET /_ministack/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    ask(port, question, &|answer| String::from_utf8_lossy(answer).contains(&name))
        .is_ok_and(|answer| answer.contains(&name))
}

async fn ministack() -> &'static MiniStack {
    static SHARED: OnceCell<MiniStack> = OnceCell::const_new();
    let start = || async { tokio::task::spawn_blocking(MiniStack::start).await.unwrap() };
    SHARED.get_or_init(start).await
}

/// Clients of the emulator all tests share; queues and buckets must be the test's own. New ones for each test, since
/// connections end with the runtime they were made in.
pub(crate) async fn aws() -> Aws {
    Aws::new(AwsConfig {
        region: REGION.into(),
        endpoint_url: Some(ministack().await.endpoint()),
        credentials: Credentials::new("test", "test", None, None, "test"),
        roots: Roots::Amazon,
    })
}

/// In front of every queue's URL in the emulator.
pub(crate) async fn queue_url_prefix() -> String {
    format!("{}/{ACCOUNT}/", ministack().await.endpoint())
}

/// A user pool of its own in the emulator, set up as the template does, with its group `admin`.
pub(crate) async fn user_pool() -> (Aws, CognitoPoolConfig) {
    let created = cognito(
        "CreateUserPool",
        json!({
            "PoolName": "contract", "UsernameAttributes": ["email"], "AutoVerifiedAttributes": ["email"],
            "Policies": { "PasswordPolicy": {
                "MinimumLength": 10, "RequireUppercase": false, "RequireLowercase": false, "RequireNumbers": false,
                "RequireSymbols": false,
            } },
        }),
    );
    let user_pool_id = created.await["UserPool"]["Id"].as_str().unwrap().to_owned();
    let created = cognito(
        "CreateUserPoolClient",
        json!({
            "UserPoolId": user_pool_id, "ClientName": "web", "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH"],
            "PreventUserExistenceErrors": "ENABLED", "EnableTokenRevocation": true,
            "RefreshTokenRotation": { "Feature": "ENABLED", "RetryGracePeriodSeconds": 30 },
        }),
    );
    let client_id = created.await["UserPoolClient"]["ClientId"].as_str().unwrap().to_owned();
    cognito("CreateGroup", json!({ "UserPoolId": user_pool_id, "GroupName": "admin" })).await;
    (aws().await, CognitoPoolConfig { user_pool_id, client_id })
}

/// From whom letters come in the emulator.
pub(crate) const MAIL_FROM: &str = "no-reply@example.com";

/// The emulator with [`MAIL_FROM`] verified.
pub(crate) async fn mail_service() -> Aws {
    static VERIFIED: OnceCell<()> = OnceCell::const_new();
    let verify = || async {
        let identity = json!({ "EmailIdentity": "example.com" });
        call("ses", "POST /v2/email/identities", "application/json", "", &identity).await;
    };
    VERIFIED.get_or_init(verify).await;
    aws().await
}

/// What was sent through the emulator's SES, oldest first.
pub(crate) async fn mailed() -> Vec<Value> {
    let answer = call("ses", "GET /_ministack/ses/messages", "application/json", "", &Value::Null).await;
    answer["messages"][ACCOUNT].as_array().cloned().unwrap_or_default()
}

/// A call without an SDK, whose only home is elsewhere.
async fn cognito(operation: &str, input: Value) -> Value {
    let target = format!("x-amz-target: AWSCognitoIdentityProviderService.{operation}\r\n");
    call("cognito-idp", "POST /", "application/x-amz-json-1.1", &target, &input).await
}

async fn call(service: &str, what: &str, media: &str, header: &str, input: &Value) -> Value {
    let (port, body) = (ministack().await.server.port, if input.is_null() { String::new() } else { input.to_string() });
    let question = format!(
        "{what} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: {media}\r\n{header}\
         content-length: {}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=none\r\n\r\n{body}",
        body.len()
    );
    let is_whole = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer);
        text.split_once("\r\n\r\n").is_some_and(|(_, body)| serde_json::from_str::<Value>(body).is_ok())
    };
    let asked = tokio::task::spawn_blocking(move || ask(port, question.as_bytes(), &is_whole)).await.unwrap();
    let answer = asked.expect("the emulator answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{what} {header}: {answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}
