//! Worker: takes what the mail service reports of letters. An address that bounced for good, or whose owner complained,
//! gets no more letters, and its invitation says so. As often and in whatever order it is told.

use access::EmailAddress;
use access::messages::MAIL_EVENTS;
use app::App;
use mail::{MessageId, Reason, Scope};
use metrics::counter;
use serde::Deserialize;
use worker::{RunError, Worker};

pub fn worker() -> Worker<App> {
    Worker::notices("letters-take-mail-events", &MAIL_EVENTS, take)
}

/// What SNS wraps a notice in, unless its subscription delivers raw.
#[derive(Deserialize)]
struct Wrapped {
    #[serde(rename = "Message")]
    message: String,
}

/// An event of a configuration set (`eventType`) or of an identity (`notificationType`), as far as it matters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(alias = "notificationType")]
    event_type: String,
    mail: Mail,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    message_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    bounce_type: String,
    bounced_recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    complained_recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
}

async fn take(app: App, body: String) -> Result<(), RunError> {
    let Some(event) = read(&body) else {
        tracing::warn!(bytes = body.len(), "a notice of the mail service has no shape we know, dropped");
        return Ok(());
    };
    let (recipients, reason) = match (event.bounce, event.complaint) {
        (Some(bounce), _) if bounce.bounce_type == "Permanent" => (bounce.bounced_recipients, Reason::Bounced),
        (None, Some(complaint)) => (complaint.complained_recipients, Reason::Complained),
        // It may go through the next time.
        _ => {
            counter!("letters.notices", "kind" => "passing").increment(1);
            tracing::debug!(kind = event.event_type, "a notice that changes nothing");
            return Ok(());
        }
    };
    for recipient in recipients {
        match EmailAddress::new(bare(&recipient.email_address)) {
            Ok(address) => app.suppressions.add(&address, Scope::All, reason).await?,
            Err(_) => tracing::warn!("a notice names something that is no address"),
        }
    }
    let id = MessageId(event.mail.message_id);
    if let Some(receipt) = app.ledger.bounced(&id).await?
        && let (Some(user), Some(invite)) = (receipt.user, receipt.invite)
    {
        app.members.bounce_invite(&user, &invite).await?;
    }
    let kind = if reason == Reason::Bounced { "bounce" } else { "complaint" };
    counter!("letters.notices", "kind" => kind).increment(1);
    tracing::info!(message_id = id.0, kind, "a letter came back");
    Ok(())
}

fn read(body: &str) -> Option<Event> {
    match serde_json::from_str::<Wrapped>(body) {
        Ok(wrapped) => serde_json::from_str(&wrapped.message).ok(),
        Err(_) => serde_json::from_str(body).ok(),
    }
}

/// `"Ann" <ann@example.org>`, as some servers report it, is `ann@example.org`.
fn bare(address: &str) -> &str {
    match address.rsplit_once('<') {
        Some((_, rest)) => rest.trim_end().trim_end_matches('>'),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_wrapped_or_raw_and_by_either_name() {
        for name in ["eventType", "notificationType"] {
            let raw = format!(
                r#"{{"{name}":"Bounce","mail":{{"messageId":"m","destination":["a@example.org"]}},"bounce":
                {{"bounceType":"Permanent","bouncedRecipients":[{{"emailAddress":"a@example.org"}}]}}}}"#
            );
            let wrapped = serde_json::json!({ "Type": "Notification", "Message": raw }).to_string();
            for body in [raw, wrapped] {
                let event = read(&body).unwrap();
                assert_eq!((event.event_type.as_str(), event.mail.message_id.as_str()), ("Bounce", "m"));
                assert_eq!(event.bounce.unwrap().bounced_recipients.len(), 1);
            }
        }
        for unknown in ["", "{}", "[]", r#"{"Message":"hello"}"#, r#"{"eventType":"Bounce"}"#, "\u{0}"] {
            assert!(read(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn an_address_is_read_with_or_without_a_name() {
        assert_eq!(bare("ann@example.org"), "ann@example.org");
        assert_eq!(bare("\"Ann\" <ann@example.org>"), "ann@example.org");
    }
}
