//! Any bytes where a saved ledger is expected, and saved ledgers with a few bytes changed. What loads can be analysed
//! and saved again. Some are sealed again after the change, so that more than the seal is tried.
#![no_main]

use arbitrary::Arbitrary;
use clusters::{Address, Amount, Labels, Ledger, Parameters, Subject, Transfer, TxHash, analyse};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Rows { rows: Vec<Row>, edits: Vec<(u16, u8)>, sealed: bool },
}

#[derive(Arbitrary, Debug)]
struct Row {
    block: u8,
    timestamp: Option<u64>,
    log_index: Option<u32>,
    from: u8,
    to: u8,
    value: [u64; 4],
}

fuzz_target!(|input: Input<'_>| {
    let saved = match input {
        Input::Bytes(bytes) => bytes.to_vec(),
        Input::Rows { rows, edits, sealed } => {
            let mut ledger = Ledger::new();
            ledger.extend_from_slice(&rows.iter().map(transfer).collect::<Vec<_>>());
            let mut saved = save(&mut ledger);
            let edited = !edits.is_empty();
            for (at, byte) in edits.into_iter().take(8) {
                let at = usize::from(at) % saved.len();
                saved[at] = byte;
            }
            assert!(edited || Ledger::load(&mut &saved[..]).is_ok());
            if edited && sealed {
                let body = saved.len() - 32;
                let seal = Sha256::digest(&saved[..body]);
                saved[body..].copy_from_slice(&seal);
                // It may load, and its sums need not be right.
                let _either = Ledger::load(&mut &saved[..]);
                return;
            }
            saved
        }
    };
    let Ok(mut ledger) = Ledger::load(&mut &saved[..]) else { return };
    let parameters = Parameters {
        top: 20,
        hub_degree: 4,
        magic_nodes: true,
        synchronous: true,
        common_funder: true,
        ..Parameters::default()
    };
    let report = |ledger: &mut Ledger| {
        serde_json::to_string(&analyse(ledger, &Subject::default(), &Labels::none(), &parameters)).unwrap()
    };
    let mut again = Ledger::load(&mut &save(&mut ledger)[..]).unwrap();
    assert_eq!(report(&mut ledger), report(&mut again));
});

fn save(ledger: &mut Ledger) -> Vec<u8> {
    let mut saved = Vec::new();
    ledger.save(&mut saved).unwrap();
    saved
}

fn transfer(row: &Row) -> Transfer {
    Transfer {
        block: row.block.into(),
        timestamp: row.timestamp,
        tx: TxHash([row.block; 32]),
        log_index: row.log_index,
        from: Address([row.from % 16; 20]),
        to: Address([row.to % 16; 20]),
        value: Amount::from_limbs(row.value),
    }
}
