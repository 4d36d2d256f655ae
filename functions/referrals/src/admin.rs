use access::messages::{AccountLetter, RebuildStandings, SendMail};
use access::{AccessError, EmailAddress, EnqueueError, Ids, Kind, Transacted, Write};
use api::{ApiError, Caller, Fault};
use app::App;
use identity::{NewUser, Password, PoolError, UserId};
use mail::Outgoing;
use members::PlacesSet;
use serde::{Deserialize, Serialize};

use crate::list_letters::{UnmarkedLetter, unmarked};
use crate::member::MemberView;

/// What an operator asks for: `{"command":"create-user","email":"ann@example.org"}`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Command {
    /// A confirmed account that is a member without anybody's code.
    CreateUser {
        email: EmailAddress,
        /// Without one nobody knows it, and its owner sets one as for a forgotten one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
    },
    /// How many may join with a member's code in all.
    SetPlaces {
        user: Who,
        total: u32,
    },
    DisableCode {
        user: Who,
    },
    EnableCode {
        user: Who,
    },
    /// Ranks all members anew, now. A worker does it, at most once a minute.
    RebuildStandings,
    /// Letters that were set out for and never marked, oldest first, a page of them.
    ReconcileMail {
        /// Younger ones may be under way.
        #[serde(default = "some_minutes")]
        older_than_seconds: u32,
        /// `nextCursor` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// The letter has arrived: it is listed no more.
    MarkSent {
        letter: String,
    },
    /// The letter was not sent: it is, now.
    Release {
        letter: String,
    },
}

const fn some_minutes() -> u32 {
    300
}

/// A page of letters stays below what a function may answer.
const LETTERS_AT_ONCE: u32 = 1000;

/// A member by account id or by address. `Debug` shows neither.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Who(pub String);

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Done {
    Member(MemberView),
    Queued {
        /// Ask for it at `/v1/jobs/{job}`.
        job: String,
    },
    #[serde(rename_all = "camelCase")]
    Letters {
        letters: Vec<UnmarkedLetter>,
        /// Null on the last page.
        next_cursor: Option<String>,
    },
    Letter {
        letter: String,
        /// `marked` or `released`.
        outcome: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("{0}")]
    Password(identity::PasswordRefused),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("nothing was queued: {0}")]
    Enqueue(#[from] EnqueueError),
    #[error("There is no such member.")]
    UnknownMember,
    #[error("Expected no less than the {used} used already. Disable the code instead.")]
    BelowUsed { used: u32 },
    #[error("No letter with this key waits to be decided on.")]
    UnknownLetter,
    #[error("Nothing is known of what the letter says; mark it instead.")]
    NothingToSend,
}

impl Fault for AdminError {
    fn kind(&self) -> Kind {
        match self {
            Self::Password(_) => Kind::Invalid,
            Self::Pool(error) => error.kind(),
            Self::Access(error) => error.kind(),
            Self::Enqueue(_) => Kind::Unavailable,
            Self::UnknownMember | Self::UnknownLetter => Kind::NotFound,
            Self::BelowUsed { .. } | Self::NothingToSend => Kind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Password(_) => "password_refused",
            Self::Pool(error) => error.code(),
            Self::Access(_) => "unavailable",
            Self::Enqueue(_) => "queue_unavailable",
            Self::UnknownMember => "not_a_member",
            Self::BelowUsed { .. } => "below_used",
            Self::UnknownLetter => "unknown_letter",
            Self::NothingToSend => "nothing_to_send",
        }
    }
}

/// Only members of the group `admin` go on.
pub(crate) fn only_admins(caller: &Caller) -> Result<(), ApiError> {
    match caller.groups.iter().any(|group| group == "admin") {
        true => Ok(()),
        false => Err(ApiError::new(Kind::Forbidden, "not_allowed", "Only the group admin may do this.")),
    }
}

/// Does what an operator asks for: the one way, from the command line, by direct invocation, and over HTTP. Again, it
/// changes nothing more.
pub async fn carry_out(app: &App, command: Command) -> Result<Done, AdminError> {
    Ok(match command {
        Command::CreateUser { email, password } => Done::Member(create_user(app, &email, password).await?),
        Command::SetPlaces { user, total } => Done::Member(set_places(app, &found(app, &user).await?, total).await?),
        Command::DisableCode { user } => Done::Member(set_validity(app, &found(app, &user).await?, false).await?),
        Command::EnableCode { user } => Done::Member(set_validity(app, &found(app, &user).await?, true).await?),
        Command::RebuildStandings => {
            let day = app.clock.now().day();
            let key = format!("{day}/{}", app.clock.now().seconds() / 60);
            Done::Queued { job: app.jobs.enqueue(&key, &RebuildStandings { day }).await?.view.job }
        }
        Command::ReconcileMail { older_than_seconds, cursor } => {
            let page = unmarked(app, older_than_seconds, cursor.as_deref(), LETTERS_AT_ONCE).await?;
            Done::Letters { letters: page.items, next_cursor: page.next_cursor }
        }
        Command::MarkSent { letter } => mark_sent(app, letter).await?,
        Command::Release { letter } => release(app, letter).await?,
    })
}

/// An account that is confirmed, and its member's rows. For an address that has an account already the password stays
/// and only missing rows are made.
pub(crate) async fn create_user(
    app: &App,
    email: &EmailAddress,
    password: Option<String>,
) -> Result<MemberView, AdminError> {
    let password = Password::new(password.unwrap_or_else(|| nobodys(&*app.ids))).map_err(AdminError::Password)?;
    let user = NewUser { email: email.clone(), password, password_is_temporary: false };
    let sub: UserId = match app.users.create_user(&user).await {
        Ok(sub) => sub,
        Err(PoolError::UserExists) => app.users.find(email).await?.ok_or(PoolError::UnknownUser)?.sub,
        Err(error) => return Err(error.into()),
    };
    app.members.create_member(sub.as_str(), Some(email)).await?;
    // An account that was deleted has no rows, and gets none back.
    Ok(app.members.find(sub.as_str()).await?.ok_or(PoolError::UnknownUser)?.into())
}

/// 256 random bits that are written down nowhere.
fn nobodys(ids: &dyn Ids) -> String {
    let mut bytes = [0; 32];
    ids.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn set_places(app: &App, user: &str, total: u32) -> Result<MemberView, AdminError> {
    match app.members.set_places(user, total).await? {
        PlacesSet::Done(member) => Ok(member.into()),
        PlacesSet::UnknownMember => Err(AdminError::UnknownMember),
        PlacesSet::BelowUsed(member) => Err(AdminError::BelowUsed { used: member.referrals_used }),
    }
}

pub(crate) async fn set_validity(app: &App, user: &str, valid: bool) -> Result<MemberView, AdminError> {
    let member = match valid {
        true => app.members.enable_code(user).await?,
        false => app.members.disable_code(user).await?,
    };
    Ok(member.ok_or(AdminError::UnknownMember)?.into())
}

async fn found(app: &App, Who(user): &Who) -> Result<String, AdminError> {
    if !user.contains('@') {
        return Ok(user.clone());
    }
    let email = EmailAddress::new(user).map_err(|_| AdminError::UnknownMember)?;
    Ok(app.users.find(&email).await?.ok_or(AdminError::UnknownMember)?.sub.to_string())
}

/// A letter that is claimed and not marked, and what it was asked for with.
async fn open_letter(app: &App, key: &str) -> Result<(Outgoing, Option<SendMail>), AdminError> {
    // A receipt in the same table has another shape.
    let outgoing = app.ledger.find(key).await.ok().flatten().filter(|outgoing| outgoing.open.is_some());
    let outgoing = outgoing.ok_or(AdminError::UnknownLetter)?;
    let message = outgoing.message.as_ref().and_then(|text| serde_json::from_str(text).ok());
    Ok((outgoing, message))
}

async fn mark_sent(app: &App, letter: String) -> Result<Done, AdminError> {
    let (_, message) = open_letter(app, &letter).await?;
    let invite = match &message {
        Some(SendMail { user, letter: AccountLetter::ReferralInvite { invite }, .. }) => {
            Some(app.members.sent_invite(user, invite, None)?)
        }
        _ => None,
    };
    settle(app, app.ledger.mark(&letter, None)?, invite).await?;
    Ok(Done::Letter { letter, outcome: "marked".to_owned() })
}

async fn release(app: &App, letter: String) -> Result<Done, AdminError> {
    let (outgoing, message) = open_letter(app, &letter).await?;
    let message = message.ok_or(AdminError::NothingToSend)?;
    let invite = match &message.letter {
        AccountLetter::ReferralInvite { invite } => Some(app.members.requeue_invite(&message.user, invite)?),
        _ => None,
    };
    settle(app, app.ledger.give_back(&letter)?, invite).await?;
    let key = format!("{letter}/released/{}", outgoing.claimed_at);
    if let Err(error) = app.jobs.enqueue(&key, &message).await {
        // So that it stays listed.
        let kept = std::time::Duration::from_secs(outgoing.expires_at.saturating_sub(outgoing.claimed_at / 1000));
        let mut writes = vec![app.ledger.claim(&letter, outgoing.message, kept)?];
        if let AccountLetter::ReferralInvite { invite } = &message.letter {
            writes.push(app.members.sending_invite(&message.user, invite)?);
        }
        app.ledger.commit(writes).await?;
        return Err(error.into());
    }
    Ok(Done::Letter { letter, outcome: "released".to_owned() })
}

/// Both, or the letter alone when its invitation was withdrawn or is settled.
async fn settle(app: &App, letter: Write, invite: Option<Write>) -> Result<(), AdminError> {
    let mut writes = vec![letter];
    writes.extend(invite);
    loop {
        match app.ledger.commit(writes.clone()).await? {
            Transacted::Done => return Ok(()),
            Transacted::Unmet(unmet) if unmet.write > 0 => writes.truncate(1),
            Transacted::Unmet(_) => return Err(AdminError::UnknownLetter),
        }
    }
}
