use std::fmt;
use std::time::Duration;

use access::tables::{INVITES, QUOTAS, Table};
use access::{AccessError, Dao, EmailAddress, Expression, Page, Row, Timestamp, Transacted, Unique, Vault, Write};
use serde::{Deserialize, Serialize};

use crate::Members;
use crate::members::IS_MEMBER;
use crate::rows::UserRow;

/// Somebody a member invites by mail: the row of table `invites`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// The same for the same member and address, and telling neither.
    pub invite_id: String,
    /// Sealed. [`Members::address_of`] opens it.
    address: String,
    /// What the member sees of the address: `a***@e***`.
    pub shown_as: String,
    state: InviteState,
    pub created_at: Timestamp,
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// What the mail service calls the letter.
    #[serde(default)]
    pub message_id: Option<String>,
    /// Seconds since 1970: when the row goes.
    expires_at: u64,
}

impl Row for Invite {
    const TABLE: &'static Table = &INVITES;
}

/// Neither the address nor what it is shown as.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite").field("invite_id", &self.invite_id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// How far an invitation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InviteState {
    Queued,
    /// A worker has set out to send it: it may be on its way.
    Sending,
    /// Sent, or an address that gets no invitations now; whoever invites is not told which.
    Sent,
    Bounced,
    /// Somebody signed up with the address and the member's code.
    Accepted,
    /// Nobody has within 30 days. By the clock, in no row.
    Expired,
}

impl InviteState {
    /// As it is in the row.
    const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Bounced => "bounced",
            Self::Accepted => "accepted",
            Self::Expired => "expired",
        }
    }
}

/// What came of inviting an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invited {
    New(Invite),
    /// The member has invited this address before: nothing was written.
    Already(Invite),
    /// Nothing was written.
    Refused(InviteRefusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InviteRefusal {
    NotAMember,
    /// All places of the member's code are used.
    NoPlacesLeft,
    CodeDisabled,
    /// As many as a day allows; until then.
    TooMany {
        next: Timestamp,
    },
}

/// The row of table `quotas`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quota {
    used: u32,
    /// Seconds since 1970.
    expires_at: u64,
}

impl Row for Quota {
    const TABLE: &'static Table = &QUOTAS;
}
impl Unique for Quota {}

/// Addresses a member may invite in a day of UTC.
pub const INVITES_A_DAY: u32 = 20;
/// How long the letter says that it is open.
pub const INVITE_LASTS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a member sees what became of an invitation. Then its address is removed, and may be invited again.
const KEPT: Duration = Duration::from_secs(60 * 24 * 3600);
const DAY_MILLIS: u64 = 24 * 3600 * 1000;

// The writes of an invitation, where of several conditions that do not hold the first counts.
const INVITE: usize = 0;
const QUOTA: usize = 1;

impl Invite {
    pub fn state_at(&self, now: Timestamp) -> InviteState {
        match self.state {
            InviteState::Queued | InviteState::Sending | InviteState::Sent if now >= self.ends_at() => {
                InviteState::Expired
            }
            state => state,
        }
    }

    /// From then on it has expired.
    pub fn ends_at(&self) -> Timestamp {
        self.created_at.plus(INVITE_LASTS)
    }
}

impl Members {
    /// Invites an address, within the day's allowance of a member with places left. The same member and address are one
    /// invitation, however often. All of it in one transaction: of any number at the same time exactly as many pass as
    /// the allowance has.
    pub async fn invite(&self, user: &str, email: &EmailAddress) -> Result<Invited, AccessError> {
        let now = self.clock.now();
        let id = invite_id(&self.vault, user, email);
        let invite = Invite {
            address: self.vault.seal(&place(user, &id), email.as_str(), &*self.ids),
            shown_as: email.masked(),
            state: InviteState::Queued,
            created_at: now,
            sent_at: None,
            message_id: None,
            expires_at: now.plus(KEPT).seconds(),
            invite_id: id,
        };
        // The table removes a row some time after it has expired.
        let free = Expression::new("attribute_not_exists(inviteId) OR expiresAt <= :now").number(":now", now.seconds());
        let has_places =
            Expression::new(format!("{IS_MEMBER} AND referralIsValid = :true AND referralsUsed < totalReferrals"));
        let writes = vec![
            self.invites.put(user, &invite, Some(free))?,
            self.one_of_the_day(user, now)?,
            self.users.check(user, None, has_places.name("#user", "user").bool(":true", true))?,
        ];
        let unmet = match self.commit(writes).await? {
            Transacted::Done => return Ok(Invited::New(invite)),
            Transacted::Unmet(unmet) => unmet,
        };
        match (unmet.write, unmet.row) {
            (INVITE, Some(row)) => Ok(Invited::Already(Dao::read(*row)?)),
            // Withdrawn in this moment; whoever asks again finds it free.
            (INVITE, None) => Err(AccessError::Contended { table: INVITES.name }),
            (QUOTA, _) => {
                let next = Timestamp((now.millis() / DAY_MILLIS + 1) * DAY_MILLIS);
                Ok(Invited::Refused(InviteRefusal::TooMany { next }))
            }
            (_, row) => {
                let member = row.map(|row| Dao::<UserRow>::read(*row)).transpose()?;
                let member = member.map(UserRow::into_member).transpose()?.flatten();
                Ok(Invited::Refused(match member {
                    None => InviteRefusal::NotAMember,
                    Some(member) if !member.referral_is_valid => InviteRefusal::CodeDisabled,
                    Some(_) => InviteRefusal::NoPlacesLeft,
                }))
            }
        }
    }

    /// Whom a member has invited by mail, in the order of their ids.
    ///
    /// # Errors
    /// [`AccessError::BadCursor`] when the cursor is not of this member's list.
    pub async fn invites_of(&self, user: &str, cursor: Option<&str>, limit: u32) -> Result<Page<Invite>, AccessError> {
        self.invites.page(user, cursor, limit).await
    }

    pub async fn find_invite(&self, user: &str, invite: &str) -> Result<Option<Invite>, AccessError> {
        self.invites.get(user, Some(invite.into())).await
    }

    /// Takes an invitation back: one that waits is not sent, and of one that was sent nothing is shown any more. The
    /// day's allowance stays used. `false` when there is none.
    pub async fn withdraw_invite(&self, user: &str, invite: &str) -> Result<bool, AccessError> {
        match self.invites.delete_if(user, Some(invite.into()), Expression::new("attribute_exists(inviteId)")).await {
            Ok(()) => Ok(true),
            Err(AccessError::ConditionFailed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whom the invitation is for.
    ///
    /// # Errors
    /// [`AccessError::Malformed`] for one that was sealed under another secret.
    pub fn address_of(&self, user: &str, invite: &Invite) -> Result<EmailAddress, AccessError> {
        let malformed = |source| AccessError::Malformed { table: INVITES.name, source };
        let opened = self.vault.open(&place(user, &invite.invite_id), &invite.address);
        let opened = opened.map_err(|error| malformed(Box::new(error)))?;
        EmailAddress::new(&opened).map_err(|error| malformed(Box::new(error)))
    }

    /// The write with which somebody sets out to send it. Its condition: it waits and was not withdrawn.
    pub fn sending_invite(&self, user: &str, invite: &str) -> Result<Write, AccessError> {
        self.move_invite(user, invite, "SET #state = :next", InviteState::Queued, InviteState::Sending)
    }

    /// The write that undoes [`Members::sending_invite`], of a letter that was certainly not sent.
    pub fn requeue_invite(&self, user: &str, invite: &str) -> Result<Write, AccessError> {
        self.move_invite(user, invite, "SET #state = :next", InviteState::Sending, InviteState::Queued)
    }

    /// The write that says its letter was taken. Its condition: it is being sent.
    pub fn sent_invite(&self, user: &str, invite: &str, message_id: Option<&str>) -> Result<Write, AccessError> {
        let now = self.clock.now().millis();
        let set = match message_id {
            Some(_) => "SET #state = :next, sentAt = :sent, messageId = :message",
            None => "SET #state = :next, sentAt = :sent",
        };
        let mut change = moved(set, InviteState::Sending, InviteState::Sent).number(":sent", now);
        if let Some(id) = message_id {
            change = change.string(":message", id);
        }
        self.invites.update(user, Some(invite.into()), change, "#state = :before")
    }

    /// The write that says that its letter, which was being sent, has come back.
    pub fn returned_invite(&self, user: &str, invite: &str) -> Result<Write, AccessError> {
        self.move_invite(user, invite, "SET #state = :next", InviteState::Sending, InviteState::Bounced)
    }

    /// Of an address that gets no invitation now: it looks as if it were sent.
    pub async fn withhold_invite(&self, user: &str, invite: &str) -> Result<(), AccessError> {
        let now = self.clock.now().millis();
        let change = moved("SET #state = :next, sentAt = :sent", InviteState::Queued, InviteState::Sent);
        self.change_invite(user, invite, change.number(":sent", now), "#state = :before").await
    }

    /// Its letter came back, or its reader complained. Of one that was accepted meanwhile nothing changes.
    pub async fn bounce_invite(&self, user: &str, invite: &str) -> Result<(), AccessError> {
        let change = moved("SET #state = :next", InviteState::Sent, InviteState::Bounced)
            .string(":sending", InviteState::Sending.name());
        self.change_invite(user, invite, change, "#state IN (:before, :sending)").await
    }

    /// Removes all a member has invited.
    pub(crate) async fn forget_invites(&self, user: &str) -> Result<(), AccessError> {
        loop {
            let page = self.invites.page(user, None, 50).await?;
            if page.items.is_empty() {
                return Ok(());
            }
            for invite in page.items {
                self.withdraw_invite(user, &invite.invite_id).await?;
            }
        }
    }

    /// The write by which joining with this member's code accepts an invitation of that address, if there is one. Its
    /// condition: it is still there.
    pub(crate) async fn accepted_invite(
        &self,
        user: &str,
        email: Option<&EmailAddress>,
    ) -> Result<Option<Write>, AccessError> {
        let Some(email) = email else { return Ok(None) };
        let id = invite_id(&self.vault, user, email);
        if self.find_invite(user, &id).await?.is_none() {
            return Ok(None);
        }
        let change =
            Expression::new("SET #state = :next").name("#state", "state").string(":next", InviteState::Accepted.name());
        self.invites.update(user, Some(id.as_str().into()), change, "attribute_exists(inviteId)").map(Some)
    }

    fn move_invite(
        &self,
        user: &str,
        invite: &str,
        change: &str,
        before: InviteState,
        next: InviteState,
    ) -> Result<Write, AccessError> {
        self.invites.update(user, Some(invite.into()), moved(change, before, next), "#state = :before")
    }

    /// Does nothing when the condition does not hold.
    async fn change_invite(
        &self,
        user: &str,
        invite: &str,
        change: Expression,
        condition: &str,
    ) -> Result<(), AccessError> {
        match self.invites.update_if(user, Some(invite.into()), change, condition).await {
            Ok(_) | Err(AccessError::ConditionFailed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn one_of_the_day(&self, user: &str, now: Timestamp) -> Result<Write, AccessError> {
        let day = now.millis() / DAY_MILLIS;
        let change = Expression::new("SET used = if_not_exists(used, :zero) + :one, expiresAt = :expires")
            .number(":zero", 0)
            .number(":one", 1)
            .number(":limit", INVITES_A_DAY)
            .number(":expires", now.plus(Duration::from_secs(2 * 24 * 3600)).seconds());
        let key = format!("invites/{user}/{day}");
        self.quotas.update(&key, None, change, "attribute_not_exists(used) OR used < :limit")
    }
}

fn moved(change: &str, before: InviteState, next: InviteState) -> Expression {
    Expression::new(change).name("#state", "state").string(":before", before.name()).string(":next", next.name())
}

/// Derived, so that a member can invite an address only once, and to whom a sign-up's address leads.
fn invite_id(vault: &Vault, user: &str, email: &EmailAddress) -> String {
    vault.hash("invite", &[user, email.as_str()])
}

/// Where an address is sealed.
fn place(user: &str, invite: &str) -> String {
    format!("invites/{user}/{invite}")
}
