use mail::{BadLink, Letterhead, Link, Name};
use url::Url;

/// The front end, to whose pages mails lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    site: Url,
    front: Link,
}

impl Pages {
    /// `https://…`, or `http://` on this machine; a path is kept in front of the pages'.
    ///
    /// # Errors
    /// When the text is no such address.
    pub fn new(site: &str) -> Result<Self, BadLink> {
        let front = Link::new(site)?;
        let mut site = Url::parse(front.as_str()).map_err(|_| BadLink)?;
        if !site.path().ends_with('/') {
            let path = format!("{}/", site.path());
            site.set_path(&path);
        }
        site.set_query(None);
        site.set_fragment(None);
        Ok(Self { site, front })
    }

    /// A page by its path below the front end's address, which is one of ours: `reset-password`.
    pub fn to(&self, page: &str) -> Link {
        let joined = self.site.join(page).ok().and_then(|url| Link::new(url.as_str()).ok());
        joined.unwrap_or_else(|| self.front.clone())
    }

    /// Who writes: the product's name, over the front page.
    pub fn letterhead(&self, product: Name) -> Letterhead {
        Letterhead { product, site: self.to("") }
    }
}

impl Default for Pages {
    /// A front end that is being worked on, on this machine.
    fn default() -> Self {
        Self::new("http://localhost:5173/").expect("an address of this machine")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_below_the_front_ends_address() {
        let to = |site: &str, page: &str| Pages::new(site).unwrap().to(page).to_string();
        assert_eq!(to("https://example.com", "sign-in"), "https://example.com/sign-in");
        assert_eq!(to("https://example.com/app", "sign-in"), "https://example.com/app/sign-in");
        assert_eq!(to("https://example.com/app/?a=b#c", ""), "https://example.com/app/");
        assert_eq!(Pages::default().to("join").to_string(), "http://localhost:5173/join");
    }

    #[test]
    fn a_page_of_somebody_else_is_the_front_page() {
        let pages = Pages::new("https://example.com/").unwrap();
        assert_eq!(pages.to("http://elsewhere.example/").to_string(), "https://example.com/");
        assert!(Pages::new("ftp://example.com").is_err());
    }
}
