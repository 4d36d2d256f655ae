use std::cmp::Reverse;

use sha2::{Digest as _, Sha256};

use crate::{Address, Digest, Units};

/// A party of two or more holders.
pub(super) struct Party {
    /// Ranks from 0, by address.
    pub(super) members: Vec<usize>,
    pub(super) amount: Units,
}

/// The parties by amount, then smallest address, from the set each holder is in; `holders` are by rank.
pub(super) fn parties(holders: &[(Address, Units)], mut set_of: impl FnMut(usize) -> usize) -> Vec<Party> {
    let mut by_set: Vec<(usize, usize)> = (0..holders.len()).map(|rank| (set_of(rank), rank)).collect();
    by_set.sort_unstable_by_key(|&(set, rank)| (set, holders[rank].0));
    let sets = by_set.chunk_by(|a, b| a.0 == b.0).filter(|set| set.len() > 1);
    let mut parties: Vec<Party> = sets
        .map(|set| {
            let members: Vec<usize> = set.iter().map(|&(_, rank)| rank).collect();
            let amount = members.iter().map(|&rank| holders[rank].1).sum();
            Party { members, amount }
        })
        .collect();
    parties.sort_unstable_by_key(|party| (Reverse(party.amount), holders[party.members[0]].0));
    parties
}

/// The digest of some lines: newlines between them and one at the end.
fn digest<'a>(lines: impl Iterator<Item = &'a str>) -> Digest {
    let mut hash = Sha256::new();
    for (index, line) in lines.enumerate() {
        if index > 0 {
            hash.update("\n");
        }
        hash.update(line);
    }
    hash.update("\n");
    Digest(hash.finalize().into())
}

/// The id of each party, and the digest of all.
pub(super) fn digests(parties: &[Party], holders: &[(Address, Units)]) -> (Vec<Digest>, Digest) {
    let line = |party: &Party| -> String {
        let addresses: Vec<String> = party.members.iter().map(|&rank| holders[rank].0.to_string()).collect();
        addresses.join(" ")
    };
    let mut lines: Vec<String> = parties.iter().map(line).collect();
    let ids = lines.iter().map(|line| digest(std::iter::once(line.as_str()))).collect();
    // A line begins with its smallest address, and none begins with another's.
    lines.sort_unstable();
    (ids, digest(lines.iter().map(String::as_str)))
}
