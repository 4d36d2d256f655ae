use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::redis_tier::RedisTier;
use crate::{Clock, Ids};

/// A type that may be cached: bound to one prefix, one shape version and one time to live.
pub trait Cached: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The table's name, or what else the values come from.
    const PREFIX: &'static str;
    /// Raised when the JSON shape changes, so that a deploy never reads another's shape.
    const VERSION: u32;
    const TTL: Duration = Duration::from_secs(1800);
}

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In this process.
    L1,
    Redis,
    /// DynamoDB.
    Table,
    /// Made for this request.
    Computed,
}

impl Tier {
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::Redis => "redis",
            Self::Table => "table",
            Self::Computed => "computed",
        }
    }
}

/// A value out of the cache.
#[derive(Clone, Debug)]
pub struct Hit<T> {
    pub value: Arc<T>,
    pub tier: Tier,
}

/// How the cache is set up.
#[derive(Clone, Debug)]
pub struct RaoConfig {
    /// In front of every key: deployments never read each other's values.
    pub environment: String,
    /// Upper bound of what the process keeps, in bytes of JSON.
    pub l1_bytes: u64,
    /// How long the process keeps a value at most.
    pub l1_ttl: Duration,
}

impl Default for RaoConfig {
    fn default() -> Self {
        Self { environment: "local".into(), l1_bytes: 64 << 20, l1_ttl: Duration::from_secs(5) }
    }
}

/// Values larger than this are compressed.
const COMPRESS_OVER_BYTES: usize = 16 << 10;
/// Values larger than this are not cached.
const REFUSE_OVER_BYTES: usize = 4 << 20;
/// What reading a value back costs us at most when it has to come from the table: how early XFetch starts to refresh.
const REFRESH_COST: Duration = Duration::from_millis(50);

/// Redis Access Object: a cache in the process over Redis. It never fails: a store that is down, slow or full is a
/// miss and a metric.
#[derive(Clone)]
pub struct Rao {
    inner: Arc<Inner>,
}

struct Inner {
    config: RaoConfig,
    l1: Cache<String, Entry, ByBytes>,
    redis: Option<RedisTier>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

#[derive(Clone)]
struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: u64,
    /// On the monotonic clock.
    until: Duration,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Entry> for ByBytes {
    fn weight(&self, key: &String, entry: &Entry) -> u64 {
        entry.bytes + key.len() as u64 + 64
    }
}

/// What stands in Redis: the value and when it ends, for early refresh.
#[derive(Serialize, Deserialize)]
struct Envelope<V> {
    /// Milliseconds since 1970.
    expires: u64,
    value: V,
}

impl Rao {
    pub fn new(config: RaoConfig, redis: Option<RedisTier>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let l1 = Cache::with_weighter(1024, config.l1_bytes, ByBytes);
        Self { inner: Arc::new(Inner { config, l1, redis, clock, ids }) }
    }

    /// The value, or `None` when it is not cached, about to expire and this reader was drawn to refresh it, or when
    /// the cache cannot be asked.
    pub async fn get<T: Cached>(&self, pk: &str) -> Option<Hit<T>> {
        let key = self.key::<T>(pk);
        if let Some(value) = self.in_process(&key) {
            counter!("cache.reads", "tier" => "l1", "outcome" => "hit").increment(1);
            return Some(Hit { value, tier: Tier::L1 });
        }
        let redis = self.inner.redis.as_ref()?;
        let read = redis.get(&key).await;
        let found = read.and_then(|bytes| self.decode::<T>(bytes?));
        let outcome = if found.is_some() { "hit" } else { "miss" };
        counter!("cache.reads", "tier" => "redis", "outcome" => outcome).increment(1);
        let (value, bytes, left) = found?;
        self.keep(key, Arc::clone(&value), bytes, left);
        Some(Hit { value, tier: Tier::Redis })
    }

    /// As many of these as are cached, in the order asked, in one round trip.
    pub async fn get_many<T: Cached>(&self, pks: &[String]) -> Vec<Option<Hit<T>>> {
        let keys: Vec<String> = pks.iter().map(|pk| self.key::<T>(pk)).collect();
        let mut hits: Vec<Option<Hit<T>>> =
            keys.iter().map(|key| self.in_process(key).map(|value| Hit { value, tier: Tier::L1 })).collect();
        let missing: Vec<usize> = (0..keys.len()).filter(|&at| hits[at].is_none()).collect();
        if let (Some(redis), false) = (&self.inner.redis, missing.is_empty()) {
            let wanted: Vec<&str> = missing.iter().map(|&at| keys[at].as_str()).collect();
            let found = redis.get_many(&wanted).await.unwrap_or_default();
            for (at, bytes) in missing.into_iter().zip(found) {
                if let Some((value, bytes, left)) = bytes.and_then(|bytes| self.decode::<T>(bytes)) {
                    self.keep(keys[at].clone(), Arc::clone(&value), bytes, left);
                    hits[at] = Some(Hit { value, tier: Tier::Redis });
                }
            }
        }
        hits
    }

    /// Caches the value for `ttl`, give or take a tenth so that what was written together does not end together.
    pub async fn put<T: Cached>(&self, pk: &str, value: Arc<T>, ttl: Duration) {
        let key = self.key::<T>(pk);
        let ttl = ttl.mul_f64(0.9 + 0.2 * self.inner.ids.unit());
        let expires = self.inner.clock.now().plus(ttl).millis();
        let Ok(json) = serde_json::to_vec(&Envelope { expires, value: &*value }) else {
            counter!("cache.writes", "outcome" => "unserialisable").increment(1);
            return;
        };
        if json.len() > REFUSE_OVER_BYTES || ttl.is_zero() {
            counter!("cache.writes", "outcome" => "refused").increment(1);
            return self.forget(&key).await;
        }
        self.keep(key.clone(), value, json.len(), ttl);
        if let Some(redis) = &self.inner.redis {
            let bytes =
                if json.len() > COMPRESS_OVER_BYTES { zstd::bulk::compress(&json, 1).unwrap_or(json) } else { json };
            redis.set(&key, &bytes, ttl).await;
        }
    }

    pub async fn delete<T: Cached>(&self, pk: &str) {
        self.forget(&self.key::<T>(pk)).await;
    }

    async fn forget(&self, key: &str) {
        self.inner.l1.remove(key);
        if let Some(redis) = &self.inner.redis {
            redis.delete(key).await;
        }
    }

    fn key<T: Cached>(&self, pk: &str) -> String {
        format!("{}.v{}.{}_{pk}", self.inner.config.environment, T::VERSION, T::PREFIX)
    }

    fn in_process<T: Cached>(&self, key: &str) -> Option<Arc<T>> {
        let entry = self.inner.l1.get(key)?;
        if entry.until <= self.inner.clock.monotonic() {
            self.inner.l1.remove(key);
            return None;
        }
        entry.value.downcast().ok()
    }

    fn keep<T: Cached>(&self, key: String, value: Arc<T>, bytes: usize, left: Duration) {
        let until = self.inner.clock.monotonic() + left.min(self.inner.config.l1_ttl);
        self.inner.l1.insert(key, Entry { value, bytes: bytes as u64, until });
    }

    /// The value, its JSON size and how long it is good for; `None` when it is unreadable, over, or drawn for early
    /// refresh: the nearer the end, the likelier a reader is to be the one who refreshes (XFetch, Vattani et al. 2015).
    fn decode<T: Cached>(&self, bytes: Vec<u8>) -> Option<(Arc<T>, usize, Duration)> {
        let json = if bytes.first() == Some(&b'{') {
            bytes
        } else {
            zstd::bulk::decompress(&bytes, REFUSE_OVER_BYTES + 1024).ok()?
        };
        let envelope: Envelope<&RawValue> = serde_json::from_slice(&json).ok()?;
        let left = Duration::from_millis(envelope.expires.saturating_sub(self.inner.clock.now().millis()));
        let early = REFRESH_COST.mul_f64(-self.inner.ids.unit().max(f64::MIN_POSITIVE).ln());
        if left <= early {
            return None;
        }
        let value = serde_json::from_str(envelope.value.get()).ok()?;
        Some((Arc::new(value), json.len(), left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManualClock, SeededIds, Timestamp};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Number(u128);

    impl Cached for Number {
        const PREFIX: &'static str = "numbers";
        const VERSION: u32 = 3;
    }

    fn rao(clock: &Arc<ManualClock>, l1_bytes: u64) -> Rao {
        let config = RaoConfig { environment: "test".into(), l1_bytes, ..RaoConfig::default() };
        Rao::new(config, None, Arc::clone(clock) as _, Arc::new(SeededIds::new(1)))
    }

    #[tokio::test]
    async fn a_process_keeps_a_value_for_a_few_seconds_and_exactly() {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let rao = rao(&clock, 1 << 20);
        rao.put("a", Arc::new(Number(u128::MAX)), Number::TTL).await;
        assert_eq!(*rao.get::<Number>("a").await.unwrap().value, Number(u128::MAX));
        assert!(rao.get::<Number>("b").await.is_none());
        clock.advance(Duration::from_secs(6));
        assert!(rao.get::<Number>("a").await.is_none());
    }

    #[tokio::test]
    async fn the_process_cache_is_bounded_by_bytes() {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let rao = rao(&clock, 10_000);
        for number in 0..1000 {
            rao.put(&number.to_string(), Arc::new(Number(number)), Number::TTL).await;
        }
        assert!(rao.inner.l1.weight() <= 10_000);
        assert!(!rao.inner.l1.is_empty());
    }

    #[tokio::test]
    async fn a_deleted_value_is_gone_and_zero_time_is_not_cached() {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let rao = rao(&clock, 1 << 20);
        rao.put("a", Arc::new(Number(1)), Number::TTL).await;
        rao.delete::<Number>("a").await;
        assert!(rao.get::<Number>("a").await.is_none());
        rao.put("a", Arc::new(Number(1)), Duration::ZERO).await;
        assert!(rao.get::<Number>("a").await.is_none());
    }

    #[test]
    fn keys_carry_environment_and_version() {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        assert_eq!(rao(&clock, 1).key::<Number>("x"), "test.v3.numbers_x");
    }

    #[test]
    fn early_refresh_is_rare_at_first_and_certain_at_the_end() {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let rao = rao(&clock, 1);
        let drawn = |left: u64| {
            let json = serde_json::to_vec(&Envelope { expires: 1_000_000 + left, value: Number(1) }).unwrap();
            (0..1000).filter(|_| rao.decode::<Number>(json.clone()).is_none()).count()
        };
        assert_eq!(drawn(60_000), 0);
        let near = drawn(50);
        assert!((250..500).contains(&near), "{near} of 1000 readers at one refresh cost before the end");
        assert_eq!(drawn(0), 1000);
    }
}
