//! [`Rao`] over a real Valkey. What must be found is asked for until it is: on a busy machine Redis may be too slow
//! for its limit, which is a miss and no fault.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access::{Cached, Clock, Ids, ManualClock, Rao, RaoConfig, RedisTier, SeededIds, Tier, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpSocket};

use crate::servers::{self, Valkey};

/// After repeated failures nobody asks Redis for so long.
const BREAKER_PAUSE: Duration = Duration::from_secs(5);
/// Longer than a process keeps a value itself.
const PAST_L1: Duration = Duration::from_secs(6);
const KIB: usize = 1 << 10;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Text(String);

impl Cached for Text {
    const PREFIX: &'static str = "texts";
    const VERSION: u32 = 1;
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

/// The same rows after a deploy that changed their shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NextText(String);

impl Cached for NextText {
    const PREFIX: &'static str = Text::PREFIX;
    const VERSION: u32 = 2;
}

impl From<&'static str> for NextText {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

#[derive(Serialize, Deserialize)]
struct Numbers {
    unsigned: u128,
    signed: i128,
    large: u64,
    small: i64,
    double: f64,
    /// Digits as the table wrote them.
    decimal: Box<RawValue>,
}

impl Cached for Numbers {
    const PREFIX: &'static str = "numbers";
    const VERSION: u32 = 1;
}

/// A process of one deployment, with a clock that moves when told.
struct Process {
    rao: Rao,
    clock: Arc<ManualClock>,
}

/// Processes of one deployment over one Redis, and a look at what is in there.
struct Deployment {
    environment: String,
    url: String,
    clock: Arc<ManualClock>,
    redis: RedisTier,
}

impl Deployment {
    /// With keys nobody else has.
    fn over(url: String) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let environment = format!("contract-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let clock = Arc::new(ManualClock::at(Timestamp(1_790_000_000_000)));
        let redis = RedisTier::open(&url, Arc::clone(&clock) as _).unwrap();
        Self { environment, url, clock, redis }
    }

    async fn shared() -> Self {
        Self::over(servers::valkey().await.url())
    }

    /// One more process, which keeps nothing yet.
    fn process(&self) -> Process {
        static SEED: AtomicU64 = AtomicU64::new(0);
        let config = RaoConfig { environment: self.environment.clone(), ..RaoConfig::default() };
        let redis = RedisTier::open(&self.url, Arc::clone(&self.clock) as _).unwrap();
        let ids = Arc::new(SeededIds::new(SEED.fetch_add(1, Ordering::Relaxed)));
        let rao = Rao::new(config, Some(redis), Arc::clone(&self.clock) as _, ids);
        Process { rao, clock: Arc::clone(&self.clock) }
    }

    fn key<T: Cached>(&self, pk: &str) -> String {
        format!("{}.v{}.{}_{pk}", self.environment, T::VERSION, T::PREFIX)
    }

    /// What stands in Redis, past the cache.
    async fn raw<T: Cached>(&self, pk: &str) -> Option<Vec<u8>> {
        let key = self.key::<T>(pk);
        until(&self.clock, async || self.redis.get(&key).await).await
    }

    /// Puts until it stands in Redis, in place of what was there.
    async fn put<T: Cached>(&self, process: &Process, pk: &str, value: &Arc<T>) -> Vec<u8> {
        let key = self.key::<T>(pk);
        let before = self.redis.get(&key).await.flatten();
        until(&self.clock, async || {
            process.rao.put(pk, Arc::clone(value), T::TTL).await;
            self.redis.get(&key).await?.filter(|stored| before.as_ref() != Some(stored))
        })
        .await
    }

    /// Whether a process that keeps nothing yet finds it, alone or among others. Redis answers for the control and
    /// for what is asked at once, so that a slow answer is not taken for a miss.
    async fn finds<T: Cached + From<&'static str>>(&self, pk: &str) -> bool {
        let control = Arc::new(T::from("is there"));
        self.put(&self.process(), "control", &control).await;
        let pks = ["control", pk].map(String::from);
        let among_others = until(&self.clock, async || {
            let hits = self.process().rao.get_many::<T>(&pks).await;
            hits[0].is_some().then(|| hits[1].is_some())
        })
        .await;
        among_others || self.process().rao.get::<T>(pk).await.is_some()
    }
}

impl Process {
    /// Reads until it is found.
    async fn hit<T: Cached>(&self, pk: &str) -> Arc<T> {
        let hit = until(&self.clock, async || self.rao.get::<T>(pk).await).await;
        assert_eq!(hit.tier, Tier::Redis);
        hit.value
    }
}

/// Asks until there is an answer, past the breaker's pauses; 60 of them are far below any time to live here.
async fn until<T>(clock: &ManualClock, ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..60 {
        if let Some(answer) = ask().await {
            return answer;
        }
        clock.advance(BREAKER_PAUSE);
    }
    panic!("no answer in 60 attempts")
}

#[tokio::test]
async fn numbers_are_read_by_another_process_exactly_as_written() {
    let deployment = Deployment::shared().await;
    let (writer, reader) = (deployment.process(), deployment.process());
    let decimals = ["0.1", "1e-18", "115792089237316195423570985008687907853.000000000000000001", "1.10", "-0", "12"];
    let random = SeededIds::new(11);
    let draw = || {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    };
    let edges = [0, 1, (1 << 53) + 1, u128::from(u64::MAX), u128::MAX];
    for (number, unsigned) in edges.into_iter().chain((0..40).map(|_| draw())).enumerate() {
        let written = Arc::new(Numbers {
            unsigned,
            signed: i128::from_le_bytes(unsigned.to_le_bytes()),
            large: u64::MAX - number as u64,
            small: i64::MIN + i64::try_from(number).unwrap(),
            double: random.unit(),
            decimal: RawValue::from_string(decimals[number % decimals.len()].into()).unwrap(),
        });
        let pk = number.to_string();
        deployment.put(&writer, &pk, &written).await;
        let read = reader.hit::<Numbers>(&pk).await;
        assert_eq!(
            (read.unsigned, read.signed, read.large, read.small),
            (written.unsigned, written.signed, written.large, written.small)
        );
        assert_eq!(read.double.to_bits(), written.double.to_bits());
        assert_eq!(read.decimal.get(), written.decimal.get());
    }
}

#[tokio::test]
async fn large_values_are_compressed_on_the_wire_and_small_ones_are_json() {
    let deployment = Deployment::shared().await;
    let (writer, reader) = (deployment.process(), deployment.process());
    for (length, compressed) in [(0, false), (16 * KIB - 100, false), (16 * KIB + 1, true), (3 << 20, true)] {
        let value = Arc::new(Text("ab".repeat(length / 2)));
        let pk = length.to_string();
        let raw = deployment.put(&writer, &pk, &value).await;
        if compressed {
            assert!(raw.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "zstd's magic number, {length} bytes");
            assert!(raw.len() < length / 4, "{} of {length} bytes", raw.len());
        } else {
            assert!(raw.starts_with(b"{") && raw.len() >= length, "{length} bytes");
        }
        assert!(*reader.hit::<Text>(&pk).await == *value, "{length} bytes");
    }
}

#[tokio::test]
async fn huge_values_are_not_cached_and_take_the_place_of_none() {
    let deployment = Deployment::shared().await;
    let process = deployment.process();
    deployment.put(&process, "a", &Arc::new(Text("small and old".into()))).await;
    let huge = Arc::new(Text("x".repeat(4 << 20)));
    until(&deployment.clock, async || {
        process.rao.put("a", Arc::clone(&huge), Text::TTL).await;
        deployment.raw::<Text>("a").await.is_none().then_some(())
    })
    .await;
    assert!(process.rao.get::<Text>("a").await.is_none(), "nor in the process");
}

#[tokio::test]
async fn times_to_live_differ_by_a_tenth_at_most_and_redis_knows_them() {
    #[derive(Deserialize)]
    struct Ends {
        expires: u64,
    }
    let valkey = servers::valkey().await;
    let deployment = Deployment::over(valkey.url());
    let process = deployment.process();
    let ttl = u64::try_from(Text::TTL.as_millis()).unwrap();
    let mut all = Vec::new();
    for number in 0..60 {
        let pk = number.to_string();
        let raw = deployment.put(&process, &pk, &Arc::new(Text(String::new()))).await;
        let ends: Ends = serde_json::from_slice(&raw).unwrap();
        let left = ends.expires - deployment.clock.now().millis();
        assert!((ttl / 10 * 9..=ttl / 10 * 11).contains(&left), "{left} ms");
        let answer = valkey.command(&format!("PTTL {}", deployment.key::<Text>(&pk))).await;
        let in_redis: u64 = answer.trim().strip_prefix(':').unwrap().parse().unwrap();
        // Its clock has gone on since; the cache's has not.
        assert!(in_redis <= left && in_redis + 60_000 > left, "{in_redis} ms of {left}");
        all.push(left);
    }
    let (least, most) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
    assert!(most - least > ttl / 10, "spread: {least} to {most} ms");
}

#[tokio::test]
async fn a_value_past_its_end_is_not_read() {
    let deployment = Deployment::shared().await;
    deployment.put(&deployment.process(), "a", &Arc::new(Text("old".into()))).await;
    assert!(deployment.finds::<Text>("a").await);
    deployment.clock.advance(Text::TTL.mul_f64(1.1));
    assert!(!deployment.finds::<Text>("a").await);
    assert!(deployment.raw::<Text>("a").await.is_some(), "Redis, whose clock is another, has it still");
}

#[tokio::test]
async fn redis_forgets_a_value_at_its_end() {
    let deployment = Deployment::shared().await;
    let process = deployment.process();
    process.rao.put("a", Arc::new(Text("short".into())), Duration::from_millis(200)).await;
    while deployment.raw::<Text>("a").await.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_deleted_value_is_gone_for_all() {
    let deployment = Deployment::shared().await;
    let process = deployment.process();
    deployment.put(&process, "a", &Arc::new(Text("one".into()))).await;
    deployment.put(&process, "b", &Arc::new(Text("other".into()))).await;
    until(&deployment.clock, async || {
        process.rao.delete::<Text>("a").await;
        deployment.raw::<Text>("a").await.is_none().then_some(())
    })
    .await;
    assert!(process.rao.get::<Text>("a").await.is_none());
    assert!(!deployment.finds::<Text>("a").await);
    assert!(deployment.finds::<Text>("b").await);
    process.rao.delete::<Text>("never there").await;
}

#[tokio::test]
async fn many_values_are_read_in_one_round_trip_in_the_order_asked() {
    let valkey = Valkey::start().await;
    let deployment = Deployment::over(valkey.url());
    let writer = deployment.process();
    for pk in ["a", "c", "e"] {
        deployment.put(&writer, pk, &Arc::new(Text(format!("value of {pk}")))).await;
    }
    let pks = ["e", "d", "c", "b", "a", "a"].map(String::from);
    let expected = ["e", "", "c", "", "a", "a"].map(|pk| (!pk.is_empty()).then(|| format!("value of {pk}")));
    let reader = deployment.process();
    let (asked, gets) = (valkey.calls("mget").await, valkey.calls("get").await);
    let reads = AtomicU64::new(0);
    let hits = until(&deployment.clock, async || {
        reads.fetch_add(1, Ordering::Relaxed);
        let hits = reader.rao.get_many::<Text>(&pks).await;
        hits.iter().any(Option::is_some).then_some(hits)
    })
    .await;
    let values = |hits: &[Option<access::Hit<Text>>]| -> Vec<_> {
        hits.iter().map(|hit| hit.as_ref().map(|hit| hit.value.0.clone())).collect()
    };
    assert_eq!(values(&hits), expected);
    assert!(hits.iter().flatten().all(|hit| hit.tier == Tier::Redis));
    let trips = valkey.calls("mget").await - asked;
    assert!((1..=reads.into_inner()).contains(&trips), "{trips} round trips");
    assert_eq!(valkey.calls("get").await, gets, "nothing is asked for one by one");

    // What the process has by now it does not ask for again.
    let asked = valkey.calls("mget").await;
    let again = reader.rao.get_many::<Text>(&["a", "c"].map(String::from)).await;
    assert_eq!(values(&again), ["a", "c"].map(|pk| Some(format!("value of {pk}"))));
    assert!(again.iter().flatten().all(|hit| hit.tier == Tier::L1));
    assert!(reader.rao.get_many::<Text>(&[]).await.is_empty());
    assert_eq!(valkey.calls("mget").await, asked);
}

#[tokio::test]
async fn another_deployment_or_shape_never_reads_it() {
    let (ours, theirs) = (Deployment::shared().await, Deployment::shared().await);
    ours.put(&ours.process(), "a", &Arc::new(Text("ours".into()))).await;
    assert!(ours.finds::<Text>("a").await);
    assert!(!theirs.finds::<Text>("a").await);
    assert!(!ours.finds::<NextText>("a").await);
    ours.put(&ours.process(), "a", &Arc::new(NextText("next".into()))).await;
    assert_eq!(ours.process().hit::<Text>("a").await.0, "ours");
    assert_eq!(ours.process().hit::<NextText>("a").await.0, "next");
}

#[tokio::test]
async fn what_cannot_be_understood_is_a_miss_and_replaced() {
    let valkey = servers::valkey().await;
    let deployment = Deployment::over(valkey.url());
    let key = deployment.key::<Text>("a");
    let bad: [&[u8]; 8] = [
        b"",
        b"garbage",
        b"{",
        br#"{"expires":253402300800000}"#,
        br#"{"expires":253402300800000,"value":7}"#,
        br#"{"expires":-1,"value":"text"}"#,
        br#"{"expires":253402300800000,"value":"text"} and more"#,
        b"\x28\xb5\x2f\xfd and nothing that zstd wrote",
    ];
    for value in bad {
        until(&deployment.clock, async || {
            deployment.redis.set(&key, value, Text::TTL).await;
            deployment.redis.get(&key).await?.filter(|stored| stored == value)
        })
        .await;
        misses_and_replaces(&deployment, &String::from_utf8_lossy(value)).await;
    }
    for command in [format!("LPUSH {key} x"), format!("HSET {key} field x")] {
        valkey.command(&format!("DEL {key}")).await;
        assert_eq!(valkey.command(&command).await, ":1\r\n");
        misses_and_replaces(&deployment, &command).await;
    }
}

#[tokio::test]
async fn one_bad_key_read_often_does_not_close_the_others() {
    let valkey = servers::valkey().await;
    let deployment = Deployment::over(valkey.url());
    deployment.put(&deployment.process(), "good", &Arc::new(Text("good".into()))).await;
    assert_eq!(valkey.command(&format!("LPUSH {} x", deployment.key::<Text>("bad"))).await, ":1\r\n");
    // One process, so that its breaker would have counted all of these; and the last question with no time between.
    let process = deployment.process();
    until(&deployment.clock, async || {
        for _ in 0..10 {
            assert!(process.rao.get::<Text>("bad").await.is_none());
        }
        process.rao.get::<Text>("good").await
    })
    .await;
}

async fn misses_and_replaces(deployment: &Deployment, what: &str) {
    assert!(!deployment.finds::<Text>("a").await, "{what}");
    deployment.put(&deployment.process(), "a", &Arc::new(Text("good".into()))).await;
    assert_eq!(deployment.process().hit::<Text>("a").await.0, "good", "{what}");
}

/// All a cache can be asked, of one that has no Redis: misses, and what the process keeps itself.
async fn works_without_redis(process: &Process) {
    assert!(process.rao.get::<Text>("a").await.is_none());
    assert!(process.rao.get_many::<Text>(&["a".into(), "b".into()]).await.iter().all(Option::is_none));
    process.rao.put("a", Arc::new(Text("one".into())), Text::TTL).await;
    assert_eq!(process.rao.get::<Text>("a").await.unwrap().tier, Tier::L1);
    process.rao.delete::<Text>("a").await;
    assert!(process.rao.get::<Text>("a").await.is_none());
    process.rao.put("a", Arc::new(Text("one".into())), Text::TTL).await;
    process.clock.advance(PAST_L1);
    assert!(process.rao.get::<Text>("a").await.is_none());
}

#[tokio::test]
async fn a_redis_that_is_down_is_a_miss() {
    // Bound and not listening: connections are refused, and no other server can take the port.
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let deployment = Deployment::over(format!("redis://{}", bound.local_addr().unwrap()));
    works_without_redis(&deployment.process()).await;
}

/// Without a limit this test would never end: nothing is ever answered.
#[tokio::test]
async fn a_redis_that_never_answers_is_a_miss_and_soon_not_asked() {
    let silent = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            connections.push(connection);
        }
    });
    let deployment = Deployment::over(url);
    let process = deployment.process();
    let all = async {
        works_without_redis(&process).await;
        for _ in 0..100_000 {
            assert!(process.rao.get::<Text>("never").await.is_none());
        }
    };
    // A hundred thousand reads of 50 ms each would take more than an hour.
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("the breaker opens");
    held.abort();
}

#[tokio::test]
async fn a_redis_killed_and_started_again_is_used_again_after_the_pause() {
    let mut valkey = Valkey::start().await;
    let deployment = Deployment::over(valkey.url());
    let process = deployment.process();
    deployment.put(&process, "a", &Arc::new(Text("before".into()))).await;
    deployment.clock.advance(PAST_L1);
    assert_eq!(process.hit::<Text>("a").await.0, "before");

    valkey.kill().await;
    assert_eq!(process.rao.get::<Text>("a").await.unwrap().tier, Tier::L1, "what the process keeps, it keeps");
    deployment.clock.advance(PAST_L1);
    for _ in 0..3 {
        assert!(process.rao.get::<Text>("a").await.is_none());
    }

    valkey.restart().await;
    for _ in 0..20 {
        assert!(process.rao.get::<Text>("a").await.is_none());
    }
    assert_eq!(valkey.calls("get").await, 0, "nobody asks while the breaker is open");
    deployment.clock.advance(BREAKER_PAUSE);
    deployment.put(&process, "a", &Arc::new(Text("after".into()))).await;
    deployment.clock.advance(PAST_L1);
    assert_eq!(process.hit::<Text>("a").await.0, "after");
}
