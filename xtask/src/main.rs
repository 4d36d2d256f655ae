#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its terminal")]
//! The project's own commands: `cargo xtask help`.

mod accuracy;
mod bench;
mod binaries;
mod checks;
mod failure;
mod fuzz;
mod inventory;
mod new_endpoint;
mod peers;
mod shell;
mod stack;
mod template;
mod tidy;
mod tree;
mod venv;
mod yaml;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::checks::Stage;
use crate::failure::Result;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Builds, checks, measures and extends Holdfast")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check CI runs: format, clippy, tidy, then all tests
    Test {
        /// Run only tests whose name contains this
        filter: Option<String>,
        /// Run only these stages (may be given more than once)
        #[arg(long, value_enum)]
        only: Vec<Stage>,
    },
    /// Check what prose cannot enforce: imports, names, functions in step with bins, events and documents
    Tidy {
        /// Mend what has one right answer: formatting, white space, docs/openapi.json
        #[arg(long)]
        fix: bool,
    },
    /// Make target/venv, what integration tests start (valkey-server, an SQS and S3 emulator, a browser's driver), and, where
    /// npm is, target/peers, implementations that ours are compared with
    Venv,
    /// Build every function for deployment into target/lambda/<function>/bootstrap and list the sizes
    Build(binaries::Options),
    /// Run the crates' benchmarks, then `bench init`
    Bench {
        #[command(subcommand)]
        which: Option<Bench>,
    },
    /// Write a new endpoint with its tests, bin, event and part of the template, and list it in its domain
    NewEndpoint(new_endpoint::Request),
    /// Feed a target of tests/fuzz with inputs that reach ever more of the code
    Fuzz(fuzz::Options),
    /// Measure the clusters of planted tokens against the truth and against other methods
    Accuracy(accuracy::Options),
    /// Write docs/openapi.json from the code
    Openapi,
}

#[derive(Subcommand)]
enum Bench {
    /// Measure each function from its start to its first answer, beside a bare lambda_runtime function
    Init(bench::Options),
    /// Measure reports from a large CSV file beside other libraries, and that all agree
    Clusters(bench::clusters::Options),
    /// Measure maps of 10 to 10,000 holders: their layout, and the frames a second while they are moved
    Map(bench::map::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let root = shell::root();
    match task {
        Task::Test { filter, only } => checks::run(&root, filter.as_deref(), &only),
        Task::Tidy { fix } => tidy::check(&root, fix),
        Task::Venv => venv::prepare(&root).and_then(|()| peers::prepare(&root)),
        Task::Build(options) => binaries::build(&root, &options),
        Task::Bench { which: None } => bench::all(&root),
        Task::Bench { which: Some(Bench::Init(options)) } => bench::init(&root, &options),
        Task::Accuracy(options) => accuracy::run(&root, &options),
        Task::Bench { which: Some(Bench::Clusters(options)) } => bench::clusters::run(&root, &options),
        Task::Bench { which: Some(Bench::Map(options)) } => bench::map::run(&root, &options),
        Task::Fuzz(options) => fuzz::run(&root, &options),
        Task::NewEndpoint(request) => new_endpoint::write(&root, &request),
        Task::Openapi => inventory::write_document(&root, &inventory::ask(&root)?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
