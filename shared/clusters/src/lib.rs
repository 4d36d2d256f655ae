//! Who really holds a token: balances, links, clusters and concentration, exact and reproducible. Pure: no I/O.
//!
//! [`Ledger`] adds up transfers, [`analyse`] makes a [`Report`] of it.

mod address;
pub mod agreement;
mod analysis;
mod components;
mod concentration;
mod difference;
mod evidence;
mod label;
mod ledger;
mod memory;
mod parameters;
pub mod planted;
mod random;
mod render;
mod report;
pub mod sample;

mod subject;
mod transfer;
mod units;

pub use address::{Address, ParseError, TxHash};
pub use analysis::analyse;
pub use difference::{Change, ClusterChange, Difference, Held, MetricsChange, Move, SupplyChange, Turn, difference};
pub use evidence::{Evidence, Flow, Member, Moment, Path, PathError, Step, Tie, TieCounts, TieKind};
pub use label::{Kind, Label, LabelError, Labels};
pub use ledger::{Ledger, LedgerError};
pub use parameters::{ParameterError, Parameters};
pub use report::{
    Acquisition, AsOf, Cluster, CommonFunder, Concentration, Digest, Excluded, Funding, Gift, Health, Holder, Link,
    MagicNode, Metrics, Negative, Purchase, Reason, Report, Supply, SupplyDisplay, Token, Within,
};
pub use subject::{Funded, Subject, TokenKind};
pub use transfer::{Amount, Transfer};
pub use units::Units;
