//! Parameters of queries. All are read from texts: so they come, whatever they are part of.

use clusters::Digest;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match digits(&text).and_then(|number| u32::try_from(number).ok()) {
            Some(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => refuse(&text, &format!("a whole number from {MIN} to {MAX}")),
        }
    }
}

/// A block's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockNumber(pub u64);

impl BlockNumber {
    /// What a table's numbers and arithmetic over blocks bear, far beyond any chain.
    const MAX: u64 = 1 << 53;
}

impl<'de> Deserialize<'de> for BlockNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match digits(&text) {
            Some(number) if number <= Self::MAX => Ok(Self(number)),
            _ => refuse(&text, "a block number"),
        }
    }
}

/// Seconds since 1970, also written as a time of RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = digits(&text).filter(|seconds| *seconds <= BlockNumber::MAX);
        let written = || text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_second()).ok());
        match seconds.or_else(written) {
            Some(seconds) => Ok(Self(seconds)),
            None => refuse(&text, "a time of RFC 3339 such as 2024-10-29T09:12:00Z, or seconds since 1970"),
        }
    }
}

/// Which labels an analysis knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LabelsParameter {
    #[default]
    BuiltIn,
    None,
    /// These before the built-in ones.
    File(Digest),
}

impl LabelsParameter {
    /// As a message and a key name them; `None` for the default.
    pub(crate) fn name(self) -> Option<String> {
        match self {
            Self::BuiltIn => None,
            Self::None => Some("none".to_owned()),
            Self::File(digest) => Some(digest.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for LabelsParameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(Self::None);
        }
        match text.parse() {
            Ok(digest) => Ok(Self::File(digest)),
            Err(_) => refuse(&text, "`none`, or the SHA-256 of labels: 64 hex digits"),
        }
    }
}

/// `true` or `false`.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => refuse(&text, "`true` or `false`"),
    }
}

fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn refuse<T, E: Error>(text: &str, expected: &str) -> Result<T, E> {
    Err(E::invalid_value(Unexpected::Str(text), &expected))
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    fn read<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, String> {
        let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
        T::deserialize(deserializer).map_err(|error| error.to_string())
    }

    #[test]
    fn a_time_is_read_in_either_form() {
        for text in ["1730193120", "2024-10-29T09:12:00Z", "2024-10-29T10:12:00+01:00", "2024-10-29T09:12:00.9Z"] {
            assert_eq!(read(text), Ok(Time(1_730_193_120)), "{text}");
        }
        for text in ["", "yesterday", "2024-10-29", "-5", "1e9", "1969-12-31T00:00:00Z", "99999999999999999999"] {
            assert!(read::<Time>(text).unwrap_err().contains("RFC 3339"), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_out_of_range_is_refused() {
        assert_eq!(read("18000000"), Ok(BlockNumber(18_000_000)));
        for text in ["", "-1", "+1", "1.5", "0x10", "9007199254740993", "18446744073709551616"] {
            assert!(read::<BlockNumber>(text).is_err(), "{text}");
        }
        assert_eq!(read("10"), Ok(Bounded::<2, 10>(10)));
        for text in ["1", "11", "ten", "4294967298"] {
            assert!(read::<Bounded<2, 10>>(text).unwrap_err().contains("from 2 to 10"), "{text}");
        }
    }

    #[test]
    fn labels_go_by_their_digest_in_lower_case() {
        assert_eq!(read("none"), Ok(LabelsParameter::None));
        let file: LabelsParameter = read(&"AB".repeat(32)).unwrap();
        assert_eq!(file.name(), Some("ab".repeat(32)));
        assert_eq!(LabelsParameter::default().name(), None);
        assert!(read::<LabelsParameter>("None").is_err());
        assert!(read::<LabelsParameter>("../secret").is_err());
    }
}
