use std::ops::Deref;
use std::sync::Arc;

use access::Kind;
use axum::extract::{FromRef, FromRequestParts};
use http::header::{AUTHORIZATION, HeaderMap};
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
        match parts.extensions.get::<Verified>() {
            Some(Verified(verified)) => verified.clone(),
            None => verify(&parts.headers, &Arc::<Verifier>::from_ref(state)).await,
        }
        .map(Self)
        .map_err(ApiError::from)
    }
}

/// What the verifier said to this request, where it was asked before the handler.
#[derive(Clone)]
pub(crate) struct Verified(pub(crate) Result<Arc<identity::Caller>, Refused>);

pub(crate) async fn verify(headers: &HeaderMap, verifier: &Verifier) -> Result<Arc<identity::Caller>, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let header = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => Some(value.to_str().map_err(|_| Refused::Malformed)?),
        // Two credentials: which one was meant is not ours to guess.
        (Some(_), Some(_)) => return Err(Refused::Malformed),
    };
    verifier.verify(header).await
}

impl Fault for Refused {
    fn kind(&self) -> Kind {
        if self.is_callers_fault() { Kind::Unauthenticated } else { Kind::Unavailable }
    }

    fn code(&self) -> &'static str {
        Refused::code(*self)
    }
}

impl Fault for identity::DenylistError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }

    fn code(&self) -> &'static str {
        "sign_out_unavailable"
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get as on_get;
    use identity::{FetchError, Issuer, JwksFetch, LocalIssuer};
    use serde_json::json;

    use super::*;
    use crate::testing::{Answer, Log, get, request, send, served};

    const NOW: u64 = 1_800_000_000;

    struct Offline;

    #[async_trait]
    impl JwksFetch for Offline {
        async fn fetch(&self, _: &str) -> Result<String, FetchError> {
            Err(FetchError::Status(500))
        }
    }

    /// Where only the signed in get in, and who signs them in.
    struct House {
        router: Router,
        issuer: LocalIssuer,
        _keys: tempfile::TempDir,
    }

    fn house(allow: impl FnOnce(&LocalIssuer) -> Issuer) -> House {
        let keys = tempfile::tempdir().unwrap();
        let issuer = LocalIssuer::open(keys.path()).unwrap();
        let verifier = Verifier::new(vec![allow(&issuer)], Arc::new(Offline), None, Arc::new(|| NOW)).unwrap();
        let handler = |caller: Caller| async move { caller.username.clone() };
        let router = Router::new().route("/me", on_get(handler)).with_state(Arc::new(verifier));
        House { router: served(router), issuer, _keys: keys }
    }

    fn open() -> House {
        house(|issuer| issuer.as_issuer(vec!["web".to_owned()]))
    }

    impl House {
        fn token(&self, issued_at: u64) -> String {
            self.issuer.issue("ann", &[], "web", 3600, issued_at).unwrap()
        }

        async fn me(&self, authorization: &[&str]) -> Answer {
            let asked = authorization
                .iter()
                .fold(request("GET", "/me"), |request, value| request.header("authorization", *value));
            send(&self.router, asked.body(Body::empty()).unwrap()).await
        }
    }

    #[tokio::test]
    async fn a_valid_token_gets_in() {
        let house = open();
        let answer = house.me(&[&format!("Bearer {}", house.token(NOW))]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "ann"));
    }

    #[tokio::test]
    async fn without_a_token_the_answer_is_403_and_asks_for_one() {
        let house = open();
        let answer = get(&house.router, "/me").await;
        answer.assert_problem(403, "token_missing", Refused::Missing.detail());
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }

    #[tokio::test]
    async fn an_invalid_token_is_403_with_the_reason_as_code() {
        let house = open();
        let valid = format!("Bearer {}", house.token(NOW));
        let old = format!("Bearer {}", house.token(NOW - 7200));
        for (header, refused) in [
            (&["Bearer nonsense"][..], Refused::Malformed),
            (&["Basic YW5uOmh1bnRlcjI="], Refused::Malformed),
            (&[&old], Refused::Expired),
            (&[&valid, &valid], Refused::Malformed),
            (&["Bearer \u{e9}"], Refused::Malformed),
        ] {
            let answer = house.me(header).await;
            answer.assert_problem(403, refused.code(), refused.detail());
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }

    #[tokio::test]
    async fn keys_that_cannot_be_had_are_503() {
        let house = house(|issuer| {
            let jwks_url = Some("https://keys.example/jwks.json".to_owned());
            Issuer { bundled: None, jwks_url, ..issuer.as_issuer(vec!["web".to_owned()]) }
        });
        let answer = house.me(&[&format!("Bearer {}", house.token(NOW))]).await;
        let detail = "This cannot be answered right now. Try again in a moment.";
        answer.assert_problem_with(503, "keys_unavailable", detail, &json!({"retryAfter": 5}));
        assert_eq!(answer.header("www-authenticate"), None);
    }

    #[tokio::test]
    async fn no_log_line_contains_a_token() {
        let (log, _guard) = Log::capture();
        let house = open();
        let valid = house.token(NOW);
        let mut forged = valid.clone();
        forged.truncate(valid.len() - 8);
        for token in [&valid, &house.token(NOW - 7200), &forged] {
            house.me(&[&format!("Bearer {token}")]).await;
            assert!(token.split('.').all(|part| !log.text().contains(part)), "{}", log.text());
        }
        assert_eq!(log.lines().len(), 3);
    }

    #[test]
    fn only_missing_keys_are_our_fault() {
        for refused in Refused::ALL {
            let ours = refused == Refused::KeysUnavailable;
            assert_eq!(refused.kind(), if ours { Kind::Unavailable } else { Kind::Unauthenticated });
        }
    }
}
