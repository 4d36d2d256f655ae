//! Sessions, their refresh tokens, and the claims of what they issue.

use std::sync::Arc;
use std::time::Duration;

use access::tables::{POOL_REFRESH_TOKENS, POOL_SESSIONS, Table};
use access::{AccessError, Clock, Dao, Expression, Ids, Rao, Row, Tables, Timestamp, Unique};
use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::PoolPolicy;
use super::rows::UserRow;
use crate::caller::UserId;
use crate::compact::Compact;
use crate::fetch::{FetchError, JwksFetch};
use crate::issuer::{Issuer, IssuerError};
use crate::json::Json;
use crate::local_issuer::{AccessClaims, LOCAL_ISSUER};
use crate::pool::{AccessToken, PoolError, RefreshToken};
use crate::verifier::{Rules, Verifier};

/// The row of table `pool-sessions`: one sign-in. Times are seconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionRow {
    /// A UUID: `origin_jti` of all its tokens.
    pub(super) session: String,
    pub(super) user: String,
    /// The account's, when it began.
    epoch: u64,
    signed_in_at: u64,
    /// Signed out, or a refresh token was used that had been replaced.
    ended: bool,
    expires_at: u64,
}

impl Row for SessionRow {
    const TABLE: &'static Table = &POOL_SESSIONS;
}
impl Unique for SessionRow {}

impl SessionRow {
    pub(super) fn goes_on(&self, user: &UserRow, now: Timestamp) -> bool {
        !self.ended && self.user == user.user && self.epoch == user.epoch && now.seconds() < self.expires_at
    }
}

/// The row of table `pool-refresh-tokens`, under the token's hash.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshRow {
    session: String,
    /// When it was first used, in milliseconds since 1970.
    used_at: Option<Timestamp>,
    /// Seconds since 1970.
    expires_at: u64,
}

impl Row for RefreshRow {
    const TABLE: &'static Table = &POOL_REFRESH_TOKENS;
}
impl Unique for RefreshRow {}

/// A refresh token somebody uses, with its session.
pub(super) struct Used {
    hash: String,
    pub(super) session: SessionRow,
}

pub(super) struct Sessions {
    sessions: Dao<SessionRow>,
    tokens: Dao<RefreshRow>,
    verifier: Verifier,
    lasts: Duration,
    grace: Duration,
}

const TOKEN_BYTES: usize = 32;

impl Sessions {
    pub(super) fn open(
        tables: &Tables,
        rao: &Rao,
        issuer: Issuer,
        clock: Arc<dyn Clock>,
        policy: &PoolPolicy,
    ) -> Result<Self, IssuerError> {
        let seconds = Arc::new(move || clock.now().seconds());
        // Our own clock wrote what is read here, and what is asked for here is rare.
        let rules = Rules { leeway_seconds: 0, memo_seconds: 0, ..Rules::default() };
        let verifier = Verifier::with_rules(vec![issuer], Arc::new(NoNetwork), None, seconds, rules)?;
        let (lasts, grace) = (policy.session, policy.refresh_grace);
        Ok(Self { sessions: Dao::open(tables, rao), tokens: Dao::open(tables, rao), verifier, lasts, grace })
    }

    /// A new session named `session`, and its first refresh token.
    pub(super) async fn start(
        &self,
        user: &UserRow,
        session: String,
        ids: &dyn Ids,
        now: Timestamp,
    ) -> Result<(SessionRow, RefreshToken), AccessError> {
        let row = SessionRow {
            session,
            user: user.user.clone(),
            epoch: user.epoch,
            signed_in_at: now.seconds(),
            ended: false,
            expires_at: now.plus(self.lasts).seconds(),
        };
        self.sessions.insert_one(&row.session, &row).await?;
        let token = self.issue(&row, ids).await?;
        Ok((row, token))
    }

    pub(super) async fn find(&self, session: &str) -> Result<Option<SessionRow>, AccessError> {
        self.sessions.get(session, None).await
    }

    /// The session of a refresh token that was issued here, whatever has become of either.
    pub(super) async fn look_up(&self, token: &RefreshToken) -> Result<Option<Used>, AccessError> {
        let hash = hash(token);
        let Some(row) = self.tokens.get(&hash, None).await? else { return Ok(None) };
        Ok(self.find(&row.session).await?.map(|session| Used { hash, session }))
    }

    /// The refresh token to use next; none when this one was replaced too long ago, which ends the session: one of the
    /// two who have it has stolen it.
    pub(super) async fn rotate(
        &self,
        used: &Used,
        ids: &dyn Ids,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>, AccessError> {
        let earliest = now.millis().saturating_sub(u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX));
        let change = Expression::new("SET #used = if_not_exists(#used, :now)")
            .name("#used", "usedAt")
            .name("#session", "session")
            .number(":now", now.millis())
            .number(":earliest", earliest);
        let condition = "attribute_exists(#session) AND (attribute_not_exists(#used) OR #used >= :earliest)";
        match self.tokens.update_if(&used.hash, None, change, condition).await {
            Ok(_) => self.issue(&used.session, ids).await.map(Some),
            Err(AccessError::ConditionFailed { .. }) => {
                tracing::warn!(session = used.session.session, "a refresh token was used again: its session was ended");
                self.end(&used.session.session).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends a session; one that has ended or is gone is fine.
    pub(super) async fn end(&self, session: &str) -> Result<(), AccessError> {
        let change = Expression::new("SET #ended = :true").name("#ended", "ended").bool(":true", true);
        match self.sessions.update_if(session, None, change, "attribute_exists(#ended)").await {
            Ok(_) | Err(AccessError::ConditionFailed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whose a valid access token is, and its session.
    pub(super) async fn read_access_token(&self, token: &AccessToken) -> Result<(UserId, String), PoolError> {
        let ended = |_| PoolError::SessionEnded;
        let caller = self.verifier.verify(Some(&format!("Bearer {}", token.as_str()))).await.map_err(ended)?;
        let claims = Compact::parse(token.as_str()).map_err(ended)?.claims;
        let session = claims.get("origin_jti").and_then(Json::as_str).ok_or(PoolError::SessionEnded)?;
        Ok((caller.sub.clone(), session.to_owned()))
    }

    async fn issue(&self, session: &SessionRow, ids: &dyn Ids) -> Result<RefreshToken, AccessError> {
        let mut bytes = [0; TOKEN_BYTES];
        ids.fill(&mut bytes);
        let token = RefreshToken::new(URL_SAFE_NO_PAD.encode(bytes));
        let row = RefreshRow { session: session.session.clone(), used_at: None, expires_at: session.expires_at };
        self.tokens.insert_one(&hash(&token), &row).await?;
        Ok(token)
    }
}

/// Plain: there are too many tokens to try.
fn hash(token: &RefreshToken) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_str().as_bytes()))
}

/// The pool's own keys are at hand.
struct NoNetwork;

#[async_trait]
impl JwksFetch for NoNetwork {
    async fn fetch(&self, _url: &str) -> Result<String, FetchError> {
        Err(FetchError::Address)
    }
}

/// What the tokens of one answer have in common. Times are seconds since 1970.
pub(super) struct Minted<'a> {
    pub(super) user: &'a UserRow,
    pub(super) session: &'a SessionRow,
    pub(super) client_id: &'a str,
    pub(super) event_id: &'a str,
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
}

/// An id token's claims, named and ordered as Cognito does.
#[derive(Serialize)]
pub(super) struct IdClaims<'a> {
    sub: &'a str,
    #[serde(rename = "cognito:groups", skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    email_verified: bool,
    iss: &'a str,
    #[serde(rename = "cognito:username")]
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    origin_jti: &'a str,
    aud: &'a str,
    event_id: &'a str,
    token_use: &'a str,
    auth_time: u64,
    exp: u64,
    iat: u64,
    jti: &'a str,
    email: &'a str,
}

impl<'a> Minted<'a> {
    pub(super) fn access(&self, jti: &'a str) -> AccessClaims<'a> {
        AccessClaims {
            sub: &self.user.user,
            groups: &self.user.groups,
            iss: LOCAL_ISSUER,
            client_id: self.client_id,
            origin_jti: Some(&self.session.session),
            event_id: Some(self.event_id),
            token_use: "access",
            scope: "aws.cognito.signin.user.admin",
            auth_time: self.session.signed_in_at,
            exp: self.expires_at,
            iat: self.issued_at,
            jti,
            // In a pool whose user names are addresses, Cognito makes the name up: it is the `sub`.
            username: &self.user.user,
        }
    }

    pub(super) fn id(&self, jti: &'a str) -> IdClaims<'a> {
        IdClaims {
            sub: &self.user.user,
            groups: &self.user.groups,
            email_verified: self.user.email_verified,
            iss: LOCAL_ISSUER,
            username: &self.user.user,
            locale: self.user.locale.as_deref(),
            origin_jti: &self.session.session,
            aud: self.client_id,
            event_id: self.event_id,
            token_use: "id",
            auth_time: self.session.signed_in_at,
            exp: self.expires_at,
            iat: self.issued_at,
            jti,
            email: self.user.address.as_str(),
        }
    }
}
