//! Whether the time of an answer tells if an address has an account: sign-up, sign-in and both ways to ask for a code,
//! measured at a client of the local server. `-- --write` keeps the result as docs/benchmarks/oracle.md.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;

use access::{Clock, EmailAddress, Strictness, SystemClock};
use app::App;
use futures::future::join_all;
use holdfast::{DataDir, Options, Server};
use identity::{NewUser, Password};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

/// So many of each kind of address are asked about at each endpoint, each address once.
const TRIES: usize = 200;
/// Side by side at each endpoint. Together they leave the processors idle most of the time.
const LANES: usize = 2;
const PASSWORD: &str = "a tortoise on the windowsill";
const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks/oracle.md");

const KINDS: [&str; 3] = ["confirmed", "unconfirmed", "unknown"];
const UNKNOWN: usize = 2;

/// One question to one endpoint.
struct Endpoint {
    path: &'static str,
    status: u16,
    /// What is asked of an address; the rest of the body.
    rest: Value,
}

/// Milliseconds, sorted.
type Times = Vec<f64>;

impl Endpoint {
    /// For each kind of address, how long answers took.
    async fn measure(&self, url: &str, number: usize) -> [Times; 3] {
        let client = Client::builder().no_gzip().no_proxy().build().expect("no TLS is needed");
        // The connections are there before anything is measured.
        join_all((0..LANES).map(|_| client.get(format!("{url}/healthcheck")).send())).await;
        let lanes = (0..LANES).map(async |lane| {
            let mut times: [Times; 3] = Default::default();
            for round in (lane..TRIES).step_by(LANES) {
                // In turn, and each first as often as the others: what else the machine does meets all alike.
                for place in 0..KINDS.len() {
                    let kind = (place + round / LANES) % KINDS.len();
                    let mut body = self.rest.clone();
                    body["email"] = json!(address(KINDS[kind], number, round));
                    let request = client.post(format!("{url}{}", self.path)).json(&body).build().expect("a request");
                    let started = Instant::now();
                    let answer = client.execute(request).await.expect("an answer");
                    let status = answer.status();
                    answer.bytes().await.expect("a whole answer");
                    times[kind].push(started.elapsed().as_secs_f64() * 1e3);
                    assert_eq!(status, self.status, "{} of {}", self.path, KINDS[kind]);
                }
            }
            times
        });
        let mut times: [Times; 3] = Default::default();
        for lane in join_all(lanes).await {
            for (all, some) in times.iter_mut().zip(lane) {
                all.extend(some);
            }
        }
        for times in &mut times {
            times.sort_by(f64::total_cmp);
        }
        times
    }
}

fn address(kind: &str, endpoint: usize, number: usize) -> String {
    format!("{kind}-{endpoint}-{number}@example.org")
}

/// The accounts that are asked about, each endpoint its own, and a code to sign up with.
async fn people(app: &App, endpoints: usize) -> String {
    let password = || Password::new(PASSWORD).expect("long enough");
    for endpoint in 0..endpoints {
        let accounts = (0..TRIES).map(async |number| {
            let email = |kind| EmailAddress::new(&address(kind, endpoint, number)).expect("an address");
            let confirmed = NewUser { email: email(KINDS[0]), password: password(), password_is_temporary: false };
            app.users.create_user(&confirmed).await.expect("a new account");
            app.users.sign_up(&email(KINDS[1]), &password()).await.expect("a new account");
        });
        join_all(accounts).await;
    }
    app.members.create_user("inviter").await.expect("a new member");
    let inviter = app.members.find("inviter").await.expect("readable").expect("just made");
    inviter.referral_code.to_string()
}

/// The value below which this share of all is.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among some hundred")]
    let place = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[place]
}

/// The two-sample Kolmogorov–Smirnov statistic, the greatest distance of the two empirical distributions, and how
/// probable one as great is when both are the same: asymptotically, with Stephens's correction for finite samples.
fn kolmogorov_smirnov(one: &[f64], other: &[f64]) -> (f64, f64) {
    let below = |sorted: &[f64], value: f64| sorted.partition_point(|time| *time <= value) as f64 / sorted.len() as f64;
    let distances = one.iter().chain(other).map(|value| (below(one, *value) - below(other, *value)).abs());
    let distance = distances.fold(0.0, f64::max);
    let (one, other) = (one.len() as f64, other.len() as f64);
    let size = (one * other / (one + other)).sqrt();
    let lambda = (size + 0.12 + 0.11 / size) * distance;
    if lambda < 0.2 {
        return (distance, 1.0);
    }
    let terms = (1..=100).map(|term| {
        let term = f64::from(term);
        let sign = if term % 2.0 == 0.0 { -1.0 } else { 1.0 };
        sign * (-2.0 * (term * lambda).powi(2)).exp()
    });
    (distance, (2.0 * terms.sum::<f64>()).clamp(0.0, 1.0))
}

fn report(measured: &[(&Endpoint, [Times; 3])], date: &str) -> String {
    let mut page = format!(
        "# What the time of an answer tells of an address\n\n\
         `cargo bench -p it --bench oracle`: the local server with its real cost of hashing, asked over loopback about \
         {TRIES} addresses of each kind at each endpoint, each once, in turn. Times are milliseconds at the client; \
         Δ is the difference of the medians to *unknown*, *D* the two-sample Kolmogorov–Smirnov statistic against \
         *unknown* and *p* how probable one as great is when the address makes no difference. With {} comparisons the \
         smallest p should be about {:.2}; below {:.4} (0.05 over all of them) the time tells.\n\n\
         Two shared cores of a virtual machine, {date}.\n\n\
         | endpoint | address | p5 | p50 | p95 | max | Δ p50 | D | p |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        2 * measured.len(),
        1.0 / (2.0 * measured.len() as f64 + 1.0),
        0.05 / (2.0 * measured.len() as f64),
    );
    for (endpoint, times) in measured {
        let unknown = &times[UNKNOWN];
        for (kind, times) in KINDS.iter().zip(times) {
            let at = |share| percentile(times, share);
            let compared = if *kind == KINDS[UNKNOWN] {
                "– | – | –".to_owned()
            } else {
                let (distance, probability) = kolmogorov_smirnov(times, unknown);
                let difference = at(0.5) - percentile(unknown, 0.5);
                format!("{difference:+.3} | {distance:.3} | {probability:.3}")
            };
            let (low, middle, high, most) = (at(0.05), at(0.5), at(0.95), at(1.0));
            let path = endpoint.path;
            writeln!(page, "| `{path}` | {kind} | {low:.2} | {middle:.2} | {high:.2} | {most:.2} | {compared} |")
                .expect("a String takes all");
        }
    }
    page.push_str(
        "\nEach endpoint does all its work, whatever that is, and then answers on a beat of 500 ms, \
         a sign-up of 1 s (`shared/api/src/evenly.rs`): what is left to be measured is the timer and the way back. Confirming \
         and resetting answer on the same beat.\n",
    );
    page
}

async fn run() -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = Options::new(DataDir::open(dir.path()).expect("a temporary folder"));
    options.settings.limits = Strictness::Times(NonZeroU32::new(100_000).expect("not zero"));
    let server = Server::start(options, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a new folder");
    let url = format!("http://{}", server.address);
    let code = people(&server.local().app, 4).await;
    let endpoints = [
        ("/v1/auth/signup", 201, json!({ "password": PASSWORD, "referralCode": code })),
        ("/v1/auth/signin", 401, json!({ "password": "not the password" })),
        ("/v1/auth/confirm/resend", 202, json!({})),
        ("/v1/auth/password/forgot", 202, json!({})),
    ];
    let endpoints = endpoints.map(|(path, status, rest)| Endpoint { path, status, rest });
    let measured = join_all(endpoints.iter().enumerate().map(|(number, endpoint)| endpoint.measure(&url, number)));
    let measured: Vec<_> = endpoints.iter().zip(measured.await).collect();
    let now = jiff::Timestamp::from_millisecond(SystemClock::default().now().millis().cast_signed());
    let page = report(&measured, &now.expect("a time of today").strftime("%-d %B %Y").to_string());
    server.run_until(async {}).await.expect("a server that ends");
    page
}

#[expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
fn main() {
    let write = std::env::args().any(|argument| argument == "--write");
    let page = tokio::runtime::Runtime::new().expect("a runtime").block_on(run());
    println!("{page}");
    if write {
        std::fs::write(Path::new(REPORT), page).expect("the page can be written");
        println!("wrote docs/benchmarks/oracle.md");
    }
}
