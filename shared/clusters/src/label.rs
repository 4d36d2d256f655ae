use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Address, ParseError};

/// What an address is. All but `Wallet` and `Contract` are hubs wherever they are labelled; a contract is one unless
/// the parameters say otherwise; a wallet is one only by its number of counterparties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Wallet,
    Contract,
    Exchange,
    Pool,
    Bridge,
    Router,
    /// Nobody can spend from it: what it holds is not in circulation.
    Burn,
}

impl Kind {
    /// The word a report and a label file use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Contract => "contract",
            Self::Exchange => "exchange",
            Self::Pool => "pool",
            Self::Bridge => "bridge",
            Self::Router => "router",
            Self::Burn => "burn",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Wallet, Self::Contract, Self::Exchange, Self::Pool, Self::Bridge, Self::Router, Self::Burn]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// A name for an address, and what it is. A `Wallet` label also says that an address with code is somebody's wallet
/// (a multi-signature or smart account), so that it is no hub for being a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub name: String,
    pub kind: Kind,
}

/// Names of known addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<Address, Label>);

/// What is wrong with a label file. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error("line {line}: {source}")]
    Address { line: usize, source: ParseError },
    #[error("line {line}: expected a kind (wallet, contract, exchange, pool, bridge, router or burn), got {got:?}")]
    Kind { line: usize, got: String },
    #[error("line {line}: expected {expected} fields as in the header, got {got}")]
    Fields { line: usize, expected: usize, got: usize },
    #[error("line {line}: a quoted field is not closed or goes on after its closing quote")]
    Quote { line: usize },
    #[error("line 1: expected a header with the columns address, name and kind; {0} is missing")]
    Header(&'static str),
    #[error("{0} is labelled twice")]
    Twice(Address),
    #[error("expected UTF-8 text")]
    Utf8(#[source] std::str::Utf8Error),
    #[error("expected a JSON list of {{\"address\", \"name\", \"kind\"}}: {0}")]
    Json(#[source] serde_json::Error),
}

/// What is known without a file: a CSV a chain, and first the one for all chains. Their fourth column says who publishes
/// the name.
const BUILT_IN: [(&str, &str); 7] = [
    ("", include_str!("../labels/all.csv")),
    ("arbitrum", include_str!("../labels/arbitrum.csv")),
    ("base", include_str!("../labels/base.csv")),
    ("bsc", include_str!("../labels/bsc.csv")),
    ("ethereum", include_str!("../labels/ethereum.csv")),
    ("optimism", include_str!("../labels/optimism.csv")),
    ("polygon", include_str!("../labels/polygon.csv")),
];

static OF_CHAIN: LazyLock<BTreeMap<&str, Labels>> = LazyLock::new(|| {
    let parse = |text: &str| Labels::parse_csv(text).expect("the built-in lists are read by a test");
    BUILT_IN.into_iter().map(|(chain, text)| (chain, parse(text))).collect()
});

impl Labels {
    pub fn none() -> Self {
        Self::default()
    }

    /// What is known without a file: burn addresses on every chain, and of some chains the best known exchanges, pools,
    /// routers and bridges.
    pub fn builtin(chain: &str) -> Self {
        let mut labels = Self::none();
        for list in ["", chain].into_iter().filter_map(|list| OF_CHAIN.get(list)) {
            labels.extend(list.clone());
        }
        labels
    }

    /// Reads a JSON list of `{"address", "name", "kind"}` or a CSV with a header naming these three columns in any
    /// order (others are ignored). The first character tells which it is.
    pub fn parse(bytes: &[u8]) -> Result<Self, LabelError> {
        let text = std::str::from_utf8(bytes).map_err(LabelError::Utf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with(['[', '{']) { Self::parse_json(text) } else { Self::parse_csv(text) }
    }

    fn parse_json(text: &str) -> Result<Self, LabelError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Entry {
            address: Address,
            name: String,
            kind: Kind,
        }
        let entries: Vec<Entry> = serde_json::from_str(text).map_err(LabelError::Json)?;
        let mut labels = Self::none();
        for Entry { address, name, kind } in entries {
            labels.insert_new(address, Label { name, kind })?;
        }
        Ok(labels)
    }

    fn parse_csv(text: &str) -> Result<Self, LabelError> {
        let mut lines =
            text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.trim().is_empty());
        let (line, header) = lines.next().unwrap_or((1, ""));
        let header = fields(header).ok_or(LabelError::Quote { line })?;
        let column = |name| {
            header.iter().position(|field| field.trim().eq_ignore_ascii_case(name)).ok_or(LabelError::Header(name))
        };
        let (address, name, kind) = (column("address")?, column("name")?, column("kind")?);

        let mut labels = Self::none();
        for (line, row) in lines {
            let row = fields(row).ok_or(LabelError::Quote { line })?;
            if row.len() != header.len() {
                return Err(LabelError::Fields { line, expected: header.len(), got: row.len() });
            }
            let address = row[address].trim().parse().map_err(|source| LabelError::Address { line, source })?;
            let got = row[kind].trim();
            let kind =
                Kind::parse(got).ok_or_else(|| LabelError::Kind { line, got: got.chars().take(80).collect() })?;
            labels.insert_new(address, Label { name: row[name].trim().to_owned(), kind })?;
        }
        Ok(labels)
    }

    fn insert_new(&mut self, address: Address, label: Label) -> Result<(), LabelError> {
        if self.0.insert(address, label).is_some() { Err(LabelError::Twice(address)) } else { Ok(()) }
    }

    pub fn get(&self, address: Address) -> Option<&Label> {
        self.0.get(&address)
    }

    /// Replaces what was known about `address`.
    pub fn insert(&mut self, address: Address, label: Label) {
        self.0.insert(address, label);
    }

    /// Takes in all of `other`, whose word counts where both label an address.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn iter(&self) -> impl Iterator<Item = (Address, &Label)> {
        self.0.iter().map(|(&address, label)| (address, label))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The fields of one CSV line; `None` where a quoted field does not end as it should. A field has no line break.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => match rest.split_once(',') {
                Some((field, after)) => (field.to_owned(), Some(after)),
                None => (rest.to_owned(), None),
            },
            Some(quoted) => {
                let mut field = String::new();
                let mut quoted = quoted;
                loop {
                    let (part, after) = quoted.split_once('"')?;
                    field.push_str(part);
                    match after.strip_prefix('"') {
                        Some(after) => {
                            field.push('"');
                            quoted = after;
                        }
                        None if after.is_empty() => break (field, None),
                        None => break (field, Some(after.strip_prefix(',')?)),
                    }
                }
            }
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Some(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "0x00000000000000000000000000000000000000aa";
    const POOL: &str = "0x00000000000000000000000000000000000000BB";

    fn error(text: &str) -> String {
        Labels::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_lists_are_sorted_sourced_and_without_repetition() {
        for (chain, text) in BUILT_IN {
            let mut last = String::new();
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("address,name,kind,source"), "{chain}");
            for line in lines {
                let row = fields(line).unwrap();
                let [address, name, kind, source] = &row[..] else { panic!("{chain}: {line}") };
                assert_eq!(address.parse::<Address>().unwrap().to_string(), *address, "lower-case in {chain}");
                assert!(*address > last && !name.is_empty() && !source.is_empty(), "{chain}: {line}");
                assert!(Kind::parse(kind).is_some_and(|kind| kind != Kind::Wallet), "{chain}: {line}");
                last.clone_from(address);
            }
            assert_eq!(OF_CHAIN[chain].len() + 1, text.lines().count());
            let everywhere = |address| chain.is_empty() || OF_CHAIN[""].get(address).is_none();
            assert!(OF_CHAIN[chain].iter().all(|(address, _)| everywhere(address)), "{chain}");
        }
    }

    #[test]
    fn the_built_in_list_has_every_kind_of_hub_where_it_has_any_and_burns_everywhere() {
        for (chain, _) in BUILT_IN.into_iter().filter(|(chain, _)| !chain.is_empty()) {
            let labels = Labels::builtin(chain);
            assert_eq!(labels.len(), OF_CHAIN[""].len() + OF_CHAIN[chain].len());
            for kind in [Kind::Exchange, Kind::Pool, Kind::Router, Kind::Burn] {
                assert!(labels.iter().any(|(_, label)| label.kind == kind), "{chain} {kind:?}");
            }
        }
        let elsewhere = Labels::builtin("gnosis");
        assert!(!elsewhere.is_empty() && elsewhere.iter().all(|(_, label)| label.kind == Kind::Burn));
        assert!(Labels::none().is_empty());
    }

    #[test]
    fn an_address_that_is_another_on_one_chain_is_listed_there_as_that() {
        let at = |chain: &str, address: &str| Labels::builtin(chain).get(address.parse().unwrap()).cloned();
        let (optimism, elsewhere) =
            ("0x1111111254760f7ab3f16433eea9304126dcd199", "0x1111111254fb6c44bac0bed2854e76f90643097d");
        assert_eq!(at("optimism", elsewhere), None);
        assert_eq!(at("optimism", optimism), at("ethereum", elsewhere));
        assert_eq!(at("ethereum", optimism), None);
        assert!(at("ethereum", elsewhere).is_some());
    }

    #[test]
    fn json_and_csv_say_the_same() {
        let json = format!(
            r#"[{{"address":"{WALLET}","name":"Ann, \"A\"","kind":"wallet"}},{{"address":"{POOL}","name":"Pair","kind":"pool"}}]"#
        );
        let csv =
            format!("kind,note,Address,name\r\nwallet,x,{WALLET},\"Ann, \"\"A\"\"\"\r\n\r\nPool,,{POOL},Pair\r\n");
        let labels = Labels::parse(json.as_bytes()).unwrap();
        assert_eq!(Labels::parse(csv.as_bytes()).unwrap(), labels);
        let label = labels.get(WALLET.parse().unwrap()).unwrap();
        assert_eq!(label, &Label { name: "Ann, \"A\"".to_owned(), kind: Kind::Wallet });
    }

    #[test]
    fn a_bad_file_is_told_where_and_why() {
        assert_eq!(error(""), "line 1: expected a header with the columns address, name and kind; address is missing");
        assert_eq!(
            error("address,name\n"),
            "line 1: expected a header with the columns address, name and kind; kind is missing"
        );
        assert_eq!(
            error("address,name,kind\n0x12,a,pool\n"),
            "line 2: expected an address: 0x and 40 hex digits, got \"0x12\""
        );
        assert_eq!(
            error(&format!("address,name,kind\n\n{WALLET},a,whale\n")),
            "line 3: expected a kind (wallet, contract, exchange, pool, bridge, router or burn), got \"whale\""
        );
        assert_eq!(
            error(&format!("address,name,kind\n{WALLET},pool\n")),
            "line 2: expected 3 fields as in the header, got 2"
        );
        assert!(error(&format!("address,name,kind\n{WALLET},\"a,pool\n")).starts_with("line 2: a quoted field"));
        assert_eq!(
            error(&format!("address,name,kind\n{WALLET},a,pool\n{WALLET},b,pool\n")),
            format!("{WALLET} is labelled twice")
        );
        assert!(error("[{\"address\":1}]").starts_with("expected a JSON list"));
        assert!(error("{}").starts_with("expected a JSON list"));
        assert_eq!(Labels::parse(&[0xff]).unwrap_err().to_string(), "expected UTF-8 text");
    }

    #[test]
    fn a_later_list_overrides_an_earlier_one() {
        let mut labels = Labels::builtin("ethereum");
        let dead = "0x000000000000000000000000000000000000dead".parse().unwrap();
        let mine = Label { name: "mine".to_owned(), kind: Kind::Wallet };
        labels.extend(Labels([(dead, mine.clone())].into()));
        assert_eq!(labels.get(dead), Some(&mine));
    }
}
