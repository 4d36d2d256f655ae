//! What stands between clients and the table engine, and lets a process die at any of its calls.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use access::{Aws, AwsConfig, Credentials, Roots};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Stands between clients and engine, counts calls, and can stop one for ever: before the engine sees it, or when the
/// engine has done it and nobody knows yet. Whoever asked is then as good as dead.
pub(crate) struct Proxy {
    address: SocketAddr,
    calls: AtomicUsize,
    stop: Mutex<Option<(usize, Moment)>>,
    pub(crate) stopped: Notify,
    engine: String,
    client: reqwest::Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
    /// The engine has done it, whoever asked is told that it failed, and lives.
    Lost,
}

impl Proxy {
    pub(crate) async fn start(engine: &Aws) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            calls: AtomicUsize::new(0),
            stop: Mutex::new(None),
            stopped: Notify::new(),
            engine: engine.sdk_config().endpoint_url().unwrap().to_owned(),
            client: reqwest::Client::builder().no_gzip().no_proxy().build().unwrap(),
        });
        let router = Router::new().fallback(Self::forward).with_state(Arc::clone(&proxy));
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    pub(crate) fn aws(&self) -> Aws {
        Aws::new(AwsConfig {
            region: "eu-west-2".into(),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: Credentials::new("local", "local", None, None, "proxy"),
            roots: Roots::System,
        })
    }

    async fn forward(State(proxy): State<Arc<Self>>, request: Request) -> Response {
        let call = proxy.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let stop = proxy.stop.lock().unwrap().filter(|(at, _)| *at == call).map(|(_, moment)| moment);
        if stop == Some(Moment::Before) {
            return proxy.hang().await;
        }
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let asked = proxy.client.request(parts.method, format!("{}{}", proxy.engine, parts.uri));
        let answer = asked.headers(parts.headers).body(body).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.unwrap();
        if stop == Some(Moment::After) {
            return proxy.hang().await;
        }
        if stop == Some(Moment::Lost) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    async fn hang(&self) -> Response {
        self.stopped.notify_one();
        std::future::pending().await
    }

    /// Counts calls from here on, and stops this one.
    pub(crate) fn stop(&self, at: usize, moment: Moment) {
        self.calls.store(0, Ordering::SeqCst);
        *self.stop.lock().unwrap() = Some((at, moment));
    }

    /// How many calls there were since the last [`Proxy::stop`].
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many calls this makes.
    pub(crate) async fn count<T>(&self, operation: impl Future<Output = T>) -> usize {
        self.stop(usize::MAX, Moment::Before);
        operation.await;
        self.calls()
    }
}
