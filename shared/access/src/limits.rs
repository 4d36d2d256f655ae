//! How often something may be asked: the rules, and who counts.

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use metrics::counter;
use quick_cache::unsync::Cache;
use redis::Script;
use sha2::Sha256;

use crate::Clock;
use crate::redis_tier::RedisTier;

/// So many in so much time, and as many at once: the generic cell rate algorithm (ITU-T I.371). Whoever has used up
/// `limit` gets one more each `per / limit`, so that within any time `t` at most `limit + t · limit / per` pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// In keys, headers and metrics: stable, lower case with dashes, different for each rule.
    pub name: &'static str,
    /// At least 1.
    pub limit: u32,
    /// At least a microsecond for each of `limit`.
    pub per: Duration,
}

/// Sign-in, for each e-mail address, whoever asks.
pub const SIGN_IN_BY_ADDRESS: Rule = Rule::new("sign-in-address", 10, MINUTE);
/// Sign-in, for each client IP, whatever the addresses.
pub const SIGN_IN_BY_IP: Rule = Rule::new("sign-in", 30, MINUTE);
/// Codes that confirm an address or allow a new password, asked for or tried: for each e-mail address.
pub const CODES_BY_ADDRESS: Rule = Rule::new("codes-address", 5, Duration::from_secs(15 * 60));
/// The same, for each client IP, whatever the addresses: nobody has letters sent to mailboxes by the thousand.
pub const CODES_BY_IP: Rule = Rule::new("codes", 30, Duration::from_secs(15 * 60));
/// Sign-up, for each client IP.
pub const SIGN_UP_BY_IP: Rule = Rule::new("sign-up", 5, HOUR);
/// Sign-up, for each e-mail address, whoever asks: each sends a letter.
pub const SIGN_UP_BY_ADDRESS: Rule = Rule::new("sign-up-address", 5, HOUR);
/// Whether a referral code is valid, for each client IP.
pub const REFERRAL_VALIDITY_BY_IP: Rule = Rule::new("referral-validity", 10, MINUTE);
/// Whether a referral code is valid, for everybody together: it bounds how fast codes can be guessed.
pub const REFERRAL_VALIDITY_IN_ALL: Rule = Rule::new("referral-validity-all", 1000, MINUTE);
/// All that has no rule of its own, for each user or, who is not signed in, each client IP.
pub const DEFAULT: Rule = Rule::new("default", 120, MINUTE);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How strictly the rules are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// As they are written.
    #[default]
    AsWritten,
    /// With limits so many times higher.
    Times(NonZeroU32),
    /// Nothing is counted and everything passes; for benchmarks.
    Off,
}

/// What one rule says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// As it was kept: `limit` is after [`Strictness`].
    pub rule: Rule,
    /// Whether the rule had room. Asked together with others, the request passes when all had.
    pub allowed: bool,
    /// How many more would pass at once.
    pub remaining: u32,
    /// Until all of the limit is there again.
    pub reset_after: Duration,
    /// Until one more passes; zero while any remain.
    pub retry_after: Duration,
    /// Counted for all processes. Otherwise by this one alone: there is no Redis, or it did not answer.
    pub shared: bool,
}

/// A rule had no room. Says nothing of whom it was counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many by the rule `{rule}`")]
pub struct TooMany {
    /// The one that has room last.
    pub rule: &'static str,
    pub retry_after: Duration,
}

/// How the limits are set up.
#[derive(Clone)]
pub struct LimitsConfig {
    /// In front of every key in Redis: deployments never count for each other.
    pub environment: String,
    /// The same for all processes of a deployment. Without it keys in Redis cannot be told from each other, not even
    /// by trying all addresses.
    pub secret: Vec<u8>,
    pub strictness: Strictness,
}

/// Counts against rules: in Redis, for all processes together, and in this process where there is no Redis or while it
/// does not answer. Never fails.
///
/// The time is this machine's clock's. A clock that is set back refuses for at most the rule's `per` longer.
#[derive(Clone)]
pub struct Limits {
    inner: Arc<Inner>,
}

struct Inner {
    key_prefix: String,
    secret: Hmac<Sha256>,
    strictness: Strictness,
    redis: Option<RedisTier>,
    /// On the monotonic clock.
    process: Mutex<Cache<Digest, Micros>>,
    clock: Arc<dyn Clock>,
}

/// Of a rule and whom it is counted for.
type Digest = [u8; 16];

/// Microseconds: on a clock, or between two of its times. Whole ones are exact in Lua's numbers until the year 2255.
type Micros = u64;

/// Of so many callers a process remembers how much they used, about 60 bytes each. What is forgotten starts anew.
const PROCESS_KEYS: usize = 50_000;

/// The theoretical arrival time of each key before this request, in the order given; all are moved on, or none where
/// one has no room. `ARGV`: now, then interval and tolerance of each key. Written to be read beside [`Inner::advance`].
static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local now, before, after, refused = tonumber(ARGV[1]), {}, {}, false
        for i, key in ipairs(KEYS) do
            local interval, tolerance = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
            local arrival = after[key] or tonumber(redis.call('GET', key) or '') or now
            before[i] = arrival > now and arrival or now
            after[key] = before[i] + interval
            refused = refused or after[key] - now > tolerance
        end
        if not refused then
            for _, key in ipairs(KEYS) do
                local left = math.ceil((after[key] - now) / 1000)
                redis.call('SET', key, string.format('%.0f', after[key]), 'PX', string.format('%.0f', left + 1000))
            end
        end
        return before",
    )
});

impl Rule {
    pub const fn new(name: &'static str, limit: u32, per: Duration) -> Self {
        Self { name, limit, per }
    }

    /// Between two that pass when the limit is used up. Rounded up, so that never more pass than written.
    fn interval(self) -> Micros {
        let limit = u128::from(self.limit.max(1));
        Micros::try_from(self.per.as_micros().div_ceil(limit)).unwrap_or(Micros::MAX).max(1)
    }

    /// How far the theoretical arrival time may be ahead of now.
    fn tolerance(self) -> Micros {
        self.interval().saturating_mul(self.limit.max(1).into())
    }

    fn kept(self, strictness: Strictness) -> Self {
        match strictness {
            Strictness::Times(factor) => Self { limit: self.limit.saturating_mul(factor.get()), ..self },
            Strictness::AsWritten | Strictness::Off => self,
        }
    }
}

impl TooMany {
    /// Of decisions made together; `None` when all had room.
    pub fn of(decisions: &[Decision]) -> Option<Self> {
        let refused = decisions.iter().filter(|decision| !decision.allowed);
        let last = refused.max_by_key(|decision| decision.retry_after)?;
        Some(Self { rule: last.rule.name, retry_after: last.retry_after })
    }

    /// [`TooMany::retry_after`] in whole seconds, rounded up, at least 1.
    pub fn retry_after_seconds(&self) -> u32 {
        u32::try_from(self.retry_after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
    }
}

impl Limits {
    pub fn new(config: LimitsConfig, redis: Option<RedisTier>, clock: Arc<dyn Clock>) -> Self {
        let LimitsConfig { environment, secret, strictness } = config;
        // One hash tag: on a cluster a script may touch the keys of one slot only, and one request has several.
        let key_prefix = format!("{{{environment}.limits}}.v1.");
        let secret = Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length");
        let process = Mutex::new(Cache::new(PROCESS_KEYS));
        Self { inner: Arc::new(Inner { key_prefix, secret, strictness, redis, process, clock }) }
    }

    /// Whether nothing is counted.
    pub fn are_off(&self) -> bool {
        self.inner.strictness == Strictness::Off
    }

    /// Counts one request. `key`: whom it is counted for, such as an e-mail address in its normal form; it is stored
    /// and logged nowhere.
    pub async fn check(&self, rule: Rule, key: &str) -> Decision {
        self.inner.count(&[(rule, key)]).await.swap_remove(0)
    }

    /// Counts one request by several rules: against all of them, or, where one has no room, against none. The decisions
    /// are in the order asked.
    pub async fn check_all(&self, checks: &[(Rule, &str)]) -> Vec<Decision> {
        self.inner.count(checks).await
    }

    /// [`Limits::check_all`] for whoever only goes on when all have room.
    pub async fn admit(&self, checks: &[(Rule, &str)]) -> Result<(), TooMany> {
        TooMany::of(&self.check_all(checks).await).map_or(Ok(()), Err)
    }
}

impl Inner {
    async fn count(&self, checks: &[(Rule, &str)]) -> Vec<Decision> {
        let rules: Vec<Rule> = checks.iter().map(|(rule, _)| rule.kept(self.strictness)).collect();
        if self.strictness == Strictness::Off || rules.is_empty() {
            return rules.into_iter().map(Decision::uncounted).collect();
        }
        let digests: Vec<Digest> = checks.iter().map(|(rule, key)| self.digest(rule.name, key)).collect();
        let (now, before, shared) = match self.advance_in_redis(&rules, &digests).await {
            Some((now, before)) => (now, before, true),
            None => {
                let now = Micros::try_from(self.clock.monotonic().as_micros()).unwrap_or(Micros::MAX);
                (now, self.advance(&rules, &digests, now), false)
            }
        };
        let all_pass = rules.iter().zip(&before).all(|(rule, &before)| has_room(*rule, before, now));
        let decide = |(rule, before)| Decision::of(rule, before, now, all_pass, shared);
        let decisions: Vec<_> = rules.into_iter().zip(before).map(decide).collect();
        for decision in &decisions {
            let outcome = if decision.allowed { "allowed" } else { "refused" };
            counter!("limits.checks", "rule" => decision.rule.name, "outcome" => outcome).increment(1);
        }
        decisions
    }

    /// Now and what [`SCRIPT`] answers; `None` when Redis cannot be asked.
    async fn advance_in_redis(&self, rules: &[Rule], digests: &[Digest]) -> Option<(Micros, Vec<Micros>)> {
        let redis = self.redis.as_ref()?;
        let now = self.clock.now().millis().saturating_mul(1000);
        let mut call = SCRIPT.prepare_invoke();
        call.arg(now);
        for (rule, digest) in rules.iter().zip(digests) {
            call.key(format!("{}{}", self.key_prefix, URL_SAFE_NO_PAD.encode(digest)));
            call.arg(rule.interval()).arg(rule.tolerance());
        }
        let before: Option<Vec<Micros>> = redis.run(&call).await;
        let before = before.filter(|before| before.len() == rules.len());
        if before.is_none() {
            counter!("limits.fallbacks").increment(1);
        }
        Some((now, before?))
    }

    /// What [`SCRIPT`] does, in this process.
    fn advance(&self, rules: &[Rule], digests: &[Digest], now: Micros) -> Vec<Micros> {
        let mut known = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before: Vec<Micros> = Vec::with_capacity(rules.len());
        let mut after: Vec<(Digest, Micros)> = Vec::with_capacity(rules.len());
        for (rule, digest) in rules.iter().zip(digests) {
            let earlier = after.iter().rev().find(|(other, _)| other == digest).map(|(_, arrival)| *arrival);
            let arrival = earlier.or_else(|| known.get(digest).copied()).unwrap_or(now).max(now);
            before.push(arrival);
            after.push((*digest, arrival.saturating_add(rule.interval())));
        }
        if rules.iter().zip(&before).all(|(rule, &before)| has_room(*rule, before, now)) {
            for (digest, arrival) in after {
                known.insert(digest, arrival);
            }
        }
        before
    }

    /// Keyed, because whoever reads Redis could otherwise find an IP by trying all there are.
    fn digest(&self, rule: &str, key: &str) -> Digest {
        let mut mac = self.secret.clone();
        mac.update(b"limits\0");
        mac.update(rule.as_bytes());
        mac.update(b"\0");
        mac.update(key.as_bytes());
        let mut digest = [0; 16];
        digest.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        digest
    }
}

fn has_room(rule: Rule, arrival: Micros, now: Micros) -> bool {
    arrival.saturating_add(rule.interval()).saturating_sub(now) <= rule.tolerance()
}

impl Decision {
    fn of(rule: Rule, before: Micros, now: Micros, all_pass: bool, shared: bool) -> Self {
        let (interval, tolerance) = (rule.interval(), rule.tolerance());
        let arrival = if all_pass { before.saturating_add(interval) } else { before };
        let ahead = arrival.saturating_sub(now);
        let remaining = tolerance.saturating_sub(ahead) / interval;
        Self {
            rule,
            allowed: has_room(rule, before, now),
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: Duration::from_micros(ahead),
            retry_after: Duration::from_micros(ahead.saturating_add(interval).saturating_sub(tolerance)),
            shared,
        }
    }

    const fn uncounted(rule: Rule) -> Self {
        let (remaining, zero) = (rule.limit, Duration::ZERO);
        Self { rule, allowed: true, remaining, reset_after: zero, retry_after: zero, shared: false }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::{ManualClock, Timestamp};

    const TEN_A_MINUTE: Rule = Rule::new("ten", 10, MINUTE);
    const THREE_AN_HOUR: Rule = Rule::new("three", 3, Duration::from_secs(3600));

    fn limits(strictness: Strictness) -> (Limits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp(1_790_000_000_000)));
        let config = LimitsConfig { environment: "test".into(), secret: b"a secret of tests".to_vec(), strictness };
        (Limits::new(config, None, Arc::clone(&clock) as _), clock)
    }

    async fn allowed(limits: &Limits, rule: Rule, key: &str, asked: usize) -> usize {
        let mut allowed = 0;
        for _ in 0..asked {
            allowed += usize::from(limits.check(rule, key).await.allowed);
        }
        allowed
    }

    #[tokio::test]
    async fn as_many_as_the_limit_pass_at_once_and_then_one_at_a_time() {
        let (limits, clock) = limits(Strictness::AsWritten);
        for used in 1..=10 {
            let decision = limits.check(TEN_A_MINUTE, "ann").await;
            let reset_after = Duration::from_secs(6 * used);
            assert!(decision.allowed);
            assert_eq!((u64::from(decision.remaining), decision.reset_after), (10 - used, reset_after));
            assert_eq!(decision.retry_after, Duration::from_secs(if used == 10 { 6 } else { 0 }));
        }
        clock.advance(Duration::from_millis(5_999));
        let refused = limits.check(TEN_A_MINUTE, "ann").await;
        assert!(!refused.allowed);
        assert_eq!((refused.remaining, refused.retry_after), (0, Duration::from_millis(1)));
        assert_eq!(refused.reset_after, Duration::from_millis(54_001));
        clock.advance(Duration::from_millis(1));
        assert_eq!(allowed(&limits, TEN_A_MINUTE, "ann", 5).await, 1);
        clock.advance(MINUTE);
        assert_eq!(allowed(&limits, TEN_A_MINUTE, "ann", 50).await, 10);
    }

    #[tokio::test]
    async fn who_is_refused_does_not_wait_longer_for_asking_on() {
        let (limits, clock) = limits(Strictness::AsWritten);
        assert_eq!(allowed(&limits, TEN_A_MINUTE, "ann", 1000).await, 10);
        clock.advance(Duration::from_secs(6));
        assert_eq!(allowed(&limits, TEN_A_MINUTE, "ann", 1).await, 1);
    }

    #[tokio::test]
    async fn each_key_and_each_rule_is_counted_alone() {
        let (limits, _) = limits(Strictness::AsWritten);
        for key in ["ann", "ben"] {
            assert_eq!(allowed(&limits, TEN_A_MINUTE, key, 20).await, 10);
            assert_eq!(allowed(&limits, THREE_AN_HOUR, key, 20).await, 3);
        }
    }

    #[tokio::test]
    async fn a_request_counts_against_all_of_its_rules_or_none() {
        let (limits, _) = limits(Strictness::AsWritten);
        let both = [(TEN_A_MINUTE, "everybody"), (THREE_AN_HOUR, "ann")];
        for _ in 0..3 {
            assert_eq!(limits.admit(&both).await, Ok(()));
        }
        for _ in 0..100 {
            let decisions = limits.check_all(&both).await;
            assert_eq!([decisions[0].allowed, decisions[1].allowed], [true, false]);
            assert_eq!(decisions[0].remaining, 7);
        }
        let retry_after = Duration::from_secs(1200);
        assert_eq!(limits.admit(&both).await, Err(TooMany { rule: "three", retry_after }));
        assert_eq!(allowed(&limits, TEN_A_MINUTE, "everybody", 20).await, 7);
        assert_eq!(limits.check_all(&[]).await, []);
        assert_eq!(limits.admit(&[]).await, Ok(()));
    }

    #[tokio::test]
    async fn the_rule_that_has_room_last_is_told() {
        let (limits, _) = limits(Strictness::AsWritten);
        let both = [(THREE_AN_HOUR, "ann"), (TEN_A_MINUTE, "ann")];
        allowed(&limits, THREE_AN_HOUR, "ann", 3).await;
        allowed(&limits, TEN_A_MINUTE, "ann", 10).await;
        assert_eq!(limits.admit(&both).await.unwrap_err().rule, "three");
    }

    #[tokio::test]
    async fn a_request_asked_twice_by_one_rule_counts_twice() {
        let (limits, _) = limits(Strictness::AsWritten);
        let decisions = limits.check_all(&[(THREE_AN_HOUR, "ann"), (THREE_AN_HOUR, "ann")]).await;
        assert_eq!(decisions.iter().map(|decision| decision.remaining).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(limits.check(THREE_AN_HOUR, "ann").await.remaining, 0);
    }

    #[tokio::test]
    async fn limits_can_be_raised_or_switched_off() {
        let (raised, _) = limits(Strictness::Times(NonZeroU32::new(4).unwrap()));
        assert_eq!(allowed(&raised, TEN_A_MINUTE, "ann", 100).await, 40);
        assert_eq!(raised.check(TEN_A_MINUTE, "ben").await.rule.limit, 40);
        let (off, _) = limits(Strictness::Off);
        assert!(off.are_off() && !raised.are_off());
        assert_eq!(allowed(&off, TEN_A_MINUTE, "ann", 100).await, 100);
    }

    #[tokio::test]
    async fn what_a_process_remembers_is_bounded() {
        let (limits, _) = limits(Strictness::AsWritten);
        for number in 0..PROCESS_KEYS + 1000 {
            limits.check(TEN_A_MINUTE, &number.to_string()).await;
        }
        let known = limits.inner.process.lock().unwrap().len();
        assert!((1..=PROCESS_KEYS).contains(&known), "{known}");
    }

    #[test]
    fn a_digest_depends_on_secret_rule_and_key() {
        let inner = |secret: &[u8]| {
            let config =
                LimitsConfig { environment: "test".into(), secret: secret.to_vec(), strictness: Strictness::default() };
            Limits::new(config, None, Arc::new(ManualClock::at(Timestamp(0)))).inner
        };
        let (one, other) = (inner(b"one"), inner(b"other"));
        let all = [one.digest("a", "bc"), one.digest("ab", "c"), one.digest("a", "c"), other.digest("a", "bc")];
        assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])));
        assert_eq!(one.digest("a", "bc"), inner(b"one").digest("a", "bc"));
    }

    #[test]
    fn rules_have_names_of_their_own_that_can_stand_in_a_header() {
        let all = [
            SIGN_IN_BY_ADDRESS,
            SIGN_IN_BY_IP,
            CODES_BY_ADDRESS,
            SIGN_UP_BY_IP,
            REFERRAL_VALIDITY_BY_IP,
            REFERRAL_VALIDITY_IN_ALL,
            DEFAULT,
        ];
        for (at, rule) in all.iter().enumerate() {
            assert!(rule.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.name);
            assert!(all[..at].iter().all(|other| other.name != rule.name), "{}", rule.name);
            assert_eq!(u128::from(rule.tolerance()), rule.per.as_micros(), "{}: no rounding", rule.name);
        }
    }

    #[test]
    fn seconds_to_wait_are_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (u64::MAX, u32::MAX)] {
            let too_many = TooMany { rule: "r", retry_after: Duration::from_millis(millis) };
            assert_eq!(too_many.retry_after_seconds(), seconds);
        }
    }

    fn play(limits: &Limits, rule: Rule, key: &str) -> Decision {
        limits.check(rule, key).now_or_never().expect("nothing to wait for without Redis")
    }

    proptest! {
        /// Over any window: between any two that passed, not only since the start.
        #[test]
        fn never_more_pass_than_limit_and_rate_allow(
            limit in 1_u32..20,
            per_millis in 20_u64..100_000,
            pauses in prop::collection::vec((0_u32..4, 0_u64..20_000), 1..200),
        ) {
            let (limits, clock) = limits(Strictness::AsWritten);
            let rule = Rule::new("r", limit, Duration::from_millis(per_millis));
            let mut passed: Vec<u64> = Vec::new();
            for (sort, millis) in pauses {
                // Mostly at once, so that limits are met.
                clock.advance(Duration::from_millis(if sort == 0 { millis } else { 0 }));
                let (now, decision) = (clock.now().millis(), play(&limits, rule, "ann"));
                prop_assert!(decision.remaining < limit);
                prop_assert_eq!(decision.retry_after.is_zero(), decision.remaining > 0);
                if decision.allowed {
                    passed.push(now);
                }
            }
            for (first, &start) in passed.iter().enumerate() {
                for (last, &end) in passed.iter().enumerate().skip(first) {
                    let most = u64::from(limit) + (end - start) * u64::from(limit) / per_millis;
                    prop_assert!((last - first + 1) as u64 <= most, "{} in {} ms", last - first + 1, end - start);
                }
            }
        }

        #[test]
        fn who_waits_as_told_passes_and_a_moment_earlier_does_not(
            limit in 1_u32..50,
            per_millis in 100_u64..1_000_000,
            asked in 0_usize..120,
        ) {
            let (limits, clock) = limits(Strictness::AsWritten);
            let rule = Rule::new("r", limit, Duration::from_millis(per_millis));
            for _ in 0..asked {
                play(&limits, rule, "ann");
            }
            let used_up = asked >= limit as usize;
            let told = play(&limits, rule, "ann");
            prop_assert_eq!(told.allowed, !used_up);
            let told = if used_up { told } else { return Ok(()) };
            // The test's clock has whole milliseconds.
            let wait = u64::try_from(told.retry_after.as_micros().div_ceil(1000)).unwrap();
            clock.advance(Duration::from_millis(wait - 1));
            prop_assert!(!play(&limits, rule, "ann").allowed);
            clock.advance(Duration::from_millis(1));
            prop_assert!(play(&limits, rule, "ann").allowed);
            clock.advance(told.reset_after + rule.per);
            prop_assert_eq!(play(&limits, rule, "ann").remaining, limit - 1);
        }
    }
}
