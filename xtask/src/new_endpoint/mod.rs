//! `cargo xtask new-endpoint`: everything an endpoint consists of, compiling and answering, for somebody to fill.

mod stack;

use std::fs;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::failure::{Doing, Failure, Result};
use crate::inventory::{self, DOCUMENT, is_function_name};
use crate::shell;
use crate::template::{self, capital};
use crate::tree::Tree;

/// Crates that what is written uses.
const NEEDED: &[&str] = &["api", "app", "axum", "serde", "utoipa", "utoipa-axum"];

/// Where the people live who speak in the tests.
const WORLD: &str = "tests/src/world.rs";

#[derive(Args)]
pub(crate) struct Request {
    /// The domain it belongs to, a crate below functions/, such as `tokens`
    domain: String,
    /// What it does, the name of its file, such as `get_notes`
    verb_noun: String,
    /// How it is asked
    #[arg(ignore_case = true)]
    method: Method,
    /// Where it is asked, such as `/v1/tokens/{chain}/{address}/notes`
    path: String,
    /// What it answers, in a sentence, for its documents
    #[arg(long)]
    about: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn upper(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn lower(self) -> String {
        self.upper().to_lowercase()
    }

    fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// A file with its new text.
#[derive(Debug)]
struct Edit {
    path: String,
    text: String,
}

/// Writes the endpoint, formats it and renews `docs/openapi.json`. Nothing is written when anything is refused.
pub(crate) fn write(root: &Path, request: &Request) -> Result<()> {
    let edits = plan(&Tree::read(root)?, request)?;
    apply(root, &edits)?;
    let packages = ["fmt", "--package", &request.domain, "--package", "lambdas", "--package", "it"];
    shell::run(&mut shell::command(root, "cargo", &packages))?;
    inventory::write_document(root, &inventory::ask(root)?)?;
    let (stack, _) = template::place(&format!("{}-{}", request.domain, request.verb_noun.replace('_', "-")));
    println!("\nit compiles and answers; make it answer what it should, then: cargo xtask test {}", request.verb_noun);
    println!(
        "its role in {stack} may write logs and read sign-outs: name the tables, queues and prefixes it comes to use"
    );
    Ok(())
}

fn apply(root: &Path, edits: &[Edit]) -> Result<()> {
    for Edit { path, text } in edits {
        let file = root.join(path);
        let is_new = !file.exists();
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).doing(|| format!("making {}", folder.display()))?;
        }
        fs::write(&file, text).doing(|| format!("writing {path}"))?;
        println!("{} {path}", if is_new { "wrote  " } else { "changed" });
    }
    Ok(())
}

/// What would be written; refuses what would not compile, or would take somebody else's place.
fn plan(tree: &Tree, request: &Request) -> Result<Vec<Edit>> {
    let endpoint = Endpoint::of(request)?;
    endpoint.is_free(tree)?;
    let Endpoint { domain, verb_noun, name, .. } = &endpoint;
    let library = format!("functions/{domain}/src/lib.rs");
    let text = tree.text(&library).unwrap_or_default();
    let listed = list_module(text, &format!("pub mod {verb_noun};")).and_then(|text| list_route(&text, verb_noun));
    let library_text = listed.ok_or_else(|| {
        refused(format!("{library}: expected `pub fn routes() -> Vec<Endpoint<App>>` with a `vec![…]` to list it in"))
    })?;
    let mut edits = vec![
        Edit { path: endpoint.source(), text: endpoint.code() },
        Edit { path: library, text: library_text },
        Edit { path: endpoint.bin(), text: endpoint.bin_code() },
        Edit { path: format!("events/{name}/signed-in.json"), text: endpoint.event()? },
    ];
    edits.extend(stack::edits(tree, name, endpoint.method.upper(), endpoint.path)?);
    edits.extend(endpoint.tests(tree)?);
    Ok(edits)
}

fn refused(what: impl Into<String>) -> Failure {
    Failure::Refused(what.into())
}

struct Endpoint<'a> {
    domain: &'a str,
    verb_noun: &'a str,
    method: Method,
    path: &'a str,
    /// `<domain>-<verb-noun>`
    name: String,
    about: String,
    parameters: Vec<&'a str>,
}

impl<'a> Endpoint<'a> {
    fn of(request: &'a Request) -> Result<Self> {
        let Request { domain, verb_noun, method, path, about } = request;
        let name = format!("{domain}-{}", verb_noun.replace('_', "-"));
        if !is_function_name(&name) || verb_noun.contains('-') || domain.contains(['-', '_']) {
            return Err(refused(format!("`{domain} {verb_noun}`: expected names like `tokens get_notes`")));
        }
        let parameters = parameters(path)
            .ok_or_else(|| refused(format!("`{path}`: expected a path like `/v1/tokens/{{chain}}/notes`")))?;
        let about = about.clone().unwrap_or_else(|| format!("{}.", sentence(verb_noun)));
        if about.contains(['\n', '\r']) || !about.ends_with('.') {
            return Err(refused("--about: expected one sentence with its full stop"));
        }
        Ok(Self { domain, verb_noun, method: *method, path, name, about, parameters })
    }

    /// Nobody has its name or its route, and its domain has what it needs.
    fn is_free(&self, tree: &Tree) -> Result<()> {
        let Self { domain, verb_noun, name, method, path, .. } = self;
        let manifest = format!("functions/{domain}/Cargo.toml");
        let Some(dependencies) = tree.text(&manifest) else {
            return Err(refused(format!("there is no domain `{domain}`: expected {manifest}")));
        };
        let is_needed = |needed: &&&str| !dependencies.lines().any(|line| line == format!("{needed}.workspace = true"));
        if let Some(missing) = NEEDED.iter().find(is_needed) {
            return Err(refused(format!("{manifest}: expected `{missing}.workspace = true`")));
        }
        for taken in [self.source(), self.bin(), format!("events/{name}")] {
            if tree.contains(&taken) {
                return Err(refused(format!("{taken} is there already: expected a name nobody has")));
            }
        }
        let library = format!("functions/{domain}/src/lib.rs");
        if tree.text(&library).is_some_and(|text| text.contains(&format!("mod {verb_noun};"))) {
            return Err(refused(format!("{library} has a module `{verb_noun}` already")));
        }
        let lambdas = "functions/lambdas/src/lib.rs";
        if !tree.text(lambdas).is_some_and(|text| text.contains(&format!("{domain}::routes()"))) {
            return Err(refused(format!("{lambdas}: expected `{domain}::routes()` among the endpoints")));
        }
        let document: Value = tree.text(DOCUMENT).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        for (other, operations) in &paths {
            if shape(other) == shape(path) && other != path {
                return Err(refused(format!("{path}: expected the names of {other}, which is the same route")));
            }
            if other == path && operations[method.lower()].is_object() {
                return Err(refused(format!("{} {path} is answered already", method.upper())));
            }
        }
        Ok(())
    }

    fn source(&self) -> String {
        format!("functions/{}/src/{}.rs", self.domain, self.verb_noun)
    }

    fn bin(&self) -> String {
        format!("functions/lambdas/src/bin/{}.rs", self.name)
    }

    fn code(&self) -> String {
        let Self { domain, verb_noun, method, path, name, about, parameters } = self;
        let (upper, lower) = (method.upper(), method.lower());
        let noun = verb_noun.split_once('_').map_or(*verb_noun, |(_, noun)| noun);
        let answer = format!("{}{}", pascal(domain), pascal(noun));
        let fields: String = parameters.iter().map(|name| format!("    {name}: String,\n")).collect();
        let values: String = parameters.iter().map(|name| format!(", {name}: path.{name}")).collect();
        let has_path = !parameters.is_empty();
        let path_type = if has_path {
            format!(
                "#[derive(Deserialize, IntoParams)]\n#[into_params(parameter_in = Path)]\n\
                 struct {answer}Path {{\n{fields}}}\n\n"
            )
        } else {
            String::new()
        };
        let (api, serde, utoipa, params, argument) = if has_path {
            (
                "Caller, Endpoint, Path",
                "Deserialize, Serialize",
                "IntoParams, ToSchema",
                format!("params({answer}Path), "),
                format!(", Path(path): Path<{answer}Path>"),
            )
        } else {
            ("Caller, Endpoint", "Serialize", "ToSchema", String::new(), String::new())
        };
        format!(
            "//! {upper} {path}: {about}\n\n\
             use api::{{{api}}};\nuse app::App;\nuse axum::Json;\nuse serde::{{{serde}}};\n\
             use utoipa::{{{utoipa}}};\nuse utoipa_axum::routes;\n\n\
             pub fn route() -> Endpoint<App> {{\n    Endpoint::new(\"{name}\", routes!({verb_noun}))\n}}\n\n\
             {path_type}\
             #[derive(Serialize, ToSchema)]\n#[serde(rename_all = \"camelCase\")]\n\
             pub(crate) struct {answer} {{\n    /// Who asked.\n    user: String,\n{fields}}}\n\n\
             /// {about}\n\
             #[utoipa::path({lower}, path = \"{path}\", tag = \"{domain}\",\n    {params}security((\"bearer\" = [])),\n    \
             responses((status = 200, body = {answer})))]\n\
             async fn {verb_noun}(caller: Caller{argument}) -> Json<{answer}> {{\n    \
             Json({answer} {{ user: caller.username.clone(){values} }})\n}}\n"
        )
    }

    fn bin_code(&self) -> String {
        let Self { domain, verb_noun, .. } = self;
        format!("fn main() -> std::process::ExitCode {{\n    runtime::serve_http({domain}::{verb_noun}::route())\n}}\n")
    }

    /// As API Gateway's HTTP API sends it, payload 2.0.
    fn event(&self) -> Result<String> {
        let method = self.method.upper();
        let (key, path) = (format!("{method} {}", self.path), self.example_path());
        let host = "abcdefghij.execute-api.eu-west-2.amazonaws.com";
        let mut headers = json!({
            "accept": "application/json",
            "authorization": "Bearer TOKEN",
            "host": host,
            "user-agent": "Mozilla/5.0",
            "x-amzn-trace-id": "Root=1-6720a5d0-1f0a6c3e5b7d4a2918c0e3f4",
            "x-forwarded-for": "198.51.100.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        });
        let mut event = json!({
            "version": "2.0",
            "routeKey": key,
            "rawPath": path,
            "rawQueryString": "",
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "abcdefghij",
                "domainName": host,
                "domainPrefix": "abcdefghij",
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "198.51.100.7",
                    "userAgent": "Mozilla/5.0",
                },
                "requestId": "Kx2mYh9tLPEEJmg=",
                "routeKey": key,
                "stage": "$default",
                "time": "29/Oct/2024:09:12:00 +0000",
                "timeEpoch": 1_730_193_120_000_u64,
            },
            "isBase64Encoded": false,
        });
        if !self.parameters.is_empty() {
            let values = self.parameters.iter().map(|name| ((*name).to_owned(), Value::from(example(name))));
            event["pathParameters"] = Value::Object(values.collect::<Map<_, _>>());
        }
        if self.method.has_body() {
            headers["content-type"] = "application/json".into();
            event["body"] = "{}".into();
        }
        event["headers"] = headers;
        let text = serde_json::to_string_pretty(&event).doing(|| "writing the event".into())?;
        Ok(text + "\n")
    }

    /// Two tests at the end of the domain's, which is begun when there is none.
    fn tests(&self, tree: &Tree) -> Result<Vec<Edit>> {
        let call = self.method.lower();
        if !tree.text(WORLD).is_some_and(|text| text.contains(&format!("async fn {call}("))) {
            let body = if self.method.has_body() { ", body: &Value" } else { "" };
            let what =
                format!("{WORLD}: expected `Person::{call}(&self, path: &str{body}) -> Answer`, which its tests call");
            return Err(refused(what));
        }
        let (file, all) = (format!("tests/src/{}.rs", self.domain), "tests/src/lib.rs");
        let mut edits = Vec::new();
        let before = match tree.text(&file) {
            Some(text) => text.to_owned(),
            None => {
                let text = list_module(tree.text(all).unwrap_or_default(), &format!("mod {};", self.domain));
                let text = text.ok_or_else(|| refused(format!("{all}: expected a list of modules")))?;
                edits.push(Edit { path: all.into(), text });
                format!("//! The endpoints of `{}`.\n", self.domain)
            }
        };
        edits.push(Edit { path: file, text: before + &self.test_code(&call) });
        Ok(edits)
    }

    fn test_code(&self, call: &str) -> String {
        let (verb_noun, path) = (self.verb_noun, self.example_path());
        let body = if self.method.has_body() { ", &serde_json::json!({})" } else { "" };
        let mut expected = String::from("\"user\": \"ann\"");
        for name in &self.parameters {
            expected.push_str(&format!(", \"{}\": \"{}\"", camel(name), example(name)));
        }
        format!(
            "\n#[tokio::test]\nasync fn {verb_noun}_answers_who_is_signed_in() {{\n    \
             let world = crate::world::World::new().await;\n    \
             let answer = world.ann().{call}(\"{path}\"{body}).await;\n    \
             assert_eq!(answer.assert(200).json(), serde_json::json!({{ {expected} }}));\n}}\n\n\
             #[tokio::test]\nasync fn {verb_noun}_refuses_who_is_not_signed_in() {{\n    \
             let world = crate::world::World::new().await;\n    \
             world.anon().{call}(\"{path}\"{body}).await.assert_problem(403, \"token_missing\");\n}}\n"
        )
    }

    /// The path with every parameter filled.
    fn example_path(&self) -> String {
        let filled = |part: &str| parameter(part).map_or_else(|| part.to_owned(), |name| example(name).to_owned());
        self.path.split('/').map(filled).collect::<Vec<_>>().join("/")
    }
}

/// The names of a path's parameters; nothing when it is no path of ours.
fn parameters(path: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        let is_word = |word: &str, extra: &str| {
            word.starts_with(|letter: char| letter.is_ascii_lowercase())
                && word
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || extra.contains(letter))
        };
        match parameter(part) {
            Some(name) if is_word(name, "_") && !names.contains(&name) => names.push(name),
            None if is_word(part, "-.") => {}
            _ => return None,
        }
    }
    Some(names)
}

/// The name in `{name}`.
fn parameter(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// The path with its parameters' names left out: two of one shape cannot both be routed.
fn shape(path: &str) -> Vec<&str> {
    path.split('/').map(|part| if parameter(part).is_some() { "{}" } else { part }).collect()
}

/// A value to try a parameter with.
fn example(parameter: &str) -> &'static str {
    match parameter {
        "chain" => "ethereum",
        "address" => "0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7",
        _ => "example",
    }
}

/// `cluster_notes` as `ClusterNotes`
fn pascal(name: &str) -> String {
    name.split('_').map(capital).collect()
}

/// `block_number` as `blockNumber`
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(capital).collect::<String>()
}

/// `get_notes` as `Get notes`
fn sentence(name: &str) -> String {
    capital(&name.replace('_', " "))
}

/// Adds a line to the first run of lines of its kind (`mod …;` or `pub mod …;`), in its alphabetical place; below the
/// file's own documentation when it is the first.
fn list_module(text: &str, line: &str) -> Option<String> {
    let kind = &line[..line.rfind(' ')? + 1];
    let lines: Vec<_> = text.lines().collect();
    let is_head = |line: &&&str| line.starts_with("//!") || line.starts_with("#!") || line.is_empty();
    let (at, added) = match lines.iter().position(|other| other.starts_with(kind) && other.ends_with(';')) {
        Some(first) => {
            let run = lines[first..].iter().take_while(|other| other.starts_with(kind));
            (first + run.take_while(|other| **other < line).count(), vec![line])
        }
        None if lines.is_empty() => return None,
        None => (lines.iter().take_while(is_head).count(), vec![line, ""]),
    };
    let (before, after) = lines.split_at(at);
    let all = before.iter().chain(&added).chain(after).copied();
    Some(all.collect::<Vec<_>>().join("\n") + "\n")
}

/// Adds `verb_noun::route()` to the `vec![…]` of `pub fn routes()`, in its alphabetical place.
fn list_route(text: &str, verb_noun: &str) -> Option<String> {
    let function = text.find("pub fn routes()")?;
    let start = function + text[function..].find("vec![")? + "vec![".len();
    let end = start + text[start..].find(']')?;
    let mut routes: Vec<_> = text[start..end].split(',').map(str::trim).filter(|route| !route.is_empty()).collect();
    let route = format!("{verb_noun}::route()");
    let at = routes.iter().position(|other| *other > route.as_str()).unwrap_or(routes.len());
    routes.insert(at, &route);
    Some(format!("{}{}{}", &text[..start], routes.join(", "), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = "//! Tokens.\n\npub mod get_chains;\npub mod get_zones;\n\nmod token;\n\n\
        pub fn routes() -> Vec<Endpoint<App>> {\n    vec![get_chains::route(), get_zones::route()]\n}\n";
    const MANIFEST: &str = "[package]\nname = \"tokens\"\n[dependencies]\napi.workspace = true\napp.workspace = true\n\
        axum.workspace = true\nserde.workspace = true\nutoipa.workspace = true\nutoipa-axum.workspace = true\n";
    const STACK: &str = "Parameters: {AlarmTopic: {}, ApiId: {}, LogRetentionDays: {}, Prefix: {}}\n\
        Conditions: {InVpc: true}\nGlobals: {Function: {}}\nResources:\n  A: {Type: B}\n";
    const FILES: &[(&str, &str)] = &[
        ("docs/openapi.json", r#"{"paths":{"/v1/chains":{"get":{}},"/v1/tokens/{chain}/{address}":{"get":{}}}}"#),
        ("functions/lambdas/src/lib.rs", "[tokens::routes()]\n"),
        ("functions/tokens/Cargo.toml", MANIFEST),
        ("functions/tokens/src/lib.rs", LIBRARY),
        ("infra/tokens.yaml", STACK),
        ("tests/src/lib.rs", "#![cfg(test)]\n\nmod servers;\nmod world;\n"),
        ("tests/src/world.rs", "pub(crate) async fn get(&self, path: &str) -> Answer {}\n"),
    ];

    fn request(verb_noun: &str, method: Method, path: &str) -> Request {
        Request { domain: "tokens".into(), verb_noun: verb_noun.into(), method, path: path.into(), about: None }
    }

    fn text<'a>(edits: &'a [Edit], path: &str) -> &'a str {
        &edits.iter().find(|edit| edit.path == path).unwrap().text
    }

    #[test]
    fn everything_an_endpoint_consists_of_is_written() {
        let request = request("get_notes", Method::Get, "/v1/tokens/{chain}/notes");
        let edits = plan(&Tree::of(FILES), &request).unwrap();
        let paths: Vec<_> = edits.iter().map(|edit| edit.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "functions/tokens/src/get_notes.rs",
                "functions/tokens/src/lib.rs",
                "functions/lambdas/src/bin/tokens-get-notes.rs",
                "events/tokens-get-notes/signed-in.json",
                "infra/tokens.yaml",
                "tests/src/lib.rs",
                "tests/src/tokens.rs",
            ]
        );
        let code = text(&edits, "functions/tokens/src/get_notes.rs");
        assert!(code.starts_with("//! GET /v1/tokens/{chain}/notes: Get notes.\n"), "{code}");
        assert!(code.contains("Endpoint::new(\"tokens-get-notes\", routes!(get_notes))"), "{code}");
        let library = text(&edits, "functions/tokens/src/lib.rs");
        assert!(
            library.contains("pub mod get_chains;\npub mod get_notes;\npub mod get_zones;\n\nmod token;"),
            "{library}"
        );
        assert!(library.contains("vec![get_chains::route(), get_notes::route(), get_zones::route()]"), "{library}");
        assert_eq!(text(&edits, "tests/src/lib.rs"), "#![cfg(test)]\n\nmod servers;\nmod tokens;\nmod world;\n");
        let tests = text(&edits, "tests/src/tokens.rs");
        assert!(tests.contains("world.ann().get(\"/v1/tokens/ethereum/notes\")"), "{tests}");
        assert!(tests.contains("assert_problem(403, \"token_missing\")"), "{tests}");
        assert!(text(&edits, "infra/tokens.yaml").contains("RouteKey: GET /v1/tokens/{chain}/notes\n"));
        let event: Value = serde_json::from_str(text(&edits, "events/tokens-get-notes/signed-in.json")).unwrap();
        assert_eq!(event["rawPath"], "/v1/tokens/ethereum/notes");
        assert_eq!(event["pathParameters"], json!({ "chain": "ethereum" }));
    }

    #[test]
    fn the_first_endpoint_of_a_domain_is_listed_as_well() {
        let library = "//! Notes.\n\nuse api::Endpoint;\n\npub fn routes() -> Vec<Endpoint<App>> {\n    vec![]\n}\n";
        let listed = list_module(library, "pub mod get_all;").and_then(|text| list_route(&text, "get_all"));
        let expected = library.replace("use api", "pub mod get_all;\n\nuse api").replace("[]", "[get_all::route()]");
        assert_eq!(listed, Some(expected));
        assert_eq!(list_module("", "pub mod get_all;"), None);
    }

    #[test]
    fn tests_are_added_to_those_of_the_domain() {
        let mut files = FILES.to_vec();
        files.push(("tests/src/tokens.rs", "//! Tokens.\n"));
        let edits = plan(&Tree::of(&files), &request("get_notes", Method::Get, "/v1/notes")).unwrap();
        let tests = text(&edits, "tests/src/tokens.rs");
        assert!(tests.starts_with("//! Tokens.\n\n#[tokio::test]\n"), "{tests}");
        assert!(!edits.iter().any(|edit| edit.path == "tests/src/lib.rs"));
    }

    #[test]
    fn a_method_with_a_body_sends_one() {
        let mut files = FILES.to_vec();
        files.push(("tests/src/tokens.rs", ""));
        let world = ("tests/src/world.rs", "async fn put(&self, path: &str, body: &Value) -> Answer {}\n");
        files.retain(|(path, _)| *path != world.0);
        files.push(world);
        let edits = plan(&Tree::of(&files), &request("put_notes", Method::Put, "/v1/notes")).unwrap();
        let event: Value = serde_json::from_str(text(&edits, "events/tokens-put-notes/signed-in.json")).unwrap();
        assert_eq!((&event["body"], &event["routeKey"]), (&json!("{}"), &json!("PUT /v1/notes")));
        assert!(text(&edits, "tests/src/tokens.rs").contains(".put(\"/v1/notes\", &serde_json::json!({}))"));
    }

    #[test]
    fn bad_names_and_taken_places_are_refused() {
        let cases = [
            ("notes", Method::Get, "/v1/notes", "expected names like"),
            ("get-notes", Method::Get, "/v1/notes", "expected names like"),
            ("Get_notes", Method::Get, "/v1/notes", "expected names like"),
            ("get_notes", Method::Get, "v1/notes", "expected a path like"),
            ("get_notes", Method::Get, "/v1//notes", "expected a path like"),
            ("get_notes", Method::Get, "/v1/{a}/{a}", "expected a path like"),
            ("get_notes", Method::Get, "/v1/{a/notes", "expected a path like"),
            ("get_chains", Method::Get, "/v1/notes", "has a module `get_chains` already"),
            ("get_notes", Method::Get, "/v1/chains", "is answered already"),
            ("get_notes", Method::Get, "/v1/tokens/{chain}/{id}", "which is the same route"),
            ("delete_notes", Method::Delete, "/v1/chains", "expected `Person::delete"),
        ];
        for (verb_noun, method, path, expected) in cases {
            let refused = plan(&Tree::of(FILES), &request(verb_noun, method, path)).unwrap_err().to_string();
            assert!(refused.contains(expected), "{verb_noun} {path}: {refused}");
        }
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        for taken in [
            "functions/tokens/src/get_notes.rs",
            "functions/lambdas/src/bin/tokens-get-notes.rs",
            "events/tokens-get-notes/a.json",
        ] {
            let mut files = FILES.to_vec();
            files.push((taken, ""));
            let refused = plan(&Tree::of(&files), &request("get_notes", Method::Get, "/v1/notes")).unwrap_err();
            assert!(refused.to_string().contains("is there already"), "{taken}: {refused}");
        }
    }

    #[test]
    fn a_domain_that_cannot_hold_it_is_refused() {
        for (path, text, expected) in [
            ("functions/tokens/Cargo.toml", "[dependencies]\n", "expected `api.workspace = true`"),
            ("functions/tokens/src/lib.rs", "pub mod a;\n", "expected `pub fn routes()"),
            ("functions/lambdas/src/lib.rs", "", "expected `tokens::routes()`"),
        ] {
            let mut files = FILES.to_vec();
            files.retain(|(existing, _)| *existing != path);
            files.push((path, text));
            let refused = plan(&Tree::of(&files), &request("get_notes", Method::Get, "/v1/notes")).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
        let elsewhere = Request { domain: "gone".into(), ..request("get_notes", Method::Get, "/v1/notes") };
        assert!(plan(&Tree::of(FILES), &elsewhere).unwrap_err().to_string().contains("there is no domain `gone`"));
    }

    #[test]
    fn edits_reach_the_disk_and_a_second_time_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let files = FILES.iter().map(|(path, text)| Edit { path: (*path).into(), text: (*text).into() });
        apply(root.path(), &files.collect::<Vec<_>>()).unwrap();
        let request = request("get_notes", Method::Get, "/v1/notes");
        apply(root.path(), &plan(&Tree::read(root.path()).unwrap(), &request).unwrap()).unwrap();
        let after = Tree::read(root.path()).unwrap();
        assert!(after.text("functions/tokens/src/lib.rs").unwrap().contains("get_notes::route()"));
        assert!(plan(&after, &request).unwrap_err().to_string().contains("is there already"));
    }
}
