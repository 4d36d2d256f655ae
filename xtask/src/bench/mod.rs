//! Benchmarks: the crates' own (criterion), what a function's start costs beside the least there is, reports beside
//! other libraries, and how smoothly maps move.

pub(crate) mod clusters;
pub(crate) mod map;
mod report;
mod runtime_api;
mod start;

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Failure, Result};
use crate::tree::Tree;
use crate::{binaries, inventory, shell};
use report::Row;
use start::{Function, Sample};

const REPORT: &str = "docs/benchmarks/init.md";

/// The name under which the yardstick stands in the report.
const BARE: &str = "bare";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Starts of each function
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Measure only functions whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Cargo profile to build with
    #[arg(long, default_value = "release")]
    profile: String,
    /// Store the table as docs/benchmarks/init.md
    #[arg(long)]
    write: bool,
}

/// `cargo bench` of every crate, then the starts.
pub(crate) fn all(root: &Path) -> Result<()> {
    shell::run(&mut shell::command(root, "cargo", &["bench"]))?;
    init(root, &Options { runs: 20, only: None, profile: "release".into(), write: false })
}

/// Starts every function `runs` times, in turn with the bare one so that whatever else the machine does meets all of
/// them alike, and prints medians and their ratio to the bare one's.
pub(crate) fn init(root: &Path, options: &Options) -> Result<()> {
    let functions = functions(root, options)?;
    let mut samples: Vec<Vec<Sample>> = functions.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.runs {
        eprint!("\rround {round} of {} ", options.runs);
        for (function, samples) in functions.iter().zip(&mut samples) {
            samples.push(start::measure(function)?);
        }
    }
    eprintln!();
    let rows: Vec<_> = functions.iter().zip(&samples).map(|(function, samples)| Row::of(function, samples)).collect();
    let text = report::markdown(&rows, options.runs, &options.profile);
    print!("{text}");
    if options.write {
        fs::write(root.join(REPORT), &text).doing(|| format!("writing {REPORT}"))?;
        println!("\nwrote {REPORT}");
    }
    Ok(())
}

/// The bare function first, then every deployed one with its first event.
fn functions(root: &Path, options: &Options) -> Result<Vec<Function>> {
    let bare = Function { name: BARE.into(), program: build_bare(root, &options.profile)?, event: "{}".into() };
    let tree = Tree::read(root)?;
    let mut functions = vec![bare];
    for binary in binaries::compile(root, &options.profile)? {
        if options.only.as_ref().is_some_and(|only| !binary.name.contains(only)) {
            continue;
        }
        let folder = format!("events/{}", binary.name);
        let event = tree.below(&folder).find(|(path, _)| path.ends_with(".json"));
        let (_, event) =
            event.ok_or_else(|| Failure::Refused(format!("{folder}: expected an event to invoke it with")))?;
        functions.push(Function { name: binary.name, program: binary.path, event: event.to_owned() });
    }
    if functions.len() == 1 {
        return Err(Failure::Refused("there is no function of that name".into()));
    }
    Ok(functions)
}

fn build_bare(root: &Path, profile: &str) -> Result<PathBuf> {
    let arguments = [
        "build",
        "--profile",
        profile,
        "--package",
        "runtime",
        "--example",
        BARE,
        "--message-format",
        "json-render-diagnostics",
    ];
    let messages = shell::output(&mut shell::command(root, "cargo", &arguments))?;
    inventory::executable(&messages, BARE)
        .ok_or_else(|| Failure::Refused("cargo built no `bare` example; expected it in shared/runtime/examples".into()))
}
