//! CSV of transfers: whatever the bytes, an answer or an error, and the same one however the bytes arrive, plain or
//! compressed; what is read can be added up and reported.
#![no_main]

use std::io::{self, Read};

use chains::{CsvOptions, CsvSummary, SourceError, read_csv};
use clusters::{Labels, Ledger, Parameters, Subject, Transfer, analyse};
use libfuzzer_sys::fuzz_target;

const HEADER: &[u8] = b"block_number,timestamp,tx_hash,log_index,token,from,to,value_raw\n";

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    /// Puts our own header before the text, without which few texts are more than a bad header.
    headed: bool,
    skip_bad_rows: bool,
    decimals: Option<u8>,
    /// How many bytes come at once.
    drip: u16,
    text: &'a [u8],
}

/// Gives a few bytes at a time, as a pipe may.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(buffer.len()).min(self.1);
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

type Outcome = Result<(Vec<Transfer>, CsvSummary), SourceError>;

fn read(reader: impl Read + Send, options: &CsvOptions) -> Outcome {
    let mut transfers = Vec::new();
    let summary = read_csv(reader, options, |rows| transfers.extend_from_slice(rows), |_| {})?;
    Ok((transfers, summary))
}

fn told(outcome: &Outcome) -> Result<&(Vec<Transfer>, CsvSummary), String> {
    outcome.as_ref().map_err(ToString::to_string)
}

fuzz_target!(|input: Input<'_>| {
    let mut text = if input.headed { HEADER.to_vec() } else { Vec::new() };
    text.extend_from_slice(input.text);
    let options = CsvOptions {
        file: "a.csv".to_owned(),
        token: None,
        decimals: input.decimals,
        skip_bad_rows: input.skip_bad_rows,
    };
    let at_once = read(text.as_slice(), &options);
    let dripping = read(Dripping(&text, usize::from(input.drip) + 1), &options);
    assert_eq!(told(&at_once), told(&dripping));
    // Compressed text is not decompressed twice.
    let is_plain = !text.starts_with(&[0x1f, 0x8b]) && !text.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    if is_plain {
        let packed = zstd::encode_all(text.as_slice(), 1).expect("writing to memory does not fail");
        assert_eq!(told(&at_once), told(&read(packed.as_slice(), &options)));
        let cut = read(&packed[..packed.len() - 1], &options);
        assert!(cut.is_err(), "a truncated file is an error");
    }
    if let Ok((transfers, summary)) = &at_once {
        assert_eq!(transfers.len() as u64, summary.rows);
        let mut ledger = Ledger::new();
        ledger.extend_from_slice(transfers);
        let report = analyse(&mut ledger, &Subject::default(), &Labels::none(), &Parameters::default());
        assert_eq!(report.health.rows, summary.rows);
    }
});
