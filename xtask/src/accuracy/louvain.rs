//! Louvain communities by igraph, in a virtual environment of its own.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use clusters::{Address, Parameters};

use super::{Case, Measured, holders};
use crate::failure::{Doing, Failure, Result};
use crate::shell;

const REQUIREMENTS: &str = "tests/peers/requirements-accuracy.txt";
const PROGRAM: &str = "tests/peers/louvain.py";
const STAMP: &str = "made-from.txt";

/// Makes `target/accuracy-venv` unless it is there and of these requirements.
pub(super) fn prepare(root: &Path) -> Result<()> {
    let wanted = fs::read_to_string(root.join(REQUIREMENTS)).doing(|| format!("reading {REQUIREMENTS}"))?;
    let folder = folder(root);
    let stamp = folder.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) && python(root).exists() {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).doing(|| format!("removing {}", folder.display()))?;
    }
    let path = folder.to_string_lossy();
    shell::run(&mut shell::command(root, "python3", &["-m", "venv", &path]))?;
    let install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r", REQUIREMENTS];
    shell::run(&mut shell::command(root, &python(root).to_string_lossy(), &install))?;
    fs::write(&stamp, &wanted).doing(|| format!("writing {}", stamp.display()))
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/accuracy-venv")
}

fn python(root: &Path) -> PathBuf {
    folder(root).join("bin/python")
}

/// Communities of the graphs of joining links under `parameters`, weighted by transfers.
pub(super) fn measure(root: &Path, cases: &[Case], parameters: &Parameters) -> Result<Vec<Measured>> {
    let folder = root.join("target/accuracy");
    fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
    let (graphs, answers) = (folder.join("graphs.jsonl"), folder.join("answers.jsonl"));
    let (holders, lines): (Vec<_>, Vec<_>) = cases.iter().map(|case| graph(case, parameters)).unzip();
    fs::write(&graphs, lines.concat()).doing(|| format!("writing {}", graphs.display()))?;
    let arguments = [root.join(PROGRAM), graphs, answers.clone()];
    shell::run(&mut shell::command(root, &python(root).to_string_lossy(), &arguments))?;
    let text = fs::read_to_string(&answers).doing(|| format!("reading {}", answers.display()))?;
    let found: Vec<Vec<usize>> = text
        .lines()
        .map(|line| serde_json::from_str(line).doing(|| format!("reading {}", answers.display())))
        .collect::<Result<_>>()?;
    if found.iter().map(Vec::len).ne(holders.iter().map(Vec::len)) {
        return Err(Failure::Refused(format!("{PROGRAM} did not answer for each node of each graph")));
    }
    let judged = cases.iter().zip(&holders).zip(&found).map(|((case, holders), found)| case.judge(holders, found));
    Ok(judged.collect())
}

fn graph(case: &Case, parameters: &Parameters) -> (Vec<Address>, String) {
    let report = case.report(parameters);
    let holders = holders(&report);
    let rank: HashMap<Address, usize> = holders.iter().copied().zip(0..).collect();
    let mut weights: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for link in report.links.iter().filter(|link| link.joins) {
        let (from, to) = (rank[&link.from], rank[&link.to]);
        *weights.entry((from.min(to), from.max(to))).or_default() += link.transfers;
    }
    let edges: Vec<(usize, usize, u64)> = weights.into_iter().map(|((a, b), weight)| (a, b, weight)).collect();
    let line = serde_json::json!({ "nodes": holders.len(), "edges": edges });
    (holders, format!("{line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned() {
        let requirements = fs::read_to_string(shell::root().join(REQUIREMENTS)).unwrap();
        let packages: Vec<&str> = requirements.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(!packages.is_empty() && packages.iter().all(|package| package.contains("==")), "{packages:?}");
    }
}
