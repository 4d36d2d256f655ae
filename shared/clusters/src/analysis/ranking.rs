use crate::ledger::Ledger;
use crate::{Address, Units};

/// How many negative balances a report names.
const WORST: usize = 50;

/// The holders by rank, and who has less than nothing.
pub(super) struct Ranking {
    /// Accounts with a positive balance, by balance, then address.
    pub(super) holders: Vec<u32>,
    /// Sum of the positive balances.
    pub(super) positive: Units,
    /// How many accounts have a negative balance.
    pub(super) negative_count: u64,
    pub(super) negative_sum: Units,
    /// The `WORST` of them, lowest first, then by address.
    pub(super) worst: Vec<u32>,
}

impl Ranking {
    pub(super) fn of(ledger: &Ledger) -> Self {
        let mut sorted: Vec<(u64, u32)> = Vec::with_capacity(ledger.accounts.len());
        let mut negative: Vec<(u64, u32)> = Vec::new();
        let (mut positive, mut negative_sum) = (Units::ZERO, Units::ZERO);
        for (position, (_, balance)) in (0..).zip(ledger.accounts.iter()) {
            if balance.is_positive() {
                positive += balance;
                sorted.push((!magnitude(balance), position));
            } else if balance.is_negative() {
                negative_sum += balance;
                negative.push((!magnitude(-balance), position));
            }
        }
        let rank =
            |account: u32| -> (Units, Address) { (ledger.accounts.balance(account), ledger.accounts.address(account)) };
        let negative_count = negative.len() as u64;
        if negative.len() > WORST {
            let (_, &mut (last, _), _) = negative.select_nth_unstable(WORST - 1);
            negative.retain(|&(magnitude, _)| magnitude <= last);
        }
        let mut worst: Vec<u32> = negative.into_iter().map(|(_, account)| account).collect();
        worst.sort_unstable_by_key(|&account| rank(account));
        worst.truncate(WORST);

        sorted.sort_unstable();
        for alike in sorted.chunk_by_mut(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            alike.sort_unstable_by(|&(_, a), &(_, b)| {
                let ((a, a_address), (b, b_address)) = (rank(a), rank(b));
                b.cmp(&a).then(a_address.cmp(&b_address))
            });
        }
        let holders = sorted.into_iter().map(|(_, account)| account).collect();
        Self { holders, positive, negative_count, negative_sum, worst }
    }
}

/// Orders positive amounts as far as 64 bits can: the position of the highest bit, then the 55 bits after it. Sorting
/// by it seldom has to look at the amounts themselves.
fn magnitude(amount: Units) -> u64 {
    let limbs = amount.limbs();
    let length = amount.bit_len();
    let (limb, bit) = ((length - 1) / 64, (length - 1) % 64);
    let below = if limb > 0 && bit < 63 { limbs[limb - 1] >> (bit + 1) } else { 0 };
    let leading = (limbs[limb] << (63 - bit)) | below;
    ((length as u64) << 55) | ((leading << 1) >> 9)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_larger_magnitude_means_a_larger_amount(a: [u64; 4], b: [u64; 4], width in 1_usize..=4) {
            let units = |mut limbs: [u64; 4]| {
                limbs[width..].fill(0);
                limbs[0] |= 1;
                Units::from_limbs([limbs[0], limbs[1], limbs[2], limbs[3], 0])
            };
            let (a, b) = (units(a), units(b));
            if a > b {
                prop_assert!(magnitude(a) >= magnitude(b));
            }
            if magnitude(a) > magnitude(b) {
                prop_assert!(a > b);
            }
        }

        #[test]
        fn amounts_below_two_to_the_56_are_told_apart(a in 1..1_u64 << 56, b in 1..1_u64 << 56) {
            let magnitude = |amount: u64| magnitude(Units::from(u128::from(amount)));
            prop_assert_eq!(magnitude(a).cmp(&magnitude(b)), a.cmp(&b));
        }
    }
}
