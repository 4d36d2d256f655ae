//! Amazon Cognito.

use std::sync::OnceLock;

use access::{Aws, EmailAddress, Timestamp};
use async_trait::async_trait;
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::types::{
    AttributeType, AuthFlowType, AuthenticationResultType, ChallengeNameType, MessageActionType, UserStatusType,
};

use self::failure::{Failure, failed};
use super::{
    AccessToken, Attribute, Challenge, ChallengeResponse, ChallengeSession, Code, Confirmed, IdToken, NewUser,
    PoolError, PoolUser, RefreshToken, SignIn, SignedUp, Tokens, UserPool, UserStatus, is_too_long,
};
use crate::caller::UserId;
use crate::password::{Password, PasswordAttempt};

mod failure;

/// Which user pool, and as which application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CognitoPoolConfig {
    pub user_pool_id: String,
    /// A public client (without a secret) with `USER_PASSWORD_AUTH`, token revocation and refresh token rotation
    /// enabled.
    pub client_id: String,
}

/// A [`UserPool`] in Amazon Cognito. The pool's user names are e-mail addresses (`UsernameAttributes: email`), so that
/// Cognito's own name of a user is the `sub`; its groups are made with it. Its client is built at the first call.
pub struct CognitoPool {
    aws: Aws,
    client: OnceLock<Client>,
    config: CognitoPoolConfig,
}

/// Where Cognito tells the name under which a challenge is answered.
const USER_ID: &str = "USER_ID_FOR_SRP";

impl CognitoPool {
    /// Connects to nothing.
    pub const fn new(aws: Aws, config: CognitoPoolConfig) -> Self {
        Self { aws, client: OnceLock::new(), config }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(self.aws.sdk_config()))
    }

    /// The account of an address or a `sub`.
    async fn user(&self, name: &str) -> Result<Option<PoolUser>, PoolError> {
        let sent = self.client().admin_get_user().user_pool_id(&self.config.user_pool_id).username(name).send().await;
        let found = match sent.map_err(failed) {
            Ok(found) => found,
            Err(failure) if failure.is("UserNotFoundException") => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let text = |name: &str| {
            found.user_attributes().iter().find(|attribute| attribute.name() == name).and_then(AttributeType::value)
        };
        let missing = |what| PoolError::refused(format!("the account has no {what}"));
        Ok(Some(PoolUser {
            sub: UserId::new(text("sub").ok_or_else(|| missing("sub"))?).map_err(PoolError::refused)?,
            email: EmailAddress::new(text("email").ok_or_else(|| missing("email"))?).map_err(PoolError::refused)?,
            email_verified: text("email_verified") == Some("true"),
            status: found.user_status().map_or(UserStatus::Other, status),
            locale: text("locale").map(str::to_owned),
            created_at: found
                .user_create_date()
                .and_then(|date| date.to_millis().ok())
                .and_then(|millis| u64::try_from(millis).ok())
                .map_or(Timestamp(0), Timestamp),
        }))
    }

    /// Whether an answer to a code that Cognito did not take is that there is nothing left to confirm.
    async fn confirmed_before(&self, email: &EmailAddress) -> Result<Option<UserId>, PoolError> {
        let user = self.user(email.as_str()).await?;
        Ok(user.filter(|user| user.status != UserStatus::Unconfirmed).map(|user| user.sub))
    }

    async fn set_password(&self, sub: &UserId, password: &Password) -> Result<(), PoolError> {
        let call = self.client().admin_set_user_password().user_pool_id(&self.config.user_pool_id);
        let sent = call.username(sub.as_str()).password(password.reveal()).permanent(true).send().await;
        sent.map(drop).map_err(|error| failed(error).into())
    }
}

#[async_trait]
impl UserPool for CognitoPool {
    async fn sign_up(&self, email: &EmailAddress, password: &Password) -> Result<SignedUp, PoolError> {
        if is_too_long(email) {
            return Err(PoolError::AddressRefused);
        }
        let call = self.client().sign_up().client_id(&self.config.client_id).username(email.as_str());
        let sent = call.password(password.reveal()).user_attributes(attribute("email", email.as_str())).send().await;
        match sent.map_err(failed) {
            Ok(answer) => {
                let sub = UserId::new(answer.user_sub).map_err(PoolError::refused)?;
                Ok(SignedUp { sub, code_sent: true })
            }
            // The account is there all the same.
            Err(failure) if failure.is("CodeDeliveryFailureException") => match self.user(email.as_str()).await? {
                Some(user) => Ok(SignedUp { sub: user.sub, code_sent: false }),
                None => Err(failure.into()),
            },
            Err(failure) => Err(failure.into()),
        }
    }

    async fn confirm_sign_up(&self, email: &EmailAddress, code: &Code) -> Result<Confirmed, PoolError> {
        if is_too_long(email) {
            return Err(PoolError::CodeWrong);
        }
        let call = self.client().confirm_sign_up().client_id(&self.config.client_id).username(email.as_str());
        let sent = call.confirmation_code(code.as_str()).send().await;
        let failure = match sent.map_err(failed) {
            Ok(_) => {
                let user = self.user(email.as_str()).await?;
                let user = user.ok_or_else(|| PoolError::unavailable("the account went while it was confirmed"))?;
                return Ok(Confirmed { sub: user.sub, already: false });
            }
            Err(failure) => failure,
        };
        // What Cognito answers for a confirmed account depends on the code's age; the account's status does not.
        let about_the_code = ["NotAuthorizedException", "CodeMismatchException", "ExpiredCodeException"];
        let used_up = ["TooManyFailedAttemptsException", "LimitExceededException"];
        if about_the_code.iter().chain(&used_up).any(|code| failure.is(code))
            && let Some(sub) = self.confirmed_before(email).await?
        {
            return Ok(Confirmed { sub, already: true });
        }
        // Nobody to confirm looks like a wrong code, whatever the client's setting.
        Err(if failure.denies() || failure.is("UserNotFoundException") { PoolError::CodeWrong } else { failure.into() })
    }

    async fn resend_code(&self, email: &EmailAddress) -> Result<(), PoolError> {
        if is_too_long(email) {
            return Ok(());
        }
        let call = self.client().resend_confirmation_code().client_id(&self.config.client_id);
        match call.username(email.as_str()).send().await.map_err(failed) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("UserNotFoundException") => Ok(()),
            Err(failure) if failure.is("CodeDeliveryFailureException") => Err(failure.into_unavailable()),
            // What Cognito says of a confirmed account.
            Err(failure) if failure.is("InvalidParameterException") || failure.is("NotAuthorizedException") => {
                let confirmed = self.confirmed_before(email).await?.is_some();
                if confirmed { Ok(()) } else { Err(failure.into_refused()) }
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn sign_in(&self, email: &EmailAddress, password: &PasswordAttempt) -> Result<SignIn, PoolError> {
        // Cognito would call these invalid parameters, which also is what it calls a client that is set up wrong.
        let Some(password) = password.reveal().filter(|_| !is_too_long(email)) else {
            return Err(PoolError::WrongCredentials);
        };
        let call = self.client().initiate_auth().client_id(&self.config.client_id);
        let call = call.auth_flow(AuthFlowType::UserPasswordAuth);
        let call = call.auth_parameters("USERNAME", email.as_str()).auth_parameters("PASSWORD", password);
        let answer = call.send().await.map_err(|error| match failed(error) {
            failure if failure.denies() || failure.is("UserNotFoundException") => PoolError::WrongCredentials,
            failure => failure.into(),
        })?;
        let user = answer.challenge_parameters().and_then(|parameters| parameters.get(USER_ID));
        let user = user.map_or(email.as_str(), String::as_str);
        match answer.challenge_name() {
            Some(name) => asked(name, answer.session(), user),
            None => signed_in(answer.authentication_result().cloned(), None).map(SignIn::Tokens),
        }
    }

    async fn answer_challenge(&self, challenge: &Challenge, response: &ChallengeResponse) -> Result<SignIn, PoolError> {
        let Some((session, user)) = challenge.session.as_str().split_once(' ') else {
            return Err(PoolError::ChallengeExpired);
        };
        let name = ChallengeNameType::from(&*challenge.name);
        let (parameter, value) = match (&name, response) {
            (ChallengeNameType::NewPasswordRequired, ChallengeResponse::NewPassword(new)) => {
                ("NEW_PASSWORD", new.reveal())
            }
            (ChallengeNameType::SoftwareTokenMfa, ChallengeResponse::Code(code)) => {
                ("SOFTWARE_TOKEN_MFA_CODE", code.as_str())
            }
            (ChallengeNameType::SmsMfa, ChallengeResponse::Code(code)) => ("SMS_MFA_CODE", code.as_str()),
            (ChallengeNameType::EmailOtp, ChallengeResponse::Code(code)) => ("EMAIL_OTP_CODE", code.as_str()),
            (
                ChallengeNameType::NewPasswordRequired
                | ChallengeNameType::SoftwareTokenMfa
                | ChallengeNameType::SmsMfa
                | ChallengeNameType::EmailOtp,
                _,
            ) => return Err(PoolError::CodeWrong),
            // Nothing that a sign-in of ours leads to.
            _ => return Err(PoolError::ChallengeExpired),
        };
        let call = self.client().respond_to_auth_challenge().client_id(&self.config.client_id).challenge_name(name);
        let call = call.session(session).challenge_responses("USERNAME", user).challenge_responses(parameter, value);
        let answer = call.send().await.map_err(|error| match failed(error) {
            failure
                if failure.denies() || failure.is("UserNotFoundException") || failure.is("ExpiredCodeException") =>
            {
                PoolError::ChallengeExpired
            }
            failure => failure.into(),
        })?;
        match answer.challenge_name() {
            Some(name) => asked(name, answer.session(), user),
            None => signed_in(answer.authentication_result, None).map(SignIn::Tokens),
        }
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<Tokens, PoolError> {
        if !is_token(token.as_str()) {
            return Err(PoolError::SessionEnded);
        }
        let call = self.client().get_tokens_from_refresh_token().client_id(&self.config.client_id);
        let answer = call.refresh_token(token.as_str()).send().await.map_err(|error| ended(failed(error)))?;
        signed_in(answer.authentication_result, Some(token))
    }

    async fn revoke(&self, token: &RefreshToken) -> Result<(), PoolError> {
        if !is_token(token.as_str()) {
            return Ok(());
        }
        let call = self.client().revoke_token().client_id(&self.config.client_id).token(token.as_str());
        match call.send().await.map_err(failed) {
            Ok(_) => Ok(()),
            // What is no refresh token needs no revoking.
            Err(failure) if failure.is("UnsupportedTokenTypeException") => Ok(()),
            Err(failure) if failure.is("InvalidParameterException") => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn sign_out_everywhere(&self, token: &AccessToken) -> Result<(), PoolError> {
        if !is_token(token.as_str()) {
            return Err(PoolError::SessionEnded);
        }
        let sent = self.client().global_sign_out().access_token(token.as_str()).send().await;
        sent.map(drop).map_err(|error| ended(failed(error)))
    }

    async fn sign_out_user(&self, sub: &UserId) -> Result<(), PoolError> {
        let call = self.client().admin_user_global_sign_out().user_pool_id(&self.config.user_pool_id);
        call.username(sub.as_str()).send().await.map(drop).map_err(|error| failed(error).into())
    }

    async fn forgot_password(&self, email: &EmailAddress) -> Result<(), PoolError> {
        if is_too_long(email) {
            return Ok(());
        }
        let call = self.client().forgot_password().client_id(&self.config.client_id).username(email.as_str());
        match call.send().await.map_err(failed) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("UserNotFoundException") => Ok(()),
            Err(failure) if failure.is("CodeDeliveryFailureException") => Err(failure.into_unavailable()),
            // What Cognito says of an account whose address is not confirmed, or whose password is temporary.
            Err(failure) if failure.is("InvalidParameterException") || failure.is("NotAuthorizedException") => {
                let user = self.user(email.as_str()).await?;
                let resettable = user.is_some_and(|user| user.status == UserStatus::Confirmed && user.email_verified);
                if resettable { Err(failure.into_refused()) } else { Ok(()) }
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn reset_password(&self, email: &EmailAddress, code: &Code, new: &Password) -> Result<(), PoolError> {
        if is_too_long(email) {
            return Err(PoolError::CodeWrong);
        }
        let call = self.client().confirm_forgot_password().client_id(&self.config.client_id);
        let call = call.username(email.as_str()).confirmation_code(code.as_str()).password(new.reveal());
        call.send().await.map_err(|error| match failed(error) {
            failure
                if failure.denies()
                    || failure.is("UserNotFoundException")
                    || failure.is("UserNotConfirmedException") =>
            {
                PoolError::CodeWrong
            }
            failure => failure.into(),
        })?;
        // Cognito lets sessions go on. If they cannot be ended the reset counts as failed: asked for again, with
        // another code, it ends them.
        let call = self.client().admin_user_global_sign_out().user_pool_id(&self.config.user_pool_id);
        call.username(email.as_str()).send().await.map(drop).map_err(|error| failed(error).into())
    }

    async fn change_password(
        &self,
        token: &AccessToken,
        old: &PasswordAttempt,
        new: &Password,
    ) -> Result<(), PoolError> {
        if !is_token(token.as_str()) {
            return Err(PoolError::SessionEnded);
        }
        let old = old.reveal().ok_or(PoolError::WrongCredentials)?;
        let call = self.client().change_password().access_token(token.as_str());
        let sent = call.previous_password(old).proposed_password(new.reveal()).send().await;
        sent.map(drop).map_err(|error| match failed(error) {
            // One name for a wrong password and for a token that is over; only the text tells.
            failure if failure.denies() && !failure.mentions("token") => PoolError::WrongCredentials,
            failure => ended(failure),
        })
    }

    async fn find(&self, email: &EmailAddress) -> Result<Option<PoolUser>, PoolError> {
        if is_too_long(email) { Ok(None) } else { self.user(email.as_str()).await }
    }

    async fn find_by_sub(&self, sub: &UserId) -> Result<Option<PoolUser>, PoolError> {
        self.user(sub.as_str()).await
    }

    async fn set_attribute(&self, sub: &UserId, change: &Attribute) -> Result<(), PoolError> {
        let attribute = match change {
            Attribute::EmailVerified(verified) => attribute("email_verified", &verified.to_string()),
            Attribute::Locale(locale) => attribute("locale", locale),
        };
        let call = self.client().admin_update_user_attributes().user_pool_id(&self.config.user_pool_id);
        let sent = call.username(sub.as_str()).user_attributes(attribute).send().await;
        sent.map(drop).map_err(|error| failed(error).into())
    }

    async fn delete(&self, sub: &UserId) -> Result<(), PoolError> {
        let call = self.client().admin_delete_user().user_pool_id(&self.config.user_pool_id);
        match call.username(sub.as_str()).send().await.map_err(failed) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("UserNotFoundException") => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A failure between its two calls leaves an account whose password is temporary: it can sign in and choose another.
    async fn create_user(&self, user: &NewUser) -> Result<UserId, PoolError> {
        if is_too_long(&user.email) {
            return Err(PoolError::AddressRefused);
        }
        let call = self.client().admin_create_user().user_pool_id(&self.config.user_pool_id);
        let call = call.username(user.email.as_str()).temporary_password(user.password.reveal());
        let call = call.message_action(MessageActionType::Suppress);
        let call = call.user_attributes(attribute("email", user.email.as_str()));
        let call = call.user_attributes(attribute("email_verified", "true"));
        let answer = call.send().await.map_err(failed)?;
        let made = answer.user().map(aws_sdk_cognitoidentityprovider::types::UserType::attributes).unwrap_or_default();
        let sub = made.iter().find(|attribute| attribute.name() == "sub").and_then(AttributeType::value);
        let sub = sub.ok_or_else(|| PoolError::refused("the new account has no sub"))?;
        let sub = UserId::new(sub).map_err(PoolError::refused)?;
        if !user.password_is_temporary {
            self.set_password(&sub, &user.password).await?;
        }
        Ok(sub)
    }

    async fn add_to_group(&self, sub: &UserId, group: &str) -> Result<(), PoolError> {
        let call = self.client().admin_add_user_to_group().user_pool_id(&self.config.user_pool_id);
        let sent = call.username(sub.as_str()).group_name(group).send().await;
        sent.map(drop).map_err(|error| failed(error).into())
    }
}

/// Whether Cognito would look at it: it calls anything else an invalid parameter, as it does a client set up wrong.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=.".contains(&byte))
}

fn attribute(name: &str, value: &str) -> AttributeType {
    AttributeType::builder().name(name).value(value).build().expect("the name is given")
}

fn status(status: &UserStatusType) -> UserStatus {
    match status {
        UserStatusType::Unconfirmed => UserStatus::Unconfirmed,
        UserStatusType::Confirmed => UserStatus::Confirmed,
        UserStatusType::ForceChangePassword => UserStatus::MustChangePassword,
        UserStatusType::ResetRequired => UserStatus::ResetRequired,
        _ => UserStatus::Other,
    }
}

/// What is refused to the holder of a token ends their session.
fn ended(failure: Failure) -> PoolError {
    if failure.denies() {
        return PoolError::SessionEnded;
    }
    match failure.into() {
        PoolError::UnknownUser | PoolError::NotConfirmed | PoolError::ResetRequired => PoolError::SessionEnded,
        error => error,
    }
}

/// The session carries the name that Cognito wants to hear with the answer.
fn asked(name: &ChallengeNameType, session: Option<&str>, user: &str) -> Result<SignIn, PoolError> {
    let session = session.ok_or_else(|| PoolError::refused("a challenge without a session"))?;
    let session = ChallengeSession::new(format!("{session} {user}"));
    Ok(SignIn::Challenge(Challenge { name: name.as_str().to_owned(), session }))
}

/// Without rotation Cognito gives no refresh token for a refresh: the one that was `used` serves on.
fn signed_in(result: Option<AuthenticationResultType>, used: Option<&RefreshToken>) -> Result<Tokens, PoolError> {
    let result = result.ok_or_else(|| PoolError::refused("neither tokens nor a challenge"))?;
    let missing = |what| PoolError::refused(format!("tokens without {what}"));
    let refresh = result.refresh_token.map(RefreshToken::new).or_else(|| used.cloned());
    Ok(Tokens {
        access: AccessToken::new(result.access_token.ok_or_else(|| missing("an access token"))?),
        id: IdToken::new(result.id_token.ok_or_else(|| missing("an id token"))?),
        refresh: refresh.ok_or_else(|| missing("a refresh token"))?,
        expires_in_seconds: u64::try_from(result.expires_in).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
