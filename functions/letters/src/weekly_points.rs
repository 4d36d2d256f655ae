use app::App;
use mail::{Content, Unsubscribe, WeeklyPoints};
use members::AsOf;
use worker::RunError;

use crate::send_mail::discarded;

/// What a member is told every week.
pub(crate) async fn content(app: &App, user: &str, week: u64) -> Result<Content, RunError> {
    let standing = app.members.standing(user).await?;
    let standing = standing.ok_or_else(|| discarded("no_member", "This account is no member."))?;
    let until = match standing.as_of {
        AsOf::Rebuild(at) => at,
        AsOf::Now | AsOf::Never => app.clock.now(),
    };
    let pages = &app.settings.pages;
    let letter = WeeklyPoints {
        until,
        points: standing.member.points,
        points_difference: standing.points_difference,
        rank: standing.place.rank,
        ranked: standing.place.total,
        rank_difference: standing.rank_difference,
        invited: standing.member.referrals_used,
        places: standing.member.total_referrals,
        page: pages.to("points"),
        unsubscribe: unsubscribe(app, user, week),
    };
    Ok(letter.into())
}

/// Leads to the front end, where the account's owner says so.
fn unsubscribe(app: &App, user: &str, week: u64) -> Unsubscribe {
    let token = app.cursors.seal("unsubscribe/weekly", &(user, week));
    Unsubscribe { link: app.settings.pages.to(&format!("unsubscribe?token={token}")), one_click: false }
}
