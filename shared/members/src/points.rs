//! What members earn: a ledger that is only added to, and the sum in the member's row. Both are written in one
//! transaction, under a key that says what the points are for: done again it adds nothing.

use std::sync::Arc;

use access::messages::PointSource;
use access::tables::{POINTS, Table};
use access::{AccessError, Expression, Ranked, Row, Timestamp, Transacted, Write};
use futures::future::join_all;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Members;
use crate::members::{IS_MEMBER, absent};

/// For somebody who joined with the member's code.
pub(crate) const INVITE: u64 = 100;
/// For somebody who joined with the code of a member whom this one invited.
const SECOND_INVITE: u64 = 20;
const REPORT: u64 = 1;
/// So many rows are removed at a time.
const PAGE: u32 = 250;

/// What a member got points for: the row of table `points`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Earning {
    /// `<day>#<source>`, and for invitations `#<digest of the invitee's id>`: nobody is named in another's ledger.
    pub(crate) entry: String,
    pub(crate) amount: u64,
    pub(crate) timestamp: Timestamp,
}

impl Row for Earning {
    const TABLE: &'static Table = &POINTS;
}

/// What came of crediting points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credited {
    Done,
    /// The member has these points.
    Already,
    /// There is no such member, or not any more: nothing was written.
    NotMember,
}

/// For whom this process has seen to the points of a day, by account: it need not ask again.
#[derive(Clone)]
pub(crate) struct Marks(Arc<Cache<String, u64>>);

impl Default for Marks {
    fn default() -> Self {
        Self(Arc::new(Cache::new(100_000)))
    }
}

impl Members {
    /// Gives a member the points for this source on this day, once however often it is asked.
    pub async fn credit(&self, user: &str, day: u64, source: PointSource) -> Result<Credited, AccessError> {
        let (name, amount) = match source {
            PointSource::Report => ("report", REPORT),
        };
        let writes =
            vec![self.entry(user, format!("{day}#{name}"), amount, self.clock.now())?, self.earns(user, amount)?];
        Ok(match self.commit(writes).await? {
            Transacted::Done => {
                self.show([user]).await;
                Credited::Done
            }
            Transacted::Unmet(unmet) if unmet.write == 0 => Credited::Already,
            Transacted::Unmet(_) => Credited::NotMember,
        })
    }

    /// Whether this process has seen to it that the member gets the point for a report on this day.
    pub fn has_reported(&self, user: &str, day: u64) -> bool {
        self.marks.0.get(user) == Some(day)
    }

    /// Makes [`Members::has_reported`] true.
    pub fn note_report(&self, user: &str, day: u64) {
        self.marks.0.insert(user.to_owned(), day);
    }

    /// Removes what a member earned and the ranks it had. For [`Members::forget`], and for whoever may have written
    /// ranks after it.
    pub async fn forget_points(&self, user: &str) -> Result<(), AccessError> {
        loop {
            let page = self.earnings.page(user, None, PAGE).await?;
            let entries: Vec<_> = page.items.iter().map(|earning| (&*earning.entry).into()).collect();
            self.earnings.delete_all(user, entries).await?;
            if page.next_cursor.is_none() {
                break;
            }
        }
        loop {
            let page = self.history.page(user, None, PAGE).await?;
            let days: Vec<_> = page.items.iter().map(|snapshot| snapshot.day.into()).collect();
            self.history.delete_all(user, days).await?;
            if page.next_cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// The ledger's part of an accepted invitation; the sum is part of the update that takes the place.
    pub(crate) fn invite_entry(&self, owner: &str, invitee: &str, at: Timestamp) -> Result<Write, AccessError> {
        self.entry(owner, format!("{}#invite#{}", at.day(), digest(invitee)), INVITE, at)
    }

    /// What the inviter of a code's owner gets.
    pub(crate) fn second_invite(&self, inviter: &str, invitee: &str, at: Timestamp) -> Result<[Write; 2], AccessError> {
        let entry = format!("{}#second-invite#{}", at.day(), digest(invitee));
        Ok([self.earns(inviter, SECOND_INVITE)?, self.entry(inviter, entry, SECOND_INVITE, at)?])
    }

    fn entry(&self, user: &str, entry: String, amount: u64, timestamp: Timestamp) -> Result<Write, AccessError> {
        self.earnings.put(user, &Earning { entry, amount, timestamp }, Some(absent("user")))
    }

    fn earns(&self, user: &str, amount: u64) -> Result<Write, AccessError> {
        let change = Expression::new("ADD points :amount").name("#user", "user").number(":amount", amount);
        self.users.update(user, None, change, IS_MEMBER)
    }

    /// Tells the live ranking what these members have now. What it does not hear, the next rebuild tells it.
    pub(crate) async fn show(&self, users: impl IntoIterator<Item = &str>) {
        if !self.ranking.is_there() {
            return;
        }
        let shown = users.into_iter().map(|user| async {
            match self.find(user).await {
                Ok(Some(member)) => drop(self.ranking.raise(&ranked(&member)).await),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a rank could not be kept up");
                }
            }
        });
        join_all(shown).await;
    }
}

pub(crate) fn ranked(member: &crate::Member) -> Ranked {
    Ranked { user: member.user.clone(), points: member.points, time_created: member.time_created }
}

/// 128 bits of the hash, in hex.
fn digest(user: &str) -> String {
    Sha256::digest(user.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_nobody_and_tells_invitees_apart() {
        assert_eq!(digest("ann").len(), 32);
        assert_ne!(digest("ann"), digest("ben"));
        assert!(!digest("ann").contains("ann"));
    }
}
