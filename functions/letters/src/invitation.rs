use app::App;
use identity::{UserId, UserStatus};
use mail::{Letter, Name, ReferralInvite, Scope};
use members::InviteState;
use worker::RunError;

use crate::send_mail::{Ready, discarded, find_by_address, member, shown_code};
use crate::unsubscribe;

/// The letter of an invitation that waits. Nothing to send: it was withdrawn, is settled, or its address gets none now;
/// that one looks as if it had been sent.
pub(crate) async fn ready(app: &App, user: &UserId, invite: &str) -> Result<Option<Ready>, RunError> {
    let Some(invite) = app.members.find_invite(user.as_str(), invite).await? else { return Ok(None) };
    if invite.state_at(app.clock.now()) != InviteState::Queued {
        return Ok(None);
    }
    let inviter = member(app, user.as_str()).await?;
    if !inviter.has_invites() {
        return Err(discarded("no_places_left", "The code has no place left, or was disabled."));
    }
    let to = app.members.address_of(user.as_str(), &invite)?;
    let account = find_by_address(app, &to).await?;
    let is_member = account.is_some_and(|account| account.status != UserStatus::Unconfirmed);
    if is_member || app.suppressions.holds(&to, Scope::Invites).await? {
        app.members.withhold_invite(user.as_str(), &invite.invite_id).await?;
        return Ok(None);
    }
    let content = ReferralInvite {
        invited_by: inviter.shown_as.as_deref().and_then(Name::new),
        invite_code: shown_code(&inviter.referral_code)?,
        join: app.settings.pages.to(&format!("join?code={}", inviter.referral_code)),
        expires_at: invite.ends_at(),
        unsubscribe: unsubscribe::from(app, &to, Scope::Invites),
    };
    Ok(Some(Ready { letter: Letter { to, content: content.into() }, invite: Some(invite.invite_id) }))
}
