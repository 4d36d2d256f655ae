mod index;
mod storage;

use std::collections::HashMap;

use index::{Hasher, Index, Place};
pub use storage::LedgerError;

use crate::{Address, Amount, Transfer, TxHash, Units};

/// What the transfers of one token add up to: balances, and who traded with whom. Transfers are added one at a time;
/// memory grows with addresses and pairs, not with rows.
///
/// The order of adding does not matter, with one exception: of several transfers between the same two addresses in one
/// block, those without a `log_index` (or with the same one) count as earlier or later as they were added.
#[derive(Clone, Debug)]
pub struct Ledger {
    hasher: Hasher,
    account_index: Index,
    pub(crate) accounts: Vec<Account>,
    /// Finds the first flow of an unordered pair of accounts; its other flows hang on that one.
    pair_index: Index,
    pub(crate) flow_keys: Vec<FlowKey>,
    flows: Vec<Flow>,
    repeats: Vec<Repeat>,
    /// What a flow's total has above its 128 bits, by flow; hardly any has.
    excess: HashMap<u32, Units>,
    pub(crate) totals: Totals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) zero_value_rows: u64,
    pub(crate) self_transfers: u64,
    pub(crate) minted: Units,
    pub(crate) burned: Units,
    pub(crate) zero_to_zero: Units,
    pub(crate) first_block: Option<u64>,
    pub(crate) last_block: Option<u64>,
    /// Of the last block; the latest if its rows disagree.
    pub(crate) last_timestamp: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// Received less sent.
    pub(crate) balance: Units,
    pub(crate) address: Address,
}

/// One direction between two accounts, apart for transfers of something and of nothing, so that an analysis can leave
/// the latter out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowKey {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The next flow of the same unordered pair, or `NONE`.
    next: u32,
    pub(crate) zero_value: bool,
    /// Whether it is the first flow of its pair.
    pub(crate) is_first: bool,
}

/// What belongs to the flow key in the same place. Most flows are of one transfer, so what only others need is
/// elsewhere.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// The lower 128 bits, least first.
    total: [u64; 2],
    first: Moment,
    /// Position in `repeats`, or `NONE` for a flow of one transfer.
    repeat: u32,
}

#[derive(Clone, Copy, Debug)]
struct Repeat {
    transfers: u64,
    last: Moment,
}

/// When a transfer was, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    block: u64,
    /// `u64::MAX` for unknown.
    timestamp: u64,
    tx: TxHash,
    /// One more than the log index; 0 for unknown.
    position: u32,
}

/// A flow as an analysis sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchanged {
    pub(crate) transfers: u64,
    pub(crate) total: Units,
    first: Moment,
    last: Moment,
}

const NONE: u32 = u32::MAX;

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            hasher: Hasher::new(),
            account_index: Index::new(),
            accounts: Vec::new(),
            pair_index: Index::new(),
            flow_keys: Vec::new(),
            flows: Vec::new(),
            repeats: Vec::new(),
            excess: HashMap::new(),
            totals: Totals::default(),
        }
    }

    /// Adds one transfer. The same transfer added twice counts twice: the source tells rows apart, not the ledger.
    #[inline]
    pub fn push(&mut self, transfer: &Transfer) {
        let value = transfer.value;
        self.totals.count(transfer);
        match (transfer.from == Address::ZERO, transfer.to == Address::ZERO) {
            (false, false) => {
                if transfer.from != transfer.to {
                    self.push_trade(transfer);
                }
            }
            _ if value == Amount::ZERO => {}
            (true, false) => {
                self.totals.minted += value.into();
                let to = self.account(transfer.to);
                self.credit(to, value);
            }
            (false, true) => {
                self.totals.burned += value.into();
                let from = self.account(transfer.from);
                self.debit(from, value);
            }
            (true, true) => self.totals.zero_to_zero += value.into(),
        }
    }

    fn push_trade(&mut self, transfer: &Transfer) {
        let from = self.account(transfer.from);
        let to = self.account(transfer.to);
        let zero_value = transfer.value == Amount::ZERO;
        if !zero_value {
            self.debit(from, transfer.value);
            self.credit(to, transfer.value);
        }
        let moment = Moment::of(transfer);
        match self.flow(from, to, zero_value) {
            Place::Old(flow) => self.repeat(flow, transfer.value, moment),
            Place::New(flow) => {
                let (total, excess) = split(transfer.value);
                self.flows.push(Flow { total, first: moment, repeat: NONE });
                self.add_excess(flow, excess);
            }
        }
    }

    /// How many transfers were added.
    pub fn rows(&self) -> u64 {
        self.totals.rows
    }

    /// The last block with a transfer.
    pub fn last_block(&self) -> Option<u64> {
        self.totals.last_block
    }

    /// The `n` addresses with the largest positive balances, by balance, then address.
    pub fn top_holders(&self, n: usize) -> Vec<Address> {
        let mut holders: Vec<&Account> = self.accounts.iter().filter(|account| account.balance.is_positive()).collect();
        let by_rank = |a: &&Account, b: &&Account| b.balance.cmp(&a.balance).then(a.address.cmp(&b.address));
        if n < holders.len() {
            holders.select_nth_unstable_by(n, by_rank);
            holders.truncate(n);
        }
        holders.sort_unstable_by(by_rank);
        holders.iter().map(|account| account.address).collect()
    }

    #[inline]
    fn account(&mut self, address: Address) -> u32 {
        let accounts = &mut self.accounts;
        let hash = self.hasher.address(&address);
        match self.account_index.place(hash, accounts.len(), |account| accounts[account as usize].address == address) {
            Place::Old(account) => account,
            Place::New(account) => {
                accounts.push(Account { balance: Units::ZERO, address });
                account
            }
        }
    }

    pub(crate) fn find_account(&self, address: Address) -> Option<u32> {
        let is_key = |account| self.accounts[account as usize].address == address;
        self.account_index.find(self.hasher.address(&address), is_key)
    }

    #[inline]
    fn credit(&mut self, account: u32, value: Amount) {
        self.accounts[account as usize].balance += value.into();
    }

    #[inline]
    fn debit(&mut self, account: u32, value: Amount) {
        self.accounts[account as usize].balance -= value.into();
    }

    /// Finds the flow or appends its key; what belongs to a new key is the caller's to append.
    #[inline]
    fn flow(&mut self, from: u32, to: u32, zero_value: bool) -> Place {
        let keys = &mut self.flow_keys;
        let hash = self.hasher.pair(from.min(to), from.max(to));
        let same_pair = |key: &FlowKey| (key.from == from && key.to == to) || (key.from == to && key.to == from);
        let first = match self.pair_index.place(hash, keys.len(), |flow| same_pair(&keys[flow as usize])) {
            Place::Old(first) => first,
            Place::New(flow) => {
                keys.push(FlowKey { from, to, next: NONE, zero_value, is_first: true });
                return Place::New(flow);
            }
        };
        let mut flow = first;
        while flow != NONE {
            let key = &keys[flow as usize];
            if key.from == from && key.zero_value == zero_value {
                return Place::Old(flow);
            }
            flow = key.next;
        }
        let flow = u32::try_from(keys.len()).expect("more than 2^32 entries of 64 bytes or more do not fit in memory");
        let next = std::mem::replace(&mut keys[first as usize].next, flow);
        keys.push(FlowKey { from, to, next, zero_value, is_first: false });
        Place::New(flow)
    }

    fn repeat(&mut self, position: u32, value: Amount, moment: Moment) {
        let flow = &mut self.flows[position as usize];
        if flow.repeat == NONE {
            flow.repeat = u32::try_from(self.repeats.len()).expect("there are no more repeats than flows");
            self.repeats.push(Repeat { transfers: 1, last: flow.first });
        }
        let repeat = &mut self.repeats[flow.repeat as usize];
        repeat.transfers += 1;
        if moment.order() < flow.first.order() {
            flow.first = moment;
        }
        if moment.order() >= repeat.last.order() {
            repeat.last = moment;
        }
        let (total, excess) = split(value);
        let (low, carry) = flow.total[0].overflowing_add(total[0]);
        let (high, carry_high) = flow.total[1].overflowing_add(total[1]);
        let (high, carry_again) = high.overflowing_add(u64::from(carry));
        flow.total = [low, high];
        let carry = u128::from(carry_high || carry_again);
        self.add_excess(position, excess + Units::from(carry));
    }

    #[inline]
    fn add_excess(&mut self, flow: u32, excess: Units) {
        if excess != Units::ZERO {
            *self.excess.entry(flow).or_default() += excess;
        }
    }

    /// All flows between the two accounts of the flow `first`, which is the first of its pair.
    pub(crate) fn flows_of_pair(&self, first: u32) -> impl Iterator<Item = (&FlowKey, u32)> {
        let mut flow = first;
        std::iter::from_fn(move || {
            let key = self.flow_keys.get(flow as usize)?;
            Some((key, std::mem::replace(&mut flow, key.next)))
        })
    }

    pub(crate) fn exchanged(&self, flow: u32) -> Exchanged {
        let Flow { total: [low, high], first, repeat } = self.flows[flow as usize];
        let mut total = Units::from_limbs([low, high, 0, 0, 0]);
        if let Some(excess) = self.excess.get(&flow) {
            let [a, b, c, _, _] = excess.limbs();
            total += Units::from_limbs([0, 0, a, b, c]);
        }
        let once = Repeat { transfers: 1, last: first };
        let Repeat { transfers, last } = self.repeats.get(repeat as usize).copied().unwrap_or(once);
        Exchanged { transfers, total, first, last }
    }
}

impl Totals {
    #[inline]
    fn count(&mut self, transfer: &Transfer) {
        self.rows += 1;
        self.zero_value_rows += u64::from(transfer.value == Amount::ZERO);
        self.self_transfers += u64::from(transfer.from == transfer.to);
        let block = transfer.block;
        self.first_block = Some(self.first_block.map_or(block, |first| first.min(block)));
        if self.last_block.is_none_or(|last| last < block) {
            self.last_block = Some(block);
            self.last_timestamp = transfer.timestamp;
        } else if self.last_block == Some(block) {
            self.last_timestamp = self.last_timestamp.max(transfer.timestamp);
        }
    }
}

impl Moment {
    fn of(transfer: &Transfer) -> Self {
        Self {
            block: transfer.block,
            timestamp: transfer.timestamp.unwrap_or(u64::MAX),
            tx: transfer.tx,
            position: transfer.log_index.map_or(0, |index| index.saturating_add(1)),
        }
    }

    fn order(&self) -> (u64, u32) {
        (self.block, self.position)
    }

    fn timestamp(&self) -> Option<u64> {
        (self.timestamp != u64::MAX).then_some(self.timestamp)
    }
}

impl Exchanged {
    /// Both together.
    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            transfers: self.transfers + other.transfers,
            total: self.total + other.total,
            first: if other.first.order() < self.first.order() { other.first } else { self.first },
            last: if other.last.order() > self.last.order() { other.last } else { self.last },
        }
    }

    pub(crate) fn first_block(&self) -> u64 {
        self.first.block
    }

    pub(crate) fn last_block(&self) -> u64 {
        self.last.block
    }

    pub(crate) fn first_timestamp(&self) -> Option<u64> {
        self.first.timestamp()
    }

    pub(crate) fn last_timestamp(&self) -> Option<u64> {
        self.last.timestamp()
    }

    pub(crate) fn first_tx(&self) -> TxHash {
        self.first.tx
    }

    pub(crate) fn last_tx(&self) -> TxHash {
        self.last.tx
    }
}

/// The lower 128 bits, and what is above them.
#[inline]
fn split(value: Amount) -> ([u64; 2], Units) {
    let [a, b, c, d] = *value.as_limbs();
    ([a, b], Units::from_limbs([c, d, 0, 0, 0]))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn address(number: u8) -> Address {
        Address([number; 20])
    }

    /// Transfers between a few addresses, the zero address among them, of nothing, of little, and of all there can be;
    /// no two have the same place in the chain.
    pub(crate) fn any_transfers(addresses: u8, rows: usize) -> impl Strategy<Value = Vec<Transfer>> {
        let value = prop_oneof![
            1 => Just(Amount::ZERO),
            4 => (1_u64..1_000_000).prop_map(Amount::from),
            1 => any::<u128>().prop_map(Amount::from),
            1 => Just(Amount::MAX),
        ];
        let row = (0..4_u64, any::<bool>(), 0..addresses, 0..addresses, value);
        prop::collection::vec(row, 0..rows).prop_map(|rows| {
            let rows = (0_u8..).zip(rows);
            rows.map(|(index, (block, timed, from, to, value))| Transfer {
                block,
                timestamp: timed.then_some(1_000 + block),
                tx: TxHash([index; 32]),
                log_index: Some(index.into()),
                from: address(from),
                to: address(to),
                value,
            })
            .collect()
        })
    }

    pub(crate) fn ledger(transfers: &[Transfer]) -> Ledger {
        let mut ledger = Ledger::new();
        for transfer in transfers {
            ledger.push(transfer);
        }
        ledger
    }

    fn saved(ledger: &Ledger) -> Vec<u8> {
        let mut bytes = Vec::new();
        ledger.save(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn what_was_minted_and_not_burned_is_somebodys(transfers in any_transfers(8, 60)) {
            let ledger = ledger(&transfers);
            let balances: Units = ledger.accounts.iter().map(|account| account.balance).sum();
            prop_assert_eq!(balances, ledger.totals.minted - ledger.totals.burned);
        }

        #[test]
        fn flows_add_up_the_rows_between_two_addresses(transfers in any_transfers(5, 100)) {
            let ledger = ledger(&transfers);
            let mut rows = 0;
            for (flow, key) in (0..).zip(&ledger.flow_keys) {
                let [from, to] = [key.from, key.to].map(|account| ledger.accounts[account as usize].address);
                let of_flow = |t: &&Transfer| t.from == from && t.to == to && (t.value == Amount::ZERO) == key.zero_value;
                let mut of_flow: Vec<&Transfer> = transfers.iter().filter(of_flow).collect();
                of_flow.sort_by_key(|transfer| (transfer.block, transfer.log_index));
                let (first, last) = (of_flow[0], of_flow[of_flow.len() - 1]);
                let exchanged = ledger.exchanged(flow);
                prop_assert_eq!(exchanged.transfers, of_flow.len() as u64);
                prop_assert_eq!(exchanged.total, of_flow.iter().map(|transfer| Units::from(transfer.value)).sum());
                prop_assert_eq!((exchanged.first_block(), exchanged.first_tx()), (first.block, first.tx));
                prop_assert_eq!((exchanged.last_block(), exchanged.last_tx()), (last.block, last.tx));
                prop_assert_eq!(exchanged.first_timestamp(), first.timestamp);
                prop_assert_eq!(exchanged.last_timestamp(), last.timestamp);
                rows += of_flow.len();
            }
            let traded = |t: &&Transfer| t.from != t.to && t.from != Address::ZERO && t.to != Address::ZERO;
            prop_assert_eq!(rows, transfers.iter().filter(traded).count());
        }

        #[test]
        fn a_saved_ledger_loads_as_it_was_and_what_follows_it_is_left(transfers in any_transfers(8, 60)) {
            let bytes = saved(&ledger(&transfers));
            let mut input = bytes.clone();
            input.extend_from_slice(b"more");
            let mut input = &input[..];
            let loaded = Ledger::load(&mut input).unwrap();
            prop_assert_eq!(input, b"more");
            prop_assert_eq!(saved(&loaded), bytes);
            prop_assert_eq!(loaded.totals, ledger(&transfers).totals);
        }

        #[test]
        fn a_damaged_ledger_is_refused(transfers in any_transfers(8, 60), place: prop::sample::Index, bit in 0..8_u8) {
            let mut bytes = saved(&ledger(&transfers));
            let place = place.index(bytes.len());
            prop_assert!(Ledger::load(&mut &bytes[..place]).is_err());
            bytes[place] ^= 1 << bit;
            prop_assert!(Ledger::load(&mut &bytes[..]).is_err());
        }

        #[test]
        fn no_bytes_make_loading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Ledger::load(&mut &bytes[..]).is_err());
            let mut framed = b"HFLEDGER\x01\x00".to_vec();
            framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
            framed.extend_from_slice(&bytes);
            prop_assert!(Ledger::load(&mut &framed[..]).is_err());
        }

        #[test]
        fn the_top_holders_are_the_largest_in_order(transfers in any_transfers(12, 60), n in 0_usize..14) {
            let ledger = ledger(&transfers);
            let mut holders: Vec<_> = ledger.accounts.iter().filter(|account| account.balance.is_positive()).collect();
            holders.sort_by_key(|account| (std::cmp::Reverse(account.balance), account.address));
            let addresses: Vec<Address> = holders.iter().take(n).map(|account| account.address).collect();
            prop_assert_eq!(ledger.top_holders(n), addresses);
        }
    }

    #[test]
    fn a_ledger_of_many_frames_loads_as_it_was() {
        let transfers: Vec<Transfer> = crate::sample::transfers(3, 20_000, 3_000).collect();
        let ledger = ledger(&transfers);
        let bytes = saved(&ledger);
        assert!(bytes.len() > 4 << 16);
        assert_eq!(saved(&Ledger::load(&mut &bytes[..]).unwrap()), bytes);
        assert_eq!(ledger.rows(), 20_000);
        assert_eq!(ledger.last_block(), transfers.last().map(|transfer| transfer.block));
    }

    #[test]
    fn foreign_bytes_and_other_versions_are_told_apart() {
        let mut bytes = saved(&Ledger::new());
        assert!(Ledger::load(&mut &bytes[..]).is_ok());
        bytes[8] = 2;
        assert_eq!(Ledger::load(&mut &bytes[..]).unwrap_err().to_string(), "a ledger of version 2, expected 1");
        bytes[0] = b'h';
        assert!(matches!(Ledger::load(&mut &bytes[..]), Err(LedgerError::Foreign)));
    }

    #[test]
    fn sums_beyond_256_bits_are_exact() {
        let transfer = Transfer {
            block: 1,
            timestamp: None,
            tx: TxHash::default(),
            log_index: None,
            from: address(1),
            to: address(2),
            value: Amount::MAX,
        };
        let ledger = ledger(&[transfer; 5]);
        let five = "578960446186580977117854925043439539266349923328202820197287920039565648199675";
        assert_eq!(ledger.exchanged(0).total.to_string(), five);
        assert_eq!(ledger.accounts[0].balance.to_string(), format!("-{five}"));
        assert_eq!(ledger.accounts[1].balance.to_string(), five);
        assert_eq!(saved(&Ledger::load(&mut &saved(&ledger)[..]).unwrap()), saved(&ledger));
    }

    #[test]
    fn without_log_indexes_the_order_of_rows_in_a_block_decides() {
        let row = |tx| Transfer {
            block: 1,
            timestamp: None,
            tx: TxHash([tx; 32]),
            log_index: None,
            from: address(1),
            to: address(2),
            value: Amount::from(1),
        };
        let exchanged = ledger(&[row(3), row(1), row(2)]).exchanged(0);
        assert_eq!((exchanged.first_tx(), exchanged.last_tx()), (TxHash([3; 32]), TxHash([2; 32])));
    }
}
