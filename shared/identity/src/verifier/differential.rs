//! The same tokens asked of us and of `aws-jwt-verify`, over a hundred thousand of them, changed in every way that came
//! to mind. Where we differ on purpose is [`Difference`] and `docs/bearer-tokens.md`; everywhere else the verdicts agree.

mod difference;
mod draft;
mod mutations;
mod peer;

use std::collections::BTreeMap;
use std::fmt::Write;

use difference::Difference;
use draft::{Draft, Member, Pool, member};
use mutations::{Case, Random, Workshop};
use peer::Peer;
use serde_json::json;

use super::tests::now_or_panic;
use super::*;
use crate::forge::{Forge, NOW, NoNetwork, bearer, fixed_clock};

/// Half of the tokens each, with half of the processor.
const WORKERS: u64 = 2;
const BATCHES: usize = 26;
/// A token changed before it is signed costs an RSA signature, one edited afterwards nothing.
const CHANGED_A_BATCH: usize = 700;
const EDITED_A_BATCH: usize = 1600;
/// Tokens on which both must agree, at the least.
const COMPARED_MIN: u64 = 100_000;

/// Two pools whose keys have a name in common: one pool's key must not speak for the other.
fn pools() -> [Pool; 2] {
    [
        Pool {
            id: "eu-central-1_HoldFast1",
            clients: ["client-web", "client-phone"],
            keys: vec![Forge::new("kid-one"), Forge::new("kid-two")],
        },
        Pool {
            id: "us-east-1_HoldFast2",
            clients: ["client-web", "client-desk"],
            keys: vec![Forge::new("kid-one"), Forge::new("kid-three")],
        },
    ]
}

fn ours(pools: &[Pool]) -> Verifier {
    let issuers = pools.iter().map(|pool| {
        let issuer = Issuer::cognito(pool.id, pool.clients.map(str::to_owned).to_vec()).unwrap();
        assert_eq!(issuer.issuer, pool.issuer());
        Issuer { jwks_url: None, bundled: Some(pool.jwks().to_string()), ..issuer }
    });
    // Remembered tokens would be compared with themselves.
    let rules = Rules { memo_seconds: 0, ..Rules::default() };
    Verifier::with_rules(issuers.collect(), Arc::new(NoNetwork), None, fixed_clock(), rules).unwrap()
}

fn theirs(pools: &[Pool]) -> Peer {
    let pools: Vec<_> = pools
        .iter()
        .map(|pool| json!({ "userPoolId": pool.id, "clientId": pool.clients, "jwks": pool.jwks() }))
        .collect();
    Peer::start(&json!({ "now": NOW, "graceSeconds": Rules::default().leeway_seconds, "pools": pools }))
}

fn verdict(verifier: &Verifier, token: &str) -> Result<(), Refused> {
    now_or_panic(verifier.verify(Some(&bearer(token)))).map(|_| ())
}

#[derive(Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    /// Refused by us on purpose, and by the peer: accepted, refused.
    different: [u64; 2],
}

#[derive(Default)]
struct Comparison {
    by_operator: BTreeMap<&'static str, Tally>,
    disagreements: Vec<String>,
}

impl Comparison {
    fn of(cases: &[Case], verifier: &Verifier, peer: &mut Peer) -> Self {
        let mut compared = Self::default();
        let theirs = peer.ask(cases.iter().map(|case| case.token.as_str()));
        for (case, theirs) in cases.iter().zip(theirs) {
            let ours = verdict(verifier, &case.token);
            let tally = compared.by_operator.entry(case.operator).or_default();
            let as_expected = if case.differences.is_empty() {
                *(if ours.is_ok() { &mut tally.accepted } else { &mut tally.refused }) += 1;
                ours.is_ok() == theirs.is_ok()
            } else {
                tally.different[usize::from(theirs.is_err())] += 1;
                ours.is_err()
            };
            if !as_expected {
                let Case { operator, token, differences } = case;
                let found = format!("{operator}, {differences:?}: ours {ours:?}, theirs {theirs:?}: {token}");
                compared.disagreements.push(found);
            }
        }
        compared
    }

    fn add(&mut self, other: Self) {
        for (operator, tally) in other.by_operator {
            let sum = self.by_operator.entry(operator).or_default();
            sum.accepted += tally.accepted;
            sum.refused += tally.refused;
            sum.different[0] += tally.different[0];
            sum.different[1] += tally.different[1];
        }
        self.disagreements.extend(other.disagreements);
    }

    fn agreed(&self) -> u64 {
        self.by_operator.values().map(|tally| tally.accepted + tally.refused).sum()
    }

    /// Operators with their counts.
    fn table(&self) -> String {
        let row = |table: &mut String, name: &str, [a, b, c, d]: [u64; 4]| {
            writeln!(table, "{name:<32} {a:>14} {b:>13} {c:>18} {d:>17}").unwrap();
        };
        let mut table = String::new();
        writeln!(
            table,
            "operator                         both accepted  both refused  refused by us only  different, both"
        )
        .unwrap();
        let mut sums = [0; 4];
        for (operator, tally) in &self.by_operator {
            let counts = [tally.accepted, tally.refused, tally.different[0], tally.different[1]];
            counts.iter().zip(&mut sums).for_each(|(count, sum)| *sum += count);
            row(&mut table, operator, counts);
        }
        row(&mut table, "all", sums);
        table
    }
}

#[test]
fn over_a_hundred_thousand_changed_tokens_both_implementations_agree() {
    if let Some(missing) = peer::missing() {
        println!("skipped: {missing}, so there is nothing to compare with");
        return;
    }
    let (pools, stranger) = (pools(), Forge::new("kid-stranger"));
    let workshop = Workshop::new(&pools, &stranger);
    let verifier = ours(&pools);

    let mut all = Comparison::of(&workshop.unchanged(), &verifier, &mut theirs(&pools));
    assert_eq!(all.by_operator["none"].accepted, 48, "good tokens are accepted by both\n{}", all.table());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|seed| {
                let (workshop, verifier, pools) = (&workshop, &verifier, &pools);
                scope.spawn(move || {
                    let (mut random, mut peer) = (Random(seed), theirs(pools));
                    let mut compared = Comparison::default();
                    for _ in 0..BATCHES {
                        let mut cases: Vec<_> = (0..CHANGED_A_BATCH).map(|_| workshop.changed(&mut random)).collect();
                        cases.extend((0..EDITED_A_BATCH).map(|_| workshop.edited(&mut random)));
                        compared.add(Comparison::of(&cases, verifier, &mut peer));
                    }
                    compared
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| all.add(worker.join().unwrap()));
    });

    println!("{}", all.table());
    let jwks: Vec<_> = pools.iter().map(|pool| pool.jwks().to_string()).collect();
    let found = all.disagreements.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        all.disagreements.is_empty(),
        "{} disagreements, such as\n{found}\nunder {}",
        all.disagreements.len(),
        jwks.join(" and ")
    );
    assert!(all.agreed() >= COMPARED_MIN, "{} tokens were compared", all.agreed());
}

/// One good token with nothing but this wrong.
fn example(difference: Difference, pool: &Pool) -> String {
    let mut draft = Draft::good(pool, 0, 0, 0);
    let change = |members: &mut Vec<Member>, name: &str, value: &str| {
        members.retain(|member| member.name != name);
        members.push(member(name, value));
    };
    let (header, claims) = (&mut draft.header, &mut draft.claims);
    match difference {
        Difference::TooLong => change(claims, "filler", &format!("\"{}\"", "f".repeat(TOKEN_BYTES_MAX))),
        Difference::BaseSpelling => {
            let token = draft.sign();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            return format!("{signed}.{}", draft::respelled(signature).unwrap());
        }
        Difference::NotUtf8 => {
            let text = draft.payload_bytes();
            let position = text.windows(3).position(|word| word == b"ann").unwrap();
            let payload = [&text[..position], b"\xff", &text[position + 1..]].concat();
            return draft.signer.sign_parts(&draft.parts()[0], &base64url(&payload));
        }
        Difference::LoneSurrogate => change(claims, "other", r#""\ud800""#),
        Difference::RepeatedName => {
            let again = claims[1].clone();
            claims.push(again);
        }
        Difference::DeepNesting => change(claims, "other", &format!("{}{}", "[".repeat(127), "]".repeat(127))),
        Difference::HugeNumber => change(claims, "other", "1e400"),
        Difference::KeyInHeader => change(header, "jku", r#""https://keys.test/jwks.json""#),
        Difference::OtherType => change(header, "typ", r#""JOSE""#),
        Difference::NoExpiry => claims.retain(|member| member.name != "exp"),
        Difference::NoWholeSeconds => change(claims, "exp", &format!("{NOW}.5")),
        Difference::LastSecond => {
            change(claims, "iat", &(NOW - 3600).to_string());
            change(claims, "exp", &(NOW - 60).to_string());
        }
        Difference::IssuedLater => change(claims, "iat", &(NOW + 61).to_string()),
        Difference::Subject => claims.retain(|member| member.name != "sub"),
        Difference::UserName => claims.retain(|member| member.name != "username"),
        Difference::Groups => change(claims, "cognito:groups", r#""admin""#),
        Difference::EmptyTokenId => change(claims, "jti", r#""""#),
    }
    draft.sign()
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn each_deliberate_difference_is_one_and_is_as_documented() {
    let pools = pools();
    let verifier = ours(&pools);
    let examples = Difference::ALL.map(|difference| example(difference, &pools[0]));
    for (difference, token) in Difference::ALL.iter().zip(&examples) {
        assert_eq!(verdict(&verifier, token), Err(difference.refusal()), "ours of {}", difference.name());
    }
    if let Some(missing) = peer::missing() {
        println!("half skipped: {missing}");
        return;
    }
    let theirs = theirs(&pools).ask(examples.iter().map(String::as_str));
    for (difference, theirs) in Difference::ALL.iter().zip(theirs) {
        assert_eq!(theirs, Ok(()), "theirs of {}", difference.name());
    }
}

#[test]
fn the_page_lists_every_deliberate_difference_with_its_code() {
    let page = include_str!("../../../../docs/bearer-tokens.md");
    for difference in Difference::ALL {
        let row = format!("| {} |", difference.name());
        let line = page.lines().find(|line| line.starts_with(&row));
        let code = format!("`{}`", difference.refusal().code());
        assert!(line.is_some_and(|line| line.ends_with(&format!("{code} |"))), "{row} … {code}");
    }
}
