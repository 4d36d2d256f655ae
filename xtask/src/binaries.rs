//! Building what is deployed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Doing, Result};
use crate::shell;

/// A built function.
pub(crate) struct Binary {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
}

/// Builds every function in one call and leaves each at `target/lambda/<function>/bootstrap`, where the template and
/// `cargo lambda` look for it; prints their sizes.
pub(crate) fn build(root: &Path, profile: &str, plain: bool) -> Result<()> {
    let target = target_folder(root)?;
    let has_cargo_lambda = !plain && shell::answers(root, "cargo", &["lambda", "--version"]);
    if has_cargo_lambda {
        let arguments = ["lambda", "build", "--profile", profile, "--package", "lambdas"];
        shell::run(&mut shell::command(root, "cargo", &arguments))?;
    }
    let binaries = if has_cargo_lambda { built_by_cargo_lambda(&target)? } else { with_cargo(root, &target, profile)? };
    print!("{}", table(&binaries));
    println!("{} functions in {}", binaries.len(), target.join("lambda").display());
    Ok(())
}

fn with_cargo(root: &Path, target: &Path, profile: &str) -> Result<Vec<Binary>> {
    let built = compile(root, profile)?;
    let mut placed = Vec::new();
    for binary in built {
        let folder = target.join("lambda").join(&binary.name);
        let path = folder.join("bootstrap");
        fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
        fs::copy(&binary.path, &path).doing(|| format!("copying {} to {}", binary.path.display(), path.display()))?;
        placed.push(Binary { path, ..binary });
    }
    Ok(placed)
}

/// Compiles every function with plain cargo, with the features of `lambdas` alone as they are deployed.
pub(crate) fn compile(root: &Path, profile: &str) -> Result<Vec<Binary>> {
    let arguments = [
        "build",
        "--profile",
        profile,
        "--package",
        "lambdas",
        "--bins",
        "--message-format",
        "json-render-diagnostics",
    ];
    let messages = shell::output(&mut shell::command(root, "cargo", &arguments))?;
    let mut built = Vec::new();
    for (name, path) in bins(&messages) {
        let bytes = fs::metadata(&path).doing(|| format!("looking at {}", path.display()))?.len();
        built.push(Binary { name, path, bytes });
    }
    built.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(built)
}

/// Names and executables of the bins in cargo's JSON messages.
fn bins(messages: &str) -> Vec<(String, PathBuf)> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artifacts =
        messages.filter(|message| message["reason"] == "compiler-artifact" && message["target"]["kind"][0] == "bin");
    artifacts
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect()
}

fn built_by_cargo_lambda(target: &Path) -> Result<Vec<Binary>> {
    let folder = target.join("lambda");
    let reading = || format!("reading {}", folder.display());
    let mut built = Vec::new();
    for entry in fs::read_dir(&folder).doing(reading)? {
        let entry = entry.doing(reading)?;
        let path = entry.path().join("bootstrap");
        if let Ok(metadata) = fs::metadata(&path) {
            built.push(Binary { name: entry.file_name().to_string_lossy().into_owned(), path, bytes: metadata.len() });
        }
    }
    built.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(built)
}

fn target_folder(root: &Path) -> Result<PathBuf> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps"];
    let text = shell::output(&mut shell::command(root, "cargo", &arguments))?;
    let metadata: Value = serde_json::from_str(&text).doing(|| "reading `cargo metadata`".into())?;
    Ok(metadata["target_directory"].as_str().map_or_else(|| root.join("target"), PathBuf::from))
}

fn table(binaries: &[Binary]) -> String {
    let width = binaries.iter().map(|binary| binary.name.len()).max().unwrap_or_default();
    let lines =
        binaries.iter().map(|binary| format!("{:<width$}  {:>5} KiB\n", binary.name, binary.bytes.div_ceil(1024)));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_taken_from_cargos_messages_and_libraries_are_not() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"lambdas\",\"kind\":[\"lib\"]},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"tokens-get-chains\",\"kind\":[\"bin\"]},\"executable\":\"/t/a\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(bins(messages), [("tokens-get-chains".to_owned(), PathBuf::from("/t/a"))]);
    }

    #[test]
    fn sizes_line_up() {
        let binary = |name: &str, bytes| Binary { name: name.into(), path: PathBuf::new(), bytes };
        let text = table(&[binary("a", 1), binary("tokens-get-chains", 4 * 1024 * 1024)]);
        assert_eq!(text, "a                      1 KiB\ntokens-get-chains   4096 KiB\n");
    }
}
