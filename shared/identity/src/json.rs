//! JSON that means one thing only: a member named twice, at any depth, is an error.
//!
//! Parsers disagree on which of two equal names counts, and a token must not be read differently by us and by the
//! party that signed or inspected it (RFC 8725, 2.4; RFC 7519, 4 asks for this refusal).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A parsed JSON value. Only what tokens and key sets are asked for keeps its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool,
    /// A number written as an unsigned integer.
    Integer(u64),
    /// Any other number: negative, with a fraction, or with an exponent.
    Number,
    String(String),
    Array(Vec<Json>),
    Object(Members),
}

pub(crate) type Members = BTreeMap<String, Json>;

impl Json {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Json]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Members> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// Parses exactly one JSON object in UTF-8, nothing behind it but white space; nesting is limited by the parser (128).
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Members> {
    match serde_json::from_slice(bytes) {
        Ok(Json::Object(members)) => Some(members),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Integer(number))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Members::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is repeated"));
            }
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_refused_at_any_depth_and_in_any_spelling() {
        for bad in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"a":2}}"#, r#"{"x":[{"a":1,"a":2}]}"#] {
            assert_eq!(parse_object(bad.as_bytes()), None, "{bad}");
        }
        assert!(parse_object(br#"{"x":{"a":1},"y":{"a":2},"a":3}"#).is_some());
    }

    #[test]
    fn only_one_whole_object_is_taken() {
        for bad in ["", "[]", "null", "\"a\"", "{}{}", "{} x", "{", "{\"a\":}", "{'a':1}", "\u{feff}{}", "{\"a\":NaN}"]
        {
            assert_eq!(parse_object(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_object(b" {} \n"), Some(Members::new()));
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), None);
    }

    #[test]
    fn endless_nesting_is_refused_without_exhausting_the_stack() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(parse_object(deep.as_bytes()), None);
    }

    #[test]
    fn only_plain_unsigned_integers_are_integers() {
        let members =
            parse_object(br#"{"a":1,"b":-1,"c":1.0,"d":1e3,"e":18446744073709551616,"f":true,"g":null}"#).unwrap();
        assert_eq!(members["a"].as_u64(), Some(1));
        for other in ["b", "c", "d", "e", "f", "g"] {
            assert_eq!(members[other].as_u64(), None, "{other}");
        }
    }
}
