use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Amount, Units};

/// The lower 128 bits of a number: all there is to nearly every amount. What is above them is kept apart, as how many
/// times 2¹²⁸ it is.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub(super) struct Low([u64; 2]);

impl Low {
    const BITS: usize = 128;

    /// Of an amount of as many bits, the whole of it.
    #[inline]
    pub(super) fn of(amount: &Amount) -> u128 {
        let [low, high, ..] = *amount.as_limbs();
        Self([low, high]).wide()
    }

    #[inline]
    pub(super) fn is_all(amount: &Amount) -> bool {
        amount.as_limbs()[2..] == [0; 2]
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each half is what is asked for")]
    pub(super) fn new(wide: u128) -> Self {
        Self([wide as u64, (wide >> 64) as u64])
    }

    /// Least first.
    #[inline]
    pub(super) fn from_limbs(limbs: [u64; 2]) -> Self {
        Self(limbs)
    }

    #[inline]
    pub(super) fn limbs(self) -> [u64; 2] {
        self.0
    }

    #[inline]
    pub(super) fn wide(self) -> u128 {
        let [low, high] = self.0.map(u128::from);
        low | (high << 64)
    }

    /// And what is above.
    pub(super) fn split(units: Units) -> (Self, Units) {
        let [low, high, ..] = units.limbs();
        (Self([low, high]), units.shifted_right(Self::BITS))
    }

    #[inline]
    pub(super) fn with(self, above: Units) -> Units {
        let low = Units::from(self.wide());
        if above == Units::ZERO { low } else { above.shifted_left(Self::BITS) + low }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_parts_are_the_number_again(limbs: [u64; 5], amount: [u64; 4], length in 1_usize..=256) {
            let units = Units::from_limbs(limbs);
            let (low, above) = Low::split(units);
            prop_assert_eq!(low.with(above), units);
            prop_assert_eq!(above.is_negative(), units.is_negative());
            let amount = Amount::from_limbs(amount) >> (256 - length);
            let (low, above) = Low::split(amount.into());
            prop_assert_eq!(Low::is_all(&amount), above == Units::ZERO);
            prop_assert!(!Low::is_all(&amount) || Low::of(&amount) == low.wide());
            prop_assert_eq!(Low::new(low.wide()).wide(), low.wide());
        }
    }
}
