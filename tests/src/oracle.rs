//! What the endpoints that take an address tell of it: nothing. How long they take is measured by the benchmark
//! `oracle`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use access::EmailAddress;
use futures::future::join_all;
use identity::{NewUser, Password};
use serde_json::{Value, json};

use crate::accounts::{ANOTHER, PASSWORD};
use crate::world::{Answer, World};

/// With the same first letters, which a sign-up tells back.
const CONFIRMED: &str = "ben@example.org";
const UNCONFIRMED: &str = "bob@example.org";
const UNKNOWN: &str = "bea@example.org";

/// What somebody sees who asks: all of it but the request's own id.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

fn seen(answer: &Answer) -> Seen {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "x-request-id");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let mut body = answer.json();
    if let Some(id) = body.get_mut("requestId") {
        *id = Value::Null;
    }
    Seen { status: answer.status.as_u16(), headers, body }
}

impl World {
    /// Somebody confirmed, somebody not, and a code to sign up with.
    async fn two_people(&self) -> String {
        let new = |email| (EmailAddress::new(email).unwrap(), Password::new(PASSWORD).unwrap());
        let (email, password) = new(CONFIRMED);
        let made = NewUser { email, password, password_is_temporary: false };
        let sub = self.app.users.create_user(&made).await.unwrap();
        self.app.members.create_user(sub.as_str()).await.unwrap();
        // No new member any more, who would be welcomed.
        self.clock.advance(Duration::from_secs(8 * 24 * 3600));
        let (email, password) = new(UNCONFIRMED);
        self.app.users.sign_up(&email, &password).await.unwrap();
        self.first_member().await
    }

    /// What each endpoint answers to each address, everybody from an address of their own.
    async fn ask_all(&self, code: &str) -> Vec<(&'static str, u16, Vec<Seen>)> {
        let credentials = |email| json!({ "email": email, "password": ANOTHER });
        let sign_up = |email| json!({ "email": email, "password": PASSWORD, "referralCode": code });
        let address = |email| json!({ "email": email });
        let wrong = |email| json!({ "email": email, "code": "000000" });
        let confirm = |email| json!({ "email": email, "code": "000000", "password": ANOTHER });
        let reset = |email| json!({ "email": email, "code": "000000", "password": ANOTHER });
        let known = [CONFIRMED, UNCONFIRMED, UNKNOWN];
        let endpoints = [
            // First, before the codes are asked for anew and guessed at.
            ("/v1/auth/confirm", 400, known.map(wrong)),
            ("/v1/auth/confirm", 400, known.map(confirm)),
            ("/v1/auth/password/reset", 400, known.map(reset)),
            ("/v1/auth/signin", 401, known.map(credentials)),
            ("/v1/auth/password/forgot", 202, known.map(address)),
            ("/v1/auth/confirm/resend", 202, known.map(address)),
            ("/v1/auth/signup", 201, known.map(sign_up)),
        ];
        let mut all = Vec::new();
        for (number, (path, status, bodies)) in endpoints.into_iter().enumerate() {
            let asked = bodies.iter().enumerate().map(async |(place, body)| {
                let person = self.anon().from(&format!("203.0.{number}.{place}"));
                seen(&person.post(path, body).await)
            });
            all.push((path, status, join_all(asked).await));
        }
        all
    }
}

#[tokio::test]
async fn nothing_in_an_answer_tells_whether_an_address_has_an_account() {
    let world = World::new().await;
    let code = world.two_people().await;
    for (path, status, answers) in world.ask_all(&code).await {
        assert_eq!(answers[0].status, status, "{path}: {answers:?}");
        assert!(answers[0].headers.contains_key("ratelimit"), "{path}");
        assert_eq!(answers[0], answers[2], "{path}: a confirmed account, and none");
        assert_eq!(answers[1], answers[2], "{path}: an unconfirmed account, and none");
    }
    // They did different things.
    assert_eq!(world.letters_to(CONFIRMED).await, ["reset-password", "account-exists"]);
    assert_eq!(world.letters_to(UNCONFIRMED).await, ["confirm-code"; 3]);
    assert_eq!(world.letters_to(UNKNOWN).await, ["confirm-code"]);
}

#[tokio::test]
async fn nor_does_it_when_no_letter_can_be_sent() {
    let world = World::new().await;
    let code = world.two_people().await;
    world.mail.down.store(true, Ordering::SeqCst);
    world.queue.down.store(true, Ordering::SeqCst);
    for (path, status, answers) in world.ask_all(&code).await {
        assert_eq!(answers[0].status, status, "{path}: {answers:?}");
        assert_eq!(answers[0], answers[2], "{path}: a confirmed account, and none");
        assert_eq!(answers[1], answers[2], "{path}: an unconfirmed account, and none");
    }
}
