use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::RunError;

type Handle<S> = Arc<dyn Fn(S, Value) -> BoxFuture<'static, Result<Value, RunError>> + Send + Sync>;

/// Who calls a [`Trigger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalledBy {
    /// The user pool, in the middle of its own work.
    Pool,
    /// People who may by IAM, with `aws lambda invoke`.
    Operators,
}

/// One function that is called directly, and whose answer its caller waits for.
pub struct Trigger<S> {
    /// As deployed: `<domain>-<verb-noun>`.
    pub name: &'static str,
    pub called_by: CalledBy,
    handle: Handle<S>,
}

impl<S> Clone for Trigger<S> {
    fn clone(&self) -> Self {
        Self { name: self.name, called_by: self.called_by, handle: Arc::clone(&self.handle) }
    }
}

impl<S> Trigger<S> {
    pub fn new<F, Fut>(name: &'static str, called_by: CalledBy, handle: F) -> Self
    where
        F: Fn(S, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, RunError>> + Send + 'static,
    {
        Self { name, called_by, handle: Arc::new(move |state, event| Box::pin(handle(state, event))) }
    }

    /// Whether the user pool calls it.
    pub fn is_by_pool(&self) -> bool {
        self.called_by == CalledBy::Pool
    }

    /// The caller's event in, its answer out.
    ///
    /// # Errors
    /// What kept the answer from being made; Lambda reports it to the caller.
    pub async fn answer(&self, state: S, event: Value) -> Result<Value, RunError> {
        (self.handle)(state, event).await
    }
}
