//! The local server: one process, one folder.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use access::messages::{Choices, RefreshClusters};
use access::{JobState, Strictness};
use chains::Chain;
use holdfast::{DataDir, Options, SAMPLE_CHAIN, Server, local_app, sample_token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// These tests ask more often than a caller may.
fn unlimited(data: &Path) -> Options {
    let mut options = Options::new(DataDir::open(data).unwrap());
    options.settings.limits = Strictness::Off;
    options
}

/// As any client would: over a socket.
async fn get(address: SocketAddr, path: &str, token: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Asks until it is there; each answer before is the 202 a client would wait on.
async fn get_when_ready(address: SocketAddr, path: &str, token: &str) -> String {
    for _ in 0..600 {
        match get(address, path, token).await {
            (202, _) => tokio::time::sleep(Duration::from_millis(50)).await,
            (200, body) => return body,
            other => panic!("{other:?}"),
        }
    }
    panic!("not ready after 30 s")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_analysed_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = || unlimited(dir.path());
    let path = format!("/v1/tokens/{SAMPLE_CHAIN}/{}/clusters", sample_token());

    let server = Server::start(options(), ANYWHERE).await.unwrap();
    let (address, token) = (server.address, server.local().token("ann").unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run_until(async { drop(stopped.await) }));
    assert_eq!(get(address, "/healthcheck", "").await, (200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(get(address, &path, "").await.0, 403);
    let first = get_when_ready(address, &path, &token).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();

    let server = Server::start(options(), ANYWHERE).await.unwrap();
    assert_eq!(get(server.address, &path, &token).await, (200, first), "the same token, the same report");
    server.run_until(async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_job_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = || unlimited(dir.path());
    let message = RefreshClusters {
        chain: SAMPLE_CHAIN.into(),
        address: sample_token().to_string(),
        choices: Choices::default(),
    };
    let key = format!("{SAMPLE_CHAIN}/{}", sample_token());
    // A process that accepted a job and ended before any worker saw it.
    let local = local_app(&options()).await.unwrap();
    let access::Start::Started(row) = local.app.jobs.start(&key, &message, 0).await.unwrap() else { panic!("new") };
    assert_eq!(row.view.state, JobState::Queued);
    drop(local);

    let server = Server::start(options(), ANYWHERE).await.unwrap();
    let token = server.local().token("ann").unwrap();
    let job = format!("/v1/jobs/{}", row.view.job);
    let mut state = String::new();
    for _ in 0..600 {
        let (status, body) = get(server.address, &job, &token).await;
        assert_eq!(status, 200);
        state = body;
        if state.contains(r#""state":"done""#) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(state.contains(r#""state":"done""#), "{state}");
    server.run_until(async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_cannot_use_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options::new(DataDir::open(dir.path()).unwrap());
    let server = Server::start(options(), ANYWHERE).await.unwrap();
    let second = Server::start(options(), ANYWHERE).await.err().map(|error| error.to_string());
    assert!(second.unwrap().contains("another server uses this folder"));
    server.run_until(async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_can_be_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.csv");
    let (token, ann, bob) = ("0x".to_owned() + &"7".repeat(40), "1".repeat(40), "2".repeat(40));
    let zero = "0".repeat(40);
    let rows = format!(
        "block_number,timestamp,tx_hash,log_index,token,from,to,value_raw\n\
         1,,0x{hash},0,{token},0x{zero},0x{ann},100\n2,,0x{hash},0,{token},0x{ann},0x{bob},40\n",
        hash = "a".repeat(64)
    );
    std::fs::write(&file, rows).unwrap();
    let mut options = unlimited(&dir.path().join("data"));
    options.chains.push(Chain::parse(&format!("mine=file:{}", file.display())).unwrap());
    let server = Server::start(options, ANYWHERE).await.unwrap();
    let bearer = server.local().token("ann").unwrap();
    let report = get_when_ready(server.address, &format!("/v1/tokens/mine/{token}/clusters"), &bearer).await;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["clusters"][0]["amount"], "100");
    assert_eq!(report["supply"]["minted"], "100");
    server.run_until(async {}).await.unwrap();
}
