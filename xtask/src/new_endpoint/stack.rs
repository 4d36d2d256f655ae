//! The endpoint's part of the SAM template, put in as text so that comments and order stay.

use super::{Edit, refused};
use crate::failure::Result;
use crate::template::{FUNCTION, NESTED, ROOT, Resource, Template, Templates, capital, place};
use crate::tree::Tree;
use crate::yaml;

/// Function, role, log group, alarm, integration, route and permission. The role may write logs and see who has signed
/// out; what else it needs follows from what its handler comes to do.
const ENTRY: &str = include_str!("entry.yaml");

/// The stack whose head and parameters a new domain's stack takes over: its functions need what all need.
const MODEL: &str = "infra/system.yaml";

/// What [`ENTRY`] refers to.
const PARAMETERS: &[&str] = &["AlarmTopic", "ApiId", "LogRetentionDays", "Prefix"];
const CONDITION: &str = "InVpc";

/// Lines of the template are kept this short.
const WIDTH: usize = 120;

/// The domain's stack with the endpoint in it. For a domain without a stack that is a new file, and a root that nests
/// it.
pub(super) fn edits(tree: &Tree, name: &str, method: &str, path: &str) -> Result<Vec<Edit>> {
    let templates = Templates::of(tree);
    if let Some((path, fault)) = templates.faults.first() {
        return Err(refused(format!("{path}:{}: {}", fault.line, fault.what)));
    }
    let (file, id) = place(name);
    let entry = entry(&id, name, method, path);
    let edits = match tree.text(&file).zip(templates.at(&file)) {
        Some((text, template)) => vec![in_stack(template, text, &id, &entry)?],
        None => new_stack(tree, &templates, name, &file, &entry)?,
    };
    for Edit { path, text } in &edits {
        yaml::parse(text).map_err(|fault| {
            refused(format!("{path}: expected a form that can be added to, not {} at line {}", fault.what, fault.line))
        })?;
    }
    Ok(edits)
}

fn in_stack(template: &Template, text: &str, id: &str, entry: &str) -> Result<Edit> {
    can_hold(template)?;
    if template.resource(id).is_some() {
        return Err(refused(format!("{} has a resource `{id}` already", template.path)));
    }
    Ok(Edit { path: template.path.clone(), text: put(text, line_for(template, text, id), entry) })
}

fn entry(id: &str, name: &str, method: &str, path: &str) -> String {
    let path_pattern: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "*" } else { part }).collect();
    let source = format!(
        "arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:${{ApiId}}/*/{method}{}",
        path_pattern.join("/")
    );
    let filled = ENTRY
        .replace("{{id}}", id)
        .replace("{{name}}", name)
        .replace("{{key}}", &format!("{method} {path}"))
        .replace("{{source}}", &source);
    let lines = filled.lines().map(|line| match line.split_once(": ") {
        Some((key, value)) if line.chars().count() > WIDTH => {
            format!("{key}:\n{}  {value}", " ".repeat(key.len() - key.trim_start().len()))
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Has it everything an entry refers to?
fn can_hold(template: &Template) -> Result<()> {
    let has = |section: &str, name: &str| template.root.get(section).is_some_and(|node| node.get(name).is_some());
    let parameters = PARAMETERS.iter().map(|name| ("Parameters", *name));
    let needed = parameters.chain([("Conditions", CONDITION), ("Globals", "Function")]);
    for (section, name) in needed {
        if !has(section, name) {
            return Err(refused(format!("{}: expected `{name}` in its {section}, as {MODEL} has", template.path)));
        }
    }
    Ok(())
}

/// Before which line (from 1) an endpoint belongs: among the others by name, behind everything where there is none.
fn line_for(template: &Template, text: &str, id: &str) -> usize {
    let resources: Vec<_> = template.resources().collect();
    let is_endpoint = |resource: &&Resource<'_>| {
        resource.kind == FUNCTION && template.resource(&format!("{}Route", resource.id)).is_some()
    };
    let previous = resources.iter().filter(is_endpoint).filter(|other| other.id < id).max_by_key(|other| other.id);
    let next = match previous {
        Some(previous) => {
            let later = resources.iter().filter(|other| other.line > previous.line);
            later.into_iter().find(|other| other.kind == FUNCTION || !other.id.starts_with(previous.id))
        }
        None => resources.iter().find(is_endpoint),
    };
    next.map_or_else(|| end_of_resources(template, text), |next| next.line)
}

/// The line of the section behind `Resources`, or behind the file's last.
fn end_of_resources(template: &Template, text: &str) -> usize {
    let mut sections = template.root.entries().iter().skip_while(|section| section.key != "Resources").skip(1);
    sections.next().map_or_else(|| text.lines().count() + 1, |section| section.line)
}

/// The block before a line and the comments that belong to it, with blank lines around.
fn put(text: &str, line: usize, block: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let is_apart = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let at = line - 1 - lines[..line - 1].iter().rev().take_while(is_apart).count();
    let (before, after) = (lines[..at].join("\n"), lines[at..].join("\n"));
    let gap = if before.ends_with("Resources:") { "\n" } else { "\n\n" };
    let whole = format!("{before}{gap}{block}\n\n{}", after.trim_start_matches('\n'));
    whole.trim_end().to_owned() + "\n"
}

/// A stack with this entry alone, and the root that nests it with the model's parameters.
fn new_stack(tree: &Tree, templates: &Templates, name: &str, file: &str, entry: &str) -> Result<Vec<Edit>> {
    let domain = name.split('-').next().unwrap_or_default();
    let missing = || refused(format!("{ROOT}: expected it to nest {MODEL}, which {file} would be made after"));
    let (model, root) = templates.at(MODEL).zip(templates.at(ROOT)).ok_or_else(missing)?;
    can_hold(model)?;
    let (model_text, root_text) = tree.text(MODEL).zip(tree.text(ROOT)).ok_or_else(missing)?;
    let head = model_text.lines().take_while(|line| *line != "Resources:").map(|line| match line.split_once(' ') {
        Some(("Description:", _)) => format!("Description: \"Holdfast: {domain}\"\n"),
        _ => format!("{line}\n"),
    });
    let stack = format!("{}Resources:\n{entry}\n", head.collect::<String>());

    let id = capital(domain);
    if root.resource(&id).is_some() {
        return Err(refused(format!("{ROOT} has a resource `{id}` already, and there is no {file}")));
    }
    let stacks: Vec<_> = root.resources().filter(|resource| resource.kind == NESTED).collect();
    let nests_model = |stack: &&Resource<'_>| templates.nested(stack).is_some_and(|nested| nested.path == MODEL);
    let (of_model, last) = stacks.iter().find(nests_model).zip(stacks.last()).ok_or_else(missing)?;
    let block = block(root, root_text, of_model);
    let block = block.replacen(of_model.id, &id, 1).replacen(MODEL, file, 1);
    let text = put(root_text, line_behind(root, root_text, last), &block);
    Ok(vec![Edit { path: file.to_owned(), text: stack }, Edit { path: ROOT.to_owned(), text }])
}

/// A resource's lines.
fn block(template: &Template, text: &str, resource: &Resource<'_>) -> String {
    let end = line_behind(template, text, resource) - 1;
    let lines: Vec<_> = text.lines().take(end).skip(resource.line - 1).collect();
    let is_next = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let behind = lines.iter().rev().take_while(is_next).count();
    lines[..lines.len() - behind].join("\n")
}

fn line_behind(template: &Template, text: &str, resource: &Resource<'_>) -> usize {
    let next = template.resources().find(|other| other.line > resource.line);
    next.map_or_else(|| end_of_resources(template, text), |next| next.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Description: \"Holdfast: all\"\n\nParameters:\n  AlarmTopic: { Type: String }\n  \
        ApiId: { Type: String }\n  LogRetentionDays: { Type: Number }\n  Prefix: { Type: String }\n\n\
        Conditions:\n  InVpc: !Equals [a, b]\n\nGlobals:\n  Function:\n    Timeout: 28\n\n";
    const ROOT_TEXT: &str = "Resources:\n  System:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      \
        TemplateURL: infra/system.yaml\n      Parameters:\n        Prefix: !Sub holdfast-${Stage}\n\n  \
        # Last of all\n  Tokens:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      \
        TemplateURL: infra/tokens.yaml\n\n# What people need\nOutputs:\n  A: { Value: b }\n";

    fn endpoint(id: &str) -> String {
        format!(
            "  {id}:\n    Type: AWS::Serverless::Function\n  {id}Role: {{ Type: AWS::IAM::Role }}\n  \
            {id}Route: {{ Type: AWS::ApiGatewayV2::Route }}\n  {id}Permission: {{ Type: AWS::Lambda::Permission }}\n"
        )
    }

    fn tokens(resources: &str) -> String {
        format!("{HEAD}Resources:\n{resources}")
    }

    fn edited(tokens: &str, name: &str) -> Result<Vec<Edit>> {
        let system = format!("{HEAD}Resources:\n  A: {{ Type: B }}\n");
        let files = [(ROOT, ROOT_TEXT), ("infra/tokens.yaml", tokens), (MODEL, &*system)];
        edits(&Tree::of(&files), name, "GET", "/v1/tokens/{chain}/notes")
    }

    /// Logical ids in their order, with what stands between them left out.
    fn order(text: &str) -> Vec<String> {
        let root = yaml::parse(text).unwrap();
        root.get("Resources").unwrap().entries().iter().map(|entry| entry.key.clone()).collect()
    }

    const OWN: [&str; 7] = ["", "Role", "Logs", "Alarm", "Integration", "Route", "Permission"];

    #[test]
    fn an_endpoint_stands_among_the_others_by_name() {
        let queue = "  # The queue's\n  Queue: { Type: AWS::SQS::Queue }\n";
        let others = "  # Not endpoints\n  TokensRefreshNotes: { Type: AWS::Serverless::Function }\n\n  \
            TokensCall: { Type: AWS::Serverless::Function }\n  TokensCallPermission: { Type: AWS::Lambda::Permission }\n";
        let parts = [queue, &endpoint("TokensGetChains"), &endpoint("TokensGetZones"), others];
        let before = tokens(&parts.join("\n"));
        for (name, at) in [("tokens-get-apples", 1), ("tokens-get-notes", 5), ("tokens-get-zoos", 9)] {
            let edits = edited(&before, name).unwrap();
            assert_eq!(edits.len(), 1);
            let (_, id) = place(name);
            let mut expected = order(&before);
            expected.splice(at..at, OWN.map(|ending| format!("{id}{ending}")));
            assert_eq!(order(&edits[0].text), expected);
            let rest = edits[0].text.replace(&(entry(&id, name, "GET", "/v1/tokens/{chain}/notes") + "\n\n"), "");
            assert_eq!(rest, before, "nothing else has changed");
        }
    }

    #[test]
    fn the_first_endpoint_stands_behind_everything() {
        let outputs = "\n# What others need\nOutputs: {}\n";
        let edits =
            edited(&(tokens("  # The queue's\n  Queue: { Type: AWS::SQS::Queue }\n") + outputs), "tokens-get-notes");
        let text = &edits.unwrap()[0].text;
        assert_eq!(order(text)[..2], ["Queue", "TokensGetNotes"]);
        assert!(text.ends_with("/*/GET/v1/tokens/*/notes\n\n# What others need\nOutputs: {}\n"), "{text}");
    }

    #[test]
    fn what_is_written_is_the_function_and_its_route() {
        let text = &edited(&tokens("  Queue: { Type: AWS::SQS::Queue }\n"), "tokens-get-notes").unwrap()[0].text;
        for line in [
            "      FunctionName: !Sub ${Prefix}-tokens-get-notes",
            "      CodeUri: ../target/lambda/tokens-get-notes/",
            "      Role: !GetAtt TokensGetNotesRole.Arn",
            "      RouteKey: GET /v1/tokens/{chain}/notes",
            "      Target: !Sub integrations/${TokensGetNotesIntegration}",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        let long = entry("A", "a", "DELETE", "/v1/a/{id}/path-too-long");
        assert!(long.lines().all(|line| line.len() <= WIDTH), "{long}");
        assert!(long.contains("      SourceArn:\n        !Sub arn:"), "{long}");
        assert!(!long.contains("{{"), "{long}");
    }

    #[test]
    fn a_domain_without_a_stack_gets_one_that_the_root_nests() {
        let edits = edited(&tokens("  A: { Type: B }\n"), "notes-get-all").unwrap();
        let [stack, root] = edits.as_slice() else { panic!("two files") };
        assert_eq!((&*stack.path, &*root.path), ("infra/notes.yaml", ROOT));
        assert_eq!(order(&stack.text), OWN.map(|ending| format!("NotesGetAll{ending}")));
        assert!(stack.text.starts_with(&HEAD.replace("Holdfast: all", "Holdfast: notes")), "{}", stack.text);
        let block = "  Notes:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      \
            TemplateURL: infra/notes.yaml\n      Parameters:\n        Prefix: !Sub holdfast-${Stage}\n\n";
        assert_eq!(order(&root.text), ["System", "Tokens", "Notes"]);
        assert_eq!(root.text.replace(block, ""), ROOT_TEXT);
    }

    #[test]
    fn a_stack_that_cannot_hold_it_is_refused() {
        let refusal = |tokens: &str, name: &str| edited(tokens, name).unwrap_err().to_string();
        let whole = tokens("  TokensGetNotes: { Type: AWS::Serverless::Function }\n");
        assert_eq!(refusal(&whole, "tokens-get-notes"), "infra/tokens.yaml has a resource `TokensGetNotes` already");
        let without = whole.replace("  ApiId: { Type: String }\n", "");
        assert_eq!(
            refusal(&without, "tokens-get-all"),
            "infra/tokens.yaml: expected `ApiId` in its Parameters, as infra/system.yaml has"
        );
        assert_eq!(
            refusal("A: 1\nA: 2\n", "tokens-get-all"),
            "infra/tokens.yaml:2: `A` stands twice: expected it once"
        );
        let flow = format!("{HEAD}Resources: {{A: {{Type: B}}}}\n");
        assert!(refusal(&flow, "tokens-get-all").contains("expected a form that can be added to"));
        let alone = edits(&Tree::of(&[]), "notes-get-all", "GET", "/v1/notes").unwrap_err().to_string();
        assert!(alone.starts_with("template.yaml: expected it to nest infra/system.yaml"), "{alone}");
    }
}
