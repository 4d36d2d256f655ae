//! What ranks cost when there are many members: the rebuild in a process of its own, as a function is, and the answers
//! that show ranks, about a thousand and a million members in turn.
//! `-- --write` keeps the result as docs/benchmarks/points.md, `-- --most 100000` leaves out what is larger.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use access::messages::REBUILD_STANDINGS;
use access::tables::{Table, USERS};
use access::{
    Aws, AwsConfig, Clock, Credentials, Dao, FolderBlobs, Ids, InProcessQueue, JobPolicy, Queue, RandomIds, Rank,
    Ranked, RedisTier, Roots, Row, Strictness, SystemClock, Timestamp, Unique,
};
use api::Edge;
use app::{App, Settings};
use axum::Router;
use axum::body::Body;
use chains::Chains;
use futures::future::join_all;
use holdfast::{Embedded, Messenger};
use http::Request;
use http_body_util::BodyExt;
use identity::{EmbeddedPool, EmbeddedPoolParts, LocalIssuer, PoolPolicy};
use mail::{FileOutbox, Mailer};
use runtime::{MakeUsers, Ports, assemble};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt;

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// So many members ask, once each in every way.
const CALLERS: u64 = 250;
/// Before today; each caller has a rank on each of these days.
const DAYS: u64 = 8;
/// So many rows are made before they are written.
const LOAD: u64 = 20_000;
/// What the template gives the rebuild.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Past the time in which Redis is not asked after failures.
const PAUSE: Duration = Duration::from_secs(6);
/// So often it may answer late in all.
const LATE: usize = 50;
/// Of a line of the page.
const WIDTH: usize = 120;
const CLIENT_ID: &str = "points";
const REBUILD: &str = "--rebuild";
const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks/points.md");
/// Where `cargo xtask venv` installs servers.
const VENV_BIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin");

/// A member's row as joining writes it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    user: String,
    referral_code: String,
    total_referrals: u32,
    referrals_used: u32,
    referral_is_valid: bool,
    invited_by: Option<String>,
    points: u64,
    time_created: Timestamp,
    shown_as: String,
}

impl Row for User {
    const TABLE: &'static Table = &USERS;
}
impl Unique for User {}

/// Who is the member with this number.
fn name(number: u64) -> String {
    format!("member-{number}")
}

fn user(number: u64) -> String {
    LocalIssuer::user_id(&name(number)).expect("a name").to_string()
}

fn ranked(number: u64) -> Ranked {
    // Not in the order of joining, and with many equals.
    Ranked { user: user(number), points: number * 7_919 % 5_003, time_created: Timestamp(1_700_000_000_000 + number) }
}

impl User {
    fn of(number: u64) -> Self {
        let Ranked { user, points, time_created } = ranked(number);
        Self {
            user,
            referral_code: "0000-0000".to_owned(),
            total_referrals: 10,
            referrals_used: 3,
            referral_is_valid: true,
            invited_by: Some(self::user(number / 10)),
            points,
            time_created,
            shown_as: "m***@e***".to_owned(),
        }
    }
}

/// A Valkey that ends with this process, however that ends.
struct Valkey {
    /// Ends the server when its standard input closes.
    shell: Child,
    url: String,
}

impl Valkey {
    fn start(folder: &Path) -> Self {
        let exists = |program: &&str| {
            let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        let installed = format!("{VENV_BIN}/valkey-server");
        let program = ["valkey-server", "redis-server", &installed].into_iter().find(exists);
        let program = program.expect("no valkey-server and no redis-server here: run `cargo xtask venv`");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let port = free.expect("a loopback port").port().to_string();
        let mut shell = Command::new("sh");
        shell.args(["-c", r#""$@" </dev/null >/dev/null & read -r _; kill "$!"; wait"#, "valkey", program]);
        shell.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--dir"]).arg(folder);
        let shell = shell.stdin(Stdio::piped()).spawn().expect("every Unix has sh");
        Self { shell, url: format!("redis://127.0.0.1:{port}") }
    }

    /// Waits until it answers.
    async fn tier(&self) -> RedisTier {
        let tier = RedisTier::open(&self.url, Arc::new(SystemClock::default())).expect("an address");
        let mut tries = 0..100;
        while tier.get("any").await.is_none() {
            assert!(tries.next().is_some(), "the server at {} does not answer", self.url);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        tier
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// One process of a deployment.
struct Process {
    app: App,
    issuer: Arc<LocalIssuer>,
    queue: Arc<InProcessQueue>,
}

impl Process {
    /// `folder`: of the deployment, whose name it has in Redis.
    fn new(tables: &str, folder: &Path, redis: Option<RedisTier>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let ids: Arc<dyn Ids> = Arc::new(RandomIds);
        let queue = Arc::new(InProcessQueue::new());
        let issuer = Arc::new(LocalIssuer::open(folder).expect("a folder for the key"));
        let name = folder.file_name().expect("a folder with a name").to_string_lossy();
        let settings = Settings {
            environment: format!("points-{name}"),
            limits: Strictness::Off,
            keys: issuer.jwks().into(),
            ..Settings::default()
        };
        let outbox =
            FileOutbox::new(folder.join("outbox"), settings.letterhead.clone(), Arc::clone(&clock), Arc::clone(&ids));
        let mailer: Arc<dyn Mailer> = Arc::new(outbox);
        let users: MakeUsers = {
            let (issuer, clock, ids) = (Arc::clone(&issuer), Arc::clone(&clock), Arc::clone(&ids));
            let messenger = Arc::new(Messenger { mailer: Arc::clone(&mailer), pages: settings.pages.clone() });
            Box::new(move |tables, rao| {
                let (tables, rao, client_id, policy) =
                    (tables.clone(), rao.clone(), CLIENT_ID.to_owned(), PoolPolicy::default());
                let parts = EmbeddedPoolParts { tables, rao, issuer, messenger, clock, ids, client_id, policy };
                Ok(Arc::new(EmbeddedPool::new(parts)?))
            })
        };
        let app = assemble(Ports {
            aws: Aws::new(AwsConfig {
                region: "eu-west-2".to_owned(),
                endpoint_url: Some(tables.to_owned()),
                credentials: Credentials::new("local", "local", None, None, "points"),
                roots: Roots::System,
            }),
            table_prefix: String::new(),
            queue: Arc::clone(&queue) as _,
            blobs: Arc::new(FolderBlobs::new(folder.join("blobs"), Arc::clone(&ids))),
            redis,
            cursor_secret: b"a secret of a benchmark".to_vec(),
            chains: Chains::new(Vec::new()),
            issuers: vec![issuer.as_issuer(vec![CLIENT_ID.to_owned()])],
            users,
            mailer,
            jobs: JobPolicy::default(),
            settings,
            clock,
            ids,
        });
        Self { app: app.expect("all its parts are there"), issuer, queue }
    }

    fn token(&self, number: u64) -> String {
        let now = self.app.clock.now().seconds();
        self.issuer.issue(&name(number), &[], CLIENT_ID, 24 * 3600, now).expect("a name")
    }
}

/// What a rebuild took, as its process tells it.
#[derive(Serialize, Deserialize)]
struct Rebuilt {
    invocations: u32,
    seconds: f64,
    /// Of the processor, in the process of the rebuild.
    cpu_seconds: f64,
    /// The most memory that process ever had, in KiB: before the rebuild, and in all.
    memory_before: u64,
    memory: u64,
}

/// The most resident memory this process ever had, in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this needs Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

/// What all threads of this process have had of the processors, in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("this needs Linux");
    // The name before may contain anything; user and system time are the 12th and 13th behind it.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / 100.0
}

/// The process that ranks all members, as Lambda would have it do so: message by message, each in its time.
async fn rebuild(tables: &str, folder: &Path, redis: &str) -> Rebuilt {
    let redis = RedisTier::open(redis, Arc::new(SystemClock::default())).expect("an address");
    let Process { app, queue, .. } = Process::new(tables, folder, Some(redis));
    let schedules = lambdas::schedules();
    let schedule = schedules.iter().find(|schedule| schedule.name == "referrals-start-rebuild");
    schedule.expect("there is one").tick(app.clone()).await.expect("a queue in this process");
    let workers = lambdas::workers();
    let worker = workers.iter().find(|worker| *worker.queue == REBUILD_STANDINGS).expect("it has a worker");
    let memory_before = peak_memory();
    let (cpu, started, mut invocations) = (cpu_seconds(), Instant::now(), 0);
    while let Some(delivery) = queue.receive(&REBUILD_STANDINGS, 1, Duration::ZERO).await.expect("in process").pop() {
        let receipt = delivery.receipt.clone();
        assert!(worker::process(worker, &app, vec![delivery], TIME_LIMIT).await.is_empty(), "the rebuild failed");
        queue.delete(&REBUILD_STANDINGS, &receipt).await.expect("in process");
        invocations += 1;
    }
    let (seconds, cpu_seconds) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    Rebuilt { invocations, seconds, cpu_seconds, memory_before, memory: peak_memory() }
}

/// A deployment with so many members, ranked.
struct Deployment {
    size: u64,
    rebuilt: Rebuilt,
    live: Asked,
    /// The same without Redis.
    plain: Asked,
    _tables: Embedded,
}

/// A process that is asked.
struct Asked {
    process: Process,
    router: Router,
    middle: String,
}

impl Asked {
    fn new(process: Process, size: u64) -> Self {
        let router = holdfast::router(&process.app, &Edge::default()).expect("the default edge");
        let cursor = process.app.cursors.seal("leaderboard", &(size / 2 + 1));
        Self { process, router, middle: format!("/v1/referrals/leaderboard?cursor={cursor}") }
    }

    /// Asks for a page and returns whether the ranks in it were live.
    async fn get(&self, path: &str, token: &str) -> (bool, Value) {
        let request = Request::get(path).header("authorization", format!("Bearer {token}")).body(Body::empty());
        let response = self.router.clone().oneshot(request.expect("a good path")).await.expect("routers do not fail");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        assert_eq!(parts.status, 200, "{path}: {body:?}");
        (!parts.headers.contains_key("x-ranking-as-of"), serde_json::from_slice(&body).expect("JSON"))
    }
}

impl Deployment {
    async fn new(size: u64, folder: &Path, valkey: &Valkey) -> Self {
        let tables = Embedded::in_memory().await.expect("an engine");
        let endpoint = tables.aws().sdk_config().endpoint_url().expect("a loopback port").to_owned();
        let folder = folder.join(size.to_string());
        fs::create_dir(&folder).expect("a new folder");
        let plain = Process::new(&endpoint, &folder, None);
        plain.app.tables.create_missing().await.expect("new tables");
        let started = Instant::now();
        load(&plain.app, size).await;
        say(&format!("{} members written in {:.0} s", power(size), started.elapsed().as_secs_f64()));

        let child = Command::new(std::env::current_exe().expect("this program"))
            .args([REBUILD, &endpoint, &valkey.url])
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program, once more");
        let output = tokio::task::spawn_blocking(move || child.wait_with_output());
        let output = output.await.expect("it only waits").expect("it was there");
        assert!(output.status.success(), "the rebuild of {size} failed");
        let rebuilt: Rebuilt = serde_json::from_slice(&output.stdout).expect("what a rebuild tells");
        say(&format!("{} members ranked in {:.1} s, {} KiB", power(size), rebuilt.seconds, rebuilt.memory));

        let standing = plain.app.members.newest_standing().await.expect("readable").expect("just made");
        assert_eq!(standing.total, size);
        let live = Process::new(&endpoint, &folder, Some(valkey.tier().await));
        let (live, plain) = (Asked::new(live, size), Asked::new(plain, size));
        Self { size, rebuilt, live, plain, _tables: tables }
    }

    fn caller(&self, round: u64) -> u64 {
        round * (self.size / CALLERS)
    }
}

async fn load(app: &App, size: u64) {
    let dao: &Dao<User> = &Dao::open(&app.tables, &app.rao);
    for first in (0..size).step_by(usize::try_from(LOAD).expect("it is small")) {
        let rows: Vec<_> = (first..size.min(first + LOAD)).map(User::of).collect();
        let users: Vec<_> = rows.iter().map(|row| row.user.clone()).collect();
        let rows: Vec<_> = users.iter().map(String::as_str).zip(rows).collect();
        dao.insert_all(&rows).await.expect("the engine has room");
    }
    let today = app.clock.now().day();
    let days = (today - DAYS..today).map(async |day| {
        let ranks = (0..CALLERS).map(|round| {
            let mut ranked = ranked(round * (size / CALLERS));
            ranked.points = ranked.points.saturating_sub(today - day);
            Rank { rank: size / 2 + round, ranked }
        });
        app.members.write_history(&ranks.collect::<Vec<_>>(), day, size, Timestamp::of_day(day)).await
    });
    assert!(join_all(days).await.into_iter().all(|written| written.is_ok()), "the engine has room");
}

#[derive(Clone, Copy)]
enum Question {
    Stats,
    Standing,
    First,
    Middle,
    Place,
}

const QUESTIONS: [(Question, bool, &str); 9] = [
    (Question::Stats, true, "`GET /v1/referrals/stats?range=1w`"),
    (Question::Standing, true, "rank and difference alone (`Members::standing`)"),
    (Question::Place, true, "rank alone, from Redis (`Ranking::raise`)"),
    (Question::First, true, "`GET /v1/referrals/leaderboard`, the first page"),
    (Question::Middle, true, "the page in the middle of it"),
    (Question::Stats, false, "`GET /v1/referrals/stats?range=1w`"),
    (Question::Standing, false, "rank and difference alone (`Members::standing`)"),
    (Question::First, false, "`GET /v1/referrals/leaderboard`, the first page"),
    (Question::Middle, false, "the page in the middle of it"),
];

impl Question {
    /// Asks as a member; returns whether the ranks in the answer were live, and whether it was the right one.
    async fn ask(self, asked: &Asked, number: u64, size: u64, token: &str) -> (bool, bool) {
        let app = &asked.process.app;
        match self {
            Self::Stats => {
                let (live, stats) = asked.get("/v1/referrals/stats?range=1w", token).await;
                let points = &stats["inviteChart"]["pointsChart"];
                (live, stats["totalRank"] == size && points["numDatapoints"] == 8)
            }
            Self::Standing => {
                let standing = app.members.standing(&user(number)).await.expect("readable").expect("a member");
                (standing.as_of == members::AsOf::Now, standing.place.total == size)
            }
            Self::First | Self::Middle => {
                let (path, first) = match self {
                    Self::First => ("/v1/referrals/leaderboard", 1),
                    _ => (&*asked.middle, size / 2 + 1),
                };
                let (live, page) = asked.get(path, token).await;
                let entries = page["items"].as_array().map_or(0, Vec::len);
                (live, page["items"][0]["rank"] == first && entries == 25)
            }
            Self::Place => {
                let place = app.ranking.raise(&ranked(number)).await;
                (place.is_some(), place.is_none_or(|place| place.total == size))
            }
        }
    }
}

/// Milliseconds, sorted.
type Times = Vec<f64>;

/// For each question, what each deployment took; and how often Redis was too late to be counted.
async fn measure(deployments: &[&Deployment]) -> (Vec<Vec<Times>>, usize) {
    let mut times = vec![vec![Times::new(); deployments.len()]; QUESTIONS.len()];
    let mut late = 0;
    for round in 0..CALLERS {
        for (question, (what, is_live, _)) in QUESTIONS.iter().enumerate() {
            // In turn, and each first as often as the others: what else the machine does meets all alike.
            for place in 0..deployments.len() {
                let at = (place + usize::try_from(round).expect("it is small")) % deployments.len();
                let deployment = deployments[at];
                let asked = if *is_live { &deployment.live } else { &deployment.plain };
                let number = deployment.caller(round);
                let token = asked.process.token(number);
                // Once before: who has asked has a token that is known, and a connection is there.
                for is_measured in [false, true] {
                    loop {
                        let started = Instant::now();
                        let (live, right) = what.ask(asked, number, deployment.size, &token).await;
                        let took = started.elapsed().as_secs_f64() * 1e3;
                        if live == *is_live {
                            assert!(right, "question {question} about {} members", deployment.size);
                            if is_measured {
                                times[question][at].push(took);
                            }
                            break;
                        }
                        late += 1;
                        assert!(late <= LATE, "Redis has no ranking of {} members, or is too late", deployment.size);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
    for times in times.iter_mut().flatten() {
        times.sort_by(f64::total_cmp);
    }
    (times, late)
}

/// The value below which this share of all is.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among some hundred")]
    let place = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[place]
}

fn power(size: u64) -> String {
    let exponent = size.ilog10().to_string();
    let digits = ["⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"];
    let exponent = exponent.bytes().map(|digit| digits[usize::from(digit - b'0')]);
    format!("10{}", exponent.collect::<String>())
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn report(deployments: &[Deployment], times: &[Vec<Times>], late: usize, date: &str, load: &str) -> String {
    let (option, profile) = if cfg!(debug_assertions) {
        (", here with `--profile dev` before `-p`", "dev, that is unoptimised, the engine included")
    } else {
        ("", "optimised")
    };
    let (small, large) = (power(deployments[0].size), power(deployments[deployments.len() - 1].size));
    let mut page = format!(
        "# What ranks cost when there are many members\n\n\
         `cargo bench -p it --bench points -- --write`{option}. Tables are the embedded engine in \
         memory, spoken to over loopback; objects are files; Redis is a Valkey of this machine.\n\n\
         Two shared cores of a virtual machine, {date}. Profile: {profile}. Load average at the beginning and at the \
         end: {load}; the benchmark itself makes up to 2, others worked on the machine as well.\n\n\
         ## The rebuild\n\
         The worker `referrals-rebuild-standings` in a process of its own, with the time limit of the deployed \
         function for each message ({} s). The engine is in another process: its work is in the time, but neither in the \
         CPU time nor in the memory. It is most of the time, and the larger its tables the longer it takes to commit in \
         memory (two thirds of a profile of it with 10⁶ members). What the worker costs is its CPU time. Memory is the most the \
         process ever held (`VmHWM`), before the rebuild and in all.\n\n\
         | members | invocations | time | members a second | CPU time | CPU a member | memory before | peak | growth |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        TIME_LIMIT.as_secs(),
    );
    for Deployment { size, rebuilt, .. } in deployments {
        let (mib, members) = (|kib: u64| kib as f64 / 1024.0, *size as f64);
        writeln!(
            page,
            "| {} | {} | {:.1} s | {} | {:.1} s | {:.0} µs | {:.1} MiB | {:.1} MiB | {:.1} MiB |",
            power(*size),
            rebuilt.invocations,
            rebuilt.seconds,
            thousands(members / rebuilt.seconds),
            rebuilt.cpu_seconds,
            rebuilt.cpu_seconds / members * 1e6,
            mib(rebuilt.memory_before),
            mib(rebuilt.memory),
            mib(rebuilt.memory - rebuilt.memory_before),
        )
        .expect("a String takes all");
    }
    let all = [
        ("With Redis", true, "Ranks are live."),
        ("Without Redis", false, "Ranks are the last rebuild's: a member's own row, and an object of 1,000 members."),
    ];
    writeln!(
        page,
        "\nA rebuild sorts 50,000 members in memory at a time: up to there the peak follows their number, from there on \
         only one more short list is held for each further 50,000.\n\n\
         ## The answers\n\
         Milliseconds, {CALLERS} members spread over the ranking, each asking about {small} and {large} members in turn, \
         through the whole router or, where a method is named, by calling it. The ratio is {large} to {small}: 1 is a \
         cost that does not grow. Most of each is the engine."
    )
    .expect("a String takes all");
    for (title, live, what) in all {
        write!(
            page,
            "\n### {title}\n{what}\n\n\
             | | {small} p50 | {large} p50 | ratio | {small} p95 | {large} p95 | ratio |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        )
        .expect("a String takes all");
        for ((_, is_live, text), times) in QUESTIONS.iter().zip(times) {
            if *is_live == live {
                let (small, large) = (&times[0], &times[1]);
                let pair = |share| {
                    let (small, large) = (percentile(small, share), percentile(large, share));
                    format!("{small:.2} | {large:.2} | {:.2}", large / small)
                };
                writeln!(page, "| {text} | {} | {} |", pair(0.5), pair(0.95)).expect("a String takes all");
            }
        }
    }
    if late > 0 {
        writeln!(page, "\nNot among these are answers for which Redis took longer than its limit of 50 ms: {late}.")
            .expect("a String takes all");
    }
    page.lines().map(wrapped).collect()
}

/// A line of text as lines that fit the repository; tables and titles stay as they are.
fn wrapped(line: &str) -> String {
    if line.starts_with(['|', '#']) {
        return format!("{line}\n");
    }
    let (mut lines, mut length) = (String::new(), 0);
    for word in line.split(' ') {
        let needed = word.chars().count();
        if length > 0 {
            let fits = length + 1 + needed <= WIDTH;
            lines.push(if fits { ' ' } else { '\n' });
            length = if fits { length + 1 } else { 0 };
        }
        lines.push_str(word);
        length += needed;
    }
    lines + "\n"
}

#[expect(clippy::print_stderr, reason = "it takes minutes: how far it is")]
fn say(what: &str) {
    eprintln!("{what}");
}

/// How many have wanted a processor during the last minute.
fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").expect("this needs Linux");
    load.split(' ').next().unwrap_or_default().to_owned()
}

async fn run(most: u64) -> String {
    let load = load_average();
    let dir = tempfile::tempdir().expect("a folder");
    let valkey = Valkey::start(dir.path());
    valkey.tier().await;
    let mut deployments = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        deployments.push(Deployment::new(size, dir.path(), &valkey).await);
    }
    let (first, last) = (deployments.first().expect("a size"), deployments.last().expect("a size"));
    let (times, late) = measure(&[first, last]).await;
    let now = jiff::Timestamp::from_millisecond(SystemClock::default().now().millis().cast_signed());
    let date = now.expect("a time of today").strftime("%-d %B %Y").to_string();
    report(&deployments, &times, late, &date, &format!("{load} and {}", load_average()))
}

#[expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let behind = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| &arguments[at + 1..]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Some([tables, redis, folder, ..]) = behind(REBUILD) {
        let rebuilt = runtime.block_on(rebuild(tables, &PathBuf::from(folder), redis));
        println!("{}", serde_json::to_string(&rebuilt).expect("numbers"));
        return;
    }
    let most = behind("--most").and_then(|rest| rest.first()?.parse().ok()).unwrap_or(u64::MAX);
    let page = runtime.block_on(run(most));
    println!("{page}");
    if behind("--write").is_some() {
        fs::write(Path::new(REPORT), page).expect("the page can be written");
        println!("wrote docs/benchmarks/points.md");
    }
}
