use std::fmt;
use std::str::FromStr;

use access::Ids;
use serde::{Deserialize, Serialize};

/// A member's referral code: eight characters of Crockford's base 32, shown as `ABCD-EFGH`. 40 random bits.
///
/// Read in any case, with `I` and `L` taken for `1` and `O` for `0`, with or without dashes and blanks. `Debug` does not
/// show it: whoever has it can join.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReferralCode([u8; SYMBOLS]);

/// Never quotes what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a referral code is {SYMBOLS} letters or digits without U, as in ABCD-EFGH")]
pub struct BadReferralCode;

const SYMBOLS: usize = 8;
const RANDOM_BYTES: usize = 5;
/// Whoever puts blanks between all characters is still understood.
const TEXT_BYTES_MAX: usize = 64;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What no code we give out contains, however it is spelt with digits. English, German, French, Spanish and Italian, as
/// far as it fits: whoever gets a code has not chosen it.
const OFFENSIVE: &[&str] = &[
    "ANAL", "ANUS", "ARSCH", "ARSE", "ASS", "BITCH", "BOOB", "CAZZO", "CLIT", "COCK", "CONO", "COON", "CRAP", "CULO",
    "CUM", "CUNT", "DAGO", "DICK", "DILDO", "DYKE", "FAG", "FICK", "FOTZE", "FUCK", "FUK", "GOOK", "GYPSY", "HEIL",
    "HITLER", "HOMO", "HURE", "ISIS", "JIZZ", "KACK", "KIKE", "KKK", "MERDE", "NAZI", "NEGER", "NEGRO", "NIGG",
    "NUTTE", "PAKI", "PEDO", "PENIS", "PISS", "POOP", "PORN", "PUSSY", "PUTA", "RAPE", "SALOPE", "SCHEISS", "SEX",
    "SHIT", "SLUT", "SPIC", "TITS", "TURD", "TWAT", "WANK", "WHORE",
];

impl ReferralCode {
    /// # Errors
    /// [`BadReferralCode`] for everything but eight characters of the alphabet.
    pub fn new(text: &str) -> Result<Self, BadReferralCode> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(BadReferralCode);
        }
        let mut symbols = text.chars().filter(|c| !is_separator(*c)).map(symbol);
        let mut code = [0; SYMBOLS];
        for place in &mut code {
            *place = symbols.next().flatten().ok_or(BadReferralCode)?;
        }
        if symbols.next().is_some() { Err(BadReferralCode) } else { Ok(Self(code)) }
    }

    /// A random code without an offensive word, each as likely as any other. Whether somebody has it already, only the
    /// table knows.
    pub(crate) fn generate(ids: &dyn Ids) -> Self {
        loop {
            let mut bytes = [0; RANDOM_BYTES];
            ids.fill(&mut bytes);
            let code = Self::of_bits(bytes);
            if !code.is_offensive() {
                return code;
            }
        }
    }

    fn of_bits(bytes: [u8; RANDOM_BYTES]) -> Self {
        let mut bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let mut code = [0; SYMBOLS];
        for place in code.iter_mut().rev() {
            *place = ALPHABET[usize::try_from(bits & 31).unwrap_or_default()];
            bits >>= 5;
        }
        Self(code)
    }

    fn is_offensive(&self) -> bool {
        let code = self.0.map(look);
        OFFENSIVE
            .iter()
            .any(|word| code.windows(word.len()).any(|part| word.bytes().map(look).eq(part.iter().copied())))
    }
}

fn is_separator(c: char) -> bool {
    // Mail programs make other dashes of a plain one.
    c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

fn symbol(c: char) -> Option<u8> {
    match c.to_ascii_uppercase() {
        'I' | 'L' => Some(b'1'),
        'O' => Some(b'0'),
        other => u8::try_from(other).ok().filter(|symbol| ALPHABET.contains(symbol)),
    }
}

/// One letter for all that look alike.
fn look(symbol: u8) -> u8 {
    match symbol {
        b'0' => b'O',
        b'1' | b'L' => b'I',
        b'2' => b'Z',
        b'3' => b'E',
        b'4' => b'A',
        b'5' => b'S',
        b'6' | b'9' => b'G',
        b'7' => b'T',
        b'8' => b'B',
        b'V' => b'U',
        other => other,
    }
}

impl fmt::Display for ReferralCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, symbol) in self.0.iter().enumerate() {
            if at == SYMBOLS / 2 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*symbol))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ReferralCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReferralCode")
    }
}

impl FromStr for ReferralCode {
    type Err = BadReferralCode;

    fn from_str(text: &str) -> Result<Self, BadReferralCode> {
        Self::new(text)
    }
}

impl TryFrom<String> for ReferralCode {
    type Error = BadReferralCode;

    fn try_from(text: String) -> Result<Self, BadReferralCode> {
        Self::new(&text)
    }
}

impl From<ReferralCode> for String {
    fn from(code: ReferralCode) -> Self {
        code.to_string()
    }
}

#[cfg(test)]
mod tests {
    use access::{RandomIds, SeededIds};
    use proptest::prelude::*;

    use super::*;

    fn code() -> impl Strategy<Value = ReferralCode> {
        any::<[u8; RANDOM_BYTES]>().prop_map(ReferralCode::of_bits)
    }

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let code = ReferralCode::new("10AB-CDEF").unwrap();
        for text in ["10ABCDEF", "10ab-cdef", " IoAb CdEf\n", "l0AB\u{2011}CDEF", "1-0-A-B-C-D-E-F", "LOAB\u{a0}CDEF"] {
            assert_eq!(ReferralCode::new(text), Ok(code), "{text}");
        }
        assert_eq!(code.to_string(), "10AB-CDEF");
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let endless = "A".to_owned() + &" ".repeat(TEXT_BYTES_MAX) + "BCDEFGH";
        for text in ["", "-", "ABCD-EFG", "ABCD-EFGHJ", "ABCD_EFGH", "UBCD-EFGH", "ÄBCD-EFGH", "４BCD-EFGH", &endless]
        {
            assert_eq!(ReferralCode::new(text), Err(BadReferralCode), "{text}");
        }
    }

    #[test]
    fn a_code_does_not_show_by_debug_nor_in_its_error() {
        let code = ReferralCode::new("ABCD-EFGH").unwrap();
        assert_eq!(format!("{code:?}"), "ReferralCode");
        let error = serde_json::from_str::<ReferralCode>("\"7KQM-X2V\"").unwrap_err().to_string();
        assert!(!error.contains("7KQM"), "{error}");
    }

    #[test]
    fn all_bits_count_and_the_first_come_first() {
        assert_eq!(ReferralCode::of_bits([0; 5]).to_string(), "0000-0000");
        assert_eq!(ReferralCode::of_bits([255; 5]).to_string(), "ZZZZ-ZZZZ");
        assert_eq!(ReferralCode::of_bits([0b0000_1000, 0, 0, 0, 1]).to_string(), "1000-0001");
    }

    #[test]
    fn offensive_words_are_seen_through_digits() {
        for offensive in ["FVCK-0000", "00SH-1T00", "000A-5500", "5H17-0000", "00D1-CK00", "NA21-0000", "0000-P155"] {
            assert!(ReferralCode::new(offensive).unwrap().is_offensive(), "{offensive}");
        }
        for decent in ["7KQM-X2VD", "ABCD-EFGH", "0000-0000", "TREE-H0VS"] {
            assert!(!ReferralCode::new(decent).unwrap().is_offensive(), "{decent}");
        }
        for word in OFFENSIVE {
            assert!(word.len() <= SYMBOLS && word.bytes().all(|byte| byte.is_ascii_uppercase()), "{word}");
        }
    }

    /// Gives these bytes once, others after them.
    struct First(std::sync::Mutex<Option<[u8; RANDOM_BYTES]>>);

    impl Ids for First {
        fn fill(&self, bytes: &mut [u8]) {
            match self.0.lock().unwrap().take() {
                Some(first) => bytes.copy_from_slice(&first),
                None => RandomIds.fill(bytes),
            }
        }
    }

    #[test]
    fn an_offensive_code_is_drawn_again() {
        let bits = |text: &str| {
            let code = ReferralCode::new(text).unwrap();
            let place = |symbol| ALPHABET.iter().position(|one| *one == symbol).unwrap() as u64;
            let bits = code.0.iter().fold(0_u64, |bits, symbol| bits << 5 | place(*symbol));
            <[u8; RANDOM_BYTES]>::try_from(&bits.to_be_bytes()[3..]).unwrap()
        };
        let first = |text: &str| First(std::sync::Mutex::new(Some(bits(text))));
        assert_eq!(ReferralCode::generate(&first("7KQM-X2VD")).to_string(), "7KQM-X2VD");
        let code = ReferralCode::generate(&first("5H17-0000"));
        assert_ne!(code.to_string(), "5H17-0000");
        assert!(!code.is_offensive());
    }

    #[test]
    fn generated_codes_use_the_whole_alphabet_evenly_in_every_place() {
        const CODES: u32 = 16_000;
        let ids = SeededIds::new(11);
        let mut counts = [[0_u32; 256]; SYMBOLS];
        for _ in 0..CODES {
            let code = ReferralCode::generate(&ids);
            assert!(!code.is_offensive());
            for (place, symbol) in code.0.iter().enumerate() {
                counts[place][usize::from(*symbol)] += 1;
            }
        }
        // 500 each, with a standard deviation of 22.
        for (place, counts) in counts.iter().enumerate() {
            for symbol in ALPHABET {
                let count = counts[usize::from(*symbol)];
                assert!((370..630).contains(&count), "{} in place {place}: {count}", char::from(*symbol));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(code in code()) {
            let shown = code.to_string();
            prop_assert_eq!(shown.len(), 9);
            prop_assert_eq!(shown.parse(), Ok(code));
            let json = serde_json::to_string(&code).unwrap();
            prop_assert_eq!(&json, &format!("\"{shown}\""));
            prop_assert_eq!(serde_json::from_str::<ReferralCode>(&json).unwrap(), code);
        }

        #[test]
        fn case_look_alikes_and_separators_do_not_matter(
            code in code(),
            spelling in proptest::collection::vec((0_usize..3, any::<bool>(), 0_usize..4), SYMBOLS),
        ) {
            let mut text = String::new();
            for (symbol, (alike, lower, separator)) in code.0.into_iter().zip(spelling) {
                let symbol = match (symbol, alike) {
                    (b'1', 1) => 'I',
                    (b'1', 2) => 'L',
                    (b'0', 1 | 2) => 'O',
                    (other, _) => char::from(other),
                };
                text.push(if lower { symbol.to_ascii_lowercase() } else { symbol });
                text.push_str(["", "-", " ", " - "][separator]);
            }
            prop_assert_eq!(ReferralCode::new(&text), Ok(code));
        }

        #[test]
        fn whatever_is_read_is_eight_characters_of_the_alphabet(text in "\\PC{0,20}") {
            if let Ok(code) = ReferralCode::new(&text) {
                prop_assert!(code.0.iter().all(|symbol| ALPHABET.contains(symbol)));
                let given = text.chars().filter(|c| !is_separator(*c)).count();
                prop_assert_eq!(given, SYMBOLS);
            }
        }

        #[test]
        fn different_bits_are_different_codes(one in any::<[u8; RANDOM_BYTES]>(), other in any::<[u8; RANDOM_BYTES]>()) {
            prop_assert_eq!(one == other, ReferralCode::of_bits(one) == ReferralCode::of_bits(other));
        }
    }
}
