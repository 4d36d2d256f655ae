//! Tokens of our own, for a machine without Cognito.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, Jwk, KeyAlgorithm, PublicKeyUse, RSAKeyParameters, RSAKeyType,
    ThumbprintHash,
};
use serde::Serialize;

use crate::caller::{UserId, UserIdError};
use crate::issuer::Issuer;
use crate::provider;

/// `iss` of every [`LocalIssuer`]'s tokens. Not an address: its keys are never fetched.
pub const LOCAL_ISSUER: &str = "urn:holdfast:local";

const KEY_FILE: &str = "issuer-key.pkcs8";

/// Issues access tokens with Cognito's claims, signed by a key kept in a folder. For development: the folder's owner
/// can be anybody.
pub struct LocalIssuer {
    pair: RsaKeyPair,
    public: Jwk,
    kid: String,
    random: SystemRandom,
}

/// Why a local issuer could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LocalIssuerError {
    #[error("the key file cannot be read or written")]
    File(#[from] io::Error),
    #[error("the key file does not hold an RSA key of 2048 bits or more; remove it to get a new one")]
    Rejected,
    #[error("no key could be generated")]
    Generation,
}

/// An access token's claims, named and ordered as Cognito does.
#[derive(Serialize)]
pub(crate) struct AccessClaims<'a> {
    pub(crate) sub: &'a str,
    #[serde(rename = "cognito:groups", skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) groups: &'a [String],
    pub(crate) iss: &'a str,
    pub(crate) client_id: &'a str,
    /// With the next: of a session and the event that issued this. A token issued by itself has neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin_jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<&'a str>,
    pub(crate) token_use: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) auth_time: u64,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
    pub(crate) jti: &'a str,
    pub(crate) username: &'a str,
}

impl LocalIssuer {
    /// Opens the key in `dir`, creating both when missing. The key file (PKCS #8) is readable by its owner only and
    /// appears whole or not at all; of several processes opening at once, one creates it and all use that one.
    ///
    /// Blocks: generating a key takes some tenths of a second.
    pub fn open(dir: &Path) -> Result<Self, LocalIssuerError> {
        provider::install();
        let path = dir.join(KEY_FILE);
        let pkcs8 = match fs::read(&path) {
            Ok(pkcs8) => {
                keep_private(&path)?;
                pkcs8
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_key(dir, &path)?,
            Err(error) => return Err(error.into()),
        };
        Self::from_pkcs8(&pkcs8)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, LocalIssuerError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| LocalIssuerError::Rejected)?;
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let key =
            RSAKeyParameters { key_type: RSAKeyType::RSA, n: URL_SAFE_NO_PAD.encode(n), e: URL_SAFE_NO_PAD.encode(e) };
        let common = CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(KeyAlgorithm::RS256),
            ..CommonParameters::default()
        };
        let mut public = Jwk { common, algorithm: AlgorithmParameters::RSA(key) };
        // RFC 7638: the same key has the same name in every process.
        let kid = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| LocalIssuerError::Rejected)?;
        public.common.key_id = Some(kid.clone());
        Ok(Self { pair, public, kid, random: SystemRandom::new() })
    }

    /// The public key as a JSON Web Key Set, as served at `/.well-known/jwks.json`.
    pub fn jwks(&self) -> String {
        serde_json::json!({ "keys": [self.public] }).to_string()
    }

    /// This issuer's entry for a verifier's allow-list; needs no network.
    pub fn as_issuer(&self, client_ids: Vec<String>) -> Issuer {
        Issuer { issuer: LOCAL_ISSUER.to_owned(), jwks_url: None, client_ids, bundled: Some(self.jwks()) }
    }

    /// The `sub` of a user name: shaped like a UUID (version 8), the same on every machine.
    ///
    /// Errors: an empty name.
    pub fn user_id(username: &str) -> Result<UserId, UserIdError> {
        if username.is_empty() {
            return Err(UserIdError);
        }
        let name = format!("{LOCAL_ISSUER}:user:{username}");
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        UserId::new(uuid(bytes, 8))
    }

    /// An access token for `username`, valid from `now` (seconds since 1970) for `lifetime_seconds`. Every call gives
    /// another token, with its own `jti`.
    ///
    /// Errors: an empty name.
    pub fn issue(
        &self,
        username: &str,
        groups: &[String],
        client_id: &str,
        lifetime_seconds: u64,
        now: u64,
    ) -> Result<String, UserIdError> {
        let sub = Self::user_id(username)?;
        let mut jti = [0; 16];
        self.random.fill(&mut jti).expect("the system's random numbers do not run out");
        let claims = AccessClaims {
            sub: sub.as_str(),
            groups,
            iss: LOCAL_ISSUER,
            client_id,
            origin_jti: None,
            event_id: None,
            token_use: "access",
            scope: "aws.cognito.signin.user.admin",
            auth_time: now,
            exp: now.saturating_add(lifetime_seconds),
            iat: now,
            jti: &uuid(jti, 4),
            username,
        };
        Ok(self.sign_claims(&claims))
    }

    /// A token with any claims.
    pub(crate) fn sign_claims(&self, claims: &impl Serialize) -> String {
        let header = serde_json::json!({ "kid": self.kid, "alg": "RS256" }).to_string();
        let payload = serde_json::to_vec(claims).expect("strings and numbers are always JSON");
        self.sign(header.as_bytes(), &payload)
    }

    /// A secret that only the holder of the key can know, one for each `purpose`.
    pub(crate) fn derive_secret(&self, purpose: &str) -> hmac::Key {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        // Signing is deterministic (RFC 8017, 8.2), and nobody ever sees this signature. A token begins otherwise.
        let message = format!("{LOCAL_ISSUER}:secret:{purpose}");
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature)
            .expect("an RSA key that was checked when opened signs every message");
        hmac::Key::new(hmac::HMAC_SHA256, &signature)
    }

    /// The compact form of any header and payload.
    fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, token.as_bytes(), &mut signature)
            .expect("an RSA key that was checked when opened signs every message");
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

/// Creates the key file and returns its content, or that of the process which was faster.
fn create_key(dir: &Path, path: &Path) -> Result<Vec<u8>, LocalIssuerError> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| LocalIssuerError::Generation)?;
    let pkcs8 = pair.as_der().map_err(|_| LocalIssuerError::Generation)?;

    fs::create_dir_all(dir)?;
    // Made with mode 0600; a name of its own until it is complete and on disk.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(pkcs8.as_ref())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            sync_folder(dir)?;
            Ok(pkcs8.as_ref().to_vec())
        }
        Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => Ok(fs::read(path)?),
        Err(lost) => Err(lost.error.into()),
    }
}

/// Makes the new name last through a power cut. Only Unix can and needs to.
fn sync_folder(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Takes away what a copy or a backup may have added to the file's permissions.
#[cfg(unix)]
fn keep_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(0o600)) }
}

#[cfg(not(unix))]
fn keep_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Sixteen bytes as a UUID (RFC 9562) of `version`.
pub(crate) fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use jsonwebtoken::{Algorithm, DecodingKey, Validation};

    use super::*;
    use crate::forge::{NOW, NoNetwork, fixed_clock};
    use crate::verifier::Verifier;

    fn open(dir: &Path) -> LocalIssuer {
        LocalIssuer::open(dir).unwrap()
    }

    #[tokio::test]
    async fn its_own_tokens_are_verified_without_a_network() {
        let dir = tempfile::tempdir().unwrap();
        let issuer = open(dir.path());
        let groups = ["admin".to_owned(), "beta".to_owned()];
        let token = issuer.issue("ann", &groups, "web", 3600, NOW).unwrap();

        let verifier =
            Verifier::new(vec![issuer.as_issuer(vec!["web".into()])], Arc::new(NoNetwork), None, fixed_clock())
                .unwrap();
        let caller = verifier.verify(Some(&format!("Bearer {token}"))).await.unwrap();
        assert_eq!(caller.sub, LocalIssuer::user_id("ann").unwrap());
        assert_eq!((caller.username.as_str(), caller.issuer.as_str()), ("ann", LOCAL_ISSUER));
        assert_eq!((caller.client_id.as_str(), caller.expires_at), ("web", NOW + 3600));
        assert_eq!(caller.groups, groups);
        assert!(caller.jti.is_some());
    }

    #[test]
    fn another_implementation_accepts_its_tokens_and_sees_cognitos_claims() {
        let dir = tempfile::tempdir().unwrap();
        let issuer = open(dir.path());
        let token = issuer.issue("ann", &["admin".into()], "web", 60, NOW).unwrap();

        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&issuer.jwks()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[LOCAL_ISSUER]);
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;

        let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "auth_time",
                "client_id",
                "cognito:groups",
                "exp",
                "iat",
                "iss",
                "jti",
                "scope",
                "sub",
                "token_use",
                "username"
            ]
        );
        assert_eq!(claims["token_use"], "access");
        assert_eq!((claims["iat"].as_u64(), claims["exp"].as_u64()), (Some(NOW), Some(NOW + 60)));
    }

    #[test]
    fn a_key_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("not/yet/there");
        assert_eq!(open(&nested).jwks(), open(&nested).jwks());
        let files: Vec<_> = fs::read_dir(&nested).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, [KEY_FILE]);
    }

    #[test]
    fn two_folders_have_two_keys() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(open(one.path()).kid, open(two.path()).kid);
    }

    #[test]
    fn all_who_open_at_once_agree_on_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let start = Barrier::new(4);
        let mut sets = std::thread::scope(|scope| {
            let openers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        open(dir.path()).jwks()
                    })
                })
                .collect();
            openers.into_iter().map(|opener| opener.join().unwrap()).collect::<Vec<_>>()
        });
        sets.dedup();
        assert_eq!(sets.len(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_its_owners_alone_and_becomes_so_again() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        open(dir.path());
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        open(dir.path());
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_damaged_key_file_is_reported_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        for damage in [&b""[..], b"not a key", &[0x30, 0x82, 0x04, 0xbd]] {
            fs::write(&path, damage).unwrap();
            assert!(matches!(LocalIssuer::open(dir.path()), Err(LocalIssuerError::Rejected)));
            assert_eq!(fs::read(&path).unwrap(), damage);
        }
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"").unwrap();
        assert!(matches!(LocalIssuer::open(&path), Err(LocalIssuerError::File(_))));
    }

    #[test]
    fn a_user_name_is_the_same_person_each_time() {
        let ann = LocalIssuer::user_id("ann").unwrap();
        assert_eq!(ann, LocalIssuer::user_id("ann").unwrap());
        assert_ne!(ann, LocalIssuer::user_id("Ann").unwrap());
        let text = ann.as_str();
        assert_eq!(text.len(), 36);
        assert_eq!((&text[8..9], &text[13..15], &text[18..19]), ("-", "-8", "-"));
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_eq!(LocalIssuer::user_id(""), Err(UserIdError));
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let issuer = open(dir.path());
        assert_ne!(issuer.issue("ann", &[], "web", 60, NOW), issuer.issue("ann", &[], "web", 60, NOW));
    }
}
