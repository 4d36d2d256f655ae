//! Rules that keep `template.yaml` and `infra/*.yaml` in step with the code, one file per theme.

pub(super) mod environment;
pub(super) mod functions;
pub(super) mod permissions;
pub(super) mod queues;
pub(super) mod routes;
pub(super) mod tables;
pub(super) mod triggers;

#[cfg(test)]
mod sample;

use super::{Finding, House};
use crate::template::{NESTED, ROOT, Resource, text_of};
use crate::yaml::Node;

/// A nested stack that nobody nests is not deployed.
pub(super) fn stacks_are_nested(house: &House) -> Vec<Finding> {
    let templates = &house.templates;
    let mut found: Vec<_> =
        templates.faults.iter().map(|(path, fault)| Finding::at(path, fault.line, &*fault.what)).collect();
    if house.tree.text(ROOT).is_none() {
        found.push(Finding::of(ROOT, "expected the template of what is deployed"));
    }
    let stacks: Vec<_> = templates.of_kind(NESTED).collect();
    for stack in stacks.iter().filter(|stack| templates.nested(stack).is_none()) {
        found.push(wrong(stack, &["TemplateURL"], "a file of `infra`, such as `infra/tokens.yaml`"));
    }
    for template in templates.all.iter().filter(|template| template.path != ROOT) {
        let is_nested = |stack: &Resource<'_>| templates.nested(stack).is_some_and(|other| other.path == template.path);
        if !stacks.iter().any(is_nested) {
            found.push(Finding::of(
                &template.path,
                format!("expected {ROOT} to nest it, as `AWS::CloudFormation::Stack`"),
            ));
        }
    }
    found
}

/// `Id.Property: expected …`, where the property or the resource stands.
fn wrong(resource: &Resource<'_>, path: &[&str], expected: impl std::fmt::Display) -> Finding {
    let mut name = resource.id.to_owned();
    path.iter().for_each(|part| name.extend([".", part]));
    Finding::at(&resource.template.path, resource.line_of(path), format!("`{name}`: expected {expected}"))
}

/// A finding when a property does not come to one of these texts, the usual one first.
fn unlike(resource: &Resource<'_>, path: &[&str], expected: &[&str]) -> Option<Finding> {
    let is = resource.text(path);
    if is.as_deref().is_some_and(|is| expected.contains(&is)) {
        return None;
    }
    let but = but(&is.unwrap_or_default());
    Some(wrong(resource, path, format!("`{}`{but}", expected.first().unwrap_or(&""))))
}

/// `, not …`, where there is something.
fn but(is: &str) -> String {
    if is.is_empty() { String::new() } else { format!(", not `{is}`") }
}

/// The resource of this id and kind beside another, or a finding that it is missing.
fn beside<'a>(resource: &Resource<'a>, ending: &str, kind: &str) -> Result<Resource<'a>, Finding> {
    let id = format!("{}{ending}", resource.id);
    let found = resource.template.resource(&id).filter(|found| found.kind == kind);
    found.ok_or_else(|| {
        let what = format!("expected `{id}` beside it, of type {kind}");
        Finding::at(&resource.template.path, resource.line, format!("`{}`: {what}", resource.id))
    })
}

/// A function's own name and the name in its stack: what may stand where a function is meant.
fn names(function: &Resource<'_>, name: &str) -> [String; 2] {
    [format!("${{{}}}", function.id), format!("${{Prefix}}-{name}")]
}

fn is_text(node: &Node, expected: &str) -> bool {
    text_of(node).is_some_and(|text| text == expected)
}

#[cfg(test)]
mod tests {
    use super::sample::{broken, found, house};
    use super::*;

    #[test]
    fn a_stack_that_nobody_nests_and_one_that_is_not_there_are_found() {
        assert_eq!(stacks_are_nested(&house()), []);
        let house = broken("template.yaml", "TemplateURL: infra/tokens.yaml", "TemplateURL: infra/gone.yaml");
        assert_eq!(
            found(stacks_are_nested(&house)),
            [
                "infra/tokens.yaml: expected template.yaml to nest it, as `AWS::CloudFormation::Stack`",
                "template.yaml:`Tokens.TemplateURL`: expected a file of `infra`, such as `infra/tokens.yaml`",
            ]
        );
    }

    #[test]
    fn what_is_no_yaml_is_found() {
        let house = broken("infra/jobs.yaml", "Resources:", "Resources: {}\nResources:");
        let text = found(stacks_are_nested(&house));
        assert!(text.contains(&"infra/jobs.yaml:`Resources` stands twice: expected it once".to_owned()), "{text:?}");
    }
}
