use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Address, Amount, TxHash, Units};

/// The token an analysis is about: what the transfers themselves do not tell. Nothing but `chain` and `address` need
/// be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The chain's name, for example `ethereum`.
    pub chain: String,
    /// The token's contract.
    pub address: Address,
    pub name: Option<String>,
    pub symbol: Option<String>,
    /// How many decimal places of a base-unit amount are fractions of a token.
    pub decimals: Option<u8>,
    /// What the contract says, in base units; it may differ from what its transfers say.
    pub total_supply: Option<Amount>,
    pub kind: TokenKind,
    /// Addresses known to be contracts, as far as the source could ask: normally the top holders. The token's own
    /// contract is one of them only if it is listed.
    pub contracts: BTreeSet<Address>,
    /// Rows of the source that could not be read and were left out.
    pub bad_rows: u64,
    /// Rows of the source that were there before and were left out.
    pub duplicate_rows: u64,
    /// The nearest funding of holders before they began with the token, by holder, as far as the source could tell.
    pub fundings: BTreeMap<Address, Funded>,
}

/// A transfer of the chain's own coin to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funded {
    pub funder: Address,
    pub block: u64,
    pub tx: TxHash,
    /// In the coin's base units (wei); a decimal string in JSON.
    pub amount: Units,
}

/// The standard the token is known to follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    Erc20,
    /// A file of transfers does not say.
    #[default]
    Unknown,
}
