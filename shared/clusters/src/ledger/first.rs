use super::Ledger;
use crate::Address;

impl Ledger {
    /// For each of `addresses`, in their order, the block of its first transfer: that of something, to or from another
    /// address. Of mints and burns only the sum is kept, so that an address with nothing else has the token's first
    /// block, as has one that the ledger does not know; 0 where there are no transfers at all.
    pub fn first_blocks(&self, addresses: &[Address]) -> Vec<(Address, u64)> {
        let mut first = vec![None; self.accounts.len()];
        for flow in self.flows().filter(|flow| !flow.is_nothing) {
            let (block, _) = self.first_place(flow.flow);
            for account in [flow.from, flow.to] {
                let first = &mut first[account as usize];
                *first = Some(first.map_or(block, |earlier: u64| block.min(earlier)));
            }
        }
        let known = |address| first[self.find_account(address)? as usize];
        let beginning = self.totals.first_block.unwrap_or(0);
        addresses.iter().map(|&address| (address, known(address).unwrap_or(beginning))).collect()
    }

    /// Where a flow's first transfer stands: its block, then its position there.
    pub(crate) fn first_place(&self, flow: u32) -> (u64, u32) {
        self.flows.first(flow).order()
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::tests::{address, ledger};
    use crate::{Amount, Ledger, Transfer};

    #[test]
    fn first_blocks_count_trade_of_something_and_else_the_tokens_beginning() {
        let row = |block, from, to, value: u64| Transfer {
            block,
            timestamp: None,
            tx: crate::TxHash::default(),
            log_index: None,
            from: address(from),
            to: address(to),
            value: Amount::from(value),
        };
        let rows = [row(5, 0, 1, 9), row(9, 1, 2, 1), row(7, 1, 2, 2), row(6, 2, 1, 0), row(8, 3, 3, 1)];
        let asked = [1, 2, 3, 4].map(address);
        let blocks: Vec<u64> = ledger(&rows).first_blocks(&asked).into_iter().map(|(_, block)| block).collect();
        assert_eq!(blocks, [7, 7, 5, 5]);
        assert_eq!(Ledger::new().first_blocks(&asked[..1]), [(asked[0], 0)]);
    }
}
