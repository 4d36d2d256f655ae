//! `/v1/tokens/{chain}/{address}/map` and its drawing and data.

use serde_json::Value;

use crate::world::{Answer, World};

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_browser_without_a_token_gets_a_page_without_data() {
    let world = World::new().await;
    let answer = world.anon().get(&world.path("/map")).await;
    answer.assert(200);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert_eq!(answer.header("content-security-policy"), map::CONTENT_SECURITY_POLICY.as_str());
    assert_eq!((answer.header("vary"), answer.header("x-content-type-options")), ("authorization", "nosniff"));
    let page = text(&answer);
    assert!(page.contains("data-state=\"none\"") && page.contains("id=\"data\">null</script>"));
    world.bearer("no.valid.token").get(&world.path("/map")).await.assert(403);
    world.anon().get("/v1/tokens/nowhere/0x0000000000000000000000000000000000000001/map").await.assert(400);
}

#[tokio::test]
async fn a_map_is_queued_and_then_there_as_page_drawing_and_data() {
    let world = World::new().await;
    let ann = world.ann();
    let waiting = ann.get(&world.path("/map")).await;
    waiting.assert(202);
    assert!(waiting.header("location").starts_with("/v1/jobs/"));
    assert!(text(&waiting).contains("data-state=\"queued\""));
    for rest in ["/map.svg", "/map.json"] {
        let told = ann.get(&world.path(rest)).await.assert(202).json();
        assert_eq!(told["job"]["job"], waiting.header("location").trim_start_matches("/v1/jobs/"));
    }
    world.work().await;

    let report = ann.get(&world.path("/clusters")).await.assert(200).json();
    let data = ann.get(&world.path("/map.json")).await.assert(200).json();
    let count = |list: &Value| list.as_array().unwrap().len();
    assert_eq!(count(&data["circles"]), count(&report["holders"]));
    assert_eq!(count(&data["clusters"]), count(&report["clusters"]));
    assert_eq!(data["circles"][0]["address"], report["holders"][0]["address"]);

    let drawing = ann.get(&world.path("/map.svg")).await;
    assert_eq!(drawing.assert(200).header("content-type"), "image/svg+xml");
    assert!(text(&drawing).starts_with("<svg "));
    let page = ann.get(&world.path("/map")).await;
    assert_eq!(page.assert(200).header("cache-control"), "private, no-cache");
    assert!(text(&page).contains("data-state=\"map\""));
    ann.get(&world.path("/map.json?depth=3")).await.assert_problem(400, "invalid_query");
}
