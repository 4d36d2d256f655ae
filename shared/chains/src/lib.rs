//! Where transfers come from: EVM nodes over JSON-RPC, and CSV files; and the compact form in which they are kept.

mod chain;
mod evm;
mod file;
mod hex;
mod rows;
mod sample;
pub mod segment;
mod source;

pub use chain::{Chain, ChainSpecError, Chains};
pub use evm::{EvmOptions, EvmSource, read_logs};
pub use file::FileSource;
pub use rows::{CsvOptions, CsvSummary, read_csv};
pub use sample::{SampleSource, sample_token};
pub use source::{BadInput, Block, Budget, Chunk, SourceError, TokenKind, TokenMetadata, TransferSource};

#[cfg(test)]
mod contract;
