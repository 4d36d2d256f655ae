//! What the gateway and every function do alike.

use reqwest::Method;

use crate::stage::{Answer, Stage};

#[tokio::test]
async fn health_version_and_documents_are_public() {
    let stage = Stage::enter().await;
    assert_eq!(stage.get_anonymously("/healthcheck").await.expect(200).json()["status"], "ok");
    let version = stage.get_anonymously("/v1/version").await.expect(200).json();
    assert_eq!(format!("holdfast-{}", version["environment"].as_str().unwrap()), stage.deployment.prefix);
    let document = stage.get_anonymously("/openapi.json").await.expect(200).json();
    assert!(document["paths"].as_object().unwrap().len() >= 8);
    assert!(stage.get_anonymously("/docs/").await.expect(200).text.contains("swagger"));
}

#[tokio::test]
async fn bad_input_is_told_where_it_is() {
    let stage = Stage::enter().await;
    let wrong = stage.get("/v1/tokens/sample/0x12/clusters").await.expect_problem(400, "invalid_path").json();
    assert!(wrong["detail"].as_str().unwrap().contains("address"));
    let request = wrong["requestId"].as_str().unwrap().to_owned();
    assert!(!request.is_empty());
    stage
        .get("/v1/tokens/nowhere/0x0000000000000000000000000000000000000001")
        .await
        .expect_problem(400, "unknown_chain");
    let other = "/v1/tokens/sample/0x0000000000000000000000000000000000000001";
    stage.get(other).await.expect_problem(404, "not_a_token");
}

#[tokio::test]
async fn a_path_nobody_declared_is_not_found() {
    let stage = Stage::enter().await;
    stage.get("/v1/nothing").await.expect(404);
}

#[tokio::test]
async fn a_browser_of_an_allowed_origin_may_call_and_another_may_not() {
    let stage = Stage::enter().await;
    if stage.deployment.servers.is_none() {
        println!("skipped: this deployment allows other origins than ours");
        return;
    }
    let preflight = async |origin: &str| {
        let request = stage.request(Method::OPTIONS, "/v1/chains").header("origin", origin);
        let request = request.header("access-control-request-method", "GET");
        let request = request.header("access-control-request-headers", "authorization");
        Answer::of(request.send().await.unwrap()).await
    };
    let allowed = preflight("http://localhost:5173").await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("http://localhost:5173"), "{allowed:?}");
    let refused = preflight("https://elsewhere.example").await;
    assert_eq!(refused.header("access-control-allow-origin"), None, "{refused:?}");
}
