use std::collections::{BTreeMap, BTreeSet};

use super::{Adversities, Planted};
use crate::random::Random;
use crate::{Address, Amount, Subject, TokenKind, Transfer, TxHash};

/// In base units; all amounts here fit 64 bits with it.
pub(super) const SUPPLY: u64 = 1_000_000_000 * 1_000_000_000;
const FIRST_BLOCK: u64 = 18_000_000;
const FIRST_TIMESTAMP: u64 = 1_692_921_600;
const SECONDS_PER_BLOCK: u64 = 12;

/// A token as it comes to be.
pub(super) struct Scene {
    pub(super) random: Random,
    adversities: Adversities,
    held: BTreeMap<Address, u64>,
    transfers: Vec<Transfer>,
    contracts: BTreeSet<Address>,
    parties: Vec<Vec<Address>>,
    custody: Vec<Address>,
    pub(super) dusters: Vec<Address>,
    block: u64,
    log_index: u32,
    token: Address,
    pub(super) deployer: Address,
    pub(super) pool: Address,
}

/// A venue that takes deposits at an address for each customer and pays from one wallet.
pub(super) struct Exchange {
    hot: Address,
    cold: Address,
    deposits: Vec<Address>,
}

impl Scene {
    /// All supply is minted to the deployer, who opens the pool with 40 % of it and locks another 20 % in a contract.
    pub(super) fn new(seed: u64, adversities: Adversities) -> Self {
        let mut random = Random::new(seed);
        let (token, deployer, pool, vesting) = (random.address(), random.address(), random.address(), random.address());
        let mut scene = Self {
            random,
            adversities,
            held: BTreeMap::new(),
            transfers: Vec::new(),
            contracts: BTreeSet::from([token, pool, vesting]),
            parties: Vec::new(),
            custody: Vec::new(),
            dusters: Vec::new(),
            block: FIRST_BLOCK,
            log_index: 0,
            token,
            deployer,
            pool,
        };
        scene.held.insert(deployer, SUPPLY);
        scene.row(Address::ZERO, deployer, SUPPLY);
        scene.send(deployer, pool, SUPPLY / 10 * 4);
        scene.send(deployer, vesting, SUPPLY / 10 * 2);
        scene
    }

    pub(super) fn contract(&mut self) -> Address {
        let address = self.random.address();
        self.contracts.insert(address);
        address
    }

    pub(super) fn wallets(&mut self, n: u64) -> Vec<Address> {
        (0..n).map(|_| self.random.address()).collect()
    }

    /// `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.random.below(high - low + 1)
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.random.below(n) == 0
    }

    pub(super) fn any(&mut self, of: &[Address]) -> Address {
        let position = self.random.below(of.len() as u64);
        of[usize::try_from(position).expect("it is below a length")]
    }

    /// At least `least`; whoever has twice as much is half as many, up to 4096 times.
    pub(super) fn power_law(&mut self, least: u64) -> u64 {
        let doublings = self.random.next().trailing_ones().min(12);
        (least << doublings) + self.random.below(least << doublings)
    }

    /// Evenly by its logarithm: each doubling of `least` is as likely.
    pub(super) fn little(&mut self, least: u64, doublings: u64) -> u64 {
        let least = least << self.random.below(doublings);
        self.between(least, least * 2 - 1)
    }

    pub(super) fn held(&self, address: Address) -> u64 {
        self.held.get(&address).copied().unwrap_or(0)
    }

    /// Sends what was asked for, or all there is; nothing happens where there is nothing.
    pub(super) fn send(&mut self, from: Address, to: Address, value: u64) {
        let value = value.min(self.held(from));
        if value == 0 || from == to {
            return;
        }
        *self.held.entry(from).or_default() -= value;
        *self.held.entry(to).or_default() += value;
        self.row(from, to, value);
    }

    /// Sends `low` to `high` hundredths of what there is.
    pub(super) fn send_part(&mut self, from: Address, to: Address, low: u64, high: u64) {
        let part = self.held(from) / 100 * self.between(low, high);
        self.send(from, to, part);
    }

    /// A transfer of nothing, which anyone can make in anyone's name.
    pub(super) fn pretend(&mut self, from: Address, to: Address) {
        self.row(from, to, 0);
    }

    fn row(&mut self, from: Address, to: Address, value: u64) {
        if self.one_in(4) {
            self.block += 1 + self.random.below(3);
            self.log_index = 0;
        }
        self.log_index += 1;
        self.transfers.push(Transfer {
            block: self.block,
            timestamp: Some(FIRST_TIMESTAMP + (self.block - FIRST_BLOCK) * SECONDS_PER_BLOCK),
            tx: TxHash(self.random.bytes()),
            log_index: Some(self.log_index),
            from,
            to,
            value: Amount::from(value),
        });
    }

    pub(super) fn party(&mut self, members: &[Address]) {
        let mut members = members.to_vec();
        members.sort_unstable();
        self.parties.push(members);
    }

    /// People who buy from the pool: a third sells some of it, a tenth all. One in thirty has two to four wallets and
    /// moves tokens between them, but for the careful, whose wallets never touch.
    pub(super) fn crowd(&mut self, people: u64) -> Vec<Address> {
        let mut crowd = Vec::new();
        for _ in 0..people {
            let n = if self.one_in(30) { self.between(2, 4) } else { 1 };
            let wallets = self.wallets(n);
            let is_careful = self.one_in(10) && self.adversities.careful;
            for &wallet in &wallets {
                let bought = self.power_law(SUPPLY / 200_000);
                self.send(self.pool, wallet, bought);
            }
            for pair in wallets.windows(2).filter(|_| !is_careful) {
                let (from, to) = if self.one_in(2) { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
                self.send_part(from, to, 5, 60);
            }
            for &wallet in &wallets {
                match self.random.below(30) {
                    0..3 => self.send(wallet, self.pool, SUPPLY),
                    3..12 => self.send_part(wallet, self.pool, 10, 90),
                    _ => {}
                }
            }
            if wallets.len() > 1 {
                self.party(&wallets);
            }
            crowd.extend(wallets);
        }
        crowd
    }

    /// An exchange with customers from the crowd.
    pub(super) fn exchange(&mut self, crowd: &[Address], customers: u64) -> Exchange {
        let (hot, cold) = (self.random.address(), self.random.address());
        self.send(self.deployer, hot, SUPPLY / 50);
        self.send_part(hot, cold, 40, 70);
        let mut exchange = Exchange { hot, cold, deposits: Vec::new() };
        for _ in 0..customers {
            let customer = self.any(crowd);
            if self.one_in(2) {
                self.deposit(&mut exchange, customer);
            } else {
                let withdrawn = self.power_law(SUPPLY / 400_000);
                self.send(hot, customer, withdrawn);
            }
        }
        exchange
    }

    pub(super) fn deposit(&mut self, exchange: &mut Exchange, customer: Address) {
        let deposit = self.random.address();
        self.send_part(customer, deposit, 10, 90);
        exchange.deposits.push(deposit);
        let is_forgotten = self.one_in(100) && self.adversities.unswept;
        if !is_forgotten {
            self.send(deposit, exchange.hot, SUPPLY);
        }
    }

    /// Some of `holders` send part of what they have to any other of them.
    pub(super) fn strangers(&mut self, holders: &[Address]) {
        for &holder in holders {
            if self.random.below(1000) < self.adversities.strangers_per_mille {
                let stranger = self.any(holders);
                self.send_part(holder, stranger, 5, 50);
            }
        }
    }

    pub(super) fn close(&mut self, exchange: Exchange) {
        let Exchange { hot, cold, deposits } = exchange;
        self.custody.extend([hot, cold]);
        self.custody.extend(deposits);
    }

    pub(super) fn finish(mut self) -> Planted {
        self.custody.sort_unstable();
        self.dusters.sort_unstable();
        let subject = Subject {
            chain: "ethereum".to_owned(),
            address: self.token,
            decimals: Some(9),
            kind: TokenKind::Erc20,
            contracts: self.contracts,
            ..Subject::default()
        };
        let Self { transfers, parties, custody, dusters, .. } = self;
        Planted { transfers, subject, parties, custody, dusters }
    }
}
