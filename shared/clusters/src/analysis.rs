mod graph;
mod hubs;
mod partition;
mod ranking;

use graph::{Edge, Graph, OUTSIDE};
use hubs::Hubs;
use partition::Party;
use ranking::Ranking;

use crate::components::Components;
use crate::concentration::{Descending, score};
use crate::ledger::Ledger;
use crate::report::{
    AsOf, Cluster, Concentration, Digest, Excluded, Health, Holder, Link, MagicNode, Metrics, Negative, Reason, Report,
    Supply, SupplyDisplay, Token,
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
    let display = Display::of(subject.decimals);
    let ranking = Ranking::of(ledger);
    let (top, rest) = ranking.holders.split_at(ranking.holders.len().min(parameters.top as usize));
    let graph = Graph::of(ledger, top, parameters);
    let hubs = Hubs { subject, labels, parameters };
    let balance = |account: u32| ledger.accounts[account as usize].balance;

    let holders: Vec<(Address, Units)> =
        top.iter().map(|&account| (ledger.accounts[account as usize].address, balance(account))).collect();
    let degrees: Vec<u32> = top.iter().map(|&account| graph.degrees[account as usize]).collect();
    let reasons: Vec<Option<Reason>> =
        holders.iter().zip(&degrees).map(|(holder, &degree)| hubs.reason(holder.0, degree)).collect();

    let magic = if parameters.magic_nodes { magic_nodes(ledger, &graph, &hubs, &reasons) } else { Vec::new() };
    let mut components = Components::new(holders.len() + magic.len());
    for edge in graph.edges.iter().filter(|edge| joins(edge, &reasons)) {
        components.join(edge.from, edge.to);
    }
    for (node, (_, members)) in (holders.len()..).zip(&magic) {
        for &member in members {
            components.join(node, member);
        }
    }
    let parties = partition::parties(&holders, |rank| components.find(rank));
    let (ids, digest) = partition::digests(&parties, &holders);
    let mut party_of: Vec<Option<usize>> = vec![None; holders.len()];
    for (index, party) in parties.iter().enumerate() {
        for &member in &party.members {
            party_of[member] = Some(index);
        }
    }

    let positive = ranking.positive;
    let share = |amount: Units| amount.to_f64() / positive.to_f64();
    let circulating = positive - hubs.burnt(ledger);

    let holder = |rank: usize| {
        let (address, amount) = holders[rank];
        let kind = hubs.kind(address);
        let circulates = kind != Kind::Burn;
        Holder {
            rank: ordinal(rank),
            address,
            amount,
            display: display.number(amount),
            share: share(amount),
            circulating_share: if circulates { amount.to_f64() / circulating.to_f64() } else { 0.0 },
            label: labels.get(address).map(|label| label.name.clone()),
            kind,
            degree: degrees[rank],
            cluster: party_of[rank].map(|party| ids[party]),
        }
    };
    let mut clusters: Vec<Cluster> = (parties.iter().zip(&ids).enumerate())
        .map(|(index, (party, &id))| Cluster {
            id,
            rank: ordinal(index),
            members: party.members.iter().map(|&rank| holders[rank].0).collect(),
            amount: party.amount,
            display: display.number(party.amount),
            share: share(party.amount),
            links: 0,
            hubs_touched: Vec::new(),
        })
        .collect();
    for edge in &graph.edges {
        match (party_of[edge.from], party_of[edge.to]) {
            (Some(from), Some(_)) => clusters[from].links += 1,
            // A hub is in no party; two holders that are no hubs and are linked are in the same.
            (Some(party), None) => clusters[party].hubs_touched.push(holders[edge.to].0),
            (None, Some(party)) => clusters[party].hubs_touched.push(holders[edge.from].0),
            (None, None) => {}
        }
    }
    for cluster in &mut clusters {
        cluster.hubs_touched.sort_unstable();
        cluster.hubs_touched.dedup();
    }
    let excluded = reasons.iter().enumerate().filter_map(|(rank, reason)| {
        let (address, amount) = holders[rank];
        reason.map(|reason| Excluded { address, reason, degree: degrees[rank], share: share(amount) })
    });
    let rest = rest.iter().map(|&account| balance(account));

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
        supply: supply(ledger, &ranking, circulating, &display),
        holders: (0..holders.len()).map(holder).collect(),
        links: links(&graph.edges, &holders, &reasons, &display),
        clusters,
        excluded: excluded.collect(),
        magic_nodes: magic
            .into_iter()
            .filter_map(|(account, members)| {
                let cluster = ids[party_of[*members.first()?]?];
                let mut members: Vec<Address> = members.into_iter().map(|rank| holders[rank].0).collect();
                members.sort_unstable();
                let address = ledger.accounts[account as usize].address;
                Some(MagicNode { address, degree: graph.degrees[account as usize], members, cluster })
            })
            .collect(),
        metrics: metrics(&holders, &parties, &party_of, &reasons, positive, rest),
        health: Health {
            rows: ledger.totals.rows,
            bad_rows: subject.bad_rows,
            zero_value_rows: ledger.totals.zero_value_rows,
            self_transfers: ledger.totals.self_transfers,
            negative: (ranking.negative.iter().take(WORST))
                .map(|&account| Negative {
                    address: ledger.accounts[account as usize].address,
                    amount: balance(account),
                    display: display.number(balance(account)),
                })
                .collect(),
        },
        digest,
        computed_at: None,
        duration_ms: None,
    }
}

fn ordinal(index: usize) -> u32 {
    u32::try_from(index + 1).expect("ranks are at most the top parameter, a u32")
}

fn joins(edge: &Edge, reasons: &[Option<Reason>]) -> bool {
    reasons[edge.from].is_none() && reasons[edge.to].is_none()
}

/// Accounts outside the top that are no hubs and traded with two or more top holders that are none either, by
/// address, each with those holders' ranks.
fn magic_nodes(ledger: &Ledger, graph: &Graph<'_>, hubs: &Hubs<'_>, reasons: &[Option<Reason>]) -> Vec<(u32, Vec<usize>)> {
    let between = || {
        graph.pairs().filter_map(|(a, b, _)| {
            let (outsider, rank) = match (graph.ranks[a as usize], graph.ranks[b as usize]) {
                (OUTSIDE, rank) if rank != OUTSIDE => (a, rank as usize),
                (rank, OUTSIDE) if rank != OUTSIDE => (b, rank as usize),
                _ => return None,
            };
            reasons[rank].is_none().then_some((outsider, rank))
        })
    };
    let mut touched = vec![0_u32; ledger.accounts.len()];
    for (outsider, _) in between() {
        touched[outsider as usize] += 1;
    }
    let address = |account: u32| ledger.accounts[account as usize].address;
    let is_magic = |account: u32| {
        touched[account as usize] >= 2 && hubs.reason(address(account), graph.degrees[account as usize]).is_none()
    };
    let mut members: Vec<(Address, u32, usize)> =
        between().filter(|&(outsider, _)| is_magic(outsider)).map(|(outsider, rank)| (address(outsider), outsider, rank)).collect();
    members.sort_unstable();
    members
        .chunk_by(|a, b| a.1 == b.1)
        .map(|node| (node[0].1, node.iter().map(|&(_, _, rank)| rank).collect()))
        .collect()
}

fn links(edges: &[Edge], holders: &[(Address, Units)], reasons: &[Option<Reason>], display: &Display) -> Vec<Link> {
    let link = |edge: &Edge| Link {
        from: holders[edge.from].0,
        to: holders[edge.to].0,
        transfers: edge.exchanged.transfers,
        amount: edge.exchanged.total,
        display: display.number(edge.exchanged.total),
        first_block: edge.exchanged.first_block(),
        last_block: edge.exchanged.last_block(),
        first_timestamp: edge.exchanged.first_timestamp(),
        last_timestamp: edge.exchanged.last_timestamp(),
        first_tx: edge.exchanged.first_tx(),
        last_tx: edge.exchanged.last_tx(),
        joins: joins(edge, reasons),
    };
    let mut links: Vec<Link> = edges.iter().map(link).collect();
    links.sort_unstable_by_key(|link| (link.from, link.to));
    links
}

fn supply(ledger: &Ledger, ranking: &Ranking, circulating: Units, display: &Display) -> Supply {
    let totals = &ledger.totals;
    Supply {
        minted: totals.minted,
        burned: totals.burned,
        circulating,
        positive: ranking.positive,
        negative_count: ranking.negative.len() as u64,
        negative_sum: ranking.negative_sum,
        zero_to_zero: totals.zero_to_zero,
        display: SupplyDisplay {
            minted: display.number(totals.minted),
            burned: display.number(totals.burned),
            circulating: display.number(circulating),
            positive: display.number(ranking.positive),
            negative_sum: display.number(ranking.negative_sum),
            zero_to_zero: display.number(totals.zero_to_zero),
        },
    }
}

/// `rest` are the balances of the holders after the top ones, from the largest on.
fn metrics(
    holders: &[(Address, Units)],
    parties: &[Party],
    party_of: &[Option<usize>],
    reasons: &[Option<Reason>],
    positive: Units,
    rest: impl Iterator<Item = Units>,
) -> Metrics {
    let amounts = |keep: &dyn Fn(usize) -> bool| -> Vec<Units> {
        holders.iter().enumerate().filter(|&(rank, _)| keep(rank)).map(|(_, holder)| holder.1).collect()
    };
    let entities = |keep: &dyn Fn(usize) -> bool| -> Vec<Units> {
        let mut entities = amounts(&|rank| party_of[rank].is_none() && keep(rank));
        entities.extend(parties.iter().map(|party| party.amount));
        entities.sort_unstable_by(|a, b| b.cmp(a));
        entities
    };
    let excluded: Units = amounts(&|rank| reasons[rank].is_some()).into_iter().sum();
    let of_top = |total: Units, amounts: Vec<Units>| {
        let mut descending = Descending::new(total);
        for amount in amounts {
            descending.add(amount, amount.to_f64());
        }
        descending
    };
    let mut by_holder = of_top(positive, amounts(&|_| true));
    let mut by_entity = of_top(positive, entities(&|_| true));
    let mut adjusted = of_top(positive - excluded, entities(&|rank| reasons[rank].is_none()));
    // No party is smaller than a member of it, so all three go on with the same amounts.
    for amount in rest {
        let nearest = amount.to_f64();
        by_holder.add(amount, nearest);
        by_entity.add(amount, nearest);
        adjusted.add(amount, nearest);
    }
    let by_entity_adjusted: Concentration = adjusted.finish();
    Metrics {
        by_holder: by_holder.finish(),
        by_entity: by_entity.finish(),
        by_entity_adjusted,
        score: score(&by_entity_adjusted),
    }
}

/// Turns base units into whole tokens, where the decimals are known.
struct Display {
    unit: Option<f64>,
}

impl Display {
    fn of(decimals: Option<u8>) -> Self {
        // Parsing rounds correctly everywhere; a power computed in floating point need not.
        Self { unit: decimals.and_then(|decimals| format!("1e{decimals}").parse().ok()) }
    }

    fn number(&self, amount: Units) -> Option<f64> {
        self.unit.map(|unit| amount.to_f64() / unit)
    }
}
