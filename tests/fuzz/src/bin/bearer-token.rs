//! Any bytes where a bearer token is expected: as they are, as the parts of a token, signed, and as edits of a token
//! that is good.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fuzz::bearer::{claims, door};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Value(&'a str),
    Token(&'a [u8]),
    Parts { header: &'a [u8], payload: &'a [u8], signature: &'a [u8] },
    Signed { header: &'a [u8], payload: &'a [u8] },
    Edited(Vec<Edit>),
}

#[derive(Arbitrary, Debug)]
enum Edit {
    Replace { at: u16, byte: u8 },
    Flip { at: u16, bit: u8 },
    Insert { at: u16, byte: u8 },
    Remove { at: u16, count: u8 },
    Repeat { at: u16, count: u8 },
}

fuzz_target!(|input: Input<'_>| {
    let door = door();
    let token = match input {
        Input::Value(value) => {
            let _either = door.knock(value);
            return;
        }
        Input::Token(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Input::Parts { header, payload, signature } => {
            [header, payload, signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
        }
        Input::Signed { header, payload } => door.sign(header, payload),
        Input::Edited(edits) => String::from_utf8_lossy(&edited(edits)).into_owned(),
    };
    let _either = door.knock(&format!("Bearer {token}"));
});

fn edited(edits: Vec<Edit>) -> Vec<u8> {
    static GOOD: LazyLock<String> = LazyLock::new(|| {
        let good = door().sign(door().header().to_string().as_bytes(), claims().to_string().as_bytes());
        assert!(door().knock(&format!("Bearer {good}")).is_ok(), "the token that edits begin with is taken");
        good
    });
    let mut token = GOOD.clone().into_bytes();
    for edit in edits.into_iter().take(16) {
        let place = |at: u16| usize::from(at) % token.len().max(1);
        match edit {
            _ if token.is_empty() => return token,
            Edit::Replace { at, byte } => {
                let at = place(at);
                token[at] = byte;
            }
            Edit::Flip { at, bit } => {
                let at = place(at);
                token[at] ^= 1 << (bit % 8);
            }
            Edit::Insert { at, byte } => {
                let at = place(at);
                token.insert(at, byte);
            }
            Edit::Remove { at, count } => {
                let at = place(at);
                let end = (at + usize::from(count)).min(token.len());
                drop(token.drain(at..end));
            }
            Edit::Repeat { at, count } => {
                let at = place(at);
                let end = (at + usize::from(count)).min(token.len());
                let again = token[at..end].to_vec();
                drop(token.splice(at..at, again));
            }
        }
    }
    token
}
