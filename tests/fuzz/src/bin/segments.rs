//! Any bytes where a kept segment is expected, segments with a few bytes changed, and transfers there and back.
#![no_main]

use arbitrary::Arbitrary;
use chains::segment::{self, decode};
use clusters::{Address, Amount, Transfer, TxHash};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Transfers { rows: Vec<Row>, edits: Vec<(u16, u8)> },
}

#[derive(Arbitrary, Debug)]
struct Row {
    block: u64,
    timestamp: Option<u64>,
    tx: [u8; 2],
    log_index: Option<u32>,
    from: u8,
    to: [u8; 20],
    value: [u64; 4],
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Bytes(bytes) => {
        let _either = decode(bytes);
    }
    Input::Transfers { rows, edits } => {
        let transfers: Vec<Transfer> = rows.iter().map(transfer).collect();
        let (first, last) = (0, u64::MAX);
        let mut bytes = segment::encode(&transfers, first, last);
        let good = bytes.clone();
        for (at, byte) in edits.into_iter().take(8) {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        match decode(&bytes) {
            Ok(segment) => assert_eq!(segment.transfers, transfers, "a change went unnoticed"),
            Err(error) => assert_ne!(bytes, good, "{error}"),
        }
    }
});

fn transfer(row: &Row) -> Transfer {
    let mut tx = TxHash::default();
    tx.0[..2].copy_from_slice(&row.tx);
    Transfer {
        block: row.block,
        timestamp: row.timestamp,
        tx,
        log_index: row.log_index,
        from: Address([row.from; 20]),
        to: Address(row.to),
        value: Amount::from_limbs(row.value),
    }
}
