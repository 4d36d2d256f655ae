use std::fmt;

use access::Ids;
use serde::Deserialize;

/// What a person copies out of a mail: six digits. Never shown by `Debug`, never serialised.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Code([u8; DIGITS]);

/// Not six ASCII digits. White space around them is forgiven: it comes along when they are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code is {DIGITS} digits")]
pub struct BadCode;

const DIGITS: usize = 6;
const CODES: u32 = 1_000_000;

impl Code {
    pub fn new(text: &str) -> Result<Self, BadCode> {
        let digits: [u8; DIGITS] = text.trim().as_bytes().try_into().map_err(|_| BadCode)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(BadCode) }
    }

    /// Each of the million codes is as likely as any other.
    pub(crate) fn random(ids: &dyn Ids) -> Self {
        const FAIR: u32 = u32::MAX - u32::MAX % CODES;
        let mut number = FAIR;
        while number >= FAIR {
            let mut bytes = [0; 4];
            ids.fill(&mut bytes);
            number = u32::from_le_bytes(bytes);
        }
        Self::numbered(number % CODES)
    }

    fn numbered(mut number: u32) -> Self {
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
        Self(digits)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are UTF-8")
    }
}

impl TryFrom<String> for Code {
    type Error = BadCode;

    fn try_from(text: String) -> Result<Self, BadCode> {
        Self::new(&text)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

#[cfg(test)]
mod tests {
    use access::SeededIds;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_six_digits() {
        assert_eq!(Code::new("012345").unwrap().as_str(), "012345");
        assert_eq!(Code::new(" 012345\n").unwrap().as_str(), "012345");
        for bad in ["", "12345", "1234567", "12345a", "12 345", "１２３４５６", "+12345", "-12345"] {
            assert_eq!(Code::new(bad), Err(BadCode), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Code>("\"000000\"").unwrap().as_str(), "000000");
        assert!(serde_json::from_str::<Code>("123456").is_err());
    }

    #[test]
    fn a_code_does_not_show() {
        assert_eq!(format!("{:?}", Code::numbered(123_456)), "Code");
    }

    #[test]
    fn random_codes_spread_over_the_whole_range() {
        let ids = SeededIds::new(7);
        let mut firsts = [0_u32; 10];
        for _ in 0..10_000 {
            let code = Code::random(&ids);
            assert!(Code::new(code.as_str()).is_ok());
            firsts[usize::from(code.0[0] - b'0')] += 1;
        }
        assert!(firsts.iter().all(|count| (850..1150).contains(count)), "{firsts:?}");
    }

    /// Hands out what it is given.
    struct Scripted(std::sync::Mutex<Vec<u32>>);

    impl Ids for Scripted {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0.lock().unwrap().remove(0).to_le_bytes());
        }
    }

    #[test]
    fn numbers_that_would_favour_low_codes_are_drawn_again() {
        let ids = Scripted(std::sync::Mutex::new(vec![u32::MAX, 4_294_000_000, 4_293_999_999]));
        assert_eq!(Code::random(&ids).as_str(), "999999");
    }

    proptest! {
        #[test]
        fn every_number_has_its_own_code(number in 0..CODES) {
            let code = Code::numbered(number);
            prop_assert_eq!(code.as_str(), format!("{number:06}"));
        }
    }
}
