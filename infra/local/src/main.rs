//! `holdfast`: the local server and the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use holdfast::commands::{Failure, admin, clusters, mail, serve, stack, token};
use runtime::telemetry::{Format, Metrics, Options, init};

/// A serverless backend for token communities. Without a command it serves the whole API on this machine.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the whole API and all workers in one process (the default)
    Serve(serve::Arguments),
    /// Find out who really holds a token, from files or a chain
    Clusters(clusters::Arguments),
    /// Start the first member, and what else nobody can do for themselves
    Admin(admin::Arguments),
    /// See what letters look like
    Mail(mail::Arguments),
    /// Print a bearer token for the local server, and nothing else
    Token(token::Arguments),
    /// The deployed template and functions on this machine, without Docker: up, test, logs, down
    Stack(stack::Arguments),
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(arguments) => serve(arguments),
        Command::Clusters(arguments) => clusters::run(&arguments),
        Command::Admin(arguments) => admin::run(&arguments).map(|said| println!("{said}")),
        Command::Mail(arguments) => mail::run(&arguments).map(|said| println!("{said}")),
        Command::Stack(arguments) => stack::run(&arguments),
        Command::Token(arguments) => token::run(&arguments).map(|token| println!("{token}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("holdfast: {failure}");
            ExitCode::from(match failure {
                Failure::Input(_) => 1,
                Failure::Usage(_) => 2,
            })
        }
    }
}

fn serve(arguments: serve::Arguments) -> Result<(), Failure> {
    let telemetry = init(Options {
        format: Format::Text,
        filter: arguments.log_filter().to_owned(),
        namespace: "Holdfast/local".to_owned(),
        metrics: Metrics::Log,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve::run(arguments, move || telemetry.flush()))
}
