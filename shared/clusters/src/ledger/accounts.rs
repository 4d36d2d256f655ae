use std::ops::{Index, IndexMut};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::memory::Pieces;
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

    #[inline]
    pub(super) fn receive(&mut self, value: Units) {
        self.balance = (self.balance() + value).limbs();
    }

    #[inline]
    pub(super) fn send(&mut self, value: Units) {
        self.balance = (self.balance() - value).limbs();
    }
}

/// Accounts in the order they were first met.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(Pieces<Account>);

impl Accounts {
    pub(super) fn new() -> Self {
        Self(Pieces::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn get(&self, account: u32) -> Option<&Account> {
        self.0.get(account as usize)
    }

    #[inline]
    pub(super) fn push(&mut self, account: Account) {
        self.0.push(account);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }
}

impl Index<u32> for Accounts {
    type Output = Account;

    #[inline]
    fn index(&self, account: u32) -> &Account {
        &self.0[account as usize]
    }
}

impl IndexMut<u32> for Accounts {
    #[inline]
    fn index_mut(&mut self, account: u32) -> &mut Account {
        &mut self.0[account as usize]
    }
}
