//! Bearer tokens of the stack's own user pool, and forged ones.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::stage::{Answer, Stage, new_user, tokens_of};

const CLOSED: &str = "/v1/chains";

async fn ask(stage: &Stage, token: &str) -> Answer {
    Answer::of(stage.request(reqwest::Method::GET, CLOSED).bearer_auth(token).send().await.unwrap()).await
}

#[tokio::test]
async fn an_access_token_of_the_pool_is_taken() {
    let stage = Stage::enter().await;
    let chains = ask(&stage, &stage.token).await.expect(200).json();
    assert!(chains.to_string().contains("sample"));
}

#[tokio::test]
async fn without_a_token_nobody_gets_in() {
    let stage = Stage::enter().await;
    stage.get_anonymously(CLOSED).await.expect_problem(403, "token_missing");
}

#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let stage = Stage::enter().await;
    let user = new_user(&stage.deployment).await;
    let tokens = tokens_of(&stage.deployment, &user).await;
    ask(&stage, tokens["AccessToken"].as_str().unwrap()).await.expect(200);
    ask(&stage, tokens["IdToken"].as_str().unwrap()).await.expect(403);
}

#[tokio::test]
async fn a_forged_token_is_refused() {
    let stage = Stage::enter().await;
    let [header, payload, signature] = stage.token.split('.').collect::<Vec<_>>()[..] else { panic!("no JWT") };
    let decoded = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let changed = |part: &str, name: &str, value: Value| {
        let mut claims = decoded(part);
        claims[name] = value;
        encoded(&claims)
    };
    let stranger = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let signed = |header: &str, payload: &str| {
        let mut signature = vec![0; stranger.public_modulus_len()];
        let message = format!("{header}.{payload}");
        stranger.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let admin = changed(payload, "cognito:groups", json!(["admin"]));
    let later = changed(payload, "exp", json!(4_000_000_000_u64));
    let none = changed(header, "alg", json!("none"));
    let other_key = changed(header, "kid", json!("another"));
    let forgeries = [
        ("other groups under the old signature", format!("{header}.{admin}.{signature}")),
        ("a longer life under the old signature", format!("{header}.{later}.{signature}")),
        ("no signature", format!("{none}.{payload}.")),
        ("a stranger's signature under the pool's key id", signed(header, payload)),
        ("a stranger's signature under a key id of its own", signed(&other_key, payload)),
        ("half a token", format!("{header}.{payload}")),
    ];
    for (what, token) in forgeries {
        let answer = ask(&stage, &token).await;
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{what}: {challenge}");
        assert!(answer.json()["code"].is_string(), "{what}: {answer:?}");
    }
}
