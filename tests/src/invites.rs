//! Invitations by mail, from the outside: who invites, what arrives, what is shown, and what comes back.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::messages::{AccountLetter, MAIL_EVENTS, SEND_MAIL, SendMail};
use access::tables::{INVITES as INVITATIONS, LETTERS};
use access::{EmailAddress, Ids, Outgoing, Queue, SeededIds, Timestamp};
use app::App;
use async_trait::async_trait;
use futures::future::join_all;
use letters::send_mail::deliver;
use mail::{Filed, Letter, MailError, Mailer, MessageId, Reason, Scope};
use members::{InviteState, Invited};
use referrals::{Command, Done, carry_out};
use serde_json::{Value, json};
use tokio::sync::Notify;
use worker::RunError;

use crate::accounts::PASSWORD;
use crate::faults::{Moment, Mortal};
use crate::rows::Row;
use crate::world::{Answer, Person, Setting, World};

const INVITES: &str = "/v1/referrals/invites";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn address(text: &str) -> EmailAddress {
    EmailAddress::new(text).unwrap()
}

impl World {
    /// A member called so, and the account's id.
    async fn inviter(&self, name: &str) -> (Person, String) {
        let person = self.person(name);
        let id = person.get("/v1/auth/whoami").await.assert(200).json()["sub"].as_str().unwrap().to_owned();
        self.app.members.create_member(&id, Some(&address(&format!("{name}@example.org")))).await.unwrap();
        (person, id)
    }

    async fn invitations_to(&self, email: &str) -> Vec<Filed> {
        let mut filed = self.outbox.list(500, None).await.unwrap();
        filed.retain(|filed| filed.to.as_str() == email && filed.template == "referral-invite");
        filed
    }

    /// A notice of the mail service, as SNS delivers it.
    async fn notice(&self, event: &Value) {
        let body = json!({ "Type": "Notification", "Message": event.to_string() }).to_string();
        self.notice_body(body).await;
    }

    async fn notice_body(&self, body: String) {
        let message = Outgoing { body, group: None, deduplication: None, delay: Duration::ZERO };
        self.queue.send(&MAIL_EVENTS, message).await.unwrap();
        self.work_all().await;
    }
}

impl Person {
    async fn invite(&self, email: &str) -> Answer {
        self.post(INVITES, &json!({ "email": email })).await
    }

    /// What the list says, by what is shown of the address.
    async fn states(&self) -> Vec<(String, String)> {
        let page = self.get(INVITES).await.assert(200).json();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let items = page["items"].as_array().unwrap();
        let mut states: Vec<_> = items.iter().map(|item| (text(item, "address"), text(item, "state"))).collect();
        states.sort();
        states
    }
}

fn bounce(id: &str, email: &str, kind: &str) -> Value {
    json!({ "eventType": "Bounce", "mail": { "messageId": id, "destination": [email] },
        "bounce": { "bounceType": kind, "bouncedRecipients": [{ "emailAddress": email }] } })
}

fn complaint(id: &str, email: &str) -> Value {
    json!({ "eventType": "Complaint", "mail": { "messageId": id },
        "complaint": { "complainedRecipients": [{ "emailAddress": email }] } })
}

#[tokio::test]
async fn an_invitation_goes_from_the_request_to_the_friend_who_signs_up_with_it() {
    let world = World::new().await;
    let (ann, id) = world.inviter("ann").await;
    let answer = ann.invite(" Ben@Example.org ").await;
    let body = answer.assert(202).json();
    assert_eq!(answer.header("location"), format!("/v1/jobs/{}", body["job"]["job"].as_str().unwrap()));
    assert_eq!((&body["invite"]["address"], &body["invite"]["state"]), (&json!("b***@e***"), &json!("queued")));
    assert!(!String::from_utf8_lossy(&answer.body).contains("ben@"));
    world.work_all().await;
    assert_eq!(ann.states().await, [("b***@e***".to_owned(), "sent".to_owned())]);

    let letter = world.invitations_to("ben@example.org").await.remove(0);
    let code = world.app.members.find(&id).await.unwrap().unwrap().referral_code.to_string();
    assert!(letter.text.contains(&code) && letter.subject.starts_with("a***@e*** invites you"), "{}", letter.subject);
    assert!(letter.text.contains(&format!("/join?code={code}")));
    assert!(letter.unsubscribe.unwrap().contains("/v1/referrals/unsubscribe?token="));

    world.member("ben@example.org", &code).await;
    assert_eq!(ann.states().await, [("b***@e***".to_owned(), "accepted".to_owned())]);
    let me = ann.get("/v1/referrals/me").await.assert(200).json();
    assert_eq!(me["referrals"][0]["invitedUser"], "b***@e***");
}

#[tokio::test]
async fn the_same_address_again_is_the_same_invitation_and_one_letter() {
    let world = World::new().await;
    let (ann, _) = world.inviter("ann").await;
    let first = ann.invite("ben@example.org").await.assert(202).json();
    let again = ann.invite("BEN@example.org").await.assert(202).json();
    world.work_all().await;
    let later = ann.invite("ben@example.org").await.assert(202).json();
    world.work_all().await;
    for other in [again, later] {
        assert_eq!(
            (&other["invite"]["invite"], &other["job"]["job"]),
            (&first["invite"]["invite"], &first["job"]["job"])
        );
    }
    assert_eq!(world.invitations_to("ben@example.org").await.len(), 1);
}

#[tokio::test]
async fn a_request_that_broke_off_before_its_letter_was_queued_is_finished_by_the_next() {
    let world = World::new().await;
    let (ann, _) = world.inviter("ann").await;
    world.queue.down.store(true, Ordering::SeqCst);
    ann.invite("ben@example.org").await.assert(503);
    world.queue.down.store(false, Ordering::SeqCst);
    ann.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    assert_eq!(world.invitations_to("ben@example.org").await.len(), 1);
    assert_eq!(ann.states().await[0].1, "sent");
}

#[tokio::test]
async fn an_address_that_gets_no_mail_looks_like_one_that_does() {
    let world = World::new().await;
    let code = world.first_member().await;
    world.member("dan@example.org", &code).await;
    let (ann, _) = world.inviter("ann").await;
    let (eve, _) = world.inviter("eve").await;
    eve.invite("cat@example.org").await.assert(202);
    world.work_all().await;
    world.app.suppressions.add(&address("fay@example.org"), Scope::Invites, Reason::Asked).await.unwrap();
    world.app.suppressions.add(&address("gus@example.org"), Scope::All, Reason::Bounced).await.unwrap();

    let seen = |answer: &Answer| {
        let mut body = answer.assert(202).json();
        for field in ["job", "invite", "createdAt"] {
            body["invite"][field] = Value::Null;
        }
        body["job"]["job"] = Value::Null;
        body.to_string()
            .replace("b***", "?")
            .replace("c***", "?")
            .replace("d***", "?")
            .replace("f***", "?")
            .replace("g***", "?")
    };
    let mailed = seen(&ann.invite("ben@example.org").await);
    for other in ["cat", "dan", "fay", "gus"] {
        assert_eq!(seen(&ann.invite(&format!("{other}@example.org")).await), mailed, "{other}");
    }
    world.work_all().await;
    assert!(ann.states().await.iter().all(|(_, state)| state == "sent"));
    assert_eq!(ann.states().await.len(), 5);
    let count = async |email: &str| world.invitations_to(email).await.len();
    assert_eq!(count("ben@example.org").await, 1);
    assert_eq!(count("cat@example.org").await, 1, "eve's");
    for nobody in ["dan@example.org", "fay@example.org", "gus@example.org"] {
        assert_eq!(count(nobody).await, 0, "{nobody}");
    }
}

#[tokio::test]
async fn only_members_with_places_left_invite() {
    let world = World::new().await;
    world.person("nobody").invite("ben@example.org").await.assert_problem(409, "not_a_member");
    let (ann, id) = world.inviter("ann").await;
    world.app.members.set_places(&id, 0).await.unwrap();
    ann.invite("ben@example.org").await.assert_problem(409, "no_places_left");
    world.app.members.set_places(&id, 3).await.unwrap();
    world.app.members.disable_code(&id).await.unwrap();
    ann.invite("ben@example.org").await.assert_problem(409, "code_disabled");
    world.app.members.enable_code(&id).await.unwrap();
    ann.invite("ben").await.assert_problem(400, "invalid_body");
    ann.invite("ben@example.org").await.assert(202);
    // Nor is a letter sent whose code would be refused by the time it arrives.
    world.app.members.disable_code(&id).await.unwrap();
    world.work_all().await;
    assert!(world.invitations_to("ben@example.org").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_exactly_twenty_a_day_pass() {
    let world = World::new().await;
    let (ann, _) = world.inviter("ann").await;
    let crowd = (0..40).map(|number| {
        let ann = ann.clone();
        tokio::spawn(async move {
            loop {
                let answer = ann.invite(&format!("friend{number}@example.org")).await;
                if answer.status.as_u16() != 503 {
                    return answer;
                }
            }
        })
    });
    let answers: Vec<_> = join_all(crowd).await.into_iter().map(Result::unwrap).collect();
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.as_u16() == 202);
    assert_eq!((passed.len(), refused.len()), (20, 20));
    for answer in refused {
        answer.assert_problem(429, "too_many_invites");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert_eq!((world.app.clock.now().seconds() + seconds) % DAY.as_secs(), 0, "the next day of UTC");
    }
    world.work_all().await;
    world.clock.advance(DAY);
    world.person("ann").invite("another@example.org").await.assert(202);
    world.work_all().await;
    assert_eq!(world.outbox.list(500, None).await.unwrap().len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_who_invite_one_address_at_once_send_one_letter() {
    let world = World::new().await;
    let people = [world.inviter("ann").await.0, world.inviter("eve").await.0];
    for round in 0..10 {
        let email = format!("friend{round}@example.org");
        // Each of them twice.
        let asking = people.iter().chain(&people).map(|person| person.invite(&email));
        for answer in join_all(asking).await {
            assert!(matches!(answer.status.as_u16(), 202 | 503), "{}", answer.status);
        }
        for person in &people {
            person.invite(&email).await.assert(202);
        }
        let mut deliveries = Vec::new();
        while let Some(delivery) = world.receive(&SEND_MAIL).await {
            deliveries.push(delivery);
        }
        assert_eq!(deliveries.len(), 2);
        let handled = join_all(deliveries.into_iter().map(|delivery| world.handle(&SEND_MAIL, delivery))).await;
        assert_eq!(handled, [true, true]);
        assert_eq!(world.invitations_to(&email).await.len(), 1);
    }
    for person in &people {
        assert!(person.states().await.iter().all(|(_, state)| state == "sent"));
    }
}

#[tokio::test]
async fn an_address_may_be_invited_by_another_after_thirty_days() {
    let world = World::new().await;
    let (ann, _) = world.inviter("ann").await;
    ann.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    world.clock.advance(DAY * 30);
    assert_eq!(world.person("ann").states().await[0].1, "expired");
    let (eve, _) = world.inviter("eve").await;
    eve.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    assert_eq!(world.invitations_to("ben@example.org").await.len(), 2);
}

#[tokio::test]
async fn what_is_withdrawn_while_it_waits_is_not_sent_and_may_be_invited_anew() {
    let world = World::new().await;
    let (ann, _) = world.inviter("ann").await;
    let invite = ann.invite("ben@example.org").await.assert(202).json()["invite"]["invite"].clone();
    let path = format!("{INVITES}/{}", invite.as_str().unwrap());
    world.inviter("eve").await.0.delete(&path, &json!({})).await.assert_problem(404, "no_invite");
    ann.delete(&path, &json!({})).await.assert(204);
    ann.delete(&path, &json!({})).await.assert_problem(404, "no_invite");
    world.work_all().await;
    assert!(world.invitations_to("ben@example.org").await.is_empty());
    assert!(ann.states().await.is_empty());

    world.clock.advance(Duration::from_secs(1));
    ann.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    assert_eq!(world.invitations_to("ben@example.org").await.len(), 1);
    // The day's allowance stays used.
    for number in 2..20 {
        ann.invite(&format!("friend{number}@example.org")).await.assert(202);
    }
    ann.invite("one-more@example.org").await.assert_problem(429, "too_many_invites");
    world.work_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawn_in_the_moment_it_is_sent_it_is_one_or_the_other() {
    let world = World::new().await;
    let mut sent = 0;
    for round in 0..30 {
        let (ann, _) = world.inviter(&format!("ann{round}")).await;
        let email = format!("friend{round}@example.org");
        let invite = ann.invite(&email).await.assert(202).json()["invite"]["invite"].clone();
        let path = format!("{INVITES}/{}", invite.as_str().unwrap());
        let delivery = world.receive(&SEND_MAIL).await.unwrap();
        // A little later each time, so that both orders come about.
        let withdraw = async {
            tokio::time::sleep(Duration::from_micros(round * 300)).await;
            ann.delete(&path, &json!({})).await
        };
        let (done, withdrawn) = tokio::join!(world.handle(&SEND_MAIL, delivery), withdraw);
        assert!(done);
        withdrawn.assert(204);
        assert!(ann.states().await.is_empty());
        sent += world.invitations_to(&email).await.len();
        assert!(world.app.ledger.unmarked(Timestamp(u64::MAX >> 1), None, 10).await.unwrap().items.is_empty());
    }
    assert!(sent <= 30);
}

#[tokio::test]
async fn whoever_follows_the_link_gets_no_more_invitations_but_still_codes() {
    let world = World::new().await;
    let code = world.first_member().await;
    let (ann, _) = world.inviter("ann").await;
    ann.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    let link = world.invitations_to("ben@example.org").await.remove(0).unsubscribe.unwrap();
    let path = &link[link.find("/v1").unwrap()..];

    let page = world.anon().get(path).await;
    page.assert(200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(String::from_utf8_lossy(&page.body).contains("No more invitations"));
    let posted = world.anon().post(path, &json!({})).await;
    assert_eq!(posted.assert(200).json()["scope"], "invites");

    let token = path.rsplit('=').next().unwrap();
    for at in (0..token.len()).step_by(7) {
        let mut changed = token.to_owned().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let path = format!("/v1/referrals/unsubscribe?token={}", String::from_utf8(changed).unwrap());
        world.anon().get(&path).await.assert_problem(400, "bad_token");
        world.anon().post(&path, &json!({})).await.assert_problem(400, "bad_token");
    }
    world.anon().get("/v1/referrals/unsubscribe?token=").await.assert_problem(400, "bad_token");

    world.clock.advance(DAY * 40);
    world.inviter("eve").await.0.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    assert_eq!(world.invitations_to("ben@example.org").await.len(), 1);
    world.member("ben@example.org", &code).await;
    assert!(world.letters_to("ben@example.org").await.contains(&"welcome".to_owned()));
}

#[tokio::test]
async fn a_bounce_marks_the_invitation_and_the_address_however_often_it_is_told() {
    let world = World::new().await;
    let code = world.first_member().await;
    let (ann, _) = world.inviter("ann").await;
    ann.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    let id = world.invitations_to("ben@example.org").await.remove(0).id.to_string();
    world.notice(&bounce(&id, "ben@example.org", "Transient")).await;
    assert_eq!(ann.states().await[0].1, "sent");
    assert!(!world.app.suppressions.holds(&address("ben@example.org"), Scope::Invites).await.unwrap());
    for _ in 0..2 {
        world.notice(&bounce(&id, "\"Ben\" <Ben@Example.org>", "Permanent")).await;
        assert_eq!(ann.states().await[0].1, "bounced");
    }
    // Raw, without SNS's envelope, and later than something else that happened.
    world.notice_body(complaint(&id, "ben@example.org").to_string()).await;
    assert!(world.app.suppressions.holds(&address("ben@example.org"), Scope::Weekly).await.unwrap());
    // No letter of an account's own goes there either; codes are the pool's.
    world.member("ben@example.org", &code).await;
    assert!(!world.letters_to("ben@example.org").await.contains(&"welcome".to_owned()));
    for nonsense in [" ", "{}", "hello", "{\"Message\":\"{}\"}"] {
        world.notice_body(nonsense.to_owned()).await;
    }
}

#[tokio::test]
async fn a_bounce_that_is_faster_than_its_mark_is_not_lost() {
    let mailer = Arc::new(Counting::default());
    let world = World::with(Setting { mailer: Some(Arc::clone(&mailer) as _), ..Setting::default() }).await;
    let (ann, id) = world.inviter("ann").await;
    ann.invite("ben@example.org").await.assert(202);
    // The fake calls its letters by number.
    world.app.ledger.bounced(&MessageId("m-1".into())).await.unwrap();
    world.work_all().await;
    assert_eq!(ann.states().await[0].1, "bounced");
    assert!(world.app.ledger.unmarked(Timestamp(u64::MAX >> 1), None, 10).await.unwrap().items.is_empty());
    let page = world.app.members.invites_of(&id, None, 10).await.unwrap();
    assert_eq!(page.items[0].state_at(world.app.clock.now()), InviteState::Bounced);
}

#[tokio::test]
async fn accepted_stays_accepted_when_the_letter_bounces_later() {
    let world = World::new().await;
    let (ann, user) = world.inviter("ann").await;
    ann.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    let id = world.invitations_to("ben@example.org").await.remove(0).id.to_string();
    let code = world.app.members.find(&user).await.unwrap().unwrap().referral_code;
    world.member("ben@example.org", &code.to_string()).await;
    world.notice(&bounce(&id, "ben@example.org", "Permanent")).await;
    assert_eq!(ann.states().await[0].1, "accepted");
}

#[tokio::test]
async fn a_deleted_account_has_invited_nobody() {
    let world = World::new().await;
    let code = world.first_member().await;
    let session = world.member("ben@example.org", &code).await;
    let ben = world.with_token(&session);
    let sub = ben.get("/v1/auth/whoami").await.json()["sub"].as_str().unwrap().to_owned();
    for number in 0..3 {
        ben.invite(&format!("friend{number}@example.org")).await.assert(202);
    }
    world.work_all().await;
    ben.invite("late@example.org").await.assert(202);
    ben.delete("/v1/auth/account", &json!({ "password": PASSWORD })).await.assert(202);
    let removal = world.receive(&access::messages::REMOVE_ACCOUNT).await.unwrap();
    assert!(world.handle(&access::messages::REMOVE_ACCOUNT, removal).await);
    world.work_all().await;
    assert!(world.app.members.invites_of(&sub, None, 10).await.unwrap().items.is_empty());
    assert!(world.invitations_to("late@example.org").await.is_empty());
    let again = world.app.members.invite(&sub, &address("friend9@example.org")).await.unwrap();
    assert!(matches!(again, Invited::Refused(members::InviteRefusal::NotAMember)));
}

#[tokio::test]
async fn nothing_kept_of_an_invitation_shows_the_address() {
    let world = World::new().await;
    let (ann, id) = world.inviter("ann").await;
    ann.invite("someone.special@example.org").await.assert(202);
    world.work_all().await;
    let invite = world.app.members.invites_of(&id, None, 10).await.unwrap().items.remove(0);
    let row = serde_json::to_string(&invite).unwrap();
    assert!(!row.contains("someone") && !format!("{invite:?}").contains("s***"), "{row}");
    assert_eq!(world.app.members.address_of(&id, &invite).unwrap().as_str(), "someone.special@example.org");
    // At another member's row it does not open.
    assert!(world.app.members.address_of("eve", &invite).is_err());
}

#[tokio::test]
async fn without_a_sender_letters_end_with_that_reason_and_no_dead_letter() {
    let mailer = Arc::new(Counting::default());
    *mailer.answers.lock().unwrap() = Some(|| MailError::NoSender);
    let world = World::with(Setting { mailer: Some(Arc::clone(&mailer) as _), ..Setting::default() }).await;
    let (ann, _) = world.inviter("ann").await;
    let job = ann.invite("ben@example.org").await.assert(202).json()["job"]["job"].as_str().unwrap().to_owned();
    world.work_all().await;
    let job = ann.get(&format!("/v1/jobs/{job}")).await.assert(200).json();
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("no_sender")));
    assert_eq!(ann.states().await[0].1, "queued");
    assert_eq!(world.depth(&access::messages::DEAD_LETTERS), 0);
    // Once there is one, asking again sends it.
    *mailer.answers.lock().unwrap() = None;
    world.clock.advance(Duration::from_secs(61));
    ann.invite("ben@example.org").await.assert(202);
    world.work_all().await;
    assert_eq!((ann.states().await[0].1.as_str(), mailer.sent()), ("sent", 1));
}

#[tokio::test]
async fn a_letter_nobody_knows_of_is_listed_until_an_operator_decides() {
    let mailer = Arc::new(Counting::default());
    let world = World::with(Setting { mailer: Some(Arc::clone(&mailer) as _), ..Setting::default() }).await;
    let (ann, _) = world.inviter("ann").await;
    *mailer.answers.lock().unwrap() = Some(|| MailError::Uncertain { source: "the line went dead".into() });
    for name in ["ben", "cat"] {
        ann.invite(&format!("{name}@example.org")).await.assert(202);
    }
    world.work_all().await;
    *mailer.answers.lock().unwrap() = None;
    assert!(ann.states().await.iter().all(|(_, state)| state == "queued"));

    ann.get("/v1/admin/letters").await.assert_problem(403, "not_allowed");
    let listed = async |older: u32| {
        let path = format!("/v1/admin/letters?olderThanSeconds={older}");
        world.admin().get(&path).await.assert(200).json()["items"].as_array().unwrap().clone()
    };
    assert_eq!(listed(300).await.len(), 0, "it may be under way");
    world.clock.advance(Duration::from_secs(600));
    let letters = listed(300).await;
    assert_eq!((letters.len(), &letters[0]["ageSeconds"]), (2, &json!(600)));
    let keys: Vec<_> = letters.iter().map(|letter| letter["letter"].as_str().unwrap().to_owned()).collect();
    assert!(keys.iter().all(|key| key.starts_with("invite/") && !key.contains('@')));

    let first = world.admin().get("/v1/admin/letters?limit=1").await.assert(200).json();
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = world.admin().get(&format!("/v1/admin/letters?limit=1&cursor={cursor}")).await.assert(200).json();
    assert_eq!([&first["items"][0], &second["items"][0]], [&letters[0], &letters[1]]);
    world.admin().get(&format!("/v1/admin/letters?cursor={cursor}x")).await.assert(400);

    carry_out(&world.app, Command::MarkSent { letter: keys[0].clone() }).await.unwrap();
    assert_eq!(listed(0).await.len(), 1);
    carry_out(&world.app, Command::Release { letter: keys[1].clone() }).await.unwrap();
    for settled in &keys {
        assert!(carry_out(&world.app, Command::MarkSent { letter: settled.clone() }).await.is_err());
        assert!(carry_out(&world.app, Command::Release { letter: settled.clone() }).await.is_err());
    }
    world.work_all().await;
    assert_eq!((listed(0).await.len(), mailer.sent()), (0, 1));
    assert!(world.person("ann").states().await.iter().all(|(_, state)| state == "sent"));
    let done = carry_out(&world.app, Command::ReconcileMail { older_than_seconds: 0, cursor: None }).await.unwrap();
    assert!(matches!(done, Done::Letters { letters, .. } if letters.is_empty()));
}

/// Refuses the first letter, once told to go on; takes the others.
#[derive(Default)]
struct Refusing {
    asked: AtomicUsize,
    entered: Notify,
    go_on: Notify,
}

#[async_trait]
impl Mailer for Refusing {
    async fn send(&self, _: &Letter) -> Result<MessageId, MailError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        if asked == 0 {
            self.entered.notify_one();
            self.go_on.notified().await;
            return Err(MailError::Throttled { source: "told to refuse".into() });
        }
        Ok(MessageId(format!("m-{asked}")))
    }
}

/// How far the slower of two workers came before it had to wait for the other.
#[derive(PartialEq, Eq)]
enum Reached {
    BothStops,
    TheFirstStop,
    /// The letter is its own to send, or it was done before its first stop.
    NoStop,
}

/// Two workers deliver one invitation. One is held at its `call`-th call until the other is sending, and again `later`
/// calls on until that one was refused.
async fn delivered_twice(call: usize, later: usize) -> Reached {
    let mailer = Arc::new(Refusing::default());
    let world = World::with(Setting { mailer: Some(Arc::clone(&mailer) as _), ..Setting::default() }).await;
    let (ann, user) = world.inviter("ann").await;
    let email = address("ben@example.org");
    let Invited::New(invite) = world.app.members.invite(&user, &email).await.unwrap() else { panic!("it is new") };
    let key = format!("invite/{}", email.keyed_hash(&world.app.vault));
    let message = SendMail { key, user, letter: AccountLetter::ReferralInvite { invite: invite.invite_id } };
    let start = |app: App| {
        let message = message.clone();
        tokio::spawn(async move { deliver(&app, &message).await })
    };

    let other = world.doomed(call, Moment::Held).await;
    let mut slow = start(other.app.clone());
    let mut reached = Reached::NoStop;
    tokio::select! {
        outcome = &mut slow => outcome.unwrap().unwrap(),
        () = other.faults.stopped() => reached = Reached::TheFirstStop,
    }
    if reached == Reached::NoStop {
        return reached;
    }
    let mut quick = start(world.app.clone());
    tokio::select! {
        () = mailer.entered.notified() => {}
        // The slower one has claimed it.
        outcome = &mut quick => {
            outcome.unwrap().unwrap();
            slow.abort();
            return Reached::NoStop;
        }
    }
    other.faults.stop(later, Moment::Held);
    other.faults.let_go();
    tokio::select! {
        outcome = &mut slow => outcome.unwrap().unwrap(),
        () = other.faults.stopped() => reached = Reached::BothStops,
    }
    mailer.go_on.notify_one();
    assert!(matches!(quick.await.unwrap(), Err(RunError::Retry(_))));
    if reached == Reached::BothStops {
        other.faults.let_go();
        slow.await.unwrap().unwrap();
    }
    // The refused one's message comes again.
    deliver(&world.app, &message).await.unwrap();
    let sent = mailer.asked.load(Ordering::SeqCst) - 1 + world.invitations_to("ben@example.org").await.len();
    assert_eq!(sent, 1, "letters when the slower is held at its call {call} and {later} later");
    assert_eq!(ann.states().await, [("b***@e***".to_owned(), "sent".to_owned())]);
    reached
}

#[tokio::test]
async fn an_invitation_that_is_delivered_twice_at_once_and_refused_still_waits() {
    let mut both = 0;
    for call in 1.. {
        for later in 1.. {
            match delivered_twice(call, later).await {
                Reached::BothStops => both += 1,
                Reached::TheFirstStop => break,
                Reached::NoStop => {
                    assert!(both > 3, "{both} pairs of stops");
                    return;
                }
            }
        }
    }
}

/// Counts letters by address instead of sending them, or fails as it is told.
#[derive(Default)]
struct Counting {
    /// Whose letters somebody tried to send.
    asked: Mutex<HashSet<String>>,
    letters: Mutex<HashMap<String, usize>>,
    total: AtomicUsize,
    answers: Mutex<Option<fn() -> MailError>>,
}

impl Counting {
    fn sent(&self) -> usize {
        self.letters.lock().unwrap().values().sum()
    }

    fn progress(&self, email: &EmailAddress) -> Progress {
        if self.letters.lock().unwrap().contains_key(email.as_str()) {
            Progress::Taken
        } else if self.asked.lock().unwrap().contains(email.as_str()) {
            Progress::Asked
        } else {
            Progress::Waiting
        }
    }
}

#[async_trait]
impl Mailer for Counting {
    async fn send(&self, letter: &Letter) -> Result<MessageId, MailError> {
        self.asked.lock().unwrap().insert(letter.to.as_str().to_owned());
        // Before and after, a process may die here.
        tokio::task::yield_now().await;
        if let Some(fails) = *self.answers.lock().unwrap() {
            return Err(fails());
        }
        *self.letters.lock().unwrap().entry(letter.to.as_str().to_owned()).or_default() += 1;
        let id = MessageId(format!("m-{}", self.total.fetch_add(1, Ordering::SeqCst) + 1));
        tokio::task::yield_now().await;
        Ok(id)
    }
}

/// What came of letters whose workers died.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    crashes: usize,
    letters: usize,
    mailed: usize,
    marked: usize,
    /// Claimed and not marked.
    open: usize,
    // Where the workers of letters with one delivery at a time died.
    before_claim: usize,
    before_send: usize,
    before_mark: usize,
    after_mark: usize,
    /// When the letter was settled, or nobody can tell.
    later: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.letters += other.letters;
        self.mailed += other.mailed;
        self.marked += other.marked;
        self.open += other.open;
        self.before_claim += other.before_claim;
        self.before_send += other.before_send;
        self.before_mark += other.before_mark;
        self.after_mark += other.after_mark;
        self.later += other.later;
    }

    /// Where the workers of this letter died, one after the other. Of a letter that was claimed and never given to the
    /// mailer one of them had claimed it.
    fn count(&mut self, deaths: &[Progress], reached: Progress, is_marked: bool) {
        let waiting = deaths.iter().filter(|progress| **progress == Progress::Waiting).count();
        let first = deaths.iter().find(|progress| **progress != Progress::Waiting);
        let mut told = usize::from(first.is_some());
        match (reached, first) {
            (Progress::Waiting, _) => {
                self.before_send += 1;
                told = 1;
            }
            (_, None) => {}
            (_, Some(Progress::Taken)) if is_marked => self.after_mark += 1,
            (_, Some(Progress::Taken)) => self.before_mark += 1,
            (_, Some(_)) => self.before_send += 1,
        }
        if reached != Progress::Waiting {
            self.before_claim += waiting;
            told += waiting;
        }
        self.later += deaths.len() - told;
    }
}

/// A letter whose workers died, and what its mailer knew each time.
struct Survivor {
    email: EmailAddress,
    messages: Vec<SendMail>,
    deaths: Vec<Progress>,
    /// Whether one of its workers lived to see it sent.
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    Asked,
    Taken,
}

/// A deployment whose workers die between any two polls of claim, send, mark, until so many have. Messages come back
/// until a worker lives; of every four letters one is delivered twice at a time, and one goes to an address that two
/// members invite.
async fn die_often(seed: u64, crashes: usize) -> Tally {
    let mailer = Arc::new(Counting::default());
    let world = World::with(Setting { mailer: Some(Arc::clone(&mailer) as _), ..Setting::default() }).await;
    let app = &world.app;
    let dice = SeededIds::new(seed);
    let mut tally = Tally::default();
    let mut letters = Vec::new();
    let mut users = Vec::new();
    // How often a worker was polled that lived.
    let mut polls = 20;
    while tally.crashes < crashes {
        let number = letters.len();
        // Each member may invite twenty in a day.
        if number % 20 == 0 {
            users = vec![format!("one-{number}"), format!("other-{number}")];
            for user in &users {
                app.members.create_member(user, Some(&address("a@example.org"))).await.unwrap();
            }
        }
        let email = address(&format!("friend-{number}@example.org"));
        let mut messages = Vec::new();
        for user in users.iter().take(if number % 4 == 3 { 2 } else { 1 }) {
            let Invited::New(invite) = app.members.invite(user, &email).await.unwrap() else { panic!("it is new") };
            let key = format!("invite/{}", email.keyed_hash(&app.vault));
            let letter = AccountLetter::ReferralInvite { invite: invite.invite_id };
            messages.push(SendMail { key, user: user.clone(), letter });
        }
        let mut survivor = Survivor { email, messages, deaths: Vec::new(), finished: false };
        let mut waiting = survivor.messages.clone();
        if number % 4 == 2 {
            waiting.extend_from_slice(&survivor.messages);
        }
        while !waiting.is_empty() {
            let before = mailer.progress(&survivor.email);
            let tries = waiting.iter().map(|message| {
                // One in nine would live, were none claimed already.
                let mut drawn = [0; 4];
                dice.fill(&mut drawn);
                let last = usize::try_from(u32::from_le_bytes(drawn)).unwrap() % (polls + polls / 8);
                let mut delivery = Box::pin(deliver(app, message));
                let polled = AtomicUsize::new(0);
                async move {
                    let counted = std::future::poll_fn(|context| {
                        polled.fetch_add(1, Ordering::Relaxed);
                        delivery.as_mut().poll(context)
                    });
                    let done = Mortal::after(last, counted).await;
                    (done.map(Result::unwrap).is_some(), polled.load(Ordering::Relaxed))
                }
            });
            let lived = join_all(tries).await;
            let after = mailer.progress(&survivor.email);
            for (lived, polled) in &lived {
                if !lived {
                    survivor.deaths.push(after);
                } else if before == Progress::Waiting && after == Progress::Taken && waiting.len() == 1 {
                    survivor.finished = true;
                    polls = *polled;
                }
            }
            let mut lived = lived.into_iter().map(|(lived, _)| lived);
            waiting.retain(|_| !lived.next().unwrap());
        }
        tally.crashes += survivor.deaths.len();
        letters.push(survivor);
    }
    settle(&world, &mailer, &letters, tally).await
}

/// Holds mailer, letters, invitations and what operators see against each other.
async fn settle(world: &World, mailer: &Counting, letters: &[Survivor], mut tally: Tally) -> Tally {
    let text = |row: &Row, name: &str| row[name].as_str().unwrap().to_owned();
    // What the last worker had sent off when it died is done when nothing changes any more.
    let (rows, invites) = loop {
        let one = (world.rows().of(&LETTERS).await, world.rows().of(&INVITATIONS).await);
        if one == (world.rows().of(&LETTERS).await, world.rows().of(&INVITATIONS).await) {
            break one;
        }
    };
    let rows: HashMap<_, _> = rows.into_iter().map(|row| (text(&row, "letter"), row)).collect();
    let states: HashMap<_, _> =
        invites.iter().map(|row| ((text(row, "user"), text(row, "inviteId")), text(row, "state"))).collect();
    let listed = world.app.ledger.unmarked(Timestamp(u64::MAX >> 1), None, 1_000_000).await.unwrap().items;
    let listed: HashSet<_> = listed.into_iter().map(|outgoing| outgoing.letter).collect();
    let taken = mailer.letters.lock().unwrap().clone();
    for (number, survivor) in letters.iter().enumerate() {
        let Survivor { email, messages, deaths, finished } = survivor;
        let times = taken.get(email.as_str()).copied().unwrap_or(0);
        assert!(times <= 1, "mailed {times} times");
        let row = rows.get(&messages[0].key).expect("every letter was claimed in the end");
        let is_marked = row.contains_key("sentAt");
        assert_eq!(listed.contains(&messages[0].key), !is_marked, "operators see what is open");
        assert_eq!(row.contains_key("open"), !is_marked);
        assert!(times == 1 || !is_marked, "marked and never mailed");
        assert!(is_marked || !finished, "mailed by a worker that lived, and not marked");
        // Whose worker set out; the other's invitation looks as if it had been sent.
        let claimed: SendMail = serde_json::from_str(&text(row, "message")).unwrap();
        for message in messages {
            let AccountLetter::ReferralInvite { invite } = &message.letter else { panic!("only invitations") };
            let is_open = message.user == claimed.user && !is_marked;
            let state = &states[&(message.user.clone(), invite.clone())];
            assert_eq!(state, if is_open { "sending" } else { "sent" });
        }
        tally.letters += 1;
        tally.mailed += times;
        tally.marked += usize::from(is_marked);
        tally.open += usize::from(!is_marked);
        if number % 4 < 2 {
            tally.count(deaths, mailer.progress(email), is_marked);
        }
    }
    assert_eq!(taken.values().sum::<usize>(), tally.mailed);
    assert_eq!(listed.len(), tally.open);
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_anywhere_mails_nobody_twice_and_what_is_open_is_listed() {
    const CRASHES: usize = 10_000;
    // Side by side, each with tables of its own: an engine does one thing at a time.
    const DEPLOYMENTS: usize = 4;
    let deployments = (0..DEPLOYMENTS as u64).map(|seed| tokio::spawn(die_often(seed, CRASHES / DEPLOYMENTS)));
    let mut tally = Tally::default();
    for deployment in join_all(deployments).await {
        tally.add(&deployment.unwrap());
    }
    println!("{tally:?}");
    assert!(tally.crashes >= CRASHES);
    for died in [tally.before_claim, tally.before_send, tally.before_mark, tally.after_mark] {
        assert!(died >= CRASHES / 200, "they die everywhere: {tally:?}");
    }
    assert!(tally.marked >= CRASHES / 100 && tally.open >= CRASHES / 100, "{tally:?}");
}
