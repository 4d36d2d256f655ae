//! One start of one function: from `exec` to its first question for work, then through its first invocation.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::runtime_api::{Happening, RuntimeApi};
use crate::failure::{Doing, Failure, Result};
use crate::shell::Stopwatch;

/// Longest wait for anything a function does.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Function {
    pub name: String,
    pub program: PathBuf,
    /// What its first invocation is given.
    pub event: String,
}

#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub init: Cost,
    pub invocation: Cost,
    /// What an endpoint answered.
    pub status: Option<u16>,
}

#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub wall: Duration,
    /// User and system time of all threads.
    pub cpu: Duration,
}

/// A running function; ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which was noticed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn measure(function: &Function) -> Result<Sample> {
    let api = RuntimeApi::listen()?;
    let mut command = command(function, &api.address());
    let watch = Stopwatch::start();
    let mut running = Running(command.spawn().doing(|| format!("starting {}", function.program.display()))?);

    await_next(&api, function, &mut running)?;
    let init = Cost { wall: watch.elapsed(), cpu: settled_cpu(running.0.id())? };

    let watch = Stopwatch::start();
    api.invoke(&function.event);
    let status = match api.happening(PATIENCE) {
        Some(Happening::Answered(body)) => status_of(&body),
        other => return Err(failed(function, &mut running, other)),
    };
    let wall = watch.elapsed();
    await_next(&api, function, &mut running)?;
    let cpu = settled_cpu(running.0.id())?.saturating_sub(init.cpu);
    Ok(Sample { init, invocation: Cost { wall, cpu }, status })
}

/// The environment that Lambda gives, plus what the template gives; an AWS that answers at once and has nothing in it.
fn command(function: &Function, address: &str) -> Command {
    let mut command = Command::new(&function.program);
    command
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", address),
            ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
            ("_HANDLER", "bootstrap"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("TZ", ":UTC"),
            ("AWS_REGION", "eu-west-2"),
            ("AWS_DEFAULT_REGION", "eu-west-2"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_SESSION_TOKEN", "bench"),
            ("STAGE", "bench"),
            ("CURSOR_SECRET", "a secret of the benchmark"),
            ("BLOB_BUCKET", "bench"),
            ("JWT_ISSUER", "eu-west-2_BENCHMARK"),
            ("JWT_CLIENT_IDS", "bench"),
        ])
        .env("CHAINS", format!("ethereum=http://{address}"))
        .env("QUEUE_URL_PREFIX", format!("http://{address}/123456789012/bench-"))
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn await_next(api: &RuntimeApi, function: &Function, running: &mut Running) -> Result<()> {
    match api.happening(PATIENCE) {
        Some(Happening::AskedForNext) => Ok(()),
        other => Err(failed(function, running, other)),
    }
}

fn failed(function: &Function, running: &mut Running, happening: Option<Happening>) -> Failure {
    let what = match (happening, running.0.try_wait()) {
        (Some(Happening::Failed(body)), _) => format!("reported an error: {body}"),
        (_, Ok(Some(status))) => format!("ended with {status}"),
        (None, _) => format!("did nothing for {} s", PATIENCE.as_secs()),
        (Some(_), _) => "asked for work out of turn".to_owned(),
    };
    Failure::Refused(format!("{} {what}", function.name))
}

/// The `statusCode` of an HTTP API answer; a worker's has none.
fn status_of(body: &str) -> Option<u16> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    body["statusCode"].as_u64()?.try_into().ok()
}

/// CPU time of a process once all its threads sleep: asking for work is not over when the question has arrived. Read
/// from the scheduler in nanoseconds, since `utime` has ticks of 10 ms.
fn settled_cpu(process: u32) -> Result<Duration> {
    let mut last = cpu(process)?;
    loop {
        thread::sleep(Duration::from_millis(2));
        let now = cpu(process)?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}

fn cpu(process: u32) -> Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let mut nanoseconds = 0;
    for thread in fs::read_dir(&folder).doing(|| format!("reading {folder} (Linux only)"))? {
        let path = thread.doing(|| format!("reading {folder}"))?.path().join("schedstat");
        // A thread may end between being listed and being read.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        nanoseconds += text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoints_status_is_read_and_a_workers_answer_has_none() {
        assert_eq!(status_of(r#"{"statusCode":403,"headers":{}}"#), Some(403));
        assert_eq!(status_of(r#"{"batchItemFailures":[]}"#), None);
        assert_eq!(status_of("null"), None);
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_that_says_so() {
        let function = Function { name: "gone".into(), program: "/bin/true".into(), event: "{}".into() };
        let api = RuntimeApi::listen().unwrap();
        let mut running = Running(command(&function, &api.address()).spawn().unwrap());
        running.0.wait().unwrap();
        assert_eq!(failed(&function, &mut running, None).to_string(), "gone ended with exit status: 0");
    }
}
