use std::time::Duration;

use api::ApiError;
use app::App;
use identity::UserId;
use members::Joined;
use worker::RunError;

use crate::letters;
use crate::session::refused;

/// So long after somebody has joined the welcome is seen to again: about as long as its job is remembered, and far
/// shorter than the letter.
const NEW: Duration = Duration::from_secs(7 * 24 * 3600);

/// Makes a confirmed account's rows, if they are not there, and welcomes a new member. Repeated it does nothing, but
/// for a welcome that was not queued because whoever made the rows ended there.
pub(crate) async fn join(app: &App, sub: &UserId) -> Result<(), ApiError> {
    if let Some(member) = app.members.find(sub.as_str()).await? {
        if app.clock.now() < member.time_created.plus(NEW) {
            letters::welcome(app, sub).await;
        }
        return Ok(());
    }
    // Deleted in this moment: there is nobody to make rows for.
    let Some(user) = app.users.find_by_sub(sub).await.map_err(refused)? else { return Ok(()) };
    let joined = app.members.join(sub.as_str(), &user.email).await?;
    if joined != Joined::Already {
        tracing::info!(referred = joined == Joined::Referred, "a new member");
        letters::welcome(app, sub).await;
    }
    Ok(())
}

/// The member's part of an account, when it is deleted.
pub(crate) async fn leave(app: App, user: String) -> Result<(), RunError> {
    Ok(app.members.forget(&user).await?)
}
