//! `holdfast serve`: the whole API and all workers in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use api::Edge;
use app::Pages;
use chains::{Chain, sample_token};
use tokio::signal;

use super::Failure;
use crate::keep::DataDir;
use crate::serve::{Options, SAMPLE_CHAIN, Server};

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// The folder in which tables, objects and keys are kept
    #[arg(long, default_value = ".holdfast", value_name = "FOLDER")]
    data: PathBuf,
    /// A chain: name=https://node… or name=file:transfers.csv.gz; may be given several times
    #[arg(long = "chain", value_name = "NAME=SOURCE")]
    chains: Vec<String>,
    /// Redis or Valkey: redis://host:port; without it the process's own cache serves alone
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,
    /// A web page's origin that may call, such as http://localhost:5173; may be given several times
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Seconds after which a cluster report is refreshed
    #[arg(long, default_value_t = 21_600, value_name = "SECONDS")]
    report_staleness: u64,
    /// What is logged, by level and target: debug, info, warn, access=debug
    #[arg(long, env = "LOG_FILTER", default_value = "warn", value_name = "FILTER")]
    log: String,
}

impl Arguments {
    pub fn log_filter(&self) -> &str {
        &self.log
    }
}

/// Serves until interrupted.
pub async fn run(arguments: Arguments, flush_metrics: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let mut options = Options::new(DataDir::open(&arguments.data)?);
    for spec in &arguments.chains {
        options
            .chains
            .push(Chain::parse(spec).map_err(|error| Failure::Usage(format!("--chain: {}", chain_error(&error))))?);
    }
    options.redis_url = arguments.redis.filter(|url| !url.is_empty());
    options.edge = Edge { allowed_origins: arguments.origins, ..Edge::default() };
    options.settings.reports.staleness = Duration::from_secs(arguments.report_staleness);
    // What letters link to; an address that no link may have leaves the usual one.
    if let Ok(api) = Pages::new(&format!("http://{}/", arguments.listen)) {
        options.settings.api = api;
    }
    let server = Server::start(options, arguments.listen).await?;
    greet(&server)?;
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(10));
        loop {
            ticks.tick().await;
            flush_metrics();
        }
    });
    server.run_until(told_to_stop()).await?;
    Ok(())
}

fn chain_error(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[expect(clippy::print_stdout, reason = "what to try is for whoever started it")]
fn greet(server: &Server) -> Result<(), Failure> {
    let (url, token) = (format!("http://{}", server.address), server.local().token("ann")?);
    let sample = format!("{url}/v1/tokens/{SAMPLE_CHAIN}/{}", sample_token());
    println!("Holdfast listens on {url}. Its pages: {url}/docs");
    println!("A bearer token for the local user ann, good for a day:\n");
    println!("  TOKEN={token}\n");
    println!("Try, in another terminal:\n");
    println!("  curl -s {url}/healthcheck");
    println!("  curl -s -H \"Authorization: Bearer $TOKEN\" {url}/v1/chains");
    println!("  curl -s -H \"Authorization: Bearer $TOKEN\" {sample}");
    println!("  curl -s -H \"Authorization: Bearer $TOKEN\" {sample}/clusters     # 202, and a moment later 200");
    println!("  curl -s -H \"Authorization: Bearer $TOKEN\" '{sample}/holders?limit=3'\n");
    println!("Ctrl-C ends it; what it has accepted is kept.");
    Ok(())
}

/// Ctrl-C or SIGTERM.
async fn told_to_stop() {
    let interrupt = async {
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
