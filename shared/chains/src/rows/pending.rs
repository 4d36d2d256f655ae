use std::collections::HashMap;

use clusters::{Address, Transfer, TxHash};

use super::Row;
use crate::SourceError;

/// Rows that were read and are not given away yet. Among them a row is known again that stood in the same block: a log
/// index belongs to one event of its transaction.
///
/// It holds the rows since the block number changed, at most `KEPT` of them, so a repetition further away, such as by a
/// file that was appended to itself, is not noticed. Rows without a log index cannot be told apart and are all new.
#[derive(Default)]
pub(super) struct Pending {
    transfers: Vec<Transfer>,
    tokens: Vec<Option<Address>>,
    /// Where the rows of `block` begin.
    first: usize,
    /// Of the last row with a log index.
    block: Option<u64>,
    /// By transaction and log index, once there are more rows of the block than are quickly looked through.
    places: HashMap<(TxHash, u32), usize>,
    /// Rows before this are in `places` if they belong there.
    placed: usize,
    lowest: u32,
    highest: u32,
}

/// What a row is beside those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Again,
    /// Another row says something else of the same event.
    Contradicted,
}

/// So many rows are given away together, or a few more.
const BATCH: usize = 512;
const KEPT: usize = 16_384;
const FEW: usize = 32;

impl Pending {
    /// Keeps the row if it is new. When there are enough, those before it go to `sink`.
    #[inline]
    pub(super) fn add(
        &mut self,
        row: &Row,
        sink: &mut impl FnMut(&[Transfer], &[Option<Address>]) -> Result<(), SourceError>,
    ) -> Result<Seen, SourceError> {
        let Row { transfer, token } = row;
        match transfer.log_index {
            Some(index) if self.block != Some(transfer.block) || self.transfers.len() - self.first >= KEPT => {
                if self.transfers.len() >= BATCH {
                    self.give(sink)?;
                }
                self.first = self.transfers.len();
                self.block = Some(transfer.block);
                self.places.clear();
                self.placed = self.first;
                (self.lowest, self.highest) = (index, index);
            }
            // In a file in order this happens to repetitions only.
            Some(index) if (self.lowest..=self.highest).contains(&index) => {
                if let Some(place) = self.find(transfer.tx, index) {
                    let is_same = (&self.transfers[place], &self.tokens[place]) == (transfer, token);
                    return Ok(if is_same { Seen::Again } else { Seen::Contradicted });
                }
            }
            Some(index) => (self.lowest, self.highest) = (self.lowest.min(index), self.highest.max(index)),
            None if self.transfers.len() >= if self.block.is_none() { BATCH } else { KEPT } => self.give(sink)?,
            None => {}
        }
        self.transfers.push(*transfer);
        self.tokens.push(*token);
        Ok(Seen::New)
    }

    /// Gives away all rows. What comes later is not compared with them.
    pub(super) fn give(
        &mut self,
        sink: &mut impl FnMut(&[Transfer], &[Option<Address>]) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        sink(&self.transfers, &self.tokens)?;
        self.transfers.clear();
        self.tokens.clear();
        self.places.clear();
        (self.first, self.placed, self.block) = (0, 0, None);
        Ok(())
    }

    fn find(&mut self, tx: TxHash, index: u32) -> Option<usize> {
        let key = |transfer: &Transfer| (transfer.tx, transfer.log_index);
        let of_block = &self.transfers[self.first..];
        if of_block.len() <= FEW {
            let found = of_block.iter().position(|transfer| key(transfer) == (tx, Some(index)));
            return found.map(|place| self.first + place);
        }
        for (place, transfer) in self.transfers.iter().enumerate().skip(self.placed) {
            if let (tx, Some(index)) = key(transfer) {
                self.places.insert((tx, index), place);
            }
        }
        self.placed = self.transfers.len();
        self.places.get(&(tx, index)).copied()
    }
}
