//! Accounts in the tables: one row per person, one per address.

use access::tables::{POOL_ADDRESSES, POOL_USERS, Table};
use access::{AccessError, Dao, EmailAddress, Expression, Rao, Row, Tables, Timestamp, Unique, Write};
use serde::{Deserialize, Serialize};

use super::TRIES;
use crate::caller::{UserId, UserIdError};
use crate::pool::{Attribute, PoolError, PoolUser, UserStatus};

/// The row of table `pool-users`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserRow {
    /// The `sub`.
    pub(super) user: String,
    pub(super) address: EmailAddress,
    pub(super) email_verified: bool,
    /// An argon2id hash in the PHC string format.
    pub(super) password: String,
    pub(super) status: UserStatus,
    #[serde(default)]
    pub(super) groups: Vec<String>,
    pub(super) locale: Option<String>,
    /// Grows when all sessions end: those of an earlier epoch are over.
    pub(super) epoch: u64,
    pub(super) created_at: Timestamp,
}

impl Row for UserRow {
    const TABLE: &'static Table = &POOL_USERS;
}
impl Unique for UserRow {}

/// The row of table `pool-addresses`.
#[derive(Serialize, Deserialize)]
struct AddressRow {
    user: String,
}

impl Row for AddressRow {
    const TABLE: &'static Table = &POOL_ADDRESSES;
}
impl Unique for AddressRow {}

impl UserRow {
    pub(super) fn sub(&self) -> Result<UserId, UserIdError> {
        UserId::new(&*self.user)
    }

    pub(super) fn into_user(self) -> Result<PoolUser, PoolError> {
        Ok(PoolUser {
            sub: self.sub()?,
            email: self.address,
            email_verified: self.email_verified,
            status: self.status,
            locale: self.locale,
            created_at: self.created_at,
        })
    }
}

pub(super) struct Users {
    tables: Tables,
    users: Dao<UserRow>,
    addresses: Dao<AddressRow>,
}

/// A key that no row has: looked up where there is nothing, so that it takes as long as where there is something.
const NOBODY: &str = "nobody";

/// Sets the password of a then confirmed account, and ends all sessions.
fn new_password(password: &str) -> Expression {
    Expression::new("SET #password = :password, #status = :confirmed, #epoch = #epoch + :one")
        .name("#status", "status")
        .name("#password", "password")
        .name("#epoch", "epoch")
        .string(":password", password)
        .string(":confirmed", "confirmed")
        .number(":one", 1)
}

impl Users {
    pub(super) fn open(tables: &Tables, rao: &Rao) -> Self {
        Self { tables: tables.clone(), users: Dao::open(tables, rao), addresses: Dao::open(tables, rao) }
    }

    pub(super) async fn by_sub(&self, sub: &UserId) -> Result<Option<UserRow>, AccessError> {
        self.users.get(sub.as_str(), None).await
    }

    pub(super) async fn by_address(&self, address: &EmailAddress) -> Result<Option<UserRow>, AccessError> {
        let owner = self.addresses.get(address.as_str(), None).await?;
        let user = owner.as_ref().map_or(NOBODY, |row| &row.user);
        self.users.get(user, None).await
    }

    /// The account and its address, both or none.
    pub(super) async fn insert(&self, user: &UserRow) -> Result<(), PoolError> {
        let absent = |name| Some(Expression::new("attribute_not_exists(#key)").name("#key", name));
        let address = AddressRow { user: user.user.clone() };
        let writes = vec![
            self.addresses.put(user.address.as_str(), &address, absent(POOL_ADDRESSES.partition_key))?,
            self.users.put(&user.user, user, absent(POOL_USERS.partition_key))?,
        ];
        self.transact_or(writes, PoolError::UserExists).await
    }

    /// A transaction, tried again while others write the same rows. When a condition does not hold: `changed`.
    pub(super) async fn transact_or(&self, writes: Vec<Write>, changed: PoolError) -> Result<(), PoolError> {
        for _ in 0..TRIES {
            match self.transact(writes.clone()).await {
                Ok(()) => return Ok(()),
                Err(AccessError::ConditionFailed { .. }) => return Err(changed),
                Err(AccessError::Contended { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PoolError::unavailable("others are writing the same account"))
    }

    pub(super) async fn transact(&self, writes: Vec<Write>) -> Result<(), AccessError> {
        self.tables.transact(writes).await
    }

    /// For a transaction: confirms an account that is not.
    pub(super) fn confirm(&self, user: &str) -> Result<Write, AccessError> {
        let change = Expression::new("SET #status = :confirmed, #verified = :true")
            .name("#status", "status")
            .name("#verified", "emailVerified")
            .string(":confirmed", "confirmed")
            .string(":unconfirmed", "unconfirmed")
            .bool(":true", true);
        self.users.update(user, None, change, "#status = :unconfirmed")
    }

    /// For a transaction: sets the password and ends all sessions.
    pub(super) fn reset(&self, user: &str, password: &str) -> Result<Write, AccessError> {
        let change = new_password(password).string(":reset", "resetRequired");
        self.users.update(user, None, change, "#status IN (:confirmed, :reset)")
    }

    /// The account afterwards; none when this temporary password has been replaced already.
    pub(super) async fn replace_temporary_password(
        &self,
        user: &str,
        epoch: u64,
        password: &str,
    ) -> Result<Option<UserRow>, AccessError> {
        let change = new_password(password).string(":temporary", "mustChangePassword").number(":epoch", epoch);
        self.update(user, change, "#status = :temporary AND #epoch = :epoch").await
    }

    /// The account afterwards; none when `old` is not its hash any more.
    pub(super) async fn change_password(
        &self,
        user: &str,
        old: &str,
        new: &str,
    ) -> Result<Option<UserRow>, AccessError> {
        let change = Expression::new("SET #password = :new")
            .name("#password", "password")
            .string(":new", new)
            .string(":old", old);
        self.update(user, change, "#password = :old").await
    }

    /// The account afterwards; none when there is none.
    pub(super) async fn end_sessions(&self, user: &str) -> Result<Option<UserRow>, AccessError> {
        let change = Expression::new("SET #epoch = #epoch + :one").name("#epoch", "epoch").number(":one", 1);
        self.update(user, change, "attribute_exists(#epoch)").await
    }

    /// The account afterwards; none when there is none.
    pub(super) async fn set_attribute(
        &self,
        user: &str,
        attribute: &Attribute,
    ) -> Result<Option<UserRow>, AccessError> {
        let change = Expression::new("SET #attribute = :value").name("#address", "address");
        let change = match attribute {
            Attribute::EmailVerified(verified) => change.name("#attribute", "emailVerified").bool(":value", *verified),
            Attribute::Locale(locale) => change.name("#attribute", "locale").string(":value", locale),
        };
        self.update(user, change, "attribute_exists(#address)").await
    }

    /// Whether there is such an account; it is in the group then.
    pub(super) async fn add_to_group(&self, user: &str, group: &str) -> Result<bool, AccessError> {
        let malformed = |e: serde_dynamo::Error| AccessError::Malformed { table: POOL_USERS.name, source: e.into() };
        let groups = serde_dynamo::to_attribute_value([group]).map_err(malformed)?;
        let change = Expression::new("SET #groups = list_append(#groups, :groups)")
            .name("#groups", "groups")
            .value(":groups", groups)
            .string(":group", group);
        match self
            .users
            .update_if(user, None, change, "attribute_exists(#groups) AND NOT contains(#groups, :group)")
            .await
        {
            Ok(_) => Ok(true),
            Err(AccessError::ConditionFailed { row, .. }) => Ok(row.is_some()),
            Err(error) => Err(error),
        }
    }

    /// Removes the account and frees the address, both or none: a row without its address would be found by nobody. An
    /// address that has somebody else's account by now is left alone.
    pub(super) async fn delete(&self, user: &UserRow) -> Result<(), AccessError> {
        let own = Expression::new("#user = :user").name("#user", "user").string(":user", &*user.user);
        for _ in 0..TRIES {
            let writes = vec![
                self.addresses.delete(user.address.as_str(), None, Some(own.clone()))?,
                self.users.delete(&user.user, None, None)?,
            ];
            match self.tables.transact(writes).await {
                Err(AccessError::ConditionFailed { .. }) => {
                    let is_there = Expression::new("attribute_exists(#user)").name("#user", "user");
                    return already_is_fine(self.users.delete_if(&user.user, None, is_there).await);
                }
                Err(AccessError::Contended { .. }) => {}
                outcome => return outcome,
            }
        }
        Err(AccessError::Contended { table: POOL_USERS.name })
    }

    async fn update(&self, user: &str, change: Expression, condition: &str) -> Result<Option<UserRow>, AccessError> {
        match self.users.update_if(user, None, change, condition).await {
            Ok(row) => Ok(Some(row)),
            Err(AccessError::ConditionFailed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn already_is_fine(outcome: Result<(), AccessError>) -> Result<(), AccessError> {
    match outcome {
        Err(AccessError::ConditionFailed { .. }) => Ok(()),
        other => other,
    }
}
