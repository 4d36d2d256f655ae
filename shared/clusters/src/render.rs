//! A report as text: for a person at a terminal, and for a spreadsheet.

use std::fmt::{self, Write as _};

use crate::{Acquisition, Address, Concentration, Holder, Report, Units};

/// How many clusters and holders a table shows; the JSON has all.
const SHOWN: usize = 20;

impl Report {
    /// The main findings as plain text: the supply, the concentration, the largest clusters and holders.
    pub fn to_table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, out: &mut String) -> fmt::Result {
        let token = &self.token;
        let name = token.name.as_deref().or(token.symbol.as_deref()).unwrap_or("Token");
        writeln!(out, "{} {} on {}", printable(name), token.address, printable(&token.chain))?;
        match (self.as_of.first_block, self.as_of.block) {
            (Some(first), Some(last)) => writeln!(out, "{} transfers, blocks {first} to {last}", self.health.rows)?,
            _ => writeln!(out, "no transfers")?,
        }

        let supply = &self.supply;
        writeln!(out, "\nSUPPLY")?;
        for (what, amount, number) in [
            ("minted", supply.minted, supply.display.minted),
            ("burned", supply.burned, supply.display.burned),
            ("held", supply.positive, supply.display.positive),
            ("circulating", supply.circulating, supply.display.circulating),
        ] {
            writeln!(out, "  {what:<12} {:>30}", shown(amount, number))?;
        }
        self.write_doubts(out)?;

        let metrics = &self.metrics;
        writeln!(out, "\nCONCENTRATION        gini     hhi  nakamoto  effective   top 10")?;
        for (what, of) in [
            ("by holder", &metrics.by_holder),
            ("by entity", &metrics.by_entity),
            ("  without hubs", &metrics.by_entity_adjusted),
        ] {
            let Concentration { gini, hhi, nakamoto, effective_holders, top10_share } = of;
            let top10 = Percent(*top10_share);
            writeln!(out, "  {what:<16} {gini:>6.4}  {hhi:>6.4}  {nakamoto:>8}  {effective_holders:>9.1}  {top10:>7}")?;
        }
        match metrics.score {
            Some(score) => writeln!(out, "  score {score:.1} of 100")?,
            None => writeln!(out, "  no score: there is nobody to count")?,
        }
        self.write_clusters(out)?;
        self.write_evidence(out)?;
        self.write_holders(out)
    }

    fn write_doubts(&self, out: &mut String) -> fmt::Result {
        let (supply, health) = (&self.supply, &self.health);
        if supply.negative_count > 0 {
            let sum = shown(supply.negative_sum, supply.display.negative_sum);
            writeln!(out, "  history is missing: {} addresses are below zero, by {sum}", supply.negative_count)?;
        }
        for (what, count) in [
            ("rows could not be read", health.bad_rows),
            ("rows repeat an earlier one", health.duplicate_rows),
            ("rows move nothing", health.zero_value_rows),
        ] {
            if count > 0 {
                writeln!(out, "  {count} {what}")?;
            }
        }
        Ok(())
    }

    fn write_clusters(&self, out: &mut String) -> fmt::Result {
        if self.clusters.is_empty() {
            return writeln!(out, "\nNO CLUSTERS: no two of the {} top holders are linked", self.holders.len());
        }
        writeln!(out, "\nCLUSTERS  members    share                          amount  largest member")?;
        for cluster in self.clusters.iter().take(SHOWN) {
            let largest = self.holders.iter().find(|holder| holder.cluster == Some(cluster.id));
            let largest = largest.map_or(Address::ZERO, |holder| holder.address);
            let (members, share) = (cluster.members.len(), Percent(cluster.share));
            let amount = shown(cluster.amount, cluster.display);
            writeln!(out, "{:>8}  {members:>7}  {share:>7}  {amount:>30}  {largest}", cluster.rank)?;
        }
        more(out, self.clusters.len())
    }

    /// What joins holders besides transfers, where it was asked for and found.
    fn write_evidence(&self, out: &mut String) -> fmt::Result {
        let (asked, health) = (&self.parameters, &self.health);
        let rank_of = |id| self.clusters.iter().find(|cluster| cluster.id == id).map_or(0, |cluster| cluster.rank);
        if asked.magic_nodes || asked.common_funder || asked.synchronous || !self.conduits.is_empty() {
            writeln!(out, "\nEVIDENCE besides transfers")?;
        }
        for node in self.conduits.iter().take(SHOWN) {
            let (members, cluster) = (node.members.len(), rank_of(node.cluster));
            writeln!(out, "  cluster {cluster}: {} kept nothing and dealt with {members} of it", node.address)?;
        }
        for node in self.magic_nodes.iter().take(SHOWN) {
            let (members, cluster) = (node.members.len(), rank_of(node.cluster));
            writeln!(out, "  cluster {cluster}: {} traded with {members} of it", node.address)?;
        }
        for funder in self.common_funders.iter().take(SHOWN) {
            let (members, cluster) = (funder.fundings.len(), rank_of(funder.cluster));
            writeln!(out, "  cluster {cluster}: {} funded {members} of it", funder.address)?;
        }
        for group in self.acquisitions.iter().take(SHOWN) {
            let Acquisition { pool, first_block, last_block, purchases, cluster } = group;
            let (members, cluster) = (purchases.len(), rank_of(*cluster));
            writeln!(out, "  cluster {cluster}: {members} began at {pool} in blocks {first_block} to {last_block}")?;
        }
        for (what, count) in [
            ("holders' funding is not known", health.unknown_fundings),
            ("groups of buyers were crowds", health.crowded_acquisitions),
        ] {
            if count > 0 {
                writeln!(out, "  {count} {what}")?;
            }
        }
        Ok(())
    }

    fn write_holders(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\n HOLDERS    share                          amount  address")?;
        for holder in self.holders.iter().take(SHOWN) {
            let (share, amount) = (Percent(holder.share), shown(holder.amount, holder.display));
            write!(out, "{:>8}  {share:>7}  {amount:>30}  {}", holder.rank, holder.address)?;
            if let Some(cluster) = self.clusters.iter().find(|cluster| Some(cluster.id) == holder.cluster) {
                write!(out, "  cluster {}", cluster.rank)?;
            }
            if let Some(hub) = self.excluded.iter().find(|hub| hub.address == holder.address) {
                write!(out, "  hub: {}", hub.reason.as_str())?;
                if let Some(within) = &hub.within {
                    write!(out, " (let in, it would be one with {} others)", within.members - 1)?;
                }
            }
            if let Some(label) = &holder.label {
                write!(out, "  {}", printable(label))?;
            }
            writeln!(out)?;
        }
        more(out, self.holders.len())
    }

    /// The holders as CSV with a header, RFC 4180, lines ending in CR LF. Shares are 0 to 1, `cluster` is the cluster's
    /// rank, and what is not known is empty.
    pub fn to_csv(&self) -> String {
        let mut text =
            String::from("rank,address,amount,display,share,circulating_share,label,kind,degree,cluster\r\n");
        let rank_of: std::collections::HashMap<_, _> =
            self.clusters.iter().map(|cluster| (cluster.id, cluster.rank)).collect();
        for holder in &self.holders {
            let Holder { rank, address, amount, display, share, circulating_share, label, kind, degree, cluster } =
                holder;
            let (display, label) = (optional(*display), field(label.as_deref().unwrap_or_default()));
            let cluster = optional(cluster.and_then(|id| rank_of.get(&id)));
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "{rank},{address},{amount},{display},{share},{circulating_share},{label},{},{degree},{cluster}\r\n",
                kind.as_str()
            );
        }
        text
    }
}

fn more(out: &mut String, count: usize) -> fmt::Result {
    if count > SHOWN { writeln!(out, "          and {} more", count - SHOWN) } else { Ok(()) }
}

/// Whole tokens with a comma between thousands, or base units where the decimals are not known.
fn shown(amount: Units, number: Option<f64>) -> String {
    let text = number.map_or_else(|| amount.to_string(), |number| format!("{number:.2}"));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn optional(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A CSV field; one that a spreadsheet would take for a formula gets an apostrophe in front.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Names come from contracts and files; control characters in them must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars().take(80).map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and those that turn the direction of the text.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2}%", 100.0 * self.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::sample::{Token, transfers};
    use crate::{Label, Ledger, Parameters, Subject, analyse};

    use super::*;

    fn report(rows: u64, name: &str, label: &str) -> Report {
        let token = Token::new(1);
        let mut ledger = Ledger::new();
        for transfer in transfers(1, rows, 100) {
            ledger.push(&transfer);
        }
        let mut labels = token.labels();
        labels.insert(token.exchange, Label { name: label.to_owned(), kind: crate::Kind::Exchange });
        let subject = Subject { name: Some(name.to_owned()), ..token.subject() };
        analyse(&mut ledger, &subject, &labels, &Parameters::default())
    }

    #[test]
    fn the_table_shows_supply_metrics_clusters_and_holders() {
        let table = report(400, "Sample Token", "Sample exchange").to_table();
        let token = Token::new(1);
        assert!(
            table.starts_with(&format!("Sample Token {} on ethereum\n400 transfers, blocks 1800", token.address)),
            "{table}"
        );
        for part in [
            "\nSUPPLY\n",
            "\nCONCENTRATION ",
            "\nCLUSTERS ",
            "\n HOLDERS ",
            "  cluster 1",
            "  hub: exchange (let in, it would be one with ",
            " others)  Sample exchange",
        ] {
            assert!(table.contains(part), "{part}: {table}");
        }
        assert!(table.lines().all(|line| line == line.trim_end()), "{table}");
    }

    #[test]
    fn the_table_tells_what_else_joins_holders_where_it_was_asked_for() {
        let token = Token::new(1);
        let mut ledger = Ledger::new();
        for transfer in transfers(1, 400, 100) {
            ledger.push(&transfer);
        }
        let [one, other] = token.friends;
        let funded = |block| crate::Funded {
            funder: Address([9; 20]),
            block,
            tx: crate::TxHash::default(),
            amount: Units::from(1),
        };
        let first = ledger.first_blocks(&token.friends);
        let subject =
            Subject { fundings: [(one, funded(first[0].1)), (other, funded(first[1].1))].into(), ..token.subject() };
        let parameters = Parameters { magic_nodes: true, common_funder: true, ..Parameters::default() };
        let table = analyse(&mut ledger, &subject, &token.labels(), &parameters).to_table();
        assert!(table.contains("\nEVIDENCE besides transfers\n"), "{table}");
        assert!(table.contains(&format!(": {} traded with 2 of it\n", token.magic_node)), "{table}");
        assert!(table.contains(&format!(": {} funded 2 of it\n", Address([9; 20]))), "{table}");
        assert!(table.contains(" holders' funding is not known\n"), "{table}");
    }

    #[test]
    fn an_empty_report_is_a_table_too() {
        let report = analyse(&mut Ledger::new(), &Subject::default(), &crate::Labels::none(), &Parameters::default());
        let table = report.to_table();
        assert!(
            table.contains("no transfers") && table.contains("NO CLUSTERS") && table.contains("no score"),
            "{table}"
        );
        assert_eq!(report.to_csv().lines().count(), 1);
    }

    #[test]
    fn what_a_name_carries_does_not_reach_the_terminal() {
        let table = report(400, "\u{1b}[2JEvil\u{202e}", "a\u{7}b").to_table();
        assert!(table.starts_with("\u{fffd}[2JEvil\u{fffd} 0x"), "{table}");
        assert!(!table.contains(['\u{1b}', '\u{7}', '\u{202e}']));
    }

    #[test]
    fn csv_has_a_line_per_holder_and_quotes_what_needs_it() {
        let report = report(400, "x", "=1+1, \"x\"");
        let csv = report.to_csv();
        assert_eq!(csv.lines().count(), 1 + report.holders.len());
        assert!(csv.contains(",\"'=1+1, \"\"x\"\"\",exchange,"), "{csv}");
        let chief = &report.holders.iter().find(|holder| holder.cluster.is_some()).unwrap();
        assert!(csv.contains(&format!("{},{},{},", chief.rank, chief.address, chief.amount)));
    }

    #[test]
    fn amounts_are_grouped_by_thousands() {
        assert_eq!(shown(Units::ZERO, Some(1_234_567.891)), "1,234,567.89");
        assert_eq!(shown(Units::ZERO, Some(-123.0)), "-123.00");
        assert_eq!(shown(-Units::from(1000), None), "-1,000");
        assert_eq!(shown(Units::from(999), None), "999");
    }
}
