//! The programs a stack without AWS needs: how each is started and when it is ready.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::{Checkout, StackError};

/// Marks the processes of a stack, those that its servers start too: the environment is handed down.
pub(super) const MARK: &str = "HOLDFAST_STACK";

/// A function's own account in the emulator.
const ACCOUNT: &str = "000000000000";

/// Starts the emulator; [`EMULATOR`] must be in the folder.
pub(super) fn emulator(checkout: &Checkout, at: &Emulator<'_>) -> Command {
    let mut command = Command::new(checkout.installed("python"));
    command.arg(at.folder.join("emulator.py"));
    command
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", at.port.to_string())
        // Functions are told where AWS is only if the emulator is.
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", at.port))
        .env("MINISTACK_REGION", at.region)
        .env("AWS_DEFAULT_REGION", at.region)
        .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
        .env("AUTH", if at.enforce_iam { "true" } else { "false" })
        .env("TMPDIR", at.folder)
        .env("LOG_LEVEL", "INFO")
        .env("SFTP_ENABLED", "0")
        .env("IOT_MTLS_ENABLED", "0")
        .env("PERSIST_STATE", "0")
        .env("S3_PERSIST", "0")
        .env("LOCALSTACK_PERSISTENCE", "0")
        .env("PYTHONUNBUFFERED", "1")
        .env_remove("MINISTACK_HOST")
        .env_remove("AWS_PROFILE");
    command
}

pub(super) struct Emulator<'a> {
    pub port: u16,
    pub region: &'a str,
    pub folder: &'a Path,
    pub enforce_iam: bool,
}

/// The program that starts the emulator.
pub(super) const EMULATOR: &str = include_str!("emulator.py");

pub(super) fn redis(checkout: &Checkout, port: u16, folder: &Path) -> Command {
    let mut command = Command::new(checkout.installed("valkey-server"));
    command.args(["--bind", "127.0.0.1", "--port"]).arg(port.to_string()).arg("--dir").arg(folder);
    command.args(["--save", "", "--appendonly", "no"]);
    command
}

/// Twenty funded accounts, a block for each transaction.
pub(super) fn anvil(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port"]).arg(port.to_string());
    command.args(["--chain-id", "31337", "--accounts", "20", "--quiet"]);
    command
}

/// Starts a server with its output in a file of the folder.
pub(super) fn spawn(mut command: Command, folder: &Path, log: &str, id: &str) -> Result<Child, StackError> {
    let path = folder.join(log);
    let opened = File::options().create(true).append(true).open(&path);
    let file = opened.map_err(StackError::io(format!("opening {}", path.display())))?;
    let again = file.try_clone().map_err(StackError::io(format!("opening {}", path.display())))?;
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.env(MARK, id).current_dir(folder).stdin(Stdio::null()).stdout(file).stderr(again).kill_on_drop(true);
    command.spawn().map_err(StackError::io(format!("starting {program}")))
}

/// Waits until the server answers `question` with `expected` in the answer; fails when it ends or stays silent.
pub(super) async fn ready(
    child: &mut Child,
    port: u16,
    (question, expected): (&'static str, &'static str),
    (server, folder, log): (&'static str, &Path, &str),
) -> Result<(), StackError> {
    for _ in 0..1200 {
        let answers = tokio::task::spawn_blocking(move || answers(port, question, expected)).await.unwrap_or(false);
        let ended = child.try_wait().map_err(StackError::io(format!("waiting for {server}")))?.is_some();
        if answers && !ended {
            return Ok(());
        }
        if ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let path = folder.join(log);
    Err(StackError::NotStarted { server, log: path.display().to_string(), tail: tail(&path) })
}

pub(super) const PING: (&str, &str) = ("PING\r\n", "PONG");
pub(super) const HEALTH: (&str, &str) =
    ("GET /_ministack/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", "HTTP/1.1 200");
pub(super) const CHAIN_ID: (&str, &str) = (
    "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n\
     content-length: 60\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[] }",
    "0x7a69",
);

fn answers(port: u16, question: &str, expected: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(question.as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer)?;
            answer.extend_from_slice(&buffer[..read]);
            let said = String::from_utf8_lossy(&answer);
            if read == 0 || said.contains(expected) {
                return Ok(said.contains(expected));
            }
        }
    };
    ask().unwrap_or(false)
}

/// A port nobody uses at this moment.
pub(super) fn free_port() -> Result<u16, StackError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(StackError::io("finding a free port"))?;
    Ok(listener.local_addr().map_err(StackError::io("finding a free port"))?.port())
}

/// The last lines of a log.
pub(super) fn tail(path: &Path) -> String {
    const BYTES: u64 = 2000;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_else(|error| format!("(it cannot be read: {error})"))
}
