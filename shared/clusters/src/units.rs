use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use ruint::Uint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Amount, ParseError};

type Limbs = Uint<320, 5>;

/// A signed, exact number of base units: a sum or difference of [`Amount`]s. Text form: decimal.
///
/// 320 bits in two's complement: sums of fewer than 2⁶³ amounts cannot overflow it, however hostile the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Units(Limbs);

/// The greatest power of ten in a limb, and its exponent.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;

impl Units {
    pub const ZERO: Self = Self(Limbs::ZERO);

    #[inline]
    pub fn is_negative(self) -> bool {
        self.0.as_limbs()[4] >> 63 == 1
    }

    #[inline]
    pub fn is_positive(self) -> bool {
        let [a, b, c, d, e] = self.limbs();
        (a | b | c | d | e) != 0 && !self.is_negative()
    }

    /// The nearest `f64`.
    pub fn to_f64(self) -> f64 {
        match self.limbs() {
            // Nearly all amounts, and many times faster.
            [low, high, 0, 0, 0] => ((u128::from(high) << 64) | u128::from(low)) as f64,
            _ if self.is_negative() => -f64::from((-self).0),
            _ => f64::from(self.0),
        }
    }

    /// `None` for what no single transfer can move: less than 0 or more than 2²⁵⁶ − 1.
    pub fn to_amount(self) -> Option<Amount> {
        match self.limbs() {
            [a, b, c, d, 0] => Some(Amount::from_limbs([a, b, c, d])),
            _ => None,
        }
    }

    pub(crate) fn limbs(self) -> [u64; 5] {
        *self.0.as_limbs()
    }

    pub(crate) fn from_limbs(limbs: [u64; 5]) -> Self {
        Self(Limbs::from_limbs(limbs))
    }

    /// Times two, so many times.
    pub(crate) fn shifted_left(self, bits: usize) -> Self {
        Self(self.0 << bits)
    }

    /// Half of it rounded down, so many times.
    pub(crate) fn shifted_right(self, bits: usize) -> Self {
        Self(self.0.arithmetic_shr(bits))
    }

    /// Position of the highest bit of a number that is not negative; 0 for zero.
    pub(crate) fn bit_len(self) -> usize {
        self.0.bit_len()
    }
}

impl From<Amount> for Units {
    #[inline]
    fn from(amount: Amount) -> Self {
        let [a, b, c, d] = *amount.as_limbs();
        Self(Limbs::from_limbs([a, b, c, d, 0]))
    }
}

impl From<u128> for Units {
    #[inline]
    fn from(value: u128) -> Self {
        Self(Limbs::from(value))
    }
}

impl Add for Units {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for Units {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl Neg for Units {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.wrapping_neg())
    }
}

impl AddAssign for Units {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Units {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Units {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl Ord for Units {
    fn cmp(&self, other: &Self) -> Ordering {
        // Two's complement orders as unsigned numbers do, but for the sign.
        other.is_negative().cmp(&self.is_negative()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Units {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negative = self.is_negative();
        let mut limbs = if negative { (-*self).limbs() } else { self.limbs() };
        // 2³²⁰ has 97 digits.
        let mut text = [b'0'; 6 * CHUNK_DIGITS];
        let mut start = text.len();
        let mut len = limbs.iter().rposition(|&limb| limb != 0).map_or(0, |top| top + 1);
        while len > 0 {
            let mut rest = 0_u64;
            for limb in limbs[..len].iter_mut().rev() {
                let part = (u128::from(rest) << 64) | u128::from(*limb);
                // `rest` is below CHUNK, so the quotient fits a limb.
                *limb = u64::try_from(part / u128::from(CHUNK)).map_err(|_| fmt::Error)?;
                rest = u64::try_from(part % u128::from(CHUNK)).map_err(|_| fmt::Error)?;
            }
            for digit in text[start - CHUNK_DIGITS..start].iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).map_err(|_| fmt::Error)?;
                rest /= 10;
            }
            start -= CHUNK_DIGITS;
            while len > 0 && limbs[len - 1] == 0 {
                len -= 1;
            }
        }
        let digits = text.iter().position(|&digit| digit != b'0').unwrap_or(text.len() - 1);
        f.pad_integral(!negative, "", std::str::from_utf8(&text[digits..]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Units {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("a whole number of base units in decimal", text.as_bytes());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(error());
        }
        let magnitude = Self(Limbs::from_str_radix(digits, 10).map_err(|_| error())?);
        if magnitude.is_negative() {
            return Err(error());
        }
        Ok(if negative { -magnitude } else { magnitude })
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_is_the_decimal_of_the_number_and_reads_back(limbs: [u64; 5], width in 0_usize..=4, negative: bool) {
            let mut limbs = limbs;
            limbs[width..].fill(0);
            let magnitude = Units::from_limbs(limbs);
            let units = if negative { -magnitude } else { magnitude };
            let sign = if units.is_negative() { "-" } else { "" };
            prop_assert_eq!(units.to_string(), format!("{sign}{}", Limbs::from_limbs(limbs)));
            prop_assert_eq!(units.to_string().parse::<Units>().unwrap(), units);
        }

        #[test]
        fn small_numbers_add_order_and_print_like_i128(a in -(1_i128 << 100)..1_i128 << 100, b in -(1_i128 << 100)..1_i128 << 100) {
            let units = |n: i128| { let m = Units::from(n.unsigned_abs()); if n < 0 { -m } else { m } };
            prop_assert_eq!((units(a) + units(b)).to_string(), (a + b).to_string());
            prop_assert_eq!((units(a) - units(b)).to_string(), (a - b).to_string());
            prop_assert_eq!(units(a).cmp(&units(b)), a.cmp(&b));
            prop_assert_eq!(units(a).to_f64(), a as f64);
        }
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for text in ["", "-", "+1", "1.5", "0x10", "1_000", " 1", &"9".repeat(120)] {
            assert!(text.parse::<Units>().is_err(), "{text}");
        }
    }
}
