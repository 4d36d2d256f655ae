//! [`Limits`] in one process and over a real Valkey: the same requests get the same decisions. On a busy machine Redis
//! may be too slow for its limit and the process counts alone; then the whole is asked again under other keys.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access::{
    Clock, Decision, Ids, Limits, LimitsConfig, ManualClock, RedisTier, Rule, SeededIds, Strictness, Timestamp, TooMany,
};
use futures::future::join_all;
use tokio::net::{TcpListener, TcpSocket};

use crate::servers::{self, Valkey};

const MINUTE: Duration = Duration::from_secs(60);
/// After repeated failures nobody asks Redis for so long.
const BREAKER_PAUSE: Duration = Duration::from_secs(5);
// Redis forgets by its own clock, which these tests do not move: all times are far longer than a test.
const FIVE: Rule = Rule::new("five", 5, Duration::from_secs(3600));
const TWENTY: Rule = Rule::new("twenty", 20, Duration::from_secs(7200));
/// Whose interval is no whole number of microseconds.
const SEVEN: Rule = Rule::new("seven", 7, Duration::from_secs(3601));

/// Processes of one deployment, with a clock that moves when told.
struct Deployment {
    environment: String,
    redis: Option<String>,
    clock: Arc<ManualClock>,
}

/// Some time later, one request.
#[derive(Clone)]
struct Step {
    after: Duration,
    checks: Vec<(Rule, &'static str)>,
}

impl Deployment {
    fn over(redis: Option<String>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let environment = format!("limits-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { environment, redis, clock: Arc::new(ManualClock::at(Timestamp(1_790_000_000_000))) }
    }

    /// One for each adapter.
    async fn each() -> [Self; 2] {
        [Self::over(None), Self::over(Some(servers::valkey().await.url()))]
    }

    fn process(&self) -> Limits {
        self.process_with(b"a secret of tests")
    }

    fn process_with(&self, secret: &[u8]) -> Limits {
        let clock = || Arc::clone(&self.clock) as Arc<dyn Clock>;
        let redis = self.redis.as_ref().map(|url| RedisTier::open(url, clock()).unwrap());
        let environment = self.environment.clone();
        let config = LimitsConfig { environment, secret: secret.to_vec(), strictness: Strictness::AsWritten };
        Limits::new(config, redis, clock())
    }

    /// Asks until all of it was counted where it should be. `ask` is given what to put in front of its keys.
    async fn counted<T>(&self, ask: impl AsyncFn(String) -> (T, Vec<Decision>)) -> T {
        for attempt in 0..60 {
            let (answer, decisions) = ask(format!("{attempt} ")).await;
            if decisions.iter().all(|decision| decision.shared == self.redis.is_some()) {
                return answer;
            }
            self.clock.advance(BREAKER_PAUSE);
        }
        panic!("Redis was too slow in 60 attempts")
    }

    /// What one process decides, a step after the other.
    async fn play(&self, steps: &[Step]) -> Vec<Vec<Decision>> {
        let limits = self.process();
        let mut played = self
            .counted(async |prefix| {
                let mut all = Vec::new();
                for Step { after, checks } in steps {
                    self.clock.advance(*after);
                    let keys: Vec<_> = checks.iter().map(|(_, key)| format!("{prefix}{key}")).collect();
                    let checks: Vec<_> = checks.iter().zip(&keys).map(|((rule, _), key)| (*rule, &**key)).collect();
                    all.push(limits.check_all(&checks).await);
                }
                (all.clone(), all.concat())
            })
            .await;
        played.iter_mut().flatten().for_each(|decision| decision.shared = false);
        played
    }
}

fn at_once(checks: &[(Rule, &'static str)]) -> Step {
    Step { after: Duration::ZERO, checks: checks.to_vec() }
}

#[tokio::test]
async fn as_many_as_the_limit_pass_at_once_then_one_for_each_interval() {
    for deployment in Deployment::each().await {
        let mut steps = vec![at_once(&[(FIVE, "ann")]); 7];
        steps.push(Step { after: 12 * MINUTE, checks: vec![(FIVE, "ann")] });
        steps.push(at_once(&[(FIVE, "ann")]));
        steps.push(at_once(&[(FIVE, "ben")]));
        steps.push(Step { after: 24 * 60 * MINUTE, checks: vec![(FIVE, "ann")] });
        let played = deployment.play(&steps).await.concat();
        let allowed: Vec<_> = played.iter().map(|decision| decision.allowed).collect();
        assert_eq!(allowed, [true, true, true, true, true, false, false, true, false, true, true]);
        let remaining: Vec<_> = played.iter().map(|decision| decision.remaining).collect();
        assert_eq!(remaining, [4, 3, 2, 1, 0, 0, 0, 0, 0, 4, 4]);
        assert_eq!((played[2].reset_after, played[2].retry_after), (36 * MINUTE, Duration::ZERO));
        assert_eq!((played[6].reset_after, played[6].retry_after), (60 * MINUTE, 12 * MINUTE));
        assert_eq!(played[10].reset_after, 12 * MINUTE);
    }
}

#[tokio::test]
async fn a_request_counts_against_all_of_its_rules_or_none() {
    for deployment in Deployment::each().await {
        let both = at_once(&[(TWENTY, "all"), (FIVE, "ann")]);
        let steps = [vec![both; 40], vec![at_once(&[(TWENTY, "all")])]].concat();
        let played = deployment.play(&steps).await;
        let passed = played[..40].iter().filter(|decisions| TooMany::of(decisions).is_none()).count();
        assert_eq!(passed, 5);
        assert_eq!(TooMany::of(&played[39]), Some(TooMany { rule: "five", retry_after: 12 * MINUTE }));
        assert_eq!([played[39][0].remaining, played[40][0].remaining], [15, 14]);
    }
}

#[tokio::test]
async fn both_adapters_decide_alike_whatever_is_asked() {
    let random = SeededIds::new(23);
    let below = |end: u64| {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    };
    for _ in 0..20 {
        let [process, redis] = Deployment::each().await;
        let mut steps = Vec::new();
        for _ in 0..25 {
            let pause = if below(3) == 0 { below(40 * 60 * 1000) } else { 0 };
            let check = |_| {
                (
                    [FIVE, SEVEN, TWENTY][usize::try_from(below(3)).unwrap()],
                    ["ann", "ben"][usize::try_from(below(2)).unwrap()],
                )
            };
            let checks = (0..=below(3)).map(check).collect();
            steps.push(Step { after: Duration::from_millis(pause), checks });
        }
        assert_eq!(redis.play(&steps).await, process.play(&steps).await);
    }
}

#[tokio::test]
async fn all_processes_count_together_and_at_the_same_time() {
    let deployment = Deployment::over(Some(servers::valkey().await.url()));
    let processes: Vec<_> = (0..4).map(|_| deployment.process()).collect();
    let passed = deployment.counted(async |prefix| {
        let key = format!("{prefix}everybody");
        let asked = (0..40).map(|number| {
            let (limits, key) = (processes[number % 4].clone(), key.clone());
            tokio::spawn(async move { limits.check(TWENTY, &key).await })
        });
        let decisions: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        (decisions.iter().filter(|decision| decision.allowed).count(), decisions)
    });
    assert_eq!(passed.await, 20);
}

#[tokio::test]
async fn deployments_and_secrets_do_not_count_for_each_other() {
    let url = servers::valkey().await.url();
    let (ours, theirs) = (Deployment::over(Some(url.clone())), Deployment::over(Some(url)));
    let all = [ours.process(), theirs.process(), ours.process_with(b"another")];
    let remaining = ours.counted(async |prefix| {
        let mut decisions = Vec::new();
        for limits in &all {
            decisions.push(limits.check(FIVE, &prefix).await);
        }
        (decisions.iter().map(|decision| decision.remaining).collect::<Vec<_>>(), decisions)
    });
    assert_eq!(remaining.await, [4, 4, 4]);
}

/// One check that Redis has counted.
async fn counted_once(deployment: &Deployment, limits: &Limits, key: &str) -> Decision {
    deployment
        .counted(async |_| {
            let decision = limits.check(FIVE, key).await;
            (decision, vec![decision])
        })
        .await
}

#[tokio::test]
async fn redis_holds_no_address_and_forgets_when_all_is_there_again() {
    let valkey = Valkey::start().await;
    let deployment = Deployment::over(Some(valkey.url()));
    let limits = deployment.process();
    let decision = counted_once(&deployment, &limits, "ann@example.org").await;
    let (key, left) = (only_key(&valkey).await, decision.reset_after.as_millis());
    let prefix = format!("{{{}.limits}}.v1.", deployment.environment);
    let digest = key.strip_prefix(&prefix).unwrap();
    assert!(digest.len() == 22 && !digest.contains("ann") && !digest.contains('@'), "{key}");
    let value = valkey.command(&format!("GET {key}")).await;
    assert!(value.lines().nth(1).unwrap().bytes().all(|byte| byte.is_ascii_digit()), "{value}");
    let ttl: u128 = valkey.command(&format!("PTTL {key}")).await.trim().strip_prefix(':').unwrap().parse().unwrap();
    assert!((left - 600_000..=left + 1000).contains(&ttl), "{ttl} of {left} ms");
}

/// The name of one key; there is one.
async fn only_key(valkey: &Valkey) -> String {
    assert_eq!(valkey.command("DBSIZE").await, ":1\r\n");
    valkey.command("RANDOMKEY").await.lines().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn what_cannot_be_understood_counts_as_nothing_and_closes_no_other_key() {
    let valkey = Valkey::start().await;
    let deployment = Deployment::over(Some(valkey.url()));
    let limits = deployment.process();
    counted_once(&deployment, &limits, "ann").await;
    let key = only_key(&valkey).await;
    for garbage in ["garbage", "{}", "nan", "-1"] {
        assert_eq!(valkey.command(&format!("SET {key} {garbage}")).await, "+OK\r\n");
        let decision = limits.check(FIVE, "ann").await;
        assert!(!decision.shared || decision.remaining == 4, "{garbage}: {decision:?}");
    }
    valkey.command("SCRIPT FLUSH").await;
    counted_once(&deployment, &limits, "ben").await;
    valkey.command(&format!("DEL {key}")).await;
    assert_eq!(valkey.command(&format!("LPUSH {key} x")).await, ":1\r\n");
    deployment
        .counted(async |prefix| {
            for _ in 0..10 {
                assert!(!limits.check(FIVE, "ann").await.shared, "this process counts");
            }
            let good = limits.check(FIVE, &prefix).await;
            ((), vec![good])
        })
        .await;
    assert!(!limits.check(FIVE, "ann").await.allowed);
}

/// All that is promised without Redis.
async fn counts_alone(deployment: &Deployment, limits: &Limits, key: &str) {
    let mut passed = 0;
    for _ in 0..20 {
        let decision = limits.check(FIVE, key).await;
        assert!(!decision.shared);
        passed += usize::from(decision.allowed);
    }
    assert_eq!(passed, 5);
    deployment.clock.advance(12 * MINUTE);
    assert!(limits.check(FIVE, key).await.allowed);
    assert!(!limits.check(FIVE, key).await.allowed);
}

#[tokio::test]
async fn while_redis_is_down_the_process_counts_alone() {
    // Bound and not listening: connections are refused, and no other server can take the port.
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let deployment = Deployment::over(Some(format!("redis://{}", bound.local_addr().unwrap())));
    counts_alone(&deployment, &deployment.process(), "ann").await;
}

#[tokio::test]
async fn while_redis_does_not_answer_the_process_counts_alone() {
    let silent = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let deployment = Deployment::over(Some(format!("redis://{}", silent.local_addr().unwrap())));
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            connections.push(connection);
        }
    });
    counts_alone(&deployment, &deployment.process(), "ann").await;
    held.abort();
}

#[tokio::test]
async fn a_redis_killed_and_started_again_counts_again_after_the_pause() {
    let mut valkey = Valkey::start().await;
    let deployment = Deployment::over(Some(valkey.url()));
    let limits = deployment.process();
    counted_once(&deployment, &limits, "before").await;
    valkey.kill().await;
    counts_alone(&deployment, &limits, "ann").await;
    valkey.restart().await;
    counted_once(&deployment, &limits, "after").await;
}
