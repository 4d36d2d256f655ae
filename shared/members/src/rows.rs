use access::tables::{REFERRAL_CODES, REFERRALS, SIGNUPS, Table, USERS};
use access::{AccessError, Row, Timestamp, Unique};
use serde::{Deserialize, Serialize};

use crate::ReferralCode;

/// Somebody who belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account's id.
    pub user: String,
    pub referral_code: ReferralCode,
    /// How many may join with the code in all.
    pub total_referrals: u32,
    /// How many have.
    pub referrals_used: u32,
    /// Not disabled.
    pub referral_is_valid: bool,
    /// Whose code the member came with; nobody's, or that account is deleted: `None`.
    pub invited_by: Option<String>,
    pub points: u64,
    pub time_created: Timestamp,
    /// What others see of the member's address: `a***@e***`. Nothing of members from before it was kept.
    pub shown_as: Option<String>,
}

impl Member {
    pub const fn referrals_remaining(&self) -> u32 {
        self.total_referrals.saturating_sub(self.referrals_used)
    }

    /// Whether somebody could join with the code now.
    pub const fn has_invites(&self) -> bool {
        self.referral_is_valid && self.referrals_remaining() > 0
    }
}

/// The row of table `users`: a member's, or what is left of one whose account is deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserRow {
    pub(crate) user: String,
    pub(crate) referral_code: Option<ReferralCode>,
    pub(crate) total_referrals: u32,
    pub(crate) referrals_used: u32,
    pub(crate) referral_is_valid: bool,
    pub(crate) invited_by: Option<String>,
    pub(crate) points: u64,
    pub(crate) time_created: Timestamp,
    #[serde(default)]
    pub(crate) shown_as: Option<String>,
    /// Since when nobody is behind this row.
    pub(crate) forgotten_at: Option<Timestamp>,
    /// Seconds since 1970; forgotten rows only.
    pub(crate) expires_at: Option<u64>,
}

impl Row for UserRow {
    const TABLE: &'static Table = &USERS;
}
impl Unique for UserRow {}

impl UserRow {
    /// `None` when the account is deleted.
    pub(crate) fn into_member(self) -> Result<Option<Member>, AccessError> {
        if self.forgotten_at.is_some() {
            return Ok(None);
        }
        let no_code = || AccessError::Malformed { table: USERS.name, source: "a member without a code".into() };
        Ok(Some(Member {
            referral_code: self.referral_code.ok_or_else(no_code)?,
            user: self.user,
            total_referrals: self.total_referrals,
            referrals_used: self.referrals_used,
            referral_is_valid: self.referral_is_valid,
            invited_by: self.invited_by,
            points: self.points,
            time_created: self.time_created,
            shown_as: self.shown_as,
        }))
    }
}

/// The row of table `referralcodes`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CodeRow {
    pub(crate) user: String,
}

impl Row for CodeRow {
    const TABLE: &'static Table = &REFERRAL_CODES;
}
impl Unique for CodeRow {}

/// Somebody who joined with a member's code: the row of table `referrals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referral {
    /// The invitee's account id, or a name that leads to nobody: see [`Referral::is_forgotten`].
    pub invited_user: String,
    /// When the invitee joined.
    pub timestamp: Timestamp,
    pub confirmed: bool,
}

impl Row for Referral {
    const TABLE: &'static Table = &REFERRALS;
}

/// Before the random name of an invitee whose account is deleted. No account id has a colon.
const FORGOTTEN: &str = "forgotten:";

impl Referral {
    /// Whether the invitee's account is deleted. The place stays used.
    pub fn is_forgotten(&self) -> bool {
        self.invited_user.starts_with(FORGOTTEN)
    }

    pub(crate) fn forgotten(self, name: &str) -> Self {
        Self { invited_user: format!("{FORGOTTEN}{name}"), ..self }
    }
}

/// The row of table `signups`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignupRow {
    pub(crate) referral_code: ReferralCode,
    /// Seconds since 1970.
    pub(crate) expires_at: u64,
}

impl Row for SignupRow {
    const TABLE: &'static Table = &SIGNUPS;
}
impl Unique for SignupRow {}
