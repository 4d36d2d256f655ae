//! The process that starts a stack's servers, starts Redis again when it ends, and ends all of them with itself.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use access::{Clock, Ids, RandomIds, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::leftovers::kill;
use super::servers::{self, CHAIN_ID, EMULATOR, Emulator, HEALTH, MARK, PING, free_port, ready, spawn};
use super::{Checkout, StackError};

/// The running servers, as their keeper announces them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Servers {
    /// Marks every process of this stack.
    pub id: String,
    /// The keeper's process.
    pub keeper: u32,
    pub gateway_port: u16,
    pub redis_port: u16,
    /// A chain of our own, where `anvil` is installed.
    pub anvil_url: Option<String>,
    /// Logs, and whatever the servers write.
    pub folder: PathBuf,
    pub enforces_iam: bool,
}

/// How servers are to be kept.
#[derive(Clone, Debug)]
pub struct Wish {
    pub folder: PathBuf,
    /// Of the emulator; none: a free one.
    pub gateway_port: Option<u16>,
    pub region: String,
    pub enforce_iam: bool,
}

/// A keeper this process started.
pub struct Kept {
    pub servers: Servers,
    child: Child,
    /// When it closes, and nobody has said [`STAY`], the keeper ends: it outlives nobody who was killed.
    asking: Option<ChildStdin>,
}

impl Kept {
    /// Starts a keeper, which is this program again, and waits until its servers answer.
    pub fn start(wish: &Wish) -> Result<Self, StackError> {
        let program = std::env::current_exe().map_err(StackError::io("finding this program"))?;
        let id = RandomIds.id(SystemClock::default().now());
        let mut command = Command::new(program);
        command.args(["stack", "keep", "--id", &id, "--region", &wish.region, "--folder"]).arg(&wish.folder);
        command.env(MARK, &id);
        if let Some(port) = wish.gateway_port {
            command.args(["--port", &port.to_string()]);
        }
        if wish.enforce_iam {
            command.arg("--enforce-iam");
        }
        let log = wish.folder.join("keeper.log");
        let file = fs::File::create(&log).map_err(StackError::io(format!("opening {}", log.display())))?;
        // In a group of its own: Ctrl-C is for whoever asked, who then ends it in order.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(StackError::io("starting the keeper"))?;
        let asking = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let read = BufReader::new(stdout).read_line(&mut line);
            read.map_err(StackError::io("listening to the keeper"))?;
        }
        match serde_json::from_str(&line) {
            Ok(servers) => Ok(Self { servers, child, asking }),
            Err(_) => {
                let _ = child.wait();
                let tail = servers::tail(&log);
                Err(StackError::NotStarted { server: "the keeper of the stack", log: log.display().to_string(), tail })
            }
        }
    }

    /// Lets the servers go on without this process.
    pub fn leave(mut self) -> Result<Servers, StackError> {
        if let Some(asking) = &mut self.asking {
            asking.write_all(STAY).map_err(StackError::io("telling the keeper to stay"))?;
        }
        Ok(self.servers)
    }

    /// Ends the servers; true when nothing of them is left.
    pub fn end(mut self) -> bool {
        let id = self.servers.id.clone();
        let keeper = self.child.id();
        // A child that ended stays listed until it is waited for.
        let waiting = std::thread::spawn(move || {
            let _ = self.child.wait();
        });
        let gone = super::ended(&id, keeper);
        let _ = waiting.join();
        gone
    }
}

/// The keeper itself: starts the servers, announces them on standard output, and stays until it is told to end.
///
/// It carries the mark of `id` in its environment, as [`Kept::start`] gave it.
pub async fn keep(
    checkout: &Checkout,
    wish: &Wish,
    id: &str,
    announce: impl FnOnce(&Servers),
) -> Result<(), StackError> {
    let folder =
        fs::canonicalize(&wish.folder).map_err(StackError::io(format!("opening {}", wish.folder.display())))?;
    let kept = run(checkout, wish, &folder, id, announce).await;
    // Whatever the servers started and did not end goes with them.
    kill(id);
    kept
}

async fn run(
    checkout: &Checkout,
    wish: &Wish,
    folder: &Path,
    id: &str,
    announce: impl FnOnce(&Servers),
) -> Result<(), StackError> {
    let told = told_to_end()?;
    tokio::pin!(told);
    fs::write(folder.join("emulator.py"), EMULATOR).map_err(StackError::io("writing emulator.py"))?;

    let redis_port = free_port()?;
    let start_redis = || spawn(servers::redis(checkout, redis_port, folder), folder, "redis.log", id);
    let mut redis = start_redis()?;
    ready(&mut redis, redis_port, PING, ("Redis", folder, "redis.log")).await?;

    let port = wish.gateway_port.map_or_else(free_port, Ok)?;
    let at = Emulator { port, region: &wish.region, folder, enforce_iam: wish.enforce_iam };
    let mut emulator = servers::emulator(checkout, &at);
    emulator.env("REDIS_HOST", "127.0.0.1").env("REDIS_PORT", redis_port.to_string());
    let mut emulator = spawn(emulator, folder, "emulator.log", id)?;
    ready(&mut emulator, port, HEALTH, ("the emulator", folder, "emulator.log")).await?;

    let mut anvil = None;
    if let Some(program) = checkout.anvil() {
        let port = free_port()?;
        let mut child = spawn(servers::anvil(&program, port), folder, "anvil.log", id)?;
        ready(&mut child, port, CHAIN_ID, ("anvil", folder, "anvil.log")).await?;
        anvil = Some((child, format!("http://127.0.0.1:{port}")));
    }
    announce(&Servers {
        id: id.to_owned(),
        keeper: std::process::id(),
        gateway_port: port,
        redis_port,
        anvil_url: anvil.as_ref().map(|(_, url)| url.clone()),
        folder: folder.to_owned(),
        enforces_iam: wish.enforce_iam,
    });

    loop {
        tokio::select! {
            () = &mut told => break,
            _ = emulator.wait() => {
                let log = folder.join("emulator.log");
                let tail = servers::tail(&log);
                return Err(StackError::NotStarted { server: "the emulator", log: log.display().to_string(), tail });
            }
            _ = redis.wait() => {
                // As a managed cache replaces a node that failed: empty, after a moment.
                tokio::time::sleep(Duration::from_secs(3)).await;
                redis = start_redis()?;
            }
        }
    }
    end(&mut emulator).await;
    end(&mut redis).await;
    if let Some((mut child, _)) = anvil {
        end(&mut child).await;
    }
    Ok(())
}

/// Asks a server to end and waits for it; by force after five seconds.
async fn end(child: &mut tokio::process::Child) {
    if let Some(pid) = child.id() {
        super::leftovers::terminate(pid);
    }
    if tokio::time::timeout(Duration::from_secs(5), child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Said to a keeper that is to go on by itself.
const STAY: &[u8] = b"stay\n";

/// SIGTERM, SIGINT, or the end of standard input without [`STAY`] on it. A closed terminal does not count.
fn told_to_end() -> Result<impl Future<Output = ()>, StackError> {
    let listen = |kind| signal(kind).map_err(StackError::io("listening to signals"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hangup = listen(SignalKind::hangup())?;
    let (closed, is_closed) = oneshot::channel();
    // Not tokio's: its reading thread would keep this process from ending.
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut said);
        if said != STAY {
            let _ = closed.send(());
        }
    });
    Ok(async move {
        let gone = async {
            if is_closed.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let ignored = async {
            while hangup.recv().await.is_some() {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = gone => {}
            () = ignored => {}
        }
    })
}
