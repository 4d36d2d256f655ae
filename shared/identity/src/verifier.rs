//! From an `Authorization` header to a [`Caller`].

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use metrics::counter;
use quick_cache::sync::Cache;

use crate::caller::Caller;
use crate::claims;
use crate::compact::Compact;
use crate::denylist::Denylist;
use crate::fetch::JwksFetch;
use crate::issuer::{Issuer, IssuerError};
use crate::keys::{IssuerKeys, JwksCache};
use crate::refused::Refused;

/// The longest token looked at, in bytes. API Gateway takes 10 KiB of headers in all.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The time in whole seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The times a verifier keeps to, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How far an issuer's clock may differ from ours.
    pub leeway_seconds: u64,
    /// How long a verified token is taken again without verifying it again; never past its `exp`.
    pub memo_seconds: u64,
    /// How many verified tokens are remembered, about 1 KB each.
    pub memo_tokens: usize,
    /// How long keys are used before the issuer is asked again. They serve on when it does not answer.
    pub max_age_seconds: u64,
    /// The pause after the issuer was asked for an unknown key and did not have it; doubled each time in a row.
    pub unknown_key_pause_seconds: u64,
    /// The pause after the issuer did not answer; doubled each time in a row.
    pub failure_pause_seconds: u64,
    /// No pause is longer.
    pub longest_pause_seconds: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            leeway_seconds: 60,
            memo_seconds: 30,
            memo_tokens: 4096,
            max_age_seconds: 3600,
            unknown_key_pause_seconds: 60,
            failure_pause_seconds: 5,
            longest_pause_seconds: 300,
        }
    }
}

/// Verifies access tokens. Shared by all requests of a process.
pub struct Verifier {
    issuers: HashMap<String, Arc<IssuerKeys>>,
    denylist: Option<Arc<dyn Denylist>>,
    memo: Cache<[u8; digest::SHA256_OUTPUT_LEN], Remembered>,
    clock: Clock,
    rules: Rules,
}

#[derive(Clone)]
struct Remembered {
    caller: Arc<Caller>,
    verified_at: u64,
}

impl Verifier {
    /// A verifier with the default [`Rules`] and no [`Denylist`]. Nothing is fetched yet.
    ///
    /// Errors: an entry of the allow-list that cannot work.
    pub fn new(
        issuers: Vec<Issuer>,
        fetch: Arc<dyn JwksFetch>,
        cache: Option<Arc<dyn JwksCache>>,
        clock: Clock,
    ) -> Result<Self, IssuerError> {
        Self::with_rules(issuers, fetch, cache, clock, Rules::default())
    }

    /// [`Verifier::new`] with other times.
    pub fn with_rules(
        issuers: Vec<Issuer>,
        fetch: Arc<dyn JwksFetch>,
        cache: Option<Arc<dyn JwksCache>>,
        clock: Clock,
        rules: Rules,
    ) -> Result<Self, IssuerError> {
        let mut allowed = HashMap::with_capacity(issuers.len());
        for issuer in issuers {
            let name = issuer.issuer.clone();
            let keys = IssuerKeys::new(issuer, Arc::clone(&fetch), cache.clone(), Arc::clone(&clock), rules)?;
            if allowed.insert(name.clone(), Arc::new(keys)).is_some() {
                return Err(IssuerError::Twice(name));
            }
        }
        Ok(Self { issuers: allowed, denylist: None, memo: Cache::new(rules.memo_tokens), clock, rules })
    }

    /// Refuses what `denylist` names from now on.
    pub fn with_denylist(mut self, denylist: Arc<dyn Denylist>) -> Self {
        self.denylist = Some(denylist);
        self
    }

    /// Verifies the bearer token of an `Authorization` header's value.
    ///
    /// Claims are checked before the signature: a token that would be refused anyway costs neither arithmetic nor a
    /// question to its issuer, and nothing is believed before both have passed.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<Arc<Caller>, Refused> {
        let (outcome, result) = match self.check(authorization).await {
            Ok((how, caller)) => (how, Ok(caller)),
            Err(refused) => (refused.code(), Err(refused)),
        };
        counter!("identity.verifications", "outcome" => outcome).increment(1);
        result
    }

    async fn check(&self, authorization: Option<&str>) -> Result<(&'static str, Arc<Caller>), Refused> {
        let token = bearer_token(authorization)?;
        let mut key = [0; digest::SHA256_OUTPUT_LEN];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());

        let (how, caller) = match self.recall(&key) {
            Some(caller) => ("remembered", caller),
            None => ("verified", self.verify_token(token, key).await?),
        };
        if let Some(denylist) = &self.denylist
            && denylist.is_revoked(&caller).await
        {
            return Err(Refused::Revoked);
        }
        Ok((how, caller))
    }

    /// The caller of a token verified a moment ago. A clock set back forgets it.
    fn recall(&self, key: &[u8; digest::SHA256_OUTPUT_LEN]) -> Option<Arc<Caller>> {
        let Remembered { caller, verified_at } = self.memo.get(key)?;
        let now = (self.clock)();
        let age = now.checked_sub(verified_at)?;
        (age < self.rules.memo_seconds && now < caller.expires_at).then_some(caller)
    }

    async fn verify_token(&self, token: &str, key: [u8; digest::SHA256_OUTPUT_LEN]) -> Result<Arc<Caller>, Refused> {
        let compact = Compact::parse(token)?;
        let keys = self.issuers.get(claims::issuer(&compact.claims)?).ok_or(Refused::UnknownIssuer)?;
        let now = (self.clock)();
        let caller = claims::check(&compact.claims, keys.issuer(), now, self.rules.leeway_seconds)?;
        if !keys.find(&compact.kid).await?.verifies(compact.signed.as_bytes(), &compact.signature) {
            return Err(Refused::BadSignature);
        }
        let caller = Arc::new(caller);
        if self.rules.memo_seconds > 0 && now < caller.expires_at {
            self.memo.insert(key, Remembered { caller: Arc::clone(&caller), verified_at: now });
        }
        Ok(caller)
    }
}

/// The token of `Bearer <token>` (RFC 6750, 2.1): any case for the scheme, one space or more, nothing behind the token.
fn bearer_token(authorization: Option<&str>) -> Result<&str, Refused> {
    let value = authorization.filter(|value| !value.is_empty()).ok_or(Refused::Missing)?;
    let (scheme, rest) = value.split_once(' ').ok_or(Refused::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refused::Malformed);
    }
    let token = rest.trim_start_matches(' ');
    if token.is_empty() {
        return Err(Refused::Malformed);
    }
    if token.len() > TOKEN_BYTES_MAX { Err(Refused::TooLong) } else { Ok(token) }
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;
