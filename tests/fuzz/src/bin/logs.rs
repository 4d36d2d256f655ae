//! What a node may answer to `eth_getLogs`: any bytes, and logs of which every part is nearly right.
#![no_main]

use arbitrary::Arbitrary;
use chains::read_logs;
use clusters::{Address, Ledger};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const TOKEN: Address = Address([7; 20]);
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
const BLOCKS: (u64, u64) = (100, 200);

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Logs(Vec<Log<'a>>),
}

#[derive(Arbitrary, Debug)]
struct Log<'a> {
    topics: Vec<Word>,
    data: Vec<Word>,
    /// After the words of the data.
    tail: &'a str,
    block: Number<'a>,
    index: Number<'a>,
    timestamp: Number<'a>,
    tx: Option<[u8; 32]>,
    removed: Option<bool>,
    other_contract: bool,
}

#[derive(Arbitrary, Debug)]
enum Word {
    Small(u8),
    Any([u8; 32]),
    Address([u8; 20]),
}

#[derive(Arbitrary, Debug)]
enum Number<'a> {
    Missing,
    Null,
    Near(u8),
    Any(u64),
    Decimal(u64),
    Text(&'a str),
}

fuzz_target!(|input: Input<'_>| {
    let text = match &input {
        Input::Bytes(bytes) => bytes.to_vec(),
        Input::Logs(logs) => Value::Array(logs.iter().map(log).collect()).to_string().into_bytes(),
    };
    let Ok((transfers, _)) = read_logs(&text, TOKEN, BLOCKS) else { return };
    assert!(transfers.is_sorted_by(|a, b| (a.block, a.log_index) < (b.block, b.log_index)));
    assert!(transfers.iter().all(|transfer| (BLOCKS.0..=BLOCKS.1).contains(&transfer.block)));
    let mut ledger = Ledger::new();
    ledger.extend_from_slice(&transfers);
    assert_eq!(ledger.rows(), transfers.len() as u64);
});

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn word(word: &Word) -> String {
    match word {
        Word::Small(byte) => format!("{byte:064x}"),
        Word::Any(bytes) => hex(bytes),
        Word::Address(bytes) => format!("{:0>64}", hex(bytes)),
    }
}

fn log(log: &Log<'_>) -> Value {
    let topics = log.topics.iter().map(|topic| format!("0x{}", word(topic)));
    let topics: Vec<String> = [TRANSFER.to_owned()].into_iter().chain(topics).collect();
    let data: String = log.data.iter().map(word).collect();
    let address = if log.other_contract { Address([8; 20]) } else { TOKEN };
    let mut json = json!({ "address": address, "topics": topics, "data": format!("0x{data}{}", log.tail) });
    let numbers = [("blockNumber", &log.block), ("logIndex", &log.index), ("blockTimestamp", &log.timestamp)];
    for (name, number) in numbers {
        match number {
            Number::Missing => continue,
            Number::Null => json[name] = Value::Null,
            Number::Near(near) => json[name] = json!(format!("{:#x}", 90 + u64::from(*near))),
            Number::Any(number) => json[name] = json!(format!("{number:#x}")),
            Number::Decimal(number) => json[name] = json!(number),
            Number::Text(text) => json[name] = json!(text),
        }
    }
    if let Some(tx) = &log.tx {
        json["transactionHash"] = json!(format!("0x{}", hex(tx)));
    }
    if let Some(removed) = log.removed {
        json["removed"] = json!(removed);
    }
    json
}
