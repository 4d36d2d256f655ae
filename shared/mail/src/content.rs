//! What letters say: one type for each template, with what its sentences need.

use std::fmt;
use std::str::FromStr;

use access::Timestamp;

use crate::{Code, InviteCode, Link, Name};

/// One of the templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Template {
    ConfirmCode,
    ResetPassword,
    PasswordChanged,
    AccountExists,
    Welcome,
    ReferralInvite,
    WeeklyPoints,
}

/// Lists the names there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected confirm-code, reset-password, password-changed, account-exists, welcome, referral-invite or weekly-points"
)]
pub struct UnknownTemplate;

impl Template {
    pub const ALL: [Self; 7] = [
        Self::ConfirmCode,
        Self::ResetPassword,
        Self::PasswordChanged,
        Self::AccountExists,
        Self::Welcome,
        Self::ReferralInvite,
        Self::WeeklyPoints,
    ];

    /// Letters and hyphens: `confirm-code`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfirmCode => "confirm-code",
            Self::ResetPassword => "reset-password",
            Self::PasswordChanged => "password-changed",
            Self::AccountExists => "account-exists",
            Self::Welcome => "welcome",
            Self::ReferralInvite => "referral-invite",
            Self::WeeklyPoints => "weekly-points",
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Template {
    type Err = UnknownTemplate;

    fn from_str(name: &str) -> Result<Self, UnknownTemplate> {
        Self::ALL.into_iter().find(|template| template.name() == name).ok_or(UnknownTemplate)
    }
}

/// A template and what is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    ConfirmCode(ConfirmCode),
    ResetPassword(ResetPassword),
    PasswordChanged(PasswordChanged),
    AccountExists(AccountExists),
    Welcome(Welcome),
    ReferralInvite(ReferralInvite),
    WeeklyPoints(WeeklyPoints),
}

impl Content {
    pub const fn template(&self) -> Template {
        match self {
            Self::ConfirmCode(_) => Template::ConfirmCode,
            Self::ResetPassword(_) => Template::ResetPassword,
            Self::PasswordChanged(_) => Template::PasswordChanged,
            Self::AccountExists(_) => Template::AccountExists,
            Self::Welcome(_) => Template::Welcome,
            Self::ReferralInvite(_) => Template::ReferralInvite,
            Self::WeeklyPoints(_) => Template::WeeklyPoints,
        }
    }

    /// How not to get such letters any more; nothing for those that belong to an account.
    pub const fn unsubscribe(&self) -> Option<&Unsubscribe> {
        match self {
            Self::ReferralInvite(letter) => Some(&letter.unsubscribe),
            Self::WeeklyPoints(letter) => Some(&letter.unsubscribe),
            _ => None,
        }
    }
}

/// How not to get letters of this sort any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Signed, so that it needs no signing in.
    pub link: Link,
    /// Whether the link also takes the POST by which a mail program unsubscribes on its own (RFC 8058).
    pub one_click: bool,
}

/// To an address that signs up: the code that proves it is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmCode {
    pub code: Code,
    pub valid_minutes: u32,
}

/// To somebody who forgot their password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetPassword {
    pub code: Code,
    pub valid_minutes: u32,
    /// Where code and new password are entered.
    pub page: Link,
}

/// To the owner of an account whose password is another now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordChanged {
    pub changed_at: Timestamp,
    /// Where an owner who did not do it takes the account back.
    pub reset: Link,
}

/// To the owner of an account with whose address somebody tried to sign up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountExists {
    pub sign_in: Link,
    pub reset: Link,
}

/// To a new member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    pub invite_code: InviteCode,
    /// How many may join with it.
    pub places: u32,
    /// Where to begin.
    pub page: Link,
}

/// To somebody whom a member invites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferralInvite {
    /// The member as the member wants to be called; nothing is "A member".
    pub invited_by: Option<Name>,
    pub invite_code: InviteCode,
    /// Where to sign up, with the code filled in.
    pub join: Link,
    pub expires_at: Timestamp,
    pub unsubscribe: Unsubscribe,
}

/// To a member, every week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeeklyPoints {
    /// The end of the seven days.
    pub until: Timestamp,
    pub points: u64,
    /// Now minus then.
    pub points_difference: i64,
    /// From 1.
    pub rank: u64,
    /// How many have a rank.
    pub ranked: u64,
    /// Now minus then: negative is climbed.
    pub rank_difference: i64,
    /// How many joined with the member's code.
    pub invited: u32,
    /// How many may.
    pub places: u32,
    pub page: Link,
    pub unsubscribe: Unsubscribe,
}

macro_rules! from_letters {
    ($($name:ident)*) => {
        $(impl From<$name> for Content {
            fn from(letter: $name) -> Self {
                Self::$name(letter)
            }
        })*
    };
}

from_letters! { ConfirmCode ResetPassword PasswordChanged AccountExists Welcome ReferralInvite WeeklyPoints }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_found_by_its_name_only() {
        for template in Template::ALL {
            assert_eq!(template.name().parse(), Ok(template));
            assert!(UnknownTemplate.to_string().contains(template.name()));
            assert!(template.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        }
        for unknown in ["", "Welcome", "welcome.html", "../welcome"] {
            assert_eq!(unknown.parse::<Template>(), Err(UnknownTemplate));
        }
    }
}
