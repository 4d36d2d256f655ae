use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Address, Amount, Kind, Parameters, ParseError, TokenKind, TxHash, Units};

/// What an analysis found.
///
/// Amounts are exact, in base units, and decimal strings in JSON; a `display` number beside them is the nearest `f64`
/// in whole tokens, `null` where the token's decimals are not known. Shares are 0 to 1. The same transfers, subject,
/// labels and parameters give the same bytes, but for `computed_at` and `duration_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub token: Token,
    pub as_of: AsOf,
    pub parameters: Parameters,
    pub supply: Supply,
    /// The largest holders, by balance, then address.
    pub holders: Vec<Holder>,
    /// Every directed pair of `holders` that traded, by `from`, then `to`.
    pub links: Vec<Link>,
    /// By amount, then smallest address.
    pub clusters: Vec<Cluster>,
    /// The hubs among `holders`, by rank. Empty when hubs are included.
    pub excluded: Vec<Excluded>,
    /// Transfers that were too slight to join anybody, by `from`, then `to`.
    #[serde(default)]
    pub gifts: Vec<Gift>,
    /// Outsiders that kept nothing and joined holders, by address. Empty where magic nodes were asked for, which are the
    /// same and more.
    #[serde(default)]
    pub conduits: Vec<MagicNode>,
    /// Outsiders that joined holders, by address. Empty unless asked for.
    pub magic_nodes: Vec<MagicNode>,
    /// Whoever paid for the first steps of several holders, by address. Empty unless asked for.
    pub common_funders: Vec<CommonFunder>,
    /// Holders that began with the token at the same time and place, by pool, then block. Empty unless asked for.
    pub acquisitions: Vec<Acquisition>,
    pub metrics: Metrics,
    pub health: Health,
    /// Of the partition: SHA-256 over the clusters in order of their smallest address, each as its sorted members
    /// with spaces between, newlines between the clusters and one at the end.
    pub digest: Digest,
    /// Milliseconds since 1970; set by the caller, since the engine has no clock.
    pub computed_at: Option<u64>,
    /// How long the analysis took, in milliseconds; set by the caller.
    pub duration_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    pub chain: String,
    pub address: Address,
    pub name: Option<String>,
    pub symbol: Option<String>,
    pub decimals: Option<u8>,
    /// What the contract says, in base units.
    #[serde(with = "decimal")]
    pub total_supply: Option<Amount>,
    #[serde(rename = "type")]
    pub kind: TokenKind,
}

/// The blocks the transfers come from; all `None` when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsOf {
    /// The last block with a transfer.
    pub block: Option<u64>,
    /// Its time, in seconds since 1970, where the source knows it.
    pub timestamp: Option<u64>,
    pub first_block: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Supply {
    pub minted: Units,
    pub burned: Units,
    /// `positive` less what labelled burn addresses hold.
    pub circulating: Units,
    /// The sum of the positive balances, of which `share`s are taken.
    pub positive: Units,
    /// Addresses with a negative balance: their history is missing.
    pub negative_count: u64,
    pub negative_sum: Units,
    /// Sum of the transfers from the zero address to itself, which neither mint nor burn.
    pub zero_to_zero: Units,
    pub display: SupplyDisplay,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupplyDisplay {
    pub minted: Option<f64>,
    pub burned: Option<f64>,
    pub circulating: Option<f64>,
    pub positive: Option<f64>,
    pub negative_sum: Option<f64>,
    pub zero_to_zero: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// From 1.
    pub rank: u32,
    pub address: Address,
    pub amount: Units,
    pub display: Option<f64>,
    pub share: f64,
    /// Of the circulating supply; 0 for a burn address, whose holding does not circulate.
    pub circulating_share: f64,
    pub label: Option<String>,
    pub kind: Kind,
    /// Distinct counterparties in the whole token, the zero address and itself not counted.
    pub degree: u32,
    pub cluster: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    pub from: Address,
    pub to: Address,
    pub transfers: u64,
    pub amount: Units,
    pub display: Option<f64>,
    pub first_block: u64,
    pub last_block: u64,
    /// Seconds since 1970, where the source knows it.
    pub first_timestamp: Option<u64>,
    pub last_timestamp: Option<u64>,
    pub first_tx: TxHash,
    pub last_tx: TxHash,
    /// Whether it makes its ends one party; not when one of them is a hub, when it and its reverse are dust, or when it is
    /// one of the report's `gifts`.
    pub joins: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// SHA-256 of its sorted members with spaces between and a newline at the end: the same set has the same id in
    /// every report.
    pub id: Digest,
    /// From 1.
    pub rank: u32,
    /// Sorted.
    pub members: Vec<Address>,
    pub amount: Units,
    pub display: Option<f64>,
    pub share: f64,
    /// How many of the report's links join two of its members.
    pub links: u32,
    /// The excluded hubs its members have links with, sorted.
    pub hubs_touched: Vec<Address>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Excluded {
    pub address: Address,
    pub reason: Reason,
    pub degree: u32,
    pub share: f64,
    /// What would change if it alone were let in; `None` if it would still stand for itself.
    pub within: Option<Within>,
}

/// The cluster an excluded hub would be in, if it were a wallet and every other hub still one; or two holders, if a gift
/// made them one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Within {
    /// How many holders, these included.
    pub members: u32,
    pub amount: Units,
    pub display: Option<f64>,
    pub share: f64,
    /// The clusters it would join together, sorted; the other members are holders in none.
    pub clusters: Vec<Digest>,
}

/// Why an address joins nothing. A label's word comes before the degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    Degree,
    Contract,
    Exchange,
    Pool,
    Bridge,
    Router,
    Burn,
}

impl Reason {
    /// The word a report uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Degree => "degree",
            Self::Contract => "contract",
            Self::Exchange => "exchange",
            Self::Pool => "pool",
            Self::Bridge => "bridge",
            Self::Router => "router",
            Self::Burn => "burn",
        }
    }
}

/// The only transfer between two top holders, which were not joined by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gift {
    pub from: Address,
    pub to: Address,
    pub block: u64,
    /// Seconds since 1970, where the source knows it.
    pub timestamp: Option<u64>,
    pub tx: TxHash,
    pub amount: Units,
    pub display: Option<f64>,
    /// Of all its sender ever got, less what that burned.
    pub share: f64,
    /// The cluster the two would be in, if this alone joined them.
    pub within: Within,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MagicNode {
    pub address: Address,
    pub degree: u32,
    /// The holders it traded with and so joined, sorted; hubs are not among them.
    pub members: Vec<Address>,
    /// The cluster they are in.
    pub cluster: Digest,
}

/// One account that sent holders the chain's own coin before their first transfer of the token. It joins two or more, of
/// which it is one itself if it is among the top holders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommonFunder {
    pub address: Address,
    /// The holders it funded and so joined, by address.
    pub fundings: Vec<Funding>,
    /// The cluster they are in.
    pub cluster: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Funding {
    pub member: Address,
    pub block: u64,
    pub tx: TxHash,
    /// Of the chain's own coin, in its base units (wei).
    pub amount: Units,
}

/// Holders that were first sent the token by the same pool in the same blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acquisition {
    pub pool: Address,
    pub first_block: u64,
    pub last_block: u64,
    /// By address.
    pub purchases: Vec<Purchase>,
    /// The cluster they are in.
    pub cluster: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purchase {
    pub member: Address,
    pub block: u64,
    pub tx: TxHash,
    /// All that the pool ever sent the member: of repeated purchases only the sum is kept.
    pub amount: Units,
    pub display: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Every holder for itself, not only the largest.
    pub by_holder: Concentration,
    /// Each cluster as one, every other holder for itself.
    pub by_entity: Concentration,
    /// `by_entity` without the excluded hubs.
    pub by_entity_adjusted: Concentration,
    /// 0 (one party has everything) to 100, from `by_entity_adjusted`; `None` where that counts nobody.
    pub score: Option<f64>,
}

/// How concentrated amounts are; all 0 where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concentration {
    /// 0 (all equal) to nearly 1.
    pub gini: f64,
    /// Herfindahl–Hirschman index: the sum of the squared shares, 0 to 1.
    pub hhi: f64,
    /// The fewest who have half or more together.
    pub nakamoto: u64,
    /// 1 / hhi: how many equal holders would be as concentrated.
    pub effective_holders: f64,
    pub top10_share: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub rows: u64,
    /// Rows of the source that could not be read and were left out.
    pub bad_rows: u64,
    /// Rows of the source that repeated an earlier one and were left out, as far as the source noticed.
    #[serde(default)]
    pub duplicate_rows: u64,
    pub zero_value_rows: u64,
    pub self_transfers: u64,
    /// Top holders, hubs not counted, of whose funding the source could tell nothing; 0 unless common funders are asked
    /// for.
    #[serde(default)]
    pub unknown_fundings: u64,
    /// Synchronous acquisitions that join nobody because so many others acquired there at the same time; 0 unless they
    /// are asked for.
    #[serde(default)]
    pub crowded_acquisitions: u64,
    /// The 50 lowest negative balances, lowest first.
    pub negative: Vec<Negative>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Negative {
    pub address: Address,
    pub amount: Units,
    pub display: Option<f64>,
}

/// A SHA-256. Text form: 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hex form of a transaction hash is the same but for its 0x.
        let text = TxHash(self.0).to_string();
        f.pad(text.trim_start_matches("0x"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("a SHA-256: 64 hex digits", text.as_bytes());
        let TxHash(bytes) = format!("0x{text}").parse().map_err(|_| error())?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error: ParseError| {
            serde::de::Error::invalid_value(serde::de::Unexpected::Str(&error.got), &error.expected)
        })
    }
}

/// An optional amount as a decimal string.
mod decimal {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::{Amount, Units};

    pub(super) fn serialize<S: Serializer>(amount: &Option<Amount>, serializer: S) -> Result<S::Ok, S::Error> {
        amount.map(Units::from).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amount>, D::Error> {
        let amount = Option::<Units>::deserialize(deserializer)?;
        let too_large = || serde::de::Error::custom("expected an amount from 0 to 2^256 - 1");
        amount.map(|units| units.to_amount().ok_or_else(too_large)).transpose()
    }
}
