//! A made-up token whose holders are known: transfers for tests, benchmarks and a demonstration without a network.
//!
//! Everything follows from a seed. A small cast is planted in the opening rows: parties of wallets that deal with each
//! other, and everything that could wrongly join them (an exchange, a pool, a contract, a burn address, rows of
//! nothing in their names). The rows after that are a crowd trading with the exchange and the pool.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::random::Random;
use crate::{Address, Amount, Kind, Label, Labels, Subject, TokenKind, Transfer, TxHash};

/// Who is planted in the sample with a given seed, and so what an analysis has to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub address: Address,
    pub name: &'static str,
    pub symbol: &'static str,
    pub decimals: u8,
    /// The parties, by size from the largest on; each one's members are sorted. All are among the largest holders.
    pub clusters: Vec<Vec<Address>>,
    /// Deals with the crowd and every party. A hub by its degree from a few thousand rows on, or by its label.
    pub exchange: Address,
    /// Deals with the crowd and every party, as the exchange does.
    pub pool: Address,
    /// Holds stakes of every party; a hub only for being known as a contract.
    pub contract: Address,
    /// 0x…dEaD, to which every party sent something; a hub only by its label.
    pub burn: Address,
    /// An address that holds nothing and supplied the two `friends`, who have nothing else in common.
    pub magic_node: Address,
    /// Sorted.
    pub friends: [Address; 2],
    /// How many opening rows plant all this; with fewer rows it is not complete.
    pub opening_rows: u64,
    opening: Vec<Row>,
}

/// Sender, receiver and value in millionths of a token.
type Row = (Address, Address, u64);

const CLUSTER_SIZES: [usize; 5] = [13, 8, 5, 3, 2];
const TOKEN: u64 = 1_000_000;
/// Base units in a millionth of a token of 18 decimals.
const MILLIONTH: u64 = 1_000_000_000_000;
const FIRST_BLOCK: u64 = 18_000_000;
const FIRST_TIMESTAMP: u64 = 1_692_921_600;
const SECONDS_PER_BLOCK: u64 = 12;

impl Token {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut token = Self {
            address: random.address(),
            name: "Sample Token",
            symbol: "SMPL",
            decimals: 18,
            clusters: Vec::new(),
            exchange: random.address(),
            pool: random.address(),
            contract: random.address(),
            burn: BURN,
            magic_node: random.address(),
            friends: [random.address(), random.address()],
            opening_rows: 0,
            opening: Vec::new(),
        };
        token.friends.sort_unstable();
        token.plant(&mut random);
        token.opening_rows = token.opening.len() as u64;
        token
    }

    fn plant(&mut self, random: &mut Random) {
        let mut rows: Vec<Row> = vec![
            (Address::ZERO, Address::ZERO, 1),
            (Address::ZERO, self.exchange, 600_000_000 * TOKEN),
            (Address::ZERO, self.pool, 300_000_000 * TOKEN),
            (self.exchange, self.pool, 1_000_000 * TOKEN),
        ];
        let mut chiefs = Vec::new();
        for (number, size) in (1_u64..).zip(CLUSTER_SIZES) {
            let members: Vec<Address> = (0..size).map(|_| random.address()).collect();
            let (chief, second) = (members[0], members[1]);
            // Each member passes half of what it got to at most two others, so that nobody ends below a 32nd.
            let mut held = vec![0; size];
            held[0] = (4_000_000 * TOKEN + random.below(TOKEN)) / number;
            rows.push((Address::ZERO, chief, held[0]));
            for member in 1..size {
                let from = (member - 1) / 2;
                let value = held[from] / 3;
                held[from] -= value;
                held[member] += value;
                rows.push((members[from], members[member], value));
            }
            let thanks = held[1] / 10;
            rows.push((second, chief, thanks));
            rows.push((chief, chief, thanks));
            rows.push((chief, self.contract, 1_000 * TOKEN));
            rows.push((second, self.exchange, 1_000 * TOKEN));
            rows.push((self.exchange, second, 2_000 * TOKEN));
            rows.push((self.pool, chief, 2_000 * TOKEN));
            rows.push((second, self.burn, 500 * TOKEN));
            rows.push((chief, Address::ZERO, 500 * TOKEN));
            chiefs.push(chief);
            let mut members = members;
            members.sort_unstable();
            self.clusters.push(members);
        }
        // Anyone can send nothing in anyone's name.
        rows.extend(chiefs.windows(2).map(|pair| (pair[0], pair[1], 0)));
        rows.push((Address::ZERO, self.magic_node, 200_000 * TOKEN));
        rows.extend(self.friends.map(|friend| (self.magic_node, friend, 100_000 * TOKEN)));
        self.opening = rows;
    }

    /// What a source with access to the chain would know.
    pub fn subject(&self) -> Subject {
        Subject {
            chain: "ethereum".to_owned(),
            address: self.address,
            name: Some(self.name.to_owned()),
            symbol: Some(self.symbol.to_owned()),
            decimals: Some(self.decimals),
            total_supply: None,
            kind: TokenKind::Erc20,
            contracts: BTreeSet::from([self.contract]),
            bad_rows: 0,
            fundings: BTreeMap::new(),
            duplicate_rows: 0,
        }
    }

    /// The built-in labels, and names for the exchange and the pool.
    pub fn labels(&self) -> Labels {
        let mut labels = Labels::builtin("ethereum");
        labels.insert(self.exchange, Label { name: "Sample exchange".to_owned(), kind: Kind::Exchange });
        labels.insert(self.pool, Label { name: "Sample pool".to_owned(), kind: Kind::Pool });
        labels
    }
}

const BURN: Address = Address([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xde, 0xad]);

/// The sample's transfers: `rows` of them, the crowd being `addresses` strong, in the order of the chain. A shorter
/// sample with the same seed and crowd is the beginning of a longer one. No balance is ever negative.
pub fn transfers(seed: u64, rows: u64, addresses: u32) -> impl Iterator<Item = Transfer> {
    Transfers::new(seed, addresses).take(usize::try_from(rows).unwrap_or(usize::MAX))
}

struct Transfers {
    token: Token,
    pending: VecDeque<Row>,
    random: Random,
    /// The crowd. Those with an even number keep what they buy, in `held`; the others pass it on and end with nothing,
    /// so that dealing with each other makes no two holders of them.
    crowd: Vec<Address>,
    held: Vec<u64>,
    last_courier: usize,
    block: u64,
    log_index: u32,
}

impl Transfers {
    fn new(seed: u64, addresses: u32) -> Self {
        let token = Token::new(seed);
        let mut random = Random::new(!seed);
        let crowd: Vec<Address> = (0..addresses.max(4)).map(|_| random.address()).collect();
        let pending = token.opening.iter().copied().collect();
        let held = vec![0; crowd.len()];
        let last_courier = (crowd.len() / 2) * 2 - 1;
        Self { token, pending, random, crowd, held, last_courier, block: FIRST_BLOCK, log_index: 0 }
    }

    /// One of the crowd, the first ones far more often than the last.
    fn anyone(&mut self) -> usize {
        let (a, b) = (self.random.below(1 << 32), self.random.below(1 << 32));
        let skewed = (a.min(b) * self.crowd.len() as u64) >> 32;
        usize::try_from(skewed).unwrap_or(0)
    }

    fn hub(&mut self) -> Address {
        if self.random.below(2) == 0 { self.token.exchange } else { self.token.pool }
    }

    /// Queues what one of the crowd does next.
    fn act(&mut self) {
        let someone = self.anyone();
        let hub = self.hub();
        let value = 1 + self.random.below(1_000 * TOKEN);
        if self.random.below(32) == 0 {
            let other = self.anyone();
            return self.pending.push_back((self.crowd[someone], self.crowd[other], 0));
        }
        if someone.is_multiple_of(2) {
            let held = self.held[someone];
            // What a holder keeps stays far below what the planted parties have.
            if held > 10_000 * TOKEN || (held > 0 && self.random.below(4) == 0) {
                let sold = held - held / 8;
                self.held[someone] -= sold;
                self.pending.push_back((self.crowd[someone], hub, sold));
            } else {
                self.held[someone] += value;
                self.pending.push_back((hub, self.crowd[someone], value));
            }
            return;
        }
        let mut from = hub;
        for _ in 0..=self.random.below(4) {
            let courier = (self.anyone() | 1).min(self.last_courier);
            let to = self.crowd[courier];
            self.pending.push_back((from, to, value));
            from = to;
        }
        let hub = self.hub();
        self.pending.push_back((from, hub, value));
    }
}

impl Iterator for Transfers {
    type Item = Transfer;

    fn next(&mut self) -> Option<Transfer> {
        while self.pending.is_empty() {
            self.act();
        }
        let (from, to, millionths) = self.pending.pop_front()?;
        if self.random.below(4) == 0 {
            self.block += 1 + self.random.below(3);
            self.log_index = 0;
        }
        self.log_index += 1;
        Some(Transfer {
            block: self.block,
            timestamp: Some(FIRST_TIMESTAMP + (self.block - FIRST_BLOCK) * SECONDS_PER_BLOCK),
            tx: TxHash(self.random.bytes()),
            log_index: Some(self.log_index),
            from,
            to,
            value: Amount::from(u128::from(millionths) * u128::from(MILLIONTH)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, Parameters, Reason, Report, analyse};

    const SEED: u64 = 7;

    fn ledger(rows: u64, addresses: u32) -> Ledger {
        let mut ledger = Ledger::new();
        for transfer in transfers(SEED, rows, addresses) {
            ledger.push(&transfer);
        }
        ledger
    }

    fn members(report: &Report) -> Vec<Vec<Address>> {
        let mut members: Vec<_> = report.clusters.iter().map(|cluster| cluster.members.clone()).collect();
        members.sort();
        members
    }

    fn planted(token: &Token) -> Vec<Vec<Address>> {
        let mut clusters = token.clusters.clone();
        clusters.sort();
        clusters
    }

    #[test]
    fn exactly_the_planted_parties_are_found() {
        let token = Token::new(SEED);
        for (rows, addresses) in [(token.opening_rows, 100), (5_000, 1_000), (50_000, 4_000)] {
            for top in [100, 1_000, 10_000] {
                let parameters = Parameters { top, ..Parameters::default() };
                let report = analyse(&mut ledger(rows, addresses), &token.subject(), &token.labels(), &parameters);
                assert_eq!(members(&report), planted(&token), "{rows} rows, top {top}");
            }
        }
    }

    #[test]
    fn the_exchange_and_the_pool_are_hubs_without_labels() {
        let token = Token::new(SEED);
        let labels = Labels::builtin("ethereum");
        let report = analyse(&mut ledger(5_000, 1_000), &token.subject(), &labels, &Parameters::default());
        assert_eq!(members(&report), planted(&token));
        let reason = |address| report.excluded.iter().find(|hub| hub.address == address).map(|hub| hub.reason);
        assert_eq!(reason(token.exchange), Some(Reason::Degree));
        assert_eq!(reason(token.pool), Some(Reason::Degree));
        assert_eq!(reason(token.contract), Some(Reason::Contract));
        assert_eq!(reason(token.burn), Some(Reason::Burn));
        assert_eq!(report.excluded.len(), 4);
    }

    #[test]
    fn each_trap_would_join_the_parties() {
        let token = Token::new(SEED);
        let mut ledger = ledger(5_000, 1_000);
        let mut clusters = |subject: &Subject, labels: &Labels, parameters: Parameters| {
            analyse(&mut ledger, subject, labels, &parameters).clusters.len()
        };
        // The parties pay the traps once each, which are gifts.
        let usual = Parameters { gift_percent: 0, ..Parameters::default() };
        let (subject, labels) = (token.subject(), token.labels());
        assert_eq!(clusters(&subject, &labels, usual), CLUSTER_SIZES.len());
        let unknown = Subject { contracts: BTreeSet::new(), ..token.subject() };
        assert_eq!(clusters(&unknown, &labels, Parameters::default()), CLUSTER_SIZES.len());
        assert_eq!(clusters(&unknown, &labels, usual), 1);
        assert_eq!(clusters(&subject, &labels, Parameters { contracts_are_hubs: false, ..usual }), 1);
        assert_eq!(clusters(&subject, &Labels::none(), usual), 1);
        assert_eq!(clusters(&subject, &labels, Parameters { include_hubs: true, ..usual }), 1);
        // The crowd's poison joins some of the crowd too.
        let poisoned = analyse(&mut ledger, &subject, &labels, &Parameters { include_zero_value: true, ..usual });
        assert!(
            poisoned.clusters.iter().any(|cluster| token
                .clusters
                .concat()
                .iter()
                .all(|member| cluster.members.contains(member)))
        );
    }

    #[test]
    fn the_magic_node_joins_the_two_friends_and_nobody_else() {
        let token = Token::new(SEED);
        let parameters = Parameters { magic_nodes: true, ..Parameters::default() };
        let report = analyse(&mut ledger(5_000, 1_000), &token.subject(), &token.labels(), &parameters);
        let mut expected = planted(&token);
        expected.push(token.friends.to_vec());
        expected.sort();
        assert_eq!(members(&report), expected);
        let [node] = &report.magic_nodes[..] else { panic!("{:?}", report.magic_nodes) };
        assert_eq!((node.address, &node.members[..], node.degree), (token.magic_node, &token.friends[..], 2));
        let friends = report.clusters.iter().find(|cluster| cluster.members == token.friends).unwrap();
        assert_eq!(node.cluster, friends.id);
    }

    #[test]
    fn nobody_has_less_than_nothing() {
        let token = Token::new(SEED);
        let report = analyse(&mut ledger(20_000, 500), &token.subject(), &token.labels(), &Parameters::default());
        assert_eq!(report.supply.negative_count, 0);
        assert_eq!(report.supply.minted - report.supply.burned, report.supply.positive);
    }

    #[test]
    fn a_seed_gives_the_same_rows_again_and_a_longer_sample_goes_on() {
        let short: Vec<Transfer> = transfers(SEED, 500, 100).collect();
        let long: Vec<Transfer> = transfers(SEED, 1_000, 100).collect();
        assert_eq!(short, long[..500]);
        assert_ne!(short, transfers(SEED + 1, 500, 100).collect::<Vec<_>>());
        let in_order = |pair: &[Transfer]| (pair[0].block, pair[0].log_index) < (pair[1].block, pair[1].log_index);
        assert!(long.windows(2).all(in_order));
    }
}
