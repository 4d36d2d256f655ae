//! Accounts as deployed: the pool is Cognito's, the rows are DynamoDB's.

use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{Answer, PASSWORD, Stage, new_user};

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
