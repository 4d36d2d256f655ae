//! Mail: what is written, and how it leaves.
//!
//! * A [`Letter`] is an address and a [`Content`], typed data for one of the templates compiled into this crate.
//! * [`Content::render`] makes HTML and plain text of it; so it also serves Cognito's custom messages, with
//!   [`Code::Placeholder`] where Cognito puts the code.
//! * [`Mailer`] sends letters: [`SesMailer`] through Amazon SES, [`FileOutbox`] into a folder of this machine.
//! * [`Ledger`] remembers which letters somebody has set out to send, and [`Suppressions`] who gets none.
//! * [`preview`] renders a template with sample data.
//!
//! What people wrote, a [`Name`], is stripped and cut before it is shown, and escaped in HTML. No address, code or
//! link with a secret in it appears in `Debug` or in an error.

mod content;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod ledger;
mod link;
mod mailer;
mod name;
mod outbox;
mod preview;
mod render;
mod ses;
mod shown;
mod suppressions;
mod wording;

#[cfg(test)]
mod ses_stub;

pub use content::{
    AccountExists, ConfirmCode, Content, PasswordChanged, ReferralInvite, ResetPassword, Template, UnknownTemplate,
    Unsubscribe, WeeklyPoints, Welcome,
};
pub use ledger::{Ledger, Outgoing, Receipt};
pub use link::{BadLink, Link};
pub use mailer::{Letter, MailError, Mailer, MessageId};
pub use name::Name;
pub use outbox::{FileOutbox, Filed};
pub use preview::preview;
pub use render::{COGNITO_MESSAGE_CHARS, COGNITO_SUBJECT_CHARS, Letterhead, Rendered};
pub use ses::{Sender, SesMailer};
pub use shown::{BadCode, Code, Digits, InviteCode};
pub use suppressions::{Reason, Scope, Suppressions, UnsubscribeError};
