mod accounts;
mod first;
mod flows;
mod index;
mod low;
mod storage;

use std::cmp::Reverse;

pub(crate) use accounts::Accounts;
use flows::Flows;
pub(crate) use flows::{Flags, Flow};
use index::{Hasher, Index, NONE, Place};
use low::Low;
use prefetch_index::prefetch_index;
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
    pub(crate) accounts: Accounts,
    flows: Flows,
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

/// When a transfer was.
#[derive(Clone, Copy, Debug)]
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

/// A later time than this, in 2106, is taken for unknown.
const UNKNOWN_TIME: u32 = u32::MAX;
/// How many transfers are added in step: enough to fill the time memory takes, few enough to stay in the first cache.
const STEP: usize = 128;

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
            accounts: Accounts::new(),
            flows: Flows::default(),
            totals: Totals::default(),
        }
    }

    /// Adds one transfer. The same transfer added twice counts twice: the source tells rows apart, not the ledger.
    pub fn push(&mut self, transfer: &Transfer) {
        self.extend_from_slice(std::slice::from_ref(transfer));
    }

    /// Adds transfers in the order given, several times faster than one by one.
    pub fn extend_from_slice(&mut self, transfers: &[Transfer]) {
        for transfers in transfers.chunks(STEP) {
            self.add_in_step(transfers);
            self.flows.make_room(self.accounts.len());
        }
    }

    /// At most `STEP` transfers.
    ///
    /// Finding an account is a chain of lookups, each waiting for memory. Here each link of the chain is taken for many
    /// transfers before the next, and memory is asked ahead for what that will need, so that the waits overlap.
    fn add_in_step(&mut self, transfers: &[Transfer]) {
        self.totals.count(transfers);
        let (mut hashes, mut ends) = ([[0; 2]; STEP], [[NONE; 2]; STEP]);
        let (hashes, ends) = (&mut hashes[..transfers.len()], &mut ends[..transfers.len()]);
        let hashed = transfers.iter().zip(&mut *hashes).flat_map(|(transfer, hashes)| {
            *hashes = [&transfer.from, &transfer.to].map(|address| self.hasher.address(address));
            *hashes
        });
        self.account_index.prefetch(hashed);
        let accounts = self.accounts.as_slice();
        let likely = self.account_index.likely(hashes.as_flattened().iter().copied());
        for (end, account) in ends.as_flattened_mut().iter_mut().zip(likely) {
            *end = account;
            prefetch_index(accounts, account as usize);
        }
        for (transfer, ends) in transfers.iter().zip(&mut *ends) {
            for (end, address) in ends.iter_mut().zip([&transfer.from, &transfer.to]) {
                if accounts.get(*end as usize).is_none_or(|account| account.address != *address) {
                    *end = NONE;
                }
            }
        }

        // Rows between known accounts are added run by run, all others one by one.
        let mut run = 0;
        for (place, (transfer, hashes)) in transfers.iter().zip(hashes).enumerate() {
            let [from, to] = ends[place];
            let is_narrow = Low::is_all(&transfer.value) && flows::is_early(transfer.block);
            if is_narrow && from.max(to) < NONE && from != to {
                continue;
            }
            match self.ends(transfer, *hashes) {
                Some(found) if is_narrow => {
                    ends[place] = found;
                    continue;
                }
                found => {
                    self.add_run(&transfers[run..place], &ends[run..place]);
                    run = place + 1;
                    self.add_other(transfer, *hashes, found);
                }
            }
        }
        self.add_run(&transfers[run..], &ends[run..]);
    }

    /// Between whom a transfer was, if it is of the kind that makes a flow.
    #[inline]
    fn ends(&mut self, transfer: &Transfer, hashes: [u32; 2]) -> Option<[u32; 2]> {
        let Transfer { from, to, .. } = transfer;
        let is_trade = from != to && *from != Address::ZERO && *to != Address::ZERO;
        is_trade.then(|| [self.account(from, hashes[0]), self.account(to, hashes[1])])
    }

    /// Transfers that are told in short and between whom they were.
    fn add_run(&mut self, transfers: &[Transfer], ends: &[[u32; 2]]) {
        let values = transfers.iter().map(|transfer| Low::of(&transfer.value));
        self.totals.zero_value_rows += values.clone().map(|value| u64::from(value == 0)).sum::<u64>();
        self.accounts.send_all(ends.iter().copied().zip(values));
        self.flows.extend(transfers, ends);
    }

    /// A mint, a burn, a transfer to oneself, or one between `ends` that is not told in short.
    #[cold]
    fn add_other(&mut self, transfer: &Transfer, hashes: [u32; 2], ends: Option<[u32; 2]>) {
        let value = Units::from(transfer.value);
        let is_nothing = transfer.value == Amount::ZERO;
        self.totals.zero_value_rows += u64::from(is_nothing);
        match (transfer.from == Address::ZERO, transfer.to == Address::ZERO, ends) {
            (_, _, Some([from, to])) => {
                self.accounts.add(from, -value);
                self.accounts.add(to, value);
                self.flows.push(transfer, [from, to]);
            }
            (false, false, None) => self.totals.self_transfers += 1,
            (true, false, None) if !is_nothing => {
                self.totals.minted += value;
                let to = self.account(&transfer.to, hashes[1]);
                self.accounts.add(to, value);
            }
            (false, true, None) if !is_nothing => {
                self.totals.burned += value;
                let from = self.account(&transfer.from, hashes[0]);
                self.accounts.add(from, -value);
            }
            (true, true, None) => {
                self.totals.self_transfers += 1;
                self.totals.zero_to_zero += value;
            }
            _ => {}
        }
    }

    /// The memory it takes, about.
    pub fn bytes(&self) -> u64 {
        (self.accounts.bytes() + self.account_index.bytes() + self.flows.bytes()) as u64
    }

    /// Adds up what was sent between the same two. This changes nothing of what the ledger says; it may take less memory
    /// then.
    pub fn settle(&mut self) {
        self.flows.settle(self.accounts.len());
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
        let mut holders: Vec<(Reverse<Units>, Address)> =
            self.balances().map(|(address, balance)| (Reverse(balance), address)).collect();
        if n < holders.len() {
            holders.select_nth_unstable(n);
            holders.truncate(n);
        }
        holders.sort_unstable();
        holders.into_iter().map(|(_, address)| address).collect()
    }

    /// How many addresses have a positive balance.
    pub fn holders(&self) -> u64 {
        self.balances().count() as u64
    }

    /// The positive ones.
    fn balances(&self) -> impl Iterator<Item = (Address, Units)> {
        self.accounts.iter().filter(|(_, balance)| balance.is_positive())
    }

    /// Finds the account or opens it.
    fn account(&mut self, address: &Address, hash: u32) -> u32 {
        let accounts = self.accounts.as_slice();
        let is_key = |account: u32| accounts[account as usize].address == *address;
        let hash_at = |account: u32| self.hasher.address(&accounts[account as usize].address);
        match self.account_index.place(hash, accounts.len(), is_key, hash_at) {
            Place::Old(account) => account,
            Place::New(account) => {
                self.accounts.push(*address);
                account
            }
        }
    }

    pub(crate) fn find_account(&self, address: Address) -> Option<u32> {
        let is_key = |account| self.accounts.address(account) == address;
        self.account_index.find(self.hasher.address(&address), is_key)
    }

    /// All flows by age; of a settled ledger each pair, direction, and something or nothing once.
    pub(crate) fn flows(&self) -> impl Iterator<Item = Flow> {
        self.flows.iter()
    }

    /// The same, each with the accounts of one that comes somewhat later, for who wants to ask memory about them.
    pub(crate) fn flows_ahead(&self) -> impl Iterator<Item = (Flow, [u32; 2])> {
        self.flows.iter_ahead()
    }

    pub(crate) fn flow(&self, flow: u32) -> Flow {
        self.flows.flow(flow)
    }

    pub(crate) fn flows_of_at_least(&self, least: Units) -> Flags {
        self.flows.at_least(least)
    }

    /// What the flow moved.
    pub(crate) fn total(&self, flow: u32) -> Units {
        self.flows.total(flow)
    }

    pub(crate) fn exchanged(&self, flow: u32) -> Exchanged {
        self.flows.exchanged(flow)
    }
}

impl Totals {
    /// How many they are, and when.
    #[inline]
    fn count(&mut self, transfers: &[Transfer]) {
        self.rows += transfers.len() as u64;
        let blocks = transfers.iter().map(|transfer| transfer.block);
        let Some((first, last)) = blocks.clone().min().zip(blocks.max()) else { return };
        self.first_block = Some(self.first_block.map_or(first, |before| before.min(first)));
        if self.last_block > Some(last) {
            return;
        }
        let of_last = transfers.iter().filter(|transfer| transfer.block == last);
        let timestamp = of_last.map(|transfer| transfer.timestamp).max().flatten();
        let before = self.last_timestamp.filter(|_| self.last_block == Some(last));
        (self.last_block, self.last_timestamp) = (Some(last), timestamp.max(before));
    }
}

impl Moment {
    fn of(transfer: &Transfer) -> Self {
        Self {
            block: transfer.block,
            timestamp: Self::short_time(transfer),
            position: Self::place(transfer),
            tx: transfer.tx,
        }
    }

    #[inline]
    fn short_time(transfer: &Transfer) -> u32 {
        transfer.timestamp.and_then(|time| time.try_into().ok()).unwrap_or(UNKNOWN_TIME)
    }

    #[inline]
    fn place(transfer: &Transfer) -> u32 {
        transfer.log_index.map_or(0, |index| index.saturating_add(1))
    }

    fn order(&self) -> (u64, u32) {
        (self.block, self.position)
    }

    fn timestamp(&self) -> Option<u64> {
        (self.timestamp != UNKNOWN_TIME).then_some(self.timestamp.into())
    }
}

impl Exchanged {
    /// Both together; of two at the same place `other` is the later.
    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            transfers: self.transfers + other.transfers,
            total: self.total + other.total,
            first: if other.first.order() < self.first.order() { other.first } else { self.first },
            last: if other.last.order() >= self.last.order() { other.last } else { self.last },
        }
    }

    /// Its block, then its position there.
    pub(crate) fn first_place(&self) -> (u64, u32) {
        self.first.order()
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

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn address(number: u8) -> Address {
        Address([number; 20])
    }

    /// Transfers between a few addresses, the zero address among them, of nothing, of little, and of all there can be,
    /// in early and in late blocks; no two have the same place in the chain.
    pub(crate) fn any_transfers(addresses: u8, rows: usize) -> impl Strategy<Value = Vec<Transfer>> {
        let value = prop_oneof![
            1 => Just(Amount::ZERO),
            4 => (1_u64..1_000_000).prop_map(Amount::from),
            1 => any::<u128>().prop_map(Amount::from),
            1 => Just(Amount::MAX),
        ];
        // Those at the end of 32 bits are kept in another way.
        let end = u64::from(u32::MAX);
        let block = prop_oneof![12 => 0..4_u64, 1 => end - 1..=end + 1];
        let row = (block, any::<bool>(), 0..addresses, 0..addresses, value);
        prop::collection::vec(row, 0..rows).prop_map(|rows| {
            let rows = (0_u8..).zip(rows);
            rows.map(|(index, (block, timed, from, to, value))| Transfer {
                block,
                timestamp: timed.then_some(1_000 + block % 8),
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
        let (mut ledger, mut bytes) = (ledger.clone(), Vec::new());
        ledger.save(&mut bytes).unwrap();
        bytes
    }

    /// Between whom, whether of nothing, how many, and how much.
    type Added = BTreeMap<(Address, Address, bool), (u64, Units)>;

    fn by_flow(ledger: &Ledger) -> Added {
        let mut added = Added::new();
        for Flow { flow, from, to, is_nothing } in ledger.flows() {
            let [from, to] = [from, to].map(|account| ledger.accounts.address(account));
            let (transfers, total) = added.entry((from, to, is_nothing)).or_default();
            let exchanged = ledger.exchanged(flow);
            (*transfers, *total) = (*transfers + exchanged.transfers, *total + exchanged.total);
        }
        added
    }

    #[test]
    fn many_accounts_are_added_up_as_a_map_would() {
        let transfers: Vec<Transfer> = crate::sample::transfers(3, 150_000, 70_000).collect();
        let mut expected = Added::new();
        for t in transfers.iter().filter(|t| t.from != t.to && t.from != Address::ZERO && t.to != Address::ZERO) {
            let (count, total) = expected.entry((t.from, t.to, t.value == Amount::ZERO)).or_default();
            (*count, *total) = (*count + 1, *total + Units::from(t.value));
        }
        let mut ledger = ledger(&transfers);
        assert!(ledger.accounts.len() > 30_000, "several groups of accounts, and lists in large pages");
        assert_eq!(by_flow(&ledger), expected);
        let before = ledger.bytes();
        ledger.settle();
        assert_eq!(by_flow(&ledger), expected);
        assert_eq!(ledger.flows().count(), expected.len());
        assert!(ledger.bytes() < before);
        let loaded = Ledger::load(&mut &saved(&ledger)[..]).unwrap();
        assert_eq!(by_flow(&loaded), expected);
    }

    #[test]
    fn flows_are_added_up_when_that_leaves_half_of_them_or_fewer() {
        let transfers: Vec<Transfer> = crate::sample::transfers(3, 60_000, 20_000).collect();
        let mut few = Ledger::new();
        (0..20).for_each(|_| few.extend_from_slice(&transfers[..3_000]));
        let mut many = ledger(&transfers);
        let kinds = |ledger: &Ledger| by_flow(ledger).len();
        for (ledger, is_worth_it) in [(&mut few, true), (&mut many, false)] {
            let before = ledger.flows().count();
            ledger.flows.make_more_room(ledger.accounts.len());
            assert_eq!(ledger.flows().count(), if is_worth_it { kinds(ledger) } else { before });
            assert_eq!(kinds(ledger) < before / 2, is_worth_it);
        }
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
        fn when_it_is_settled_makes_no_difference(
            transfers in any_transfers(5, 200),
            often in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut settled = Ledger::new();
            let ends: BTreeSet<usize> = often.iter().map(|end| end.index(transfers.len() + 1)).collect();
            for (at, transfer) in transfers.iter().enumerate() {
                if ends.contains(&at) {
                    settled.settle();
                }
                settled.push(transfer);
            }
            prop_assert_eq!(saved(&settled), saved(&ledger(&transfers)));
        }

        #[test]
        fn what_was_minted_and_not_burned_is_somebodys(transfers in any_transfers(8, 60)) {
            let ledger = ledger(&transfers);
            let balances: Units = ledger.accounts.iter().map(|(_, balance)| balance).sum();
            prop_assert_eq!(balances, ledger.totals.minted - ledger.totals.burned);
        }

        #[test]
        fn flows_add_up_the_rows_between_two_addresses(transfers in any_transfers(5, 100)) {
            let mut ledger = ledger(&transfers);
            ledger.settle();
            let mut rows = 0;
            for Flow { flow, from, to, is_nothing } in ledger.flows() {
                let [from, to] = [from, to].map(|account| ledger.accounts.address(account));
                let of_flow = |t: &&Transfer| t.from == from && t.to == to && (t.value == Amount::ZERO) == is_nothing;
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
            let mut holders: Vec<_> = ledger.accounts.iter().filter(|(_, balance)| balance.is_positive()).collect();
            holders.sort_by_key(|&(address, balance)| (Reverse(balance), address));
            let addresses: Vec<Address> = holders.iter().take(n).map(|&(address, _)| address).collect();
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
        let mut ledger = ledger(&[transfer; 5]);
        ledger.settle();
        let five = "578960446186580977117854925043439539266349923328202820197287920039565648199675";
        assert_eq!(ledger.exchanged(0).total.to_string(), five);
        assert_eq!(ledger.accounts.balance(0).to_string(), format!("-{five}"));
        assert_eq!(ledger.accounts.balance(1).to_string(), five);
        assert_eq!(saved(&Ledger::load(&mut &saved(&ledger)[..]).unwrap()), saved(&ledger));
    }

    #[test]
    fn what_is_kept_apart_counts_as_memory() {
        let few: Vec<Transfer> = crate::sample::transfers(3, 3_000, 1_000).collect();
        let flows = ledger(&few).flows().count() as u64;
        let bytes = |change: fn(&mut Transfer)| {
            let mut changed = few.clone();
            changed.iter_mut().for_each(change);
            ledger(&changed).bytes()
        };
        let plain = bytes(|_| ());
        // The number of the flow, and a block or what is above.
        assert!(bytes(|transfer| transfer.block += 1 << 40) >= plain + 12 * flows);
        assert!(bytes(|transfer| transfer.value <<= 128) >= plain + 44 * flows);
    }

    #[test]
    fn a_block_beyond_32_bits_is_told_as_it_is() {
        let end = u64::from(u32::MAX);
        let one = crate::sample::transfers(1, 1, 1).next().unwrap();
        let row = |block| Transfer { block, from: address(1), to: address(2), value: Amount::from(1), ..one };
        let blocks = |rows: &[u64]| {
            let mut ledger = ledger(&rows.iter().map(|&block| row(block)).collect::<Vec<_>>());
            ledger.settle();
            let loaded = Ledger::load(&mut &saved(&ledger)[..]).unwrap();
            [ledger, loaded].map(|ledger| (ledger.exchanged(0).first_block(), ledger.exchanged(0).last_block()))
        };
        assert_eq!(blocks(&[u64::MAX, end + 1, end]), [(end, u64::MAX); 2]);
        assert_eq!(blocks(&[end + 1, end - 1, end]), [(end - 1, end + 1); 2]);
        assert_eq!(blocks(&[end]), [(end, end); 2]);
    }

    #[test]
    fn two_that_trade_often_settle_in_a_time_that_grows_with_their_trades() {
        let each = 300_000_u64;
        let (one, other) = (crate::sample::transfers(1, 1, 1).next().unwrap(), [address(1), address(2)]);
        let row = |[from, to]: [Address; 2]| Transfer { from, to, value: Amount::from(1), ..one };
        let mut ledger = Ledger::new();
        // All of one direction first: with a search among them for each of the other, this would not end.
        (0..each).for_each(|_| ledger.push(&row(other)));
        (0..each).for_each(|_| ledger.push(&row([other[1], other[0]])));
        ledger.settle();
        let transfers: Vec<u64> = ledger.flows().map(|flow| ledger.exchanged(flow.flow).transfers).collect();
        assert_eq!(transfers, [each, each]);
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
        let mut ledger = ledger(&[row(3), row(1), row(2)]);
        ledger.settle();
        let exchanged = ledger.exchanged(0);
        assert_eq!((exchanged.first_tx(), exchanged.last_tx()), (TxHash([3; 32]), TxHash([2; 32])));
    }
}
