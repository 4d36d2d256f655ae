//! `cargo xtask accuracy`: what the analysis finds of planted parties, beside other methods and other thresholds.

mod louvain;
mod page;

use std::fs;
use std::path::Path;

use clusters::agreement::Pairs;
use clusters::planted::{Planted, STRANGERS_PER_MILLE, Scenario, joined_through, plant, sets};
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
    let cases = make(options.seeds, STRANGERS_PER_MILLE);
    let ours = |parameters: Parameters| cases.iter().map(|case| case.measure(&parameters)).collect::<Vec<_>>();
    let lump = Parameters { include_hubs: true, include_zero_value: true, ..Parameters::default() };
    let usual = Parameters::default();
    let methods = [
        ("Holdfast", ours(usual)),
        ("Holdfast with magic nodes", ours(Parameters { magic_nodes: true, ..usual })),
        ("components", ours(lump)),
        ("Louvain", louvain::measure(root, &cases, &lump)?),
        ("Louvain without hubs", louvain::measure(root, &cases, &usual)?),
    ];
    let hub_degrees = [25, 50, 100, 150, 200, 300, 500, 1000];
    let dusts = [0, 1, 10, 100, 1_000, 10_000, 100_000];
    let hub_degrees = hub_degrees.map(|hub_degree| (hub_degree, ours(Parameters { hub_degree, ..usual })));
    let dusts = dusts
        .map(|dust_parts_per_billion| (dust_parts_per_billion, ours(Parameters { dust_parts_per_billion, ..usual })));
    let strangers = [0, 2, 5, 10, 20, 50].map(|per_mille| {
        let cases = make(options.seeds, per_mille);
        (per_mille, cases.iter().map(|case| case.measure(&usual)).collect::<Vec<_>>())
    });
    let text = page::page(options.seeds, &methods, &hub_degrees, &dusts, &strangers);
    if options.write {
        fs::write(root.join(PAGE), &text).doing(|| format!("writing {PAGE}"))?;
    }
    print!("{text}");
    Ok(())
}

fn make(seeds: u64, strangers_per_mille: u64) -> Vec<Case> {
    let each = |scenario| (1..=seeds).map(move |seed| Case::new(scenario, seed, strangers_per_mille));
    Scenario::ALL.into_iter().flat_map(each).collect()
}

/// A planted token, read.
struct Case {
    scenario: Scenario,
    planted: Planted,
    ledger: Ledger,
}

/// What one method found in one case.
struct Measured {
    scenario: Scenario,
    pairs: Pairs,
    /// Pairs of others joined through an exchange or through dust; `None` where a method does not join by links.
    through: Option<u64>,
}

impl Case {
    fn new(scenario: Scenario, seed: u64, strangers_per_mille: u64) -> Self {
        let mut planted = plant(scenario, seed, strangers_per_mille);
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
        let through = || joined_through(&report, custody) + joined_through(&report, dusters);
        Measured {
            through: (!parameters.magic_nodes).then(through),
            ..self.judge(&holders, &sets(&clusters, &holders))
        }
    }

    fn judge(&self, holders: &[Address], found: &[usize]) -> Measured {
        let pairs = Pairs::of(found, &self.planted.truth(holders));
        Measured { scenario: self.scenario, pairs, through: None }
    }
}

fn holders(report: &Report) -> Vec<Address> {
    report.holders.iter().map(|holder| holder.address).collect()
}
