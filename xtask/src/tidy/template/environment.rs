//! Functions are given the variables they read, and no others.

use std::collections::BTreeSet;

use super::{Finding, House};
use crate::template::FUNCTION;
use crate::yaml::{Entry, Node};

/// Where the environment is read.
const CONFIG: &str = "shared/runtime/src/config.rs";
/// Where it is listed, in a table whose first column has the names.
const PAGE: &str = "docs/operations.md";

pub(in super::super) fn functions_get_what_they_read(house: &House) -> Vec<Finding> {
    let (required, listed) = (required(house.tree.text(CONFIG)), listed(house.tree.text(PAGE)));
    let mut found = Vec::new();
    if required.is_empty() {
        found.push(Finding::of(CONFIG, "expected variables that are read by `required(\"NAME\", …)`"));
    }
    if listed.is_empty() {
        found.push(Finding::of(PAGE, "expected a table with the variables of functions in its first column"));
    }
    for template in &house.templates.all {
        let globals = template.globals().map(variables).unwrap_or_default();
        let functions: Vec<_> = template.resources().filter(|resource| resource.kind == FUNCTION).collect();
        let own = functions.iter().map(|function| (function, function.at(&[]).map(variables).unwrap_or_default()));
        let mut all: Vec<&Entry> = globals.iter().collect();
        for (function, own) in own {
            for name in required.iter().filter(|name| !globals.iter().chain(own).any(|entry| entry.key == **name)) {
                let what = format!("`{}`: expected the variable `{name}`: {CONFIG} requires it", function.id);
                found.push(Finding::at(&template.path, function.line, what));
            }
            all.extend(own);
        }
        for entry in all.into_iter().filter(|entry| !listed.contains(entry.key.as_str())) {
            let what = format!("`{}`: expected a variable that {PAGE} lists", entry.key);
            found.push(Finding::at(&template.path, entry.line, what));
        }
    }
    found
}

fn variables(function: &Node) -> &[Entry] {
    let variables = function.get("Environment").and_then(|environment| environment.get("Variables"));
    variables.map(Node::entries).unwrap_or_default()
}

/// Names without which a function does not start, but for those that Lambda sets itself.
fn required(config: Option<&str>) -> BTreeSet<&str> {
    let code = config.unwrap_or_default().split("#[cfg(test)]").next().unwrap_or_default();
    let calls = code.split("required(").skip(1);
    let names = calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    names.filter(|name| !name.starts_with("AWS_")).collect()
}

/// Names in backticks in the first column of a table.
fn listed(page: Option<&str>) -> BTreeSet<&str> {
    let rows = page.unwrap_or_default().lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let words = rows.flat_map(|first| first.split('`').skip(1).step_by(2));
    words.filter(|word| word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, found, house, without};
    use super::*;

    #[test]
    fn a_variable_nobody_lists_is_found_where_it_stands() {
        assert_eq!(functions_get_what_they_read(&house()), []);
        for (path, from) in [("infra/tokens.yaml", "        STAGE: "), ("infra/tokens.yaml", "          CHAINS: ")] {
            let house = broken(path, from, &format!("{}SURPRISE: ", &from[..from.len() - from.trim_start().len()]));
            assert_eq!(
                found(functions_get_what_they_read(&house)),
                ["infra/tokens.yaml:`SURPRISE`: expected a variable that docs/operations.md lists"]
            );
        }
    }

    #[test]
    fn a_required_variable_that_is_not_given_is_found_for_each_function() {
        let house = broken("infra/tokens.yaml", "        QUEUE_URL_PREFIX: !Ref QueueUrlPrefix\n", "");
        let expected = "expected the variable `QUEUE_URL_PREFIX`: shared/runtime/src/config.rs requires it";
        assert_eq!(
            found(functions_get_what_they_read(&house)),
            [
                format!("infra/tokens.yaml:`TokensGetNotes`: {expected}"),
                format!("infra/tokens.yaml:`TokensRefreshNotes`: {expected}"),
            ]
        );
    }

    #[test]
    fn it_says_when_it_can_no_longer_read_code_or_page() {
        let config = found(functions_get_what_they_read(&without(CONFIG)));
        assert_eq!(config, [format!("{CONFIG}: expected variables that are read by `required(\"NAME\", …)`")]);
        let page = found(functions_get_what_they_read(&without(PAGE)));
        assert!(page[0].ends_with("expected a table with the variables of functions in its first column"));
    }

    #[test]
    fn names_are_read_from_code_and_page() {
        let code = "required(\"A_B\", \"x\")? required(\n    \"C\", y) required(\"AWS_REGION\") let required = |name|\n\
            #[cfg(test)] required(\"D\")";
        assert_eq!(required(Some(code)), BTreeSet::from(["A_B", "C"]));
        let page = "`X` is\n| variable | |\n| --- |\n| `A_B`, `C` | `D` |\n| `--listen` | |\n";
        assert_eq!(listed(Some(page)), BTreeSet::from(["A_B", "C"]));
    }
}
