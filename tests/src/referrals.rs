//! Referral codes from the outside: whether one is valid, who joined with it, and what operators may change.

use std::time::Duration;

use access::EmailAddress;
use http::Method;
use identity::UserId;
use referrals::{Command, carry_out};
use serde_json::{Value, json};

use crate::accounts::PASSWORD;
use crate::world::{Answer, World};

#[tokio::test]
async fn anybody_may_ask_whether_a_code_is_valid() {
    let world = World::new().await;
    let code = world.first_member().await;
    let ask = async |code: &str| world.anon().get(&format!("/v1/referrals/valid?code={code}")).await;
    let lower = code.to_lowercase().replace('-', "");
    for good in [&code, &lower] {
        assert_eq!(ask(good).await.assert(200).json(), json!({ "valid": true }));
    }
    assert_eq!(ask("0000-0000").await.assert(200).json(), json!({ "valid": false }));
    for bad in ["", "ABC", "ABCD-EFGH-1", "%3F%3F%3F%3F-0000"] {
        ask(bad).await.assert_problem(400, "invalid_query");
    }
    let owner = world.app.users.find(&EmailAddress::new("first@example.org").unwrap()).await.unwrap().unwrap();
    world.app.members.disable_code(owner.sub.as_str()).await.unwrap();
    assert_eq!(ask(&code).await.assert(200).json(), json!({ "valid": false }));
}

#[tokio::test]
async fn codes_are_asked_for_ten_times_a_minute() {
    let world = World::new().await;
    for _ in 0..10 {
        world.anon().get("/v1/referrals/valid?code=0000-0000").await.assert(200);
    }
    world.anon().get("/v1/referrals/valid?code=0000-0000").await.assert_problem(429, "too_many_requests");
    world.clock.advance(Duration::from_secs(60));
    world.anon().get("/v1/referrals/valid?code=0000-0000").await.assert(200);
}

#[tokio::test]
async fn a_member_sees_the_code_its_places_and_who_joined() {
    let world = World::new().await;
    let code = world.first_member().await;
    let first = world.sign_in("first@example.org", PASSWORD).await.assert(200).json();
    let first = world.with_token(&first);
    let me = first.get("/v1/referrals/me").await.assert(200).json();
    assert_eq!((&me["referralCode"], &me["referrals"], &me["nextCursor"]), (&json!(code), &json!([]), &Value::Null));

    world.member("ben@example.org", &code).await;
    let cat = world.with_token(&world.member("cat@example.org", &code).await);
    cat.delete("/v1/auth/account", &json!({ "password": PASSWORD })).await.assert(202);
    world.work_all().await;
    // From before names were kept.
    let old = members::ReferralCode::new(&code).unwrap();
    world.app.members.referral_use(&old, "old").await.unwrap();

    let me = first.get("/v1/referrals/me").await.assert(200).json();
    assert_eq!(
        (&me["referralsUsed"], &me["referralsRemaining"], &me["totalReferrals"], &me["referralIsValid"]),
        (&json!(3), &json!(7), &json!(10), &json!(true))
    );
    let mut names = Vec::new();
    let mut path = "/v1/referrals/me?limit=2".to_owned();
    loop {
        let page = first.get(&path).await.assert(200).json();
        let listed = page["referrals"].as_array().unwrap();
        names.extend(listed.iter().map(|referral| referral["invitedUser"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/v1/referrals/me?limit=2&cursor={cursor}");
    }
    names.sort();
    assert_eq!(names, ["b***@e***", "deleted", "member"]);
    world.person("nobody").get("/v1/referrals/me").await.assert_problem(404, "not_a_member");
    first.get("/v1/referrals/me?limit=101").await.assert_problem(400, "invalid_query");
    first.get("/v1/referrals/me?cursor=AAAA").await.assert_problem(400, "bad_cursor");
}

#[tokio::test]
async fn only_the_group_admin_does_what_operators_do() {
    let world = World::new().await;
    world.first_member().await;
    for (method, path) in [
        (Method::POST, "/v1/admin/users"),
        (Method::PATCH, "/v1/admin/users/somebody"),
        (Method::GET, "/v1/admin/letters"),
    ] {
        world.anon().ask(method.clone(), path).await.assert_problem(403, "token_missing");
    }
    let ann = world.ann();
    let new = json!({ "email": "new@example.org" });
    ann.post("/v1/admin/users", &new).await.assert_problem(403, "not_allowed");
    ann.patch("/v1/admin/users/ann", &json!({ "totalReferrals": 99 })).await.assert_problem(403, "not_allowed");
    ann.get("/v1/admin/letters").await.assert_problem(403, "not_allowed");
    assert!(world.app.users.find(&EmailAddress::new("new@example.org").unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_operator_starts_a_member_from_whom_others_come() {
    let world = World::new().await;
    let new = json!({ "email": "Root@Example.org" });
    let made = world.admin().post("/v1/admin/users", &new).await.assert(201).json();
    let again = world.admin().post("/v1/admin/users", &new).await.assert(201).json();
    assert_eq!(made, again);
    assert!(made.get("password").is_none());
    let code = made["referralCode"].as_str().unwrap();
    world.member("ben@example.org", code).await;
    // Its owner sets a password as for a forgotten one.
    world.anon().post("/v1/auth/password/forgot", &json!({ "email": "root@example.org" })).await.assert(202);
    let mailed = world.code_for("root@example.org").await;
    let reset = json!({ "email": "root@example.org", "code": mailed, "password": PASSWORD });
    world.anon().post("/v1/auth/password/reset", &reset).await.assert(200);
    world.work_all().await;
    // A reset ends the tokens of its second.
    world.clock.advance(Duration::from_secs(6));
    world.sign_in("root@example.org", PASSWORD).await.assert(200);
    world.work_all().await;
}

#[tokio::test]
async fn an_operator_changes_places_and_validity() {
    let world = World::new().await;
    let code = world.first_member().await;
    let email = EmailAddress::new("first@example.org").unwrap();
    let sub: UserId = world.app.users.find(&email).await.unwrap().unwrap().sub;
    world.member("ben@example.org", &code).await;
    let path = format!("/v1/admin/users/{sub}");
    let patch = async |body: Value| -> Answer { world.admin().patch(&path, &body).await };
    let member = patch(json!({ "totalReferrals": 1, "referralIsValid": false })).await.assert(200).json();
    assert_eq!(
        (&member["totalReferrals"], &member["referralsRemaining"], &member["referralIsValid"]),
        (&json!(1), &json!(0), &json!(false))
    );
    patch(json!({ "totalReferrals": 0 })).await.assert_problem(409, "below_used");
    patch(json!({})).await.assert_problem(400, "nothing_to_change");
    patch(json!({ "points": 7 })).await.assert_problem(400, "invalid_body");
    let nobody = world.admin().patch("/v1/admin/users/nobody", &json!({ "referralIsValid": true })).await;
    nobody.assert_problem(404, "not_a_member");
}

#[tokio::test]
async fn a_command_is_the_same_by_direct_invocation() {
    let world = World::new().await;
    let trigger = referrals::administer_members::trigger();
    let ask = async |event: Value| trigger.answer(world.app.clone(), event).await;
    let made = ask(json!({ "command": "create-user", "email": "root@example.org" })).await.unwrap();
    let code = made["referralCode"].as_str().unwrap().to_owned();
    let changed = ask(json!({ "command": "set-places", "user": "root@example.org", "total": 50 })).await.unwrap();
    assert_eq!((&changed["referralCode"], &changed["totalReferrals"]), (&json!(code), &json!(50)));
    let user = made["user"].as_str().unwrap();
    assert_eq!(ask(json!({ "command": "disable-code", "user": user })).await.unwrap()["referralIsValid"], false);
    assert_eq!(ask(json!({ "command": "enable-code", "user": user })).await.unwrap()["referralIsValid"], true);
    assert_eq!(
        ask(json!({ "command": "reconcile-mail" })).await.unwrap(),
        json!({ "letters": [], "nextCursor": null })
    );
    for (bad, told) in [
        (json!({}), "create-user"),
        (json!({ "command": "drop-tables" }), "create-user"),
        (json!({ "command": "create-user", "email": "secret" }), "create-user"),
        (json!({ "command": "set-places", "user": "nobody", "total": 1 }), "no such member"),
        (json!({ "command": "release", "letter": "message/1" }), "No letter"),
    ] {
        let error = ask(bad).await.unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("secret"), "{error}");
    }
    // Again, the same.
    let email = EmailAddress::new("root@example.org").unwrap();
    let again = carry_out(&world.app, Command::CreateUser { email, password: None }).await.unwrap();
    assert_eq!(serde_json::to_value(again).unwrap()["referralCode"], code);
}
