use std::ops::Deref;
use std::sync::Arc;

use access::Kind;
use axum::extract::{FromRef, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use identity::{Refused, Verifier};

use crate::problem::{ApiError, Fault};

/// Who is calling, verified: a handler that takes it is closed to everybody else. Without a valid bearer token the
/// answer is 403 with [`Refused`]'s code and `WWW-Authenticate: Bearer`; 503 when the keys to check it with cannot be
/// had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub Arc<identity::Caller>);

impl Deref for Caller {
    type Target = identity::Caller;

    fn deref(&self) -> &identity::Caller {
        &self.0
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Sync,
    Arc<Verifier>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let header = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(value.to_str().map_err(|_| Refused::Malformed)?),
            // Two credentials: which one was meant is not ours to guess.
            (Some(_), Some(_)) => return Err(Refused::Malformed.into()),
        };
        let caller = Arc::<Verifier>::from_ref(state).verify(header).await?;
        Ok(Self(caller))
    }
}

impl Fault for Refused {
    fn kind(&self) -> Kind {
        if self.is_callers_fault() { Kind::Unauthenticated } else { Kind::Unavailable }
    }

    fn code(&self) -> &'static str {
        Refused::code(*self)
    }
}
