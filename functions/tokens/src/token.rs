use std::fmt;

use access::Kind;
use api::ApiError;
use app::App;
use chains::Chain;
use clusters::Address;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which token a request is about: `/{chain}/{address}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct Token {
    /// One of `/v1/chains`.
    #[param(example = "ethereum")]
    pub(crate) chain: String,
    /// The token's contract: `0x` and 40 hex digits, in either case.
    #[param(value_type = String, example = "0x3b3d4eefdc603b232907a7f3d0ed1eea5c62b5f7",
        pattern = "^0[xX][0-9a-fA-F]{40}$")]
    pub(crate) address: Address,
}

impl Token {
    /// The chain it is on.
    ///
    /// # Errors
    /// 400 with the chains there are.
    pub(crate) fn on<'a>(&self, app: &'a App) -> Result<&'a Chain, ApiError> {
        app.chains.get(&self.chain).ok_or_else(|| {
            let known: Vec<_> = app.chains.iter().map(|chain| chain.id.as_str()).collect();
            let detail =
                format!("In the path, chain: expected one of {}, got {:?}.", known.join(", "), short(&self.chain));
            ApiError::new(Kind::Invalid, "unknown_chain", detail)
        })
    }

    /// Under which all that is kept of it stands.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.chain, self.address)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on chain {}", self.address, self.chain)
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
