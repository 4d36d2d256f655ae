//! What an access token's claims must say.

use crate::caller::{Caller, UserId};
use crate::issuer::Issuer;
use crate::json::{Json, Members};
use crate::refused::Refused;

/// The issuer a token claims to come from.
pub(crate) fn issuer(claims: &Members) -> Result<&str, Refused> {
    required(claims, "iss")
}

/// Checks every claim against `issuer`, which has the token's `iss`, at `now` (seconds since 1970).
///
/// A claim of a type other than its standard's is [`Refused::Malformed`], also one that is not used here: whoever
/// signed it meant something else.
pub(crate) fn check(claims: &Members, issuer: &Issuer, now: u64, leeway_seconds: u64) -> Result<Caller, Refused> {
    let sub = UserId::new(required(claims, "sub")?).map_err(|_| Refused::Malformed)?;
    // Only a person's token has it; Cognito's client-credentials tokens do not, and are refused with this.
    let username = required(claims, "username")?;
    let expires_at = seconds(claims, "exp")?.ok_or(Refused::Malformed)?;
    let issued_at = seconds(claims, "iat")?;
    let not_before = seconds(claims, "nbf")?;
    seconds(claims, "auth_time")?;
    text(claims, "scope")?;
    audience(claims)?;
    // Signing out marks it: one that all tokens without a name of their own share would take strangers along.
    let jti = text(claims, "jti")?;
    if jti.is_some_and(str::is_empty) {
        return Err(Refused::Malformed);
    }
    let groups = texts(claims, "cognito:groups")?;

    if text(claims, "token_use")? != Some("access") {
        return Err(Refused::WrongUse);
    }
    let client_id = text(claims, "client_id")?
        .filter(|id| issuer.client_ids.iter().any(|allowed| allowed == id))
        .ok_or(Refused::WrongClient)?;

    if issued_at.is_some_and(|issued_at| issued_at > expires_at) {
        return Err(Refused::Malformed);
    }
    if now >= expires_at.saturating_add(leeway_seconds) {
        return Err(Refused::Expired);
    }
    let latest = now.saturating_add(leeway_seconds);
    if not_before.is_some_and(|at| at > latest) || issued_at.is_some_and(|at| at > latest) {
        return Err(Refused::NotYetValid);
    }

    Ok(Caller {
        sub,
        username: username.to_owned(),
        groups,
        issuer: issuer.issuer.clone(),
        client_id: client_id.to_owned(),
        issued_at,
        expires_at,
        jti: jti.map(str::to_owned),
    })
}

/// A string that must be there and not be empty.
fn required<'c>(claims: &'c Members, name: &str) -> Result<&'c str, Refused> {
    text(claims, name)?.filter(|value| !value.is_empty()).ok_or(Refused::Malformed)
}

fn text<'c>(claims: &'c Members, name: &str) -> Result<Option<&'c str>, Refused> {
    claims.get(name).map(|claim| claim.as_str().ok_or(Refused::Malformed)).transpose()
}

/// A time in whole seconds. Fractions are allowed by RFC 7519 but written by none of our issuers.
fn seconds(claims: &Members, name: &str) -> Result<Option<u64>, Refused> {
    claims.get(name).map(|claim| claim.as_u64().ok_or(Refused::Malformed)).transpose()
}

/// One audience or several (RFC 7519, 4.1.3). Access tokens name their client in `client_id`; only the form counts here.
fn audience(claims: &Members) -> Result<(), Refused> {
    match claims.get("aud") {
        Some(Json::Array(_)) => texts(claims, "aud").map(drop),
        _ => text(claims, "aud").map(drop),
    }
}

fn texts(claims: &Members, name: &str) -> Result<Vec<String>, Refused> {
    let Some(claim) = claims.get(name) else { return Ok(Vec::new()) };
    let items = claim.as_array().ok_or(Refused::Malformed)?;
    items.iter().map(|item| Json::as_str(item).map(str::to_owned).ok_or(Refused::Malformed)).collect()
}
