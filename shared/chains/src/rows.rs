mod decode;
mod pending;

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use clusters::{Address, Amount, Transfer, TxHash};
use pending::{Pending, Seen};

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
/// is checked, also those of other tokens. `sink` gets the rows in the file's order, some hundreds at once; `progress`
/// the bytes of `reader` (that is, compressed bytes) taken so far, about four times a MiB of text. What is compressed is
/// decompressed in a thread beside.
///
/// A row with the transaction and log index of an earlier one is not given to the sink: the same row again is counted in
/// `duplicate_rows`, one that says something else is a bad row. This is noticed while the block number stays the same,
/// for 16,384 rows, so everywhere in a file in the order of the chain; not where rows lack a log index.
///
/// Errors: [`SourceError::BadInput`], [`SourceError::MissingOption`] (`token` or `decimals`), [`SourceError::File`].
pub fn read_csv(
    reader: impl Read + Send,
    options: &CsvOptions,
    mut sink: impl FnMut(&[Transfer]),
    progress: impl FnMut(u64),
) -> Result<CsvSummary, SourceError> {
    let mut token = options.token;
    let (mut rows, mut other_rows, mut named) = (0, 0, false);
    let scanned = scan(
        reader,
        options,
        |transfers, found| {
            if let Some(found) = found {
                match token {
                    Some(token) if token == found => {}
                    Some(_) if options.token.is_some() => {
                        other_rows += transfers.len() as u64;
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
            rows += transfers.len() as u64;
            sink(transfers);
            Ok(())
        },
        progress,
    )?;
    let token = token.filter(|_| named);
    let Scanned { bad_rows, first_bad, duplicate_rows } = scanned;
    Ok(CsvSummary { rows, other_rows, bad_rows, first_bad, duplicate_rows, token })
}

/// A row being read.
struct Row<'a> {
    transfer: &'a mut Transfer,
    /// `None` where the file has no column for it, or it is that of the row before.
    token: Option<Address>,
}

#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) bad_rows: u64,
    pub(crate) first_bad: Option<BadInput>,
    pub(crate) duplicate_rows: u64,
}

/// Room for the text being read, and so the longest row. Small enough to stay in a core's cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// [`read_csv`] without an opinion on tokens: the sink sees every good row, those of one token after another together,
/// with it where the file has a column for it; it may end the scan with an error.
pub(crate) fn scan(
    reader: impl Read + Send,
    options: &CsvOptions,
    mut sink: impl FnMut(&[Transfer], Option<Address>) -> Result<(), SourceError>,
    mut progress: impl FnMut(u64),
) -> Result<Scanned, SourceError> {
    let taken = AtomicU64::new(0);
    let progress = || progress(taken.load(Ordering::Relaxed));
    let scan = |text: &mut dyn Read| {
        let mut pending = Pending::new();
        let scanned = scan_text(text, options, &mut pending, &mut sink, progress);
        // What was read before an error comes before it.
        pending.give(&mut sink).and(scanned)
    };
    decode::with_text(reader, &taken, scan)
        .map_err(|source| SourceError::File { file: options.file.clone(), source })?
}

fn scan_text(
    text: &mut dyn Read,
    options: &CsvOptions,
    pending: &mut Pending,
    sink: &mut impl FnMut(&[Transfer], Option<Address>) -> Result<(), SourceError>,
    mut progress: impl FnMut(),
) -> Result<Scanned, SourceError> {
    let failed = |source| SourceError::File { file: options.file.clone(), source };
    // One byte more than a row may have, for the line feed that a last line may lack.
    let mut buffer = vec![0; BUFFER_BYTES + 1];
    let (mut start, mut end, mut ended) = (0, 0, false);
    let mut scanner =
        Scanner { options, layout: None, line: 1, scratch: Scratch::default(), scanned: Scanned::default() };
    let mut token_text = [0; 42];
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
            let mut row = Row { transfer: pending.next(), token: None };
            if let Some(layout) = &scanner.layout
                && let Some(used) = layout.plain_row(&buffer[start..limit], &mut token_text, &mut row)
            {
                if let Some(token) = row.token {
                    pending.set_token(token);
                }
                match pending.keep(sink)? {
                    Seen::New => {}
                    seen => scanner.repeated(seen, pending.next())?,
                }
                scanner.line += 1;
                start += used;
                continue;
            }
            let rest = &buffer[start..limit];
            // A quoted field may go on in the part not read yet.
            let last_chance = ended || end - start >= BUFFER_BYTES;
            let (used, lines, good) = scanner.any_row(rest, last_chance, &mut row)?;
            if let Some(token) = row.token {
                // The text may be of an earlier row.
                token_text = [0; 42];
                pending.set_token(token);
            }
            if good {
                let seen = pending.keep(sink)?;
                scanner.repeated(seen, pending.next())?;
            }
            scanner.line += lines;
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

/// The columns of our own files.
const OWN: [Column; 8] =
    [Column::Block, Column::Time, Column::Tx, Column::LogIndex, Column::Token, Column::From, Column::To, Column::Value];

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

/// A plain row, read up to `at`.
struct PlainRow<'a, 'r> {
    text: &'a [u8],
    at: usize,
    /// Of the row before.
    token_text: &'a mut [u8; 42],
    row: &'a mut Row<'r>,
}

impl PlainRow<'_, '_> {
    #[inline(always)]
    fn comma_and(&mut self, column: Column) -> Option<()> {
        if *self.text.get(self.at)? != b',' {
            return None;
        }
        self.at += 1;
        self.read(column)
    }

    /// Reads a field.
    #[inline(always)]
    fn read(&mut self, column: Column) -> Option<()> {
        let Self { text, at, token_text, row } = self;
        let rest = text.get(*at..)?;
        let transfer = &mut *row.transfer;
        *at += match column {
            Column::Block => {
                let (number, used) = leading_number(rest)?;
                transfer.block = number;
                used
            }
            Column::Time if is_end(rest) => {
                transfer.timestamp = None;
                0
            }
            Column::Time => {
                let (number, used) = leading_number(rest)?;
                transfer.timestamp = Some(number);
                used
            }
            Column::LogIndex if is_end(rest) => {
                transfer.log_index = None;
                0
            }
            Column::LogIndex => {
                let (number, used) = leading_number(rest)?;
                transfer.log_index = Some(u32::try_from(number).ok()?);
                used
            }
            Column::Tx => leading_hex::<66, _>(rest, &mut transfer.tx.0)?,
            Column::Token => {
                let text = rest.first_chunk()?;
                // Nearly all rows have the token of the row before.
                if !same(text, token_text) {
                    let mut token = Address::ZERO;
                    leading_hex::<42, _>(text, &mut token.0)?;
                    row.token = Some(token);
                    **token_text = *text;
                }
                42
            }
            Column::From => leading_hex::<42, _>(rest, &mut transfer.from.0)?,
            Column::To => leading_hex::<42, _>(rest, &mut transfer.to.0)?,
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
        Some(())
    }

    /// The end of the line.
    #[inline(always)]
    fn end(&self) -> Option<usize> {
        match self.text.get(self.at..)? {
            [b'\n', ..] => Some(self.at + 1),
            [b'\r', b'\n', ..] => Some(self.at + 2),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Layout {
    columns: Vec<Column>,
    /// They are those of our own files.
    is_own: bool,
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
        Ok(Self { is_own: columns == OWN, columns, names, decimals })
    }

    /// Reads a row without quotes, blanks or anything else out of the ordinary; `None` leaves it to the slow path,
    /// which also says what is wrong with it. Returns the bytes used, the line feed included.
    fn plain_row(&self, text: &[u8], token_text: &mut [u8; 42], row: &mut Row<'_>) -> Option<usize> {
        let mut plain = PlainRow { text, at: 0, token_text, row };
        if self.is_own {
            // As below, with a column known to the compiler at each step.
            plain.read(OWN[0])?;
            plain.comma_and(OWN[1])?;
            plain.comma_and(OWN[2])?;
            plain.comma_and(OWN[3])?;
            plain.comma_and(OWN[4])?;
            plain.comma_and(OWN[5])?;
            plain.comma_and(OWN[6])?;
            plain.comma_and(OWN[7])?;
        } else {
            let (&first, rest) = self.columns.split_first()?;
            plain.read(first)?;
            for &column in rest {
                plain.comma_and(column)?;
            }
        }
        plain.end()
    }

    /// Reads one field into the row, or says what it had to be.
    fn read(&self, column: Column, text: &[u8], row: &mut Row<'_>) -> Result<(), &'static str> {
        let transfer = &mut *row.transfer;
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

/// The decimal number `text` begins with (at most 19 digits, so that it cannot overflow) and its length; `None` also where
/// fewer than eight bytes are left.
#[inline(always)]
fn leading_number(text: &[u8]) -> Option<(u64, usize)> {
    let (number, used) = digits(*text.first_chunk()?);
    match text.get(used) {
        Some(b'0'..=b'9') => longer_number(text, number),
        _ if used == 0 => None,
        _ => Some((number, used)),
    }
}

/// Goes on after eight digits.
fn longer_number(text: &[u8], first: u64) -> Option<(u64, usize)> {
    let (second, used) = digits(*text[8..].first_chunk()?);
    let (mut number, mut used) = (first * POWERS[used] + second, 8 + used);
    while let Some(digit) = text.get(used).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        if used == 19 {
            return None;
        }
        number = number * 10 + u64::from(digit);
        used += 1;
    }
    Some((number, used))
}

/// The amount `text` begins with, where it has at most 35 digits: nearly all have. `None` as of [`leading_number`].
#[inline(always)]
fn leading_amount(text: &[u8]) -> Option<(Amount, usize)> {
    let (mut number, mut used) = digits(*text.first_chunk()?);
    if used == 8 {
        let (second, more) = digits(*text[8..].first_chunk()?);
        (number, used) = (number * POWERS[more] + second, 8 + more);
    }
    if used < 16 || !text.get(16).is_some_and(u8::is_ascii_digit) {
        return (used > 0).then_some((Amount::from(number), used));
    }
    let (last, more) = leading_number(&text[16..])?;
    Some((Amount::from(u128::from(number) * u128::from(POWERS[more]) + u128::from(last)), 16 + more))
}

const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = 10 * powers[exponent - 1];
        exponent += 1;
    }
    powers
};

/// The decimal digits before anything else, and how many they are.
#[inline(always)]
fn digits(text: [u8; 8]) -> (u64, usize) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let values = u64::from_le_bytes(text) ^ (ONES * 0x30);
    // What is above nine, or carries into its upper half, is no digit; a carry reaches only what comes after.
    let other = (values | values.wrapping_add(ONES * 0x06)) & (ONES * 0xf0);
    let bits = other.trailing_zeros() & 0x78;
    if bits == 0 {
        return (0, 0);
    }
    // As if zeros stood before them.
    let eight = values << (64 - bits);
    // Neighbours are joined to numbers of two digits, of four, of eight.
    let twos = eight.wrapping_mul(10).wrapping_add(eight >> 8);
    let low = (twos & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((twos >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    (low.wrapping_add(high) >> 32, bits as usize / 8)
}

/// Reads `0x` and the bytes after it, of which `TEXT` is the length as text. What follows is the caller's to check.
#[inline(always)]
fn leading_hex<const TEXT: usize, const N: usize>(text: &[u8], bytes: &mut [u8; N]) -> Option<usize> {
    let [b'0', b'x', digits @ ..] = text.first_chunk::<TEXT>()?.as_slice() else { return None };
    hex::decode(digits, bytes).then_some(TEXT)
}

/// Of a length for which the compiler would call a function.
#[inline(always)]
fn same(a: &[u8; 42], b: &[u8; 42]) -> bool {
    a[..16] == b[..16] && a[16..32] == b[16..32] && a[26..] == b[26..]
}

/// At most 19 digits, so that it cannot overflow.
fn number(text: &[u8]) -> Option<u64> {
    if !(1..20).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |number: u64, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number * 10 + u64::from(digit))
    })
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
    scanned: Scanned,
}

impl Scanner<'_> {
    /// Reads the first record of `text`, whatever it looks like. Returns the bytes and lines used and whether `row` was
    /// filled; zero bytes ask for more text, which is not done on the `last_chance`.
    fn any_row(
        &mut self,
        text: &[u8],
        last_chance: bool,
        row: &mut Row<'_>,
    ) -> Result<(usize, u64, bool), SourceError> {
        let one_line = memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1);
        let (used, lines) = match self.scratch.split(text) {
            Split::Record(used, lines) => (used, lines),
            Split::Blank(used) => return Ok((used, 1, false)),
            Split::Incomplete if !last_chance => return Ok((0, 0, false)),
            // After a stray quote the next line is as good a place to go on as any.
            split @ (Split::Incomplete | Split::BadQuote(_)) => {
                let place = if let Split::BadQuote(place) = split { place } else { self.scratch.places.len() };
                let column = self.layout.as_ref().and_then(|layout| layout.names.get(place)).cloned();
                self.bad(column.as_deref().unwrap_or("(row)"), QUOTE.into(), &text[..one_line])?;
                return Ok((one_line, 1, false));
            }
        };
        let Some(layout) = &self.layout else {
            let names = self.scratch.places.iter().map(|place| {
                let name = self.scratch.field(text, place);
                let name = String::from_utf8_lossy(name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name));
                name.trim().trim_matches('"').to_owned()
            });
            self.layout = Some(Layout::new(names.collect(), self.options)?);
            return Ok((used, lines, false));
        };
        let found = self.scratch.places.len();
        let wanted = layout.columns.len();
        if found != wanted {
            let got = format!("{found} columns");
            self.bad("(row)", format!("{wanted} columns").into(), got.as_bytes())?;
            return Ok((used, lines, false));
        }
        for (index, place) in self.scratch.places.iter().enumerate() {
            let field = self.scratch.field(text, place);
            if let Err(expected) = layout.read(layout.columns[index], field, row) {
                let bad = self.bad_input(&layout.names[index], expected.into(), field);
                self.count(bad)?;
                return Ok((used, lines, false));
            }
        }
        Ok((used, lines, true))
    }

    /// Counts a row if an earlier one had its place in the chain.
    fn repeated(&mut self, seen: Seen, row: &Transfer) -> Result<(), SourceError> {
        match seen {
            Seen::New => Ok(()),
            Seen::Again => {
                self.scanned.duplicate_rows += 1;
                Ok(())
            }
            Seen::Contradicted => self.contradicted(row),
        }
    }

    #[cold]
    fn contradicted(&mut self, row: &Transfer) -> Result<(), SourceError> {
        let layout = self.layout.as_ref();
        let place = layout.and_then(|layout| layout.columns.iter().position(|column| *column == Column::LogIndex));
        let name = layout.zip(place).map(|(layout, place)| layout.names[place].clone()).unwrap_or_default();
        let index = row.log_index.map(|index| index.to_string()).unwrap_or_default();
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
