//! Everything there is to ask of a token's report, each answered by a function with a role of its own.

use chains::sample_token;
use clusters::sample;
use reqwest::Method;

use crate::stage::{Answer, Stage, fresh_top};

async fn keep_labels(stage: &Stage, file: &str) -> Answer {
    let request =
        stage.request(Method::POST, "/v1/labels").bearer_auth(&stage.token).header("content-type", "text/csv");
    Answer::of(request.body(file.to_owned()).send().await.unwrap()).await
}

/// First it is queued, then a worker makes it.
async fn made(stage: &Stage, path: &str) -> Answer {
    let accepted = stage.get(path).await.expect(202);
    assert!(accepted.header("location").is_some_and(|job| job.starts_with("/v1/jobs/")), "{accepted:?}");
    stage.until(path, "made", |answer| answer.status == 200).await
}

#[tokio::test]
async fn with_labels_of_ones_own_a_token_is_told_in_every_way_there_is() {
    let stage = Stage::enter().await.as_somebody_new().await;
    let planted = sample::Token::new(1);
    let name = format!("Our own {}", fresh_top());
    let file = format!("address,name,kind\n{},{name},exchange\n", planted.exchange);
    let kept = keep_labels(&stage, &file).await.expect(201).json();
    assert_eq!(kept["count"], 1);
    keep_labels(&stage, "address,name,kind\n0x12,A,pool\n").await.expect_problem(400, "invalid_labels");
    let labels = kept["labels"].as_str().unwrap();

    let token = format!("/v1/tokens/sample/{}", sample_token());
    let unknown = format!("{token}/clusters?labels={}", "0".repeat(64));
    stage.get(&unknown).await.expect_problem(404, "unknown_labels");
    // With a `top` of its own each is a report nobody has made: every function has to find the labels and queue it.
    let asked = || format!("labels={labels}&top={}", fresh_top());

    let report = made(&stage, &format!("{token}/clusters?{}", asked())).await.json();
    let holders = report["holders"].as_array().unwrap();
    let exchange = holders.iter().find(|holder| holder["address"] == planted.exchange.to_string()).unwrap();
    assert_eq!(exchange["label"], *name);
    let cluster = &report["clusters"][0];
    let id = cluster["id"].as_str().unwrap();
    let members: Vec<_> = planted.clusters[0].iter().map(ToString::to_string).collect();

    let evidence = made(&stage, &format!("{token}/clusters/{id}?{}", asked())).await.json();
    assert_eq!(evidence["id"], id);
    assert_eq!(evidence["members"].as_array().unwrap().len(), members.len());
    assert_eq!(evidence["spanning"].as_array().unwrap().len(), members.len() - 1, "{evidence}");

    let (from, to) = (&members[0], members.last().unwrap());
    let way = made(&stage, &format!("{token}/clusters/{id}/explain?from={from}&to={to}&{}", asked())).await.json();
    let steps = way["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["from"], &steps[steps.len() - 1]["to"]), (&from.as_str().into(), &to.as_str().into()));

    let changes = made(&stage, &format!("{token}/changes?since=18000100&{}", asked())).await.json();
    assert!(!changes["joined"].as_array().unwrap().is_empty(), "{changes}");

    let history = made(&stage, &format!("{token}/history?points=3&{}", asked())).await.json();
    assert_eq!(history["points"].as_array().unwrap().len(), 3);
    assert_eq!(history["points"][2]["clusters"], planted.clusters.len());

    let page = made(&stage, &format!("{token}/map?{}", asked())).await;
    assert_eq!(page.header("content-type").unwrap().split(';').next(), Some("text/html"));
    assert!(page.text.contains(&name) && page.text.contains(from), "the map is in it");

    let drawing = made(&stage, &format!("{token}/map.svg?{}", asked())).await;
    assert_eq!(drawing.header("content-type"), Some("image/svg+xml"));
    assert!(drawing.text.starts_with("<svg "));

    let data = made(&stage, &format!("{token}/map.json?{}", asked())).await.json();
    assert_eq!(data["clusters"].as_array().unwrap().len(), planted.clusters.len());

    let bubbles = made(&stage, &format!("{token}/clusters?format=bubblemaps&{}", asked())).await.json();
    let nodes = bubbles["nodes"]["top_holders"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["address"] == planted.exchange.to_string()).unwrap();
    assert_eq!(node["address_details"]["label"], *name);
}
