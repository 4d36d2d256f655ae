//! Accounts as deployed: the pool is Cognito's, the rows are DynamoDB's.

use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{Answer, PASSWORD, Stage, fresh_name, new_user};

async fn post(stage: &Stage, path: &str, body: Value) -> Answer {
    Answer::of(stage.request(Method::POST, path).json(&body).send().await.unwrap()).await
}

async fn who(stage: &Stage, session: &Value) -> Answer {
    let token = session["accessToken"].as_str().unwrap();
    Answer::of(stage.request(Method::GET, "/v1/auth/whoami").bearer_auth(token).send().await.unwrap()).await
}

async fn member(stage: &Stage, sub: &str) -> Value {
    let (table, key) = (stage.function("users"), json!({ "user": { "S": sub } }).to_string());
    stage.aws(&["dynamodb", "get-item", "--table-name", &table, "--key", &key]).await["Item"].clone()
}

#[tokio::test]
async fn a_member_brings_a_friend_who_signs_in_and_out() {
    let stage = Stage::enter().await;
    let email = new_user(&stage.deployment).await;
    let first =
        post(&stage, "/v1/auth/signin", json!({ "email": email, "password": PASSWORD })).await.expect(200).json();
    let me = who(&stage, &first).await.expect(200).json();
    assert_eq!(me["email"], email);
    let row = member(&stage, me["sub"].as_str().unwrap()).await;
    let code = row["referralCode"]["S"].as_str().expect("whoever signs in is a member").to_owned();

    if stage.deployment.servers.is_none() {
        println!("skipped from here: only the emulator takes any code for the one it mailed");
        return;
    }
    let friend = format!("friend-{email}");
    let sign_up = json!({ "email": friend, "password": PASSWORD, "referralCode": code });
    let begun = post(&stage, "/v1/auth/signup", sign_up.clone()).await.expect(201).json();
    let early = post(&stage, "/v1/auth/signin", json!({ "email": friend, "password": PASSWORD })).await;
    early.expect_problem(409, "unconfirmed");
    let confirm = json!({ "email": friend, "code": "123456", "password": PASSWORD });
    let session = post(&stage, "/v1/auth/confirm", confirm).await.expect(200).json();
    let sub = who(&stage, &session).await.expect(200).json()["sub"].as_str().unwrap().to_owned();
    assert_eq!(member(&stage, &sub).await["invitedBy"]["S"], me["sub"]);
    assert_eq!(member(&stage, me["sub"].as_str().unwrap()).await["referralsUsed"]["N"], "1");

    // The address is taken now, and the answer the same.
    assert_eq!(post(&stage, "/v1/auth/signup", sign_up).await.expect(201).json(), begun);
    let wrong = post(&stage, "/v1/auth/signin", json!({ "email": friend, "password": "not the password" })).await;
    wrong.expect_problem(401, "wrong_credentials");
    let renewed = post(&stage, "/v1/auth/refresh", json!({ "refreshToken": session["refreshToken"] })).await;
    let renewed = renewed.expect(200).json();

    let request = stage.request(Method::POST, "/v1/auth/signout").bearer_auth(renewed["accessToken"].as_str().unwrap());
    let out = request.json(&json!({ "refreshToken": renewed["refreshToken"] })).send().await.unwrap();
    Answer::of(out).await.expect(200);
    // A function that has just looked believes for a moment that nobody signed out.
    stage.until_of(renewed["accessToken"].as_str().unwrap(), "/v1/auth/whoami", 403).await;
}

#[tokio::test]
async fn whoever_joins_is_welcomed_by_mail() {
    let stage = Stage::enter().await;
    let email = new_user(&stage.deployment).await;
    post(&stage, "/v1/auth/signin", json!({ "email": email, "password": PASSWORD })).await.expect(200);
    let Some(letter) = stage.letter(&email, "Welcome").await else {
        println!("skipped: only the emulator's letters can be looked at");
        return;
    };
    assert_eq!(letter["Source"], "\"Holdfast\" <no-reply@example.com>");
    assert!(letter["BodyText"].as_str().unwrap().contains("places"), "{letter}");
    // Signing in again is no joining.
    post(&stage, "/v1/auth/signin", json!({ "email": email, "password": PASSWORD })).await.expect(200);
    assert_eq!(stage.mailed(&email).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_words_of_codes_are_ours() {
    let stage = Stage::enter().await;
    let event = |source: &str| {
        json!({
            "version": "1", "triggerSource": source, "region": "eu-west-2", "userPoolId": stage.deployment.user_pool_id,
            "userName": "somebody", "request": { "codeParameter": "{####}", "userAttributes": {} },
            "response": { "smsMessage": null, "emailMessage": null, "emailSubject": null },
        })
    };
    for source in ["CustomMessage_SignUp", "CustomMessage_ResendCode", "CustomMessage_ForgotPassword"] {
        let answer = stage.invoke("accounts-customize-message", &event(source)).await;
        let response = &answer["response"];
        assert!(response["emailMessage"].as_str().unwrap().contains("{####}"), "{source}: {response}");
        assert!(response["emailSubject"].as_str().unwrap().contains("Holdfast"), "{source}: {response}");
    }
    let other = event("CustomMessage_VerifyUserAttribute");
    assert_eq!(stage.invoke("accounts-customize-message", &other).await, other);
}

#[tokio::test]
async fn a_password_an_operator_set_is_changed_at_the_first_sign_in() {
    let stage = Stage::enter().await;
    let email = format!("{}@example.org", fresh_name());
    let pool = ["--user-pool-id", stage.deployment.user_pool_id.as_str(), "--username", &email];
    let create = ["cognito-idp", "admin-create-user", "--message-action", "SUPPRESS", "--temporary-password", PASSWORD];
    stage.aws(&[&create[..], &pool[..]].concat()).await;
    let asked = post(&stage, "/v1/auth/signin", json!({ "email": email, "password": PASSWORD })).await;
    let asked = asked.expect_problem(409, "challenge").json();
    assert_eq!(asked["challenge"], "NEW_PASSWORD_REQUIRED");
    let answer = |password: &str| json!({ "challenge": asked["challenge"], "session": asked["session"], "newPassword": password });
    post(&stage, "/v1/auth/challenge", answer("short")).await.expect_problem(400, "invalid_body");
    let chosen = "two herons in the rain";
    let session = post(&stage, "/v1/auth/challenge", answer(chosen)).await.expect(200).json();
    assert_eq!(who(&stage, &session).await.expect(200).json()["email"], email);
    post(&stage, "/v1/auth/signin", json!({ "email": email, "password": chosen })).await.expect(200);
}

#[tokio::test]
async fn an_account_that_is_deleted_is_gone_everywhere() {
    let stage = Stage::enter().await;
    let email = new_user(&stage.deployment).await;
    let session = post(&stage, "/v1/auth/signin", json!({ "email": email, "password": PASSWORD })).await;
    let session = session.expect(200).json();
    let sub = who(&stage, &session).await.expect(200).json()["sub"].as_str().unwrap().to_owned();
    let token = session["accessToken"].as_str().unwrap();
    let leave = async |password: &str| {
        let request = stage.request(Method::DELETE, "/v1/auth/account").bearer_auth(token);
        Answer::of(request.json(&json!({ "password": password })).send().await.unwrap()).await
    };
    leave("not the password").await.expect_problem(401, "wrong_credentials");
    let job = leave(PASSWORD).await.expect(202).json()["job"]["job"].as_str().unwrap().to_owned();
    stage.until(&format!("/v1/jobs/{job}"), "done", |answer| answer.json()["state"] == "done").await;
    let row = member(&stage, &sub).await;
    assert!(row["forgottenAt"]["N"].is_string() && row["referralCode"].is_null(), "{row}");
    let again = post(&stage, "/v1/auth/signin", json!({ "email": email, "password": PASSWORD })).await;
    again.expect_problem(401, "wrong_credentials");
    let pool = stage.deployment.user_pool_id.as_str();
    let filter = format!("sub = \"{sub}\"");
    let listed = stage.aws(&["cognito-idp", "list-users", "--user-pool-id", pool, "--filter", &filter]).await;
    assert_eq!(listed["Users"], json!([]));
}
