//! The user pool of a machine without Cognito.

use std::sync::Arc;
use std::time::Duration;

use access::{AccessError, Clock, EmailAddress, Ids, Rao, Tables, Timestamp};
use async_trait::async_trait;

use self::codes::{Codes, Verdict};
use self::hashing::{Hasher, HashingFailed};
use self::rows::{UserRow, Users};
use self::sessions::Sessions;
use super::{
    AccessToken, Attribute, Challenge, ChallengeResponse, Code, CodePurpose, Confirmed, NEW_PASSWORD_REQUIRED, NewUser,
    PoolError, PoolMessenger, PoolUser, RefreshToken, SignIn, SignedUp, Tokens, UserPool, UserStatus, is_too_long,
};
use crate::caller::{UserId, UserIdError};
use crate::issuer::{Issuer, IssuerError};
use crate::local_issuer::{LocalIssuer, uuid};
use crate::password::{Password, PasswordAttempt};

mod challenge;
mod codes;
mod hashing;
mod rows;
mod sessions;

pub use hashing::HashCost;

/// A user pool in the process: Cognito's behaviour and claims over the tables `pool-…`, tokens signed by the machine's
/// [`LocalIssuer`]. Every change is one conditional write or one transaction, so any number of processes may serve one
/// pool. Passwords are kept as argon2id hashes, codes and refresh tokens as keyed or plain hashes of random values.
pub struct EmbeddedPool {
    users: Users,
    codes: Codes,
    sessions: Sessions,
    hasher: Hasher,
    messenger: Arc<dyn PoolMessenger>,
    issuer: Arc<LocalIssuer>,
    client_id: String,
    challenge_key: aws_lc_rs::hmac::Key,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    policy: PoolPolicy,
}

/// What an [`EmbeddedPool`] stands on.
pub struct EmbeddedPoolParts {
    pub tables: Tables,
    pub rao: Rao,
    pub issuer: Arc<LocalIssuer>,
    pub messenger: Arc<dyn PoolMessenger>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    /// The one application whose tokens are issued: `client_id` and `aud`.
    pub client_id: String,
    pub policy: PoolPolicy,
}

/// Times and limits of an [`EmbeddedPool`]; by default Cognito's, where Cognito has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPolicy {
    /// How long access and id tokens are good for.
    pub access: Duration,
    /// How long a session lasts, counted from the sign-in.
    pub session: Duration,
    /// How long a refresh token that was used can be used again.
    pub refresh_grace: Duration,
    pub confirm_code: Duration,
    pub reset_code: Duration,
    /// A code is void after so many wrong guesses.
    pub code_guesses: u32,
    /// How many codes an account is sent for one purpose within an hour, at most.
    pub codes_per_hour: u32,
    pub challenge: Duration,
    /// How long a temporary password is good for, counted from the account's creation.
    pub temporary_password: Duration,
    pub hash: HashCost,
    /// How many passwords are hashed side by side, at most; others wait.
    pub hashes_at_once: usize,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            access: HOUR,
            session: HOUR * 24 * 30,
            refresh_grace: Duration::from_secs(30),
            confirm_code: HOUR * 24,
            reset_code: HOUR,
            code_guesses: 5,
            codes_per_hour: 10,
            challenge: Duration::from_secs(180),
            temporary_password: HOUR * 24 * 7,
            hash: HashCost::default(),
            hashes_at_once: 2,
        }
    }
}

/// Parts that make no pool; found when it is built.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedPoolError {
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error("argon2id cannot work with this cost: {0}")]
    HashCost(String),
}

/// How often a transaction that another one got in the way of is tried, at most.
const TRIES: u32 = 8;

impl EmbeddedPool {
    /// Connects to nothing.
    pub fn new(parts: EmbeddedPoolParts) -> Result<Self, EmbeddedPoolError> {
        let EmbeddedPoolParts { tables, rao, issuer, messenger, clock, ids, client_id, policy } = parts;
        let hasher = Hasher::new(policy.hash, policy.hashes_at_once, Arc::clone(&ids))?;
        let codes = Codes::open(&tables, &rao, issuer.derive_secret("codes"), &policy);
        let allowed = issuer.as_issuer(vec![client_id.clone()]);
        let sessions = Sessions::open(&tables, &rao, allowed, Arc::clone(&clock), &policy)?;
        let challenge_key = issuer.derive_secret("challenges");
        let users = Users::open(&tables, &rao);
        Ok(Self { users, codes, sessions, hasher, messenger, issuer, client_id, challenge_key, clock, ids, policy })
    }

    /// The public keys of its tokens, as served at `/.well-known/jwks.json`.
    pub fn jwks(&self) -> String {
        self.issuer.jwks()
    }

    /// Its entry for a verifier's allow-list; needs no network.
    pub fn as_issuer(&self) -> Issuer {
        self.issuer.as_issuer(vec![self.client_id.clone()])
    }

    async fn create(&self, user: &NewUser, status: UserStatus) -> Result<UserRow, PoolError> {
        if is_too_long(&user.email) {
            return Err(PoolError::AddressRefused);
        }
        // Before anything is looked up: an address that is taken takes as long as one that is free.
        let password = self.hasher.hash(&user.password).await?;
        let row = UserRow {
            user: self.new_uuid(),
            address: user.email.clone(),
            email_verified: status != UserStatus::Unconfirmed,
            password,
            status,
            groups: Vec::new(),
            locale: None,
            epoch: 0,
            created_at: self.clock.now(),
        };
        self.users.insert(&row).await?;
        Ok(row)
    }

    /// Sends a new code. The one before is void even if this one does not arrive.
    async fn send_code(&self, purpose: CodePurpose, user: &UserRow) -> Result<(), PoolError> {
        let code = Code::random(&*self.ids);
        self.codes.put(purpose, &user.user, &code, self.clock.now()).await?;
        self.messenger.deliver(&user.address, purpose, &code).await.map_err(PoolError::unavailable)
    }

    /// The account whose password this is.
    async fn authenticate(
        &self,
        email: &EmailAddress,
        password: &PasswordAttempt,
    ) -> Result<(UserRow, UserId), PoolError> {
        let user = self.users.by_address(email).await?;
        let known = user.as_ref().map(|user| user.password.as_str());
        let right = self.hasher.verify(password, known).await?;
        match user {
            Some(user) if right => {
                let sub = user.sub()?;
                Ok((user, sub))
            }
            _ => Err(PoolError::WrongCredentials),
        }
    }

    async fn start_session(&self, user: &UserRow) -> Result<Tokens, PoolError> {
        let now = self.clock.now();
        let (session, refresh) = self.sessions.start(user, self.new_uuid(), &*self.ids, now).await?;
        Ok(self.tokens(user, &session, refresh, now))
    }

    fn tokens(&self, user: &UserRow, session: &sessions::SessionRow, refresh: RefreshToken, now: Timestamp) -> Tokens {
        let minted = sessions::Minted {
            user,
            session,
            client_id: &self.client_id,
            event_id: &self.new_uuid(),
            issued_at: now.seconds(),
            expires_at: now.plus(self.policy.access).seconds(),
        };
        Tokens {
            access: AccessToken::new(self.issuer.sign_claims(&minted.access(&self.new_uuid()))),
            id: super::IdToken::new(self.issuer.sign_claims(&minted.id(&self.new_uuid()))),
            refresh,
            expires_in_seconds: self.policy.access.as_secs(),
        }
    }

    /// The account whose access token this is, if its session goes on.
    async fn whose(&self, token: &AccessToken) -> Result<UserRow, PoolError> {
        let (sub, session) = self.sessions.read_access_token(token).await?;
        let user = self.users.by_sub(&sub).await?.ok_or(PoolError::SessionEnded)?;
        let session = self.sessions.find(&session).await?.ok_or(PoolError::SessionEnded)?;
        if session.goes_on(&user, self.clock.now()) { Ok(user) } else { Err(PoolError::SessionEnded) }
    }

    fn new_uuid(&self) -> String {
        let mut bytes = [0; 16];
        self.ids.fill(&mut bytes);
        uuid(bytes, 4)
    }
}

#[async_trait]
impl UserPool for EmbeddedPool {
    async fn sign_up(&self, email: &EmailAddress, password: &Password) -> Result<SignedUp, PoolError> {
        let user = NewUser { email: email.clone(), password: password.clone(), password_is_temporary: false };
        let row = self.create(&user, UserStatus::Unconfirmed).await?;
        let sent = self.send_code(CodePurpose::ConfirmSignUp, &row).await;
        if let Err(error) = &sent {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "a new account could not be sent its code");
        }
        Ok(SignedUp { sub: row.sub()?, code_sent: sent.is_ok() })
    }

    async fn confirm_sign_up(&self, email: &EmailAddress, code: &Code) -> Result<Confirmed, PoolError> {
        for _ in 0..TRIES {
            let user = self.users.by_address(email).await?.ok_or(PoolError::CodeWrong)?;
            let sub = user.sub()?;
            if user.status != UserStatus::Unconfirmed {
                return Ok(Confirmed { sub, already: true });
            }
            let verdict = self.codes.judge(CodePurpose::ConfirmSignUp, &user.user, code, self.clock.now()).await?;
            let Verdict::Right(guess) = verdict else {
                // Void may mean that somebody has just used it for this very account.
                match self.users.by_address(email).await? {
                    Some(now) if now.user == user.user && now.status != UserStatus::Unconfirmed => {
                        return Ok(Confirmed { sub, already: true });
                    }
                    _ => return Err(verdict.into_error()),
                }
            };
            let writes = vec![self.users.confirm(&user.user)?, self.codes.spend(&guess, self.clock.now())?];
            match self.users.transact(writes).await {
                Ok(()) => return Ok(Confirmed { sub, already: false }),
                // Whoever was faster has confirmed it, or the code is void by now: look again.
                Err(AccessError::ConditionFailed { .. } | AccessError::Contended { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PoolError::unavailable("others are confirming the same account"))
    }

    async fn resend_code(&self, email: &EmailAddress) -> Result<(), PoolError> {
        match self.users.by_address(email).await? {
            Some(user) if user.status == UserStatus::Unconfirmed => {
                self.send_code(CodePurpose::ConfirmSignUp, &user).await
            }
            _ => Ok(()),
        }
    }

    async fn sign_in(&self, email: &EmailAddress, password: &PasswordAttempt) -> Result<SignIn, PoolError> {
        let (user, _) = self.authenticate(email, password).await?;
        match user.status {
            UserStatus::Confirmed => Ok(SignIn::Tokens(self.start_session(&user).await?)),
            UserStatus::Unconfirmed => Err(PoolError::NotConfirmed),
            UserStatus::MustChangePassword => {
                let now = self.clock.now();
                if now >= user.created_at.plus(self.policy.temporary_password) {
                    return Err(PoolError::WrongCredentials);
                }
                let until = now.plus(self.policy.challenge);
                let session = challenge::seal(&self.challenge_key, &user.user, user.epoch, until);
                Ok(SignIn::Challenge(Challenge { name: NEW_PASSWORD_REQUIRED.into(), session }))
            }
            UserStatus::ResetRequired | UserStatus::Other => Err(PoolError::ResetRequired),
        }
    }

    async fn answer_challenge(&self, challenge: &Challenge, response: &ChallengeResponse) -> Result<SignIn, PoolError> {
        let opened = challenge::open(&self.challenge_key, &challenge.session, self.clock.now());
        let (Some((user, epoch)), NEW_PASSWORD_REQUIRED) = (opened, &*challenge.name) else {
            return Err(PoolError::ChallengeExpired);
        };
        let ChallengeResponse::NewPassword(new) = response else { return Err(PoolError::CodeWrong) };
        let password = self.hasher.hash(new).await?;
        let user = self.users.replace_temporary_password(&user, epoch, &password).await?;
        let user = user.ok_or(PoolError::ChallengeExpired)?;
        Ok(SignIn::Tokens(self.start_session(&user).await?))
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<Tokens, PoolError> {
        let now = self.clock.now();
        let used = self.sessions.look_up(token).await?.ok_or(PoolError::SessionEnded)?;
        let user = UserId::new(&*used.session.user).map_err(PoolError::refused)?;
        let user = self.users.by_sub(&user).await?.ok_or(PoolError::SessionEnded)?;
        if !used.session.goes_on(&user, now) {
            return Err(PoolError::SessionEnded);
        }
        let next = self.sessions.rotate(&used, &*self.ids, now).await?.ok_or(PoolError::SessionEnded)?;
        Ok(self.tokens(&user, &used.session, next, now))
    }

    async fn revoke(&self, token: &RefreshToken) -> Result<(), PoolError> {
        match self.sessions.look_up(token).await? {
            Some(used) => Ok(self.sessions.end(&used.session.session).await?),
            None => Ok(()),
        }
    }

    async fn sign_out_everywhere(&self, token: &AccessToken) -> Result<(), PoolError> {
        let user = self.whose(token).await?;
        self.users.end_sessions(&user.user).await?.ok_or(PoolError::SessionEnded).map(drop)
    }

    async fn sign_out_user(&self, sub: &UserId) -> Result<(), PoolError> {
        self.users.end_sessions(sub.as_str()).await?.ok_or(PoolError::UnknownUser).map(drop)
    }

    async fn forgot_password(&self, email: &EmailAddress) -> Result<(), PoolError> {
        match self.users.by_address(email).await? {
            Some(user) if matches!(user.status, UserStatus::Confirmed | UserStatus::ResetRequired) => {
                self.send_code(CodePurpose::ResetPassword, &user).await
            }
            _ => Ok(()),
        }
    }

    async fn reset_password(&self, email: &EmailAddress, code: &Code, new: &Password) -> Result<(), PoolError> {
        let user = self.users.by_address(email).await?.ok_or(PoolError::CodeWrong)?;
        let verdict = self.codes.judge(CodePurpose::ResetPassword, &user.user, code, self.clock.now()).await?;
        let Verdict::Right(guess) = verdict else { return Err(verdict.into_error()) };
        let password = self.hasher.hash(new).await?;
        let writes = vec![self.users.reset(&user.user, &password)?, self.codes.spend(&guess, self.clock.now())?];
        // Used, replaced or guessed at too often since it was found right, or the account is gone.
        self.users.transact_or(writes, PoolError::CodeExpired).await
    }

    async fn change_password(
        &self,
        token: &AccessToken,
        old: &PasswordAttempt,
        new: &Password,
    ) -> Result<(), PoolError> {
        let user = self.whose(token).await?;
        if !self.hasher.verify(old, Some(&user.password)).await? {
            return Err(PoolError::WrongCredentials);
        }
        let password = self.hasher.hash(new).await?;
        let changed = self.users.change_password(&user.user, &user.password, &password).await?;
        // Somebody else has changed it meanwhile: the old one is not it any more.
        changed.ok_or(PoolError::WrongCredentials).map(drop)
    }

    async fn find(&self, email: &EmailAddress) -> Result<Option<PoolUser>, PoolError> {
        self.users.by_address(email).await?.map(UserRow::into_user).transpose()
    }

    async fn find_by_sub(&self, sub: &UserId) -> Result<Option<PoolUser>, PoolError> {
        self.users.by_sub(sub).await?.map(UserRow::into_user).transpose()
    }

    async fn set_attribute(&self, sub: &UserId, attribute: &Attribute) -> Result<(), PoolError> {
        self.users.set_attribute(sub.as_str(), attribute).await?.ok_or(PoolError::UnknownUser).map(drop)
    }

    async fn delete(&self, sub: &UserId) -> Result<(), PoolError> {
        match self.users.by_sub(sub).await? {
            Some(user) => Ok(self.users.delete(&user).await?),
            None => Ok(()),
        }
    }

    async fn create_user(&self, user: &NewUser) -> Result<UserId, PoolError> {
        let status = if user.password_is_temporary { UserStatus::MustChangePassword } else { UserStatus::Confirmed };
        Ok(self.create(user, status).await?.sub()?)
    }

    async fn add_to_group(&self, sub: &UserId, group: &str) -> Result<(), PoolError> {
        if self.users.add_to_group(sub.as_str(), group).await? { Ok(()) } else { Err(PoolError::UnknownUser) }
    }
}

/// The hashing thread was lost: it panicked, or the process is ending.
impl From<HashingFailed> for PoolError {
    fn from(error: HashingFailed) -> Self {
        Self::unavailable(error)
    }
}

impl From<UserIdError> for PoolError {
    fn from(error: UserIdError) -> Self {
        Self::refused(error)
    }
}

#[cfg(test)]
mod tests;
