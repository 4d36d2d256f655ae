#![expect(clippy::print_stdout, reason = "an example writes its page to standard output")]
//! `cargo run -p map --example page -- [ROWS] [CROWD] [svg|json]`: the map of the sample token.

use clusters::sample::{Token, transfers};
use clusters::{Ledger, Parameters, analyse};
use map::{Content, Map, page};

fn main() {
    let mut words = std::env::args().skip(1);
    let rows = words.next().and_then(|word| word.parse().ok()).unwrap_or(20_000);
    let crowd = words.next().and_then(|word| word.parse().ok()).unwrap_or(4_000);
    let token = Token::new(7);
    let mut ledger = Ledger::new();
    for transfer in transfers(7, rows, crowd) {
        ledger.push(&transfer);
    }
    let report = analyse(&ledger, &token.subject(), &token.labels(), &Parameters::default());
    let map = Map::of(&report);
    match words.next().as_deref() {
        Some("svg") => print!("{}", map.to_svg()),
        Some("json") => print!("{}", serde_json::to_string(&map).unwrap_or_default()),
        _ => print!("{}", page(Content::Map(&map))),
    }
}
