use std::sync::{Arc, OnceLock};

use access::Rule;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn_with_state, map_request};
use http::Method;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::idempotency;
use crate::limit::{self, BY_CALLER, By, Counted};

/// One deployed function: its name and what it answers.
#[derive(Clone)]
pub struct Endpoint<S> {
    /// The function's name, `<domain>-<verb-noun>`; in metrics and, as `operationId`, in the OpenAPI document.
    pub name: &'static str,
    pub router: OpenApiRouter<S>,
    counted: Counted,
    is_idempotent: bool,
}

/// Where a route leaves its endpoint's name for the metrics, which are taken outside of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointName(Arc<OnceLock<&'static str>>);

impl EndpointName {
    pub(crate) fn get(&self) -> Option<&'static str> {
        self.0.get().copied()
    }
}

impl<S: Clone + Send + Sync + 'static> Endpoint<S> {
    /// `Endpoint::new("tokens-get-clusters", routes!(get_clusters))`
    pub fn new(name: &'static str, routes: UtoipaMethodRouter<S>) -> Self {
        let mut router = OpenApiRouter::new().routes(routes);
        for item in router.get_openapi_mut().paths.paths.values_mut() {
            let mut operations = operations_mut(item);
            let is_only = operations.len() == 1;
            for (method, operation) in &mut operations {
                let suffix = if is_only { String::new() } else { format!("-{}", method.as_str().to_lowercase()) };
                operation.operation_id = Some(format!("{name}{suffix}"));
            }
        }
        Self { name, router, counted: BY_CALLER, is_idempotent: false }
    }

    /// Counts its requests by these rules instead of [`access::limits::DEFAULT`] for each caller: against all of them,
    /// or, where one has no room, against none.
    pub fn counted(mut self, rules: &'static [(Rule, By)]) -> Self {
        self.counted = rules;
        self
    }

    /// Answers as often as it is asked. For what costs nothing and is asked by machines.
    pub fn uncounted(self) -> Self {
        self.counted(&[])
    }

    /// Takes `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header-07 has it: of a caller's requests with the
    /// same key one reaches the handler; for 24 hours the others get its answer, or 409 while there is none, or 422
    /// when they ask for something else. After 5xx, 429 and 408, and when the request was dropped, a repeat reaches the
    /// handler again. Requests without the header are none of its business.
    ///
    /// For what changes something by POST or PATCH. Not for an endpoint that answers tokens or other secrets: answers
    /// are stored as they are. Its function may `dynamodb:PutItem` and `dynamodb:DeleteItem` in the table
    /// `idempotency`, and the router it is served in went through [`replayed`](crate::replayed).
    ///
    /// # Panics
    /// When an operation is open to anybody: a key is one caller's, and would there be everybody's.
    pub fn idempotent(mut self) -> Self {
        for item in self.router.get_openapi_mut().paths.paths.values_mut() {
            for (_, operation) in operations_mut(item) {
                let is_closed = operation.security.as_ref().is_some_and(|ways| !ways.is_empty());
                assert!(is_closed, "{}: an idempotent operation asks for a bearer token", self.name);
                idempotency::describe(operation);
            }
        }
        self.is_idempotent = true;
        self
    }

    /// What is answered, as (method, path template), by path.
    pub fn routes(&self) -> Vec<(Method, String)> {
        let paths = &self.router.get_openapi().paths.paths;
        paths
            .iter()
            .flat_map(|(path, item)| operations(item).into_iter().map(|(method, _)| (method, path.clone())))
            .collect()
    }
}

impl<S: Clone + Send + Sync + 'static> From<Endpoint<S>> for Router<S> {
    fn from(endpoint: Endpoint<S>) -> Self {
        let name = endpoint.name;
        let leave_name = move |request: Request| async move {
            if let Some(slot) = request.extensions().get::<EndpointName>() {
                // Set already only when endpoints are nested; the outer name stands.
                let _ = slot.0.set(name);
            }
            request
        };
        let mut router = Self::from(endpoint.router);
        if endpoint.is_idempotent {
            router = router.route_layer(from_fn_with_state(name, idempotency::once));
        }
        // Outside of the others: also an answer that is theirs is this endpoint's in the metrics.
        router.route_layer(from_fn_with_state(endpoint.counted, limit::count)).route_layer(map_request(leave_name))
    }
}

fn operations(item: &PathItem) -> Vec<(Method, &Operation)> {
    let PathItem { get, put, post, delete, patch, head, options, .. } = item;
    [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
        (Method::HEAD, head),
        (Method::OPTIONS, options),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
    .collect()
}

pub(crate) fn operations_mut(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, head, options, .. } = item;
    [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
        (Method::HEAD, head),
        (Method::OPTIONS, options),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
    .collect()
}
