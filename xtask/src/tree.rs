//! The checkout's files in memory, so that a rule is a function and its test a handful of strings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::failure::{Doing, Result};

/// Folders that hold nothing of the project's own, wherever they stand.
const SKIPPED: &[&str] = &["target", ".git", ".holdfast", ".aws-sam", "node_modules"];

/// Files by their path from the root, with forward slashes.
#[derive(Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    /// Files that are not UTF-8: there for links, not for reading.
    others: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let reading = || format!("reading {}", folder.display());
        for entry in fs::read_dir(folder).doing(reading)? {
            let entry = entry.doing(reading)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().doing(reading)?;
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).doing(|| format!("reading {path}"))?;
                match String::from_utf8(bytes) {
                    Ok(text) => drop(self.texts.insert(path, text)),
                    Err(_) => drop(self.others.insert(path)),
                }
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { texts, others: BTreeSet::new() }
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Every text file with its path, in the order of the paths.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every text file below a folder; `folder` has no slash at its end.
    pub(crate) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| is_below(path, folder))
    }

    /// Is there such a file, or a folder with files in it?
    pub(crate) fn contains(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty()
            || self.texts.contains_key(path)
            || self.others.contains(path)
            || self.texts.keys().chain(&self.others).any(|file| is_below(file, path))
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_count_as_there_and_their_prefixes_do_not() {
        let tree = Tree::of(&[("docs/style.md", "")]);
        assert!(tree.contains("docs/style.md") && tree.contains("docs") && tree.contains("docs/"));
        assert!(!tree.contains("doc") && !tree.contains("docs/style"));
        assert_eq!(tree.below("docs").count(), 1);
        assert_eq!(tree.below("doc").count(), 0);
    }

    #[test]
    fn what_is_built_or_kept_by_git_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["target", ".git", "src"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("file"), "text").unwrap();
        }
        fs::write(root.path().join("src/picture"), [0xff, 0xfe]).unwrap();
        let tree = Tree::read(root.path()).unwrap();
        assert_eq!(tree.texts().map(|(path, _)| path).collect::<Vec<_>>(), ["src/file"]);
        assert!(tree.contains("src/picture"));
    }
}
