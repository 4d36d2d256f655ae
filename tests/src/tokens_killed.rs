//! Refreshes of a token that take many invocations, and whose process dies before or after any one of its calls: of
//! tables, queue, object storage, cache or chain. Whoever takes the message when it comes back does the rest.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::messages::{DEAD_LETTERS, REFRESH_CLUSTERS};
use access::tables::{REPORTS, SEGMENTS, Table};
use access::{Clock, Dao, Delivery, JobState, Jobs, Queue, Row};
use app::App;
use clusters::{Address, Labels, Parameters};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::faults::{MOMENTS, Moment};
use crate::servers;
use crate::tokens_past::{TINY, masked};
use crate::world::{Behaviour, CHAIN, Doomed, Ground, STALENESS, Setting, World};

/// After so long a sweep finds a worker that does not go on; a message it had kept hidden comes back a little later.
const LEASE: Duration = Duration::from_secs(61);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Of a token nobody has read before.
    Report,
    /// After new blocks, of a token with runs and checkpoints; while its worker is dead the chain goes on.
    Renewal,
    History,
}

impl Wanted {
    fn path(self) -> &'static str {
        if self == Self::History { "/history?points=3" } else { "/clusters" }
    }

    /// Under which it is kept.
    fn key(self, world: &World) -> String {
        let token = format!("{CHAIN}/{}", world.token);
        if self == Self::History { format!("history/{token}/points=3") } else { token }
    }

    fn job(self, world: &World) -> String {
        Jobs::id(if self == Self::History { "refresh-history" } else { "refresh-clusters" }, &self.key(world))
    }

    /// How many results there were before.
    fn before(self) -> usize {
        usize::from(self == Self::Renewal)
    }
}

/// How far the chain had got at the report before a renewal, in hundredths.
const EARLIER: u64 = 70;
/// How far when it is asked for, and how far when others go on with it.
const NOW: u64 = 85;
const LATER: u64 = 90;

/// Two, so that the renewal's own is one too many.
async fn older_checkpoints(world: &World) {
    let token = format!("{CHAIN}/{}", world.token);
    let checkpoints = Dao::<CheckpointRow>::open(&world.app.tables, &world.app.rao);
    for percent in [20, 40] {
        let row = CheckpointRow { from_block: world.at(percent), rows: 1 };
        checkpoints.insert_new(&format!("checkpoints/{token}"), &row).await.unwrap();
        std::fs::write(world.dir().join(row.place(&token)), "of an older version").unwrap();
    }
}

/// A world of its own but for the engine of the tables, in which it has a token of its own.
async fn world(ground: Option<&Arc<Ground>>) -> World {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut token = Address([7; 20]);
    token.0[..4].copy_from_slice(&number.to_be_bytes());
    let redis = Some((servers::valkey().await.url(), format!("killed-{}-{number}", std::process::id())));
    let ground = ground.map(|ground| (Arc::clone(ground), token));
    World::with(Setting { rows: Some((240, 60)), checkpoint_rows: Some(1), redis, ground, ..Setting::default() }).await
}

/// A world in which this is queued, and nobody has begun.
async fn asked(wanted: Wanted, ground: Option<&Arc<Ground>>) -> World {
    let world = world(ground).await;
    let path = world.path(wanted.path());
    let span = world.at(100) - world.at(0);
    if wanted == Wanted::Renewal {
        *world.source.safe.lock().unwrap() = Some(world.at(EARLIER));
        world.ann().get(&path).await.assert(202);
        assert_eq!(world.work().await, 1);
        older_checkpoints(&world).await;
        world.clock.advance(STALENESS + Duration::from_secs(1));
        *world.source.safe.lock().unwrap() = Some(world.at(NOW));
        world.source.now(Behaviour::InPieces(span / 12));
        world.ann().get(&path).await.assert(200);
    } else {
        world.source.now(Behaviour::InPieces(span / 2 + 1));
        world.ann().get(&path).await.assert(202);
    }
    world
}

/// Takes messages until there are none, each in an invocation with little time, as Lambda does for a worker; `taken` is
/// told of each.
async fn work(world: &World, app: &App, queue: &dyn Queue, taken: impl Fn(&Delivery)) -> Vec<Delivery> {
    let workers = lambdas::workers();
    let worker = workers.iter().find(|worker| *worker.queue == REFRESH_CLUSTERS).unwrap();
    let mut kept = Vec::new();
    while let Some(delivery) = world.receive(&REFRESH_CLUSTERS).await {
        taken(&delivery);
        if worker::process(worker, app, vec![delivery.clone()], TINY).await.is_empty() {
            queue.delete(&REFRESH_CLUSTERS, &delivery.receipt).await.unwrap();
        } else {
            kept.push(delivery);
        }
    }
    kept
}

/// Lets time pass after a death: messages come back when they were hidden long enough, jobs are swept up every minute,
/// and others work, until there is nothing left to do.
async fn live_on(world: &World, job: &str, dead: Delivery, sweep_first: bool) {
    let until = |delivery: &Delivery| world.clock.now().plus(world.queue.hidden(&delivery.receipt));
    let mut hidden = vec![(until(&dead), dead)];
    let mut sweep = world.clock.now().plus(if sweep_first { LEASE } else { LEASE + MINUTE });
    for _ in 0..60 {
        let kept = work(world, &world.app, &*world.queue, |_| ()).await;
        hidden.extend(kept.into_iter().map(|delivery| (until(&delivery), delivery)));
        let state = world.app.jobs.find(job).await.unwrap().unwrap().view.state;
        if world.depth(&REFRESH_CLUSTERS) == 0 && state == JobState::Done {
            return;
        }
        let now = hidden.iter().map(|(until, _)| *until).fold(sweep, Ord::min);
        world.clock.advance(now.since(world.clock.now()));
        if sweep <= now {
            world.sweep().await;
            sweep = now.plus(MINUTE);
        }
        for (_, delivery) in hidden.extract_if(.., |(until, _)| *until <= now) {
            // One that was deleted stays so.
            drop(world.queue.change_visibility(&REFRESH_CLUSTERS, &delivery.receipt, Duration::ZERO).await);
        }
    }
    panic!("the job is not done within an hour");
}

/// What a process that dies leaves behind.
struct Death {
    /// The message it was at.
    delivery: Delivery,
    /// Whether there was nothing left to do but to tidy up.
    was_done: bool,
}

/// Lets a process work until it dies at a call, or else is done; how many calls it made.
async fn run(world: &World, wanted: Wanted, process: &Doomed) -> (usize, Option<Death>) {
    let at = Mutex::new(None);
    let taken = |delivery: &Delivery| *at.lock().unwrap() = Some(delivery.clone());
    let worked = process.faults.unless_stopped(work(world, &process.app, &*process.queue, taken)).await;
    let calls = process.faults.calls();
    if let Some(kept) = worked {
        assert!(kept.is_empty());
        return (calls, None);
    }
    let was_done = world.app.jobs.find(&wanted.job(world)).await.unwrap().unwrap().view.state == JobState::Done;
    (calls, Some(Death { delivery: at.into_inner().unwrap().unwrap(), was_done }))
}

/// What is answered in the end, but for when it was made, how long that took, and of which token.
async fn answered(world: &World, wanted: Wanted) -> String {
    // Longer than a process believes what it saw.
    world.clock.advance(Duration::from_secs(20));
    let answer = world.ann().get(&world.path(wanted.path())).await;
    assert_eq!(answer.assert(200).header("x-cache"), "fresh");
    of_any(world, std::str::from_utf8(&answer.body).unwrap())
}

fn of_any(world: &World, text: &str) -> String {
    masked(text).replace(&world.token.to_string(), "token")
}

/// The same made at once of all transfers up to a block, by a worker that has time.
async fn from_scratch(wanted: Wanted, head: Option<u64>, ground: &Arc<Ground>) -> String {
    let world = world(Some(ground)).await;
    *world.source.safe.lock().unwrap() = head;
    world.ann().get(&world.path(wanted.path())).await.assert(202);
    assert_eq!(world.work().await, 1);
    let made = answered(&world, wanted).await;
    if wanted != Wanted::History {
        let head = head.unwrap_or(world.at(100));
        let by_the_engine = world.text(head, &Parameters::default(), &Labels::builtin(CHAIN));
        assert_eq!(made, of_any(&world, &by_the_engine));
    }
    made
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunRow {
    from_block: u64,
    through_block: u64,
    rows: u64,
    blob: Option<String>,
}

impl Row for RunRow {
    const TABLE: &'static Table = &SEGMENTS;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CheckpointRow {
    from_block: u64,
    rows: u64,
}

impl CheckpointRow {
    fn place(&self, token: &str) -> String {
        format!("transfers/{token}/before-{:012}.ledger", self.from_block)
    }
}

impl Row for CheckpointRow {
    const TABLE: &'static Table = &SEGMENTS;
}

#[derive(Debug, Serialize, Deserialize)]
struct ArrivingRow {
    blob: String,
}

impl Row for ArrivingRow {
    const TABLE: &'static Table = &SEGMENTS;
}

#[derive(Debug, Serialize, Deserialize)]
struct ReportRow {
    timestamp: u64,
}

impl Row for ReportRow {
    const TABLE: &'static Table = &REPORTS;
}

/// All rows under a key.
async fn rows<T: Row>(world: &World, key: &str) -> Vec<T> {
    let page = Dao::<T>::open(&world.app.tables, &world.app.rao).page(key, None, 1000).await.unwrap();
    assert_eq!(page.next_cursor, None);
    page.items
}

/// A row names each object, and each run has its object; how many objects are on their way.
async fn assert_named(world: &World) -> usize {
    let token = format!("{CHAIN}/{}", world.token);
    let objects: BTreeSet<String> = world.paths("transfers").into_iter().collect();
    let runs = rows::<RunRow>(world, &token).await;
    let mut named: BTreeSet<String> = runs.into_iter().filter_map(|run| run.blob).collect();
    assert!(named.is_subset(&objects), "every run has its object");
    let checkpoints = rows::<CheckpointRow>(world, &format!("checkpoints/{token}")).await;
    assert!(checkpoints.len() <= 3, "{checkpoints:?}");
    named.extend(checkpoints.iter().map(|row| row.place(&token)));
    let arriving = rows::<ArrivingRow>(world, &format!("arriving/{token}")).await;
    let on_their_way = arriving.len();
    named.extend(arriving.into_iter().map(|row| row.blob));
    let left: Vec<_> = objects.difference(&named).collect();
    assert!(left.is_empty(), "no row names {left:?}");
    on_their_way
}

/// All is as if nobody had died.
async fn assert_whole(world: &World, wanted: Wanted, head: u64, death: Option<&Death>) {
    let job = world.app.jobs.find(&wanted.job(world)).await.unwrap().unwrap();
    assert_eq!((job.view.state, job.view.error), (JobState::Done, None));
    assert_eq!(job.generation, wanted.before() as u64 + 1, "begun once");
    let published = rows::<ReportRow>(world, &wanted.key(world)).await.len();
    assert_eq!(published, wanted.before() + 1, "published once");
    assert_eq!((world.depth(&REFRESH_CLUSTERS), world.depth(&DEAD_LETTERS)), (0, 0));

    let token = format!("{CHAIN}/{}", world.token);
    let runs = rows::<RunRow>(world, &token).await;
    assert_eq!((runs[0].from_block, runs[runs.len() - 1].through_block), (world.at(0), head));
    assert!(runs.windows(2).all(|two| two[0].through_block + 1 == two[1].from_block), "{runs:?}");
    let there = world.source.transfers().iter().filter(|transfer| transfer.block <= head).count();
    assert_eq!(runs.iter().map(|run| run.rows).sum::<u64>(), there as u64, "each transfer once");

    assert_named(world).await;
    // What a job carried may be left by a worker that died tidying up; it expires by the bucket's rule for reports.
    let may_be_left = usize::from(death.is_some_and(|death| death.was_done));
    assert!(world.objects("reports/carried") <= may_be_left);
}

async fn at_each_call(wanted: Wanted) {
    let world = asked(wanted, None).await;
    let ground = world.ground();
    let process = world.doomed(usize::MAX, Moment::Before).await;
    let (calls, death) = run(&world, wanted, &process).await;
    assert!(death.is_none());
    let early = (wanted == Wanted::Renewal).then(|| world.at(NOW));
    let late = (wanted == Wanted::Renewal).then(|| world.at(LATER));
    let (of_early, of_late) = (from_scratch(wanted, early, &ground).await, from_scratch(wanted, late, &ground).await);
    assert_eq!(answered(&world, wanted).await, of_early);
    assert_whole(&world, wanted, early.unwrap_or(world.at(100)), None).await;

    let lives = MOMENTS.map(|moment| {
        let (of_early, of_late) = (of_early.clone(), of_late.clone());
        tokio::spawn(async move { killed_at_each(wanted, moment, calls, &of_early, &of_late).await })
    });
    let (mut kills, mut on_their_way) = (0, 0);
    for lived in join_all(lives).await {
        let (killed, left) = lived.unwrap();
        kills += killed;
        on_their_way += left;
    }
    println!("{wanted:?}: {calls} calls, killed before and after each: {kills} kills, {on_their_way} left an object");
    assert!(calls > 40, "{calls}");
    assert!(on_their_way > 0 || wanted != Wanted::Renewal, "the chain has gone on");
    assert_eq!(kills, 2 * calls);
}

/// Kills at this moment of each call, in a world for each; how often, and how often an object was left on its way.
async fn killed_at_each(wanted: Wanted, moment: Moment, calls: usize, of_early: &str, of_late: &str) -> (usize, usize) {
    let (mut kills, mut on_their_way) = (0, 0);
    let mut ground = None;
    for at in 1..=calls {
        let world = asked(wanted, ground.as_ref()).await;
        ground.get_or_insert_with(|| world.ground());
        let process = world.doomed(at, moment).await;
        let (reached, death) = run(&world, wanted, &process).await;
        let death = death.unwrap_or_else(|| panic!("no call {at}, only {reached}"));
        drop(process);
        kills += 1;
        let renewed = wanted == Wanted::Renewal;
        if renewed {
            *world.source.safe.lock().unwrap() = Some(world.at(LATER));
        }
        // What is there after a call is there before the next: there once the message comes first, once the sweep.
        live_on(&world, &wanted.job(&world), death.delivery.clone(), moment == Moment::Before).await;
        let (made, head) = match (renewed, death.was_done) {
            (true, true) => (of_early, NOW),
            (true, false) => (of_late, LATER),
            (false, _) => (of_late, 100),
        };
        assert_eq!(answered(&world, wanted).await, made, "died {moment:?} call {at}");
        assert_whole(&world, wanted, world.at(head), Some(&death)).await;
        if assert_named(&world).await > 0 {
            on_their_way += 1;
            // Whoever brought it must be dead by then; the next job tidies up.
            world.clock.advance(MINUTE * 61);
            world.ann().get(&world.path("/clusters")).await;
            world.work().await;
            assert_eq!(assert_named(&world).await, 0);
        }
    }
    (kills, on_their_way)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_killed_at_any_call_of_any_invocation_is_what_it_is_from_scratch() {
    at_each_call(Wanted::Report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_new_blocks_killed_at_any_call_is_what_it_is_from_scratch() {
    at_each_call(Wanted::Renewal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_killed_at_any_call_of_any_invocation_is_what_it_is_from_scratch() {
    at_each_call(Wanted::History).await;
}
