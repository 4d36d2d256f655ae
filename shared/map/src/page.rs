use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::Map;
use crate::palette::variables;

/// What a page begins with.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Nothing: the page asks for the map itself, with the token its reader has.
    Nothing,
    /// A job that makes the report, as JSON; the page follows it and then turns into the map.
    Queued(&'a str),
    Map(&'a Map),
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: &'a str,
    policy: &'a str,
    style: &'a str,
    script: &'a str,
    state: &'a str,
    data: &'a str,
}

static STYLE: LazyLock<String> = LazyLock::new(|| {
    let (light, dark) = (variables(false), variables(true));
    let sheet = include_str!("../assets/map.css");
    format!(
        ":root{{{light}}}\n@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n\
         :root[data-theme=dark]{{{dark}}}\n{sheet}"
    )
});

const SCRIPT: &str = include_str!("../assets/map.js");

/// What a page may do: run its own script and style, which are named by their digests, and ask where it came from.
/// To be sent as the header `content-security-policy`; the page has it too, for when it is a file.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> =
    LazyLock::new(|| format!("{}; frame-ancestors 'self'", POLICY.as_str()));

/// What may stand in a page: `frame-ancestors` may not.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        digest(SCRIPT),
        digest(&STYLE)
    )
});

/// A whole page: nothing in it comes from elsewhere. It works as a file, too.
pub fn page(content: Content<'_>) -> String {
    let (state, data, title) = match content {
        Content::Nothing => ("none", "null".to_owned(), "Token map".to_owned()),
        Content::Queued(job) => ("queued", job.to_owned(), "Token map".to_owned()),
        // Only maps whose keys are no strings cannot be JSON.
        Content::Map(map) => ("map", serde_json::to_string(map).unwrap_or_else(|_| "null".to_owned()), map.title()),
    };
    // In JSON `<` stands only in strings, where this is the same; so nothing in it ends the element.
    let data = data.replace('<', "\\u003c");
    let page = Page { title: &title, policy: &POLICY, style: &STYLE, script: SCRIPT, state, data: &data };
    page.render().expect("writing a page to a string does not fail")
}

#[cfg(test)]
mod tests {
    use clusters::{Labels, Ledger, Parameters, Subject, analyse};

    use super::*;

    fn map(name: &str) -> Map {
        let subject = Subject { name: Some(name.to_owned()), ..Subject::default() };
        Map::of(&analyse(&mut Ledger::new(), &subject, &Labels::none(), &Parameters::default()))
    }

    /// What stands between these two.
    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        let rest = text.split_once(start).unwrap().1;
        rest.split_once(end).unwrap().0
    }

    #[test]
    fn the_policy_names_the_very_script_and_style_of_the_page() {
        let page = page(Content::Nothing);
        for (start, end) in [("<style>", "</style>"), ("<script type=\"module\">", "</script>")] {
            let digest = STANDARD.encode(Sha256::digest(between(&page, start, end).as_bytes()));
            assert!(CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{digest}'")), "{start}");
        }
        assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
    }

    #[test]
    fn a_hostile_name_ends_neither_the_title_nor_the_data() {
        let page = page(Content::Map(&map("</title></script><script>alert(1)</script><!--")));
        assert!(!page.contains("<script>alert") && !page.contains("</title></script>"));
        let data = between(&page, "id=\"data\">", "</script>");
        assert!(!data.contains('<'));
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["token"]["name"], "</title></script><script>alert(1)</script><!--");
    }

    #[test]
    fn a_page_asks_nothing_of_another_host() {
        let page = page(Content::Map(&map("x")));
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http://") && !outside.contains("https://"));
    }

    #[test]
    fn what_a_page_begins_with_is_told_to_its_script() {
        for (content, state, data) in [
            (Content::Nothing, "none", "null"),
            (Content::Queued("{\"job\":\"a<b\"}"), "queued", "{\"job\":\"a\\u003cb\"}"),
        ] {
            let page = page(content);
            assert!(page.contains(&format!("data-state=\"{state}\"")));
            assert_eq!(between(&page, "id=\"data\">", "</script>"), data);
        }
    }
}
