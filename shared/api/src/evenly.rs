use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Answers are given at multiples of this, so that how long they took does not tell what was found. Above what any of
/// them takes when all is well, hashing a password included.
const BEAT: Duration = Duration::from_millis(500);

/// Of what may have to hash, remove and write twice as much for one caller as for another, as a sign-up for an address
/// that another has begun with: a busy processor takes that over the shorter beat.
pub const LONG_BEAT: Duration = Duration::from_secs(1);

/// Does something whose duration would tell what a caller must not learn, such as whether an address has an account.
pub async fn evenly<T>(work: impl Future<Output = T>) -> T {
    on_the_beat(BEAT, work).await
}

/// [`evenly`] at multiples of `beat`.
pub async fn on_the_beat<T>(beat: Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = work.await;
    let beats = started.elapsed().as_nanos().div_ceil(beat.as_nanos()).max(1);
    sleep_until(started + beat * u32::try_from(beats).unwrap_or(u32::MAX)).await;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whatever_it_took_the_answer_comes_on_the_beat() {
        for (work, answered) in [(0, 500), (1, 500), (499, 500), (500, 500), (501, 1000), (1200, 1500)] {
            let started = Instant::now();
            evenly(tokio::time::sleep(Duration::from_millis(work))).await;
            assert_eq!(started.elapsed().as_millis(), answered, "{work} ms of work");
        }
    }
}
