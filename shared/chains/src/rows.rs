mod decode;
mod repeated;

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use clusters::{Address, Amount, Transfer, TxHash};
use repeated::{Repeated, Seen};

use crate::{BadInput, SourceError, hex};

/// How a CSV file is read.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    /// The file's name in errors.
    pub file: String,
    /// Only rows of this token. Without it the file must hold one token only. Ignored where the file names no token.
    pub token: Option<Address>,
    /// Needed for files whose quantities are display numbers (the Etherscan export): `1.5` is 15 × 10^(decimals − 1).
    pub decimals: Option<u8>,
    /// Count rows that cannot be read instead of failing at the first.
    pub skip_bad_rows: bool,
}

/// What a CSV file held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvSummary {
    /// Rows given to the sink.
    pub rows: u64,
    /// Rows of other tokens.
    pub other_rows: u64,
    /// Rows that could not be read, whichever token they may have been of.
    pub bad_rows: u64,
    pub first_bad: Option<BadInput>,
    /// Rows left out because an earlier one is the same, whichever token they were of.
    pub duplicate_rows: u64,
    /// The token of the rows given to the sink, where the file names it.
    pub token: Option<Address>,
}

/// Reads transfers from CSV, plain or compressed with gzip or zstd (told by the first bytes), in constant memory.
///
/// The header names the columns, in any order; columns not known are skipped. Known are our own
/// (`block_number,timestamp,tx_hash,log_index,token,from,to,value_raw`), those of ethereum-etl and of the Etherscan
/// export. Values are decimal or 0x-hex; timestamps are seconds since 1970 or ISO 8601, without an offset UTC. Every row
/// is checked, also those of other tokens. `sink` gets the rows in the file's order; `progress` the bytes of `reader`
/// (that is, compressed bytes) taken so far, about four times a MiB of text. What is compressed is decompressed in a
/// thread beside.
///
/// A row with the transaction and log index of an earlier one is not given to the sink: the same row again is counted in
/// `duplicate_rows`, one that says something else is a bad row. This is noticed while the block number stays the same,
/// for 16,384 rows, so everywhere in a file in the order of the chain; not where rows lack a log index.
///
/// Errors: [`SourceError::BadInput`], [`SourceError::MissingOption`] (`token` or `decimals`), [`SourceError::File`].
pub fn read_csv(
    reader: impl Read + Send,
    options: &CsvOptions,
    mut sink: impl FnMut(&Transfer),
    progress: impl FnMut(u64),
) -> Result<CsvSummary, SourceError> {
    let mut token = options.token;
    let (mut rows, mut other_rows, mut named) = (0, 0, false);
    let scanned = scan(
        reader,
        options,
        |row| {
            if let Some(found) = row.token {
                match token {
                    Some(token) if token == found => {}
                    Some(_) if options.token.is_some() => {
                        other_rows += 1;
                        return Ok(());
                    }
                    Some(first) => {
                        return Err(SourceError::MissingOption {
                            file: options.file.clone(),
                            option: "token",
                            reason: format!("the file holds several tokens, {first} and {found} among them"),
                        });
                    }
                    None => token = Some(found),
                }
                named = true;
            }
            rows += 1;
            sink(&row.transfer);
            Ok(())
        },
        progress,
    )?;
    let token = token.filter(|_| named);
    let Scanned { bad_rows, first_bad, duplicate_rows } = scanned;
    Ok(CsvSummary { rows, other_rows, bad_rows, first_bad, duplicate_rows, token })
}

/// A row as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) transfer: Transfer,
    /// `None` where the file has no column for it.
    pub(crate) token: Option<Address>,
}

#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) bad_rows: u64,
    pub(crate) first_bad: Option<BadInput>,
    pub(crate) duplicate_rows: u64,
}

/// Room for the text being read, and so the longest row. Small enough to stay in a core's cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// [`read_csv`] without an opinion on tokens: the sink sees every good row, and may end the scan with an error.
pub(crate) fn scan(
    reader: impl Read + Send,
    options: &CsvOptions,
    sink: impl FnMut(&Row) -> Result<(), SourceError>,
    mut progress: impl FnMut(u64),
) -> Result<Scanned, SourceError> {
    let taken = AtomicU64::new(0);
    let progress = || progress(taken.load(Ordering::Relaxed));
    decode::with_text(reader, &taken, |text| scan_text(text, options, sink, progress))
        .map_err(|source| SourceError::File { file: options.file.clone(), source })?
}

fn scan_text(
    text: &mut dyn Read,
    options: &CsvOptions,
    mut sink: impl FnMut(&Row) -> Result<(), SourceError>,
    mut progress: impl FnMut(),
) -> Result<Scanned, SourceError> {
    let failed = |source| SourceError::File { file: options.file.clone(), source };
    // One byte more than a row may have, for the line feed that a last line may lack.
    let mut buffer = vec![0; BUFFER_BYTES + 1];
    let (mut start, mut end, mut ended) = (0, 0, false);
    let mut scanner = Scanner {
        options,
        layout: None,
        line: 1,
        scratch: Scratch::default(),
        repeated: Repeated::default(),
        scanned: Scanned::default(),
    };
    let mut row = Row { transfer: EMPTY, token: None };
    let mut known = KnownToken { text: [0; 42], token: Address::ZERO };
    // Inside a row too long to keep, the rest of which is to be passed over.
    let mut discarding = false;

    while !ended {
        buffer.copy_within(start..end, 0);
        end -= start;
        start = 0;
        match text.read(&mut buffer[end..BUFFER_BYTES]) {
            Ok(0) => {
                ended = true;
                if end > 0 && buffer[end - 1] != b'\n' {
                    buffer[end] = b'\n';
                    end += 1;
                }
            }
            Ok(count) => end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        }
        progress();

        if discarding {
            match memchr::memchr(b'\n', &buffer[..end]) {
                Some(at) => {
                    start = at + 1;
                    scanner.line += 1;
                    discarding = false;
                }
                None => {
                    start = end;
                    continue;
                }
            }
        }
        let limit = memchr::memrchr(b'\n', &buffer[start..end]).map_or(start, |at| start + at + 1);
        while start < limit {
            // The common row costs one pass over its bytes and nothing else.
            if let Some(layout) = &scanner.layout
                && let Some(used) = layout.plain_row(&buffer[start..limit], &mut known, &mut row)
            {
                let new = scanner.is_new(&row)?;
                scanner.line += 1;
                start += used;
                if new {
                    sink(&row)?;
                }
                continue;
            }
            let rest = &buffer[start..limit];
            // A quoted field may go on in the part not read yet.
            let last_chance = ended || end - start >= BUFFER_BYTES;
            let (used, good) = scanner.any_row(rest, last_chance, &mut row)?;
            if good {
                sink(&row)?;
            }
            if used == 0 {
                break;
            }
            start += used;
        }
        if start == 0 && end >= BUFFER_BYTES && !ended {
            scanner.bad("(row)", LONG.into(), &buffer[..80])?;
            start = end;
            discarding = true;
        }
    }
    if scanner.layout.is_none() {
        return Err(scanner.bad_input("(header)", HEADER.into(), b"").into());
    }
    Ok(scanner.scanned)
}

const EMPTY: Transfer = Transfer {
    block: 0,
    timestamp: None,
    tx: TxHash([0; 32]),
    log_index: None,
    from: Address::ZERO,
    to: Address::ZERO,
    value: Amount::ZERO,
};

const HEADER: &str = "a header naming the columns";
const LONG: &str = "a row of at most 256 KiB";
const SAME_PLACE: &str = "another log index, or the same row: an earlier row of this transaction has it";
const QUOTE: &str = "a closing quote, then a comma or the end of the line";

impl From<BadInput> for SourceError {
    fn from(bad: BadInput) -> Self {
        Self::BadInput(Box::new(bad))
    }
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Skipped,
    Block,
    Time,
    Tx,
    LogIndex,
    Token,
    From,
    To,
    /// Base units.
    Value,
    /// A display number.
    Quantity,
}

/// The names of each column, the preferred first, in lower case without blanks and underscores.
const NAMES: [(Column, &[&str]); 9] = [
    (Column::Block, &["blocknumber", "blockno", "block"]),
    (Column::Time, &["unixtimestamp", "timestamp", "blocktimestamp", "datetime(utc)", "datetime"]),
    (Column::Tx, &["txhash", "transactionhash", "hash"]),
    (Column::LogIndex, &["logindex"]),
    (Column::Token, &["tokenaddress", "contractaddress", "token"]),
    (Column::From, &["from", "fromaddress"]),
    (Column::To, &["to", "toaddress"]),
    (Column::Value, &["valueraw", "value"]),
    (Column::Quantity, &["quantity", "tokenvalue", "amount"]),
];

/// The token read last, and how it was written.
struct KnownToken {
    text: [u8; 42],
    token: Address,
}

#[derive(Debug)]
struct Layout {
    columns: Vec<Column>,
    names: Vec<String>,
    decimals: u8,
}

impl Layout {
    fn new(names: Vec<String>, options: &CsvOptions) -> Result<Self, SourceError> {
        let bad = |column: &str, expected: Cow<'static, str>, got: &str| BadInput {
            file: options.file.clone(),
            line: 1,
            column: column.to_owned(),
            expected,
            got: got.chars().take(80).collect(),
        };
        let plain: Vec<String> = names
            .iter()
            .map(|name| name.chars().filter(|c| !matches!(c, ' ' | '_')).collect::<String>().to_lowercase())
            .collect();
        let mut columns = vec![Column::Skipped; names.len()];
        for (column, known) in NAMES {
            let Some(known) = known.iter().find(|known| plain.iter().any(|name| name == *known)) else { continue };
            if column == Column::Quantity && columns.contains(&Column::Value) {
                continue;
            }
            let mut places = plain.iter().enumerate().filter(|(_, name)| name == known).map(|(place, _)| place);
            if let Some(place) = places.next() {
                columns[place] = column;
            }
            if let Some(again) = places.next() {
                return Err(bad(&names[again], "every column named once".into(), &names[again]).into());
            }
        }
        let header = names.join(",");
        for (missing, expected) in [
            (Column::Block, "a column `block_number` or `Blockno`"),
            (Column::Tx, "a column `tx_hash` or `transaction_hash`"),
            (Column::From, "a column `from` or `from_address`"),
            (Column::To, "a column `to` or `to_address`"),
        ] {
            if !columns.contains(&missing) {
                return Err(bad("(header)", expected.into(), &header).into());
            }
        }
        let mut decimals = 0;
        if !columns.contains(&Column::Value) {
            let Some(place) = columns.iter().position(|column| *column == Column::Quantity) else {
                let expected = "a column `value_raw`, `value`, `Quantity` or `TokenValue`";
                return Err(bad("(header)", expected.into(), &header).into());
            };
            decimals = options.decimals.ok_or_else(|| SourceError::MissingOption {
                file: options.file.clone(),
                option: "decimals",
                reason: format!("column {} holds display numbers, not base units", names[place]),
            })?;
        }
        Ok(Self { columns, names, decimals })
    }

    /// Reads a row without quotes, blanks or anything else out of the ordinary; `None` leaves it to the slow path,
    /// which also says what is wrong with it. Returns the bytes used, the line feed included.
    fn plain_row(&self, text: &[u8], known: &mut KnownToken, row: &mut Row) -> Option<usize> {
        let mut at = 0;
        let mut columns = self.columns.iter();
        let mut next = columns.next();
        let transfer = &mut row.transfer;
        while let Some(column) = next {
            next = columns.next();
            let rest = text.get(at..)?;
            at += match column {
                Column::Block => {
                    let (number, used) = leading_number(rest)?;
                    transfer.block = number;
                    used
                }
                Column::Time => {
                    if is_end(rest) {
                        transfer.timestamp = None;
                        0
                    } else {
                        let (number, used) = leading_number(rest)?;
                        transfer.timestamp = Some(number);
                        used
                    }
                }
                Column::LogIndex => {
                    if is_end(rest) {
                        transfer.log_index = None;
                        0
                    } else {
                        let (number, used) = leading_number(rest)?;
                        transfer.log_index = Some(u32::try_from(number).ok()?);
                        used
                    }
                }
                Column::Tx => {
                    transfer.tx = TxHash(leading_hex(rest)?);
                    66
                }
                Column::Token => {
                    let text = rest.first_chunk()?;
                    // Nearly all rows have the token of the row before.
                    if *text != known.text {
                        known.token = Address(leading_hex(text)?);
                        known.text = *text;
                    }
                    row.token = Some(known.token);
                    42
                }
                Column::From => {
                    transfer.from = Address(leading_hex(rest)?);
                    42
                }
                Column::To => {
                    transfer.to = Address(leading_hex(rest)?);
                    42
                }
                Column::Value => {
                    let (value, used) = leading_amount(rest)?;
                    transfer.value = value;
                    used
                }
                Column::Quantity => return None,
                Column::Skipped => {
                    let used = memchr::memchr3(b',', b'\n', b'"', rest)?;
                    used - usize::from(used > 0 && rest[used] == b'\n' && rest[used - 1] == b'\r')
                }
            };
            match (text.get(at)?, next) {
                (b',', Some(_)) | (b'\n', None) => at += 1,
                (b'\r', None) if text.get(at + 1) == Some(&b'\n') => at += 2,
                _ => return None,
            }
        }
        Some(at)
    }

    /// Reads one field into the row, or says what it had to be.
    fn read(&self, column: Column, text: &[u8], row: &mut Row) -> Result<(), &'static str> {
        let transfer = &mut row.transfer;
        match column {
            Column::Skipped => {}
            Column::Block => transfer.block = number(text).ok_or("a block number")?,
            Column::Time if text.is_empty() => transfer.timestamp = None,
            Column::Time => {
                transfer.timestamp = Some(timestamp(text).ok_or("seconds since 1970 or an ISO 8601 date and time")?);
            }
            Column::LogIndex if text.is_empty() => transfer.log_index = None,
            Column::LogIndex => {
                let index = number(text).and_then(|number| u32::try_from(number).ok());
                transfer.log_index = Some(index.ok_or("a whole number below 2^32, or nothing")?);
            }
            Column::Tx => transfer.tx = TxHash::from_hex(text).map_err(|error| error.expected)?,
            Column::Token => row.token = Some(Address::from_hex(text).map_err(|error| error.expected)?),
            Column::From => transfer.from = Address::from_hex(text).map_err(|error| error.expected)?,
            Column::To => transfer.to = Address::from_hex(text).map_err(|error| error.expected)?,
            Column::Value => transfer.value = amount(text).ok_or("a whole number below 2^256, decimal or 0x-hex")?,
            Column::Quantity => {
                transfer.value =
                    quantity(text, self.decimals).ok_or("a number with no more digits than the token's decimals")?;
            }
        }
        Ok(())
    }
}

fn is_end(text: &[u8]) -> bool {
    matches!(text.first(), Some(b',' | b'\n' | b'\r'))
}

/// The decimal number `text` begins with (at most 19 digits, so that it cannot overflow) and its length.
fn leading_number(text: &[u8]) -> Option<(u64, usize)> {
    let (mut number, mut used) = (0_u64, 0);
    while used < 16
        && let Some(eight) = text[used..].first_chunk()
        && let Some(digits) = eight_digits(*eight)
    {
        number = number * 100_000_000 + digits;
        used += 8;
    }
    for byte in &text[used..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if used == 19 {
            return None;
        }
        number = number * 10 + u64::from(digit);
        used += 1;
    }
    (used > 0).then_some((number, used))
}

/// The amount `text` begins with, where it has at most 35 digits: nearly all have.
fn leading_amount(text: &[u8]) -> Option<(Amount, usize)> {
    let (mut first, mut used) = (0_u64, 0);
    while used < 16
        && let Some(eight) = text[used..].first_chunk()
        && let Some(digits) = eight_digits(*eight)
    {
        first = first * 100_000_000 + digits;
        used += 8;
    }
    if used < 16 || !text.get(used).is_some_and(u8::is_ascii_digit) {
        // What is left is fewer than eight digits.
        while let Some(digit) = text.get(used).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
            first = first * 10 + u64::from(digit);
            used += 1;
        }
        return (used > 0).then_some((Amount::from(first), used));
    }
    let (second, more) = leading_number(&text[used..])?;
    let scale = 10_u128.pow(u32::try_from(more).ok()?);
    Some((Amount::from(u128::from(first) * scale + u128::from(second)), used + more))
}

/// Eight decimal digits at once.
fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(digits);
    // A byte below '0' borrows, one above '9' carries into its top bit.
    let below = word.wrapping_sub(ONES * 0x30);
    let above = word.wrapping_add(ONES * 0x46);
    if (below | above) & (ONES * 0x80) != 0 {
        return None;
    }
    // Neighbours are joined to numbers of two digits, of four, of eight.
    let twos = below.wrapping_mul(10).wrapping_add(below >> 8);
    let low = (twos & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((twos >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some(low.wrapping_add(high) >> 32)
}

/// `0x` and the N bytes after it. What follows is the caller's to check.
fn leading_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    hex::bytes(text.strip_prefix(b"0x")?.get(..2 * N)?)
}

fn number(text: &[u8]) -> Option<u64> {
    leading_number(text).filter(|(_, used)| *used == text.len()).map(|(number, _)| number)
}

fn amount(text: &[u8]) -> Option<Amount> {
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (16_u8, digits),
        digits => (10, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let radix_amount = Amount::from(radix);
    digits.iter().try_fold(Amount::ZERO, |sum, byte| {
        let digit = hex::digit(*byte);
        if digit >= radix {
            return None;
        }
        sum.checked_mul(radix_amount)?.checked_add(Amount::from(digit))
    })
}

/// A display number such as `1,234.5` in base units of 10^-decimals. Digits beyond the decimals must be zeros.
fn quantity(text: &[u8], decimals: u8) -> Option<Amount> {
    let point = memchr::memchr(b'.', text).unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    let kept = fraction.len().min(usize::from(decimals));
    if fraction[kept..].iter().any(|byte| *byte != b'0') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let zeros = usize::from(decimals) - kept;
    let mut digits = Vec::with_capacity(text.len() + zeros + 1);
    digits.push(b'0');
    // A comma stands between digits only.
    if whole.first() == Some(&b',') || whole.last() == Some(&b',') {
        return None;
    }
    digits.extend(whole.iter().filter(|byte| **byte != b','));
    digits.extend_from_slice(&fraction[..kept]);
    digits.resize(digits.len() + zeros, b'0');
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    amount(&digits)
}

fn timestamp(text: &[u8]) -> Option<u64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let text = std::str::from_utf8(text).ok()?;
    let instant = match text.strip_suffix(" UTC") {
        Some(text) => utc(text),
        None => text.parse::<jiff::Timestamp>().ok().or_else(|| utc(text)),
    }?;
    u64::try_from(instant.as_second()).ok()
}

fn utc(text: &str) -> Option<jiff::Timestamp> {
    let local: jiff::civil::DateTime = text.parse().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Where a field's text is: in the buffer, or unescaped in the scratch space.
enum Place {
    Buffer(Range<usize>),
    Unescaped(Range<usize>),
}

#[derive(Default)]
struct Scratch {
    places: Vec<Place>,
    unescaped: Vec<u8>,
}

enum Split {
    /// Bytes and lines of the record.
    Record(usize, u64),
    Blank(usize),
    /// Something other than a comma follows the closing quote of this field.
    BadQuote(usize),
    /// The text ends before the record does, in the field that would come next.
    Incomplete,
}

impl Scratch {
    /// Divides the first record of `text`, which ends with a line feed, into fields.
    fn split(&mut self, text: &[u8]) -> Split {
        self.places.clear();
        self.unescaped.clear();
        match text {
            [b'\n', ..] => return Split::Blank(1),
            [b'\r', b'\n', ..] => return Split::Blank(2),
            _ => {}
        }
        let (mut at, mut lines) = (0, 1);
        loop {
            let end;
            if text.get(at) == Some(&b'"') {
                let start = at + 1;
                let mut from = start;
                let first_unescaped = self.unescaped.len();
                let close = loop {
                    let Some(quote) = memchr::memchr(b'"', &text[from..]).map(|found| from + found) else {
                        return Split::Incomplete;
                    };
                    if text.get(quote + 1) == Some(&b'"') {
                        if self.unescaped.len() == first_unescaped {
                            self.unescaped.extend_from_slice(&text[start..=quote]);
                        } else {
                            self.unescaped.extend_from_slice(&text[from..=quote]);
                        }
                        from = quote + 2;
                        continue;
                    }
                    break quote;
                };
                lines += memchr::memchr_iter(b'\n', &text[start..close]).map(|_| 1).sum::<u64>();
                self.places.push(if self.unescaped.len() == first_unescaped {
                    Place::Buffer(start..close)
                } else {
                    self.unescaped.extend_from_slice(&text[from..close]);
                    Place::Unescaped(first_unescaped..self.unescaped.len())
                });
                end = close + 1;
            } else {
                let Some(found) = memchr::memchr2(b',', b'\n', &text[at..]) else { return Split::Incomplete };
                end = at + found;
                let carriage = text[end] == b'\n' && found > 0 && text[end - 1] == b'\r';
                self.places.push(Place::Buffer(at..end - usize::from(carriage)));
            }
            match &text[end..] {
                [b',', ..] => at = end + 1,
                [b'\n', ..] => return Split::Record(end + 1, lines),
                [b'\r', b'\n', ..] => return Split::Record(end + 2, lines),
                _ => return Split::BadQuote(self.places.len() - 1),
            }
        }
    }

    fn field<'a>(&'a self, text: &'a [u8], place: &Place) -> &'a [u8] {
        match place {
            Place::Buffer(range) => text[range.clone()].trim_ascii(),
            Place::Unescaped(range) => self.unescaped[range.clone()].trim_ascii(),
        }
    }
}

struct Scanner<'a> {
    options: &'a CsvOptions,
    /// `None` until the header is read.
    layout: Option<Layout>,
    /// Of the row to be read next.
    line: u64,
    scratch: Scratch,
    repeated: Repeated,
    scanned: Scanned,
}

impl Scanner<'_> {
    /// Reads the first record of `text`, whatever it looks like. Returns the bytes used and whether `row` was filled;
    /// zero bytes ask for more text, which is not done on the `last_chance`.
    fn any_row(&mut self, text: &[u8], last_chance: bool, row: &mut Row) -> Result<(usize, bool), SourceError> {
        let one_line = memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1);
        let (used, lines) = match self.scratch.split(text) {
            Split::Record(used, lines) => (used, lines),
            Split::Blank(used) => {
                self.line += 1;
                return Ok((used, false));
            }
            Split::Incomplete if !last_chance => return Ok((0, false)),
            // After a stray quote the next line is as good a place to go on as any.
            split @ (Split::Incomplete | Split::BadQuote(_)) => {
                let place = if let Split::BadQuote(place) = split { place } else { self.scratch.places.len() };
                let column = self.layout.as_ref().and_then(|layout| layout.names.get(place)).cloned();
                self.bad(column.as_deref().unwrap_or("(row)"), QUOTE.into(), &text[..one_line])?;
                self.line += 1;
                return Ok((one_line, false));
            }
        };
        let Some(layout) = &self.layout else {
            let names = self.scratch.places.iter().map(|place| {
                let name = self.scratch.field(text, place);
                let name = String::from_utf8_lossy(name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name));
                name.trim().trim_matches('"').to_owned()
            });
            self.layout = Some(Layout::new(names.collect(), self.options)?);
            self.line += lines;
            return Ok((used, false));
        };
        let found = self.scratch.places.len();
        let wanted = layout.columns.len();
        let mut failed = None;
        if found == wanted {
            for (index, place) in self.scratch.places.iter().enumerate() {
                let field = self.scratch.field(text, place);
                if let Err(expected) = layout.read(layout.columns[index], field, row) {
                    failed = Some(self.bad_input(&layout.names[index], expected.into(), field));
                    break;
                }
            }
        } else {
            let got = format!("{found} columns");
            failed = Some(self.bad_input("(row)", format!("{wanted} columns").into(), got.as_bytes()));
        }
        let good = match failed {
            None => self.is_new(row)?,
            Some(bad) => {
                self.count(bad)?;
                false
            }
        };
        self.line += lines;
        Ok((used, good))
    }

    /// Counts the row if an earlier one had its place in the chain.
    #[inline]
    fn is_new(&mut self, row: &Row) -> Result<bool, SourceError> {
        match self.repeated.see(row) {
            Seen::New => return Ok(true),
            Seen::Again => self.scanned.duplicate_rows += 1,
            Seen::Contradicted => self.contradicted(row)?,
        }
        Ok(false)
    }

    #[cold]
    fn contradicted(&mut self, row: &Row) -> Result<(), SourceError> {
        let layout = self.layout.as_ref();
        let place = layout.and_then(|layout| layout.columns.iter().position(|column| *column == Column::LogIndex));
        let name = layout.zip(place).map(|(layout, place)| layout.names[place].clone()).unwrap_or_default();
        let index = row.transfer.log_index.map(|index| index.to_string()).unwrap_or_default();
        self.bad(&name, SAME_PLACE.into(), index.as_bytes())
    }

    fn bad_input(&self, column: &str, expected: Cow<'static, str>, got: &[u8]) -> BadInput {
        let got = String::from_utf8_lossy(&got[..got.len().min(400)]);
        BadInput {
            file: self.options.file.clone(),
            line: self.line,
            column: column.to_owned(),
            expected,
            got: got.trim_end().chars().take(80).collect(),
        }
    }

    fn bad(&mut self, column: &str, expected: Cow<'static, str>, got: &[u8]) -> Result<(), SourceError> {
        let bad = self.bad_input(column, expected, got);
        self.count(bad)
    }

    /// A bad header is an error always: without it no row can be read.
    fn count(&mut self, bad: BadInput) -> Result<(), SourceError> {
        if !self.options.skip_bad_rows || self.layout.is_none() {
            return Err(bad.into());
        }
        self.scanned.bad_rows += 1;
        self.scanned.first_bad.get_or_insert(bad);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
