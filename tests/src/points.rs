//! Points, ranks, the leaderboard and the weekly letter, as members see them.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use access::messages::{CREDIT_POINTS, PointSource, REBUILD_STANDINGS, SEND_DIGESTS, SEND_MAIL};
use access::tables::{POINT_HISTORY, POINTS, Table, USERS};
use access::{Clock, Dao, EmailAddress, Rank, Ranked, Row, Timestamp, Unique};
use futures::{StreamExt, TryStreamExt};
use identity::{LocalIssuer, NewUser, Password};
use members::{Created, Credited, ReferralUse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::servers;
use crate::world::{Answer, Person, Setting, World};

const DAY: Duration = Duration::from_secs(24 * 3600);
const STATS: &str = "/v1/referrals/stats";
const BOARD: &str = "/v1/referrals/leaderboard";
const AS_OF: &str = "x-ranking-as-of";

/// Rows of these tables, as far as they are looked at here.
#[derive(Debug, Serialize, Deserialize)]
struct Earned {
    amount: u64,
}

impl Row for Earned {
    const TABLE: &'static Table = &POINTS;
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Day {
    day: u64,
    points: u64,
    rank: u64,
    total_rank: u64,
}

impl Row for Day {
    const TABLE: &'static Table = &POINT_HISTORY;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    user: String,
    referral_code: String,
    total_referrals: u32,
    referrals_used: u32,
    referral_is_valid: bool,
    points: u64,
    time_created: u64,
    shown_as: Option<String>,
}

impl Row for User {
    const TABLE: &'static Table = &USERS;
}
impl Unique for User {}

fn sub(name: &str) -> String {
    LocalIssuer::user_id(name).unwrap().to_string()
}

impl World {
    async fn with_redis() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let environment = format!("points-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let redis = Some((servers::valkey().await.url(), environment));
        Self::with(Setting { redis, ..Setting::default() }).await
    }

    fn table<T: Row>(&self) -> Dao<T> {
        Dao::open(&self.app.tables, &self.app.rao)
    }

    /// A member without an inviter.
    async fn first(&self, name: &str) -> String {
        assert_eq!(self.app.members.create_user(&sub(name)).await.unwrap(), Created::New);
        sub(name)
    }

    /// Joins by another's code.
    async fn joins(&self, name: &str, inviter: &str) -> ReferralUse {
        let code = self.app.members.find(&sub(inviter)).await.unwrap().unwrap().referral_code;
        self.app.members.referral_use(&code, &sub(name)).await.unwrap()
    }

    async fn points(&self, name: &str) -> u64 {
        let member = self.app.members.find(&sub(name)).await.unwrap().unwrap();
        let earned: Vec<Earned> = self.table::<Earned>().find_all_by_pk(&sub(name)).try_collect().await.unwrap();
        assert_eq!(member.points, earned.iter().map(|earned| earned.amount).sum::<u64>(), "the ledger of {name}");
        member.points
    }

    async fn days(&self, user: &str) -> Vec<Day> {
        self.table().find_all_by_pk(user).try_collect().await.unwrap()
    }

    async fn rebuild(&self) {
        self.tick("referrals-start-rebuild").await;
        while let Some(delivery) = self.receive(&REBUILD_STANDINGS).await {
            assert!(self.handle(&REBUILD_STANDINGS, delivery).await);
        }
    }

    /// Members as rows, numbered from 0, with these points.
    async fn crowd(&self, points: impl IntoIterator<Item = u64>) {
        let row = |(number, points)| User {
            user: format!("u{number}"),
            referral_code: "0000-0000".into(),
            total_referrals: 10,
            referrals_used: 0,
            referral_is_valid: true,
            points,
            time_created: 1_000 + number % 7,
            shown_as: (number % 2 == 0).then(|| "u***@e***".to_owned()),
        };
        let rows: Vec<User> = (0_u64..).zip(points).map(row).collect();
        let users: Vec<_> = rows.iter().map(|row| row.user.clone()).collect();
        let rows: Vec<_> = users.iter().map(String::as_str).zip(rows).collect();
        self.table().insert_all(&rows).await.unwrap();
    }

    /// Asks until Redis has answered: on a busy machine it may be too slow for its limit.
    async fn live(&self, person: &Person, path: &str) -> Answer {
        for _ in 0..100 {
            let answer = person.get(path).await;
            if answer.assert(200).header(AS_OF).is_empty() {
                return answer;
            }
            // Past the time in which nobody asks after failures.
            self.clock.advance(Duration::from_secs(6));
        }
        panic!("Redis has no ranking");
    }

    /// Everybody on the leaderboard, page by page.
    async fn board(&self, person: &Person, live: bool) -> Vec<Value> {
        let (mut all, mut path) = (Vec::new(), format!("{BOARD}?limit=7"));
        loop {
            let answer = if live { self.live(person, &path).await } else { person.get(&path).await };
            let page = answer.assert(200).json();
            all.extend(page["items"].as_array().unwrap().clone());
            let Some(cursor) = page["nextCursor"].as_str() else { return all };
            path = format!("{BOARD}?limit=7&cursor={cursor}");
        }
    }
}

#[tokio::test]
async fn a_friend_who_joins_is_worth_a_hundred_and_a_friends_friend_twenty() {
    let world = World::new().await;
    world.first("ann").await;
    assert_eq!(world.joins("ben", "ann").await, ReferralUse::Done);
    let stats = world.ann().get(STATS).await.assert(200).json();
    assert_eq!((&stats["points"], &stats["pointsDifference"]), (&json!(100), &json!(100)));
    assert_eq!((&stats["invited"], &stats["totalInvites"]), (&json!(1), &json!(10)));

    assert_eq!(world.joins("cat", "ben").await, ReferralUse::Done);
    assert_eq!((world.points("ann").await, world.points("ben").await, world.points("cat").await), (120, 100, 0));
    // Nobody further up.
    assert_eq!(world.joins("dan", "cat").await, ReferralUse::Done);
    assert_eq!((world.points("ann").await, world.points("ben").await, world.points("cat").await), (120, 120, 100));
    for (name, inviter) in [("ben", "ann"), ("cat", "ben"), ("dan", "cat")] {
        world.clock.advance(DAY);
        assert_eq!(world.joins(name, inviter).await, ReferralUse::Already);
    }
    assert_eq!((world.points("ann").await, world.points("ben").await, world.points("cat").await), (120, 120, 100));
}

#[tokio::test]
async fn an_inviters_inviter_who_has_left_gets_nothing_and_stops_nobody() {
    let world = World::new().await;
    let ann = world.first("ann").await;
    world.joins("ben", "ann").await;
    // As between the look at who invited ben and the transaction: ann's row says she has left, ben's still names her.
    let ben: Vec<Earned> = world.table::<Earned>().find_all_by_pk(&sub("ben")).try_collect().await.unwrap();
    assert!(ben.is_empty());
    let change = access::Expression::new("SET forgottenAt = :now").number(":now", 1);
    let _ = world.table::<User>().update_if(&ann, None, change, "attribute_exists(points)").await;
    assert_eq!(world.joins("cat", "ben").await, ReferralUse::Done);
    assert_eq!(world.points("ben").await, 100);
    assert_eq!(world.table::<Earned>().find_count_by_pk(&ann).await.unwrap(), 1);
}

#[tokio::test]
async fn the_first_report_of_a_day_is_a_point_however_often_and_wherever_it_is_asked_for() {
    let world = World::new().await;
    world.first("ann").await;
    let (path, other) = (world.path("/clusters"), world.another_process());
    for day in 1..=3 {
        for _ in 0..3 {
            world.ann().get(&path).await;
            world.ann().at(other.clone()).get(&path).await;
        }
        assert_eq!(world.depth(&CREDIT_POINTS), 1);
        world.work_all().await;
        assert_eq!(world.points("ann").await, day);
        world.clock.advance(DAY);
    }
    let day = world.clock.now().day() - 1;
    let again = world.app.members.credit(&sub("ann"), day, PointSource::Report).await.unwrap();
    assert_eq!((again, world.points("ann").await), (Credited::Already, 3));
}

#[tokio::test]
async fn who_is_no_member_earns_nothing_and_has_no_stats() {
    let world = World::new().await;
    world.ann().get(&world.path("/clusters")).await.assert(202);
    world.work_all().await;
    assert_eq!(world.table::<Earned>().find_count_by_pk(&sub("ann")).await.unwrap(), 0);
    world.ann().get(STATS).await.assert_problem(404, "not_a_member");
}

#[tokio::test]
async fn a_report_is_answered_when_its_point_cannot_be_queued() {
    let world = World::new().await;
    world.first("ann").await;
    world.ann().get(&world.path("/clusters")).await.assert(202);
    world.work_all().await;
    world.clock.advance(DAY);
    world.queue.down.store(true, Ordering::SeqCst);
    world.ann().get(&world.path("/clusters")).await.assert(200);
    world.queue.down.store(false, Ordering::SeqCst);
    world.ann().get(&world.path("/clusters")).await.assert(200);
    world.work_all().await;
    assert_eq!(world.points("ann").await, 2);
}

#[tokio::test]
async fn more_points_rank_higher_then_who_came_earlier() {
    let world = World::new().await;
    for name in ["ann", "ben", "cat"] {
        world.first(name).await;
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(world.ann().get(STATS).await.assert(200).header(AS_OF), "never");
    world.joins("dan", "cat").await;
    world.rebuild().await;
    for (name, rank) in [("cat", 1), ("ann", 2), ("ben", 3), ("dan", 4)] {
        let answer = world.person(name).get(STATS).await;
        let stats = answer.assert(200).json();
        assert_eq!(
            (&stats["rank"], &stats["totalRank"], &stats["rankDifference"]),
            (&json!(rank), &json!(4), &json!(0))
        );
        assert!(answer.header(AS_OF).starts_with("20"), "{}", answer.header(AS_OF));
    }
    // Behind all who are ranked, until the next time.
    world.first("eve").await;
    let stats = world.person("eve").get(STATS).await.json();
    assert_eq!((&stats["rank"], &stats["totalRank"]), (&json!(5), &json!(5)));
}

#[tokio::test]
async fn charts_have_a_value_for_each_ranked_day_and_today() {
    let world = World::new().await;
    world.first("ben").await;
    world.clock.advance(Duration::from_secs(1));
    world.first("ann").await;
    let start = world.clock.now().day();
    for day in 0..=9_u64 {
        if day == 5 {
            assert_eq!(world.joins("cat", "ann").await, ReferralUse::Done);
        }
        world.rebuild().await;
        world.clock.advance(DAY);
    }
    // Today is the tenth day; nobody was ranked yet. Seven days ago ann was second without points.
    let stats = world.ann().get(STATS).await.json();
    assert_eq!((&stats["points"], &stats["pointsDifference"]), (&json!(100), &json!(100)));
    assert_eq!((&stats["rank"], &stats["rankDifference"]), (&json!(1), &json!(-1)));
    let ms = |day: u64| (start + day) * 24 * 3600 * 1000;
    let values: Vec<_> =
        (3..=10).map(|day| json!({"timestamp": ms(day), "value": if day < 5 { 0 } else { 100 }})).collect();
    let points = json!({"timestampMin": ms(3), "timestampMax": ms(10), "valueMin": 0, "valueMax": 100,
        "numDatapoints": 8, "data": values});
    assert_eq!(stats["inviteChart"]["pointsChart"], points);
    let ranks = &stats["inviteChart"]["rankChart"];
    assert_eq!((&ranks["valueMin"], &ranks["valueMax"]), (&json!(1), &json!(2)));
    for (range, count) in [("1w", 8), ("1m", 11), ("1y", 11), ("all", 11)] {
        let stats = world.ann().get(&format!("{STATS}?range={range}")).await.assert(200).json();
        assert_eq!(stats["inviteChart"]["pointsChart"]["numDatapoints"], count, "{range}");
    }
    for query in ["range=2w", "range=", "days=3"] {
        world.ann().get(&format!("{STATS}?{query}")).await.assert_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn the_leaderboard_is_the_same_with_and_without_redis() {
    let with = World::with_redis().await;
    let without = World::new().await;
    let mut boards = Vec::new();
    for (world, live) in [(&with, true), (&without, false)] {
        world.first("ann").await;
        world.crowd((0..40).map(|number| number * 31 % 11)).await;
        world.rebuild().await;
        let board = world.board(&world.ann(), live).await;
        assert_eq!(board.len(), 41);
        let ranks: Vec<_> = board.iter().map(|entry| entry["rank"].as_u64().unwrap()).collect();
        assert_eq!(ranks, (1..=41).collect::<Vec<_>>());
        assert!(board.windows(2).all(|pair| pair[0]["points"].as_u64() >= pair[1]["points"].as_u64()));
        assert_eq!(board.iter().filter(|entry| entry["isCaller"] == true).count(), 1);
        assert!(board.iter().all(|entry| entry["name"] == "u***" || entry["name"] == "member"), "{board:?}");
        let stats = if live { world.live(&world.ann(), STATS).await } else { world.ann().get(STATS).await };
        boards.push((board, stats.json()));
    }
    assert_eq!(boards[0], boards[1]);
    assert_eq!(without.ann().get(BOARD).await.assert(200).json()["items"].as_array().unwrap().len(), 25);
    assert!(!without.ann().get(BOARD).await.header(AS_OF).is_empty());
    for query in ["limit=0", "limit=101", "limit=ten"] {
        without.ann().get(&format!("{BOARD}?{query}")).await.assert_problem(400, "invalid_query");
    }
    without.ann().get(&format!("{BOARD}?cursor=AAAA")).await.assert_problem(400, "bad_cursor");
}

#[tokio::test]
async fn before_the_first_ranking_the_leaderboard_is_empty() {
    let world = World::new().await;
    let answer = world.ann().get(BOARD).await;
    assert_eq!(answer.assert(200).json(), json!({"items": [], "nextCursor": null}));
    assert_eq!(answer.header(AS_OF), "never");
}

#[tokio::test]
async fn with_redis_a_rank_follows_the_points_at_once() {
    let world = World::with_redis().await;
    world.first("ann").await;
    world.clock.advance(Duration::from_secs(1));
    world.first("ben").await;
    world.rebuild().await;
    assert_eq!(world.live(&world.person("ben"), STATS).await.json()["rank"], 2);
    world.joins("cat", "ben").await;
    let stats = world.live(&world.person("ben"), STATS).await.json();
    assert_eq!((&stats["rank"], &stats["totalRank"]), (&json!(1), &json!(3)));
    // What was written while Redis did not listen, it is told by whoever asks.
    let stats = world.live(&world.person("cat"), STATS).await.json();
    assert_eq!((&stats["rank"], &stats["totalRank"]), (&json!(3), &json!(3)));
}

#[tokio::test]
async fn what_is_earned_while_all_are_ranked_is_not_lost() {
    let world = World::with_redis().await;
    world.first("ann").await;
    world.crowd((0..2_300).map(|number| 500 + number % 3)).await;
    world.tick("referrals-start-rebuild").await;
    let (mut parts, mut joined) = (0, 0);
    while let Some(delivery) = world.receive(&REBUILD_STANDINGS).await {
        // One page at a time, and somebody joins in between.
        assert!(world.hand_for(&REBUILD_STANDINGS, delivery, Duration::from_secs(1)).await);
        parts += 1;
        if joined < 3 {
            joined += 1;
            assert_eq!(world.joins(&format!("friend{joined}"), "ann").await, ReferralUse::Done);
        }
    }
    assert!(parts > 3, "{parts} parts");
    let stats = world.live(&world.ann(), STATS).await.json();
    assert_eq!((&stats["points"], &stats["rank"]), (&json!(300), &json!(2_301)));
    assert_eq!(stats["totalRank"], 2_304);
    let top = world.live(&world.ann(), &format!("{BOARD}?limit=1")).await.json();
    assert_eq!(top["items"][0]["points"], 502);
}

/// A process that is killed after so many steps.
struct Mortal<F> {
    work: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.work.as_mut().poll(context).map(Some)
    }
}

#[tokio::test]
async fn killed_anywhere_and_repeated_a_rebuild_ends_the_same() {
    let world = World::with_redis().await;
    world.first("ann").await;
    world.crowd((0..30).map(|number| number % 5)).await;
    world.rebuild().await;
    let expected = world.board(&world.ann(), true).await;
    let history = world.days("u7").await.pop().unwrap();
    let (mut steps, mut was_killed) = (1, true);
    while was_killed {
        world.clock.advance(DAY);
        world.tick("referrals-start-rebuild").await;
        let delivery = world.receive(&REBUILD_STANDINGS).await.unwrap();
        let again = delivery.clone();
        let work = Box::pin(world.handle(&REBUILD_STANDINGS, delivery));
        was_killed = Mortal { work, left: steps }.await.is_none();
        if was_killed {
            // Its lease ends, and the message comes back.
            world.clock.advance(Duration::from_secs(61));
            assert!(world.handle(&REBUILD_STANDINGS, again).await, "after {steps} steps");
        }
        let today = world.clock.now().day();
        let last = world.days("u7").await.pop().unwrap();
        let (points, rank, total_rank) = (history.points, history.rank, history.total_rank);
        assert_eq!(last, Day { day: today, points, rank, total_rank }, "after {steps} steps");
        let newest = world.app.members.newest_standing().await.unwrap().unwrap();
        assert_eq!((newest.day, newest.total, newest.pages), (today, 31, 1), "after {steps} steps");
        assert_eq!(world.board(&world.ann(), true).await, expected, "after {steps} steps");
        steps += 1;
    }
    assert!(steps > 10, "{steps}");
}

#[tokio::test]
async fn a_rebuild_in_many_parts_ends_as_one_in_one_part_and_leaves_nothing_behind() {
    let world = World::new().await;
    world.crowd((0..2_300).map(|number| number * 7 % 1_000)).await;
    world.rebuild().await;
    let whole: BTreeMap<_, _> = ranks(&world).await;
    assert_eq!(whole.len(), 2_300);
    for _ in 0..2 {
        world.clock.advance(DAY);
        world.tick("referrals-start-rebuild").await;
        let mut parts = 0;
        while let Some(delivery) = world.receive(&REBUILD_STANDINGS).await {
            assert!(world.hand_for(&REBUILD_STANDINGS, delivery, Duration::from_secs(1)).await);
            parts += 1;
        }
        assert!(parts > 3, "{parts} parts");
        assert_eq!(ranks(&world).await, whole);
    }
    // Of three rankings two are kept, and their objects alone.
    let kept = world.app.members.standings().await.unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(world.objects("standings"), 2 * 3);
    assert_eq!(world.objects("sorting"), 0);
}

/// Whose rank the newest day has, of the members made as rows.
async fn ranks(world: &World) -> BTreeMap<u64, (String, u64)> {
    let users = futures::stream::iter((0..2_300).map(|number| format!("u{number}")));
    let ranks = users.map(|user| async move {
        let day = world.days(&user).await.pop().unwrap();
        assert_eq!((day.day, day.total_rank), (world.clock.now().day(), 2_300));
        (day.rank, (user, day.points))
    });
    ranks.buffer_unordered(16).collect().await
}

#[tokio::test]
async fn who_leaves_takes_points_history_and_rank_along() {
    let world = World::with_redis().await;
    let ann = world.first("ann").await;
    world.first("ben").await;
    world.clock.advance(Duration::from_secs(1));
    world.joins("cat", "ann").await;
    world.rebuild().await;
    assert_eq!(world.live(&world.ann(), STATS).await.json()["rank"], 1);
    world.app.members.forget(&ann).await.unwrap();
    assert_eq!(world.table::<Earned>().find_count_by_pk(&ann).await.unwrap(), 0);
    assert!(world.days(&ann).await.is_empty());
    world.ann().get(STATS).await.assert_problem(404, "not_a_member");
    let board = world.board(&world.person("ben"), true).await;
    assert_eq!(board.len(), 2);
    assert_eq!((&board[0]["rank"], &board[0]["isCaller"]), (&json!(1), &json!(true)));
    // What a rebuild had in hand while ann left is removed by the next.
    let ranked = Ranked { user: ann.clone(), points: 100, time_created: Timestamp(1) };
    world.app.members.write_history(&[Rank { rank: 1, ranked }], 1, 3, Timestamp(1)).await.unwrap();
    world.clock.advance(DAY);
    world.rebuild().await;
    assert!(world.days(&ann).await.is_empty());
    assert_eq!(world.board(&world.person("ben"), true).await.len(), 2);
}

#[tokio::test]
async fn who_has_points_gets_one_letter_a_week() {
    let world = World::new().await;
    let mut members = HashMap::new();
    for name in ["ann", "ben"] {
        let email = EmailAddress::new(&format!("{name}@example.org")).unwrap();
        let password = Password::new("correct horse 17 battery".to_owned()).unwrap();
        let user = NewUser { email, password, password_is_temporary: false };
        let sub = world.app.users.create_user(&user).await.unwrap().to_string();
        world.app.members.create_user(&sub).await.unwrap();
        members.insert(name, sub);
    }
    let today = world.clock.now().day();
    world.app.members.credit(&members["ann"], today, PointSource::Report).await.unwrap();
    world.rebuild().await;
    world.tick("referrals-start-digests").await;
    let delivery = world.receive(&SEND_DIGESTS).await.unwrap();
    let again = delivery.clone();
    assert!(world.handle(&SEND_DIGESTS, delivery).await);
    assert!(world.handle(&SEND_DIGESTS, again).await);
    assert_eq!(world.depth(&SEND_MAIL), 1);
    world.work_all().await;
    let letters = world.outbox.list(10, None).await.unwrap();
    let to: Vec<_> = letters.iter().map(|letter| (letter.to.as_str(), &*letter.template)).collect();
    assert_eq!(to, [("ann@example.org", "weekly-points")]);
    world.tick("referrals-start-digests").await;
    world.work_all().await;
    world.work_all().await;
    assert_eq!(world.outbox.list(10, None).await.unwrap().len(), 1);
    world.clock.advance(7 * DAY);
    world.tick("referrals-start-digests").await;
    world.work_all().await;
    world.work_all().await;
    assert_eq!(world.outbox.list(10, None).await.unwrap().len(), 2);
}

#[test]
fn days_begin_at_midnight_utc() {
    assert_eq!(Timestamp(3 * 24 * 3_600_000 - 1).day(), 2);
    assert_eq!(Timestamp::of_day(3).day(), 3);
}
