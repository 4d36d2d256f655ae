//! What is deployed, as the crate `lambdas` says.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::{Doing, Failure, Result};
use crate::shell;

/// Where the OpenAPI document is committed.
pub(crate) const DOCUMENT: &str = "docs/openapi.json";

/// What `examples/inventory.rs` prints.
#[derive(Default, Deserialize)]
pub(crate) struct Inventory {
    pub endpoints: Vec<Endpoint>,
    /// The functions that take a queue's messages.
    pub workers: Vec<Worker>,
    /// The functions that are called by the clock.
    pub schedules: Vec<Schedule>,
    /// The functions that are called directly: by the user pool, or by operators.
    pub triggers: Vec<Trigger>,
    pub queues: Vec<Queue>,
    pub tables: Vec<Table>,
    /// The attribute by which rows of any table expire.
    pub expires_at: String,
    /// The OpenAPI document as it is to be committed, with its last newline.
    pub document: String,
}

#[derive(Deserialize)]
pub(crate) struct Endpoint {
    pub name: String,
    /// (method, path template)
    pub routes: Vec<(String, String)>,
}

#[derive(Deserialize)]
pub(crate) struct Worker {
    pub name: String,
    /// Name of the queue.
    pub queue: String,
}

#[derive(Deserialize)]
pub(crate) struct Schedule {
    pub name: String,
    pub every_seconds: u64,
}

#[derive(Deserialize)]
pub(crate) struct Trigger {
    pub name: String,
    /// By the user pool in the middle of its own work. Otherwise by whoever IAM lets invoke it.
    pub by_pool: bool,
}

/// A queue of `access::messages`.
#[derive(Deserialize)]
pub(crate) struct Queue {
    pub name: String,
    pub fifo: bool,
    pub visibility_seconds: u64,
    pub max_receive_count: u64,
    /// Name of the queue that takes what this one gives up on.
    pub dead_letter: Option<String>,
}

/// A table of `access::tables`. Partition keys are strings.
#[derive(Deserialize)]
pub(crate) struct Table {
    pub name: String,
    pub partition_key: String,
    pub sort_key: Option<SortKey>,
    pub index: Option<Index>,
}

#[derive(Deserialize)]
pub(crate) struct SortKey {
    pub name: String,
    /// `N` or `S`, as DynamoDB says it.
    pub attribute_type: String,
}

/// Its sort key is a number.
#[derive(Deserialize)]
pub(crate) struct Index {
    pub name: String,
    pub partition_key: String,
    pub sort_key: String,
}

impl Inventory {
    /// Names of all functions, endpoints first.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &str> {
        let endpoints = self.endpoints.iter().map(|endpoint| endpoint.name.as_str());
        let workers = self.workers.iter().map(|worker| worker.name.as_str());
        let schedules = self.schedules.iter().map(|schedule| schedule.name.as_str());
        let triggers = self.triggers.iter().map(|trigger| trigger.name.as_str());
        endpoints.chain(workers).chain(schedules).chain(triggers)
    }
}

/// `<domain>-<verb>-<noun>…`, all lower case.
pub(crate) fn is_function_name(name: &str) -> bool {
    let parts: Vec<_> = name.split('-').collect();
    let is_word = |part: &&str| {
        part.starts_with(|letter: char| letter.is_ascii_lowercase())
            && part.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    parts.len() >= 3 && parts.iter().all(is_word)
}

/// Builds and asks the example. It is built as part of the workspace, whose features `cargo test --workspace` has as
/// well, so that this compiles nothing a second time.
pub(crate) fn ask(root: &Path) -> Result<Inventory> {
    let arguments = ["build", "--workspace", "--example", "inventory", "--message-format", "json-render-diagnostics"];
    let messages = shell::output(&mut shell::command(root, "cargo", &arguments))?;
    let program = executable(&messages, "inventory").ok_or_else(|| {
        Failure::Refused("cargo built no `inventory` example; expected it at xtask/examples/inventory.rs".into())
    })?;
    let text = shell::output(&mut shell::command::<&str>(root, &program.to_string_lossy(), &[]))?;
    serde_json::from_str(&text).doing(|| "reading what `inventory` printed".into())
}

/// The executable of a target in cargo's JSON messages.
pub(crate) fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let artifacts = messages.filter(|message| message["reason"] == "compiler-artifact");
    artifacts
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Writes `docs/openapi.json`; says what it did.
pub(crate) fn write_document(root: &Path, inventory: &Inventory) -> Result<()> {
    let path = root.join(DOCUMENT);
    let is_current = fs::read_to_string(&path).is_ok_and(|committed| committed == inventory.document);
    if is_current {
        println!("{DOCUMENT} is current");
        return Ok(());
    }
    fs::write(&path, &inventory.document).doing(|| format!("writing {DOCUMENT}"))?;
    println!("wrote {DOCUMENT}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_names_have_a_domain_and_two_words_in_lower_case() {
        for name in ["tokens-get-clusters", "jobs-fail-dead-letters", "tokens-get-erc20"] {
            assert!(is_function_name(name), "{name}");
        }
        for name in ["", "tokens", "tokens-get", "Tokens-get-a", "tokens--a", "tokens-get_a-b", "tokens-get-1"] {
            assert!(!is_function_name(name), "{name}");
        }
    }

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let messages = "not json\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"other\"},\"executable\":\"/t/other\"}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"inventory\"},\"executable\":\"/t/inventory\"}\n";
        assert_eq!(executable(messages, "inventory"), Some(PathBuf::from("/t/inventory")));
        assert_eq!(executable(messages, "third"), None);
    }
}
