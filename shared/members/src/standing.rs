//! Where members stand: now, a week ago, and on every day in between.

use std::collections::HashMap;

use access::tables::{POINT_HISTORY, STANDINGS, Table, USERS};
use access::{AccessError, Place, Rank, Ranked, Row, Timestamp, Unique};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::points::ranked;
use crate::rows::UserRow;
use crate::{Member, Members};

/// A member's points and rank on a day: the row of table `pointhistory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Days since 1970, UTC.
    pub day: u64,
    pub points: u64,
    /// From 1.
    pub rank: u64,
    /// How many had one.
    pub total_rank: u64,
    /// As of when.
    pub timestamp: Timestamp,
}

impl Row for Snapshot {
    const TABLE: &'static Table = &POINT_HISTORY;
}

/// A finished ranking of all members: the row of table `standings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whoever joined or earned later is not in it, or with less.
    pub timestamp: Timestamp,
    pub day: u64,
    /// How many are ranked.
    pub total: u64,
    /// How many objects list them, the best first.
    pub pages: u64,
    /// The folder these objects are in, numbered from 0.
    pub folder: String,
}

impl Row for Standing {
    const TABLE: &'static Table = &STANDINGS;
}

/// The partition of finished rankings by points.
const BOARD: &str = "points";
/// Differences are against so many days ago.
const WEEK: u64 = 7;

/// How old a rank is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// It is the live one.
    Now,
    Rebuild(Timestamp),
    /// No ranking was finished yet: everybody is the only one.
    Never,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStanding {
    pub member: Member,
    pub place: Place,
    pub as_of: AsOf,
    /// Now minus seven days ago; of who was not there then, all points.
    pub points_difference: i64,
    /// Now minus seven days ago, negative for climbed; 0 for who was not there then.
    pub rank_difference: i64,
}

/// What the ranking shows of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Name {
    user: String,
    /// The address as others may see it.
    shown_as: Option<String>,
    forgotten_at: Option<Timestamp>,
}

impl Row for Name {
    const TABLE: &'static Table = &USERS;
}
impl Unique for Name {}

impl Members {
    /// Where a member stands now; `None` for who is no member. Costs the same however many members there are.
    ///
    /// Without a live ranking the rank is the newest rebuild's; whoever joined after it stands behind all.
    pub async fn standing(&self, user: &str) -> Result<Option<MemberStanding>, AccessError> {
        let Some(member) = self.find(user).await? else { return Ok(None) };
        let today = self.clock.now().day();
        let then = self.history.newest_until(user, today.saturating_sub(WEEK).into());
        let ranked = ranked(&member);
        let (live, then) = tokio::join!(self.ranking.raise(&ranked), then);
        let then = then?;
        let (place, as_of) = match live {
            Some(place) => (place, AsOf::Now),
            None => self.last_place(user, today).await?,
        };
        let difference = |now: u64, then: u64| i64::try_from(i128::from(now) - i128::from(then)).unwrap_or(i64::MAX);
        Ok(Some(MemberStanding {
            points_difference: difference(member.points, then.map_or(0, |then| then.points)),
            rank_difference: then.map_or(0, |then| difference(place.rank, then.rank)),
            member,
            place,
            as_of,
        }))
    }

    async fn last_place(&self, user: &str, today: u64) -> Result<(Place, AsOf), AccessError> {
        let (last, newest) = tokio::join!(self.history.newest_until(user, today.into()), self.newest_standing());
        let newest = newest?;
        // A rebuild under way writes members' rows one after the other, but no board yet.
        Ok(match (last?, newest) {
            (Some(last), _) => (Place { rank: last.rank, total: last.total_rank }, AsOf::Rebuild(last.timestamp)),
            (None, Some(newest)) => {
                let behind = newest.total + 1;
                (Place { rank: behind, total: behind }, AsOf::Rebuild(newest.timestamp))
            }
            (None, None) => (Place { rank: 1, total: 1 }, AsOf::Never),
        })
    }

    /// A member's days from this one on, oldest first, one row each day on which all were ranked.
    pub async fn history(&self, user: &str, from: u64) -> Result<Vec<Snapshot>, AccessError> {
        self.history.find_from(user, from.into()).try_collect().await
    }

    /// What others may see of these members, by account; nothing of who is no member any more. Without an address, that
    /// is [`Name::NONE`].
    pub async fn names(&self, users: &[String]) -> Result<HashMap<String, String>, AccessError> {
        let rows = self.names.batch_get(users).await?;
        Ok(rows.into_iter().filter_map(|name| Some((name.user.clone(), name.shown()?))).collect())
    }

    /// The newest finished ranking.
    pub async fn newest_standing(&self) -> Result<Option<Standing>, AccessError> {
        self.standings.newest(BOARD, true).await
    }

    /// All finished rankings that are remembered, oldest first: a few.
    pub async fn standings(&self) -> Result<Vec<Standing>, AccessError> {
        self.standings.find_all_by_pk(BOARD).try_collect().await
    }

    /// Makes a ranking known whose objects are all there.
    pub async fn announce_standing(&self, standing: &Standing) -> Result<(), AccessError> {
        self.standings.insert_new(BOARD, standing).await
    }

    /// Forgets a ranking whose objects are gone.
    pub async fn drop_standing(&self, timestamp: Timestamp) -> Result<(), AccessError> {
        self.standings.delete_all(BOARD, vec![timestamp.millis().into()]).await
    }

    /// At most `limit` rows of all that were ever made: members, and who left within the last days; and where to go on.
    pub async fn scan(&self, after: Option<&str>, limit: u32) -> Result<(Scanned, Option<String>), AccessError> {
        let (rows, next) = self.users.scan(after, limit).await?;
        let mut scanned = Scanned::default();
        for row in rows {
            match row.forgotten_at {
                Some(at) => scanned.forgotten.push((row.user, at)),
                None => scanned.members.push(ranked_row(row)),
            }
        }
        Ok((scanned, next))
    }

    /// Writes what these members have and are on this day. Repeated it changes nothing.
    pub async fn write_history(
        &self,
        ranks: &[Rank],
        day: u64,
        total_rank: u64,
        timestamp: Timestamp,
    ) -> Result<(), AccessError> {
        let rows = ranks.iter().map(|Rank { rank, ranked }| {
            let snapshot = Snapshot { day, points: ranked.points, rank: *rank, total_rank, timestamp };
            (&*ranked.user, snapshot)
        });
        self.history.insert_all(&rows.collect::<Vec<_>>()).await
    }
}

/// A part of the table of members.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    pub members: Vec<Ranked>,
    /// Who has left, and when.
    pub forgotten: Vec<(String, Timestamp)>,
}

fn ranked_row(row: UserRow) -> Ranked {
    Ranked { user: row.user, points: row.points, time_created: row.time_created }
}

impl Name {
    /// Shown of who has no address.
    const NONE: &'static str = "member";

    /// What is before the @: the provider's name would tell more than the rest.
    fn shown(self) -> Option<String> {
        if self.forgotten_at.is_some() {
            return None;
        }
        let local =
            self.shown_as.as_deref().and_then(|shown| shown.split('@').next()).filter(|local| !local.is_empty());
        Some(local.unwrap_or(Self::NONE).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_before_the_at_is_shown() {
        let shown = |shown_as: Option<&str>, forgotten: bool| {
            let forgotten_at = forgotten.then_some(Timestamp(1));
            Name { user: "u".into(), shown_as: shown_as.map(str::to_owned), forgotten_at }.shown()
        };
        assert_eq!(shown(Some("a***@e***"), false).as_deref(), Some("a***"));
        assert_eq!(shown(None, false).as_deref(), Some("member"));
        assert_eq!(shown(Some("@e***"), false).as_deref(), Some("member"));
        assert_eq!(shown(Some("a***@e***"), true), None);
    }
}
