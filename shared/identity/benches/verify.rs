//! The price of a bearer token: first sight, second sight, and a bare `jsonwebtoken` decode of the same token.
//!
//! Run with `cargo bench -p identity`.

use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use identity::{FetchError, JwksFetch, LOCAL_ISSUER, LocalIssuer, Rules, Verifier, provider};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tokio::runtime::Builder;

const NOW: u64 = 1_800_000_000;

struct NoNetwork;

#[async_trait]
impl JwksFetch for NoNetwork {
    async fn fetch(&self, _url: &str) -> Result<String, FetchError> {
        Err(FetchError::TimedOut)
    }
}

fn verify(c: &mut Criterion) {
    provider::install();
    let dir = tempfile::tempdir().expect("a folder for the key");
    let issuer = LocalIssuer::open(dir.path()).expect("a key");
    let groups = ["admin".to_owned()];
    let token = issuer.issue("ann", &groups, "web", 3600, NOW).expect("a token");
    let authorization = format!("Bearer {token}");
    let verifier = |memo_seconds| {
        let issuers = vec![issuer.as_issuer(vec!["web".to_owned()])];
        let rules = Rules { memo_seconds, ..Rules::default() };
        Verifier::with_rules(issuers, Arc::new(NoNetwork), None, Arc::new(|| NOW), rules).expect("an allow-list")
    };
    let (forgetful, remembering) = (verifier(0), verifier(30));
    let runtime = Builder::new_current_thread().build().expect("a runtime");

    let mut group = c.benchmark_group("verify");
    group.bench_function("cold", |b| {
        b.to_async(&runtime).iter(|| async { forgetful.verify(black_box(Some(&authorization))).await.is_ok() });
    });
    group.bench_function("remembered", |b| {
        b.to_async(&runtime).iter(|| async { remembering.verify(black_box(Some(&authorization))).await.is_ok() });
    });

    let set: JwkSet = serde_json::from_str(&issuer.jwks()).expect("a key set");
    let key = DecodingKey::from_jwk(&set.keys[0]).expect("an RSA key");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[LOCAL_ISSUER]);
    group.bench_function("bare_jsonwebtoken", |b| {
        b.iter(|| jsonwebtoken::decode::<serde_json::Value>(black_box(&token), &key, &validation).is_ok());
    });
    group.bench_function("refused_for_its_claims", |b| {
        let expired = issuer.issue("ann", &groups, "web", 0, NOW - 3600).expect("a token");
        let authorization = format!("Bearer {expired}");
        b.to_async(&runtime).iter(|| async { remembering.verify(black_box(Some(&authorization))).await.is_err() });
    });
    group.finish();

    c.bench_function("issue", |b| {
        b.iter_batched(|| (), |()| issuer.issue("ann", &groups, "web", 3600, NOW), BatchSize::SmallInput);
    });
}

criterion_group!(benches, verify);
criterion_main!(benches);
