use std::cmp::{Ordering, Reverse};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::Timestamp;
use crate::redis_tier::RedisTier;

/// Whom a ranking is about, and what its place depends on: more points first, then who came earlier, then the smaller
/// id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The account's id.
    pub user: String,
    pub points: u64,
    pub time_created: Timestamp,
}

impl Ranked {
    /// What members of the set are ordered by where points are equal.
    fn member(&self) -> String {
        format!("{:016x}{}", self.time_created.millis(), self.user)
    }

    fn read(member: &str, score: f64) -> Option<Self> {
        let (hex, user) = member.split_at_checked(16)?;
        let time_created = Timestamp(u64::from_str_radix(hex, 16).ok()?);
        // Scores are what was written: whole numbers up to 2^53, not above zero.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and not below zero")]
        let points = (-score).max(0.0) as u64;
        Some(Self { user: user.to_owned(), points, time_created })
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best first.
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |ranked: &Self| (Reverse(ranked.points), ranked.time_created);
        place(self).cmp(&place(other)).then_with(|| self.user.cmp(&other.user))
    }
}

/// A place from 1, of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub rank: u64,
    pub total: u64,
}

/// Somebody and their rank, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    pub rank: u64,
    pub ranked: Ranked,
}

/// The live ranking of a deployment: a sorted set in Redis, made by a rebuild from the table and kept up by whoever
/// writes points.
///
/// The set is there whole or not at all: a rebuild fills another and puts it in place at once, and nothing else begins
/// one. It never fails: `None` says that Redis is not there, does not answer, or has no ranking.
#[derive(Clone)]
pub struct Ranking {
    redis: Option<RedisTier>,
    /// The live set; what a rebuild fills; which rebuild that is; who has left lately, so that a rebuild that read
    /// them before does not bring them back; and the set that was live before. One hash tag: one node has them all.
    keys: Arc<[String; 5]>,
}

/// Stands behind everybody in a whole set, so that one of nobody is there as well.
const END: &str = "~";
/// Longer than any rebuild takes.
const REMEMBER_GONE: Duration = Duration::from_secs(2 * 24 * 3600);
/// So many are written in one call.
const BATCH: usize = 500;
/// How often a call of a rebuild is repeated, after pauses that double: together they outlast the breaker.
const RETRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(250);

/// Points only grow: an older number that comes late is not less, and changes nothing.
const RAISE: &str = "
if redis.call('SISMEMBER', KEYS[4], ARGV[2]) == 1 then return false end
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('ZADD', KEYS[2], 'LT', ARGV[1], ARGV[2]) end
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
redis.call('ZADD', KEYS[1], 'LT', ARGV[1], ARGV[2])
return {redis.call('ZRANK', KEYS[1], ARGV[2]) + 1, redis.call('ZCARD', KEYS[1]) - 1}";
const REMOVE: &str = "
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('EXPIRE', KEYS[4], ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[1])";
const BEGIN: &str = "
redis.call('UNLINK', KEYS[2])
redis.call('ZADD', KEYS[2], '+inf', ARGV[2])
return redis.call('SET', KEYS[3], ARGV[1])";
const FILL: &str = "
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
for at = 2, #ARGV, 2 do redis.call('ZADD', KEYS[2], 'LT', ARGV[at], ARGV[at + 1]) end
return 1";
const PUBLISH: &str = "
local owner = redis.call('GET', KEYS[3])
if owner == ARGV[1] .. '/done' then return 1 end
if owner ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
for _, member in ipairs(redis.call('SMEMBERS', KEYS[4])) do redis.call('ZREM', KEYS[2], member) end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[5]) end
redis.call('RENAME', KEYS[2], KEYS[1])
redis.call('UNLINK', KEYS[5])
redis.call('SET', KEYS[3], ARGV[1] .. '/done')
return 1";
const RANGE: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
return redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES')";

struct Scripts {
    raise: Script,
    remove: Script,
    begin: Script,
    fill: Script,
    publish: Script,
    range: Script,
}

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    raise: Script::new(RAISE),
    remove: Script::new(REMOVE),
    begin: Script::new(BEGIN),
    fill: Script::new(FILL),
    publish: Script::new(PUBLISH),
    range: Script::new(RANGE),
});

impl Ranking {
    /// `environment` is in front of every key, as of all that is cached.
    pub fn open(environment: &str, redis: Option<RedisTier>) -> Self {
        let keys = ["live", "next", "owner", "gone", "old"].map(|name| format!("{{{environment}.v1.ranking}}.{name}"));
        Self { redis, keys: Arc::new(keys) }
    }

    /// Of a deployment without Redis.
    pub fn none() -> Self {
        Self::open("", None)
    }

    /// Whether there is anybody to keep one.
    pub const fn is_there(&self) -> bool {
        self.redis.is_some()
    }

    /// Where somebody with these points stands, who is put there if need be; unless they have left.
    pub async fn raise(&self, ranked: &Ranked) -> Option<Place> {
        let found: Option<(u64, u64)> = self.run(&SCRIPTS.raise, &[score(ranked), ranked.member()]).await?;
        found.map(|(rank, total)| Place { rank, total })
    }

    /// Takes somebody out who is no member any more, also of what a rebuild is filling.
    pub async fn remove(&self, user: &str, time_created: Timestamp) {
        let member = Ranked { user: user.to_owned(), points: 0, time_created }.member();
        let _: Option<u64> = self.run(&SCRIPTS.remove, &[member, REMEMBER_GONE.as_secs().to_string()]).await;
    }

    /// At most `limit` members from this rank on, the best first.
    pub async fn from(&self, rank: u64, limit: u32) -> Option<Vec<Rank>> {
        let first = rank.saturating_sub(1);
        let last = first.saturating_add(u64::from(limit).saturating_sub(1));
        let found: Option<Vec<(String, f64)>> =
            self.run(&SCRIPTS.range, &[first.to_string(), last.to_string()]).await?;
        let ranked = found?.into_iter().zip(first + 1..).filter(|((member, _), _)| member != END);
        ranked.map(|((member, score), rank)| Some(Rank { rank, ranked: Ranked::read(&member, score)? })).collect()
    }

    /// Begins a new set; from here on whoever's points grow is in it. What another run has filled is dropped. `false`:
    /// Redis cannot be asked.
    pub async fn begin(&self, run: &str) -> bool {
        self.insist::<String>(&SCRIPTS.begin, &[run.to_owned(), END.to_owned()]).await.is_some()
    }

    /// Writes these into the set of this run. `false`: another run has begun one, or Redis cannot be asked; either way
    /// this run will not put one in place.
    pub async fn fill(&self, run: &str, ranked: &[Ranked]) -> bool {
        for batch in ranked.chunks(BATCH) {
            let pairs = batch.iter().flat_map(|one| [score(one), one.member()]);
            let arguments: Vec<_> = std::iter::once(run.to_owned()).chain(pairs).collect();
            if self.insist(&SCRIPTS.fill, &arguments).await != Some(1) {
                return false;
            }
        }
        true
    }

    /// Puts the set of this run in place of the one there was, without those who have left. Repeated it changes
    /// nothing. `false` as in [`Ranking::fill`].
    pub async fn publish(&self, run: &str) -> bool {
        self.insist(&SCRIPTS.publish, &[run.to_owned()]).await == Some(1)
    }

    async fn insist<T: FromRedisValue>(&self, script: &'static Script, arguments: &[String]) -> Option<T> {
        self.redis.as_ref()?;
        let mut pause = PAUSE;
        for _ in 0..RETRIES {
            if let Some(answer) = self.run(script, arguments).await {
                return Some(answer);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.run(script, arguments).await
    }

    async fn run<T: FromRedisValue>(&self, script: &'static Script, arguments: &[String]) -> Option<T> {
        let redis = self.redis.as_ref()?;
        let mut call: ScriptInvocation<'_> = script.prepare_invoke();
        for key in self.keys.iter() {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        redis.run(&call).await
    }
}

/// More points are a smaller score, so that equal ones stand in the order of their members.
fn score(ranked: &Ranked) -> String {
    format!("-{}", ranked.points)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranked() -> impl Strategy<Value = Ranked> {
        (0_u64..5, 0_u64..3, "[a-c]{1,3}").prop_map(|(points, time, user)| Ranked {
            user,
            points,
            time_created: Timestamp(time),
        })
    }

    #[test]
    fn more_points_come_first_then_who_came_earlier() {
        let one = |user: &str, points, time| Ranked { user: user.into(), points, time_created: Timestamp(time) };
        let mut all = [one("d", 1, 1), one("c", 2, 9), one("b", 2, 3), one("a", 2, 3)];
        all.sort();
        assert_eq!(all.map(|ranked| ranked.user), ["a", "b", "c", "d"]);
    }

    #[tokio::test]
    async fn without_redis_there_is_no_ranking_and_nothing_waits() {
        let ranking = Ranking::none();
        let ann = Ranked { user: "ann".into(), points: 1, time_created: Timestamp(1) };
        assert!(!ranking.begin("r").await && !ranking.fill("r", std::slice::from_ref(&ann)).await);
        assert!(!ranking.publish("r").await);
        assert_eq!(ranking.raise(&ann).await, None);
        assert_eq!(ranking.from(1, 10).await, None);
    }

    proptest! {
        /// Redis orders by score, then by member.
        #[test]
        fn the_set_is_in_the_order_of_the_ranked(mut all in prop::collection::vec(ranked(), 0..20)) {
            let mut set: Vec<_> =
                all.iter().map(|one| (score(one).parse::<i64>().unwrap(), one.member())).collect();
            set.sort();
            all.sort();
            let read: Vec<_> = set.iter().map(|(score, member)| Ranked::read(member, *score as f64).unwrap()).collect();
            prop_assert_eq!(read, all);
        }
    }
}
