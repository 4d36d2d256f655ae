//! How far one partition agrees with another: what was found against what is true.

use std::collections::BTreeMap;

/// Pairs of elements, counted by whether they are in one set of what was found and in one set of what is true.
/// Counts of several cases add up (`+=`) to the micro average over all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// In one set of both.
    pub both: u64,
    /// In one set of what was found.
    pub found: u64,
    /// In one set of what is true.
    pub true_: u64,
    /// All there are.
    pub all: u64,
}

impl Pairs {
    /// `found[i]` and `truth[i]` name the sets element `i` is in. A shorter one ends both.
    pub fn of(found: &[usize], truth: &[usize]) -> Self {
        let cells = found.iter().copied().zip(truth.iter().copied());
        Self {
            both: together(cells.clone()),
            found: together(cells.clone().map(|(found, _)| found)),
            true_: together(cells.clone().map(|(_, truth)| truth)),
            all: choose_two(cells.count() as u64),
        }
    }

    /// Of the pairs found together, the share that belong together; 1 where none was found.
    pub fn precision(self) -> f64 {
        ratio(self.both, self.found)
    }

    /// Of the pairs that belong together, the share that was found; 1 where there is none.
    pub fn recall(self) -> f64 {
        ratio(self.both, self.true_)
    }

    /// The adjusted Rand index (Hubert and Arabie): 1 for equal partitions, 0 on average for random ones with sets of
    /// the same sizes. 1 where both put all together or all apart. It is one case's: sums of cases have none.
    pub fn adjusted_rand(self) -> f64 {
        let [both, found, true_, all] = [self.both, self.found, self.true_, self.all].map(|pairs| pairs as f64);
        if self.found == self.true_ && (self.found == 0 || self.found == self.all) {
            return 1.0;
        }
        let expected = found * true_ / all;
        (both - expected) / (f64::midpoint(found, true_) - expected)
    }
}

impl std::ops::AddAssign for Pairs {
    fn add_assign(&mut self, other: Self) {
        self.both += other.both;
        self.found += other.found;
        self.true_ += other.true_;
        self.all += other.all;
    }
}

fn together<T: Ord>(sets: impl Iterator<Item = T>) -> u64 {
    let mut sizes: BTreeMap<T, u64> = BTreeMap::new();
    for set in sets {
        *sizes.entry(set).or_default() += 1;
    }
    sizes.into_values().map(choose_two).sum()
}

fn choose_two(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_measures_are_what_a_hand_works_out() {
        // {a b c} {d e} f against {a b} {c d e} f: of 15 pairs 4 are found, 4 are true, 2 are both (ab, de).
        let pairs = Pairs::of(&[0, 0, 0, 1, 1, 2], &[7, 7, 8, 8, 8, 9]);
        assert_eq!(pairs, Pairs { both: 2, found: 4, true_: 4, all: 15 });
        assert_eq!((pairs.precision(), pairs.recall()), (0.5, 0.5));
        // (2 - 16/15) / (4 - 16/15) = (14/15) / (44/15)
        assert!((pairs.adjusted_rand() - 14.0 / 44.0).abs() < 1e-12);
    }

    #[test]
    fn finding_nothing_or_one_lump_is_worth_nothing() {
        let truth = [0, 0, 1, 1];
        let nothing = Pairs::of(&[0, 1, 2, 3], &truth);
        assert_eq!((nothing.precision(), nothing.recall(), nothing.adjusted_rand()), (1.0, 0.0, 0.0));
        let lump = Pairs::of(&[0; 4], &truth);
        assert_eq!((lump.precision(), lump.recall(), lump.adjusted_rand()), (2.0 / 6.0, 1.0, 0.0));
        assert_eq!(Pairs::of(&[0; 4], &[5; 4]).adjusted_rand(), 1.0);
        assert_eq!(Pairs::of(&[], &[]).adjusted_rand(), 1.0);
    }

    /// Pair by pair, as the definitions read.
    fn by_definition(found: &[usize], truth: &[usize]) -> Pairs {
        let mut pairs = Pairs::default();
        for i in 0..found.len() {
            for j in 0..i {
                let (is_found, is_true) = (found[i] == found[j], truth[i] == truth[j]);
                pairs.both += u64::from(is_found && is_true);
                pairs.found += u64::from(is_found);
                pairs.true_ += u64::from(is_true);
                pairs.all += 1;
            }
        }
        pairs
    }

    proptest! {
        #[test]
        fn pairs_are_counted_as_one_by_one(cells in prop::collection::vec((0_usize..6, 0_usize..6), 0..40)) {
            let (found, truth): (Vec<usize>, Vec<usize>) = cells.into_iter().unzip();
            prop_assert_eq!(Pairs::of(&found, &truth), by_definition(&found, &truth));
            prop_assert_eq!(Pairs::of(&found, &found).adjusted_rand(), 1.0);
        }
    }
}
