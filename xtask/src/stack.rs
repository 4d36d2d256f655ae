//! What the end-to-end tests deploy: every function as the tests' own build has it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::binaries::bins;
use crate::failure::{Doing, Failure, Result};
use crate::inventory::executable;
use crate::shell;

/// Builds everything deployed with the features and the profile of `cargo test --workspace`, so that nothing is compiled
/// twice, and leaves each function without its symbols at `target/lambda/<function>/bootstrap`. Gives the `holdfast`
/// program built with them.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    // An example asks for the features of tests as well; it is the smallest thing that does.
    let arguments =
        ["build", "--workspace", "--bins", "--example", "inventory", "--message-format", "json-render-diagnostics"];
    let messages = shell::output(&mut shell::command(root, "cargo", &arguments))?;
    let functions = functions(root)?;
    let built: Vec<_> = bins(&messages).into_iter().filter(|(name, _)| functions.contains(name)).collect();
    for (name, path) in &built {
        place(root, name, path)?;
    }
    println!("{} functions in target/lambda", built.len());
    executable(&messages, "holdfast")
        .ok_or_else(|| Failure::Refused("cargo built no `holdfast` program; expected it of infra/local".into()))
}

/// Runs the end-to-end tests on a stack of their own, handing each line they print to `each` as well.
pub(crate) fn test(root: &Path, filter: Option<&str>, mut each: impl FnMut(&str)) -> Result<()> {
    let holdfast = build(root)?.to_string_lossy().into_owned();
    // Roles are enforced: a function that may not do what it does fails here first.
    let mut command = shell::command(root, &holdfast, &["stack", "test", "--no-build", "--enforce-iam"]);
    let passed = shell::stream(command.args(filter), |line| {
        println!("{line}");
        each(line);
    })?;
    if passed { Ok(()) } else { Err(Failure::Refused("the end-to-end tests failed; see above".into())) }
}

/// Names of what is deployed.
fn functions(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("functions/lambdas/src/bin");
    let reading = || format!("reading {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).doing(reading)? {
        let name = entry.doing(reading)?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    Ok(names)
}

fn place(root: &Path, name: &str, built: &Path) -> Result<()> {
    let folder = root.join("target/lambda").join(name);
    let bootstrap = folder.join("bootstrap");
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if modified(&bootstrap).zip(modified(built)).is_some_and(|(placed, built)| placed > built) {
        return Ok(());
    }
    fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
    // In place of the old one at once: it may be in the middle of being packed.
    let partial = root.join("target/lambda").join(format!("{name}.partial"));
    let (from, to) = (built.to_string_lossy().into_owned(), partial.to_string_lossy().into_owned());
    if !shell::answers(root, "strip", &["-o", &to, &from]) {
        fs::copy(built, &partial).doing(|| format!("copying {from} to {to}"))?;
    }
    fs::rename(&partial, &bootstrap).doing(|| format!("placing {}", bootstrap.display()))
}
