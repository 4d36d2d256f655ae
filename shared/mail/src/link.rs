use std::fmt;

use url::{Host, Url};

/// With the angle brackets around it, what a header of SES holds.
const BYTES_MAX: usize = 900;

/// The absolute address of a page: `https`, or `http` on this machine. At most 900 ASCII characters.
///
/// `Debug` shows the host only: what stands behind it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Link(Url);

/// The text is no such address. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a link is an absolute https address, or an http address of this machine, without a user name, of at most \
     {BYTES_MAX} characters"
)]
pub struct BadLink;

impl Link {
    pub fn new(text: &str) -> Result<Self, BadLink> {
        if text.len() > BYTES_MAX {
            return Err(BadLink);
        }
        let url = Url::parse(text).map_err(|_| BadLink)?;
        let is_local = match url.host().ok_or(BadLink)? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_local);
        let names_nobody = url.username().is_empty() && url.password().is_none();
        // Encoding may have made it longer.
        if is_safe && names_nobody && url.as_str().len() <= BYTES_MAX { Ok(Self(url)) } else { Err(BadLink) }
    }

    /// ASCII, percent-encoded.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}://{}/…)", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_is_https_or_of_this_machine() {
        for good in [
            "https://example.com/",
            "https://example.com/a?b=c&d=%22#e",
            "http://localhost:3000/a",
            "http://127.0.0.1:3000/",
            "http://[::1]/",
        ] {
            assert_eq!(Link::new(good).unwrap().as_str(), good);
        }
        let long = format!("https://example.com/{}", "a".repeat(BYTES_MAX));
        let long_when_encoded = format!("https://example.com/{}", "ä".repeat(200));
        for bad in [
            "",
            "example.com",
            "/a",
            "//example.com/a",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://10.0.0.1/",
            "https://ann@example.com/",
            "https://ann:secret@example.com/",
            "javascript:alert(1)",
            "data:text/html,a",
            "mailto:ann@example.com",
            "ftp://example.com/",
            "https://",
            &long,
            &long_when_encoded,
        ] {
            assert_eq!(Link::new(bad), Err(BadLink), "{bad}");
        }
    }

    #[test]
    fn what_could_end_an_attribute_or_a_header_is_encoded() {
        let link = Link::new("https://example.com/\"><b>?a=\">\r\nbcc: b#\"").unwrap();
        assert_eq!(link.as_str(), "https://example.com/%22%3E%3Cb%3E?a=%22%3Ebcc:%20b#%22");
    }

    #[test]
    fn debug_shows_the_host_only() {
        let link = Link::new("https://example.com/reset?code=123456").unwrap();
        assert_eq!(format!("{link:?}"), "Link(https://example.com/…)");
    }

    proptest! {
        #[test]
        fn a_link_fits_a_header(path in any::<String>()) {
            if let Ok(link) = Link::new(&format!("https://example.com/{path}")) {
                prop_assert!(link.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte)));
                prop_assert_eq!(Link::new(link.as_str()), Ok(link));
            }
        }
    }
}
