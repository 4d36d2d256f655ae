mod dust;
mod gifts;
mod graph;
mod hubs;
mod joints;
mod neighbours;
mod partition;
mod ranking;

use std::collections::{BTreeMap, BTreeSet};

use dust::Dust;
use gifts::Histories;
use graph::{Edge, Graph, Moved};
use hubs::Hubs;
use joints::{Funder, Group, Joints, Magic};
use partition::Party;
use ranking::Ranking;

use crate::components::Components;
use crate::concentration::{Descending, score};
use crate::ledger::Ledger;
use crate::report::{
    Acquisition, AsOf, Cluster, CommonFunder, Digest, Excluded, Funding, Gift, Health, Holder, Link, MagicNode,
    Metrics, Negative, Purchase, Reason, Report, Supply, SupplyDisplay, Token, Within,
};
use crate::{Address, Funded, Kind, Labels, Parameters, Subject, Units};

/// Finds out who really holds a token.
///
/// * A *holder* has a positive balance; the report looks at the `top` largest.
/// * Two holders are *linked* by a transfer between them, in either direction, of something
///   (`include_zero_value`: or of nothing).
/// * An address's *degree* is how many distinct others it traded with in the whole token, by the same rule; the zero
///   address (mints and burns) and itself do not count.
/// * What two addresses exchanged in both directions is *dust* if it is less than `dust_parts_per_billion` of the sum of
///   the positive balances: it joins nothing and counts for no degree. Nothing is dust with hubs or transfers of
///   nothing included.
/// * A *hub* has a degree of `hub_degree` or more, or is known as an exchange, pool, bridge, router, burn address or
///   contract. It joins nothing, unless hubs are included. The token's own contract is no special case: it is a
///   contract if the subject or a label says so.
/// * A *lone gift* is all there is between two addresses: a single transfer of less than `gift_percent` of all its sender
///   ever got (less what that burned), to somebody who had been sent the token by others before. It connects wallets and
///   pairs, but binds no group of three or more to anybody, unless there are several between the same two groups. Groups
///   are what all else connects. Nothing is a gift with hubs or transfers of nothing included.
/// * With `conduits`, an address outside the top that is no hub, has nothing left (or less than would be no dust), and
///   sent what it got to at most three others connects the holders it dealt with, if they are two or more and one of them
///   sent it something; it is no member. If it dealt with more than three that are no hubs, only those count that did so
///   by more than a lone gift. Not if all it sent went to exchanges or hubs by degree (a deposit address), nor if it
///   received and sent in one transaction, as only contracts do, as far as the first and last transfers between two
///   addresses tell. Not with hubs or transfers of nothing included, nor where no contract is known: a trader between
///   two markets looks like a conduit where nothing tells markets from wallets. `magic_nodes` include all of them.
/// * A *cluster* is two or more holders connected by links without hubs and dust. With `magic_nodes`, an address outside
///   the top that is no hub and traded with two or more of them (hubs not counted) connects them too; it is no member.
/// * With `common_funder`, an address that is no hub and sent two or more holders the chain's own coin, at most
///   `funding_window` blocks before their first transfer of the token, connects them, and itself if it is a holder. One
///   that did so for `hub_degree` of the top holders is taken for a hub.
/// * With `synchronous`, two or more holders connect that were first sent the token by the same contract, pool, router
///   or hub by degree (not the token itself), within `synchronous_window` blocks from the first of them; mints do not
///   count. Not where more than 50 addresses, holders or not, were first sent the token there in those blocks.
///
/// The ledger may be settled, which changes nothing of what it says. Parameters out of range are taken at their
/// word: validate them first.
pub fn analyse(ledger: &mut Ledger, subject: &Subject, labels: &Labels, parameters: &Parameters) -> Report {
    // Who was first sent the token by whom asks for each pair once; nothing else does.
    if parameters.synchronous {
        ledger.settle();
    }
    let ledger = &*ledger;
    let hubs = Hubs { subject, labels, parameters };
    let ranking = Ranking::of(ledger);
    let (top, rest) = ranking.holders.split_at(ranking.holders.len().min(parameters.top as usize));
    let dust = Dust::of(ledger, ranking.positive, parameters);
    let graph = Graph::of(ledger, top, &dust, parameters);
    let holders: Vec<Ranked> = top.iter().map(|&account| Ranked::of(account, ledger, &graph, &hubs)).collect();
    let (gifts, conduits) = slight(ledger, &graph, &hubs, &holders);
    let joints = Joints::find(ledger, &graph, &hubs, &holders, conduits);
    let parties = parties(&holders, &graph, &gifts, &joints);
    let findings = Findings {
        ledger,
        subject,
        labels,
        circulating: ranking.positive - hubs.burnt(ledger),
        party_of: party_of(&parties, holders.len()),
        ids: parties.iter().map(|party| partition::id(party, &holders)).collect(),
        display: Display { decimals: subject.decimals },
        ranking: &ranking,
        graph: &graph,
        gifts: &gifts,
        joints: &joints,
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
        gifts: findings.gifts(),
        conduits: findings.magic_nodes(&joints.conduits),
        magic_nodes: findings.magic_nodes(&joints.magic),
        common_funders: joints.funders.iter().filter_map(|funder| findings.common_funder(funder)).collect(),
        acquisitions: joints.groups.iter().filter_map(|group| findings.acquisition(group)).collect(),
        metrics: findings.metrics(rest),
        health: findings.health(),
        digest: partition::digest(&findings.parties, &findings.holders),
        computed_at: None,
        duration_ms: None,
    }
}

/// One of the top holders.
struct Ranked {
    account: u32,
    address: Address,
    amount: Units,
    degree: u32,
    kind: Kind,
    /// Why it is a hub, if it is one.
    reason: Option<Reason>,
}

impl Ranked {
    fn of(account: u32, ledger: &Ledger, graph: &Graph<'_>, hubs: &Hubs<'_>) -> Self {
        let (address, amount) = (ledger.accounts.address(account), ledger.accounts.balance(account));
        let degree = graph.degree(account);
        Self { account, address, amount, degree, kind: hubs.kind(address), reason: hubs.reason(address, degree) }
    }
}

/// The edges that are gifts, with the share of its sender's tokens, and the conduits.
fn slight(ledger: &Ledger, graph: &Graph<'_>, hubs: &Hubs<'_>, holders: &[Ranked]) -> (Vec<Slight>, Vec<Magic>) {
    let parameters = hubs.parameters;
    // Magic nodes join all that conduits do.
    let conduits = parameters.conduits && !parameters.magic_nodes && !hubs.subject.contracts.is_empty();
    if parameters.count_all() || (!conduits && parameters.gift_percent == 0) {
        return (Vec::new(), Vec::new());
    }
    let passages = if conduits { joints::passages(ledger, graph, hubs, holders) } else { Vec::new() };
    let single = if parameters.gift_percent > 0 { gifts::single(graph, holders) } else { Vec::new() };
    let ends = single.iter().map(|&edge| &graph.edges[edge]).flat_map(|edge| [edge.from, edge.to]);
    let ranks = passages.iter().flat_map(|node| node.members.iter().copied()).chain(ends);
    let accounts = ranks.map(|rank| holders[rank].account).chain(passages.iter().map(|node| node.account));
    let histories = Histories::of(ledger, graph, accounts, parameters);
    let gift = |edge: usize| {
        let Edge { from, to, flow, exchanged, is_dust } = graph.edges[edge];
        let [from, to] = [from, to].map(|rank| holders[rank].account);
        let share = exchanged.total.to_f64() / histories.received(from).to_f64();
        histories.is_gift(&Moved { flow, from, to, exchanged, is_dust }).then_some(Slight { edge, share })
    };
    let gifts = single.into_iter().filter_map(gift).collect();
    let conduits = passages.into_iter().filter_map(|node| node.conduit(ledger, graph, hubs, holders, &histories));
    (gifts, conduits.collect())
}

/// A gift.
struct Slight {
    /// Its place in the graph.
    edge: usize,
    /// Of all its sender ever got.
    share: f64,
}

fn parties(holders: &[Ranked], graph: &Graph<'_>, gifts: &[Slight], joints: &Joints) -> Vec<Party> {
    let mut components = Components::new(holders.len());
    let is_wallet = |rank: usize| holders[rank].reason.is_none();
    let mut slight = gifts.iter().map(|gift| gift.edge).peekable();
    for (index, edge) in graph.edges.iter().enumerate() {
        let is_gift = slight.next_if_eq(&index).is_some();
        if !edge.is_dust && !is_gift && is_wallet(edge.from) && is_wallet(edge.to) {
            components.join(edge.from, edge.to);
        }
    }
    for pair in joints.sets().flat_map(|members| members.windows(2)) {
        components.join(pair[0], pair[1]);
    }
    let given = gifts.iter().map(|gift| &graph.edges[gift.edge]).map(|edge| (edge.from, edge.to));
    gifts::join(&mut components, &given.collect::<Vec<_>>(), holders.len());
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
    subject: &'a Subject,
    labels: &'a Labels,
    ranking: &'a Ranking,
    graph: &'a Graph<'a>,
    gifts: &'a [Slight],
    joints: &'a Joints,
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
            negative_count: ranking.negative_count,
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

    /// Two holders that are linked by more than dust are in one party, unless one is a hub, which is in none, or the link
    /// is a gift that did not suffice.
    fn joins(&self, edge: &Edge) -> bool {
        !edge.is_dust && self.party_of[edge.from].is_some() && self.party_of[edge.from] == self.party_of[edge.to]
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
            joins: self.joins(edge),
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
        for edge in self.graph.edges.iter().filter(|edge| !edge.is_dust) {
            if let Some(party) = self.party_of[edge.from].filter(|_| self.joins(edge)) {
                clusters[party].links += 1;
            }
            for (member, hub) in [(edge.from, edge.to), (edge.to, edge.from)] {
                if let Some(party) = self.party_of[member].filter(|_| self.holders[hub].reason.is_some()) {
                    clusters[party].hubs_touched.push(self.holders[hub].address);
                }
            }
        }
        for cluster in &mut clusters {
            cluster.hubs_touched.sort_unstable();
            cluster.hubs_touched.dedup();
        }
        clusters
    }

    fn excluded(&self) -> Vec<Excluded> {
        let mut within = self.within();
        let excluded = |(rank, holder): (usize, &Ranked)| {
            let &Ranked { address, amount, degree, reason, .. } = holder;
            Some(Excluded { address, reason: reason?, degree, share: self.share(amount), within: within.remove(&rank) })
        };
        self.holders.iter().enumerate().filter_map(excluded).collect()
    }

    /// By the rank of a hub: the cluster it would be in if it alone were let in. That is everybody it would be connected
    /// with, and whoever these are connected with already.
    fn within(&self) -> BTreeMap<usize, Within> {
        let is_hub = |rank: usize| self.holders[rank].reason.is_some();
        let links = self.graph.edges.iter().filter(|edge| !edge.is_dust);
        let links = links.flat_map(|edge| [(edge.from, edge.to), (edge.to, edge.from)]);
        let mut apart: Vec<(usize, usize)> = links.filter(|&(hub, other)| is_hub(hub) && !is_hub(other)).collect();
        apart.extend(&self.joints.kept_apart);
        apart.sort_unstable();
        apart.dedup();
        let of_hub = apart.chunk_by(|a, b| a.0 == b.0);
        of_hub
            .map(|others| {
                let hub = others[0].0;
                (hub, self.together(std::iter::once(hub).chain(others.iter().map(|&(_, other)| other))))
            })
            .collect()
    }

    /// What these are together, each with whoever it is connected with already.
    fn together(&self, ranks: impl IntoIterator<Item = usize>) -> Within {
        let (mut members, mut amount) = (0, Units::ZERO);
        let mut joined = BTreeSet::new();
        for other in ranks {
            match self.party_of[other] {
                Some(party) if joined.insert(party) => {
                    members += self.parties[party].members.len();
                    amount += self.parties[party].amount;
                }
                Some(_) => {}
                None => {
                    members += 1;
                    amount += self.holders[other].amount;
                }
            }
        }
        let mut clusters: Vec<Digest> = joined.into_iter().map(|party| self.ids[party]).collect();
        clusters.sort_unstable();
        let (display, share) = (self.display.number(amount), self.share(amount));
        Within { members: u32::try_from(members).unwrap_or(u32::MAX), amount, display, share, clusters }
    }

    /// Those that joined nobody.
    fn gifts(&self) -> Vec<Gift> {
        let gifts = self.gifts.iter().map(|gift| (&self.graph.edges[gift.edge], gift.share));
        let gift = |(edge, share): (&Edge, f64)| Gift {
            from: self.holders[edge.from].address,
            to: self.holders[edge.to].address,
            block: edge.exchanged.first_block(),
            timestamp: edge.exchanged.first_timestamp(),
            tx: edge.exchanged.first_tx(),
            amount: edge.exchanged.total,
            display: self.display.number(edge.exchanged.total),
            share,
            within: self.together([edge.from, edge.to]),
        };
        let mut gifts: Vec<Gift> = gifts.filter(|(edge, _)| !self.joins(edge)).map(gift).collect();
        gifts.sort_unstable_by_key(|gift| (gift.from, gift.to));
        gifts
    }

    fn cluster_of(&self, members: &[usize]) -> Option<Digest> {
        Some(self.ids[self.party_of[*members.first()?]?])
    }

    fn magic_nodes(&self, nodes: &[Magic]) -> Vec<MagicNode> {
        let accounts: Vec<u32> = nodes.iter().map(|node| node.account).collect();
        let node = |(Magic { account, members }, degree): (&Magic, u32)| {
            let cluster = self.cluster_of(members)?;
            let mut members: Vec<Address> = members.iter().map(|&rank| self.holders[rank].address).collect();
            members.sort_unstable();
            Some(MagicNode { address: self.ledger.accounts.address(*account), degree, members, cluster })
        };
        nodes.iter().zip(self.graph.degrees(&accounts)).filter_map(node).collect()
    }

    fn common_funder(&self, Funder { address, funded, members }: &Funder) -> Option<CommonFunder> {
        let funding = |&rank: &usize| {
            let member = self.holders[rank].address;
            let &Funded { block, tx, amount, .. } = self.subject.fundings.get(&member)?;
            Some(Funding { member, block, tx, amount })
        };
        let mut fundings: Vec<Funding> = funded.iter().filter_map(funding).collect();
        fundings.sort_unstable_by_key(|funding| funding.member);
        Some(CommonFunder { address: *address, fundings, cluster: self.cluster_of(members)? })
    }

    fn acquisition(&self, Group { pool, members, flows }: &Group) -> Option<Acquisition> {
        let purchase = |(&rank, &flow): (&usize, &u32)| {
            let exchanged = self.ledger.exchanged(flow);
            Purchase {
                member: self.holders[rank].address,
                block: exchanged.first_block(),
                tx: exchanged.first_tx(),
                amount: exchanged.total,
                display: self.display.number(exchanged.total),
            }
        };
        let mut purchases: Vec<Purchase> = members.iter().zip(flows).map(purchase).collect();
        purchases.sort_unstable_by_key(|purchase| purchase.member);
        let blocks = || purchases.iter().map(|purchase| purchase.block);
        let (first_block, last_block) = (blocks().min()?, blocks().max()?);
        Some(Acquisition { pool: *pool, first_block, last_block, purchases, cluster: self.cluster_of(members)? })
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
        let mut amounts = [Units::ZERO; 64];
        for some in rest.chunks(amounts.len()) {
            // They lie far apart: asking for many at once, memory answers them side by side.
            amounts.iter_mut().zip(some).for_each(|(amount, &account)| *amount = self.ledger.accounts.balance(account));
            for &amount in &amounts[..some.len()] {
                let nearest = amount.to_f64();
                by_holder.add(amount, nearest);
                by_entity.add(amount, nearest);
                adjusted.add(amount, nearest);
            }
        }
        let by_entity_adjusted = adjusted.finish();
        let score = score(&by_entity_adjusted);
        Metrics { by_holder: by_holder.finish(), by_entity: by_entity.finish(), by_entity_adjusted, score }
    }

    fn health(&self) -> Health {
        let negative = |&account: &u32| {
            let (address, amount) = (self.ledger.accounts.address(account), self.ledger.accounts.balance(account));
            Negative { address, amount, display: self.display.number(amount) }
        };
        Health {
            rows: self.ledger.totals.rows,
            bad_rows: self.subject.bad_rows,
            duplicate_rows: self.subject.duplicate_rows,
            zero_value_rows: self.ledger.totals.zero_value_rows,
            self_transfers: self.ledger.totals.self_transfers,
            unknown_fundings: self.joints.unfunded,
            crowded_acquisitions: self.joints.crowded,
            negative: self.ranking.worst.iter().map(negative).collect(),
        }
    }
}

fn ordinal(rank: usize) -> u32 {
    u32::try_from(rank + 1).expect("ranks are at most the top parameter, a u32")
}

/// Turns base units into whole tokens, where the decimals are known.
pub(crate) struct Display {
    pub(crate) decimals: Option<u8>,
}

impl Display {
    /// The nearest `f64`: dividing one by a power of ten would round twice, parsing rounds once.
    pub(crate) fn number(&self, amount: Units) -> Option<f64> {
        format!("{amount}e-{}", self.decimals?).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::tests::{address, any_transfers, ledger};
    use crate::{Amount, Label, Transfer, TxHash};

    fn any_parameters() -> impl Strategy<Value = Parameters> {
        let dust = prop_oneof![Just(0), Just(1), Just(300_000_000)];
        let gift = prop_oneof![Just(0), Just(35), Just(100)];
        // Half of them weigh what is slight, where neither hubs nor transfers of nothing are included.
        (1..12_u32, 2..8_u32, any::<[bool; 8]>(), 1..4_u32, 0..3_u32, dust, gift).prop_map(
            |(top, hub_degree, flags, funding, synchronous_window, dust_parts_per_billion, gift_percent)| {
                let [hubs, nothing, weighs, conduits, magic_nodes, contracts_are_hubs, common_funder, synchronous] =
                    flags;
                let (include_hubs, include_zero_value) = (hubs && !weighs, nothing && !weighs);
                Parameters {
                    top,
                    hub_degree,
                    include_hubs,
                    include_zero_value,
                    dust_parts_per_billion,
                    gift_percent,
                    conduits,
                    magic_nodes,
                    contracts_are_hubs,
                    common_funder,
                    funding_window: funding,
                    synchronous,
                    synchronous_window,
                }
            },
        )
    }

    /// A subject and labels in which a contract, an exchange and a wallet with code are known, and who funded some.
    fn known() -> (Subject, Labels) {
        let funded = [(1, 9), (5, 9), (6, 9), (7, 8), (8, 13), (9, 2), (10, 5), (11, 5), (12, 50), (13, 50)];
        let fundings = funded.map(|(holder, funder)| {
            let (block, tx) = (u64::from(holder % 4), TxHash([holder; 32]));
            (address(holder), Funded { funder: address(funder), block, tx, amount: Units::from(1000) })
        });
        let contracts = BTreeSet::from([address(1), address(3)]);
        let mut labels = Labels::none();
        labels.insert(address(2), Label { name: "exchange".to_owned(), kind: Kind::Exchange });
        labels.insert(address(3), Label { name: "safe".to_owned(), kind: Kind::Wallet });
        labels.insert(address(4), Label { name: "ash".to_owned(), kind: Kind::Burn });
        (Subject { decimals: Some(18), contracts, fundings: fundings.into(), ..Subject::default() }, labels)
    }

    fn report(transfers: &[Transfer], parameters: &Parameters) -> Report {
        let (subject, labels) = known();
        analyse(&mut ledger(transfers), &subject, &labels, parameters)
    }

    /// Of the contracts nothing is known but that it was asked for them: none here is one.
    fn anonymous(transfers: &[Transfer], parameters: &Parameters) -> Report {
        let subject = Subject { contracts: BTreeSet::from([address(0xfe)]), ..Subject::default() };
        analyse(&mut ledger(transfers), &subject, &Labels::none(), parameters)
    }

    fn partition(report: &Report) -> BTreeSet<BTreeSet<Address>> {
        report.clusters.iter().map(|cluster| cluster.members.iter().copied().collect()).collect()
    }

    /// By doubling and adding.
    fn times(amount: Units, factor: u32) -> Units {
        let mut product = Units::ZERO;
        for bit in (0..32).rev() {
            product += product;
            if factor >> bit & 1 == 1 {
                product += amount;
            }
        }
        product
    }

    /// Whether an amount is below the share of another, `parts` of `of`, where anything may be: multiplied out in sums,
    /// since units do not multiply. Rounded down, the share is what the amount has to reach.
    fn is_below(parameters: &Parameters, amount: Units, [parts, of]: [u32; 2], whole: Units) -> bool {
        let nothing_is_slight = parameters.include_hubs || parameters.include_zero_value;
        !nothing_is_slight && times(amount + Units::from(1), of) <= times(whole, parts)
    }

    /// Each address's balance, the sum of the positive ones, and the others that each traded with, dust not counted.
    fn traded(
        transfers: &[Transfer],
        parameters: &Parameters,
    ) -> (BTreeMap<Address, Units>, Units, BTreeMap<Address, BTreeSet<Address>>) {
        let mut balances: BTreeMap<Address, Units> = BTreeMap::new();
        let mut exchanged: BTreeMap<(Address, Address), Units> = BTreeMap::new();
        for transfer in transfers {
            *balances.entry(transfer.from).or_default() -= transfer.value.into();
            *balances.entry(transfer.to).or_default() += transfer.value.into();
            let counts = parameters.include_zero_value || transfer.value != Amount::ZERO;
            if counts && transfer.from != transfer.to && transfer.from != Address::ZERO && transfer.to != Address::ZERO
            {
                let pair = (transfer.from.min(transfer.to), transfer.from.max(transfer.to));
                *exchanged.entry(pair).or_default() += transfer.value.into();
            }
        }
        balances.remove(&Address::ZERO);
        let supply: Units = balances.values().copied().filter(|balance| balance.is_positive()).sum();
        let mut traded: BTreeMap<Address, BTreeSet<Address>> =
            exchanged.keys().flat_map(|&(a, b)| [(a, BTreeSet::new()), (b, BTreeSet::new())]).collect();
        let dust = [parameters.dust_parts_per_billion, 1_000_000_000];
        for (&(a, b), _) in exchanged.iter().filter(|(_, amount)| !is_below(parameters, **amount, dust, supply)) {
            traded.entry(a).or_default().insert(b);
            traded.entry(b).or_default().insert(a);
        }
        (balances, supply, traded)
    }

    /// The rules as they are written, over maps and sets. `spared` is let in, whatever it is.
    fn by_definition(
        transfers: &[Transfer],
        parameters: &Parameters,
        spared: Option<Address>,
    ) -> BTreeSet<BTreeSet<Address>> {
        let (subject, labels) = known();
        let (balances, supply, traded) = traded(transfers, parameters);
        let dust = [parameters.dust_parts_per_billion, 1_000_000_000];
        let is_speck = |amount: Units| is_below(parameters, amount, dust, supply);
        let mut top: Vec<(Units, Address)> = balances
            .iter()
            .map(|(&address, &balance)| (balance, address))
            .filter(|(balance, _)| balance.is_positive())
            .collect();
        top.sort_by_key(|&(balance, address)| (std::cmp::Reverse(balance), address));
        let top: BTreeSet<Address> = top.iter().take(parameters.top as usize).map(|&(_, address)| address).collect();
        let labelled = |address: &Address| labels.get(*address).map(|label| label.kind);
        let is_contract = |address: &Address| labelled(address).is_none() && subject.contracts.contains(address);
        let is_busy = |address: &Address| {
            traded.get(address).is_some_and(|others| others.len() >= parameters.hub_degree as usize)
        };
        let is_known = |address: &Address| matches!(labelled(address), Some(Kind::Exchange | Kind::Burn));
        let is_hub = |address: &Address| {
            let contract = is_contract(address) && parameters.contracts_are_hubs;
            let hub = is_known(address) || contract || is_busy(address);
            hub && !parameters.include_hubs && spared != Some(*address)
        };
        let members: BTreeSet<Address> = top.iter().copied().filter(|node| !is_hub(node)).collect();
        let moved = || {
            let something = transfers.iter().filter(|row| row.value != Amount::ZERO && row.from != row.to);
            something.filter(|row| row.from != Address::ZERO && row.to != Address::ZERO)
        };
        let counts = |row: &&Transfer| traded[&row.from].contains(&row.to);
        let sum = |rows: &mut dyn Iterator<Item = &Transfer>| rows.map(|row| Units::from(row.value)).sum::<Units>();
        let is_gift = |a: Address, b: Address| {
            let between = moved().filter(|row| [(a, b), (b, a)].contains(&(row.from, row.to)));
            let [only] = between.collect::<Vec<_>>()[..] else { return false };
            let got = balances[&only.from] + sum(&mut moved().filter(|row| row.from == only.from));
            let had = |row: &Transfer| {
                let earlier = (row.block, row.log_index) < (only.block, only.log_index);
                row.to == only.to && row.from != only.from && earlier
            };
            is_below(parameters, only.value.into(), [parameters.gift_percent, 100], got)
                && moved().filter(counts).any(had)
        };
        let mut sets: Vec<BTreeSet<Address>> = Vec::new();
        let mut gifts: Vec<(Address, Address)> = Vec::new();
        for &member in &members {
            for &other in traded.get(&member).into_iter().flatten().filter(|&&other| member < other) {
                let is_slight = || spared != Some(member) && spared != Some(other) && is_gift(member, other);
                match members.contains(&other) {
                    true if is_slight() => gifts.push((member, other)),
                    true => sets.push(BTreeSet::from([member, other])),
                    false => {}
                }
            }
        }
        let nothing_is_slight = parameters.include_hubs || parameters.include_zero_value;
        if parameters.conduits && !parameters.magic_nodes && !nothing_is_slight {
            let is_left_over = |balance: Units| balance == Units::ZERO || (balance.is_positive() && is_speck(balance));
            let takes_deposits = |address: &Address| {
                let is_other =
                    labelled(address) == Some(Kind::Burn) || (is_contract(address) && parameters.contracts_are_hubs);
                labelled(address) == Some(Kind::Exchange) || (!is_other && is_busy(address))
            };
            // The first and the last from each to each.
            let told = |rows: &[&Transfer]| -> BTreeSet<TxHash> {
                let mut flows: BTreeMap<(Address, Address), Vec<&Transfer>> = BTreeMap::new();
                rows.iter().for_each(|row| flows.entry((row.from, row.to)).or_default().push(row));
                let place = |row: &&&Transfer| (row.block, row.log_index);
                let of_flow = |rows: &Vec<&Transfer>| {
                    [rows.iter().min_by_key(place).unwrap().tx, rows.iter().max_by_key(place).unwrap().tx]
                };
                flows.values().flat_map(of_flow).collect()
            };
            for (&conduit, others) in traded.iter().filter(|(outsider, _)| !top.contains(outsider)) {
                let into: Vec<&Transfer> = moved().filter(|row| row.to == conduit).filter(counts).collect();
                let out: Vec<&Transfer> = moved().filter(|row| row.from == conduit).filter(counts).collect();
                let sent: BTreeSet<Address> = out.iter().map(|row| row.to).collect();
                if !is_hub(&conduit)
                    && is_left_over(balances[&conduit])
                    && (1..=3).contains(&sent.len())
                    && !sent.iter().all(takes_deposits)
                    && told(&into).is_disjoint(&told(&out))
                {
                    let own = others.intersection(&members).copied().filter(|other| spared != Some(*other));
                    let wallets = others.iter().filter(|other| !is_hub(other) && spared != Some(**other));
                    let few = wallets.count() <= 3;
                    let own: BTreeSet<Address> = own.filter(|&other| few || !is_gift(conduit, other)).collect();
                    if into.iter().any(|row| own.contains(&row.from)) {
                        sets.push(own);
                    }
                }
            }
        }
        if parameters.magic_nodes {
            let outsiders = traded.iter().filter(|(outsider, _)| !top.contains(outsider) && !is_hub(outsider));
            sets.extend(outsiders.map(|(_, others)| others.intersection(&members).copied().collect()));
        }
        // What there is only if the hub is let in.
        let mut let_in: Vec<BTreeSet<Address>> = Vec::new();
        if parameters.common_funder {
            let mut funded: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
            for holder in &top {
                let own = moved().filter(|row| row.from == *holder || row.to == *holder).map(|row| row.block).min();
                let first = own.or(transfers.iter().map(|row| row.block).min()).unwrap();
                if let Some(Funded { funder, block, .. }) = subject.fundings.get(holder)
                    && *block <= first
                    && *block + u64::from(parameters.funding_window) >= first
                {
                    funded.entry(*funder).or_default().insert(*holder);
                }
            }
            for (funder, mut holders) in funded {
                let many = holders.len() >= parameters.hub_degree as usize && !parameters.include_hubs;
                if !many && !is_hub(&funder) {
                    holders.insert(funder);
                    let of_hub = spared == Some(funder);
                    let sets = if of_hub { &mut let_in } else { &mut sets };
                    sets.push(holders.intersection(&members).copied().collect());
                }
            }
        }
        if parameters.synchronous {
            let mut groups: BTreeMap<Address, Vec<(u64, Address)>> = BTreeMap::new();
            for holder in &top {
                let sent = moved().filter(|row| row.to == *holder);
                if let Some(row) = sent.min_by_key(|row| (row.block, row.log_index, row.from))
                    && !is_known(&row.from)
                    && (is_contract(&row.from) || is_busy(&row.from))
                {
                    groups.entry(row.from).or_default().push((row.block, *holder));
                }
            }
            for mut bought in groups.into_values() {
                bought.sort_unstable();
                while let Some(&(start, _)) = bought.first() {
                    let together =
                        |&&(block, _): &&(u64, Address)| block <= start + u64::from(parameters.synchronous_window);
                    let group: Vec<Address> = bought.iter().take_while(together).map(|&(_, holder)| holder).collect();
                    bought.drain(..group.len());
                    sets.push(group.into_iter().filter(|holder| members.contains(holder)).collect());
                }
            }
        }
        let_in.extend(sets.iter().filter(|set| spared.is_some_and(|hub| set.contains(&hub))).cloned());
        if let Some(hub) = spared {
            sets.iter_mut().for_each(|set| _ = set.remove(&hub));
        }
        let groups = merged(sets);
        let group =
            |of: Address| groups.iter().find(|group| group.contains(&of)).cloned().unwrap_or_else(|| [of].into());
        let suffices = |&&(a, b): &&(Address, Address)| {
            let (a, b) = (group(a), group(b));
            let connects = |&&(c, d): &&(Address, Address)| {
                (a.contains(&c) && b.contains(&d)) || (a.contains(&d) && b.contains(&c))
            };
            (a.len() <= 2 && b.len() <= 2) || gifts.iter().filter(connects).count() > 1
        };
        let given = gifts.iter().filter(suffices).map(|&(a, b)| BTreeSet::from([a, b]));
        merged(groups.iter().cloned().chain(given).chain(let_in)).into_iter().filter(|party| party.len() > 1).collect()
    }

    /// Sets with a member in common are one, until there are none.
    fn merged(sets: impl IntoIterator<Item = BTreeSet<Address>>) -> Vec<BTreeSet<Address>> {
        let mut parties: Vec<BTreeSet<Address>> = Vec::new();
        for mut set in sets {
            let (touched, apart): (Vec<_>, Vec<_>) =
                parties.into_iter().partition(|party: &BTreeSet<Address>| !party.is_disjoint(&set));
            set.extend(touched.into_iter().flatten());
            parties = apart;
            parties.push(set);
        }
        parties
    }

    /// Transfers of which up to three in a row are of one transaction.
    fn any_transactions(addresses: u8, rows: usize) -> impl Strategy<Value = Vec<Transfer>> {
        any_transfers(addresses, rows).prop_map(|mut transfers| {
            transfers.iter_mut().for_each(|transfer| transfer.tx.0.iter_mut().for_each(|byte| *byte /= 3));
            transfers
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn clusters_are_what_the_rules_say(transfers in any_transactions(14, 60), parameters in any_parameters()) {
            prop_assert_eq!(partition(&report(&transfers, &parameters)), by_definition(&transfers, &parameters, None));
        }

        #[test]
        fn a_degree_is_with_how_many_an_address_traded(
            transfers in any_transactions(14, 60),
            parameters in any_parameters(),
        ) {
            let (_, _, traded) = traded(&transfers, &parameters);
            let report = report(&transfers, &parameters);
            let holders = report.holders.iter().map(|holder| (holder.address, holder.degree));
            let excluded = report.excluded.iter().map(|hub| (hub.address, hub.degree));
            let nodes = report.conduits.iter().chain(&report.magic_nodes).map(|node| (node.address, node.degree));
            for (address, degree) in holders.chain(excluded).chain(nodes) {
                prop_assert_eq!(degree as usize, traded.get(&address).map_or(0, BTreeSet::len));
            }
        }

        #[test]
        fn an_excluded_hub_says_what_letting_it_in_would_change(
            transfers in any_transfers(14, 60),
            parameters in any_parameters(),
        ) {
            let report = report(&transfers, &parameters);
            for hub in &report.excluded {
                let after = by_definition(&transfers, &parameters, Some(hub.address));
                let expected = after.into_iter().find(|party| party.contains(&hub.address));
                prop_assert_eq!(hub.within.is_some(), expected.is_some());
                let (Some(within), Some(expected)) = (&hub.within, expected) else { continue };
                let amounts = report.holders.iter().filter(|holder| expected.contains(&holder.address));
                prop_assert_eq!(within.members as usize, expected.len());
                prop_assert_eq!(within.amount, amounts.map(|holder| holder.amount).sum());
                let joined: BTreeSet<Digest> = report.clusters.iter().filter(|cluster| expected.contains(&cluster.members[0])).map(|cluster| cluster.id).collect();
                prop_assert_eq!(&within.clusters, &joined.into_iter().collect::<Vec<_>>());
            }
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
            let continued = analyse(&mut continued, &subject, &labels, &parameters);
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
            // Parts that are dust are not seen to be one's own; and a wallet that a gift connects with another is a
            // group, which no gift binds, after it was split.
            let parameters = Parameters { dust_parts_per_billion: 0, gift_percent: 0, ..Parameters::default() };
            let before = anonymous(&transfers, &parameters);
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
            let after = anonymous(&split, &parameters);
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
    fn who_traded_counts_once_however_that_was_split() {
        // Less than 30 is dust. The first two exchanged more at once, and as much in two parts; the others in parts only.
        let parameters = Parameters { dust_parts_per_billion: 300_000_000, ..Parameters::default() };
        let rows = [(0, 1, 100), (1, 2, 40), (2, 1, 20), (1, 2, 20), (1, 3, 20), (3, 1, 10), (1, 4, 5), (4, 1, 1)];
        let report = anonymous(&rows.map(|(from, to, value)| transfer(from, to, value)), &parameters);
        let degrees: Vec<(u8, u32)> =
            report.holders.iter().map(|holder| (holder.address.0[0], holder.degree)).collect();
        assert_eq!(degrees, [(1, 2), (2, 1), (3, 1), (4, 0)]);
    }

    #[test]
    fn a_burn_address_is_left_out_of_what_circulates_wherever_it_ranks() {
        let transfers = [transfer(0, 1, 60), transfer(0, 4, 10), transfer(0, 5, 30)];
        let (subject, labels) = known();
        for top in [10, 2] {
            let parameters = Parameters { top, ..Parameters::default() };
            let report = analyse(&mut ledger(&transfers), &subject, &labels, &parameters);
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
                "token asOf parameters supply holders links clusters excluded gifts conduits magicNodes commonFunders acquisitions metrics health digest computedAt durationMs"
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

    /// A group of 5, 6 and 7; 8, who bought at an exchange in block 2; and what else there is.
    fn beside_a_group(rest: &[Transfer]) -> Vec<Transfer> {
        let mut rows = vec![transfer(0, 5, 1000), transfer(0, 2, 1000)];
        rows.extend([transfer(5, 6, 500), transfer(6, 7, 200), Transfer { block: 2, ..transfer(2, 8, 100) }]);
        rows.extend_from_slice(rest);
        rows
    }

    fn parties_of(report: &Report) -> Vec<Vec<u8>> {
        let members = |cluster: &Cluster| cluster.members.iter().map(|member| member.0[0]).collect();
        report.clusters.iter().map(members).collect()
    }

    #[test]
    fn a_gift_below_the_share_binds_no_group_and_says_what_it_would_join() {
        let given = |value| beside_a_group(&[Transfer { block: 3, tx: TxHash([9; 32]), ..transfer(5, 8, value) }]);
        // 5 had 1000 in all, of which 350 are the share.
        let gift = report(&given(349), &Parameters::default());
        assert_eq!(parties_of(&gift), [[5, 6, 7]]);
        let [Gift { from, to, block, tx, amount, share, within, .. }] = &gift.gifts[..] else { panic!("{gift:?}") };
        assert_eq!((*from, *to, *block, *tx), (address(5), address(8), 3, TxHash([9; 32])));
        assert_eq!((*amount, *share), (Units::from(349), 0.349));
        assert_eq!((within.members, &within.clusters[..]), (4, &[gift.clusters[0].id][..]));
        assert_eq!(within.amount, gift.clusters[0].amount + Units::from(449));
        let joins: Vec<_> = gift.links.iter().map(|link| (link.from.0[0], link.to.0[0], link.joins)).collect();
        assert_eq!(joins, [(2, 8, false), (5, 6, true), (5, 8, false), (6, 7, true)]);

        let part = report(&given(350), &Parameters::default());
        assert_eq!((parties_of(&part), part.gifts.len()), (vec![vec![5, 6, 7, 8]], 0));
        let asked = |parameters: &Parameters| parties_of(&report(&given(349), parameters));
        for gift_percent in [0, 34] {
            assert_eq!(asked(&Parameters { gift_percent, ..Parameters::default() }), [[5, 6, 7, 8]]);
        }
        assert_eq!(asked(&Parameters { include_zero_value: true, ..Parameters::default() }), [[5, 6, 7, 8]]);
    }

    #[test]
    fn what_is_more_than_a_lone_gift_joins() {
        let later = |from, to, value| Transfer { block: 3, ..transfer(from, to, value) };
        let with = |rest: &[Transfer]| parties_of(&report(&beside_a_group(rest), &Parameters::default()));
        assert_eq!(with(&[later(5, 8, 100)]), [[5, 6, 7]]);
        // Its first tokens, one in return, two of them, one from each of two members.
        assert_eq!(with(&[transfer(5, 8, 100)]), [[5, 6, 7, 8]]);
        assert_eq!(with(&[later(5, 8, 100), later(8, 5, 1)]), [[5, 6, 7, 8]]);
        assert_eq!(with(&[later(5, 8, 100), later(5, 8, 100)]), [[5, 6, 7, 8]]);
        assert_eq!(with(&[later(5, 8, 100), later(6, 8, 100)]), [[5, 6, 7, 8]]);
        // A pair, and lone wallets, each with each.
        let sold = later(7, 2, 200);
        assert_eq!(with(&[sold, later(5, 8, 100)]), [[5, 6, 8]]);
        assert_eq!(with(&[later(2, 9, 100), Transfer { block: 4, ..transfer(8, 9, 10) }]), [vec![5, 6, 7], vec![8, 9]]);
    }

    /// Each row is a transaction in a block of its own. Of the holders 5 and 6 it is asked whether 9 joins them.
    fn joined_by(rows: &[(u8, u8, u64)], parameters: &Parameters) -> Report {
        let rows = [(0, 5, 100), (0, 6, 100), (0, 1, 100)].iter().chain(rows).zip(1_u8..);
        let rows = rows.map(|(&(from, to, value), number)| Transfer {
            block: number.into(),
            tx: TxHash([number; 32]),
            ..transfer(from, to, value)
        });
        report(&rows.collect::<Vec<_>>(), parameters)
    }

    #[test]
    fn who_kept_nothing_of_what_a_holder_sent_joins_and_is_told() {
        let usual = Parameters::default();
        let passed = [(5, 9, 50), (9, 6, 50)];
        let report = joined_by(&passed, &usual);
        assert_eq!(parties_of(&report), [[5, 6]]);
        let [MagicNode { address: conduit, degree, members, cluster }] = &report.conduits[..] else { panic!() };
        assert_eq!((*conduit, *degree, &members[..]), (address(9), 2, &[address(5), address(6)][..]));
        assert_eq!(*cluster, report.clusters[0].id);
        let off = joined_by(&passed, &Parameters { conduits: false, ..usual });
        assert!(off.clusters.is_empty() && off.conduits.is_empty());
        // Where no contract is known, it may be a trader between two markets.
        let rows = [at(1, 0, 5), at(2, 0, 5), at(3, 0, 6), at(4, 5, 9), at(5, 9, 6)];
        let unknown = analyse(&mut ledger(&rows), &Subject::default(), &Labels::none(), &usual);
        assert_eq!((anonymous(&rows, &usual).conduits.len(), unknown.conduits.len()), (1, 0));
        let magic = joined_by(&passed, &Parameters { magic_nodes: true, ..usual });
        assert_eq!((parties_of(&magic), magic.conduits.len(), magic.magic_nodes.len()), (vec![vec![5, 6]], 0, 1));
        // A collector that sold all to a contract.
        assert_eq!(parties_of(&joined_by(&[(5, 9, 50), (6, 9, 50), (9, 1, 100)], &usual)), [[5, 6]]);
    }

    #[test]
    fn deposit_addresses_contracts_distributors_and_who_keeps_or_pays_many_are_no_conduits() {
        let usual = Parameters::default();
        let apart = |rows: &[(u8, u8, u64)], parameters: &Parameters| {
            let report = joined_by(rows, parameters);
            report.conduits.is_empty() && report.clusters.iter().all(|cluster| cluster.members.len() < 2)
        };
        let deposits = [(5, 9, 50), (6, 9, 50), (9, 2, 100)];
        assert!(apart(&deposits, &usual));
        assert!(apart(&[(1, 9, 50), (9, 5, 30), (9, 6, 20)], &usual));
        let keeps = Parameters { top: 3, ..usual };
        assert!(apart(&[(5, 9, 2), (9, 6, 1)], &keeps));
        let many = [(5, 9, 50), (9, 6, 47), (9, 1, 1), (9, 2, 1)];
        assert!(!apart(&[&many[..], &[(1, 9, 1), (9, 6, 2)]].concat(), &keeps));
        assert!(apart(&[&many[..], &[(9, 10, 1)]].concat(), &keeps));
        // Of several customers only one paid with more than a small part of what he had; then two; then there are few.
        let paid = |value| {
            let others = [(0, 7, 100), (0, 8, 100), (1, 9, 1), (6, 9, 35), (7, 9, 34), (8, 9, 34)];
            [&others[..], &[(5, 9, value), (9, 1, 104 + value)]].concat()
        };
        assert!(apart(&paid(34), &usual));
        assert_eq!(parties_of(&joined_by(&paid(35), &usual)), [[5, 6]]);
        assert_eq!(parties_of(&joined_by(&[(1, 9, 1), (5, 9, 34), (6, 9, 34), (9, 1, 69)], &usual)), [[5, 6]]);
        // In one transaction.
        let row = |tx, from, to| Transfer { tx: TxHash([tx; 32]), ..transfer(from, to, 50) };
        let rows = |tx| [row(1, 0, 5), row(2, 0, 5), row(3, 0, 6), row(4, 5, 9), row(tx, 9, 6)];
        let conduits = |tx| anonymous(&rows(tx), &usual).conduits.len();
        assert_eq!((conduits(5), conduits(4)), (1, 0));
    }

    fn at(block: u64, from: u8, to: u8) -> Transfer {
        Transfer { block, tx: TxHash([to; 32]), ..transfer(from, to, 10) }
    }

    #[test]
    fn holders_with_one_funder_are_one_and_the_funding_is_told() {
        let rows = [at(100, 0, 5), at(101, 0, 6), at(102, 0, 7), at(110, 5, 9), at(111, 6, 9), at(112, 7, 9)];
        let rows = rows.map(|row| if row.to == address(9) { Transfer { value: Amount::from(1), ..row } } else { row });
        let funding =
            |funder, block| Funded { funder: address(funder), block, tx: TxHash([1; 32]), amount: Units::from(7) };
        let fundings = BTreeMap::from([
            (address(5), funding(50, 109)),
            (address(6), funding(50, 12)),
            (address(7), funding(50, 112)),
        ]);
        let subject = Subject { fundings, ..Subject::default() };
        let with = |subject: &Subject, labels: &Labels, funding_window| {
            let parameters =
                Parameters { top: 3, common_funder: true, funding_window, hub_degree: 3, ..Parameters::default() };
            analyse(&mut ledger(&rows), subject, labels, &parameters)
        };
        let report = with(&subject, &Labels::none(), 10);
        let [funder] = &report.common_funders[..] else { panic!("{:?}", report.common_funders) };
        let members: Vec<_> = funder.fundings.iter().map(|funding| (funding.member, funding.block)).collect();
        assert_eq!((funder.address, members), (address(50), vec![(address(5), 109), (address(7), 112)]));
        assert_eq!(funder.cluster, report.clusters[0].id);
        assert_eq!((report.clusters[0].members.len(), report.clusters[0].links), (2, 0));
        assert_eq!(report.health.unknown_fundings, 0);

        // Three are as many as make a hub.
        assert!(with(&subject, &Labels::none(), 100).common_funders.is_empty());
        let mut labels = Labels::none();
        labels.insert(address(50), Label { name: "exchange".to_owned(), kind: Kind::Exchange });
        assert!(with(&subject, &labels, 10).clusters.is_empty());
        assert_eq!(with(&Subject::default(), &Labels::none(), 10).health.unknown_fundings, 3);
        let off = analyse(
            &mut ledger(&rows),
            &subject,
            &Labels::none(),
            &Parameters { top: 3, hub_degree: 3, ..Parameters::default() },
        );
        assert!(off.clusters.is_empty() && off.common_funders.is_empty());
    }

    #[test]
    fn holders_that_a_pool_sent_the_token_first_in_the_same_block_are_one() {
        // The pool is 1, a contract. Mints before do not count; what another sent before does.
        let rows =
            [at(90, 0, 5), at(95, 8, 7), at(100, 1, 5), at(100, 1, 6), at(100, 1, 7), at(101, 1, 10), at(102, 1, 11)];
        let with = |synchronous_window| {
            let parameters =
                Parameters { synchronous: true, synchronous_window, common_funder: false, ..Parameters::default() };
            report(&rows, &parameters)
        };
        let groups = |report: &Report| -> Vec<Vec<u8>> {
            let group = |group: &Acquisition| group.purchases.iter().map(|purchase| purchase.member.0[0]).collect();
            report.acquisitions.iter().map(group).collect()
        };
        let report = with(0);
        assert_eq!(groups(&report), [[5, 6]]);
        let Acquisition { pool, first_block, last_block, purchases, cluster } = &report.acquisitions[0];
        assert_eq!((*pool, *first_block, *last_block), (address(1), 100, 100));
        assert_eq!((purchases[1].tx, purchases[1].amount), (TxHash([6; 32]), Units::from(10)));
        assert_eq!(*cluster, report.clusters[0].id);
        // No chain: two blocks from the first, not from the last.
        assert_eq!(groups(&with(1)), [vec![5, 6, 10]]);
        assert_eq!(groups(&with(2)), [vec![5, 6, 10, 11]]);
    }

    #[test]
    fn a_crowd_at_a_pool_is_no_evidence() {
        let buyers = |count: u8| -> Vec<Transfer> { (0..count).map(|buyer| at(100, 1, 100 + buyer)).collect() };
        let parameters = Parameters { synchronous: true, top: 10, ..Parameters::default() };
        let few = report(&buyers(50), &parameters);
        assert_eq!((few.acquisitions[0].purchases.len(), few.health.crowded_acquisitions), (10, 0));
        let crowd = report(&buyers(51), &parameters);
        assert_eq!((crowd.acquisitions.len(), crowd.clusters.len(), crowd.health.crowded_acquisitions), (0, 0, 1));
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
