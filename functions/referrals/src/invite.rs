use access::Timestamp;
use members::{Invite, InviteState};
use serde::Serialize;
use utoipa::ToSchema;

/// An invitation by mail. Times are milliseconds since 1970.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invite)]
pub(crate) struct InviteView {
    /// For DELETE `/v1/referrals/invites/{invite}`.
    #[schema(example = "3v9n1c8zkqf2m7x5t0w4h6j1ab")]
    invite: String,
    /// As much of the address as is shown.
    #[schema(example = "b***@e***")]
    address: String,
    /// `queued`, `sent`, `bounced`, `accepted` or `expired`. What an address that is a member, has asked for no
    /// invitations or was invited by somebody else lately gets is nothing; it says `sent` all the same.
    #[schema(example = "sent")]
    state: &'static str,
    #[schema(example = 1_795_000_000_000_u64)]
    created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_795_000_001_000_u64, required = false)]
    sent_at: Option<u64>,
    #[schema(example = 1_797_592_000_000_u64)]
    expires_at: u64,
}

impl InviteView {
    pub(crate) fn of(invite: &Invite, now: Timestamp) -> Self {
        let state = match invite.state_at(now) {
            InviteState::Queued | InviteState::Sending => "queued",
            InviteState::Sent => "sent",
            InviteState::Bounced => "bounced",
            InviteState::Accepted => "accepted",
            InviteState::Expired => "expired",
        };
        Self {
            invite: invite.invite_id.clone(),
            address: invite.shown_as.clone(),
            state,
            created_at: invite.created_at.millis(),
            sent_at: invite.sent_at.map(Timestamp::millis),
            expires_at: invite.ends_at().millis(),
        }
    }
}
