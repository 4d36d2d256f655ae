use crate::{Address, TxHash};

/// A token amount in base units.
pub type Amount = ruint::aliases::U256;

/// One `Transfer` event of a fungible token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub block: u64,
    /// Seconds since 1970, where the source knows it.
    pub timestamp: Option<u64>,
    pub tx: TxHash,
    /// Position in the block; a source without it gives its rows in order.
    pub log_index: Option<u32>,
    pub from: Address,
    pub to: Address,
    pub value: Amount,
}
