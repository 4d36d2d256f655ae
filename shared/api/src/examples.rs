use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Ref;
use utoipa::openapi::{Content, OpenApi, RefOr, Response};

use crate::endpoint::operations_mut;
use crate::problem::PROBLEM_JSON;

/// Of one operation: what was asked and what was answered, as the application does.
///
/// A key of `answers` is a status and, where one status has several answers, a name: `200`, `409 unconfirmed`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    #[serde(default)]
    request: Option<Value>,
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

/// Examples that are not of this document.
#[derive(Debug, thiserror::Error)]
pub enum BadExamples {
    #[error("examples: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("examples of `{0}`: the document has no such operation")]
    UnknownOperation(String),
    #[error("examples of `{operation}`: it takes no body")]
    NoBody { operation: String },
    #[error("examples of `{operation}`: it declares no answer {status}")]
    UnknownStatus { operation: String, status: String },
}

/// Adds the examples of a domain's operations, a JSON object by `operationId`, to the document. Those under `*` are
/// problems that any operation may answer.
///
/// # Errors
/// The first example that belongs to nothing in the document.
pub fn add_examples(document: &mut OpenApi, examples: &str) -> Result<(), BadExamples> {
    let mut examples: BTreeMap<String, Examples> = serde_json::from_str(examples)?;
    let shared = examples.remove("*");
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations_mut(item) {
            let id = operation.operation_id.clone().unwrap_or_default();
            if let Some(of_this) = examples.remove(&id) {
                add(operation, &id, of_this)?;
            }
        }
    }
    if let Some(unknown) = examples.into_keys().next() {
        return Err(BadExamples::UnknownOperation(unknown));
    }
    let problem = document.components.as_mut().and_then(|components| components.responses.get_mut("Problem"));
    if let (Some(shared), Some(RefOr::T(problem))) = (shared, problem) {
        for (key, body) in shared.answers {
            add_answer(problem, split(&key).1, body);
        }
    }
    Ok(())
}

const JSON: &str = "application/json";

fn add(operation: &mut Operation, id: &str, examples: Examples) -> Result<(), BadExamples> {
    if let Some(request) = examples.request {
        let body = match &mut operation.request_body {
            // Recorded requests are JSON; another kind has its example in the code.
            Some(RefOr::T(body)) if body.content.contains_key(JSON) => body.content.get_mut(JSON),
            Some(RefOr::T(body)) => body.content.values_mut().next(),
            None | Some(RefOr::Ref(_)) => None,
        };
        let Some(RefOr::T(content)) = body else { return Err(BadExamples::NoBody { operation: id.to_owned() }) };
        content.example = Some(request);
    }
    for (key, body) in examples.answers {
        let (status, name) = split(&key);
        match operation.responses.responses.get_mut(status) {
            Some(RefOr::T(response)) => add_answer(response, name, body),
            _ => {
                let (operation, status) = (id.to_owned(), status.to_owned());
                return Err(BadExamples::UnknownStatus { operation, status });
            }
        }
    }
    Ok(())
}

/// Status and name; without a name the status is the name.
fn split(key: &str) -> (&str, &str) {
    key.split_once(' ').unwrap_or((key, key))
}

fn add_answer(response: &mut Response, name: &str, body: Value) {
    // One that is only described is a problem, as all failures are.
    if response.content.is_empty() {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        response.content.insert(PROBLEM_JSON.to_owned(), problem.into());
    }
    let example: Example = ExampleBuilder::new().value(Some(body.clone())).build();
    let is_problem = body.get("requestId").is_some();
    let fits = |media: &str| (media == PROBLEM_JSON) == is_problem;
    let media = response.content.keys().find(|media| fits(media)).or_else(|| response.content.keys().next()).cloned();
    if let Some(RefOr::T(content)) = media.and_then(|media| response.content.get_mut(&media)) {
        content.examples.insert(name.to_owned(), example.into());
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;
    use utoipa::ToSchema;
    use utoipa::openapi::Info;
    use utoipa_axum::routes;

    use super::*;
    use crate::{Endpoint, Json};

    #[derive(Deserialize, Serialize, ToSchema)]
    struct Thing {
        name: String,
    }

    #[utoipa::path(post, path = "/v1/things", request_body = Thing,
        responses((status = 200, body = Thing), (status = 409, description = "`taken`.")))]
    async fn make_thing(thing: Json<Thing>) -> Json<Thing> {
        thing
    }

    fn with(examples: &Value) -> Result<Value, BadExamples> {
        let endpoint: Endpoint<()> = Endpoint::new("things-make-thing", routes!(make_thing));
        let mut document = crate::document(&[endpoint], Info::new("Test", "1"));
        add_examples(&mut document, &examples.to_string())?;
        Ok(serde_json::to_value(document).unwrap())
    }

    #[test]
    fn examples_stand_beside_what_they_are_of() {
        let (a, b) = (json!({ "name": "a" }), json!({ "name": "b" }));
        let (taken, late) = (json!({ "code": "taken", "requestId": "1" }), json!({ "code": "late", "requestId": "2" }));
        let examples = json!({
            "things-make-thing": { "request": a, "answers": { "200": a, "200 other": b, "409 taken": taken } },
            "*": { "answers": { "504 late": late } },
        });
        let document = with(&examples).unwrap();
        let post = &document["paths"]["/v1/things"]["post"];
        assert_eq!(post["requestBody"]["content"]["application/json"]["example"], a);
        let ok = &post["responses"]["200"]["content"]["application/json"]["examples"];
        assert_eq!((&ok["200"]["value"], &ok["other"]["value"]), (&a, &b));
        let conflict = &post["responses"]["409"]["content"]["application/problem+json"];
        assert_eq!(conflict["examples"]["taken"]["value"], taken);
        assert_eq!(conflict["schema"]["$ref"], "#/components/schemas/Problem");
        let shared = &document["components"]["responses"]["Problem"]["content"]["application/problem+json"];
        assert_eq!(shared["examples"]["late"]["value"], late);
    }

    #[test]
    fn examples_of_nothing_are_refused() {
        let refused = |examples: Value| with(&examples).unwrap_err().to_string();
        let unknown = refused(json!({ "things-lose-thing": {} }));
        assert_eq!(unknown, "examples of `things-lose-thing`: the document has no such operation");
        let status = refused(json!({ "things-make-thing": { "answers": { "404 gone": {} } } }));
        assert_eq!(status, "examples of `things-make-thing`: it declares no answer 404");
        assert!(refused(json!({ "things-make-thing": { "reply": {} } })).starts_with("examples: unknown field"));
    }
}
