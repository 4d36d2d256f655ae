use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::low::Low;
use crate::memory::List;
use crate::{Address, Units};

/// Accounts in the order they were first met.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(List<Account>);

/// A cache line of its own: finding an account by its address brings its balance along.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub(super) struct Account {
    /// Received less sent: the lower part, and the rest of its limbs.
    low: Low,
    above: [u64; 3],
    pub(super) address: Address,
    rest: [u8; 4],
}

impl Accounts {
    pub(super) fn new() -> Self {
        Self(List::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Account>() * self.len()
    }

    /// With a balance of nothing.
    #[inline]
    pub(super) fn push(&mut self, address: Address) {
        self.0.push(Account { low: Low::default(), above: [0; 3], address, rest: [0; 4] });
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Account] {
        self.0.as_slice()
    }

    #[inline]
    pub(crate) fn address(&self, account: u32) -> Address {
        self.as_slice()[account as usize].address
    }

    /// Received less sent.
    #[inline]
    pub(crate) fn balance(&self, account: u32) -> Units {
        self.as_slice()[account as usize].balance()
    }

    /// Each account's address and balance.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Address, Units)> {
        self.as_slice().iter().map(|account| (account.address, account.balance()))
    }

    /// The first of two accounts sent the second as much.
    pub(super) fn send_all(&mut self, sent: impl Iterator<Item = ([u32; 2], u128)>) {
        let accounts = self.0.as_mut_slice();
        for ([from, to], value) in sent {
            let sender = &mut accounts[from as usize];
            let (rest, is_short) = sender.low.wide().overflowing_sub(value);
            sender.low = Low::new(rest);
            if is_short {
                sender.add(-Units::from_limbs(CARRY));
            }
            let receiver = &mut accounts[to as usize];
            let (sum, is_more) = receiver.low.wide().overflowing_add(value);
            receiver.low = Low::new(sum);
            if is_more {
                receiver.add(Units::from_limbs(CARRY));
            }
        }
    }

    /// To a balance.
    pub(super) fn add(&mut self, account: u32, value: Units) {
        self.0.as_mut_slice()[account as usize].add(value);
    }
}

/// The least that a lower part has no room for.
const CARRY: [u64; 5] = [0, 0, 1, 0, 0];

impl Account {
    #[inline]
    fn balance(&self) -> Units {
        let ([a, b], [c, d, e]) = (self.low.limbs(), self.above);
        Units::from_limbs([a, b, c, d, e])
    }

    #[cold]
    fn add(&mut self, value: Units) {
        let [a, b, c, d, e] = (self.balance() + value).limbs();
        (self.low, self.above) = (Low::from_limbs([a, b]), [c, d, e]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn balances_are_the_sums_of_what_was_sent(
            rows in prop::collection::vec((0..4_u32, 0..3_u32, any::<u128>(), 0..128_u32, any::<bool>()), 0..60),
        ) {
            let mut accounts = Accounts::new();
            (0..4).for_each(|n| accounts.push(Address([n; 20])));
            let mut expected = [Units::ZERO; 4];
            for (from, step, value, shift, at_once) in rows {
                let (to, value) = ((from + 1 + step) % 4, value >> shift);
                if at_once {
                    accounts.send_all([([from, to], value)].into_iter());
                } else {
                    accounts.add(from, -Units::from(value));
                    accounts.add(to, value.into());
                }
                expected[from as usize] -= value.into();
                expected[to as usize] += value.into();
            }
            let balances: Vec<Units> = accounts.iter().map(|(_, balance)| balance).collect();
            prop_assert_eq!(&balances, &expected);
            prop_assert_eq!((0..4).map(|account| accounts.balance(account)).collect::<Vec<_>>(), balances);
        }
    }
}
