use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A 20-byte account or contract address. Text form: `0x` and 40 hex digits, read in either case, written lower-case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub struct Address(pub [u8; 20]);

/// A 32-byte transaction hash. Text form: `0x` and 64 hex digits, written lower-case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub struct TxHash(pub [u8; 32]);

/// What a text was not: `expected` names the form, `got` quotes at most 80 characters of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got:?}")]
pub struct ParseError {
    pub expected: &'static str,
    pub got: String,
}

impl ParseError {
    pub fn new(expected: &'static str, got: &[u8]) -> Self {
        let text = String::from_utf8_lossy(got);
        Self { expected, got: text.chars().take(80).collect() }
    }
}

impl Address {
    /// Mint source and burn sink; never a holder.
    pub const ZERO: Self = Self([0; 20]);

    /// Reads `0x` and 40 hex digits from bytes, so that a file parser needs no UTF-8 check first.
    pub fn from_hex(text: &[u8]) -> Result<Self, ParseError> {
        decode(text).map(Self).ok_or_else(|| ParseError::new("an address: 0x and 40 hex digits", text))
    }
}

impl TxHash {
    /// Reads `0x` and 64 hex digits from bytes.
    pub fn from_hex(text: &[u8]) -> Result<Self, ParseError> {
        decode(text).map(Self).ok_or_else(|| ParseError::new("a transaction hash: 0x and 64 hex digits", text))
    }
}

/// Digit values by byte; anything that is no hex digit is 0xff.
const DIGITS: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0_u8;
    while digit < 10 {
        table[(b'0' + digit) as usize] = digit;
        digit += 1;
    }
    while digit < 16 {
        table[(b'a' + digit - 10) as usize] = digit;
        table[(b'A' + digit - 10) as usize] = digit;
        digit += 1;
    }
    table
};

fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let mut bad = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (DIGITS[pair[0] as usize], DIGITS[pair[1] as usize]);
        bad |= high | low;
        *byte = (high << 4) | (low & 0x0f);
    }
    // A valid digit is at most 0x0f, so one test after the loop finds any invalid one.
    (bad <= 0x0f).then_some(bytes)
}

fn encode(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0_u8; 66];
    text[..2].copy_from_slice(b"0x");
    for (pair, byte) in text[2..].chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 0x0f)];
    }
    f.pad(std::str::from_utf8(&text[..2 + 2 * bytes.len()]).map_err(|_| fmt::Error)?)
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                Self::from_hex(text.as_bytes())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(|error: ParseError| {
                    serde::de::Error::invalid_value(serde::de::Unexpected::Str(&error.got), &error.expected)
                })
            }
        }
    };
}

hex_text!(Address);
hex_text!(TxHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_case_is_read_and_lower_case_written() {
        let text = "0x970a341B4E311A5c7248dc9c3d8d4f35fedfa73e";
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text.to_lowercase());
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_form_expected() {
        for text in ["", "0x", "970a341B4E311A5c7248dc9c3d8d4f35fedfa73e", "0x970a341B4E311A5c7248dc9c3d8d4f35fedfa73g"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("0x and 40 hex digits"), "{error}");
        }
    }
}
