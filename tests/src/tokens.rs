//! Why a cluster of a report is one, and reports in others' words.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{CHAIN, Person, STALENESS, World};

/// A world whose token has a report, and that report.
async fn reported() -> (World, Person, Value) {
    let world = World::new().await;
    let ann = world.ann();
    ann.get(&world.path("/clusters")).await.assert(202);
    world.work().await;
    let report = ann.get(&world.path("/clusters")).await.assert(200).json();
    assert!(!report["clusters"].as_array().unwrap().is_empty());
    (world, ann, report)
}

fn texts(values: &Value) -> Vec<String> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_cluster_says_what_joins_it_and_any_two_members_how_they_are_connected() {
    let (world, ann, report) = reported().await;
    let cluster = &report["clusters"][0];
    let path = world.path(&format!("/clusters/{}", cluster["id"].as_str().unwrap()));
    let answer = ann.get(&path).await;
    let evidence = answer.assert(200).json();
    assert_eq!((answer.header("x-cache"), answer.header("age")), ("fresh", "0"));
    for field in ["id", "rank", "amount", "display", "share", "hubsTouched"] {
        assert_eq!(evidence[field], cluster[field], "{field}");
    }
    let members: BTreeSet<String> = texts(&cluster["members"]).into_iter().collect();
    let told = evidence["members"].as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap().to_owned());
    assert_eq!(told.collect::<BTreeSet<_>>(), members);
    let spanning = evidence["spanning"].as_array().unwrap();
    assert_eq!(spanning.len(), members.len() - 1, "without anybody in common, a tree");
    assert_eq!(spanning.iter().flat_map(|tie| texts(&tie["ends"])).collect::<BTreeSet<_>>(), members);

    let (from, to) = (members.first().unwrap(), members.last().unwrap());
    let way = ann.get(&format!("{path}/explain?to={to}&from={}", from.replace("0x", "0X"))).await.assert(200).json();
    assert_eq!((&way["from"], &way["to"], &way["cluster"]), (&json!(from), &json!(to), &cluster["id"]));
    let steps = way["steps"].as_array().unwrap();
    assert_eq!(way["length"], steps.len());
    assert_eq!((&steps[0]["from"], &steps.last().unwrap()["to"]), (&json!(from), &json!(to)));
    assert!(steps.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]));
}

#[tokio::test]
async fn evidence_waits_for_the_report_and_grows_old_with_it() {
    let world = World::new().await;
    let ann = world.ann();
    let nobody = world.path(&format!("/clusters/{}", "0".repeat(64)));
    let waiting = ann.get(&nobody).await.assert(202).json();
    assert_eq!(ann.get(&world.path("/clusters")).await.assert(202).json()["job"]["job"], waiting["job"]["job"]);
    world.work().await;
    ann.get(&nobody).await.assert_problem(404, "unknown_cluster");
    let report = ann.get(&world.path("/clusters")).await.json();
    world.work().await;
    let path = world.path(&format!("/clusters/{}", report["clusters"][0]["id"].as_str().unwrap()));
    world.clock.advance(STALENESS + Duration::from_secs(1));
    let answer = ann.get(&path).await;
    assert_eq!((answer.assert(200).header("x-cache"), answer.header("age")), ("stale", "601"));
    assert!(!answer.header("x-refresh-job").is_empty());
    world.work().await;
}

#[tokio::test]
async fn what_cannot_be_explained_says_why() {
    let (world, ann, report) = reported().await;
    let cluster = &report["clusters"][0];
    let path = world.path(&format!("/clusters/{}/explain", cluster["id"].as_str().unwrap()));
    let member = cluster["members"][0].as_str().unwrap();
    let hub = report["excluded"][0]["address"].as_str().unwrap();
    let stranger = format!("0x{}", "9".repeat(40));
    let alone = report["holders"].as_array().unwrap().iter().find(|holder| {
        holder["cluster"].is_null()
            && report["excluded"].as_array().unwrap().iter().all(|hub| hub["address"] != holder["address"])
    });
    let alone = alone.unwrap()["address"].as_str().unwrap();
    for (query, status, code) in [
        (format!("from={member}&to={stranger}"), 404, "not_a_holder"),
        (format!("from={hub}&to={member}"), 404, "excluded_holder"),
        (format!("from={member}&to={alone}"), 404, "not_in_cluster"),
        (format!("from={member}&to={member}"), 400, "same_address"),
        (format!("from={member}"), 400, "invalid_query"),
        (format!("from={member}&to=0x12"), 400, "invalid_query"),
        (format!("from={member}&to={hub}&top=0"), 400, "invalid_query"),
    ] {
        ann.get(&format!("{path}?{query}")).await.assert_problem(status, code);
    }
    let other = world.path(&format!("/clusters/{}/explain?from={member}&to={hub}", "0".repeat(64)));
    ann.get(&other).await.assert_problem(404, "unknown_cluster");
    for rest in ["/clusters/12", "/clusters/12/explain"] {
        let answer = ann.get(&world.path(rest)).await;
        answer.assert_problem(400, "invalid_path");
        assert_eq!(answer.json()["errors"][0]["expected"], "a SHA-256: 64 hex digits");
    }
    let nowhere = format!("/v1/tokens/nowhere/{}/clusters/{}", world.token, "0".repeat(64));
    ann.get(&nowhere).await.assert_problem(400, "unknown_chain");
    ann.get(&nowhere.replace("nowhere", CHAIN)).await.assert_problem(404, "unknown_cluster");
}

#[tokio::test]
async fn a_report_comes_in_the_words_of_bubblemaps_when_asked() {
    let (world, ann, report) = reported().await;
    let answer = ann.get(&world.path("/clusters?format=bubblemaps")).await;
    let map = answer.assert(200).json();
    assert_eq!(answer.header("x-cache"), "fresh");
    assert_eq!(map["metrics"]["scores"]["bubblemaps_score"], report["metrics"]["score"]);
    assert_eq!(map["nodes"]["top_holders"].as_array().unwrap().len(), report["holders"].as_array().unwrap().len());
    assert_eq!(map["clusters"][0]["holders"], report["clusters"][0]["members"]);
    assert_eq!(map["relationships"][0]["rel_type"], "GROUPED_TRANSFER");
    assert_eq!(ann.get(&world.path("/clusters?format=json")).await.assert(200).json(), report);
    for query in ["format=csv", "format=json&format=json", "format="] {
        ann.get(&world.path(&format!("/clusters?{query}"))).await.assert_problem(400, "invalid_query");
    }
}
