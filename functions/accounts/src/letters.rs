//! Letters that follow from what happened to an account. They go by queue: nobody waits for a mail service.

use access::Timestamp;
use access::messages::{AccountLetter, SendMail};
use app::App;
use identity::UserId;

pub(crate) async fn welcome(app: &App, sub: &UserId) {
    send(app, format!("welcome/{sub}"), sub, AccountLetter::Welcome).await;
}

pub(crate) async fn password_changed(app: &App, sub: &UserId) {
    let Timestamp(at) = app.clock.now();
    send(app, format!("password-changed/{sub}/{at}"), sub, AccountLetter::PasswordChanged { at }).await;
}

/// At most one an hour, however often somebody tries.
pub(crate) async fn account_exists(app: &App, sub: &UserId) {
    let hour = app.clock.now().seconds() / 3600;
    send(app, format!("account-exists/{sub}/{hour}"), sub, AccountLetter::AccountExists).await;
}

/// A letter that cannot be queued is logged and left: what it tells of has happened, and must not fail for it.
async fn send(app: &App, key: String, sub: &UserId, letter: AccountLetter) {
    let message = SendMail { key: key.clone(), user: sub.to_string(), letter };
    if let Err(error) = app.jobs.enqueue(&key, &message).await {
        tracing::error!(error = &error as &dyn std::error::Error, "a letter could not be queued");
    }
}
