//! What prose cannot enforce: rules over the checkout's files and what is deployed from them.
//!
//! A rule is a function from [`House`] to findings; a new one is a function and a line in [`RULES`].

mod departures;
mod deployed;
mod docs;
mod imports;
mod manifests;
mod template;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;

use template::{environment, functions, permissions, queues, routes, tables, triggers};

use crate::failure::{Doing, Failure, Result};
use crate::inventory::{self, Inventory};
use crate::shell;
use crate::template::Templates;
use crate::tree::Tree;

/// Something that stands against a rule, and what was expected instead.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; nothing where the whole file or its absence is meant.
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), what: what.into() }
    }

    fn of(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.path, self.what),
            None => write!(out, "{}: {}", self.path, self.what),
        }
    }
}

/// What the rules look at.
struct House {
    tree: Tree,
    /// What `lambdas` says is deployed.
    inventory: Inventory,
    /// What the template says is deployed.
    templates: Templates,
}

impl House {
    fn new(tree: Tree, inventory: Inventory) -> Self {
        let templates = Templates::of(&tree);
        Self { tree, inventory, templates }
    }
}

type Rule = fn(&House) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    ("dependencies go downwards", imports::dependencies_go_downwards),
    ("one home for each outside crate", imports::one_home_for_each_outside_crate),
    ("pure crates and domains touch no machine", imports::pure_rooms_touch_no_machine),
    ("versions stand once", manifests::versions_stand_once),
    ("lints come from the workspace", manifests::lints_come_from_the_workspace),
    ("every function has a source file, a bin and an event", deployed::every_function_is_complete),
    ("every bin and event folder belongs to a function", deployed::nothing_is_left_over),
    ("bins are three lines", deployed::bins_are_three_lines),
    ("one function per route", deployed::one_function_per_route),
    ("events are real events", deployed::events_are_real),
    ("every domain lets accounts go", departures::every_domain_lets_accounts_go),
    ("docs/openapi.json is what the code says", deployed::openapi_is_committed),
    ("template.yaml nests the stacks of infra", template::stacks_are_nested),
    ("every function is in its domain's stack, with a role of its own", functions::every_function_is_in_its_stack),
    ("no other function is in a stack", functions::no_other_function_is_in_a_stack),
    ("functions have time and memory", functions::functions_have_time_and_memory),
    ("every function has a log group, and logs end", functions::logs_are_kept_and_end),
    ("every function has an alarm", functions::every_function_has_an_alarm),
    ("routes lead to their functions", routes::routes_lead_to_their_functions),
    ("no route leads elsewhere", routes::no_route_leads_elsewhere),
    ("workers take their queues", queues::workers_take_their_queues),
    ("queues are as the code says", queues::queues_are_as_the_code_says),
    ("schedules tick as the code says", queues::schedules_tick_as_the_code_says),
    ("triggers are called by their pool", triggers::triggers_are_called_by_their_pool),
    ("nobody else calls", triggers::nobody_else_calls),
    ("tables are as the code says", tables::tables_are_as_the_code_says),
    ("no one may everything", permissions::no_one_may_everything),
    ("closed endpoints see who has signed out", permissions::closed_endpoints_read_sign_outs),
    ("functions get the variables they read", environment::functions_get_what_they_read),
    ("text ends cleanly", text::text_ends_cleanly),
    ("nothing is put off or silenced", text::nothing_is_put_off),
    ("modules have names", text::modules_have_names),
    ("links lead somewhere", docs::links_lead_somewhere),
    ("paths in pages exist", docs::named_paths_exist),
    ("a page is a page", docs::a_page_is_a_page),
];

/// Checks the checkout. With `fix`, mends first what has one right answer: white space and `docs/openapi.json`.
pub(crate) fn check(root: &Path, fix: bool) -> Result<()> {
    let inventory = inventory::ask(root)?;
    if fix {
        mend(root, &inventory)?;
    }
    let house = House::new(Tree::read(root)?, inventory);
    let findings = findings(&house);
    for (rule, finding) in &findings {
        println!("{finding} [{rule}]");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} rules, nothing found", RULES.len());
            Ok(())
        }
        1 => Err(Failure::Refused("tidy: 1 finding".into())),
        count => Err(Failure::Refused(format!("tidy: {count} findings"))),
    }
}

fn findings(house: &House) -> Vec<(&'static str, Finding)> {
    let mut found = Vec::new();
    for (name, rule) in RULES {
        let mut of_rule = rule(house);
        of_rule.sort();
        of_rule.dedup();
        found.extend(of_rule.into_iter().map(|finding| (*name, finding)));
    }
    found
}

fn mend(root: &Path, inventory: &Inventory) -> Result<()> {
    for (path, text) in Tree::read(root)?.texts() {
        if let Some(clean) = text::cleaned(path, text) {
            fs::write(root.join(path), clean).doing(|| format!("writing {path}"))?;
            println!("mended {path}: white space");
        }
    }
    inventory::write_document(root, inventory)?;
    shell::run(&mut shell::command(root, "cargo", &["fmt", "--all"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A house with these files from which nothing is deployed.
    pub(super) fn house(files: &[(&str, &str)]) -> House {
        House::new(Tree::of(files), Inventory::default())
    }

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        assert_eq!(Finding::at("a.rs", 3, "expected b").to_string(), "a.rs:3: expected b");
        assert_eq!(Finding::of("a.rs", "expected b").to_string(), "a.rs: expected b");
    }

    #[test]
    fn findings_name_their_rule() {
        let found = findings(&house(&[("docs/a.md", "text ")]));
        assert!(found.iter().any(|(rule, finding)| *rule == "text ends cleanly" && finding.path == "docs/a.md"));
    }
}
