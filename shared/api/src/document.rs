use std::collections::BTreeMap;

use utoipa::openapi::schema::{Ref, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, Info, OpenApi, OpenApiBuilder, RefOr, ResponseBuilder, Server};
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

#[cfg(test)]
mod tests {
    use http::Method;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};
    use utoipa::IntoParams;
    use utoipa_axum::routes;

    use super::*;
    use crate::{Json, Limit, Page, Query};

    #[derive(Serialize, ToSchema)]
    struct Thing {
        name: String,
    }

    #[derive(Deserialize, IntoParams)]
    #[into_params(parameter_in = Query)]
    struct List {
        #[serde(default)]
        #[param(inline, required = false)]
        limit: Limit<20, 100>,
    }

    /// Things, a page at a time.
    #[utoipa::path(get, path = "/v1/things", tag = "things", security(("bearer" = [])), params(List),
        responses((status = 200, description = "A page.", body = Page<Thing>)))]
    async fn list_things(Query(list): Query<List>) -> Json<Page<Thing>> {
        Json(Page { items: Vec::new(), next_cursor: Some(list.limit.get().to_string()) })
    }

    /// One more thing.
    #[utoipa::path(post, path = "/v1/things", tag = "things", responses((status = 204, description = "Done.")))]
    async fn make_thing() {}

    fn endpoints() -> Vec<Endpoint<()>> {
        vec![
            Endpoint::new("things-make-thing", routes!(make_thing)),
            Endpoint::new("things-list-things", routes!(list_things)),
        ]
    }

    fn json_of(endpoints: &[Endpoint<()>]) -> Value {
        serde_json::to_value(document(endpoints, Info::new("Test", "1"))).unwrap()
    }

    #[test]
    fn the_order_of_the_endpoints_does_not_show() {
        let mut reversed = endpoints();
        reversed.reverse();
        let text = |endpoints: &[Endpoint<()>]| document(endpoints, Info::new("Test", "1")).to_json().unwrap();
        assert_eq!(text(&endpoints()), text(&reversed));
    }

    #[test]
    fn operations_of_one_path_are_together_under_their_functions_names() {
        let document = json_of(&endpoints());
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["servers"], json!([{"url": "/"}]));
        let path = &document["paths"]["/v1/things"];
        assert_eq!(path["get"]["operationId"], "things-list-things");
        assert_eq!(path["post"]["operationId"], "things-make-thing");
        assert_eq!(path["post"]["summary"], "One more thing.");
    }

    #[test]
    fn every_operation_may_answer_with_a_problem() {
        let document = json_of(&endpoints());
        let problem = json!({"$ref": "#/components/responses/Problem"});
        let responses = |method: &str| document["paths"]["/v1/things"][method]["responses"].clone();
        assert_eq!(responses("post"), json!({"204": {"description": "Done."}, "default": problem}));
        assert_eq!(responses("get")["403"], problem);
        let shared = json!({
            "description": "What went wrong.",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        assert_eq!(document["components"]["responses"]["Problem"], shared);
        let bearer = json!({"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}});
        assert_eq!(document["components"]["securitySchemes"], bearer);
        let problem = &document["components"]["schemas"]["Problem"];
        assert_eq!(problem["required"], json!(["title", "status", "status_code", "detail", "code"]));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = json_of(&endpoints());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.iter().any(|reference| reference.ends_with("/Page_Thing")), "{found:?}");
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }

    #[test]
    fn limits_and_pages_are_described() {
        let document = json_of(&endpoints());
        let parameter = json!([{
            "name": "limit", "in": "query", "required": false,
            "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        }]);
        assert_eq!(document["paths"]["/v1/things"]["get"]["parameters"], parameter);
        let page = json!({
            "type": "object",
            "required": ["items", "nextCursor"],
            "properties": {
                "items": {
                    "type": "array",
                    "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
                },
                "nextCursor": {"type": ["string", "null"], "description": "Null on the last page."},
            },
        });
        let mut described = document["components"]["schemas"]["Page_Thing"].clone();
        assert!(described.as_object_mut().unwrap().remove("description").is_some());
        assert_eq!(described, page);
    }

    #[test]
    fn an_endpoint_knows_what_it_answers() {
        let routes: Vec<_> = endpoints().iter().flat_map(Endpoint::routes).collect();
        let path = "/v1/things".to_owned();
        assert_eq!(routes, [(Method::POST, path.clone()), (Method::GET, path)]);
    }

    #[test]
    fn a_name_for_two_schemas_is_a_conflict() {
        mod other {
            #[derive(serde::Serialize, utoipa::ToSchema)]
            pub(super) struct Thing {
                pub(super) size: u32,
            }
        }
        #[utoipa::path(get, path = "/v1/other", responses((status = 200, body = other::Thing)))]
        async fn get_other() -> Json<other::Thing> {
            Json(other::Thing { size: 1 })
        }
        let mut all = endpoints();
        assert_eq!(conflicting_schemas(&all), Vec::<String>::new());
        all.push(Endpoint::new("other-get-other", routes!(get_other)));
        assert_eq!(conflicting_schemas(&all), ["Thing"]);
    }
}
