use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::ledger::tests::{address, any_transfers, ledger};
use crate::{
    Acquisition, Cluster, CommonFunder, Excluded, Funding, Holder, Kind, Labels, Ledger, Link, MagicNode, Parameters,
    Purchase, Reason, Subject, analyse,
};

const ID: Digest = Digest([7; 32]);

/// A cluster as whoever makes a test thinks of it: nodes are numbers, members first.
#[derive(Clone, Debug, Default)]
struct Plan {
    members: u8,
    /// From, to, how many transfers, how much.
    links: Vec<(u8, u8, u64, u64)>,
    /// Somebody in common and the members they are in common to.
    common: Vec<(TieKind, BTreeSet<u8>)>,
}

/// Names do not follow the order of the numbers.
fn member(number: u8) -> Address {
    address(number.wrapping_mul(37) + 1)
}

fn via(number: usize) -> Address {
    address(200 + u8::try_from(number).unwrap())
}

impl Plan {
    fn report(&self) -> Report {
        let mut report = analyse(&mut Ledger::new(), &Subject::default(), &Labels::none(), &Parameters::default());
        report.token.decimals = Some(2);
        let holder = |number: u8| Holder {
            rank: u32::from(number) + 1,
            address: member(number),
            amount: Units::from(1_000),
            display: Some(10.0),
            share: 0.01,
            circulating_share: 0.01,
            label: None,
            kind: Kind::Wallet,
            degree: 3,
            cluster: Some(ID),
        };
        report.holders = (0..self.members).map(holder).collect();
        let mut members: Vec<Address> = (0..self.members).map(member).collect();
        members.sort_unstable();
        let mut links: BTreeMap<(Address, Address), (u64, u64)> = BTreeMap::new();
        for &(from, to, transfers, amount) in &self.links {
            let link = links.entry((member(from), member(to))).or_default();
            *link = (link.0 + transfers, link.1 + amount);
        }
        let link = |((from, to), (transfers, amount)): ((Address, Address), (u64, u64))| Link {
            from,
            to,
            transfers,
            amount: Units::from(u128::from(amount)),
            display: None,
            first_block: 5 + amount % 7,
            last_block: 20 + amount % 5,
            first_timestamp: Some(50),
            last_timestamp: None,
            first_tx: TxHash([from.0[0]; 32]),
            last_tx: TxHash([to.0[0]; 32]),
            joins: true,
        };
        report.links = links.into_iter().map(link).collect();
        report.clusters = vec![Cluster {
            id: ID,
            rank: 1,
            members,
            amount: Units::from(1_000 * u128::from(self.members)),
            display: None,
            share: 0.01 * f64::from(self.members),
            links: 0,
            hubs_touched: Vec::new(),
        }];
        for (number, (kind, joined)) in self.common.iter().enumerate() {
            let address = via(number);
            let mut joined: Vec<Address> = joined.iter().map(|&number| member(number)).collect();
            joined.sort_unstable();
            let tx = TxHash([9; 32]);
            match kind {
                TieKind::CommonFunder => {
                    let funding = |member| Funding { member, block: 3, tx, amount: Units::from(8) };
                    let fundings = joined.into_iter().map(funding).collect();
                    report.common_funders.push(CommonFunder { address, fundings, cluster: ID });
                }
                TieKind::Acquisition => {
                    let purchase = |member| Purchase { member, block: 4, tx, amount: Units::from(9), display: None };
                    let purchases = joined.into_iter().map(purchase).collect();
                    let acquisition =
                        Acquisition { pool: address, first_block: 4, last_block: 4, purchases, cluster: ID };
                    report.acquisitions.push(acquisition);
                }
                _ => {
                    let degree = u32::try_from(joined.len()).unwrap();
                    let nodes = if *kind == TieKind::Conduit { &mut report.conduits } else { &mut report.magic_nodes };
                    nodes.push(MagicNode { address, degree, members: joined, cluster: ID });
                }
            }
        }
        report
    }

    /// The ends of every tie, as addresses, sorted: what can be taken away.
    fn ties(&self) -> BTreeSet<BTreeSet<Address>> {
        let links = self.links.iter().map(|&(from, to, ..)| BTreeSet::from([member(from), member(to)]));
        let common = self.common.iter().enumerate();
        let common = common.flat_map(|(number, (_, joined))| {
            joined.iter().map(move |&joined| BTreeSet::from([member(joined), via(number)]))
        });
        links.chain(common).collect()
    }

    /// Into how many parts these ties leave the members that are kept.
    fn parts(&self, ties: &BTreeSet<BTreeSet<Address>>, without: Option<Address>) -> usize {
        let kept: BTreeSet<Address> = (0..self.members).map(member).filter(|&kept| Some(kept) != without).collect();
        let (mut seen, mut parts) = (BTreeSet::new(), 0);
        for &start in &kept {
            if !seen.insert(start) {
                continue;
            }
            parts += 1;
            let mut queue = vec![start];
            while let Some(node) = queue.pop() {
                for tie in ties.iter().filter(|tie| tie.contains(&node)) {
                    queue.extend(tie.iter().filter(|&&next| Some(next) != without && seen.insert(next)));
                }
            }
        }
        parts
    }
}

/// Clusters: however the members are connected, they are.
fn any_plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![
        Just(TieKind::CommonFunder),
        Just(TieKind::Conduit),
        Just(TieKind::MagicNode),
        Just(TieKind::Acquisition)
    ];
    (2..8_u8).prop_flat_map(move |members| {
        let links = prop::collection::vec((0..members, 0..members, 1..4_u64, 1..4_u64), 0..10);
        let set = prop::collection::btree_set(0..members, 2..=usize::from(members));
        let common = prop::collection::vec((kind.clone(), set), 0..4);
        let tree = prop::collection::vec(
            (any::<prop::sample::Index>(), any::<bool>(), kind.clone()),
            usize::from(members) - 1,
        );
        (Just(members), links, common, tree).prop_map(|(members, links, common, tree)| {
            let links = links.into_iter().filter(|(from, to, ..)| from != to).collect();
            let mut plan = Plan { members, links, common };
            for (node, (index, is_link, kind)) in (1..).zip(tree) {
                let before = u8::try_from(index.index(usize::from(node))).unwrap();
                if is_link {
                    plan.links.push((node, before, 1, 1));
                } else {
                    plan.common.push((kind, BTreeSet::from([node, before])));
                }
            }
            plan
        })
    })
}

fn ends(tie: &Tie) -> BTreeSet<Address> {
    BTreeSet::from(tie.ends)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn spanning_ties_join_all_members_and_none_can_be_spared(plan in any_plan()) {
        let evidence = plan.report().evidence(&ID).unwrap();
        let spanning: BTreeSet<_> = evidence.spanning.iter().map(ends).collect();
        prop_assert!(spanning.is_subset(&plan.ties()));
        prop_assert_eq!(spanning.len(), evidence.spanning.len());
        prop_assert_eq!(plan.parts(&spanning, None), 1);
        for tie in &spanning {
            let mut others = spanning.clone();
            others.remove(tie);
            prop_assert!(plan.parts(&others, None) > 1, "{:?} can be spared", tie);
        }
    }

    #[test]
    fn bridges_and_articulations_are_what_splits_the_cluster_when_it_is_taken_away(plan in any_plan()) {
        let report = plan.report();
        let evidence = report.evidence(&ID).unwrap();
        let ties = plan.ties();
        let counts = evidence.ties;
        prop_assert_eq!(ties.len(), (counts.transfer + counts.common_funder + counts.conduit + counts.magic_node + counts.acquisition) as usize);
        let splits = |tie: &&BTreeSet<Address>| {
            let mut others = ties.clone();
            others.remove(*tie);
            plan.parts(&others, None) > 1
        };
        let expected: BTreeSet<_> = ties.iter().filter(splits).cloned().collect();
        let bridges: BTreeSet<_> = evidence.spanning.iter().filter(|tie| tie.bridge).map(ends).collect();
        prop_assert_eq!(evidence.bridges as usize, bridges.len());
        prop_assert_eq!(bridges, expected);
        for member in &evidence.members {
            prop_assert_eq!(member.articulation, plan.parts(&ties, Some(member.address)) > 1, "{}", member.address);
            prop_assert_eq!(member.ties as usize, ties.iter().filter(|tie| tie.contains(&member.address)).count());
        }
    }

    #[test]
    fn a_transfer_is_spanning_if_no_stronger_ones_connect_the_same_two(plan in any_plan()) {
        let evidence = plan.report().evidence(&ID).unwrap();
        let mut pairs: BTreeMap<BTreeSet<Address>, (u64, u64)> = BTreeMap::new();
        for &(from, to, transfers, amount) in &plan.links {
            let pair = pairs.entry(BTreeSet::from([member(from), member(to)])).or_default();
            *pair = (pair.0 + transfers, pair.1 + amount);
        }
        let mut ranked: Vec<_> = pairs.into_iter().collect();
        ranked.sort_by(|(a_ends, a), (b_ends, b)| b.cmp(a).then(a_ends.cmp(b_ends)));
        let (mut stronger, mut expected) = (BTreeSet::new(), Vec::new());
        for (ends, strength) in ranked {
            let before = plan.parts(&stronger, None);
            stronger.insert(ends.clone());
            if plan.parts(&stronger, None) < before {
                expected.push((ends, strength));
            }
        }
        let spanning = evidence.spanning.iter().filter(|tie| tie.kind == TieKind::Transfer);
        let spanning: Vec<_> = spanning.map(|tie| (ends(tie), (tie.transfers.unwrap(), tie.amount.unwrap()))).collect();
        let expected: Vec<_> = expected.into_iter().map(|(ends, (transfers, amount))| (ends, (transfers, Units::from(u128::from(amount))))).collect();
        prop_assert_eq!(spanning, expected);
        prop_assert!(evidence.spanning.is_sorted_by_key(|tie| tie.kind));
    }

    #[test]
    fn a_path_is_the_strongest_of_the_shortest(plan in any_plan(), from: prop::sample::Index, to: prop::sample::Index) {
        let report = plan.report();
        let members = usize::from(plan.members);
        let [from, to] = [from, to].map(|index| member(u8::try_from(index.index(members)).unwrap()));
        let path = report.path(from, to).unwrap();
        let web = Web::of(&report, &report.clusters[0]);
        let [start, end] = [from, to].map(|address| web.members.binary_search(&address).unwrap());
        // Every way without a node twice, by its length and its ties from the weakest on.
        let (mut best, mut open) = (None, vec![(start, vec![start], Vec::new())]);
        while let Some((node, seen, ties)) = open.pop() {
            if node == end {
                let mut ranked: Vec<usize> = ties;
                ranked.sort_unstable_by(|a, b| b.cmp(a));
                let way = (ranked.len(), ranked);
                best = Some(best.map_or(way.clone(), |best: (usize, Vec<usize>)| best.min(way)));
                continue;
            }
            if best.as_ref().is_some_and(|(length, _)| ties.len() >= *length) {
                continue;
            }
            for (tie, &[a, b]) in web.ends.iter().enumerate().filter(|(_, ends)| ends.contains(&node)) {
                let next = if a == node { b } else { a };
                if !seen.contains(&next) {
                    open.push((next, [&seen[..], &[next]].concat(), [&ties[..], &[tie]].concat()));
                }
            }
        }
        let (length, ranked) = best.unwrap();
        let mut found: Vec<usize> = path.steps.iter().flat_map(|step| &step.ties).map(|tie| web.ties.iter().position(|other| other == tie).unwrap()).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        prop_assert_eq!((path.length as usize, found), (length, ranked));
        let mut here = from;
        for step in &path.steps {
            prop_assert_eq!(step.from, here);
            here = step.to;
            match &step.ties[..] {
                [tie] => prop_assert_eq!(ends(tie), BTreeSet::from([step.from, step.to])),
                [one, other] => {
                    prop_assert_eq!((one.ends[0], other.ends[0]), (step.from, step.to));
                    prop_assert_eq!(one.via, other.via);
                }
                ties => prop_assert!(false, "{ties:?}"),
            }
        }
        prop_assert_eq!(here, to);
    }

    #[test]
    fn every_cluster_of_a_real_report_has_evidence_that_connects_it(transfers in any_transfers(14, 60), hub_degree in 2..8_u32, magic_nodes: bool) {
        let parameters = Parameters { top: 12, hub_degree, magic_nodes, ..Parameters::default() };
        let report = analyse(&mut ledger(&transfers), &Subject::default(), &Labels::none(), &parameters);
        for cluster in &report.clusters {
            let evidence = report.evidence(&cluster.id).unwrap();
            prop_assert_eq!(evidence.members.iter().map(|member| member.amount).sum::<Units>(), cluster.amount);
            prop_assert!(evidence.members.is_sorted_by_key(|member| member.rank));
            let nodes: BTreeSet<Address> = evidence.spanning.iter().flat_map(|tie| tie.ends).collect();
            prop_assert!(cluster.members.iter().all(|member| nodes.contains(member)));
            prop_assert_eq!(evidence.spanning.len(), nodes.len() - 1);
            let inside = report.links.iter().filter(|link| link.joins && cluster.members.contains(&link.from));
            prop_assert_eq!(evidence.transfers, inside.clone().map(|link| link.transfers).sum::<u64>());
            prop_assert_eq!(evidence.transferred, inside.clone().map(|link| link.amount).sum::<Units>());
            prop_assert_eq!(evidence.first.map(|first| first.block), inside.clone().map(|link| link.first_block).min());
            prop_assert_eq!(evidence.last.map(|last| last.block), inside.map(|link| link.last_block).max());
            for &member in &cluster.members {
                prop_assert!(report.path(cluster.members[0], member).is_ok());
            }
            let back: Evidence = serde_json::from_str(&serde_json::to_string(&evidence).unwrap()).unwrap();
            prop_assert_eq!(back, evidence);
        }
    }
}

#[test]
fn both_directions_are_one_tie_with_a_flow_each() {
    let plan = Plan { members: 2, links: vec![(0, 1, 3, 8), (1, 0, 2, 5)], common: Vec::new() };
    let evidence = plan.report().evidence(&ID).unwrap();
    let [tie] = &evidence.spanning[..] else { panic!("{:?}", evidence.spanning) };
    assert_eq!(
        (tie.kind, tie.transfers, tie.amount, tie.display),
        (TieKind::Transfer, Some(5), Some(Units::from(13)), Some(0.13))
    );
    let flows: Vec<_> = tie.flows.iter().map(|flow| (flow.from, flow.to, flow.transfers, flow.amount)).collect();
    assert_eq!(flows, [(member(0), member(1), 3, Units::from(8)), (member(1), member(0), 2, Units::from(5))]);
    assert!(tie.bridge);
    assert_eq!(
        (evidence.transfers, evidence.transferred, evidence.transferred_display),
        (5, Units::from(13), Some(0.13))
    );
    let blocks = |moment: Option<Moment>| moment.map(|moment| moment.block);
    assert_eq!((blocks(evidence.first), blocks(evidence.last)), (Some(6), Some(23)));
}

#[test]
fn a_direct_transfer_explains_before_a_larger_one_by_way_of_others() {
    let common = vec![(TieKind::CommonFunder, BTreeSet::from([0, 1, 2]))];
    let plan = Plan { members: 3, links: vec![(0, 1, 1, 1)], common };
    let report = plan.report();
    let evidence = report.evidence(&ID).unwrap();
    let kinds: Vec<_> = evidence.spanning.iter().map(|tie| tie.kind).collect();
    assert_eq!(kinds, [TieKind::Transfer, TieKind::CommonFunder, TieKind::CommonFunder]);
    assert_eq!(evidence.ties, TieCounts { transfer: 1, common_funder: 3, ..TieCounts::default() });
    let path = report.path(member(0), member(1)).unwrap();
    assert_eq!((path.length, path.steps.len(), path.steps[0].ties[0].kind), (1, 1, TieKind::Transfer));
    let path = report.path(member(0), member(2)).unwrap();
    assert_eq!((path.length, path.steps.len()), (2, 1));
    assert_eq!(path.steps[0].ties[1].flows[0].from, via(0));
    assert_eq!(path.steps[0].ties[1].flows[0].display, None, "the chain's own coin has its own decimals");
}

#[test]
fn two_purchases_from_one_pool_at_different_times_join_nobody_across() {
    let common = vec![(TieKind::Acquisition, BTreeSet::from([0, 1])), (TieKind::Acquisition, BTreeSet::from([2, 3]))];
    let plan = Plan { members: 4, links: vec![(0, 2, 1, 1)], common };
    let mut report = plan.report();
    report.acquisitions[1].pool = via(0);
    report.acquisitions[1].first_block = 90;
    let path = report.path(member(1), member(3)).unwrap();
    let steps: Vec<_> = path.steps.iter().map(|step| (step.from, step.to)).collect();
    assert_eq!(steps, [(member(1), member(0)), (member(0), member(2)), (member(2), member(3))]);
    assert_eq!(path.length, 5);
}

#[test]
fn a_funder_that_is_a_member_is_that_member() {
    let plan = Plan { members: 3, links: Vec::new(), common: vec![(TieKind::CommonFunder, BTreeSet::from([1, 2]))] };
    let mut report = plan.report();
    report.common_funders[0].address = member(0);
    let evidence = report.evidence(&ID).unwrap();
    assert_eq!(evidence.spanning.len(), 2);
    assert_eq!(evidence.members.iter().map(|member| member.articulation).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(report.path(member(1), member(2)).unwrap().steps.len(), 2);
}

#[test]
fn why_two_are_not_connected_is_said() {
    let plan = Plan { members: 2, links: vec![(0, 1, 1, 1)], common: Vec::new() };
    let mut report = plan.report();
    let mut extra = |number: u8, cluster: Option<Digest>| {
        let holder = Holder { rank: 9, address: member(number), cluster, ..report.holders[0].clone() };
        report.holders.push(holder);
        member(number)
    };
    let (hub, alone, other) = (extra(3, None), extra(4, None), extra(5, Some(Digest([8; 32]))));
    let reason = Reason::Exchange;
    report.excluded.push(Excluded { address: hub, reason, degree: 300, share: 0.1, within: None });
    let stranger = member(9);
    let here = member(0);
    assert_eq!(report.path(stranger, here), Err(PathError::NotAHolder(stranger)));
    assert_eq!(report.path(here, hub), Err(PathError::Excluded { address: hub, reason }));
    assert_eq!(report.path(alone, here), Err(PathError::Alone(alone)));
    let clusters =
        PathError::DifferentClusters { from: here, to: other, from_cluster: ID, to_cluster: Digest([8; 32]) };
    assert_eq!(report.path(here, other), Err(clusters));
    assert_eq!(
        PathError::Excluded { address: hub, reason }.to_string(),
        format!("{hub} is left out of clusters (exchange)")
    );
    assert_eq!(report.evidence(&Digest([8; 32])), None);
    assert_eq!(report.path(here, here).unwrap().steps, []);
}

#[test]
fn a_chain_of_thousands_is_explained_without_running_out_of_stack() {
    let transfers = (0..9_000_u32).map(|number| crate::Transfer {
        block: u64::from(number),
        timestamp: None,
        tx: TxHash::default(),
        log_index: None,
        from: if number == 0 { Address::ZERO } else { numbered(number) },
        to: numbered(number + 1),
        value: crate::Amount::from(10_000 - number),
    });
    let transfers: Vec<_> = transfers.collect();
    let parameters = Parameters { top: 10_000, ..Parameters::default() };
    let report = analyse(&mut ledger(&transfers), &Subject::default(), &Labels::none(), &parameters);
    let cluster = &report.clusters[0];
    assert_eq!(cluster.members.len(), 9_000);
    let evidence = report.evidence(&cluster.id).unwrap();
    assert_eq!((evidence.spanning.len(), evidence.bridges), (8_999, 8_999));
    assert_eq!(evidence.members.iter().filter(|member| member.articulation).count(), 8_998);
    assert_eq!(report.path(numbered(1), numbered(9_000)).unwrap().length, 8_999);
}

fn numbered(number: u32) -> Address {
    let mut bytes = [1; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Address(bytes)
}
