#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
//! Prints what is deployed, as JSON, for `cargo xtask`. An example, so that xtask itself need not link the product.

use access::messages::{QUEUES, QueueSpec};
use access::tables::{EXPIRES_AT, SortKey, SortKind, TABLES, Table};
use serde_json::{Value, json};

fn main() -> serde_json::Result<()> {
    let endpoints = lambdas::endpoints().into_iter().map(|endpoint| {
        let routes = endpoint.routes().into_iter().map(|(method, path)| json!([method.as_str(), path]));
        json!({ "name": endpoint.name, "routes": routes.collect::<Vec<_>>() })
    });
    let workers = lambdas::workers();
    let workers = workers.iter().map(|worker| json!({ "name": worker.name, "queue": worker.queue.name }));
    let schedules = lambdas::schedules();
    let schedules =
        schedules.iter().map(|schedule| json!({ "name": schedule.name, "every_seconds": schedule.every.as_secs() }));
    let triggers = lambdas::triggers();
    let triggers = triggers.iter().map(|trigger| json!({ "name": trigger.name, "by_pool": trigger.is_by_pool() }));
    let inventory = json!({
        "endpoints": endpoints.collect::<Vec<Value>>(),
        "workers": workers.collect::<Vec<_>>(),
        "schedules": schedules.collect::<Vec<_>>(),
        "triggers": triggers.collect::<Vec<_>>(),
        "queues": QUEUES.map(queue),
        "tables": TABLES.map(table),
        "expires_at": EXPIRES_AT,
        "document": lambdas::document().to_pretty_json()? + "\n",
    });
    println!("{inventory}");
    Ok(())
}

fn queue(queue: &QueueSpec) -> Value {
    json!({
        "name": queue.name,
        "fifo": queue.fifo,
        "visibility_seconds": queue.visibility.as_secs(),
        "max_receive_count": queue.max_receive_count,
        "dead_letter": queue.dead_letter.map(|queue| queue.name),
    })
}

fn table(table: &Table) -> Value {
    let index = table
        .index
        .as_ref()
        .map(|index| json!({ "name": index.name, "partition_key": index.partition_key, "sort_key": index.sort_key }));
    json!({
        "name": table.name,
        "partition_key": table.partition_key,
        "sort_key": table.sort_key.map(sort_key),
        "index": index,
    })
}

fn sort_key(key: SortKey) -> Value {
    let attribute_type = match key.kind {
        SortKind::Number => "N",
        SortKind::Text => "S",
    };
    json!({ "name": key.name, "attribute_type": attribute_type })
}
