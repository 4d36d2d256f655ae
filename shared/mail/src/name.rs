use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

const CHARS_MAX: usize = 40;

/// What somebody is called, in their own words, made fit for a line that others read: one line, no control or
/// invisible characters, nothing that turns the direction of writing or that a mail program would make a link of, at
/// most 40 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Nothing, when nothing visible is left.
    pub fn new(text: &str) -> Option<Self> {
        // Cut roughly first, so that a book for a name costs no more than a page.
        let visible: String = text.chars().take(64 * CHARS_MAX).map(blank).filter(|c| is_kept(*c)).nfc().collect();
        let one_line = unlinked(&visible.split_whitespace().collect::<Vec<_>>().join(" "));
        let name = cut(&one_line);
        name.contains(char::is_alphanumeric).then_some(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name may be an address.
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(…)")
    }
}

/// What separates words, and slashes, of which addresses of pages are made.
fn blank(c: char) -> char {
    if c.is_control() || c.is_whitespace() || matches!(c, '/' | '\\') { ' ' } else { c }
}

fn is_kept(c: char) -> bool {
    let is_invisible = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    );
    let is_private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
    !is_invisible && !is_private && u32::from(c) & 0xfffe != 0xfffe
}

/// With a blank after each dot inside a word: mail programs make links of `example.com`.
fn unlinked(text: &str) -> String {
    let mut unlinked = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        unlinked.push(letter);
        let is_dot = matches!(letter, '.' | '\u{2024}' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
        if is_dot && letters.peek().is_some_and(|next| !next.is_whitespace()) {
            unlinked.push(' ');
        }
    }
    unlinked
}

/// No letter loses its accents: whole grapheme clusters, and a cluster of a hundred accents is none of them.
fn cut(text: &str) -> String {
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let mut room = CHARS_MAX - 1;
    let fitting = text.graphemes(true).take_while(|grapheme| match room.checked_sub(grapheme.chars().count()) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    });
    let kept: String = fitting.collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> String {
        Name::new(text).map(|name| name.0).unwrap_or_default()
    }

    #[test]
    fn what_people_are_called_stays() {
        for same in ["Ann", "Ann O'Hara-Smith", "Jürgen & Co", "李雷", "אבי כהן", "a***@e***", "Ann <3", "🦀 Ferris"]
        {
            assert_eq!(name(same), same);
        }
    }

    #[test]
    fn a_name_is_one_visible_line() {
        let changed = [
            ("  Ann \t Lee ", "Ann Lee"),
            ("Ann\r\nBcc: bob@example.com", "Ann Bcc: bob@example. com"),
            ("Ann\u{2028}Lee\u{85}Jr", "Ann Lee Jr"),
            ("\u{202e}nnA\u{202c}", "nnA"),
            ("A\u{200b}n\u{feff}n\u{0}", "Ann"),
            ("A\u{30a}sa", "\u{c5}sa"),
            ("\u{e000}Ann\u{ffff}", "Ann"),
            ("J.R. Lee", "J. R. Lee"),
            ("win at https://evil.example/now", "win at https: evil. example now"),
            ("www。evil。example", "www。 evil。 example"),
        ];
        for (text, expected) in changed {
            assert_eq!(name(text), expected, "{text:?}");
        }
        for nothing in ["", " \n", "\u{200b}", "\u{3164}\u{2800}", "***", "\u{202e}"] {
            assert_eq!(Name::new(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn an_over_long_name_is_cut_between_letters() {
        assert_eq!(name(&"a".repeat(40)), "a".repeat(40));
        assert_eq!(name(&"a".repeat(41)), format!("{}…", "a".repeat(39)));
        let accented = "x\u{301}\u{302}".repeat(30);
        assert_eq!(name(&accented), format!("{}…", "x\u{301}\u{302}".repeat(13)));
        let stacked = format!("Ann e{}", "\u{301}".repeat(500));
        assert_eq!(name(&stacked), "Ann…");
        assert_eq!(name(&"ab ".repeat(1_000_000)).chars().count(), 39);
    }

    proptest! {
        #[test]
        fn a_name_is_fit_to_be_shown_whatever_it_was(text in any::<String>()) {
            if let Some(name) = Name::new(&text) {
                prop_assert!(name.0.chars().count() <= CHARS_MAX);
                prop_assert!(name.0.chars().all(|c| is_kept(c) && (c == ' ' || blank(c) == c)));
                prop_assert_eq!(name.0.trim(), name.as_str());
                prop_assert_eq!(Name::new(&name.0), Some(name));
            }
        }
    }
}
