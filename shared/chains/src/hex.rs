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
    let mut bad = 0;
    let (blocks, rest) = digits.as_chunks::<32>();
    let (places, last) = bytes.as_chunks_mut::<16>();
    for (block, place) in blocks.iter().zip(places) {
        let wrong;
        (*place, wrong) = many_digits(block);
        bad |= wrong;
    }
    let (blocks, rest) = rest.as_chunks::<8>();
    let (places, last) = last.as_chunks_mut::<4>();
    for (block, place) in blocks.iter().zip(places) {
        let wrong;
        (*place, wrong) = eight_digits(*block);
        bad |= wrong;
    }
    for (byte, pair) in last.iter_mut().zip(rest.chunks_exact(2)) {
        let (high, low) = (digit(pair[0]), digit(pair[1]));
        bad |= u64::from((high | low) & 0xf0);
        *byte = (high << 4) | (low & 0x0f);
    }
    bad == 0
}

/// 32 digits at once: without a branch or a table, so that the compiler takes them in vectors. The second number is 0
/// where all are digits.
#[inline(always)]
fn many_digits(digits: &[u8; 32]) -> ([u8; 16], u64) {
    let (mut values, mut bad) = ([0; 32], [0; 32]);
    for ((value, bad), digit) in values.iter_mut().zip(&mut bad).zip(digits) {
        let (decimal, letter) = (digit.wrapping_sub(b'0'), (digit | 0x20).wrapping_sub(b'a'));
        let is_decimal = if decimal < 10 { 0xff } else { 0_u8 };
        let is_letter = if letter < 6 { 0xff } else { 0_u8 };
        *value = (decimal & is_decimal) | (letter.wrapping_add(10) & is_letter);
        *bad = !(is_decimal | is_letter);
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(values.as_chunks().0) {
        // The first digit of a pair is the lower byte, and the upper half of the result.
        let pair = u16::from_le_bytes(*pair);
        let [low, _] = ((pair << 4) | (pair >> 8)).to_le_bytes();
        *byte = low;
    }
    (bytes, u64::from(bad.iter().fold(0, |all, bad| all | bad)))
}

/// Eight digits at once, each in its byte of one word. The second number is 0 where all are digits.
#[inline]
fn eight_digits(digits: [u8; 8]) -> ([u8; 4], u64) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(digits);
    let letters = (word >> 6) & ONES;
    let values = (word & (ONES * 0x0f)) + letters * 9;
    // What is no digit does not come back when its value is written again, lower-case.
    let above_nine = ((values + ONES * 6) >> 4) & ONES;
    let written = values + ONES * u64::from(b'0') + above_nine * u64::from(b'a' - b'0' - 10);
    let lower = word | (letters << 5);
    let bad = (written ^ lower) | (values & (ONES * 0xf0));
    // The first digit of a pair is the lower byte, and the upper half of the result.
    let pairs = ((values << 4) | (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    let [a, b, _, _, c, d, ..] = quads.to_le_bytes();
    ([a, b, c, d], bad)
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
