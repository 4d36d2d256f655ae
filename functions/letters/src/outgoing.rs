use access::tables::{LETTERS, Table};
use access::{Dao, Row, Unique};
use app::App;
use serde::{Deserialize, Serialize};

/// The row of table `letters`: there once somebody set out to send the letter, and marked when it was taken.
///
/// A mail service knows no repetitions, so a letter cannot be sent exactly once. It is sent at most once: what was set
/// out for and never marked may be under way, and is for an operator to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outgoing {
    pub(crate) letter: String,
    /// Milliseconds since 1970.
    pub(crate) claimed_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sent_at: Option<u64>,
    /// What the mail service calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    /// Seconds since 1970.
    pub(crate) expires_at: u64,
}

impl Row for Outgoing {
    const TABLE: &'static Table = &LETTERS;
}
impl Unique for Outgoing {}

pub(crate) fn outgoing(app: &App) -> Dao<Outgoing> {
    Dao::open(&app.tables, &app.rao)
}
