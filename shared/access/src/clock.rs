use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

const MILLIS_PER_DAY: u64 = 24 * 3600 * 1000;

impl Timestamp {
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, as DynamoDB's time-to-live and JWT claims count.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Whole days since 1970, UTC.
    pub const fn day(self) -> u64 {
        self.0 / MILLIS_PER_DAY
    }

    /// When a day begins.
    pub const fn of_day(day: u64) -> Self {
        Self(day.saturating_mul(MILLIS_PER_DAY))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later (clocks of two machines differ).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// The only source of time.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Never goes back; for durations and for what must not jump with the wall clock.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told to move.
pub struct ManualClock {
    millis: AtomicU64,
    started: u64,
}

impl ManualClock {
    pub fn at(start: Timestamp) -> Self {
        Self { millis: AtomicU64::new(start.0), started: start.0 }
    }

    pub fn advance(&self, by: Duration) {
        self.millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.millis.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::SeqCst) - self.started)
    }
}
