use crate::ledger::Ledger;
use crate::{Address, Kind, Labels, Parameters, Reason, Subject, Units};

/// Tells what an address is, and whether it is a hub.
pub(super) struct Hubs<'a> {
    pub(super) subject: &'a Subject,
    pub(super) labels: &'a Labels,
    pub(super) parameters: &'a Parameters,
}

impl Hubs<'_> {
    pub(super) fn kind(&self, address: Address) -> Kind {
        match self.labels.get(address) {
            Some(label) => label.kind,
            None if self.subject.contracts.contains(&address) => Kind::Contract,
            None => Kind::Wallet,
        }
    }

    /// Why the address joins nothing; `None` if it may join.
    pub(super) fn reason(&self, address: Address, degree: u32) -> Option<Reason> {
        self.nature(address, degree).filter(|_| !self.parameters.include_hubs)
    }

    /// Whether people who have nothing to do with each other get the token there, as from a pool.
    pub(super) fn is_market(&self, address: Address, degree: u32) -> bool {
        let nature = self.nature(address, degree);
        // A token's own contract sells nothing: it distributes.
        address != self.subject.address
            && (self.kind(address) == Kind::Contract
                || matches!(nature, Some(Reason::Degree | Reason::Contract | Reason::Pool | Reason::Router)))
    }

    /// What makes it a hub, whether or not hubs are included.
    fn nature(&self, address: Address, degree: u32) -> Option<Reason> {
        let by_degree = (degree >= self.parameters.hub_degree).then_some(Reason::Degree);
        match self.kind(address) {
            Kind::Exchange => Some(Reason::Exchange),
            Kind::Pool => Some(Reason::Pool),
            Kind::Bridge => Some(Reason::Bridge),
            Kind::Router => Some(Reason::Router),
            Kind::Burn => Some(Reason::Burn),
            Kind::Contract if self.parameters.contracts_are_hubs => Some(Reason::Contract),
            Kind::Contract | Kind::Wallet => by_degree,
        }
    }

    /// What labelled burn addresses hold, wherever they rank.
    pub(super) fn burnt(&self, ledger: &Ledger) -> Units {
        let burns = self.labels.iter().filter(|(_, label)| label.kind == Kind::Burn);
        let balances = burns
            .filter_map(|(address, _)| ledger.find_account(address))
            .map(|account| ledger.accounts.balance(account));
        balances.filter(|balance| balance.is_positive()).sum()
    }
}
