use std::collections::HashMap;

use clusters::{Address, Transfer, TxHash};

use super::EMPTY;
use crate::SourceError;

/// Rows that were read and are not given away yet. Among them a row is known again that stood in the same block: a log
/// index belongs to one event of its transaction.
///
/// It holds the rows since the block number changed, at most `KEPT` of them, so a repetition further away, such as by a
/// file that was appended to itself, is not noticed. Rows without a log index cannot be told apart and are all new.
pub(super) struct Pending {
    /// Rows, and after them places for more.
    transfers: Vec<Transfer>,
    /// How many rows there are.
    length: usize,
    /// The token of the rows from here to the next entry.
    tokens: Vec<(usize, Option<Address>)>,
    /// Of the next row.
    token: Option<Address>,
    /// The next row begins an entry of `tokens`.
    is_other_token: bool,
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
    pub(super) fn new() -> Self {
        Self {
            transfers: Vec::new(),
            length: 0,
            tokens: Vec::new(),
            token: None,
            is_other_token: true,
            first: 0,
            block: None,
            places: HashMap::new(),
            placed: 0,
            lowest: 0,
            highest: 0,
        }
    }

    /// The place to read the next row to; a column that the file does not have is empty there.
    #[inline]
    pub(super) fn next(&mut self) -> &mut Transfer {
        if self.length == self.transfers.len() {
            self.transfers.resize(self.length + BATCH, EMPTY);
        }
        &mut self.transfers[self.length]
    }

    /// Of which token the next row is, and those after it.
    pub(super) fn set_token(&mut self, token: Address) {
        self.token = Some(token);
        self.is_other_token = self.tokens.last().is_none_or(|&(_, last)| last != self.token);
    }

    /// Keeps the row at the place for the next one if it is new. When there are enough, those before it go to `sink`.
    #[inline(always)]
    pub(super) fn keep(
        &mut self,
        sink: &mut impl FnMut(&[Transfer], Option<Address>) -> Result<(), SourceError>,
    ) -> Result<Seen, SourceError> {
        let Transfer { block, log_index, .. } = self.transfers[self.length];
        // In a file in order nearly all rows come after the others of their block, or begin one.
        if let Some(index) = log_index
            && !self.is_other_token
        {
            let is_same_block = self.block == Some(block);
            if is_same_block && index > self.highest && self.length - self.first < KEPT {
                self.highest = index;
                self.length += 1;
                return Ok(Seen::New);
            }
            if !is_same_block && self.length < BATCH {
                self.begin_block(block, index);
                self.length += 1;
                return Ok(Seen::New);
            }
        }
        self.keep_any(sink)
    }

    #[inline(never)]
    fn keep_any(
        &mut self,
        sink: &mut impl FnMut(&[Transfer], Option<Address>) -> Result<(), SourceError>,
    ) -> Result<Seen, SourceError> {
        let Transfer { block, log_index, .. } = self.transfers[self.length];
        match log_index {
            Some(index) if self.block != Some(block) || self.length - self.first >= KEPT => {
                if self.length >= BATCH {
                    self.give_before_next(sink)?;
                }
                self.begin_block(block, index);
            }
            // In a file in order this happens to repetitions only.
            Some(index) if (self.lowest..=self.highest).contains(&index) => {
                if let Some(place) = self.find(index) {
                    let is_same =
                        self.transfers[place] == self.transfers[self.length] && self.token_at(place) == self.token;
                    return Ok(if is_same { Seen::Again } else { Seen::Contradicted });
                }
            }
            Some(index) => (self.lowest, self.highest) = (self.lowest.min(index), self.highest.max(index)),
            None if self.length >= if self.block.is_none() { BATCH } else { KEPT } => self.give_before_next(sink)?,
            None => {}
        }
        if self.is_other_token {
            self.tokens.push((self.length, self.token));
            self.is_other_token = false;
        }
        self.length += 1;
        Ok(Seen::New)
    }

    #[inline]
    fn begin_block(&mut self, block: u64, index: u32) {
        self.first = self.length;
        self.block = Some(block);
        self.placed = self.first;
        if !self.places.is_empty() {
            self.places.clear();
        }
        (self.lowest, self.highest) = (index, index);
    }

    fn give_before_next(
        &mut self,
        sink: &mut impl FnMut(&[Transfer], Option<Address>) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let next = self.transfers[self.length];
        self.give(sink)?;
        self.transfers[0] = next;
        Ok(())
    }

    /// Gives away all rows, those of one token after another together. What comes later is not compared with them.
    pub(super) fn give(
        &mut self,
        sink: &mut impl FnMut(&[Transfer], Option<Address>) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let ends = self.tokens.iter().skip(1).map(|&(start, _)| start).chain([self.length]);
        for (&(start, token), end) in self.tokens.iter().zip(ends) {
            sink(&self.transfers[start..end], token)?;
        }
        self.tokens.clear();
        self.is_other_token = true;
        self.places.clear();
        (self.length, self.first, self.placed, self.block) = (0, 0, 0, None);
        Ok(())
    }

    /// Of the row at this place.
    fn token_at(&self, place: usize) -> Option<Address> {
        let after = self.tokens.partition_point(|&(start, _)| start <= place);
        self.tokens[..after].last().and_then(|&(_, token)| token)
    }

    /// The row of the block that is of the same transaction as the next one, and has this log index.
    fn find(&mut self, index: u32) -> Option<usize> {
        let tx = self.transfers[self.length].tx;
        let key = |transfer: &Transfer| (transfer.tx, transfer.log_index);
        let rows = &self.transfers[..self.length];
        let of_block = &rows[self.first..];
        if of_block.len() <= FEW {
            let found = of_block.iter().position(|transfer| key(transfer) == (tx, Some(index)));
            return found.map(|place| self.first + place);
        }
        for (place, transfer) in rows.iter().enumerate().skip(self.placed) {
            if let (tx, Some(index)) = key(transfer) {
                self.places.insert((tx, index), place);
            }
        }
        self.placed = self.length;
        self.places.get(&(tx, index)).copied()
    }
}
