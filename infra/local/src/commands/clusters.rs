//! `holdfast clusters`: the analysis of files, or of a chain, without a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use access::{Clock, SystemClock};
use chains::{Budget, Chain, CsvOptions, FileSource, TransferSource, read_csv};
use clap::ValueEnum;
use clusters::{Address, Funded, Kind, Labels, Ledger, Parameters, Report, Subject, TokenKind, Transfer, analyse};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use map::{Content, Map, page};

use super::Failure;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// CSV files of transfers, plain or compressed with gzip or zstd
    #[arg(required_unless_present = "rpc", conflicts_with = "rpc")]
    files: Vec<PathBuf>,
    /// Read a chain instead, through a node's JSON-RPC
    #[arg(long, value_name = "URL", requires = "token")]
    rpc: Option<String>,
    /// The token; needed where the input holds several
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    token: Option<Address>,
    /// How many of the largest holders are looked at, 1 to 10000
    #[arg(long, default_value_t = 1000, value_name = "N")]
    top: u32,
    /// From how many distinct counterparties on an address is a hub, which joins nothing
    #[arg(long, default_value_t = 200, value_name = "H")]
    hub_degree: u32,
    /// Let hubs join wallets like any other holder
    #[arg(long)]
    include_hubs: bool,
    /// Count transfers of nothing as trade
    #[arg(long)]
    include_zero_value: bool,
    /// What two addresses exchanged joins nothing below this many billionths of what all hold; 0 joins them by anything
    #[arg(long, default_value_t = Parameters::default().dust_parts_per_billion, value_name = "N")]
    dust_parts_per_billion: u32,
    /// A single transfer of less than this share, in percent, of all its sender ever got, to somebody who had the token
    /// already, joins nobody to a group; 0 lets any
    #[arg(long, default_value_t = Parameters::default().gift_percent, value_name = "N")]
    gift_percent: u32,
    /// Join nobody through outsiders that kept nothing
    #[arg(long)]
    no_conduits: bool,
    /// Let an outsider that traded with two or more of the top holders join them
    #[arg(long)]
    magic_nodes: bool,
    /// Join holders that one account sent the chain's own coin before their first transfer of the token; needs a node
    /// that keeps old state, or fundings in FILE.tokens.json
    #[arg(long)]
    common_funder: bool,
    /// How many blocks before that first transfer a funding counts
    #[arg(long, default_value_t = Parameters::default().funding_window, value_name = "BLOCKS")]
    funding_window: u32,
    /// Join holders that the same pool sent the token first at the same time
    #[arg(long)]
    synchronous: bool,
    /// How many blocks apart that may be; 0 is one block
    #[arg(long, default_value_t = Parameters::default().synchronous_window, value_name = "BLOCKS")]
    synchronous_window: u32,
    /// Take a contract for a hub only by its label or its number of counterparties
    #[arg(long)]
    contracts_are_no_hubs: bool,
    /// The chain the transfers are of: its built-in labels are used, and a node of another is refused
    #[arg(long, value_name = "NAME")]
    chain: Option<String>,
    /// Names of known addresses: a JSON or CSV file, or none; without it a small built-in list, Ethereum's where no chain
    /// is named
    #[arg(long, value_name = "FILE|none")]
    labels: Option<String>,
    /// Look at the state after this block
    #[arg(long, value_name = "BLOCK")]
    at: Option<u64>,
    /// The token's decimals, where the input has display numbers
    #[arg(long, value_name = "D")]
    decimals: Option<u8>,
    /// Count rows that cannot be read instead of stopping at the first
    #[arg(long)]
    skip_bad_rows: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Table,
    Csv,
    /// The map as a drawing
    Svg,
    /// The map as a page that needs no server
    Html,
}

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|error: clusters::ParseError| error.to_string())
}

/// # Errors
/// [`Failure::Usage`] for parameters out of bounds, [`Failure::Input`] for what cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let clock = SystemClock::default();
    let parameters = Parameters {
        top: arguments.top,
        hub_degree: arguments.hub_degree,
        include_hubs: arguments.include_hubs,
        include_zero_value: arguments.include_zero_value,
        dust_parts_per_billion: arguments.dust_parts_per_billion,
        gift_percent: arguments.gift_percent,
        conduits: !arguments.no_conduits,
        magic_nodes: arguments.magic_nodes,
        contracts_are_hubs: !arguments.contracts_are_no_hubs,
        common_funder: arguments.common_funder,
        funding_window: arguments.funding_window,
        synchronous: arguments.synchronous,
        synchronous_window: arguments.synchronous_window,
    };
    parameters.validate().map_err(|error| Failure::Usage(error.to_string()))?;
    let labels = labels(arguments)?;
    let (mut ledger, subject) = match &arguments.rpc {
        Some(url) => read_chain(arguments, &labels, url)?,
        None => read_files(arguments)?,
    };
    let started = clock.monotonic();
    let mut report = analyse(&mut ledger, &subject, &labels, &parameters);
    report.computed_at = Some(clock.now().millis());
    report.duration_ms = u64::try_from((clock.monotonic() - started).as_millis()).ok();
    write(arguments, &report)
}

fn labels(arguments: &Arguments) -> Result<Labels, Failure> {
    match arguments.labels.as_deref() {
        None => Ok(Labels::builtin(arguments.chain.as_deref().unwrap_or("ethereum"))),
        Some("none") => Ok(Labels::none()),
        Some(path) => Ok(Labels::parse(&fs::read(path).map_err(named(path))?)?),
    }
}

fn read_files(arguments: &Arguments) -> Result<(Ledger, Subject), Failure> {
    let mut sizes = Vec::new();
    for file in &arguments.files {
        sizes.push(fs::metadata(file).map_err(named(&file.display().to_string()))?.len());
    }
    let bar = bar(sizes.iter().sum(), "{bar:40} {percent}% of {total_bytes}, {eta} left");
    let mut ledger = Ledger::new();
    let (mut token, mut bad_rows, mut duplicate_rows, mut before) = (arguments.token, 0, 0, 0);
    for (path, size) in arguments.files.iter().zip(sizes) {
        let name = path.display().to_string();
        let options = CsvOptions {
            file: name.clone(),
            token,
            decimals: arguments.decimals,
            skip_bad_rows: arguments.skip_bad_rows,
        };
        let file = fs::File::open(path).map_err(named(&name))?;
        let last = arguments.at.unwrap_or(u64::MAX);
        let keep = |rows: &[Transfer]| {
            for rows in rows.chunk_by(|a, b| (a.block <= last) == (b.block <= last)) {
                if rows[0].block <= last {
                    ledger.extend_from_slice(rows);
                }
            }
        };
        let summary = read_csv(file, &options, keep, |bytes| bar.set_position(before + bytes))?;
        token = token.or(summary.token);
        bad_rows += summary.bad_rows;
        duplicate_rows += summary.duplicate_rows;
        before += size;
    }
    bar.finish_and_clear();
    // What stands beside the files.
    let source = FileSource::open_all(arguments.files.clone(), arguments.skip_bad_rows)?;
    let holders = ledger.top_holders(arguments.top as usize);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let contracts = BTreeSet::from_iter(runtime.block_on(source.contracts(&holders))?);
    let fundings = if arguments.common_funder {
        runtime.block_on(fundings(&source, &ledger, &holders, arguments))?
    } else {
        BTreeMap::new()
    };
    let subject = Subject {
        chain: arguments.chain.clone().unwrap_or_else(|| "file".to_owned()),
        address: token.unwrap_or_default(),
        decimals: arguments.decimals,
        contracts,
        bad_rows,
        fundings,
        duplicate_rows,
        ..Subject::default()
    };
    Ok((ledger, subject))
}

/// The fundings of `holders`, as far as the source knows them.
async fn fundings(
    source: &dyn TransferSource,
    ledger: &Ledger,
    holders: &[Address],
    arguments: &Arguments,
) -> Result<BTreeMap<Address, Funded>, Failure> {
    let found = source.fundings(&ledger.first_blocks(holders), arguments.funding_window).await?;
    Ok(holders.iter().zip(found).filter_map(|(&holder, funded)| Some((holder, funded?))).collect())
}

fn read_chain(arguments: &Arguments, labels: &Labels, url: &str) -> Result<(Ledger, Subject), Failure> {
    let token = arguments.token.ok_or_else(|| Failure::Usage("--rpc needs --token".to_owned()))?;
    let name = arguments.chain.as_deref().unwrap_or("rpc");
    let chain = Chain::parse(&format!("{name}={url}")).map_err(|error| Failure::Usage(format!("--rpc: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let known = chain.source.metadata(token).await?;
        let first = chain.source.first_block(token).await?;
        let head = chain.source.head().await?.number.min(arguments.at.unwrap_or(u64::MAX));
        let bar = bar((head + 1).saturating_sub(first), "{bar:40} {percent}% of {total} blocks, {eta} left");
        let mut ledger = Ledger::new();
        let (mut next, mut bad_rows) = (first, 0);
        while next <= head {
            let budget = Budget { max_transfers: 250_000, time: Duration::from_secs(10) };
            let chunk = chain.source.chunk(token, next, budget).await?;
            chunk.transfers.iter().filter(|transfer| transfer.block <= head).for_each(|transfer| ledger.push(transfer));
            bad_rows += chunk.bad_rows;
            next = chunk.through + 1;
            bar.set_position(next.min(head + 1) - first);
        }
        bar.finish_and_clear();
        let mut holders = ledger.top_holders(arguments.top as usize);
        let contracts = BTreeSet::from_iter(chain.source.contracts(&holders).await?);
        let fundings = if arguments.common_funder {
            // Who funded a hub is of no use, and asking is slow.
            holders.retain(|holder| match labels.get(*holder) {
                Some(label) => matches!(label.kind, Kind::Wallet | Kind::Contract),
                None => !contracts.contains(holder) || arguments.contracts_are_no_hubs,
            });
            fundings(&*chain.source, &ledger, &holders, arguments).await?
        } else {
            BTreeMap::new()
        };
        let subject = Subject {
            chain: chain.id.clone(),
            address: token,
            name: known.name,
            symbol: known.symbol,
            decimals: known.decimals.or(arguments.decimals),
            total_supply: known.total_supply,
            kind: match known.kind {
                chains::TokenKind::Erc20 => TokenKind::Erc20,
                chains::TokenKind::Unknown => TokenKind::Unknown,
            },
            contracts,
            bad_rows,
            fundings,
            duplicate_rows: 0,
        };
        Ok((ledger, subject))
    })
}

fn write(arguments: &Arguments, report: &Report) -> Result<(), Failure> {
    let text = match arguments.format {
        Format::Json => serde_json::to_string(report)? + "\n",
        Format::Table => report.to_table(),
        Format::Csv => report.to_csv(),
        Format::Svg => Map::of(report).to_svg(),
        Format::Html => page(Content::Map(&Map::of(report))),
    };
    match &arguments.out {
        Some(path) => fs::write(path, text).map_err(named(&path.display().to_string()))?,
        None => match std::io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written?,
        },
    }
    Ok(())
}

/// On a terminal only.
fn bar(length: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn named(path: &str) -> impl FnOnce(std::io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |error| std::io::Error::new(error.kind(), format!("{path}: {error}")).into()
}
