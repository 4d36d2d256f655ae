//! `cargo xtask test`: every check CI runs, in the order in which they fail fastest.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;

use crate::failure::{Doing, Failure, Result};
use crate::shell::{self, Stopwatch};
use crate::{fuzz, peers, stack, tidy, venv};

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Stage {
    /// cargo fmt --check
    Fmt,
    /// cargo clippy on everything, warnings denied
    Clippy,
    /// cargo xtask tidy
    Tidy,
    /// cargo test --workspace
    Test,
    /// cfn-lint on template.yaml and infra
    Lint,
    /// the end-to-end tests on the deployed template (`holdfast stack test`)
    Stack,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Tidy => "tidy",
            Self::Test => "test",
            Self::Lint => "lint",
            Self::Stack => "stack",
        }
    }
}

/// Runs the stages, all when `only` is empty, and stops at the first that fails: what follows would fail for the same
/// reason and take longer to say so.
pub(crate) fn run(root: &Path, filter: Option<&str>, only: &[Stage]) -> Result<()> {
    let mut timings = Vec::new();
    let mut counts = Counts::default();
    let mut outcome = Ok(());
    for stage in [Stage::Fmt, Stage::Clippy, Stage::Tidy, Stage::Test, Stage::Lint, Stage::Stack] {
        // Tests of one name are asked for to be quick: a stack takes minutes to come up.
        let is_meant = filter.is_none() || stage != Stage::Stack;
        if !(only.contains(&stage) || only.is_empty() && is_meant) {
            continue;
        }
        let watch = Stopwatch::start();
        outcome = match stage {
            Stage::Fmt => shell::run(&mut shell::command(root, "cargo", &["fmt", "--all", "--check"])),
            Stage::Clippy => clippy(root),
            Stage::Tidy => tidy::check(root, false),
            Stage::Test => {
                venv::prepare(root).and_then(|()| peers::prepare(root)).and_then(|()| test(root, filter, &mut counts))
            }
            Stage::Lint => venv::prepare(root).and_then(|()| lint(root)),
            Stage::Stack => venv::prepare(root).and_then(|()| stack::test(root, filter, |line| counts.add(line))),
        };
        timings.push((stage, watch.elapsed(), outcome.is_ok()));
        if outcome.is_err() {
            break;
        }
    }
    println!();
    timings.iter().for_each(|(stage, took, passed)| println!("{}", summary(*stage, *took, *passed)));
    if counts != Counts::default() {
        println!("{counts}");
    }
    outcome
}

fn summary(stage: Stage, took: Duration, passed: bool) -> String {
    format!("{:<7} {:>6.1} s  {}", stage.name(), took.as_secs_f64(), if passed { "ok" } else { "FAILED" })
}

fn clippy(root: &Path) -> Result<()> {
    let clippy = |of: &[&str]| {
        let arguments = [&["clippy", "--workspace", "--all-targets"], of, &["--", "--deny", "warnings"]].concat();
        let mut command = shell::command(root, "cargo", &arguments);
        // Nothing is linked here, so that libFuzzer itself, which is C++, need not be built.
        shell::run(command.env("CUSTOM_LIBFUZZER_PATH", "/unused/libfuzzer.a"))
    };
    clippy(&[]).and_then(|()| clippy(&["--manifest-path", fuzz::MANIFEST, "--target-dir", "target"]))
}

/// The template and the stacks nested in it, as CloudFormation's own schemas want them.
fn lint(root: &Path) -> Result<()> {
    let mut templates = vec!["template.yaml".to_owned()];
    let reading = || "reading infra".to_owned();
    for entry in fs::read_dir(root.join("infra")).doing(reading)? {
        let name = entry.doing(reading)?.file_name().to_string_lossy().into_owned();
        templates.extend(name.ends_with(".yaml").then(|| format!("infra/{name}")));
    }
    templates.sort();
    let program = root.join("target/venv/bin/cfn-lint").to_string_lossy().into_owned();
    shell::run(&mut shell::command(root, &program, &templates))?;
    println!("cfn-lint: {} templates, nothing found", templates.len());
    Ok(())
}

/// The tests, all of them even after one fails. They are counted also when they fail.
fn test(root: &Path, filter: Option<&str>, counts: &mut Counts) -> Result<()> {
    let mut command = shell::command(root, "cargo", &["test", "--workspace", "--no-fail-fast"]);
    command.args(filter);
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let passed = shell::stream(&mut command, |line| {
        println!("{line}");
        counts.add(line);
    })?;
    match (passed, counts.passed + counts.failed) {
        (false, _) => Err(Failure::Refused("`cargo test` failed; see above".into())),
        (true, 0) => Err(Failure::Refused(match filter {
            Some(filter) => format!("no test has `{filter}` in its name"),
            None => "there were no tests to run".into(),
        })),
        (true, _) => Ok(()),
    }
}

/// Tests over all of cargo's test programs.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`; others change nothing.
    fn add(&mut self, line: &str) {
        let line = without_colour(line);
        let Some(result) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else { return };
        for part in result.1.split(';') {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

/// The line without ANSI colour sequences.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, sequence)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        let end = sequence.find(|letter: char| letter.is_ascii_alphabetic()).map_or(sequence.len(), |at| at + 1);
        rest = &sequence[end..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_added_up() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test tests::a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: \u{1b}[31mFAILED\u{1b}(B\u{1b}[m. 2 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out",
            "a test that prints test result: ok. 100 passed",
        ] {
            counts.add(line);
        }
        assert_eq!(counts, Counts { passed: 5, failed: 4, ignored: 1 });
        assert_eq!(counts.to_string(), "5 passed, 4 failed, 1 ignored");
    }

    #[test]
    fn a_stage_is_summed_up_on_a_line() {
        assert_eq!(summary(Stage::Fmt, Duration::from_millis(1250), true), "fmt        1.2 s  ok");
        assert_eq!(summary(Stage::Clippy, Duration::from_secs(61), false), "clippy    61.0 s  FAILED");
    }
}
