//! Tables are as the code asks them: `access::tables`.

use super::{Finding, House, unlike, wrong};
use crate::inventory::Table;
use crate::template::{ROOT, Resource, elements, text_of};
use crate::yaml::Node;

pub(in super::super) fn tables_are_as_the_code_says(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    let tables = &house.inventory.tables;
    let is_kind = |kind: &str| kind.starts_with("AWS::DynamoDB::") || kind == "AWS::Serverless::SimpleTable";
    let all: Vec<_> = house.templates.resources().filter(|resource| is_kind(resource.kind)).collect();
    let is_named = |resource: &Resource<'_>, table: &Table| {
        resource.text(&["TableName"]).is_some_and(|name| name == format!("${{Prefix}}-{}", table.name))
    };
    for table in tables {
        match all.iter().find(|resource| is_named(resource, table)) {
            Some(resource) => found.extend(wrong_in_table(resource, table, &house.inventory.expires_at)),
            None => {
                let what = format!("expected a table named `${{Prefix}}-{}`, here or in a nested stack", table.name);
                found.push(Finding::of(ROOT, what));
            }
        }
    }
    for resource in all.iter().filter(|resource| !tables.iter().any(|table| is_named(resource, table))) {
        found.push(wrong(resource, &["TableName"], "a table of `access::tables::TABLES`"));
    }
    found
}

fn wrong_in_table(resource: &Resource<'_>, table: &Table, expires_at: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let compare = |found: &mut Vec<Finding>, path: &str, is: String, expected: String| {
        if is != expected {
            found.push(wrong(resource, &[path], format!("{expected}, not {is}")));
        }
    };
    let keys = resource.at(&["KeySchema"]).map(keys_of).unwrap_or_default();
    compare(
        &mut found,
        "KeySchema",
        keys,
        key_text(&table.partition_key, table.sort_key.as_ref().map(|key| key.name.as_str())),
    );

    let attributes = resource.at(&["AttributeDefinitions"]);
    compare(&mut found, "AttributeDefinitions", attributes.map(attributes_of).unwrap_or_default(), types(table));

    let indexes = resource.at(&["GlobalSecondaryIndexes"]).map(elements).unwrap_or_default();
    let is: Vec<_> = indexes.iter().map(|index| index_of(index)).collect();
    let expected = table
        .index
        .iter()
        .map(|index| format!("{} by {} with ALL", index.name, key_text(&index.partition_key, Some(&index.sort_key))));
    let or_none = |texts: Vec<String>| if texts.is_empty() { "none".to_owned() } else { texts.join(" and ") };
    compare(&mut found, "GlobalSecondaryIndexes", or_none(is), or_none(expected.collect()));

    found.extend(unlike(resource, &["TimeToLiveSpecification", "AttributeName"], &[expires_at]));
    found.extend(unlike(resource, &["TimeToLiveSpecification", "Enabled"], &["true"]));
    found
}

fn key_text(partition: &str, sort: Option<&str>) -> String {
    sort.map_or_else(|| format!("{partition}:HASH"), |sort| format!("{partition}:HASH {sort}:RANGE"))
}

/// Types of all keys, by name.
fn types(table: &Table) -> String {
    let mut types = vec![format!("{}:S", table.partition_key)];
    types.extend(table.sort_key.iter().map(|key| format!("{}:{}", key.name, key.attribute_type)));
    if let Some(index) = &table.index {
        types.extend([format!("{}:S", index.partition_key), format!("{}:N", index.sort_key)]);
    }
    types.sort();
    types.join(" ")
}

fn keys_of(node: &Node) -> String {
    pairs(node, "KeyType").join(" ")
}

fn attributes_of(node: &Node) -> String {
    let mut attributes = pairs(node, "AttributeType");
    attributes.sort();
    attributes.join(" ")
}

fn pairs(node: &Node, second: &str) -> Vec<String> {
    let text = |node: &Node, key| node.get(key).and_then(text_of).unwrap_or_default();
    elements(node).into_iter().map(|node| format!("{}:{}", text(node, "AttributeName"), text(node, second))).collect()
}

fn index_of(node: &Node) -> String {
    let name = node.get("IndexName").and_then(text_of).unwrap_or_default();
    let keys = node.get("KeySchema").map(keys_of).unwrap_or_default();
    let projection = node.get("Projection").and_then(|node| node.get("ProjectionType")).and_then(text_of);
    format!("{name} by {keys} with {}", projection.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, found, house};
    use super::*;
    use crate::inventory::SortKey;

    #[test]
    fn a_table_unlike_the_codes_is_found() {
        assert_eq!(tables_are_as_the_code_says(&house()), []);
        let table = "infra/jobs.yaml:`JobsTable";
        for (from, to, expected) in [
            (
                "{AttributeName: job, KeyType: HASH}",
                "{AttributeName: job, KeyType: RANGE}",
                ".KeySchema`: expected job:HASH, not job:RANGE",
            ),
            (
                "{AttributeName: leaseUntil, AttributeType: N}",
                "{AttributeName: leaseUntil, AttributeType: S}",
                ".AttributeDefinitions`: expected job:S leaseUntil:N open:S, not job:S leaseUntil:S open:S",
            ),
            (
                "IndexName: open-jobs",
                "IndexName: jobs",
                ".GlobalSecondaryIndexes`: expected open-jobs by open:HASH leaseUntil:RANGE with ALL, not jobs by \
                 open:HASH leaseUntil:RANGE with ALL",
            ),
            (
                "ProjectionType: ALL",
                "ProjectionType: KEYS_ONLY",
                ".GlobalSecondaryIndexes`: expected open-jobs by open:HASH leaseUntil:RANGE with ALL, not open-jobs by \
                 open:HASH leaseUntil:RANGE with KEYS_ONLY",
            ),
            (
                "GlobalSecondaryIndexes:",
                "LocalSecondaryIndexes:",
                ".GlobalSecondaryIndexes`: expected open-jobs by open:HASH leaseUntil:RANGE with ALL, not none",
            ),
            (
                "{AttributeName: expiresAt, Enabled: true}",
                "{AttributeName: ttl, Enabled: true}",
                ".TimeToLiveSpecification.AttributeName`: expected `expiresAt`, not `ttl`",
            ),
            (
                "{AttributeName: expiresAt, Enabled: true}",
                "{AttributeName: expiresAt, Enabled: false}",
                ".TimeToLiveSpecification.Enabled`: expected `true`, not `false`",
            ),
        ] {
            let house = broken("infra/jobs.yaml", from, to);
            assert_eq!(found(tables_are_as_the_code_says(&house)), [format!("{table}{expected}")]);
        }
    }

    #[test]
    fn a_sort_key_of_another_type_is_found() {
        let range = "{AttributeName: job, KeyType: HASH}\n        - {AttributeName: step, KeyType: RANGE}";
        let mut house = broken("infra/jobs.yaml", "{AttributeName: job, KeyType: HASH}", range);
        house.inventory.tables[0].sort_key = Some(SortKey { name: "step".into(), attribute_type: "S".into() });
        assert_eq!(
            found(tables_are_as_the_code_says(&house)),
            ["infra/jobs.yaml:`JobsTable.AttributeDefinitions`: expected job:S leaseUntil:N open:S step:S, not job:S \
              leaseUntil:N open:S"]
        );
    }

    #[test]
    fn a_table_missing_and_one_too_many_are_found() {
        let house = broken("infra/jobs.yaml", "TableName: !Sub ${Prefix}-jobs", "TableName: !Sub ${Prefix}-work");
        assert_eq!(
            found(tables_are_as_the_code_says(&house)),
            [
                "infra/jobs.yaml:`JobsTable.TableName`: expected a table of `access::tables::TABLES`",
                "template.yaml: expected a table named `${Prefix}-jobs`, here or in a nested stack",
            ]
        );
    }
}
