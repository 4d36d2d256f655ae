//! `docs/accuracy.md`.

use std::fmt::Write;

use clusters::agreement::Pairs;
use clusters::planted::Scenario;

use super::Measured;

/// What stands around the tables; `{…}` are the tables.
const TEXT: &str = include_str!("page.md");

type Method = (&'static str, Vec<Measured>);

pub(super) fn page(
    seeds: u64,
    methods: &[Method],
    hub_degrees: &[(u32, Vec<Measured>)],
    dusts: &[(u32, Vec<Measured>)],
    strangers: &[(u64, Vec<Measured>)],
) -> String {
    TEXT.replace("{seeds}", &seeds.to_string())
        .replace("{scenarios}\n", &scenarios(methods))
        .replace("{hub degrees}\n", &sweep(hub_degrees))
        .replace("{dusts}\n", &sweep(dusts))
        .replace("{strangers}\n", &sweep(strangers))
}

/// Mean and worst of the seeds for each scenario, and all pairs together.
fn scenarios(methods: &[Method]) -> String {
    let mut text = String::new();
    for (name, measured) in methods {
        for scenario in Scenario::ALL {
            let of = |measure: fn(Pairs) -> f64| {
                let values = measured.iter().filter(|case| case.scenario == scenario).map(|case| measure(case.pairs));
                let (mut n, mut sum, mut worst) = (0_u32, 0.0, f64::INFINITY);
                for value in values {
                    n += 1;
                    sum += value;
                    worst = worst.min(value);
                }
                format!("{:.3} ({worst:.3})", sum / f64::from(n))
            };
            let cases = || measured.iter().filter(|case| case.scenario == scenario);
            let row = [of(Pairs::precision), of(Pairs::recall), of(Pairs::adjusted_rand), through(cases())];
            line(&mut text, &format!("{name} | {} | {}", scenario.name(), row.join(" | ")));
        }
        let pairs = sum(measured.iter());
        let (precision, recall) = (pairs.precision(), pairs.recall());
        let through = through(measured.iter());
        line(&mut text, &format!("**{name}** | **all pairs** | **{precision:.4}** | **{recall:.4}** | – | {through}"));
    }
    text
}

fn sweep<T: std::fmt::Display>(tried: &[(T, Vec<Measured>)]) -> String {
    let mut text = String::new();
    for (value, measured) in tried {
        let pairs = sum(measured.iter());
        let (precision, recall) = (pairs.precision(), pairs.recall());
        line(&mut text, &format!("{value} | {precision:.4} | {recall:.4} | {}", through(measured.iter())));
    }
    text
}

fn sum<'a>(measured: impl Iterator<Item = &'a Measured>) -> Pairs {
    let mut all = Pairs::default();
    measured.for_each(|case| all += case.pairs);
    all
}

fn through<'a>(measured: impl Iterator<Item = &'a Measured>) -> String {
    let sum: Option<u64> = measured.map(|case| case.through).sum();
    sum.map_or_else(|| "–".to_owned(), |pairs| pairs.to_string())
}

fn line(text: &mut String, cells: &str) {
    writeln!(text, "| {cells} |").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(scenario: Scenario, both: u64, through: Option<u64>) -> Measured {
        Measured { scenario, pairs: Pairs { both, found: 4, true_: 8, all: 100 }, through }
    }

    #[test]
    fn tables_have_means_worst_cases_and_sums_over_pairs() {
        let cases =
            |through| Scenario::ALL.iter().flat_map(move |&s| [measured(s, 4, through), measured(s, 2, through)]);
        let methods: [Method; 2] = [("ours", cases(Some(1)).collect()), ("theirs", cases(None).collect())];
        let sweep: Vec<(u32, Vec<Measured>)> = vec![(7, cases(Some(0)).collect())];
        let text = page(2, &methods, &sweep, &sweep, &[(5, cases(Some(3)).collect())]);
        assert!(text.contains("| ours | insider ring | 0.750 (0.500) | 0.375 (0.250) |"), "{text}");
        assert!(text.contains("| **theirs** | **all pairs** | **0.7500** | **0.3750** | – | – |\n"), "{text}");
        assert!(
            text.contains("| 7 | 0.7500 | 0.3750 | 0 |\n") && text.contains("| 5 | 0.7500 | 0.3750 | 36 |\n"),
            "{text}"
        );
        assert!(!text.contains('{'), "{text}");
    }
}
