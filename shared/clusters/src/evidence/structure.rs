/// What a graph hangs by.
pub(super) struct Structure {
    /// By edge: whether its ends are connected by it alone.
    pub(super) bridges: Vec<bool>,
    /// By node: whether some of its neighbours are connected by it alone.
    pub(super) articulations: Vec<bool>,
}

/// Bridges and articulation points by Tarjan's low links, in one depth-first search. Several edges between two nodes
/// are none of them bridges. On a stack of its own: a cluster may be a chain of thousands.
pub(super) fn structure(neighbours: &[Vec<(usize, usize)>], edges: usize) -> Structure {
    const UNSEEN: usize = usize::MAX;
    let nodes = neighbours.len();
    let (mut entered, mut low) = (vec![UNSEEN; nodes], vec![UNSEEN; nodes]);
    let mut found = Structure { bridges: vec![false; edges], articulations: vec![false; nodes] };
    let mut clock = 0;
    for root in 0..nodes {
        if entered[root] != UNSEEN {
            continue;
        }
        (entered[root], low[root]) = (clock, clock);
        clock += 1;
        let mut branches = 0;
        // A node, the edge it was entered by, and how many of its neighbours were looked at.
        let mut stack = vec![(root, UNSEEN, 0)];
        while let Some((node, by, looked)) = stack.last_mut() {
            let (node, by) = (*node, *by);
            if let Some(&(next, edge)) = neighbours[node].get(*looked) {
                *looked += 1;
                if edge == by {
                    continue;
                }
                if entered[next] == UNSEEN {
                    (entered[next], low[next]) = (clock, clock);
                    clock += 1;
                    stack.push((next, edge, 0));
                } else {
                    low[node] = low[node].min(entered[next]);
                }
                continue;
            }
            stack.pop();
            let Some(&(parent, ..)) = stack.last() else { break };
            low[parent] = low[parent].min(low[node]);
            found.bridges[by] = low[node] > entered[parent];
            if parent == root {
                branches += 1;
            } else if low[node] >= entered[parent] {
                found.articulations[parent] = true;
            }
        }
        found.articulations[root] = branches > 1;
    }
    found
}
