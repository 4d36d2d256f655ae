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
pub(crate) fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let mut bad = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (digit(pair[0]), digit(pair[1]));
        bad |= high | low;
        *byte = (high << 4) | (low & 0x0f);
    }
    // A valid digit is at most 0x0f, so one test after the loop finds any invalid one.
    (bad <= 0x0f).then_some(bytes)
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
