//! A run of transfers in the form in which it is kept in object storage.
//!
//! `HFTS`, version, first and last block (u64 each), number of transfers (u64), then parts of at most 65,536 transfers,
//! each its plain length and packed length (u32 each) and a zstd frame; last the CRC-32 of everything before. Fixed
//! integers are little-endian, those inside a part LEB128. A part holds one column after the other: new addresses,
//! places of senders and of receivers in the list of all addresses so far, block steps, timestamps, new transaction
//! hashes, log indexes, values.

use std::collections::HashMap;
use std::io::Read;

use clusters::{Address, Amount, Transfer, TxHash};

/// Transfers of one token that lie in the blocks `from_block..=through_block`, in the order in which they were encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub from_block: u64,
    pub through_block: u64,
    pub transfers: Vec<Transfer>,
}

/// Why bytes are no segment.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error("not a segment: it does not begin with HFTS")]
    NotASegment,
    #[error("segment version {found} is not known (the newest known is {VERSION})")]
    Version { found: u8 },
    #[error("the segment is damaged: {reason}")]
    Damaged { reason: &'static str },
    #[error("the segment is damaged: a part cannot be unpacked")]
    Unpack { source: std::io::Error },
}

const MAGIC: [u8; 4] = *b"HFTS";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4 + 1 + 3 * 8;
const CHECKSUM_BYTES: usize = 4;
const PART_TRANSFERS: usize = 1 << 16;
/// Above what 65,536 transfers can take: 2 × 20 + 2 × 10 bytes of addresses, 10 of block, 11 of timestamp, 33 of hash,
/// 5 of index, 33 of value.
const PART_BYTES: usize = PART_TRANSFERS * 160;
const LEVEL: i32 = 3;

/// Packs transfers, in any order. `decode` gives them back exactly.
pub fn encode(transfers: &[Transfer], from_block: u64, through_block: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + transfers.len() * 48);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    for number in [from_block, through_block, transfers.len() as u64] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let mut places = HashMap::new();
    for part in transfers.chunks(PART_TRANSFERS) {
        let plain = encode_part(part, &mut places);
        let packed = zstd::bulk::compress(&plain, LEVEL).expect("packing in memory fails only where memory does");
        for length in [plain.len(), packed.len()] {
            bytes.extend_from_slice(&u32::try_from(length).expect("a part is below 4 GiB").to_le_bytes());
        }
        bytes.extend_from_slice(&packed);
    }
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Unpacks what `encode` made. Never allocates more than about a part beyond what the transfers read so far take,
/// whatever the header claims.
pub fn decode(bytes: &[u8]) -> Result<Segment, SegmentError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(SegmentError::NotASegment);
    }
    match bytes.get(4) {
        Some(&VERSION) => {}
        Some(&found) => return Err(SegmentError::Version { found }),
        None => return Err(CUT),
    }
    let content = bytes.len().checked_sub(CHECKSUM_BYTES).filter(|length| *length >= HEADER_BYTES).ok_or(CUT)?;
    let (content, stored) = bytes.split_at(content);
    if checksum(content) != stored {
        return Err(SegmentError::Damaged { reason: "its checksum differs" });
    }
    let mut input = Input(&content[5..]);
    let from_block = u64::from_le_bytes(input.array()?);
    let through_block = u64::from_le_bytes(input.array()?);
    let count = u64::from_le_bytes(input.array()?);

    let mut transfers = Vec::new();
    let mut addresses = Vec::new();
    let mut plain = Vec::new();
    while (transfers.len() as u64) < count {
        let plain_bytes = length(u32::from_le_bytes(input.array()?))?;
        let packed_bytes = length(u32::from_le_bytes(input.array()?))?;
        if plain_bytes > PART_BYTES {
            return Err(SegmentError::Damaged { reason: "a part is too long" });
        }
        plain.clear();
        let unpack = |source| SegmentError::Unpack { source };
        zstd::stream::read::Decoder::with_buffer(input.take(packed_bytes)?)
            .map_err(unpack)?
            .take(plain_bytes as u64 + 1)
            .read_to_end(&mut plain)
            .map_err(unpack)?;
        if plain.len() != plain_bytes {
            return Err(SegmentError::Damaged { reason: "a part is not as long as it says" });
        }
        let part = (count - transfers.len() as u64).min(PART_TRANSFERS as u64);
        let part = usize::try_from(part).map_err(|_| CUT)?;
        decode_part(&plain, part, &mut addresses, &mut transfers)?;
    }
    if !input.0.is_empty() {
        return Err(SURPLUS);
    }
    Ok(Segment { from_block, through_block, transfers })
}

const CUT: SegmentError = SegmentError::Damaged { reason: "it ends too early" };
const SURPLUS: SegmentError = SegmentError::Damaged { reason: "there is more than it says" };

fn length(bytes: u32) -> Result<usize, SegmentError> {
    usize::try_from(bytes).map_err(|_| CUT)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn encode_part(part: &[Transfer], places: &mut HashMap<Address, u64>) -> Vec<u8> {
    let mut fresh = Vec::new();
    let mut indexes = Vec::with_capacity(part.len() * 4);
    for side in [|transfer: &Transfer| transfer.from, |transfer: &Transfer| transfer.to] {
        for transfer in part {
            let address = side(transfer);
            let next = places.len() as u64;
            let place = *places.entry(address).or_insert_with(|| {
                fresh.push(address);
                next
            });
            put(&mut indexes, place);
        }
    }
    let mut plain = Vec::with_capacity(part.len() * 80);
    put(&mut plain, fresh.len() as u64);
    for address in &fresh {
        plain.extend_from_slice(&address.0);
    }
    plain.extend_from_slice(&indexes);
    let mut last = 0;
    for transfer in part {
        put(&mut plain, step(last, transfer.block));
        last = transfer.block;
    }
    // Present or not, then the step; a missing timestamp leaves the base as it is.
    let mut last = 0;
    for transfer in part {
        plain.push(u8::from(transfer.timestamp.is_some()));
        if let Some(timestamp) = transfer.timestamp {
            put(&mut plain, step(last, timestamp));
            last = timestamp;
        }
    }
    // Transfers of one transaction follow each other.
    let mut last = None;
    for transfer in part {
        let same = last == Some(transfer.tx);
        plain.push(u8::from(same));
        if !same {
            plain.extend_from_slice(&transfer.tx.0);
            last = Some(transfer.tx);
        }
    }
    for transfer in part {
        put(&mut plain, transfer.log_index.map_or(0, |index| u64::from(index) + 1));
    }
    for transfer in part {
        let value = transfer.value.to_le_bytes::<32>();
        let used = transfer.value.byte_len();
        plain.push(u8::try_from(used).expect("256 bits are 32 bytes"));
        plain.extend_from_slice(&value[..used]);
    }
    plain
}

fn decode_part(
    plain: &[u8],
    count: usize,
    addresses: &mut Vec<Address>,
    transfers: &mut Vec<Transfer>,
) -> Result<(), SegmentError> {
    let mut input = Input(plain);
    let fresh = usize::try_from(input.varint()?).map_err(|_| CUT)?;
    for address in input.take(fresh.checked_mul(20).ok_or(CUT)?)?.chunks_exact(20) {
        addresses.push(Address(address.try_into().map_err(|_| CUT)?));
    }
    // Every transfer takes several bytes: a count that is a lie is found before room is made for it.
    if input.0.len() < count {
        return Err(CUT);
    }
    let first = transfers.len();
    let address = |input: &mut Input<'_>| -> Result<Address, SegmentError> {
        let place = usize::try_from(input.varint()?).ok();
        let found = place.and_then(|place| addresses.get(place)).copied();
        found.ok_or(SegmentError::Damaged { reason: "an address is not in its list" })
    };
    for _ in 0..count {
        let from = address(&mut input)?;
        let (to, tx, value) = (Address::ZERO, TxHash::default(), Amount::ZERO);
        transfers.push(Transfer { block: 0, timestamp: None, tx, log_index: None, from, to, value });
    }
    let part = &mut transfers[first..];
    for transfer in part.iter_mut() {
        transfer.to = address(&mut input)?;
    }
    let mut last = 0;
    for transfer in part.iter_mut() {
        last = unstep(last, input.varint()?);
        transfer.block = last;
    }
    let mut last = 0;
    for transfer in part.iter_mut() {
        if input.flag()? {
            last = unstep(last, input.varint()?);
            transfer.timestamp = Some(last);
        }
    }
    let mut last = None;
    for transfer in part.iter_mut() {
        transfer.tx = match (input.flag()?, last) {
            (true, Some(last)) => last,
            (true, None) => return Err(SegmentError::Damaged { reason: "it begins with a repeated transaction" }),
            (false, _) => TxHash(input.array()?),
        };
        last = Some(transfer.tx);
    }
    for transfer in part.iter_mut() {
        transfer.log_index = match input.varint()? {
            0 => None,
            index => Some(u32::try_from(index - 1).map_err(|_| SegmentError::Damaged { reason: "a log index" })?),
        };
    }
    for transfer in part.iter_mut() {
        let [used] = input.array()?;
        if used > 32 {
            return Err(SegmentError::Damaged { reason: "a value is longer than 256 bits" });
        }
        transfer.value = Amount::from_le_slice(input.take(usize::from(used))?);
    }
    if input.0.is_empty() { Ok(()) } else { Err(SURPLUS) }
}

/// The difference of two numbers, small for near ones in either direction (zigzag; wraps, so that none is too far).
fn step(from: u64, to: u64) -> u64 {
    let difference = to.wrapping_sub(from).cast_signed();
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

fn unstep(from: u64, step: u64) -> u64 {
    from.wrapping_add((step >> 1) ^ 0_u64.wrapping_sub(step & 1))
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

/// The bytes not read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], SegmentError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn flag(&mut self) -> Result<bool, SegmentError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(SegmentError::Damaged { reason: "a flag is neither 0 nor 1" }),
        }
    }

    fn varint(&mut self) -> Result<u64, SegmentError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(SegmentError::Damaged { reason: "a number is longer than 64 bits" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn transfer() -> impl Strategy<Value = Transfer> {
        let address = prop_oneof![(0..6_u8).prop_map(|i| Address([i; 20])), any::<[u8; 20]>().prop_map(Address)];
        let tx = prop_oneof![(0..4_u8).prop_map(|i| TxHash([i; 32])), any::<[u8; 32]>().prop_map(TxHash)];
        let block = prop_oneof![0..100_u64, any::<u64>()];
        let value = prop_oneof![Just([0; 32]), Just([0xff; 32]), any::<[u8; 32]>()];
        (block, any::<Option<u64>>(), tx, any::<Option<u32>>(), address.clone(), address, value).prop_map(
            |(block, timestamp, tx, log_index, from, to, value)| {
                let value = Amount::from_le_bytes(value);
                Transfer { block, timestamp, tx, log_index, from, to, value }
            },
        )
    }

    /// The checksum of damaged bytes made right again, so that what it guards is tried too.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some(content) = bytes.len().checked_sub(CHECKSUM_BYTES) {
            let sum = checksum(&bytes[..content]);
            bytes[content..].copy_from_slice(&sum);
        }
        bytes
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back_exactly(
            transfers in prop::collection::vec(transfer(), 0..60), from in any::<u64>(), through in any::<u64>()
        ) {
            let segment = decode(&encode(&transfers, from, through)).unwrap();
            prop_assert_eq!(segment, Segment { from_block: from, through_block: through, transfers });
        }

        #[test]
        fn damage_is_found_and_never_a_panic(
            transfers in prop::collection::vec(transfer(), 0..20),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let whole = encode(&transfers, 1, 2);
            let mut bytes = whole.clone();
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] ^= byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            prop_assert!(bytes == whole || decode(&bytes).is_err());
            // Under a right checksum it may be a segment, but must not be trusted blindly.
            let _ = decode(&sealed(bytes));
        }

        #[test]
        fn a_damaged_part_is_no_panic(
            transfers in prop::collection::vec(transfer(), 1..20),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut plain = encode_part(&transfers, &mut HashMap::new());
            for (place, byte) in damage {
                let place = place.index(plain.len());
                plain[place] = byte;
            }
            let _ = decode_part(&plain, transfers.len(), &mut Vec::new(), &mut Vec::new());
        }

        #[test]
        fn bytes_of_any_kind_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut segment = b"HFTS\x01".to_vec();
            segment.extend_from_slice(&bytes);
            let _ = decode(&sealed(segment));
            prop_assert!(decode(&bytes).is_err());
        }
    }

    fn many(count: u64) -> Vec<Transfer> {
        let address = |seed: u64| {
            let mut bytes = [0; 20];
            bytes[..8].copy_from_slice(&seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            Address(bytes)
        };
        (0..count)
            .map(|i| Transfer {
                block: 1000 + i / 3,
                timestamp: Some(1_600_000_000 + i / 3 * 12),
                tx: TxHash([(i / 2 % 251) as u8; 32]),
                log_index: Some((i % 3) as u32),
                from: address(i % 977),
                to: address(i % 1009),
                value: Amount::from(i),
            })
            .collect()
    }

    #[test]
    fn a_run_of_several_parts_comes_back_exactly() {
        let transfers = many(2 * PART_TRANSFERS as u64 + 5);
        let segment = decode(&encode(&transfers, 1000, 50_000)).unwrap();
        assert!(segment.transfers == transfers);
    }

    #[test]
    fn a_header_that_claims_more_than_there_is_costs_nothing() {
        let mut bytes = encode(&many(3), 0, 9);
        bytes[21..29].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(decode(&sealed(bytes)), Err(SegmentError::Damaged { .. })));
    }

    #[test]
    fn a_part_that_unpacks_to_more_than_it_says_is_refused() {
        let mut bytes = encode(&[], 0, 0);
        bytes.truncate(HEADER_BYTES);
        bytes[21..29].copy_from_slice(&1_u64.to_le_bytes());
        let packed = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
        bytes.extend_from_slice(&100_u32.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&packed);
        bytes.extend_from_slice(&[0; 4]);
        let error = decode(&sealed(bytes)).unwrap_err();
        assert_eq!(error.to_string(), "the segment is damaged: a part is not as long as it says");
    }

    #[test]
    fn other_bytes_and_later_versions_are_named() {
        assert!(matches!(decode(b"PK\x03\x04"), Err(SegmentError::NotASegment)));
        let mut bytes = encode(&[], 0, 0);
        bytes[4] = 9;
        assert!(matches!(decode(&bytes), Err(SegmentError::Version { found: 9 })));
    }
}
