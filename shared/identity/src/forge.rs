//! Tokens and key sets of any shape, for tests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::fetch::{FetchError, JwksFetch};
use crate::issuer::Issuer;
use crate::keys::{JwksCache, StoredJwks};
use crate::verifier::Clock;

/// The time of all tests that need none other.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://issuer.test/pool";
pub(crate) const URL: &str = "https://issuer.test/pool/.well-known/jwks.json";
pub(crate) const CLIENT: &str = "client-web";

/// A key pair and what it can forge.
pub(crate) struct Forge {
    pub(crate) kid: &'static str,
    pair: RsaKeyPair,
}

/// The issuer's key.
pub(crate) fn one() -> &'static Forge {
    static ONE: LazyLock<Forge> = LazyLock::new(|| Forge::new("kid-one"));
    &ONE
}

/// A key to rotate to, or a stranger's.
pub(crate) fn two() -> &'static Forge {
    static TWO: LazyLock<Forge> = LazyLock::new(|| Forge::new("kid-two"));
    &TWO
}

impl Forge {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { kid, pair: RsaKeyPair::generate(KeySize::Rsa2048).unwrap() }
    }

    pub(crate) fn components(&self) -> (String, String) {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e))
    }

    pub(crate) fn jwk(&self) -> Value {
        let (n, e) = self.components();
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": n, "e": e })
    }

    pub(crate) fn jwks(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// The private key as PKCS #1: what `jsonwebtoken` takes. A 2048-bit key's PKCS #8 has 26 bytes in front of it.
    pub(crate) fn pkcs1(&self) -> Vec<u8> {
        self.pair.as_der().unwrap().as_ref()[26..].to_vec()
    }

    pub(crate) fn sign_bytes(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }

    /// Signs any two texts as header and payload.
    pub(crate) fn sign_texts(&self, header: &str, payload: &str) -> String {
        self.sign_parts(&URL_SAFE_NO_PAD.encode(header), &URL_SAFE_NO_PAD.encode(payload))
    }

    /// Signs any two parts as they stand.
    pub(crate) fn sign_parts(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(self.sign_bytes(&RSA_PKCS1_SHA256, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// A token that is valid at [`NOW`], but for `change`.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let (mut header, mut claims) = (self.header(), claims());
        change(&mut header, &mut claims);
        self.sign_texts(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "kid": self.kid, "alg": "RS256" })
    }
}

/// Cognito's access-token claims.
pub(crate) fn claims() -> Value {
    json!({
        "sub": "3f1c6a3e-8d0e-4b7a-9c55-0a6a1a3f2b10",
        "cognito:groups": ["admin"],
        "iss": ISSUER,
        "client_id": CLIENT,
        "origin_jti": "5d9d2b2e-6a0f-4a44-8b0c-7f8f2f6a1c01",
        "event_id": "0f7a1f58-9b0d-4c1c-a2e4-6f0a0e7b9d02",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "auth_time": NOW - 100,
        "exp": NOW + 3500,
        "iat": NOW - 100,
        "jti": "a7cf5d0e-1c1b-4f0e-8a52-3e9d54c6e803",
        "username": "ann",
    })
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The issuer of [`one`], with its address and nothing bundled.
pub(crate) fn issuer() -> Issuer {
    Issuer { issuer: ISSUER.into(), jwks_url: Some(URL.into()), client_ids: vec![CLIENT.into()], bundled: None }
}

/// A clock that a test moves.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW)))
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn as_clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Arc::new(move || time.load(Ordering::SeqCst))
    }
}

pub(crate) fn fixed_clock() -> Clock {
    Arc::new(|| NOW)
}

/// For verifiers that must not ask anybody.
pub(crate) struct NoNetwork;

#[async_trait]
impl JwksFetch for NoNetwork {
    async fn fetch(&self, _url: &str) -> Result<String, FetchError> {
        panic!("the network was asked");
    }
}

/// A fetcher that counts, answers what it is told, and waits when it is told to.
pub(crate) struct Network {
    /// `None`: no answer but an error.
    answer: Mutex<Option<String>>,
    count: AtomicUsize,
    /// One permit per fetch that may finish.
    permits: tokio::sync::Semaphore,
    pub(crate) asked: tokio::sync::Notify,
}

impl Network {
    /// Answers at once.
    pub(crate) fn answering(json: String) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(Some(json)),
            count: AtomicUsize::new(0),
            permits: tokio::sync::Semaphore::new(1_000_000),
            asked: tokio::sync::Notify::new(),
        })
    }

    /// Keeps every fetch waiting until [`Network::release`].
    pub(crate) fn holding(json: String) -> Arc<Self> {
        let network = Self::answering(json);
        network.hold();
        network
    }

    /// Keeps fetches from now on waiting.
    pub(crate) fn hold(&self) {
        self.permits.forget_permits(usize::MAX);
    }

    pub(crate) fn release(&self) {
        self.permits.add_permits(1_000_000);
    }

    pub(crate) fn answer(&self, json: impl Into<Option<String>>) {
        *self.answer.lock().unwrap() = json.into();
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl JwksFetch for Network {
    async fn fetch(&self, url: &str) -> Result<String, FetchError> {
        assert_eq!(url, URL);
        self.count.fetch_add(1, Ordering::SeqCst);
        self.asked.notify_one();
        self.permits.acquire().await.unwrap().forget();
        self.answer.lock().unwrap().clone().ok_or(FetchError::Status(500))
    }
}

/// A cache in memory that several verifiers share.
#[derive(Default)]
pub(crate) struct SharedCache(pub(crate) Mutex<HashMap<String, StoredJwks>>);

#[async_trait]
impl JwksCache for SharedCache {
    async fn get(&self, issuer: &str) -> Option<StoredJwks> {
        self.0.lock().unwrap().get(issuer).cloned()
    }

    async fn put(&self, issuer: &str, stored: &StoredJwks) {
        self.0.lock().unwrap().insert(issuer.to_owned(), stored.clone());
    }
}
