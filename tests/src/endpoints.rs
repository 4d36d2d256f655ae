//! `/v1/chains`, `/v1/tokens/{chain}/{address}` and its holders; and what holds for every endpoint.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use crate::world::{Behaviour, CHAIN, STALENESS, World};

#[tokio::test]
async fn every_endpoint_but_the_public_ones_needs_a_bearer_token() {
    const PUBLIC: [&str; 6] = [
        "/.well-known/jwks.json",
        "/docs",
        "/healthcheck",
        "/openapi.json",
        "/v1/tokens/{chain}/{address}/map",
        "/v1/version",
    ];
    /// Who is on the way to a token has none.
    const BEFORE_SIGNING_IN: [&str; 8] = [
        "/v1/auth/challenge",
        "/v1/auth/confirm",
        "/v1/auth/confirm/resend",
        "/v1/auth/password/forgot",
        "/v1/auth/password/reset",
        "/v1/auth/refresh",
        "/v1/auth/signin",
        "/v1/auth/signup",
    ];
    /// Who has somebody's code, or a link in a letter.
    const WITH_A_CODE: [&str; 2] = ["/v1/referrals/unsubscribe", "/v1/referrals/valid"];
    let world = World::new().await;
    for endpoint in lambdas::endpoints() {
        for (method, path) in endpoint.routes() {
            let asked = path.replace("{chain}", CHAIN).replace("{address}", &world.token.to_string());
            let answer = world.anon().ask(method, &asked.replace("{id}", &"0".repeat(26))).await;
            if WITH_A_CODE.contains(&path.as_str()) {
                answer.assert_problem(400, "invalid_query");
            } else if PUBLIC.contains(&path.as_str()) {
                answer.assert(200);
            } else if BEFORE_SIGNING_IN.contains(&path.as_str()) {
                answer.assert_problem(400, "invalid_body");
            } else {
                answer.assert_problem(403, "token_missing");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
            }
        }
    }
}

#[tokio::test]
async fn chains_are_listed_as_configured() {
    let world = World::new().await;
    let chains = world.ann().get("/v1/chains").await.json();
    assert_eq!(chains, json!([{"id": CHAIN, "chainId": 1337, "name": "Testnet", "nativeAsset": "TST"}]));
}

#[tokio::test]
async fn a_bad_address_or_chain_is_400_and_says_what_was_expected() {
    let world = World::new().await;
    let ann = world.ann();
    for rest in ["", "/clusters", "/holders"] {
        let answer = ann.get(&format!("/v1/tokens/{CHAIN}/0x12{rest}")).await;
        answer.assert_problem(400, "invalid_path");
        let error = answer.json()["errors"][0].clone();
        assert_eq!(error["name"], "address", "{error}");
        assert!(error["expected"].as_str().unwrap().contains("0x and 40 hex digits"), "{error}");
        let answer = ann.get(&format!("/v1/tokens/nowhere/{}{rest}", world.token)).await;
        answer.assert_problem(400, "unknown_chain");
        assert!(answer.json()["detail"].as_str().unwrap().contains(CHAIN));
    }
    for query in ["top=0", "top=10001", "hubDegree=1", "top=ten", "depth=3"] {
        ann.get(&world.path(&format!("/clusters?{query}"))).await.assert_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn metadata_is_read_once_and_cached() {
    let world = World::new().await;
    let ann = world.ann();
    let readers = join_all((0..100).map(|_| {
        let (ann, path) = (ann.clone(), world.path(""));
        tokio::spawn(async move { ann.get(&path).await })
    }));
    for answer in readers.await {
        let body = answer.unwrap().assert(200).json();
        assert_eq!((&body["symbol"], &body["decimals"], &body["type"]), (&json!("SMPL"), &json!(18), &json!("erc20")));
    }
    assert_eq!(world.source.asked.load(Ordering::SeqCst), 1);
    let upper = world.path("").replace("0x", "0X");
    assert_eq!(ann.get(&upper).await.assert(200).header("x-cache"), "fresh");
}

#[tokio::test]
async fn metadata_that_cannot_be_refreshed_is_served_stale() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("")).await.assert(200);
    world.clock.advance(STALENESS + Duration::from_secs(1));
    world.source.now(Behaviour::Down);
    let answer = ann.get(&world.path("")).await;
    assert_eq!((answer.assert(200).header("x-cache"), answer.header("age")), ("stale", "601"));
    world.source.now(Behaviour::Works);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(ann.get(&world.path("")).await.assert(200).header("x-cache"), "fresh");
}

#[tokio::test]
async fn a_node_that_is_down_is_503_without_an_older_answer() {
    let world = World::new().await;
    world.source.now(Behaviour::Down);
    let answer = world.ann().get(&world.path("")).await;
    answer.assert_problem(503, "source_unavailable");
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn what_is_no_token_is_404_and_remembered_briefly() {
    let world = World::new().await;
    world.source.now(Behaviour::NotAToken);
    for _ in 0..5 {
        world.ann().get(&world.path("")).await.assert_problem(404, "not_a_token");
        world.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(world.source.asked.load(Ordering::SeqCst), 1);
    world.clock.advance(Duration::from_secs(11));
    world.ann().get(&world.path("")).await.assert_problem(404, "not_a_token");
    assert_eq!(world.source.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn holders_come_page_by_page_from_one_report() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/holders")).await.assert(202);
    world.work().await;
    let report = ann.get(&world.path("/clusters")).await.json();
    let all = report["holders"].as_array().unwrap();

    let mut seen = Vec::new();
    let mut path = world.path("/holders?limit=30");
    loop {
        let page = ann.get(&path).await.assert(200).json();
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = world.path(&format!("/holders?limit=30&cursor={cursor}"));
        if seen.len() == 30 {
            // A newer report in between changes nothing for whoever is reading this one.
            world.clock.advance(STALENESS + Duration::from_secs(1));
            ann.get(&world.path("/clusters")).await.assert(200);
            world.work().await;
        }
    }
    assert_eq!(&seen, all);
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/holders")).await.assert(202);
    world.work().await;
    let cursor = ann.get(&world.path("/holders?limit=5")).await.json()["nextCursor"].as_str().unwrap().to_owned();
    let other = format!("/v1/tokens/{CHAIN}/0x{}/holders?cursor={cursor}", "1".repeat(40));
    ann.get(&other).await.assert_problem(400, "bad_cursor");
    ann.get(&world.path("/holders?cursor=AAAA")).await.assert_problem(400, "bad_cursor");
    for limit in ["0", "1001", "x"] {
        ann.get(&world.path(&format!("/holders?limit={limit}"))).await.assert_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn the_openapi_document_is_the_committed_one() {
    let world = World::new().await;
    let served = world.anon().get("/openapi.json").await.json();
    // Not assert_eq: nobody wants two whole documents printed.
    assert!(served == serde_json::to_value(lambdas::document()).unwrap(), "run `cargo xtask openapi`");
    assert_eq!(served["openapi"], "3.1.0");
    assert!(api::conflicting_schemas(&lambdas::endpoints()).is_empty());
}
