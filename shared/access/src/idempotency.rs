//! What requests with an `Idempotency-Key` were answered: at most one attempt at a time, and its answer for all repeats.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::tables::{IDEMPOTENCY, Table};
use crate::{AccessError, Clock, Dao, Expression, Ids, Rao, Row, Tables, Timestamp, Unique};

/// How long an answer is repeated.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// A larger body is not kept: a row holds 400 KB.
const KEPT_BODY_BYTES: usize = 256 << 10;

/// Attempts at requests and their answers. Every change is one conditional write; nothing is read before.
///
/// At rest there are an answer's status, headers and body, and SHA-256 digests of who asked what, under the table's
/// encryption: an answer that holds a secret must not be given to it.
#[derive(Clone)]
pub struct Idempotency {
    attempts: Dao<AttemptRow>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// SHA-256 over several parts, none of which can run into the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// What became of asking to make an attempt.
#[derive(Debug)]
pub enum Begun {
    /// Nobody else makes one until it is finished, abandoned, or its time is over.
    Started(Attempt),
    /// One was made.
    Answered(Answer),
    /// One was made, and its answer was too large to be kept.
    AnswerNotKept,
    /// One is being made, for so long at most.
    InProgress { at_most: Duration },
    /// One was made, or is being made, of a request with another payload.
    OtherPayload,
}

/// The right to do what a request asks for, once.
pub struct Attempt {
    request: Digest,
    payload: Digest,
    /// No other attempt has it.
    token: String,
}

/// An answer as it is repeated.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// The row of table `idempotency`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttemptRow {
    payload: String,
    token: String,
    /// From then on the row is as good as absent: the attempt's time is over, or its answer is forgotten.
    held_until: Timestamp,
    is_answered: bool,
    /// Absent where it was too large.
    answer: Option<Answer>,
    /// `held_until` for DynamoDB, which may be days late.
    expires_at: u64,
}

impl Row for AttemptRow {
    const TABLE: &'static Table = &IDEMPOTENCY;
}
impl Unique for AttemptRow {}

impl Digest {
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            sha.update(part);
        }
        Self(sha.finalize().into())
    }

    fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}

/// Without the body and the headers, which may hold what is no matter for a log.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Idempotency {
    pub fn open(tables: &Tables, rao: &Rao, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { attempts: Dao::open(tables, rao), clock, ids }
    }

    /// Asks to make an attempt at `request`, which is whose key it is, and where; `payload` is all that it asks for.
    /// `within`: whoever asks is sure to have ended by then, finished or not.
    ///
    /// # Errors
    /// The store's. Whether an attempt was entered is then unknown; it ends with its time.
    pub async fn begin(&self, request: Digest, payload: Digest, within: Duration) -> Result<Begun, AccessError> {
        let now = self.clock.now();
        let attempt = Attempt { request, payload, token: self.ids.id(now) };
        let free = Expression::new("attribute_not_exists(#token) OR #heldUntil <= :now")
            .name("#token", "token")
            .name("#heldUntil", "heldUntil")
            .number(":now", now.millis());
        let row = match self.attempts.put_if(&request.text(), &attempt.row(now.plus(within)), free).await {
            Ok(()) => return Ok(Begun::Started(attempt)),
            Err(AccessError::ConditionFailed { row: Some(row), .. }) => Dao::<AttemptRow>::read(*row)?,
            Err(error) => return Err(error),
        };
        Ok(match row {
            // Our own put, which was sent again because its answer was lost.
            row if row.token == attempt.token => Begun::Started(attempt),
            row if row.payload != payload.text() => Begun::OtherPayload,
            AttemptRow { is_answered: false, held_until, .. } => Begun::InProgress { at_most: held_until.since(now) },
            AttemptRow { answer: Some(answer), .. } => Begun::Answered(answer),
            AttemptRow { answer: None, .. } => Begun::AnswerNotKept,
        })
    }

    /// Keeps the answer for 24 hours; of one with more than 256 KiB of body, that there was one. `false` when the
    /// attempt's time was over and another has begun: then that one's answer counts. Repeated, it changes nothing.
    pub async fn finish(&self, attempt: &Attempt, answer: Answer) -> Result<bool, AccessError> {
        let held_until = self.clock.now().plus(KEPT);
        let answer = (answer.body.len() <= KEPT_BODY_BYTES).then_some(answer);
        let row = AttemptRow { is_answered: true, answer, ..attempt.row(held_until) };
        let ours = Expression::new("#token = :token").name("#token", "token").string(":token", &attempt.token);
        match self.attempts.put_if(&attempt.request.text(), &row, ours).await {
            Ok(()) => Ok(true),
            Err(AccessError::ConditionFailed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the attempt up, so that the next one can begin at once. Changes nothing once it is finished or another
    /// has begun, and nothing when repeated.
    pub async fn abandon(&self, attempt: &Attempt) -> Result<(), AccessError> {
        let ours = Expression::new("#token = :token AND #isAnswered = :no")
            .name("#token", "token")
            .name("#isAnswered", "isAnswered")
            .string(":token", &attempt.token)
            .bool(":no", false);
        match self.attempts.delete_if(&attempt.request.text(), None, ours).await {
            Ok(()) | Err(AccessError::ConditionFailed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Attempt {
    fn row(&self, held_until: Timestamp) -> AttemptRow {
        AttemptRow {
            payload: self.payload.text(),
            token: self.token.clone(),
            held_until,
            is_answered: false,
            answer: None,
            expires_at: held_until.seconds().saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_is_asked_or_answered_shows() {
        let (request, payload) = (Digest::of(&[b"ann"]), Digest::of(&[b"{}"]));
        let attempt = Attempt { request, payload, token: "01jb".into() };
        let headers = vec![("location".into(), "/v1/invites/ann@example.org".into())];
        let answer = Answer { status: 201, headers, body: Bytes::from_static(b"ann@example.org") };
        assert_eq!(format!("{:?}", Begun::Started(attempt)), "Started(Attempt)");
        assert_eq!(format!("{:?}", Begun::Answered(answer)), "Answered(Answer { status: 201, .. })");
        assert_eq!(format!("{request:?}"), "Digest");
    }

    #[test]
    fn a_row_expires_in_the_table_only_after_it_has_ended() {
        let attempt = Attempt { request: Digest::of(&[]), payload: Digest::of(&[]), token: String::new() };
        for millis in [0, 1, 999, 1000, 1001, 4_000_000_000_999] {
            let row = attempt.row(Timestamp(millis));
            assert!(row.expires_at * 1000 > millis, "{millis}");
        }
    }

    proptest! {
        #[test]
        fn different_parts_have_different_digests(
            one in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..5),
            other in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..5),
        ) {
            let of = |parts: &[Vec<u8>]| Digest::of(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(of(&one) == of(&other), one == other);
            // The same bytes, cut elsewhere.
            let whole = one.concat();
            prop_assert_eq!(of(std::slice::from_ref(&whole)) == of(&one), one == [whole]);
        }
    }
}
