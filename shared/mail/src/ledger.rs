use std::sync::Arc;
use std::time::Duration;

use access::tables::{LETTERS, Table};
use access::{
    AccessError, Clock, Dao, Expression, Page, Rao, Row, Tables, Timestamp, Transacted, Unique, Unmet, Write,
};
use serde::{Deserialize, Serialize};

use crate::MessageId;

/// Which letters somebody has set out to send. Cheap to clone.
///
/// A mail service knows no repetitions, so a letter cannot be sent exactly once. It is sent at most once: claim, send,
/// mark. What was claimed and never marked may be on its way or not, and is listed for an operator.
#[derive(Clone)]
pub struct Ledger {
    tables: Tables,
    letters: Dao<Outgoing>,
    receipts: Dao<Receipt>,
    clock: Arc<dyn Clock>,
}

/// The row of table `letters`: there once somebody set out to send the letter, and marked when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outgoing {
    /// What makes the letter one.
    pub letter: String,
    /// Milliseconds since 1970.
    pub claimed_at: u64,
    #[serde(default)]
    pub sent_at: Option<u64>,
    /// What the mail service calls it.
    #[serde(default)]
    pub message_id: Option<String>,
    /// There until it is marked: the key of the index that lists what is not.
    #[serde(default)]
    pub open: Option<String>,
    /// The message it was asked for with, as JSON, so that it can be asked for again. No address in it.
    #[serde(default)]
    pub message: Option<String>,
    /// Seconds since 1970. From then on a letter with this key is another.
    pub expires_at: u64,
}

impl Row for Outgoing {
    const TABLE: &'static Table = &LETTERS;
}
impl Unique for Outgoing {}

/// What a bounce is matched with, in the same table: which invitation the mail service's message was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The inviter's account id.
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub invite: Option<String>,
    /// Milliseconds since 1970; there when the bounce came before the letter was marked.
    #[serde(default)]
    pub bounced_at: Option<u64>,
    /// Seconds since 1970.
    pub expires_at: u64,
}

impl Row for Receipt {
    const TABLE: &'static Table = &LETTERS;
}
impl Unique for Receipt {}

/// All letters that are not marked are under one key: there are few, and for a moment only.
const OPEN: &str = "open";
/// How long a bounce may come after its letter.
const RECEIPTS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// So often a transaction is sent again while others are at the same rows, after pauses that double.
const RETRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(20);

impl Ledger {
    /// Costs no call.
    pub fn open(tables: &Tables, rao: &Rao, clock: Arc<dyn Clock>) -> Self {
        Self { tables: tables.clone(), letters: Dao::open(tables, rao), receipts: Dao::open(tables, rao), clock }
    }

    /// The write with which a letter becomes somebody's to send. Its condition: nobody has claimed it within `kept`.
    pub fn claim(&self, key: &str, message: Option<String>, kept: Duration) -> Result<Write, AccessError> {
        let now = self.clock.now();
        let row = Outgoing {
            letter: key.to_owned(),
            claimed_at: now.millis(),
            sent_at: None,
            message_id: None,
            open: Some(OPEN.to_owned()),
            message,
            expires_at: now.plus(kept).seconds(),
        };
        // The table removes a row some time after it has expired.
        let free = Expression::new("attribute_not_exists(letter) OR expiresAt <= :now").number(":now", now.seconds());
        self.letters.put(key, &row, Some(free))
    }

    /// The write that takes a claim back, of a letter that was certainly not sent. Its condition: it is not marked.
    pub fn give_back(&self, key: &str) -> Result<Write, AccessError> {
        let open = Expression::new("attribute_exists(letter) AND attribute_not_exists(sentAt)");
        self.letters.delete(key, None, Some(open))
    }

    /// The write that marks a letter as sent. Its condition: it is claimed and not marked.
    pub fn mark(&self, key: &str, id: Option<&MessageId>) -> Result<Write, AccessError> {
        let now = self.clock.now().millis();
        let set = if id.is_some() { "SET sentAt = :now, messageId = :id" } else { "SET sentAt = :now" };
        let change = Expression::new(format!("{set} REMOVE #open")).name("#open", "open").number(":now", now);
        let change = match id {
            Some(id) => change.string(":id", &id.0),
            None => change,
        };
        self.letters.update(key, None, change, "attribute_exists(letter) AND attribute_not_exists(sentAt)")
    }

    /// The write that notes which invitation a message was. Its condition: nothing is noted of the message.
    pub fn receipt(&self, id: &MessageId, user: &str, invite: &str) -> Result<Write, AccessError> {
        let row = Receipt { user: Some(user.to_owned()), invite: Some(invite.to_owned()), ..self.blank() };
        self.receipts.put(&receipt_key(id), &row, Some(Expression::new("attribute_not_exists(letter)")))
    }

    /// What is noted of a message; of one of which nothing is, that it bounced.
    pub async fn bounced(&self, id: &MessageId) -> Result<Option<Receipt>, AccessError> {
        let row = Receipt { bounced_at: Some(self.clock.now().millis()), ..self.blank() };
        match self.receipts.insert_one(&receipt_key(id), &row).await {
            Ok(()) => Ok(None),
            Err(AccessError::AlreadyExists { .. }) => self.receipts.get(&receipt_key(id), None).await,
            Err(error) => Err(error),
        }
    }

    /// Whether [`Ledger::receipt`] did not hold because the message has bounced already.
    pub fn has_bounced(unmet: &Unmet) -> Result<bool, AccessError> {
        let receipt = unmet.row.clone().map(|row| Dao::<Receipt>::read(*row)).transpose()?;
        Ok(receipt.is_some_and(|receipt| receipt.bounced_at.is_some()))
    }

    /// What the letter was asked for with whose claim stood in the way, unless it is marked.
    pub fn held_for(unmet: &Unmet) -> Result<Option<String>, AccessError> {
        let held = unmet.row.clone().map(|row| Dao::<Outgoing>::read(*row)).transpose()?;
        Ok(held.filter(|held| held.open.is_some()).and_then(|held| held.message))
    }

    pub async fn find(&self, key: &str) -> Result<Option<Outgoing>, AccessError> {
        self.letters.get(key, None).await
    }

    /// Letters claimed before `before` and not marked, oldest first, at most `limit`, from where `cursor` ends. The index
    /// lags behind the table by a moment.
    pub async fn unmarked(
        &self,
        before: Timestamp,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Outgoing>, AccessError> {
        self.letters.indexed_before(OPEN, before.millis(), cursor, limit).await
    }

    /// All of these writes or none, however many others are at the same rows.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<Transacted, AccessError> {
        let mut pause = PAUSE;
        for _ in 0..RETRIES {
            match self.tables.transact_if(writes.clone()).await {
                Err(AccessError::Contended { .. }) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        self.tables.transact_if(writes).await
    }

    fn blank(&self) -> Receipt {
        let expires_at = self.clock.now().plus(RECEIPTS_KEPT).seconds();
        Receipt { user: None, invite: None, bounced_at: None, expires_at }
    }
}

fn receipt_key(id: &MessageId) -> String {
    format!("message/{}", id.0)
}
