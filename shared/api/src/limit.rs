use std::fmt;
use std::sync::Arc;

use access::{Decision, Kind, Limits, Rule, TooMany, limits};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderName, HeaderValue, StatusCode};
use identity::Verifier;

use crate::caller::{Verified, verify};
use crate::problem::{ApiError, Fault};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who is asking, as the network knows it: put into a request's extensions by whoever accepts it, from what the gateway
/// or the socket says and never from a header. An IPv6 address stands for its /64, which is what one customer has.
///
/// `Debug` does not show it: a caller's address is no matter for a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// Of all requests whose address is not known: together they have what one caller has.
    pub const UNKNOWN: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    const PREFIX: u128 = !(u64::MAX as u128);

    pub fn new(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & Self::PREFIX)),
            address => address,
        })
    }

    /// As text to count by: [`Limits::check`].
    pub fn key(self) -> String {
        format!("ip {}", self.0)
    }

    fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::UNKNOWN)
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIp")
    }
}

impl<S: Sync> FromRequestParts<S> for ClientIp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Whom a rule counts an endpoint's requests for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The user of a valid bearer token; the client IP of a request without one or with one that is refused.
    Caller,
    /// The client IP, whoever is signed in.
    Ip,
    /// Everybody together. Not told in headers: how much others ask is nobody's business.
    All,
}

/// How an endpoint's requests are counted: by all of these together. None: they are not counted.
pub(crate) type Counted = &'static [(Rule, By)];

/// Of every endpoint that does not say otherwise.
pub(crate) const BY_CALLER: Counted = &[(limits::DEFAULT, By::Caller)];

/// With what is counted; rides in a request's extensions to its endpoint, which knows the rules.
#[derive(Clone)]
struct Counting {
    limits: Limits,
    verifier: Arc<Verifier>,
}

/// Has the requests of all endpoints in `router` counted, each by its own rules: see [`Endpoint::counted`]. Without it
/// none are. Call it before [`edge`], so that it is inside.
///
/// Over a limit the answer is 429 `too_many_requests`. Answers that were counted say so in `RateLimit-Policy` and
/// `RateLimit`, as draft-ietf-httpapi-ratelimit-headers-11 has them.
///
/// What hangs on a request's body, such as an e-mail address, its handler counts: `limits.admit(…).await?`.
///
/// [`Endpoint::counted`]: crate::Endpoint::counted
/// [`edge`]: crate::edge()
pub fn limited<S>(router: Router<S>, limits: Limits, verifier: Arc<Verifier>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(Extension(Counting { limits, verifier }))
}

/// Around each endpoint: refuses what is over a limit before its handler sees it.
pub(crate) async fn count(State(counted): State<Counted>, mut request: Request, next: Next) -> Response {
    let counting = request.extensions().get::<Counting>().filter(|counting| !counting.limits.are_off());
    let Some(counting) = counting.filter(|_| !counted.is_empty()).cloned() else {
        return next.run(request).await;
    };
    let ip = ClientIp::of(request.extensions()).key();
    let caller = if counted.iter().any(|(_, by)| *by == By::Caller) {
        signed_in(&mut request, &counting.verifier).await.unwrap_or_else(|| ip.clone())
    } else {
        String::new()
    };
    let key = |by| match by {
        By::Caller => &*caller,
        By::Ip => &ip,
        By::All => "all",
    };
    let checks: Vec<_> = counted.iter().map(|(rule, by)| (*rule, key(*by))).collect();
    let decisions = counting.limits.check_all(&checks).await;
    let mut response = match TooMany::of(&decisions) {
        Some(too_many) => ApiError::from(too_many).into_response(),
        None => next.run(request).await,
    };
    let of_caller = decisions.iter().zip(counted).filter(|(_, (_, by))| *by != By::All);
    tell(&mut response, of_caller.map(|(decision, _)| decision));
    response
}

/// The user of the request's bearer token. What the verifier says is left for the handler, which need not ask again.
async fn signed_in(request: &mut Request, verifier: &Verifier) -> Option<String> {
    if !request.headers().contains_key(AUTHORIZATION) {
        return None;
    }
    let verified = verify(request.headers(), verifier).await;
    let key = verified.as_ref().ok().map(|caller| format!("user {} {}", caller.sub, caller.issuer));
    request.extensions_mut().insert(Verified(verified));
    key
}

fn tell<'a>(response: &mut Response, decisions: impl Iterator<Item = &'a Decision>) {
    // Of a refusal only the limits that were met are told. Another's room would say to come back sooner than
    // `Retry-After` does, also where the handler refused.
    let is_refusal = response.status() == StatusCode::TOO_MANY_REQUESTS;
    let (mut policies, mut told) = (Vec::new(), Vec::new());
    for decision in decisions {
        policies.push(policy(&decision.rule));
        if !(is_refusal && decision.allowed) {
            told.push(service_limit(decision));
        }
    }
    for (name, items) in [(RATELIMIT_POLICY, policies), (RATELIMIT, told)] {
        let value = (!items.is_empty()).then(|| HeaderValue::try_from(items.join(", ")).ok()).flatten();
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
}

fn policy(rule: &Rule) -> String {
    format!("\"{}\";q={};w={}", rule.name, rule.limit, rule.per.as_secs().max(1))
}

/// `t` is the time in which no more than `r` should be asked: with none left until the next one, as in `Retry-After`,
/// otherwise until all of the limit is there again.
fn service_limit(decision: &Decision) -> String {
    let Decision { rule, remaining, .. } = decision;
    let window = if *remaining == 0 { decision.retry_after } else { decision.reset_after };
    format!("\"{}\";r={remaining};t={}", rule.name, window.as_millis().div_ceil(1000))
}

impl Fault for TooMany {
    fn kind(&self) -> Kind {
        Kind::TooMany
    }

    fn code(&self) -> &'static str {
        "too_many_requests"
    }

    fn detail(&self) -> String {
        format!("Too many requests. The next one is taken in {} s.", TooMany::retry_after_seconds(self))
    }

    fn retry_after_seconds(&self) -> Option<u32> {
        Some(TooMany::retry_after_seconds(self))
    }
}

#[cfg(test)]
mod tests;
