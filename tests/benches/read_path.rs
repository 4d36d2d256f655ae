//! A cluster report over the whole read path in one process, side by side with the least that can send the same bytes.

use std::time::Duration;

use access::messages::REFRESH_CLUSTERS;
use access::{Queue, Stamped, Strictness};
use api::Edge;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use criterion::{Criterion, criterion_group, criterion_main};
use holdfast::{DataDir, Local, Options, SAMPLE_CHAIN, local_app, sample_token};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokens::ClusterReport;
use tokio::runtime::Runtime;
use tower::ServiceExt;

async fn ask(router: &Router, path: &str, token: &str) -> (StatusCode, usize) {
    let request = Request::get(path).header("authorization", format!("Bearer {token}")).body(Body::empty());
    let response = router.clone().oneshot(request.expect("a fixed path")).await.expect("routers do not fail");
    let status = response.status();
    (status, response.into_body().collect().await.expect("a whole body").to_bytes().len())
}

/// The sample's report made, in a folder that lasts as long as the benchmark.
async fn prepare(data: &std::path::Path, staleness: Duration) -> (Local, Router, String, String) {
    let mut options = Options::new(DataDir::open(data).expect("a temporary folder"));
    options.settings.reports.staleness = staleness;
    options.settings.limits = Strictness::Off;
    let local = local_app(&options).await.expect("a new folder");
    let router = holdfast::router(&local.app, &Edge::default()).expect("the default edge");
    let token = local.token("ann").expect("a name");
    let path = format!("/v1/tokens/{SAMPLE_CHAIN}/{}/clusters", sample_token());
    assert_eq!(ask(&router, &path, &token).await.0, StatusCode::ACCEPTED);
    let mut taken = local.queue.receive(&REFRESH_CLUSTERS, 1, Duration::ZERO).await.expect("in process");
    let workers = lambdas::workers();
    let worker = workers.iter().find(|worker| *worker.queue == REFRESH_CLUSTERS).expect("it has a worker");
    let delivery = taken.pop().expect("one message");
    assert!(worker::process(worker, &local.app, vec![delivery], Duration::from_secs(120)).await.is_empty());
    (local, router, token, path)
}

fn read_path(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let dirs = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let (local, router, token, path) = runtime.block_on(prepare(dirs[0].path(), Duration::from_secs(3600)));
    let (_stale, stale_router, stale_token, _) = runtime.block_on(prepare(dirs[1].path(), Duration::ZERO));
    let key = format!("{SAMPLE_CHAIN}/{}", sample_token());
    let body = runtime.block_on(async {
        let report = local.app.dqo::<ClusterReport>(local.app.settings.reports).peek(&key).await;
        report.expect("readable").expect("just made").stamped.value.0.get().to_owned()
    });
    let bytes = bytes::Bytes::from(body);
    let bare = Router::new().route(&path, get(move || std::future::ready(bytes.clone())));

    let mut group = criterion.benchmark_group("report");
    group.bench_function("bare axum route, the same bytes", |bench| {
        bench.to_async(&runtime).iter(|| ask(&bare, &path, &token));
    });
    group.bench_function("fresh, in this process", |bench| {
        bench.to_async(&runtime).iter(|| ask(&router, &path, &token));
    });
    group.bench_function("stale, its refresh queued", |bench| {
        bench.to_async(&runtime).iter(|| ask(&stale_router, &path, &stale_token));
    });
    group.bench_function("not cached, from the table", |bench| {
        bench.to_async(&runtime).iter(async || {
            local.app.rao.delete::<Stamped<ClusterReport>>(&key).await;
            ask(&router, &path, &token).await
        });
    });
    group.bench_function("nothing yet, its job queued", |bench| {
        let path = path.replace("/clusters", "/clusters?top=17");
        bench.to_async(&runtime).iter(|| ask(&router, &path, &token));
    });
    group.finish();
}

criterion_group!(benches, read_path);
criterion_main!(benches);
