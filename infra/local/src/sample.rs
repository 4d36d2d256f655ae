use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use clusters::{Address, sample};
use flate2::Compression;
use flate2::write::GzEncoder;

/// The chain that is always there, so that the first request works without a network.
pub const SAMPLE_CHAIN: &str = "sample";

const SEED: u64 = 1;
const ROWS: u64 = 20_000;
const CROWD: u32 = 1_500;
/// Raised when what is written changes, so that a folder of an older version is written again.
const FILE: &str = "sample-1.csv.gz";

/// The one token on it.
pub fn sample_token() -> Address {
    sample::Token::new(SEED).address
}

/// Writes the sample's transfers, and beside them what the token says of itself, unless they are there. Returns the
/// file's path.
pub(crate) fn write(folder: &Path) -> io::Result<std::path::PathBuf> {
    let path = folder.join(FILE);
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(folder)?;
    let token = sample::Token::new(SEED);
    let about = serde_json::json!([{
        "address": token.address,
        "name": token.name,
        "symbol": token.symbol,
        "decimals": token.decimals,
        "contracts": [token.contract, token.pool],
    }]);
    fs::write(folder.join(format!("{FILE}.tokens.json")), about.to_string())?;
    // The rows come last and appear whole: they say that all is there.
    let partial = folder.join("partial");
    let mut output = GzEncoder::new(BufWriter::new(fs::File::create(&partial)?), Compression::default());
    writeln!(output, "block_number,timestamp,tx_hash,log_index,token,from,to,value_raw")?;
    for row in sample::transfers(SEED, ROWS, CROWD) {
        let timestamp = row.timestamp.map(|seconds| seconds.to_string()).unwrap_or_default();
        let log_index = row.log_index.map(|index| index.to_string()).unwrap_or_default();
        let (token, from, to, value) = (token.address, row.from, row.to, row.value);
        writeln!(output, "{},{timestamp},{},{log_index},{token},{from},{to},{value}", row.block, row.tx)?;
    }
    output.finish()?.into_inner()?.sync_all()?;
    fs::rename(&partial, &path)?;
    Ok(path)
}
