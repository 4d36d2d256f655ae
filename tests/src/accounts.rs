//! Accounts from the outside: people who sign up with a code, read their mail, and come and go.

use std::collections::BTreeSet;

use access::EmailAddress;
use access::messages::SEND_MAIL;
use identity::{NewUser, Password, UserId};
use serde_json::{Value, json};

use crate::world::{Answer, Person, World};

pub(crate) const PASSWORD: &str = "a tortoise on the windowsill";
pub(crate) const ANOTHER: &str = "two herons in the rain";

impl World {
    /// A member from whom others can come, and the code to come with.
    pub(crate) async fn first_member(&self) -> String {
        let email = EmailAddress::new("first@example.org").unwrap();
        let password = Password::new(PASSWORD).unwrap();
        let made = NewUser { email, password, password_is_temporary: false };
        let sub = self.app.users.create_user(&made).await.unwrap();
        self.app.members.create_member(sub.as_str(), Some(&made.email)).await.unwrap();
        self.app.members.find(sub.as_str()).await.unwrap().unwrap().referral_code.to_string()
    }

    pub(crate) async fn sign_up(&self, email: &str, code: &str) -> Answer {
        let body = json!({ "email": email, "password": PASSWORD, "referralCode": code });
        self.anon().post("/v1/auth/signup", &body).await
    }

    pub(crate) async fn confirm(&self, email: &str) -> Answer {
        let code = self.code_for(email).await;
        self.anon().post("/v1/auth/confirm", &json!({ "email": email, "code": code, "password": PASSWORD })).await
    }

    /// Signed up, confirmed, and welcomed.
    pub(crate) async fn member(&self, email: &str, code: &str) -> Value {
        self.sign_up(email, code).await.assert(201);
        let session = self.confirm(email).await.assert(200).json();
        self.work_all().await;
        session
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.anon().post("/v1/auth/signin", &json!({ "email": email, "password": password })).await
    }

    /// The templates of what an address was sent, oldest first.
    pub(crate) async fn letters_to(&self, email: &str) -> Vec<String> {
        self.work_all().await;
        let mut filed = self.outbox.list(usize::MAX, None).await.unwrap();
        filed.retain(|filed| filed.to.as_str() == email);
        filed.into_iter().rev().map(|filed| filed.template).collect()
    }

    /// The newest code an address was sent.
    pub(crate) async fn code_for(&self, email: &str) -> String {
        let filed = self.outbox.list(100, None).await.unwrap();
        let newest = filed.iter().find(|filed| {
            filed.to.as_str() == email && filed.template.ends_with("-code")
                || filed.to.as_str() == email && filed.template == "reset-password"
        });
        let text = &newest.expect("a letter with a code").text;
        let digits = text.split(|letter: char| !letter.is_ascii_digit()).find(|word| word.len() == 6);
        digits.expect("six digits").to_owned()
    }

    pub(crate) fn with_token(&self, session: &Value) -> Person {
        self.bearer(session["accessToken"].as_str().unwrap())
    }
}

#[tokio::test]
async fn somebody_signs_up_confirms_and_is_a_member() {
    let world = World::new().await;
    let code = world.first_member().await;
    let answer = world.sign_up(" Ben@Example.org ", &code).await;
    let body = answer.assert(201).json();
    assert_eq!(body["delivery"], json!({ "medium": "EMAIL", "destination": "b***@e***" }));
    world.sign_in("ben@example.org", PASSWORD).await.assert_problem(409, "unconfirmed");

    let session = world.confirm("ben@example.org").await.assert(200).json();
    assert_eq!((&session["tokenType"], &session["expiresIn"]), (&json!("Bearer"), &json!(3600)));
    let ben = world.with_token(&session);
    let me = ben.get("/v1/auth/whoami").await.assert(200).json();
    assert_eq!(
        (&me["email"], &me["emailVerified"], &me["groups"]),
        (&json!("ben@example.org"), &json!(true), &json!([]))
    );
    ben.get("/v1/chains").await.assert(200);
    let member = world.app.members.find(me["sub"].as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!((member.referrals_used, member.total_referrals), (0, 10));
    assert_eq!(world.letters_to("ben@example.org").await, ["confirm-code", "welcome"]);
}

#[tokio::test]
async fn without_a_valid_code_nobody_signs_up() {
    let world = World::new().await;
    world.first_member().await;
    world.sign_up("ben@example.org", "0000-0000").await.assert_problem(409, "referral_invalid");
    for (body, field) in [
        (json!({ "email": "ben", "password": PASSWORD, "referralCode": "0000-0000" }), "email"),
        (json!({ "email": "ben@example.org", "password": "short", "referralCode": "0000-0000" }), "password"),
        (json!({ "email": "ben@example.org", "password": "password123", "referralCode": "0000-0000" }), "password"),
        (json!({ "email": "ben@example.org", "password": PASSWORD, "referralCode": "?" }), "referralCode"),
    ] {
        let answer = world.anon().post("/v1/auth/signup", &body).await;
        let problem = answer.assert_problem(400, "invalid_body").json();
        assert_eq!(problem["errors"][0]["name"], field, "{problem}");
        let told = problem.to_string();
        assert!(!told.contains(PASSWORD) && !told.contains("password123"), "{told}");
    }
}

#[tokio::test]
async fn an_address_with_an_account_gets_the_same_answer_and_a_letter() {
    let world = World::new().await;
    let code = world.first_member().await;
    let new = world.sign_up("ben@example.org", &code).await;
    world.confirm("ben@example.org").await.assert(200);
    let known = world.sign_up("ben@example.org", &code).await;
    assert_eq!((new.status, &new.body), (known.status, &known.body));
    world.sign_up("ben@example.org", &code).await.assert(201);
    assert_eq!(world.letters_to("ben@example.org").await, ["confirm-code", "welcome", "account-exists"]);
    // The password is still the owner's.
    world.sign_in("ben@example.org", PASSWORD).await.assert(200);
}

#[tokio::test]
async fn whoever_signs_up_last_before_the_address_is_confirmed_sets_the_password() {
    let world = World::new().await;
    let code = world.first_member().await;
    let squatter = json!({ "email": "ben@example.org", "password": ANOTHER, "referralCode": code });
    world.anon().post("/v1/auth/signup", &squatter).await.assert(201);
    world.sign_up("ben@example.org", &code).await.assert(201);
    world.confirm("ben@example.org").await.assert(200);
    world.work_all().await;
    world.sign_in("ben@example.org", ANOTHER).await.assert_problem(401, "wrong_credentials");
    world.sign_in("ben@example.org", PASSWORD).await.assert(200);
}

#[tokio::test]
async fn a_confirmation_repeated_changes_nothing() {
    let world = World::new().await;
    let code = world.first_member().await;
    world.sign_up("ben@example.org", &code).await.assert(201);
    let mailed = world.code_for("ben@example.org").await;
    let body = json!({ "email": "ben@example.org", "code": mailed, "password": PASSWORD });
    let first = world.anon().post("/v1/auth/confirm", &body).await.assert(200).json();
    let again = world.anon().post("/v1/auth/confirm", &body).await.assert(200).json();
    let sub = async |session: &Value| world.with_token(session).get("/v1/auth/whoami").await.json()["sub"].clone();
    assert_eq!(sub(&first).await, sub(&again).await);
    assert_eq!(world.letters_to("ben@example.org").await, ["confirm-code", "welcome"]);
    // Without the password a code says nothing of an account that is confirmed.
    let code_alone = json!({ "email": "ben@example.org", "code": mailed });
    world.anon().post("/v1/auth/confirm", &code_alone).await.assert_problem(400, "code_wrong");
    let wrong = json!({ "email": "nobody@example.org", "code": "000000" });
    world.anon().post("/v1/auth/confirm", &wrong).await.assert_problem(400, "code_wrong");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let world = World::new().await;
    let code = world.first_member().await;
    world.member("ben@example.org", &code).await;
    let wrong = world.sign_in("ben@example.org", "not his password").await;
    let unknown = world.sign_in("nobody@example.org", "not his password").await;
    let seen = |answer: &Answer| {
        let mut body = answer.assert_problem(401, "wrong_credentials").json();
        body["requestId"] = Value::Null;
        body
    };
    assert_eq!(seen(&wrong), seen(&unknown));
    assert_eq!(wrong.header("www-authenticate"), "");
}

#[tokio::test]
async fn a_session_is_renewed_and_ends_when_told() {
    let world = World::new().await;
    let code = world.first_member().await;
    let session = world.member("ben@example.org", &code).await;
    let renewed = world.anon().post("/v1/auth/refresh", &json!({ "refreshToken": session["refreshToken"] })).await;
    let renewed = renewed.assert(200).json();
    assert_ne!(renewed["refreshToken"], session["refreshToken"]);

    let ben = world.with_token(&renewed);
    ben.get("/v1/auth/whoami").await.assert(200);
    ben.post("/v1/auth/signout", &json!({ "refreshToken": renewed["refreshToken"] })).await.assert(200);
    ben.get("/v1/auth/whoami").await.assert_problem(403, "token_revoked");
    let over = world.anon().post("/v1/auth/refresh", &json!({ "refreshToken": renewed["refreshToken"] })).await;
    over.assert_problem(403, "session_ended");
}

#[tokio::test]
async fn signed_out_everywhere_means_everywhere() {
    let world = World::new().await;
    let code = world.first_member().await;
    world.member("ben@example.org", &code).await;
    let sessions: [Value; 2] = [
        world.sign_in("ben@example.org", PASSWORD).await.assert(200).json(),
        world.sign_in("ben@example.org", PASSWORD).await.assert(200).json(),
    ];
    world.with_token(&sessions[0]).post("/v1/auth/signout", &json!({ "everywhere": true })).await.assert(200);
    world.clock.advance(std::time::Duration::from_secs(6));
    for session in &sessions {
        world.with_token(session).get("/v1/auth/whoami").await.assert_problem(403, "token_revoked");
        let body = json!({ "refreshToken": session["refreshToken"] });
        world.anon().post("/v1/auth/refresh", &body).await.assert_problem(403, "session_ended");
    }
    let after = world.sign_in("ben@example.org", PASSWORD).await.assert(200).json();
    world.with_token(&after).get("/v1/auth/whoami").await.assert(200);
}

#[tokio::test]
async fn a_forgotten_password_is_reset_by_mail_and_ends_every_session() {
    let world = World::new().await;
    let code = world.first_member().await;
    let session = world.member("ben@example.org", &code).await;
    let known = world.anon().post("/v1/auth/password/forgot", &json!({ "email": "ben@example.org" })).await;
    let unknown = world.anon().post("/v1/auth/password/forgot", &json!({ "email": "nobody@example.org" })).await;
    assert_eq!((known.assert(202).status, &known.body), (unknown.status, &unknown.body));

    let mailed = world.code_for("ben@example.org").await;
    let reset = |code: &str| json!({ "email": "ben@example.org", "code": code, "password": ANOTHER });
    let wrong = if mailed == "000000" { "000001" } else { "000000" };
    world.anon().post("/v1/auth/password/reset", &reset(wrong)).await.assert_problem(400, "code_wrong");
    world.anon().post("/v1/auth/password/reset", &reset(&mailed)).await.assert(200);
    world.clock.advance(std::time::Duration::from_secs(6));
    world.with_token(&session).get("/v1/auth/whoami").await.assert_problem(403, "token_revoked");
    world.sign_in("ben@example.org", PASSWORD).await.assert_problem(401, "wrong_credentials");
    world.sign_in("ben@example.org", ANOTHER).await.assert(200);
    let letters = world.letters_to("ben@example.org").await;
    assert_eq!(letters, ["confirm-code", "welcome", "reset-password", "password-changed"]);
}

#[tokio::test]
async fn a_password_is_changed_by_whoever_knows_it() {
    let world = World::new().await;
    let code = world.first_member().await;
    let ben = world.with_token(&world.member("ben@example.org", &code).await);
    let change = |old: &str| json!({ "oldPassword": old, "newPassword": ANOTHER });
    ben.post("/v1/auth/password/change", &change("not it at all")).await.assert_problem(401, "wrong_credentials");
    ben.post("/v1/auth/password/change", &change(PASSWORD)).await.assert(200);
    ben.get("/v1/auth/whoami").await.assert(200);
    world.sign_in("ben@example.org", ANOTHER).await.assert(200);
    assert_eq!(world.letters_to("ben@example.org").await.last().unwrap(), "password-changed");
}

#[tokio::test]
async fn an_account_is_deleted_with_everything_of_it_and_its_address_is_free_again() {
    let world = World::new().await;
    let code = world.first_member().await;
    let session = world.member("ben@example.org", &code).await;
    let ben = world.with_token(&session);
    let sub = ben.get("/v1/auth/whoami").await.json()["sub"].as_str().unwrap().to_owned();
    ben.delete("/v1/auth/account", &json!({ "password": "not his" })).await.assert_problem(401, "wrong_credentials");
    let job = ben.delete("/v1/auth/account", &json!({ "password": PASSWORD })).await.assert(202).json();
    assert_eq!(job["job"]["kind"], "remove-account");
    ben.get("/v1/auth/whoami").await.assert_problem(403, "token_revoked");
    world.work_all().await;
    assert!(world.app.users.find_by_sub(&UserId::new(&sub).unwrap()).await.unwrap().is_none());
    assert!(world.app.members.find(&sub).await.unwrap().is_none());
    world.sign_in("ben@example.org", PASSWORD).await.assert_problem(401, "wrong_credentials");
    world.member("ben@example.org", &code).await;
}

#[tokio::test]
async fn a_letter_is_not_sent_twice_however_often_its_message_comes() {
    let world = World::new().await;
    let code = world.first_member().await;
    world.sign_up("ben@example.org", &code).await.assert(201);
    world.confirm("ben@example.org").await.assert(200);
    let delivery = world.receive(&SEND_MAIL).await.unwrap();
    assert!(world.handle(&SEND_MAIL, delivery.clone()).await);
    assert!(world.handle(&SEND_MAIL, delivery).await);
    assert_eq!(world.letters_to("ben@example.org").await, ["confirm-code", "welcome"]);
}

#[tokio::test]
async fn somebody_who_is_confirmed_but_no_member_becomes_one_by_signing_in() {
    let world = World::new().await;
    let code = world.first_member().await;
    world.sign_up("ben@example.org", &code).await.assert(201);
    // As if the function had ended between confirming the account and making its rows.
    let email = EmailAddress::new("ben@example.org").unwrap();
    let mailed = world.code_for("ben@example.org").await;
    let confirmed = world.app.users.confirm_sign_up(&email, &identity::Code::new(&mailed).unwrap()).await.unwrap();
    assert!(world.app.members.find(confirmed.sub.as_str()).await.unwrap().is_none());
    world.sign_in("ben@example.org", PASSWORD).await.assert(200);
    assert!(world.app.members.find(confirmed.sub.as_str()).await.unwrap().is_some());
    world.work_all().await;
}

#[tokio::test]
async fn the_keys_served_verify_the_tokens_issued() {
    let world = World::new().await;
    let keys = world.anon().get("/.well-known/jwks.json").await.assert(200).json();
    let ids: BTreeSet<_> = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert!(!ids.is_empty());
    assert!(keys["keys"][0].get("d").is_none(), "only the public half");
}
