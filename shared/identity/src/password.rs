//! What a person may choose as a password, and what is typed to sign in.

use std::fmt;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;
use zxcvbn::matching::patterns::MatchPattern;

/// The shortest password that may be chosen, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 10;

/// The longest password, in characters. Cognito takes no longer ones.
pub const PASSWORD_CHARACTERS_MAX: usize = 256;

/// Nothing longer is on a list of common passwords, and the search in the lists grows faster than its text.
const COMMON_CHARACTERS_MAX: usize = 40;

/// What is one pattern from end to end and found within so many guesses is as good as on a list.
const GUESSES_MIN: u64 = 1_000_000;

/// A password somebody chooses: 10 to 256 characters, none of the most common ones, no other rules but Cognito's own:
/// no white space at either end, no control characters. Characters that can be written in several ways are brought to
/// one (Unicode NFC), so that another keyboard types the same password.
///
/// Never shown by `Debug`, never serialised, overwritten when dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Password(Zeroizing<String>);

/// What is typed as a password where one exists already. Any text: what cannot be a password is a wrong one.
///
/// Never shown by `Debug`, never serialised, overwritten when dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct PasswordAttempt(Zeroizing<String>);

/// Why a password cannot be chosen. `Display` is a constant sentence, safe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PasswordRefused {
    #[error("A password has at least {PASSWORD_CHARACTERS_MIN} characters.")]
    TooShort,
    #[error("A password has at most {PASSWORD_CHARACTERS_MAX} characters.")]
    TooLong,
    #[error("A password does not begin or end with a space and holds no control characters.")]
    Unusable,
    #[error("This password is one of those that are tried first. Choose another.")]
    TooCommon,
    /// The pool has a rule of its own beyond ours, or remembers that it was used before.
    #[error("This password cannot be used here. Choose another.")]
    ByPool,
}

impl PasswordRefused {
    /// Stable, snake case: for clients.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort => "password_too_short",
            Self::TooLong => "password_too_long",
            Self::Unusable => "password_unusable",
            Self::TooCommon => "password_too_common",
            Self::ByPool => "password_refused",
        }
    }
}

impl Password {
    pub fn new(text: impl Into<String>) -> Result<Self, PasswordRefused> {
        let text = one_spelling(text.into());
        if let Some(refused) = refused_by_form(&text) {
            return Err(refused);
        }
        if text.chars().count() < PASSWORD_CHARACTERS_MIN {
            return Err(PasswordRefused::TooShort);
        }
        if is_common(&text) { Err(PasswordRefused::TooCommon) } else { Ok(Self(text)) }
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl PasswordAttempt {
    pub fn new(text: impl Into<String>) -> Self {
        Self(one_spelling(text.into()))
    }

    /// The text, unless no pool could have it as a password.
    pub(crate) fn reveal(&self) -> Option<&str> {
        (!self.0.is_empty() && refused_by_form(&self.0).is_none()).then_some(self.0.as_str())
    }
}

impl TryFrom<String> for Password {
    type Error = PasswordRefused;

    fn try_from(text: String) -> Result<Self, PasswordRefused> {
        Self::new(text)
    }
}

impl From<String> for PasswordAttempt {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Whoever has just chosen a password can sign in with it.
impl From<&Password> for PasswordAttempt {
    fn from(password: &Password) -> Self {
        Self(password.0.clone())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl fmt::Debug for PasswordAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordAttempt")
    }
}

fn one_spelling(text: String) -> Zeroizing<String> {
    let text = Zeroizing::new(text);
    if text.is_ascii() {
        return text;
    }
    // Room for the longest form (Unicode Annex 15): a string that grows leaves copies of itself behind.
    let mut normal = Zeroizing::new(String::with_capacity(text.len() * 3));
    normal.extend(text.nfc());
    normal
}

fn refused_by_form(text: &str) -> Option<PasswordRefused> {
    let at_an_end = |found: Option<char>| found.is_some_and(char::is_whitespace);
    if text.chars().count() > PASSWORD_CHARACTERS_MAX {
        Some(PasswordRefused::TooLong)
    } else if at_an_end(text.chars().next()) || at_an_end(text.chars().last()) || text.contains(char::is_control) {
        Some(PasswordRefused::Unusable)
    } else {
        None
    }
}

/// Whether the whole of it is one entry of the lists of common passwords, words and names (in capitals, backwards or
/// with the usual digits for letters too), or one run of keys, characters or repeats that is as soon found.
fn is_common(text: &str) -> bool {
    if text.chars().count() > COMMON_CHARACTERS_MAX {
        return false;
    }
    let estimate = zxcvbn::zxcvbn(text, &[]);
    match estimate.sequence() {
        [whole] => match whole.pattern {
            MatchPattern::Dictionary(_) => true,
            MatchPattern::BruteForce => false,
            _ => estimate.guesses() < GUESSES_MIN,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> Option<PasswordRefused> {
        Password::new(text).err()
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(refused("kTf9$wq2Z"), Some(PasswordRefused::TooShort));
        assert_eq!(refused("kTf9$wq2Zu"), None);
        assert_eq!(refused("žluťoučký!"), None);
        assert_eq!(refused(&"🦀é".repeat(128)), None);
        assert_eq!(refused(&"🦀é".repeat(129)), Some(PasswordRefused::TooLong));
        assert_eq!(refused(""), Some(PasswordRefused::TooShort));
    }

    #[test]
    fn no_kind_of_character_is_asked_for() {
        for fine in ["zorble quasp fim", "teakettle moonbase", "8302957146 0284", "отличный пароль у меня"]
        {
            assert_eq!(refused(fine), None, "{fine}");
        }
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for common in [
            "1234567890",
            "qwertyuiop",
            "QWERTYUIOP",
            "poiuytrewq",
            "basketball",
            "Basketball",
            "b4sk3tb4ll",
            "llabteksab",
            "aaaaaaaaaa",
            "abcdefghijkl",
            "passwordpassword",
            "123123123123",
            "0987654321",
            "christopher",
        ] {
            assert_eq!(refused(common), Some(PasswordRefused::TooCommon), "{common}");
        }
    }

    #[test]
    fn what_cognito_could_not_take_is_refused() {
        for bad in [" kTf9$wq2Zu", "kTf9$wq2Zu\t", "kTf9$\nwq2Zu", "kTf9$wq2Zu\u{2003}", "kTf9\0$wq2Zu"] {
            assert_eq!(refused(bad), Some(PasswordRefused::Unusable), "{bad:?}");
        }
        assert_eq!(refused("kTf9 $wq 2Zu"), None);
    }

    #[test]
    fn one_password_has_one_spelling() {
        let composed = Password::new("caf\u{e9} mit Kuchen").unwrap();
        let decomposed = Password::new("cafe\u{301} mit Kuchen").unwrap();
        assert!(composed == decomposed);
        assert!(PasswordAttempt::new("cafe\u{301} mit Kuchen") == PasswordAttempt::from(&composed));
    }

    #[test]
    fn an_attempt_is_any_text_but_only_a_possible_password_is_tried() {
        assert_eq!(PasswordAttempt::new("short").reveal(), Some("short"));
        for impossible in ["", " x", "a\0b", &"x".repeat(257)] {
            assert_eq!(PasswordAttempt::new(impossible).reveal(), None, "{impossible:?}");
        }
    }

    #[test]
    fn neither_shows_in_debug_output_or_in_an_error() {
        let text = "kTf9$wq2Zu";
        let shown = format!("{:?} {:?}", Password::new(text).unwrap(), PasswordAttempt::new(text));
        assert_eq!(shown, "Password PasswordAttempt");
        let error = serde_json::from_str::<Password>("\"1234567890\"").unwrap_err().to_string();
        assert!(!error.contains("12345"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_and_taking_it_twice_changes_nothing(text in ".{0,300}") {
            if let Ok(password) = Password::new(text.clone()) {
                prop_assert!(PasswordAttempt::new(text) == PasswordAttempt::from(&password));
                prop_assert!(Password::new(password.reveal()).unwrap() == password);
            }
        }

        #[test]
        fn random_text_is_not_taken_for_a_common_password(text in "[a-zA-Z0-9]{16,256}") {
            prop_assert!(Password::new(text).is_ok());
        }
    }
}
