use std::time::Duration;

use access::{AccessError, Dao, Expression};

use crate::Members;
use crate::members::IS_MEMBER;
use crate::rows::UserRow;

/// How long a deleted account's row keeps late repetitions of its sign-up from making a member of it again: longer than
/// any queue keeps a message.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);
const PAGE: u32 = 50;

impl Members {
    /// Removes what is kept of a member whose account is deleted, or will never be confirmed.
    ///
    /// Nobody can join with its code any more, nor can the account itself. Whom it invited are members without an
    /// inviter. What it earned and its ranks are removed. Whoever invited it keeps a row that leads to nobody, and the
    /// points: the place stays used. Of the account's own row there stays, for 30 days, that there was one.
    ///
    /// Stopped at any point and called again, it does the rest.
    pub async fn forget(&self, user: &str) -> Result<(), AccessError> {
        // Before the row loses when it was made, by which the ranking knows its members.
        if self.ranking.is_there()
            && let Some(member) = self.find(user).await?
        {
            self.ranking.remove(user, member.time_created).await;
        }
        // From here on no transaction counts on this member.
        let row = self.close(user).await?;
        met(self
            .signups
            .delete_if(user, None, Expression::new("attribute_exists(#user)").name("#user", "user"))
            .await)?;
        if let Some(code) = &row.referral_code {
            let mine = Expression::new("#user = :user").name("#user", "user").string(":user", user);
            met(self.codes.delete_if(&code.to_string(), None, mine).await)?;
        }
        if let Some(inviter) = &row.invited_by {
            self.leave_inviter(inviter, user).await?;
        }
        self.leave_invitees(user).await?;
        self.forget_points(user).await?;
        self.forget_invites(user).await?;
        let change = Expression::new("REMOVE referralCode, invitedBy, shownAs").name("#user", "user");
        met(self.users.update_if(user, None, change, "attribute_exists(#user) AND attribute_exists(forgottenAt)").await)
    }

    /// Marks the account's row, making one when there is none, and returns it with what is left to be removed.
    async fn close(&self, user: &str) -> Result<UserRow, AccessError> {
        let now = self.clock.now();
        let change = Expression::new(
            "SET forgottenAt = :now, expiresAt = :expires, referralIsValid = :false, totalReferrals = :zero, \
             referralsUsed = :zero, points = :zero, timeCreated = :zero",
        )
        .number(":now", now.millis())
        .number(":expires", now.plus(REMEMBERED).seconds())
        .number(":zero", 0)
        .bool(":false", false);
        match self.users.update_if(user, None, change, "attribute_not_exists(forgottenAt)").await {
            Err(AccessError::ConditionFailed { row: Some(row), .. }) => Dao::<UserRow>::read(*row),
            outcome => outcome,
        }
    }

    /// Replaces the invitee's name in the inviter's list, unless that list is being removed itself.
    async fn leave_inviter(&self, inviter: &str, user: &str) -> Result<(), AccessError> {
        let Some(referral) = self.referrals.get(inviter, Some(user.into())).await? else { return Ok(()) };
        let nobody = referral.clone().forgotten(&self.ids.id(referral.timestamp));
        let there = Expression::new("attribute_exists(#user)").name("#user", "user");
        let writes = vec![
            self.referrals.delete(inviter, Some(user.into()), Some(there))?,
            self.referrals.put(inviter, &nobody, None)?,
        ];
        self.commit(writes).await.map(drop)
    }

    /// Takes this member's name out of its invitees' rows, and removes the list.
    async fn leave_invitees(&self, user: &str) -> Result<(), AccessError> {
        loop {
            // Always from the start: an invitee that is forgotten meanwhile gets another name, and so another place.
            let page = self.referrals.page(user, None, PAGE).await?;
            if page.items.is_empty() {
                return Ok(());
            }
            for referral in page.items {
                if !referral.is_forgotten() {
                    let change = Expression::new("REMOVE invitedBy").name("#user", "user").string(":user", user);
                    let mine = format!("{IS_MEMBER} AND invitedBy = :user");
                    met(self.users.update_if(&referral.invited_user, None, change, &mine).await)?;
                }
                let there = Expression::new("attribute_exists(#user)").name("#user", "user");
                met(self.referrals.delete_if(user, Some((&*referral.invited_user).into()), there).await)?;
            }
        }
    }
}

/// A condition that does not hold says here that it is done already.
fn met<T>(outcome: Result<T, AccessError>) -> Result<(), AccessError> {
    match outcome {
        Ok(_) | Err(AccessError::ConditionFailed { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
