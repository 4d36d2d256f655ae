use std::time::Duration;

use access::tables::{STANDINGS, Table};
use access::{AccessError, Dao, Expression, JobError, Kind, Row};
use app::App;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use worker::{Run, RunError};

/// How far a run has come, kept beside the rankings: a row of table `standings` under the run's own name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checkpoint {
    /// Always 0: there is one.
    timestamp: u64,
    /// Of the worker that wrote it. One whose job another has taken over cannot set it back.
    fence: u64,
    /// What the run wants to know, as JSON.
    state: String,
    /// Seconds since 1970.
    expires_at: u64,
}

impl Row for Checkpoint {
    const TABLE: &'static Table = &STANDINGS;
}

/// Longer than a job lives.
const KEEP: Duration = Duration::from_secs(8 * 24 * 3600);

/// One start of a job, with all its continuations and repetitions.
pub(crate) struct Progress {
    app: App,
    run: Run<App>,
    /// The same for all invocations that belong to this start.
    pub(crate) name: String,
}

impl Progress {
    pub(crate) fn of(app: &App, run: &Run<App>) -> Self {
        let row = &run.claim().row;
        Self { app: app.clone(), run: run.clone(), name: format!("{}-{}", row.view.job, row.generation) }
    }

    /// What tells this worker from others that had the same job.
    pub(crate) fn fence(&self) -> u64 {
        self.run.claim().row.view.fence
    }

    pub(crate) async fn load<S: DeserializeOwned>(&self) -> Result<Option<S>, RunError> {
        let row = self.rows().get(&self.key(), Some(0.into())).await?;
        row.map(|row| serde_json::from_str(&row.state).map_err(|error| broken(&error))).transpose()
    }

    pub(crate) async fn save<S: Serialize + Sync>(&self, state: &S) -> Result<(), RunError> {
        let state = serde_json::to_string(state).map_err(|error| broken(&error))?;
        let change = Expression::new("SET fence = :fence, #state = :state, expiresAt = :expires")
            .name("#state", "state")
            .number(":fence", self.fence())
            .string(":state", state)
            .number(":expires", self.app.clock.now().plus(KEEP).seconds());
        let condition = "attribute_not_exists(fence) OR fence <= :fence";
        match self.rows().update_if(&self.key(), Some(0.into()), change, condition).await {
            Ok(_) => Ok(()),
            Err(AccessError::ConditionFailed { .. }) => Err(RunError::Lost),
            Err(error) => Err(error.into()),
        }
    }

    fn key(&self) -> String {
        format!("run/{}", self.name)
    }

    fn rows(&self) -> Dao<Checkpoint> {
        Dao::open(&self.app.tables, &self.app.rao)
    }
}

pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> RunError {
    tracing::error!(error, "what a run left for its next part cannot be read");
    RunError::Discard(JobError::new(Kind::Internal, "internal", "A step of the work failed."))
}
