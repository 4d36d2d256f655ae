//! Who belongs: members, their referral codes, the places each code has, and the one transaction in which somebody
//! takes one. Sign-up and referrals both stand on it.
//!
//! Nothing is read, changed and written back: each change is one conditional write or one transaction, so that
//! repeating an operation, after a failure or beside itself, adds nothing. What fails half-way is finished by calling
//! it again.

mod code;
mod forget;
mod invites;
mod members;
mod points;
mod rows;
mod standing;

pub use code::{BadReferralCode, ReferralCode};
pub use invites::{INVITE_LASTS, INVITES_A_DAY, Invite, InviteRefusal, InviteState, Invited};
pub use members::{Created, Joined, Members, PlacesSet, ReferralUse, Refusal};
pub use points::Credited;
pub use rows::{Member, Referral};
pub use standing::{AsOf, MemberStanding, Scanned, Snapshot, Standing};
