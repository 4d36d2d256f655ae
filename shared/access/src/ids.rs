use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::Timestamp;

/// The only source of randomness.
pub trait Ids: Send + Sync {
    /// Fills with random bytes fit for secrets.
    fn fill(&self, bytes: &mut [u8]);

    /// Uniform in 0..1, for jitter and sampling.
    fn unit(&self) -> f64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        // The 53 bits a double holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
        let numerator = (u64::from_le_bytes(bytes) >> 11) as f64;
        numerator / (1_u64 << 53) as f64
    }

    /// A ULID: 26 characters, sortable by the time given.
    fn id(&self, now: Timestamp) -> String {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        ulid::Ulid::from_parts(now.millis(), u128::from_le_bytes(bytes)).to_string()
    }
}

/// The operating system's generator.
#[derive(Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the source of randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// The same sequence for the same seed; for tests.
pub struct SeededIds(Mutex<StdRng>);

impl SeededIds {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Ids for SeededIds {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill(bytes);
    }
}
