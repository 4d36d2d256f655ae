use std::fmt;
use std::str::FromStr;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// RFC 5321: what a path holds between its angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;
/// Longer than any spelling of an address that is short enough when it is normalised: four bytes become one at most.
const RAW_BYTES_MAX: usize = 4 * ADDRESS_BYTES_MAX;

/// An e-mail address in the one spelling by which people are told apart: trimmed, in lower case, Unicode in its
/// compatibility form (NFKC), the domain in ASCII (`xn--…`). Two spellings of one address are equal.
///
/// At most 254 bytes, 64 before the `@`; a domain with a dot; no quotes, blanks, comments or invisible characters.
/// Neither `Debug` nor an error shows it; there is no `Display`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// What an address is expected to be. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEmailAddress {
    #[error("an e-mail address has at most {ADDRESS_BYTES_MAX} bytes, {LOCAL_BYTES_MAX} of them before the @")]
    TooLong,
    #[error("an e-mail address has one @, with a name before it and a domain after it")]
    NotOneAt,
    #[error(
        "before the @ of an e-mail address stand letters, digits, ! # $ % & ' * + - / = ? ^ _ ` {{ | }} ~, and dots \
         between them"
    )]
    BadLocalPart,
    #[error("the domain of an e-mail address is a host name of letters, digits and hyphens with a dot in it")]
    BadDomain,
}

impl EmailAddress {
    /// # Errors
    /// [`BadEmailAddress`] says what was expected.
    pub fn new(text: &str) -> Result<Self, BadEmailAddress> {
        let text = text.trim();
        if text.len() > RAW_BYTES_MAX {
            return Err(BadEmailAddress::TooLong);
        }
        // Before it is split: compatibility forms of @ and of the dot count as what they stand for.
        let text = folded(text);
        let (local, domain) = text.split_once('@').ok_or(BadEmailAddress::NotOneAt)?;
        if local.is_empty() || domain.is_empty() || domain.contains('@') {
            return Err(BadEmailAddress::NotOneAt);
        }
        if local.len() > LOCAL_BYTES_MAX {
            return Err(BadEmailAddress::TooLong);
        }
        if !is_local_part(local) {
            return Err(BadEmailAddress::BadLocalPart);
        }
        let domain = ascii_domain(domain)?;
        let address = format!("{local}@{domain}");
        if address.len() > ADDRESS_BYTES_MAX {
            return Err(BadEmailAddress::TooLong);
        }
        Ok(Self(address))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`; it may hold letters beyond ASCII, which not every mail service takes.
    pub fn local_part(&self) -> &str {
        self.parts().0
    }

    /// ASCII, in lower case.
    pub fn domain(&self) -> &str {
        self.parts().1
    }

    /// What may be shown to somebody who is perhaps not its owner: `a***@e***`.
    pub fn masked(&self) -> String {
        let (local, domain) = self.parts();
        let (domain, _) = Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        let first = |part: &str| part.chars().next().map(String::from).unwrap_or_default();
        format!("{}***@{}***", first(local), first(&domain))
    }

    /// What leads to it for whoever knows the address and the deployment's secret, and for nobody else.
    pub fn keyed_hash(&self, vault: &crate::Vault) -> String {
        vault.hash("address", &[&self.0])
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('@').unwrap_or_default()
    }
}

/// In lower case and NFKC; again changes nothing. Letter by letter: `str::to_lowercase` makes of a capital sigma one of
/// two small ones by where it stands.
fn folded(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// RFC 5321's dot-string, with RFC 6531's letters beyond ASCII.
fn is_local_part(local: &str) -> bool {
    local
        .split('.')
        .all(|atom| !atom.is_empty() && !atom.starts_with(is_combining_mark) && atom.chars().all(is_atom_character))
}

fn is_atom_character(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    }
    (c.is_alphanumeric() || is_combining_mark(c)) && !is_invisible(c)
}

/// Letters and marks that show nothing, so that two addresses would look alike: Unicode's `Default_Ignorable_Code_Point`
/// as far as it is alphanumeric or combining.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

fn ascii_domain(domain: &str) -> Result<String, BadEmailAddress> {
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| BadEmailAddress::BadDomain)?;
    // A last label of digits is an IPv4 address's.
    let (_, top) = ascii.rsplit_once('.').ok_or(BadEmailAddress::BadDomain)?;
    if top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadEmailAddress::BadDomain);
    }
    Ok(ascii.into_owned())
}

impl FromStr for EmailAddress {
    type Err = BadEmailAddress;

    fn from_str(text: &str) -> Result<Self, BadEmailAddress> {
        Self::new(text)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = BadEmailAddress;

    fn try_from(text: String) -> Result<Self, BadEmailAddress> {
        Self::new(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> String {
        EmailAddress::new(text).unwrap().0
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        let same = [
            ("  Ann@Example.COM\r\n", "ann@example.com"),
            ("ann+tag@example.com", "ann+tag@example.com"),
            ("ＡＮＮ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ann@example.com"),
            ("ann@example。com", "ann@example.com"),
            ("A\u{30a}sa@example.com", "\u{e5}sa@example.com"),
            ("\u{212b}sa@example.com", "\u{e5}sa@example.com"),
            ("ΣΑΣ@example.com", "σασ@example.com"),
            ("İ@example.com", "i\u{307}@example.com"),
            ("ann@Bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@bu\u{308}cher.example", "ann@xn--bcher-kva.example"),
            ("ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"),
            ("o'hara/x=y@sub.example.co.uk", "o'hara/x=y@sub.example.co.uk"),
            ("देव@example.com", "देव@example.com"),
        ];
        for (text, expected) in same {
            assert_eq!(address(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_was_expected() {
        use BadEmailAddress::{BadDomain, BadLocalPart, NotOneAt, TooLong};
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long_domain = format!("a@{}com", format!("{}.", "b".repeat(60)).repeat(5));
        let enormous = "a".repeat(1 << 20);
        let refused = [
            ("", NotOneAt),
            ("ann", NotOneAt),
            ("@example.com", NotOneAt),
            ("ann@", NotOneAt),
            ("ann@b@example.com", NotOneAt),
            ("ann＠b@example.com", NotOneAt),
            (".ann@example.com", BadLocalPart),
            ("ann.@example.com", BadLocalPart),
            ("an..n@example.com", BadLocalPart),
            ("an n@example.com", BadLocalPart),
            ("an\u{a0}n@example.com", BadLocalPart),
            ("an\nn@example.com", BadLocalPart),
            ("an\0n@example.com", BadLocalPart),
            ("\"ann\"@example.com", BadLocalPart),
            ("ann(comment)@example.com", BadLocalPart),
            ("ann,bob@example.com", BadLocalPart),
            ("<ann@example.com", BadLocalPart),
            ("an\u{200b}n@example.com", BadLocalPart),
            ("an\u{202e}n@example.com", BadLocalPart),
            ("an\u{3164}n@example.com", BadLocalPart),
            ("an\u{fe0f}n@example.com", BadLocalPart),
            ("an\u{1f980}@example.com", BadLocalPart),
            ("\u{301}ann@example.com", BadLocalPart),
            ("\u{a8}ann@example.com", BadLocalPart),
            ("\u{37a}ann@example.com", BadLocalPart),
            ("ann@example", BadDomain),
            ("ann@localhost", BadDomain),
            ("ann@.example.com", BadDomain),
            ("ann@example.com.", BadDomain),
            ("ann@example..com", BadDomain),
            ("ann@-example.com", BadDomain),
            ("ann@exam ple.com", BadDomain),
            ("ann@exam_ple.com", BadDomain),
            ("ann@example.com\r\nbcc: b", BadDomain),
            ("ann@example.com>", BadDomain),
            ("ann@127.0.0.1", BadDomain),
            ("ann@[127.0.0.1]", BadDomain),
            ("ann@xn--zzzzzzzzzz-.example", BadDomain),
            (&long_local, TooLong),
            (&long_domain, BadDomain),
            (&enormous, TooLong),
        ];
        for (text, expected) in refused {
            assert_eq!(EmailAddress::new(text), Err(expected), "{:?}", text.get(..40).unwrap_or(text));
        }
    }

    #[test]
    fn the_longest_address_is_254_bytes() {
        let of = |length: usize| {
            let labels = format!("{}.", "b".repeat(61)).repeat(3);
            let last = "c".repeat(length - 64 - 1 - labels.len());
            EmailAddress::new(&format!("{}@{labels}{last}", "a".repeat(64)))
        };
        // Labels end at 63 bytes, so three of 61 and a short one reach the limit.
        assert_eq!(of(252).unwrap().as_str().len(), 252);
        assert!(of(254).unwrap().as_str().len() == 254 && of(255).is_err());
    }

    #[test]
    fn it_is_shown_masked_or_not_at_all() {
        let ann = EmailAddress::new("ann@example.com").unwrap();
        assert_eq!(ann.masked(), "a***@e***");
        assert_eq!((ann.local_part(), ann.domain()), ("ann", "example.com"));
        assert_eq!(EmailAddress::new("øre@bücher.example").unwrap().masked(), "ø***@b***");
        assert_eq!(format!("{ann:?}"), "EmailAddress(…)");
    }

    #[test]
    fn serde_normalises_and_checks_and_its_errors_do_not_quote() {
        let ann: EmailAddress = serde_json::from_str("\" ANN@example.com \"").unwrap();
        assert_eq!(serde_json::to_string(&ann).unwrap(), "\"ann@example.com\"");
        for bad in ["ann at example.com", "a secret@example.com", "ann@secret"] {
            let error = serde_json::from_value::<EmailAddress>(bad.into()).unwrap_err().to_string();
            assert!(error.contains("an e-mail address") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn every_letter_is_folded_at_once() {
        for letter in ('\0'..'\u{20000}').map(String::from) {
            let once = folded(&letter);
            assert_eq!(folded(&once), once, "{letter:?}");
        }
    }

    fn local() -> impl Strategy<Value = String> {
        prop_oneof!["[a-zA-Z0-9.+_-]{1,20}", "[\\p{Alphabetic}\\p{M}.]{1,12}"]
    }

    fn domain() -> impl Strategy<Value = String> {
        prop_oneof!["[a-zA-Z0-9.-]{1,20}\\.[a-zA-Z]{2,4}", "[\\p{Alphabetic}]{1,8}\\.[\\p{Alphabetic}]{2,4}"]
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>(), local in any::<String>(), domain in any::<String>()) {
            for text in [text, format!("{local}@{domain}"), format!("a@{domain}.com")] {
                let _ = EmailAddress::new(&text);
            }
        }

        #[test]
        fn an_address_is_its_own_spelling(local in local(), domain in domain()) {
            if let Ok(once) = EmailAddress::new(&format!("{local}@{domain}")) {
                prop_assert_eq!(EmailAddress::new(once.as_str()), Ok(once.clone()));
                prop_assert!(once.as_str().len() <= ADDRESS_BYTES_MAX && once.local_part().len() <= LOCAL_BYTES_MAX);
                prop_assert!(once.domain().is_ascii() && once.domain().contains('.'));
                prop_assert!(!once.as_str().chars().any(|c| c.is_control() || c.is_whitespace()));
                prop_assert!(once.masked().ends_with("***") && once.masked().chars().count() == 9);
            }
        }

        #[test]
        fn all_normal_forms_and_cases_of_an_address_are_equal(local in local(), domain in domain()) {
            let text = format!("{local}@{domain}");
            let address = EmailAddress::new(&text);
            let spellings = [
                text.nfc().collect::<String>(),
                text.nfd().collect(),
                text.nfkc().collect(),
                text.nfkd().collect(),
                text.chars().flat_map(char::to_lowercase).collect(),
                text.to_ascii_uppercase(),
                format!("\t{text} "),
            ];
            for spelling in spellings {
                prop_assert_eq!(EmailAddress::new(&spelling), address.clone());
            }
        }
    }
}
