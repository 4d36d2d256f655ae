use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access::tables::{INVITES, REFERRAL_CODES};
use access::{
    AccessError, Clock, Dao, EmailAddress, Expression, Ids, Page, Ranking, Rao, Tables, Timestamp, Transacted, Unmet,
    Vault, Write,
};

use crate::invites::Quota;
use crate::points::{Earning, INVITE, Marks};
use crate::rows::{CodeRow, SignupRow, UserRow};
use crate::standing::{Name, Snapshot, Standing};
use crate::{Invite, Member, Referral, ReferralCode};

/// The members' tables. Cheap to clone.
///
/// Every operation may be repeated, also beside itself; [`AccessError::Contended`] and
/// [`AccessError::Unavailable`] ask for that.
#[derive(Clone)]
pub struct Members {
    pub(crate) tables: Tables,
    pub(crate) names: Dao<Name>,
    pub(crate) users: Dao<UserRow>,
    pub(crate) codes: Dao<CodeRow>,
    pub(crate) referrals: Dao<Referral>,
    pub(crate) signups: Dao<SignupRow>,
    pub(crate) earnings: Dao<Earning>,
    pub(crate) history: Dao<Snapshot>,
    pub(crate) standings: Dao<Standing>,
    pub(crate) ranking: Ranking,
    pub(crate) marks: Marks,
    pub(crate) invites: Dao<Invite>,
    pub(crate) quotas: Dao<Quota>,
    pub(crate) vault: Vault,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
}

/// What came of using a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferralUse {
    /// One place is used and the new member's rows are there.
    Done,
    /// So it was before: this invitee has joined with this code.
    Already,
    /// Nothing was written.
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nobody has this code, or not any more.
    UnknownCode,
    Disabled,
    NoPlaceLeft,
    OwnCode,
    /// The invitee is a member already by another way, or was one until the account was deleted.
    AlreadyMember,
}

/// What came of making a member without a referral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// The rows are there; or the account was deleted, and nothing of it comes back.
    Already,
}

/// How a confirmed account became a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    Referred,
    /// No code was bound, or it had no place left by then or was disabled.
    WithoutReferral,
    /// As [`Created::Already`].
    Already,
}

/// What came of giving a code another number of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacesSet {
    Done(Member),
    UnknownMember,
    /// More are used than that. Disable the code instead.
    BelowUsed(Member),
}

/// Places of a new member's code.
const PLACES: u32 = 10;
/// How long a code stays bound to a sign-up that is not confirmed.
const BOUND: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many codes are tried before a collision is taken for a fault: with 40 random bits there is no second one in
/// practice.
const CODE_TRIES: usize = 8;
/// So often a transaction is sent again while others are at the same rows, after pauses that double.
const CONTENTION_RETRIES: u32 = 6;
const CONTENTION_PAUSE: Duration = Duration::from_millis(20);

// The places of the writes in the transactions below, where of several conditions that do not hold the first counts.
const NEW_USER: usize = 0;
const OWNER: usize = 1;
/// Where what the inviter's inviter gets begins.
const SECOND_INVITE: usize = 4;

/// Somebody who joins with a member's code.
struct Joining<'a> {
    user: &'a str,
    email: Option<&'a EmailAddress>,
    owner: &'a str,
    /// Who invited the owner.
    inviter: Option<&'a str>,
    now: Timestamp,
}

impl Members {
    /// Costs no call.
    pub fn open(tables: &Tables, rao: &Rao, vault: &Vault, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self {
            tables: tables.clone(),
            names: Dao::open(tables, rao),
            users: Dao::open(tables, rao),
            codes: Dao::open(tables, rao),
            referrals: Dao::open(tables, rao),
            signups: Dao::open(tables, rao),
            earnings: Dao::open(tables, rao),
            history: Dao::open(tables, rao),
            standings: Dao::open(tables, rao),
            ranking: Ranking::none(),
            marks: Marks::default(),
            invites: Dao::open(tables, rao),
            quotas: Dao::open(tables, rao),
            vault: vault.clone(),
            clock,
            ids,
        }
    }

    /// With a live ranking, which is told of every change of points.
    pub fn with_ranking(self, ranking: Ranking) -> Self {
        Self { ranking, ..self }
    }

    /// Whether somebody could join with this code now. An unknown code costs the same calls as a known one.
    pub async fn is_valid_code(&self, code: &ReferralCode) -> Result<bool, AccessError> {
        // No account has a code for its id: the second look finds nothing, as late as the first would something.
        let owner = self.owner(code).await?.unwrap_or_else(|| code.to_string());
        let member = self.find(&owner).await?;
        Ok(member.is_some_and(|member| member.referral_code == *code && member.has_invites()))
    }

    /// Remembers with which code this sign-up came, for seven days. Of several sign-ups the newest counts.
    pub async fn bind(&self, user: &str, code: &ReferralCode) -> Result<(), AccessError> {
        let expires_at = self.clock.now().plus(BOUND).seconds();
        self.signups.insert_new(user, &SignupRow { referral_code: *code, expires_at }).await
    }

    /// The code this sign-up came with.
    pub async fn bound(&self, user: &str) -> Result<Option<ReferralCode>, AccessError> {
        // The table removes a row some time after it has expired.
        let row = self.signups.get(user, None).await?.filter(|row| row.expires_at > self.clock.now().seconds());
        Ok(row.map(|row| row.referral_code))
    }

    /// Whether somebody could join with this member's code now.
    pub async fn has_invites(&self, user: &str) -> Result<bool, AccessError> {
        Ok(self.find(user).await?.is_some_and(|member| member.has_invites()))
    }

    /// `None` for who is no member, or not any more.
    pub async fn find(&self, user: &str) -> Result<Option<Member>, AccessError> {
        self.users.get(user, None).await?.map_or(Ok(None), UserRow::into_member)
    }

    /// Who joined with this member's code, by account id.
    ///
    /// # Errors
    /// [`AccessError::BadCursor`] when the cursor is not of this member's list.
    pub async fn referrals_of(
        &self,
        user: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Referral>, AccessError> {
        self.referrals.page(user, cursor, limit).await
    }

    /// Whether the account is a member, or was one until it was deleted: then [`Members::join`] would change nothing.
    pub async fn has_joined(&self, user: &str) -> Result<bool, AccessError> {
        Ok(self.users.get(user, None).await?.is_some())
    }

    /// Makes a confirmed account a member: with the code its sign-up came with when that still has a place, else
    /// without. An invitation of this address by that code's owner is accepted by it. An account that is a member stays
    /// as it is.
    pub async fn join(&self, user: &str, email: &EmailAddress) -> Result<Joined, AccessError> {
        if self.has_joined(user).await? {
            return Ok(Joined::Already);
        }
        if let Some(code) = self.bound(user).await? {
            match self.use_code(&code, user, Some(email)).await? {
                ReferralUse::Done => return Ok(Joined::Referred),
                ReferralUse::Already => return Ok(Joined::Already),
                ReferralUse::Refused(_) => {}
            }
        }
        Ok(match self.create_member(user, Some(email)).await? {
            Created::New => Joined::WithoutReferral,
            Created::Already => Joined::Already,
        })
    }

    /// Takes one place of this code and makes the invitee a member, in one transaction: of any number at the same time
    /// exactly as many win as there are places. The same transaction gives the owner, and whoever invited the owner and
    /// is still a member, their points.
    pub async fn referral_use(&self, code: &ReferralCode, user: &str) -> Result<ReferralUse, AccessError> {
        self.use_code(code, user, None).await
    }

    async fn use_code(
        &self,
        code: &ReferralCode,
        user: &str,
        email: Option<&EmailAddress>,
    ) -> Result<ReferralUse, AccessError> {
        let Some(owner) = self.owner(code).await? else { return Ok(ReferralUse::Refused(Refusal::UnknownCode)) };
        if owner == user {
            return Ok(ReferralUse::Refused(Refusal::OwnCode));
        }
        let now = self.clock.now();
        let inviting = self.find(&owner).await?;
        // Most who come to a code without places come long after the last was taken: they are told without a
        // transaction, which would stand in the way of others at the owner's row.
        if !inviting.as_ref().is_some_and(|owner| owner.referral_code == *code && owner.has_invites()) {
            let invitee = self.users.get(user, None).await?;
            return Ok(invitee.map_or(ReferralUse::Refused(refusal(inviting, code)), |row| joined(&row, &owner)));
        }
        let inviter = inviting.and_then(|owner| owner.invited_by);
        let mut inviter = inviter.filter(|inviter| *inviter != owner && inviter != user);
        let mut accepted = self.accepted_invite(&owner, email).await?;
        loop {
            let joining = Joining { user, email, owner: &owner, inviter: inviter.as_deref(), now };
            match self.claim(code, &joining, accepted.as_ref()).await? {
                Transacted::Done => {
                    self.show([user, &owner].into_iter().chain(inviter.as_deref())).await;
                    return Ok(ReferralUse::Done);
                }
                // Withdrawn meanwhile.
                Transacted::Unmet(unmet) if unmet.table == INVITES.name => accepted = None,
                // No member any more.
                Transacted::Unmet(unmet) if inviter.is_some() && unmet.write >= SECOND_INVITE => inviter = None,
                Transacted::Unmet(unmet) => return why(unmet, &owner, code),
            }
        }
    }

    /// The one transaction.
    async fn claim(
        &self,
        code: &ReferralCode,
        joining: &Joining<'_>,
        accepted: Option<&Write>,
    ) -> Result<Transacted, AccessError> {
        let Joining { user, email, owner, inviter, now } = *joining;
        let referral = Referral { invited_user: user.to_owned(), timestamp: now, confirmed: true };
        self.commit_with_code(|new_code| {
            let mut writes = vec![
                self.new_user(user, email, new_code, Some(owner), now)?,
                self.one_place_of(owner, code)?,
                self.referrals.put(owner, &referral, Some(absent("user")))?,
                self.invite_entry(owner, user, now)?,
            ];
            if let Some(inviter) = inviter {
                writes.extend(self.second_invite(inviter, user, now)?);
            }
            writes.extend(accepted.cloned());
            writes.push(self.new_code(user, new_code)?);
            Ok(writes)
        })
        .await
    }

    /// Makes a member without a referral.
    pub async fn create_user(&self, user: &str) -> Result<Created, AccessError> {
        self.create_member(user, None).await
    }

    /// The same for who is shown to others by an address.
    pub async fn create_member(&self, user: &str, email: Option<&EmailAddress>) -> Result<Created, AccessError> {
        let now = self.clock.now();
        let outcome = self.commit_with_code(|code| {
            Ok(vec![self.new_user(user, email, code, None, now)?, self.new_code(user, code)?])
        });
        Ok(match outcome.await? {
            Transacted::Done => {
                self.show([user]).await;
                Created::New
            }
            Transacted::Unmet(_) => Created::Already,
        })
    }

    /// A random code without an offensive word. That nobody else has it, the conditional insert of its row decides, in
    /// the transaction that makes its owner a member: that one tries eight codes at most.
    pub fn generate_referral_code(&self) -> ReferralCode {
        ReferralCode::generate(&*self.ids)
    }

    /// Gives a member's code so many places in all, used ones among them.
    pub async fn set_places(&self, user: &str, total: u32) -> Result<PlacesSet, AccessError> {
        let change = Expression::new("SET totalReferrals = :total").name("#user", "user").number(":total", total);
        let condition = format!("{IS_MEMBER} AND referralsUsed <= :total");
        match self.users.update_if(user, None, change, &condition).await {
            Ok(row) => Ok(row.into_member()?.map_or(PlacesSet::UnknownMember, PlacesSet::Done)),
            Err(AccessError::ConditionFailed { row: Some(row), .. }) => {
                let member = Dao::<UserRow>::read(*row)?.into_member()?;
                Ok(member.map_or(PlacesSet::UnknownMember, PlacesSet::BelowUsed))
            }
            Err(AccessError::ConditionFailed { row: None, .. }) => Ok(PlacesSet::UnknownMember),
            Err(error) => Err(error),
        }
    }

    /// Lets nobody join with this member's code. `None` for who is no member.
    pub async fn disable_code(&self, user: &str) -> Result<Option<Member>, AccessError> {
        self.set_validity(user, false).await
    }

    /// Undoes [`Members::disable_code`].
    pub async fn enable_code(&self, user: &str) -> Result<Option<Member>, AccessError> {
        self.set_validity(user, true).await
    }

    async fn set_validity(&self, user: &str, valid: bool) -> Result<Option<Member>, AccessError> {
        let change = Expression::new("SET referralIsValid = :valid").name("#user", "user").bool(":valid", valid);
        match self.users.update_if(user, None, change, IS_MEMBER).await {
            Ok(row) => row.into_member(),
            Err(AccessError::ConditionFailed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What others see of these members, by account id. Who has no name to show is not in it; any number, in as many
    /// calls as that takes.
    pub async fn shown(&self, users: &[String]) -> Result<HashMap<String, String>, AccessError> {
        let rows = self.users.batch_get(users).await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.user, row.shown_as?))).collect())
    }

    async fn owner(&self, code: &ReferralCode) -> Result<Option<String>, AccessError> {
        Ok(self.codes.get(&code.to_string(), None).await?.map(|row| row.user))
    }

    /// All of these writes with a code that nobody has; the code's row is the last of them.
    async fn commit_with_code(
        &self,
        writes: impl Fn(ReferralCode) -> Result<Vec<Write>, AccessError> + Send,
    ) -> Result<Transacted, AccessError> {
        for _ in 0..CODE_TRIES {
            let writes = writes(self.generate_referral_code())?;
            let code_row = writes.len() - 1;
            match self.commit(writes).await? {
                Transacted::Unmet(unmet) if unmet.write == code_row => {}
                outcome => return Ok(outcome),
            }
        }
        Err(AccessError::Contended { table: REFERRAL_CODES.name })
    }

    /// All of these writes or none, however many others are at the same rows.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<Transacted, AccessError> {
        let mut pause = CONTENTION_PAUSE;
        for _ in 0..CONTENTION_RETRIES {
            match self.tables.transact_if(writes.clone()).await {
                Err(AccessError::Contended { .. }) => {
                    tokio::time::sleep(pause.mul_f64(0.5 + self.ids.unit())).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        self.tables.transact_if(writes).await
    }

    fn new_user(
        &self,
        user: &str,
        email: Option<&EmailAddress>,
        code: ReferralCode,
        invited_by: Option<&str>,
        now: Timestamp,
    ) -> Result<Write, AccessError> {
        let row = UserRow {
            user: user.to_owned(),
            referral_code: Some(code),
            total_referrals: PLACES,
            referrals_used: 0,
            referral_is_valid: true,
            invited_by: invited_by.map(str::to_owned),
            points: 0,
            time_created: now,
            shown_as: email.map(EmailAddress::masked),
            forgotten_at: None,
            expires_at: None,
        };
        self.users.put(user, &row, Some(absent("user")))
    }

    fn new_code(&self, user: &str, code: ReferralCode) -> Result<Write, AccessError> {
        let row = CodeRow { user: user.to_owned() };
        self.codes.put(&code.to_string(), &row, Some(absent(REFERRAL_CODES.partition_key)))
    }

    fn one_place_of(&self, owner: &str, code: &ReferralCode) -> Result<Write, AccessError> {
        let change = Expression::new("SET referralsUsed = referralsUsed + :one ADD points :points")
            .number(":points", INVITE)
            .name("#user", "user")
            .number(":one", 1)
            .bool(":true", true)
            .string(":code", code.to_string());
        let condition = format!(
            "{IS_MEMBER} AND referralCode = :code AND referralIsValid = :true AND referralsUsed < totalReferrals"
        );
        self.users.update(owner, None, change, &condition)
    }
}

/// The row is there and its account was not deleted.
pub(crate) const IS_MEMBER: &str = "attribute_exists(#user) AND attribute_not_exists(forgottenAt)";

/// The condition that no row with this key is there.
pub(crate) fn absent(key: &'static str) -> Expression {
    Expression::new("attribute_not_exists(#key)").name("#key", key)
}

/// Why a code could not be used, from the row that stood in the way.
fn why(unmet: Unmet, owner: &str, code: &ReferralCode) -> Result<ReferralUse, AccessError> {
    let row = unmet.row.map(|row| Dao::<UserRow>::read(*row));
    Ok(match (unmet.write, row) {
        (NEW_USER, Some(row)) => joined(&row?, owner),
        (OWNER, row) => {
            ReferralUse::Refused(refusal(row.transpose()?.map(UserRow::into_member).transpose()?.flatten(), code))
        }
        // An invitee without rows of its own: its referral was written by something else than this transaction.
        _ => ReferralUse::Refused(Refusal::AlreadyMember),
    })
}

/// Of somebody who has a row already.
fn joined(invitee: &UserRow, owner: &str) -> ReferralUse {
    if invitee.invited_by.as_deref() == Some(owner) {
        ReferralUse::Already
    } else {
        ReferralUse::Refused(Refusal::AlreadyMember)
    }
}

/// Why nobody can join with this code, which leads to this member.
fn refusal(owner: Option<Member>, code: &ReferralCode) -> Refusal {
    match owner {
        Some(owner) if owner.referral_code == *code && owner.referral_is_valid => Refusal::NoPlaceLeft,
        Some(owner) if owner.referral_code == *code => Refusal::Disabled,
        _ => Refusal::UnknownCode,
    }
}
