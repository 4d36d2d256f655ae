use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::StackError;

/// The source tree a stack is deployed from.
#[derive(Clone, Debug)]
pub struct Checkout(PathBuf);

impl Checkout {
    /// The nearest folder from here upwards with a template.
    pub fn find() -> Result<Self, StackError> {
        let here = std::env::current_dir().map_err(StackError::io("finding the current folder"))?;
        let found = here.ancestors().find(|folder| folder.join("template.yaml").is_file());
        found.map(|folder| Self(folder.to_owned())).ok_or(StackError::NoCheckout)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    /// A program that `cargo xtask venv` installed.
    pub fn installed(&self, program: &str) -> PathBuf {
        self.0.join("target/venv/bin").join(program)
    }

    /// `anvil`, a node of a chain of its own, where npm could install it.
    pub fn anvil(&self) -> Option<PathBuf> {
        Some(self.0.join("target/node/node_modules/.bin/anvil")).filter(|path| path.exists())
    }

    /// What a stack needs, installed below `target`, and every function, built as the tests build it.
    pub fn prepare(&self) -> Result<(), StackError> {
        self.cargo(&["xtask", "venv"])?;
        self.cargo(&["xtask", "build", "--for-tests"])
    }

    /// Installs a chain and a compiler for it from npm. False where npm is missing: then there is no chain to test with.
    pub fn prepare_chain(&self) -> Result<bool, StackError> {
        let wanted = self.0.join("tests/stack/package.json");
        let folder = self.0.join("target/node");
        let (installed, read) = (folder.join("package.json"), |path: &Path| fs::read(path).ok());
        if self.anvil().is_some() && read(&installed) == read(&wanted) {
            return Ok(true);
        }
        let mut npm = Command::new("npm");
        let version = npm.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            return Ok(false);
        }
        fs::create_dir_all(&folder).map_err(StackError::io(format!("making {}", folder.display())))?;
        let copied = fs::copy(&wanted, &installed);
        copied.map_err(StackError::io(format!("copying {}", wanted.display())))?;
        // Versions stand in package.json; a lock file would name the registry of one machine.
        let arguments = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
        run(Command::new("npm").args(arguments).current_dir(&folder).stdin(Stdio::null()))?;
        Ok(self.anvil().is_some())
    }

    /// Runs cargo here with its output on this terminal.
    pub fn cargo(&self, arguments: &[&str]) -> Result<(), StackError> {
        run(Command::new("cargo").args(arguments).current_dir(&self.0).stdin(Stdio::null()))
    }
}

/// Runs to the end with the output on this terminal.
pub(super) fn run(command: &mut Command) -> Result<(), StackError> {
    let line = line(command);
    let status = command.status().map_err(StackError::io(format!("starting `{line}`")))?;
    if status.success() { Ok(()) } else { Err(StackError::Command { line, said: String::new() }) }
}

/// Runs to the end and gives what was written.
pub(super) fn output(command: &mut Command) -> Result<String, StackError> {
    let line = line(command);
    let output = command.stdin(Stdio::null()).output().map_err(StackError::io(format!("starting `{line}`")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(StackError::Command { line, said: if said.is_empty() { said } else { format!(":\n{said}") } })
}

/// Program and first words: what follows may hold secrets.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words = command.get_args().take(2).map(|word| word.to_string_lossy().into_owned());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}
