//! Tokens signed out before they expire.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::caller::{Caller, UserId};
use crate::verifier::Clock;

/// Longer than any access token taken here is good for: Cognito issues none for more than a day.
pub const ACCESS_TOKEN_SECONDS_MAX: u64 = 24 * 3600;

/// How far behind a token's `exp` its mark is kept: a verifier's leeway, and then some for clocks that differ.
const MARGIN_SECONDS: u64 = 300;

/// Which access tokens are refused though they have not expired: single ones, by `jti`, and all of a person issued up to
/// a moment. Kept as marks, a number under a key until a time; a store has only to do [`Denylist::marks`] and
/// [`Denylist::mark`]. Times are seconds since 1970.
#[async_trait]
pub trait Denylist: Send + Sync {
    /// The marks under these keys, in their order. Asked with every token, also with one verified a moment ago: all keys
    /// at once. What to answer when the store cannot be read is the implementation's decision.
    async fn marks(&self, keys: [&str; 2]) -> [Option<u64>; 2];

    /// Keeps `value` under `key` until `until` or longer, never shorter. A higher value there already stays. It is seen
    /// by every later [`Denylist::marks`] in every process.
    async fn mark(&self, key: &str, value: u64, until: u64) -> Result<(), DenylistError>;

    /// Whether the token that gave this caller has been signed out.
    async fn is_revoked(&self, caller: &Caller) -> bool {
        // A token without a `jti` shares its key with no other token's: none is empty.
        let token = token_key(caller.jti.as_deref().unwrap_or_default());
        let [token, user] = self.marks([&token, &user_key(&caller.sub)]).await;
        let signed_out = caller.jti.is_some() && token.is_some();
        signed_out || user.is_some_and(|until| caller.issued_at.is_none_or(|issued_at| issued_at <= until))
    }

    /// Refuses the token that gave this caller from now on. One without a `jti` cannot be told from others: all of its
    /// user's that were issued no later are refused with it.
    async fn revoke_token(&self, caller: &Caller) -> Result<(), DenylistError> {
        let until = caller.expires_at.saturating_add(MARGIN_SECONDS);
        match &caller.jti {
            Some(jti) => self.mark(&token_key(jti), 1, until).await,
            None => self.mark(&user_key(&caller.sub), caller.issued_at.unwrap_or(u64::MAX), until).await,
        }
    }

    /// Refuses all tokens of this person issued up to `moment`, within its second too: a token got by signing in again
    /// in that same second is refused like those before, rather than one of those taken.
    async fn revoke_user(&self, sub: &UserId, moment: u64) -> Result<(), DenylistError> {
        let until = moment.saturating_add(ACCESS_TOKEN_SECONDS_MAX + MARGIN_SECONDS);
        self.mark(&user_key(sub), moment, until).await
    }
}

/// A mark could not be kept: the tokens in question are still taken.
#[derive(Debug, thiserror::Error)]
#[error("signed-out tokens could not be marked")]
pub struct DenylistError(#[source] pub Box<dyn Error + Send + Sync>);

fn token_key(jti: &str) -> String {
    format!("token/{jti}")
}

fn user_key(sub: &UserId) -> String {
    format!("user/{sub}")
}

/// The denylist of one process, for a server that is one: it ends with it.
pub struct ProcessDenylist {
    marks: Mutex<Marks>,
    clock: Clock,
}

#[derive(Default)]
struct Marks {
    by_key: HashMap<String, Mark>,
    /// When so many are there, the expired ones are removed.
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Mark {
    value: u64,
    until: u64,
}

const SWEEP_FIRST_AT: usize = 1024;

impl ProcessDenylist {
    pub fn new(clock: Clock) -> Arc<Self> {
        let marks = Marks { sweep_at: SWEEP_FIRST_AT, ..Marks::default() };
        Arc::new(Self { marks: Mutex::new(marks), clock })
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Denylist for ProcessDenylist {
    async fn marks(&self, keys: [&str; 2]) -> [Option<u64>; 2] {
        let now = (self.clock)();
        let marks = self.lock();
        keys.map(|key| marks.by_key.get(key).filter(|mark| mark.until >= now).map(|mark| mark.value))
    }

    async fn mark(&self, key: &str, value: u64, until: u64) -> Result<(), DenylistError> {
        let now = (self.clock)();
        let mut marks = self.lock();
        if marks.by_key.len() >= marks.sweep_at {
            marks.by_key.retain(|_, mark| mark.until >= now);
            // Twice what is left: a sweep costs as much as the marks made since the last.
            marks.sweep_at = (marks.by_key.len() * 2).max(SWEEP_FIRST_AT);
        }
        let mark = marks.by_key.entry(key.to_owned()).or_insert(Mark { value, until });
        *mark = Mark { value: mark.value.max(value), until: mark.until.max(until) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::{ManualClock, NOW};

    fn caller(jti: &str, sub: &str, issued_at: u64) -> Caller {
        Caller {
            sub: UserId::new(sub).unwrap(),
            username: sub.into(),
            groups: Vec::new(),
            issuer: "urn:test".into(),
            client_id: "web".into(),
            issued_at: Some(issued_at),
            expires_at: issued_at + 3600,
            jti: (!jti.is_empty()).then(|| jti.into()),
        }
    }

    fn list(clock: &ManualClock) -> Arc<ProcessDenylist> {
        ProcessDenylist::new(clock.as_clock())
    }

    #[tokio::test]
    async fn one_token_is_refused_and_no_other() {
        let list = list(&ManualClock::new());
        list.revoke_token(&caller("a", "ann", NOW)).await.unwrap();
        assert!(list.is_revoked(&caller("a", "ann", NOW)).await);
        assert!(!list.is_revoked(&caller("b", "ann", NOW)).await);
        assert!(!list.is_revoked(&caller("", "ann", NOW)).await);
        list.revoke_token(&caller("a", "ann", NOW)).await.unwrap();
        assert!(list.is_revoked(&caller("a", "ann", NOW)).await);
    }

    #[tokio::test]
    async fn a_token_is_refused_past_its_expiry_and_a_verifiers_leeway() {
        let clock = ManualClock::new();
        let list = list(&clock);
        list.revoke_token(&caller("a", "ann", NOW)).await.unwrap();
        clock.advance(3600 + crate::Rules::default().leeway_seconds);
        assert!(list.is_revoked(&caller("a", "ann", NOW)).await);
        clock.advance(3600);
        assert!(!list.is_revoked(&caller("a", "ann", NOW)).await, "nobody takes it any more");
    }

    #[tokio::test]
    async fn all_tokens_of_a_person_up_to_a_moment_are_refused() {
        let list = list(&ManualClock::new());
        list.revoke_user(&UserId::new("ann").unwrap(), NOW).await.unwrap();
        for (issued_at, refused) in [(NOW - 1000, true), (NOW, true), (NOW + 1, false)] {
            assert_eq!(list.is_revoked(&caller("a", "ann", issued_at)).await, refused, "{issued_at}");
        }
        assert!(!list.is_revoked(&caller("a", "bob", NOW - 1000)).await);
        let undated = Caller { issued_at: None, ..caller("a", "ann", NOW) };
        assert!(list.is_revoked(&undated).await, "it may be from before");
    }

    #[tokio::test]
    async fn an_earlier_moment_does_not_lower_a_later_one() {
        let list = list(&ManualClock::new());
        let ann = UserId::new("ann").unwrap();
        list.revoke_user(&ann, NOW).await.unwrap();
        list.revoke_user(&ann, NOW - 50).await.unwrap();
        assert!(list.is_revoked(&caller("a", "ann", NOW)).await);
    }

    #[tokio::test]
    async fn a_person_is_marked_until_the_longest_token_from_before_has_expired() {
        let clock = ManualClock::new();
        let list = list(&clock);
        list.revoke_user(&UserId::new("ann").unwrap(), NOW).await.unwrap();
        clock.advance(ACCESS_TOKEN_SECONDS_MAX + crate::Rules::default().leeway_seconds);
        assert!(list.is_revoked(&caller("a", "ann", NOW)).await);
    }

    #[tokio::test]
    async fn a_token_without_an_id_goes_with_those_from_before() {
        let list = list(&ManualClock::new());
        list.revoke_token(&caller("", "ann", NOW)).await.unwrap();
        assert!(list.is_revoked(&caller("", "ann", NOW)).await);
        assert!(list.is_revoked(&caller("b", "ann", NOW - 1)).await);
        assert!(!list.is_revoked(&caller("b", "ann", NOW + 1)).await);
    }

    #[tokio::test]
    async fn expired_marks_do_not_pile_up() {
        let clock = ManualClock::new();
        let list = list(&clock);
        for round in 0..10 {
            for number in 0..SWEEP_FIRST_AT {
                list.revoke_token(&caller(&format!("{round}-{number}"), "ann", NOW)).await.unwrap();
            }
            clock.advance(10_000);
        }
        assert!(list.lock().by_key.len() <= 2 * SWEEP_FIRST_AT, "{}", list.lock().by_key.len());
    }
}
