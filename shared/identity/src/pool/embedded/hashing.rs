//! Password hashes: argon2id, on threads of their own.

use std::sync::Arc;

use access::Ids;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::EmbeddedPoolError;
use crate::password::{Password, PasswordAttempt};

/// What hashing one password costs, and guessing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

/// What OWASP's Password Storage Cheat Sheet asks of argon2id at least: 19 MiB, two passes, one lane.
impl Default for HashCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HashingFailed {
    #[error("the hashing thread was lost")]
    Lost(#[from] tokio::task::JoinError),
    #[error("argon2id failed: {0}")]
    Argon2(argon2::password_hash::Error),
}

pub(super) struct Hasher {
    argon2: Argon2<'static>,
    /// Compared with where there is no account: nobody's, and as much work as anybody's.
    nobodys: String,
    permits: Arc<Semaphore>,
    ids: Arc<dyn Ids>,
}

const SALT_BYTES: usize = 16;

impl Hasher {
    pub(super) fn new(cost: HashCost, at_once: usize, ids: Arc<dyn Ids>) -> Result<Self, EmbeddedPoolError> {
        let bad = |error: &dyn std::fmt::Display| EmbeddedPoolError::HashCost(error.to_string());
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None).map_err(|error| bad(&error))?;
        let (mut salt, mut output) = ([0; SALT_BYTES], [0; Params::DEFAULT_OUTPUT_LEN]);
        ids.fill(&mut salt);
        ids.fill(&mut output);
        // Made up instead of computed: the first who asks must not wait longer than the second.
        let nobodys = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(|error| bad(&error))?,
            salt: Some(Salt::new(&salt).map_err(|error| bad(&error))?),
            hash: Some(Output::new(&output).map_err(|error| bad(&error))?),
        };
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { argon2, nobodys: nobodys.to_string(), permits: Arc::new(Semaphore::new(at_once.max(1))), ids })
    }

    /// In the PHC string format, with its salt and cost.
    pub(super) async fn hash(&self, password: &Password) -> Result<String, HashingFailed> {
        let mut salt = [0; SALT_BYTES];
        self.ids.fill(&mut salt);
        let (argon2, password) = (self.argon2.clone(), password.clone());
        let hash = move || argon2.hash_password_with_salt(password.reveal().as_bytes(), &salt);
        Ok(self.in_turn(hash).await?.map_err(HashingFailed::Argon2)?.to_string())
    }

    /// Whether `attempt` is the password of `hash`; never without one, after the same work.
    pub(super) async fn verify(&self, attempt: &PasswordAttempt, hash: Option<&str>) -> Result<bool, HashingFailed> {
        let known = hash.is_some() && attempt.reveal().is_some();
        let hash = hash.unwrap_or(&self.nobodys).to_owned();
        let password = Zeroizing::new(attempt.reveal().unwrap_or_default().to_owned());
        let argon2 = self.argon2.clone();
        let verify = move || PasswordVerifier::<str>::verify_password(&argon2, password.as_bytes(), &hash);
        match self.in_turn(verify).await? {
            Ok(()) => Ok(known),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(HashingFailed::Argon2(error)),
        }
    }

    /// Runs `work` when it is its turn. The turn lasts as long as the work, also when nobody waits for it any more.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("this semaphore is never closed");
        let work = move || {
            let done = work();
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(work).await
    }
}

#[cfg(test)]
mod tests {
    use access::SeededIds;

    use super::*;

    fn hasher(cost: HashCost) -> Hasher {
        Hasher::new(cost, 2, Arc::new(SeededIds::new(1))).unwrap()
    }

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

    #[tokio::test]
    async fn a_password_is_verified_and_another_is_not() {
        let hasher = hasher(CHEAP);
        let hash = hasher.hash(&Password::new("zorble quasp").unwrap()).await.unwrap();
        for (attempt, right) in
            [("zorble quasp", true), ("zorble quasq", false), ("", false), ("Zorble quasp", false), (" ", false)]
        {
            let attempt = PasswordAttempt::new(attempt);
            assert_eq!(hasher.verify(&attempt, Some(&hash)).await.unwrap(), right);
            assert!(!hasher.verify(&attempt, None).await.unwrap());
        }
    }

    #[tokio::test]
    async fn the_same_password_hashes_differently_each_time_and_says_what_it_cost() {
        let hasher = hasher(HashCost::default());
        let password = Password::new("zorble quasp").unwrap();
        let (one, two) = (hasher.hash(&password).await.unwrap(), hasher.hash(&password).await.unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    }

    #[test]
    fn nobodys_hash_costs_what_everybodys_does() {
        let nobodys = hasher(HashCost::default()).nobodys;
        let hash = PasswordHash::new(&nobodys).unwrap();
        assert!(nobodys.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{nobodys}");
        assert_eq!(hash.salt.unwrap().len(), SALT_BYTES);
        assert_eq!(hash.hash.unwrap().len(), Params::DEFAULT_OUTPUT_LEN);
    }

    #[tokio::test]
    async fn an_older_hash_of_another_cost_is_still_verified() {
        let old = hasher(CHEAP).hash(&Password::new("zorble quasp").unwrap()).await.unwrap();
        let now = hasher(HashCost { memory_kib: 128, passes: 2, lanes: 1 });
        assert!(now.verify(&PasswordAttempt::new("zorble quasp"), Some(&old)).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_no_hash_is_an_error_not_a_wrong_password() {
        let wrong = hasher(CHEAP).verify(&PasswordAttempt::new("zorble quasp"), Some("plain")).await;
        assert!(matches!(wrong, Err(HashingFailed::Argon2(_))), "{wrong:?}");
    }

    #[test]
    fn a_cost_that_argon2_does_not_know_is_refused() {
        let none = HashCost { memory_kib: 1, passes: 0, lanes: 0 };
        assert!(matches!(Hasher::new(none, 1, Arc::new(SeededIds::new(1))), Err(EmbeddedPoolError::HashCost(_))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_are_hashed_at_once_than_allowed() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let hasher = hasher(CHEAP);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            hasher.in_turn(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            })
        };
        for done in futures::future::join_all((0..200).map(|_| work())).await {
            done.unwrap();
        }
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }
}
