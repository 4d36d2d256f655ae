//! Codes that were sent: hashed, counted, used once.

use access::tables::{POOL_CODES, Table};
use access::{AccessError, Dao, Expression, Rao, Row, Tables, Timestamp, Unique, Write};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::PoolPolicy;
use crate::pool::{Code, CodePurpose, PoolError};

/// The row of table `pool-codes`: the code an account was sent last for one purpose. Times are seconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CodeRow {
    /// Keyed, since a million plain hashes are soon tried.
    digest: String,
    valid_until: u64,
    /// Wrong guesses; at the limit the code is void, and so it is when it has been used.
    guesses: u32,
    /// How many codes were sent since the hour began that ends at `hour_ends_at`.
    sent: u32,
    hour_ends_at: u64,
    expires_at: u64,
}

impl Row for CodeRow {
    const TABLE: &'static Table = &POOL_CODES;
}
impl Unique for CodeRow {}

pub(super) struct Codes {
    codes: Dao<CodeRow>,
    key: hmac::Key,
    confirm: Duration,
    reset: Duration,
    guesses_max: u32,
    sent_max: u32,
}

/// What a guess is worth.
pub(super) enum Verdict {
    /// Not used up yet: [`Codes::spend`] does that, in the transaction of what it is good for.
    Right(Guess),
    Wrong,
    Expired,
    Void,
}

/// A guess that was right.
pub(super) struct Guess {
    pk: String,
    digest: String,
}

impl Verdict {
    pub(super) fn into_error(self) -> PoolError {
        match self {
            Self::Right(_) | Self::Wrong => PoolError::CodeWrong,
            Self::Expired => PoolError::CodeExpired,
            Self::Void => PoolError::TooMany,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

impl Codes {
    pub(super) fn open(tables: &Tables, rao: &Rao, key: hmac::Key, policy: &PoolPolicy) -> Self {
        Self {
            codes: Dao::open(tables, rao),
            key,
            confirm: policy.confirm_code,
            reset: policy.reset_code,
            guesses_max: policy.code_guesses,
            sent_max: policy.codes_per_hour,
        }
    }

    /// Makes `code` the one that counts.
    ///
    /// # Errors
    /// [`PoolError::TooMany`] when enough were sent within the hour.
    pub(super) async fn put(
        &self,
        purpose: CodePurpose,
        user: &str,
        code: &Code,
        now: Timestamp,
    ) -> Result<(), PoolError> {
        let pk = key(purpose, user);
        let valid_until = now.plus(match purpose {
            CodePurpose::ConfirmSignUp => self.confirm,
            CodePurpose::ResetPassword => self.reset,
        });
        let hour_ends_at = now.plus(HOUR);
        let change = |sent: &str| {
            let text = format!(
                "SET #digest = :digest, #until = :until, #guesses = :zero, #expires = :expires, #hour = {sent}"
            );
            Expression::new(text)
                .name("#digest", "digest")
                .name("#until", "validUntil")
                .name("#guesses", "guesses")
                .name("#expires", "expiresAt")
                .name("#hour", "hourEndsAt")
                .name("#sent", "sent")
                .string(":digest", self.digest(&pk, code))
                .number(":until", valid_until.seconds())
                .number(":zero", 0)
                .number(":one", 1)
                .number(":expires", valid_until.max(hour_ends_at).seconds())
                .number(":now", now.seconds())
        };
        // One of the two holds; both fail only when the hour ends in between.
        for _ in 0..2 {
            let another = change("#hour, #sent = #sent + :one").number(":max", self.sent_max);
            if is_done(self.codes.update_if(&pk, None, another, "#hour > :now AND #sent < :max").await)? {
                return Ok(());
            }
            let first = change(":hour, #sent = :one").number(":hour", hour_ends_at.seconds());
            if is_done(self.codes.update_if(&pk, None, first, "attribute_not_exists(#hour) OR #hour <= :now").await)? {
                return Ok(());
            }
        }
        Err(PoolError::TooMany)
    }

    /// Counts a wrong guess and recognises a right one, in one write: guesses made side by side are all counted, and a
    /// right one costs nothing.
    pub(super) async fn judge(
        &self,
        purpose: CodePurpose,
        user: &str,
        guess: &Code,
        now: Timestamp,
    ) -> Result<Verdict, AccessError> {
        let pk = key(purpose, user);
        let digest = self.digest(&pk, guess);
        let count = Expression::new("SET #guesses = #guesses + :one")
            .name("#guesses", "guesses")
            .name("#digest", "digest")
            .name("#until", "validUntil")
            .number(":one", 1)
            .number(":max", self.guesses_max)
            .string(":digest", &*digest)
            .number(":now", now.seconds());
        let condition = "#digest <> :digest AND #guesses < :max AND #until > :now";
        let row: CodeRow = match self.codes.update_if(&pk, None, count, condition).await {
            Ok(_) => return Ok(Verdict::Wrong),
            Err(AccessError::ConditionFailed { row: Some(row), .. }) => Dao::read(*row)?,
            // Never sent, or gone with its time.
            Err(AccessError::ConditionFailed { row: None, .. }) => return Ok(Verdict::Expired),
            Err(error) => return Err(error),
        };
        Ok(if row.valid_until <= now.seconds() {
            Verdict::Expired
        } else if row.guesses >= self.guesses_max {
            Verdict::Void
        } else {
            Verdict::Right(Guess { pk, digest })
        })
    }

    /// For a transaction: uses the code up, which only one can.
    pub(super) fn spend(&self, guess: &Guess, now: Timestamp) -> Result<Write, AccessError> {
        let change = Expression::new("SET #guesses = :max")
            .name("#guesses", "guesses")
            .name("#digest", "digest")
            .name("#until", "validUntil")
            .number(":max", self.guesses_max)
            .string(":digest", &*guess.digest)
            .number(":now", now.seconds());
        self.codes.update(&guess.pk, None, change, "#digest = :digest AND #guesses < :max AND #until > :now")
    }

    fn digest(&self, pk: &str, code: &Code) -> String {
        let text = format!("{pk}/{}", code.as_str());
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, text.as_bytes()))
    }
}

fn key(purpose: CodePurpose, user: &str) -> String {
    let purpose = match purpose {
        CodePurpose::ConfirmSignUp => "confirm",
        CodePurpose::ResetPassword => "reset",
    };
    format!("{purpose}/{user}")
}

fn is_done<T>(outcome: Result<T, AccessError>) -> Result<bool, AccessError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(AccessError::ConditionFailed { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
