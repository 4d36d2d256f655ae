//! One issuer's keys: where they come from, how long they are kept, and how often anybody is asked for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::fetch::{FetchError, JwksFetch, NETWORK_LIMIT};
use crate::issuer::{Issuer, IssuerError};
use crate::jwks::{self, JwksError, Keys, PublicKey};
use crate::refused::Refused;
use crate::verifier::{Clock, Rules};

/// A cache slower than this is passed over: the network would have answered.
const CACHE_LIMIT: Duration = Duration::from_millis(250);

/// Key sets shared between processes. Whoever can write here can sign people in, so it must be as private as the
/// records themselves. A failing cache answers `None` and forgets what it is given.
#[async_trait]
pub trait JwksCache: Send + Sync {
    async fn get(&self, issuer: &str) -> Option<StoredJwks>;
    async fn put(&self, issuer: &str, stored: &StoredJwks);
}

/// What a [`JwksCache`] keeps per issuer, as long as it likes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredJwks {
    /// The JSON text as published.
    pub json: String,
    /// Seconds since 1970.
    pub fetched_at: u64,
}

/// The keys of one issuer.
pub(crate) struct IssuerKeys {
    issuer: Issuer,
    bundled: Option<Arc<Keys>>,
    held: RwLock<Option<Held>>,
    /// Held while a refresh runs, so that there is one at a time.
    gate: Arc<Mutex<Gate>>,
    /// Refreshes finished, in success or not: tells a waiter that its question was asked meanwhile.
    refreshes: AtomicU64,
    fetch: Arc<dyn JwksFetch>,
    cache: Option<Arc<dyn JwksCache>>,
    clock: Clock,
    rules: Rules,
}

#[derive(Clone)]
struct Held {
    keys: Arc<Keys>,
    /// `None`: the bundled copy, which is never fresh.
    fetched_at: Option<u64>,
}

/// When the issuer may be asked again.
#[derive(Default)]
struct Gate {
    paused_at: u64,
    pause_seconds: u64,
    /// Refreshes in a row that did not help; each doubles the pause.
    in_vain: u32,
    /// The last refresh could not reach the issuer, so that an unknown key may yet be a good one.
    failed: bool,
}

impl Gate {
    /// A clock set back ends the pause rather than prolonging it.
    fn is_pausing(&self, now: u64) -> bool {
        now.checked_sub(self.paused_at).is_some_and(|elapsed| elapsed < self.pause_seconds)
    }

    fn open(&mut self) {
        *self = Self::default();
    }

    fn pause(&mut self, now: u64, first_seconds: u64, longest_seconds: u64, failed: bool) {
        // A failure after answers in vain (or the other way round) starts over: the two pauses have nothing in common.
        let in_vain = if failed == self.failed { self.in_vain } else { 0 };
        let pause_seconds = first_seconds.saturating_mul(2_u64.saturating_pow(in_vain)).min(longest_seconds);
        *self = Self { paused_at: now, pause_seconds, in_vain: in_vain.saturating_add(1), failed };
    }
}

impl IssuerKeys {
    pub(crate) fn new(
        issuer: Issuer,
        fetch: Arc<dyn JwksFetch>,
        cache: Option<Arc<dyn JwksCache>>,
        clock: Clock,
        rules: Rules,
    ) -> Result<Self, IssuerError> {
        issuer.check()?;
        let bundled = issuer
            .bundled
            .as_deref()
            .map(jwks::parse)
            .transpose()
            .map_err(|source| IssuerError::Bundled { issuer: issuer.issuer.clone(), source })?
            .map(Arc::new);
        // Without an address the bundled keys are all there will ever be.
        let held = issuer.jwks_url.is_none().then_some(&bundled).into_iter().flatten();
        let held = held.map(|keys| Held { keys: Arc::clone(keys), fetched_at: None }).next();
        Ok(Self {
            issuer,
            bundled,
            held: RwLock::new(held),
            gate: Arc::default(),
            refreshes: AtomicU64::new(0),
            fetch,
            cache,
            clock,
            rules,
        })
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The key called `kid`. Errors: [`Refused::UnknownKey`] when the issuer does not have it,
    /// [`Refused::KeysUnavailable`] when the issuer could not be asked.
    pub(crate) async fn find(self: &Arc<Self>, kid: &str) -> Result<Arc<PublicKey>, Refused> {
        let now = (self.clock)();
        let seen = self.refreshes.load(Ordering::Acquire);
        let held = self.held();
        let known = held.as_ref().and_then(|held| held.keys.get(kid)).cloned();

        if self.issuer.jwks_url.is_none() {
            return known.ok_or(Refused::UnknownKey);
        }
        let fresh = held.is_some_and(|held| self.is_fresh(held.fetched_at, now));
        let gate = match known {
            Some(key) if fresh => return Ok(key),
            // A key past its age serves on while somebody else asks.
            Some(key) => match Arc::clone(&self.gate).try_lock_owned() {
                Ok(gate) => gate,
                Err(_) => return Ok(key),
            },
            None => Arc::clone(&self.gate).lock_owned().await,
        };

        let failed = if self.refreshes.load(Ordering::Acquire) == seen && !gate.is_pausing((self.clock)()) {
            // On its own task, so that a caller who hangs up neither stops it for the others nor gets round the pause.
            let (this, kid) = (Arc::clone(self), kid.to_owned());
            tokio::spawn(async move { this.refresh(gate, &kid).await }).await.unwrap_or(true)
        } else {
            gate.failed
        };
        let known = self.held().and_then(|held| held.keys.get(kid).cloned());
        known.ok_or(if failed { Refused::KeysUnavailable } else { Refused::UnknownKey })
    }

    fn held(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, keys: Arc<Keys>, fetched_at: Option<u64>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Held { keys, fetched_at });
    }

    fn is_fresh(&self, fetched_at: Option<u64>, now: u64) -> bool {
        let age = fetched_at.and_then(|at| now.checked_sub(at));
        age.is_some_and(|age| age < self.rules.max_age_seconds)
    }

    /// Asks the cache, then the issuer; falls back on what is held, then on the bundled copy. Returns whether the
    /// issuer could not be asked.
    async fn refresh(&self, mut gate: OwnedMutexGuard<Gate>, kid: &str) -> bool {
        let asked_at = (self.clock)();
        if !self.refresh_from_cache(&mut gate, kid, asked_at).await {
            match self.ask().await {
                Ok((json, keys)) => {
                    count_fetch("fetched");
                    let has_key = keys.contains_key(kid);
                    self.hold(Arc::new(keys), Some(asked_at));
                    self.share(StoredJwks { json, fetched_at: asked_at }).await;
                    if has_key { gate.open() } else { self.pause_in_vain(&mut gate) }
                }
                Err(error) => {
                    count_fetch(error.outcome());
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(issuer = self.issuer.issuer, error, "JWKS could not be refreshed");
                    let (first, longest) = (self.rules.failure_pause_seconds, self.rules.longest_pause_seconds);
                    gate.pause((self.clock)(), first, longest, true);
                    if self.held().is_none()
                        && let Some(bundled) = &self.bundled
                    {
                        self.hold(Arc::clone(bundled), None);
                    }
                }
            }
        }
        let failed = gate.failed;
        // Before the gate opens for the next: whoever waited must see that its question was asked.
        self.refreshes.fetch_add(1, Ordering::Release);
        failed
    }

    /// Takes another process's copy if it is newer than ours. Returns whether that settles the matter: it has the key,
    /// or it is so young that asking the issuer again would be the repeat that the pause is there to prevent.
    async fn refresh_from_cache(&self, gate: &mut Gate, kid: &str, now: u64) -> bool {
        let Some(cache) = &self.cache else { return false };
        let Ok(Some(stored)) = tokio::time::timeout(CACHE_LIMIT, cache.get(&self.issuer.issuer)).await else {
            return false;
        };
        let fetched_at = stored.fetched_at.min(now);
        let held_at = self.held().and_then(|held| held.fetched_at);
        if !self.is_fresh(Some(fetched_at), now) || held_at.is_some_and(|held_at| held_at >= fetched_at) {
            return false;
        }
        let keys = match jwks::parse(&stored.json) {
            Ok(keys) => keys,
            Err(error) => {
                count_fetch("invalid");
                let error: &dyn std::error::Error = &error;
                tracing::warn!(issuer = self.issuer.issuer, error, "cached JWKS cannot be used");
                return false;
            }
        };
        count_fetch("shared");
        let has_key = keys.contains_key(kid);
        self.hold(Arc::new(keys), Some(fetched_at));
        if has_key {
            gate.open();
        } else if now - fetched_at < self.rules.unknown_key_pause_seconds {
            self.pause_in_vain(gate);
        } else {
            return false;
        }
        true
    }

    fn pause_in_vain(&self, gate: &mut Gate) {
        let (first, longest) = (self.rules.unknown_key_pause_seconds, self.rules.longest_pause_seconds);
        gate.pause((self.clock)(), first, longest, false);
    }

    async fn ask(&self) -> Result<(String, Keys), AskError> {
        let url = self.issuer.jwks_url.as_deref().unwrap_or_default();
        let json = tokio::time::timeout(NETWORK_LIMIT, self.fetch.fetch(url))
            .await
            .map_err(|_elapsed| AskError::Fetch(FetchError::TimedOut))??;
        let keys = jwks::parse(&json)?;
        Ok((json, keys))
    }

    async fn share(&self, stored: StoredJwks) {
        if let Some(cache) = &self.cache {
            // Sharing helps others; a slow cache must not hold up this caller.
            let _too_slow = tokio::time::timeout(CACHE_LIMIT, cache.put(&self.issuer.issuer, &stored)).await;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("the key set could not be fetched")]
    Fetch(#[from] FetchError),
    #[error("the key set cannot be used")]
    Jwks(#[from] JwksError),
}

impl AskError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::TimedOut) => "timed_out",
            Self::Fetch(_) => "failed",
            Self::Jwks(_) => "invalid",
        }
    }
}

fn count_fetch(outcome: &'static str) {
    counter!("identity.jwks_fetches", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;
