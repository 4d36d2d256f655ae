//! JSON Web Key Sets (RFC 7517): which published keys are taken.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::compact::KID_BYTES_MAX;
use crate::json::{Json, Members, parse_object};

const MODULUS_BITS_MIN: usize = 2048;
/// A signature of 4096 bits already costs four times the usual; larger keys would be a way to burn our time.
const MODULUS_BITS_MAX: usize = 4096;
const EXPONENT_MIN: u64 = 65_537;

/// A key set that cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("not a JSON object with an array `keys`, or a name is repeated")]
    Malformed,
    #[error("no RSA signing key of 2048 to 4096 bits with a `kid`")]
    NoUsableKey,
    #[error("larger than {} bytes", crate::JWKS_BYTES_MAX)]
    TooLarge,
}

/// An RSA public key, parsed once: what is left per token is the signature's own arithmetic.
pub(crate) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// RSASSA-PKCS1-v1_5 with SHA-256, whatever the token says about itself.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

/// The usable keys of a set, by `kid`.
pub(crate) type Keys = BTreeMap<String, std::sync::Arc<PublicKey>>;

/// Reads a key set. Keys we cannot or must not use are left out; a `kid` claimed by two different keys is left out
/// too, as nothing says which of them was meant.
pub(crate) fn parse(json: &str) -> Result<Keys, JwksError> {
    if json.len() > crate::JWKS_BYTES_MAX {
        return Err(JwksError::TooLarge);
    }
    let set = parse_object(json.as_bytes()).ok_or(JwksError::Malformed)?;
    let listed = set.get("keys").and_then(Json::as_array).ok_or(JwksError::Malformed)?;

    let mut usable: BTreeMap<&str, Option<Components>> = BTreeMap::new();
    for (kid, components) in listed.iter().filter_map(Json::as_object).filter_map(read_key) {
        usable
            .entry(kid)
            .and_modify(|known| {
                if known.as_ref() != Some(&components) {
                    *known = None;
                }
            })
            .or_insert(Some(components.clone()));
    }

    let keys: Keys = usable
        .into_iter()
        .filter_map(|(kid, components)| {
            let Components { n, e } = components?;
            let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
            Some((kid.to_owned(), std::sync::Arc::new(PublicKey(key))))
        })
        .collect();
    if keys.is_empty() { Err(JwksError::NoUsableKey) } else { Ok(keys) }
}

#[derive(Clone, PartialEq)]
struct Components {
    n: Vec<u8>,
    e: Vec<u8>,
}

/// A signing key for RS256 and its `kid`, or `None` for every other kind of key.
fn read_key(key: &Members) -> Option<(&str, Components)> {
    let text = |name: &str| key.get(name).and_then(Json::as_str);
    let absent_or = |name: &str, wanted: &str| key.get(name).is_none_or(|value| value.as_str() == Some(wanted));

    // A private part in public: that key signs for anybody.
    if text("kty") != Some("RSA") || !absent_or("use", "sig") || !absent_or("alg", "RS256") || key.contains_key("d") {
        return None;
    }
    if let Some(operations) = key.get("key_ops") {
        operations.as_array()?.iter().find(|operation| operation.as_str() == Some("verify"))?;
    }
    let kid = text("kid").filter(|kid| (1..=KID_BYTES_MAX).contains(&kid.len()))?;
    let n = URL_SAFE_NO_PAD.decode(text("n")?).ok()?;
    let e = URL_SAFE_NO_PAD.decode(text("e")?).ok()?;

    if !(MODULUS_BITS_MIN..=MODULUS_BITS_MAX).contains(&bits(&n)?) || e.len() > 4 || n.last()? & 1 == 0 {
        return None;
    }
    let exponent = e.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    if exponent < EXPONENT_MIN || exponent & 1 == 0 || e.first() == Some(&0) {
        return None;
    }
    Some((kid, Components { n, e }))
}

/// Bits of a big-endian number without leading zero bytes (RFC 7518, 6.3.1.1); `None` with them.
fn bits(number: &[u8]) -> Option<usize> {
    let first = number.first().filter(|first| **first != 0)?;
    let leading = usize::try_from(first.leading_zeros()).ok()?;
    Some(number.len() * 8 - leading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge;

    fn number(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xff; bytes])
    }

    fn key(change: impl FnOnce(&mut serde_json::Value)) -> serde_json::Value {
        let mut key = serde_json::json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "n": number(256), "e": "AQAB",
        });
        change(&mut key);
        key
    }

    fn set(keys: &[serde_json::Value]) -> String {
        serde_json::json!({ "keys": keys }).to_string()
    }

    fn usable(change: impl FnOnce(&mut serde_json::Value)) -> bool {
        parse(&set(&[key(change)])).is_ok()
    }

    #[test]
    fn a_signing_key_is_taken_with_or_without_its_optional_members() {
        assert!(usable(|_| {}));
        assert!(usable(|key| key["use"] = serde_json::json!("sig")));
        for optional in ["use", "alg"] {
            assert!(usable(|key| drop(key.as_object_mut().unwrap().remove(optional))), "{optional}");
        }
        assert!(usable(|key| key["key_ops"] = serde_json::json!(["verify"])));
        assert!(usable(|key| key["x5t"] = serde_json::json!("whatever")));
    }

    #[test]
    fn keys_that_are_not_for_rs256_signatures_are_left_out() {
        for (name, value) in [
            ("kty", "EC"),
            ("kty", "oct"),
            ("kty", "rsa"),
            ("use", "enc"),
            ("use", "SIG"),
            ("use", ""),
            ("alg", "RS384"),
            ("alg", "PS256"),
            ("alg", "HS256"),
            ("alg", "RSA-OAEP"),
            ("alg", "none"),
            ("kid", ""),
            ("d", "AQAB"),
        ] {
            assert!(!usable(|key| key[name] = serde_json::json!(value)), "{name} {value}");
        }
        for needed in ["kty", "kid", "n", "e"] {
            assert!(!usable(|key| drop(key.as_object_mut().unwrap().remove(needed))), "{needed}");
        }
        for operations in [serde_json::json!(["sign"]), serde_json::json!([]), serde_json::json!("verify")] {
            assert!(!usable(|key| key["key_ops"] = operations));
        }
        for name in ["kty", "kid", "use", "alg", "n", "e"] {
            assert!(!usable(|key| key[name] = serde_json::json!(7)), "{name} a number");
        }
        assert!(!usable(|key| key["kid"] = serde_json::json!("k".repeat(257))));
    }

    #[test]
    fn short_and_oversized_moduli_are_left_out() {
        for (bytes, taken) in
            [(64, false), (128, false), (255, false), (256, true), (512, true), (513, false), (1024, false)]
        {
            assert_eq!(usable(|key| key["n"] = serde_json::json!(number(bytes))), taken, "{bytes} bytes");
        }
        // 256 bytes, but only 2047 bits.
        let mut almost = vec![0xff; 256];
        almost[0] = 0x7f;
        assert!(!usable(|key| key["n"] = serde_json::json!(URL_SAFE_NO_PAD.encode(&almost))));
        // A leading zero must not lend a short key its length.
        let mut padded = vec![0xff; 256];
        padded[0] = 0;
        assert!(!usable(|key| key["n"] = serde_json::json!(URL_SAFE_NO_PAD.encode(&padded))));
    }

    #[test]
    fn weak_or_malformed_numbers_are_left_out() {
        for exponent in ["", "AQ", "Aw", "AQAA", "AAEAAQ", "AQAB=", "AQAC", "__________8", "!"] {
            assert!(!usable(|key| key["e"] = serde_json::json!(exponent)), "{exponent}");
        }
        let mut even = vec![0xff; 256];
        even[255] = 0xfe;
        assert!(!usable(|key| key["n"] = serde_json::json!(URL_SAFE_NO_PAD.encode(&even))));
        assert!(!usable(|key| key["n"] = serde_json::json!(format!("{}=", number(256)))));
    }

    #[test]
    fn one_bad_key_does_not_cost_the_others() {
        let keys = parse(&set(&[
            serde_json::json!(null),
            serde_json::json!("key"),
            key(|key| key["kty"] = serde_json::json!("EC")),
            key(|_| {}),
        ]));
        assert_eq!(keys.unwrap().len(), 1);
    }

    #[test]
    fn a_kid_claimed_by_two_different_keys_is_nobodys() {
        let other = key(|key| key["n"] = serde_json::json!(number(384)));
        let third = key(|key| key["kid"] = serde_json::json!("third"));
        assert_eq!(parse(&set(&[key(|_| {}), key(|_| {})])).unwrap().len(), 1);
        let keys = parse(&set(&[key(|_| {}), other.clone(), key(|_| {}), third])).unwrap();
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["third"]);
        assert_eq!(parse(&set(&[key(|_| {}), other])).err(), Some(JwksError::NoUsableKey));
    }

    #[test]
    fn what_is_no_key_set_is_refused_as_a_whole() {
        for bad in ["", "[]", "{}", "null", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"keys":[],"keys":[]}"#, "<html>"]
        {
            assert_eq!(parse(bad).err(), Some(JwksError::Malformed), "{bad}");
        }
        assert_eq!(parse(r#"{"keys":[]}"#).err(), Some(JwksError::NoUsableKey));
        let huge = format!("{}{}", forge::one().jwks(), " ".repeat(crate::JWKS_BYTES_MAX));
        assert_eq!(parse(&huge).err(), Some(JwksError::TooLarge));
    }
}
