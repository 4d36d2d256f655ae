//! Reading the answer to `eth_getLogs`, which is not to be trusted.

use clusters::{Address, Amount, Transfer, TxHash};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::rpc::{Failure, nonsense};
use crate::hex;

/// keccak-256 of `Transfer(address,address,uint256)`.
pub(super) const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

#[derive(Debug)]
pub(super) struct Logs {
    /// Ordered by block, then log index.
    pub(super) transfers: Vec<Transfer>,
    /// The blocks of events that look like transfers and are none.
    pub(super) bad_rows: Vec<u64>,
    /// What the node sent, to tell when it may have sent no more than it would.
    pub(super) received: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLog<'a> {
    address: &'a str,
    topics: Vec<&'a str>,
    data: &'a str,
    block_number: Option<&'a str>,
    transaction_hash: Option<&'a str>,
    log_index: Option<&'a str>,
    #[serde(default)]
    removed: bool,
    /// Seconds; hex where it is text. Not every node sends it.
    #[serde(borrow, default)]
    block_timestamp: Option<&'a RawValue>,
}

/// What a log says, when it is one of this token in this range.
enum Event {
    Transfer(Transfer),
    /// Not the form of a transfer.
    Malformed(u64),
    /// Belongs to a block no longer in the chain.
    Removed,
}

pub(super) fn decode(result: &RawValue, token: Address, from: u64, to: u64) -> Result<Logs, Failure> {
    let raw: Vec<RawLog<'_>> = serde_json::from_str(result.get()).map_err(nonsense)?;
    let received = raw.len();
    let mut transfers = Vec::with_capacity(raw.len());
    let mut bad_rows = Vec::new();
    for log in &raw {
        match event(log, token, from, to)? {
            Event::Transfer(transfer) => transfers.push(transfer),
            Event::Malformed(block) => bad_rows.push(block),
            Event::Removed => {}
        }
    }
    transfers.sort_by_key(|transfer| (transfer.block, transfer.log_index));
    // A log sent twice is one log; two logs in one place are none we could choose from.
    transfers.dedup();
    let place = |transfer: &Transfer| (transfer.block, transfer.log_index);
    if transfers.windows(2).any(|pair| place(&pair[0]) == place(&pair[1])) {
        return Err(nonsense("two different logs have the same place"));
    }
    Ok(Logs { transfers, bad_rows, received })
}

fn event(log: &RawLog<'_>, token: Address, from: u64, to: u64) -> Result<Event, Failure> {
    if log.removed {
        return Ok(Event::Removed);
    }
    let address: Address = log.address.parse().map_err(nonsense)?;
    if address != token {
        return Err(nonsense("a log of another contract"));
    }
    if !log.topics.first().is_some_and(|topic| topic.eq_ignore_ascii_case(TRANSFER)) {
        return Err(nonsense("a log of another event"));
    }
    let number = |text: Option<&str>, what| text.and_then(hex::quantity).ok_or_else(|| nonsense(what));
    let block = number(log.block_number, "a log without a block")?;
    if !(from..=to).contains(&block) {
        return Err(nonsense(format!("a log of block {block}, outside {from}..={to}")));
    }
    let index = number(log.log_index, "a log without an index")?;
    let log_index = Some(u32::try_from(index).map_err(nonsense)?);
    let tx: TxHash = log.transaction_hash.unwrap_or_default().parse().map_err(nonsense)?;
    let timestamp = log.block_timestamp.and_then(|raw| {
        let text = raw.get().trim_matches('"');
        hex::quantity(text).or_else(|| text.parse().ok())
    });

    let digits =
        |text: &str| text.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if !digits(log.data) || !log.topics.iter().copied().all(digits) {
        return Err(nonsense("a log that is not hex"));
    }
    // Indexed arguments are topics, the others are words of the data, in their order.
    let mut words: Vec<[u8; 32]> = Vec::with_capacity(3);
    for topic in &log.topics[1..] {
        let Some(word) = hex::bytes(&topic.as_bytes()[2..]) else { return Err(nonsense("a topic is not 32 bytes")) };
        words.push(word);
    }
    if words.len() == 3 && log.data == "0x" {
        let reason = format!("{token} is an ERC-721 token: its transfers move single items, not amounts");
        return Err(Failure::Unsupported { reason });
    }
    let data = &log.data.as_bytes()[2..];
    if !data.len().is_multiple_of(64) || words.len() + data.len() / 64 != 3 {
        return Ok(Event::Malformed(block));
    }
    words.extend(data.chunks_exact(64).filter_map(hex::bytes::<32>));
    let [sender, receiver, value] = words.as_slice() else { return Ok(Event::Malformed(block)) };
    let (Some(from), Some(to)) = (address_of(sender), address_of(receiver)) else { return Ok(Event::Malformed(block)) };
    Ok(Event::Transfer(Transfer { block, timestamp, tx, log_index, from, to, value: Amount::from_be_bytes(*value) }))
}

fn address_of(word: &[u8; 32]) -> Option<Address> {
    let (padding, address) = word.split_last_chunk::<20>()?;
    padding.iter().all(|byte| *byte == 0).then_some(Address(*address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const TOKEN: Address = Address([7; 20]);

    fn word(byte: u8) -> String {
        format!("0x{byte:064x}")
    }

    fn log() -> Value {
        json!({
            "address": TOKEN.to_string(), "topics": [TRANSFER, word(1), word(2)], "data": word(9),
            "blockNumber": "0x64", "transactionHash": word(3), "logIndex": "0x5", "removed": false,
            "blockTimestamp": "0x5f5e100"
        })
    }

    fn with(changes: Value) -> Value {
        let mut log = log();
        for (name, value) in changes.as_object().unwrap() {
            log[name] = value.clone();
        }
        log
    }

    fn read(logs: &[Value]) -> Result<Logs, Failure> {
        decode(&serde_json::value::to_raw_value(logs).unwrap(), TOKEN, 100, 200)
    }

    #[test]
    fn a_transfer_is_read_with_its_place_and_time() {
        let logs = read(&[log()]).unwrap();
        let mut one = [0; 20];
        one[19] = 1;
        let [transfer] = logs.transfers.as_slice() else { panic!("{logs:?}") };
        assert_eq!((transfer.block, transfer.log_index), (100, Some(5)));
        assert_eq!((transfer.timestamp, transfer.value), (Some(100_000_000), Amount::from(9)));
        assert_eq!(transfer.from, Address(one));
    }

    #[test]
    fn arguments_may_be_indexed_or_not() {
        let tail = |bytes: &[u8]| bytes.iter().fold("0x".to_owned(), |text, byte| text + &word(*byte)[2..]);
        let none = with(json!({"topics": [TRANSFER], "data": tail(&[1, 2, 9])}));
        let one = with(json!({"topics": [TRANSFER, word(1)], "data": tail(&[2, 9]), "logIndex": "0x6"}));
        let logs = read(&[none, one, with(json!({"logIndex": "0x7"}))]).unwrap();
        let [a, b, c] = logs.transfers.as_slice() else { panic!("{logs:?}") };
        assert_eq!((a.from, a.to, a.value), (b.from, b.to, b.value));
        assert_eq!((a.from, a.to, a.value), (c.from, c.to, c.value));
    }

    #[test]
    fn logs_are_ordered_once_each_and_without_those_removed() {
        let logs = read(&[
            with(json!({"blockNumber": "0x66"})),
            log(),
            with(json!({"logIndex": "0x4"})),
            log(),
            with(json!({"logIndex": "0x9", "removed": true})),
        ])
        .unwrap();
        let places: Vec<_> = logs.transfers.iter().map(|transfer| (transfer.block, transfer.log_index)).collect();
        assert_eq!(places, [(100, Some(4)), (100, Some(5)), (102, Some(5))]);
        assert_eq!((logs.received, logs.bad_rows.len()), (5, 0));
    }

    #[test]
    fn an_erc721_token_is_refused() {
        let error = read(&[with(json!({"topics": [TRANSFER, word(1), word(2), word(3)], "data": "0x"}))]).unwrap_err();
        assert!(matches!(error, Failure::Unsupported { reason } if reason.contains("ERC-721")));
    }

    #[test]
    fn malformed_events_are_counted() {
        // An address with bits above its 160, and a value of 300.
        let dirty = format!("0x{}", "f".repeat(64));
        let long = format!("0x{}", "f".repeat(75) + "00000");
        let logs = read(&[
            with(json!({"data": long})),
            with(json!({"data": word(1) + "00"})),
            with(json!({"data": "0x"})),
            with(json!({"data": "0x1234"})),
            with(json!({"topics": [TRANSFER, dirty, word(2)]})),
        ])
        .unwrap();
        assert_eq!((logs.transfers.len(), logs.bad_rows), (0, vec![100; 5]));
    }

    #[test]
    fn an_answer_that_cannot_be_right_is_asked_for_again() {
        for changes in [
            json!({"blockNumber": "0x63"}),
            json!({"blockNumber": "0xc9"}),
            json!({"blockNumber": null}),
            json!({"address": Address([8; 20]).to_string()}),
            json!({"topics": [word(1), word(1), word(2)]}),
            json!({"topics": []}),
            json!({"data": "0xzz"}),
            json!({"transactionHash": "0x12"}),
            json!({"logIndex": "0x100000000"}),
        ] {
            let failure = read(&[with(changes.clone())]).unwrap_err();
            assert!(matches!(failure, Failure::Transient { .. }), "{changes}: {failure:?}");
        }
        let twice = read(&[log(), with(json!({"data": word(8)}))]);
        assert!(matches!(twice, Err(Failure::Transient { .. })));
    }
}
