use std::ops::{Index, IndexMut};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::memory::List;
use crate::{Address, Units};

/// A cache line of its own: finding an account by its address brings its balance along.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub(crate) struct Account {
    balance: [u64; 5],
    pub(crate) address: Address,
    rest: [u8; 4],
}

impl Account {
    pub(super) fn new(address: Address, balance: Units) -> Self {
        Self { balance: balance.limbs(), address, rest: [0; 4] }
    }

    /// Received less sent.
    #[inline]
    pub(crate) fn balance(&self) -> Units {
        Units::from_limbs(self.balance)
    }

    pub(super) fn receive(&mut self, value: Units) {
        self.balance = (self.balance() + value).limbs();
    }

    pub(super) fn send(&mut self, value: Units) {
        self.balance = (self.balance() - value).limbs();
    }

    /// Of 128 bits, as nearly all values are.
    #[inline]
    pub(super) fn receive_low(&mut self, value: [u64; 2]) {
        let [a, b, ..] = self.balance;
        let (sum, carry) = wide([a, b]).overflowing_add(wide(value));
        [self.balance[0], self.balance[1]] = limbs(sum);
        if carry {
            self.receive(Units::from_limbs([0, 0, 1, 0, 0]));
        }
    }

    /// As [`Self::receive_low`].
    #[inline]
    pub(super) fn send_low(&mut self, value: [u64; 2]) {
        let [a, b, ..] = self.balance;
        let (difference, borrow) = wide([a, b]).overflowing_sub(wide(value));
        [self.balance[0], self.balance[1]] = limbs(difference);
        if borrow {
            self.send(Units::from_limbs([0, 0, 1, 0, 0]));
        }
    }
}

/// Accounts in the order they were first met.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(List<Account>);

impl Accounts {
    pub(super) fn new() -> Self {
        Self(List::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Account] {
        self.0.as_slice()
    }

    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [Account] {
        self.0.as_mut_slice()
    }

    #[inline]
    pub(super) fn push(&mut self, account: Account) {
        self.0.push(account);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.as_slice().iter()
    }
}

impl Index<u32> for Accounts {
    type Output = Account;

    #[inline]
    fn index(&self, account: u32) -> &Account {
        &self.as_slice()[account as usize]
    }
}

impl IndexMut<u32> for Accounts {
    #[inline]
    fn index_mut(&mut self, account: u32) -> &mut Account {
        &mut self.as_mut_slice()[account as usize]
    }
}

#[inline]
pub(super) fn wide([low, high]: [u64; 2]) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each half is what is asked for")]
fn limbs(wide: u128) -> [u64; 2] {
    [wide as u64, (wide >> 64) as u64]
}
