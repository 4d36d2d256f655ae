//! Tokens as lists of members in their JSON spelling, so that they can say what no JSON value can.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::forge::{Forge, NOW};

/// One member of an object. `name` is what it means; `spelled` and `value` are JSON texts.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) spelled: String,
    pub(super) value: String,
}

pub(super) type Members = Vec<Member>;

pub(super) fn member(name: &str, value: impl Into<String>) -> Member {
    Member { name: name.to_owned(), spelled: Value::from(name).to_string(), value: value.into() }
}

/// One user pool of the allow-list and what it signs with.
pub(super) struct Pool {
    pub(super) id: &'static str,
    pub(super) clients: [&'static str; 2],
    pub(super) keys: Vec<Forge>,
}

impl Pool {
    pub(super) fn issuer(&self) -> String {
        let (region, _) = self.id.split_once('_').unwrap();
        format!("https://cognito-idp.{region}.amazonaws.com/{}", self.id)
    }

    pub(super) fn jwks(&self) -> Value {
        serde_json::json!({ "keys": self.keys.iter().map(Forge::jwk).collect::<Vec<_>>() })
    }
}

/// A token before it is signed. Fresh from [`Draft::good`], it is one that both verifiers take.
#[derive(Clone)]
pub(super) struct Draft<'p> {
    pub(super) header: Members,
    pub(super) claims: Members,
    pub(super) signer: &'p Forge,
    /// What is done to the two JSON texts, and to their base64, before signing.
    pub(super) dress: Dress,
}

#[derive(Clone, Default)]
pub(super) struct Dress {
    /// Bytes before and behind the payload's JSON.
    pub(super) payload_around: [Vec<u8>; 2],
    pub(super) header_around: [Vec<u8>; 2],
    /// So many `=` behind the header's and the payload's base64.
    pub(super) padding: [usize; 2],
    /// The payload's base64 in another spelling of its last character.
    pub(super) twisted: bool,
}

impl<'p> Draft<'p> {
    /// What Cognito issues, from one of a pool's keys to one of its clients.
    pub(super) fn good(pool: &'p Pool, key: usize, client: usize, extras: u64) -> Self {
        let signer = &pool.keys[key % pool.keys.len()];
        let text = |text: &str| Value::from(text).to_string();
        let mut claims = vec![
            member("sub", text("3f1c6a3e-8d0e-4b7a-9c55-0a6a1a3f2b10")),
            member("iss", text(&pool.issuer())),
            member("client_id", text(pool.clients[client % 2])),
            member("origin_jti", text("5d9d2b2e-6a0f-4a44-8b0c-7f8f2f6a1c01")),
            member("event_id", text("0f7a1f58-9b0d-4c1c-a2e4-6f0a0e7b9d02")),
            member("token_use", text("access")),
            member("scope", text("aws.cognito.signin.user.admin openid")),
            member("auth_time", (NOW - 100).to_string()),
            member("exp", (NOW + 3500).to_string()),
            member("iat", (NOW - 100).to_string()),
            member("jti", text("a7cf5d0e-1c1b-4f0e-8a52-3e9d54c6e803")),
            member("username", text("ann")),
        ];
        if extras & 1 != 0 {
            claims.push(member("cognito:groups", r#"["admin","members"]"#));
        }
        if extras & 2 != 0 {
            claims.push(member("nbf", (NOW - 100).to_string()));
        }
        if extras & 4 != 0 {
            claims.push(member("version", "2"));
        }
        let mut header = vec![member("kid", text(signer.kid)), member("alg", text("RS256"))];
        if extras & 8 != 0 {
            header.push(member("typ", text("JWT")));
        }
        Self { header, claims, signer, dress: Dress::default() }
    }

    pub(super) fn header_bytes(&self) -> Vec<u8> {
        around(&self.dress.header_around, &object(&self.header))
    }

    pub(super) fn payload_bytes(&self) -> Vec<u8> {
        around(&self.dress.payload_around, &object(&self.claims))
    }

    /// The two parts that are signed, as they stand in the token.
    pub(super) fn parts(&self) -> [String; 2] {
        let mut payload = URL_SAFE_NO_PAD.encode(self.payload_bytes());
        if self.dress.twisted {
            payload = respelled(&payload).unwrap_or(payload);
        }
        let [header_padding, payload_padding] = self.dress.padding.map(|count| "=".repeat(count));
        [URL_SAFE_NO_PAD.encode(self.header_bytes()) + &header_padding, payload + &payload_padding]
    }

    pub(super) fn sign(&self) -> String {
        let [header, payload] = self.parts();
        self.signer.sign_parts(&header, &payload)
    }
}

fn around([before, behind]: &[Vec<u8>; 2], text: &str) -> Vec<u8> {
    [before.as_slice(), text.as_bytes(), behind].concat()
}

fn object(members: &Members) -> String {
    let members: Vec<_> = members.iter().map(|member| format!("{}:{}", member.spelled, member.value)).collect();
    format!("{{{}}}", members.join(","))
}

/// The same base64url with other unused bits in its last character; none where it has no unused bits.
pub(super) fn respelled(part: &str) -> Option<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = part.split_at_checked(part.len().checked_sub(1)?)?;
    let value = ALPHABET.iter().position(|letter| [*letter] == *last.as_bytes())?;
    (!part.len().is_multiple_of(4)).then(|| format!("{rest}{}", char::from(ALPHABET[value ^ 1])))
}
