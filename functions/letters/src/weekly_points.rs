use app::App;
use identity::PoolUser;
use mail::{Content, Scope, WeeklyPoints};
use members::AsOf;
use worker::RunError;

use crate::send_mail::discarded;
use crate::unsubscribe;

/// What a member is told every week.
pub(crate) async fn content(app: &App, user: &PoolUser) -> Result<Content, RunError> {
    let standing = app.members.standing(user.sub.as_str()).await?;
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
        unsubscribe: unsubscribe::from(app, &user.email, Scope::Weekly),
    };
    Ok(letter.into())
}
