use std::collections::HashMap;

use clusters::TxHash;

use super::Row;

/// Knows rows again that stood in the same block: a log index belongs to one event of its transaction.
///
/// It holds the rows since the block number changed, at most `KEPT` of them, so a repetition further away, such as by a
/// file that was appended to itself, is not noticed. Rows without a log index cannot be told apart and are all new.
#[derive(Default)]
pub(super) struct Repeated {
    rows: Vec<Row>,
    /// By transaction and log index, once there are more rows than are quickly looked through.
    places: HashMap<(TxHash, u32), usize>,
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

const KEPT: usize = 16_384;
const FEW: usize = 32;

impl Repeated {
    #[inline]
    pub(super) fn see(&mut self, row: &Row) -> Seen {
        let Some(index) = row.transfer.log_index else { return Seen::New };
        let same_block = self.rows.last().is_some_and(|last| last.transfer.block == row.transfer.block);
        if !same_block || self.rows.len() == KEPT {
            self.rows.clear();
            self.places.clear();
            (self.lowest, self.highest) = (index, index);
        } else if (self.lowest..=self.highest).contains(&index) {
            // In a file in order this happens to repetitions only.
            if let Some(before) = self.find(row.transfer.tx, index) {
                return if before == row { Seen::Again } else { Seen::Contradicted };
            }
        } else {
            (self.lowest, self.highest) = (self.lowest.min(index), self.highest.max(index));
        }
        self.rows.push(*row);
        Seen::New
    }

    fn find(&mut self, tx: TxHash, index: u32) -> Option<&Row> {
        let key = |row: &Row| (row.transfer.tx, row.transfer.log_index);
        if self.rows.len() <= FEW {
            return self.rows.iter().find(|row| key(row) == (tx, Some(index)));
        }
        for (place, row) in self.rows.iter().enumerate().skip(self.places.len()) {
            if let (tx, Some(index)) = key(row) {
                self.places.insert((tx, index), place);
            }
        }
        self.places.get(&(tx, index)).map(|&place| &self.rows[place])
    }
}
