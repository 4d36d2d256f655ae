//! `aws-jwt-verify` as a program that is asked over pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Where `cargo xtask venv` installs it.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/node_modules");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/bearer-tokens.js");

/// A running peer; it ends with this.
pub(super) struct Peer {
    program: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Why there is nothing to compare with here, if so.
pub(super) fn missing() -> Option<String> {
    let package: PathBuf = Path::new(MODULES).join("aws-jwt-verify");
    if !package.exists() {
        return Some("aws-jwt-verify is not installed (`cargo xtask venv` does, where npm is)".into());
    }
    let node = Command::new("node").arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    (!node.is_ok_and(|status| status.success())).then(|| "there is no node here".into())
}

impl Peer {
    pub(super) fn start(configuration: &Value) -> Self {
        let mut program = Command::new("node")
            .arg(PROGRAM)
            .env("NODE_PATH", MODULES)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut questions = program.stdin.take().unwrap();
        let answers = BufReader::new(program.stdout.take().unwrap());
        writeln!(questions, "{configuration}").unwrap();
        Self { program, questions: Some(questions), answers }
    }

    /// Its verdicts in the tokens' order: `Ok` for accepted, or the name of its error.
    pub(super) fn ask<'t>(&mut self, tokens: impl Iterator<Item = &'t str>) -> Vec<Result<(), String>> {
        let lines: Vec<_> = tokens.map(|token| format!("{}\n", Value::from(token))).collect();
        let questions = self.questions.as_mut().unwrap();
        // Written beside the reading: neither pipe holds a whole batch.
        std::thread::scope(|scope| {
            scope.spawn(|| questions.write_all(lines.concat().as_bytes()).unwrap());
            lines.iter().map(|_| read(&mut self.answers)).collect()
        })
    }
}

fn read(answers: &mut impl BufRead) -> Result<(), String> {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    match line.trim_end().split_once(' ') {
        None if line == "accepted\n" => Ok(()),
        Some(("refused", error)) => Err(error.to_owned()),
        _ => panic!("the peer answered {line:?}"),
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        self.questions = None;
        let _status = self.program.wait();
    }
}
