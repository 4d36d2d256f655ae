//! What every [`Mailer`] promises, for the tests of whoever has one: implement [`Subject`] for the adapter and the
//! place where its letters arrive, and write [`mailer_contract!`](crate::mailer_contract).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use access::{EmailAddress, Timestamp};
use async_trait::async_trait;

use crate::preview::sample;
use crate::{
    Code, ConfirmCode, Content, InviteCode, Letter, Letterhead, Link, Mailer, MessageId, Name, ReferralInvite,
    Template, Unsubscribe,
};

/// An adapter under test. It may send real letters to addresses below `example.com`, `example.org` and
/// `xn--bcher-kva.example`.
#[async_trait]
pub trait Subject: Send + Sync {
    fn mailer(&self) -> &dyn Mailer;

    /// What the mailer writes under.
    fn letterhead(&self) -> &Letterhead;

    /// What has arrived at this address, oldest first.
    async fn arrived(&self, to: &EmailAddress) -> Vec<Arrived>;
}

/// A letter as it was taken from the adapter.
#[derive(Clone, PartialEq, Eq)]
pub struct Arrived {
    pub id: MessageId,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// Nothing where the place of arrival does not keep it.
    pub template: Option<String>,
    /// The link of the letter's `List-Unsubscribe`, if it has one; nothing where the place of arrival does not keep it.
    pub unsubscribe: Option<Option<String>>,
}

/// Every rule once, as a test of its own in a module of this name. The expression makes a [`Subject`](contract::Subject)
/// and stands inside that module: `mailer_contract!(ses, super::Ses::start().await);`
#[macro_export]
macro_rules! mailer_contract {
    ($module:ident, $subject:expr) => {
        $crate::mailer_contract! { @rules $module $subject;
            every_template_arrives_whole
            two_sends_are_two_letters
            a_hostile_name_stays_a_name
            letters_beyond_ascii_arrive
            an_international_domain_is_written_in_ascii
            a_local_part_beyond_ascii_is_rejected_for_good
            letters_sent_at_once_all_arrive
        }
    };
    (@rules $module:ident $subject:expr; $($rule:ident)*) => {
        mod $module {
            $(#[tokio::test]
            async fn $rule() {
                $crate::contract::$rule(&$subject).await;
            })*
        }
    };
}

pub async fn every_template_arrives_whole(subject: &dyn Subject) {
    let to = somebody("example.com");
    for template in Template::ALL {
        send(subject, &to, sample(template)).await;
    }
    let arrived = subject.arrived(&to).await;
    assert_eq!(arrived.len(), Template::ALL.len());
    for (template, arrived) in Template::ALL.into_iter().zip(&arrived) {
        assert_is(arrived, &sample(template), subject);
    }
}

pub async fn two_sends_are_two_letters(subject: &dyn Subject) {
    let to = somebody("example.com");
    let (first, second) = (send(subject, &to, code()).await, send(subject, &to, code()).await);
    assert_ne!(first, second);
    let arrived: Vec<_> = subject.arrived(&to).await.into_iter().map(|arrived| arrived.id).collect();
    assert_eq!(arrived, [first, second]);
}

pub async fn a_hostile_name_stays_a_name(subject: &dyn Subject) {
    let victim = somebody("example.org");
    let hostile = format!("\"A\"\r\nBcc: {}\r\nSubject: <b>&amp;\u{202e}\0</b>\r\n\r\n<script>", victim.as_str());
    let to = somebody("example.com");
    let content = invite(&hostile);
    send(subject, &to, content.clone()).await;
    let arrived = subject.arrived(&to).await;
    assert_eq!(arrived.len(), 1);
    assert_is(&arrived[0], &content, subject);
    assert!(!arrived[0].subject.contains(char::is_control));
    assert!(subject.arrived(&victim).await.is_empty(), "nobody else gets it");
}

pub async fn letters_beyond_ascii_arrive(subject: &dyn Subject) {
    let to = somebody("example.com");
    for name in ["Jürgen Groß", "李雷", "אבי כהן", "🦀"] {
        send(subject, &to, invite(&format!("{name} 1"))).await;
    }
    let arrived: Vec<_> = subject.arrived(&to).await;
    assert_eq!(arrived.len(), 4);
    assert!(arrived[0].subject.starts_with("Jürgen Groß 1 ") && arrived[1].text.contains("李雷"));
    assert!(arrived[2].html.contains("אבי כהן") && arrived[3].html.contains('🦀'));
}

pub async fn an_international_domain_is_written_in_ascii(subject: &dyn Subject) {
    let to = somebody("Bücher.example");
    assert!(to.as_str().ends_with("@xn--bcher-kva.example"));
    send(subject, &to, code()).await;
    assert_eq!(subject.arrived(&to).await.len(), 1);
}

pub async fn a_local_part_beyond_ascii_is_rejected_for_good(subject: &dyn Subject) {
    let to = somebody("example.com");
    let to = EmailAddress::new(&format!("ä{}", to.as_str())).expect("a letter more is an address as well");
    let refused = subject.mailer().send(&Letter { to: to.clone(), content: code() }).await;
    let error = refused.expect_err("no mail service of ours takes it");
    assert!(!error.kind().is_retryable() && !error.may_have_been_sent());
    assert!(subject.arrived(&to).await.is_empty());
}

pub async fn letters_sent_at_once_all_arrive(subject: &dyn Subject) {
    let people: Vec<_> = (0..8).map(|_| somebody("example.com")).collect();
    let letters: Vec<_> = people.iter().map(|to| Letter { to: to.clone(), content: code() }).collect();
    let mailer = subject.mailer();
    let sends = letters.iter().map(|letter| async { mailer.send(letter).await.expect("a good letter is taken") });
    let ids: BTreeSet<_> = futures::future::join_all(sends).await.into_iter().collect();
    assert_eq!(ids.len(), people.len());
    for to in &people {
        let arrived = subject.arrived(to).await;
        assert!(arrived.len() == 1 && ids.contains(&arrived[0].id));
    }
}

/// An address nobody else writes to.
fn somebody(domain: &str) -> EmailAddress {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    EmailAddress::new(&format!("contract-{number}@{domain}")).expect("a name and a domain are an address")
}

fn code() -> Content {
    ConfirmCode { code: Code::digits("123456").expect("six digits are a code"), valid_minutes: 15 }.into()
}

fn invite(name: &str) -> Content {
    let link = |text: &str| Link::new(text).expect("it begins with https");
    let letter = ReferralInvite {
        invited_by: Name::new(name),
        invite_code: InviteCode::new("ABCD-EFGH").expect("it is as invites are"),
        join: link("https://example.com/join?code=ABCD-EFGH"),
        expires_at: Timestamp(1_780_304_700_000),
        unsubscribe: Unsubscribe { link: link("https://example.com/unsubscribe?token=abc"), one_click: true },
    };
    letter.into()
}

async fn send(subject: &dyn Subject, to: &EmailAddress, content: Content) -> MessageId {
    let letter = Letter { to: to.clone(), content };
    subject.mailer().send(&letter).await.expect("a good letter is taken")
}

#[track_caller]
fn assert_is(arrived: &Arrived, content: &Content, subject: &dyn Subject) {
    let sent = content.render(subject.letterhead());
    let template = sent.template;
    assert_eq!(arrived.subject, sent.subject);
    // Not assert_eq: nobody wants whole letters printed.
    assert!(arrived.text == sent.text, "the text of {template}");
    assert!(arrived.html == sent.html, "the HTML of {template}");
    assert!(arrived.template.as_ref().is_none_or(|name| name == template.name()), "the template {template}");
    let way = content.unsubscribe().map(|way| way.link.as_str().to_owned());
    assert!(arrived.unsubscribe.as_ref().is_none_or(|link| *link == way), "the way to unsubscribe of {template}");
}
