//! The DAO over a real DynamoDB engine.

use access::Cached;
use access::tables::{JOBS, METADATA, SEGMENTS, Table};
use access::{
    AccessError, Cursors, Dao, Expression, KeySchema, Rao, RaoConfig, Row, SeededIds, SystemClock, Tables, Unique,
};
use futures::TryStreamExt;
use holdfast::Embedded;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    timestamp: u64,
    big: i64,
    note: Option<String>,
}

impl Row for Version {
    const TABLE: &'static Table = &METADATA;
}

impl Cached for Version {
    const PREFIX: &'static str = "versions";
    const VERSION: u32 = 1;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Once {
    count: u64,
}

impl Row for Once {
    const TABLE: &'static Table = &JOBS;
}
impl Unique for Once {}

struct Store {
    tables: Tables,
    rao: Rao,
    _engine: Embedded,
}

async fn store() -> Store {
    let engine = Embedded::in_memory().await.unwrap();
    let tables = Tables::new(engine.aws(), "t-", Cursors::new(b"s"));
    tables.create_missing().await.unwrap();
    tables.create_missing().await.unwrap();
    let rao = Rao::new(RaoConfig::default(), None, Arc::new(SystemClock::default()), Arc::new(SeededIds::new(1)));
    Store { tables, rao, _engine: engine }
}

fn version(timestamp: u64) -> Version {
    // More digits than a double has.
    Version { timestamp, big: i64::MAX - 1, note: None }
}

#[tokio::test]
async fn rows_come_back_as_written_newest_by_sort_key() {
    let Store { tables, rao, _engine } = store().await;
    let dao: Dao<Version> = Dao::open(&tables, &rao);
    assert_eq!(dao.newest("a", true).await.unwrap(), None);
    for timestamp in [5, 900, 30] {
        dao.insert_new("a", &version(timestamp)).await.unwrap();
    }
    dao.insert_new("b", &version(7)).await.unwrap();
    assert_eq!(dao.newest("a", true).await.unwrap(), Some(version(900)));
    assert_eq!(dao.get("a", Some(30.into())).await.unwrap(), Some(version(30)));
    assert_eq!(dao.find_count_by_pk("a").await.unwrap(), 3);
    let all: Vec<Version> = dao.find_all_by_pk("a").try_collect().await.unwrap();
    assert_eq!(all, [version(5), version(30), version(900)]);
}

#[tokio::test]
async fn the_newest_row_is_cached_exactly() {
    let Store { tables, rao, _engine } = store().await;
    let dao: Dao<Version> = Dao::open(&tables, &rao);
    assert!(dao.find_most_recent_by_pk("a").await.unwrap().is_none());
    dao.insert_new("a", &version(1)).await.unwrap();
    assert_eq!(*dao.find_most_recent_by_pk("a").await.unwrap().unwrap(), version(1));
    dao.insert_new("a", &version(2)).await.unwrap();
    assert_eq!(*dao.find_most_recent_by_pk("a").await.unwrap().unwrap(), version(1), "from the cache");
    rao.delete::<Version>("a").await;
    assert_eq!(*dao.find_most_recent_by_pk("a").await.unwrap().unwrap(), version(2));
}

#[tokio::test]
async fn a_partition_larger_than_a_page_is_read_and_counted_whole() {
    let Store { tables, rao, _engine } = store().await;
    let dao: Dao<Version> = Dao::open(&tables, &rao);
    let note = Some("x".repeat(100_000));
    for timestamp in 0..25 {
        dao.insert_new("a", &Version { note: note.clone(), ..version(timestamp) }).await.unwrap();
    }
    assert_eq!(dao.find_count_by_pk("a").await.unwrap(), 25);
    let all: Vec<Version> = dao.find_all_by_pk("a").try_collect().await.unwrap();
    assert_eq!(all.iter().map(|row| row.timestamp).collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
}

#[tokio::test]
async fn pages_fit_together_and_cursors_are_ours() {
    let Store { tables, rao, _engine } = store().await;
    let dao: Dao<Version> = Dao::open(&tables, &rao);
    for timestamp in 0..10 {
        dao.insert_new("a", &version(timestamp)).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = dao.page("a", cursor.as_deref(), 4).await.unwrap();
        assert!(page.items.len() <= 4);
        seen.extend(page.items.iter().map(|row| row.timestamp));
        cursor = page.next_cursor;
        if let Some(cursor) = &cursor {
            assert!(matches!(dao.page("b", Some(cursor), 4).await, Err(AccessError::BadCursor)));
        } else {
            break;
        }
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    assert!(matches!(dao.page("a", Some("made up"), 4).await, Err(AccessError::BadCursor)));
}

#[tokio::test]
async fn of_many_who_insert_one_row_one_wins() {
    let Store { tables, rao, _engine } = store().await;
    let dao: Dao<Once> = Dao::open(&tables, &rao);
    let racers = (0..20).map(|count| {
        let dao = dao.clone();
        tokio::spawn(async move { dao.insert_one("k", &Once { count }).await })
    });
    let outcomes = futures::future::join_all(racers).await;
    let won = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count();
    assert_eq!(won, 1);
    assert!(outcomes.into_iter().all(|outcome| match outcome.unwrap() {
        Ok(()) | Err(AccessError::AlreadyExists { .. }) => true,
        Err(_) => false,
    }));
}

#[tokio::test]
async fn a_conditional_change_counts_exactly_and_a_failed_one_shows_what_is_there() {
    let Store { tables, rao, _engine } = store().await;
    let dao: Dao<Once> = Dao::open(&tables, &rao);
    dao.insert_one("k", &Once { count: 0 }).await.unwrap();
    let add =
        || Expression::new("SET #count = #count + :one").name("#count", "count").number(":one", 1).number(":max", 10);
    let racers = (0..30).map(|_| {
        let dao = dao.clone();
        tokio::spawn(async move { dao.update_if("k", None, add(), "#count < :max").await })
    });
    let outcomes: Vec<_> = futures::future::join_all(racers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    let Some(AccessError::ConditionFailed { row: Some(row), .. }) = outcomes.into_iter().find_map(Result::err) else {
        panic!("the row that was there comes with the failure")
    };
    assert_eq!(row["count"].as_n().unwrap(), "10");
    assert_eq!(dao.batch_get(&["k".into(), "none".into()]).await.unwrap(), [Once { count: 10 }]);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let Store { tables, rao, _engine } = store().await;
    let (once, versions): (Dao<Once>, Dao<Version>) = (Dao::open(&tables, &rao), Dao::open(&tables, &rao));
    let absent = || Some(Expression::new("attribute_not_exists(#job)").name("#job", "job"));
    let both = |count| {
        vec![once.put("k", &Once { count }, absent()).unwrap(), versions.put("v", &version(count), None).unwrap()]
    };
    tables.transact(both(1)).await.unwrap();
    assert!(matches!(tables.transact(both(2)).await, Err(AccessError::ConditionFailed { .. })));
    assert_eq!(once.get("k", None).await.unwrap(), Some(Once { count: 1 }));
    assert_eq!(versions.find_count_by_pk("v").await.unwrap(), 1);
    once.delete_if("k", None, Expression::new("attribute_exists(job)")).await.unwrap();
    assert!(once.delete_if("k", None, Expression::new("attribute_exists(job)")).await.is_err());
}

#[tokio::test]
async fn a_table_tells_its_key_names() {
    let Store { tables, rao, _engine } = store().await;
    let dao: Dao<Version> = Dao::open(&tables, &rao);
    let expected = KeySchema { partition_key: "token".into(), sort_key: Some("timestamp".into()) };
    assert_eq!(dao.describe().await.unwrap(), expected);
    assert_eq!(tables.physical_name(&SEGMENTS), "t-segments");
}

#[tokio::test]
async fn a_store_that_is_gone_is_unavailable_not_a_fault_of_ours() {
    let Store { tables, rao, _engine } = store().await;
    _engine.close().await.unwrap();
    let dao: Dao<Version> = Dao::open(&tables, &rao);
    let error = dao.newest("a", true).await.unwrap_err();
    assert_eq!(error.kind(), access::Kind::Unavailable, "{error}");
}
