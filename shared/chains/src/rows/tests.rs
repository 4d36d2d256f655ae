use std::io::Write;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const TOKEN: &str = "0x970a341b4e311a5c7248dc9c3d8d4f35fedfa73e";
const OWN: &str = "block_number,timestamp,tx_hash,log_index,token,from,to,value_raw\n";

fn options() -> CsvOptions {
    CsvOptions { file: "a.csv".into(), ..CsvOptions::default() }
}

fn read_with(text: &[u8], options: &CsvOptions) -> Result<(Vec<Transfer>, CsvSummary), SourceError> {
    let mut transfers = Vec::new();
    let summary = read_csv(text, options, |rows| transfers.extend_from_slice(rows), |_| {})?;
    Ok((transfers, summary))
}

fn read(text: &str) -> Result<Vec<Transfer>, SourceError> {
    Ok(read_with(text.as_bytes(), &options())?.0)
}

fn address(byte: u8) -> Address {
    Address([byte; 20])
}

/// A row of our own columns with one field replaced.
fn own_row(column: usize, field: &str) -> String {
    let tx = TxHash([9; 32]).to_string();
    let (from, to) = (address(1).to_string(), address(2).to_string());
    let mut fields = ["17", "1600000000", &tx, "3", TOKEN, &from, &to, "12345"];
    fields[column] = field;
    fields.join(",") + "\n"
}

fn good_row() -> String {
    own_row(0, "17")
}

fn expected() -> Transfer {
    Transfer {
        block: 17,
        timestamp: Some(1_600_000_000),
        tx: TxHash([9; 32]),
        log_index: Some(3),
        from: address(1),
        to: address(2),
        value: Amount::from(12345),
    }
}

#[test]
fn our_own_columns_are_read() {
    let empty = own_row(1, "").replace(",3,", ",,");
    let (transfers, summary) = read_with(format!("{OWN}{}{empty}", good_row()).as_bytes(), &options()).unwrap();
    assert_eq!(transfers, [expected(), Transfer { timestamp: None, log_index: None, ..expected() }]);
    assert_eq!(summary, CsvSummary { rows: 2, token: Some(TOKEN.parse().unwrap()), ..CsvSummary::default() });
}

#[test]
fn a_file_may_end_without_a_line_feed_and_hold_blank_lines() {
    let text = format!("\u{feff}{OWN}\n{}\r\n\n{}", good_row().trim_end(), own_row(3, "4").trim_end());
    assert_eq!(read(&text).unwrap(), [expected(), Transfer { log_index: Some(4), ..expected() }]);
    assert_eq!(read(OWN.trim_end()).unwrap(), []);
}

#[test]
fn ethereum_etl_columns_are_read() {
    let text = format!(
        "token_address,from_address,to_address,value,transaction_hash,log_index,block_number,block_timestamp,block_hash\n\
         {TOKEN},{},{},0x3039,{},3,17,2020-09-13 12:26:40 UTC,0xabc\n",
        address(1),
        address(2),
        TxHash([9; 32])
    );
    assert_eq!(read(&text).unwrap(), [expected()]);
}

fn etherscan(quantity: &str) -> String {
    format!(
        "\"Transaction Hash\",\"Blockno\",\"UnixTimestamp\",\"DateTime (UTC)\",\"From\",\"To\",\"Quantity\",\"Method\"\r\n\
         \"{}\",\"17\",\"1600000000\",\"2020-09-13 12:26:40\",\"{}\",\"{}\",\"{quantity}\",\"Transfer, \"\"fast\"\"\"\r\n",
        TxHash([9; 32]),
        address(1),
        address(2)
    )
}

#[test]
fn the_etherscan_export_is_read_with_the_decimals_given() {
    for (quantity, decimals, value) in [
        ("1.2345", 4, 12345),
        ("12,345", 0, 12345),
        ("0.00000000012345", 14, 12345),
        ("12345.000", 0, 12345),
        (".12345", 5, 12345),
        ("1,234.5", 1, 12345),
    ] {
        let options = CsvOptions { decimals: Some(decimals), ..options() };
        let (transfers, summary) = read_with(etherscan(quantity).as_bytes(), &options).unwrap();
        assert_eq!(transfers, [Transfer { log_index: None, value: Amount::from(value), ..expected() }], "{quantity}");
        assert_eq!(summary.token, None);
    }
    for (quantity, decimals) in [("1.5", 0), ("", 2), (".", 2), ("1e5", 2), (",1", 2), ("1.0,0", 4), ("-1", 2)] {
        let options = CsvOptions { decimals: Some(decimals), ..options() };
        let error = read_with(etherscan(quantity).as_bytes(), &options).unwrap_err();
        assert!(error.to_string().contains("column Quantity: expected a number with no more digits"), "{error}");
    }
}

#[test]
fn display_numbers_without_decimals_name_the_missing_option() {
    let error = read(&etherscan("1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.csv: option `decimals` is needed: column Quantity holds display numbers, not base units"
    );
}

#[test]
fn a_bad_field_is_named_with_file_line_column_and_what_was_expected() {
    for (column, field, message) in [
        (0, "x17", "column block_number: expected a block number, got \"x17\""),
        (0, "", "column block_number: expected a block number, got \"\""),
        (0, "99999999999999999999", "column block_number: expected a block number, got \"99999999999999999999\""),
        (
            1,
            "yesterday",
            "column timestamp: expected seconds since 1970 or an ISO 8601 date and time, got \"yesterday\"",
        ),
        (2, "0x12", "column tx_hash: expected a transaction hash: 0x and 64 hex digits, got \"0x12\""),
        (3, "-1", "column log_index: expected a whole number below 2^32, or nothing, got \"-1\""),
        (3, "4294967296", "column log_index: expected a whole number below 2^32, or nothing, got \"4294967296\""),
        (4, "HLS", "column token: expected an address: 0x and 40 hex digits, got \"HLS\""),
        (5, "0x1234", "column from: expected an address: 0x and 40 hex digits, got \"0x1234\""),
        (6, "", "column to: expected an address: 0x and 40 hex digits, got \"\""),
        (7, "1.5", "column value_raw: expected a whole number below 2^256, decimal or 0x-hex, got \"1.5\""),
        (7, "0x", "column value_raw: expected a whole number below 2^256, decimal or 0x-hex, got \"0x\""),
        (7, "1e18", "column value_raw: expected a whole number below 2^256, decimal or 0x-hex, got \"1e18\""),
        (7, "1,2", "column (row): expected 8 columns, got \"9 columns\""),
    ] {
        let text = format!("{OWN}{}{}", good_row(), own_row(column, field));
        let error = read(&text).unwrap_err();
        assert_eq!(error.to_string(), format!("a.csv: line 3, {message}"));
        assert!(!error.is_retryable());
    }
    let beyond = format!("1{}", "0".repeat(78));
    assert!(read(&format!("{OWN}{}", own_row(7, &beyond))).is_err());
}

#[test]
fn lines_are_counted_through_quoted_line_feeds() {
    let text = format!("note,{OWN}\"one\ntwo\",{}three,{}", good_row(), own_row(0, "x"));
    assert!(read(&text).unwrap_err().to_string().starts_with("a.csv: line 4, column block_number"));
}

#[test]
fn a_header_that_lacks_a_column_or_names_one_twice_is_refused() {
    for (header, message) in [
        ("", "line 1, column (header): expected a header naming the columns, got \"\""),
        ("a,b\n", "line 1, column (header): expected a column `block_number` or `Blockno`, got \"a,b\""),
        (
            "block_number,tx_hash,from,to\n",
            "line 1, column (header): expected a column `value_raw`, `value`, `Quantity` or `TokenValue`, got \
             \"block_number,tx_hash,from,to\"",
        ),
        ("From,block,FROM,to,value\n", "line 1, column FROM: expected every column named once, got \"FROM\""),
    ] {
        assert_eq!(read(header).unwrap_err().to_string(), format!("a.csv: {message}"));
    }
}

#[test]
fn bad_rows_are_counted_when_asked_and_the_others_are_read() {
    let options = CsvOptions { skip_bad_rows: true, ..options() };
    let long = format!("{}\n", "9".repeat(3 * BUFFER_BYTES));
    let bad = [own_row(0, "x"), "\n".into(), own_row(6, "\"0x"), own_row(3, "\"a\"b"), long, "1,2\n".into()];
    let mut text = OWN.to_owned();
    for (index, row) in (0..).zip(bad) {
        text += &row;
        text += &own_row(3, &index.to_string());
    }
    text += &own_row(7, "\"unclosed");
    let (transfers, summary) = read_with(text.as_bytes(), &options).unwrap();
    let good = (0..6).map(|index| Transfer { log_index: Some(index), ..expected() });
    assert_eq!(transfers, good.collect::<Vec<_>>());
    assert_eq!((summary.rows, summary.bad_rows), (6, 6));
    let first = summary.first_bad.unwrap();
    assert_eq!((first.line, first.column.as_str()), (2, "block_number"));
    // The header is no row: nothing can be read without it.
    assert!(read_with(b"a,b\n1,2\n", &options).is_err());
}

#[test]
fn a_row_longer_than_the_buffer_is_an_error_or_passed_over() {
    let long = "9".repeat(3 * BUFFER_BYTES);
    let text = format!("{OWN}{long}\n{}", own_row(0, "x"));
    let error = read(&text).unwrap_err();
    assert!(error.to_string().starts_with("a.csv: line 2, column (row): expected a row of at most 256 KiB"), "{error}");
    let mut lines = Vec::new();
    let skipping = CsvOptions { skip_bad_rows: true, ..options() };
    let summary =
        read_csv(text.as_bytes(), &skipping, |rows| lines.extend(rows.iter().map(|transfer| transfer.block)), |_| {})
            .unwrap();
    assert_eq!((summary.bad_rows, lines.len()), (2, 0));
}

#[test]
fn a_token_that_is_none_does_not_change_that_of_the_next_row() {
    let broken = TOKEN.replace("73e", "73g");
    let next = own_row(4, TOKEN).replace(",3,", ",4,");
    let options = CsvOptions { skip_bad_rows: true, ..options() };
    let (rows, summary) =
        read_with(format!("{OWN}{}{}{next}", good_row(), own_row(4, &broken)).as_bytes(), &options).unwrap();
    assert_eq!((rows.len(), summary.bad_rows, summary.token), (2, 1, Some(TOKEN.parse().unwrap())));
}

#[test]
fn a_stray_quote_is_an_error_where_it_stands() {
    let error = read(&format!("{OWN}{}", own_row(3, "\"3\"4"))).unwrap_err();
    let expected =
        "a.csv: line 2, column log_index: expected a closing quote, then a comma or the end of the line, got ";
    assert!(error.to_string().starts_with(expected), "{error}");
    let error = read(&format!("{OWN}{}{}", own_row(5, "\"0x"), good_row())).unwrap_err();
    assert!(error.to_string().starts_with("a.csv: line 2, column from: expected a closing quote"), "{error}");
}

#[test]
fn several_tokens_in_a_file_need_a_choice() {
    let other = address(7);
    let other_row = own_row(4, &other.to_string()).replace(",3,", ",4,");
    let text = format!("{OWN}{}{other_row}", good_row());
    assert_eq!(
        read(&text).unwrap_err().to_string(),
        format!("a.csv: option `token` is needed: the file holds several tokens, {TOKEN} and {other} among them")
    );
    for (token, rows) in [(TOKEN.parse().unwrap(), 1), (other, 1), (address(8), 0)] {
        let options = CsvOptions { token: Some(token), ..options() };
        let (_, summary) = read_with(text.as_bytes(), &options).unwrap();
        assert_eq!((summary.rows, summary.other_rows), (rows, 2 - rows));
        assert_eq!(summary.token, (rows > 0).then_some(token));
    }
}

#[test]
fn timestamps_are_seconds_or_iso_8601() {
    for text in [
        "1600000000",
        "2020-09-13T12:26:40Z",
        "2020-09-13T12:26:40.000Z",
        "2020-09-13 12:26:40",
        "2020-09-13 12:26:40 UTC",
        "2020-09-13 12:26:40.000000 UTC",
        "2020-09-13T14:26:40+02:00",
        "2020-09-13 12:26:40+00:00",
    ] {
        assert_eq!(timestamp(text.as_bytes()), Some(1_600_000_000), "{text}");
    }
    for text in ["1969-12-31T23:59:59Z", "2020-13-01 00:00:00", "12:26:40", "-5", "1.5"] {
        assert_eq!(timestamp(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn damaged_compression_is_an_error_of_the_file() {
    let mut packed = gzip(format!("{OWN}{}", good_row().repeat(50)).as_bytes());
    let text = format!("{OWN}{}", good_row().repeat(50));
    let whole = zstd::encode_all(text.as_bytes(), 1).unwrap();
    packed.truncate(packed.len() - 10);
    // Cut after exactly as much text as a buffer holds, so that the error comes with none.
    let full = format!("{OWN}{}", good_row().repeat(10_000));
    let members = [gzip(&full.as_bytes()[..256 * 1024]), gzip(&full.as_bytes()[256 * 1024..])];
    let next = members[0].len() + 5;
    let members = members.concat();
    for packed in [&packed[..5], &packed[..], &members[..next], &whole[..6], &whole[..whole.len() - 1]] {
        let error = read_with(packed, &options()).unwrap_err();
        assert_eq!(error.to_string(), "a.csv: cannot be read");
        let SourceError::File { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::UnexpectedEof);
        assert!(source.to_string().starts_with("truncated: "), "{source}");
    }
    let mut damaged = gzip(text.as_bytes());
    damaged[20..30].fill(0xff);
    let error = read_with(&damaged, &options()).unwrap_err();
    assert!(matches!(&error, SourceError::File { source, .. } if source.to_string().contains("damaged")), "{error:?}");
}

#[test]
fn rows_before_the_end_of_a_truncated_file_are_given_before_the_error() {
    let text: String = (0..20_000).map(|index| own_row(3, &index.to_string())).collect();
    let mut packed = gzip(format!("{OWN}{text}").as_bytes());
    packed.truncate(packed.len() - 10);
    let mut rows = 0;
    assert!(read_csv(packed.as_slice(), &options(), |given| rows += given.len(), |_| {}).is_err());
    assert!(rows > 19_000, "{rows}");
}

#[test]
fn an_error_in_the_first_rows_of_a_large_compressed_file_ends_its_decompression() {
    let text: String = (0..50_000).map(|index| own_row(3, &index.to_string())).collect();
    for packed in [gzip(format!("{OWN}{}{text}", own_row(0, "x")).as_bytes()), {
        zstd::encode_all(format!("{OWN}{}{text}", own_row(0, "x")).as_bytes(), 1).unwrap()
    }] {
        let mut taken = 0;
        let error = read_csv(packed.as_slice(), &options(), |_| {}, |bytes| taken = bytes).unwrap_err();
        assert!(error.to_string().starts_with("a.csv: line 2, column block_number"), "{error}");
        assert!(taken > 0);
    }
}

#[test]
fn a_row_there_twice_is_counted_and_given_once() {
    let other_tx = own_row(2, &TxHash([8; 32]).to_string());
    let other_block = own_row(0, "18");
    let text = format!("{OWN}{0}{0}{other_tx}{1}{0}{other_block}{other_block}", good_row(), own_row(3, "5"));
    let (transfers, summary) = read_with(text.as_bytes(), &options()).unwrap();
    assert_eq!((summary.rows, summary.duplicate_rows, summary.bad_rows), (4, 3, 0));
    assert_eq!(transfers.len(), 4);
    // Among many in a block, and not by their order.
    let rows: Vec<String> = (0..100).rev().map(|index| own_row(3, &index.to_string())).collect();
    let text = format!("{OWN}{}{}", rows.concat(), rows.concat());
    let (transfers, summary) = read_with(text.as_bytes(), &options()).unwrap();
    assert_eq!((transfers.len(), summary.duplicate_rows), (100, 100));
    // Without a log index nothing says that two rows are one.
    let text = format!("{OWN}{0}{0}", own_row(3, ""));
    assert_eq!(read(&text).unwrap().len(), 2);
}

#[test]
fn two_rows_that_say_different_things_of_one_event_are_bad() {
    let text = format!("{OWN}{}{}{}", good_row(), own_row(7, "9"), own_row(3, "\"4\""));
    let error = read(&text).unwrap_err().to_string();
    assert!(error.starts_with("a.csv: line 3, column log_index: expected another log index"), "{error}");
    let (transfers, summary) = read_with(text.as_bytes(), &CsvOptions { skip_bad_rows: true, ..options() }).unwrap();
    assert_eq!((transfers.len(), summary.bad_rows, summary.duplicate_rows), (2, 1, 0));
}

#[test]
fn nul_bytes_are_an_error_in_a_field_and_in_the_header() {
    for column in [0, 1, 2, 3, 4, 5, 6, 7] {
        let name = OWN.trim_end().split(',').nth(column).unwrap();
        let error = read(&format!("{OWN}{}", own_row(column, "1\0"))).unwrap_err().to_string();
        assert!(error.starts_with(&format!("a.csv: line 2, column {name}: expected")), "{error}");
    }
    let wide: Vec<u8> = OWN.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = read_with(&wide, &options()).unwrap_err().to_string();
    assert!(error.starts_with("a.csv: line 1, column (header): expected a column"), "{error}");
}

#[test]
fn a_line_of_a_million_columns_is_an_error() {
    let wide = ",".repeat(1_000_000);
    for (text, line) in [(format!("{wide}\n"), 1), (format!("{OWN}{wide}\n"), 2)] {
        let error = read(&text).unwrap_err().to_string();
        let start = format!("a.csv: line {line}, column (row): expected a row of at most 256 KiB");
        assert!(error.starts_with(&start), "{error}");
    }
    let error = read(&format!("{OWN}{}\n", ",".repeat(200_000))).unwrap_err().to_string();
    assert_eq!(error, "a.csv: line 2, column (row): expected 8 columns, got \"200001 columns\"");
}

#[test]
fn values_below_zero_or_beyond_256_bits_are_errors() {
    let beyond = "1".to_owned() + &"0".repeat(90);
    for value in ["-1", "-0", "+1", "1.0", "1e3", "", &beyond, &format!("0x1{}", "0".repeat(75))] {
        let error = read(&format!("{OWN}{}", own_row(7, value))).unwrap_err().to_string();
        let start = "a.csv: line 2, column value_raw: expected a whole number below 2^256, decimal or 0x-hex, got ";
        assert!(error.starts_with(start), "{value}: {error}");
    }
}

#[test]
fn progress_is_told_in_bytes_of_the_compressed_input() {
    let packed = gzip(format!("{OWN}{}", good_row().repeat(5000)).as_bytes());
    let mut seen = Vec::new();
    let summary = read_csv(packed.as_slice(), &options(), |_| {}, |bytes| seen.push(bytes)).unwrap();
    assert_eq!((summary.rows, summary.duplicate_rows), (1, 4999));
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&(packed.len() as u64)));
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
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

fn transfers() -> impl Strategy<Value = Vec<Transfer>> {
    let value = prop_oneof![
        any::<u64>().prop_map(Amount::from),
        any::<u128>().prop_map(Amount::from),
        any::<[u8; 32]>().prop_map(Amount::from_le_bytes),
    ];
    let time = prop_oneof![Just(None), (0..4_000_000_000_u64).prop_map(Some)];
    let log = prop_oneof![Just(None), any::<u32>().prop_map(Some)];
    let block = 0..10_u64.pow(19);
    let sides = (any::<[u8; 20]>().prop_map(Address), any::<[u8; 20]>().prop_map(Address));
    let row = (block, time, any::<[u8; 32]>().prop_map(TxHash), log, sides, value);
    prop::collection::vec(row, 0..20).prop_map(|rows| {
        let build = |(block, timestamp, tx, log_index, (from, to), value)| Transfer {
            block,
            timestamp,
            tx,
            log_index,
            from,
            to,
            value,
        };
        rows.into_iter().map(build).collect()
    })
}

/// How a row's fields are written. `Index` picks among the ways.
fn write_fields(transfer: &Transfer, own: bool, ways: &[Index]) -> [(&'static str, String); 8] {
    let iso = |seconds: u64| {
        let time = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap();
        match ways[0].index(3) {
            0 => seconds.to_string(),
            1 => time.to_string(),
            _ => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        }
    };
    let value = if ways[1].index(2) == 0 { transfer.value.to_string() } else { format!("{:#x}", transfer.value) };
    let case =
        |text: String| if ways[2].index(2) == 0 { text } else { text[..2].to_owned() + &text[2..].to_uppercase() };
    let name = |ours, etl| if own { ours } else { etl };
    [
        ("block_number", transfer.block.to_string()),
        (name("timestamp", "block_timestamp"), transfer.timestamp.map_or_else(String::new, iso)),
        (name("tx_hash", "transaction_hash"), case(transfer.tx.to_string())),
        ("log_index", transfer.log_index.map_or_else(String::new, |index| index.to_string())),
        (name("token", "token_address"), TOKEN.to_owned()),
        (name("from", "from_address"), case(transfer.from.to_string())),
        (name("to", "to_address"), transfer.to.to_string()),
        (name("value_raw", "value"), value),
    ]
}

proptest! {
    #[test]
    fn rows_come_back_whatever_the_columns_order_quotes_line_ends_and_compression(
        transfers in transfers(),
        own in any::<bool>(),
        order in Just([0_usize, 1, 2, 3, 4, 5, 6, 7, 8, 9]).prop_shuffle(),
        ways in prop::collection::vec(any::<Index>(), 3),
        notes in prop::collection::vec("[ -~\n\u{e9}]{0,12}", 20),
        style in prop_oneof![
            Just(csv::QuoteStyle::Necessary), Just(csv::QuoteStyle::Always), Just(csv::QuoteStyle::NonNumeric)
        ],
        crlf in any::<bool>(),
        compression in 0..3_u8,
        drip in 1..200_usize,
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().quote_style(style).terminator(terminator).from_writer(Vec::new());
        // Two columns nobody knows, among them texts with commas, quotes and line feeds.
        let row = |transfer: &Transfer, note: &str| {
            let mut fields = write_fields(transfer, own, &ways).to_vec();
            fields.push(("note", note.to_owned()));
            fields.push(("more", "x".to_owned()));
            order.map(|place| fields[place].clone())
        };
        writer.write_record(row(&expected(), "").map(|(name, _)| name)).unwrap();
        for (transfer, note) in transfers.iter().zip(&notes) {
            writer.write_record(row(transfer, note).map(|(_, field)| field)).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let packed = match compression {
            0 => text,
            1 => gzip(&text),
            _ => zstd::encode_all(text.as_slice(), 1).unwrap(),
        };
        let mut found = Vec::new();
        let summary = read_csv(Dripping(&packed, drip), &options(), |rows| found.extend_from_slice(rows), |_| {}).unwrap();
        prop_assert_eq!(&found, &transfers);
        prop_assert_eq!(summary.rows, transfers.len() as u64);
    }

    /// Text that is nearly CSV: what the `csv` crate takes for a good record, we do, and nothing else.
    #[test]
    fn records_are_those_that_the_csv_crate_sees(
        rows in prop::collection::vec((
            prop_oneof![Just("17"), Just("\"17\""), Just("x"), Just(" 17 "), Just(""), Just("\"1\"\"7\"")],
            prop_oneof![
                Just("a"), Just("\"a,b\""), Just("\"a\nb\""), Just("\"\"\"\""), Just("a\"b"), Just(""), Just("\"\r\n\"")
            ],
            prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n"), Just(",extra\n")],
        ), 0..12),
    ) {
        let mut text = format!("block_number,note,{}", OWN.replace("block_number,", ""));
        for (block, note, end) in rows {
            let row = good_row();
            text += &format!("{block},{note},{}{end}", row.trim_end().strip_prefix("17,").unwrap());
        }
        let (mut good, mut bad) = (0, 0);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        for record in reader.byte_records() {
            let record = record.unwrap();
            if record.len() == 9 && record.get(0).unwrap().trim_ascii() == b"17" { good += 1 } else { bad += 1 }
        }
        let options = CsvOptions { skip_bad_rows: true, ..options() };
        let (transfers, summary) = read_with(text.as_bytes(), &options).unwrap();
        prop_assert_eq!((summary.rows + summary.duplicate_rows, summary.bad_rows), (good, bad));
        prop_assert!(transfers.iter().all(|transfer| *transfer == expected()));
    }

    #[test]
    fn no_input_is_a_panic(text in "[\\x00-\\x7f]{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let options = CsvOptions { skip_bad_rows: true, decimals: Some(3), ..options() };
        for input in [text.as_bytes(), &bytes] {
            let _ = read_with(input, &options);
            let mut rows = OWN.as_bytes().to_vec();
            rows.extend_from_slice(input);
            let _ = read_with(&rows, &options);
        }
    }

    #[test]
    fn leading_digits_are_read_as_the_number_they_are(
        digits in "[0-9]{0,45}", rest in prop_oneof![Just(String::new()), "[^0-9].{0,9}"]
    ) {
        // Where less than eight bytes are left, the slow path reads.
        let text = format!("{digits}{rest},0x00000");
        let number = (digits.len() <= 19).then(|| digits.parse::<u64>().ok()).flatten();
        prop_assert_eq!(leading_number(text.as_bytes()), number.map(|number| (number, digits.len())));
        let amount = (digits.len() <= 35).then(|| digits.parse::<u128>().ok()).flatten();
        let expected = amount.map(|amount| (Amount::from(amount), digits.len()));
        prop_assert_eq!(leading_amount(text.as_bytes()), expected);
    }

    #[test]
    fn digits_are_read_up_to_anything_else(bytes in any::<[u8; 8]>(), near in "[/-:]{8}", number in 0..100_000_000_u64) {
        for text in [bytes, near.as_bytes().try_into().unwrap(), format!("{number:08}").as_bytes().try_into().unwrap()] {
            let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let plain = std::str::from_utf8(&text[..count]).unwrap();
            prop_assert_eq!(digits(text), (plain.parse().unwrap_or(0), count));
        }
    }

    #[test]
    fn quantities_are_exact(value in any::<[u8; 32]>(), decimals in 0..=77_u8) {
        let value = Amount::from_le_bytes(value);
        let digits = format!("{:0>1$}", value.to_string(), usize::from(decimals) + 1);
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        prop_assert_eq!(quantity(format!("{grouped}.{fraction}").as_bytes(), decimals), Some(value));
    }
}
