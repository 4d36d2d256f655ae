use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use clusters::{Address, Amount, Funded, Transfer, TxHash, Units};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::rows::{CsvOptions, scan};
use crate::source::{block_at, supply, whole_blocks};
use crate::{BadInput, Block, Budget, Chunk, SourceError, TokenKind, TokenMetadata, TransferSource};

/// A chain whose transfers lie in CSV files, as [`crate::read_csv`] understands them. Rows may be in any order; files of
/// one directory must not overlap, for no row is taken for a repetition of one in another file. A row repeated in its
/// file is left out and counted as a bad row, as far as [`crate::read_csv`] notices.
///
/// A sidecar `<file>.tokens.json` may say what the rows do not:
/// `[{"address":"0x…","name":"…","symbol":"…","decimals":18,"contracts":["0x…"]}]`, all but the address optional. A file
/// without a token column needs one with exactly one token; so do display numbers, for the decimals.
///
/// A token of the sidecar may also have `"fundings":[{"to":"0x…","from":"0x…","block":1,"tx":"0x…","amount":"1"}]`: what
/// its holders were sent of the chain's own coin, in wei.
///
/// Files are read when first asked for and again when they have changed. The rows of the tokens last asked for are kept
/// in memory, up to about two million together, but always those of the last one.
#[derive(Debug)]
pub struct FileSource {
    paths: Vec<PathBuf>,
    skip_bad_rows: bool,
    cache: Mutex<Cache>,
}

/// Rows kept in memory for tokens other than the last.
const KEPT_ROWS: usize = 2_000_000;

#[derive(Debug, Default)]
struct Cache {
    /// What the files looked like when the rest was read.
    stamps: Vec<Stamp>,
    overview: Option<Arc<Overview>>,
    /// The last one asked for at the end.
    tokens: Vec<(Address, Arc<TokenRows>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    modified: Option<SystemTime>,
    length: u64,
    /// Of the sidecar, where there is one.
    sidecar: Option<(Option<SystemTime>, u64)>,
}

/// What is known of all tokens.
#[derive(Debug)]
struct Overview {
    head: Block,
    tokens: HashMap<Address, SidecarToken>,
    contracts: HashSet<Address>,
}

/// One token's rows, ordered by block, then log index; where the file gives no index, in the file's order.
#[derive(Debug)]
struct TokenRows {
    transfers: Vec<Transfer>,
    bad_rows: u64,
    /// Minted − burned; `None` where the file lacks mints.
    supply: Option<Amount>,
}

#[derive(Debug, Deserialize)]
struct SidecarToken {
    address: Address,
    name: Option<String>,
    symbol: Option<String>,
    decimals: Option<u8>,
    #[serde(default)]
    contracts: Vec<Address>,
    #[serde(default)]
    fundings: Vec<SidecarFunding>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct SidecarFunding {
    to: Address,
    from: Address,
    block: u64,
    tx: TxHash,
    amount: Units,
}

impl FileSource {
    /// A file, or a directory of files with `.csv` in their names. A path that does not exist is an error now, a bad row
    /// when the file is read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SourceError> {
        Self::open_all(vec![path.into()], false)
    }

    /// Several files or directories read as one; `skip_bad_rows` counts the rows that cannot be read.
    pub fn open_all(paths: Vec<PathBuf>, skip_bad_rows: bool) -> Result<Self, SourceError> {
        for path in &paths {
            fs::metadata(path).map_err(unreadable(path))?;
        }
        Ok(Self { paths, skip_bad_rows, cache: Mutex::default() })
    }

    async fn overview(&self) -> Result<Arc<Overview>, SourceError> {
        let mut cache = self.cache.lock().await;
        let stamps = self.refresh(&mut cache).await?;
        if let Some(overview) = &cache.overview {
            return Ok(overview.clone());
        }
        let skip_bad_rows = self.skip_bad_rows;
        let (overview, _) = blocking(move || read(&stamps, None, skip_bad_rows)).await?;
        Ok(cache.overview.insert(Arc::new(overview)).clone())
    }

    async fn rows(&self, token: Address) -> Result<(Arc<Overview>, Arc<TokenRows>), SourceError> {
        let mut cache = self.cache.lock().await;
        let stamps = self.refresh(&mut cache).await?;
        if let Some(place) = cache.tokens.iter().position(|(kept, _)| *kept == token)
            && let Some(overview) = cache.overview.clone()
        {
            let kept = cache.tokens.remove(place);
            let rows = kept.1.clone();
            cache.tokens.push(kept);
            return Ok((overview, rows));
        }
        let skip_bad_rows = self.skip_bad_rows;
        let (overview, rows) = blocking(move || read(&stamps, Some(token), skip_bad_rows)).await?;
        let (overview, rows) = (Arc::new(overview), Arc::new(rows));
        cache.overview = Some(overview.clone());
        if rows.transfers.is_empty() {
            return Err(SourceError::NotAToken { reason: format!("no transfer of {token} is in the files") });
        }
        cache.tokens.push((token, rows.clone()));
        let mut kept: usize = cache.tokens.iter().map(|(_, rows)| rows.transfers.len()).sum();
        while cache.tokens.len() > 1 && kept > KEPT_ROWS {
            let (_, dropped) = cache.tokens.remove(0);
            kept -= dropped.transfers.len();
        }
        Ok((overview, rows))
    }

    /// The tokens of all sidecars. The files themselves are not read for it.
    async fn sidecars(&self) -> Result<Vec<SidecarToken>, SourceError> {
        let paths = self.paths.clone();
        blocking(move || {
            let mut tokens = Vec::new();
            for stamp in stamps(&paths)? {
                tokens.append(&mut sidecar(&stamp)?);
            }
            Ok(tokens)
        })
        .await
    }

    /// Forgets everything if the files have changed.
    async fn refresh(&self, cache: &mut Cache) -> Result<Vec<Stamp>, SourceError> {
        let paths = self.paths.clone();
        let stamps = blocking(move || stamps(&paths)).await?;
        if cache.stamps != stamps {
            *cache = Cache { stamps: stamps.clone(), ..Cache::default() };
        }
        Ok(stamps)
    }
}

#[async_trait]
impl TransferSource for FileSource {
    async fn head(&self) -> Result<Block, SourceError> {
        Ok(self.overview().await?.head)
    }

    async fn metadata(&self, token: Address) -> Result<TokenMetadata, SourceError> {
        let (overview, rows) = self.rows(token).await?;
        let known = overview.tokens.get(&token);
        Ok(TokenMetadata {
            name: known.and_then(|known| known.name.clone()),
            symbol: known.and_then(|known| known.symbol.clone()),
            decimals: known.and_then(|known| known.decimals),
            total_supply: rows.supply,
            kind: TokenKind::Erc20,
            contract: overview.contracts.contains(&token).then_some(true),
        })
    }

    async fn first_block(&self, token: Address) -> Result<u64, SourceError> {
        let (_, rows) = self.rows(token).await?;
        Ok(rows.transfers.first().map_or(0, |first| first.block))
    }

    async fn chunk(&self, token: Address, from: u64, budget: Budget) -> Result<Chunk, SourceError> {
        let (overview, rows) = self.rows(token).await?;
        let head = overview.head;
        let start = rows.transfers.partition_point(|transfer| transfer.block < from);
        let rest = &rows.transfers[start..];
        let (count, cut) = whole_blocks(rest, budget.max_transfers);
        let transfers = rest[..count].to_vec();
        let through = cut.unwrap_or_else(|| head.number.max(from.saturating_sub(1)));
        // Bad lines have no place among the blocks: they are reported once, with the token's first rows.
        let bad_rows = if start == 0 && !transfers.is_empty() { rows.bad_rows } else { 0 };
        Ok(Chunk { transfers, through, head, bad_rows })
    }

    async fn contracts(&self, addresses: &[Address]) -> Result<Vec<Address>, SourceError> {
        let tokens = self.sidecars().await?;
        let contracts: HashSet<Address> = tokens.into_iter().flat_map(|token| token.contracts).collect();
        Ok(addresses.iter().copied().filter(|address| contracts.contains(address)).collect())
    }

    async fn fundings(&self, asked: &[(Address, u64)], window: u32) -> Result<Vec<Option<Funded>>, SourceError> {
        let tokens = self.sidecars().await?;
        let mut fundings: Vec<SidecarFunding> = tokens.into_iter().flat_map(|token| token.fundings).collect();
        fundings.sort_by_key(|funding| (funding.to, funding.block, funding.amount));
        let nearest = |&(address, block): &(Address, u64)| {
            let until = fundings.partition_point(|funding| (funding.to, funding.block) <= (address, block));
            let funding = fundings[..until].last().filter(|funding| funding.to == address)?;
            let SidecarFunding { from: funder, block: at, tx, amount, .. } = *funding;
            (at >= block.saturating_sub(window.into())).then_some(Funded { funder, block: at, tx, amount })
        };
        Ok(asked.iter().map(nearest).collect())
    }

    async fn block_at(&self, token: Address, timestamp: u64) -> Result<Option<u64>, SourceError> {
        let (_, rows) = self.rows(token).await?;
        block_at(&rows.transfers, timestamp)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let lost = |error| SourceError::Unavailable { host: "file reader".into(), source: Box::new(error) };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> SourceError {
    move |source| SourceError::File { file: path.display().to_string(), source }
}

fn stamps(paths: &[PathBuf]) -> Result<Vec<Stamp>, SourceError> {
    let mut files = Vec::new();
    for path in paths {
        if !fs::metadata(path).map_err(unreadable(path))?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable(path))? {
            let entry = entry.map_err(unreadable(path))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.contains(".csv") && !name.ends_with(".tokens.json") && !name.starts_with('.') {
                inside.push(entry.path());
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    let stamp = |path: PathBuf| {
        let found = fs::metadata(&path).map_err(unreadable(&path))?;
        let beside = fs::metadata(sidecar_path(&path)).ok();
        let sidecar = beside.map(|beside| (beside.modified().ok(), beside.len()));
        Ok(Stamp { path, modified: found.modified().ok(), length: found.len(), sidecar })
    };
    files.into_iter().map(stamp).collect()
}

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tokens.json");
    name.into()
}

fn sidecar(stamp: &Stamp) -> Result<Vec<SidecarToken>, SourceError> {
    if stamp.sidecar.is_none() {
        return Ok(Vec::new());
    }
    let path = sidecar_path(&stamp.path);
    let text = fs::read(&path).map_err(unreadable(&path))?;
    serde_json::from_slice(&text).map_err(|error| {
        let line = text.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let bad = BadInput {
            file: path.display().to_string(),
            line: error.line() as u64,
            column: error.column().to_string(),
            expected: format!("a list of tokens ({error})").into(),
            got: String::from_utf8_lossy(line).trim().chars().take(80).collect(),
        };
        bad.into()
    })
}

/// Reads all files. Without a token the rows come back empty.
fn read(stamps: &[Stamp], token: Option<Address>, skip_bad_rows: bool) -> Result<(Overview, TokenRows), SourceError> {
    let mut overview =
        Overview { head: Block { number: 0, timestamp: None }, tokens: HashMap::new(), contracts: HashSet::new() };
    let mut rows = TokenRows { transfers: Vec::new(), bad_rows: 0, supply: None };
    for stamp in stamps {
        let tokens = sidecar(stamp)?;
        let only = if let [only] = tokens.as_slice() { Some((only.address, only.decimals)) } else { None };
        let options = CsvOptions {
            file: stamp.path.display().to_string(),
            token: None,
            decimals: only.and_then(|(_, decimals)| decimals),
            skip_bad_rows,
        };
        let file = File::open(&stamp.path).map_err(unreadable(&stamp.path))?;
        let take = |transfers: &[Transfer], found: Option<Address>| {
            let named = found.or(only.map(|(address, _)| address));
            let found = named.ok_or_else(|| SourceError::Unsupported {
                reason: format!("{0} names no token; {0}.tokens.json must list exactly one", options.file),
            })?;
            for &transfer in transfers {
                if transfer.block >= overview.head.number {
                    overview.head = Block { number: transfer.block, timestamp: transfer.timestamp };
                }
                if token == Some(found) {
                    rows.transfers.push(transfer);
                }
            }
            Ok(())
        };
        let scanned = scan(file, &options, take, |_| {})?;
        rows.bad_rows += scanned.bad_rows + scanned.duplicate_rows;
        for token in tokens {
            overview.contracts.extend(token.contracts.iter().copied());
            overview.tokens.insert(token.address, token);
        }
    }
    rows.transfers.sort_by_key(|transfer| (transfer.block, transfer.log_index));
    rows.supply = supply(&rows.transfers);
    Ok((overview, rows))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clusters::TxHash;

    use super::*;
    use crate::contract::{check, read_all};

    const HEADER: &str = "block_number,timestamp,tx_hash,log_index,token,from,to,value_raw\n";
    const BUDGET: Budget = Budget { max_transfers: 1000, time: Duration::from_secs(60) };

    fn address(byte: u8) -> Address {
        Address([byte; 20])
    }

    const TOKEN: Address = Address([0xaa; 20]);
    const OTHER: Address = Address([0xbb; 20]);

    fn transfer(block: u64, log_index: Option<u32>, from: u8, to: u8, value: u64) -> Transfer {
        let (from, to, value) = (address(from), address(to), Amount::from(value));
        Transfer {
            block,
            timestamp: Some(block * 10),
            tx: TxHash([block.to_le_bytes()[0]; 32]),
            log_index,
            from,
            to,
            value,
        }
    }

    fn line(token: Address, transfer: &Transfer) -> String {
        let Transfer { block, tx, from, to, value, .. } = transfer;
        let time = transfer.timestamp.map_or_else(String::new, |time| time.to_string());
        let index = transfer.log_index.map_or_else(String::new, |index| index.to_string());
        format!("{block},{time},{tx},{index},{token},{from},{to},{value}\n")
    }

    fn write(path: &Path, rows: &[(Address, Transfer)]) {
        let text: String = rows.iter().map(|(token, transfer)| line(*token, transfer)).collect();
        fs::write(path, format!("{HEADER}{text}")).unwrap();
    }

    #[tokio::test]
    async fn a_file_holds_to_the_contract_of_sources() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let rows: Vec<Transfer> =
            (0..60).map(|i| transfer(i * i / 7, Some((i % 5) as u32), (i % 3) as u8, (i % 4) as u8 + 1, i)).collect();
        let mut mixed: Vec<(Address, Transfer)> = rows.iter().rev().map(|row| (TOKEN, *row)).collect();
        mixed.push((OTHER, transfer(1000, None, 0, 1, 5)));
        write(&path, &mixed);
        let mut expected = rows;
        expected.reverse();
        expected.sort_by_key(|row| (row.block, row.log_index));
        check(&FileSource::open(path).unwrap(), TOKEN, address(9), &expected).await;
    }

    #[tokio::test]
    async fn rows_without_an_index_keep_the_order_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let rows = [transfer(5, None, 2, 1, 1), transfer(4, None, 0, 2, 9), transfer(5, None, 1, 2, 2)];
        write(&path, &rows.map(|row| (TOKEN, row)));
        let source = FileSource::open(path).unwrap();
        let chunk = source.chunk(TOKEN, 0, BUDGET).await.unwrap();
        assert_eq!(chunk.transfers, [rows[1], rows[0], rows[2]]);
        assert_eq!(chunk.head, Block { number: 5, timestamp: Some(50) });
    }

    #[tokio::test]
    async fn the_supply_is_minted_less_burned_and_the_sidecar_tells_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv.gz");
        write(
            &path,
            &[
                (TOKEN, transfer(1, None, 0, 1, 100)),
                (TOKEN, transfer(2, None, 1, 0, 30)),
                (TOKEN, transfer(3, None, 0, 0, 7)),
                (OTHER, transfer(3, None, 1, 0, 7)),
            ],
        );
        let source = FileSource::open(&path).unwrap();
        let metadata = source.metadata(TOKEN).await.unwrap();
        let bare = TokenMetadata {
            name: None,
            symbol: None,
            decimals: None,
            total_supply: Some(Amount::from(70)),
            kind: TokenKind::Erc20,
            contract: None,
        };
        assert_eq!(metadata, bare);
        assert_eq!(source.metadata(OTHER).await.unwrap().total_supply, None, "more burned than minted");

        let sidecar = serde_json::json!([
            {"address": TOKEN, "name": "Helios", "symbol": "HLS", "decimals": 18, "contracts": [TOKEN, address(3)]},
            {"address": OTHER}
        ]);
        fs::write(dir.path().join("a.csv.gz.tokens.json"), sidecar.to_string()).unwrap();
        let told = TokenMetadata {
            name: Some("Helios".into()),
            symbol: Some("HLS".into()),
            decimals: Some(18),
            contract: Some(true),
            ..bare
        };
        assert_eq!(source.metadata(TOKEN).await.unwrap(), told);
        let asked = [address(3), address(4), TOKEN];
        assert_eq!(source.contracts(&asked).await.unwrap(), [address(3), TOKEN]);
    }

    #[tokio::test]
    async fn a_file_that_names_no_token_needs_a_sidecar_with_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.csv");
        let hash = TxHash([1; 32]);
        let text = format!(
            "\"Transaction Hash\",\"Blockno\",\"From\",\"To\",\"Quantity\"\n\"{hash}\",\"7\",\"{}\",\"{}\",\"1.5\"\n",
            address(0),
            address(1)
        );
        fs::write(&path, text).unwrap();
        let source = FileSource::open(&path).unwrap();
        let error = source.metadata(TOKEN).await.unwrap_err();
        assert!(matches!(error, SourceError::MissingOption { option: "decimals", .. }), "{error}");

        let sidecar = |text: &str| fs::write(dir.path().join("export.csv.tokens.json"), text).unwrap();
        sidecar(&format!("[{{\"address\":\"{TOKEN}\",\"decimals\":2}}]"));
        assert_eq!(source.metadata(TOKEN).await.unwrap().total_supply, Some(Amount::from(150)));
        assert!(matches!(source.metadata(OTHER).await, Err(SourceError::NotAToken { .. })));

        sidecar("[\n{\"address\":\"0x12\"}]");
        let error = source.metadata(TOKEN).await.unwrap_err();
        assert!(matches!(&error, SourceError::BadInput(bad) if bad.line == 2), "{error}");
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_a_directory_as_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let rows = [transfer(1, None, 0, 1, 1), transfer(2, None, 0, 1, 1), transfer(3, None, 0, 1, 1)];
        write(&dir.path().join("b.csv"), &[(TOKEN, rows[1])]);
        let source = FileSource::open(dir.path()).unwrap();
        let read = || async { read_all(&source, TOKEN, 0, BUDGET).await.unwrap() };
        assert_eq!(read().await, rows[1..2]);
        write(&dir.path().join("a.csv"), &[(TOKEN, rows[0])]);
        assert_eq!(read().await, rows[..2]);
        write(&dir.path().join("b.csv"), &[(TOKEN, rows[1]), (TOKEN, rows[2])]);
        assert_eq!(read().await, rows);
        assert_eq!(source.head().await.unwrap().number, 3);
    }

    #[tokio::test]
    async fn bad_rows_are_reported_once_or_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        write(&path, &[(TOKEN, transfer(1, None, 0, 1, 1)), (TOKEN, transfer(2, None, 0, 1, 1))]);
        fs::write(&path, fs::read_to_string(&path).unwrap() + "x,y\n").unwrap();
        let strict = FileSource::open(&path).unwrap();
        assert!(matches!(strict.head().await, Err(SourceError::BadInput(bad)) if bad.line == 4));

        let lenient = FileSource::open_all(vec![path], true).unwrap();
        let first = lenient.chunk(TOKEN, 0, Budget { max_transfers: 1, ..BUDGET }).await.unwrap();
        let second = lenient.chunk(TOKEN, first.through + 1, BUDGET).await.unwrap();
        assert_eq!((first.bad_rows, second.bad_rows), (1, 0));
    }

    #[tokio::test]
    async fn many_tokens_are_kept_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let rows: Vec<_> =
            (1..200_u8).map(|i| (address(i), transfer(u64::from(i), None, 0, i, u64::from(i)))).collect();
        write(&path, &rows);
        let source = FileSource::open(path).unwrap();
        for (token, row) in rows.iter().chain(rows.iter().rev()) {
            assert_eq!(read_all(&source, *token, 0, BUDGET).await.unwrap(), [*row]);
        }
    }

    #[tokio::test]
    async fn fundings_are_taken_from_the_sidecar() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        // A file that is no table: fundings do not read it.
        fs::write(&path, "x").unwrap();
        let funding = |to: u8, from: u8, block: u64| {
            let (to, from, tx) = (address(to), address(from), TxHash([from; 32]));
            format!(
                r#"{{"to":"{to}","from":"{from}","block":{block},"tx":"{tx}","amount":"{block}000000000000000000"}}"#
            )
        };
        let fundings = [funding(1, 8, 10), funding(1, 9, 20), funding(1, 7, 31), funding(2, 9, 29)].join(",");
        fs::write(sidecar_path(&path), format!(r#"[{{"address":"{TOKEN}","fundings":[{fundings}]}}]"#)).unwrap();
        let source = FileSource::open(&path).unwrap();
        let asked = [1, 2, 3].map(|byte| (address(byte), 30));
        let found = source.fundings(&asked, 10).await.unwrap();
        let blocks: Vec<_> = found.iter().map(|funded| funded.map(|funded| (funded.funder, funded.block))).collect();
        assert_eq!(blocks, [Some((address(9), 20)), Some((address(9), 29)), None]);
        let found = source.fundings(&asked, 9).await.unwrap();
        assert_eq!((found[0], found[1].unwrap().amount.to_string()), (None, "29000000000000000000".to_owned()));
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_at_once() {
        assert!(matches!(FileSource::open("/nowhere/at/all.csv"), Err(SourceError::File { .. })));
    }
}
