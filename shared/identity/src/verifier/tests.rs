use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{RSA_PKCS1_SHA384, RSA_PSS_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use async_trait::async_trait;

use super::*;
use crate::denylist::DenylistError;
use crate::forge::{self, CLIENT, ISSUER, ManualClock, NOW, Network, NoNetwork, bearer, one, two};

/// The issuer with its keys bundled and no address.
fn offline() -> Issuer {
    Issuer { jwks_url: None, bundled: Some(one().jwks()), ..forge::issuer() }
}

fn verifier_with(clock: &ManualClock, rules: Rules) -> Verifier {
    Verifier::with_rules(vec![offline()], Arc::new(NoNetwork), None, clock.as_clock(), rules).unwrap()
}

fn verifier() -> Verifier {
    verifier_with(&ManualClock::new(), Rules::default())
}

/// Runs a future that never waits, outside of any runtime.
pub(super) fn now_or_panic<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the verifier waited"),
    }
}

/// Asserts every case of a table and names all that fail.
fn assert_table(cases: Vec<(&str, String, Result<(), Refused>)>) {
    let verifier = verifier();
    let mut wrong = Vec::new();
    for (name, token, expected) in cases {
        let got = now_or_panic(verifier.verify(Some(&bearer(&token)))).map(|_| ());
        if got != expected {
            wrong.push(format!("{name}: {got:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn with_header(name: &str, value: impl Into<Value>) -> String {
    one().token(|header, _| header[name] = value.into())
}

fn without_header(name: &str) -> String {
    one().token(|header, _| drop(header.as_object_mut().unwrap().remove(name)))
}

fn with_claim(name: &str, value: impl Into<Value>) -> String {
    one().token(|_, claims| claims[name] = value.into())
}

fn without_claim(name: &str) -> String {
    one().token(|_, claims| drop(claims.as_object_mut().unwrap().remove(name)))
}

/// A valid token's three parts.
fn parts() -> [String; 3] {
    let token = one().token(|_, _| {});
    let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

const MALFORMED: Result<(), Refused> = Err(Refused::Malformed);

#[test]
fn a_valid_token_gives_its_caller() {
    let caller = now_or_panic(verifier().verify(Some(&bearer(&one().token(|_, _| {}))))).unwrap();
    assert_eq!(
        *caller,
        Caller {
            sub: crate::UserId::new("3f1c6a3e-8d0e-4b7a-9c55-0a6a1a3f2b10").unwrap(),
            username: "ann".into(),
            groups: vec!["admin".into()],
            issuer: ISSUER.into(),
            client_id: CLIENT.into(),
            issued_at: Some(NOW - 100),
            expires_at: NOW + 3500,
            jti: Some("a7cf5d0e-1c1b-4f0e-8a52-3e9d54c6e803".into()),
        }
    );
}

#[test]
fn the_authorization_header_is_read_strictly() {
    let verifier = verifier();
    let token = one().token(|_, _| {});
    let cases = [
        (None, Err(Refused::Missing)),
        (Some(String::new()), Err(Refused::Missing)),
        (Some(format!("Bearer {token}")), Ok(())),
        (Some(format!("bearer {token}")), Ok(())),
        (Some(format!("BEARER {token}")), Ok(())),
        (Some(format!("Bearer   {token}")), Ok(())),
        (Some("Bearer".into()), MALFORMED),
        (Some("Bearer ".into()), MALFORMED),
        (Some("Bearer    ".into()), MALFORMED),
        (Some(" ".into()), MALFORMED),
        (Some(token.clone()), MALFORMED),
        (Some(format!(" Bearer {token}")), MALFORMED),
        (Some(format!("Bearer {token} ")), MALFORMED),
        (Some(format!("Bearer\t{token}")), MALFORMED),
        (Some(format!("Bearer \t{token}")), MALFORMED),
        (Some(format!("Bearer{token}")), MALFORMED),
        (Some(format!("Bearer: {token}")), MALFORMED),
        (Some(format!("Basic {token}")), MALFORMED),
        (Some(format!("Bear {token}")), MALFORMED),
        (Some(format!("Token {token}")), MALFORMED),
        (Some(format!("Bearer Bearer {token}")), MALFORMED),
        (Some(format!("Bearer {token}, Bearer {token}")), MALFORMED),
        (Some(format!("Bearer {token} {token}")), MALFORMED),
        (Some(format!("Bearer \"{token}\"")), MALFORMED),
        (Some(format!("Bearer {token}\r\nX: y")), MALFORMED),
        (Some("Bearer zoë.zoë.zoë".into()), MALFORMED),
    ];
    for (value, expected) in cases {
        let got = now_or_panic(verifier.verify(value.as_deref())).map(|_| ());
        assert_eq!(got, expected, "{:?}", value.map(|value| value.chars().take(12).collect::<String>()));
    }
}

#[test]
fn a_token_has_three_canonical_parts() {
    let [header, payload, signature] = parts();
    let raw = URL_SAFE_NO_PAD.decode(&signature).unwrap();
    // 256 bytes leave four unused bits in the last character: three other characters decode to the same bytes.
    let mut twisted = signature.clone();
    let last = twisted.pop().unwrap();
    twisted.push(char::from(last as u8 + 1));
    let spaced = URL_SAFE_NO_PAD.encode(format!(" {} \n", one().header()));
    assert_table(vec![
        ("empty parts", "..".into(), MALFORMED),
        ("no dots", "abc".into(), MALFORMED),
        ("a dot", ".".into(), MALFORMED),
        ("one part", header.clone(), MALFORMED),
        ("two parts", format!("{header}.{payload}"), MALFORMED),
        ("four parts", format!("{header}.{payload}.{signature}.{signature}"), MALFORMED),
        ("five parts, as if encrypted", format!("{header}.{payload}.{signature}.{payload}.{header}"), MALFORMED),
        ("a leading dot", format!(".{header}.{payload}.{signature}"), MALFORMED),
        ("a trailing dot", format!("{header}.{payload}.{signature}."), MALFORMED),
        ("no header", format!(".{payload}.{signature}"), MALFORMED),
        ("no payload", format!("{header}..{signature}"), MALFORMED),
        ("no signature", format!("{header}.{payload}."), MALFORMED),
        ("padded header", format!("{header}=.{payload}.{signature}"), MALFORMED),
        ("padded payload", format!("{header}.{payload}=.{signature}"), MALFORMED),
        ("padded signature", format!("{header}.{payload}.{}", URL_SAFE.encode(&raw)), MALFORMED),
        ("another spelling of the signature", format!("{header}.{payload}.{twisted}"), MALFORMED),
        ("standard base64", format!("{header}.{payload}.{}", STANDARD.encode([0xff; 256])), MALFORMED),
        ("white space in the signature", format!("{header}.{payload}.{}\n", &signature), MALFORMED),
        ("percent encoding", format!("{header}%2E{payload}.{signature}"), MALFORMED),
        ("a NUL", format!("{header}.{payload}.{signature}\0"), MALFORMED),
        ("white space around the header's JSON", one().sign_parts(&spaced, &payload), Ok(())),
        ("header is no JSON", one().sign_texts("abc", "{}"), MALFORMED),
        ("header is an array", one().sign_texts("[]", "{}"), MALFORMED),
        ("header is null", one().sign_texts("null", "{}"), MALFORMED),
        ("header is a string", one().sign_texts("\"RS256\"", "{}"), MALFORMED),
        ("header has something behind it", one().sign_texts(&format!("{}x", one().header()), "{}"), MALFORMED),
        ("payload is no JSON", one().sign_texts(&one().header().to_string(), "abc"), MALFORMED),
        ("payload is an array", one().sign_texts(&one().header().to_string(), "[]"), MALFORMED),
        ("payload is null", one().sign_texts(&one().header().to_string(), "null"), MALFORMED),
        ("payload is a number", one().sign_texts(&one().header().to_string(), "1"), MALFORMED),
        ("payload is empty", one().sign_texts(&one().header().to_string(), "{}"), MALFORMED),
        ("payload is not UTF-8", one().sign_parts(&header, &URL_SAFE_NO_PAD.encode(b"{\"a\":\"\xff\"}")), MALFORMED),
        ("payload is a token", one().sign_parts(&header, &URL_SAFE_NO_PAD.encode(one().token(|_, _| {}))), MALFORMED),
        ("payload nested too deep", with_deep_claim(), MALFORMED),
    ]);
}

fn with_deep_claim() -> String {
    let claims = forge::claims().to_string();
    let deep = format!("{},\"x\":{}{}}}", &claims[..claims.len() - 1], "[".repeat(300), "]".repeat(300));
    one().sign_texts(&one().header().to_string(), &deep)
}

#[test]
fn a_header_must_name_rs256_and_a_key_and_nothing_that_leads_elsewhere() {
    let wrong_algorithm = Err(Refused::WrongAlgorithm);
    let kid = one().kid;
    let claims = forge::claims().to_string();
    let twice = |header: &str| one().sign_texts(header, &claims);
    let mut cases = vec![
        ("alg none", with_header("alg", "none"), wrong_algorithm),
        ("alg None", with_header("alg", "None"), wrong_algorithm),
        ("alg NONE", with_header("alg", "NONE"), wrong_algorithm),
        ("alg empty", with_header("alg", ""), wrong_algorithm),
        ("alg in lower case", with_header("alg", "rs256"), wrong_algorithm),
        ("alg with a space", with_header("alg", "RS256 "), wrong_algorithm),
        ("alg HS256", with_header("alg", "HS256"), wrong_algorithm),
        ("alg HS512", with_header("alg", "HS512"), wrong_algorithm),
        ("alg RS384", with_header("alg", "RS384"), wrong_algorithm),
        ("alg RS512", with_header("alg", "RS512"), wrong_algorithm),
        ("alg PS256", with_header("alg", "PS256"), wrong_algorithm),
        ("alg ES256", with_header("alg", "ES256"), wrong_algorithm),
        ("alg EdDSA", with_header("alg", "EdDSA"), wrong_algorithm),
        ("alg RSA-OAEP", with_header("alg", "RSA-OAEP"), wrong_algorithm),
        ("alg missing", without_header("alg"), MALFORMED),
        ("alg null", with_header("alg", Value::Null), MALFORMED),
        ("alg a number", with_header("alg", 256), MALFORMED),
        ("alg an array", with_header("alg", json!(["RS256"])), MALFORMED),
        ("kid missing", without_header("kid"), MALFORMED),
        ("kid null", with_header("kid", Value::Null), MALFORMED),
        ("kid a number", with_header("kid", 1), MALFORMED),
        ("kid an array", with_header("kid", json!([kid])), MALFORMED),
        ("kid empty", with_header("kid", ""), MALFORMED),
        ("kid too long", with_header("kid", "k".repeat(257)), MALFORMED),
        ("kid unknown", with_header("kid", "kid-none"), Err(Refused::UnknownKey)),
        ("kid in another case", with_header("kid", "KID-ONE"), Err(Refused::UnknownKey)),
        ("kid with a path", with_header("kid", "../../dev/null"), Err(Refused::UnknownKey)),
        ("typ JWT", with_header("typ", "JWT"), Ok(())),
        ("typ jwt", with_header("typ", "jwt"), Ok(())),
        ("typ at+jwt", with_header("typ", "at+jwt"), Ok(())),
        ("typ JOSE", with_header("typ", "JOSE"), MALFORMED),
        ("typ dpop+jwt", with_header("typ", "dpop+jwt"), MALFORMED),
        ("typ a number", with_header("typ", 1), MALFORMED),
        ("typ null", with_header("typ", Value::Null), MALFORMED),
        ("an unknown member", with_header("x-trace", "1"), Ok(())),
        ("jwk of a stranger", with_header("jwk", two().jwk()), MALFORMED),
        ("jku null", with_header("jku", Value::Null), MALFORMED),
        ("crit", with_header("crit", json!(["exp"])), MALFORMED),
        ("crit empty", with_header("crit", json!([])), MALFORMED),
        ("b64", with_header("b64", false), MALFORMED),
        ("alg twice", twice(&format!(r#"{{"kid":"{kid}","alg":"RS256","alg":"RS256"}}"#)), MALFORMED),
        ("alg twice, none last", twice(&format!(r#"{{"kid":"{kid}","alg":"RS256","alg":"none"}}"#)), MALFORMED),
        ("kid twice", twice(&format!(r#"{{"kid":"x","alg":"RS256","kid":"{kid}"}}"#)), MALFORMED),
        ("kid twice, once escaped", twice(&format!(r#"{{"kid":"x","alg":"RS256","k\u0069d":"{kid}"}}"#)), MALFORMED),
    ];
    for name in ["jku", "x5u", "x5c", "zip", "enc", "epk"] {
        cases.push((name, with_header(name, "https://evil.example/keys"), MALFORMED));
    }
    assert_table(cases);
}

#[test]
fn a_signature_must_be_the_issuers_over_these_very_bytes() {
    let bad_signature = Err(Refused::BadSignature);
    let [header, payload, signature] = parts();
    let signed = format!("{header}.{payload}");
    let with_signature = |bytes: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let raw = URL_SAFE_NO_PAD.decode(&signature).unwrap();

    // The classic confusion: the public key as an HMAC secret.
    let (modulus, _) = one().components();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, modulus.as_bytes());
    let hs256 = URL_SAFE_NO_PAD.encode(json!({ "kid": one().kid, "alg": "HS256" }).to_string());
    let confused = format!("{hs256}.{payload}");
    let confused = format!("{confused}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&secret, confused.as_bytes()).as_ref()));
    let unsigned = URL_SAFE_NO_PAD.encode(json!({ "kid": one().kid, "alg": "none" }).to_string());

    let elevated = URL_SAFE_NO_PAD.encode(with_groups(&["admin", "root"]));
    let mut longer = raw.clone();
    longer.push(0);
    let mut reversed = raw.clone();
    reversed.reverse();
    let stranger = two().token(|header, _| header["kid"] = json!(one().kid));
    let strangers_jws: Vec<_> = stranger.split('.').map(str::to_owned).collect();

    assert_table(vec![
        ("the stranger's key under our kid", stranger, bad_signature),
        ("the stranger's signature", format!("{signed}.{}", strangers_jws[2]), bad_signature),
        ("the stranger's own kid", two().token(|_, _| {}), Err(Refused::UnknownKey)),
        ("another payload", format!("{header}.{elevated}.{signature}"), bad_signature),
        ("another header", changed_header(&payload, &signature), bad_signature),
        ("swapped order", one().sign_parts(&payload, &header), MALFORMED),
        ("zeroes", with_signature(&[0; 256]), bad_signature),
        ("ones", with_signature(&[0xff; 256]), bad_signature),
        ("one byte", with_signature(&[1]), bad_signature),
        ("cut short", with_signature(&raw[..255]), bad_signature),
        ("one byte more", with_signature(&longer), bad_signature),
        ("a zero in front", with_signature(&[&[0], raw.as_slice()].concat()), bad_signature),
        ("reversed", with_signature(&reversed), bad_signature),
        ("twice", with_signature(&[raw.as_slice(), &raw].concat()), bad_signature),
        ("PSS padding", with_signature(&one().sign_bytes(&RSA_PSS_SHA256, signed.as_bytes())), bad_signature),
        ("SHA-384", with_signature(&one().sign_bytes(&RSA_PKCS1_SHA384, signed.as_bytes())), bad_signature),
        ("an HMAC by the public key", confused, Err(Refused::WrongAlgorithm)),
        ("an HMAC labelled RS256", with_signature(hmac::sign(&secret, signed.as_bytes()).as_ref()), bad_signature),
        ("unsigned", format!("{unsigned}.{payload}."), Err(Refused::WrongAlgorithm)),
        ("unsigned with our signature", format!("{unsigned}.{payload}.{signature}"), Err(Refused::WrongAlgorithm)),
    ]);
}

fn with_groups(groups: &[&str]) -> String {
    let mut claims = forge::claims();
    claims["cognito:groups"] = json!(groups);
    claims.to_string()
}

fn changed_header(payload: &str, signature: &str) -> String {
    let header = json!({ "alg": "RS256", "kid": one().kid, "typ": "JWT" }).to_string();
    format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header))
}

#[test]
fn the_issuer_the_use_and_the_client_must_match_exactly() {
    let unknown = Err(Refused::UnknownIssuer);
    let wrong_use = Err(Refused::WrongUse);
    let wrong_client = Err(Refused::WrongClient);
    let claims = forge::claims().to_string();
    let again = |member: &str| {
        let header = one().header().to_string();
        one().sign_texts(&header, &format!("{},{member}}}", &claims[..claims.len() - 1]))
    };
    assert_table(vec![
        ("another issuer", with_claim("iss", "https://other.test/pool"), unknown),
        ("a trailing slash", with_claim("iss", format!("{ISSUER}/")), unknown),
        ("another case", with_claim("iss", ISSUER.to_uppercase()), unknown),
        ("a prefix of the issuer", with_claim("iss", &ISSUER[..ISSUER.len() - 1]), unknown),
        ("white space", with_claim("iss", format!("{ISSUER} ")), unknown),
        ("another scheme", with_claim("iss", ISSUER.replace("https", "http")), unknown),
        ("iss empty", with_claim("iss", ""), MALFORMED),
        ("iss missing", without_claim("iss"), MALFORMED),
        ("iss null", with_claim("iss", Value::Null), MALFORMED),
        ("iss an array", with_claim("iss", json!([ISSUER])), MALFORMED),
        ("iss twice", again(&format!("\"iss\":\"{ISSUER}\"")), MALFORMED),
        ("an id token", with_claim("token_use", "id"), wrong_use),
        ("a refresh token", with_claim("token_use", "refresh"), wrong_use),
        ("token_use in another case", with_claim("token_use", "Access"), wrong_use),
        ("token_use empty", with_claim("token_use", ""), wrong_use),
        ("token_use missing", without_claim("token_use"), wrong_use),
        ("token_use null", with_claim("token_use", Value::Null), MALFORMED),
        ("token_use an array", with_claim("token_use", json!(["access"])), MALFORMED),
        ("token_use twice", again("\"token_use\":\"access\""), MALFORMED),
        ("another client", with_claim("client_id", "client-other"), wrong_client),
        ("a prefix of the client", with_claim("client_id", "client"), wrong_client),
        ("client_id in another case", with_claim("client_id", CLIENT.to_uppercase()), wrong_client),
        ("client_id empty", with_claim("client_id", ""), wrong_client),
        ("client_id missing", without_claim("client_id"), wrong_client),
        ("client_id only as aud", aud_for_client(), wrong_client),
        ("client_id null", with_claim("client_id", Value::Null), MALFORMED),
        ("client_id an array", with_claim("client_id", json!([CLIENT])), MALFORMED),
        ("client_id twice", again(&format!("\"client_id\":\"{CLIENT}\"")), MALFORMED),
    ]);
}

fn aud_for_client() -> String {
    one().token(|_, claims| {
        claims.as_object_mut().unwrap().remove("client_id");
        claims["aud"] = json!(CLIENT);
    })
}

#[test]
fn times_are_whole_seconds_with_a_minute_of_leeway() {
    let expired = Err(Refused::Expired);
    let early = Err(Refused::NotYetValid);
    // A token whose times are all before `exp`, so that only `exp` decides.
    let expiring = |exp: u64| {
        one().token(|_, claims| {
            claims["iat"] = json!(NOW - 7200);
            claims["exp"] = json!(exp);
        })
    };
    assert_table(vec![
        ("expired a second ago", expiring(NOW - 1), Ok(())),
        ("expired 59 s ago", expiring(NOW - 59), Ok(())),
        ("expired 60 s ago", expiring(NOW - 60), expired),
        ("expired an hour ago", expiring(NOW - 3600), expired),
        ("exp the largest number", with_claim("exp", u64::MAX), Ok(())),
        ("exp zero", one().token(|_, claims| (claims["exp"], claims["iat"]) = (json!(0), json!(0))), expired),
        ("exp missing", without_claim("exp"), MALFORMED),
        ("exp null", with_claim("exp", Value::Null), MALFORMED),
        ("exp text", with_claim("exp", (NOW + 100).to_string()), MALFORMED),
        ("exp negative", with_claim("exp", -1), MALFORMED),
        ("exp with a fraction", with_claim("exp", 1_900_000_000.5), MALFORMED),
        ("exp an array", with_claim("exp", json!([NOW + 100])), MALFORMED),
        ("exp true", with_claim("exp", true), MALFORMED),
        ("exp beyond 64 bits", raw_exp("18446744073709551616"), MALFORMED),
        ("exp beyond any number", raw_exp("1e999"), MALFORMED),
        ("nbf now", with_claim("nbf", NOW), Ok(())),
        ("nbf in 60 s", with_claim("nbf", NOW + 60), Ok(())),
        ("nbf in 61 s", with_claim("nbf", NOW + 61), early),
        ("nbf the largest number", with_claim("nbf", u64::MAX), early),
        ("nbf text", with_claim("nbf", "0"), MALFORMED),
        ("nbf negative", with_claim("nbf", -5), MALFORMED),
        ("nbf null", with_claim("nbf", Value::Null), MALFORMED),
        ("iat in 60 s", with_claim("iat", NOW + 60), Ok(())),
        ("iat in 61 s", with_claim("iat", NOW + 61), early),
        ("iat in a year", far_iat(), early),
        ("iat after exp", with_claim("iat", NOW + 3501), MALFORMED),
        ("iat missing", without_claim("iat"), Ok(())),
        ("iat text", with_claim("iat", "1"), MALFORMED),
        ("auth_time text", with_claim("auth_time", "1"), MALFORMED),
    ]);
}

fn far_iat() -> String {
    one().token(|_, claims| {
        claims["iat"] = json!(NOW + 31_536_000);
        claims["exp"] = json!(NOW + 31_540_000);
    })
}

fn raw_exp(number: &str) -> String {
    let claims = forge::claims().to_string().replace(&(NOW + 3500).to_string(), number);
    one().sign_texts(&one().header().to_string(), &claims)
}

#[test]
fn the_other_claims_must_be_what_they_are_by_standard() {
    assert_table(vec![
        ("sub missing", without_claim("sub"), MALFORMED),
        ("sub empty", with_claim("sub", ""), MALFORMED),
        ("sub a number", with_claim("sub", 7), MALFORMED),
        ("sub null", with_claim("sub", Value::Null), MALFORMED),
        ("sub an object", with_claim("sub", json!({ "id": 1 })), MALFORMED),
        ("sub with white space", with_claim("sub", "a b"), MALFORMED),
        ("sub with a NUL", with_claim("sub", "a\u{0}"), MALFORMED),
        ("sub too long", with_claim("sub", "s".repeat(129)), MALFORMED),
        ("username missing, as in a machine's token", without_claim("username"), MALFORMED),
        ("username empty", with_claim("username", ""), MALFORMED),
        ("username an array", with_claim("username", json!(["ann"])), MALFORMED),
        ("username beyond ASCII", with_claim("username", "Zoë 🦀"), Ok(())),
        ("groups missing", without_claim("cognito:groups"), Ok(())),
        ("groups empty", with_claim("cognito:groups", json!([])), Ok(())),
        ("groups text", with_claim("cognito:groups", "admin"), MALFORMED),
        ("groups null", with_claim("cognito:groups", Value::Null), MALFORMED),
        ("groups of numbers", with_claim("cognito:groups", json!([1])), MALFORMED),
        ("groups nested", with_claim("cognito:groups", json!([["admin"]])), MALFORMED),
        ("groups an object", with_claim("cognito:groups", json!({ "admin": true })), MALFORMED),
        ("jti missing", without_claim("jti"), Ok(())),
        ("jti a number", with_claim("jti", 1), MALFORMED),
        ("jti null", with_claim("jti", Value::Null), MALFORMED),
        ("jti empty, which many would share", with_claim("jti", ""), MALFORMED),
        ("aud text", with_claim("aud", "anything"), Ok(())),
        ("aud empty text", with_claim("aud", ""), Ok(())),
        ("aud of several", with_claim("aud", json!(["a", "b"])), Ok(())),
        ("aud of none", with_claim("aud", json!([])), Ok(())),
        ("aud a number", with_claim("aud", 7), MALFORMED),
        ("aud null", with_claim("aud", Value::Null), MALFORMED),
        ("aud an object", with_claim("aud", json!({ "a": 1 })), MALFORMED),
        ("aud of text and a number", with_claim("aud", json!([CLIENT, 1])), MALFORMED),
        ("aud nested", with_claim("aud", json!([["a"]])), MALFORMED),
        ("scope missing", without_claim("scope"), Ok(())),
        ("scope an array", with_claim("scope", json!(["openid"])), MALFORMED),
        ("an unknown claim", with_claim("version", 2), Ok(())),
        ("a name twice within an unknown claim", nested_twice(), MALFORMED),
    ]);
}

fn nested_twice() -> String {
    let claims = forge::claims().to_string();
    let claims = format!("{},\"x\":{{\"a\":1,\"a\":2}}}}", &claims[..claims.len() - 1]);
    one().sign_texts(&one().header().to_string(), &claims)
}

#[test]
fn a_token_of_8_kib_is_read_and_a_byte_more_is_not() {
    let padded = |filler: usize| with_claim("filler", "x".repeat(filler));
    // Three bytes make four characters, so that some filler gives every length up to the limit but for one in four.
    let filler = (0..8192).rev().find(|filler| padded_len(*filler) <= TOKEN_BYTES_MAX).unwrap();
    let longest = padded(filler);
    assert!(longest.len() > TOKEN_BYTES_MAX - 4 && longest.len() <= TOKEN_BYTES_MAX);
    let too_long = format!("{longest}{}", "A".repeat(TOKEN_BYTES_MAX + 1 - longest.len()));
    assert_table(vec![
        ("the longest", longest, Ok(())),
        ("a byte more", too_long, Err(Refused::TooLong)),
        ("a megabyte of anything", "é".repeat(500_000), Err(Refused::TooLong)),
        ("8 KiB of dots", ".".repeat(TOKEN_BYTES_MAX), MALFORMED),
    ]);
}

/// The length of a token with so much filler, without signing it.
fn padded_len(filler: usize) -> usize {
    let empty = with_filler_claims(0).len();
    let base64 = |bytes: usize| bytes.div_ceil(3) * 4 - [0, 2, 1][bytes % 3];
    base64(one().header().to_string().len()) + base64(empty + filler) + base64(256) + 2
}

fn with_filler_claims(filler: usize) -> String {
    let mut claims = forge::claims();
    claims["filler"] = json!("x".repeat(filler));
    claims.to_string()
}

#[test]
fn another_implementations_tokens_are_accepted() {
    crate::provider::install();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    header.kid = Some(one().kid.into());
    let key = jsonwebtoken::EncodingKey::from_rsa_der(&one().pkcs1());
    let token = jsonwebtoken::encode(&header, &forge::claims(), &key).unwrap();
    assert_table(vec![("by jsonwebtoken", token, Ok(()))]);
}

#[test]
fn each_issuer_vouches_for_its_own_keys_and_clients_only() {
    let other = Issuer {
        issuer: "https://other.test/pool".into(),
        jwks_url: None,
        client_ids: vec!["client-other".into()],
        bundled: Some(two().jwks()),
    };
    let clock = forge::fixed_clock();
    let verifier = Verifier::new(vec![offline(), other], Arc::new(NoNetwork), None, clock).unwrap();
    let verify = |token: String| now_or_panic(verifier.verify(Some(&bearer(&token)))).map(|_| ());
    let others = |header: &mut Value, claims: &mut Value| {
        header["kid"] = json!(two().kid);
        claims["iss"] = json!("https://other.test/pool");
        claims["client_id"] = json!("client-other");
    };

    assert_eq!(verify(one().token(|_, _| {})), Ok(()));
    assert_eq!(verify(two().token(others)), Ok(()));
    // The other's key speaks for the first issuer, and the first's for the other.
    assert_eq!(verify(two().token(|_, _| {})), Err(Refused::UnknownKey));
    assert_eq!(verify(one().token(others)), Err(Refused::BadSignature));
    assert_eq!(
        verify(two().token(|header, claims| {
            others(header, claims);
            claims["client_id"] = json!(CLIENT);
        })),
        Err(Refused::WrongClient)
    );
}

#[test]
fn an_allow_list_that_cannot_work_is_refused_when_built() {
    let build = |issuers: Vec<Issuer>| Verifier::new(issuers, Arc::new(NoNetwork), None, forge::fixed_clock()).err();
    assert!(build(vec![]).is_none());
    assert!(build(vec![offline(), forge::issuer()]).is_some_and(|error| matches!(error, IssuerError::Twice(_))));
    let empty = Issuer { issuer: String::new(), ..offline() };
    assert!(matches!(build(vec![empty]), Some(IssuerError::Empty)));
    for client_ids in [vec![], vec![String::new()]] {
        let nobody = Issuer { client_ids, ..offline() };
        assert!(matches!(build(vec![nobody]), Some(IssuerError::NoClient(_))));
    }
    let keyless = Issuer { bundled: None, ..offline() };
    assert!(matches!(build(vec![keyless]), Some(IssuerError::NoKeys(_))));
    let plain = Issuer { jwks_url: Some("http://issuer.test/jwks".into()), ..offline() };
    assert!(matches!(build(vec![plain]), Some(IssuerError::Address(_))));
    let broken = Issuer { bundled: Some("{}".into()), ..offline() };
    assert!(matches!(build(vec![broken]), Some(IssuerError::Bundled { .. })));
}

#[test]
fn an_allow_list_of_nobody_lets_nobody_in() {
    let verifier = Verifier::new(vec![], Arc::new(NoNetwork), None, forge::fixed_clock()).unwrap();
    let token = bearer(&one().token(|_, _| {}));
    assert_eq!(now_or_panic(verifier.verify(Some(&token))).err(), Some(Refused::UnknownIssuer));
}

#[tokio::test]
async fn a_token_that_is_refused_anyway_costs_no_question_to_its_issuer() {
    let network = Network::answering(one().jwks());
    let clock = forge::fixed_clock();
    let verifier = Verifier::new(vec![forge::issuer()], network.clone(), None, clock).unwrap();
    for token in [with_claim("exp", NOW - 61), with_claim("token_use", "id"), with_claim("client_id", "x")] {
        assert!(verifier.verify(Some(&bearer(&token))).await.is_err());
    }
    assert_eq!(network.count(), 0);
    assert!(verifier.verify(Some(&bearer(&one().token(|_, _| {})))).await.is_ok());
    assert_eq!(network.count(), 1);
}

#[test]
fn a_verified_token_is_remembered_for_half_a_minute() {
    let clock = ManualClock::new();
    let verifier = verifier_with(&clock, Rules::default());
    let token = bearer(&one().token(|_, _| {}));
    let verify = || now_or_panic(verifier.verify(Some(&token))).unwrap();

    let first = verify();
    clock.advance(29);
    assert!(Arc::ptr_eq(&first, &verify()), "remembered");
    clock.advance(1);
    let second = verify();
    assert!(!Arc::ptr_eq(&first, &second), "verified again");
    assert!(Arc::ptr_eq(&second, &verify()), "and remembered again");
    clock.set(NOW);
    assert!(!Arc::ptr_eq(&second, &verify()), "a clock set back forgets");
}

#[test]
fn a_memory_never_outlives_the_token() {
    let clock = ManualClock::new();
    let verifier = verifier_with(&clock, Rules { leeway_seconds: 0, ..Rules::default() });
    let token = bearer(&with_claim("exp", NOW + 10));
    assert!(now_or_panic(verifier.verify(Some(&token))).is_ok());
    clock.advance(9);
    assert!(now_or_panic(verifier.verify(Some(&token))).is_ok());
    clock.advance(1);
    assert_eq!(now_or_panic(verifier.verify(Some(&token))).err(), Some(Refused::Expired));
}

#[test]
fn within_the_leeway_a_token_is_verified_every_time() {
    let clock = ManualClock::new();
    let verifier = verifier_with(&clock, Rules::default());
    let token = bearer(&with_claim("exp", NOW + 10));
    clock.advance(20);
    let first = now_or_panic(verifier.verify(Some(&token))).unwrap();
    let second = now_or_panic(verifier.verify(Some(&token))).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
}

#[test]
fn a_memory_of_no_seconds_remembers_nothing() {
    let verifier = verifier_with(&ManualClock::new(), Rules { memo_seconds: 0, ..Rules::default() });
    let token = bearer(&one().token(|_, _| {}));
    let first = now_or_panic(verifier.verify(Some(&token))).unwrap();
    assert!(!Arc::ptr_eq(&first, &now_or_panic(verifier.verify(Some(&token))).unwrap()));
}

#[test]
fn the_memory_is_bounded_and_refusals_take_no_room_in_it() {
    let verifier = verifier_with(&ManualClock::new(), Rules { memo_tokens: 8, ..Rules::default() });
    for number in 0..32 {
        let token = one().token(|_, claims| claims["jti"] = json!(format!("jti-{number}")));
        assert!(now_or_panic(verifier.verify(Some(&bearer(&token)))).is_ok());
        let forged = two().token(|header, _| header["kid"] = json!(one().kid));
        assert!(now_or_panic(verifier.verify(Some(&bearer(&forged)))).is_err());
    }
    assert!((1..=8).contains(&verifier.memo.len()), "{}", verifier.memo.len());
}

#[test]
fn a_memory_of_one_issuers_token_says_nothing_about_another_issuers() {
    const OTHER: &str = "https://other.test/pool";
    // Both publish a key of the same name, and both know a person and a token by the same ids.
    let other_jwk = forge::two().jwk().as_object().unwrap().clone().into_iter();
    let renamed: serde_json::Map<_, _> =
        other_jwk.map(|(name, value)| if name == "kid" { (name, json!(one().kid)) } else { (name, value) }).collect();
    let other = Issuer { issuer: OTHER.into(), bundled: Some(json!({ "keys": [renamed] }).to_string()), ..offline() };
    let issuers = vec![offline(), other];
    let verifier = Verifier::new(issuers, Arc::new(NoNetwork), None, forge::fixed_clock()).unwrap();
    let verify = |token: &str| now_or_panic(verifier.verify(Some(&bearer(token))));
    let of_other = |header: &mut Value, claims: &mut Value| {
        header["kid"] = json!(one().kid);
        claims["iss"] = json!(OTHER);
    };

    let first = one().token(|_, _| {});
    assert_eq!(verify(&first).unwrap().issuer, ISSUER);
    // Its signature, remembered as good, under the other's name.
    let unsigned = two().token(of_other);
    let (signed, _) = unsigned.rsplit_once('.').unwrap();
    let (_, signature) = first.rsplit_once('.').unwrap();
    assert_eq!(verify(&format!("{signed}.{signature}")).err(), Some(Refused::BadSignature));
    assert_eq!(verify(&one().token(of_other)).err(), Some(Refused::BadSignature));
    assert_eq!(verify(&unsigned).unwrap().issuer, OTHER);
    assert_eq!(verify(&first).unwrap().issuer, ISSUER, "still its own");
    // A verifier that does not know the issuer has no memory of it either.
    assert_eq!(now_or_panic(self::verifier().verify(Some(&bearer(&unsigned)))).err(), Some(Refused::UnknownIssuer));
}

#[test]
fn whoever_signs_out_everywhere_is_refused_at_once_though_remembered() {
    let clock = ManualClock::new();
    let list = crate::ProcessDenylist::new(clock.as_clock());
    let verifier = verifier_with(&clock, Rules::default()).with_denylist(list.clone());
    let token = bearer(&one().token(|_, _| {}));
    let caller = now_or_panic(verifier.verify(Some(&token))).unwrap();
    assert!(Arc::ptr_eq(&caller, &now_or_panic(verifier.verify(Some(&token))).unwrap()), "remembered");
    now_or_panic(list.revoke_user(&caller.sub, NOW)).unwrap();
    assert_eq!(now_or_panic(verifier.verify(Some(&token))).err(), Some(Refused::Revoked));
    // For as long as it could have been taken.
    clock.set(NOW + 3500 + 59);
    assert_eq!(now_or_panic(verifier.verify(Some(&token))).err(), Some(Refused::Revoked));
    clock.advance(1);
    assert_eq!(now_or_panic(verifier.verify(Some(&token))).err(), Some(Refused::Expired));
}

#[derive(Default)]
struct Revocations {
    revoked: Mutex<Vec<String>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Denylist for Revocations {
    async fn marks(&self, keys: [&str; 2]) -> [Option<u64>; 2] {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let revoked = self.revoked.lock().unwrap();
        keys.map(|key| revoked.iter().any(|revoked| revoked == key).then_some(1))
    }

    async fn mark(&self, key: &str, _value: u64, _until: u64) -> Result<(), DenylistError> {
        self.revoked.lock().unwrap().push(key.to_owned());
        Ok(())
    }
}

#[test]
fn a_token_signed_out_is_refused_at_once_though_remembered() {
    let list = Arc::new(Revocations::default());
    let verifier = verifier().with_denylist(list.clone());
    let (mine, others) = (one().token(|_, _| {}), with_claim("jti", "another"));
    let verify = |token: &str| now_or_panic(verifier.verify(Some(&bearer(token)))).map(|_| ());

    assert_eq!(verify(&mine), Ok(()));
    let caller = now_or_panic(verifier.verify(Some(&bearer(&mine)))).unwrap();
    now_or_panic(list.revoke_token(&caller)).unwrap();
    assert_eq!(verify(&mine), Err(Refused::Revoked));
    assert_eq!(verify(&mine), Err(Refused::Revoked));
    assert_eq!(verify(&others), Ok(()));
    assert_eq!(list.asked.load(Ordering::SeqCst), 5);
}

#[test]
fn whoever_signs_out_everywhere_has_no_token_left_from_before() {
    let list = Arc::new(Revocations::default());
    let verifier = verifier().with_denylist(list.clone());
    let token = one().token(|_, _| {});
    let caller = now_or_panic(verifier.verify(Some(&bearer(&token)))).unwrap();
    assert_eq!(caller.issued_at, Some(NOW - 100));
    // This list answers 1 to every key it has: a moment long before the token's.
    now_or_panic(list.revoke_user(&caller.sub, NOW)).unwrap();
    assert!(now_or_panic(verifier.verify(Some(&bearer(&token)))).is_ok());
    let early = one().token(|_, claims| claims["iat"] = json!(1));
    assert_eq!(now_or_panic(verifier.verify(Some(&bearer(&early)))).err(), Some(Refused::Revoked));
    let undated = without_claim("iat");
    assert_eq!(now_or_panic(verifier.verify(Some(&bearer(&undated)))).err(), Some(Refused::Revoked));
}

#[test]
fn the_denylist_is_not_asked_about_tokens_that_do_not_verify() {
    let list = Arc::new(Revocations::default());
    let verifier = verifier().with_denylist(list.clone());
    let forged = two().token(|header, _| header["kid"] = json!(one().kid));
    assert_eq!(now_or_panic(verifier.verify(Some(&bearer(&forged)))).err(), Some(Refused::BadSignature));
    assert_eq!(list.asked.load(Ordering::SeqCst), 0);
}

/// Counts by name and outcome.
#[derive(Default)]
struct Counters(Mutex<HashMap<String, Arc<std::sync::atomic::AtomicU64>>>);

impl metrics::Recorder for Counters {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        metrics::Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }

    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

#[test]
fn every_outcome_is_counted_and_says_nothing_about_the_token() {
    let counters = Counters::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    metrics::with_local_recorder(&counters, || {
        let network = Network::answering(one().jwks());
        let verifier = Verifier::new(vec![forge::issuer()], network, None, ManualClock::new().as_clock()).unwrap();
        runtime.block_on(async {
            let token = bearer(&one().token(|_, _| {}));
            for value in [Some(token.as_str()), Some(token.as_str()), None, Some("Bearer x")] {
                let _either = verifier.verify(value).await;
            }
        });
    });
    let mut counted: Vec<_> =
        counters.0.lock().unwrap().iter().map(|(name, count)| (name.clone(), count.load(Ordering::SeqCst))).collect();
    counted.sort();
    assert_eq!(
        counted,
        [
            ("identity.jwks_fetches{outcome=fetched}".to_owned(), 1),
            ("identity.verifications{outcome=remembered}".to_owned(), 1),
            ("identity.verifications{outcome=token_malformed}".to_owned(), 1),
            ("identity.verifications{outcome=token_missing}".to_owned(), 1),
            ("identity.verifications{outcome=verified}".to_owned(), 1),
        ]
    );
}

/// Shared by the properties below, as proptest runs each many times.
fn shared() -> &'static (Verifier, String) {
    static SHARED: std::sync::LazyLock<(Verifier, String)> =
        std::sync::LazyLock::new(|| (verifier(), one().token(|_, _| {})));
    &SHARED
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_token_with_any_one_byte_changed_is_refused(at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let (verifier, token) = shared();
        let at = at.index(token.len());
        prop_assume!(token.as_bytes()[at] != byte);
        let mut changed = token.clone().into_bytes();
        changed[at] = byte;
        let changed = String::from_utf8(changed).unwrap();
        // A leading space is not part of the token but of the scheme's separator; what is left is one byte short.
        prop_assert!(now_or_panic(verifier.verify(Some(&bearer(&changed)))).is_err());
    }

    #[test]
    fn a_token_with_one_byte_removed_or_added_is_refused(
        at in any::<prop::sample::Index>(),
        byte in prop::option::of(0x21_u8..127),
    ) {
        let (verifier, token) = shared();
        let at = at.index(token.len());
        let mut changed = token.clone();
        match byte {
            Some(byte) => changed.insert(at, char::from(byte)),
            None => drop(changed.remove(at)),
        }
        // Inserting a character before its equal is no different from inserting it behind; it is still one too many.
        prop_assert!(now_or_panic(verifier.verify(Some(&bearer(&changed)))).is_err());
    }

    #[test]
    fn the_last_character_has_one_spelling_only(byte in 0_u8..128) {
        let (verifier, token) = shared();
        let mut changed = token[..token.len() - 1].to_owned();
        changed.push(char::from(byte));
        let verified = now_or_panic(verifier.verify(Some(&bearer(&changed)))).is_ok();
        prop_assert_eq!(verified, changed == *token);
    }

    #[test]
    fn any_text_is_refused_without_a_panic(value in ".{0,200}") {
        let (verifier, _) = shared();
        prop_assert!(now_or_panic(verifier.verify(Some(&value))).is_err());
        prop_assert!(now_or_panic(verifier.verify(Some(&bearer(&value)))).is_err());
    }

    #[test]
    fn any_bytes_as_parts_are_refused_without_a_panic(
        header in prop::collection::vec(any::<u8>(), 0..80),
        payload in prop::collection::vec(any::<u8>(), 0..80),
        signature in prop::collection::vec(any::<u8>(), 0..300),
        sound_header in any::<bool>(),
    ) {
        let (verifier, _) = shared();
        let header = if sound_header { one().header().to_string().into_bytes() } else { header };
        let [header, payload, signature] = [header, payload, signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        let authorization = format!("Bearer {header}.{payload}.{signature}");
        prop_assert!(now_or_panic(verifier.verify(Some(&authorization))).is_err());
    }

    #[test]
    fn a_claim_of_any_json_is_read_or_refused_without_a_panic(name in 0_usize..13, value in any_json()) {
        let mut claims = forge::claims();
        let name = claims.as_object().unwrap().keys().nth(name).unwrap().clone();
        claims[&name] = value;
        let claims = crate::json::parse_object(claims.to_string().as_bytes()).unwrap();
        let _either = claims::check(&claims, &offline(), NOW, 60);
    }

    #[test]
    fn a_token_is_taken_from_its_first_second_to_its_last(exp in 0_u64..4_000, now in 0_u64..4_000, leeway in 0_u64..120) {
        let mut claims = forge::claims();
        claims["iat"] = json!(0);
        claims["auth_time"] = json!(0);
        claims["exp"] = json!(exp);
        let claims = crate::json::parse_object(claims.to_string().as_bytes()).unwrap();
        prop_assert_eq!(claims::check(&claims, &offline(), now, leeway).is_ok(), now < exp + leeway);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
