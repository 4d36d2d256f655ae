use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use access::{Clock, EmailAddress, Ids, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::mailer::check_deliverable;
use crate::{Letter, Letterhead, MailError, Mailer, MessageId};

/// Letters as files in a folder, one JSON object each, for the local server. They hold codes and links, so only this
/// user may read them.
pub struct FileOutbox {
    folder: PathBuf,
    letterhead: Letterhead,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// The millisecond of the last id: letters of one millisecond keep their order.
    last: Mutex<u64>,
}

/// A letter in the outbox. `Debug` shows neither its address nor what it says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filed {
    /// 26 characters; later letters have greater ones.
    pub id: MessageId,
    pub to: EmailAddress,
    pub subject: String,
    /// The template's name.
    pub template: String,
    pub text: String,
    pub html: String,
    /// Milliseconds since 1970.
    pub sent_at: Timestamp,
    /// Where the letter has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<String>,
}

impl fmt::Debug for Filed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filed").field("id", &self.id).field("template", &self.template).finish_non_exhaustive()
    }
}

impl FileOutbox {
    /// The folder is made when the first letter is sent.
    pub fn new(folder: impl Into<PathBuf>, letterhead: Letterhead, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { folder: folder.into(), letterhead, clock, ids, last: Mutex::new(0) }
    }

    /// The newest `limit` letters, newest first; of those older than `before`, where that is given. A page shorter
    /// than `limit` is the last.
    ///
    /// # Errors
    /// [`MailError::Unavailable`] when a file cannot be read.
    pub async fn list(&self, limit: usize, before: Option<&str>) -> Result<Vec<Filed>, MailError> {
        let (folder, before) = (self.folder.clone(), before.map(str::to_owned));
        blocking(move || {
            let mut ids = ids_in(&folder)?;
            ids.retain(|id| before.as_ref().is_none_or(|before| id < before));
            ids.sort_unstable_by(|one, other| other.cmp(one));
            // One that somebody removes meanwhile is not listed.
            ids.iter().filter_map(|id| read(&folder, id).transpose()).take(limit).collect()
        })
        .await
    }

    /// One letter by its id.
    ///
    /// # Errors
    /// [`MailError::Unavailable`] when its file cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Filed>, MailError> {
        if !is_id(id) {
            return Ok(None);
        }
        let (folder, id) = (self.folder.clone(), id.to_owned());
        blocking(move || read(&folder, &id)).await
    }

    fn next_id(&self, now: Timestamp) -> MessageId {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = now.millis().max(last.saturating_add(1));
        MessageId(self.ids.id(Timestamp(*last)))
    }
}

#[async_trait]
impl Mailer for FileOutbox {
    async fn send(&self, letter: &Letter) -> Result<MessageId, MailError> {
        check_deliverable(&letter.to)?;
        let rendered = letter.content.render(&self.letterhead);
        let now = self.clock.now();
        let filed = Filed {
            id: self.next_id(now),
            to: letter.to.clone(),
            subject: rendered.subject,
            template: rendered.template.name().to_owned(),
            text: rendered.text,
            html: rendered.html,
            sent_at: now,
            unsubscribe: letter.content.unsubscribe().map(|way| way.link.as_str().to_owned()),
        };
        let folder = self.folder.clone();
        blocking(move || write(&folder, &filed).map(|()| filed.id)).await
    }
}

fn ids_in(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        ids.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).filter(|id| is_id(id)).map(str::to_owned));
    }
    Ok(ids)
}

fn read(folder: &Path, id: &str) -> std::io::Result<Option<Filed>> {
    match std::fs::read(place(folder, id)) {
        Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Readers see the whole file or none.
fn write(folder: &Path, filed: &Filed) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Beside its place, so that the rename stays in one file system; readable by this user only.
    let mut partial = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder)?;
    partial.write_all(&serde_json::to_vec_pretty(filed)?)?;
    partial.persist(place(folder, &filed.id.0))?;
    Ok(())
}

fn place(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

/// An id becomes a path: nothing in it may climb out of the folder.
fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, MailError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(std::io::Error::other(ended)));
    done.map_err(|source| MailError::Unavailable { source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use access::{ManualClock, RandomIds, SeededIds};
    use tempfile::TempDir;

    use super::*;
    use crate::contract::{Arrived, Subject};
    use crate::preview;
    use crate::{Code, ConfirmCode, mailer_contract};

    struct Outbox {
        outbox: FileOutbox,
        clock: Arc<ManualClock>,
        folder: TempDir,
    }

    impl Outbox {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::at(Timestamp(1_780_304_700_000)));
            let outbox = FileOutbox::new(
                folder.path().join("not/yet/there"),
                preview::letterhead(),
                Arc::clone(&clock) as _,
                Arc::new(RandomIds),
            );
            Self { outbox, clock, folder }
        }

        async fn send(&self, code: &str) -> MessageId {
            let content = ConfirmCode { code: Code::digits(code).unwrap(), valid_minutes: 60 }.into();
            self.outbox.send(&Letter { to: "ann@example.com".parse().unwrap(), content }).await.unwrap()
        }

        async fn page(&self, limit: usize, before: Option<&MessageId>) -> Vec<MessageId> {
            let filed = self.outbox.list(limit, before.map(|id| id.0.as_str())).await.unwrap();
            filed.into_iter().map(|filed| filed.id).collect()
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("not/yet/there").join(name)
        }
    }

    #[async_trait]
    impl Subject for Outbox {
        fn mailer(&self) -> &dyn Mailer {
            &self.outbox
        }

        fn letterhead(&self) -> &Letterhead {
            &self.outbox.letterhead
        }

        async fn arrived(&self, to: &EmailAddress) -> Vec<Arrived> {
            let mut filed = self.outbox.list(usize::MAX, None).await.unwrap();
            filed.retain(|filed| filed.to == *to);
            let arrived = filed.into_iter().rev().map(|filed| Arrived {
                id: filed.id,
                subject: filed.subject,
                text: filed.text,
                html: filed.html,
                template: Some(filed.template),
                unsubscribe: Some(filed.unsubscribe),
            });
            arrived.collect()
        }
    }

    mailer_contract!(contract, super::Outbox::new());

    #[tokio::test]
    async fn a_file_says_all_of_a_letter() {
        let outbox = Outbox::new();
        let id = outbox.send("123456").await;
        let json = std::fs::read_to_string(outbox.path(&format!("{id}.json"))).unwrap();
        let letter: serde_json::Value = serde_json::from_str(&json).unwrap();
        let names: Vec<_> = letter.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["html", "id", "sentAt", "subject", "template", "text", "to"]);
        assert_eq!((&letter["to"], &letter["template"]), (&"ann@example.com".into(), &"confirm-code".into()));
        assert_eq!((&letter["id"], &letter["sentAt"]), (&id.0.as_str().into(), &1_780_304_700_000_u64.into()));
        assert!(letter["text"].as_str().unwrap().contains("123456"));
        let files = std::fs::read_dir(outbox.path("")).unwrap().count();
        assert_eq!(files, 1, "nothing is left behind");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_its_owner_reads_a_letter() {
        use std::os::unix::fs::PermissionsExt;
        let outbox = Outbox::new();
        let id = outbox.send("123456").await;
        let mode = std::fs::metadata(outbox.path(&format!("{id}.json"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }

    #[tokio::test]
    async fn the_newest_come_first_page_by_page() {
        let outbox = Outbox::new();
        assert_eq!(outbox.page(10, None).await, []);
        let mut sent = Vec::new();
        for number in 0..7 {
            sent.push(outbox.send(&format!("10000{number}")).await);
            // Some at the same moment, some later, some after the clock went back.
            if number == 3 {
                outbox.clock.advance(Duration::from_secs(1));
            }
        }
        sent.reverse();
        assert_eq!(outbox.page(10, None).await, sent);
        assert_eq!(outbox.page(3, None).await, sent[..3]);
        assert_eq!(outbox.page(3, Some(&sent[2])).await, sent[3..6]);
        assert_eq!(outbox.page(3, Some(&sent[5])).await, sent[6..]);
        assert_eq!(outbox.page(3, Some(&sent[6])).await, []);
        assert_eq!(outbox.page(0, None).await, []);
    }

    #[tokio::test]
    async fn a_letter_is_found_by_its_id_and_nothing_else_is() {
        let outbox = Outbox::new();
        let id = outbox.send("123456").await;
        assert_eq!(outbox.outbox.find(&id.0).await.unwrap().unwrap().id, id);
        std::fs::write(outbox.folder.path().join("secret.json"), "{}").unwrap();
        let never_sent = SeededIds::new(1).id(Timestamp(0));
        for other in ["", "../../../secret", &id.0.to_lowercase(), &id.0[1..], &never_sent] {
            assert_eq!(outbox.outbox.find(other).await.unwrap(), None, "{other}");
        }
    }

    #[tokio::test]
    async fn what_is_no_letter_is_not_listed() {
        let outbox = Outbox::new();
        let id = outbox.send("123456").await;
        for name in [".partial-abc", "notes.txt", "notes.json", ".gitignore"] {
            std::fs::write(outbox.path(name), "not a letter").unwrap();
        }
        assert_eq!(outbox.page(10, None).await, [id]);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_an_error_that_may_pass() {
        let outbox = Outbox::new();
        std::fs::write(outbox.folder.path().join("not"), "a file in the way").unwrap();
        let content = ConfirmCode { code: Code::Placeholder, valid_minutes: 60 }.into();
        let error = outbox.outbox.send(&Letter { to: "ann@example.com".parse().unwrap(), content }).await.unwrap_err();
        assert!(matches!(error, MailError::Unavailable { .. }) && !error.may_have_been_sent());
    }

    #[tokio::test]
    async fn debug_shows_neither_address_nor_code() {
        let outbox = Outbox::new();
        outbox.send("123456").await;
        let shown = format!("{:?}", outbox.outbox.list(1, None).await.unwrap());
        assert!(!shown.contains("ann") && !shown.contains("123456") && shown.contains("confirm-code"), "{shown}");
    }
}
