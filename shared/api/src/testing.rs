//! What the tests speak with: a router behind the edge, its answers, its log lines and its metrics.

use std::io;
use std::sync::{Arc, Mutex, Once};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use serde_json::{Value, json};
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use crate::{Edge, edge};

/// The id of every request that brings none.
pub(crate) const REQUEST_ID: &str = "made-id-1";

pub(crate) fn behind(config: &Edge, router: Router) -> Router {
    edge(router, config, Arc::new(|| REQUEST_ID.to_owned())).unwrap()
}

pub(crate) fn served(router: Router) -> Router {
    behind(&Edge::default(), router)
}

pub(crate) fn request(method: &str, uri: &str) -> Builder {
    Request::builder().method(method).uri(uri)
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The whole problem, with the headers every problem has.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str, detail: &str) {
        self.assert_problem_with(status, code, detail, &json!({}));
    }

    #[track_caller]
    pub(crate) fn assert_problem_with(&self, status: u16, code: &str, detail: &str, more: &Value) {
        let title = StatusCode::from_u16(status).unwrap().canonical_reason();
        let mut expected = json!({
            "title": title, "status": status, "status_code": status, "code": code, "detail": detail,
            "requestId": REQUEST_ID,
        });
        expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(self.json(), expected);
        assert_eq!(self.status.as_u16(), status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-request-id"), Some(REQUEST_ID));
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) async fn get(router: &Router, uri: &str) -> Answer {
    send(router, request("GET", uri).body(Body::empty()).unwrap()).await
}

pub(crate) async fn post(router: &Router, uri: &str, body: &str) -> Answer {
    let json = request("POST", uri).header("content-type", "application/json");
    send(router, json.body(Body::from(body.to_owned())).unwrap()).await
}

/// What this thread logs while it lives, down to traces.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        // Tracing remembers for each place that logs whether anybody listens, for all threads. Somebody always does,
        // so that a test without a log cannot silence a place for one with.
        static LISTENER: Once = Once::new();
        LISTENER.call_once(|| {
            let silent = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(io::sink);
            tracing::subscriber::set_global_default(silent.finish()).unwrap();
        });
        let log = Self::default();
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
        let guard = tracing::subscriber::set_default(lines.json().flatten_event(true).without_time().finish());
        (log, guard)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// This crate's own lines, without what is the same in all.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.text();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let own = lines.filter(|line| line["target"].as_str().is_some_and(|target| target.starts_with("api")));
        own.map(|mut line| {
            let fields = line.as_object_mut().unwrap();
            fields.remove("target");
            line
        })
        .collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Everything recorded, as `name{label=value,…}` and value.
#[derive(Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<Vec<(String, f64)>>>);

impl Recorded {
    /// The sorted names of what was recorded.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    pub(crate) fn value(&self, name: &str) -> f64 {
        self.0.lock().unwrap().iter().filter(|(key, _)| key == name).map(|(_, value)| value).sum()
    }

    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Series { name: format!("{}{{{}}}", key.name(), labels.join(",")), all: self.clone() })
    }
}

struct Series {
    name: String,
    all: Recorded,
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.record(f64::from(u32::try_from(value).unwrap()));
    }

    fn absolute(&self, value: u64) {
        self.increment(value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.all.0.lock().unwrap().push((self.name.clone(), value));
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}
