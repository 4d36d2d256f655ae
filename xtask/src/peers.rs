//! `target/peers`: other implementations that ours are compared with, from pinned npm packages.

use std::fs;
use std::path::Path;

use crate::failure::{Doing, Result};
use crate::shell;

const PACKAGES: &str = "tests/peers/package.json";

/// Installs them unless they are there and current. Without npm the comparisons are skipped, which is said here, where
/// it is seen.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let wanted = fs::read_to_string(root.join(PACKAGES)).doing(|| format!("reading {PACKAGES}"))?;
    let folder = root.join("target/peers");
    if is_current(&folder, &wanted) {
        println!("target/peers is current");
        return Ok(());
    }
    if !shell::answers(root, "npm", &["--version"]) {
        println!("npm is missing: tests that compare with other implementations will be skipped");
        return Ok(());
    }
    println!("making target/peers from {PACKAGES}");
    fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
    let description = folder.join("package.json");
    fs::write(&description, &wanted).doing(|| format!("writing {}", description.display()))?;
    // Versions stand in package.json; a lock file would name the registry of one machine.
    let install = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    shell::run(&mut shell::command(&folder, "npm", &install))?;
    fs::write(folder.join(STAMP), &wanted).doing(|| "writing the stamp of target/peers".into())
}

/// Left in the folder when it is complete, with what it was made from.
const STAMP: &str = "made-from.json";

fn is_current(folder: &Path, wanted: &str) -> bool {
    let stamp = fs::read_to_string(folder.join(STAMP));
    folder.join("node_modules").exists() && stamp.is_ok_and(|made_from| made_from == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned() {
        let packages = fs::read_to_string(shell::root().join(PACKAGES)).unwrap();
        let packages: serde_json::Value = serde_json::from_str(&packages).unwrap();
        let versions: Vec<_> = packages["dependencies"].as_object().unwrap().values().collect();
        assert!(!versions.is_empty());
        for version in versions {
            let version = version.as_str().unwrap();
            assert!(version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{version}");
        }
    }

    #[test]
    fn a_folder_is_current_only_when_complete_and_of_the_same_packages() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("node_modules")).unwrap();
        assert!(!is_current(folder.path(), "{}"), "no stamp: installing was interrupted");
        fs::write(folder.path().join(STAMP), "{}").unwrap();
        assert!(is_current(folder.path(), "{}"));
        assert!(!is_current(folder.path(), "{ }"));
        fs::remove_dir(folder.path().join("node_modules")).unwrap();
        assert!(!is_current(folder.path(), "{}"));
    }
}
