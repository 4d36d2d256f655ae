use std::collections::HashMap;

use clusters::{Address, AsOf, Digest, Kind, Metrics, Parameters, Reason, Report, Supply, Token, Units};
use serde::Serialize;

use crate::layout::{Party, Plan, lay_out};

/// A laid-out report. Lengths are in units of the view, y grows downwards; the area of a circle is in proportion to its
/// share, but for the smallest, which could not be seen. Circles do not overlap. The same report gives the same bytes
/// as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    pub token: Token,
    pub as_of: AsOf,
    pub parameters: Parameters,
    pub supply: Supply,
    pub metrics: Metrics,
    pub computed_at: Option<u64>,
    pub view: View,
    /// The report's holders, by rank.
    pub circles: Vec<Circle>,
    /// The report's links.
    pub links: Vec<Line>,
    /// The report's clusters, by rank.
    pub clusters: Vec<Group>,
}

/// The rectangle that holds every circle, with a margin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct View {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// A holder.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Circle {
    pub x: f64,
    pub y: f64,
    pub r: f64,
    pub address: Address,
    pub amount: Units,
    /// Whole tokens; `None` where the decimals are not known.
    pub display: Option<f64>,
    pub share: f64,
    /// At most 80 characters, none of which turns the direction of the text.
    pub label: Option<String>,
    pub kind: Kind,
    pub degree: u32,
    /// The cluster's rank, from 1.
    pub cluster: Option<u32>,
    /// Why it joins nothing, where it is a hub.
    pub excluded: Option<Reason>,
}

/// A link, in JSON a list: the indices in `circles` of sender and receiver, how many transfers, their sum as the nearest
/// number (whole tokens, or base units where the decimals are not known), and whether it makes its ends one party.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line(pub u32, pub u32, pub u64, pub f64, pub bool);

/// A cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Of a circle around all members.
    pub x: f64,
    pub y: f64,
    pub r: f64,
    pub id: Digest,
    pub rank: u32,
    /// Indices in `circles`, by rank.
    pub members: Vec<u32>,
    pub amount: Units,
    pub display: Option<f64>,
    pub share: f64,
    pub links: u32,
    /// How many hubs its members have links with.
    pub hubs_touched: usize,
}

const MARGIN: f64 = 14.0;

impl Map {
    pub fn of(report: &Report) -> Self {
        let index_of: HashMap<Address, usize> =
            report.holders.iter().enumerate().map(|(index, holder)| (holder.address, index)).collect();
        let rank_of: HashMap<Digest, u32> = report.clusters.iter().map(|cluster| (cluster.id, cluster.rank)).collect();
        let excluded: HashMap<Address, Reason> = report.excluded.iter().map(|hub| (hub.address, hub.reason)).collect();
        let mut lines = Vec::with_capacity(report.links.len());
        for link in &report.links {
            if let (Some(&from), Some(&to)) = (index_of.get(&link.from), index_of.get(&link.to)) {
                let amount = link.display.unwrap_or_else(|| link.amount.to_f64());
                lines.push(Line(index(from), index(to), link.transfers, finite(amount), link.joins));
            }
        }
        let members = members(report, &index_of);
        let layout = lay_out(&plan(report, &members, &lines, &excluded));
        let circles: Vec<Circle> = report
            .holders
            .iter()
            .zip(&layout.discs)
            .map(|(holder, disc)| Circle {
                x: rounded(disc.x),
                y: rounded(disc.y),
                r: rounded(disc.r),
                address: holder.address,
                amount: holder.amount,
                display: holder.display,
                share: holder.share,
                label: holder.label.as_deref().map(presentable),
                kind: holder.kind,
                degree: holder.degree,
                cluster: holder.cluster.and_then(|id| rank_of.get(&id).copied()),
                excluded: excluded.get(&holder.address).copied(),
            })
            .collect();
        let clusters = report
            .clusters
            .iter()
            .zip(members)
            .zip(&layout.groups)
            .map(|((cluster, members), disc)| Group {
                x: rounded(disc.x),
                y: rounded(disc.y),
                r: rounded(disc.r),
                id: cluster.id,
                rank: cluster.rank,
                members: members.into_iter().map(index).collect(),
                amount: cluster.amount,
                display: cluster.display,
                share: cluster.share,
                links: cluster.links,
                hubs_touched: cluster.hubs_touched.len(),
            })
            .collect();
        let mut token = report.token.clone();
        token.name = token.name.as_deref().map(presentable);
        token.symbol = token.symbol.as_deref().map(presentable);
        Self {
            token,
            as_of: report.as_of,
            parameters: report.parameters,
            supply: report.supply,
            metrics: report.metrics,
            computed_at: report.computed_at,
            view: View::around(&circles),
            circles,
            links: lines,
            clusters,
        }
    }

    /// The token's name, symbol or address, whichever is known.
    pub fn title(&self) -> String {
        let known = self.token.name.as_ref().or(self.token.symbol.as_ref()).filter(|name| !name.trim().is_empty());
        known.cloned().unwrap_or_else(|| short(self.token.address))
    }
}

impl View {
    fn around(circles: &[Circle]) -> Self {
        if circles.is_empty() {
            return Self { x: -100.0, y: -100.0, width: 200.0, height: 200.0 };
        }
        let least = |edge: fn(&Circle) -> f64| circles.iter().map(edge).fold(f64::INFINITY, f64::min) - MARGIN;
        let (x, y) = (least(|circle| circle.x - circle.r), least(|circle| circle.y - circle.r));
        let (right, bottom) = (-least(|circle| -circle.x - circle.r), -least(|circle| -circle.y - circle.r));
        Self { x: rounded(x), y: rounded(y), width: rounded(right - x), height: rounded(bottom - y) }
    }
}

/// Each cluster's members as indices, by rank of holder. Members outside of the list of holders, which a report does
/// not have, would be left out.
fn members(report: &Report, index_of: &HashMap<Address, usize>) -> Vec<Vec<usize>> {
    let of = |cluster: &clusters::Cluster| {
        let mut members: Vec<usize> =
            cluster.members.iter().filter_map(|member| index_of.get(member).copied()).collect();
        members.sort_unstable();
        members
    };
    report.clusters.iter().map(of).collect()
}

fn plan(report: &Report, members: &[Vec<usize>], lines: &[Line], excluded: &HashMap<Address, Reason>) -> Plan {
    // Where in which cluster a holder is.
    let mut place: Vec<Option<(usize, usize)>> = vec![None; report.holders.len()];
    for (number, members) in members.iter().enumerate() {
        for (position, &member) in members.iter().enumerate() {
            place[member] = Some((number, position));
        }
    }
    let mut inner: Vec<Vec<(usize, usize)>> = vec![Vec::new(); members.len()];
    let is_hub = |holder: usize| excluded.contains_key(&report.holders[holder].address) && place[holder].is_none();
    let hubs: Vec<usize> = (0..report.holders.len()).filter(|&holder| is_hub(holder)).collect();
    let number_of: HashMap<usize, usize> = hubs.iter().enumerate().map(|(number, &hub)| (hub, number)).collect();
    let mut dealings: Vec<Vec<usize>> = vec![Vec::new(); hubs.len()];
    for &Line(from, to, _, _, joins) in lines {
        let (from, to) = (from as usize, to as usize);
        if let (Some((a, first)), Some((b, second))) = (place[from], place[to])
            && a == b
            && joins
            && first != second
        {
            inner[a].push((first.min(second), first.max(second)));
        }
        for (hub, other) in [(from, to), (to, from)] {
            if let Some(&number) = number_of.get(&hub)
                && !number_of.contains_key(&other)
            {
                dealings[number].push(other);
            }
        }
    }
    for list in &mut inner {
        // Both directions are one link to lay out.
        list.sort_unstable();
        list.dedup();
    }
    for list in &mut dealings {
        list.sort_unstable();
        list.dedup();
    }
    let shares = report.holders.iter().map(|holder| holder.share).collect();
    Plan {
        shares,
        clusters: members.iter().cloned().zip(inner).map(|(members, links)| Party { members, links }).collect(),
        hubs,
        dealings,
    }
}

/// To a hundredth: what is drawn needs no more, and gaps are wider.
fn rounded(value: f64) -> f64 {
    let rounded = (value * 100.0).round() / 100.0;
    // No minus zero in JSON.
    if rounded == 0.0 { 0.0 } else { rounded }
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::MAX }
}

fn index(of: usize) -> u32 {
    u32::try_from(of).expect("a report has at most 10 000 holders")
}

/// `0x1234…cdef`
pub(crate) fn short(address: Address) -> String {
    let text = address.to_string();
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}

/// Names come from contracts and files: without characters that control a display or turn the direction of the text.
fn presentable(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(80).map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use clusters::sample::{Token, transfers};
    use clusters::{Label, Labels, Ledger, Parameters, Subject, Transfer, TxHash, analyse};
    use proptest::prelude::*;

    use super::*;

    fn sample(rows: u64, crowd: u32, top: u32) -> Report {
        let token = Token::new(3);
        let mut ledger = Ledger::new();
        for transfer in transfers(3, rows, crowd) {
            ledger.push(&transfer);
        }
        analyse(&mut ledger, &token.subject(), &token.labels(), &Parameters { top, ..Parameters::default() })
    }

    /// A report of these transfers between few addresses, so that clusters, hubs and holders of their own come about.
    fn of_transfers(rows: &[(u16, u16, u32)], hubs: &[u16]) -> Report {
        let address = |number: u16| {
            let mut bytes = [0; 20];
            bytes[18..].copy_from_slice(&number.to_be_bytes());
            Address(bytes)
        };
        let mut ledger = Ledger::new();
        for (&(from, to, value), number) in rows.iter().zip(1_u64..) {
            let (from, to) = (address(from), address(to));
            let value = clusters::Amount::from(value);
            let tx = TxHash([1; 32]);
            ledger.push(&Transfer { block: number, timestamp: None, tx, log_index: None, from, to, value });
        }
        let mut labels = Labels::none();
        for &hub in hubs {
            labels.insert(address(hub), Label { name: format!("Hub {hub}"), kind: Kind::Exchange });
        }
        analyse(&mut ledger, &Subject::default(), &labels, &Parameters { hub_degree: 12, ..Parameters::default() })
    }

    fn assert_is_sound(map: &Map) {
        for (index, a) in map.circles.iter().enumerate() {
            assert!(a.x.is_finite() && a.y.is_finite() && a.r.is_finite() && a.r >= 3.0, "{a:?}");
            let View { x, y, width, height } = map.view;
            assert!(a.x - a.r >= x && a.x + a.r <= x + width && a.y - a.r >= y && a.y + a.r <= y + height, "{a:?}");
            for b in &map.circles[index + 1..] {
                let apart = ((a.x - b.x).powi(2) + (a.y - b.y).powi(2)).sqrt() - a.r - b.r;
                assert!(apart > 1.0, "{apart} between {a:?} and {b:?}");
            }
        }
        for group in &map.clusters {
            for &member in &group.members {
                let circle = &map.circles[member as usize];
                assert_eq!(circle.cluster, Some(group.rank));
                let reach = ((circle.x - group.x).powi(2) + (circle.y - group.y).powi(2)).sqrt() + circle.r;
                assert!(reach <= group.r + 0.1, "{circle:?} is outside of {group:?}");
            }
        }
    }

    #[test]
    fn circles_do_not_overlap_and_are_in_view() {
        for (rows, crowd, top) in [(0, 4, 10), (2, 4, 1), (60, 4, 100), (6_000, 1_500, 1_000)] {
            let report = sample(rows, crowd, top);
            let map = Map::of(&report);
            assert_eq!(map.circles.len(), report.holders.len());
            assert_is_sound(&map);
        }
    }

    #[test]
    fn an_empty_report_is_an_empty_map() {
        let report = analyse(&mut Ledger::new(), &Subject::default(), &Labels::none(), &Parameters::default());
        let map = Map::of(&report);
        assert_eq!((map.circles.len(), map.view.width, map.view.height), (0, 200.0, 200.0));
        assert!(map.to_svg().contains("0 holders, 0 clusters"));
    }

    #[test]
    fn ten_thousand_holders_are_laid_out_twice_the_same() {
        let report = sample(120_000, 40_000, 10_000);
        assert!(report.holders.len() > 9_000, "{}", report.holders.len());
        let (once, again) = (Map::of(&report), Map::of(&report));
        assert_eq!(serde_json::to_string(&once).unwrap(), serde_json::to_string(&again).unwrap());
        assert_is_sound(&once);
    }

    #[test]
    fn area_is_in_proportion_to_the_share() {
        let map = Map::of(&sample(6_000, 1_500, 1_000));
        let (first, second) = (&map.circles[0], &map.circles[1]);
        let (areas, shares) = ((first.r / second.r).powi(2), first.share / second.share);
        assert!((areas / shares - 1.0).abs() < 0.01, "{areas} {shares}");
    }

    #[test]
    fn hubs_stand_outside_of_everybody_else() {
        let map = Map::of(&sample(6_000, 1_500, 1_000));
        let from_the_middle = |circle: &Circle| (circle.x * circle.x + circle.y * circle.y).sqrt();
        let (hubs, others): (Vec<_>, Vec<_>) = map.circles.iter().partition(|circle| circle.excluded.is_some());
        let rim = others.iter().map(|circle| from_the_middle(circle) + circle.r).fold(0.0, f64::max);
        assert!(hubs.len() >= 2, "{hubs:?}");
        assert!(hubs.iter().all(|hub| from_the_middle(hub) - hub.r > rim), "{rim} {hubs:?}");
    }

    #[test]
    fn names_cannot_turn_the_direction_of_the_text() {
        let mut report = sample(60, 4, 100);
        report.token.name = Some("Gold\u{202e}dloG\u{7}".to_owned());
        report.holders[0].label = Some("x".repeat(500));
        let map = Map::of(&report);
        assert_eq!(map.title(), "Gold\u{fffd}dloG\u{fffd}");
        assert_eq!(map.circles[0].label.as_ref().map(String::len), Some(80));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_is_traded_the_map_is_sound(
            rows in prop::collection::vec((0_u16..90, 1_u16..90, 1_u32..1_000_000), 0..400),
            hubs in prop::collection::vec(1_u16..90, 0..6),
        ) {
            let report = of_transfers(&rows, &hubs);
            let map = Map::of(&report);
            assert_is_sound(&map);
            prop_assert_eq!(map.to_svg(), Map::of(&report).to_svg());
        }
    }
}
