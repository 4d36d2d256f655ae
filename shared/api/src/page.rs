#![expect(
    unused_qualifications,
    reason = "in what `ToSchema` derives for a generic type; the struct takes no such attribute"
)]

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// One page of a list. Ask again with `cursor` set to `nextCursor` until that is null; a cursor is opaque and belongs
/// to the query that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Null on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// How many items a page holds at most: 1 to `MAX`, `DEFAULT` when not given. In a query:
/// `#[serde(default)] #[param(inline)] limit: Limit<20, 100>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<const DEFAULT: u32, const MAX: u32>(u32);

impl<const DEFAULT: u32, const MAX: u32> Limit<DEFAULT, MAX> {
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const DEFAULT: u32, const MAX: u32> Default for Limit<DEFAULT, MAX> {
    fn default() -> Self {
        const { assert!(1 <= DEFAULT && DEFAULT <= MAX, "the default limit is within the bounds") };
        Self(DEFAULT)
    }
}

impl<'de, const DEFAULT: u32, const MAX: u32> Deserialize<'de> for Limit<DEFAULT, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LimitVisitor)
    }
}

struct LimitVisitor<const DEFAULT: u32, const MAX: u32>;

impl<const DEFAULT: u32, const MAX: u32> Visitor<'_> for LimitVisitor<DEFAULT, MAX> {
    type Value = Limit<DEFAULT, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match u32::try_from(value) {
            Ok(value @ 1..) if value <= MAX => Ok(Limit(value)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self)),
        }
    }

    // A query string is text, also below `#[serde(flatten)]`.
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(value) if is_number => self.visit_u64(value),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

impl<const DEFAULT: u32, const MAX: u32> PartialSchema for Limit<DEFAULT, MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX))
            .default(Some(DEFAULT.into()))
            .into()
    }
}

impl<const DEFAULT: u32, const MAX: u32> ToSchema for Limit<DEFAULT, MAX> {
    fn name() -> Cow<'static, str> {
        format!("Limit_{DEFAULT}_{MAX}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    struct List {
        #[serde(default)]
        limit: Limit<20, 100>,
    }

    fn parse(query: &str) -> Result<u32, String> {
        serde_urlencoded::from_str::<List>(query).map(|list| list.limit.get()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_limit_left_out_is_the_default() {
        assert_eq!(parse(""), Ok(20));
    }

    #[test]
    fn a_limit_is_digits_only() {
        for text in ["", "+5", "-5", "5.0", "0x5", "five", "99999999999999999999999"] {
            assert!(parse(&format!("limit={text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_is_a_number_in_json_too() {
        assert_eq!(serde_json::from_value::<List>(json!({"limit": 7})).unwrap().limit.get(), 7);
        assert!(serde_json::from_value::<List>(json!({"limit": 101})).is_err());
    }

    #[test]
    fn the_last_page_says_so() {
        let page = Page { items: vec![1, 2], next_cursor: None };
        assert_eq!(serde_json::to_value(page).unwrap(), json!({"items": [1, 2], "nextCursor": null}));
        let page = Page { items: vec![1, 2], next_cursor: Some("abc".to_owned()) };
        assert_eq!(serde_json::to_value(page).unwrap(), json!({"items": [1, 2], "nextCursor": "abc"}));
    }

    proptest! {
        #[test]
        fn a_limit_is_taken_exactly_within_its_bounds(value: u32) {
            prop_assert_eq!(parse(&format!("limit={value}")).ok(), (1..=100).contains(&value).then_some(value));
        }

        #[test]
        fn small_limits_are_taken_as_they_are(value in 0u32..200) {
            prop_assert_eq!(parse(&format!("limit={value}")).ok(), (1..=100).contains(&value).then_some(value));
        }
    }
}
