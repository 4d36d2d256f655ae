//! `cargo xtask accuracy`: what the analysis finds of planted parties, beside other methods and other thresholds.

mod louvain;
mod page;

use std::fs;
use std::path::Path;

use clusters::agreement::Pairs;
use clusters::planted::{Adversities, Planted, Scenario, joined_through, plant, sets};
use clusters::{Address, Labels, Ledger, Parameters, Report, analyse};

use crate::failure::{Doing, Result};

const PAGE: &str = "docs/accuracy.md";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many tokens of each scenario
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Write docs/accuracy.md
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    louvain::prepare(root)?;
    let named = measure(root, options.seeds, Adversities::NONE)?;
    let harder = measure(root, options.seeds, Adversities::ALL)?;
    let strangers = [0, 2, 5, 10, 20, 50].map(|strangers_per_mille| {
        eprintln!("{strangers_per_mille} of 1 000 pay strangers");
        let cases = make(options.seeds, Adversities { strangers_per_mille, ..Adversities::ALL });
        let before = Parameters { gift_percent: 0, conduits: false, ..Parameters::default() };
        let with = |parameters| cases.iter().map(|case| case.measure(&parameters)).collect();
        page::Row { name: strangers_per_mille.to_string(), by_setting: [with(before), with(Parameters::default())] }
    });
    let text = page::page(options.seeds, &pair(named, harder), &strangers);
    if options.write {
        fs::write(root.join(PAGE), &text).doing(|| format!("writing {PAGE}"))?;
    }
    print!("{text}");
    Ok(())
}

/// One table after the other: each row's name and what was measured.
type Measurements = Vec<Vec<(String, Vec<Measured>)>>;

/// All that is measured of the tokens with these adversities: methods, then rules and thresholds.
fn measure(root: &Path, seeds: u64, adversities: Adversities) -> Result<Measurements> {
    eprintln!("making tokens: {adversities:?}");
    let cases = make(seeds, adversities);
    let ours = |name: &str, parameters: Parameters| {
        eprintln!("{name}");
        (name.to_owned(), cases.iter().map(|case| case.measure(&parameters)).collect::<Vec<_>>())
    };
    let usual = Parameters::default();
    let lump = Parameters { include_hubs: true, include_zero_value: true, ..usual };
    let louvain = |name: &str, parameters: Parameters| {
        eprintln!("{name}");
        Ok((name.to_owned(), louvain::measure(root, &cases, &parameters)?))
    };
    let methods = vec![
        ours("Holdfast", usual),
        ours("components", lump),
        louvain("Louvain", lump)?,
        louvain("Louvain without hubs", usual)?,
    ];
    let Parameters { hub_degree, dust_parts_per_billion, gift_percent, .. } = usual;
    let defaults =
        format!("**the defaults**: hub degree {hub_degree}, dust {dust_parts_per_billion}, gift {gift_percent} %");
    let rules = vec![
        ours("without conduits and the gift rule", Parameters { gift_percent: 0, conduits: false, ..usual }),
        ours("without the gift rule", Parameters { gift_percent: 0, ..usual }),
        ours("without conduits", Parameters { conduits: false, ..usual }),
        ours(&defaults, usual),
        ours("with magic nodes", Parameters { magic_nodes: true, ..usual }),
    ];
    let hub_degrees = [50, 100, 150, 300, 500]
        .map(|hub_degree| ours(&format!("hub degree {hub_degree}"), Parameters { hub_degree, ..usual }));
    let dusts = [0, 100, 1_000, 10_000, 100_000].map(|dust_parts_per_billion| {
        ours(&format!("dust {dust_parts_per_billion}"), Parameters { dust_parts_per_billion, ..usual })
    });
    let gifts = [10, 20, 30, 40, 45, 50]
        .map(|gift_percent| ours(&format!("gift {gift_percent} %"), Parameters { gift_percent, ..usual }));
    Ok(vec![methods, [rules, hub_degrees.into(), dusts.into(), gifts.into()].concat()])
}

/// The tables with both settings side by side.
fn pair(named: Measurements, harder: Measurements) -> Vec<Vec<page::Row>> {
    let row = |((name, named), (_, harder))| page::Row { name, by_setting: [named, harder] };
    let table = |(named, harder): (Vec<_>, Vec<_>)| named.into_iter().zip(harder).map(row).collect();
    named.into_iter().zip(harder).map(table).collect()
}

fn make(seeds: u64, adversities: Adversities) -> Vec<Case> {
    let each = |scenario| (1..=seeds).map(move |seed| Case::new(scenario, seed, adversities));
    Scenario::ALL.into_iter().flat_map(each).collect()
}

/// A planted token, read.
struct Case {
    scenario: Scenario,
    planted: Planted,
    ledger: Ledger,
}

/// What one method found in one case.
#[derive(Clone)]
struct Measured {
    scenario: Scenario,
    pairs: Pairs,
    /// Pairs of others joined through an exchange or through dust; `None` where a method does not join by them.
    through: Option<u64>,
}

impl Case {
    fn new(scenario: Scenario, seed: u64, adversities: Adversities) -> Self {
        let mut planted = plant(scenario, seed, adversities);
        let mut ledger = Ledger::new();
        ledger.extend_from_slice(&std::mem::take(&mut planted.transfers));
        Self { scenario, planted, ledger }
    }

    fn report(&self, parameters: &Parameters) -> Report {
        // Labels of the chain are known, but nobody here has one.
        analyse(&mut self.ledger.clone(), &self.planted.subject, &Labels::builtin("ethereum"), parameters)
    }

    fn measure(&self, parameters: &Parameters) -> Measured {
        let report = self.report(parameters);
        let holders = holders(&report);
        let clusters: Vec<Vec<Address>> = report.clusters.iter().map(|cluster| cluster.members.clone()).collect();
        let Planted { custody, dusters, .. } = &self.planted;
        let through = joined_through(&report, custody) + joined_through(&report, dusters);
        Measured { through: Some(through), ..self.judge(&holders, &sets(&clusters, &holders)) }
    }

    fn judge(&self, holders: &[Address], found: &[usize]) -> Measured {
        let pairs = Pairs::of(found, &self.planted.truth(holders));
        Measured { scenario: self.scenario, pairs, through: None }
    }
}

fn holders(report: &Report) -> Vec<Address> {
    report.holders.iter().map(|holder| holder.address).collect()
}
