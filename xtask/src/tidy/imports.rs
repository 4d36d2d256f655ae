//! Who may import whom: the table of `docs/architecture.md`, downwards only.

use super::manifests::{Manifest, manifests};
use super::{Finding, House};

/// What one room (a crate, or all crates of a folder) may use.
struct Room {
    /// The crate's folder; a `*` at the end stands for any crate in it that has no row of its own.
    folder: &'static str,
    /// Our crates, by name; `*` is every one, `domains` every crate below `functions/` but `lambdas`.
    ours: &'static [&'static str],
    /// Outside crates, by name; a `*` at the end stands for any ending.
    never: &'static [&'static str],
}

const AWS: &str = "aws-sdk-*";
const AWS_CONFIG: &str = "aws-config";
const LAMBDA: &str = "lambda_*";

const ROOMS: &[Room] = &[
    Room {
        folder: "shared/clusters",
        ours: &[],
        never: &["tokio*", "futures*", "async-*", "reqwest", "axum*", "redis", "rand", AWS, AWS_CONFIG, LAMBDA],
    },
    Room {
        folder: "shared/map",
        ours: &["clusters"],
        never: &["tokio*", "futures*", "async-*", "reqwest", "axum*", "redis", "rand", AWS, AWS_CONFIG, LAMBDA],
    },
    Room { folder: "shared/chains", ours: &["clusters"], never: &["axum*", "redis", AWS, AWS_CONFIG, LAMBDA] },
    Room { folder: "shared/access", ours: &[], never: &["axum*", LAMBDA] },
    Room { folder: "shared/identity", ours: &["access"], never: &["axum*", "redis", LAMBDA] },
    Room { folder: "shared/members", ours: &["access"], never: &["axum*", "redis", AWS, AWS_CONFIG, LAMBDA] },
    Room { folder: "shared/mail", ours: &["access"], never: &["axum*", "redis", LAMBDA] },
    Room { folder: "shared/api", ours: &["access", "identity"], never: &["redis", AWS, AWS_CONFIG, LAMBDA] },
    Room { folder: "shared/worker", ours: &["access"], never: &["axum*", "redis", AWS, AWS_CONFIG, LAMBDA] },
    Room {
        folder: "shared/app",
        ours: &["access", "api", "chains", "clusters", "identity", "mail", "members", "worker"],
        never: &["redis", AWS, AWS_CONFIG, LAMBDA],
    },
    Room {
        folder: "shared/runtime",
        ours: &["access", "api", "app", "chains", "clusters", "identity", "mail", "members", "worker"],
        never: &["redis"],
    },
    Room {
        folder: "functions/lambdas",
        ours: &["api", "app", "domains", "runtime", "worker"],
        never: &["redis", AWS, AWS_CONFIG, LAMBDA],
    },
    Room {
        folder: "functions/*",
        ours: &["access", "api", "app", "chains", "clusters", "identity", "mail", "map", "members", "worker"],
        never: &["redis", AWS, AWS_CONFIG, LAMBDA],
    },
    Room { folder: "infra/local", ours: &["*"], never: &[] },
    Room { folder: "tests", ours: &["*"], never: &[] },
    Room { folder: "tests/fuzz", ours: &["*"], never: &[] },
    Room { folder: "xtask", ours: &["access", "clusters", "lambdas"], never: &["redis", AWS, AWS_CONFIG, LAMBDA] },
];

/// Outside crates with one home, because it hides them from everyone else.
const HOMES: &[(&str, &str)] = &[
    ("aws-sdk-cognitoidentityprovider", "shared/identity"),
    ("aws-sdk-dynamodb", "shared/access"),
    ("aws-sdk-s3", "shared/access"),
    ("aws-sdk-sesv2", "shared/mail"),
    ("aws-sdk-sqs", "shared/access"),
    ("jsonwebtoken", "shared/identity"),
    ("lambda_http", "shared/runtime"),
    ("lambda_runtime", "shared/runtime"),
    ("redis", "shared/access"),
];

/// What a crate's tests may use though the crate may not: a stub of the other side needs a server.
const STUBS: &[(&str, &str)] = &[("shared/chains", "axum")];

/// The machine: files, sockets, programs, environment.
const MACHINE: &[&str] = &["std::env", "std::fs", "std::net", "std::process"];

/// Folders whose crates only compute, or only see ports; their tests too. A benchmark measures the machine, an example speaks
/// to whoever runs it.
const MACHINE_FREE: &[&str] =
    &["shared/clusters", "shared/map", "shared/api", "shared/worker", "shared/app", "functions"];

pub(super) fn dependencies_go_downwards(house: &House) -> Vec<Finding> {
    let crates = manifests(&house.tree);
    let mut found = Vec::new();
    for manifest in &crates {
        let Some(room) = room_of(&manifest.folder) else {
            let what = "expected a row for this crate in `xtask/src/tidy/imports.rs` and in `docs/architecture.md`";
            found.push(Finding::of(&manifest.path(), what));
            continue;
        };
        for dependency in &manifest.dependencies {
            let name = &dependency.crate_name;
            let wrong = match crates.iter().find(|other| other.name == *name) {
                Some(other) => !may_use(room, other),
                None => room.never.iter().any(|pattern| matches(pattern, name)),
            };
            let is_stub = dependency.is_for_tests && STUBS.contains(&(&*manifest.folder, &**name));
            if wrong && !is_stub {
                let what = format!("`{name}`: expected only {}", allowed(room));
                found.push(Finding::at(&manifest.path(), dependency.line, what));
            }
        }
    }
    found
}

pub(super) fn one_home_for_each_outside_crate(house: &House) -> Vec<Finding> {
    let crates = manifests(&house.tree);
    let mut found = Vec::new();
    for (name, home) in HOMES {
        let what = format!("`{name}`: expected to be named only in {home}");
        for manifest in crates.iter().filter(|manifest| manifest.folder != *home) {
            let asked = manifest.dependencies.iter().filter(|dependency| dependency.crate_name == *name);
            found.extend(asked.map(|dependency| Finding::at(&manifest.path(), dependency.line, &what)));
            found.extend(naming(house, &manifest.folder, &name.replace('-', "_"), &what));
        }
    }
    found
}

pub(super) fn pure_rooms_touch_no_machine(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for folder in MACHINE_FREE {
        for module in MACHINE {
            // `main` of a deployed function gives its exit code by this one name.
            let is_exit_code = |finding: &Finding| {
                let line = finding.line.and_then(|line| house.tree.text(&finding.path)?.lines().nth(line - 1));
                line.is_some_and(|line| line.contains("std::process::ExitCode"))
            };
            let what = format!("`{module}`: expected none here; it comes through a port or from `runtime::Config`");
            let is_benchmark =
                |finding: &Finding| finding.path.contains("/benches/") || finding.path.contains("/examples/");
            let named = naming(house, folder, module, &what);
            found.extend(named.filter(|finding| !is_exit_code(finding) && !is_benchmark(finding)));
        }
    }
    found
}

fn room_of(folder: &str) -> Option<&'static Room> {
    let exact = ROOMS.iter().find(|room| room.folder == folder);
    exact.or_else(|| ROOMS.iter().find(|room| room.folder.ends_with("/*") && matches(room.folder, folder)))
}

fn may_use(room: &Room, other: &Manifest) -> bool {
    let is_domain = other.folder.starts_with("functions/") && other.name != "lambdas";
    room.ours.iter().any(|name| *name == "*" || *name == other.name || (*name == "domains" && is_domain))
}

fn allowed(room: &Room) -> String {
    let ours = if room.ours.is_empty() { "none".to_owned() } else { room.ours.join(", ") };
    match room.never {
        [] => format!("{ours} of our crates"),
        never => format!("{ours} of our crates, and never {}", never.join(", ")),
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Lines of code below a folder that use this path or a part of it.
fn naming<'a>(house: &'a House, folder: &'a str, name: &'a str, what: &'a str) -> impl Iterator<Item = Finding> + 'a {
    let rust = house.tree.below(folder).filter(|(path, _)| path.ends_with(".rs"));
    rust.flat_map(move |(path, text)| {
        let lines = text.lines().enumerate().filter(move |(_, line)| names(line, name));
        lines.map(move |(index, _)| Finding::at(path, index + 1, what))
    })
}

/// Does this line of Rust name the path, outside of strings and comments? `crate::redis::…` is not the crate `redis`.
fn names(line: &str, path: &str) -> bool {
    // The usual line does not, and needs no closer look.
    if !line.contains(path) {
        return false;
    }
    let code = without_strings(line);
    let code = code.split("//").next().unwrap_or_default();
    code.match_indices(path).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + path.len()..]);
        // `::redis` is the crate, `crate::redis` is not.
        let before = before.strip_suffix("::").unwrap_or(before);
        let is_whole = !before.ends_with(is_word) && !before.ends_with(':') && !after.starts_with(is_word);
        // A single word is also a variable's or a key's name; it is a crate where a path or an import goes on.
        is_whole && (path.contains("::") || after.starts_with("::") || before.trim_end().ends_with("use"))
    })
}

/// The line with its string literals emptied.
fn without_strings(line: &str) -> String {
    let line = line.replace("'\"'", "' '").replace("\\\"", "");
    let outside = line.split('"').step_by(2);
    outside.collect::<Vec<_>>().join("\"\"")
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::super::tests::house;
    use super::*;

    fn crate_of(name: &str, table: &str, dependencies: &[&str]) -> String {
        let mut text = format!("[package]\nname = \"{name}\"\n[{table}]\n");
        for dependency in dependencies {
            text.push_str(&format!("{dependency}.workspace = true\n"));
        }
        text
    }

    /// Every crate of the house, each with no dependencies, and one of them with these.
    fn with(folder: &str, table: &str, dependencies: &[&str]) -> Vec<Finding> {
        let folders = [
            "shared/access",
            "shared/api",
            "shared/app",
            "shared/chains",
            "shared/clusters",
            "shared/identity",
            "shared/mail",
            "shared/members",
            "shared/runtime",
            "shared/worker",
            "functions/tokens",
            "functions/jobs",
            "functions/lambdas",
            "infra/local",
            "tests",
            "xtask",
        ];
        let files: Vec<_> = folders
            .iter()
            .map(|one| {
                let name = one.rsplit('/').next().unwrap();
                let dependencies = if *one == folder { dependencies } else { &[] };
                (format!("{one}/Cargo.toml"), crate_of(name, table, dependencies))
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        dependencies_go_downwards(&house(&files))
    }

    #[test]
    fn a_dependency_upwards_or_sideways_is_found() {
        let wrong = [
            ("shared/clusters", "access"),
            ("shared/clusters", "tokio"),
            ("shared/clusters", "aws-sdk-s3"),
            ("shared/chains", "access"),
            ("shared/access", "api"),
            ("shared/access", "axum"),
            ("shared/identity", "lambda_http"),
            ("shared/api", "worker"),
            ("shared/api", "redis"),
            ("shared/worker", "identity"),
            ("shared/worker", "axum"),
            ("shared/app", "runtime"),
            ("shared/runtime", "tokens"),
            ("functions/tokens", "jobs"),
            ("functions/tokens", "runtime"),
            ("functions/tokens", "lambda_runtime"),
            ("functions/tokens", "lambdas"),
            ("functions/lambdas", "access"),
        ];
        for (folder, dependency) in wrong {
            for table in ["dependencies", "dev-dependencies"] {
                let found = with(folder, table, &["serde", dependency]);
                assert_eq!(found.len(), 1, "{folder} must not use {dependency}");
                assert_eq!((found[0].path.as_str(), found[0].line), (format!("{folder}/Cargo.toml").as_str(), Some(5)));
            }
        }
    }

    #[test]
    fn a_dependency_downwards_is_fine() {
        assert_eq!(with("shared/chains", "dependencies", &["clusters", "reqwest", "tokio"]), []);
        assert_eq!(with("functions/tokens", "dependencies", &["access", "api", "app", "clusters", "axum"]), []);
        assert_eq!(with("functions/lambdas", "dependencies", &["runtime", "tokens", "jobs"]), []);
        assert_eq!(with("infra/local", "dependencies", &["runtime", "lambdas", "access"]), []);
    }

    #[test]
    fn a_stub_is_for_tests_only() {
        assert_eq!(with("shared/chains", "dev-dependencies", &["serde", "axum"]), []);
        assert_eq!(with("shared/chains", "dependencies", &["serde", "axum"]).len(), 1);
        assert_eq!(with("shared/access", "dev-dependencies", &["serde", "axum"]).len(), 1);
    }

    #[test]
    fn a_stub_server_is_for_tests_only() {
        assert_eq!(with("shared/chains", "dev-dependencies", &["axum"]), []);
        assert_eq!(with("shared/chains", "dependencies", &["axum"]).len(), 1);
        assert_eq!(with("shared/access", "dev-dependencies", &["axum"]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = dependencies_go_downwards(&house(&[("shared/new/Cargo.toml", "[package]\nname = \"new\"\n")]));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn an_outside_crate_away_from_home_is_found_in_manifest_and_code() {
        let files = [
            ("shared/api/Cargo.toml", "[package]\nname = \"api\"\n[dependencies]\njsonwebtoken.workspace = true\n"),
            ("shared/api/src/lib.rs", "use aws_sdk_sqs::Client;\n"),
            ("shared/access/Cargo.toml", "[package]\nname = \"access\"\n[dependencies]\nredis.workspace = true\n"),
            ("shared/access/src/lib.rs", "use redis::Client;\n"),
        ];
        let found = one_home_for_each_outside_crate(&house(&files));
        let mut places: Vec<_> = found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
        places.sort_unstable();
        assert_eq!(places, [("shared/api/Cargo.toml", Some(4)), ("shared/api/src/lib.rs", Some(1))]);
    }

    #[test]
    fn a_domain_or_the_engine_that_touches_the_machine_is_found() {
        let files = [
            ("functions/tokens/src/a.rs", "fn a() { std::env::var(\"X\"); }\n"),
            ("functions/lambdas/src/bin/a.rs", "fn main() -> std::process::ExitCode {\n"),
            ("shared/clusters/src/b.rs", "// std::fs is not used\nuse std::fs;\n"),
            ("shared/runtime/src/lib.rs", "use std::env;\n"),
            ("shared/clusters/benches/engine.rs", "use std::env;\n"),
        ];
        let found = pure_rooms_touch_no_machine(&house(&files));
        let mut places: Vec<_> = found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
        places.sort_unstable();
        assert_eq!(places, [("functions/tokens/src/a.rs", Some(1)), ("shared/clusters/src/b.rs", Some(2))]);
    }

    #[test]
    fn only_the_crate_itself_is_a_naming() {
        for line in ["use redis::Client;", "use redis as cache;", "let a = redis::cmd();", "fn a() -> ::redis::Value"] {
            assert!(names(line, "redis"), "{line}");
        }
        let innocent = [
            "// use redis::Client;",
            "crate::redis::get()",
            "\"redis://127.0.0.1\"",
            "assert_eq!(text, \"use redis::Client\");",
            "use redis_tier::A;",
            "my_redis::b()",
        ];
        for line in innocent {
            assert!(!names(line, "redis"), "{line}");
        }
    }
}
