//! Who has an account: passwords, codes, sessions.

use std::error::Error;

use access::{EmailAddress, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::caller::UserId;
use crate::password::{Password, PasswordAttempt};

mod code;
mod cognito;
mod embedded;
mod error;
mod token;

pub use code::{BadCode, Code};
pub use cognito::{CognitoPool, CognitoPoolConfig};
pub use embedded::{EmbeddedPool, EmbeddedPoolError, EmbeddedPoolParts, HashCost, PoolPolicy};
pub use error::PoolError;
pub use token::{AccessToken, ChallengeSession, IdToken, RefreshToken, Tokens};

/// The longest address an account can have, in characters: Cognito's limit for user names.
pub const ADDRESS_CHARACTERS_MAX: usize = 128;

/// The one challenge that a pool of ours gives by itself: an account made with a temporary password.
pub const NEW_PASSWORD_REQUIRED: &str = "NEW_PASSWORD_REQUIRED";

/// Keeps accounts and issues their tokens: Amazon Cognito, or the pool embedded in the local server. An address has at
/// most one account, however many ask at once.
///
/// Any call can fail with [`PoolError::Unavailable`], [`PoolError::Refused`] and, by the pool's own limits,
/// [`PoolError::TooMany`]; the others are named where they can come.
#[async_trait]
pub trait UserPool: Send + Sync {
    /// Creates an unconfirmed account and sends its address a code. A code that could not be sent does not undo the
    /// account: [`SignedUp::code_sent`] tells, [`UserPool::resend_code`] sends another.
    ///
    /// # Errors
    /// [`PoolError::UserExists`], confirmed or not; [`PoolError::PasswordRefused`]; [`PoolError::AddressRefused`].
    async fn sign_up(&self, email: &EmailAddress, password: &Password) -> Result<SignedUp, PoolError>;

    /// Confirms the account with the code that was sent last. Repeated for an account that is confirmed already, it
    /// succeeds whatever the code: whoever has to finish what follows a confirmation can.
    ///
    /// # Errors
    /// [`PoolError::CodeWrong`], [`PoolError::CodeExpired`]; [`PoolError::TooMany`] once the code is void, also for the
    /// right one. An address without an account is [`PoolError::CodeWrong`].
    async fn confirm_sign_up(&self, email: &EmailAddress, code: &Code) -> Result<Confirmed, PoolError>;

    /// Sends an unconfirmed account another code, which makes the one before void. For a confirmed account, or none,
    /// nothing is sent and nothing told.
    ///
    /// An error may tell that there is an account; a caller should get the same answer.
    async fn resend_code(&self, email: &EmailAddress) -> Result<(), PoolError>;

    /// # Errors
    /// [`PoolError::WrongCredentials`], after the same work whether or not there is such an account. Only with the
    /// right password: [`PoolError::NotConfirmed`], [`PoolError::ResetRequired`].
    async fn sign_in(&self, email: &EmailAddress, password: &PasswordAttempt) -> Result<SignIn, PoolError>;

    /// Answers what a sign-in asked for; that may be followed by another challenge.
    ///
    /// # Errors
    /// [`PoolError::ChallengeExpired`], [`PoolError::CodeWrong`], [`PoolError::PasswordRefused`].
    async fn answer_challenge(&self, challenge: &Challenge, response: &ChallengeResponse) -> Result<SignIn, PoolError>;

    /// New tokens, among them the refresh token to use next. The one given here works on for a short grace, since its
    /// answer may have been lost; used after that, it ends the session, since it may have been stolen.
    ///
    /// # Errors
    /// [`PoolError::SessionEnded`].
    async fn refresh(&self, token: &RefreshToken) -> Result<Tokens, PoolError>;

    /// Ends the session of this refresh token. Access tokens serve on until they expire, unless the
    /// [`crate::Denylist`] has them. A token that is not known, or ended already, is fine.
    async fn revoke(&self, token: &RefreshToken) -> Result<(), PoolError>;

    /// Ends every session of the person whose access token this is.
    ///
    /// # Errors
    /// [`PoolError::SessionEnded`].
    async fn sign_out_everywhere(&self, token: &AccessToken) -> Result<(), PoolError>;

    /// Ends every session of this person.
    ///
    /// # Errors
    /// [`PoolError::UnknownUser`].
    async fn sign_out_user(&self, sub: &UserId) -> Result<(), PoolError>;

    /// Sends a confirmed account a code to reset its password with. For an unconfirmed account, or none, nothing is
    /// sent and nothing told.
    ///
    /// An error may tell that there is an account; a caller should get the same answer.
    async fn forgot_password(&self, email: &EmailAddress) -> Result<(), PoolError>;

    /// Sets the password with the code that was sent last, and ends every session.
    ///
    /// # Errors
    /// As [`UserPool::confirm_sign_up`], and [`PoolError::PasswordRefused`].
    async fn reset_password(&self, email: &EmailAddress, code: &Code, new: &Password) -> Result<(), PoolError>;

    /// Sets the password of the person whose access token this is. Sessions go on.
    ///
    /// # Errors
    /// [`PoolError::WrongCredentials`] when the old one is wrong, [`PoolError::SessionEnded`],
    /// [`PoolError::PasswordRefused`].
    async fn change_password(
        &self,
        token: &AccessToken,
        old: &PasswordAttempt,
        new: &Password,
    ) -> Result<(), PoolError>;

    async fn find(&self, email: &EmailAddress) -> Result<Option<PoolUser>, PoolError>;

    async fn find_by_sub(&self, sub: &UserId) -> Result<Option<PoolUser>, PoolError>;

    /// # Errors
    /// [`PoolError::UnknownUser`].
    async fn set_attribute(&self, sub: &UserId, attribute: &Attribute) -> Result<(), PoolError>;

    /// Removes the account; its address can sign up again. One that is not there is fine.
    async fn delete(&self, sub: &UserId) -> Result<(), PoolError>;

    /// Creates an account that needs no confirmation, and sends nothing.
    ///
    /// # Errors
    /// As [`UserPool::sign_up`].
    async fn create_user(&self, user: &NewUser) -> Result<UserId, PoolError>;

    /// Tokens issued from now on name the group. Already in it is fine.
    ///
    /// # Errors
    /// [`PoolError::UnknownUser`]; [`PoolError::Refused`] where groups must be made first and this one was not.
    async fn add_to_group(&self, sub: &UserId, group: &str) -> Result<(), PoolError>;
}

/// What came of a sign-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedUp {
    pub sub: UserId,
    pub code_sent: bool,
}

/// What came of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    pub sub: UserId,
    /// It was confirmed before, and the code did not count. A caller must not learn that from a code alone.
    pub already: bool,
}

/// What came of a right password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    Tokens(Tokens),
    Challenge(Challenge),
}

/// Something to be answered before there are tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// By Cognito's name, such as [`NEW_PASSWORD_REQUIRED`].
    pub name: String,
    pub session: ChallengeSession,
}

/// What answers a [`Challenge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeResponse {
    NewPassword(Password),
    /// From a message or an authenticator.
    Code(Code),
}

/// An account as the pool knows it. `Debug` masks the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUser {
    pub sub: UserId,
    pub email: EmailAddress,
    pub email_verified: bool,
    pub status: UserStatus,
    /// Their language (BCP 47), where they have said.
    pub locale: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserStatus {
    Unconfirmed,
    Confirmed,
    /// Has a temporary password.
    MustChangePassword,
    ResetRequired,
    /// Not one that our calls lead to.
    Other,
}

/// What can be set of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    EmailVerified(bool),
    /// A language tag (BCP 47).
    Locale(String),
}

/// An account made by an administrator.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub email: EmailAddress,
    pub password: Password,
    /// The first sign-in must choose another: it is answered with [`NEW_PASSWORD_REQUIRED`].
    pub password_is_temporary: bool,
}

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodePurpose {
    ConfirmSignUp,
    ResetPassword,
}

/// Brings codes to people, for a pool that does not do that itself.
#[async_trait]
pub trait PoolMessenger: Send + Sync {
    /// Returns when the message is accepted. Asked for again, it is sent again: the code is another one.
    async fn deliver(&self, to: &EmailAddress, purpose: CodePurpose, code: &Code) -> Result<(), DeliveryFailed>;
}

/// A code was not accepted for delivery. Nothing in its causes names the address or the code: they are logged.
#[derive(Debug, thiserror::Error)]
#[error("the code could not be sent")]
pub struct DeliveryFailed(#[source] pub Box<dyn Error + Send + Sync>);

fn is_too_long(email: &EmailAddress) -> bool {
    email.as_str().chars().count() > ADDRESS_CHARACTERS_MAX
}
