//! Rules about the pages people read.

use super::{Finding, House};

/// A page that needs scrolling twice is two pages.
const PAGE_LINES: usize = 120;

/// The rooms of the house: a word in backticks that starts with one of them is a path.
const ROOMS: &[&str] = &["functions/", "shared/", "infra/", "tests/", "xtask/", "docs/", "events/", ".ci/", ".cargo/"];

pub(super) fn links_lead_somewhere(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in house.tree.texts().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in prose(text).flat_map(|(line, text)| links(text).map(move |target| (line, target))) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") || file.is_empty() {
                continue;
            }
            let leads_somewhere = resolve(path, file).is_some_and(|file| house.tree.contains(&file));
            if !leads_somewhere {
                found.push(Finding::at(path, line, format!("link to `{target}`: expected a file of this repository")));
            }
        }
    }
    found
}

pub(super) fn named_paths_exist(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in house.tree.texts().filter(|(path, _)| is_page(path)) {
        for (line, text) in prose(text) {
            let words = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
            let paths = words.filter(|word| ROOMS.iter().any(|room| word.starts_with(room)) && is_literal(word));
            for missing in paths.filter(|word| !house.tree.contains(word)) {
                found.push(Finding::at(
                    path,
                    line,
                    format!("`{missing}`: expected a file or folder of this repository"),
                ));
            }
        }
    }
    found
}

pub(super) fn a_page_is_a_page(house: &House) -> Vec<Finding> {
    let pages = house.tree.below("docs").filter(|(path, _)| path.ends_with(".md"));
    pages
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            let what = format!("{lines} lines: expected at most {PAGE_LINES}");
            (lines > PAGE_LINES).then(|| Finding::of(path, what))
        })
        .collect()
}

fn is_page(path: &str) -> bool {
    path == "README.md" || (path.starts_with("docs/") && path.ends_with(".md"))
}

/// A path without placeholders or patterns.
fn is_literal(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter))
}

/// Lines with their numbers, without what stands between code fences.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        (!fenced && !is_fence).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)` in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.split_whitespace().next().unwrap_or("")))
}

/// A relative link seen from `page`, as a path from the root; nothing when it leaves the repository.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::house;
    use super::*;

    #[test]
    fn links_to_missing_files_are_found() {
        let page = "[a](style.md) [b](../README.md#start) [c](https://example.org/x) [d](#here)\n\
                    [e](gone.md) and [f](../../outside.md)\n```\n[g](fenced.md)\n```\n";
        let found = links_lead_somewhere(&house(&[("docs/a.md", page), ("docs/style.md", ""), ("README.md", "")]));
        let lines: Vec<_> = found.iter().map(|finding| (finding.line, finding.what.as_str())).collect();
        assert_eq!(
            lines,
            [
                (Some(2), "link to `gone.md`: expected a file of this repository"),
                (Some(2), "link to `../../outside.md`: expected a file of this repository"),
            ]
        );
    }

    #[test]
    fn paths_that_do_not_exist_are_found_and_placeholders_are_not() {
        let page = "See `shared/api` and `shared/gone/src/lib.rs`.\nName it `events/<function>/*.json`.\n";
        let found = named_paths_exist(&house(&[("README.md", page), ("shared/api/src/lib.rs", "")]));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0],
            Finding::at("README.md", 1, "`shared/gone/src/lib.rs`: expected a file or folder of this repository")
        );
    }

    #[test]
    fn pages_that_are_too_long_are_found() {
        let long = "line\n".repeat(PAGE_LINES + 1);
        let just = "line\n".repeat(PAGE_LINES);
        let found = a_page_is_a_page(&house(&[("docs/long.md", &long), ("docs/just.md", &just), ("README.md", &long)]));
        assert_eq!(found, [Finding::of("docs/long.md", "121 lines: expected at most 120")]);
    }
}
