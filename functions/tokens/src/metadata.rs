use access::Computed;
use access::tables::{METADATA, Table};
use chains::{TokenKind, TokenMetadata};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::token::Token;

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    #[schema(example = "ethereum")]
    pub chain: String,
    #[schema(example = "0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7")]
    pub address: String,
    #[schema(example = "Uniswap V2")]
    pub name: Option<String>,
    #[schema(example = "UNI-V2")]
    pub symbol: Option<String>,
    #[schema(example = 18)]
    pub decimals: Option<u8>,
    /// Base units, a decimal string.
    #[schema(example = "15713641293852893799676")]
    pub total_supply: Option<String>,
    /// `erc20`, or `unknown` where the source does not tell.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "erc20")]
    pub kind: TokenKind,
    /// Whether code stands at the address; null where the source cannot know.
    #[schema(example = true)]
    pub contract: Option<bool>,
}

impl Computed for Metadata {
    const TABLE: &'static Table = &METADATA;
    const VERSION: u32 = 1;
}

impl Metadata {
    pub(crate) fn new(token: &Token, known: TokenMetadata) -> Self {
        Self {
            chain: token.chain.clone(),
            address: token.address.to_string(),
            name: known.name,
            symbol: known.symbol,
            decimals: known.decimals,
            total_supply: known.total_supply.map(|supply| supply.to_string()),
            kind: known.kind,
            contract: known.contract,
        }
    }
}
