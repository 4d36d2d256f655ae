//! Worker: has every member who has points written to, page by page of the newest ranking. Each letter is a job of its
//! own, named for week and member: killed or repeated, nobody is written to twice.

use std::time::Duration;

use access::messages::{AccountLetter, SendDigests, SendMail};
use access::{JobError, Kind, Timestamp};
use app::App;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use worker::{Outcome, Run, RunError, Worker};

use crate::board::{self, BoardError};
use crate::checkpoint::Progress;
use crate::enqueue;

pub fn worker() -> Worker<App> {
    Worker::job("referrals-send-digests", send)
}

/// So many letters are queued side by side.
const SIDE_BY_SIDE: usize = 16;
/// What one page may take.
const RESERVE: Duration = Duration::from_secs(20);

/// How far a run is.
#[derive(Serialize, Deserialize)]
struct Reached {
    /// Of the ranking it goes through.
    standing: Timestamp,
    page: u64,
}

async fn send(app: App, message: SendDigests, run: Run<App>) -> Result<Outcome, RunError> {
    let progress = Progress::of(&app, &run);
    let standing = app.members.newest_standing().await?;
    if let Some(standing) = standing {
        let reached: Option<Reached> = progress.load().await?;
        // Another ranking than before: from the start, whoever was written to is not written to again.
        let mut page =
            reached.filter(|reached| reached.standing == standing.timestamp).map_or(0, |reached| reached.page);
        while page < standing.pages {
            if run.remaining() < RESERVE {
                return Ok(Outcome::Continue);
            }
            let ranks = board::page(&app, &standing, page).await?.ok_or_else(replaced)?;
            let is_last = ranks.iter().any(|rank| rank.ranked.points == 0);
            let letters = ranks.into_iter().filter(|rank| rank.ranked.points > 0).map(|rank| {
                let (app, user, week) = (app.clone(), rank.ranked.user, message.week);
                async move {
                    let key = format!("weekly/{week}/{user}");
                    let letter = AccountLetter::WeeklyPoints { week };
                    enqueue(&app, &key, &SendMail { key: key.clone(), user, letter }).await
                }
            });
            let () = stream::iter(letters).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
            page += 1;
            progress.save(&Reached { standing: standing.timestamp, page }).await?;
            if is_last {
                break;
            }
        }
    }
    run.finish().await?;
    Ok(Outcome::Done)
}

fn replaced() -> RunError {
    let detail = "The ranking was replaced meanwhile; the work goes on with the new one.";
    RunError::Retry(JobError::new(Kind::Unavailable, "standing_replaced", detail))
}

impl From<BoardError> for RunError {
    fn from(error: BoardError) -> Self {
        match error {
            BoardError::Blobs(error) => error.into(),
            BoardError::Unreadable(error) => error.into(),
        }
    }
}
