use std::ops::{Index, IndexMut};

use crate::{Address, Units};

/// A cache line of its own: finding an account by its address brings its balance along.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Account {
    /// Received less sent.
    pub(crate) balance: Units,
    pub(crate) address: Address,
}

/// Accounts in the order they were first met. They stay where they are: a list in one piece would be copied to memory
/// never used before whenever it grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    /// All but the last have `PIECE` accounts.
    pieces: Vec<Vec<Account>>,
    len: usize,
}

const PIECE: usize = 1 << 13;

impl Accounts {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, account: u32) -> Option<&Account> {
        self.pieces.get(account as usize / PIECE)?.get(account as usize % PIECE)
    }

    #[inline]
    pub(super) fn push(&mut self, account: Account) {
        if self.len.is_multiple_of(PIECE) {
            // A ledger of few accounts takes little.
            self.pieces.push(Vec::with_capacity(if self.len == 0 { 0 } else { PIECE }));
        }
        self.pieces[self.len / PIECE].push(account);
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.pieces.iter().flatten()
    }
}

impl Index<usize> for Accounts {
    type Output = Account;

    #[inline]
    fn index(&self, account: usize) -> &Account {
        &self.pieces[account / PIECE][account % PIECE]
    }
}

impl IndexMut<usize> for Accounts {
    #[inline]
    fn index_mut(&mut self, account: usize) -> &mut Account {
        &mut self.pieces[account / PIECE][account % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_at_their_position_in_every_piece() {
        let address = |number: usize| {
            let mut address = Address::ZERO;
            address.0[..8].copy_from_slice(&number.to_le_bytes());
            address
        };
        let mut accounts = Accounts::default();
        for number in 0..2 * PIECE + 1 {
            assert!(accounts.get(u32::try_from(number).unwrap()).is_none());
            accounts.push(Account { balance: Units::ZERO, address: address(number) });
        }
        accounts[PIECE].balance = Units::from(7);
        assert_eq!(accounts.len(), 2 * PIECE + 1);
        assert!(accounts.iter().enumerate().all(|(number, account)| account.address == address(number)));
        assert!([0, PIECE - 1, PIECE, 2 * PIECE].iter().all(|&number| accounts[number].address == address(number)));
        let rich = accounts.iter().position(|account| account.balance == Units::from(7));
        assert_eq!(rich, Some(PIECE));
        assert_eq!(accounts.get(u32::try_from(PIECE).unwrap()).map(|account| account.balance), Some(Units::from(7)));
    }
}
