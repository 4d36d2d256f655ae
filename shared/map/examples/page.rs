#![expect(clippy::print_stdout, reason = "an example writes its page to standard output")]
//! `cargo run -p map --example page -- [HOLDERS] [page|svg|json|time]`: the map of so many holders of the sample token, or
//! how long it takes to lay it out.

use std::time::Instant;

use clusters::sample::{Token, transfers};
use clusters::{Ledger, Parameters, analyse};
use map::{Content, Map, page};

/// Laid out so often to be timed.
const ROUNDS: usize = 9;

fn main() {
    let mut words = std::env::args().skip(1);
    let holders: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(1000);
    let token = Token::new(7);
    let mut ledger = Ledger::new();
    // More have it than are shown.
    for transfer in transfers(7, u64::from(holders.max(10)) * 20, holders.max(10) * 5) {
        ledger.push(&transfer);
    }
    let parameters = Parameters { top: holders, ..Parameters::default() };
    let report = analyse(&mut ledger, &token.subject(), &token.labels(), &parameters);
    let map = Map::of(&report);
    match words.next().as_deref() {
        Some("time") => {
            let mut taken: Vec<f64> = (0..ROUNDS).map(|_| seconds(|| Map::of(&report))).collect();
            taken.sort_unstable_by(f64::total_cmp);
            println!("{{\"holders\":{},\"seconds\":{:.6}}}", map.circles.len(), taken[ROUNDS / 2]);
        }
        Some("svg") => print!("{}", map.to_svg()),
        Some("json") => print!("{}", serde_json::to_string(&map).unwrap_or_default()),
        _ => print!("{}", page(Content::Map(&map))),
    }
}

fn seconds(what: impl FnOnce() -> Map) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "an example that measures")]
    let started = Instant::now();
    std::hint::black_box(what());
    started.elapsed().as_secs_f64()
}
