//! Nobody may do or reach more than is named.

use serde_json::Value;

use super::{Finding, House, beside};
use crate::inventory::Endpoint;
use crate::template::{Resource, Template, elements, text_of};
use crate::yaml::Node;

/// Amazon's own policies that may be attached: network interfaces have no names to give.
const MANAGED: &[&str] = &["AWSLambdaVPCAccessExecutionRole", "AWSLambdaENIManagementAccess"];

pub(in super::super) fn no_one_may_everything(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for template in &house.templates.all {
        for map in template.root.maps() {
            if map.get("Effect").and_then(text_of).is_some_and(|effect| effect == "Allow") {
                found.extend(wrong_in_statement(template, map));
            }
            if let Some(managed) = map.get("ManagedPolicyArns") {
                found.extend(wrong_in_managed(template, managed));
            }
        }
    }
    found
}

/// A `Deny` may say `*`: it takes away.
fn wrong_in_statement(template: &Template, statement: &Node) -> Vec<Finding> {
    let mut found = Vec::new();
    for inverse in ["NotAction", "NotResource", "NotPrincipal"].into_iter().filter_map(|key| statement.entry(key)) {
        let what = format!("`{}`: expected what is allowed, not what is not", inverse.key);
        found.push(Finding::at(&template.path, inverse.line, what));
    }
    for (key, is_named, expected) in [
        ("Action", is_one_action as fn(&Template, &str) -> bool, "each action by name"),
        ("Resource", is_one_resource, "each resource by name; `/*` only behind a prefix in a bucket, `:*` behind logs"),
    ] {
        for node in statement.get(key).map(elements).unwrap_or_default() {
            let text = text_of(node);
            if !text.as_deref().is_some_and(|text| is_named(template, text)) {
                let text = text.unwrap_or_else(|| "…".into());
                found.push(Finding::at(&template.path, node.line, format!("{key} `{text}`: expected {expected}")));
            }
        }
    }
    let principals = statement.get("Principal").map(|node| match node.entries() {
        [] => vec![node],
        entries => entries.iter().map(|entry| &entry.value).collect(),
    });
    for node in principals.unwrap_or_default().into_iter().flat_map(elements) {
        if text_of(node).is_some_and(|text| text == "*") {
            found.push(Finding::at(&template.path, node.line, "Principal `*`: expected who may"));
        }
    }
    found
}

fn is_one_action(_: &Template, text: &str) -> bool {
    !text.contains('*')
}

fn is_one_resource(template: &Template, text: &str) -> bool {
    match text.split_once('*') {
        None => true,
        Some((before, "")) => is_prefix_in_bucket(template, before) || is_log_group(template, before),
        Some(_) => false,
    }
}

/// `arn:aws:s3:::bucket/prefix/` or `${Bucket.Arn}/prefix/`
fn is_prefix_in_bucket(template: &Template, text: &str) -> bool {
    let Some((bucket, prefix)) = text.split_once('/') else { return false };
    let is_bucket = bucket.contains(":s3:::") || is_of(template, bucket, "AWS::S3::Bucket", "Bucket");
    is_bucket && prefix.len() > 1 && prefix.ends_with('/')
}

/// `arn:aws:logs:…:log-group:…:` or `${Logs.Arn}:`
fn is_log_group(template: &Template, text: &str) -> bool {
    let Some(group) = text.strip_suffix(':') else { return false };
    (group.contains(":logs:") && group.contains(":log-group:/"))
        || is_of(template, group, "AWS::Logs::LogGroup", "Logs")
}

/// Is this the ARN of a resource of this kind, or of a parameter that is called so?
fn is_of(template: &Template, text: &str, kind: &str, called: &str) -> bool {
    let Some(name) = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')) else { return false };
    match template.resource(name.trim_end_matches(".Arn")) {
        Some(resource) => resource.kind == kind,
        None => name.contains(called),
    }
}

/// Where it is kept which tokens were signed out before they ended, as in `access::tables`.
const SIGN_OUTS: &str = "signouts";

/// A function that cannot read them takes every token until it ends: nothing fails, so nobody would notice.
pub(in super::super) fn closed_endpoints_read_sign_outs(house: &House) -> Vec<Finding> {
    let document: Value = serde_json::from_str(&house.inventory.document).unwrap_or_default();
    let mut found = Vec::new();
    for endpoint in house.inventory.endpoints.iter().filter(|endpoint| is_closed(endpoint, &document)) {
        let Some(function) = house.templates.function(&endpoint.name) else { continue };
        let Ok(role) = beside(&function, "Role", "AWS::IAM::Role") else { continue };
        if !role
            .at(&["Policies"])
            .is_some_and(|policies| policies.maps().into_iter().any(|map| reads_sign_outs(house, &role, map)))
        {
            let what = format!("`{}`: expected it to allow dynamodb:GetItem on the table `{SIGN_OUTS}`", role.id);
            found.push(Finding::at(&role.template.path, role.line, what));
        }
    }
    found
}

fn is_closed(endpoint: &Endpoint, document: &Value) -> bool {
    let is_closed = |(method, path): &(String, String)| {
        document["paths"][path][method.to_lowercase()]["security"].as_array().is_some_and(|ways| !ways.is_empty())
    };
    endpoint.routes.iter().any(is_closed)
}

fn reads_sign_outs(house: &House, role: &Resource<'_>, statement: &Node) -> bool {
    let texts = |key| statement.get(key).map(elements).unwrap_or_default().into_iter().filter_map(text_of);
    let name = format!("${{Prefix}}-{SIGN_OUTS}");
    let is_table = |text: String| {
        let table = house.templates.of_arn(role.template, &text, "AWS::DynamoDB::Table", "TableName");
        text.ends_with(&format!(":table/{name}"))
            || table.and_then(|table| table.text(&["TableName"])).is_some_and(|other| other == name)
    };
    texts("Effect").any(|effect| effect == "Allow")
        && texts("Action").any(|action| action == "dynamodb:GetItem")
        && texts("Resource").any(is_table)
}

fn wrong_in_managed(template: &Template, managed: &Node) -> Vec<Finding> {
    let mut found = Vec::new();
    for node in elements(managed) {
        let text = text_of(node).unwrap_or_else(|| "…".into());
        let name = text.rsplit('/').next().unwrap_or_default();
        if !MANAGED.contains(&name) {
            let what = format!("`{text}`: expected statements of its own; of Amazon's only {}", MANAGED.join(", "));
            found.push(Finding::at(&template.path, node.line, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, found, house};
    use super::*;

    /// Findings in a copy of the sample in which the role of notes may do this with that.
    fn may(action: &str, resource: &str) -> Vec<String> {
        let from = "                Action: dynamodb:Query\n                Resource: !Sub arn:${AWS::Partition}:dynamodb:\
            ${AWS::Region}:${AWS::AccountId}:table/${Prefix}-notes\n";
        let to = format!("                Action: {action}\n                Resource: {resource}\n");
        found(no_one_may_everything(&broken("infra/tokens.yaml", from, &to)))
    }

    #[test]
    fn what_is_named_is_fine() {
        assert_eq!(no_one_may_everything(&house()), []);
        for resource in [
            "!GetAtt TokensGetNotesLogs.Arn",
            "!Sub ${TokensGetNotesLogs.Arn}:*",
            "!Sub arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/lambda/${Prefix}-a:*",
            "!Sub arn:${AWS::Partition}:s3:::${BlobBucket}/reports/*",
            "!Sub ${BlobBucketArn}/reports/*",
            "[!If [A, !GetAtt B.Arn, !Ref AWS::NoValue]]",
        ] {
            assert_eq!(may("[dynamodb:Query]", resource), Vec::<String>::new(), "{resource}");
        }
    }

    #[test]
    fn stars_are_found() {
        let table = "!Sub arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Prefix}-notes";
        for action in ["'*'", "dynamodb:*", "dynamodb:Get*", "[dynamodb:Query, 'dynamodb:*']"] {
            assert_eq!(may(action, table).len(), 1, "{action}");
        }
        for resource in [
            "'*'",
            "['*']",
            "!Sub ${Table.Arn}/index/*",
            "!Sub arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Prefix}-*",
            "!Sub arn:${AWS::Partition}:s3:::*",
            "!Sub arn:${AWS::Partition}:s3:::${BlobBucket}/*",
            "!Sub ${BlobBucketArn}/*",
            "!Sub arn:${AWS::Partition}:s3:::${BlobBucket}/*/a",
            "!Sub arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:*",
            "!If [A, '*', !Ref AWS::NoValue]",
            "!ImportValue Something",
        ] {
            assert_eq!(may("dynamodb:Query", resource).len(), 1, "{resource}");
        }
        assert_eq!(may("dynamodb:*", table), ["infra/tokens.yaml:Action `dynamodb:*`: expected each action by name"]);
    }

    #[test]
    fn other_ways_to_allow_everything_are_found() {
        let with = |to: &str| {
            let house = broken("infra/tokens.yaml", "                Action: dynamodb:Query\n", to);
            found(no_one_may_everything(&house))
        };
        assert_eq!(
            with("                NotAction: dynamodb:Query\n"),
            ["infra/tokens.yaml:`NotAction`: expected what is allowed, not what is not"]
        );
        assert_eq!(
            with("                Action: dynamodb:Query\n                Principal: '*'\n"),
            ["infra/tokens.yaml:Principal `*`: expected who may"]
        );
        assert_eq!(with("                Action: dynamodb:Query\n                Principal: {AWS: ['*']}\n").len(), 1);
        let (network, all) = ("AWSLambdaVPCAccessExecutionRole", "AdministratorAccess");
        let managed = found(no_one_may_everything(&broken("infra/jobs.yaml", network, all)));
        assert!(managed[0].contains("AdministratorAccess`: expected statements of its own"), "{managed:?}");
    }

    #[test]
    fn a_closed_endpoint_that_does_not_see_sign_outs_is_found() {
        let with = |action: &str, table: &str, security: &str| {
            let text =
                format!("{action}\n                Resource: !Sub arn:aws:dynamodb:eu:1:table/${{Prefix}}-{table} #");
            let mut house = broken("infra/tokens.yaml", "dynamodb:Query\n                Resource: !Sub", &text);
            house.inventory.document =
                format!(r#"{{"paths":{{"/v1/tokens/{{chain}}/notes":{{"get":{{"security":{security}}}}}}}}}"#);
            found(closed_endpoints_read_sign_outs(&house))
        };
        let closed = r#"[{"bearer":[]}]"#;
        assert_eq!(with("[dynamodb:GetItem, dynamodb:Query]", "signouts", closed), Vec::<String>::new());
        assert_eq!(with("dynamodb:Query", "notes", "[]"), Vec::<String>::new());
        let expected = "expected it to allow dynamodb:GetItem on the table `signouts`";
        for (action, table) in [("dynamodb:Query", "signouts"), ("dynamodb:GetItem", "notes")] {
            assert_eq!(with(action, table, closed), [format!("infra/tokens.yaml:`TokensGetNotesRole`: {expected}")]);
        }
    }

    #[test]
    fn taking_away_everything_is_fine() {
        let house = broken(
            "infra/tokens.yaml",
            "- Effect: Allow\n                Action: dynamodb:Query\n",
            "- Effect: Deny\n                Action: '*'\n",
        );
        assert_eq!(no_one_may_everything(&house), []);
    }
}
