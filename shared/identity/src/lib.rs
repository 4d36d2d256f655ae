//! Who is calling, and who has an account: verification of RS256 access tokens against an allow-list of issuers, and
//! the user pools that issue them.
//!
//! * [`Verifier`] turns an `Authorization` header into a [`Caller`] or says why not ([`Refused`]).
//! * [`Issuer`] is one entry of the allow-list: an Amazon Cognito user pool ([`Issuer::cognito`]) or our own
//!   [`LocalIssuer`].
//! * Keys come from memory, then a shared [`JwksCache`], then the network ([`JwksFetch`], [`HttpJwksFetch`]), then a
//!   bundled copy; an unknown key id causes at most one fetch at a time, then a pause.
//! * [`Denylist`] lets signed-out tokens be refused before they expire.
//! * [`UserPool`] keeps accounts and issues tokens: [`CognitoPool`], or [`EmbeddedPool`] on a machine without Cognito.
//!
//! A verifier's time is a function handed in, in whole seconds since 1970. No token, claim, key, password, code or
//! address is ever logged.

mod caller;
mod claims;
mod compact;
mod denylist;
mod fetch;
mod issuer;
mod json;
mod jwks;
mod keys;
mod local_issuer;
mod password;
mod pool;
pub mod provider;
mod refused;
mod verifier;

#[cfg(test)]
mod forge;

pub use caller::{Caller, UserId, UserIdError};
pub use denylist::{ACCESS_TOKEN_SECONDS_MAX, Denylist, DenylistError, ProcessDenylist};
pub use fetch::{FetchError, HttpJwksFetch, JWKS_BYTES_MAX, JwksFetch, NETWORK_LIMIT};
pub use issuer::{Issuer, IssuerError};
pub use jwks::JwksError;
pub use keys::{JwksCache, StoredJwks};
pub use local_issuer::{LOCAL_ISSUER, LocalIssuer, LocalIssuerError};
pub use password::{PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN, Password, PasswordAttempt, PasswordRefused};
pub use pool::{
    ADDRESS_CHARACTERS_MAX, AccessToken, Attribute, BadCode, Challenge, ChallengeResponse, ChallengeSession, Code,
    CodePurpose, CognitoPool, CognitoPoolConfig, Confirmed, DeliveryFailed, EmbeddedPool, EmbeddedPoolError,
    EmbeddedPoolParts, HashCost, IdToken, NEW_PASSWORD_REQUIRED, NewUser, PoolError, PoolMessenger, PoolPolicy,
    PoolUser, RefreshToken, SignIn, SignedUp, Tokens, UserPool, UserStatus,
};
pub use refused::Refused;
pub use verifier::{Clock, Rules, TOKEN_BYTES_MAX, Verifier};
