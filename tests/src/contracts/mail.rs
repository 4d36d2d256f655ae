//! [`Mailer`]: letters as SES of the emulator takes them. The other adapters are held to the same rules beside their code.

use access::EmailAddress;
use app::Settings;
use async_trait::async_trait;
use mail::contract::{Arrived, Subject};
use mail::{Letterhead, Mailer, MessageId, Name, Sender, SesMailer, mailer_contract};
use serde_json::Value;

use crate::servers;

struct Ses {
    mailer: SesMailer,
    letterhead: Letterhead,
}

impl Ses {
    async fn start() -> Self {
        let letterhead = Settings::default().letterhead;
        let address = EmailAddress::new(servers::MAIL_FROM).unwrap();
        let sender = Sender { address, name: Name::new("Holdfast"), reply_to: None };
        let mailer = SesMailer::new(servers::mail_service().await, letterhead.clone(), sender, None);
        Self { mailer, letterhead }
    }
}

#[async_trait]
impl Subject for Ses {
    fn mailer(&self) -> &dyn Mailer {
        &self.mailer
    }

    fn letterhead(&self) -> &Letterhead {
        &self.letterhead
    }

    async fn arrived(&self, to: &EmailAddress) -> Vec<Arrived> {
        let text = |letter: &Value, field: &str| letter[field].as_str().unwrap().to_owned();
        let all = servers::mailed().await;
        let theirs = all.iter().filter(|letter| letter["To"][0] == to.as_str());
        let arrived = theirs.map(|letter| Arrived {
            id: MessageId(text(letter, "MessageId")),
            subject: text(letter, "Subject"),
            text: text(letter, "BodyText"),
            html: text(letter, "BodyHtml"),
            // The emulator keeps neither tags nor headers; the stub beside the adapter does.
            template: None,
            unsubscribe: None,
        });
        arrived.collect()
    }
}

mailer_contract!(ses, super::Ses::start().await);

#[tokio::test]
async fn an_address_that_is_not_verified_sends_nothing() {
    let address = EmailAddress::new("no-reply@elsewhere.example").unwrap();
    let sender = Sender { address, name: None, reply_to: None };
    let mailer = SesMailer::new(servers::mail_service().await, Settings::default().letterhead, sender, None);
    let letter = mail::Letter {
        to: EmailAddress::new("nobody-writes-to@example.com").unwrap(),
        content: mail::ConfirmCode { code: mail::Code::digits("123456").unwrap(), valid_minutes: 15 }.into(),
    };
    let refused = mailer.send(&letter).await.unwrap_err();
    assert!(matches!(refused, mail::MailError::NotVerified { .. }), "{refused}");
    assert!(!refused.to_string().contains('@'), "{refused}");
}
