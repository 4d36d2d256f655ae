//! Functions with what each needs beside it: its own role, a log group that ends, an alarm.

use super::{Finding, House, beside, is_text, names, unlike, wrong};
use crate::inventory::Inventory;
use crate::template::{FUNCTION, Resource, Template, elements, number_of, place, text_of};
use crate::yaml::Node;

const ROLE: &str = "AWS::IAM::Role";
const LOGS: &str = "AWS::Logs::LogGroup";
const ALARM: &str = "AWS::CloudWatch::Alarm";

/// API Gateway answers for a function that takes longer, and its caller never learns what became of the request.
const GATEWAY_SECONDS: u64 = 29;
/// Cognito gives a trigger that takes longer up, and fails what its user asked for.
const TRIGGER_SECONDS: u64 = 5;

pub(in super::super) fn every_function_is_in_its_stack(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in house.inventory.functions() {
        let (path, id) = place(name);
        let Some(template) = house.templates.at(&path) else {
            found.push(Finding::of(&path, "expected the stack of this domain's functions"));
            continue;
        };
        let Some(function) = template.resource(&id).filter(|function| function.kind == FUNCTION) else {
            found.push(Finding::of(&path, format!("expected `{id}` of type {FUNCTION}: the function `{name}`")));
            continue;
        };
        found.extend(unlike(&function, &["FunctionName"], &[&format!("${{Prefix}}-{name}")]));
        found.extend(unlike(&function, &["CodeUri"], &[&format!("../target/lambda/{name}/")]));
        found.extend(unlike(&function, &["Role"], &[&format!("${{{id}Role.Arn}}")]));
        found.extend(beside(&function, "Role", ROLE).err());
    }
    found
}

/// What is left of a function that is gone, or never was one.
pub(in super::super) fn no_other_function_is_in_a_stack(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for resource in house.templates.resources() {
        let is_function = [FUNCTION, "AWS::Lambda::Function"].contains(&resource.kind);
        let is_of_a_domain = domain_functions(&house.inventory, resource.template).next().is_some();
        let ending = match resource.kind {
            _ if is_function => "",
            ROLE if is_of_a_domain => "Role",
            LOGS if is_of_a_domain => "Logs",
            _ => continue,
        };
        let mut ids = domain_functions(&house.inventory, resource.template);
        let is_known = ids.any(|id| resource.id == format!("{id}{ending}"));
        if !is_known || resource.kind == "AWS::Lambda::Function" {
            let expected = format!("a function that `lambdas` lists, of type {FUNCTION}, in its domain's stack");
            let whose = if is_function { "" } else { "to belong to " };
            found.push(wrong(&resource, &[], format!("{whose}{expected}")));
        }
    }
    found
}

/// Logical ids of the functions whose stack this is.
fn domain_functions<'a>(inventory: &'a Inventory, template: &'a Template) -> impl Iterator<Item = String> + 'a {
    inventory.functions().map(place).filter(|(path, _)| *path == template.path).map(|(_, id)| id)
}

pub(in super::super) fn functions_have_time_and_memory(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, function) in house.templates.functions(&house.inventory) {
        if function.setting("MemorySize").and_then(number_of).is_none() {
            found.push(wrong(&function, &["MemorySize"], "MiB, here or in `Globals`"));
        }
        let is_endpoint = house.inventory.endpoints.iter().any(|endpoint| endpoint.name == name);
        let is_trigger = house.inventory.triggers.iter().any(|trigger| trigger.name == name && trigger.by_pool);
        match function.setting("Timeout").and_then(number_of) {
            None => found.push(wrong(&function, &["Timeout"], "seconds, here or in `Globals`")),
            Some(seconds) if is_endpoint && seconds >= GATEWAY_SECONDS => {
                let what = format!("less than the gateway's {GATEWAY_SECONDS} seconds, not {seconds}");
                found.push(wrong(&function, &["Timeout"], what));
            }
            Some(seconds) if is_trigger && seconds > TRIGGER_SECONDS => {
                let what = format!("at most the {TRIGGER_SECONDS} seconds that Cognito waits, not {seconds}");
                found.push(wrong(&function, &["Timeout"], what));
            }
            Some(_) => {}
        }
    }
    found
}

pub(in super::super) fn logs_are_kept_and_end(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, function) in house.templates.functions(&house.inventory) {
        let names = names(&function, name).map(|name| format!("/aws/lambda/{name}"));
        match beside(&function, "Logs", LOGS) {
            Ok(logs) => found.extend(unlike(&logs, &["LogGroupName"], &[&names[1], &names[0]])),
            Err(missing) => found.push(missing),
        }
    }
    for logs in house.templates.of_kind(LOGS) {
        if logs.at(&["RetentionInDays"]).is_none_or(|days| elements(days).is_empty()) {
            found.push(wrong(&logs, &["RetentionInDays"], "days: logs that never end are never read and always paid"));
        }
    }
    found
}

pub(in super::super) fn every_function_has_an_alarm(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, function) in house.templates.functions(&house.inventory) {
        match beside(&function, "Alarm", ALARM) {
            Ok(alarm) => found.extend(wrong_in_alarm(&alarm, &names(&function, name))),
            Err(missing) => found.push(missing),
        }
    }
    found
}

fn wrong_in_alarm(alarm: &Resource<'_>, names: &[String; 2]) -> Vec<Finding> {
    let mut found: Vec<_> = [("Namespace", "AWS/Lambda"), ("MetricName", "Errors")]
        .into_iter()
        .filter_map(|(property, expected)| unlike(alarm, &[property], &[expected]))
        .collect();
    let dimensions = alarm.at(&["Dimensions"]).map(elements).unwrap_or_default();
    let is_function = |node: &&Node| {
        let value = node.get("Value").and_then(text_of);
        node.get("Name").is_some_and(|name| is_text(name, "FunctionName"))
            && value.is_some_and(|value| names.contains(&value))
    };
    if dimensions.len() != 1 || !dimensions.iter().all(is_function) {
        found.push(wrong(alarm, &["Dimensions"], format!("`FunctionName` alone, with the value `{}`", names[0])));
    }
    if alarm.at(&["AlarmActions"]).map(elements).unwrap_or_default().is_empty() {
        found.push(wrong(alarm, &["AlarmActions"], "somebody to be told"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, found, house, without};
    use super::*;
    use crate::inventory::Trigger;

    const TOKENS: &str = "infra/tokens.yaml";

    #[test]
    fn functions_in_step_have_no_findings() {
        for rule in [
            every_function_is_in_its_stack,
            no_other_function_is_in_a_stack,
            functions_have_time_and_memory,
            logs_are_kept_and_end,
            every_function_has_an_alarm,
        ] {
            assert_eq!(rule(&house()), []);
        }
    }

    #[test]
    fn a_function_that_is_missing_or_another_is_found() {
        let expect = |from: &str, to: &str, expected: &str| {
            assert_eq!(found(every_function_is_in_its_stack(&broken(TOKENS, from, to))), [expected]);
        };
        expect(
            "  TokensGetNotes:\n",
            "  TokensGetLetters:\n",
            "infra/tokens.yaml: expected `TokensGetNotes` of type AWS::Serverless::Function: the function \
             `tokens-get-notes`",
        );
        expect(
            "FunctionName: !Sub ${Prefix}-tokens-get-notes",
            "FunctionName: tokens-get-notes",
            "infra/tokens.yaml:`TokensGetNotes.FunctionName`: expected `${Prefix}-tokens-get-notes`, not \
             `tokens-get-notes`",
        );
        expect(
            "CodeUri: ../target/lambda/tokens-get-notes/",
            "CodeUri: ../target/lambda/tokens-refresh-notes/",
            "infra/tokens.yaml:`TokensGetNotes.CodeUri`: expected `../target/lambda/tokens-get-notes/`, not \
             `../target/lambda/tokens-refresh-notes/`",
        );
        expect(
            "Role: !GetAtt TokensGetNotesRole.Arn",
            "Role: !GetAtt TokensRefreshNotesRole.Arn",
            "infra/tokens.yaml:`TokensGetNotes.Role`: expected `${TokensGetNotesRole.Arn}`, not \
             `${TokensRefreshNotesRole.Arn}`",
        );
        expect(
            "  TokensGetNotesRole:\n",
            "  TokensGetNotesRight:\n",
            "infra/tokens.yaml:`TokensGetNotes`: expected `TokensGetNotesRole` beside it, of type AWS::IAM::Role",
        );
        let missing = found(every_function_is_in_its_stack(&without("infra/jobs.yaml")));
        assert_eq!(missing[0], "infra/jobs.yaml: expected the stack of this domain's functions");
    }

    #[test]
    fn a_function_nobody_lists_and_what_is_left_of_one_are_found() {
        let gone = "\n  TokensGetGone: {Type: AWS::Serverless::Function}\n  TokensGetGoneRole: {Type: AWS::IAM::Role}\n  \
            TokensGetGoneLogs: {Type: AWS::Logs::LogGroup}\n  TokensGetNotes:\n";
        let house = broken(TOKENS, "\n  TokensGetNotes:\n", gone);
        let function = "a function that `lambdas` lists, of type AWS::Serverless::Function, in its domain's stack";
        assert_eq!(
            found(no_other_function_is_in_a_stack(&house)),
            [
                format!("infra/tokens.yaml:`TokensGetGone`: expected {function}"),
                format!("infra/tokens.yaml:`TokensGetGoneRole`: expected to belong to {function}"),
                format!("infra/tokens.yaml:`TokensGetGoneLogs`: expected to belong to {function}"),
            ]
        );
        let elsewhere = broken("template.yaml", "Resources:", "Resources:\n  Odd: {Type: AWS::Lambda::Function}");
        assert_eq!(
            found(no_other_function_is_in_a_stack(&elsewhere)),
            [format!("template.yaml:`Odd`: expected {function}")]
        );
    }

    #[test]
    fn a_function_without_time_or_memory_or_slower_than_the_gateway_is_found() {
        let expect = |from: &str, to: &str, expected: &[&str]| {
            assert_eq!(found(functions_have_time_and_memory(&broken(TOKENS, from, to))), expected);
        };
        expect(
            "    MemorySize: 256\n",
            "",
            &[
                "infra/tokens.yaml:`TokensGetNotes.MemorySize`: expected MiB, here or in `Globals`",
                "infra/tokens.yaml:`TokensRefreshNotes.MemorySize`: expected MiB, here or in `Globals`",
            ],
        );
        expect(
            "    Timeout: 28\n",
            "",
            &["infra/tokens.yaml:`TokensGetNotes.Timeout`: expected seconds, here or in `Globals`"],
        );
        expect(
            "    Timeout: 28\n",
            "    Timeout: 29\n",
            &["infra/tokens.yaml:`TokensGetNotes.Timeout`: expected less than the gateway's 29 seconds, not 29"],
        );
        expect("      Timeout: 120\n", "      Timeout: 300\n", &[]);
    }

    #[test]
    fn a_trigger_that_takes_longer_than_its_service_waits_is_found() {
        let mut house = house();
        house.inventory.schedules.clear();
        house.inventory.triggers = vec![Trigger { name: "jobs-sweep-old".into(), by_pool: true }];
        assert_eq!(
            found(functions_have_time_and_memory(&house)),
            ["infra/jobs.yaml:`JobsSweepOld.Timeout`: expected at most the 5 seconds that Cognito waits, not 30"]
        );
    }

    #[test]
    fn logs_without_an_end_are_found_whosever_they_are() {
        let house = broken(TOKENS, "      RetentionInDays: !Ref LogRetentionDays\n", "");
        let expected = "expected days: logs that never end are never read and always paid";
        assert_eq!(
            found(logs_are_kept_and_end(&house)),
            [
                format!("infra/tokens.yaml:`TokensGetNotesLogs.RetentionInDays`: {expected}"),
                format!("infra/tokens.yaml:`TokensRefreshNotesLogs.RetentionInDays`: {expected}"),
            ]
        );
        let house = broken("template.yaml", "Resources:", "Resources:\n  ApiLogs: {Type: AWS::Logs::LogGroup}");
        assert_eq!(
            found(logs_are_kept_and_end(&house)),
            [format!("template.yaml:`ApiLogs.RetentionInDays`: {expected}")]
        );
    }

    #[test]
    fn logs_of_another_name_are_found() {
        let house = broken(TOKENS, "/aws/lambda/${Prefix}-tokens-get-notes", "/aws/lambda/notes");
        assert_eq!(
            found(logs_are_kept_and_end(&house)),
            ["infra/tokens.yaml:`TokensGetNotesLogs.LogGroupName`: expected \
              `/aws/lambda/${Prefix}-tokens-get-notes`, not `/aws/lambda/notes`"]
        );
        let house = broken(TOKENS, "  TokensGetNotesLogs:\n", "  Logs:\n");
        assert_eq!(
            found(logs_are_kept_and_end(&house)),
            [
                "infra/tokens.yaml:`TokensGetNotes`: expected `TokensGetNotesLogs` beside it, of type AWS::Logs::LogGroup"
            ]
        );
    }

    #[test]
    fn an_alarm_that_does_not_ring_is_found() {
        let jobs = "infra/jobs.yaml";
        let expect = |from: &str, to: &str, expected: &str| {
            let house = broken(jobs, from, to);
            let expected = format!("infra/jobs.yaml:`JobsSweepOldAlarm.{expected}");
            assert!(found(every_function_has_an_alarm(&house)).contains(&expected), "{expected}");
        };
        expect("MetricName: Errors", "MetricName: Duration", "MetricName`: expected `Errors`, not `Duration`");
        expect("Namespace: AWS/Lambda", "Namespace: AWS/SQS", "Namespace`: expected `AWS/Lambda`, not `AWS/SQS`");
        expect(
            "Value: !Ref JobsSweepOld}",
            "Value: !Ref JobsFailDeadLetters}",
            "Dimensions`: expected `FunctionName` alone, with the value `${JobsSweepOld}`",
        );
        expect("      AlarmActions: [!Ref AlarmTopic]\n", "", "AlarmActions`: expected somebody to be told");
        expect("AlarmActions: [!Ref AlarmTopic]", "AlarmActions: []", "AlarmActions`: expected somebody to be told");
        let missing = found(every_function_has_an_alarm(&broken(jobs, "  JobsSweepOldAlarm:\n", "  Alarm:\n")));
        let expected = "expected `JobsSweepOldAlarm` beside it, of type AWS::CloudWatch::Alarm";
        assert_eq!(missing, [format!("infra/jobs.yaml:`JobsSweepOld`: {expected}")]);
    }
}
