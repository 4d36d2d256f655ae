//! Starting programs in the checkout, and the time they take.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Doing, Failure, Result};

/// The checkout this program was built from.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// A command run in `folder`, with its output left on this terminal.
pub(crate) fn command<S: AsRef<OsStr>>(folder: &Path, program: &str, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// Runs to the end; anything but success is a failure that names the command line.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().doing(|| format!("starting `{}`", line(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Command { line: line(command), status: status.to_string() })
}

/// Runs to the end and gives what it wrote on its standard output; its errors stay on this terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().doing(|| format!("starting `{}`", line(command)))?;
    if !output.status.success() {
        return Err(Failure::Command { line: line(command), status: output.status.to_string() });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end, handing each line of the standard output to `each` as it comes. Says whether it succeeded.
pub(crate) fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn().doing(|| format!("starting `{}`", line(command)))?;
    let stdout = child.stdout.take().expect("the standard output was asked for as a pipe");
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    // Bytes, not lines(): a test may print what is not UTF-8.
    while reader.read_until(b'\n', &mut bytes).doing(|| format!("reading from `{}`", line(command)))? > 0 {
        each(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
    let status = child.wait().doing(|| format!("waiting for `{}`", line(command)))?;
    Ok(status.success())
}

/// Is there such a program, and does it answer these arguments with success? Nothing is printed.
pub(crate) fn answers(folder: &Path, program: &str, arguments: &[&str]) -> bool {
    command(folder, program, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Measures how long people wait for a stage; nothing is decided by it.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a build tool measures the machine it runs on; there is no app here")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
