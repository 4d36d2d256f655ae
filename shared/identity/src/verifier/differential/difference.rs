//! Where we differ from `aws-jwt-verify` on purpose. Whether a token is such a case is read from the token, never from
//! anybody's verdict on it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::draft::{Draft, Members};
use crate::forge::NOW;
use crate::refused::Refused;
use crate::verifier::TOKEN_BYTES_MAX;

/// In each case we refuse, and the peer may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Difference {
    TooLong,
    BaseSpelling,
    NotUtf8,
    LoneSurrogate,
    RepeatedName,
    DeepNesting,
    HugeNumber,
    KeyInHeader,
    OtherType,
    NoExpiry,
    NoWholeSeconds,
    LastSecond,
    IssuedLater,
    Subject,
    UserName,
    Groups,
    EmptyTokenId,
}

impl Difference {
    pub(super) const ALL: [Self; 17] = [
        Self::TooLong,
        Self::BaseSpelling,
        Self::NotUtf8,
        Self::LoneSurrogate,
        Self::RepeatedName,
        Self::DeepNesting,
        Self::HugeNumber,
        Self::KeyInHeader,
        Self::OtherType,
        Self::NoExpiry,
        Self::NoWholeSeconds,
        Self::LastSecond,
        Self::IssuedLater,
        Self::Subject,
        Self::UserName,
        Self::Groups,
        Self::EmptyTokenId,
    ];

    /// As `docs/bearer-tokens.md` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::BaseSpelling => "another base64 spelling",
            Self::NotUtf8 => "not UTF-8",
            Self::LoneSurrogate => "a lone surrogate",
            Self::RepeatedName => "a repeated name",
            Self::DeepNesting => "deep nesting",
            Self::HugeNumber => "a huge number",
            Self::KeyInHeader => "a telling header",
            Self::OtherType => "another type",
            Self::NoExpiry => "no expiry",
            Self::NoWholeSeconds => "no whole seconds",
            Self::LastSecond => "the last second",
            Self::IssuedLater => "issued later",
            Self::Subject => "no usable subject",
            Self::UserName => "no user name",
            Self::Groups => "odd groups",
            Self::EmptyTokenId => "an empty token id",
        }
    }

    /// Our verdict when nothing else is wrong.
    pub(super) fn refusal(self) -> Refused {
        match self {
            Self::TooLong => Refused::TooLong,
            Self::LastSecond => Refused::Expired,
            Self::IssuedLater => Refused::NotYetValid,
            _ => Refused::Malformed,
        }
    }
}

/// What a signed draft is, if any.
pub(super) fn of_draft(draft: &Draft<'_>) -> BTreeSet<Difference> {
    let mut found = BTreeSet::new();
    let mut note = |difference, is_so: bool| {
        if is_so {
            found.insert(difference);
        }
    };
    let (header, payload) = (draft.header_bytes(), draft.payload_bytes());

    for bytes in [&header, &payload] {
        note(Difference::NotUtf8, std::str::from_utf8(bytes).is_err());
        let text = String::from_utf8_lossy(bytes);
        note(Difference::LoneSurrogate, has_lone_surrogate(&text));
        note(Difference::DeepNesting, depth(&text) > 127);
    }
    let parts = draft.parts();
    note(Difference::TooLong, parts.iter().map(String::len).sum::<usize>() + "..".len() + 342 > TOKEN_BYTES_MAX);
    note(Difference::BaseSpelling, parts.iter().any(|part| URL_SAFE_NO_PAD.decode(part).is_err()));

    for members in [&draft.header, &draft.claims] {
        let names: BTreeSet<_> = members.iter().map(|member| &member.name).collect();
        note(Difference::RepeatedName, names.len() < members.len());
        note(Difference::RepeatedName, members.iter().any(|member| member.value.contains(NESTED_TWICE)));
        note(Difference::HugeNumber, members.iter().any(|member| is_huge(&member.value)));
    }

    let telling = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "epk"];
    note(Difference::KeyInHeader, draft.header.iter().any(|member| telling.contains(&member.name.as_str())));
    let typ = last(&draft.header, "typ").map(|typ| string(typ).unwrap_or_default().to_ascii_lowercase());
    note(Difference::OtherType, typ.is_some_and(|typ| typ != "jwt" && typ != "at+jwt"));

    let claim = |name: &str| last(&draft.claims, name);
    let seconds = |name: &str| claim(name).and_then(|text| text.parse::<u64>().ok());
    note(Difference::NoExpiry, claim("exp").is_none());
    for name in ["exp", "iat", "nbf"] {
        note(Difference::NoWholeSeconds, claim(name).is_some_and(|text| is_number(text) && seconds(name).is_none()));
    }
    note(Difference::NoWholeSeconds, claim("auth_time").is_some() && seconds("auth_time").is_none());
    note(Difference::LastSecond, seconds("exp") == Some(NOW - 60));
    let latest = seconds("exp").unwrap_or(u64::MAX).min(NOW + 60);
    note(Difference::IssuedLater, seconds("iat").is_some_and(|iat| iat > latest));

    let usable = |sub: String| (1..=128).contains(&sub.len()) && sub.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    note(Difference::Subject, !claim("sub").and_then(string).is_some_and(usable));
    note(Difference::UserName, claim("username").and_then(string).is_none_or(|name| name.is_empty()));
    let are_texts = |groups: &str| serde_json::from_str::<Vec<String>>(groups).is_ok();
    note(Difference::Groups, claim("cognito:groups").is_some_and(|groups| !are_texts(groups)));
    note(Difference::EmptyTokenId, claim("jti").and_then(string).is_some_and(|jti| jti.is_empty()));
    found
}

/// What a good token is after an edit of its text, if any: all that can be changed without breaking the signature is
/// how the signature is spelled.
pub(super) fn of_edit(good: &str, edited: &str) -> BTreeSet<Difference> {
    let mut found = BTreeSet::new();
    if edited.len() > TOKEN_BYTES_MAX {
        found.insert(Difference::TooLong);
    }
    let (Some((signed, signature)), Some((same, spelled))) = (good.rsplit_once('.'), edited.rsplit_once('.')) else {
        return found;
    };
    if signed == same && signature != spelled && leniently(spelled) == leniently(signature) {
        found.insert(Difference::BaseSpelling);
    }
    found
}

/// Base64url, with or without padding, whatever the unused bits; none for anything else. One character too many is
/// passed over, as the peer does.
fn leniently(part: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone);
    let part = part.trim_end_matches('=');
    let whole = part.len() - usize::from(part.len() % 4 == 1);
    GeneralPurpose::new(&alphabet::URL_SAFE, config).decode(&part.as_bytes()[..whole]).ok()
}

/// A value that repeats a name, for claims nobody reads.
pub(super) const NESTED_TWICE: &str = r#"{"a":1,"a":2}"#;

/// The member that a reader to whom the last counts sees.
fn last<'m>(members: &'m Members, name: &str) -> Option<&'m str> {
    members.iter().rev().find(|member| member.name == name).map(|member| member.value.as_str())
}

fn string(json: &str) -> Option<String> {
    serde_json::from_str::<Value>(json).ok()?.as_str().map(str::to_owned)
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn is_huge(json: &str) -> bool {
    is_number(json) && json.parse::<f64>().is_ok_and(f64::is_infinite)
}

fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for letter in text.chars() {
        match letter {
            '[' | '{' => now += 1,
            ']' | '}' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// `\ud800` to `\udfff` that are not a pair.
fn has_lone_surrogate(text: &str) -> bool {
    let units: Vec<_> = text
        .match_indices("\\u")
        .filter_map(|(at, _)| Some((at, u16::from_str_radix(text.get(at + 2..at + 6)?, 16).ok()?)))
        .collect();
    let is_high = |unit: u16| (0xd800..0xdc00).contains(&unit);
    let is_low = |unit: u16| (0xdc00..0xe000).contains(&unit);
    let paired =
        |first: &(usize, u16), second: &(usize, u16)| is_high(first.1) && is_low(second.1) && second.0 == first.0 + 6;
    units.iter().enumerate().any(|(index, unit)| {
        let follows = units.get(index + 1).is_some_and(|next| paired(unit, next));
        let precedes = index > 0 && paired(&units[index - 1], unit);
        (is_high(unit.1) && !follows) || (is_low(unit.1) && !precedes)
    })
}
