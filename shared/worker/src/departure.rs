use std::future::Future;
use std::sync::Arc;

use futures::future::{BoxFuture, ready};

use crate::RunError;

type Step<S> = Arc<dyn Fn(S, String) -> BoxFuture<'static, Result<(), RunError>> + Send + Sync>;

/// How a domain lets an account go: it removes what it keeps of it, or makes it nobody's. Every domain has one.
pub struct Departure<S> {
    /// The domain's name.
    pub domain: &'static str,
    step: Step<S>,
}

impl<S> Clone for Departure<S> {
    fn clone(&self) -> Self {
        Self { domain: self.domain, step: Arc::clone(&self.step) }
    }
}

impl<S: Send + 'static> Departure<S> {
    /// `step` gets the account's id. Done a second time it finds nothing left and succeeds.
    pub fn new<F, Fut>(domain: &'static str, step: F) -> Self
    where
        F: Fn(S, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        Self { domain, step: Arc::new(move |state, user| Box::pin(step(state, user))) }
    }

    /// Of a domain that keeps nothing of accounts.
    pub fn nothing_kept(domain: &'static str) -> Self {
        Self { domain, step: Arc::new(|_, _| Box::pin(ready(Ok(())))) }
    }

    /// # Errors
    /// As the domain's step decides: to be tried again, or never to succeed.
    pub async fn leave(&self, state: S, user: String) -> Result<(), RunError> {
        (self.step)(state, user).await
    }
}
