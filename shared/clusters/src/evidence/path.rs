use serde::{Deserialize, Serialize};

use super::Tie;
use super::web::Web;
use crate::{Address, Digest, Reason, Report};

/// How two members of a cluster are connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    pub cluster: Digest,
    pub from: Address,
    pub to: Address,
    /// How many ties it takes.
    pub length: u32,
    /// From member to member. Empty when both are the same.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub from: Address,
    pub to: Address,
    /// One, or two with somebody in common between them.
    pub ties: Vec<Tie>,
}

/// Why two addresses are not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("{0} is not among the holders the report looks at")]
    NotAHolder(Address),
    #[error("{address} is left out of clusters ({reason})", reason = reason.as_str())]
    Excluded { address: Address, reason: Reason },
    #[error("{0} is in no cluster")]
    Alone(Address),
    #[error("{from} and {to} are in different clusters, {from_cluster} and {to_cluster}")]
    DifferentClusters { from: Address, to: Address, from_cluster: Digest, to_cluster: Digest },
}

impl Report {
    /// How two holders are connected: by the fewest ties, and of such ways by the strongest. Of two ways the stronger
    /// is the one whose weakest tie is stronger; if that is the same, whose next weakest is, and so on. Strength is as
    /// in [`Report::evidence`].
    ///
    /// # Errors
    /// Says which of the two is no holder, is excluded or is in no cluster, or that theirs are different ones.
    pub fn path(&self, from: Address, to: Address) -> Result<Path, PathError> {
        let (from_cluster, to_cluster) = (self.cluster_of(from)?, self.cluster_of(to)?);
        if from_cluster != to_cluster {
            return Err(PathError::DifferentClusters { from, to, from_cluster, to_cluster });
        }
        let cluster = self.clusters.iter().find(|cluster| cluster.id == from_cluster);
        let web = Web::of(self, cluster.ok_or(PathError::Alone(from))?);
        let node = |address| web.members.binary_search(&address).map_err(|_| PathError::Alone(address));
        let ways = web.strongest_of_shortest(node(from)?, node(to)?);
        // A report's clusters are what its ties connect; of one that was tampered with, this is true of either.
        let ways = ways.ok_or(PathError::Alone(to))?;
        let (mut steps, mut here, mut ties): (Vec<Step>, _, _) = (Vec::new(), from, Vec::new());
        for &(node, tie) in &ways {
            ties.push(web.ties[tie].clone());
            if let Some(&there) = web.members.get(node) {
                steps.push(Step { from: here, to: there, ties: std::mem::take(&mut ties) });
                here = there;
            }
        }
        let length = u32::try_from(ways.len()).unwrap_or(u32::MAX);
        Ok(Path { cluster: from_cluster, from, to, length, steps })
    }

    fn cluster_of(&self, address: Address) -> Result<Digest, PathError> {
        let holder = self.holders.iter().find(|holder| holder.address == address);
        let holder = holder.ok_or(PathError::NotAHolder(address))?;
        if let Some(hub) = self.excluded.iter().find(|hub| hub.address == address) {
            return Err(PathError::Excluded { address, reason: hub.reason });
        }
        holder.cluster.ok_or(PathError::Alone(address))
    }
}

impl Web<'_> {
    /// The nodes after `from` up to `to`, each with the tie that leads there; `None` if nothing does.
    fn strongest_of_shortest(&self, from: usize, to: usize) -> Option<Vec<(usize, usize)>> {
        let mut distances = vec![usize::MAX; self.neighbours.len()];
        let mut came_by = vec![None; self.neighbours.len()];
        distances[from] = 0;
        // The nodes at one distance, each with the ties of the best way there, weakest first. Ties count from the
        // strongest, so that a smaller list is a stronger way; one more tie for both does not change which is.
        let mut layer: Vec<(usize, Vec<usize>)> = vec![(from, Vec::new())];
        let mut distance = 0;
        while distances[to] == usize::MAX && !layer.is_empty() {
            distance += 1;
            let mut next: Vec<(usize, Vec<usize>)> = Vec::new();
            // By node: its place in `next`.
            let mut places = std::collections::HashMap::new();
            for (node, ties) in &layer {
                for &(neighbour, tie) in &self.neighbours[*node] {
                    if distances[neighbour] < distance {
                        continue;
                    }
                    distances[neighbour] = distance;
                    let mut candidate = ties.clone();
                    candidate.insert(ties.partition_point(|&other| other > tie), tie);
                    let place = *places.entry(neighbour).or_insert(next.len());
                    match next.get_mut(place) {
                        Some((_, best)) if *best <= candidate => continue,
                        Some((_, best)) => *best = candidate,
                        None => next.push((neighbour, candidate)),
                    }
                    came_by[neighbour] = Some((*node, tie));
                }
            }
            layer = next;
        }
        let mut ways = Vec::new();
        let mut node = to;
        while node != from {
            let (before, tie) = came_by[node]?;
            ways.push((node, tie));
            node = before;
        }
        ways.reverse();
        Some(ways)
    }
}
