use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::low::Low;
use crate::memory::List;
use crate::{Address, Units};

/// Accounts in the order they were first met.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    list: List<Account>,
    /// By account: what its balance has above its lower part. Those past the end have nothing there.
    above: Vec<Units>,
}

/// Half a cache line, so that finding an account by its address brings its balance along.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(32))]
pub(super) struct Account {
    pub(super) address: Address,
    /// Received less sent.
    balance: Low,
}

impl Accounts {
    pub(super) fn new() -> Self {
        Self { list: List::new(), above: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Account>() * self.len() + size_of::<Units>() * self.above.len()
    }

    /// With a balance of nothing.
    #[inline]
    pub(super) fn push(&mut self, address: Address) {
        self.list.push(Account { address, balance: Low::default() });
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Account] {
        self.list.as_slice()
    }

    #[inline]
    pub(crate) fn address(&self, account: u32) -> Address {
        self.as_slice()[account as usize].address
    }

    /// Received less sent.
    #[inline]
    pub(crate) fn balance(&self, account: u32) -> Units {
        self.whole(account as usize, &self.as_slice()[account as usize])
    }

    #[inline]
    fn whole(&self, index: usize, account: &Account) -> Units {
        account.balance.with(self.above.get(index).copied().unwrap_or_default())
    }

    /// Each account's address and balance.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Address, Units)> {
        let account = |(index, account): (usize, &Account)| (account.address, self.whole(index, account));
        self.as_slice().iter().enumerate().map(account)
    }

    /// The first of two accounts sent the second as much.
    pub(super) fn send_all(&mut self, sent: impl Iterator<Item = ([u32; 2], u128)>) {
        let Self { list, above } = self;
        let list = list.as_mut_slice();
        for ([from, to], value) in sent {
            let sender = &mut list[from as usize].balance;
            match sender.wide().checked_sub(value) {
                Some(rest) => *sender = Low::new(rest),
                None => add(list, above, from, -Units::from(value)),
            }
            let receiver = &mut list[to as usize].balance;
            match receiver.wide() + value {
                sum @ ..=Low::MOST => *receiver = Low::new(sum),
                _ => add(list, above, to, value.into()),
            }
        }
    }

    /// To a balance.
    pub(super) fn add(&mut self, account: u32, value: Units) {
        add(self.list.as_mut_slice(), &mut self.above, account, value);
    }
}

#[cold]
fn add(list: &mut [Account], above: &mut Vec<Units>, account: u32, value: Units) {
    let index = account as usize;
    let before = above.get(index).copied().unwrap_or_default();
    let balance = &mut list[index].balance;
    let (low, after) = Low::split(balance.with(before) + value);
    *balance = low;
    if after != before {
        above.resize(above.len().max(index + 1), Units::ZERO);
        above[index] = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn balances_are_the_sums_of_what_was_sent(
            rows in prop::collection::vec((0..4_u32, 0..3_u32, any::<u128>(), 0..96_u32, any::<bool>()), 0..60),
        ) {
            let mut accounts = Accounts::new();
            (0..4).for_each(|n| accounts.push(Address([n; 20])));
            let mut expected = [Units::ZERO; 4];
            for (from, step, value, shift, at_once) in rows {
                let (to, value) = ((from + 1 + step) % 4, (value & Low::MOST) >> shift);
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
