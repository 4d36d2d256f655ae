//! `docs/accuracy.md`.

use std::fmt::Write;

use clusters::agreement::Pairs;
use clusters::planted::Scenario;

use super::Measured;

/// What stands around the tables; `{…}` are the tables.
const TEXT: &str = include_str!("page.md");

/// In the order of the tables: methods, then rules and thresholds.
const TABLES: [&str; 2] = ["{scenarios}\n", "{rules}\n"];

/// What is aimed at over all pairs.
const PRECISION: f64 = 0.99;
const RECALL: f64 = 0.95;

/// What a method, or a threshold, found of the tokens of two settings: as named, and with all adversities.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) by_setting: [Vec<Measured>; 2],
}

pub(super) fn page(seeds: u64, tables: &[Vec<Row>], strangers: &[Row]) -> String {
    let mut text = TEXT.replace("{seeds}", &seeds.to_string());
    for (index, (place, rows)) in TABLES.iter().zip(tables).enumerate() {
        text = text.replace(place, &if index == 0 { scenarios(rows) } else { sweep(rows) });
    }
    let usual = tables.first().and_then(|methods| methods.first());
    let verdicts = usual.map(|usual| [&usual.by_setting[0], &usual.by_setting[1]].map(|cases| verdict(cases)));
    for (place, verdict) in ["{as named}", "{harder}"].iter().zip(verdicts.into_iter().flatten()) {
        text = text.replace(place, &verdict);
    }
    text.replace("{strangers}\n", &sweep(strangers))
}

/// Whether the aims are met.
fn verdict(cases: &[Measured]) -> String {
    let pairs = sum(cases);
    let says = |what: &str, got: f64, aim: f64| {
        format!("{what} {got:.4} ({})", if got >= aim { "aim met" } else { "aim missed" })
    };
    let joined: Option<u64> = cases.iter().map(|case| case.through).sum();
    let through = if joined == Some(0) { "nothing" } else { "something (aim missed)" };
    let [precision, recall] = [says("precision", pairs.precision(), PRECISION), says("recall", pairs.recall(), RECALL)];
    format!("{precision}, {recall}, {through} joined through an exchange or dust")
}

/// Mean and worst of the seeds for each scenario, and all pairs together.
fn scenarios(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { name, by_setting } in rows {
        for scenario in Scenario::ALL {
            let cells = by_setting.each_ref().map(|measured| {
                let cases = || measured.iter().filter(|case| case.scenario == scenario);
                let of = |measure: fn(Pairs) -> f64| {
                    let (mut n, mut sum, mut worst) = (0_u32, 0.0, f64::INFINITY);
                    for value in cases().map(|case| measure(case.pairs)) {
                        n += 1;
                        sum += value;
                        worst = worst.min(value);
                    }
                    format!("{:.3} ({worst:.3})", sum / f64::from(n))
                };
                [of(Pairs::precision), of(Pairs::recall), of(Pairs::adjusted_rand), through(cases())].join(" | ")
            });
            line(&mut text, &format!("{name} | {} | {}", scenario.name(), cells.join(" | ")));
        }
        let cells = by_setting.each_ref().map(|measured| {
            let (pairs, through) = (sum(measured), through(measured));
            format!("**{:.4}** | **{:.4}** | – | {through}", pairs.precision(), pairs.recall())
        });
        line(&mut text, &format!("**{name}** | **all pairs** | {}", cells.join(" | ")));
    }
    text
}

/// All pairs together.
fn sweep(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { name, by_setting } in rows {
        let cells = by_setting.each_ref().map(|measured| {
            let pairs = sum(measured);
            format!("{:.4} | {:.4} | {}", pairs.precision(), pairs.recall(), through(measured))
        });
        line(&mut text, &format!("{name} | {}", cells.join(" | ")));
    }
    text
}

fn sum<'a>(measured: impl IntoIterator<Item = &'a Measured>) -> Pairs {
    let mut all = Pairs::default();
    measured.into_iter().for_each(|case| all += case.pairs);
    all
}

fn through<'a>(measured: impl IntoIterator<Item = &'a Measured>) -> String {
    let sum: Option<u64> = measured.into_iter().map(|case| case.through).sum();
    sum.map_or_else(|| "–".to_owned(), |pairs| pairs.to_string())
}

fn line(text: &mut String, cells: &str) {
    writeln!(text, "| {cells} |").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(both: u64, through: Option<u64>) -> Vec<Measured> {
        let measured = |scenario, both| {
            let pairs = Pairs { both, found: 4, true_: 8, all: 100 };
            Measured { scenario, pairs, through }
        };
        Scenario::ALL.iter().flat_map(|&scenario| [measured(scenario, both), measured(scenario, both / 2)]).collect()
    }

    fn row(name: &str, through: Option<u64>) -> Row {
        Row { name: name.to_owned(), by_setting: [cases(4, through), cases(2, through)] }
    }

    #[test]
    fn tables_have_means_worst_cases_and_sums_over_pairs() {
        let methods = vec![row("ours", Some(1)), row("theirs", None)];
        let text = page(2, &[methods, vec![row("7", Some(0))]], &[row("5", Some(3))]);
        let ours = "| ours | insider ring | 0.750 (0.500) | 0.375 (0.250) | 0.472 (0.296) | 2 | 0.375 (0.250) | 0.188 (0.125) |";
        assert!(text.contains(ours), "{text}");
        assert!(
            text.contains("| **theirs** | **all pairs** | **0.7500** | **0.3750** | – | – | **0.3750** | **0.1875** |"),
            "{text}"
        );
        assert!(text.contains("| 7 | 0.7500 | 0.3750 | 0 | 0.3750 | 0.1875 | 0 |\n"), "{text}");
        assert!(text.contains("| 5 | 0.7500 | 0.3750 | 36 | 0.3750 | 0.1875 | 36 |\n"), "{text}");
        assert!(!text.contains('{'), "{text}");
    }

    #[test]
    fn a_page_says_which_aims_are_met() {
        let measured = |both, found, true_, through| Measured {
            scenario: Scenario::PeelChain,
            pairs: Pairs { both, found, true_, all: 1000 },
            through: Some(through),
        };
        let met = verdict(&[measured(99, 100, 104, 0)]);
        assert_eq!(
            met,
            "precision 0.9900 (aim met), recall 0.9519 (aim met), nothing joined through an exchange or dust"
        );
        let missed = verdict(&[measured(98, 100, 104, 1)]);
        assert_eq!(missed.matches("aim missed").count(), 3, "{missed}");
    }
}
