//! The allow-list of issuers.

use std::net::IpAddr;

use url::{Host, Url};

/// One issuer whose access tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Compared with `iss` byte by byte: no trimming, no case folding, no trailing slash forgiven.
    pub issuer: String,
    /// Where its keys are published: `https`, or `http` on this machine. `None`: the bundled keys are all there are.
    pub jwks_url: Option<String>,
    /// The clients (applications) whose tokens are taken; at least one.
    pub client_ids: Vec<String>,
    /// A JSON Web Key Set (JSON text) for when neither cache nor network has one.
    pub bundled: Option<String>,
}

/// An entry of the allow-list that cannot work; found when the verifier is built.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    #[error("an issuer must not be empty")]
    Empty,
    #[error("issuer {0} is listed twice")]
    Twice(String),
    #[error("issuer {0} has no client id, or an empty one")]
    NoClient(String),
    #[error("issuer {0} has neither a JWKS address nor bundled keys")]
    NoKeys(String),
    #[error("the JWKS address of issuer {0} must be https, or http on a loopback address, without credentials")]
    Address(String),
    #[error("the bundled keys of issuer {issuer} cannot be used")]
    Bundled { issuer: String, source: crate::JwksError },
    #[error("a Cognito user pool id looks like eu-central-1_AbCdEf123")]
    PoolId,
}

impl Issuer {
    /// An Amazon Cognito user pool. The region is the part of the pool's id before `_`.
    ///
    /// Errors: [`IssuerError::PoolId`] when the id does not have Cognito's form.
    pub fn cognito(pool_id: &str, client_ids: Vec<String>) -> Result<Self, IssuerError> {
        let (region, name) = pool_id.split_once('_').ok_or(IssuerError::PoolId)?;
        let region_ok = region.contains('-')
            && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let name_ok = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !region_ok || !name_ok || pool_id.len() > 55 {
            return Err(IssuerError::PoolId);
        }
        let issuer = format!("https://cognito-idp.{region}.amazonaws.com/{pool_id}");
        Ok(Self { jwks_url: Some(format!("{issuer}/.well-known/jwks.json")), issuer, client_ids, bundled: None })
    }

    pub(crate) fn check(&self) -> Result<(), IssuerError> {
        if self.issuer.is_empty() {
            return Err(IssuerError::Empty);
        }
        if self.client_ids.is_empty() || self.client_ids.iter().any(String::is_empty) {
            return Err(IssuerError::NoClient(self.issuer.clone()));
        }
        match &self.jwks_url {
            Some(address) if !is_safe_address(address) => Err(IssuerError::Address(self.issuer.clone())),
            None if self.bundled.is_none() => Err(IssuerError::NoKeys(self.issuer.clone())),
            _ => Ok(()),
        }
    }
}

/// Keys fetched over plain http could be anybody's, except from this machine.
pub(crate) fn is_safe_address(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => IpAddr::from(address).is_loopback(),
        ("http", Some(Host::Ipv6(address))) => IpAddr::from(address).is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cognito_pool_has_its_regions_addresses() {
        let issuer = Issuer::cognito("eu-central-1_AbC123", vec!["web".into()]).unwrap();
        assert_eq!(issuer.issuer, "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbC123");
        assert_eq!(issuer.jwks_url.unwrap(), format!("{}/.well-known/jwks.json", issuer.issuer));
    }

    #[test]
    fn a_pool_id_cannot_lead_to_another_host() {
        for bad in
            ["", "_", "eu-central-1", "eu-central-1_", "_a", "a_b", "evil.example/x-_a", "eu-central-1_a/b", "e@u-_a"]
        {
            assert!(Issuer::cognito(bad, vec![]).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_come_over_https_or_from_this_machine_only() {
        for good in [
            "https://example.org/k",
            "http://localhost:9/k",
            "http://127.0.0.1/k",
            "http://127.9.9.9/",
            "http://[::1]:80/k",
        ] {
            assert!(is_safe_address(good), "{good}");
        }
        for bad in [
            "",
            "k",
            "http://example.org/k",
            "http://localhost.example.org/k",
            "http://10.0.0.1/k",
            "http://[::2]/k",
            "http://0.0.0.0/k",
            "ftp://localhost/k",
            "file:///etc/passwd",
            "data:,x",
            "https://user:pass@example.org/k",
            "http://user@localhost/k",
        ] {
            assert!(!is_safe_address(bad), "{bad}");
        }
    }
}
