use std::num::NonZeroU32;
use std::time::Duration;

use access::limits::{REFERRAL_VALIDITY_BY_IP, REFERRAL_VALIDITY_IN_ALL, SIGN_IN_BY_ADDRESS, SIGN_IN_BY_IP};
use access::{Clock, LimitsConfig, ManualClock, Strictness, Timestamp};
use async_trait::async_trait;
use axum::body::Body;
use axum::extract::FromRef;
use identity::{FetchError, JwksFetch, LocalIssuer};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use utoipa_axum::routes;

use super::*;
use crate::testing::{Answer, Log, request, send, served};
use crate::{Caller, Endpoint, Json};

#[derive(Clone)]
struct Home {
    verifier: Arc<Verifier>,
    limits: Limits,
}

impl FromRef<Home> for Arc<Verifier> {
    fn from_ref(home: &Home) -> Self {
        Self::clone(&home.verifier)
    }
}

impl FromRef<Home> for Limits {
    fn from_ref(home: &Home) -> Self {
        home.limits.clone()
    }
}

#[utoipa::path(get, path = "/me", responses((status = 200)))]
async fn get_me(caller: Caller) -> String {
    caller.username.clone()
}

#[utoipa::path(get, path = "/public", responses((status = 200)))]
async fn get_public() {}

#[utoipa::path(get, path = "/health", responses((status = 200)))]
async fn get_health() {}

#[utoipa::path(get, path = "/referral", responses((status = 200)))]
async fn get_referral() {}

#[utoipa::path(post, path = "/signin", responses((status = 200)))]
async fn sign_in(State(limits): State<Limits>, Json(address): Json<String>) -> Result<(), ApiError> {
    limits.admit(&[(SIGN_IN_BY_ADDRESS, &address)]).await?;
    Ok(())
}

struct Offline;

#[async_trait]
impl JwksFetch for Offline {
    async fn fetch(&self, _: &str) -> Result<String, FetchError> {
        Err(FetchError::Status(500))
    }
}

/// Endpoints with every sort of rule, and a clock that moves when told.
struct House {
    router: Router,
    clock: Arc<ManualClock>,
    issuer: LocalIssuer,
    _keys: TempDir,
}

fn house(strictness: Strictness) -> House {
    let keys = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::open(keys.path()).unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
    let seconds = Arc::clone(&clock);
    let now = Arc::new(move || seconds.now().seconds());
    let verifier = Verifier::new(vec![issuer.as_issuer(vec!["web".into()])], Arc::new(Offline), None, now).unwrap();
    let config = LimitsConfig { environment: "test".into(), secret: b"a secret of tests".to_vec(), strictness };
    let limits = Limits::new(config, None, Arc::clone(&clock) as _);
    let home = Home { verifier: Arc::new(verifier), limits };
    let referral = Endpoint::new("referrals-check-code", routes!(get_referral));
    let endpoints: [Endpoint<Home>; 5] = [
        Endpoint::new("people-get-me", routes!(get_me)),
        Endpoint::new("system-get-public", routes!(get_public)),
        Endpoint::new("system-get-health", routes!(get_health)).uncounted(),
        referral.counted(&[(REFERRAL_VALIDITY_BY_IP, By::Ip), (REFERRAL_VALIDITY_IN_ALL, By::All)]),
        Endpoint::new("auth-sign-in", routes!(sign_in)).counted(&[(SIGN_IN_BY_IP, By::Ip)]),
    ];
    let router = endpoints.into_iter().fold(Router::new(), |all, endpoint| all.merge(Router::from(endpoint)));
    let router = limited(router, home.limits.clone(), Arc::clone(&home.verifier));
    House { router: served(router.with_state(home)), clock, issuer, _keys: keys }
}

fn strict() -> House {
    house(Strictness::AsWritten)
}

impl House {
    fn token(&self, user: &str) -> String {
        format!("Bearer {}", self.issuer.issue(user, &[], "web", 3600, self.clock.now().seconds()).unwrap())
    }

    async fn get(&self, path: &str, ip: &str, token: Option<&str>) -> Answer {
        let asked = request("GET", path).extension(ClientIp::new(ip.parse().unwrap()));
        let asked = token.into_iter().fold(asked, |asked, token| asked.header("authorization", token));
        send(&self.router, asked.body(Body::empty()).unwrap()).await
    }

    async fn sign_in(&self, ip: &str, address: &str) -> Answer {
        let asked = request("POST", "/signin").extension(ClientIp::new(ip.parse().unwrap()));
        let asked = asked.header("content-type", "application/json");
        send(&self.router, asked.body(Body::from(json!(address).to_string())).unwrap()).await
    }

    /// How many of so many are not refused for being too many.
    async fn taken(&self, asked: usize, path: &str, ip: &str, token: Option<&str>) -> usize {
        let mut taken = 0;
        for _ in 0..asked {
            taken += usize::from(self.get(path, ip, token).await.status != StatusCode::TOO_MANY_REQUESTS);
        }
        taken
    }
}

const ANNS: &str = "203.0.113.1";
const BENS: &str = "203.0.113.2";

#[track_caller]
fn assert_too_many(answer: &Answer, seconds: u32) {
    let detail = format!("Too many requests. The next one is taken in {seconds} s.");
    answer.assert_problem_with(429, "too_many_requests", &detail, &json!({"retryAfter": seconds}));
    assert_eq!(answer.header("retry-after"), Some(&*seconds.to_string()));
}

#[tokio::test]
async fn an_answer_says_how_many_more_may_be_asked() {
    let house = strict();
    let ann = house.token("ann");
    let answer = house.get("/me", ANNS, Some(&ann)).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ann"));
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""default";q=120;w=60"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""default";r=119;t=1"#));
    assert_eq!(house.taken(118, "/me", ANNS, Some(&ann)).await, 118);
    let last = house.get("/me", ANNS, Some(&ann)).await;
    assert_eq!(last.status, StatusCode::OK);
    assert_eq!(last.header("ratelimit"), Some(r#""default";r=0;t=1"#));
}

#[tokio::test]
async fn over_the_limit_the_answer_is_429_until_there_is_room() {
    let house = strict();
    let ann = house.token("ann");
    assert_eq!(house.taken(200, "/me", ANNS, Some(&ann)).await, 120);
    let answer = house.get("/me", ANNS, Some(&ann)).await;
    assert_too_many(&answer, 1);
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""default";q=120;w=60"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""default";r=0;t=1"#));
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.taken(10, "/me", ANNS, Some(&ann)).await, 2);
    house.clock.advance(Duration::from_secs(60));
    let ann = house.token("ann");
    assert_eq!(house.taken(200, "/me", ANNS, Some(&ann)).await, 120);
}

#[tokio::test]
async fn who_is_signed_in_is_counted_wherever_they_are_and_whatever_they_ask() {
    let house = strict();
    let (ann, ben) = (house.token("ann"), house.token("ben"));
    let anns_other = house.token("ann");
    assert_eq!(house.taken(60, "/me", ANNS, Some(&ann)).await, 60);
    assert_eq!(house.taken(100, "/public", BENS, Some(&anns_other)).await, 60);
    assert_eq!(house.taken(200, "/me", ANNS, Some(&ben)).await, 120, "ben, from where ann is");
    assert_eq!(house.taken(200, "/public", ANNS, None).await, 120, "and somebody there who is not signed in");
}

#[tokio::test]
async fn a_refused_token_counts_for_the_ip() {
    let house = strict();
    let ann = house.token("ann");
    for number in 0..120 {
        let forged = if number % 2 == 0 { "Bearer nonsense".to_owned() } else { format!("Bearer {number}.e30.AA") };
        assert_eq!(house.get("/me", BENS, Some(&forged)).await.status, StatusCode::FORBIDDEN);
    }
    assert_too_many(&house.get("/me", BENS, Some("Bearer nonsense")).await, 1);
    assert_too_many(&house.get("/me", BENS, None).await, 1);
    assert_too_many(&house.get("/public", BENS, None).await, 1);
    assert_eq!(house.get("/me", BENS, Some(&ann)).await.status, StatusCode::OK);
    assert_eq!(house.get("/public", ANNS, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refusal_for_want_of_a_token_is_counted_and_says_so() {
    let answer = strict().get("/me", ANNS, None).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.header("ratelimit"), Some(r#""default";r=119;t=1"#));
}

#[tokio::test]
async fn what_is_uncounted_is_always_answered() {
    let house = strict();
    assert_eq!(house.taken(1000, "/health", ANNS, None).await, 1000);
    let answer = house.get("/health", ANNS, None).await;
    assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), (None, None));
    assert_eq!(house.taken(1, "/public", ANNS, None).await, 1);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_not_counted() {
    let house = strict();
    for _ in 0..200 {
        assert_eq!(house.get("/nowhere", ANNS, None).await.status, StatusCode::NOT_FOUND);
        assert_eq!(house.get("/signin", ANNS, None).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn one_rule_for_each_ip_and_one_for_all_hold_together() {
    let house = strict();
    let answer = house.get("/referral", ANNS, None).await;
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""referral-validity";q=10;w=60"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""referral-validity";r=9;t=6"#));
    // What is refused for one IP is not taken from the others.
    assert_eq!(house.taken(5000, "/referral", ANNS, None).await, 9);
    let mut taken = 0;
    for host in 0..120 {
        taken += house.taken(10, "/referral", &format!("198.51.100.{host}"), None).await;
    }
    assert_eq!(taken, 990);
    let refused = house.get("/referral", BENS, None).await;
    assert_too_many(&refused, 1);
    assert_eq!(refused.header("ratelimit"), None, "how much others ask is not told");
    assert_eq!(refused.header("ratelimit-policy"), Some(r#""referral-validity";q=10;w=60"#));
}

#[tokio::test]
async fn a_bot_with_many_addresses_and_one_ip_is_held() {
    let house = strict();
    let mut taken = 0;
    for number in 0..200 {
        taken += usize::from(house.sign_in(ANNS, &format!("{number}@example.org")).await.status == StatusCode::OK);
    }
    assert_eq!(taken, 30);
    assert_eq!(house.sign_in(BENS, "ben@example.org").await.status, StatusCode::OK);
    house.clock.advance(Duration::from_secs(2));
    assert_eq!(house.sign_in(ANNS, "ann@example.org").await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_address_asked_from_many_ips_is_held() {
    let house = strict();
    let mut taken = 0;
    for host in 0..200 {
        let answer = house.sign_in(&format!("198.51.100.{host}"), "ann@example.org").await;
        taken += usize::from(answer.status == StatusCode::OK);
    }
    assert_eq!(taken, 10);
    let refused = house.sign_in(BENS, "ann@example.org").await;
    assert_too_many(&refused, 6);
    assert_eq!(refused.header("ratelimit-policy"), Some(r#""sign-in";q=30;w=60"#));
    assert_eq!(refused.header("ratelimit"), None, "its room would say to come back sooner than retry-after");
    assert_eq!(house.sign_in(BENS, "ben@example.org").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_ip_is_what_the_host_says_and_no_header() {
    let house = strict();
    for number in 0..200_u8 {
        let asked = ["x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip"]
            .iter()
            .fold(request("GET", "/public"), |asked, name| asked.header(*name, format!("192.0.2.{number}")));
        let asked = asked.extension(ClientIp::new(ANNS.parse().unwrap())).body(Body::empty()).unwrap();
        let expected = if number < 120 { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(send(&house.router, asked).await.status, expected);
    }
}

#[tokio::test]
async fn who_has_no_known_ip_is_counted_together() {
    let house = strict();
    let mut taken = 0;
    for _ in 0..200 {
        let asked = request("GET", "/public").body(Body::empty()).unwrap();
        taken += usize::from(send(&house.router, asked).await.status == StatusCode::OK);
    }
    assert_eq!(taken, 120);
    assert_eq!(house.taken(1, "/public", ANNS, None).await, 1);
}

#[tokio::test]
async fn limits_can_be_raised_or_switched_off() {
    let raised = house(Strictness::Times(NonZeroU32::new(2).unwrap()));
    assert_eq!(raised.taken(500, "/public", ANNS, None).await, 240);
    let off = house(Strictness::Off);
    assert_eq!(off.taken(500, "/public", ANNS, None).await, 500);
    let ann = off.token("ann");
    let answer = off.get("/me", ANNS, Some(&ann)).await;
    assert_eq!((answer.text(), answer.header("ratelimit")), ("ann", None));
}

#[tokio::test]
async fn a_router_without_limits_counts_nothing() {
    let router = served(Endpoint::<()>::new("system-get-public", routes!(get_public)).into());
    for _ in 0..200 {
        let asked = request("GET", "/public").body(Body::empty()).unwrap();
        assert_eq!(send(&router, asked).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn no_log_line_names_who_was_refused() {
    let (log, _guard) = Log::capture();
    let house = strict();
    for _ in 0..40 {
        house.sign_in(ANNS, "ann@example.org").await;
    }
    assert!(log.text().contains("too_many_requests"));
    assert!(!log.text().contains("example.org") && !log.text().contains(ANNS), "{}", log.text());
    assert_eq!(format!("{:?}", ClientIp::new(ANNS.parse().unwrap())), "ClientIp");
}

fn ip(text: &str) -> ClientIp {
    ClientIp::new(text.parse().unwrap())
}

#[test]
fn an_ipv6_address_stands_for_its_64() {
    assert_eq!(ip("2001:db8:1:2:3:4:5:6"), ip("2001:db8:1:2::"));
    assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
    assert_eq!(ip("2001:db8:1:2:3:4:5:6").key(), "ip 2001:db8:1:2::");
    assert_eq!(ip("::ffff:203.0.113.1"), ip(ANNS), "an IPv4 address in IPv6 dress");
    assert_ne!(ip(ANNS), ip(BENS));
}

proptest! {
    #[test]
    fn addresses_are_one_client_when_their_first_64_bits_are(network: u64, other: u64, hosts: (u64, u64)) {
        let address = |network: u64, host: u64| {
            ClientIp::new(IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host))))
        };
        // Below ::/64 are IPv4 addresses written as IPv6.
        prop_assume!(network != 0 && other != 0);
        prop_assert_eq!(address(network, hosts.0), address(network, hosts.1));
        prop_assert_eq!(address(network, hosts.0) == address(other, hosts.1), network == other);
    }
}
