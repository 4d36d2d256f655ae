//! Codes that a letter shows.

use std::fmt;

/// Where a one-time code stands in a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    Digits(Digits),
    /// `{####}`, where Cognito puts a code that we never see.
    Placeholder,
}

/// A one-time code: 4 to 10 ASCII digits. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Digits(String);

/// The code with which somebody joins: 4 to 32 ASCII letters, digits and hyphens, as people read it. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode(String);

/// The text is no code of this sort. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    #[error("a one-time code is 4 to 10 digits")]
    NotDigits,
    #[error("an invite code is 4 to 32 letters, digits and hyphens")]
    NotAnInvite,
}

impl Code {
    pub fn digits(text: &str) -> Result<Self, BadCode> {
        Digits::new(text).map(Self::Digits)
    }
}

impl Digits {
    pub fn new(text: &str) -> Result<Self, BadCode> {
        let fits = (4..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(BadCode::NotDigits) }
    }
}

impl InviteCode {
    pub fn new(text: &str) -> Result<Self, BadCode> {
        let fits =
            (4..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(BadCode::NotAnInvite) }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digits(digits) => &digits.0,
            Self::Placeholder => "{####}",
        })
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_what_people_can_type() {
        assert_eq!(Code::digits("012345").unwrap().to_string(), "012345");
        assert_eq!(Code::Placeholder.to_string(), "{####}");
        assert_eq!(InviteCode::new("ABCD-EFGH").unwrap().to_string(), "ABCD-EFGH");
        for bad in ["", "123", "12345678901", "12345a", "12 345", "１２３４５６", "<b>1</b>"] {
            assert_eq!(Code::digits(bad), Err(BadCode::NotDigits), "{bad}");
        }
        for bad in ["", "ABC", "ABCD EFGH", "ABCD\nEFGH", "<b>ABCD</b>", "ÄBCD", &"A".repeat(33)] {
            assert_eq!(InviteCode::new(bad), Err(BadCode::NotAnInvite), "{bad}");
        }
    }

    #[test]
    fn debug_hides_codes() {
        assert_eq!(format!("{:?}", Code::digits("123456").unwrap()), "Digits(…)");
        assert_eq!(format!("{:?}", InviteCode::new("ABCD-EFGH").unwrap()), "InviteCode(…)");
    }
}
