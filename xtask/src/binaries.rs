//! Building what is deployed.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::failure::{Doing, Failure, Result};
use crate::{shell, stack};

/// How functions are built.
#[derive(Args)]
pub(crate) struct Options {
    /// Cargo profile; `ship` is smallest and takes longest
    #[arg(long, default_value = "release")]
    profile: String,
    /// For Lambda's arm64 processors; on another machine this needs cargo-lambda, which cross-compiles
    #[arg(long)]
    arm64: bool,
    /// Use plain cargo even where cargo-lambda is installed
    #[arg(long)]
    plain: bool,
    /// Unoptimised, sharing what the tests compiled, for `holdfast stack`
    #[arg(long, conflicts_with_all = ["profile", "arm64", "plain"])]
    for_tests: bool,
}

/// A file for each function.
const BINS: &str = "functions/lambdas/src/bin";

/// With what functions are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    CargoLambda,
    Cargo,
}

/// A built function.
pub(crate) struct Binary {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
}

/// Builds every function in one call and leaves each at `target/lambda/<function>/bootstrap`, where the template and
/// `cargo lambda` look for it; says what was built, how, and how large it is.
pub(crate) fn build(root: &Path, options: &Options) -> Result<()> {
    if options.for_tests {
        return stack::build(root).map(drop);
    }
    let target = target_folder(root)?;
    let has_cargo_lambda = !options.plain && shell::answers(root, "cargo", &["lambda", "--version"]);
    let tool = tool(options, has_cargo_lambda, std::env::consts::ARCH)?;
    let binaries = match tool {
        Tool::CargoLambda => {
            shell::run(&mut shell::command(root, "cargo", &cargo_lambda(options)))?;
            built_by_cargo_lambda(root, &target)?
        }
        Tool::Cargo => with_cargo(root, &target, &options.profile)?,
    };
    let processors = binaries.iter().map(|binary| processor(&binary.path)).collect::<Result<Vec<_>>>()?;
    print!("{}", table(&binaries, &processors));
    let by = if tool == Tool::CargoLambda { "cargo lambda" } else { "cargo" };
    let folder = target.join("lambda");
    println!("{} functions built by {by}, profile {}, in {}", binaries.len(), options.profile, folder.display());
    match processors.iter().find(|processor| options.arm64 && **processor != "arm64") {
        Some(other) => Err(Failure::Refused(format!("--arm64: expected arm64 in {}, not {other}", folder.display()))),
        None => Ok(()),
    }
}

fn tool(options: &Options, has_cargo_lambda: bool, machine: &str) -> Result<Tool> {
    match (has_cargo_lambda, options.arm64 && machine != "aarch64") {
        (true, _) => Ok(Tool::CargoLambda),
        (false, false) => Ok(Tool::Cargo),
        (false, true) if options.plain => {
            Err(Failure::Refused("--arm64 with --plain: plain cargo builds for this machine only".into()))
        }
        (false, true) => Err(Failure::Refused(
            "--arm64 needs cargo-lambda on this machine, and `cargo lambda --version` does not answer: install it with \
             `pip install cargo-lambda` or `cargo install cargo-lambda`, or build on an arm64 machine"
                .into(),
        )),
    }
}

fn cargo_lambda(options: &Options) -> Vec<&str> {
    let mut arguments = vec!["lambda", "build", "--profile", &options.profile, "--package", "lambdas"];
    if options.arm64 {
        arguments.push("--arm64");
    }
    arguments
}

/// The processor an executable is for, by the machine in its ELF header and in the words of the template.
fn processor(path: &Path) -> Result<&'static str> {
    let mut header = [0; 20];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.doing(|| format!("reading {}", path.display()))?;
    Ok(match (&header[..4], header[18], header[19]) {
        (b"\x7fELF", 0xb7, 0) => "arm64",
        (b"\x7fELF", 0x3e, 0) => "x86_64",
        _ => "other",
    })
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
pub(crate) fn bins(messages: &str) -> Vec<(String, PathBuf)> {
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

fn built_by_cargo_lambda(root: &Path, target: &Path) -> Result<Vec<Binary>> {
    let folder = target.join("lambda");
    let reading = || format!("reading {}", folder.display());
    let mut built = Vec::new();
    for entry in fs::read_dir(&folder).doing(reading)? {
        let entry = entry.doing(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path().join("bootstrap");
        // An earlier build may have left a function that is gone.
        if let Ok(metadata) = fs::metadata(&path)
            && root.join(BINS).join(format!("{name}.rs")).is_file()
        {
            built.push(Binary { name, path, bytes: metadata.len() });
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

fn table(binaries: &[Binary], processors: &[&str]) -> String {
    let width = binaries.iter().map(|binary| binary.name.len()).max().unwrap_or_default();
    let line = |(binary, processor): (&Binary, &&str)| {
        format!("{:<width$}  {processor:<6}  {:>5} KiB\n", binary.name, binary.bytes.div_ceil(1024))
    };
    binaries.iter().zip(processors).map(line).collect()
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
        let text = table(&[binary("a", 1), binary("tokens-get-chains", 4 * 1024 * 1024)], &["arm64", "x86_64"]);
        assert_eq!(text, "a                  arm64       1 KiB\ntokens-get-chains  x86_64   4096 KiB\n");
    }

    #[test]
    fn what_cannot_be_cross_compiled_is_refused() {
        let options = |arm64, plain| Options { profile: "ship".into(), arm64, plain, for_tests: false };
        let chosen = |arm64, plain, has, machine| tool(&options(arm64, plain), has, machine).map_err(|e| e.to_string());
        assert_eq!(chosen(true, false, true, "x86_64"), Ok(Tool::CargoLambda));
        assert_eq!(chosen(false, false, false, "x86_64"), Ok(Tool::Cargo));
        assert_eq!(chosen(true, true, false, "aarch64"), Ok(Tool::Cargo));
        assert!(chosen(true, false, false, "x86_64").unwrap_err().contains("needs cargo-lambda"));
        assert!(chosen(true, true, false, "x86_64").unwrap_err().contains("--plain"));
        let arguments = ["lambda", "build", "--profile", "ship", "--package", "lambdas", "--arm64"];
        assert_eq!(cargo_lambda(&options(true, false)), arguments);
        assert_eq!(cargo_lambda(&options(false, false)), arguments[..6]);
    }

    #[test]
    fn what_an_earlier_build_left_is_not_counted() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(BINS)).unwrap();
        fs::write(root.path().join(BINS).join("tokens-get-chains.rs"), "").unwrap();
        let target = root.path().join("target");
        for name in ["tokens-get-gone", "tokens-get-chains"] {
            fs::create_dir_all(target.join("lambda").join(name)).unwrap();
            fs::write(target.join("lambda").join(name).join("bootstrap"), name).unwrap();
        }
        let built = built_by_cargo_lambda(root.path(), &target).unwrap();
        assert_eq!(built.iter().map(|one| (&*one.name, one.bytes)).collect::<Vec<_>>(), [("tokens-get-chains", 17)]);
    }

    #[test]
    fn an_executable_says_its_processor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bootstrap");
        for (machine, expected) in [(0xb7, "arm64"), (0x3e, "x86_64"), (0xf3, "other")] {
            let mut bytes = b"\x7fELF".to_vec();
            bytes.resize(64, 0);
            bytes[18] = machine;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(processor(&path).unwrap(), expected);
        }
        fs::write(&path, "#!/bin/sh\n echo a script of some length\n").unwrap();
        assert_eq!(processor(&path).unwrap(), "other");
        fs::write(&path, "short").unwrap();
        assert!(processor(&path).is_err());
    }
}
