//! Rate limits of the whole application, as people meet them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use access::Strictness;
use futures::future::join_all;
use holdfast::{DataDir, Options, Server};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::accounts::PASSWORD;
use crate::world::{Answer, Person, World};

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

#[tokio::test]
async fn who_is_not_signed_in_is_counted_by_ip_and_an_ipv6_network_is_one() {
    let world = World::new().await;
    let version = async |ip: &str| world.anon().from(ip).get("/v1/version").await.status.as_u16();
    let mut taken = 0;
    for host in 1..=200 {
        taken += usize::from(version(&format!("2001:db8:7:7::{host:x}")).await == 200);
    }
    assert_eq!(taken, 120);
    assert_eq!(version("2001:db8:7:7:ffff::1").await, 429);
    assert_eq!(version("2001:db8:7:8::1").await, 200);
    assert_eq!(version("203.0.113.1").await, 200);
}

/// What a bot is held to: `ask(n)` sends its n-th request.
struct Held {
    /// So many pass at once.
    limit: usize,
    /// Seconds until the next does.
    retry_after: u64,
    /// The statuses of those that pass.
    passes: &'static [u16],
    /// Of a refusal: `RateLimit-Policy` and `RateLimit`.
    told: (&'static str, &'static str),
}

impl Held {
    /// Asks twice as often as allowed, then again when there is room for one.
    async fn check(&self, world: &World, ask: impl AsyncFn(usize) -> Answer) {
        let all = async |numbers: Range<usize>| join_all(numbers.map(|number| ask(number))).await;
        let answers = all(0..2 * self.limit).await;
        let (refused, passed): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 429);
        assert_eq!(passed.len(), self.limit, "{}", self.told.0);
        for answer in passed {
            assert!(self.passes.contains(&answer.status.as_u16()), "{}", answer.status);
        }
        for answer in refused {
            let problem = answer.assert_problem(429, "too_many_requests").json();
            assert_eq!(
                (&problem["retryAfter"], answer.header("retry-after")),
                (&json!(self.retry_after), &*self.retry_after.to_string())
            );
            assert_eq!((answer.header("ratelimit-policy"), answer.header("ratelimit")), self.told);
        }
        let passing = |answers: Vec<Answer>| answers.iter().filter(|answer| answer.status != 429).count();
        world.clock.advance(Duration::from_secs(self.retry_after) - Duration::from_millis(1));
        assert_eq!(passing(all(100..103).await), 0, "{}", self.told.0);
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(passing(all(103..106).await), 1, "{}", self.told.0);
    }
}

/// Where a bot is, and where it is not whatever it writes.
const BOTS: &str = "203.0.113.7";
const BENS: &str = "203.0.113.8";

impl World {
    /// The bot, which says it is somebody else in every way there is.
    fn bot(&self, number: usize) -> Person {
        let other = format!("198.51.100.{}", number % 250);
        let forwarded = format!("for={other}");
        let written = [
            ("x-forwarded-for", &*other),
            ("x-real-ip", &*other),
            ("forwarded", &*forwarded),
            ("cf-connecting-ip", &*other),
            ("true-client-ip", &*other),
        ];
        written.iter().fold(self.anon().from(BOTS), |bot, (name, value)| bot.saying(name, value))
    }

    /// One of many machines of a botnet.
    fn botnet(&self, number: usize) -> Person {
        self.anon().from(&format!("10.0.{}.{}", number / 250, number % 250))
    }
}

fn credentials(email: &str) -> Value {
    json!({ "email": email, "password": "not the password" })
}

#[tokio::test]
async fn a_bot_that_signs_in_with_many_addresses_is_held_by_its_ip() {
    let world = World::new().await;
    let told = (r#""sign-in";q=30;w=60"#, r#""sign-in";r=0;t=2"#);
    let held = Held { limit: 30, retry_after: 2, passes: &[401], told };
    let ask =
        async |number| world.bot(number).post("/v1/auth/signin", &credentials(&format!("{number}@example.org"))).await;
    held.check(&world, ask).await;
    let ben = world.anon().from(BENS).post("/v1/auth/signin", &credentials("0@example.org")).await;
    ben.assert_problem(401, "wrong_credentials");
    assert_eq!(ben.header("ratelimit"), r#""sign-in";r=29;t=2"#);
}

#[tokio::test]
async fn a_botnet_that_signs_in_with_one_address_is_held_by_the_address() {
    let world = World::new().await;
    // How much is left for an address is told to nobody.
    let held = Held { limit: 10, retry_after: 6, passes: &[401], told: (r#""sign-in";q=30;w=60"#, "") };
    let ask = async |number| world.botnet(number).post("/v1/auth/signin", &credentials("ann@example.org")).await;
    held.check(&world, ask).await;
    let other = world.botnet(0).post("/v1/auth/signin", &credentials("ben@example.org")).await;
    other.assert_problem(401, "wrong_credentials");
    // However it is written.
    let same = world.anon().from(BENS).post("/v1/auth/signin", &credentials(" ANN@Example.ORG")).await;
    same.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn a_bot_that_signs_up_is_held_by_its_ip_and_a_botnet_by_the_address() {
    let world = World::new().await;
    let code = world.first_member().await;
    let sign_up = |email: &str| json!({ "email": email, "password": PASSWORD, "referralCode": code });
    let told = (r#""sign-up";q=5;w=3600"#, r#""sign-up";r=0;t=720"#);
    let held = Held { limit: 5, retry_after: 720, passes: &[201], told };
    let ask =
        async |number| world.bot(number).post("/v1/auth/signup", &sign_up(&format!("{number}@example.org"))).await;
    held.check(&world, ask).await;
    world.anon().from(BENS).post("/v1/auth/signup", &sign_up("ben@example.org")).await.assert(201);

    let held = Held { told: (told.0, ""), ..held };
    let ask = async |number| world.botnet(number).post("/v1/auth/signup", &sign_up("ann@example.org")).await;
    held.check(&world, ask).await;
    assert!(world.letters_to("ann@example.org").await.len() <= 6, "the mailbox is not flooded");
    world.botnet(0).post("/v1/auth/signup", &sign_up("cat@example.org")).await.assert(201);
}

/// The n-th request about codes, each to another endpoint.
async fn ask_for_codes(person: &Person, number: usize, email: &str) -> Answer {
    let (path, body) = match number % 4 {
        0 => ("/v1/auth/confirm", json!({ "email": email, "code": "000000" })),
        1 => ("/v1/auth/confirm/resend", json!({ "email": email })),
        2 => ("/v1/auth/password/forgot", json!({ "email": email })),
        _ => ("/v1/auth/password/reset", json!({ "email": email, "code": "000000", "password": PASSWORD })),
    };
    person.post(path, &body).await
}

#[tokio::test]
async fn codes_asked_for_and_tried_are_held_together_by_the_address() {
    let world = World::new().await;
    let told = (r#""codes";q=30;w=900"#, "");
    let held = Held { limit: 5, retry_after: 180, passes: &[202, 400], told };
    held.check(&world, async |number| ask_for_codes(&world.botnet(number), number, "ann@example.org").await).await;
    for number in 0..4 {
        let other = ask_for_codes(&world.botnet(number), number, "ben@example.org").await;
        assert!([202, 400].contains(&other.status.as_u16()), "{}", other.status);
    }
}

#[tokio::test]
async fn a_bot_that_asks_for_codes_of_many_addresses_is_held_by_its_ip() {
    let world = World::new().await;
    let told = (r#""codes";q=30;w=900"#, r#""codes";r=0;t=30"#);
    let held = Held { limit: 30, retry_after: 30, passes: &[202, 400], told };
    let ask = async |number| ask_for_codes(&world.bot(number), number, &format!("{number}@example.org")).await;
    held.check(&world, ask).await;
    for number in 0..4 {
        let ben = ask_for_codes(&world.anon().from(BENS), number, &format!("{number}@example.org")).await;
        assert!([202, 400].contains(&ben.status.as_u16()), "{}", ben.status);
    }
}

#[tokio::test]
async fn a_mailbox_gets_no_more_letters_than_its_address_may_ask_for() {
    let world = World::new().await;
    let code = world.first_member().await;
    world.member("ann@example.org", &code).await;
    world.clock.advance(Duration::from_secs(3600));
    let sign_up = json!({ "email": "ann@example.org", "password": PASSWORD, "referralCode": code });
    let address = json!({ "email": "ann@example.org" });
    let before = world.letters_to("ann@example.org").await.len();
    let asked = (0..60).map(async |number| {
        let bot = world.botnet(number);
        match number % 3 {
            0 => bot.post("/v1/auth/signup", &sign_up).await,
            1 => bot.post("/v1/auth/password/forgot", &address).await,
            _ => bot.post("/v1/auth/confirm/resend", &address).await,
        }
    });
    join_all(asked).await;
    let letters = world.letters_to("ann@example.org").await.split_off(before);
    let count = |template| letters.iter().filter(|letter| *letter == template).count();
    assert!((1..=5).contains(&count("reset-password")), "{letters:?}");
    assert_eq!((count("account-exists"), letters.len()), (1, count("reset-password") + 1));
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
