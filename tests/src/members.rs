//! Members over a real DynamoDB engine: crowds at one code, processes that die half-way, and what is left of who goes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use access::tables::{POINTS, REFERRAL_CODES, REFERRALS, SIGNUPS, Table, USERS};
use access::{
    AccessError, Aws, Cursors, Dao, EmailAddress, Ids, Kind, ManualClock, RandomIds, Rao, RaoConfig, Tables, Timestamp,
    Vault,
};
use futures::FutureExt;
use futures::future::join_all;
use holdfast::Embedded;
use members::{Created, Joined, Member, Members, PlacesSet, Referral, ReferralCode, ReferralUse, Refusal};
use tokio::time::Instant;

use crate::faults::{MOMENTS, Moment, Mortal, Proxy, client};
use crate::rows::{Row, Rows};

/// Later than any day these tests run on: the engine removes what has expired by the machine's clock.
const START: Timestamp = Timestamp(4_000_000_000_000);

struct Store {
    members: Members,
    clock: Arc<ManualClock>,
    engine: Embedded,
}

impl Store {
    async fn new() -> Self {
        let engine = Embedded::in_memory().await.unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let members = members(engine.aws(), &clock, Arc::new(RandomIds));
        tables(engine.aws()).create_missing().await.unwrap();
        Self { members, clock, engine }
    }

    fn with_ids(&self, ids: Arc<dyn Ids>) -> Members {
        members(self.engine.aws(), &self.clock, ids)
    }

    /// A member without a referral.
    async fn member(&self, user: &str) -> Member {
        assert_eq!(self.members.create_user(user).await.unwrap(), Created::New);
        self.find(user).await
    }

    #[track_caller]
    fn find(&self, user: &str) -> impl Future<Output = Member> {
        let (members, user) = (self.members.clone(), user.to_owned());
        async move { members.find(&user).await.unwrap().unwrap_or_else(|| panic!("{user} is no member")) }
    }

    async fn uses(&self, code: &ReferralCode, user: &str) -> ReferralUse {
        self.members.referral_use(code, user).await.unwrap()
    }

    /// Everyone who joined with this member's code, page by page.
    async fn referrals(&self, user: &str) -> Vec<Referral> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.members.referrals_of(user, cursor.as_deref(), 4).await.unwrap();
            assert!(page.items.len() <= 4);
            all.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return all;
            }
        }
    }

    fn tables(&self) -> Rows {
        Rows { aws: self.engine.aws(), prefix: "t-", since: START }
    }

    /// All rows of a table, as they are.
    async fn rows(&self, table: &Table) -> Vec<Row> {
        self.tables().of(table).await
    }

    /// Everything there is, in one order.
    async fn all(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for table in [&USERS, &REFERRAL_CODES, &REFERRALS, &SIGNUPS, &POINTS] {
            for row in self.rows(table).await {
                let row: BTreeMap<_, _> = row.into_iter().collect();
                all.insert(format!("{} {row:?}", table.name));
            }
        }
        all
    }

    /// How many members there are, whose rows are whole.
    async fn check(&self) -> usize {
        self.tables().check_members().await
    }
}

fn tables(aws: Aws) -> Tables {
    Tables::new(aws, "t-", Cursors::new(b"s"))
}

fn members(aws: Aws, clock: &Arc<ManualClock>, ids: Arc<dyn Ids>) -> Members {
    let rao = Rao::new(RaoConfig::default(), None, Arc::clone(clock) as _, Arc::clone(&ids));
    Members::open(&tables(aws), &rao, &Vault::new(b"s"), Arc::clone(clock) as _, ids)
}

/// Whose account this is, spelled as an address.
fn address(user: &str) -> EmailAddress {
    EmailAddress::new(&format!("{}@example.org", user.replace(' ', "-").to_lowercase())).unwrap()
}

/// A code that nobody has.
fn nobodys() -> ReferralCode {
    ReferralCode::new("0000-0000").unwrap()
}

/// What a caller does that is told to come again.
async fn until_answered<T, F: Future<Output = Result<T, AccessError>>>(ask: impl Fn() -> F) -> T {
    for _ in 0..100 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error}"),
        }
        tokio::task::yield_now().await;
    }
    panic!("the tables never answer");
}

#[tokio::test]
async fn a_new_member_has_a_code_with_ten_places() {
    let store = Store::new().await;
    let ann = store.member("ann").await;
    let code = ann.referral_code;
    let expected = Member {
        user: "ann".into(),
        referral_code: code,
        total_referrals: 10,
        referrals_used: 0,
        referral_is_valid: true,
        invited_by: None,
        points: 0,
        time_created: START,
        shown_as: None,
    };
    assert_eq!(ann, expected);
    assert_eq!(ann.referrals_remaining(), 10);
    assert!(store.members.is_valid_code(&code).await.unwrap());
    assert!(store.members.has_invites("ann").await.unwrap());
    assert!(!store.members.has_invites("bob").await.unwrap());
    assert_eq!(store.members.create_user("ann").await.unwrap(), Created::Already);
    assert_eq!(store.find("ann").await, ann);
    assert_eq!(store.check().await, 1);
}

#[tokio::test]
async fn who_uses_a_code_becomes_a_member_and_takes_a_place() {
    let store = Store::new().await;
    let code = store.member("ann").await.referral_code;
    store.clock.advance(Duration::from_secs(60));
    assert_eq!(store.uses(&code, "bob").await, ReferralUse::Done);
    let ann = store.find("ann").await;
    assert_eq!((ann.referrals_used, ann.referrals_remaining()), (1, 9));
    let bob = store.find("bob").await;
    assert_eq!((bob.invited_by.as_deref(), bob.referrals_used, bob.total_referrals), (Some("ann"), 0, 10));
    assert_ne!(bob.referral_code, code);
    let then = Timestamp(START.millis() + 60_000);
    assert_eq!(
        store.referrals("ann").await,
        [Referral { invited_user: "bob".into(), timestamp: then, confirmed: true }]
    );
    assert_eq!(store.check().await, 2);
}

#[tokio::test]
async fn the_same_invitee_takes_one_place_however_often() {
    let store = Store::new().await;
    let code = store.member("ann").await.referral_code;
    assert_eq!(store.uses(&code, "bob").await, ReferralUse::Done);
    let all = store.all().await;
    assert_eq!(store.uses(&code, "bob").await, ReferralUse::Already);
    assert_eq!(store.all().await, all);

    let tries = (0..50).map(|_| {
        let members = store.members.clone();
        tokio::spawn(async move { until_answered(|| members.referral_use(&code, "cat")).await })
    });
    let outcomes: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == ReferralUse::Done).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == ReferralUse::Already).count(), 49);
    assert_eq!(store.find("ann").await.referrals_used, 2);
    assert_eq!(store.check().await, 3);
}

#[tokio::test]
async fn done_already_counts_more_than_no_place_left() {
    let store = Store::new().await;
    let code = store.member("ann").await.referral_code;
    store.members.set_places("ann", 1).await.unwrap();
    assert_eq!(store.uses(&code, "bob").await, ReferralUse::Done);
    assert_eq!(store.uses(&code, "cat").await, ReferralUse::Refused(Refusal::NoPlaceLeft));
    store.members.disable_code("ann").await.unwrap();
    assert_eq!(store.uses(&code, "bob").await, ReferralUse::Already);
}

#[tokio::test]
async fn a_code_is_refused_for_a_reason() {
    let store = Store::new().await;
    let ann = store.member("ann").await.referral_code;
    let bob = store.member("bob").await.referral_code;
    let all = store.all().await;
    assert_eq!(store.uses(&ann, "ann").await, ReferralUse::Refused(Refusal::OwnCode));
    assert_eq!(store.uses(&nobodys(), "cat").await, ReferralUse::Refused(Refusal::UnknownCode));
    assert_eq!(store.uses(&ann, "bob").await, ReferralUse::Refused(Refusal::AlreadyMember));
    assert!(!store.members.is_valid_code(&nobodys()).await.unwrap());
    assert_eq!(store.all().await, all);

    assert!(!store.members.disable_code("bob").await.unwrap().unwrap().referral_is_valid);
    assert!(!store.members.disable_code("bob").await.unwrap().unwrap().referral_is_valid, "again");
    assert_eq!(store.uses(&bob, "cat").await, ReferralUse::Refused(Refusal::Disabled));
    assert!(!store.members.is_valid_code(&bob).await.unwrap());
    assert!(!store.members.has_invites("bob").await.unwrap());
    assert!(store.members.enable_code("bob").await.unwrap().unwrap().referral_is_valid);
    assert_eq!(store.uses(&bob, "cat").await, ReferralUse::Done);
    assert_eq!(store.uses(&ann, "cat").await, ReferralUse::Refused(Refusal::AlreadyMember), "with another code");
    assert_eq!(store.members.disable_code("nobody").await.unwrap(), None);
    assert_eq!(store.members.enable_code("nobody").await.unwrap(), None);
    assert_eq!(store.check().await, 3);
}

#[tokio::test]
async fn places_are_never_fewer_than_are_used() {
    let store = Store::new().await;
    let code = store.member("ann").await.referral_code;
    for invitee in ["bob", "cat", "dan"] {
        assert_eq!(store.uses(&code, invitee).await, ReferralUse::Done);
    }
    let PlacesSet::Done(ann) = store.members.set_places("ann", 3).await.unwrap() else { panic!("three are used") };
    assert_eq!((ann.total_referrals, ann.referrals_remaining(), ann.has_invites()), (3, 0, false));
    let PlacesSet::BelowUsed(ann) = store.members.set_places("ann", 2).await.unwrap() else { panic!("three are used") };
    assert_eq!((ann.total_referrals, ann.referrals_used), (3, 3));
    assert_eq!(store.uses(&code, "eve").await, ReferralUse::Refused(Refusal::NoPlaceLeft));
    store.members.set_places("ann", 4).await.unwrap();
    assert_eq!(store.uses(&code, "eve").await, ReferralUse::Done);
    assert_eq!(store.members.set_places("nobody", 4).await.unwrap(), PlacesSet::UnknownMember);
    assert_eq!(store.check().await, 5);
}

#[tokio::test]
async fn a_list_is_read_page_by_page_in_the_order_of_ids() {
    let store = Store::new().await;
    let code = store.member("ann").await.referral_code;
    for invitee in ["i9", "i10", "b", "i2", "Z", "é", "i1", "a", "c"] {
        assert_eq!(store.uses(&code, invitee).await, ReferralUse::Done);
    }
    let listed: Vec<_> = store.referrals("ann").await.into_iter().map(|referral| referral.invited_user).collect();
    assert_eq!(listed, ["Z", "a", "b", "c", "i1", "i10", "i2", "i9", "é"]);
    let page = store.members.referrals_of("ann", None, 2).await.unwrap();
    let others = store.members.referrals_of("a", page.next_cursor.as_deref(), 2).await;
    assert!(matches!(others, Err(AccessError::BadCursor)));
    assert_eq!(store.referrals("nobody").await, []);
}

/// How many crowds come: as many as `ROUNDS` says, or few enough for every day.
#[expect(clippy::disallowed_methods, reason = "told by whoever runs the tests")]
fn rounds() -> usize {
    std::env::var("ROUNDS").map_or(3, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_at_once_exactly_ten_win_and_no_row_is_half_written() {
    const CROWD: usize = 1_000;
    let (rounds, began) = (rounds(), Instant::now());
    let (mut winners, mut losers) = (0, 0);
    let store = Store::new().await;
    for round in 1..=rounds {
        let owner = format!("owner-{round}");
        let code = store.member(&owner).await.referral_code;
        let crowd = (0..CROWD).map(|number| {
            let (members, invitee) = (store.members.clone(), format!("{round}-{number}"));
            tokio::spawn(async move {
                let outcome = until_answered(|| members.referral_use(&code, &invitee)).await;
                (invitee, outcome)
            })
        });
        let outcomes: Vec<_> = join_all(crowd).await.into_iter().map(Result::unwrap).collect();
        // An answer that was lost on its way is "done already" when it is asked for again.
        let won: BTreeSet<_> = outcomes
            .iter()
            .filter(|(_, outcome)| matches!(outcome, ReferralUse::Done | ReferralUse::Already))
            .map(|(invitee, _)| invitee.clone())
            .collect();
        assert_eq!(won.len(), 10);
        let refused = ReferralUse::Refused(Refusal::NoPlaceLeft);
        assert_eq!(outcomes.iter().filter(|(_, outcome)| *outcome == refused).count(), CROWD - 10);
        winners += won.len();
        losers += CROWD - won.len();

        let listed = store.referrals(&owner).await.into_iter().map(|referral| referral.invited_user);
        assert_eq!(listed.collect::<BTreeSet<_>>(), won);
        let member = store.find(&owner).await;
        assert_eq!((member.referrals_used, member.referrals_remaining()), (10, 0));
        assert!(!store.members.is_valid_code(&code).await.unwrap());
    }
    assert_eq!(store.check().await, rounds * 11);
    println!("{rounds} rounds of {CROWD}: {winners} winners, {losers} refused, {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_crowd_that_joins_all_become_members_and_ten_by_the_code() {
    const CROWD: usize = 150;
    let store = Store::new().await;
    let code = store.member("owner").await.referral_code;
    let crowd = (0..CROWD).map(|number| {
        let (members, user) = (store.members.clone(), format!("user-{number}"));
        tokio::spawn(async move {
            let email = address(&user);
            until_answered(|| members.bind(&user, &code)).await;
            // Whoever confirms does so twice.
            join_all([(); 2].map(|()| until_answered(|| members.join(&user, &email)))).await
        })
    });
    let outcomes: Vec<_> = join_all(crowd).await.into_iter().flat_map(Result::unwrap).collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    assert_eq!((count(Joined::Referred), count(Joined::WithoutReferral), count(Joined::Already)), (10, 140, CROWD));
    assert_eq!(store.check().await, CROWD + 1);
}

#[tokio::test]
async fn the_checker_finds_a_row_without_those_that_belong_to_it() {
    let store = Store::new().await;
    store.member("ann").await;
    assert_eq!(store.check().await, 1);
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let rao = Rao::new(RaoConfig::default(), None, Arc::clone(&store.clock) as _, ids);
    let referrals: Dao<Referral> = Dao::open(&tables(store.engine.aws()), &rao);
    let stray = Referral { invited_user: "bob".into(), timestamp: START, confirmed: true };
    referrals.insert_new("ann", &stray).await.unwrap();
    assert!(AssertUnwindSafe(store.check()).catch_unwind().await.is_err());
}

/// Gives the same bytes for codes, some times over.
struct Stuck {
    left: AtomicUsize,
    drawn: AtomicUsize,
}

impl Stuck {
    fn times(times: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(times), drawn: AtomicUsize::new(0) })
    }
}

impl Ids for Stuck {
    fn fill(&self, bytes: &mut [u8]) {
        self.drawn.fetch_add(1, Ordering::SeqCst);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => bytes.fill(0),
            Err(_) => RandomIds.fill(bytes),
        }
    }
}

#[tokio::test]
async fn a_code_that_somebody_has_is_drawn_again() {
    let store = Store::new().await;
    store.with_ids(Stuck::times(1)).create_user("ann").await.unwrap();
    let ann = store.find("ann").await.referral_code;
    assert_eq!(ann, nobodys());

    for (times, user) in [(1, "bob"), (7, "cat")] {
        let ids = Stuck::times(times);
        assert_eq!(store.with_ids(Arc::clone(&ids) as _).create_user(user).await.unwrap(), Created::New);
        assert_eq!(ids.drawn.load(Ordering::SeqCst), times + 1);
        assert_ne!(store.find(user).await.referral_code, ann);
    }
    for (times, user) in [(1, "dan"), (7, "eve")] {
        let ids = Stuck::times(times);
        let members = store.with_ids(Arc::clone(&ids) as _);
        assert_eq!(members.referral_use(&ann, user).await.unwrap(), ReferralUse::Done);
        assert_eq!(ids.drawn.load(Ordering::SeqCst), times + 1);
    }
    assert_eq!(store.check().await, 5);
}

#[tokio::test]
async fn after_eight_codes_that_somebody_has_nothing_is_written() {
    let store = Store::new().await;
    store.with_ids(Stuck::times(1)).create_user("ann").await.unwrap();
    let ann = store.find("ann").await.referral_code;
    let all = store.all().await;
    let ids = Stuck::times(100);
    let members = store.with_ids(Arc::clone(&ids) as _);
    assert_eq!(members.create_user("bob").await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(ids.drawn.load(Ordering::SeqCst), 8);
    assert_eq!(members.referral_use(&ann, "bob").await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(ids.drawn.load(Ordering::SeqCst), 16);
    // Who is a member already is told so, whatever code is drawn.
    assert_eq!(members.create_user("ann").await.unwrap(), Created::Already);
    assert_eq!(store.all().await, all);
}

#[tokio::test]
async fn the_newest_sign_up_counts_for_seven_days() {
    let store = Store::new().await;
    let (ann, bob) = (store.member("ann").await, store.member("bob").await);
    assert_eq!(store.members.bound("cat").await.unwrap(), None);
    store.members.bind("cat", &ann.referral_code).await.unwrap();
    store.members.bind("cat", &bob.referral_code).await.unwrap();
    assert_eq!(store.members.bound("cat").await.unwrap(), Some(bob.referral_code));
    store.members.bind("dan", &ann.referral_code).await.unwrap();
    store.clock.advance(Duration::from_secs(7 * 24 * 3600 - 1));
    assert_eq!(store.members.join("cat", &address("cat")).await.unwrap(), Joined::Referred);
    assert_eq!(store.find("cat").await.invited_by.as_deref(), Some("bob"));
    store.clock.advance(Duration::from_secs(1));
    assert_eq!(store.members.bound("dan").await.unwrap(), None);
    assert_eq!(store.members.join("dan", &address("dan")).await.unwrap(), Joined::WithoutReferral);
    assert_eq!(store.check().await, 4);
}

#[tokio::test]
async fn no_confirmed_account_stays_without_rows_whatever_became_of_its_code() {
    let store = Store::new().await;
    let (full, disabled) = (store.member("full").await.referral_code, store.member("disabled").await.referral_code);
    let gone = store.member("gone").await.referral_code;
    let users = ["full-1", "disabled-1", "gone-1", "unknown-1"];
    for (user, code) in users.iter().zip([full, disabled, gone, nobodys()]) {
        store.members.bind(user, &code).await.unwrap();
    }
    store.members.set_places("full", 1).await.unwrap();
    assert_eq!(store.uses(&full, "faster").await, ReferralUse::Done);
    store.members.disable_code("disabled").await.unwrap();
    store.members.forget("gone").await.unwrap();
    for user in users.into_iter().chain(["unbound"]) {
        assert_eq!(store.members.join(user, &address(user)).await.unwrap(), Joined::WithoutReferral, "{user}");
        assert_eq!(store.members.join(user, &address(user)).await.unwrap(), Joined::Already, "{user}");
        assert_eq!(store.find(user).await.invited_by, None);
    }
    assert_eq!(store.check().await, 8);
}

#[tokio::test]
async fn an_unknown_code_costs_as_many_calls_as_a_known_one() {
    let store = Store::new().await;
    let proxy = Proxy::start(&store.engine.aws(), client()).await;
    let (valid, disabled) = (store.member("ann").await.referral_code, store.member("bob").await.referral_code);
    store.members.disable_code("bob").await.unwrap();
    let members = members(proxy.aws(), &store.clock, Arc::new(RandomIds));
    for code in [valid, disabled, nobodys()] {
        assert_eq!(proxy.faults.count(members.is_valid_code(&code)).await, 2);
    }
}

/// Someone about to join, in each way there is, and how many calls that takes.
const WAYS: [(&str, usize); 4] = [("referred", 6), ("full", 6), ("unknown", 4), ("unbound", 3)];

async fn about_to_join(store: &Store, way: &str, user: &str) {
    let code = match way {
        "referred" => {
            let inviter = store.member(&format!("inviter of {user}")).await;
            assert_eq!(inviter.total_referrals, 10);
            inviter.referral_code
        }
        "full" => {
            let inviter = format!("inviter of {user}");
            let code = store.member(&inviter).await.referral_code;
            store.members.set_places(&inviter, 0).await.unwrap();
            code
        }
        "unknown" => nobodys(),
        _ => return,
    };
    store.members.bind(user, &code).await.unwrap();
}

/// Joins where another process was killed: afterwards the rows are whole, and the place is used once.
async fn joins_again(store: &Store, way: &str, user: &str) {
    store.check().await;
    let was_there = store.members.find(user).await.unwrap().is_some();
    let joined = store.members.join(user, &address(user)).await.unwrap();
    match (was_there, way) {
        (false, "referred") => assert_ne!(joined, Joined::WithoutReferral),
        (false, _) => assert_ne!(joined, Joined::Referred),
        (true, _) => assert_eq!(joined, Joined::Already),
    }
    let inviter = format!("inviter of {user}");
    let member = store.find(user).await;
    assert_eq!(member.invited_by, (way == "referred").then(|| inviter.clone()));
    if let Some(inviter) = store.members.find(&inviter).await.unwrap() {
        assert_eq!(inviter.referrals_used, u32::from(way == "referred"));
    }
    store.check().await;
}

#[tokio::test]
async fn a_process_killed_at_any_call_of_join_is_finished_by_the_next() {
    let store = Store::new().await;
    let proxy = Proxy::start(&store.engine.aws(), client()).await;
    for (way, calls) in WAYS {
        for moment in MOMENTS {
            let mut killed = 0;
            for at in 1.. {
                let user = format!("{way} {moment:?} {at}");
                about_to_join(&store, way, &user).await;
                // A new process each time, with its own connections.
                let members = members(proxy.aws(), &store.clock, Arc::new(RandomIds));
                let email = address(&user);
                proxy.faults.stop(at, moment);
                if let Some(joined) = proxy.faults.unless_stopped(members.join(&user, &email)).await {
                    assert_ne!(joined.unwrap(), Joined::Already);
                    break;
                }
                killed += 1;
                joins_again(&store, way, &user).await;
            }
            assert_eq!(killed, calls, "calls of join, {way}");
        }
    }
}

#[tokio::test]
async fn a_process_killed_between_any_two_polls_of_join_is_finished_by_the_next() {
    let store = Store::new().await;
    for (way, calls) in WAYS {
        // How often a call is polled differs from time to time: the end is reached when no run of several is killed.
        let (mut killed, mut alive) = (0, 0);
        for polls in 0.. {
            let user = format!("{way} {polls}");
            about_to_join(&store, way, &user).await;
            let members = store.with_ids(Arc::new(RandomIds));
            let outcome = Mortal::after(polls, members.join(&user, &address(&user))).await;
            match outcome {
                None => (killed, alive) = (killed + 1, 0),
                Some(joined) => {
                    assert_ne!(joined.unwrap(), Joined::Already);
                    alive += 1;
                }
            }
            joins_again(&store, way, &user).await;
            if alive == 3 {
                break;
            }
        }
        assert!(killed > calls, "{way}: before the first call and at each of {calls}, but only {killed}");
    }
}

/// `ann` invited `bob`, who invited `cat` and `dan`; a sign-up of `bob`'s is still remembered.
async fn family(store: &Store) -> ReferralCode {
    let ann = store.member("ann").await.referral_code;
    store.members.bind("bob", &ann).await.unwrap();
    assert_eq!(store.members.join("bob", &address("bob")).await.unwrap(), Joined::Referred);
    let bob = store.find("bob").await.referral_code;
    for invitee in ["cat", "dan"] {
        assert_eq!(store.uses(&bob, invitee).await, ReferralUse::Done);
    }
    bob
}

/// Nothing leads to `bob` any more, and nobody else has lost anything.
async fn assert_bob_is_forgotten(store: &Store, code: &ReferralCode) {
    assert_eq!(store.check().await, 3);
    let all = store.all().await;
    let naming: Vec<_> = all.iter().filter(|row| row.contains("\"bob\"") || row.contains(&code.to_string())).collect();
    assert_eq!(naming.len(), 1, "{naming:?}");
    assert!(naming[0].contains("forgottenAt"));

    assert_eq!(store.members.find("bob").await.unwrap(), None);
    assert!(!store.members.is_valid_code(code).await.unwrap());
    let ann = store.find("ann").await;
    assert_eq!((ann.referrals_used, ann.referrals_remaining()), (1, 9), "the place stays used");
    let listed = store.referrals("ann").await;
    assert!(listed.len() == 1 && listed[0].is_forgotten() && listed[0].confirmed);
    assert_eq!(listed[0].timestamp, START);
    for invitee in ["cat", "dan"] {
        let member = store.find(invitee).await;
        assert_eq!((member.invited_by.as_deref(), member.has_invites()), (None, true));
    }
}

#[tokio::test]
async fn who_is_forgotten_twice_is_forgotten_once() {
    let store = Store::new().await;
    let code = family(&store).await;
    store.members.forget("bob").await.unwrap();
    assert_bob_is_forgotten(&store, &code).await;
    let all = store.all().await;
    store.clock.advance(Duration::from_secs(3600));
    store.members.forget("bob").await.unwrap();
    assert_eq!(store.all().await, all);

    // Late messages of the account bring nothing back.
    assert_eq!(store.members.join("bob", &address("bob")).await.unwrap(), Joined::Already);
    assert_eq!(store.members.create_user("bob").await.unwrap(), Created::Already);
    let ann = store.find("ann").await.referral_code;
    assert_eq!(store.uses(&ann, "bob").await, ReferralUse::Refused(Refusal::AlreadyMember));
    assert_eq!(store.uses(&code, "eve").await, ReferralUse::Refused(Refusal::UnknownCode));
    assert_eq!(store.members.enable_code("bob").await.unwrap(), None);
    assert_eq!(store.members.set_places("bob", 5).await.unwrap(), PlacesSet::UnknownMember);
    assert_eq!(store.all().await, all);
    let row = store.rows(&USERS).await.into_iter().find(|row| row["user"] == "bob").unwrap();
    assert_eq!(row["expiresAt"], START.seconds() + 30 * 24 * 3600);
}

#[tokio::test]
async fn who_never_was_a_member_can_be_forgotten() {
    let store = Store::new().await;
    let ann = store.member("ann").await.referral_code;
    store.members.bind("eve", &ann).await.unwrap();
    for _ in 0..2 {
        store.members.forget("eve").await.unwrap();
        assert_eq!(store.members.bound("eve").await.unwrap(), None);
        assert_eq!(store.members.join("eve", &address("eve")).await.unwrap(), Joined::Already);
        assert_eq!(store.members.find("eve").await.unwrap(), None);
    }
    assert_eq!(store.check().await, 1);
}

#[tokio::test]
async fn a_process_killed_at_any_call_of_forget_is_finished_by_the_next() {
    for moment in MOMENTS {
        let mut killed = 0;
        for at in 1.. {
            let store = Store::new().await;
            let proxy = Proxy::start(&store.engine.aws(), client()).await;
            let code = family(&store).await;
            let members = members(proxy.aws(), &store.clock, Arc::new(RandomIds));
            proxy.faults.stop(at, moment);
            let outcome = proxy.faults.unless_stopped(members.forget("bob")).await;
            let done = outcome.map(Result::unwrap).is_some();
            assert!(!store.members.is_valid_code(&code).await.unwrap() || (at, moment) == (1, Moment::Before));
            if !done {
                killed += 1;
                store.members.forget("bob").await.unwrap();
            }
            assert_bob_is_forgotten(&store, &code).await;
            if done {
                break;
            }
        }
        // Mark, sign-up, code; the inviter's row; the list, two writes for each of two invitees, the list; what bob
        // earned, read and removed, and his ranks, of which there are none; invitations; the rest.
        assert_eq!(killed, 3 + 2 + 1 + 4 + 1 + 3 + 1 + 1);
    }
}

#[tokio::test]
async fn a_list_longer_than_a_page_is_forgotten_whole() {
    let store = Store::new().await;
    let code = store.member("ann").await.referral_code;
    store.members.set_places("ann", 60).await.unwrap();
    for number in 0..60 {
        assert_eq!(store.uses(&code, &format!("user-{number}")).await, ReferralUse::Done);
    }
    store.members.forget("user-7").await.unwrap();
    store.members.forget("ann").await.unwrap();
    assert_eq!(store.rows(&REFERRALS).await, []);
    assert_eq!(store.check().await, 59);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inviter_and_invitee_forgotten_while_others_join_leave_no_half_rows() {
    let store = Store::new().await;
    for round in 0..20 {
        let (owner, invitee) = (format!("owner-{round}"), format!("{round}-first"));
        let code = store.member(&owner).await.referral_code;
        assert_eq!(store.uses(&code, &invitee).await, ReferralUse::Done);
        let crowd = (0..6).map(|number| {
            let (members, user) = (store.members.clone(), format!("{round}-{number}"));
            tokio::spawn(async move { until_answered(|| members.referral_use(&code, &user)).await })
        });
        let crowd: Vec<_> = crowd.collect();
        let leaving = [owner, invitee].map(|user| {
            let members = store.members.clone();
            tokio::spawn(async move { until_answered(|| members.forget(&user)).await })
        });
        for left in join_all(leaving).await {
            left.unwrap();
        }
        for outcome in join_all(crowd).await {
            let outcome = outcome.unwrap();
            assert!(matches!(outcome, ReferralUse::Done | ReferralUse::Refused(Refusal::UnknownCode)), "{outcome:?}");
        }
        store.check().await;
    }
    assert_eq!(store.rows(&REFERRALS).await, []);
}
