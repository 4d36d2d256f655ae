use std::fmt;
use std::sync::Arc;

use crate::{EvmOptions, EvmSource, FileSource, SampleSource, SourceError, TransferSource};

/// A chain whose tokens can be asked for.
#[derive(Clone)]
pub struct Chain {
    /// Lower-case letters, digits and hyphens: `ethereum`.
    pub id: String,
    /// The number of EIP-155, where the chain has one.
    pub chain_id: Option<u64>,
    /// For people: `Ethereum`.
    pub name: String,
    /// The symbol of the asset in which fees are paid: `ETH`.
    pub native_asset: Option<String>,
    pub source: Arc<dyn TransferSource>,
}

/// The chains of this installation, each id once, in the order given.
#[derive(Clone, Debug, Default)]
pub struct Chains(Vec<Chain>);

/// Why a chain specification is none. Never quotes it: a URL may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum ChainSpecError {
    #[error("chain {position}: expected `name=https://…`, `name=file:path` or `name=sample:`")]
    Form {
        /// Counted from 1.
        position: usize,
    },
    #[error("chain {position}: a name is 1 to 32 lower-case letters, digits and hyphens")]
    Name { position: usize },
    #[error("chain {chain} is given twice")]
    Twice { chain: String },
    #[error("chain {chain}: its URL cannot be read")]
    Url { chain: String, source: url::ParseError },
    #[error("chain {chain}: a URL begins with https://, http://, file: or sample:, not {scheme}:")]
    Scheme { chain: String, scheme: String },
    #[error("chain {chain}")]
    Source { chain: String, source: SourceError },
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("id", &self.id)
            .field("chain_id", &self.chain_id)
            .field("name", &self.name)
            .field("native_asset", &self.native_asset)
            .finish_non_exhaustive()
    }
}

impl Chains {
    /// A later chain replaces an earlier one of the same id.
    pub fn new(chains: Vec<Chain>) -> Self {
        let mut kept: Vec<Chain> = Vec::with_capacity(chains.len());
        for chain in chains {
            match kept.iter_mut().find(|earlier| earlier.id == chain.id) {
                Some(earlier) => *earlier = chain,
                None => kept.push(chain),
            }
        }
        Self(kept)
    }

    /// Several specifications as [`Chain::parse`] takes them, separated by blanks, line ends or commas. A comma inside a
    /// URL or a path is kept: it separates only in front of `name=` with a scheme after it.
    pub fn parse(specs: &str) -> Result<Self, ChainSpecError> {
        let mut chains: Vec<Chain> = Vec::new();
        for spec in specs.split_whitespace().flat_map(split_commas) {
            let chain = parse_at(spec, chains.len() + 1)?;
            if chains.iter().any(|earlier| earlier.id == chain.id) {
                return Err(ChainSpecError::Twice { chain: chain.id });
            }
            chains.push(chain);
        }
        Ok(Self(chains))
    }

    pub fn get(&self, id: &str) -> Option<&Chain> {
        self.0.iter().find(|chain| chain.id == id)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Chain> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Chains {
    type Item = &'a Chain;
    type IntoIter = std::slice::Iter<'a, Chain>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Chain {
    /// `name=https://…` (a JSON-RPC node), `name=file:path` (a CSV file or a directory of such) or `name=sample:` (one
    /// made-up token). A known name brings chain id, native asset and confirmations with it; any other is fine too.
    pub fn parse(spec: &str) -> Result<Self, ChainSpecError> {
        parse_at(spec, 1)
    }
}

/// Where to cut `a=https://x,b=file:y`.
fn split_commas(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(',') {
        let rest = &text[at + 1..];
        let begins = rest.is_empty()
            || rest.split_once('=').is_some_and(|(name, url)| {
                is_name(name)
                    && ["https://", "http://", "file:", "sample:"].iter().any(|scheme| url.starts_with(scheme))
            });
        if begins {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn parse_at(spec: &str, position: usize) -> Result<Chain, ChainSpecError> {
    let (id, url) = spec.split_once('=').ok_or(ChainSpecError::Form { position })?;
    if !is_name(id) {
        return Err(ChainSpecError::Name { position });
    }
    let chain = id.to_owned();
    let known = KNOWN.iter().find(|known| known.id == id);
    let source: Arc<dyn TransferSource> = if let Some(path) = url.strip_prefix("file:") {
        // `file:///x` is a URL, `file:x` and `file:/x` are paths.
        let path = path.strip_prefix("//").unwrap_or(path);
        let opened = FileSource::open(path);
        Arc::new(opened.map_err(|source| ChainSpecError::Source { chain: chain.clone(), source })?)
    } else if url == "sample:" {
        Arc::new(SampleSource::new())
    } else {
        let url = url::Url::parse(url).map_err(|source| ChainSpecError::Url { chain: chain.clone(), source })?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(ChainSpecError::Scheme { chain, scheme: url.scheme().to_owned() });
        }
        let mut options = EvmOptions::default();
        if let Some(known) = known {
            options.chain_id = Some(known.chain_id);
            options.confirmations = known.confirmations;
        }
        Arc::new(EvmSource::new(url, options))
    };
    Ok(Chain {
        chain_id: known.map(|known| known.chain_id),
        name: known.map_or_else(|| id.to_owned(), |known| known.name.to_owned()),
        native_asset: known.map(|known| known.native_asset.to_owned()),
        id: chain,
        source,
    })
}

struct Known {
    id: &'static str,
    chain_id: u64,
    name: &'static str,
    native_asset: &'static str,
    /// Blocks behind the head that are left alone: on chains of proof of stake beyond any reorganisation seen, on chains
    /// with one sequencer enough for nodes behind one address to agree.
    confirmations: u64,
}

const fn known(
    id: &'static str,
    chain_id: u64,
    name: &'static str,
    native_asset: &'static str,
    confirmations: u64,
) -> Known {
    Known { id, chain_id, name, native_asset, confirmations }
}

const KNOWN: [Known; 16] = [
    known("ethereum", 1, "Ethereum", "ETH", 12),
    known("sepolia", 11_155_111, "Sepolia", "ETH", 12),
    known("optimism", 10, "OP Mainnet", "ETH", 20),
    known("cronos", 25, "Cronos", "CRO", 5),
    known("bsc", 56, "BNB Smart Chain", "BNB", 15),
    known("gnosis", 100, "Gnosis", "XDAI", 12),
    known("polygon", 137, "Polygon", "POL", 128),
    known("sonic", 146, "Sonic", "S", 5),
    known("fantom", 250, "Fantom", "FTM", 5),
    known("zksync", 324, "ZKsync Era", "ETH", 20),
    known("base", 8453, "Base", "ETH", 20),
    known("arbitrum", 42_161, "Arbitrum One", "ETH", 40),
    known("celo", 42_220, "Celo", "CELO", 20),
    known("avalanche", 43_114, "Avalanche C-Chain", "AVAX", 5),
    known("linea", 59_144, "Linea", "ETH", 10),
    known("scroll", 534_352, "Scroll", "ETH", 10),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_are_separated_by_commas_or_blanks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a,b.csv");
        std::fs::write(&path, "").unwrap();
        let demo = format!("demo=file:{}", path.display());
        let specs = format!("ethereum=https://a.example/x,y base=http://b.example,{demo},sample=sample:\n");
        let chains = Chains::parse(&specs).unwrap();
        assert_eq!(
            chains.iter().map(|chain| chain.id.as_str()).collect::<Vec<_>>(),
            ["ethereum", "base", "demo", "sample"]
        );
        let ethereum = chains.get("ethereum").unwrap();
        assert_eq!((ethereum.chain_id, ethereum.name.as_str()), (Some(1), "Ethereum"));
        assert_eq!(ethereum.native_asset.as_deref(), Some("ETH"));
        let demo = chains.get("demo").unwrap();
        assert_eq!((demo.chain_id, demo.name.as_str(), demo.native_asset.as_deref()), (None, "demo", None));
        assert!(chains.get("bsc").is_none());
        assert_eq!(Chains::parse(" \n").unwrap().iter().count(), 0);
    }

    #[test]
    fn what_is_no_specification_is_refused_without_quoting_it() {
        for (spec, expected) in [
            ("https://node.example/secret", "chain 1: expected `name=https://…`, `name=file:path` or `name=sample:`"),
            ("Ethereum=https://x", "chain 1: a name is 1 to 32 lower-case letters, digits and hyphens"),
            ("a=https://x a=https://y", "chain a is given twice"),
            ("a=https://[secret", "chain a: its URL cannot be read"),
            ("a=wss://node.example/secret", "chain a: a URL begins with https://, http://, file: or sample:, not wss:"),
            ("a=file:/nowhere/to/be/found", "chain a"),
            ("a=sample:other", "chain a: a URL begins with https://, http://, file: or sample:, not sample:"),
        ] {
            let error = Chains::parse(spec).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn the_secret_part_of_a_url_is_never_shown() {
        let chain = Chain::parse("x=https://user:word@node.example:8545/v2/secret?key=secret").unwrap();
        let shown = format!("{chain:?}");
        assert!(!shown.contains("secret") && !shown.contains("word"), "{shown}");
    }

    #[test]
    fn a_later_chain_replaces_an_earlier_one() {
        let chain = |spec| Chain::parse(spec).unwrap();
        let mut second = chain("a=https://two.example");
        second.name = "second".into();
        let chains = Chains::new(vec![chain("a=https://one.example"), chain("b=https://b.example"), second]);
        assert_eq!(chains.iter().count(), 2);
        assert_eq!(chains.get("a").unwrap().name, "second");
    }

    #[test]
    fn every_known_chain_is_known_once() {
        for (place, chain) in KNOWN.iter().enumerate() {
            assert!(is_name(chain.id));
            assert!(KNOWN[..place].iter().all(|other| other.id != chain.id && other.chain_id != chain.chain_id));
        }
    }
}
