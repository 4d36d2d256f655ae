use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

/// The longest piece of a caller's value repeated to them, in characters.
const GOT_CHARS_MAX: usize = 64;

/// Where in a request something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    Path,
    Query,
    Header,
    Body,
}

/// One thing in a request that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mismatch {
    #[serde(rename = "in")]
    pub location: Location,
    /// The parameter's name; in a body the way to the field, `items[0].amount`; empty for the body as a whole.
    #[schema(example = "limit")]
    pub name: String,
    #[schema(example = "a whole number from 1 to 100")]
    pub expected: Cow<'static, str>,
    /// A parameter's value; of a body only what sort of value it was, for bodies hold passwords; of a header nothing.
    #[schema(example = "0")]
    pub got: Cow<'static, str>,
}

impl Mismatch {
    /// Reads serde's message, the one place where it says what it expected. `name` is the way to the value, `value`
    /// the text it had in a path or query.
    pub(crate) fn read(location: Location, name: &str, value: Option<&str>, message: &str) -> Self {
        let noun = if location == Location::Query { "parameter" } else { "field" };
        let of = |name: &str, expected: Cow<'static, str>, got: Cow<'static, str>| Self {
            location,
            name: name.to_owned(),
            expected,
            got,
        };
        if let Some((field, _)) = quoted(message, "missing field ") {
            return of(&join(name, field), "a value".into(), "nothing".into());
        }
        if let Some((field, _)) = quoted(message, "duplicate field ") {
            return of(&join(name, field), "one value".into(), "several".into());
        }
        if let Some((field, rest)) = quoted(message, "unknown field ") {
            let known = match rest.strip_prefix(", expected ") {
                Some(known) => Cow::Owned(known.to_owned()),
                None => Cow::Owned(format!("no {noun}s")),
            };
            return of(&join(name, field), known, format!("an unknown {noun}").into());
        }
        let value = value.map(|value| Cow::Owned(shortened(value)));
        if let Some((_, rest)) = quoted(message, "unknown variant ") {
            let known = rest.strip_prefix(", expected ").unwrap_or("another value").to_owned();
            return of(name, known.into(), value.unwrap_or("another value".into()));
        }
        for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
            if let Some(rest) = message.strip_prefix(prefix)
                // What was found may hold these words too, what is expected is ours: the last ones are ours.
                && let Some((found, expected)) = rest.rsplit_once(", expected ")
            {
                let got = value.unwrap_or_else(|| sort_of(found, prefix).into());
                return of(name, in_words(expected), got);
            }
        }
        of(name, in_words(message), value.unwrap_or("another value".into()))
    }

    /// All of it in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let Self { location, name, expected, got } = self;
        let subject = match location {
            Location::Path => format!("Path parameter `{name}`"),
            Location::Query if name.is_empty() => "The query".to_owned(),
            Location::Query => format!("Query parameter `{name}`"),
            Location::Header => format!("Header `{name}`"),
            Location::Body if name.is_empty() => "The body".to_owned(),
            Location::Body => format!("Body field `{name}`"),
        };
        match &**got {
            "nothing" => format!("{subject} is required."),
            "several" => format!("{subject} was given more than once."),
            got if got.starts_with("an unknown ") => format!("{subject} is unknown: expected {expected}."),
            got => format!("{subject} was {}: expected {expected}.", self.shown(got)),
        }
    }

    fn shown(&self, got: &str) -> String {
        if matches!(self.location, Location::Header | Location::Body) { got.to_owned() } else { format!("`{got}`") }
    }
}

/// Splits "<prefix>`name`rest" into name and rest.
fn quoted<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(prefix)?.strip_prefix('`')?.split_once('`')
}

fn join(path: &str, field: &str) -> String {
    match path {
        "" => field.to_owned(),
        // An unknown field's way ends in itself already.
        path if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
        path => format!("{path}.{field}"),
    }
}

/// What serde found without the value it shows: `string "abc"` is a string.
fn sort_of(found: &str, prefix: &str) -> String {
    let sort = found.split(['"', '`']).next().unwrap_or_default().trim();
    match (sort, prefix) {
        (number, "invalid length ") => format!("{} elements", number.split(',').next().unwrap_or_default()),
        ("integer" | "floating point", _) => "a number".to_owned(),
        ("boolean", _) => "a boolean".to_owned(),
        ("string" | "character" | "byte array", _) => "a string".to_owned(),
        ("null" | "unit value" | "Option value", _) => "null".to_owned(),
        ("sequence", _) => "an array".to_owned(),
        ("map", _) => "an object".to_owned(),
        _ => "another value".to_owned(),
    }
}

/// Rust's words for what it parses, in the caller's. Anything else was written for callers.
fn in_words(expected: &str) -> Cow<'static, str> {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number, not negative".into(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".into(),
        "invalid digit found in string" | "cannot parse integer from empty string" => "a whole number".into(),
        "number too large to fit in target type" => "a smaller number".into(),
        "number too small to fit in target type" => "a larger number".into(),
        "f32" | "f64" | "invalid float literal" | "cannot parse float from empty string" => "a number".into(),
        "bool" | "a boolean" | "provided string was not `true` or `false`" => "true or false".into(),
        "a sequence" => "an array".into(),
        "a map" => "an object".into(),
        // serde's for a struct is Rust's name of it.
        name if name.starts_with("struct ") || name.starts_with("tuple struct ") => "an object".into(),
        other => other.trim_end_matches('.').to_owned().into(),
    }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(GOT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
