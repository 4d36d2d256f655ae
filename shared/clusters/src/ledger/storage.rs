//! A ledger as bytes: a signature, a version, frames, an empty frame, and a SHA-256 of all before it.
//!
//! A frame is its length in four bytes, least first, and whole records: one of totals, then the accounts, then the
//! flows, each list with its length before it. Integers are LEB128, amounts a sign and length byte and their bytes,
//! least first. Positions and links between flows are not stored but found again.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::{Exchanged, Flow, Ledger, Moment, Totals};
use crate::{Address, TxHash, Units};

const SIGNATURE: [u8; 8] = *b"HFLEDGER";
const VERSION: u16 = 1;
/// A frame is closed by the record that fills it to this.
const FRAME: usize = 1 << 16;
/// Longer than any record.
const RECORD: usize = 1 << 9;

/// Why bytes are not a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("reading a ledger")]
    Io(#[source] io::Error),
    #[error("not a ledger: its first bytes are others")]
    Foreign,
    #[error("a ledger of version {0}, expected {VERSION}")]
    Version(u16),
    #[error("a damaged ledger: {0}")]
    Damaged(&'static str),
}

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends early"),
            _ => Self::Io(error),
        }
    }
}

impl Ledger {
    /// Writes the ledger so that [`Ledger::load`] gives back one that reports the same.
    pub fn save(&mut self, output: &mut impl Write) -> io::Result<()> {
        self.settle();
        let mut writer = Writer { output, frame: Vec::with_capacity(FRAME + RECORD), digest: Sha256::new() };
        writer.raw(&SIGNATURE)?;
        writer.raw(&VERSION.to_le_bytes())?;
        writer.totals(&self.totals);
        writer.length(self.accounts.len());
        for (address, balance) in self.accounts.iter() {
            writer.bytes(&address.0);
            writer.units(balance);
            writer.end_record()?;
        }
        writer.length(self.flows.len());
        for Flow { flow, from, to, .. } in self.flows() {
            let exchanged = self.exchanged(flow);
            writer.integer(from.into());
            writer.integer(to.into());
            writer.integer(exchanged.transfers);
            // A flow of nothing and one of something differ in this.
            writer.units(exchanged.total);
            writer.moment(&exchanged.first);
            if exchanged.transfers > 1 {
                writer.moment(&exchanged.last);
            }
            writer.end_record()?;
        }
        writer.finish()
    }

    /// Reads what [`Ledger::save`] wrote and leaves what comes after it. Takes memory only for what it has read.
    pub fn load(input: &mut impl Read) -> Result<Self, LedgerError> {
        let mut reader = Reader { input, frame: Vec::new(), at: 0, digest: Sha256::new() };
        if reader.raw()? != SIGNATURE {
            return Err(LedgerError::Foreign);
        }
        let version = u16::from_le_bytes(reader.raw()?);
        if version != VERSION {
            return Err(LedgerError::Version(version));
        }
        let mut ledger = Self::new();
        reader.begin_record()?;
        ledger.totals = reader.totals()?;
        for _ in 0..reader.integer()? {
            reader.begin_record()?;
            let (address, balance) = (Address(reader.bytes()?), reader.units()?);
            ledger.load_account(address, balance)?;
        }
        ledger.check_balances()?;
        reader.begin_record()?;
        let flows = reader.integer()?;
        for _ in 0..flows {
            reader.begin_record()?;
            ledger.load_flow(&mut reader)?;
        }
        reader.finish()?;
        ledger.settle();
        if ledger.flows.len() as u64 != flows {
            return Err(LedgerError::Damaged("a flow is there twice"));
        }
        Ok(ledger)
    }

    fn load_account(&mut self, address: Address, balance: Units) -> Result<(), LedgerError> {
        let known = self.accounts.len();
        let account = self.account(&address, self.hasher.address(&address));
        if address == Address::ZERO || self.accounts.len() == known {
            return Err(LedgerError::Damaged("an account is there twice or is the zero address"));
        }
        self.accounts.add(account, balance);
        Ok(())
    }

    fn check_balances(&self) -> Result<(), LedgerError> {
        let mut absolute = Units::ZERO;
        for (_, balance) in self.accounts.iter() {
            absolute += if balance.is_negative() { -balance } else { balance };
            if absolute.is_negative() {
                return Err(LedgerError::Damaged("balances are too large"));
            }
        }
        let sum: Units = self.accounts.iter().map(|(_, balance)| balance).sum();
        if sum != self.totals.minted - self.totals.burned {
            return Err(LedgerError::Damaged("balances do not add up to what was minted and not burned"));
        }
        Ok(())
    }

    fn load_flow(&mut self, reader: &mut Reader<'_, impl Read>) -> Result<(), LedgerError> {
        let mut account = || {
            let account =
                u32::try_from(reader.integer()?).ok().filter(|&account| (account as usize) < self.accounts.len());
            account.ok_or(LedgerError::Damaged("a flow is between accounts that are not there"))
        };
        let (from, to) = (account()?, account()?);
        let (transfers, total) = (reader.integer()?, reader.units()?);
        let first = reader.moment()?;
        let last = if transfers > 1 { reader.moment()? } else { first };
        if from == to || transfers == 0 || total.is_negative() || last.order() < first.order() {
            return Err(LedgerError::Damaged("a flow contradicts itself"));
        }
        self.flows.push_sum(from, to, Exchanged { transfers, total, first, last });
        Ok(())
    }
}

struct Writer<'a, W> {
    output: &'a mut W,
    frame: Vec<u8>,
    digest: Sha256,
}

impl<W: Write> Writer<'_, W> {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.output.write_all(bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.frame.extend_from_slice(bytes);
    }

    fn integer(&mut self, mut integer: u64) {
        loop {
            let [low, ..] = integer.to_le_bytes();
            integer >>= 7;
            if integer == 0 {
                return self.frame.push(low & 0x7f);
            }
            self.frame.push(low | 0x80);
        }
    }

    fn length(&mut self, length: usize) {
        self.integer(length as u64);
    }

    fn optional(&mut self, integer: Option<u64>) {
        self.frame.push(u8::from(integer.is_some()));
        self.integer(integer.unwrap_or(0));
    }

    fn units(&mut self, units: Units) {
        let negative = units.is_negative();
        let magnitude = if negative { -units } else { units };
        let bytes = magnitude.limbs().map(u64::to_le_bytes);
        let bytes = bytes.as_flattened();
        let length = magnitude.bit_len().div_ceil(8);
        self.frame.push(u8::try_from(length).expect("320 bits are 40 bytes") | if negative { 0x80 } else { 0 });
        self.bytes(&bytes[..length]);
    }

    fn moment(&mut self, moment: &Moment) {
        self.integer(moment.block);
        // An unknown timestamp becomes 0, so that it takes one byte instead of ten.
        self.integer(moment.timestamp.wrapping_add(1).into());
        self.integer(moment.position.into());
        self.bytes(&moment.tx.0);
    }

    fn totals(&mut self, totals: &Totals) {
        self.integer(totals.rows);
        self.integer(totals.zero_value_rows);
        self.integer(totals.self_transfers);
        self.units(totals.minted);
        self.units(totals.burned);
        self.units(totals.zero_to_zero);
        self.optional(totals.first_block);
        self.optional(totals.last_block);
        self.optional(totals.last_timestamp);
    }

    /// Lengths stand in the frame of the record before them.
    fn end_record(&mut self) -> io::Result<()> {
        if self.frame.len() >= FRAME { self.end_frame() } else { Ok(()) }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.frame.len()).map_err(io::Error::other)?;
        self.raw(&length.to_le_bytes())?;
        let frame = std::mem::take(&mut self.frame);
        self.raw(&frame)?;
        self.frame = frame;
        self.frame.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.frame.is_empty() {
            self.end_frame()?;
        }
        self.end_frame()?;
        self.output.write_all(&self.digest.finalize())
    }
}

struct Reader<'a, R> {
    input: &'a mut R,
    frame: Vec<u8>,
    at: usize,
    digest: Sha256,
}

impl<R: Read> Reader<'_, R> {
    fn raw<const N: usize>(&mut self) -> Result<[u8; N], LedgerError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.digest.update(bytes);
        Ok(bytes)
    }

    /// Reads the next frame once the one before is used up.
    fn begin_record(&mut self) -> Result<(), LedgerError> {
        if self.at < self.frame.len() { Ok(()) } else { self.next_frame() }
    }

    fn next_frame(&mut self) -> Result<(), LedgerError> {
        let length = u32::from_le_bytes(self.raw()?) as usize;
        if length > FRAME + RECORD {
            return Err(LedgerError::Damaged("a frame is too long"));
        }
        self.frame.resize(length, 0);
        self.input.read_exact(&mut self.frame)?;
        self.digest.update(&self.frame);
        self.at = 0;
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&[u8], LedgerError> {
        let bytes = self.frame.get(self.at..self.at + length).ok_or(LedgerError::Damaged("a record is cut off"))?;
        self.at += length;
        Ok(bytes)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], LedgerError> {
        self.take(N)?.try_into().map_err(|_| LedgerError::Damaged("a record is cut off"))
    }

    fn byte(&mut self) -> Result<u8, LedgerError> {
        let [byte] = self.bytes()?;
        Ok(byte)
    }

    fn integer(&mut self) -> Result<u64, LedgerError> {
        let mut integer = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            integer |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(integer);
            }
        }
        Err(LedgerError::Damaged("an integer is too long"))
    }

    fn optional(&mut self) -> Result<Option<u64>, LedgerError> {
        let some = self.byte()? != 0;
        let integer = self.integer()?;
        Ok(some.then_some(integer))
    }

    fn units(&mut self) -> Result<Units, LedgerError> {
        let head = self.byte()?;
        let (negative, length) = (head & 0x80 != 0, usize::from(head & 0x7f));
        let mut bytes = [[0; 8]; 5];
        let magnitude = bytes.as_flattened_mut().get_mut(..length);
        let magnitude = magnitude.ok_or(LedgerError::Damaged("an amount is too long"))?;
        magnitude.copy_from_slice(self.take(length)?);
        let magnitude = Units::from_limbs(bytes.map(u64::from_le_bytes));
        if magnitude.is_negative() {
            return Err(LedgerError::Damaged("an amount is too long"));
        }
        Ok(if negative { -magnitude } else { magnitude })
    }

    fn moment(&mut self) -> Result<Moment, LedgerError> {
        let block = self.integer()?;
        let mut short = || u32::try_from(self.integer()?).map_err(|_| LedgerError::Damaged("a moment is too large"));
        let (timestamp, position) = (short()?.wrapping_sub(1), short()?);
        Ok(Moment { block, timestamp, position, tx: TxHash(self.bytes()?) })
    }

    fn totals(&mut self) -> Result<Totals, LedgerError> {
        Ok(Totals {
            rows: self.integer()?,
            zero_value_rows: self.integer()?,
            self_transfers: self.integer()?,
            minted: self.units()?,
            burned: self.units()?,
            zero_to_zero: self.units()?,
            first_block: self.optional()?,
            last_block: self.optional()?,
            last_timestamp: self.optional()?,
        })
    }

    fn finish(mut self) -> Result<(), LedgerError> {
        if self.at < self.frame.len() {
            return Err(LedgerError::Damaged("it has more records than it says"));
        }
        self.next_frame()?;
        if !self.frame.is_empty() {
            return Err(LedgerError::Damaged("it has more records than it says"));
        }
        let mut digest = [0; 32];
        self.input.read_exact(&mut digest)?;
        if digest[..] != self.digest.finalize()[..] {
            return Err(LedgerError::Damaged("its checksum is another"));
        }
        Ok(())
    }
}
