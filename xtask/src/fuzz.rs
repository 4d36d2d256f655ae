//! `cargo xtask fuzz`: builds a target of `tests/fuzz` with libFuzzer's instrumentation and runs it. The compiler has
//! the passes in every release, so that neither a nightly toolchain nor `cargo-fuzz` is needed.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::{Doing, Failure, Result};
use crate::shell;

pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";
const TARGETS: &str = "tests/fuzz/src/bin";

/// What libFuzzer learns from: a counter on every edge, the table that says where they are, and both sides of every
/// comparison.
const INSTRUMENTATION: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // The pass cannot follow code that is split over several units.
    "-Ccodegen-units=1",
    // Crates that make an exception for fuzzers, such as a fixed seed, go by this.
    "--cfg fuzzing",
];

#[derive(Args)]
pub(crate) struct Options {
    /// A file of tests/fuzz/src/bin, without `.rs`; none lists them
    target: Option<String>,
    /// How long to run
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Run this one input instead, such as one that made the target fail
    #[arg(long, conflicts_with = "seconds")]
    input: Option<PathBuf>,
}

/// Builds and runs a target. Inputs that reached something new are kept in `target/fuzz/corpus/<target>`, one that made
/// it fail in `target/fuzz/failures/<target>`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let targets = targets(root)?;
    let Some(target) = &options.target else {
        targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    };
    if !targets.contains(target) {
        return Err(Failure::Refused(format!("no fuzz target `{target}`; there are {}", targets.join(", "))));
    }
    let (corpus, failures) = (folder(root, "corpus", target)?, folder(root, "failures", target)?);
    let host = host(&shell::output(&mut shell::command(root, "rustc", &["--version", "--verbose"]))?)?;
    // Naming the machine as a target keeps the flags off build scripts and procedural macros, which have no libFuzzer.
    let mut arguments = ["run", "--release", "--manifest-path", MANIFEST, "--target-dir", "target/fuzz", "--target"]
        .map(str::to_owned)
        .to_vec();
    arguments.extend([host, "--bin".into(), target.clone(), "--".into()]);
    match &options.input {
        Some(input) => arguments.push(input.to_string_lossy().into_owned()),
        None => arguments.extend([
            corpus.to_string_lossy().into_owned(),
            format!("-max_total_time={}", options.seconds),
            format!("-artifact_prefix={}/", failures.display()),
            "-max_len=16384".into(),
            "-print_final_stats=1".into(),
        ]),
    }
    shell::run(shell::command(root, "cargo", &arguments).env("RUSTFLAGS", INSTRUMENTATION.join(" ")))
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading {TARGETS}");
    let mut targets = Vec::new();
    for entry in fs::read_dir(root.join(TARGETS)).doing(reading)? {
        let name = entry.doing(reading)?.file_name().to_string_lossy().into_owned();
        targets.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    targets.sort();
    Ok(targets)
}

fn folder(root: &Path, kind: &str, target: &str) -> Result<PathBuf> {
    let folder = root.join("target/fuzz").join(kind).join(target);
    fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// The line `host: …` of `rustc --version --verbose`.
fn host(version: &str) -> Result<String> {
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(|host| host.trim().to_owned()).ok_or_else(|| Failure::Refused("rustc does not say what it runs on".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_read_from_what_rustc_says() {
        assert_eq!(
            host("rustc 1.0.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1\n").unwrap(),
            "x86_64-unknown-linux-gnu"
        );
        assert!(host("rustc 1.0.0\n").is_err());
    }

    #[test]
    fn an_unknown_target_is_refused_with_those_there_are() {
        let options = Options { target: Some("no-such".into()), seconds: 1, input: None };
        let said = run(&shell::root(), &options).unwrap_err().to_string();
        assert!(said.contains("no-such") && said.contains("bearer-claims, bearer-token, csv"), "{said}");
    }
}
