use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Ids;

/// Keeps what must not be read where it lies: seals texts, finds them again by a keyed hash, and signs tokens that
/// strangers hand back. Each of the three has a key of its own, made of the deployment's secret.
///
/// Another secret opens nothing that was sealed, finds nothing that was hashed and takes no token that was signed.
/// Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    sealing: std::sync::Arc<LessSafeKey>,
    hashing: hmac::Key,
    signing: hmac::Key,
}

/// What was given is not ours, or not for this use. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sealed or signed here for this use")]
pub struct NotOurs;

const KEY_BYTES: usize = 32;
/// Of a keyed hash: nobody finds two texts with the same by trying.
const HASH_BYTES: usize = 16;
const SIGNATURE_BYTES: usize = 32;

/// The form of what is sealed: another is refused, not misread.
const VERSION: u8 = 1;

impl Vault {
    /// `secret` is the same for all processes of a deployment.
    pub fn new(secret: &[u8]) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"holdfast vault").extract(secret);
        let sealing = UnboundKey::new(&AES_256_GCM, &key(&secret, b"seal")).expect("a key of 32 bytes");
        Self {
            sealing: std::sync::Arc::new(LessSafeKey::new(sealing)),
            hashing: hmac::Key::new(hmac::HMAC_SHA256, &key(&secret, b"hash")),
            signing: hmac::Key::new(hmac::HMAC_SHA256, &key(&secret, b"sign")),
        }
    }

    /// Seals a text with AES-256-GCM under a random nonce; it opens only at the same `place`, such as its row's key, so
    /// that nothing sealed can be moved to another row. In unpadded base64url.
    pub fn seal(&self, place: &str, text: &str, ids: &dyn Ids) -> String {
        let mut nonce = [0; NONCE_LEN];
        ids.fill(&mut nonce);
        let mut sealed = text.as_bytes().to_vec();
        let aad = Aad::from(place.as_bytes());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.sealing.seal_in_place_append_tag(nonce_used, aad, &mut sealed).expect("a text far below 64 GiB");
        let mut whole = vec![VERSION];
        whole.extend(nonce);
        whole.extend(sealed);
        URL_SAFE_NO_PAD.encode(whole)
    }

    /// # Errors
    /// [`NotOurs`] for anything [`Vault::seal`] did not return for this place.
    pub fn open(&self, place: &str, sealed: &str) -> Result<String, NotOurs> {
        let whole = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| NotOurs)?;
        let (&version, rest) = whole.split_first().ok_or(NotOurs)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(NotOurs)?;
        if version != VERSION {
            return Err(NotOurs);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOurs)?;
        let mut body = body.to_vec();
        let opened = self.sealing.open_in_place(nonce, Aad::from(place.as_bytes()), &mut body).map_err(|_| NotOurs)?;
        String::from_utf8(opened.to_vec()).map_err(|_| NotOurs)
    }

    /// The same for the same parts under the same `purpose`, and telling nothing of them without the secret: 26 lower-case
    /// letters and digits.
    pub fn hash(&self, purpose: &str, parts: &[&str]) -> String {
        let tag = tag(&self.hashing, purpose, parts.iter().map(|part| part.as_bytes()));
        let mut head = [0; HASH_BYTES];
        head.copy_from_slice(&tag.as_ref()[..HASH_BYTES]);
        ulid::Ulid::from_bytes(head).to_string().to_lowercase()
    }

    /// A token that says `what` and that only we can have written; anybody can read it. In unpadded base64url.
    pub fn sign<T: Serialize>(&self, purpose: &str, what: &T) -> String {
        let body = serde_json::to_vec(what).expect("what is signed is plain data");
        let mut token = tag(&self.signing, purpose, [body.as_slice()].into_iter()).as_ref().to_vec();
        token.extend(body);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// # Errors
    /// [`NotOurs`] for anything [`Vault::sign`] did not return for this purpose.
    pub fn verify<T: DeserializeOwned>(&self, purpose: &str, token: &str) -> Result<T, NotOurs> {
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| NotOurs)?;
        let (signature, body) = token.split_at_checked(SIGNATURE_BYTES).ok_or(NotOurs)?;
        hmac::verify(&self.signing, &framed(purpose, [body].into_iter()), signature).map_err(|_| NotOurs)?;
        serde_json::from_slice(body).map_err(|_| NotOurs)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn key(secret: &Prk, label: &'static [u8]) -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    let info = [label];
    let expanded = secret.expand(&info, KeyBytes).expect("32 bytes are less than HKDF can give");
    expanded.fill(&mut bytes).expect("as many bytes as were asked for");
    bytes
}

fn tag<'a>(key: &hmac::Key, purpose: &'a str, parts: impl Iterator<Item = &'a [u8]>) -> hmac::Tag {
    hmac::sign(key, &framed(purpose, parts))
}

/// With their lengths in front, so that no two lists of parts are the same bytes.
fn framed<'a>(purpose: &'a str, parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut framed = Vec::new();
    for part in std::iter::once(purpose.as_bytes()).chain(parts) {
        framed.extend((part.len() as u64).to_le_bytes());
        framed.extend(part);
    }
    framed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{RandomIds, SeededIds};

    fn vault() -> Vault {
        Vault::new(b"a secret of tests")
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let (vault, ids) = (vault(), RandomIds);
        let sealed = vault.seal("invites/ann/1", "ben@example.org", &ids);
        assert_eq!(vault.open("invites/ann/1", &sealed).unwrap(), "ben@example.org");
        assert_eq!(vault.open("invites/ann/2", &sealed), Err(NotOurs));
        assert_eq!(Vault::new(b"another").open("invites/ann/1", &sealed), Err(NotOurs));
        assert_ne!(vault.seal("invites/ann/1", "ben@example.org", &ids), sealed, "under another nonce");
    }

    #[test]
    fn a_hash_is_told_apart_by_purpose_and_parts() {
        let vault = vault();
        let hash = vault.hash("address", &["ben@example.org"]);
        assert_eq!(hash, vault.hash("address", &["ben@example.org"]));
        assert!(hash.len() == 26 && hash.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        for other in [
            vault.hash("invite", &["ben@example.org"]),
            vault.hash("address", &["ben@example.orh"]),
            vault.hash("address", &["ben@", "example.org"]),
            vault.hash("address", &["", "ben@example.org"]),
            Vault::new(b"another").hash("address", &["ben@example.org"]),
        ] {
            assert_ne!(hash, other);
        }
    }

    #[test]
    fn a_token_is_taken_for_its_purpose_and_unchanged_only() {
        let vault = vault();
        let token = vault.sign("unsubscribe", &("invites", 7));
        assert_eq!(vault.verify::<(String, u8)>("unsubscribe", &token), Ok(("invites".to_owned(), 7)));
        assert_eq!(vault.verify::<(String, u8)>("sign-in", &token), Err(NotOurs));
        assert_eq!(Vault::new(b"another").verify::<(String, u8)>("unsubscribe", &token), Err(NotOurs));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(vault.verify::<(String, u8)>("unsubscribe", &changed), Err(NotOurs), "{changed}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", vault()), "Vault");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_no_changed_one(text: String, place: String, seed: u64, at: usize) {
            let vault = vault();
            let sealed = vault.seal(&place, &text, &SeededIds::new(seed));
            let mut changed = sealed.clone().into_bytes();
            let at = at % changed.len();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            prop_assert!(vault.open(&place, &String::from_utf8(changed).unwrap()).is_err());
            prop_assert_eq!(vault.open(&place, &sealed), Ok(text));
        }

        #[test]
        fn nonsense_is_refused(text: String) {
            prop_assert_eq!(vault().open("a", &text), Err(NotOurs));
            prop_assert_eq!(vault().verify::<u8>("a", &text), Err(NotOurs));
        }
    }
}
