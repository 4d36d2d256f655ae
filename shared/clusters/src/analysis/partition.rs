use std::cmp::Reverse;

use sha2::{Digest as _, Sha256};

use super::Ranked;
use crate::{Digest, Units};

/// Two or more holders that are presumed to be one.
pub(super) struct Party {
    /// Ranks from 0, in order of their addresses.
    pub(super) members: Vec<usize>,
    pub(super) amount: Units,
}

/// The parties by amount, then smallest address, from the set each holder is in.
pub(super) fn parties(holders: &[Ranked], mut set_of: impl FnMut(usize) -> usize) -> Vec<Party> {
    let mut by_set: Vec<(usize, usize)> = (0..holders.len()).map(|rank| (set_of(rank), rank)).collect();
    by_set.sort_unstable_by_key(|&(set, rank)| (set, holders[rank].address));
    let sets = by_set.chunk_by(|a, b| a.0 == b.0).filter(|set| set.len() > 1);
    let mut parties: Vec<Party> = sets
        .map(|set| {
            let members: Vec<usize> = set.iter().map(|&(_, rank)| rank).collect();
            let amount = members.iter().map(|&rank| holders[rank].amount).sum();
            Party { members, amount }
        })
        .collect();
    parties.sort_unstable_by_key(|party| (Reverse(party.amount), holders[party.members[0]].address));
    parties
}

/// The cluster id of a party.
pub(super) fn id(party: &Party, holders: &[Ranked]) -> Digest {
    Digest(Sha256::digest(line(party, holders) + "\n").into())
}

/// The digest of all parties.
pub(super) fn digest(parties: &[Party], holders: &[Ranked]) -> Digest {
    // A line begins with its smallest address, which no other begins with.
    let mut lines: Vec<String> = parties.iter().map(|party| line(party, holders)).collect();
    lines.sort_unstable();
    Digest(Sha256::digest(lines.join("\n") + "\n").into())
}

fn line(party: &Party, holders: &[Ranked]) -> String {
    let addresses: Vec<String> = party.members.iter().map(|&rank| holders[rank].address.to_string()).collect();
    addresses.join(" ")
}
