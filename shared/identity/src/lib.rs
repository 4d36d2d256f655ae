//! Who is calling: verification of RS256 access tokens against an allow-list of issuers.
//!
//! * [`Verifier`] turns an `Authorization` header into a [`Caller`] or says why not ([`Refused`]).
//! * [`Issuer`] is one entry of the allow-list: an Amazon Cognito user pool ([`Issuer::cognito`]) or our own
//!   [`LocalIssuer`].
//! * Keys come from memory, then a shared [`JwksCache`], then the network ([`JwksFetch`], [`HttpJwksFetch`]), then a
//!   bundled copy; an unknown key id causes at most one fetch at a time, then a pause.
//! * [`Denylist`] lets signed-out tokens be refused before they expire.
//!
//! Time is a function handed in, in whole seconds since 1970. No token, claim or key is ever logged.

mod caller;
mod claims;
mod compact;
mod fetch;
mod issuer;
mod json;
mod jwks;
mod keys;
mod local_issuer;
pub mod provider;
mod refused;
mod verifier;

#[cfg(test)]
mod forge;

pub use caller::{Caller, UserId, UserIdError};
pub use fetch::{FetchError, HttpJwksFetch, JWKS_BYTES_MAX, JwksFetch, NETWORK_LIMIT};
pub use issuer::{Issuer, IssuerError};
pub use jwks::JwksError;
pub use keys::{JwksCache, StoredJwks};
pub use local_issuer::{LOCAL_ISSUER, LocalIssuer, LocalIssuerError};
pub use refused::Refused;
pub use verifier::{Clock, Denylist, Rules, TOKEN_BYTES_MAX, Verifier};
