mod graph;
mod hubs;
mod partition;
mod ranking;

use graph::{Edge, Graph};
use hubs::Hubs;
use partition::Party;
use ranking::Ranking;

use crate::components::Components;
use crate::concentration::{Descending, score};
use crate::ledger::{Account, Ledger};
use crate::report::{
    AsOf, Cluster, Digest, Excluded, Health, Holder, Link, MagicNode, Metrics, Negative, Reason, Report, Supply,
    SupplyDisplay, Token,
};
use crate::{Address, Kind, Labels, Parameters, Subject, Units};

/// How many negative balances a report names.
const WORST: usize = 50;

/// Finds out who really holds a token.
///
/// * A *holder* has a positive balance; the report looks at the `top` largest.
/// * Two holders are *linked* by a transfer between them, in either direction, of something
///   (`include_zero_value`: or of nothing).
/// * An address's *degree* is how many distinct others it traded with in the whole token, by the same rule; the zero
///   address (mints and burns) and itself do not count.
/// * A *hub* has a degree of `hub_degree` or more, or is known as an exchange, pool, bridge, router, burn address or
///   contract. It joins nothing, unless hubs are included. The token's own contract is no special case: it is a
///   contract if the subject or a label says so.
/// * A *cluster* is two or more holders connected by links without hubs. With `magic_nodes`, an address outside the
///   top that is no hub and traded with two or more of them (hubs not counted) connects them too; it is no member.
///
/// Parameters out of range are taken at their word: validate them first.
pub fn analyse(ledger: &Ledger, subject: &Subject, labels: &Labels, parameters: &Parameters) -> Report {
    let hubs = Hubs { subject, labels, parameters };
    let ranking = Ranking::of(ledger);
    let (top, rest) = ranking.holders.split_at(ranking.holders.len().min(parameters.top as usize));
    let graph = Graph::of(ledger, top, parameters);
    let holders: Vec<Ranked> = top.iter().map(|&account| Ranked::of(account, ledger, &graph, &hubs)).collect();
    let magic = if parameters.magic_nodes { magic_nodes(ledger, &graph, &hubs, &holders) } else { Vec::new() };
    let parties = parties(&holders, &graph, &magic);
    let findings = Findings {
        ledger,
        labels,
        circulating: ranking.positive - hubs.burnt(ledger),
        party_of: party_of(&parties, holders.len()),
        ids: parties.iter().map(|party| partition::id(party, &holders)).collect(),
        display: Display { decimals: subject.decimals },
        ranking: &ranking,
        graph: &graph,
        holders,
        parties,
    };
    Report {
        token: Token {
            chain: subject.chain.clone(),
            address: subject.address,
            name: subject.name.clone(),
            symbol: subject.symbol.clone(),
            decimals: subject.decimals,
            total_supply: subject.total_supply,
            kind: subject.kind,
        },
        as_of: AsOf {
            block: ledger.totals.last_block,
            timestamp: ledger.totals.last_timestamp,
            first_block: ledger.totals.first_block,
        },
        parameters: *parameters,
        supply: findings.supply(),
        holders: (0..findings.holders.len()).map(|rank| findings.holder(rank)).collect(),
        links: findings.links(),
        clusters: findings.clusters(),
        excluded: findings.excluded(),
        magic_nodes: magic.iter().filter_map(|node| findings.magic_node(node)).collect(),
        common_funders: Vec::new(),
        acquisitions: Vec::new(),
        metrics: findings.metrics(rest),
        health: Health { bad_rows: subject.bad_rows, duplicate_rows: subject.duplicate_rows, ..findings.health() },
        digest: partition::digest(&findings.parties, &findings.holders),
        computed_at: None,
        duration_ms: None,
    }
}

/// One of the top holders.
struct Ranked {
    address: Address,
    amount: Units,
    degree: u32,
    kind: Kind,
    /// Why it is a hub, if it is one.
    reason: Option<Reason>,
}

impl Ranked {
    fn of(account: u32, ledger: &Ledger, graph: &Graph<'_>, hubs: &Hubs<'_>) -> Self {
        let Account { address, balance: amount } = ledger.accounts[account as usize];
        let degree = graph.degrees[account as usize];
        Self { address, amount, degree, kind: hubs.kind(address), reason: hubs.reason(address, degree) }
    }
}

/// An account outside the top, and the ranks of the holders it joins.
struct Magic {
    account: u32,
    members: Vec<usize>,
}

/// Accounts outside the top that are no hubs and traded with two or more top holders that are none either, by address.
fn magic_nodes(ledger: &Ledger, graph: &Graph<'_>, hubs: &Hubs<'_>, holders: &[Ranked]) -> Vec<Magic> {
    let outsiders = || graph.outsiders().filter(|&(_, rank)| holders[rank].reason.is_none());
    let mut touched = vec![0_u32; ledger.accounts.len()];
    for (outsider, _) in outsiders() {
        touched[outsider as usize] += 1;
    }
    let address = |account: u32| ledger.accounts[account as usize].address;
    let is_magic = |account: u32| {
        touched[account as usize] >= 2 && hubs.reason(address(account), graph.degrees[account as usize]).is_none()
    };
    let mut joined: Vec<(Address, u32, usize)> = outsiders()
        .filter(|&(outsider, _)| is_magic(outsider))
        .map(|(outsider, rank)| (address(outsider), outsider, rank))
        .collect();
    joined.sort_unstable();
    let nodes = joined.chunk_by(|a, b| a.1 == b.1);
    nodes.map(|node| Magic { account: node[0].1, members: node.iter().map(|&(_, _, rank)| rank).collect() }).collect()
}

fn joins(edge: &Edge, holders: &[Ranked]) -> bool {
    holders[edge.from].reason.is_none() && holders[edge.to].reason.is_none()
}

fn parties(holders: &[Ranked], graph: &Graph<'_>, magic: &[Magic]) -> Vec<Party> {
    let mut components = Components::new(holders.len() + magic.len());
    for edge in graph.edges.iter().filter(|edge| joins(edge, holders)) {
        components.join(edge.from, edge.to);
    }
    for (node, Magic { members, .. }) in (holders.len()..).zip(magic) {
        for &member in members {
            components.join(node, member);
        }
    }
    partition::parties(holders, |rank| components.find(rank))
}

fn party_of(parties: &[Party], holders: usize) -> Vec<Option<usize>> {
    let mut party_of = vec![None; holders];
    for (index, party) in parties.iter().enumerate() {
        for &member in &party.members {
            party_of[member] = Some(index);
        }
    }
    party_of
}

/// All that is known, to be put in the report's form. Ranks count from 0 here and from 1 there.
struct Findings<'a> {
    ledger: &'a Ledger,
    labels: &'a Labels,
    ranking: &'a Ranking,
    graph: &'a Graph<'a>,
    holders: Vec<Ranked>,
    parties: Vec<Party>,
    /// By party.
    ids: Vec<Digest>,
    /// By rank.
    party_of: Vec<Option<usize>>,
    circulating: Units,
    display: Display,
}

impl Findings<'_> {
    fn share(&self, amount: Units) -> f64 {
        amount.to_f64() / self.ranking.positive.to_f64()
    }

    fn supply(&self) -> Supply {
        let (totals, ranking, display) = (&self.ledger.totals, self.ranking, &self.display);
        Supply {
            minted: totals.minted,
            burned: totals.burned,
            circulating: self.circulating,
            positive: ranking.positive,
            negative_count: ranking.negative.len() as u64,
            negative_sum: ranking.negative_sum,
            zero_to_zero: totals.zero_to_zero,
            display: SupplyDisplay {
                minted: display.number(totals.minted),
                burned: display.number(totals.burned),
                circulating: display.number(self.circulating),
                positive: display.number(ranking.positive),
                negative_sum: display.number(ranking.negative_sum),
                zero_to_zero: display.number(totals.zero_to_zero),
            },
        }
    }

    fn holder(&self, rank: usize) -> Holder {
        let Ranked { address, amount, degree, kind, .. } = self.holders[rank];
        let circulates = kind != Kind::Burn;
        Holder {
            rank: ordinal(rank),
            address,
            amount,
            display: self.display.number(amount),
            share: self.share(amount),
            circulating_share: if circulates { amount.to_f64() / self.circulating.to_f64() } else { 0.0 },
            label: self.labels.get(address).map(|label| label.name.clone()),
            kind,
            degree,
            cluster: self.party_of[rank].map(|party| self.ids[party]),
        }
    }

    fn links(&self) -> Vec<Link> {
        let link = |edge: &Edge| Link {
            from: self.holders[edge.from].address,
            to: self.holders[edge.to].address,
            transfers: edge.exchanged.transfers,
            amount: edge.exchanged.total,
            display: self.display.number(edge.exchanged.total),
            first_block: edge.exchanged.first_block(),
            last_block: edge.exchanged.last_block(),
            first_timestamp: edge.exchanged.first_timestamp(),
            last_timestamp: edge.exchanged.last_timestamp(),
            first_tx: edge.exchanged.first_tx(),
            last_tx: edge.exchanged.last_tx(),
            joins: joins(edge, &self.holders),
        };
        let mut links: Vec<Link> = self.graph.edges.iter().map(link).collect();
        links.sort_unstable_by_key(|link| (link.from, link.to));
        links
    }

    fn clusters(&self) -> Vec<Cluster> {
        let cluster = |(index, party): (usize, &Party)| Cluster {
            id: self.ids[index],
            rank: ordinal(index),
            members: party.members.iter().map(|&rank| self.holders[rank].address).collect(),
            amount: party.amount,
            display: self.display.number(party.amount),
            share: self.share(party.amount),
            links: 0,
            hubs_touched: Vec::new(),
        };
        let mut clusters: Vec<Cluster> = self.parties.iter().enumerate().map(cluster).collect();
        for edge in &self.graph.edges {
            match (self.party_of[edge.from], self.party_of[edge.to]) {
                // Two holders that are linked and no hubs are in the same party; a hub is in none.
                (Some(party), Some(_)) => clusters[party].links += 1,
                (Some(party), None) => clusters[party].hubs_touched.push(self.holders[edge.to].address),
                (None, Some(party)) => clusters[party].hubs_touched.push(self.holders[edge.from].address),
                (None, None) => {}
            }
        }
        for cluster in &mut clusters {
            cluster.hubs_touched.sort_unstable();
            cluster.hubs_touched.dedup();
        }
        clusters
    }

    fn excluded(&self) -> Vec<Excluded> {
        let excluded = |&Ranked { address, amount, degree, reason, .. }: &Ranked| {
            Some(Excluded { address, reason: reason?, degree, share: self.share(amount) })
        };
        self.holders.iter().filter_map(excluded).collect()
    }

    fn magic_node(&self, Magic { account, members }: &Magic) -> Option<MagicNode> {
        let cluster = self.ids[self.party_of[*members.first()?]?];
        let mut members: Vec<Address> = members.iter().map(|&rank| self.holders[rank].address).collect();
        members.sort_unstable();
        let (address, degree) =
            (self.ledger.accounts[*account as usize].address, self.graph.degrees[*account as usize]);
        Some(MagicNode { address, degree, members, cluster })
    }

    /// `rest` are the accounts of the holders after the top ones.
    fn metrics(&self, rest: &[u32]) -> Metrics {
        let positive = self.ranking.positive;
        let excluded = self.holders.iter().filter(|holder| holder.reason.is_some()).map(|holder| holder.amount);
        let entities = |keep: &dyn Fn(&Ranked) -> bool| {
            let singles =
                self.holders.iter().zip(&self.party_of).filter(|(holder, party)| party.is_none() && keep(holder));
            let mut entities: Vec<Units> = singles.map(|(holder, _)| holder.amount).collect();
            entities.extend(self.parties.iter().map(|party| party.amount));
            entities.sort_unstable_by(|a, b| b.cmp(a));
            entities
        };
        let mut by_holder = Descending::of(positive, self.holders.iter().map(|holder| holder.amount));
        let mut by_entity = Descending::of(positive, entities(&|_| true));
        let mut adjusted =
            Descending::of(positive - excluded.sum(), entities(&|holder: &Ranked| holder.reason.is_none()));
        // No party is smaller than a member of it, so all three go on with the same amounts.
        for &account in rest {
            let amount = self.ledger.accounts[account as usize].balance;
            let nearest = amount.to_f64();
            by_holder.add(amount, nearest);
            by_entity.add(amount, nearest);
            adjusted.add(amount, nearest);
        }
        let by_entity_adjusted = adjusted.finish();
        let score = score(&by_entity_adjusted);
        Metrics { by_holder: by_holder.finish(), by_entity: by_entity.finish(), by_entity_adjusted, score }
    }

    fn health(&self) -> Health {
        let negative = |&account: &u32| {
            let Account { address, balance: amount } = self.ledger.accounts[account as usize];
            Negative { address, amount, display: self.display.number(amount) }
        };
        Health {
            rows: self.ledger.totals.rows,
            bad_rows: 0,
            duplicate_rows: 0,
            zero_value_rows: self.ledger.totals.zero_value_rows,
            self_transfers: self.ledger.totals.self_transfers,
            negative: self.ranking.negative.iter().take(WORST).map(negative).collect(),
        }
    }
}

fn ordinal(rank: usize) -> u32 {
    u32::try_from(rank + 1).expect("ranks are at most the top parameter, a u32")
}

/// Turns base units into whole tokens, where the decimals are known.
struct Display {
    decimals: Option<u8>,
}

impl Display {
    /// The nearest `f64`: dividing one by a power of ten would round twice, parsing rounds once.
    fn number(&self, amount: Units) -> Option<f64> {
        format!("{amount}e-{}", self.decimals?).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::tests::{address, any_transfers, ledger};
    use crate::{Amount, Label, Transfer, TxHash};

    fn any_parameters() -> impl Strategy<Value = Parameters> {
        let flags = any::<[bool; 4]>();
        (1..12_u32, 2..8_u32, flags).prop_map(|(top, hub_degree, flags)| {
            let [include_hubs, include_zero_value, magic_nodes, contracts_are_hubs] = flags;
            Parameters {
                top,
                hub_degree,
                include_hubs,
                include_zero_value,
                magic_nodes,
                contracts_are_hubs,
                ..Parameters::default()
            }
        })
    }

    /// A subject and labels in which a contract, an exchange and a wallet with code are known.
    fn known() -> (Subject, Labels) {
        let contracts = BTreeSet::from([address(1), address(3)]);
        let mut labels = Labels::none();
        labels.insert(address(2), Label { name: "exchange".to_owned(), kind: Kind::Exchange });
        labels.insert(address(3), Label { name: "safe".to_owned(), kind: Kind::Wallet });
        labels.insert(address(4), Label { name: "ash".to_owned(), kind: Kind::Burn });
        (Subject { decimals: Some(18), contracts, ..Subject::default() }, labels)
    }

    fn report(transfers: &[Transfer], parameters: &Parameters) -> Report {
        let (subject, labels) = known();
        analyse(&ledger(transfers), &subject, &labels, parameters)
    }

    fn anonymous(transfers: &[Transfer], parameters: &Parameters) -> Report {
        analyse(&ledger(transfers), &Subject::default(), &Labels::none(), parameters)
    }

    fn partition(report: &Report) -> BTreeSet<BTreeSet<Address>> {
        report.clusters.iter().map(|cluster| cluster.members.iter().copied().collect()).collect()
    }

    /// The rules as they are written, over maps and sets.
    fn by_definition(transfers: &[Transfer], parameters: &Parameters) -> BTreeSet<BTreeSet<Address>> {
        let (subject, labels) = known();
        let mut balances: BTreeMap<Address, Units> = BTreeMap::new();
        let mut traded: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
        for transfer in transfers {
            *balances.entry(transfer.from).or_default() -= transfer.value.into();
            *balances.entry(transfer.to).or_default() += transfer.value.into();
            let counts = parameters.include_zero_value || transfer.value != Amount::ZERO;
            if counts && transfer.from != transfer.to && transfer.from != Address::ZERO && transfer.to != Address::ZERO
            {
                traded.entry(transfer.from).or_default().insert(transfer.to);
                traded.entry(transfer.to).or_default().insert(transfer.from);
            }
        }
        balances.remove(&Address::ZERO);
        let mut top: Vec<(Units, Address)> = balances
            .into_iter()
            .map(|(address, balance)| (balance, address))
            .filter(|(balance, _)| balance.is_positive())
            .collect();
        top.sort_by_key(|&(balance, address)| (std::cmp::Reverse(balance), address));
        let top: BTreeSet<Address> = top.iter().take(parameters.top as usize).map(|&(_, address)| address).collect();
        let is_hub = |address: &Address| {
            let labelled = labels.get(*address).map(|label| label.kind);
            let contract = labelled.is_none() && subject.contracts.contains(address) && parameters.contracts_are_hubs;
            let many = traded[address].len() >= parameters.hub_degree as usize;
            !parameters.include_hubs && (matches!(labelled, Some(Kind::Exchange | Kind::Burn)) || contract || many)
        };
        let mut nodes: BTreeSet<Address> =
            top.iter().copied().filter(|node| traded.contains_key(node) && !is_hub(node)).collect();
        let members = nodes.clone();
        if parameters.magic_nodes {
            let outsiders = traded.keys().filter(|outsider| !top.contains(outsider) && !is_hub(outsider));
            nodes.extend(outsiders.filter(|outsider| traded[outsider].intersection(&members).count() >= 2));
        }
        let mut parties = BTreeSet::new();
        for &start in &members {
            let mut reached = BTreeSet::from([start]);
            let mut queue = vec![start];
            while let Some(node) = queue.pop() {
                for &next in traded[&node].intersection(&nodes) {
                    // Two outsiders join nobody by dealing with each other.
                    if (members.contains(&node) || members.contains(&next)) && reached.insert(next) {
                        queue.push(next);
                    }
                }
            }
            let party: BTreeSet<Address> = reached.intersection(&members).copied().collect();
            if party.len() > 1 {
                parties.insert(party);
            }
        }
        parties
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn clusters_are_what_the_rules_say(transfers in any_transfers(14, 60), parameters in any_parameters()) {
            prop_assert_eq!(partition(&report(&transfers, &parameters)), by_definition(&transfers, &parameters));
        }

        #[test]
        fn the_order_of_rows_changes_no_byte(
            (transfers, shuffled) in any_transfers(12, 60).prop_flat_map(|t| (Just(t.clone()), Just(t).prop_shuffle())),
            parameters in any_parameters(),
        ) {
            let json = |transfers: &[Transfer]| serde_json::to_string(&report(transfers, &parameters)).unwrap();
            prop_assert_eq!(json(&transfers), json(&shuffled));
        }

        #[test]
        fn going_on_from_a_saved_ledger_changes_no_byte(
            transfers in any_transfers(12, 60),
            cut: prop::sample::Index,
            parameters in any_parameters(),
        ) {
            let (before, after) = transfers.split_at(cut.index(transfers.len() + 1));
            let mut bytes = Vec::new();
            ledger(before).save(&mut bytes).unwrap();
            let mut continued = Ledger::load(&mut &bytes[..]).unwrap();
            for transfer in after {
                continued.push(transfer);
            }
            let (subject, labels) = known();
            let continued = analyse(&continued, &subject, &labels, &parameters);
            let from_scratch = report(&transfers, &parameters);
            prop_assert_eq!(serde_json::to_string(&continued).unwrap(), serde_json::to_string(&from_scratch).unwrap());
        }

        #[test]
        fn other_names_for_the_addresses_give_the_same_parties(
            transfers in any_transfers(12, 60),
            names in Just((1..12_u8).collect::<Vec<_>>()).prop_shuffle(),
            parameters in any_parameters(),
        ) {
            // Which of two equal holders is in the top is decided by address, so all are.
            let parameters = Parameters { top: 12, ..parameters };
            let rename = |old: Address| if old == Address::ZERO { old } else { address(names[usize::from(old.0[0]) - 1] + 100) };
            let renamed = transfers.iter().map(|t| Transfer { from: rename(t.from), to: rename(t.to), ..*t });
            let renamed: Vec<Transfer> = renamed.collect();
            let before = anonymous(&transfers, &parameters);
            let after = anonymous(&renamed, &parameters);
            let expected: BTreeSet<BTreeSet<Address>> =
                partition(&before).into_iter().map(|party| party.into_iter().map(rename).collect()).collect();
            prop_assert_eq!(partition(&after), expected);
            prop_assert_eq!(after.metrics, before.metrics);
        }

        #[test]
        fn splitting_a_wallet_in_parts_that_it_pays_never_raises_the_score(
            transfers in any_transfers(8, 40),
            who: prop::sample::Index,
            parts in 1..20_u8,
        ) {
            let before = anonymous(&transfers, &Parameters::default());
            prop_assume!(!before.holders.is_empty());
            let holder = &before.holders[who.index(before.holders.len())];
            let balance = holder.amount.to_amount().unwrap_or(Amount::MAX);
            let mut split = transfers;
            for part in 0..parts {
                split.push(Transfer {
                    block: 100,
                    timestamp: None,
                    tx: TxHash::default(),
                    log_index: Some(part.into()),
                    from: holder.address,
                    to: address(100 + part),
                    value: balance >> (usize::from(part) + 1),
                });
            }
            let after = anonymous(&split, &Parameters::default());
            let (before, after) = (before.metrics.score.unwrap(), after.metrics.score.unwrap());
            prop_assert!(after <= before + 1e-9, "{before} {after}");
        }

        #[test]
        fn a_report_adds_up_and_survives_json(transfers in any_transfers(14, 60), parameters in any_parameters()) {
            let report = report(&transfers, &parameters);
            let supply = &report.supply;
            prop_assert_eq!(supply.minted - supply.burned, supply.positive + supply.negative_sum);
            for cluster in &report.clusters {
                let members = report.holders.iter().filter(|holder| holder.cluster == Some(cluster.id));
                prop_assert_eq!(members.map(|holder| holder.amount).sum::<Units>(), cluster.amount);
                prop_assert!(cluster.members.is_sorted());
            }
            let ranked = |a: &Cluster, b: &Cluster| (std::cmp::Reverse(a.amount), a.members[0]) < (std::cmp::Reverse(b.amount), b.members[0]);
            prop_assert!(report.clusters.windows(2).all(|pair| ranked(&pair[0], &pair[1])));
            prop_assert!(report.links.is_sorted_by_key(|link| (link.from, link.to)));
            let in_clusters: u32 = report.clusters.iter().map(|cluster| cluster.links).sum();
            prop_assert_eq!(in_clusters as usize, report.links.iter().filter(|link| link.joins).count());
            let json = serde_json::to_string(&report).unwrap();
            let back: Report = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(serde_json::to_string(&back).unwrap(), json);
            prop_assert_eq!(back, report.clone());
            prop_assert!(!report.to_table().is_empty());
            prop_assert_eq!(report.to_csv().lines().count(), report.holders.len() + 1);
        }
    }

    fn transfer(from: u8, to: u8, value: u64) -> Transfer {
        Transfer {
            block: 1,
            timestamp: None,
            tx: TxHash::default(),
            log_index: None,
            from: address(from),
            to: address(to),
            value: Amount::from(value),
        }
    }

    #[test]
    fn a_burn_address_is_left_out_of_what_circulates_wherever_it_ranks() {
        let transfers = [transfer(0, 1, 60), transfer(0, 4, 10), transfer(0, 5, 30)];
        let (subject, labels) = known();
        for top in [10, 2] {
            let parameters = Parameters { top, ..Parameters::default() };
            let report = analyse(&ledger(&transfers), &subject, &labels, &parameters);
            assert_eq!(report.supply.circulating, Units::from(90));
            assert_eq!((report.holders[1].share, report.holders[1].circulating_share), (0.3, 30.0 / 90.0));
        }
        let report = report(&transfers, &Parameters::default());
        assert_eq!((report.holders[2].share, report.holders[2].circulating_share), (0.1, 0.0));
        assert_eq!(report.excluded.iter().map(|hub| hub.reason).collect::<Vec<_>>(), [Reason::Contract, Reason::Burn]);
        assert_eq!(report.metrics.by_entity_adjusted.nakamoto, 1);
        assert_eq!(report.metrics.by_entity_adjusted.hhi, 1.0);
    }

    #[test]
    fn hubs_stay_visible_but_join_nothing() {
        let transfers =
            [transfer(0, 2, 100), transfer(2, 5, 30), transfer(2, 6, 20), transfer(6, 7, 10), transfer(5, 2, 1)];
        let report = report(&transfers, &Parameters::default());
        assert_eq!(partition(&report), BTreeSet::from([BTreeSet::from([address(6), address(7)])]));
        assert_eq!(report.clusters[0].hubs_touched, [address(2)]);
        assert_eq!((report.clusters[0].links, report.clusters[0].amount), (1, Units::from(20)));
        let links: Vec<_> = report.links.iter().map(|link| (link.from.0[0], link.to.0[0], link.joins)).collect();
        assert_eq!(links, [(2, 5, false), (2, 6, false), (5, 2, false), (6, 7, true)]);
        let hub = &report.excluded[0];
        assert_eq!((hub.address, hub.reason, hub.degree), (address(2), Reason::Exchange, 2));
    }

    #[test]
    fn the_json_has_the_fields_and_forms_that_are_promised() {
        let report = report(&[transfer(0, 5, 60), transfer(5, 6, 25)], &Parameters::default());
        let json = serde_json::to_value(&report).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
        let set = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<String>>();
        assert_eq!(
            keys(&json),
            set(
                "token asOf parameters supply holders links clusters excluded magicNodes metrics health digest computedAt durationMs"
            )
        );
        assert_eq!(keys(&json["token"]), set("chain address name symbol decimals totalSupply type"));
        assert_eq!(
            keys(&json["holders"][0]),
            set("rank address amount display share circulatingShare label kind degree cluster")
        );
        assert_eq!(
            keys(&json["links"][0]),
            set(
                "from to transfers amount display firstBlock lastBlock firstTimestamp lastTimestamp firstTx lastTx joins"
            )
        );
        assert_eq!(keys(&json["clusters"][0]), set("id rank members amount display share links hubsTouched"));
        assert_eq!(json["supply"]["minted"], "60");
        assert_eq!(json["holders"][0]["amount"], "35");
        assert_eq!(json["holders"][0]["display"], 35e-18);
        assert_eq!(json["clusters"][0]["id"], json["holders"][1]["cluster"]);
        let line = format!("{} {}\n", address(5), address(6));
        let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(line).into();
        assert_eq!(json["digest"], crate::Digest(digest).to_string());
    }

    #[test]
    fn the_worst_fifty_negative_balances_are_named() {
        let transfers: Vec<Transfer> = (1..=60).map(|number| transfer(number, 200, u64::from(number))).collect();
        let report = report(&transfers, &Parameters::default());
        assert_eq!(report.supply.negative_count, 60);
        assert_eq!(report.supply.negative_sum, -Units::from(60 * 61 / 2));
        assert_eq!(report.health.negative.len(), 50);
        assert_eq!(
            (report.health.negative[0].address, report.health.negative[0].amount),
            (address(60), -Units::from(60))
        );
    }
}
