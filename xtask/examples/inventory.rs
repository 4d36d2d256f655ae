#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
//! Prints what is deployed, as JSON, for `cargo xtask`. An example, so that xtask itself need not link the product.

use serde_json::{Value, json};

fn main() -> serde_json::Result<()> {
    let endpoints = lambdas::endpoints().into_iter().map(|endpoint| {
        let routes = endpoint.routes().into_iter().map(|(method, path)| json!([method.as_str(), path]));
        json!({ "name": endpoint.name, "routes": routes.collect::<Vec<_>>() })
    });
    let inventory = json!({
        "endpoints": endpoints.collect::<Vec<Value>>(),
        "workers": lambdas::workers().iter().map(|worker| worker.name).collect::<Vec<_>>(),
        "schedules": lambdas::schedules().iter().map(|schedule| schedule.name).collect::<Vec<_>>(),
        "document": lambdas::document().to_pretty_json()? + "\n",
    });
    println!("{inventory}");
    Ok(())
}
