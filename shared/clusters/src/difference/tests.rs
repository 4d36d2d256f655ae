use proptest::prelude::*;

use super::*;
use crate::ledger::tests::{address, any_transfers, ledger};
use crate::{Labels, Ledger, Parameters, Subject, Transfer, analyse};

fn report(transfers: &[Transfer], parameters: &Parameters) -> Report {
    analyse(&mut ledger(transfers), &Subject { decimals: Some(3), ..Subject::default() }, &Labels::none(), parameters)
}

fn parameters() -> impl Strategy<Value = Parameters> {
    (1..12_u32, 2..8_u32).prop_map(|(top, hub_degree)| Parameters { top, hub_degree, ..Parameters::default() })
}

/// Sets of members, no address twice, as a report's clusters by the order of their sizes.
fn clusters(sets: &[&[u8]]) -> Vec<Cluster> {
    let cluster = |(index, set): (usize, &&[u8])| {
        let mut members: Vec<Address> = set.iter().map(|&number| address(number)).collect();
        members.sort_unstable();
        let mut id = [0; 32];
        set.iter().for_each(|&number| id[usize::from(number)] = 1);
        Cluster {
            id: Digest(id),
            rank: u32::try_from(index).unwrap() + 1,
            members,
            amount: Units::from(set.len() as u128),
            display: None,
            share: 0.0,
            links: 0,
            hubs_touched: Vec::new(),
        }
    };
    sets.iter().enumerate().map(cluster).collect()
}

/// What became of clusters, who joined them and who left.
type Turned = (Turn, Vec<u8>, Vec<u8>);

fn turns(before: &[&[u8]], after: &[&[u8]]) -> (Vec<Turned>, u32) {
    let empty = analyse(&mut Ledger::new(), &Subject::default(), &Labels::none(), &Parameters::default());
    let with = |sets| Report { clusters: clusters(sets), ..empty.clone() };
    let found = difference(&with(before), &with(after));
    let numbers = |addresses: &[Address]| addresses.iter().map(|address| address.0[0]).collect();
    let turn = |change: &ClusterChange| (change.turn, numbers(&change.joined), numbers(&change.left));
    (found.clusters.iter().map(turn).collect(), found.unchanged_clusters)
}

proptest! {
    #[test]
    fn a_state_does_not_differ_from_itself(transfers in any_transfers(14, 60), parameters in parameters()) {
        let report = report(&transfers, &parameters);
        let same = difference(&report, &report);
        prop_assert!(same.is_empty(), "{:?}", same);
        prop_assert_eq!(same.unmoved as usize, report.holders.len());
        prop_assert_eq!(same.unchanged_clusters as usize, report.clusters.len());
    }

    #[test]
    fn what_joined_left_and_moved_adds_up(transfers in any_transfers(14, 80), cut: prop::sample::Index, parameters in parameters()) {
        let before = report(&transfers[..cut.index(transfers.len() + 1)], &parameters);
        let after = report(&transfers, &parameters);
        let found = difference(&before, &after);
        let all = |report: &Report| report.holders.iter().map(|holder| holder.amount).sum::<Units>();
        let joined = found.joined.iter().map(|held| held.amount).sum::<Units>();
        let left = found.left.iter().map(|held| held.amount).sum::<Units>();
        let moved = found.moved.iter().map(|one| one.amount.change).sum::<Units>();
        prop_assert_eq!(joined - left + moved, all(&after) - all(&before));
        prop_assert_eq!(found.top.change, all(&after) - all(&before));
        prop_assert_eq!(found.joined.len() + found.moved.len() + found.unmoved as usize, after.holders.len());
        prop_assert_eq!(found.left.len() + found.moved.len() + found.unmoved as usize, before.holders.len());
        prop_assert_eq!(found.supply.positive.change, after.supply.positive - before.supply.positive);
        let sizes: Vec<Units> = found.moved.iter().map(|one| size(one.amount.change)).collect();
        prop_assert!(sizes.is_sorted_by(|a, b| a >= b));
        let clusters = |report: &Report| report.clusters.iter().map(|cluster| cluster.amount).sum::<Units>();
        if found.unchanged_clusters == 0 {
            let change = found.clusters.iter().map(|one| one.amount.change).sum::<Units>();
            prop_assert_eq!(change, clusters(&after) - clusters(&before));
        }
        let olds = found.clusters.iter().map(|one| one.before.len()).sum::<usize>();
        let news = found.clusters.iter().map(|one| one.after.len()).sum::<usize>();
        prop_assert_eq!(olds + found.unchanged_clusters as usize, before.clusters.len());
        prop_assert_eq!(news + found.unchanged_clusters as usize, after.clusters.len());
    }

    #[test]
    fn the_other_way_round_it_is_the_same_the_other_way_round(
        transfers in any_transfers(14, 80),
        cut: prop::sample::Index,
        parameters in parameters(),
    ) {
        let before = report(&transfers[..cut.index(transfers.len() + 1)], &parameters);
        let after = report(&transfers, &parameters);
        let (there, back) = (difference(&before, &after), difference(&after, &before));
        prop_assert_eq!(&there.joined, &back.left);
        prop_assert_eq!(&there.left, &back.joined);
        let turned = |turn| match turn {
            Turn::New => Turn::Gone,
            Turn::Gone => Turn::New,
            Turn::Grown => Turn::Shrunk,
            Turn::Shrunk => Turn::Grown,
            Turn::Merged => Turn::Split,
            Turn::Split => Turn::Merged,
            Turn::Changed | Turn::Regrouped => turn,
        };
        let key = |one: &ClusterChange| (one.turn, one.before.clone(), one.after.clone(), one.joined.clone(), one.left.clone());
        let mut there: Vec<_> = there.clusters.iter().map(key).collect();
        let mut back: Vec<_> = back.clusters.iter().map(key).map(|(turn, before, after, joined, left)| (turned(turn), after, before, left, joined)).collect();
        there.sort();
        back.sort();
        prop_assert_eq!(there, back);
    }
}

#[test]
fn what_became_of_clusters_has_a_name() {
    assert_eq!(turns(&[&[1, 2]], &[&[1, 2]]), (vec![], 1));
    assert_eq!(turns(&[], &[&[1, 2]]).0, [(Turn::New, vec![1, 2], vec![])]);
    assert_eq!(turns(&[&[1, 2]], &[]).0, [(Turn::Gone, vec![], vec![1, 2])]);
    assert_eq!(turns(&[&[1, 2]], &[&[1, 2, 3]]).0, [(Turn::Grown, vec![3], vec![])]);
    assert_eq!(turns(&[&[1, 2, 3]], &[&[1, 2]]).0, [(Turn::Shrunk, vec![], vec![3])]);
    assert_eq!(turns(&[&[1, 2, 3]], &[&[1, 2, 4]]).0, [(Turn::Changed, vec![4], vec![3])]);
    assert_eq!(turns(&[&[1, 2], &[3, 4]], &[&[1, 2, 3, 4]]).0, [(Turn::Merged, vec![], vec![])]);
    assert_eq!(turns(&[&[1, 2, 3, 4]], &[&[1, 2], &[3, 4]]).0, [(Turn::Split, vec![], vec![])]);
    assert_eq!(
        turns(&[&[1, 2], &[3, 4, 5]], &[&[3, 4, 5], &[6, 7]]).0,
        [(Turn::New, vec![6, 7], vec![]), (Turn::Gone, vec![], vec![1, 2]),]
    );
}

#[test]
fn one_member_that_changes_sides_makes_no_merger_and_no_split() {
    let (found, unchanged) = turns(&[&[1, 2, 3, 4], &[5, 6, 7]], &[&[1, 2, 3], &[4, 5, 6, 7]]);
    assert_eq!(found, [(Turn::Grown, vec![4], vec![]), (Turn::Shrunk, vec![], vec![4])]);
    assert_eq!(unchanged, 0);
}

#[test]
fn several_that_become_several_others_are_regrouped() {
    let (found, _) = turns(&[&[1, 2, 3, 4, 5], &[6, 7, 8]], &[&[1, 2, 6, 7, 8], &[3, 4, 5, 9]]);
    // The first became the second (three members), the second the first (three), and nothing else ties them.
    assert_eq!(found.iter().map(|(turn, ..)| *turn).collect::<Vec<_>>(), [Turn::Grown, Turn::Changed]);
    let (found, _) = turns(&[&[1, 2, 3, 4], &[5, 6]], &[&[1, 2, 5, 6], &[3, 4]]);
    assert_eq!(found.iter().map(|(turn, ..)| *turn).collect::<Vec<_>>(), [Turn::Regrouped]);
}
