//! The outer form of a token: `header.payload.signature` (RFC 7515, 7.1), read strictly.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{Json, Members, parse_object};
use crate::refused::Refused;

/// The longest key id looked up; Cognito's have 44 characters.
pub(crate) const KID_BYTES_MAX: usize = 256;

/// Header members that would let the token choose its own key, or change how it must be read. None is ever needed.
const REFUSED_MEMBERS: [&str; 9] = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "epk"];

/// A token taken apart. Nothing in it is verified yet.
pub(crate) struct Compact<'t> {
    pub(crate) kid: String,
    pub(crate) claims: Members,
    pub(crate) signature: Vec<u8>,
    /// The bytes the signature covers.
    pub(crate) signed: &'t str,
}

impl<'t> Compact<'t> {
    /// Errors: [`Refused::Malformed`], or [`Refused::WrongAlgorithm`] when the header is sound but not RS256.
    pub(crate) fn parse(token: &'t str) -> Result<Self, Refused> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::Malformed)?;

        let kid = read_header(&decode_object(header)?)?;
        let signature = decode(signature)?;
        if signature.is_empty() {
            return Err(Refused::Malformed);
        }
        Ok(Self { kid, claims: decode_object(payload)?, signature, signed })
    }
}

/// Checks the header and returns its key id.
fn read_header(header: &Members) -> Result<String, Refused> {
    match header.get("alg").and_then(Json::as_str) {
        Some("RS256") => {}
        Some(_) => return Err(Refused::WrongAlgorithm),
        None => return Err(Refused::Malformed),
    }
    if REFUSED_MEMBERS.iter().any(|name| header.contains_key(*name)) {
        return Err(Refused::Malformed);
    }
    match header.get("typ").map(Json::as_str) {
        None => {}
        Some(Some(typ)) if typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt") => {}
        Some(_) => return Err(Refused::Malformed),
    }
    let kid = header.get("kid").and_then(Json::as_str).ok_or(Refused::Malformed)?;
    if kid.is_empty() || kid.len() > KID_BYTES_MAX { Err(Refused::Malformed) } else { Ok(kid.to_owned()) }
}

fn decode_object(part: &str) -> Result<Members, Refused> {
    parse_object(&decode(part)?).ok_or(Refused::Malformed)
}

/// Base64url without padding, in its one canonical spelling: a token has no second form that verifies as well.
fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed)
}
