//! The SAM template: the root, the stacks nested in it, their resources, and what their values come to.

use crate::inventory::Inventory;
use crate::tree::Tree;
use crate::yaml::{self, Entry, Node, Value};

pub(crate) const ROOT: &str = "template.yaml";
/// Where the nested stacks are.
pub(crate) const STACKS: &str = "infra";

pub(crate) const NESTED: &str = "AWS::CloudFormation::Stack";
pub(crate) const FUNCTION: &str = "AWS::Serverless::Function";

/// So many stacks a value is followed through; more is a circle.
const HOPS: u8 = 8;

/// The root and every file directly in `infra`.
#[derive(Default)]
pub(crate) struct Templates {
    pub all: Vec<Template>,
    /// Files that are no YAML: path, and why.
    pub faults: Vec<(String, yaml::Fault)>,
}

pub(crate) struct Template {
    /// From the root, such as `infra/tokens.yaml`.
    pub path: String,
    pub root: Node,
}

/// A resource with its stack.
#[derive(Clone, Copy)]
pub(crate) struct Resource<'a> {
    pub template: &'a Template,
    pub id: &'a str,
    /// Of its logical id.
    pub line: usize,
    /// Such as `AWS::SQS::Queue`.
    pub kind: &'a str,
    node: &'a Node,
}

/// The stack of a function's domain, and the function's logical id in it: `tokens-get-clusters` is `TokensGetClusters`
/// in `infra/tokens.yaml`.
pub(crate) fn place(function: &str) -> (String, String) {
    let domain = function.split('-').next().unwrap_or_default();
    (format!("{STACKS}/{domain}.yaml"), function.split('-').map(capital).collect())
}

pub(crate) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

impl Templates {
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut templates = Self::default();
        let is_stack = |path: &str| path.ends_with(".yaml") && path.matches('/').count() == 1;
        let stacks = tree.below(STACKS).filter(|(path, _)| is_stack(path));
        for (path, text) in tree.text(ROOT).map(|text| (ROOT, text)).into_iter().chain(stacks) {
            match yaml::parse(text) {
                Ok(root) => templates.all.push(Template { path: path.to_owned(), root }),
                Err(fault) => templates.faults.push((path.to_owned(), fault)),
            }
        }
        templates
    }

    pub(crate) fn at(&self, path: &str) -> Option<&Template> {
        self.all.iter().find(|template| template.path == path)
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.all.iter().flat_map(Template::resources)
    }

    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = Resource<'a>> {
        self.resources().filter(move |resource| resource.kind == kind)
    }

    /// The functions of the inventory that are where they belong, with their names.
    pub(crate) fn functions<'a>(
        &'a self,
        inventory: &'a Inventory,
    ) -> impl Iterator<Item = (&'a str, Resource<'a>)> + 'a {
        inventory.functions().filter_map(|name| Some((name, self.function(name)?)))
    }

    pub(crate) fn function(&self, name: &str) -> Option<Resource<'_>> {
        let (path, id) = place(name);
        self.at(&path)?.resource(&id).filter(|resource| resource.kind == FUNCTION)
    }

    /// The template that a resource of the root nests.
    pub(crate) fn nested(&self, stack: &Resource<'_>) -> Option<&Template> {
        self.at(&stack.text(&["TemplateURL"])?)
    }

    /// The resource whose ARN a text of a template is: by its logical id, through parameters of nested stacks and their
    /// outputs, or written out with the resource's name (`name_property` of this kind) at its end.
    pub(crate) fn of_arn<'a>(
        &'a self,
        template: &'a Template,
        text: &str,
        kind: &str,
        name_property: &str,
    ) -> Option<Resource<'a>> {
        let found = match self.follow(template, text, HOPS)? {
            End::Resource(resource) => resource,
            End::Text(text) => {
                let name = text.rsplit(':').next().unwrap_or_default();
                self.resources().find(|other| {
                    other.kind == kind && other.text(&[name_property]).is_some_and(|other| other == name)
                })?
            }
        };
        (found.kind == kind).then_some(found)
    }

    fn follow<'a>(&'a self, template: &'a Template, text: &str, hops: u8) -> Option<End<'a>> {
        let hops = hops.checked_sub(1)?;
        let Some((name, attribute)) = reference(text) else { return Some(End::Text(text.to_owned())) };
        match template.resource(name) {
            Some(stack) if stack.kind == NESTED => {
                let nested = self.nested(&stack)?;
                let output = nested.root.get("Outputs")?.get(attribute.strip_prefix("Outputs.")?)?;
                self.follow(nested, &text_of(output.get("Value")?)?, hops)
            }
            Some(resource) => (attribute == "Arn").then_some(End::Resource(resource)),
            None => {
                let (root, given) = self.given(template, name)?;
                self.follow(root, &text_of(given)?, hops)
            }
        }
    }

    /// What the root gives for a parameter of a nested stack.
    fn given(&self, template: &Template, parameter: &str) -> Option<(&Template, &Node)> {
        let root = self.at(ROOT)?;
        let stack = root.resources().find(|resource| {
            resource.kind == NESTED && self.nested(resource).is_some_and(|nested| nested.path == template.path)
        })?;
        Some((root, stack.at(&["Parameters", parameter])?))
    }
}

/// Where a reference leads.
enum End<'a> {
    Resource(Resource<'a>),
    /// A name or an ARN that was written out.
    Text(String),
}

/// Name and attribute of a text that is one reference: `${Queue.Arn}`.
fn reference(text: &str) -> Option<(&str, &str)> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains('$')).then(|| name.split_once('.').unwrap_or((name, "")))
}

impl Template {
    pub(crate) fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        let entries = self.root.get("Resources").map(Node::entries).unwrap_or_default();
        entries.iter().filter_map(|Entry { key, line, value }| {
            let Value::Text(kind) = &value.get("Type")?.value else { return None };
            Some(Resource { template: self, id: key, line: *line, kind, node: value })
        })
    }

    pub(crate) fn resource(&self, id: &str) -> Option<Resource<'_>> {
        self.resources().find(|resource| resource.id == id)
    }

    /// What `Globals` says of all functions.
    pub(crate) fn globals(&self) -> Option<&Node> {
        self.root.get("Globals")?.get("Function")
    }
}

impl<'a> Resource<'a> {
    /// A property, or one inside of a property.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&'a Node> {
        path.iter().try_fold(self.node.get("Properties")?, |node, key| node.get(key))
    }

    /// What a property comes to; see [`text_of`].
    pub(crate) fn text(&self, path: &[&str]) -> Option<String> {
        text_of(self.at(path)?)
    }

    /// A property that `Globals` may say instead.
    pub(crate) fn setting(&self, name: &str) -> Option<&'a Node> {
        self.at(&[name]).or_else(|| self.template.globals()?.get(name))
    }

    /// Where a property's deepest part that is there stands, and the resource itself otherwise.
    pub(crate) fn line_of(&self, path: &[&str]) -> usize {
        let mut line = self.line;
        let Some(mut node) = self.node.get("Properties") else { return line };
        for key in path {
            let Some(entry) = node.entry(key) else { return line };
            (line, node) = (entry.line, &entry.value);
        }
        line
    }
}

/// Name (without `Fn::`) and argument of an intrinsic function, in the short form or the long one.
fn call(node: &Node) -> Option<(&str, &Value)> {
    if let Some(tag) = &node.tag {
        return Some((tag.trim_start_matches('!'), &node.value));
    }
    let [Entry { key, value, .. }] = node.entries() else { return None };
    let name = if key == "Ref" { key } else { key.strip_prefix("Fn::")? };
    Some((name, &value.value))
}

/// What a value comes to, with what it refers to as `${Name}` or `${Name.Attribute}`, whichever way it was written.
/// Nothing for lists and maps, and for what depends on a condition or is looked up.
pub(crate) fn text_of(node: &Node) -> Option<String> {
    match (call(node), &node.value) {
        (None, Value::Text(text)) => Some(text.clone()),
        (Some(("Ref" | "GetAtt", Value::Text(name))), _) => Some(format!("${{{name}}}")),
        (Some(("GetAtt", Value::List(parts))), _) => Some(format!("${{{}}}", joined(parts, ".")?)),
        (Some(("Sub", Value::Text(text))), _) => Some(text.clone()),
        (Some(("Sub", Value::List(parts))), _) => substituted(parts),
        (Some(("Join", Value::List(parts))), _) => match parts.as_slice() {
            [Node { value: Value::Text(between), .. }, Node { value: Value::List(parts), .. }] => {
                joined(parts, between)
            }
            _ => None,
        },
        _ => None,
    }
}

fn joined(parts: &[Node], between: &str) -> Option<String> {
    Some(parts.iter().map(text_of).collect::<Option<Vec<_>>>()?.join(between))
}

/// `!Sub [text, {Name: value}]`
fn substituted(parts: &[Node]) -> Option<String> {
    let [Node { value: Value::Text(text), .. }, values] = parts else { return None };
    let mut text = text.clone();
    for Entry { key, value, .. } in values.entries() {
        text = text.replace(&format!("${{{key}}}"), &text_of(value)?);
    }
    Some(text)
}

pub(crate) fn number_of(node: &Node) -> Option<u64> {
    text_of(node)?.parse().ok()
}

/// The values a node may have, whatever its conditions come to; `AWS::NoValue` is none.
pub(crate) fn choices(node: &Node) -> Vec<&Node> {
    match call(node) {
        Some(("If", Value::List(parts))) => parts.iter().skip(1).flat_map(choices).collect(),
        Some(("Ref", Value::Text(name))) if name == "AWS::NoValue" => Vec::new(),
        _ => vec![node],
    }
}

/// The elements a list may have, whatever its conditions come to; a single value counts as a list of one.
pub(crate) fn elements(node: &Node) -> Vec<&Node> {
    let lists = choices(node).into_iter();
    lists
        .flat_map(|node| match &node.value {
            Value::List(items) if call(node).is_none() => items.iter().flat_map(choices).collect(),
            _ => vec![node],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(nodes: &[&Node]) -> Vec<String> {
        nodes.iter().filter_map(|node| text_of(node)).collect()
    }

    #[test]
    fn both_forms_of_a_function_come_to_the_same() {
        for (short, long, expected) in [
            ("!Ref Queue", "{Ref: Queue}", "${Queue}"),
            ("!GetAtt Queue.Arn", "{'Fn::GetAtt': [Queue, Arn]}", "${Queue.Arn}"),
            ("!Sub '${A}-b'", "{'Fn::Sub': '${A}-b'}", "${A}-b"),
            ("!Sub ['${A}-b', {A: !Ref C}]", "{'Fn::Sub': ['${A}-b', {A: {Ref: C}}]}", "${C}-b"),
            ("!Join ['-', [a, !Ref B]]", "{'Fn::Join': ['-', [a, {Ref: B}]]}", "a-${B}"),
        ] {
            for text in [short, long] {
                assert_eq!(text_of(&yaml::parse(text).unwrap()).as_deref(), Some(expected), "{text}");
            }
        }
        for text in ["!If [A, b, c]", "!Select [0, [a]]", "[a]", "{A: b}", "!ImportValue a"] {
            assert_eq!(text_of(&yaml::parse(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn conditions_are_all_looked_at() {
        let node = yaml::parse("- a\n- !If [B, c, !Ref AWS::NoValue]\n- {'Fn::If': [B, d, e]}\n").unwrap();
        assert_eq!(texts(&elements(&node)), ["a", "c", "d", "e"]);
        let node = yaml::parse("!If [A, [b, c], !Ref AWS::NoValue]").unwrap();
        assert_eq!(texts(&elements(&node)), ["b", "c"]);
        assert_eq!(texts(&elements(&yaml::parse("a").unwrap())), ["a"]);
        assert_eq!(texts(&elements(&yaml::parse("!Sub a").unwrap())), ["a"]);
    }

    #[test]
    fn references_are_followed_through_stacks() {
        let root = "Resources:\n  A: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: infra/a.yaml}}\n  \
            B:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      TemplateURL: infra/b.yaml\n      \
            Parameters: {Given: !GetAtt A.Outputs.Queue, Url: !GetAtt A.Outputs.Url, Circle: !GetAtt B.Outputs.Circle}\n";
        let a = "Resources:\n  Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub '${Prefix}-q'}}\n\
            Outputs: {Queue: {Value: !GetAtt Q.Arn}, Url: {Value: !Ref Q}}\n";
        let b = "Resources: {}\nOutputs: {Circle: {Value: !Ref Circle}}\n";
        let tree =
            Tree::of(&[("template.yaml", root), ("infra/a.yaml", a), ("infra/b.yaml", b), ("infra/x/c.yaml", "")]);
        let templates = Templates::of(&tree);
        assert_eq!(templates.all.len(), 3);
        let found = |text: &str| {
            let template = templates.at("infra/b.yaml").unwrap();
            let queue = templates.of_arn(template, text, "AWS::SQS::Queue", "QueueName");
            queue.map(|queue| (queue.template.path.as_str(), queue.id, queue.line))
        };
        let queue = Some(("infra/a.yaml", "Q", 2));
        assert_eq!(found("${Given}"), queue);
        assert_eq!(found("arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}-q"), queue);
        assert_eq!(found("arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}-r"), None);
        assert_eq!(found("${Url}"), None, "no ARN");
        assert_eq!(found("${Circle}"), None);
        assert_eq!(found("${Unknown}"), None);
    }

    #[test]
    fn functions_have_their_place() {
        assert_eq!(place("tokens-get-clusters"), ("infra/tokens.yaml".into(), "TokensGetClusters".into()));
    }
}
