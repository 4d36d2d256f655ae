//! The read path as deployed.

use chains::sample_token;
use clusters::sample;

use crate::stage::Stage;

#[tokio::test]
async fn the_first_reader_gets_202_and_the_worker_makes_it_200() {
    let stage = Stage::enter().await;
    let path = stage.fresh_clusters();
    let accepted = stage.get(&path).await.expect(202);
    let job = accepted.header("location").unwrap().to_owned();
    assert!(accepted.header("retry-after").is_some());
    assert_eq!(accepted.json()["job"]["state"], "queued");
    assert_eq!(stage.get(&path).await.status.as_u16() / 100, 2, "whoever asks meanwhile is told the same job");

    let answer = stage.until(&path, "made", |answer| answer.status == 200).await;
    let report = answer.json();
    let planted = sample::Token::new(1);
    let mut found: Vec<Vec<String>> = report["clusters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cluster| {
            let members = cluster["members"].as_array().unwrap().iter();
            members.map(|member| member.as_str().or(member["address"].as_str()).unwrap().to_owned()).collect()
        })
        .collect();
    let mut expected: Vec<Vec<String>> =
        planted.clusters.iter().map(|members| members.iter().map(ToString::to_string).collect()).collect();
    for members in found.iter_mut().chain(&mut expected) {
        members.sort();
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "the planted parties and nothing else");

    let done = stage.until(&job, "done", |answer| answer.json()["state"] == "done").await.json();
    assert_eq!((&done["attempts"], &done["progress"]), (&1.into(), &1.0.into()));
}

#[tokio::test]
async fn a_stale_report_is_served_while_one_job_renews_it() {
    let stage = Stage::enter().await;
    if stage.deployment.report_staleness > 60 {
        println!("skipped: this deployment's reports are fresh for {} s", stage.deployment.report_staleness);
        return;
    }
    let path = stage.fresh_clusters();
    let first = stage.until(&path, "made", |answer| answer.status == 200).await.json();
    let stale = stage.until(&path, "stale", |answer| answer.header("x-cache") == Some("stale")).await.expect(200);
    assert!(stale.header("x-refresh-job").is_some());
    let age: u64 = stale.header("age").unwrap().parse().unwrap();
    assert!(age >= stage.deployment.report_staleness, "{age}");
    let is_newer = |answer: &crate::stage::Answer| {
        answer.status == 200 && answer.json()["computedAt"].as_u64() > first["computedAt"].as_u64()
    };
    let renewed = stage.until(&path, "renewed", is_newer).await.json();
    assert_eq!(renewed["clusters"], first["clusters"]);
}

#[tokio::test]
async fn metadata_is_computed_with_the_connection_open_and_then_cached() {
    let stage = Stage::enter().await;
    let path = format!("/v1/tokens/sample/{}", sample_token());
    let first = stage.get(&path).await.expect(200).json();
    assert_eq!((&first["symbol"], &first["decimals"]), (&"SMPL".into(), &18.into()));
    let again = stage.get(&path).await.expect(200);
    assert_eq!(again.header("x-cache"), Some("fresh"));
    assert_eq!(again.json(), first);
}

#[tokio::test]
async fn holders_come_in_pages_that_make_up_the_whole() {
    let stage = Stage::enter().await;
    let base = format!("/v1/tokens/sample/{}/holders", sample_token());
    let whole = stage.until(&format!("{base}?limit=50"), "made", |answer| answer.status == 200).await.json();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    while seen.len() < 50 {
        let page = stage.get(&format!("{base}?limit=20{cursor}")).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|holder| holder["address"].clone()));
        cursor = format!("&cursor={}", page["nextCursor"].as_str().unwrap());
    }
    let expected = whole["items"].as_array().unwrap().iter().map(|holder| holder["address"].clone());
    assert_eq!(seen[..50], expected.collect::<Vec<_>>());
}
