//! Made-up tokens of which it is known who controls which address, to measure an analysis by.
//!
//! [`plant`] makes one token of a [`Scenario`] from a seed. Every token has a pool (known to be a contract), an exchange
//! whose wallets nobody labels, and a crowd of independent holders whose purchases follow a power law, some of whom have
//! several wallets. There are rows of nothing in holders' names. What else speaks against the analysis, in all of them,
//! are the [`Adversities`].

mod scenarios;
mod scene;

use crate::{Address, Report, Subject, Transfer};

/// What is planted beside the crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A team splits its supply among 20 to 60 wallets that pass it around; one in ten has only a little from the others
    /// and buys the rest.
    InsiderRing,
    /// One to three chains of 15 to 40 wallets: each keeps a part and passes the rest on, one in a hundred keeps nothing.
    PeelChain,
    /// 60 to 150 wallets claim an airdrop and sweep all or some of it to a collector, which sells most of it: in one
    /// token of ten all of it.
    AirdropFarm,
    /// Two exchanges with 400 to 900 customers each: deposit addresses swept to a hot wallet, withdrawals, a cold wallet.
    ExchangeHub,
    /// Somebody sends dust and nothing to the largest holders, from wallets of his and from look-alike addresses.
    DustAttack,
    /// One to three groups of 6 to 20 wallets that trade with the pool and in circles.
    WashTraders,
}

impl Scenario {
    pub const ALL: [Self; 6] =
        [Self::InsiderRing, Self::PeelChain, Self::AirdropFarm, Self::ExchangeHub, Self::DustAttack, Self::WashTraders];

    pub fn name(self) -> &'static str {
        match self {
            Self::InsiderRing => "insider ring",
            Self::PeelChain => "peel chain",
            Self::AirdropFarm => "airdrop farm",
            Self::ExchangeHub => "exchange hub",
            Self::DustAttack => "dust attack",
            Self::WashTraders => "wash traders",
        }
    }
}

/// What makes tokens harder than their scenario says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adversities {
    /// How many holders of a thousand, planted ones included, send part of what they hold to a holder they are not, as
    /// friends, debtors and customers do.
    pub strangers_per_mille: u64,
    /// One in ten of the people with several wallets never lets them touch.
    pub careful: bool,
    /// One deposit address of an exchange in a hundred is not swept.
    pub unswept: bool,
}

impl Adversities {
    /// The scenarios as their names say.
    pub const NONE: Self = Self { strangers_per_mille: 0, careful: false, unswept: false };
    /// The rates are assumptions.
    pub const ALL: Self = Self { strangers_per_mille: 5, careful: true, unswept: true };
}

/// A token and the truth about it.
#[derive(Clone, Debug)]
pub struct Planted {
    /// In the order of the chain. No balance is ever negative.
    pub transfers: Vec<Transfer>,
    /// What a source with access to the chain would know; there are no labels.
    pub subject: Subject,
    /// The addresses of each party that controls several, sorted. Every other address is a party of its own; so are
    /// those of exchanges, since what is on them is their customers'.
    pub parties: Vec<Vec<Address>>,
    /// What the exchanges control, sorted: hot and cold wallets, deposit addresses.
    pub custody: Vec<Address>,
    /// Whoever sends dust, sorted.
    pub dusters: Vec<Address>,
}

/// The token of a scenario and a seed.
pub fn plant(scenario: Scenario, seed: u64, adversities: Adversities) -> Planted {
    scenarios::plant(scenario, seed, adversities)
}

impl Planted {
    /// The party of each of the addresses, as numbers for [`crate::agreement::Pairs::of`].
    pub fn truth(&self, addresses: &[Address]) -> Vec<usize> {
        sets(&self.parties, addresses)
    }
}

/// The set each of the addresses is in, by number; who is in none has a number of its own.
pub fn sets(sets: &[Vec<Address>], addresses: &[Address]) -> Vec<usize> {
    let numbered = sets.iter().enumerate().flat_map(|(set, members)| members.iter().map(move |&member| (member, set)));
    let set_of: std::collections::HashMap<Address, usize> = numbered.collect();
    let own = sets.len()..;
    addresses.iter().zip(own).map(|(address, own)| set_of.get(address).copied().unwrap_or(own)).collect()
}

/// How many pairs of holders that are not `through` are together in the report but would not be if `through` were not
/// there. Nobody may have been joined by common funders or synchronous purchases.
pub fn joined_through(report: &Report, through: &[Address]) -> u64 {
    let holders: Vec<Address> =
        report.holders.iter().map(|holder| holder.address).filter(|holder| !through.contains(holder)).collect();
    let rank: std::collections::HashMap<Address, usize> = holders.iter().copied().zip(0..).collect();
    let mut components = crate::components::Components::new(holders.len());
    let outsiders = report.conduits.iter().chain(&report.magic_nodes).filter(|node| !through.contains(&node.address));
    let shared = outsiders.flat_map(|node| {
        let members: Vec<Address> = node.members.iter().copied().filter(|member| !through.contains(member)).collect();
        members.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
    });
    let links = report.links.iter().filter(|link| link.joins).map(|link| (link.from, link.to));
    for (a, b) in links.chain(shared) {
        if let (Some(&a), Some(&b)) = (rank.get(&a), rank.get(&b)) {
            components.join(a, b);
        }
    }
    let without: Vec<usize> = (0..holders.len()).map(|holder| components.find(holder)).collect();
    let members: Vec<Vec<Address>> = report.clusters.iter().map(|cluster| cluster.members.clone()).collect();
    let pairs = crate::agreement::Pairs::of(&sets(&members, &holders), &without);
    pairs.found - pairs.both
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::Pairs;
    use crate::{Ledger, Parameters, Units, analyse};

    const SEED: u64 = 1;

    fn report(planted: &Planted, parameters: &Parameters) -> Report {
        let mut ledger = Ledger::new();
        ledger.extend_from_slice(&planted.transfers);
        analyse(&mut ledger, &planted.subject, &crate::Labels::builtin("ethereum"), parameters)
    }

    fn pairs(planted: &Planted, report: &Report) -> Pairs {
        let holders: Vec<Address> = report.holders.iter().map(|holder| holder.address).collect();
        let clusters: Vec<Vec<Address>> = report.clusters.iter().map(|cluster| cluster.members.clone()).collect();
        Pairs::of(&sets(&clusters, &holders), &planted.truth(&holders))
    }

    #[test]
    fn planted_parties_are_found_and_nothing_is_joined_through_an_exchange_or_dust() {
        let mut overall = Pairs::default();
        for scenario in Scenario::ALL {
            let planted = plant(scenario, SEED, Adversities::ALL);
            let report = report(&planted, &Parameters::default());
            assert_eq!(joined_through(&report, &planted.custody), 0, "{scenario:?}");
            assert_eq!(joined_through(&report, &planted.dusters), 0, "{scenario:?}");
            overall += pairs(&planted, &report);
        }
        assert!(overall.precision() >= 0.98, "{overall:?}");
        assert!(overall.recall() >= 0.95, "{overall:?}");
    }

    #[test]
    fn as_their_names_say_the_scenarios_are_found_without_a_wrong_pair() {
        let mut overall = Pairs::default();
        for scenario in Scenario::ALL {
            let planted = plant(scenario, SEED, Adversities::NONE);
            let report = report(&planted, &Parameters::default());
            let strangers = [&planted.custody[..], &planted.dusters].concat();
            assert_eq!(joined_through(&report, &strangers), 0, "{scenario:?}");
            overall += pairs(&planted, &report);
        }
        assert!(overall.precision() >= 0.99 && overall.recall() >= 0.95, "{overall:?}");
    }

    #[test]
    fn the_collector_that_sold_all_and_the_strangers_are_what_conduits_and_gifts_are_for() {
        // The collector of this seed's farm sold all it had.
        let farm = plant(Scenario::AirdropFarm, SEED, Adversities::ALL);
        let recall = |conduits| {
            let parameters = Parameters { conduits, ..Parameters::default() };
            pairs(&farm, &report(&farm, &parameters)).recall()
        };
        assert!(recall(true) > 0.8 && recall(false) < 0.2, "{} {}", recall(true), recall(false));
        let many = Adversities { strangers_per_mille: 50, ..Adversities::ALL };
        let ring = plant(Scenario::InsiderRing, SEED, many);
        let precision = |gift_percent| {
            let parameters = Parameters { gift_percent, ..Parameters::default() };
            pairs(&ring, &report(&ring, &parameters)).precision()
        };
        assert!(precision(35) > precision(0) + 0.05, "{} {}", precision(35), precision(0));
    }

    #[test]
    fn the_exchange_and_the_dust_would_join_strangers() {
        let exchange = plant(Scenario::ExchangeHub, SEED, Adversities::NONE);
        let by_no_degree = Parameters { hub_degree: 1_000_000, ..Parameters::default() };
        assert!(joined_through(&report(&exchange, &by_no_degree), &exchange.custody) > 1_000);
        let dust = plant(Scenario::DustAttack, SEED, Adversities::NONE);
        let with_dust = Parameters { dust_parts_per_billion: 0, ..Parameters::default() };
        assert!(joined_through(&report(&dust, &with_dust), &dust.dusters) > 1_000);
    }

    #[test]
    fn a_token_follows_from_its_seed_and_nobody_sends_what_he_has_not() {
        for scenario in Scenario::ALL {
            let planted = plant(scenario, SEED, Adversities::ALL);
            assert_eq!(planted.transfers, plant(scenario, SEED, Adversities::ALL).transfers);
            assert_ne!(planted.transfers, plant(scenario, SEED + 1, Adversities::ALL).transfers);
            let report = report(&planted, &Parameters::default());
            assert_eq!(
                (report.supply.negative_count, report.supply.positive),
                (0, Units::from(u128::from(scene::SUPPLY)))
            );
            let order = |transfer: &Transfer| (transfer.block, transfer.log_index);
            assert!(planted.transfers.windows(2).all(|pair| order(&pair[0]) < order(&pair[1])));
            let mut members: Vec<Address> = planted.parties.concat();
            members.sort_unstable();
            assert!(members.windows(2).all(|pair| pair[0] != pair[1]), "{scenario:?}: an address in two parties");
        }
    }
}
