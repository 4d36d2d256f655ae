use members::Member;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A member's code and its places.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Member)]
pub struct MemberView {
    /// The account's id.
    #[schema(example = "5f0c2f6e-8f0a-4c58-9c1e-0b6a2f6c9d11")]
    pub user: String,
    #[schema(example = "7K3F-9QXB")]
    pub referral_code: String,
    /// How many may join with the code in all.
    #[schema(example = 10)]
    pub total_referrals: u32,
    #[schema(example = 3)]
    pub referrals_used: u32,
    #[schema(example = 7)]
    pub referrals_remaining: u32,
    /// Not disabled.
    #[schema(example = true)]
    pub referral_is_valid: bool,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            referral_code: member.referral_code.to_string(),
            total_referrals: member.total_referrals,
            referrals_used: member.referrals_used,
            referrals_remaining: member.referrals_remaining(),
            referral_is_valid: member.referral_is_valid,
            user: member.user,
        }
    }
}
