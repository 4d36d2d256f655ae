use access::EmailAddress;
use app::App;
use mail::{Scope, Unsubscribe};

/// The way out of letters of this scope, for this address: a link that needs no signing in, and takes a mail program's
/// POST.
pub(crate) fn from(app: &App, address: &EmailAddress, scope: Scope) -> Unsubscribe {
    let token = app.suppressions.token(address, scope);
    // Base64url needs no encoding in a query.
    Unsubscribe { link: app.settings.api.to(&format!("v1/referrals/unsubscribe?token={token}")), one_click: true }
}
