use std::sync::Arc;
use std::time::Duration;

use access::{Cached, Rao};
use async_trait::async_trait;
use identity::{JwksCache, StoredJwks};
use serde::{Deserialize, Serialize};

/// Issuers' keys shared between functions through the read path's cache.
pub(crate) struct CachedJwks(pub(crate) Rao);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Kept(StoredJwks);

impl Cached for Kept {
    const PREFIX: &'static str = "jwks";
    const VERSION: u32 = 1;
    const TTL: Duration = Duration::from_secs(24 * 3600);
}

#[async_trait]
impl JwksCache for CachedJwks {
    async fn get(&self, issuer: &str) -> Option<StoredJwks> {
        self.0.get::<Kept>(issuer).await.map(|hit| hit.value.0.clone())
    }

    async fn put(&self, issuer: &str, stored: &StoredJwks) {
        self.0.put(issuer, Arc::new(Kept(stored.clone())), Kept::TTL).await;
    }
}
