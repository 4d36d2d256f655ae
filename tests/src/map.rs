//! `/v1/tokens/{chain}/{address}/map` and its drawing and data.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use access::Strictness;
use holdfast::{DataDir, Options, SAMPLE_CHAIN, Server, sample_token};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::world::{Answer, World};

/// Where `cargo xtask venv` installs the browser's driver.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/map.py");

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

/// The page on a server whose workers run, with all that `browser/map.py` does there: signing in, waiting, reading,
/// searching, by keys, mouse and finger, for other reports and other times, and what is said when something fails.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_in_a_browser_what_its_readers_expect() {
    assert!(Path::new(PYTHON).exists(), "no driver of a browser in target/venv: run `cargo xtask venv`");
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(DataDir::open(dir.path()).unwrap());
    // One reader who does in half a minute what others do in an hour.
    options.settings.limits = Strictness::Off;
    let server = Server::start(options, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let (address, token) = (server.address, server.local().token("ann").unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run_until(async { drop(stopped.await) }));

    let url = format!("http://{address}/v1/tokens/{SAMPLE_CHAIN}/{}/map", sample_token());
    let looked = Command::new(PYTHON).args([SCRIPT, &url, &token]).kill_on_drop(true).output().await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&looked.stdout), String::from_utf8_lossy(&looked.stderr));
    assert!(looked.status.success(), "{told}{errors}");
    if told.starts_with("skipped") {
        // Not captured as what a test prints is: who reads the results should know.
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        return;
    }
    assert!(told.lines().count() >= 7 && told.contains("the map fits a phone"), "{told}");
}
