//! Rate limits of the whole application, as people meet them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use access::limits::{CODES_BY_ADDRESS, SIGN_IN_BY_ADDRESS, SIGN_IN_BY_IP, SIGN_UP_BY_IP};
use access::{Strictness, TooMany};
use api::{ClientIp, Edge};
use axum::Router;
use axum::body::Body;
use holdfast::{DataDir, Options, Server};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tower::ServiceExt;

use crate::world::{Person, World};

async fn taken(person: &Person, path: &str, asked: usize) -> usize {
    let mut taken = 0;
    for _ in 0..asked {
        taken += usize::from(person.get(path).await.status != StatusCode::TOO_MANY_REQUESTS);
    }
    taken
}

#[tokio::test]
async fn a_caller_has_120_requests_a_minute_over_all_endpoints() {
    let world = World::new().await;
    let ann = world.ann();
    let first = ann.get("/v1/chains").await;
    assert_eq!(first.assert(200).header("ratelimit-policy"), r#""default";q=120;w=60"#);
    assert_eq!(first.header("ratelimit"), r#""default";r=119;t=1"#);
    assert_eq!(taken(&ann, "/v1/chains", 59).await, 59);
    assert_eq!(taken(&ann, "/v1/version", 200).await, 60);
    let refused = ann.get(&world.path("")).await;
    refused.assert_problem(429, "too_many_requests");
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), ("1", r#""default";r=0;t=1"#));
    assert_eq!(refused.json()["retryAfter"], 1);
    world.person("ben").get("/v1/chains").await.assert(200);

    world.clock.advance(Duration::from_secs(1));
    assert_eq!(taken(&ann, "/v1/chains", 10).await, 2);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(taken(&ann, "/v1/chains", 200).await, 120);
}

#[tokio::test]
async fn what_the_deployment_says_of_itself_is_never_refused() {
    let world = World::new().await;
    let anon = world.anon();
    assert_eq!(taken(&anon, "/v1/version", 200).await, 120);
    for path in ["/healthcheck", "/openapi.json", "/docs"] {
        assert_eq!(taken(&anon, path, 150).await, 150, "{path}");
        let answer = anon.get(path).await;
        assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), ("", ""), "{path}");
    }
}

async fn version_for(router: &Router, ip: &str) -> StatusCode {
    let asked = Request::get("/v1/version").extension(ClientIp::new(ip.parse().unwrap()));
    router.clone().oneshot(asked.body(Body::empty()).unwrap()).await.unwrap().status()
}

#[tokio::test]
async fn who_is_not_signed_in_is_counted_by_ip_and_an_ipv6_network_is_one() {
    let world = World::new().await;
    let router = holdfast::router(&world.app, &Edge::default()).unwrap();
    let mut taken = 0;
    for host in 1..=200 {
        taken += usize::from(version_for(&router, &format!("2001:db8:7:7::{host:x}")).await == StatusCode::OK);
    }
    assert_eq!(taken, 120);
    assert_eq!(version_for(&router, "2001:db8:7:7:ffff::1").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(version_for(&router, "2001:db8:7:8::1").await, StatusCode::OK);
    assert_eq!(version_for(&router, "203.0.113.1").await, StatusCode::OK);
}

/// As a sign-in asks: for the IP before anything is read, then for the address.
async fn sign_in(world: &World, ip: &str, address: &str) -> Result<(), TooMany> {
    let ip = ClientIp::new(ip.parse().unwrap()).key();
    world.app.limits.admit(&[(SIGN_IN_BY_IP, &ip)]).await?;
    world.app.limits.admit(&[(SIGN_IN_BY_ADDRESS, address)]).await
}

#[tokio::test]
async fn a_bot_with_many_addresses_and_one_with_many_ips_are_both_held() {
    let world = World::new().await;
    let mut from_one_ip = 0;
    for number in 0..500 {
        from_one_ip += usize::from(sign_in(&world, "203.0.113.1", &format!("{number}@example.org")).await.is_ok());
    }
    assert_eq!(from_one_ip, 30);
    let mut for_one_address = 0;
    for number in 0..500 {
        let ip = format!("198.51.{}.{}", number / 250, number % 250);
        for_one_address += usize::from(sign_in(&world, &ip, "ann@example.org").await.is_ok());
    }
    assert_eq!(for_one_address, 10);
    assert_eq!(sign_in(&world, "192.0.2.1", "ben@example.org").await, Ok(()));
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(sign_in(&world, "192.0.2.1", "ann@example.org").await, Ok(()));
}

#[tokio::test]
async fn codes_and_sign_ups_are_held_for_as_long_as_written() {
    let world = World::new().await;
    for (rule, interval) in [(CODES_BY_ADDRESS, 180), (SIGN_UP_BY_IP, 720)] {
        for _ in 0..5 {
            assert_eq!(world.app.limits.admit(&[(rule, "somebody")]).await, Ok(()));
        }
        let retry_after = Duration::from_secs(interval);
        let refused = TooMany { rule: rule.name, retry_after };
        assert_eq!(world.app.limits.admit(&[(rule, "somebody")]).await, Err(refused));
        world.clock.advance(retry_after);
        assert_eq!(world.app.limits.admit(&[(rule, "somebody")]).await, Ok(()));
    }
}

/// The status of one request over a socket whose own address is `from`.
async fn version_over_socket(server: SocketAddr, from: Ipv4Addr, forwarded_for: IpAddr) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let head = format!(
        "GET /v1/version HTTP/1.1\r\nhost: h\r\nx-forwarded-for: {forwarded_for}\r\nforwarded: for={forwarded_for}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_server_counts_by_who_connects_and_not_by_what_they_write() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(DataDir::open(dir.path()).unwrap());
    assert_eq!(options.settings.limits, Strictness::AsWritten, "limits are on unless switched off");
    let server = Server::start(options, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let (address, other) = (server.address, Ipv4Addr::new(127, 0, 0, 2));
    // Two come back each second, so it takes more than 120.
    let mut refused = false;
    for number in 0..5000 {
        let written = IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + number));
        refused = version_over_socket(address, Ipv4Addr::LOCALHOST, written).await == 429;
        if refused {
            break;
        }
    }
    assert!(refused);
    assert_eq!(version_over_socket(address, other, IpAddr::V4(Ipv4Addr::LOCALHOST)).await, 200);
    server.run_until(async {}).await.unwrap();
}
