use ruint::Uint;

use crate::{Concentration, Units};

/// Takes amounts from the largest to the smallest and knows their concentration at the end.
///
/// Sums are exact, and every rounding is IEEE division, multiplication, addition or square root in a fixed order, so
/// that the result is the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Descending {
    total: Units,
    total_f64: f64,
    count: u64,
    prefix: Units,
    /// Of all prefixes so far; 2³² of them may be up to 2³¹⁹ each.
    prefixes: Uint<384, 6>,
    hhi: f64,
    nakamoto: u64,
    top10: Units,
}

impl Descending {
    /// For amounts that will add up to `total`.
    fn new(total: Units) -> Self {
        Self {
            total,
            total_f64: total.to_f64(),
            count: 0,
            prefix: Units::ZERO,
            prefixes: Uint::ZERO,
            hhi: 0.0,
            nakamoto: 0,
            top10: Units::ZERO,
        }
    }

    /// The same, with the first amounts taken.
    pub(crate) fn of(total: Units, amounts: impl IntoIterator<Item = Units>) -> Self {
        let mut descending = Self::new(total);
        for amount in amounts {
            descending.add(amount, amount.to_f64());
        }
        descending
    }

    /// `amount` is positive and at most the one before; `nearest` is its `to_f64`.
    #[inline]
    pub(crate) fn add(&mut self, amount: Units, nearest: f64) {
        self.count += 1;
        self.prefix += amount;
        let [a, b, c, d, e] = self.prefix.limbs();
        self.prefixes = self.prefixes.wrapping_add(Uint::from_limbs([a, b, c, d, e, 0]));
        let share = nearest / self.total_f64;
        self.hhi += share * share;
        if self.nakamoto == 0 && self.prefix >= self.total - self.prefix {
            self.nakamoto = self.count;
        }
        if self.count <= 10 {
            self.top10 = self.prefix;
        }
    }

    pub(crate) fn finish(self) -> Concentration {
        if self.count == 0 {
            return Concentration::default();
        }
        Concentration {
            gini: self.gini(),
            hhi: self.hhi,
            nakamoto: self.nakamoto,
            effective_holders: 1.0 / self.hhi,
            top10_share: self.top10.to_f64() / self.total_f64,
        }
    }

    /// Σ(2i − n − 1)xᵢ / (nΣx) with x ascending. The i-th smallest is part of i of the prefixes taken from the
    /// largest on, so Σ i·xᵢ is the sum of the prefixes.
    fn gini(&self) -> f64 {
        let [a, b, c, d, e] = self.total.limbs();
        let total = Uint::<384, 6>::from_limbs([a, b, c, d, e, 0]);
        let count = Uint::<384, 6>::from(self.count);
        let twice = self.prefixes.wrapping_add(self.prefixes);
        let difference = twice.wrapping_sub(total.wrapping_mul(count)).wrapping_sub(total);
        f64::from(difference) / f64::from(total.wrapping_mul(count))
    }
}

/// How far a token is from being one party's, 0 to 100:
///
/// ```text
/// 100 × (0.4 × (1 − √hhi) + 0.3 × (1 − 1/nakamoto) + 0.3 × (1 − top10Share))
/// ```
///
/// The first term looks at everybody (√hhi is the root mean of a share, weighted by itself), the second at how many it
/// takes to decide, the third at the ten largest. √hhi weighs most because it alone moves with every change.
///
/// It is computed over parties, not wallets, and each term can only fall when two parties turn out to be one: hhi and
/// top10Share do not fall, nakamoto does not rise. (The Gini index has no place in it: merging two small parties can
/// lower it.) So splitting a party's wallets never raises the score as long as the parts are found to be one party:
/// they traded with each other, are among the top holders and are no hubs.
pub(crate) fn score(concentration: &Concentration) -> Option<f64> {
    let Concentration { hhi, nakamoto, top10_share, .. } = *concentration;
    if nakamoto == 0 {
        return None;
    }
    let spread = 1.0 - hhi.sqrt();
    let deciders = 1.0 - 1.0 / nakamoto as f64;
    let rest = 1.0 - top10_share;
    Some((100.0 * (0.4 * spread + 0.3 * deciders + 0.3 * rest)).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn concentration(amounts: &[u64]) -> Concentration {
        let mut amounts = amounts.to_vec();
        amounts.sort_unstable_by(|a, b| b.cmp(a));
        let amounts = amounts.into_iter().map(|amount| Units::from(u128::from(amount)));
        Descending::of(amounts.clone().sum(), amounts).finish()
    }

    /// The definitions, over whole numbers as far as they go.
    fn by_definition(amounts: &[u64]) -> Concentration {
        let mut x: Vec<i128> = amounts.iter().map(|&amount| i128::from(amount)).collect();
        x.sort_unstable();
        let (n, sum) = (x.len() as i128, x.iter().sum::<i128>());
        let gini: i128 = (1..).zip(&x).map(|(i, x)| (2 * i - n - 1) * x).sum();
        let squares: i128 = x.iter().map(|x| x * x).sum();
        let mut taken = 0;
        let nakamoto = x
            .iter()
            .rev()
            .position(|x| {
                taken += x;
                2 * taken >= sum
            })
            .unwrap()
            + 1;
        let hhi = squares as f64 / (sum * sum) as f64;
        Concentration {
            gini: gini as f64 / (n * sum) as f64,
            hhi,
            nakamoto: nakamoto as u64,
            effective_holders: 1.0 / hhi,
            top10_share: x.iter().rev().take(10).sum::<i128>() as f64 / sum as f64,
        }
    }

    proptest! {
        #[test]
        fn metrics_agree_with_their_definitions(amounts in prop::collection::vec(1..1_u64 << 40, 1..60)) {
            let (got, want) = (concentration(&amounts), by_definition(&amounts));
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-12;
            prop_assert!(close(got.gini, want.gini), "{got:?} {want:?}");
            prop_assert!(close(got.hhi, want.hhi), "{got:?} {want:?}");
            prop_assert!(close(got.top10_share, want.top10_share), "{got:?} {want:?}");
            prop_assert!(close(got.effective_holders / want.effective_holders, 1.0), "{got:?} {want:?}");
            prop_assert_eq!(got.nakamoto, want.nakamoto);
        }

        #[test]
        fn merging_two_parties_never_raises_the_score(
            amounts in prop::collection::vec(1..1_u64 << 40, 2..60),
            first: prop::sample::Index,
            second: prop::sample::Index,
        ) {
            let mut merged = amounts.clone();
            let moved = merged.swap_remove(first.index(merged.len()));
            let other = second.index(merged.len());
            merged[other] += moved;
            let before = score(&concentration(&amounts)).unwrap();
            let after = score(&concentration(&merged)).unwrap();
            prop_assert!(after <= before + 1e-9, "{before} {after}");
            prop_assert!((0.0..=100.0).contains(&before));
        }
    }

    #[test]
    fn one_holder_of_everything_scores_nothing_and_nobody_has_no_score() {
        let one = concentration(&[7]);
        assert_eq!(one, Concentration { gini: 0.0, hhi: 1.0, nakamoto: 1, effective_holders: 1.0, top10_share: 1.0 });
        assert_eq!(score(&one), Some(0.0));
        assert_eq!(score(&concentration(&[])), None);
    }

    #[test]
    fn half_is_enough_to_decide() {
        assert_eq!(concentration(&[2, 1, 1]).nakamoto, 1);
        assert_eq!(concentration(&[1, 1, 1, 1]).nakamoto, 2);
        assert_eq!(concentration(&[1, 1, 1, 1, 1]).nakamoto, 3);
    }
}
