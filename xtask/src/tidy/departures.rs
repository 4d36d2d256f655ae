//! An account that is deleted is deleted everywhere: every domain says what it keeps of one.

use super::{Finding, House};

const LAMBDAS: &str = "functions/lambdas/src/lib.rs";
/// How a domain's step is declared in the root of its crate.
const STEP: &str = "pub fn departure()";

pub(super) fn every_domain_lets_accounts_go(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    let manifests = house.tree.below("functions").filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
    let domains = manifests.filter_map(|folder| folder.strip_prefix("functions/")).filter(|name| *name != "lambdas");
    let listed = house.tree.text(LAMBDAS).map(departures).unwrap_or_default();
    for domain in domains {
        let library = format!("functions/{domain}/src/lib.rs");
        if !house.tree.text(&library).is_some_and(|text| text.lines().any(|line| line.starts_with(STEP))) {
            let what =
                format!("expected `{STEP}`: what happens to what `{domain}` keeps of an account that is deleted");
            found.push(Finding::of(&library, what));
        }
        if !listed.contains(&format!("{domain}::departure()")) {
            found.push(Finding::of(LAMBDAS, format!("expected `{domain}::departure()` in `departures()`")));
        }
    }
    found
}

/// The body of the function that lists all steps.
fn departures(text: &str) -> &str {
    let body = text.split_once("pub fn departures()").map_or("", |(_, rest)| rest);
    body.split_once("\n}").map_or(body, |(body, _)| body)
}

#[cfg(test)]
mod tests {
    use super::super::tests::house;
    use super::*;

    const LISTED: &str = "pub fn departures() -> Vec<Departure<App>> {\n    vec![tokens::departure()]\n}\n";
    const DOMAIN: &str = "pub fn departure() -> Departure<App> {\n}\n";

    fn found(lambdas: &str, domain: &str) -> Vec<String> {
        let house = house(&[
            (LAMBDAS, lambdas),
            ("functions/lambdas/Cargo.toml", ""),
            ("functions/tokens/Cargo.toml", ""),
            ("functions/tokens/src/lib.rs", domain),
        ]);
        every_domain_lets_accounts_go(&house).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_domain_that_keeps_accounts_for_ever_is_found() {
        assert_eq!(found(LISTED, DOMAIN), Vec::<String>::new());
        let missing = "functions/tokens/src/lib.rs: expected `pub fn departure()`: what happens to what `tokens` keeps of \
            an account that is deleted";
        for text in ["", "fn departure() {}", "// pub fn departure()\n"] {
            assert_eq!(found(LISTED, text), [missing], "{text}");
        }
    }

    #[test]
    fn a_step_that_nobody_takes_is_found() {
        let missing = "functions/lambdas/src/lib.rs: expected `tokens::departure()` in `departures()`";
        for text in ["", "pub fn departures() {\n    vec![]\n}\nfn other() {\n    tokens::departure()\n}\n"] {
            assert_eq!(found(text, DOMAIN), [missing], "{text}");
        }
    }
}
