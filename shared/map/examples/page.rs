#![expect(clippy::print_stdout, reason = "an example writes its page to standard output")]
//! `cargo run -p map --example page -- [ROWS] [CROWD] [svg|json|time]`: the map of the sample token, or how
//! long it takes to lay it out.

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
    let form = words.next();
    let top = if form.as_deref() == Some("time") { Parameters::MAX_TOP } else { Parameters::default().top };
    let parameters = Parameters { top, ..Parameters::default() };
    let report = analyse(&mut ledger, &token.subject(), &token.labels(), &parameters);
    #[expect(clippy::disallowed_methods, reason = "an example that measures")]
    let started = std::time::Instant::now();
    let map = Map::of(&report);
    let taken = started.elapsed();
    match form.as_deref() {
        Some("time") => println!("{} holders laid out in {taken:?}", map.circles.len()),
        Some("svg") => print!("{}", map.to_svg()),
        Some("json") => print!("{}", serde_json::to_string(&map).unwrap_or_default()),
        _ => print!("{}", page(Content::Map(&map))),
    }
}
