use std::fmt;
use std::sync::Arc;

use access::tables::{SUPPRESSIONS, Table};
use access::{AccessError, Clock, Dao, EmailAddress, NotOurs, Rao, Row, Tables, Vault};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

/// Which letters an address gets no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Invitations, whoever invites.
    Invites,
    /// The weekly digest.
    Weekly,
    /// Every letter: the address bounced, or its owner complained.
    All,
}

/// Why an address gets no more letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its owner followed the link in a letter.
    Asked,
    Bounced,
    Complained,
}

/// Addresses that get no letters of a kind any more, kept by their keyed hash: what is in the table leads to nobody.
/// Cheap to clone.
#[derive(Clone)]
pub struct Suppressions {
    rows: Dao<Suppression>,
    vault: Vault,
    clock: Arc<dyn Clock>,
}

/// The row of table `suppressions`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suppression {
    scope: Scope,
    reason: Reason,
    /// Milliseconds since 1970.
    since: u64,
}

impl Row for Suppression {
    const TABLE: &'static Table = &SUPPRESSIONS;
}

/// What an unsubscribe link holds.
#[derive(Serialize, Deserialize)]
struct Request {
    scope: Scope,
    /// The address's keyed hash.
    address: String,
}

/// For which use unsubscribe links are signed.
const PURPOSE: &str = "unsubscribe";

#[derive(Debug, thiserror::Error)]
pub enum UnsubscribeError {
    #[error("the link is not one of ours, or was changed on its way")]
    NotOurs(#[from] NotOurs),
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl Scope {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invites => "invites",
            Self::Weekly => "weekly",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Suppressions {
    /// Costs no call.
    pub fn open(tables: &Tables, rao: &Rao, vault: &Vault, clock: Arc<dyn Clock>) -> Self {
        Self { rows: Dao::open(tables, rao), vault: vault.clone(), clock }
    }

    /// From now on the address gets no such letter. What is suppressed already stays so since then.
    pub async fn add(&self, address: &EmailAddress, scope: Scope, reason: Reason) -> Result<(), AccessError> {
        self.add_hash(&address.keyed_hash(&self.vault), scope, reason).await
    }

    /// Whether a letter of this scope must not go to the address: by its own scope or by [`Scope::All`].
    pub async fn holds(&self, address: &EmailAddress, scope: Scope) -> Result<bool, AccessError> {
        // There are as many rows as scopes at most.
        let mut rows = std::pin::pin!(self.rows.find_all_by_pk(&address.keyed_hash(&self.vault)));
        while let Some(row) = rows.try_next().await? {
            if row.scope == scope || row.scope == Scope::All {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What an unsubscribe link in a letter to this address carries: it says what and whom, by hash, and nobody else can
    /// write one. Good for ever.
    pub fn token(&self, address: &EmailAddress, scope: Scope) -> String {
        self.vault.sign(PURPOSE, &Request { scope, address: address.keyed_hash(&self.vault) })
    }

    /// Does what the link of a letter asks for; again, nothing more. Returns what is not sent any more.
    ///
    /// # Errors
    /// [`UnsubscribeError::NotOurs`] for anything [`Suppressions::token`] did not return.
    pub async fn unsubscribe(&self, token: &str) -> Result<Scope, UnsubscribeError> {
        let Request { scope, address } = self.vault.verify(PURPOSE, token)?;
        self.add_hash(&address, scope, Reason::Asked).await?;
        Ok(scope)
    }

    async fn add_hash(&self, hash: &str, scope: Scope, reason: Reason) -> Result<(), AccessError> {
        let row = Suppression { scope, reason, since: self.clock.now().millis() };
        match self.rows.insert_if_absent(hash, &row).await {
            Err(AccessError::AlreadyExists { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}
