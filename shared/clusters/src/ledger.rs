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

    fn repeat(&mut self, flow_: u32, value: Amount, moment: Moment) {
        let flow = &mut self.flows[flow_ as usize];
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
        self.add_excess(flow_, excess + Units::from(carry));
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
