use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use crate::AccessError;

/// Seals positions in lists into opaque texts that only we can have written, so that a caller can neither read our
/// keys nor ask for rows of another list.
#[derive(Clone)]
pub struct Cursors {
    secret: Hmac<Sha256>,
}

const TAG_BYTES: usize = 16;

impl Cursors {
    /// `secret` is the same for all processes of a deployment; a change of it ends the cursors given out.
    pub fn new(secret: &[u8]) -> Self {
        Self { secret: Hmac::new_from_slice(secret).expect("HMAC takes keys of any length") }
    }

    /// `list` names what is being paged; the cursor opens for that list only.
    pub fn seal<T: Serialize>(&self, list: &str, position: &T) -> String {
        let body = serde_json::to_vec(position).expect("positions are plain data");
        let mut sealed = self.tag(list, &body).to_vec();
        sealed.extend(body);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// # Errors
    /// [`AccessError::BadCursor`] for anything `seal` did not return for this list.
    pub fn open<T: DeserializeOwned>(&self, list: &str, cursor: &str) -> Result<T, AccessError> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| AccessError::BadCursor)?;
        let (tag, body) = sealed.split_at_checked(TAG_BYTES).ok_or(AccessError::BadCursor)?;
        self.keyed(list, body).verify_truncated_left(tag).map_err(|_| AccessError::BadCursor)?;
        serde_json::from_slice(body).map_err(|_| AccessError::BadCursor)
    }

    fn keyed(&self, list: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.secret.clone();
        mac.update(&(list.len() as u64).to_le_bytes());
        mac.update(list.as_bytes());
        mac.update(body);
        mac
    }

    fn tag(&self, list: &str, body: &[u8]) -> [u8; TAG_BYTES] {
        let full = self.keyed(list, body).finalize().into_bytes();
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&full[..TAG_BYTES]);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_own_list_only() {
        let cursors = Cursors::new(b"secret");
        let cursor = cursors.seal("holders of a", &(7_u64, "x"));
        assert_eq!(cursors.open::<(u64, String)>("holders of a", &cursor).unwrap(), (7, "x".to_owned()));
        assert!(matches!(cursors.open::<(u64, String)>("holders of b", &cursor), Err(AccessError::BadCursor)));
        assert!(matches!(
            Cursors::new(b"other").open::<(u64, String)>("holders of a", &cursor),
            Err(AccessError::BadCursor)
        ));
    }

    #[test]
    fn a_changed_cursor_is_refused_and_nonsense_never_panics() {
        let cursors = Cursors::new(b"secret");
        let cursor = cursors.seal("l", &1_u64);
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character may hold unused bits, which the decoder refuses as well.
            assert!(cursors.open::<u64>("l", &changed).is_err(), "{changed}");
        }
        for nonsense in ["", "A", "not base64 !", "AAAA"] {
            assert!(cursors.open::<u64>("l", nonsense).is_err());
        }
    }
}
