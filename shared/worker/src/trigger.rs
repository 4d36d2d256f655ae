use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::RunError;

type Handle<S> = Arc<dyn Fn(S, Value) -> BoxFuture<'static, Result<Value, RunError>> + Send + Sync>;

/// One function that another AWS service calls in the middle of its own work, and whose answer it waits for.
pub struct Trigger<S> {
    /// As deployed: `<domain>-<verb-noun>`.
    pub name: &'static str,
    handle: Handle<S>,
}

impl<S> Clone for Trigger<S> {
    fn clone(&self) -> Self {
        Self { name: self.name, handle: Arc::clone(&self.handle) }
    }
}

impl<S> Trigger<S> {
    pub fn new<F, Fut>(name: &'static str, handle: F) -> Self
    where
        F: Fn(S, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, RunError>> + Send + 'static,
    {
        Self { name, handle: Arc::new(move |state, event| Box::pin(handle(state, event))) }
    }

    /// The service's event in, its answer out.
    ///
    /// # Errors
    /// What kept the answer from being made; the service reports it to whoever called it.
    pub async fn answer(&self, state: S, event: Value) -> Result<Value, RunError> {
        (self.handle)(state, event).await
    }
}
