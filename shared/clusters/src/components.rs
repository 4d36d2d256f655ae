/// Disjoint sets over `0..n`, joined one pair at a time.
pub(crate) struct Components {
    /// Towards the root, which is the smallest of its set.
    parents: Vec<usize>,
}

impl Components {
    pub(crate) fn new(n: usize) -> Self {
        Self { parents: (0..n).collect() }
    }

    pub(crate) fn find(&mut self, mut node: usize) -> usize {
        while self.parents[node] != node {
            self.parents[node] = self.parents[self.parents[node]];
            node = self.parents[node];
        }
        node
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The smallest node that can be reached, by searching breadth first.
    fn smallest_reachable(n: usize, edges: &[(usize, usize)], start: usize) -> usize {
        let mut seen = vec![false; n];
        let mut queue = std::collections::VecDeque::from([start]);
        seen[start] = true;
        while let Some(node) = queue.pop_front() {
            for &(a, b) in edges {
                for (here, there) in [(a, b), (b, a)] {
                    if here == node && !seen[there] {
                        seen[there] = true;
                        queue.push_back(there);
                    }
                }
            }
        }
        seen.iter().position(|&seen| seen).unwrap()
    }

    proptest! {
        #[test]
        fn sets_are_what_a_breadth_first_search_reaches(edges in prop::collection::vec((0_usize..40, 0_usize..40), 0..60)) {
            let mut components = Components::new(40);
            for &(a, b) in &edges {
                components.join(a, b);
            }
            for node in 0..40 {
                prop_assert_eq!(components.find(node), smallest_reachable(40, &edges, node));
            }
        }
    }
}
