//! Worker: sends a letter. Claim, send, mark: never twice.

use std::time::Duration;

use access::messages::{AccountLetter, SendMail};
use access::{AccessError, EmailAddress, JobError, Kind, Timestamp, Transacted, Write};
use app::App;
use identity::{PoolUser, UserId};
use mail::{AccountExists, Content, InviteCode, Ledger, Letter, MailError, MessageId, PasswordChanged, Scope, Welcome};
use members::{Member, ReferralCode};
use worker::{Outcome, Run, RunError, Worker};

use crate::{invitation, weekly_points};

pub fn worker() -> Worker<App> {
    Worker::job("letters-send-mail", send_mail)
}

/// How long it is remembered that a letter of an account was sent.
const KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// How long an address that was invited is not invited again, whoever invites.
const INVITATION_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A letter ready to be set out for.
pub(crate) struct Ready {
    pub(crate) letter: Letter,
    /// The invitation it is.
    pub(crate) invite: Option<String>,
}

async fn send_mail(app: App, message: SendMail, run: Run<App>) -> Result<Outcome, RunError> {
    deliver(&app, &message).await?;
    run.finish().await?;
    Ok(Outcome::Done)
}

/// Sends the letter that a message asks for, unless somebody has set out to already: called any number of times, and
/// broken off anywhere, it is sent at most once.
pub async fn deliver(app: &App, message: &SendMail) -> Result<(), RunError> {
    let user = UserId::new(&message.user).map_err(|_| discarded("bad_user", "This is no account's id."))?;
    let ready = match &message.letter {
        AccountLetter::ReferralInvite { invite } => invitation::ready(app, &user, invite).await?,
        letter => to_owner(app, letter, &user).await?,
    };
    if let Some(ready) = ready
        && claim(app, message, &ready).await?
    {
        match app.mailer.send(&ready.letter).await {
            Ok(id) => mark(app, message, &ready, &id).await?,
            Err(error) => return Err(not_sent(app, message, &ready, error).await?),
        }
    }
    Ok(())
}

/// A letter to the owner of an account. Whoever has left is not written to, nor is an address that bounced, nor with the
/// weekly one who does not want it.
async fn to_owner(app: &App, letter: &AccountLetter, user: &UserId) -> Result<Option<Ready>, RunError> {
    let Some(user) = find(app, user).await? else { return Ok(None) };
    let scope = match letter {
        AccountLetter::WeeklyPoints { .. } => Scope::Weekly,
        _ => Scope::All,
    };
    if app.suppressions.holds(&user.email, scope).await? {
        return Ok(None);
    }
    let letter = Letter { to: user.email.clone(), content: content(app, letter, &user).await? };
    Ok(Some(Ready { letter, invite: None }))
}

/// Whether this letter is ours to send. Once somebody has set out to, nobody else will.
async fn claim(app: &App, message: &SendMail, ready: &Ready) -> Result<bool, RunError> {
    let kept = if ready.invite.is_some() { INVITATION_KEPT } else { KEPT };
    let again = serde_json::to_string(message).map_err(|_| discarded("bad_message", "The letter cannot be kept."))?;
    let mut writes = vec![app.ledger.claim(&message.key, Some(again.clone()), kept)?];
    if let Some(invite) = &ready.invite {
        writes.push(app.members.sending_invite(&message.user, invite)?);
    }
    match app.ledger.commit(writes).await? {
        Transacted::Done => Ok(true),
        Transacted::Unmet(unmet) => {
            // Somebody else's invitation was mailed to the address; this one looks as if it had been. Not so when it is
            // this very one that is being sent: should that fail, its message comes again.
            if let Some(invite) = ready.invite.as_ref().filter(|_| unmet.write == 0)
                && Ledger::held_for(&unmet)? != Some(again)
            {
                app.members.withhold_invite(&message.user, invite).await?;
            }
            Ok(false)
        }
    }
}

/// Writes down that the letter was taken; from then on a bounce is matched with its invitation.
async fn mark(app: &App, message: &SendMail, ready: &Ready, id: &MessageId) -> Result<(), RunError> {
    let mark = app.ledger.mark(&message.key, Some(id))?;
    match &ready.invite {
        None => {
            app.ledger.commit(vec![mark]).await?;
        }
        Some(invite) => mark_invitation(app, mark, &message.user, invite, id).await?,
    }
    tracing::info!(message_id = id.0, "a letter was sent");
    Ok(())
}

async fn mark_invitation(app: &App, mark: Write, user: &str, invite: &str, id: &MessageId) -> Result<(), AccessError> {
    // The places of the writes.
    const RECEIPT: usize = 1;
    const INVITE: usize = 2;
    let receipt = app.ledger.receipt(id, user, invite)?;
    let sent = app.members.sent_invite(user, invite, Some(&id.0))?;
    let unmet = match app.ledger.commit(vec![mark.clone(), receipt.clone(), sent]).await? {
        Transacted::Done => return Ok(()),
        Transacted::Unmet(unmet) => unmet,
    };
    match unmet.write {
        // Faster than we are, it has bounced.
        RECEIPT if Ledger::has_bounced(&unmet)? => {
            let returned = app.members.returned_invite(user, invite)?;
            if let Transacted::Unmet(_) = app.ledger.commit(vec![mark.clone(), returned]).await? {
                app.ledger.commit(vec![mark]).await?;
            }
        }
        // Withdrawn or accepted on the way.
        INVITE => {
            app.ledger.commit(vec![mark, receipt]).await?;
        }
        // An operator has decided meanwhile.
        _ => {}
    }
    Ok(())
}

/// A letter that was certainly not taken may be set out for again; one that may have been is left to an operator.
async fn not_sent(app: &App, message: &SendMail, ready: &Ready, error: MailError) -> Result<RunError, RunError> {
    if error.may_have_been_sent() {
        tracing::error!(error = &error as &dyn std::error::Error, "nobody knows whether a letter was sent");
        return Ok(discarded("letter_uncertain", "Nobody knows whether the letter was sent."));
    }
    let mut writes = vec![app.ledger.give_back(&message.key)?];
    if let Some(invite) = &ready.invite {
        writes.push(match error {
            MailError::Rejected { .. } => app.members.returned_invite(&message.user, invite)?,
            _ => app.members.requeue_invite(&message.user, invite)?,
        });
    }
    if let Transacted::Unmet(unmet) = app.ledger.commit(writes.clone()).await?
        && unmet.write > 0
    {
        // Withdrawn while it was under way.
        writes.truncate(1);
        app.ledger.commit(writes).await?;
    }
    Ok(match error {
        MailError::NoSender => {
            tracing::info!("a letter was dropped: there is no address to send from");
            discarded("no_sender", "This deployment has no address to send letters from.")
        }
        error => failed(&error, error.kind()),
    })
}

async fn content(app: &App, letter: &AccountLetter, user: &PoolUser) -> Result<Content, RunError> {
    let pages = &app.settings.pages;
    Ok(match letter {
        AccountLetter::PasswordChanged { at } => {
            PasswordChanged { changed_at: Timestamp(*at), reset: pages.to("forgot-password") }.into()
        }
        AccountLetter::AccountExists => {
            AccountExists { sign_in: pages.to("sign-in"), reset: pages.to("forgot-password") }.into()
        }
        AccountLetter::Welcome => {
            let member = member(app, user.sub.as_str()).await?;
            let invite_code = shown_code(&member.referral_code)?;
            Welcome { invite_code, places: member.total_referrals, page: pages.to("") }.into()
        }
        AccountLetter::WeeklyPoints { .. } => weekly_points::content(app, user).await?,
        AccountLetter::ReferralInvite { .. } => {
            return Err(discarded("bad_letter", "An invitation is not for its member."));
        }
    })
}

pub(crate) async fn find(app: &App, user: &UserId) -> Result<Option<PoolUser>, RunError> {
    app.users.find_by_sub(user).await.map_err(|error| failed(&error, error.kind()))
}

pub(crate) async fn find_by_address(app: &App, email: &EmailAddress) -> Result<Option<PoolUser>, RunError> {
    app.users.find(email).await.map_err(|error| failed(&error, error.kind()))
}

pub(crate) async fn member(app: &App, user: &str) -> Result<Member, RunError> {
    let member = app.members.find(user).await?;
    member.ok_or_else(|| discarded("no_member", "This account is no member."))
}

pub(crate) fn shown_code(code: &ReferralCode) -> Result<InviteCode, RunError> {
    InviteCode::new(&code.to_string()).map_err(|_| discarded("bad_code", "The member's code is none."))
}

pub(crate) fn discarded(code: &str, detail: &str) -> RunError {
    RunError::Discard(JobError::new(Kind::Invalid, code, detail))
}

fn failed(error: &(dyn std::error::Error + 'static), kind: Kind) -> RunError {
    tracing::warn!(error, "a letter could not be sent");
    RunError::of(JobError::new(kind, "mail_unavailable", "The letter could not be sent; it is tried again."))
}
