//! Rules about any file's text.

use super::{Finding, House};

/// File endings whose white space is ours to keep clean. Cargo.lock is cargo's.
const CLEAN: &[&str] =
    &["rs", "toml", "md", "json", "yaml", "yml", "sh", "txt", "py", "html", "css", "js", "csv", "svg"];

/// Spelled apart so that this file does not find itself.
const PUT_OFF: &[(&str, &str)] = &[
    (concat!("to", "do!("), "the finished code"),
    (concat!("unimple", "mented!("), "the finished code"),
    (concat!("TO", "DO"), "the work done, or a sentence in an issue"),
    (concat!("FIX", "ME"), "the work done, or a sentence in an issue"),
    (concat!("#[al", "low("), "#[expect(lint, reason = \"…\")]"),
    (concat!("#![al", "low("), "#![expect(lint, reason = \"…\")]"),
    (concat!("#[ig", "nore"), "a test that runs, or none"),
];

/// Names that say nothing about what a module is for.
const NAMELESS: &[&str] = &["utils", "util", "helpers", "helper", "common", "types", "misc"];

pub(super) fn text_ends_cleanly(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in house.tree.texts().filter(|(path, _)| is_kept_clean(path)) {
        for (index, line) in text.lines().enumerate() {
            if line != line.trim_end() {
                found.push(Finding::at(path, index + 1, "expected no white space at the end of the line"));
            }
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            found.push(Finding::of(path, "expected exactly one newline at the end of the file"));
        }
    }
    found
}

/// The file without what [`text_ends_cleanly`] finds; nothing when it is clean or not ours to mend.
pub(super) fn cleaned(path: &str, text: &str) -> Option<String> {
    if !is_kept_clean(path) || text.is_empty() {
        return None;
    }
    let lines = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let clean = format!("{}\n", lines.trim_end_matches('\n'));
    (clean != text).then_some(clean)
}

fn is_kept_clean(path: &str) -> bool {
    path.starts_with(".ci/") || path.rsplit_once('.').is_some_and(|(_, ending)| CLEAN.contains(&ending))
}

pub(super) fn nothing_is_put_off(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in house.tree.texts().filter(|(path, _)| path.ends_with(".rs")) {
        for (index, line) in text.lines().enumerate() {
            for (what, instead) in PUT_OFF.iter().filter(|(what, _)| line.contains(what)) {
                found.push(Finding::at(path, index + 1, format!("`{what}`: expected {instead}")));
            }
        }
    }
    found
}

pub(super) fn modules_have_names(house: &House) -> Vec<Finding> {
    let rust = house.tree.texts().filter_map(|(path, _)| Some((path, path.strip_suffix(".rs")?)));
    rust.filter_map(|(path, stem)| {
        let part = stem.split('/').find(|part| NAMELESS.contains(part))?;
        Some(Finding::of(path, format!("`{part}` says nothing: expected a module named for what it holds")))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::house;
    use super::*;

    #[test]
    fn white_space_and_newlines_at_the_end_are_found_and_mended() {
        let broken = "one \ntwo\t\n\n\n";
        let found = text_ends_cleanly(&house(&[("a.md", broken), (".ci/run", "x")]));
        assert_eq!(
            found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect::<Vec<_>>(),
            [(".ci/run", None), ("a.md", Some(1)), ("a.md", Some(2)), ("a.md", None)]
        );
        let clean = cleaned("a.md", broken).unwrap();
        assert_eq!(clean, "one\ntwo\n");
        assert!(text_ends_cleanly(&house(&[("a.md", &clean)])).is_empty());
        assert_eq!(cleaned("a.md", &clean), None);
        assert_eq!(cleaned("picture.bin", broken), None);
    }

    #[test]
    fn what_is_put_off_or_silenced_is_found_in_rust_only() {
        for (what, _) in PUT_OFF {
            let text = format!("fn a() {{}}\n// {what}\n");
            let found = nothing_is_put_off(&house(&[("a.rs", &text), ("a.md", &text)]));
            assert!(found.iter().all(|finding| finding.path == "a.rs" && finding.line == Some(2)), "{what}");
            assert!(!found.is_empty(), "{what}");
        }
        assert!(nothing_is_put_off(&house(&[("a.rs", "#[expect(dead_code, reason = \"…\")]\n")])).is_empty());
    }

    #[test]
    fn modules_called_utils_and_their_like_are_found() {
        let found = modules_have_names(&house(&[
            ("a/src/utils.rs", ""),
            ("a/src/common/b.rs", ""),
            ("a/src/uncommon.rs", ""),
            ("a/types.md", ""),
        ]));
        assert_eq!(found.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a/src/common/b.rs", "a/src/utils.rs"]);
    }
}
