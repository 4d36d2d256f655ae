//! Each route of an endpoint is the gateway's, leads to its function, and may call it.

use super::{Finding, House, beside, unlike, wrong};
use crate::inventory::Endpoint;
use crate::template::{Resource, Template};

const ROUTE: &str = "AWS::ApiGatewayV2::Route";
const INTEGRATION: &str = "AWS::ApiGatewayV2::Integration";
const PERMISSION: &str = "AWS::Lambda::Permission";
const GATEWAY: &str = "apigateway.amazonaws.com";

pub(in super::super) fn routes_lead_to_their_functions(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for endpoint in &house.inventory.endpoints {
        let Some(function) = house.templates.function(&endpoint.name) else { continue };
        match beside(&function, "Integration", INTEGRATION) {
            Ok(integration) => found.extend(wrong_in_integration(&integration, &function)),
            Err(missing) => found.push(missing),
        }
        for (method, path) in &endpoint.routes {
            let key = format!("{method} {path}");
            let route = function.template.resources().find(|route| is_route(route, &key));
            match route {
                Some(route) => {
                    let target = format!("integrations/${{{}Integration}}", function.id);
                    found.extend(unlike(&route, &["Target"], &[&target]));
                }
                None => {
                    let what = format!("`{}`: expected a route beside it with the key `{key}`", function.id);
                    found.push(Finding::at(&function.template.path, function.line, what));
                }
            }
            if !permissions(function.template).any(|permission| allows(&permission, &function, method, path)) {
                let what =
                    format!("expected a permission beside it for {GATEWAY} from `…:${{ApiId}}/*/{method}{path}`");
                let what = format!("`{}`: {what}", function.id);
                found.push(Finding::at(&function.template.path, function.line, what));
            }
        }
    }
    found
}

fn is_route(resource: &Resource<'_>, key: &str) -> bool {
    resource.kind == ROUTE && resource.text(&["RouteKey"]).is_some_and(|text| text == key)
}

fn wrong_in_integration(integration: &Resource<'_>, function: &Resource<'_>) -> Vec<Finding> {
    let arn = format!("${{{}.Arn}}", function.id);
    let uri = integration.text(&["IntegrationUri"]).unwrap_or_default();
    let is_invocation = uri.ends_with(&format!(":lambda:path/2015-03-31/functions/{arn}/invocations"));
    [
        unlike(integration, &["IntegrationType"], &["AWS_PROXY"]),
        unlike(integration, &["PayloadFormatVersion"], &["2.0"]),
        if is_invocation { None } else { unlike(integration, &["IntegrationUri"], &[&arn]) },
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn permissions(template: &Template) -> impl Iterator<Item = Resource<'_>> {
    template.resources().filter(|resource| resource.kind == PERMISSION && is_gateways(resource))
}

fn is_gateways(permission: &Resource<'_>) -> bool {
    permission.text(&["Principal"]).is_some_and(|who| who == GATEWAY)
}

/// May the gateway call this function for this route, and for no more?
fn allows(permission: &Resource<'_>, function: &Resource<'_>, method: &str, path: &str) -> bool {
    let is_function = permission
        .text(&["FunctionName"])
        .is_some_and(|text| text == format!("${{{}}}", function.id) || text == format!("${{{}.Arn}}", function.id));
    let is_call = permission.text(&["Action"]).is_some_and(|text| text == "lambda:InvokeFunction");
    let from = permission.text(&["SourceArn"]).unwrap_or_default();
    // `arn:…:${ApiId}/<stage>/<METHOD>/<path>`
    let from = from.rsplit(':').next().unwrap_or_default().splitn(3, '/').nth(2).unwrap_or_default();
    is_function && is_call && is_same_route(from, &format!("{method}{path}"))
}

/// A parameter may stand by its name or as `*`.
fn is_same_route(from: &str, route: &str) -> bool {
    let (mut from, mut route) = (from.split('/'), route.split('/'));
    loop {
        match (from.next(), route.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || (a == "*" && b.starts_with('{')) => {}
            _ => return false,
        }
    }
}

pub(in super::super) fn no_route_leads_elsewhere(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for resource in house.templates.resources() {
        let of_this_stack = house.inventory.endpoints.iter().filter_map(|endpoint| {
            let function = house.templates.function(&endpoint.name)?;
            (function.template.path == resource.template.path).then_some((endpoint, function))
        });
        let is_known = |is_its: fn(&Resource<'_>, &Endpoint, &Resource<'_>) -> bool| {
            of_this_stack.clone().any(|(endpoint, function)| is_its(&resource, endpoint, &function))
        };
        let wrong = match resource.kind {
            ROUTE if !is_known(is_its_route) => {
                wrong(&resource, &["RouteKey"], "a route of the function whose name it has, once")
            }
            INTEGRATION if !is_known(is_its_integration) => {
                wrong(&resource, &[], "to belong to an endpoint that `lambdas` lists")
            }
            PERMISSION if is_gateways(&resource) && !is_known(is_its_permission) => {
                wrong(&resource, &["SourceArn"], "one route of its function, such as `…/*/GET/v1/chains`")
            }
            _ => continue,
        };
        found.push(wrong);
    }
    found
}

/// The first of its key, and named for its function.
fn is_its_route(route: &Resource<'_>, endpoint: &Endpoint, function: &Resource<'_>) -> bool {
    let key = endpoint.routes.iter().map(|(method, path)| format!("{method} {path}")).find(|key| is_route(route, key));
    let first = key.and_then(|key| route.template.resources().find(|other| is_route(other, &key)));
    first.is_some_and(|first| first.id == route.id) && route.id.starts_with(&format!("{}Route", function.id))
}

fn is_its_integration(integration: &Resource<'_>, _: &Endpoint, function: &Resource<'_>) -> bool {
    integration.id == format!("{}Integration", function.id)
}

fn is_its_permission(permission: &Resource<'_>, endpoint: &Endpoint, function: &Resource<'_>) -> bool {
    endpoint.routes.iter().any(|(method, path)| allows(permission, function, method, path))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, found, house};
    use super::*;

    const TOKENS: &str = "infra/tokens.yaml";

    #[test]
    fn routes_in_step_have_no_findings() {
        assert_eq!(routes_lead_to_their_functions(&house()), []);
        assert_eq!(no_route_leads_elsewhere(&house()), []);
    }

    #[test]
    fn a_route_that_is_missing_or_leads_elsewhere_is_found() {
        let expect = |from: &str, to: &str, expected: &str| {
            let house = broken(TOKENS, from, to);
            assert_eq!(found(routes_lead_to_their_functions(&house)), [format!("{TOKENS}:{expected}")]);
        };
        expect(
            "RouteKey: GET /v1/tokens/{chain}/notes",
            "RouteKey: GET /v1/tokens/{name}/notes",
            "`TokensGetNotes`: expected a route beside it with the key `GET /v1/tokens/{chain}/notes`",
        );
        expect(
            "Target: !Sub integrations/${TokensGetNotesIntegration}",
            "Target: !Sub integrations/${Other}",
            "`TokensGetNotesRoute.Target`: expected `integrations/${TokensGetNotesIntegration}`, not \
             `integrations/${Other}`",
        );
        expect(
            "  TokensGetNotesIntegration:\n",
            "  Integration:\n",
            "`TokensGetNotes`: expected `TokensGetNotesIntegration` beside it, of type AWS::ApiGatewayV2::Integration",
        );
        expect(
            "PayloadFormatVersion: '2.0'",
            "PayloadFormatVersion: '1.0'",
            "`TokensGetNotesIntegration.PayloadFormatVersion`: expected `2.0`, not `1.0`",
        );
        expect(
            "IntegrationUri: !GetAtt TokensGetNotes.Arn",
            "IntegrationUri: !GetAtt TokensRefreshNotes.Arn",
            "`TokensGetNotesIntegration.IntegrationUri`: expected `${TokensGetNotes.Arn}`, not \
             `${TokensRefreshNotes.Arn}`",
        );
        let permission = "`TokensGetNotes`: expected a permission beside it for apigateway.amazonaws.com from \
            `…:${ApiId}/*/GET/v1/tokens/{chain}/notes`";
        for (from, to) in [
            ("${ApiId}/*/GET/v1/tokens/*/notes", "${ApiId}/*/*"),
            ("${ApiId}/*/GET/v1/tokens/*/notes", "${ApiId}/*/POST/v1/tokens/*/notes"),
            ("FunctionName: !Ref TokensGetNotes", "FunctionName: !Ref TokensRefreshNotes"),
            ("Action: lambda:InvokeFunction", "Action: lambda:GetFunction"),
        ] {
            expect(from, to, permission);
        }
    }

    #[test]
    fn a_route_too_many_is_found() {
        let extra = "Resources:\n  TokensGetNotesRoute2:\n    Type: AWS::ApiGatewayV2::Route\n    \
            Properties: {RouteKey: POST /v1/notes}\n  GoneIntegration: {Type: AWS::ApiGatewayV2::Integration}\n  \
            TokensGetNotesPermission2:\n    Type: AWS::Lambda::Permission\n    \
            Properties: {Principal: apigateway.amazonaws.com, SourceArn: a}\n";
        assert_eq!(
            found(no_route_leads_elsewhere(&broken(TOKENS, "Resources:\n", extra))),
            [
                "infra/tokens.yaml:`TokensGetNotesRoute2.RouteKey`: expected a route of the function whose name it has, \
                 once",
                "infra/tokens.yaml:`GoneIntegration`: expected to belong to an endpoint that `lambdas` lists",
                "infra/tokens.yaml:`TokensGetNotesPermission2.SourceArn`: expected one route of its function, such as \
                 `…/*/GET/v1/chains`",
            ]
        );
        let twice = "Outputs: {}\nResources:\n  TokensGetNotesRoute0:\n    Type: AWS::ApiGatewayV2::Route\n    \
            Properties: {RouteKey: 'GET /v1/tokens/{chain}/notes'}\n";
        assert_eq!(found(no_route_leads_elsewhere(&broken(TOKENS, "Resources:\n", twice))).len(), 1);
        let named = broken(TOKENS, "  TokensGetNotesRoute:\n", "  NotesRoute:\n");
        assert_eq!(found(no_route_leads_elsewhere(&named)).len(), 1);
    }
}
