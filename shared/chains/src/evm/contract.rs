//! What contracts answer to `eth_call`: words and strings from strangers.

use clusters::Amount;

pub(super) const NAME: &str = "0x06fdde03";
pub(super) const SYMBOL: &str = "0x95d89b41";
pub(super) const DECIMALS: &str = "0x313ce567";
pub(super) const TOTAL_SUPPLY: &str = "0x18160ddd";
/// `supportsInterface(0x80ac58cd)`: is it an ERC-721 token?
pub(super) const IS_ERC721: &str = "0x01ffc9a780ac58cd00000000000000000000000000000000000000000000000000000000";

const LONGEST_TEXT: usize = 64;

/// The first word of an answer; `None` when there is none.
pub(super) fn word(answer: &[u8]) -> Option<Amount> {
    answer.first_chunk::<32>().map(|word| Amount::from_be_bytes(*word))
}

/// A text that is safe to show: an ABI string, or the 32 bytes of tokens older than ABI strings.
pub(super) fn text(answer: &[u8]) -> Option<String> {
    let bytes = match answer.len() {
        32 => answer,
        _ => abi_string(answer)?,
    };
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text.chars().filter(|c| !is_unsafe(*c)).collect();
    let shown: String = shown.trim().chars().take(LONGEST_TEXT).collect();
    (!shown.is_empty()).then_some(shown)
}

fn abi_string(answer: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| usize::try_from(word(answer.get(at..)?)?).ok();
    let start = number(0)?;
    let length = number(start)?;
    let content = answer.get(start.checked_add(32)?..)?;
    // One character is four bytes at most: the rest would not be shown anyway.
    content.get(..length).map(|content| &content[..content.len().min(16 * LONGEST_TEXT)])
}

/// Control characters, and the invisible ones with which a text can pretend to be another.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{fffd}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &[u8]) -> Vec<u8> {
        let word = |number: usize| Amount::from(number).to_be_bytes::<32>();
        let mut answer = [word(32), word(text.len())].concat();
        answer.extend_from_slice(text);
        answer.resize(answer.len().next_multiple_of(32), 0);
        answer
    }

    #[test]
    fn both_forms_of_strings_are_read() {
        assert_eq!(text(&encoded("Wrapped Ether".as_bytes())).as_deref(), Some("Wrapped Ether"));
        let mut old = b"MKR".to_vec();
        old.resize(32, 0);
        assert_eq!(text(&old).as_deref(), Some("MKR"));
    }

    #[test]
    fn hostile_strings_are_made_harmless() {
        assert_eq!(text(&encoded(b" US\x00DC\x1b[31m\n")).as_deref(), Some("USDC[31m"));
        assert_eq!(text(&encoded("\u{202e}CDSU\u{200b}".as_bytes())).as_deref(), Some("CDSU"));
        assert_eq!(text(&encoded(b"ab\xff\xfec")).as_deref(), Some("abc"));
        assert_eq!(text(&encoded("é".repeat(100_000).as_bytes())).unwrap().chars().count(), 64);
        assert_eq!(text(&encoded(b"")), None);
        assert_eq!(text(&[0; 32]), None);
    }

    #[test]
    fn offsets_and_lengths_that_lead_nowhere_are_no_text() {
        let huge = [0xff; 32];
        let mut answer = encoded(b"name");
        answer[32..64].copy_from_slice(&huge);
        assert_eq!(text(&answer), None);
        answer[..32].copy_from_slice(&huge);
        assert_eq!(text(&answer), None);
        assert_eq!(text(&[]), None);
        assert_eq!(text(&[1; 31]), None);
    }
}
