use api::ApiError;
use app::App;
use identity::UserId;
use members::Joined;
use worker::RunError;

use crate::letters;
use crate::session::refused;

/// Makes a confirmed account's rows, if they are not there, and welcomes a new member. Repeated it does nothing.
pub(crate) async fn join(app: &App, sub: &UserId) -> Result<(), ApiError> {
    if app.members.has_joined(sub.as_str()).await? {
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
