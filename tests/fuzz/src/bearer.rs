//! A verifier with one fixed issuer, tokens signed by it, and a second opinion on every token it takes.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{Caller, FetchError, JwksFetch, LOCAL_ISSUER, LocalIssuer, Refused, TOKEN_BYTES_MAX, Verifier};
use serde_json::{Value, json};

/// The time of every run, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;
pub const CLIENT: &str = "web";

/// The key is kept from run to run: a corpus and what it found stay good.
const KEY_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/fuzz/key");

struct NoNetwork;

#[async_trait]
impl JwksFetch for NoNetwork {
    async fn fetch(&self, _url: &str) -> Result<String, FetchError> {
        panic!("a verifier with bundled keys asked the network");
    }
}

/// The door under test.
pub struct Door {
    verifier: Verifier,
    pair: RsaKeyPair,
    kid: String,
}

/// The one door of this process.
pub fn door() -> &'static Door {
    static DOOR: LazyLock<Door> = LazyLock::new(Door::open);
    &DOOR
}

impl Door {
    fn open() -> Self {
        let folder = Path::new(KEY_FOLDER);
        let issuer = LocalIssuer::open(folder).expect("a folder for the key");
        let pkcs8 = std::fs::read(folder.join("issuer-key.pkcs8")).expect("the key just opened");
        let set: Value = serde_json::from_str(&issuer.jwks()).expect("a key set");
        let kid = set["keys"][0]["kid"].as_str().expect("a kid").to_owned();
        let issuers = vec![issuer.as_issuer(vec![CLIENT.to_owned()])];
        let verifier = Verifier::new(issuers, Arc::new(NoNetwork), None, Arc::new(|| NOW)).expect("an allow-list");
        Self { verifier, pair: RsaKeyPair::from_pkcs8(&pkcs8).expect("the key just opened"), kid }
    }

    pub fn header(&self) -> Value {
        json!({ "kid": self.kid, "alg": "RS256" })
    }

    /// Any two texts as header and payload, signed.
    pub fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("an RSA key signs every message");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Verifies the header's value, twice: the second answer may come from memory and must be the first one's. What is
    /// accepted is checked again by other means.
    pub fn knock(&self, authorization: &str) -> Result<Arc<Caller>, Refused> {
        let first = self.verify(authorization);
        assert_eq!(first, self.verify(authorization), "asked twice");
        if let Ok(caller) = &first {
            self.accepted_rightly(authorization, caller);
        }
        first
    }

    fn verify(&self, authorization: &str) -> Result<Arc<Caller>, Refused> {
        let future = std::pin::pin!(self.verifier.verify(Some(authorization)));
        match Future::poll(future, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("a verifier with bundled keys waited"),
        }
    }

    /// The rules once more, read with another JSON reader and another form of the key.
    fn accepted_rightly(&self, authorization: &str, caller: &Caller) {
        let (scheme, token) = authorization.split_once(' ').expect("a scheme");
        let token = token.trim_start_matches(' ');
        assert!(scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX);
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().expect("three parts");
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("canonical base64url");

        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        RsaPublicKeyComponents { n: &n, e: &e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, format!("{header}.{payload}").as_bytes(), &decode(signature))
            .expect("the issuer's signature");

        let header: Value = serde_json::from_slice(&decode(header)).expect("a JSON header");
        assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!(self.kid)));
        for member in ["jku", "jwk", "x5u", "x5c", "crit", "b64"] {
            assert!(header.get(member).is_none(), "{member}");
        }

        let claims: Value = serde_json::from_slice(&decode(payload)).expect("JSON claims");
        assert_eq!(claims["iss"], LOCAL_ISSUER);
        assert_eq!(claims["token_use"], "access");
        assert_eq!(claims["client_id"], CLIENT);
        let time = |name: &str| claims.get(name).map(|time| time.as_u64().expect("whole seconds"));
        assert!(time("exp").expect("an expiry") > NOW - 60);
        assert!(time("nbf").is_none_or(|time| time <= NOW + 60) && time("iat").is_none_or(|time| time <= NOW + 60));

        assert!(!caller.sub.as_str().is_empty() && !caller.username.is_empty());
        assert_eq!(claims["sub"], caller.sub.as_str());
        assert_eq!(claims["username"], caller.username.as_str());
        assert_eq!(claims["client_id"], caller.client_id.as_str());
        assert_eq!((claims["iss"].as_str(), time("exp")), (Some(caller.issuer.as_str()), Some(caller.expires_at)));
        assert_eq!((time("iat"), claims.get("jti").and_then(Value::as_str)), (caller.issued_at, caller.jti.as_deref()));
        let groups = claims.get("cognito:groups").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(groups, json!(caller.groups));
    }
}

/// Claims that are taken at [`NOW`].
pub fn claims() -> Value {
    json!({
        "sub": "3f1c6a3e-8d0e-4b7a-9c55-0a6a1a3f2b10",
        "cognito:groups": ["admin"],
        "iss": LOCAL_ISSUER,
        "client_id": CLIENT,
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "auth_time": NOW - 100,
        "exp": NOW + 3500,
        "iat": NOW - 100,
        "jti": "a7cf5d0e-1c1b-4f0e-8a52-3e9d54c6e803",
        "username": "ann",
    })
}
