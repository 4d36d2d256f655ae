//! Rules about `Cargo.toml` files, and reading them.

use toml::{Table, Value};

use super::{Finding, House};
use crate::tree::Tree;

/// A crate of the workspace, as far as the rules ask.
pub(super) struct Manifest {
    /// From the root, such as `shared/api`.
    pub folder: String,
    pub name: String,
    pub dependencies: Vec<Dependency>,
    has_workspace_lints: bool,
}

pub(super) struct Dependency {
    /// As cargo resolves it, not as it may be renamed.
    pub crate_name: String,
    /// Where it is asked for, from 1.
    pub line: usize,
    /// For tests and benchmarks only.
    pub is_for_tests: bool,
    is_from_workspace: bool,
}

impl Manifest {
    pub(super) fn path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// Every crate of the checkout; a file that is no TOML is cargo's to report.
pub(super) fn manifests(tree: &Tree) -> Vec<Manifest> {
    let files = tree.texts().filter_map(|(path, text)| Some((path.strip_suffix("/Cargo.toml")?, text)));
    files.filter_map(|(folder, text)| manifest(folder, text)).collect()
}

fn manifest(folder: &str, text: &str) -> Option<Manifest> {
    let table: Table = text.parse().ok()?;
    let name = table.get("package")?.get("name")?.as_str()?.to_owned();
    let has_workspace_lints =
        table.get("lints").and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true));
    let mut dependencies = Vec::new();
    collect(&table, text, &mut dependencies);
    Some(Manifest { folder: folder.to_owned(), name, dependencies, has_workspace_lints })
}

/// All three tables of dependencies, also below `[target.…]`.
fn collect(table: &Table, text: &str, into: &mut Vec<Dependency>) {
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(entries) = table.get(kind).and_then(Value::as_table) else { continue };
        into.extend(entries.iter().map(|(key, value)| Dependency {
            crate_name: value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned(),
            line: line_of(text, key),
            is_for_tests: kind == "dev-dependencies",
            is_from_workspace: value.get("workspace") == Some(&Value::Boolean(true)),
        }));
    }
    if let Some(targets) = table.get("target").and_then(Value::as_table) {
        targets.values().filter_map(Value::as_table).for_each(|target| collect(target, text, into));
    }
}

fn line_of(text: &str, key: &str) -> usize {
    let starts = |line: &str| {
        let rest = line.trim_start_matches('"').strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
    };
    text.lines().position(starts).map_or(1, |index| index + 1)
}

pub(super) fn versions_stand_once(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for manifest in manifests(&house.tree) {
        for dependency in manifest.dependencies.iter().filter(|dependency| !dependency.is_from_workspace) {
            let what = format!(
                "`{}`: expected `.workspace = true`, with the version in the root's [workspace.dependencies]",
                dependency.crate_name
            );
            found.push(Finding::at(&manifest.path(), dependency.line, what));
        }
    }
    found
}

pub(super) fn lints_come_from_the_workspace(house: &House) -> Vec<Finding> {
    let without = manifests(&house.tree).into_iter().filter(|manifest| !manifest.has_workspace_lints);
    without.map(|manifest| Finding::of(&manifest.path(), "expected `[lints]` with `workspace = true`")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::house;
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";

    #[test]
    fn a_version_outside_the_workspace_table_is_found_in_every_table() {
        for table in ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            for entry in ["serde = \"1\"", "serde = { version = \"1\" }", "serde.path = \"../serde\""] {
                let text = format!("[package]\nname = \"a\"\n[{table}]\n{entry}\n");
                let found = versions_stand_once(&house(&[("shared/a/Cargo.toml", &text)]));
                assert_eq!(found.len(), 1, "{text}");
                assert_eq!((found[0].path.as_str(), found[0].line), ("shared/a/Cargo.toml", Some(4)));
            }
        }
        assert!(versions_stand_once(&house(&[("shared/a/Cargo.toml", GOOD)])).is_empty());
    }

    #[test]
    fn a_crate_with_lints_of_its_own_is_found() {
        let own = "[package]\nname = \"a\"\n[lints.rust]\nunsafe_code = \"warn\"\n";
        let found =
            lints_come_from_the_workspace(&house(&[("shared/a/Cargo.toml", own), ("shared/b/Cargo.toml", GOOD)]));
        assert_eq!(found, [Finding::of("shared/a/Cargo.toml", "expected `[lints]` with `workspace = true`")]);
    }

    #[test]
    fn a_renamed_dependency_counts_under_its_real_name() {
        let text = "[package]\nname = \"a\"\n[dependencies]\ncache = { package = \"redis\", workspace = true }\n";
        let manifest = manifest("shared/a", text).unwrap();
        assert_eq!(manifest.dependencies[0].crate_name, "redis");
    }
}
