//! `holdfast stack`: the deployed thing on this machine, or the same tests against an AWS that is there already.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use access::{Clock, SystemClock};
use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use crate::stack::keeper::{Wish, keep};
use crate::stack::{AwsCli, Checkout, Deployment, Kept, Plan, StackError, deploy, ended};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build, start an emulator of AWS and Redis, and deploy template.yaml to it
    Up(Up),
    /// Run the end-to-end tests over HTTP: against the stack that is up, or one of their own that ends with them
    Test(Test),
    /// Print what the functions logged
    Logs(Logs),
    /// End the stack that is up, and everything it started
    Down(Down),
    /// Start the servers and stay (what `up` and `test` start)
    #[command(hide = true)]
    Keep(Keep),
}

/// Where a stack goes.
#[derive(Clone, Debug, clap::Args)]
struct Target {
    /// Deploy to the AWS API at this address (LocalStack or another emulator) instead of starting one
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Deploy to AWS itself, with this machine's credentials
    #[arg(long, conflicts_with = "endpoint_url")]
    aws: bool,
    #[arg(long, default_value = "eu-west-2", value_name = "REGION")]
    region: String,
    /// The deployment's name: the stack is called holdfast-STAGE
    #[arg(long, default_value = "local", value_name = "STAGE")]
    stage: String,
    /// A parameter of template.yaml; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Let the emulator enforce every function's role
    #[arg(long)]
    enforce_iam: bool,
    /// Take what stands in target/lambda and target/venv instead of building it
    #[arg(long)]
    no_build: bool,
}

#[derive(Debug, clap::Args)]
struct Up {
    #[command(flatten)]
    target: Target,
    /// The emulator's port
    #[arg(long, default_value_t = 4566, value_name = "PORT")]
    port: u16,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// Run only tests whose name contains this
    filter: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Logs {
    /// One function, such as tokens-get-clusters; all without it
    function: Option<String>,
    /// Go on until interrupted
    #[arg(long, short)]
    follow: bool,
    /// How far back, in minutes
    #[arg(long, default_value_t = 15, value_name = "MINUTES")]
    since: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Down {
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Debug, clap::Args)]
struct Place {
    /// The folder in which the stack keeps its logs and how to reach it
    #[arg(long, default_value = ".holdfast/stack", value_name = "FOLDER")]
    folder: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Keep {
    #[arg(long)]
    id: String,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    port: Option<u16>,
    #[arg(long)]
    region: String,
    #[arg(long)]
    enforce_iam: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// # Errors
/// [`Failure::Input`] with what failed and, of a server, the end of its log.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Task::Up(arguments) => up(arguments),
        Task::Test(arguments) => test(arguments),
        Task::Logs(arguments) => logs(arguments),
        Task::Down(arguments) => down(&arguments.place.folder),
        Task::Keep(arguments) => kept(arguments),
    }
}

fn up(arguments: &Up) -> Result<(), Failure> {
    let folder = &arguments.place.folder;
    if Deployment::read(folder)?.is_some() {
        return Err(StackError::AlreadyUp.into());
    }
    fs::create_dir_all(folder)?;
    let steps = Steps::new();
    let checkout = Checkout::find()?;
    prepare(&steps, &checkout, &arguments.target)?;
    let kept = start(&steps, &arguments.target, folder, Some(arguments.port))?;
    match put_up(&steps, &checkout, &arguments.target, folder, kept.as_ref()) {
        Ok(deployment) => {
            kept.map(Kept::leave).transpose()?;
            greet(&deployment);
            Ok(())
        }
        Err(error) => {
            if let Some(kept) = kept {
                kept.end();
            }
            Err(error)
        }
    }
}

fn test(arguments: &Test) -> Result<(), Failure> {
    let checkout = Checkout::find()?;
    let is_elsewhere = arguments.target.aws || arguments.target.endpoint_url.is_some();
    if !is_elsewhere && Deployment::read(&arguments.place.folder)?.is_some() {
        return run_tests(&checkout, &arguments.place.folder, arguments.filter.as_deref());
    }
    let steps = Steps::new();
    let above = checkout.root().join(".holdfast");
    fs::create_dir_all(&above)?;
    let folder = tempfile::Builder::new().prefix("stack-test-").tempdir_in(above)?;
    prepare(&steps, &checkout, &arguments.target)?;
    let kept = start(&steps, &arguments.target, folder.path(), None)?;
    let tested = put_up(&steps, &checkout, &arguments.target, folder.path(), kept.as_ref())
        .and_then(|_| run_tests(&checkout, folder.path(), arguments.filter.as_deref()));
    steps.told("end-to-end tests");
    if tested.is_err()
        && let Some(kept) = &kept
    {
        let log = kept.servers.folder.join("emulator.log");
        let kept_log = checkout.root().join(".holdfast/stack-test.log");
        fs::copy(&log, &kept_log)?;
        say(&format!("the emulator's log is kept in {}", kept_log.display()));
    }
    let all_ended = kept.is_none_or(Kept::end);
    steps.told("everything ended");
    tested?;
    if all_ended { Ok(()) } else { Err(left_over()) }
}

fn prepare(steps: &Steps, checkout: &Checkout, target: &Target) -> Result<(), Failure> {
    if !target.no_build {
        checkout.prepare()?;
        steps.told("functions built");
    }
    if !target.aws && target.endpoint_url.is_none() && !checkout.prepare_chain()? {
        say("npm is missing: there is no chain, and the test that reads one is skipped");
    }
    Ok(())
}

/// The emulator and Redis, unless AWS is elsewhere.
fn start(steps: &Steps, target: &Target, folder: &Path, gateway_port: Option<u16>) -> Result<Option<Kept>, Failure> {
    if target.aws || target.endpoint_url.is_some() {
        return Ok(None);
    }
    let kept = Kept::start(&Wish {
        folder: folder.to_owned(),
        gateway_port,
        region: target.region.clone(),
        enforce_iam: target.enforce_iam,
    })?;
    let chain = if kept.servers.anvil_url.is_some() { ", a chain" } else { "" };
    steps.told(&format!("emulator, Redis{chain} started"));
    Ok(Some(kept))
}

fn put_up(
    steps: &Steps,
    checkout: &Checkout,
    target: &Target,
    folder: &Path,
    kept: Option<&Kept>,
) -> Result<Deployment, Failure> {
    let ours = kept.map(|kept| format!("http://127.0.0.1:{}", kept.servers.gateway_port));
    let aws = AwsCli {
        program: checkout.installed("aws"),
        endpoint_url: ours.or_else(|| target.endpoint_url.clone()),
        region: target.region.clone(),
        is_emulator: kept.is_some(),
    };
    let mut plan = match kept {
        Some(kept) => Plan::local(&kept.servers, &target.stage, folder),
        None => {
            Plan { stage: target.stage.clone(), parameters: BTreeMap::new(), servers: None, folder: folder.to_owned() }
        }
    };
    plan.parameters.extend(target.parameters.iter().cloned());
    let deployment = deploy(checkout, &aws, &plan)?;
    deployment.write(folder)?;
    steps.told(&format!("{} deployed", deployment.stack_name));
    Ok(deployment)
}

fn run_tests(checkout: &Checkout, folder: &Path, filter: Option<&str>) -> Result<(), Failure> {
    let file = fs::canonicalize(Deployment::file(folder))?;
    let mut command = Command::new("cargo");
    // The whole workspace's features, so that this shares what all other tests compiled.
    command.args(["test", "--workspace", "--test", "stack", "--", "--nocapture"]).args(filter);
    command.current_dir(checkout.root()).env("HOLDFAST_STACK", file).stdin(Stdio::null());
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(StackError::Command { line: "cargo test".to_owned(), said: "; see above".to_owned() }.into())
}

fn down(folder: &Path) -> Result<(), Failure> {
    let Some(deployment) = Deployment::read(folder)? else { return Err(StackError::NotUp.into()) };
    let steps = Steps::new();
    let gone = match &deployment.servers {
        Some(servers) => ended(&servers.id, servers.keeper),
        None => {
            let aws = &deployment.aws;
            aws.text(&["cloudformation", "delete-stack", "--stack-name", &deployment.stack_name])?;
            aws.text(&["cloudformation", "wait", "stack-delete-complete", "--stack-name", &deployment.stack_name])?;
            true
        }
    };
    fs::remove_file(Deployment::file(folder))?;
    steps.told("everything ended");
    if gone { Ok(()) } else { Err(left_over()) }
}

fn left_over() -> Failure {
    let what = "a process of the stack does not end".to_owned();
    StackError::Unexpected { what, expected: "that all of them end when told" }.into()
}

fn kept(arguments: &Keep) -> Result<(), Failure> {
    let wish = Wish {
        folder: arguments.folder.clone(),
        gateway_port: arguments.port,
        region: arguments.region.clone(),
        enforce_iam: arguments.enforce_iam,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let announced = runtime.block_on(keep(&Checkout::find()?, &wish, &arguments.id, |servers| {
        let mut out = std::io::stdout().lock();
        // Whoever asked may be gone by now, which is told otherwise.
        let _ = serde_json::to_writer(&mut out, servers).map(|()| out.write_all(b"\n").and_then(|()| out.flush()));
    }));
    Ok(announced?)
}

fn logs(arguments: &Logs) -> Result<(), Failure> {
    let Some(deployment) = Deployment::read(&arguments.place.folder)? else { return Err(StackError::NotUp.into()) };
    let clock = SystemClock::default();
    let mut from = clock.now().millis().saturating_sub(arguments.since * 60_000);
    let mut seen = BTreeSet::new();
    loop {
        let mut lines = Vec::new();
        for group in groups(&deployment, arguments.function.as_deref())? {
            let function = group.rsplit('/').next().unwrap_or_default().to_owned();
            let name = function.strip_prefix(&format!("{}-", deployment.prefix)).unwrap_or(&function).to_owned();
            for event in events(&deployment.aws, &group, from)? {
                // An emulator may give its events no ids.
                if seen.insert((name.clone(), event.to_string())) {
                    let message = event["message"].as_str().unwrap_or_default().trim_end().to_owned();
                    lines.push((event["timestamp"].as_u64().unwrap_or_default(), name.clone(), message));
                }
            }
        }
        lines.sort_by_key(|(timestamp, ..)| *timestamp);
        if let Some((last, ..)) = lines.last() {
            from = from.max(last.saturating_sub(10_000));
        }
        lines.iter().for_each(|(_, name, message)| say(&format!("{name}  {message}")));
        if !arguments.follow {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// The log groups of the stack's functions.
fn groups(deployment: &Deployment, function: Option<&str>) -> Result<Vec<String>, Failure> {
    let prefix = format!("/aws/lambda/{}-{}", deployment.prefix, function.unwrap_or_default());
    let answer = deployment.aws.json(&["logs", "describe-log-groups", "--log-group-name-prefix", &prefix])?;
    let groups = answer["logGroups"].as_array().cloned().unwrap_or_default();
    let names: Vec<_> = groups.iter().filter_map(|group| group["logGroupName"].as_str().map(str::to_owned)).collect();
    if names.is_empty() {
        return Err(Failure::Usage(format!("there is no function whose name begins with {prefix}")));
    }
    Ok(names)
}

fn events(aws: &AwsCli, group: &str, from: u64) -> Result<Vec<Value>, Failure> {
    let from = from.to_string();
    let answer = aws.json(&["logs", "filter-log-events", "--log-group-name", group, "--start-time", &from])?;
    Ok(answer["events"].as_array().cloned().unwrap_or_default())
}

fn greet(deployment: &Deployment) {
    say(&format!("\nThe API: {}", deployment.api_url));
    say(&format!("  curl -s {}/healthcheck\n", deployment.api_url));
    say("holdfast stack test runs the end-to-end tests against it, logs shows what its functions log, down ends it.");
}

/// Says what is done and how long it took.
struct Steps {
    clock: SystemClock,
    last: std::cell::Cell<Duration>,
}

impl Steps {
    fn new() -> Self {
        let clock = SystemClock::default();
        Self { last: std::cell::Cell::new(clock.monotonic()), clock }
    }

    fn told(&self, what: &str) {
        let now = self.clock.monotonic();
        let took = (now - self.last.replace(now)).as_secs_f64();
        let mark = if std::io::stdout().is_terminal() { "✓ " } else { "" };
        say(&format!("{mark}{what} in {took:.1} s"));
    }
}

#[expect(clippy::print_stdout, reason = "this is the command line")]
fn say(line: &str) {
    println!("{line}");
}
