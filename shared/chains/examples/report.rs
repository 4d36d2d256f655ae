//! From a CSV file to a report in one process, for `cargo xtask bench clusters` and for profilers. Times are CPU time of
//! this thread, which other processes do not change; each command prints a line of JSON.
//!
//! * `write ROWS PATH` writes a made-up token's transfers;
//! * `run FILE` reports, hubs and transfers of nothing included, so that plain connected components are the answer;
//! * `scan FILE` reads the rows and drops them;
//! * `memory ROWS` reports from transfers in memory;
//! * `checkpoint ROWS` adds transfers up, saves the sum, and loads it again, for what memory that takes;
//! * `limits FILE` reads the file's bytes from memory, and memory at random: what no program here can be faster than.

#![expect(clippy::print_stdout, reason = "a program for the command line")]

use std::collections::HashSet;
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Write};

use chains::{CsvOptions, read_csv};
use clusters::{Address, Labels, Ledger, Parameters, Report, Subject, Transfer, analyse, sample};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde_json::json;

const SEED: u64 = 1;

const ROWS_AT_ONCE: usize = 1024;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match *arguments {
        ["write", rows, path] => write(rows.parse()?, path)?,
        ["run", path] => run(path)?,
        ["scan", path] => scan(path)?,
        ["memory", rows] => memory(rows.parse()?)?,
        ["checkpoint", rows] => checkpoint(rows.parse()?)?,
        ["limits", path] => limits(path)?,
        _ => {
            let usage = "write ROWS PATH | run FILE | scan FILE | memory ROWS | checkpoint ROWS | limits FILE";
            return Err(format!("usage: report {usage}").into());
        }
    };
    println!("{answer}");
    Ok(())
}

fn transfers(rows: u64) -> Result<impl Iterator<Item = Transfer>> {
    Ok(sample::transfers(SEED, rows, u32::try_from(rows / 5)?))
}

fn write(rows: u64, path: &str) -> Result<serde_json::Value> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "block_number,timestamp,tx_hash,log_index,token,from,to,value_raw")?;
    let token = sample::Token::new(SEED).address;
    for Transfer { block, timestamp, tx, log_index, from, to, value } in transfers(rows)? {
        let (time, index) = (timestamp.unwrap_or_default(), log_index.unwrap_or_default());
        writeln!(file, "{block},{time},{tx},{index},{token},{from},{to},{value}")?;
    }
    file.flush()?;
    Ok(json!({ "rows": rows, "bytes": fs::metadata(path)?.len() }))
}

fn run(path: &str) -> Result<serde_json::Value> {
    let start = cpu_seconds();
    let mut ledger = Ledger::new();
    let options = CsvOptions { file: path.to_owned(), ..CsvOptions::default() };
    read_csv(File::open(path)?, &options, |rows| ledger.extend_from_slice(rows), |_| {})?;
    let read = cpu_seconds();
    let report = report(&mut ledger);
    let json = serde_json::to_string(&report)?;
    let (end, peak) = (cpu_seconds(), peak_bytes());
    Ok(json!({
        "holders": ledger.top_holders(usize::MAX).len(),
        "components": report.clusters.len(),
        "digest": report.digest.to_string(),
        "reportBytes": json.len(),
        "readSeconds": read - start,
        "analysisSeconds": end - read,
        // With what the process did before main.
        "cpuSeconds": end,
        "peakBytes": peak,
    }))
}

fn report(ledger: &mut Ledger) -> Report {
    let parameters = Parameters { include_hubs: true, include_zero_value: true, ..Parameters::default() };
    analyse(ledger, &Subject::default(), &Labels::none(), &parameters)
}

fn scan(path: &str) -> Result<serde_json::Value> {
    let start = cpu_seconds();
    let mut blocks = 0;
    let options = CsvOptions { file: path.to_owned(), ..CsvOptions::default() };
    let summary =
        read_csv(File::open(path)?, &options, |rows| blocks ^= rows.last().map_or(0, |row| row.block), |_| {})?;
    black_box(blocks);
    Ok(json!({ "rows": summary.rows, "seconds": cpu_seconds() - start, "peakBytes": peak_bytes() }))
}

fn memory(rows: u64) -> Result<serde_json::Value> {
    let transfers: Vec<Transfer> = transfers(rows)?.collect();
    let [balances, keeping] = least(&transfers);
    let start = cpu_seconds();
    let mut ledger = Ledger::new();
    ledger.extend_from_slice(&transfers);
    let added = cpu_seconds();
    black_box(report(&mut ledger));
    let end = cpu_seconds();
    Ok(json!({
        "ledgerSeconds": added - start,
        "analysisSeconds": end - added,
        "balancesSeconds": balances,
        "keepingSeconds": keeping,
    }))
}

/// How long two parts of what the ledger must do take at least. First, to change two balances of each transfer where a
/// hash of the address says: no address is compared, and those of one hash are one. Then, to keep what evidence tells
/// of a transfer in memory not used before.
fn least(transfers: &[Transfer]) -> [f64; 2] {
    let addresses: HashSet<Address> = transfers.iter().flat_map(|row| [row.from, row.to]).collect();
    let size = addresses.len().next_power_of_two();
    let mut balances = vec![1_u128; size];
    let mask = u32::try_from(size - 1).unwrap_or(u32::MAX);
    let place = |Address([a, b, c, d, e, f, g, h, ..]): Address| {
        let hash = u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [_, _, a, b, c, d, _, _] = hash.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]) & mask
    };
    let low = |row: &Transfer| {
        let [low, high, ..] = *row.value.as_limbs();
        (u128::from(high) << 64) | u128::from(low)
    };
    let start = cpu_seconds();
    for row in transfers {
        for (address, value) in [(row.from, low(row).wrapping_neg()), (row.to, low(row))] {
            let balance = &mut balances[place(address) as usize];
            *balance = balance.wrapping_add(value);
        }
    }
    let added = cpu_seconds();
    let mut kept = Vec::with_capacity(transfers.len());
    for row in transfers {
        let seconds = row.timestamp.and_then(|time| u32::try_from(time).ok()).unwrap_or(u32::MAX);
        let block = u32::try_from(row.block).unwrap_or(u32::MAX);
        let [a, b, ..] = *row.value.as_limbs();
        kept.push(([0_u32; 2], [a, b], block, seconds, row.log_index.unwrap_or(u32::MAX), row.tx));
    }
    let end = cpu_seconds();
    black_box((balances, kept));
    [added - start, end - added]
}

fn checkpoint(rows: u64) -> Result<serde_json::Value> {
    let mut ledger = Ledger::new();
    let mut batch = Vec::with_capacity(ROWS_AT_ONCE);
    for transfer in transfers(rows)? {
        batch.push(transfer);
        if batch.len() == ROWS_AT_ONCE {
            ledger.extend_from_slice(&batch);
            batch.clear();
        }
    }
    ledger.extend_from_slice(&batch);
    let added = peak_bytes();
    let start = cpu_seconds();
    let mut saved = Vec::new();
    ledger.save(&mut saved)?;
    let (end, peak) = (cpu_seconds(), peak_bytes());
    drop(ledger);
    let loaded = Ledger::load(&mut saved.as_slice())?;
    Ok(json!({
        "rows": loaded.rows(),
        "addedPeakBytes": added,
        "savedBytes": saved.len(),
        "savedPeakBytes": peak,
        "loadedPeakBytes": peak_bytes(),
        "saveSeconds": end - start,
        "loadSeconds": cpu_seconds() - end,
    }))
}

fn limits(path: &str) -> Result<serde_json::Value> {
    let mut words: Vec<u64> = Vec::new();
    words.extend(fs::read(path)?.as_chunks().0.iter().copied().map(u64::from_le_bytes));
    let bytes = 8.0 * words.len() as f64;
    let start = cpu_seconds();
    black_box(words.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word)));
    let scanned = cpu_seconds() - start;
    // A table as large as the accounts and pairs of a million rows have.
    let table = vec![1_u64; 1 << 22];
    let (mut at, mut sum) = (1_u64, 0_u64);
    let reads = 4_000_000;
    let start = cpu_seconds();
    for _ in 0..reads {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        sum ^= usize::try_from(at >> 42).map_or(0, |place| table[place]);
    }
    black_box(sum);
    let random = (cpu_seconds() - start) / f64::from(reads);
    Ok(json!({ "scanBytesPerSecond": bytes / scanned, "randomReadSeconds": random }))
}

/// Asked of the C library (rustix's `use-libc`): valgrind shows programs no other clock.
fn cpu_seconds() -> f64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    tv_sec as f64 + tv_nsec as f64 / 1e9
}

fn peak_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
    1024 * kilobytes
}
