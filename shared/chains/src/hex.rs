/// Digit values by byte; 0xff for what is no hex digit.
const DIGITS: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0_u8;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

/// The value of a hex digit in either case; 0xff for any other byte.
pub(crate) fn digit(byte: u8) -> u8 {
    DIGITS[usize::from(byte)]
}

/// Exactly 2 × N hex digits, without `0x`.
#[inline]
pub(crate) fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    decode(digits, &mut bytes).then_some(bytes)
}

/// Fills `bytes` from exactly two hex digits for each; what it holds where that fails says nothing. Inlined where the
/// number of digits is known, it is without a loop.
#[inline(always)]
pub(crate) fn decode<const N: usize>(digits: &[u8], bytes: &mut [u8; N]) -> bool {
    if digits.len() != 2 * N {
        return false;
    }
    let mut beyond = 0;
    let (blocks, rest) = digits.as_chunks();
    for (block, place) in blocks.iter().zip(bytes.as_chunks_mut().0) {
        beyond |= many_digits(block, place);
    }
    if rest.is_empty() {
        return beyond == 0;
    }
    if let (Some(block), Some(place)) = (digits.last_chunk(), bytes.last_chunk_mut()) {
        // Some of them again, which costs less than fewer of them one by one.
        beyond |= many_digits(block, place);
    } else {
        for (byte, pair) in bytes.iter_mut().zip(rest.as_chunks::<2>().0) {
            let [high, low] = pair.map(digit);
            beyond |= u64::from((high | low) & 0xf0);
            *byte = (high << 4) | (low & 0x0f);
        }
    }
    beyond == 0
}

/// Without a branch or a table, so that the compiler takes many digits at once in vectors. 0 where all are digits.
#[inline(always)]
fn many_digits(digits: &[u8; 32], bytes: &mut [u8; 16]) -> u64 {
    let mut values = [0; 32];
    for (value, digit) in values.iter_mut().zip(digits) {
        // In each case 16 or more for all other bytes.
        let decimal = digit.wrapping_add(0xff - b'9').saturating_sub(6).wrapping_sub(0xf0);
        let letter = (digit & 0xdf).wrapping_sub(b'A').saturating_add(10);
        *value = decimal.min(letter);
    }
    for (byte, pair) in bytes.iter_mut().zip(values.as_chunks().0) {
        // The first digit of a pair is the lower byte, and the upper half of the result.
        let pair = u16::from_le_bytes(*pair);
        let [low, _] = ((pair << 4) | (pair >> 8)).to_le_bytes();
        *byte = low;
    }
    let all = values.as_chunks().0.iter().fold(0, |all, eight| all | u64::from_le_bytes(*eight));
    all & 0xf0f0_f0f0_f0f0_f0f0
}

/// Any number of bytes, written with `0x`.
pub(crate) fn prefixed(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| bytes::<1>(pair).map(|[byte]| byte)).collect()
}

/// A JSON-RPC quantity: `0x` and 1 to 16 hex digits.
pub(crate) fn quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| {
        let digit = digit(*byte);
        (digit < 16).then(|| (number << 4) | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case_and_nothing_else() {
        assert_eq!(bytes::<2>(b"aBcD"), Some([0xab, 0xcd]));
        assert_eq!(bytes::<2>(b"abcg"), None);
        assert_eq!(bytes::<2>(b"abcde"), None);
        assert_eq!(bytes::<20>(&[b'F'; 40]), Some([0xff; 20]));
        // Every byte in every place of a block and of the rest after it.
        for byte in 0..=255_u8 {
            for place in 0..44 {
                let mut digits = [b'0'; 44];
                digits[place] = byte;
                let mut expected = [0; 22];
                expected[place / 2] = (digit(byte) & 0x0f) << if place % 2 == 0 { 4 } else { 0 };
                assert_eq!(bytes::<22>(&digits), byte.is_ascii_hexdigit().then_some(expected), "{byte} at {place}");
            }
        }
        assert_eq!(prefixed("0x"), Some(vec![]));
        assert_eq!(prefixed("0x0aFF"), Some(vec![0x0a, 0xff]));
        assert_eq!(prefixed("0x0"), None);
        assert_eq!(quantity("0x1a"), Some(26));
        assert_eq!(quantity("0xffffffffffffffff"), Some(u64::MAX));
        for text in ["", "0x", "1a", "0x+1", "0x10000000000000000"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
