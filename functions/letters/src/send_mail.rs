//! Worker: sends a letter to the owner of an account. Claim, send, mark: never twice.

use std::time::Duration;

use access::messages::{AccountLetter, SendMail};
use access::{AccessError, Expression, JobError, Kind, Timestamp};
use app::App;
use identity::{PoolUser, UserId};
use mail::{AccountExists, Content, InviteCode, Letter, MailError, MessageId, PasswordChanged, Welcome};
use worker::{Outcome, Run, RunError, Worker};

use crate::outgoing::{Outgoing, outgoing};
use crate::weekly_points;

pub fn worker() -> Worker<App> {
    Worker::job("letters-send-mail", send_mail)
}

/// How long it is remembered that a letter was sent.
const KEEP: Duration = Duration::from_secs(400 * 24 * 3600);

async fn send_mail(app: App, message: SendMail, run: Run<App>) -> Result<Outcome, RunError> {
    let user = UserId::new(&message.user).map_err(|_| discarded("bad_user", "This is no account's id."))?;
    // Whoever has left is not written to.
    if let Some(user) = app.users.find_by_sub(&user).await.map_err(|error| failed(&error, error.kind()))? {
        // Before the claim: what fails here may be tried again.
        let letter = Letter { to: user.email.clone(), content: content(&app, &message.letter, &user).await? };
        if claim(&app, &message.key).await? {
            match app.mailer.send(&letter).await {
                Ok(id) => mark(&app, &message.key, &id).await?,
                Err(error) => return Err(not_sent(&app, &message.key, error).await?),
            }
        }
    }
    run.finish().await?;
    Ok(Outcome::Done)
}

/// Whether this letter is ours to send. Once somebody has set out to, nobody else will.
async fn claim(app: &App, key: &str) -> Result<bool, RunError> {
    let now = app.clock.now();
    let row = Outgoing {
        letter: key.to_owned(),
        claimed_at: now.millis(),
        sent_at: None,
        message_id: None,
        expires_at: now.plus(KEEP).seconds(),
    };
    match outgoing(app).insert_one(key, &row).await {
        Ok(()) => Ok(true),
        Err(AccessError::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn mark(app: &App, key: &str, id: &MessageId) -> Result<(), RunError> {
    let Timestamp(now) = app.clock.now();
    let change = Expression::new("SET sentAt = :now, messageId = :id").number(":now", now).string(":id", &id.0);
    outgoing(app).update_if(key, None, change, "attribute_exists(letter)").await?;
    tracing::info!(message_id = id.0, "a letter was sent");
    Ok(())
}

/// A letter that was certainly not taken may be set out for again; one that may have been is left to an operator.
async fn not_sent(app: &App, key: &str, error: MailError) -> Result<RunError, RunError> {
    let kind = error.kind();
    if !error.may_have_been_sent() {
        outgoing(app).delete_if(key, None, Expression::new("attribute_not_exists(sentAt)")).await?;
        return Ok(failed(&error, kind));
    }
    tracing::error!(error = &error as &dyn std::error::Error, "nobody knows whether a letter was sent");
    Ok(discarded("letter_uncertain", "Nobody knows whether the letter was sent."))
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
            let member = app.members.find(user.sub.as_str()).await?;
            let member = member.ok_or_else(|| discarded("no_member", "This account is no member."))?;
            let invite_code = InviteCode::new(&member.referral_code.to_string())
                .map_err(|_| discarded("bad_code", "The member's code is none."))?;
            Welcome { invite_code, places: member.total_referrals, page: pages.to("") }.into()
        }
        AccountLetter::WeeklyPoints { week } => weekly_points::content(app, user.sub.as_str(), *week).await?,
    })
}

pub(crate) fn discarded(code: &str, detail: &str) -> RunError {
    RunError::Discard(JobError::new(Kind::Invalid, code, detail))
}

fn failed(error: &(dyn std::error::Error + 'static), kind: Kind) -> RunError {
    tracing::warn!(error, "a letter could not be sent");
    RunError::of(JobError::new(kind, "mail_unavailable", "The letter could not be sent; it is tried again."))
}
