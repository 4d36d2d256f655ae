//! Triggers are called by the user pool that names them, and by nobody else; those of operators by no service at all.

use super::{Finding, House, beside, names, unlike, wrong};
use crate::template::{FUNCTION, Resource, text_of};
use crate::yaml::{Entry, Node};

const POOL: &str = "AWS::Cognito::UserPool";
const PERMISSION: &str = "AWS::Lambda::Permission";
const COGNITO: &str = "cognito-idp.amazonaws.com";
/// Its permissions are held against routes.
const GATEWAY: &str = "apigateway.amazonaws.com";

/// A trigger whose pool may not call it fails whatever its pool is asked.
pub(in super::super) fn triggers_are_called_by_their_pool(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for trigger in house.inventory.triggers.iter().filter(|trigger| trigger.by_pool) {
        let Some(function) = house.templates.function(&trigger.name) else { continue };
        match beside(&function, "Permission", PERMISSION) {
            Ok(permission) => found.extend(wrong_in_permission(house, &permission, &function, &trigger.name)),
            Err(missing) => found.push(missing),
        }
        if !named(house).any(|(pool, entry)| function_of(house, &pool, entry).is_some_and(|it| it.id == function.id)) {
            let what = format!("`{}`: expected a {POOL} to name it in its LambdaConfig", function.id);
            found.push(Finding::at(&function.template.path, function.line, what));
        }
    }
    found
}

fn wrong_in_permission(house: &House, permission: &Resource<'_>, function: &Resource<'_>, name: &str) -> Vec<Finding> {
    let [id, whole_name] = names(function, name);
    let arn = format!("${{{}.Arn}}", function.id);
    let mut found: Vec<_> = [
        unlike(permission, &["FunctionName"], &[&id, &arn, &whole_name]),
        unlike(permission, &["Action"], &["lambda:InvokeFunction"]),
        unlike(permission, &["Principal"], &[COGNITO]),
    ]
    .into_iter()
    .flatten()
    .collect();
    let from = permission.text(&["SourceArn"]).unwrap_or_default();
    if house.templates.of_arn(permission.template, &from, POOL, "UserPoolName").is_none() {
        found.push(wrong(permission, &["SourceArn"], format!("the ARN of a {POOL}: every account has pools")));
    }
    found
}

/// What pools name in their `LambdaConfig`.
fn named(house: &House) -> impl Iterator<Item = (Resource<'_>, &Entry)> {
    house.templates.of_kind(POOL).flat_map(|pool| {
        let entries = pool.at(&["LambdaConfig"]).map(Node::entries).unwrap_or_default();
        entries.iter().map(move |entry| (pool, entry))
    })
}

fn function_of<'a>(house: &'a House, pool: &Resource<'a>, entry: &Entry) -> Option<Resource<'a>> {
    house.templates.of_arn(pool.template, &text_of(&entry.value)?, FUNCTION, "FunctionName")
}

pub(in super::super) fn nobody_else_calls(house: &House) -> Vec<Finding> {
    let by_pool = house.inventory.triggers.iter().filter(|trigger| trigger.by_pool);
    let triggers: Vec<_> = by_pool.filter_map(|trigger| house.templates.function(&trigger.name)).collect();
    let mut found = Vec::new();
    for (pool, entry) in named(house) {
        if !function_of(house, &pool, entry).is_some_and(|it| triggers.iter().any(|trigger| trigger.id == it.id)) {
            found.push(wrong(&pool, &["LambdaConfig", &entry.key], "a function that `lambdas::triggers()` lists"));
        }
    }
    for permission in house.templates.of_kind(PERMISSION) {
        let is_triggers = triggers.iter().any(|trigger| permission.id == format!("{}Permission", trigger.id));
        if !is_triggers && permission.text(&["Principal"]).is_none_or(|principal| principal != GATEWAY) {
            let what = format!("{GATEWAY} for a route, or the name and pool of a trigger");
            found.push(wrong(&permission, &["Principal"], what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::sample::found;
    use super::*;
    use crate::inventory::{Inventory, Trigger};
    use crate::tree::Tree;

    const ROOT: &str = "Resources:\n  Users:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      \
        TemplateURL: infra/users.yaml\n  Notes:\n    Type: AWS::CloudFormation::Stack\n    Properties:\n      \
        TemplateURL: infra/notes.yaml\n      Parameters: {PoolArn: !GetAtt Users.Outputs.PoolArn}\n";
    const USERS: &str = "Resources:\n  Pool:\n    Type: AWS::Cognito::UserPool\n    Properties:\n      \
        LambdaConfig:\n        CustomMessage: !Sub 'arn:${AWS::Partition}:lambda:eu:1:function:${Prefix}-notes-word-mail'\n\
        Outputs: {PoolArn: {Value: !GetAtt Pool.Arn}}\n";
    const NOTES: &str = "Resources:\n  NotesWordMail:\n    Type: AWS::Serverless::Function\n    Properties:\n      \
        FunctionName: !Sub ${Prefix}-notes-word-mail\n  NotesWordMailPermission:\n    Type: AWS::Lambda::Permission\n    \
        Properties:\n      FunctionName: !Ref NotesWordMail\n      Action: lambda:InvokeFunction\n      \
        Principal: cognito-idp.amazonaws.com\n      SourceArn: !Ref PoolArn\n";

    /// The sample with `from` written otherwise where it stands.
    fn with(from: &str, to: &str) -> House {
        let files = [("template.yaml", ROOT), ("infra/users.yaml", USERS), ("infra/notes.yaml", NOTES)];
        assert!(files.iter().any(|(_, text)| text.contains(from)), "{from}");
        let files = files.map(|(path, text)| (path, text.replace(from, to)));
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let triggers = vec![Trigger { name: "notes-word-mail".into(), by_pool: true }];
        House::new(Tree::of(&files), Inventory { triggers, ..Inventory::default() })
    }

    #[test]
    fn a_trigger_in_step_has_no_findings() {
        let house = with("NotesWordMail", "NotesWordMail");
        assert_eq!(triggers_are_called_by_their_pool(&house), []);
        assert_eq!(nobody_else_calls(&house), []);
    }

    #[test]
    fn a_trigger_that_its_pool_does_not_call_is_found() {
        let expect = |from: &str, to: &str, expected: &str| {
            let all = found(triggers_are_called_by_their_pool(&with(from, to)));
            assert_eq!(all, [format!("infra/notes.yaml:`NotesWordMail{expected}")], "{from}");
        };
        let not_named = "`: expected a AWS::Cognito::UserPool to name it in its LambdaConfig";
        expect("LambdaConfig", "Lambdas", not_named);
        expect("function:${Prefix}-notes-word-mail", "function:${Prefix}-notes-other", not_named);
        expect(
            "  NotesWordMailPermission:",
            "  Permission:",
            "`: expected `NotesWordMailPermission` beside it, of type AWS::Lambda::Permission",
        );
        expect(
            "Principal: cognito-idp.amazonaws.com",
            "Principal: apigateway.amazonaws.com",
            "Permission.Principal`: expected `cognito-idp.amazonaws.com`, not `apigateway.amazonaws.com`",
        );
        expect(
            "FunctionName: !Ref NotesWordMail",
            "FunctionName: !Ref Other",
            "Permission.FunctionName`: expected `${NotesWordMail}`, not `${Other}`",
        );
        for (from, to) in [("      SourceArn: !Ref PoolArn\n", ""), ("SourceArn: !Ref PoolArn", "SourceArn: '*'")] {
            let what = "Permission.SourceArn`: expected the ARN of a AWS::Cognito::UserPool: every account has pools";
            expect(from, to, what);
        }
    }

    #[test]
    fn what_operators_call_no_pool_may() {
        let mut house = with("NotesWordMail", "NotesWordMail");
        house.inventory.triggers[0].by_pool = false;
        assert_eq!(triggers_are_called_by_their_pool(&house), []);
        assert_eq!(nobody_else_calls(&house).len(), 2, "the pool that names it, and its permission");
    }

    #[test]
    fn somebody_else_who_calls_or_is_called_is_found() {
        let other = with("        CustomMessage:", "        PreSignUp: !GetAtt Other.Arn\n        CustomMessage:");
        assert_eq!(
            found(nobody_else_calls(&other)),
            ["infra/users.yaml:`Pool.LambdaConfig.PreSignUp`: expected a function that `lambdas::triggers()` lists"]
        );
        let any =
            "Resources:\n  Any: {Type: AWS::Lambda::Permission, Properties: {Principal: '*'}}\n  NotesWordMail:\n";
        assert_eq!(
            found(nobody_else_calls(&with("Resources:\n  NotesWordMail:\n", any))),
            [
                "infra/notes.yaml:`Any.Principal`: expected apigateway.amazonaws.com for a route, or the name and pool of \
                 a trigger"
            ]
        );
    }
}
