use serde::{Deserialize, Serialize};

/// The thresholds of an analysis; a report carries those it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Parameters {
    /// How many of the largest holders are looked at, 1 to 10 000.
    pub top: u32,
    /// From how many distinct counterparties on an address is a hub, which joins nothing. At least 2.
    pub hub_degree: u32,
    /// Lets hubs join wallets like any other holder. On real tokens one component then holds nearly everything.
    pub include_hubs: bool,
    /// Counts transfers of nothing as trade: as links, for degrees and for magic nodes. Anyone can send them in
    /// anyone's name ("address poisoning").
    pub include_zero_value: bool,
    /// What two addresses exchanged in both directions together joins nothing and counts for no degree below this many
    /// billionths of what all holders have ("dusting"): 0 to 1 000 000 000. Without effect where `include_hubs` or
    /// `include_zero_value` let everything count.
    pub dust_parts_per_billion: u32,
    /// A single transfer that was less than this share, in percent, of all its sender ever got, to somebody who had the
    /// token from elsewhere already, joins nobody to a group ("lone gift"): 0 to 100. Without effect where
    /// `include_hubs` or `include_zero_value` let everything count.
    pub gift_percent: u32,
    /// Lets an outsider that kept nothing, and passed on what it was sent to a few, join holders. Without effect where
    /// `include_hubs` or `include_zero_value` let everything count, and where no contract is known.
    pub conduits: bool,
    /// Lets an outsider that traded with two or more of the top holders join them.
    pub magic_nodes: bool,
    /// Takes a known contract for a hub.
    pub contracts_are_hubs: bool,
    /// Joins holders that one account, no hub, sent the chain's own coin before their first transfer of the token.
    pub common_funder: bool,
    /// How many blocks before that first transfer a funding counts; one in its block does too. 1 to 10 000 000.
    pub funding_window: u32,
    /// Joins holders that were first sent the token by the same pool at the same time.
    pub synchronous: bool,
    /// How many blocks apart the first and the last of them may be; 0 is one block. At most 1000.
    pub synchronous_window: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            top: 1000,
            hub_degree: 200,
            include_hubs: false,
            include_zero_value: false,
            dust_parts_per_billion: 1,
            gift_percent: 35,
            conduits: true,
            magic_nodes: false,
            contracts_are_hubs: true,
            common_funder: false,
            funding_window: 7200,
            synchronous: false,
            synchronous_window: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    #[error("top is {0}, expected 1 to {max}", max = Parameters::MAX_TOP)]
    Top(u32),
    #[error("hubDegree is {0}, expected at least 2")]
    HubDegree(u32),
    #[error("dustPartsPerBillion is {0}, expected at most 1000000000")]
    Dust(u32),
    #[error("giftPercent is {0}, expected at most 100")]
    Gift(u32),
    #[error("fundingWindow is {0}, expected 1 to {max}", max = Parameters::MAX_FUNDING_WINDOW)]
    FundingWindow(u32),
    #[error("synchronousWindow is {0}, expected 0 to {max}", max = Parameters::MAX_SYNCHRONOUS_WINDOW)]
    SynchronousWindow(u32),
}

impl Parameters {
    pub const MAX_TOP: u32 = 10_000;
    /// Beyond a month of the fastest chains a funding says little, and is seldom the nearest.
    pub const MAX_FUNDING_WINDOW: u32 = 10_000_000;
    /// Wider is no longer the same time on any chain.
    pub const MAX_SYNCHRONOUS_WINDOW: u32 = 1000;

    pub fn validate(&self) -> Result<(), ParameterError> {
        if self.top == 0 || self.top > Self::MAX_TOP {
            return Err(ParameterError::Top(self.top));
        }
        if self.hub_degree < 2 {
            return Err(ParameterError::HubDegree(self.hub_degree));
        }
        if self.dust_parts_per_billion > 1_000_000_000 {
            return Err(ParameterError::Dust(self.dust_parts_per_billion));
        }
        if self.gift_percent > 100 {
            return Err(ParameterError::Gift(self.gift_percent));
        }
        if self.funding_window == 0 || self.funding_window > Self::MAX_FUNDING_WINDOW {
            return Err(ParameterError::FundingWindow(self.funding_window));
        }
        if self.synchronous_window > Self::MAX_SYNCHRONOUS_WINDOW {
            return Err(ParameterError::SynchronousWindow(self.synchronous_window));
        }
        Ok(())
    }

    /// Whether nothing is to be left out for being slight: neither dust nor gifts.
    pub(crate) fn count_all(&self) -> bool {
        self.include_hubs || self.include_zero_value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_absent_fields_take_them() {
        assert_eq!(Parameters::default().validate(), Ok(()));
        let parameters: Parameters = serde_json::from_str(r#"{"top": 250, "magicNodes": true}"#).unwrap();
        assert_eq!(parameters, Parameters { top: 250, magic_nodes: true, ..Parameters::default() });
    }

    #[test]
    fn values_out_of_range_are_named() {
        let refused = |parameters: Parameters| parameters.validate().unwrap_err().to_string();
        assert_eq!(refused(Parameters { top: 0, ..Parameters::default() }), "top is 0, expected 1 to 10000");
        assert_eq!(refused(Parameters { top: 10_001, ..Parameters::default() }), "top is 10001, expected 1 to 10000");
        assert_eq!(
            refused(Parameters { hub_degree: 1, ..Parameters::default() }),
            "hubDegree is 1, expected at least 2"
        );
        assert_eq!(
            refused(Parameters { dust_parts_per_billion: 1_000_000_001, ..Parameters::default() }),
            "dustPartsPerBillion is 1000000001, expected at most 1000000000"
        );
        assert_eq!(
            refused(Parameters { gift_percent: 101, ..Parameters::default() }),
            "giftPercent is 101, expected at most 100"
        );
        for funding_window in [0, 10_000_001] {
            assert_eq!(
                refused(Parameters { funding_window, ..Parameters::default() }),
                format!("fundingWindow is {funding_window}, expected 1 to 10000000")
            );
        }
        assert_eq!(
            refused(Parameters { synchronous_window: 1001, ..Parameters::default() }),
            "synchronousWindow is 1001, expected 0 to 1000"
        );
    }
}
