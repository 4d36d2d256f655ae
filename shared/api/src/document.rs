use std::collections::BTreeMap;

use utoipa::openapi::schema::{Ref, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, OpenApi, OpenApiBuilder, RefOr, ResponseBuilder, Server,
};
use utoipa::{PartialSchema, ToSchema};

use crate::endpoint::{Endpoint, operations_mut};
use crate::problem::{PROBLEM_JSON, Problem};

/// The name of the security scheme: `security(("bearer" = []))` on an operation whose handler takes a `Caller`.
const BEARER: &str = "bearer";

/// One OpenAPI 3.1 document of all endpoints, the same bytes whatever their order. Adds what they share: the bearer
/// scheme, [`Problem`] as every operation's `default` answer and as 403 where a bearer is asked for.
pub fn document<'a, S>(endpoints: impl IntoIterator<Item = &'a Endpoint<S>>, info: Info) -> OpenApi
where
    S: Clone + Send + Sync + 'static,
{
    let mut endpoints: Vec<_> = endpoints.into_iter().collect();
    endpoints.sort_by_key(|endpoint| endpoint.name);

    let mut document = OpenApiBuilder::new().info(info).servers(Some([Server::new("/")])).build();
    for endpoint in endpoints {
        document.merge(endpoint.router.get_openapi().clone());
    }
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations_mut(item) {
            let is_secured = operation.security.as_ref().is_some_and(|all| !all.is_empty());
            let responses = &mut operation.responses.responses;
            for status in ["default"].into_iter().chain(is_secured.then_some("403")) {
                responses.entry(status.to_owned()).or_insert_with(|| Ref::from_response_name("Problem").into());
            }
        }
    }
    add_shared(document.components.get_or_insert_with(Components::new));
    document
}

fn add_shared(components: &mut Components) {
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    components.schemas.extend(schemas);
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description("What went wrong.").content(PROBLEM_JSON, content).build();
    components.responses.insert("Problem".to_owned(), response.into());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.security_schemes.insert(BEARER.to_owned(), SecurityScheme::Http(bearer).into());
}

/// Names under which two endpoints mean different schemas. [`document`] keeps one of them, so there must be none.
pub fn conflicting_schemas<'a, S>(endpoints: impl IntoIterator<Item = &'a Endpoint<S>>) -> Vec<String>
where
    S: Clone + Send + Sync + 'static,
{
    let mut known: BTreeMap<&str, &RefOr<Schema>> = BTreeMap::new();
    let mut conflicts = Vec::new();
    let components = endpoints.into_iter().filter_map(|endpoint| endpoint.router.get_openapi().components.as_ref());
    for (name, schema) in components.flat_map(|components| &components.schemas) {
        if *known.entry(name).or_insert(schema) != schema && !conflicts.contains(name) {
            conflicts.push(name.clone());
        }
    }
    conflicts
}
