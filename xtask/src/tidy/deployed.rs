//! Rules that keep functions, bins, events and the OpenAPI document in step.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Finding, House};
use crate::inventory::{DOCUMENT, Endpoint, is_function_name};

const BINS: &str = "functions/lambdas/src/bin";
const EVENTS: &str = "events";
const BIN_LINES: usize = 3;

pub(super) fn every_function_is_complete(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in house.inventory.functions() {
        if !is_function_name(name) {
            found.push(Finding::of(BINS, format!("function `{name}`: expected a name like `tokens-get-clusters`")));
            continue;
        }
        let (domain, file) = name.split_once('-').expect("a function's name has a dash");
        let file = file.replace('-', "_");
        let source = format!("functions/{domain}/src/{file}.rs");
        if house.tree.text(&source).is_none() {
            found.push(Finding::of(&source, format!("expected the source of the function `{name}` here")));
        }
        let bin = format!("{BINS}/{name}.rs");
        let call = format!("{domain}::{file}::");
        match house.tree.text(&bin) {
            None => found.push(Finding::of(&bin, "expected a bin: every function is deployed")),
            Some(text) if !text.contains(&call) => {
                found.push(Finding::of(&bin, format!("expected it to serve `{call}…`")));
            }
            Some(_) => {}
        }
        let events = format!("{EVENTS}/{name}");
        if !house.tree.below(&events).any(|(path, _)| path.ends_with(".json")) {
            found.push(Finding::of(&events, "expected at least one event, `<case>.json`"));
        }
    }
    found
}

pub(super) fn nothing_is_left_over(house: &House) -> Vec<Finding> {
    let is_function = |name: &str| house.inventory.functions().any(|function| function == name);
    let mut found = Vec::new();
    for (path, text) in house.tree.below(BINS) {
        let name = path[BINS.len() + 1..].trim_end_matches(".rs");
        if !is_function(name) {
            let what =
                format!("expected `{name}` among `lambdas::endpoints()`, `workers()`, `schedules()` or `triggers()`");
            found.push(Finding::of(path, what));
        }
        if !text.contains("fn main()") {
            found.push(Finding::of(path, "expected `fn main()`"));
        }
    }
    for (path, _) in house.tree.below(EVENTS) {
        let name = path[EVENTS.len() + 1..].split('/').next().unwrap_or_default();
        if !is_function(name) {
            found.push(Finding::of(path, format!("expected a function named `{name}`")));
        }
    }
    found
}

pub(super) fn bins_are_three_lines(house: &House) -> Vec<Finding> {
    let long = house.tree.below(BINS).filter_map(|(path, text)| {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        (lines > BIN_LINES).then(|| {
            Finding::of(
                path,
                format!("{lines} lines: expected {BIN_LINES}; what it does belongs in its domain or in `runtime`"),
            )
        })
    });
    long.collect()
}

pub(super) fn one_function_per_route(house: &House) -> Vec<Finding> {
    let mut owners: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for endpoint in &house.inventory.endpoints {
        for (method, path) in &endpoint.routes {
            if let Some(owner) = owners.insert((method, path), &endpoint.name) {
                let what = format!("{method} {path}: expected one function, not `{owner}` and `{}`", endpoint.name);
                found.push(Finding::of(&format!("{BINS}/{}.rs", endpoint.name), what));
            }
        }
    }
    let mut names: Vec<_> = house.inventory.functions().collect();
    names.sort_unstable();
    for twice in names.windows(2).filter(|pair| pair[0] == pair[1]) {
        found.push(Finding::of(BINS, format!("`{}`: expected one function of this name", twice[0])));
    }
    found
}

pub(super) fn events_are_real(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in house.tree.below(EVENTS).filter(|(path, _)| path.ends_with(".json")) {
        let event: Value = match serde_json::from_str(text) {
            Ok(event) => event,
            Err(error) => {
                found.push(Finding::at(path, error.line(), format!("expected JSON: {error}")));
                continue;
            }
        };
        let name = path.split('/').nth(1).unwrap_or_default();
        let endpoint = house.inventory.endpoints.iter().find(|endpoint| endpoint.name == name);
        let is_schedule = house.inventory.schedules.iter().any(|schedule| schedule.name == name);
        let trigger = house.inventory.triggers.iter().find(|trigger| trigger.name == name);
        let wrong = match endpoint {
            Some(endpoint) => wrong_in_request(endpoint, &event),
            None if is_schedule => wrong_in_tick(&event),
            None if trigger.is_some_and(|trigger| trigger.by_pool) => wrong_in_call(&event),
            None if trigger.is_some() => wrong_in_command(&event),
            None => wrong_in_batch(&event),
        };
        found.extend(wrong.map(|expected| Finding::of(path, format!("expected {expected}"))));
        if text.contains("eyJ") {
            found.push(Finding::of(path, "expected `Bearer TOKEN`, never a token, however old"));
        }
    }
    found
}

/// What an API Gateway HTTP API (payload 2.0) would have sent to this endpoint instead.
fn wrong_in_request(endpoint: &Endpoint, event: &Value) -> Option<String> {
    if event["version"] != "2.0" {
        return Some("\"version\": \"2.0\", an event of an HTTP API".into());
    }
    let http = &event["requestContext"]["http"];
    let (method, path) = (http["method"].as_str().unwrap_or_default(), event["rawPath"].as_str().unwrap_or_default());
    if http["path"] != event["rawPath"] {
        return Some("requestContext.http.path to be rawPath".into());
    }
    let is_routed = endpoint.routes.iter().any(|(at, template)| at == method && answers(template, path));
    if !is_routed {
        let routes: Vec<_> = endpoint.routes.iter().map(|(at, template)| format!("{at} {template}")).collect();
        return Some(format!("a request to {}, not {method} {path}", routes.join(" or ")));
    }
    let key = event["routeKey"].as_str().unwrap_or_default();
    let is_key =
        key == "$default" || key.split_once(' ').is_some_and(|(at, template)| at == method && answers(template, path));
    (!is_key).then(|| "routeKey to be `METHOD /path/{parameter}` of this request".into())
}

/// What EventBridge would have sent to this schedule instead.
fn wrong_in_tick(event: &Value) -> Option<String> {
    let is_tick = event["detail-type"] == "Scheduled Event" && event["source"] == "aws.events";
    (!is_tick).then(|| "\"detail-type\": \"Scheduled Event\" from \"aws.events\"".into())
}

/// What Cognito would have sent to this trigger instead.
fn wrong_in_call(event: &Value) -> Option<String> {
    let is_source =
        |text: &str| text.split_once('_').is_some_and(|(step, cause)| !step.is_empty() && !cause.is_empty());
    if !event["triggerSource"].as_str().is_some_and(is_source) {
        return Some("triggerSource, such as `CustomMessage_SignUp`".into());
    }
    let texts = ["version", "region", "userPoolId", "userName"];
    if let Some(missing) = texts.into_iter().find(|field| !event[*field].is_string()) {
        return Some(missing.into());
    }
    let maps = ["callerContext", "request", "response"];
    maps.into_iter().find(|field| !event[*field].is_object()).map(str::to_owned)
}

/// What an operator would have sent instead.
fn wrong_in_command(event: &Value) -> Option<String> {
    (!event["command"].is_string()).then(|| "\"command\", as operators send it".into())
}

/// What SQS would have sent to this worker instead.
fn wrong_in_batch(event: &Value) -> Option<String> {
    let Some(records) = event["Records"].as_array().filter(|records| !records.is_empty()) else {
        return Some("Records[] of a queue".into());
    };
    records.iter().find_map(|record| {
        let missing = ["messageId", "receiptHandle", "body", "eventSourceARN", "awsRegion"]
            .into_iter()
            .find(|field| !record[*field].is_string());
        match missing {
            Some(field) => Some(format!("Records[].{field}")),
            None if !record["attributes"]["ApproximateReceiveCount"].is_string() => {
                Some("Records[].attributes.ApproximateReceiveCount".into())
            }
            None => None,
        }
    })
}

/// Does the path fit the template? `{name}` stands for one part, `{*name}` and `{name+}` for the rest.
fn answers(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(_)) if part.starts_with("{*") || part.ends_with("+}") => return true,
            (Some(part), Some(given)) if part.starts_with('{') && !given.is_empty() => {}
            (Some(part), Some(given)) if part == given => {}
            _ => return false,
        }
    }
}

pub(super) fn openapi_is_committed(house: &House) -> Vec<Finding> {
    let document = &house.inventory.document;
    let committed = house.tree.text(DOCUMENT).unwrap_or_default();
    let mut found = Vec::new();
    if committed != document {
        let same = committed.lines().zip(document.lines()).take_while(|(a, b)| a == b).count();
        found.push(Finding::at(DOCUMENT, same + 1, "expected what the code says: run `cargo xtask openapi`"));
    }
    let parsed: Value = serde_json::from_str(document).unwrap_or_default();
    for endpoint in &house.inventory.endpoints {
        for (method, path) in &endpoint.routes {
            if !parsed["paths"][path][method.to_lowercase()].is_object() {
                let what = format!("{method} {path} of `{}`: expected in `lambdas::document()`", endpoint.name);
                found.push(Finding::of(DOCUMENT, what));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Inventory, Schedule, Trigger, Worker};
    use crate::tree::Tree;

    const BIN: &str =
        "fn main() -> std::process::ExitCode {\n    runtime::serve_http(tokens::get_chains::route())\n}\n";
    const REQUEST: &str = r#"{"version":"2.0","routeKey":"GET /v1/chains","rawPath":"/v1/chains",
        "requestContext":{"http":{"method":"GET","path":"/v1/chains"}}}"#;
    const WORK: &str = r#"{"Records":[{"messageId":"m","receiptHandle":"r","body":"{}","eventSourceARN":"a",
        "awsRegion":"eu-west-2","attributes":{"ApproximateReceiveCount":"1"}}]}"#;
    const TICK: &str = r#"{"detail-type":"Scheduled Event","source":"aws.events"}"#;
    const CALL: &str = r#"{"version":"1","region":"eu-west-2","userPoolId":"p","userName":"u","callerContext":{},
        "triggerSource":"CustomMessage_SignUp","request":{},"response":{}}"#;
    const DOCUMENT_TEXT: &str = r#"{"paths":{"/v1/chains":{"get":{}}}}"#;

    /// One endpoint and one worker, all in step; a test breaks one thing.
    fn house() -> Vec<(&'static str, &'static str)> {
        vec![
            ("docs/openapi.json", DOCUMENT_TEXT),
            ("events/tokens-sweep-old/every-minute.json", TICK),
            ("functions/lambdas/src/bin/tokens-sweep-old.rs", "fn main() { tokens::sweep_old::schedule() }\n"),
            ("functions/tokens/src/sweep_old.rs", ""),
            ("events/tokens-word-mail/one.json", CALL),
            ("functions/lambdas/src/bin/tokens-word-mail.rs", "fn main() { tokens::word_mail::trigger() }\n"),
            ("functions/tokens/src/word_mail.rs", ""),
            ("events/tokens-get-chains/plain.json", REQUEST),
            ("events/tokens-refresh-clusters/one.json", WORK),
            ("functions/lambdas/src/bin/tokens-get-chains.rs", BIN),
            (
                "functions/lambdas/src/bin/tokens-refresh-clusters.rs",
                "fn main() { tokens::refresh_clusters::worker() }\n",
            ),
            ("functions/tokens/src/get_chains.rs", ""),
            ("functions/tokens/src/refresh_clusters.rs", ""),
        ]
    }

    fn with(files: &[(&str, &str)]) -> House {
        let endpoint = Endpoint { name: "tokens-get-chains".into(), routes: vec![("GET".into(), "/v1/chains".into())] };
        let inventory = Inventory {
            endpoints: vec![endpoint],
            workers: vec![Worker { name: "tokens-refresh-clusters".into(), queue: "refresh-clusters".into() }],
            schedules: vec![Schedule { name: "tokens-sweep-old".into(), every_seconds: 60 }],
            triggers: vec![Trigger { name: "tokens-word-mail".into(), by_pool: true }],
            document: DOCUMENT_TEXT.into(),
            ..Inventory::default()
        };
        House::new(Tree::of(files), inventory)
    }

    fn replaced(path: &'static str, text: &'static str) -> House {
        let mut files = house();
        files.retain(|(existing, _)| *existing != path);
        files.push((path, text));
        with(&files)
    }

    fn paths(found: &[Finding]) -> Vec<&str> {
        found.iter().map(|finding| finding.path.as_str()).collect()
    }

    #[test]
    fn a_house_in_step_has_no_findings() {
        let house = with(&house());
        for rule in [
            every_function_is_complete,
            nothing_is_left_over,
            bins_are_three_lines,
            one_function_per_route,
            events_are_real,
            openapi_is_committed,
        ] {
            assert_eq!(rule(&house), []);
        }
    }

    #[test]
    fn a_missing_bin_event_or_source_is_found() {
        for path in house().into_iter().map(|(path, _)| path).filter(|path| *path != DOCUMENT) {
            let mut files = house();
            files.retain(|(existing, _)| *existing != path);
            let found = every_function_is_complete(&with(&files));
            assert_eq!(found.len(), 1, "without {path}");
            assert!(path.starts_with(&found[0].path), "without {path}: {}", found[0]);
        }
    }

    #[test]
    fn a_bin_that_serves_something_else_is_found() {
        let wrong = "fn main() { tokens::get_holders::route() }\n";
        let found = every_function_is_complete(&replaced("functions/lambdas/src/bin/tokens-get-chains.rs", wrong));
        assert_eq!(paths(&found), ["functions/lambdas/src/bin/tokens-get-chains.rs"]);
    }

    #[test]
    fn a_bin_or_event_of_no_function_is_found() {
        let bin = "functions/lambdas/src/bin/tokens-get-gone.rs";
        assert_eq!(paths(&nothing_is_left_over(&replaced(bin, "fn main() {}\n"))), [bin]);
        let event = "events/tokens-get-gone/a.json";
        assert_eq!(paths(&nothing_is_left_over(&replaced(event, "{}"))), [event]);
        let listed = "functions/lambdas/src/bin/tokens-get-chains.rs";
        assert_eq!(paths(&nothing_is_left_over(&replaced(listed, "fn start() {}\n"))), [listed]);
    }

    #[test]
    fn a_bin_of_four_lines_is_found() {
        let path = "functions/lambdas/src/bin/tokens-get-chains.rs";
        let found =
            bins_are_three_lines(&replaced(path, "use runtime;\n\nfn main() {\n    tokens::get_chains::route()\n}\n"));
        assert_eq!(paths(&found), [path]);
    }

    #[test]
    fn a_route_or_name_of_two_functions_is_found() {
        let mut house = with(&house());
        house
            .inventory
            .endpoints
            .push(Endpoint { name: "tokens-get-others".into(), routes: vec![("GET".into(), "/v1/chains".into())] });
        assert_eq!(paths(&one_function_per_route(&house)), ["functions/lambdas/src/bin/tokens-get-others.rs"]);
        house.inventory.endpoints.pop();
        house.inventory.workers.push(Worker { name: "tokens-get-chains".into(), queue: "chains".into() });
        assert_eq!(paths(&one_function_per_route(&house)), [BINS]);
    }

    #[test]
    fn an_event_that_no_gateway_or_queue_sends_is_found() {
        let request = "events/tokens-get-chains/plain.json";
        let wrong = [
            "{",
            "{}",
            r#"{"version":"1.0"}"#,
            r#"{"version":"2.0","rawPath":"/v1/chains","requestContext":{"http":{"method":"POST","path":"/v1/chains"}}}"#,
            r#"{"version":"2.0","rawPath":"/v1/chains","requestContext":{"http":{"method":"GET","path":"/v1/other"}}}"#,
            r#"{"version":"2.0","routeKey":"GET /","rawPath":"/v1/chains","requestContext":{"http":{"method":"GET","path":"/v1/chains"}}}"#,
        ];
        for text in wrong {
            assert_eq!(paths(&events_are_real(&replaced(request, text))), [request], "{text}");
        }
        let work = "events/tokens-refresh-clusters/one.json";
        for text in ["{}", r#"{"Records":[]}"#, r#"{"Records":[{"messageId":"m"}]}"#, TICK] {
            assert_eq!(paths(&events_are_real(&replaced(work, text))), [work], "{text}");
        }
        let tick = "events/tokens-sweep-old/every-minute.json";
        for text in ["{}", r#"{"detail-type":"Scheduled Event","source":"b"}"#, WORK] {
            assert_eq!(paths(&events_are_real(&replaced(tick, text))), [tick], "{text}");
        }
        let call = "events/tokens-word-mail/one.json";
        for text in ["{}", r#"{"triggerSource":"CustomMessage_SignUp"}"#, r#"{"triggerSource":"SignUp"}"#, WORK] {
            assert_eq!(paths(&events_are_real(&replaced(call, text))), [call], "{text}");
        }
    }

    #[test]
    fn a_token_in_an_event_is_found() {
        let path = "events/tokens-sweep-old/every-minute.json";
        let text = concat!(r#"{"detail-type":"Scheduled Event","source":"aws.events","detail":"e"#, r#"yJhbGciOi"}"#);
        assert_eq!(paths(&events_are_real(&replaced(path, text))), [path]);
    }

    #[test]
    fn templates_answer_their_paths() {
        assert!(answers("/v1/tokens/{chain}/{address}", "/v1/tokens/ethereum/0x1"));
        assert!(answers("/docs/{*file}", "/docs/a/b"));
        assert!(!answers("/v1/tokens/{chain}/{address}", "/v1/tokens/ethereum"));
        assert!(!answers("/v1/tokens/{chain}", "/v1/tokens/"));
        assert!(!answers("/v1/tokens", "/v1/tokens/ethereum"));
    }

    #[test]
    fn a_stale_document_and_a_route_outside_it_are_found() {
        let found = openapi_is_committed(&replaced("docs/openapi.json", "{}"));
        assert_eq!(found, [Finding::at(DOCUMENT, 1, "expected what the code says: run `cargo xtask openapi`")]);
        let mut house = with(&house());
        house.inventory.endpoints[0].routes.push(("POST".into(), "/v1/chains".into()));
        assert_eq!(paths(&openapi_is_committed(&house)), [DOCUMENT]);
    }
}
