//! A challenge's session: what it is about, sealed. Nothing is kept of it; the account's own row says whether it has
//! been answered.

use access::Timestamp;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::pool::ChallengeSession;

pub(super) fn seal(key: &hmac::Key, user: &str, epoch: u64, until: Timestamp) -> ChallengeSession {
    let about = format!("{user}.{epoch}.{}", until.millis());
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(key, about.as_bytes()));
    ChallengeSession::new(format!("{about}.{tag}"))
}

/// Whose it is and the epoch it was made in, unless it is not ours or over.
pub(super) fn open(key: &hmac::Key, session: &ChallengeSession, now: Timestamp) -> Option<(String, u64)> {
    let (about, tag) = session.as_str().rsplit_once('.')?;
    hmac::verify(key, about.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
    let (about, until) = about.rsplit_once('.')?;
    let (user, epoch) = about.rsplit_once('.')?;
    (now.millis() < until.parse().ok()?).then_some((user.to_owned(), epoch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    #[test]
    fn what_was_sealed_opens_until_its_time_and_with_its_key() {
        let session = seal(&key(b"a"), "0b1c-ann", 7, Timestamp(1000));
        assert_eq!(open(&key(b"a"), &session, Timestamp(999)), Some(("0b1c-ann".into(), 7)));
        assert_eq!(open(&key(b"a"), &session, Timestamp(1000)), None);
        assert_eq!(open(&key(b"b"), &session, Timestamp(999)), None);
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let session = seal(&key(b"a"), "ann", 7, Timestamp(1000));
        let text = session.as_str();
        for bad in
            ["", ".", "...", &text.replace("ann", "bob"), &text.replace(".7.", ".8."), &text.replace("1000", "9999")]
        {
            assert_eq!(open(&key(b"a"), &ChallengeSession::new(bad), Timestamp(0)), None, "{bad}");
        }
    }
}
