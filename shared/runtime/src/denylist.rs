use std::sync::Arc;
use std::time::Duration;

use access::tables::{SIGN_OUTS, Table};
use access::{AccessError, Cached, Clock, Dao, Expression, Rao, Row, Tables, Unique};
use async_trait::async_trait;
use identity::{Denylist, DenylistError};
use serde::{Deserialize, Serialize};

/// Signed-out tokens in a table, read through the cache: a deployment without Redis has no other memory that all its
/// functions share. What is not there is believed for [`BELIEVED`], so that much later a sign-out may be seen by a
/// function that has just looked.
pub(crate) struct SharedDenylist {
    marks: Dao<SignOut>,
    rao: Rao,
    clock: Arc<dyn Clock>,
}

const BELIEVED: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignOut {
    mark: String,
    value: u64,
    /// Seconds since 1970.
    expires_at: u64,
}

impl Row for SignOut {
    const TABLE: &'static Table = &SIGN_OUTS;
}
impl Unique for SignOut {}

/// A mark's value, or that there is none.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Known(Option<u64>);

impl Cached for Known {
    const PREFIX: &'static str = "signouts";
    const VERSION: u32 = 1;
    const TTL: Duration = Duration::from_secs(3600);
}

impl SharedDenylist {
    pub(crate) fn open(tables: &Tables, rao: &Rao, clock: Arc<dyn Clock>) -> Self {
        Self { marks: Dao::open(tables, rao), rao: rao.clone(), clock }
    }

    async fn read(&self, key: &str) -> Result<Option<u64>, AccessError> {
        if let Some(hit) = self.rao.get::<Known>(key).await {
            return Ok(hit.value.0);
        }
        let now = self.clock.now().seconds();
        let row = self.marks.get(key, None).await?.filter(|row| row.expires_at > now);
        let for_long = row.as_ref().map_or(BELIEVED, |row| Duration::from_secs(row.expires_at - now).min(Known::TTL));
        let value = row.map(|row| row.value);
        self.rao.put(key, Arc::new(Known(value)), for_long).await;
        Ok(value)
    }
}

#[async_trait]
impl Denylist for SharedDenylist {
    /// When the table cannot be read, tokens are taken: they are signed and not expired, and whoever asks next with the
    /// same token is asked again. The alternative would turn everybody away for one table's sake.
    async fn marks(&self, keys: [&str; 2]) -> [Option<u64>; 2] {
        let [first, second] = keys;
        let (first, second) = tokio::join!(self.read(first), self.read(second));
        [first, second].map(|read| {
            read.unwrap_or_else(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "sign-outs cannot be read");
                None
            })
        })
    }

    async fn mark(&self, key: &str, value: u64, until: u64) -> Result<(), DenylistError> {
        let change = Expression::new("SET #value = :value, expiresAt = :until")
            .name("#value", "value")
            .number(":value", value)
            .number(":until", until);
        let condition = "attribute_not_exists(mark) OR #value <= :value";
        match self.marks.update_if(key, None, change, condition).await {
            Ok(_) => {}
            // A later moment stands there already.
            Err(AccessError::ConditionFailed { .. }) => return Ok(()),
            Err(error) => return Err(DenylistError(error.into())),
        }
        let left = until.saturating_sub(self.clock.now().seconds());
        self.rao.put(key, Arc::new(Known(Some(value))), Duration::from_secs(left).min(Known::TTL)).await;
        Ok(())
    }
}
