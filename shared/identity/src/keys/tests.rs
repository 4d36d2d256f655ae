use std::future::pending;
use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;
use crate::forge::{self, ISSUER, ManualClock, NOW, Network, SharedCache, bearer, one, two};
use crate::verifier::Verifier;

struct Setting {
    clock: ManualClock,
    network: Arc<Network>,
    verifier: Arc<Verifier>,
}

impl Setting {
    fn new(network: Arc<Network>) -> Self {
        Self::of(network, None, None)
    }

    fn of(network: Arc<Network>, cache: Option<Arc<dyn JwksCache>>, bundled: Option<String>) -> Self {
        let clock = ManualClock::new();
        let issuer = Issuer { bundled, ..forge::issuer() };
        // Remembered tokens would hide the keys' rules.
        let rules = Rules { memo_seconds: 0, ..Rules::default() };
        let verifier = Verifier::with_rules(vec![issuer], network.clone(), cache, clock.as_clock(), rules).unwrap();
        Self { clock, network, verifier: Arc::new(verifier) }
    }

    async fn verify(&self, token: &str) -> Result<(), Refused> {
        self.verifier.verify(Some(&bearer(token))).await.map(|_| ())
    }
}

/// A token that no test's clock outlives.
fn token_of(forge: &forge::Forge) -> String {
    forge.token(|_, claims| claims["exp"] = json!(NOW + 1_000_000))
}

fn first() -> String {
    token_of(one())
}

fn rotated() -> String {
    token_of(two())
}

/// A token whose key nobody has.
fn unheard_of(number: usize) -> String {
    one().token(|header, claims| {
        header["kid"] = json!(format!("kid-{number}"));
        claims["exp"] = json!(NOW + 1_000_000);
    })
}

fn both() -> String {
    json!({ "keys": [one().jwk(), two().jwk()] }).to_string()
}

const OK: Result<(), Refused> = Ok(());
const UNKNOWN: Result<(), Refused> = Err(Refused::UnknownKey);
const UNAVAILABLE: Result<(), Refused> = Err(Refused::KeysUnavailable);

#[tokio::test]
async fn keys_are_fetched_once_and_kept_for_an_hour() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.network.count(), 0, "nothing is fetched before it is needed");
    assert_eq!(setting.verify(&first()).await, OK);
    setting.clock.advance(3599);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.network.count(), 1);
    setting.clock.advance(1);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.network.count(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_once_the_new_set_is_in() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    setting.network.answer(two().jwks());
    setting.clock.advance(3600);
    assert_eq!(setting.verify(&first()).await, UNKNOWN);
    assert_eq!(setting.verify(&rotated()).await, OK);
}

#[tokio::test]
async fn a_new_key_is_found_by_asking_at_once() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    setting.network.answer(both());
    assert_eq!(setting.verify(&rotated()).await, OK);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.network.count(), 2);
}

#[tokio::test]
async fn many_first_tokens_at_once_cause_one_fetch() {
    let setting = Setting::new(Network::holding(one().jwks()));
    let token = first();
    let all = tokio::spawn({
        let (verifier, authorization) = (Arc::clone(&setting.verifier), bearer(&token));
        async move {
            let mut callers = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let (verifier, authorization) = (Arc::clone(&verifier), authorization.clone());
                callers.spawn(async move { verifier.verify(Some(&authorization)).await.map(|_| ()) });
            }
            callers.join_all().await
        }
    });
    setting.network.asked.notified().await;
    setting.network.release();
    assert!(all.await.unwrap().into_iter().all(|result| result == OK));
    assert_eq!(setting.network.count(), 1);
}

#[tokio::test]
async fn many_different_unknown_keys_at_once_cause_one_fetch() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (verifier, authorization) = (Arc::clone(&setting.verifier), bearer(&unheard_of(number)));
        callers.spawn(async move { verifier.verify(Some(&authorization)).await.map(|_| ()) });
    }
    assert!(callers.join_all().await.into_iter().all(|result| result == UNKNOWN));
    assert_eq!(setting.network.count(), 2);
}

#[tokio::test]
async fn unknown_keys_are_answered_without_a_fetch_during_a_growing_pause() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    let mut fetches = 1;
    for pause in [60, 120, 240, 300, 300] {
        assert_eq!(setting.verify(&unheard_of(pause)).await, UNKNOWN);
        fetches += 1;
        assert_eq!(setting.network.count(), fetches, "asked after the pause before {pause}");
        setting.clock.advance(pause as u64 - 1);
        assert_eq!(setting.verify(&unheard_of(pause + 1)).await, UNKNOWN);
        assert_eq!(setting.verify(&first()).await, OK, "known keys are not held up");
        assert_eq!(setting.network.count(), fetches, "within the pause of {pause}");
        setting.clock.advance(1);
    }
}

#[tokio::test]
async fn a_key_found_ends_the_growth_of_the_pause() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&unheard_of(1)).await, UNKNOWN);
    setting.clock.advance(60);
    setting.network.answer(both());
    assert_eq!(setting.verify(&rotated()).await, OK);
    assert_eq!(setting.verify(&unheard_of(2)).await, UNKNOWN);
    assert_eq!(setting.network.count(), 3);
    setting.clock.advance(60);
    assert_eq!(setting.verify(&unheard_of(3)).await, UNKNOWN);
    assert_eq!(setting.network.count(), 4);
}

#[tokio::test]
async fn a_clock_set_back_does_not_prolong_the_pause() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&unheard_of(1)).await, UNKNOWN);
    setting.clock.set(NOW - 50);
    assert_eq!(setting.verify(&unheard_of(2)).await, UNKNOWN);
    assert_eq!(setting.network.count(), 2);
}

#[tokio::test]
async fn without_any_keys_the_caller_is_not_to_blame() {
    let setting = Setting::new(Network::answering(one().jwks()));
    setting.network.answer(None);
    assert_eq!(setting.verify(&first()).await, UNAVAILABLE);
    assert_eq!(setting.verify(&first()).await, UNAVAILABLE);
    assert_eq!(setting.network.count(), 1, "an issuer that is down is left alone for a while");
    setting.network.answer(one().jwks());
    setting.clock.advance(5);
    assert_eq!(setting.verify(&first()).await, OK);
}

#[tokio::test]
async fn the_pause_after_failures_grows_too() {
    let setting = Setting::new(Network::answering(one().jwks()));
    setting.network.answer(None);
    for (fetches, pause) in [5, 10, 20, 40, 80, 160, 300, 300].into_iter().enumerate() {
        assert_eq!(setting.verify(&first()).await, UNAVAILABLE);
        assert_eq!(setting.network.count(), fetches + 1);
        setting.clock.advance(pause - 1);
        assert_eq!(setting.verify(&first()).await, UNAVAILABLE);
        assert_eq!(setting.network.count(), fetches + 1);
        setting.clock.advance(1);
    }
}

#[tokio::test]
async fn keys_past_their_age_serve_while_the_issuer_does_not_answer() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    setting.network.answer(None);
    setting.clock.advance(100_000);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.network.count(), 2, "asked once, then paused");
    assert_eq!(setting.verify(&rotated()).await, UNAVAILABLE, "it may be a good key");
}

#[tokio::test]
async fn a_useless_answer_does_not_replace_good_keys() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    for useless in ["<html>", "{}", r#"{"keys":[]}"#, &" ".repeat(70_000)] {
        setting.network.answer(useless.to_owned());
        setting.clock.advance(3600);
        assert_eq!(setting.verify(&first()).await, OK);
    }
    assert_eq!(setting.network.count(), 5);
}

#[tokio::test]
async fn the_bundled_copy_is_the_last_resort() {
    let setting = Setting::of(Network::answering(two().jwks()), None, Some(one().jwks()));
    setting.network.answer(None);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.network.count(), 1, "the network was asked first");
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.verify(&rotated()).await, UNAVAILABLE);
    assert_eq!(setting.network.count(), 1);
    setting.network.answer(two().jwks());
    setting.clock.advance(5);
    assert_eq!(setting.verify(&rotated()).await, OK);
    assert_eq!(setting.verify(&first()).await, UNKNOWN, "the issuer's own word counts again");
}

#[tokio::test(start_paused = true)]
async fn a_silent_issuer_is_given_up_after_two_seconds() {
    let setting = Setting::new(Network::holding(one().jwks()));
    let start = tokio::time::Instant::now();
    assert_eq!(setting.verify(&first()).await, UNAVAILABLE);
    assert_eq!(start.elapsed(), NETWORK_LIMIT);
}

#[tokio::test]
async fn a_stale_key_does_not_wait_for_somebody_elses_question() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    setting.network.asked.notified().await;
    setting.network.hold();
    setting.clock.advance(3600);

    let (verifier, authorization) = (Arc::clone(&setting.verifier), bearer(&first()));
    let asking = tokio::spawn(async move { verifier.verify(Some(&authorization)).await.map(|_| ()) });
    setting.network.asked.notified().await;
    assert_eq!(setting.verify(&first()).await, OK);
    assert!(!asking.is_finished());
    setting.network.release();
    assert_eq!(asking.await.unwrap(), OK);
    assert_eq!(setting.network.count(), 2);
}

#[tokio::test]
async fn a_caller_who_hangs_up_neither_stops_the_fetch_nor_causes_another() {
    let setting = Setting::new(Network::holding(one().jwks()));
    let (verifier, authorization) = (Arc::clone(&setting.verifier), bearer(&first()));
    let hasty = tokio::spawn(async move { verifier.verify(Some(&authorization)).await.map(|_| ()) });
    setting.network.asked.notified().await;
    hasty.abort();
    assert!(hasty.await.unwrap_err().is_cancelled());
    setting.network.release();
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.network.count(), 1);
}

#[tokio::test]
async fn what_one_process_fetched_serves_the_others() {
    let cache = Arc::new(SharedCache::default());
    let one_process = Setting::of(Network::answering(one().jwks()), Some(cache.clone()), None);
    assert_eq!(one_process.verify(&first()).await, OK);
    assert_eq!(cache.0.lock().unwrap()[ISSUER], StoredJwks { json: one().jwks(), fetched_at: NOW });

    let another = Setting::of(Network::answering(one().jwks()), Some(cache), None);
    assert_eq!(another.verify(&first()).await, OK);
    assert_eq!(another.network.count(), 0);
    another.clock.advance(3600);
    assert_eq!(another.verify(&first()).await, OK);
    assert_eq!(another.network.count(), 1, "a copy past its age is not taken");
}

#[tokio::test]
async fn a_key_that_was_not_there_a_moment_ago_is_not_asked_for_by_every_process() {
    let cache = Arc::new(SharedCache::default());
    let stored = StoredJwks { json: one().jwks(), fetched_at: NOW - 59 };
    cache.0.lock().unwrap().insert(ISSUER.into(), stored);
    let setting = Setting::of(Network::answering(both()), Some(cache), None);
    assert_eq!(setting.verify(&rotated()).await, UNKNOWN);
    assert_eq!(setting.network.count(), 0);
    setting.clock.advance(60);
    assert_eq!(setting.verify(&rotated()).await, OK);
    assert_eq!(setting.network.count(), 1);
}

#[tokio::test]
async fn an_older_copy_without_the_key_leads_on_to_the_issuer() {
    let cache = Arc::new(SharedCache::default());
    let stored = StoredJwks { json: one().jwks(), fetched_at: NOW - 60 };
    cache.0.lock().unwrap().insert(ISSUER.into(), stored);
    let setting = Setting::of(Network::answering(both()), Some(cache.clone()), None);
    assert_eq!(setting.verify(&rotated()).await, OK);
    assert_eq!(setting.network.count(), 1);
    assert_eq!(cache.0.lock().unwrap()[ISSUER].json, both());
}

#[tokio::test]
async fn a_useless_or_future_copy_is_survived() {
    let cache = Arc::new(SharedCache::default());
    let stored = StoredJwks { json: "{}".into(), fetched_at: NOW };
    cache.0.lock().unwrap().insert(ISSUER.into(), stored);
    let setting = Setting::of(Network::answering(one().jwks()), Some(cache.clone()), None);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(setting.network.count(), 1);

    let stored = StoredJwks { json: one().jwks(), fetched_at: NOW + 1_000_000 };
    cache.0.lock().unwrap().insert(ISSUER.into(), stored);
    let setting = Setting::of(Network::answering(one().jwks()), Some(cache), None);
    assert_eq!(setting.verify(&first()).await, OK);
    setting.clock.advance(3600);
    assert_eq!(setting.verify(&first()).await, OK);
    assert!(setting.network.count() <= 1, "its date counts as the moment it was seen");
}

#[derive(Default)]
struct HangingCache(AtomicUsize);

#[async_trait]
impl JwksCache for HangingCache {
    async fn get(&self, _issuer: &str) -> Option<StoredJwks> {
        self.0.fetch_add(1, Ordering::SeqCst);
        pending().await
    }

    async fn put(&self, _issuer: &str, _stored: &StoredJwks) {
        pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_hangs_costs_half_a_second_at_most() {
    let cache = Arc::new(HangingCache::default());
    let setting = Setting::of(Network::answering(one().jwks()), Some(cache.clone()), None);
    let start = tokio::time::Instant::now();
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(start.elapsed(), CACHE_LIMIT * 2);
    assert_eq!(setting.verify(&first()).await, OK);
    assert_eq!(cache.0.load(Ordering::SeqCst), 1, "keys in memory need no cache");
}

#[tokio::test]
async fn many_different_unknown_keys_cause_one_fetch_though_it_fails() {
    let setting = Setting::new(Network::answering(one().jwks()));
    assert_eq!(setting.verify(&first()).await, OK);
    setting.network.answer(None);
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (verifier, authorization) = (Arc::clone(&setting.verifier), bearer(&unheard_of(number)));
        callers.spawn(async move { verifier.verify(Some(&authorization)).await.map(|_| ()) });
    }
    assert!(callers.join_all().await.into_iter().all(|result| result == UNAVAILABLE));
    assert_eq!(setting.network.count(), 2);
    assert_eq!(setting.verify(&first()).await, OK, "known keys are not held up");
}

#[tokio::test]
async fn an_issuer_that_answers_again_starts_the_pauses_over() {
    let setting = Setting::new(Network::answering(one().jwks()));
    setting.network.answer(None);
    for pause in [5, 10] {
        assert_eq!(setting.verify(&unheard_of(1)).await, UNAVAILABLE);
        setting.clock.advance(pause);
    }
    setting.network.answer(one().jwks());
    assert_eq!(setting.verify(&unheard_of(1)).await, UNKNOWN);
    setting.clock.advance(59);
    assert_eq!(setting.verify(&unheard_of(1)).await, UNKNOWN);
    assert_eq!(setting.network.count(), 3, "the first pause after an answer in vain");
    setting.clock.advance(1);
    assert_eq!(setting.verify(&unheard_of(1)).await, UNKNOWN);
    assert_eq!(setting.network.count(), 4);
}

/// A key set over HTTP that counts who asks.
struct JwksServer {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl JwksServer {
    /// Answers every request with this status line's and body's response.
    async fn start(status: &'static str, body: String) -> Self {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _read = stream.read(&mut request).await.unwrap();
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        });
        Self { url, requests }
    }

    fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_flood_of_made_up_keys_reaches_each_issuer_a_few_times_an_hour_and_no_issuer_for_another() {
    const FAILING: &str = "https://failing.test/pool";
    const QUIET: &str = "https://quiet.test/pool";
    let flooded = JwksServer::start("200 OK", one().jwks()).await;
    let failing = JwksServer::start("503 Busy", String::new()).await;
    let quiet = JwksServer::start("200 OK", two().jwks()).await;
    let issuers = [(ISSUER, &flooded), (FAILING, &failing), (QUIET, &quiet)].map(|(issuer, server)| Issuer {
        issuer: issuer.into(),
        jwks_url: Some(server.url.clone()),
        ..forge::issuer()
    });
    let clock = ManualClock::new();
    let fetch = Arc::new(crate::fetch::HttpJwksFetch::default());
    let verifier = Verifier::new(issuers.to_vec(), fetch, None, clock.as_clock()).unwrap();
    let made_up = |issuer: &str, number: u64| {
        bearer(&two().token(|header, claims| {
            header["kid"] = json!(format!("kid-{number}"));
            claims["iss"] = json!(issuer);
            claims["exp"] = json!(NOW + 1_000_000);
        }))
    };

    // A made-up key for each every second, for an hour; no pause is longer than five minutes.
    for second in 0..3600 {
        let to_flooded = made_up(ISSUER, second);
        assert_eq!(verifier.verify(Some(&to_flooded)).await.err(), Some(Refused::UnknownKey));
        // Every tenth second is enough to show this one's pauses, and saves signatures.
        if second % 10 == 0 {
            let to_failing = made_up(FAILING, second);
            assert_eq!(verifier.verify(Some(&to_failing)).await.err(), Some(Refused::KeysUnavailable));
        }
        clock.advance(1);
    }
    // Pauses of 60, 120, 240 and then 300 s end at 60, 180, 420, 720, … 3420.
    assert_eq!(flooded.count(), 14);
    // Pauses of 5, 10, 20, 40, 80, 160 and then 300 s, each rounded up to the next question.
    assert_eq!(failing.count(), 17);
    assert_eq!(quiet.count(), 0);

    let good = two().token(|_, claims| {
        claims["iss"] = json!(QUIET);
        claims["exp"] = json!(NOW + 1_000_000);
    });
    assert!(verifier.verify(Some(&bearer(&good))).await.is_ok(), "others' floods cost this issuer nothing");
    assert_eq!(quiet.count(), 1);
}

#[test]
fn a_pause_never_overflows() {
    let mut gate = Gate::default();
    for _ in 0..200 {
        gate.pause(NOW, u64::MAX, u64::MAX, true);
        assert_eq!(gate.pause_seconds, u64::MAX);
        assert!(gate.is_pausing(u64::MAX - 1));
    }
    gate.open();
    assert!(!gate.is_pausing(NOW));
}
