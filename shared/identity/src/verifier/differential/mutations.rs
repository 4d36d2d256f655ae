//! Ways to change a token: before it is signed, so that its claims decide, and afterwards.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::difference::{self, Difference, NESTED_TWICE};
use super::draft::{Draft, Member, Pool, member, respelled};
use crate::forge::{Forge, NOW};

/// SplitMix64: the same numbers from the same seed with every version of everything.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// A token to ask both about.
pub(super) struct Case {
    pub(super) operator: &'static str,
    pub(super) token: String,
    /// Empty: the verdicts must agree.
    pub(super) differences: BTreeSet<Difference>,
}

/// What there is to forge with.
pub(super) struct Workshop<'p> {
    pub(super) pools: &'p [Pool],
    pub(super) stranger: &'p Forge,
    /// Good tokens, to be edited.
    good: Vec<String>,
}

type Change = fn(&mut Random, &Workshop<'_>, &mut Draft<'_>);
type Edit = fn(&mut Random, &Workshop<'_>, &str) -> String;

/// Changes of what is signed.
const CHANGES: [(&str, Change); 17] = [
    ("claim set", |random, _, draft| set(random, &mut draft.claims, &CLAIMS)),
    ("claim set", |random, _, draft| set(random, &mut draft.claims, &CLAIMS)),
    ("claim removed", |random, _, draft| remove(random, &mut draft.claims)),
    ("claim repeated", |random, _, draft| repeat(random, &mut draft.claims, &CLAIMS)),
    ("claim renamed", |random, _, draft| rename(random, &mut draft.claims)),
    ("times moved", |random, _, draft| move_times(random, draft)),
    ("times moved", |random, _, draft| move_times(random, draft)),
    ("identity swapped", swap_identity),
    ("identity swapped", swap_identity),
    ("header set", |random, _, draft| set(random, &mut draft.header, &HEADER)),
    ("header removed", |random, _, draft| remove(random, &mut draft.header)),
    ("header repeated", |random, _, draft| repeat(random, &mut draft.header, &HEADER)),
    ("members reordered", |random, _, draft| reorder(random, draft)),
    ("text escaped", |random, _, draft| escape(random, draft)),
    ("nested", |random, _, draft| nest(random, draft)),
    ("filled", |random, _, draft| fill(random, draft)),
    ("dressed", |random, _, draft| dress(random, draft)),
];

/// Changes of a token's text.
const EDITS: [(&str, Edit); 15] = [
    ("bit flipped", |random, _, good| flip_bit(random, good)),
    ("bit of a decoded part flipped", |random, _, good| flip_decoded_bit(random, good)),
    ("character replaced", |random, _, good| replace(random, good)),
    ("character inserted", |random, _, good| insert(random, good)),
    ("characters removed", |random, _, good| cut(random, good)),
    ("characters repeated", |random, _, good| double(random, good)),
    ("parts swapped between tokens", cross),
    ("parts in another order", |random, _, good| shuffle(random, good)),
    ("dots and empty parts", |random, _, good| dot(random, good)),
    ("padded", |random, _, good| pad(random, good)),
    ("standard base64", |random, _, good| standard(random, good)),
    ("respelled", |random, _, good| respell(random, good)),
    ("cut short", |random, _, good| good[..random.below(good.len())].to_owned()),
    ("case changed", |random, _, good| change_case(random, good)),
    ("another signature", other_signature),
];

impl<'p> Workshop<'p> {
    pub(super) fn new(pools: &'p [Pool], stranger: &'p Forge) -> Self {
        let kinds = (0..48_usize).map(|number| (&pools[number % pools.len()], number));
        let good = kinds
            .map(|(pool, number)| Draft::good(pool, number / 2, number / 4, u64::try_from(number / 3).unwrap()).sign());
        Self { pools, stranger, good: good.collect() }
    }

    fn draft(&self, random: &mut Random) -> Draft<'p> {
        let pool = &self.pools[random.below(self.pools.len())];
        Draft::good(pool, random.below(2), random.below(2), random.next())
    }

    /// The unchanged tokens: both take every one.
    pub(super) fn unchanged(&self) -> Vec<Case> {
        let case = |token: &String| Case { operator: "none", token: token.clone(), differences: BTreeSet::new() };
        self.good.iter().map(case).collect()
    }

    /// A token changed and then signed; now and then by two operators. Those that are different on purpose are rare
    /// among the latter, as two wrongs would hide each other.
    pub(super) fn changed(&self, random: &mut Random) -> Case {
        let (operator, change) = random.pick(&CHANGES);
        let mut draft = self.draft(random);
        change(random, self, &mut draft);
        let mut operator = *operator;
        if random.one_in(4) {
            operator = "two changes";
            (random.pick(&CHANGES).1)(random, self, &mut draft);
        }
        Case { operator, token: draft.sign(), differences: difference::of_draft(&draft) }
    }

    /// A good token edited.
    pub(super) fn edited(&self, random: &mut Random) -> Case {
        let good = random.pick(&self.good);
        loop {
            let (operator, edit) = random.pick(&EDITS);
            // Spaces in front belong to the scheme.
            let token = edit(random, self, good).trim_start_matches(' ').to_owned();
            // Not every edit changes every token: some parts have no letter that standard base64 spells otherwise.
            if token != *good {
                return Case { operator, differences: difference::of_edit(good, &token), token };
            }
        }
    }
}

const CLAIMS: [&str; 17] = [
    "sub",
    "iss",
    "client_id",
    "token_use",
    "scope",
    "auth_time",
    "exp",
    "iat",
    "nbf",
    "jti",
    "username",
    "cognito:groups",
    "aud",
    "version",
    "other",
    "__proto__",
    "constructor",
];
const HEADER: [&str; 17] = [
    "alg",
    "alg",
    "kid",
    "kid",
    "typ",
    "typ",
    "jku",
    "jwk",
    "x5u",
    "x5c",
    "crit",
    "b64",
    "cty",
    "zip",
    "epk",
    "__proto__",
    "other",
];

/// Any JSON, and some that is none, as a text.
fn any_value(random: &mut Random) -> String {
    const FIXED: [&str; 62] = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "-0",
        "0.5",
        "1e3",
        "1e400",
        "-1e400",
        "1e-400",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1800000000.0",
        "1.8e9",
        "1.9E+9",
        "1900000000000",
        "99999999999999999999999999999999999999",
        "\"1800003600\"",
        "\"\"",
        "\" \"",
        "\"x\"",
        "\"access\"",
        "\"Access\"",
        "\"id\"",
        "\"access \"",
        "\"\\u0061ccess\"",
        "\"RS256\"",
        "\"RS384\"",
        "\"RS512\"",
        "\"PS256\"",
        "\"ES256\"",
        "\"EdDSA\"",
        "\"HS256\"",
        "\"none\"",
        "\"rs256\"",
        "\"R\\u0053256\"",
        "\"JWT\"",
        "\"jwt\"",
        "\"at+jwt\"",
        "\"JOSE\"",
        "\"ann@example.org\"",
        "\"\\u0000\"",
        "\"a\\nb\"",
        "\"zo\u{eb} \u{1f980}\"",
        "\"\\ud83e\\udd80\"",
        "\"\\ud800\"",
        "\"x\\udc00\"",
        "\"\u{feff}\"",
        "[]",
        "[\"access\"]",
        "[\"admin\",\"root\"]",
        "[1]",
        "[[\"admin\"]]",
        "[null]",
        "{}",
        "{\"admin\":true}",
        NESTED_TWICE,
        "01",
        "NaN",
    ];
    match random.below(8) {
        0 => (NOW + random.next() % 8000).saturating_sub(4000).to_string(),
        1 => random.next().to_string(),
        2 => format!("\"{}\"", "s".repeat(random.below(200))),
        _ => (*random.pick(&FIXED)).to_owned(),
    }
}

fn set(random: &mut Random, members: &mut Vec<Member>, names: &[&str]) {
    let name = *random.pick(names);
    let value = any_value(random);
    match members.iter_mut().find(|member| member.name == name) {
        Some(member) => member.value = value,
        None => members.push(member(name, value)),
    }
}

fn remove(random: &mut Random, members: &mut Vec<Member>) {
    if !members.is_empty() {
        members.remove(random.below(members.len()));
    }
}

fn repeat(random: &mut Random, members: &mut Vec<Member>, names: &[&str]) {
    let mut again = match members.is_empty() {
        true => member(names[random.below(names.len())], "1"),
        false => random.pick(members).clone(),
    };
    if random.one_in(2) {
        again.value = any_value(random);
    }
    if random.one_in(3) {
        again.spelled = escaped(&again.name);
    }
    members.insert(random.below(members.len() + 1), again);
}

fn rename(random: &mut Random, members: &mut [Member]) {
    if members.is_empty() {
        return;
    }
    let at = random.below(members.len());
    let name = &members[at].name;
    let renamed = match random.below(4) {
        0 => name.to_uppercase(),
        1 => format!("{name} "),
        2 => format!("\u{feff}{name}"),
        _ => name.chars().rev().collect(),
    };
    members[at] = member(&renamed, members[at].value.clone());
}

/// Times at and around the edges.
fn move_times(random: &mut Random, draft: &mut Draft<'_>) {
    const AROUND: [i64; 15] = [-7200, -3600, -100, -62, -61, -60, -59, -1, 0, 1, 59, 60, 61, 62, 3600];
    for name in ["exp", "iat", "nbf"] {
        if random.one_in(2) {
            let time = NOW.saturating_add_signed(*random.pick(&AROUND)).to_string();
            let time = match random.below(12) {
                0 => format!("\"{time}\""),
                1 => format!("{time}.5"),
                2 => format!("{time}.0"),
                3 => format!("-{time}"),
                4 => format!("{time}000"),
                _ => time,
            };
            match draft.claims.iter_mut().find(|member| member.name == name) {
                Some(member) => member.value = time,
                None => draft.claims.push(member(name, time)),
            }
        }
    }
}

/// Another pool's, client's or key's name where this one's should be.
fn swap_identity(random: &mut Random, workshop: &Workshop<'_>, draft: &mut Draft<'_>) {
    let pool = random.pick(workshop.pools);
    let key = random.pick(&pool.keys);
    let issuer = pool.issuer();
    let (list, name, value) = match random.below(8) {
        0 => (&mut draft.claims, "iss", issuer),
        1 => (&mut draft.claims, "iss", format!("{issuer}/")),
        2 => (&mut draft.claims, "iss", issuer.replace("https", "http")),
        3 => (&mut draft.claims, "iss", issuer.to_uppercase()),
        4 => (&mut draft.claims, "client_id", (*random.pick(&pool.clients)).to_owned()),
        5 => (&mut draft.claims, "client_id", random.pick(&pool.clients).to_uppercase()),
        6 => (&mut draft.header, "kid", key.kid.to_owned()),
        _ => (&mut draft.header, "kid", workshop.stranger.kid.to_owned()),
    };
    if let Some(member) = list.iter_mut().find(|member| member.name == name) {
        member.value = Value::from(value).to_string();
    }
}

fn reorder(random: &mut Random, draft: &mut Draft<'_>) {
    for members in [&mut draft.header, &mut draft.claims] {
        for at in (1..members.len()).rev() {
            members.swap(at, random.below(at + 1));
        }
        for member in members {
            if random.one_in(4) {
                let space = random.pick(&[" ", "\n", "\t", "\r\n", "   "]);
                member.spelled = format!("{space}{}{space}", member.spelled);
            }
        }
    }
}

/// `\u` escapes that mean the same.
fn escape(random: &mut Random, draft: &mut Draft<'_>) {
    let members = if random.one_in(3) { &mut draft.header } else { &mut draft.claims };
    for member in members {
        if random.one_in(2) {
            member.spelled = escaped(&member.name);
        }
        if let Ok(Value::String(text)) = serde_json::from_str(&member.value)
            && random.one_in(2)
        {
            member.value = escaped(&text);
        }
    }
}

fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

/// The object itself is one level.
fn nest(random: &mut Random, draft: &mut Draft<'_>) {
    let depth = *random.pick(&[1, 2, 10, 100, 125, 126, 127, 128, 200, 1000]);
    let nested = match random.below(3) {
        0 => format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
        1 => format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
        _ => format!("{}{}", "[".repeat(depth), "]".repeat(depth - 1)),
    };
    draft.claims.push(member("nested", nested));
}

/// To lengths about the limit and far from it.
fn fill(random: &mut Random, draft: &mut Draft<'_>) {
    let length = if random.one_in(2) { 4900 + random.below(400) } else { random.below(6000) };
    draft.claims.push(member("filler", format!("\"{}\"", "f".repeat(length))));
}

/// What stands around the JSON, and how its base64 is spelled.
fn dress(random: &mut Random, draft: &mut Draft<'_>) {
    const AROUND: [&[u8]; 14] = [
        b" ",
        b"\n",
        b"\t\r\n ",
        b"\0",
        b"\x0c",
        b"\xc2\xa0",
        b"\xef\xbb\xbf",
        b"\xff",
        b"x",
        b"{}",
        b",",
        b"}",
        b"//",
        b"\"",
    ];
    let around = random.pick(&AROUND).to_vec();
    let place = random.below(2);
    match random.below(9) {
        0 | 1 => draft.dress.payload_around[place] = around,
        2 | 3 => draft.dress.header_around[place] = around,
        4 => draft.dress.padding[place] = 1 + random.below(3),
        5 => draft.dress.twisted = true,
        // A payload that is no object.
        6 => draft.dress.payload_around = [b"[".to_vec(), b"]".to_vec()],
        7 => draft.dress.header_around = [b"[".to_vec(), b"]".to_vec()],
        _ => draft.dress.payload_around = [b"\"".to_vec(), b"\"".to_vec()],
    }
}

fn parts(token: &str) -> Vec<String> {
    token.split('.').map(str::to_owned).collect()
}

fn flip_bit(random: &mut Random, good: &str) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn flip_decoded_bit(random: &mut Random, good: &str) -> String {
    let mut parts = parts(good);
    let part = random.pick(&[0, 1, 2, 2]);
    let mut bytes = URL_SAFE_NO_PAD.decode(&parts[*part]).unwrap();
    let at = random.below(bytes.len());
    bytes[at] ^= 1 << random.below(8);
    parts[*part] = URL_SAFE_NO_PAD.encode(bytes);
    parts.join(".")
}

fn odd_character(random: &mut Random) -> char {
    const ODD: [char; 20] = [
        '.', '=', '+', '/', '-', '_', ' ', '\n', '\r', '\t', '\0', '%', ',', '~', '"', '\\', '\u{a0}', '\u{ff0e}',
        '\u{feff}', '🦀',
    ];
    if random.one_in(2) { *random.pick(&ODD) } else { char::from(*random.pick(b"ABYZabyz0189")) }
}

fn replace(random: &mut Random, good: &str) -> String {
    let at = random.below(good.len());
    format!("{}{}{}", &good[..at], odd_character(random), &good[at + 1..])
}

fn insert(random: &mut Random, good: &str) -> String {
    let within = random.below(good.len());
    let at = *random.pick(&[0, good.len(), within, within]);
    format!("{}{}{}", &good[..at], odd_character(random), &good[at..])
}

fn span(random: &mut Random, good: &str) -> [usize; 2] {
    let from = random.below(good.len());
    [from, (from + 1 + random.below(12)).min(good.len())]
}

fn cut(random: &mut Random, good: &str) -> String {
    let [from, to] = span(random, good);
    format!("{}{}", &good[..from], &good[to..])
}

fn double(random: &mut Random, good: &str) -> String {
    let [from, to] = span(random, good);
    format!("{}{}", &good[..to], &good[from..])
}

fn cross(random: &mut Random, workshop: &Workshop<'_>, good: &str) -> String {
    let mut mine = parts(good);
    let other = parts(random.pick::<String>(&workshop.good));
    let part = random.below(3);
    mine[part].clone_from(&other[random.below(3)]);
    if random.one_in(3) {
        mine[(part + 1) % 3].clone_from(&other[(part + 1) % 3]);
    }
    mine.join(".")
}

fn shuffle(random: &mut Random, good: &str) -> String {
    let parts = parts(good);
    let [header, payload, signature] = [&parts[0], &parts[1], &parts[2]];
    match random.below(6) {
        0 => [header, signature, payload].map(String::as_str).join("."),
        1 => [payload, header, signature].map(String::as_str).join("."),
        2 => [signature, payload, header].map(String::as_str).join("."),
        3 => [header, payload, signature, signature].map(String::as_str).join("."),
        4 => [header, payload].map(String::as_str).join("."),
        _ => [header, header, payload, payload, signature].map(String::as_str).join("."),
    }
}

fn dot(random: &mut Random, good: &str) -> String {
    let mut parts = parts(good);
    match random.below(4) {
        0 => parts[random.below(3)].clear(),
        1 => parts.insert(random.below(4), String::new()),
        2 => drop(parts.remove(random.below(3))),
        _ => {
            let at = random.below(good.len());
            return format!("{}.{}", &good[..at], &good[at..]);
        }
    }
    parts.join(".")
}

fn pad(random: &mut Random, good: &str) -> String {
    let mut parts = parts(good);
    parts[*random.pick(&[0, 1, 2, 2])] += &"=".repeat(1 + random.below(4));
    parts.join(".")
}

fn standard(random: &mut Random, good: &str) -> String {
    let mut parts = parts(good);
    let part = random.below(3);
    let bytes = URL_SAFE_NO_PAD.decode(&parts[part]).unwrap();
    parts[part] = STANDARD_NO_PAD.encode(&bytes);
    if random.one_in(3) {
        parts[part] = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    parts.join(".")
}

fn respell(random: &mut Random, good: &str) -> String {
    let mut parts = parts(good);
    let part = random.below(3);
    match random.below(3) {
        0 => parts[part] += &"A".repeat(1 + random.below(4)),
        _ => parts[part] = respelled(&parts[part]).unwrap_or_default(),
    }
    parts.join(".")
}

fn change_case(random: &mut Random, good: &str) -> String {
    let mut parts = parts(good);
    let part = random.below(3);
    parts[part] = if random.one_in(2) { parts[part].to_uppercase() } else { parts[part].to_lowercase() };
    parts.join(".")
}

/// By another key, another algorithm, or none.
fn other_signature(random: &mut Random, workshop: &Workshop<'_>, good: &str) -> String {
    const NAMES: [&str; 7] = ["RS256", "HS256", "none", "RS384", "RS512", "PS256", "None"];
    let parts = parts(good);
    let alg = *random.pick(&NAMES);
    let kid = any_key(random, workshop).kid;
    let header = if random.one_in(3) {
        parts[0].clone()
    } else {
        URL_SAFE_NO_PAD.encode(format!(r#"{{"kid":"{kid}","alg":"{alg}"}}"#))
    };
    let signed = format!("{header}.{}", parts[1]);
    let key = match random.below(3) {
        0 => workshop.stranger,
        _ => any_key(random, workshop),
    };
    let bytes = signed.as_bytes();
    let signature = match random.below(8) {
        0 => key.sign_bytes(&RSA_PKCS1_SHA256, bytes),
        1 => key.sign_bytes(&RSA_PKCS1_SHA384, bytes),
        2 => key.sign_bytes(&RSA_PKCS1_SHA512, bytes),
        3 => key.sign_bytes(&RSA_PSS_SHA256, bytes),
        4 => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.components().0.as_bytes()), bytes).as_ref().to_vec(),
        5 => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.jwk().to_string().as_bytes()), bytes).as_ref().to_vec(),
        6 => vec![0; 256],
        _ => return format!("{signed}."),
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn any_key<'w>(random: &mut Random, workshop: &Workshop<'w>) -> &'w Forge {
    let pool = &workshop.pools[random.below(workshop.pools.len())];
    &pool.keys[random.below(pool.keys.len())]
}
