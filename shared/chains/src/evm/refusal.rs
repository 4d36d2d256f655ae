//! What nodes mean when they refuse. JSON-RPC has no codes for it, so the texts of the large providers are read.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// The error member of a JSON-RPC answer.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RpcError {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) data: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// We ask too often.
    Throttled { retry_after: Option<Duration> },
    /// The answer would be too long.
    TooManyResults { suggested: Option<(u64, u64)> },
    /// The range of blocks is too wide, whatever lies in it.
    TooWide { numbers: Vec<u64>, suggested: Option<(u64, u64)> },
    /// It took the node too long.
    TimedOut,
    /// The node is in no state to answer.
    Unwell,
    /// The request itself is refused, and always will be.
    Final,
}

impl RpcError {
    /// Whether it may be that the node keeps no state of the block it was asked about.
    pub(super) fn is_missing_state(&self) -> bool {
        let text = self.message.to_lowercase();
        ["header not found", "unknown block", "block not found", "state", "missing trie node"]
            .iter()
            .any(|part| text.contains(part))
    }

    pub(super) fn refusal(&self) -> Refusal {
        let text = self.message.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        let suggested = || suggested_range(&text, self.data.as_ref());

        // A revert's text is the contract's, not the node's.
        if self.code == 3 || has(&["execution reverted", "vm execution error", "invalid opcode", "out of gas"]) {
            return Refusal::Final;
        }
        if self.code == 429
            || has(&[
                "rate limit",
                "rate exceeded",
                "rate-limit",
                "too many requests",
                "request limit",
                "request count exceeded",
                "requests per second",
                "per second capacity",
                "call rate",
                "throughput",
                "quota",
            ])
        {
            return Refusal::Throttled { retry_after: backoff(self.data.as_ref()) };
        }
        // Gone for good on this node, whatever else the text says.
        if has(&["missing trie node", "historical state", "pruned", "archive"]) {
            return Refusal::Final;
        }
        // Nodes behind one address are not equally far; the block will be there in a moment.
        if has(&[
            "beyond current head",
            "invalid block range",
            "header not found",
            "unknown block",
            "after last accepted",
        ]) {
            return Refusal::Unwell;
        }
        if has(&[
            "more than",
            "max results",
            "too many logs",
            "too many results",
            "logs matched",
            "response size",
            "response is too",
            "response too",
            "result set",
            "size exceeded",
            "result limit",
        ]) && has(&["result", "logs", "response", "size"])
        {
            return Refusal::TooManyResults { suggested: suggested() };
        }
        // A timeout may name the range too, but no fixed width helps there.
        if has(&["timeout", "timed out", "deadline exceeded", "took too long", "canceled", "cancelled", "aborted"]) {
            return Refusal::TimedOut;
        }
        if has(&["range", "too many blocks", "blocks distance", "block limit"])
            && has(&["block", "range"])
            && has(&[
                "limit",
                "exceed",
                "wide",
                "large",
                "max",
                "up to",
                "over",
                "greater",
                "restrict",
                "too many",
                "distance",
                "more than",
                "should work",
            ])
        {
            return Refusal::TooWide { numbers: numbers(&text), suggested: suggested() };
        }
        match self.code {
            // EIP-1474: limit exceeded.
            -32005 => Refusal::Throttled { retry_after: backoff(self.data.as_ref()) },
            -32007 | -32016 | -32029 if has(&["limit", "rate"]) => Refusal::Throttled { retry_after: None },
            // Internal error, resource unavailable, and what proxies say when nobody is behind them.
            -32603 | -32002 | -32011 => Refusal::Unwell,
            _ if has(&[
                "temporar",
                "try again",
                "unavailable",
                "no backend",
                "internal error",
                "overloaded",
                "busy",
            ]) =>
            {
                Refusal::Unwell
            }
            _ => Refusal::Final,
        }
    }
}

/// `[0x1, 0x2]`, `range 1-2`, or the members `from` and `to` of the error's data.
fn suggested_range(text: &str, data: Option<&Value>) -> Option<(u64, u64)> {
    let ordered = |(from, to): (u64, u64)| (from <= to).then_some((from, to));
    let member = |name| data?.get(name)?.as_str().and_then(crate::hex::quantity);
    if let (Some(from), Some(to)) = (member("from"), member("to")) {
        return ordered((from, to));
    }
    let bracket = text.match_indices('[').find_map(|(at, _)| {
        let (inside, _) = text[at + 1..].split_once(']')?;
        let (from, to) = inside.split_once(',')?;
        Some((block(from.trim())?, block(to.trim())?))
    });
    let dashed = || {
        text.match_indices("range ").find_map(|(at, found)| {
            let rest = &text[at + found.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
            let (from, to) = rest[..end].split_once('-')?;
            Some((block(from)?, block(to)?))
        })
    };
    bracket.or_else(dashed).and_then(ordered)
}

fn block(text: &str) -> Option<u64> {
    crate::hex::quantity(text).or_else(|| text.parse().ok())
}

/// All decimal numbers of a text: `10,000`, `2k`, `5000`. Those written in hex are blocks, not widths.
fn numbers(text: &str) -> Vec<u64> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let word = at;
        while at < bytes.len()
            && (bytes[at].is_ascii_alphanumeric()
                || (bytes[at] == b',' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)))
        {
            at += 1;
        }
        let word: String = text[word..at].chars().filter(|c| *c != ',').collect();
        let (digits, factor) = match word.strip_suffix('k') {
            Some(digits) => (digits, 1000),
            None => (word.as_str(), 1),
        };
        if let Ok(number) = digits.parse::<u64>() {
            found.push(number.saturating_mul(factor));
        }
    }
    found
}

fn backoff(data: Option<&Value>) -> Option<Duration> {
    let seconds = data?.get("rate")?.get("backoff_seconds")?.as_f64()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: i64, message: &str) -> Refusal {
        RpcError { code, message: message.to_owned(), data: None }.refusal()
    }

    fn narrowest(code: i64, message: &str) -> Option<u64> {
        match refusal(code, message) {
            Refusal::TooWide { numbers, .. } => numbers.into_iter().filter(|number| *number >= 10).min(),
            other => panic!("{message}: {other:?}"),
        }
    }

    #[test]
    fn too_many_results_is_understood_with_the_range_suggested() {
        for (code, text, suggested) in [
            (-32005, "query returned more than 10000 results", None),
            (
                -32602,
                "Query returned more than 10000 results. Try with this block range [0x1a2b, 0x1a40].",
                Some((0x1a2b, 0x1a40)),
            ),
            (
                -32602,
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit \
                 on the response size, or you can request any block range with a cap of 10K logs in the response. Based \
                 on your parameters and the response size limit, this block range should work: [0x0, 0x1b7]",
                Some((0, 0x1b7)),
            ),
            (
                -32602,
                "query exceeds max results 20000, retry with the range 24383075-24383096",
                Some((24_383_075, 24_383_096)),
            ),
            (-32005, "logs matched by query exceeds limit of 10000", None),
            (-32008, "Response is too big", None),
            (-32000, "response size should not greater than 10000000 bytes", None),
            (-32020, "backend response too large", None),
        ] {
            assert_eq!(refusal(code, text), Refusal::TooManyResults { suggested }, "{text}");
        }
        let data = serde_json::json!({"from": "0x10", "to": "0x2f", "limit": 10000});
        let error =
            RpcError { code: -32005, message: "query returned more than 10000 results".into(), data: Some(data) };
        assert_eq!(error.refusal(), Refusal::TooManyResults { suggested: Some((16, 47)) });
    }

    #[test]
    fn too_wide_a_range_is_understood_with_the_width_allowed() {
        for (code, text, width) in [
            (-32005, "exceed maximum block range: 10000", 10_000),
            (-32602, "range 1000000 exceeds limit of 10000", 10_000),
            (-32614, "eth_getLogs is limited to a 10,000 range", 10_000),
            (-32614, "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range", 10_000),
            (-32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800", 800),
            (-32000, "block range is larger than max block range, block range = 5120, max block range = 5000", 5000),
            (-32600, "block range is too wide (maximum 1024)", 1024),
            (-32000, "ranges over 10000 blocks are not supported on freetier", 10_000),
            (-32701, "range is too large, max is 1k blocks", 1000),
            (-32602, "query exceeds max block range 100000", 100_000),
        ] {
            assert_eq!(narrowest(code, text), Some(width), "{text}");
        }
        assert_eq!(narrowest(-32600, "block range is too wide"), None);
        let text = "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on \
                    your parameters, this block range should work: [0x10, 0x19].";
        assert!(matches!(refusal(-32600, text), Refusal::TooWide { suggested: Some((16, 25)), .. }));
    }

    #[test]
    fn waiting_failing_and_refusing_are_told_apart() {
        for (code, text, expected) in [
            (-32000, "query timeout exceeded", Refusal::TimedOut),
            (-32603, "query timeout of 10 seconds exceeded", Refusal::TimedOut),
            (-32000, "context deadline exceeded", Refusal::TimedOut),
            (-32005, "limit exceeded", Refusal::Throttled { retry_after: None }),
            (-32005, "daily request count exceeded, request rate limited", Refusal::Throttled { retry_after: None }),
            (
                429,
                "Your app has exceeded its compute units per second capacity.",
                Refusal::Throttled { retry_after: None },
            ),
            (
                -32007,
                "50/second request limit reached - reduce calls per second",
                Refusal::Throttled { retry_after: None },
            ),
            (-32016, "over rate limit", Refusal::Throttled { retry_after: None }),
            (-32602, "block range extends beyond current head block", Refusal::Unwell),
            (-32000, "invalid block range params", Refusal::Unwell),
            (-32011, "no backend is currently healthy to serve traffic", Refusal::Unwell),
            (-32603, "Internal error", Refusal::Unwell),
            (-32601, "the method eth_getLogs does not exist/is not available", Refusal::Final),
            (3, "execution reverted: rate limit", Refusal::Final),
            (-32000, "required historical state unavailable (reexec=0)", Refusal::Final),
            (4444, "pruned history unavailable", Refusal::Final),
            (-32000, "missing trie node 0abc (path ) state 0xdef is not available", Refusal::Final),
        ] {
            assert_eq!(refusal(code, text), expected, "{text}");
        }
        let data = serde_json::json!({"rate": {"backoff_seconds": 30.0, "allowed_rps": 10}});
        let error = RpcError { code: -32005, message: "project ID request rate exceeded".into(), data: Some(data) };
        assert_eq!(error.refusal(), Refusal::Throttled { retry_after: Some(Duration::from_secs(30)) });
    }
}
