use crate::ledger::{Flags, Ledger};
use crate::{Parameters, Units};

/// Tells which pairs of accounts exchanged next to nothing.
///
/// Anyone can send anyone a little of a token: who poisons address books with it is no party with its victims.
pub(super) struct Dust {
    /// Less than this in both directions together is dust.
    least: Units,
    /// Nothing is less.
    is_none: bool,
    /// The flows that are no dust themselves: most, and looking for them in a pass costs less than at each.
    enough: Flags,
}

impl Dust {
    /// `supply` is the sum of the positive balances. Nothing is dust where nothing is to be left out: with hubs or
    /// transfers of nothing included.
    pub(super) fn of(ledger: &Ledger, supply: Units, parameters: &Parameters) -> Self {
        let parts = if parameters.count_all() { 0 } else { parameters.dust_parts_per_billion };
        let least = parts_per_billion(supply, parts);
        let is_none = !least.is_positive();
        Self { least, is_none, enough: if is_none { Flags::default() } else { ledger.flows_of_at_least(least) } }
    }

    /// Whether a balance is none at all, or less than would count as a transfer.
    pub(super) fn is_left_over(&self, balance: Units) -> bool {
        !balance.is_negative() && (!balance.is_positive() || balance < self.least)
    }

    /// Whether the flow alone is more than dust.
    #[inline]
    pub(super) fn is_enough(&self, flow: u32) -> bool {
        self.is_none || self.enough.has(flow)
    }

    /// Whether all flows between two together are dust.
    pub(super) fn are(&self, ledger: &Ledger, mut flows: impl Iterator<Item = u32> + Clone) -> bool {
        if flows.clone().any(|flow| self.is_enough(flow)) {
            return false;
        }
        let mut exchanged = Units::ZERO;
        !flows.any(|flow| {
            exchanged += ledger.total(flow);
            exchanged >= self.least
        })
    }
}

/// Rounded down. `amount` is not negative.
pub(super) fn parts_per_billion(amount: Units, parts: u32) -> Units {
    const BILLION: u128 = 1_000_000_000;
    let low = |wide: u128| u64::try_from(wide & u128::from(u64::MAX)).expect("64 bits are left");
    let mut product = [0_u64; 6];
    let mut carry = 0_u128;
    for (digit, limb) in product.iter_mut().zip(amount.limbs().iter().chain([&0])) {
        carry += u128::from(*limb) * u128::from(parts);
        *digit = low(carry);
        carry >>= 64;
    }
    let mut rest = 0_u128;
    for digit in product.iter_mut().rev() {
        let wide = (rest << 64) | u128::from(*digit);
        *digit = low(wide / BILLION);
        rest = wide % BILLION;
    }
    let [a, b, c, d, e, _] = product;
    Units::from_limbs([a, b, c, d, e])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_per_billion_are_what_wide_arithmetic_says(amount in 0..u128::MAX >> 32, parts in 0..=1_000_000_000_u32) {
            // amount = whole * 10^9 + rest, so that nothing overflows.
            let (whole, rest) = (amount / 1_000_000_000, amount % 1_000_000_000);
            let expected = whole * u128::from(parts) + rest * u128::from(parts) / 1_000_000_000;
            prop_assert_eq!(parts_per_billion(Units::from(amount), parts), Units::from(expected));
        }

        #[test]
        fn all_parts_are_the_amount_and_more_of_it_are_more(limbs: [u64; 4], parts in 0..1_000_000_000_u32) {
            let amount = Units::from_limbs([limbs[0], limbs[1], limbs[2], limbs[3], 0]);
            prop_assert_eq!(parts_per_billion(amount, 1_000_000_000), amount);
            prop_assert!(parts_per_billion(amount, parts) <= parts_per_billion(amount, parts + 1));
        }
    }
}
