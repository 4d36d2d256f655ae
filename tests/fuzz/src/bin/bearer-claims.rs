//! Tokens signed by the right key with any header and any claims: it is for the claims alone to decide.
#![no_main]

use arbitrary::Arbitrary;
use fuzz::bearer::{NOW, claims, door};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

/// Members that something depends on, and some that must change nothing or everything.
const HEADER: [&str; 12] = ["alg", "kid", "typ", "jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "cty", "other"];
const CLAIMS: [&str; 16] = [
    "sub",
    "username",
    "iss",
    "client_id",
    "token_use",
    "exp",
    "iat",
    "nbf",
    "auth_time",
    "scope",
    "jti",
    "aud",
    "cognito:groups",
    "origin_jti",
    "version",
    "other",
];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    header: Vec<(u8, Change<'a>)>,
    claims: Vec<(u8, Change<'a>)>,
}

#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Remove,
    Set(Json<'a>),
    /// As it was, once more in front: the same name twice.
    Twice(Json<'a>),
}

#[derive(Arbitrary, Debug)]
enum Json<'a> {
    Null,
    Bool(bool),
    /// Seconds from now.
    Around(i16),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Nested(u8),
    Array(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl Json<'_> {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Around(seconds) => json!(NOW.saturating_add_signed(i64::from(*seconds))),
            Self::Unsigned(value) => json!(value),
            Self::Signed(value) => json!(value),
            Self::Float(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Texts(values) => json!(values),
            Self::Nested(depth) => (0..*depth).fold(Value::Null, |inner, _| json!([inner])),
            Self::Array(items) => Value::Array(items.iter().map(Json::value).collect()),
            Self::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| ((*name).to_owned(), value.value())).collect())
            }
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let door = door();
    let header = changed(door.header(), &HEADER, &input.header);
    let payload = changed(claims(), &CLAIMS, &input.claims);
    let result = door.knock(&format!("Bearer {}", door.sign(header.as_bytes(), payload.as_bytes())));
    if input.header.is_empty() && input.claims.is_empty() {
        assert!(result.is_ok(), "{result:?}");
    }
});

/// The object's text after the changes.
fn changed(object: Value, names: &[&str], changes: &[(u8, Change<'_>)]) -> String {
    let mut members = match object {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let mut before = String::new();
    for (name, change) in changes.iter().take(8) {
        let name = names[usize::from(*name) % names.len()];
        match change {
            Change::Remove => drop(members.remove(name)),
            Change::Set(value) => drop(members.insert(name.to_owned(), value.value())),
            Change::Twice(value) => before += &format!("{}:{},", json!(name), value.value()),
        }
    }
    let text = Value::Object(members).to_string();
    if before.is_empty() || text == "{}" { text } else { format!("{{{before}{}", &text[1..]) }
}
