mod first;
mod index;
mod storage;

use std::collections::HashMap;

use index::{Hasher, Index, NONE, Place};
pub use storage::LedgerError;

use crate::{Address, Amount, Transfer, TxHash, Units};

/// What the transfers of one token add up to: balances, and who traded with whom. Transfers are added one at a time;
/// memory grows with addresses and pairs, not with rows.
///
/// The order of adding does not matter, with one exception: of several transfers between the same two addresses in one
/// block, those without a `log_index` (or with the same one) count as earlier or later as they were added.
///
/// Amounts and their sums are exact. Of times, those from the year 2106 on are taken for unknown in links.
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

/// A cache line: finding an account by its address brings its balance along.
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
    /// With `FLAG` for the first flow of its unordered pair.
    from: u32,
    /// With `FLAG` for transfers of nothing.
    to: u32,
    /// The next flow of the same pair, or `NONE`.
    next: u32,
    /// Position in `repeats`, or `NONE` for a flow of one transfer.
    repeat: u32,
}

/// What belongs to the flow key in the same place. Most flows are of one transfer, so what only others need is
/// elsewhere.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// The lower 128 bits, least first.
    total: [u64; 2],
    first: Moment,
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
    /// `UNKNOWN_TIME`, or seconds since 1970.
    timestamp: u32,
    /// One more than the log index; 0 for unknown.
    position: u32,
    tx: TxHash,
}

/// A flow as an analysis sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchanged {
    pub(crate) transfers: u64,
    pub(crate) total: Units,
    first: Moment,
    last: Moment,
}

/// A bit that no position has.
const FLAG: u32 = NONE;
/// A later time than this, in 2106, is taken for unknown.
const UNKNOWN_TIME: u32 = u32::MAX;
/// How many transfers are added in step: enough to fill the time memory takes, few enough to stay in the first cache.
const STEP: usize = 128;

/// A transfer between two accounts on its way into the ledger.
#[derive(Clone, Copy, Default)]
struct Trade {
    /// In its slice of transfers.
    row: usize,
    from: u32,
    to: u32,
    pair: Sought,
    /// The flow it repeats, or `NONE` if it began one.
    repeats: u32,
}

/// What to look up in an index.
#[derive(Clone, Copy)]
struct Sought {
    hash: u32,
    /// Where it was found by its hash alone, or `NONE`.
    likely: u32,
}

impl Sought {
    fn new(hash: u32) -> Self {
        Self { hash, likely: NONE }
    }
}

impl Default for Sought {
    fn default() -> Self {
        Self::new(0)
    }
}

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
    pub fn push(&mut self, transfer: &Transfer) {
        let sides = [&transfer.from, &transfer.to].map(|address| Sought::new(self.hasher.address(address)));
        if let Some((from, to)) = self.settle(transfer, sides) {
            let pair = Sought::new(self.hasher.pair(from, to));
            let flow = self.flow_of(&Trade { row: 0, from, to, pair, repeats: NONE }, transfer);
            self.repeat(flow, transfer);
        }
    }

    /// Adds transfers in the order given, several times faster than one by one.
    ///
    /// Adding one transfer is a chain of lookups, each waiting for memory. Here each link of the chain is taken for
    /// many transfers before the next, and the memory it will need is read ahead, so that the waits overlap.
    pub fn extend_from_slice(&mut self, transfers: &[Transfer]) {
        for transfers in transfers.chunks(STEP) {
            self.push_in_step(transfers);
        }
    }

    /// The loops that only read ahead are short, so that the processor runs far into them while it waits.
    fn push_in_step(&mut self, transfers: &[Transfer]) {
        let mut sides = [[Sought::default(); 2]; STEP];
        let mut trades = [Trade::default(); STEP];
        let mut read_ahead = 0;

        let sides = &mut sides[..transfers.len()];
        for (transfer, sides) in transfers.iter().zip(&mut *sides) {
            *sides = [&transfer.from, &transfer.to].map(|address| Sought::new(self.hasher.address(address)));
        }
        for side in sides.as_flattened() {
            read_ahead ^= self.account_index.touch(side.hash);
        }
        for side in sides.as_flattened_mut() {
            side.likely = self.account_index.likely(side.hash);
            if let Some(account) = self.accounts.get(side.likely as usize) {
                read_ahead ^= u32::from(account.address.0[0]);
            }
        }
        let mut traded = 0;
        for (row, (transfer, &sides)) in transfers.iter().zip(&*sides).enumerate() {
            if let Some((from, to)) = self.settle(transfer, sides) {
                trades[traded] = Trade { row, from, to, pair: Sought::new(self.hasher.pair(from, to)), repeats: NONE };
                traded += 1;
            }
        }
        let trades = &mut trades[..traded];
        for trade in &*trades {
            read_ahead ^= self.pair_index.touch(trade.pair.hash);
        }
        for Trade { pair, .. } in &mut *trades {
            pair.likely = self.pair_index.likely(pair.hash);
            if let Some(flow) = self.flow_keys.get(pair.likely as usize) {
                read_ahead ^= flow.from;
            }
        }
        for trade in &mut *trades {
            trade.repeats = self.flow_of(trade, &transfers[trade.row]);
        }
        for trade in &*trades {
            if let Some(flow) = self.flows.get(trade.repeats as usize) {
                read_ahead ^= flow.first.position;
                if let Some(repeat) = self.repeats.get(self.flow_keys[trade.repeats as usize].repeat as usize) {
                    read_ahead ^= repeat.last.position;
                }
            }
        }
        for trade in trades {
            self.repeat(trade.repeats, &transfers[trade.row]);
        }
        // Reading ahead has no other effect that would keep the compiler from leaving it out.
        std::hint::black_box(read_ahead);
    }

    /// Counts the transfer and moves its value. Its accounts come back if it was between two.
    #[inline]
    fn settle(&mut self, transfer: &Transfer, [sought_from, sought_to]: [Sought; 2]) -> Option<(u32, u32)> {
        let value = Units::from(transfer.value);
        let is_nothing = transfer.value == Amount::ZERO;
        self.totals.count(transfer);
        match (transfer.from == Address::ZERO, transfer.to == Address::ZERO) {
            (false, false) if transfer.from != transfer.to => {
                let from = self.account(transfer.from, sought_from);
                let to = self.account(transfer.to, sought_to);
                if !is_nothing {
                    self.accounts[from as usize].balance -= value;
                    self.accounts[to as usize].balance += value;
                }
                return Some((from, to));
            }
            (true, false) if !is_nothing => {
                self.totals.minted += value;
                let to = self.account(transfer.to, sought_to);
                self.accounts[to as usize].balance += value;
            }
            (false, true) if !is_nothing => {
                self.totals.burned += value;
                let from = self.account(transfer.from, sought_from);
                self.accounts[from as usize].balance -= value;
            }
            (true, true) => self.totals.zero_to_zero += value,
            _ => {}
        }
        None
    }

    /// The flow the transfer repeats, or `NONE` if it began one, in which it is.
    #[inline]
    fn flow_of(&mut self, trade: &Trade, transfer: &Transfer) -> u32 {
        let is_nothing = transfer.value == Amount::ZERO;
        match self.flow(trade.from, trade.to, is_nothing, trade.pair) {
            Place::Old(flow) => flow,
            Place::New(flow) => {
                let (total, excess) = split(transfer.value);
                self.flows.push(Flow { total, first: Moment::of(transfer) });
                self.add_excess(flow, excess);
                NONE
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

    /// How many addresses have a positive balance.
    pub fn holders(&self) -> u64 {
        self.accounts.iter().filter(|account| account.balance.is_positive()).count() as u64
    }

    #[inline]
    fn account(&mut self, address: Address, sought: Sought) -> u32 {
        let accounts = &mut self.accounts;
        let is_key = |account: u32| accounts.get(account as usize).is_some_and(|account| account.address == address);
        if is_key(sought.likely) {
            return sought.likely;
        }
        match self.account_index.place(sought.hash, accounts.len(), is_key) {
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

    /// Finds the flow or appends its key; what belongs to a new key is the caller's to append.
    #[inline]
    fn flow(&mut self, from: u32, to: u32, is_nothing: bool, pair: Sought) -> Place {
        let keys = &mut self.flow_keys;
        let flagged_to = if is_nothing { to | FLAG } else { to };
        let is_pair = |flow: u32| {
            let ends = keys.get(flow as usize).map(|key| (key.from(), key.to()));
            ends == Some((from, to)) || ends == Some((to, from))
        };
        let place = if is_pair(pair.likely) {
            Place::Old(pair.likely)
        } else {
            self.pair_index.place(pair.hash, keys.len(), is_pair)
        };
        let first = match place {
            Place::Old(first) => first,
            Place::New(flow) => {
                keys.push(FlowKey { from: from | FLAG, to: flagged_to, next: NONE, repeat: NONE });
                return Place::New(flow);
            }
        };
        let mut flow = first;
        while let Some(key) = keys.get(flow as usize) {
            if key.from() == from && key.is_nothing() == is_nothing {
                return Place::Old(flow);
            }
            flow = key.next;
        }
        let flow = u32::try_from(keys.len()).ok().filter(|&flow| flow < NONE);
        let flow = flow.expect("2^31 entries of 64 bytes or more do not fit in memory");
        let next = std::mem::replace(&mut keys[first as usize].next, flow);
        keys.push(FlowKey { from, to: flagged_to, next, repeat: NONE });
        Place::New(flow)
    }

    /// Adds the transfer to the flow; nothing is left to do for `NONE`.
    #[inline]
    fn repeat(&mut self, flow: u32, transfer: &Transfer) {
        let Some(Flow { total, first }) = self.flows.get_mut(flow as usize) else {
            return;
        };
        let moment = Moment::of(transfer);
        let repeat = &mut self.flow_keys[flow as usize].repeat;
        if *repeat == NONE {
            *repeat = u32::try_from(self.repeats.len()).expect("there are no more repeats than flows");
            self.repeats.push(Repeat { transfers: 1, last: *first });
        }
        let repeat = &mut self.repeats[*repeat as usize];
        repeat.transfers += 1;
        if moment.order() < first.order() {
            *first = moment;
        }
        if moment.order() >= repeat.last.order() {
            repeat.last = moment;
        }
        let (value, excess) = split(transfer.value);
        let (low, carry) = total[0].overflowing_add(value[0]);
        let (high, carry_high) = total[1].overflowing_add(value[1]);
        let (high, carry_again) = high.overflowing_add(u64::from(carry));
        *total = [low, high];
        if carry_high || carry_again {
            self.add_excess(flow, [1, 0]);
        }
        self.add_excess(flow, excess);
    }

    /// `[low, high]` times 2¹²⁸.
    #[inline]
    fn add_excess(&mut self, flow: u32, [low, high]: [u64; 2]) {
        if low | high != 0 {
            *self.excess.entry(flow).or_default() += Units::from_limbs([low, high, 0, 0, 0]);
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

    /// What the flow moved.
    pub(crate) fn total(&self, flow: u32) -> Units {
        let [low, high] = self.flows[flow as usize].total;
        let mut total = Units::from_limbs([low, high, 0, 0, 0]);
        if let Some(excess) = self.excess.get(&flow) {
            let [a, b, c, _, _] = excess.limbs();
            total += Units::from_limbs([0, 0, a, b, c]);
        }
        total
    }

    pub(crate) fn exchanged(&self, flow: u32) -> Exchanged {
        let first = self.flows[flow as usize].first;
        let repeat = self.flow_keys[flow as usize].repeat;
        let total = self.total(flow);
        let once = Repeat { transfers: 1, last: first };
        let Repeat { transfers, last } = self.repeats.get(repeat as usize).copied().unwrap_or(once);
        Exchanged { transfers, total, first, last }
    }
}

impl FlowKey {
    #[inline]
    pub(crate) fn from(&self) -> u32 {
        self.from & !FLAG
    }

    #[inline]
    pub(crate) fn to(&self) -> u32 {
        self.to & !FLAG
    }

    /// Whether it is the first flow of its unordered pair.
    #[inline]
    pub(crate) fn is_first(&self) -> bool {
        self.from & FLAG != 0
    }

    /// Whether its transfers move nothing.
    #[inline]
    pub(crate) fn is_nothing(&self) -> bool {
        self.to & FLAG != 0
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
            timestamp: transfer.timestamp.and_then(|time| time.try_into().ok()).unwrap_or(UNKNOWN_TIME),
            position: transfer.log_index.map_or(0, |index| index.saturating_add(1)),
            tx: transfer.tx,
        }
    }

    fn order(&self) -> (u64, u32) {
        (self.block, self.position)
    }

    fn timestamp(&self) -> Option<u64> {
        (self.timestamp != UNKNOWN_TIME).then_some(self.timestamp.into())
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

/// The lower 128 bits, and those above them.
#[inline]
fn split(value: Amount) -> ([u64; 2], [u64; 2]) {
    let [a, b, c, d] = *value.as_limbs();
    ([a, b], [c, d])
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
        ledger.extend_from_slice(transfers);
        ledger
    }

    fn saved(ledger: &Ledger) -> Vec<u8> {
        let mut bytes = Vec::new();
        ledger.save(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn adding_one_by_one_or_many_at_once_is_the_same(transfers in any_transfers(8, 200), start: prop::sample::Index) {
            let (before, after) = transfers.split_at(start.index(transfers.len() + 1));
            let mut one_by_one = Ledger::new();
            transfers.iter().for_each(|transfer| one_by_one.push(transfer));
            let mut at_once = ledger(before);
            at_once.extend_from_slice(after);
            prop_assert_eq!(saved(&one_by_one), saved(&at_once));
        }

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
                let [from, to] = [key.from(), key.to()].map(|account| ledger.accounts[account as usize].address);
                let of_flow = |t: &&Transfer| t.from == from && t.to == to && (t.value == Amount::ZERO) == key.is_nothing();
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
            prop_assert_eq!(ledger.holders(), holders.len() as u64);
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
