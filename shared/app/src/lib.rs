//! What a handler or a worker holds: the ports of this deployment, and how they are set. No behaviour.

mod pages;

use std::ops::Deref;
use std::sync::Arc;

use access::{
    BlobStore, Clock, Computed, Cursors, Dqo, Freshness, Idempotency, Ids, Jobs, Limits, Queue, Ranking, Rao,
    Strictness, Tables, Vault,
};
use axum::extract::FromRef;
use chains::Chains;
use identity::{Denylist, UserPool, Verifier};
use mail::{Ledger, Letterhead, Mailer, Name, Suppressions};
use members::Members;

pub use pages::Pages;

/// Shared by everything in a process; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub tables: Tables,
    pub rao: Rao,
    pub jobs: Jobs,
    pub queue: Arc<dyn Queue>,
    pub blobs: Arc<dyn BlobStore>,
    pub cursors: Cursors,
    pub chains: Chains,
    pub verifier: Arc<Verifier>,
    pub limits: Limits,
    pub idempotency: Idempotency,
    pub denylist: Arc<dyn Denylist>,
    pub users: Arc<dyn UserPool>,
    pub vault: Vault,
    pub members: Members,
    pub ranking: Ranking,
    pub mailer: Arc<dyn Mailer>,
    pub ledger: Ledger,
    pub suppressions: Suppressions,
    pub settings: Settings,
}

/// What an operator may set about the domains.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of this deployment: `prod`, `local`.
    pub environment: String,
    pub reports: Freshness,
    pub metadata: Freshness,
    /// How many transfers are added up beyond the last checkpoint of a token before another is kept.
    pub checkpoint_rows: u64,
    /// How much memory adding up one token may take; what takes more fails with a reason.
    pub ledger_bytes: u64,
    pub limits: Strictness,
    pub pages: Pages,
    /// Where this API is reached from outside: links in letters that lead to it rather than to the front end.
    pub api: Pages,
    pub letterhead: Letterhead,
    /// The public keys of the tokens issued here, a JSON Web Key Set; without keys where Cognito issues them.
    pub keys: Arc<str>,
}

impl Default for Settings {
    fn default() -> Self {
        let pages = Pages::default();
        let product = Name::new("Holdfast").expect("a name with letters");
        Self {
            environment: String::new(),
            reports: Freshness::default(),
            metadata: Freshness::default(),
            checkpoint_rows: 250_000,
            ledger_bytes: 1_500_000_000,
            limits: Strictness::default(),
            letterhead: pages.letterhead(product),
            pages,
            api: Pages::new("http://127.0.0.1:3000/").expect("an address of this machine"),
            keys: Arc::from(r#"{"keys":[]}"#),
        }
    }
}

impl App {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The read path for results of one type.
    pub fn dqo<T: Computed>(&self, freshness: Freshness) -> Dqo<T> {
        let Parts { tables, rao, jobs, blobs, clock, .. } = &*self.0;
        Dqo::open(tables, rao, jobs, Arc::clone(blobs), Arc::clone(clock), freshness)
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Arc<Verifier> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.verifier)
    }
}

impl worker::Ports for App {
    fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    fn queue(&self) -> &Arc<dyn Queue> {
        &self.queue
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    fn ids(&self) -> &Arc<dyn Ids> {
        &self.ids
    }
}
