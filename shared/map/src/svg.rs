use std::collections::HashMap;
use std::fmt::Write;

use crate::chart::{Circle, Line, Map, short};
use crate::palette::colours;

/// So many circles carry their name.
const NAMED: usize = 14;
/// From this radius on there is room for a name.
const ROOM: f64 = 17.0;
/// Above and below the map, for the title and the legend.
const HEAD: f64 = 64.0;
const FOOT: f64 = 40.0;
const LEGEND: usize = 5;

impl Map {
    /// A drawing that needs nothing else: dark or light as its reader prefers, with a title and a description for
    /// those who do not see it.
    pub fn to_svg(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_svg(&mut out);
        out
    }

    fn write_svg(&self, out: &mut String) -> std::fmt::Result {
        let view = self.view;
        // The title and the legend need some width, however few circles there are.
        let width = view.width.max(460.0);
        let x = view.x - (width - view.width) / 2.0;
        let (y, height) = (view.y - HEAD, view.height + HEAD + FOOT);
        let (title, description) = (escaped(&self.title()), self.description());
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title description\" \
             viewBox=\"{x:.2} {y:.2} {width:.2} {height:.2}\" font-family=\"system-ui, sans-serif\">"
        )?;
        writeln!(out, "<title id=\"title\">Holders of {title}</title>")?;
        writeln!(out, "<desc id=\"description\">{description}</desc>")?;
        self.write_style(out)?;
        writeln!(
            out,
            "<rect class=\"ground\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"/>"
        )?;
        writeln!(out, "<text class=\"title\" x=\"{:.2}\" y=\"{:.2}\">{title}</text>", x + 18.0, y + 32.0)?;
        writeln!(
            out,
            "<text class=\"quiet\" x=\"{:.2}\" y=\"{:.2}\">{}</text>",
            x + 18.0,
            y + 51.0,
            escaped(&self.subtitle())
        )?;
        self.write_links(out)?;
        self.write_circles(out)?;
        self.write_legend(out, x + 18.0, y + height - 16.0)?;
        out.push_str("</svg>\n");
        Ok(())
    }

    fn subtitle(&self) -> String {
        let mut parts = vec![format!("{} holders, {} clusters", self.circles.len(), self.clusters.len())];
        if let Some(score) = self.metrics.score {
            parts.push(format!("score {score:.0} of 100"));
        }
        if let Some(block) = self.as_of.block {
            parts.push(format!("block {block}"));
        }
        parts.join(" · ")
    }

    fn description(&self) -> String {
        let mut text = format!("{}.", self.subtitle());
        for cluster in self.clusters.iter().take(LEGEND) {
            let (rank, count, share) = (cluster.rank, cluster.members.len(), percent(cluster.share));
            // Writing to a string cannot fail.
            let _ = write!(text, " Cluster {rank}: {count} holders with {share}.");
        }
        text
    }

    fn write_style(&self, out: &mut String) -> std::fmt::Result {
        let (mut light, mut dark) = (String::new(), String::new());
        for cluster in &self.clusters {
            let (on_light, on_dark) = colours(cluster.rank);
            write!(light, ".k{}{{--k:{on_light}}}", cluster.rank)?;
            write!(dark, ".k{}{{--k:{on_dark}}}", cluster.rank)?;
        }
        writeln!(
            out,
            "<style>svg{{--ground:#fafafc;--ink:#171a26;--quiet:#5b6075;--alone:#7c86a8;--hub:#9a9eab}}{light}\
             @media(prefers-color-scheme:dark){{svg{{--ground:#0b0d14;--ink:#eef0f8;--quiet:#9aa1b8;--alone:#76819f;\
             --hub:#6b7080}}{dark}}}svg{{background:var(--ground)}}.ground{{fill:var(--ground)}}text{{fill:var(--ink)}}\
             .title{{font-size:22px;font-weight:650}}.quiet{{font-size:12.5px;fill:var(--quiet)}}\
             .name{{text-anchor:middle;font-weight:600}}.share{{text-anchor:middle;opacity:.75}}\
             .link{{stroke:var(--k);stroke-opacity:.5;stroke-linecap:round;fill:none}}\
             .member{{fill:var(--k);fill-opacity:.3;stroke:var(--k);stroke-width:1.4}}\
             .group{{fill:var(--k);stroke:var(--k);stroke-width:15;stroke-linecap:round;opacity:.13}}\
             .alone{{fill:var(--alone);fill-opacity:.3;stroke:var(--alone);stroke-width:.9}}\
             .hub{{fill:var(--hub);fill-opacity:.14;stroke:var(--hub);stroke-width:1.2;stroke-dasharray:4 3}}</style>"
        )
    }

    /// Those that join, both directions as one, as wide as much went over them.
    fn write_links(&self, out: &mut String) -> std::fmt::Result {
        let mut sums: Vec<(u32, u32, f64)> = Vec::new();
        let mut known: HashMap<(u32, u32), usize> = HashMap::new();
        for &Line(from, to, _, amount, joins) in &self.links {
            if joins && from != to {
                let pair = (from.min(to), from.max(to));
                let at = *known.entry(pair).or_insert(sums.len());
                if at == sums.len() {
                    sums.push((pair.0, pair.1, 0.0));
                }
                sums[at].2 += amount;
            }
        }
        self.write_grounds(out, &sums)?;
        let largest = sums.iter().map(|(_, _, sum)| *sum).fold(0.0, f64::max);
        for (from, to, sum) in sums {
            let (Some(a), Some(b)) = (self.circles.get(from as usize), self.circles.get(to as usize)) else { continue };
            let part = if largest > 0.0 && sum.is_finite() { (sum / largest).clamp(0.0, 1.0) } else { 0.0 };
            let (rank, wide) = (a.cluster.unwrap_or(0), 0.8 + 3.2 * part.sqrt().sqrt());
            // From rim to rim: circles let through what is behind them.
            let (dx, dy) = (b.x - a.x, b.y - a.y);
            let length = (dx * dx + dy * dy).sqrt().max(f64::EPSILON);
            let (start, end) = (a.r / length, b.r / length);
            let (x1, y1, x2, y2) = (a.x + dx * start, a.y + dy * start, b.x - dx * end, b.y - dy * end);
            writeln!(
                out,
                "<line class=\"link k{rank}\" x1=\"{x1:.2}\" y1=\"{y1:.2}\" x2=\"{x2:.2}\" y2=\"{y2:.2}\" \
                 stroke-width=\"{wide:.2}\"/>"
            )?;
        }
        Ok(())
    }

    /// Under each cluster its links and circles once more, wider. What overlaps within a group is as one.
    fn write_grounds(&self, out: &mut String, pairs: &[(u32, u32, f64)]) -> std::fmt::Result {
        let mut inner: HashMap<u32, Vec<(&Circle, &Circle)>> = HashMap::new();
        for &(from, to, _) in pairs {
            if let (Some(a), Some(b)) = (self.circles.get(from as usize), self.circles.get(to as usize))
                && let Some(rank) = a.cluster
            {
                inner.entry(rank).or_default().push((a, b));
            }
        }
        for group in &self.clusters {
            write!(out, "<g class=\"group k{}\">", group.rank)?;
            for (a, b) in inner.remove(&group.rank).unwrap_or_default() {
                write!(out, "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>", a.x, a.y, b.x, b.y)?;
            }
            for circle in group.members.iter().filter_map(|&member| self.circles.get(member as usize)) {
                write!(out, "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"/>", circle.x, circle.y, circle.r)?;
            }
            out.push_str("</g>\n");
        }
        Ok(())
    }

    fn write_circles(&self, out: &mut String) -> std::fmt::Result {
        for (circle, rank) in self.circles.iter().zip(1..) {
            let class = match (circle.cluster, circle.excluded) {
                (Some(cluster), _) => format!("member k{cluster}"),
                (None, Some(_)) => "hub".to_owned(),
                (None, None) => "alone".to_owned(),
            };
            let Circle { x, y, r, .. } = circle;
            let told = format!("{rank}. {}: {}", escaped(&name(circle)), percent(circle.share));
            writeln!(out, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"><title>{told}</title></circle>")?;
        }
        for circle in self.circles.iter().filter(|circle| circle.r >= ROOM).take(NAMED) {
            let size = (circle.r * 0.28).clamp(6.5, 22.0);
            // As much of the name as there is room for.
            let fits = |text: &str| text.chars().count() as f64 * size * 0.56 < circle.r * 1.8;
            let mut shown = name(circle);
            if !fits(&shown) {
                shown = short(circle.address);
            }
            if fits(&shown) {
                let (x, y, shown) = (circle.x, circle.y - size * 0.1, escaped(&shown));
                writeln!(out, "<text class=\"name\" x=\"{x}\" y=\"{y:.2}\" font-size=\"{size:.1}\">{shown}</text>")?;
            }
            let (y, share) = (circle.y + size * 1.05, percent(circle.share));
            let small = size * 0.85;
            writeln!(
                out,
                "<text class=\"share\" x=\"{}\" y=\"{y:.2}\" font-size=\"{small:.1}\">{share}</text>",
                circle.x
            )?;
        }
        Ok(())
    }

    fn write_legend(&self, out: &mut String, mut x: f64, y: f64) -> std::fmt::Result {
        let shown = self.clusters.iter().take(LEGEND);
        let clusters = shown.map(|cluster| (format!("member k{}", cluster.rank), percent(cluster.share)));
        let others = [("alone".to_owned(), "single".to_owned()), ("hub".to_owned(), "hub".to_owned())];
        for (class, text) in clusters.chain(others) {
            writeln!(out, "<circle class=\"{class}\" cx=\"{:.2}\" cy=\"{:.2}\" r=\"5\"/>", x + 5.0, y - 4.0)?;
            writeln!(out, "<text class=\"quiet\" x=\"{:.2}\" y=\"{y:.2}\">{text}</text>", x + 15.0)?;
            x += 28.0 + 7.2 * text.chars().count() as f64;
        }
        Ok(())
    }
}

fn name(circle: &Circle) -> String {
    circle.label.clone().unwrap_or_else(|| short(circle.address))
}

/// Two places, for XML; little is not nothing.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 0.01 { "&lt; 0.01 %".to_owned() } else { format!("{percent:.2} %") }
}

/// For text and attributes of XML; without the characters XML cannot carry at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use clusters::sample::{Token, transfers};
    use clusters::{Ledger, Parameters, analyse};

    use super::*;

    fn map(name: &str) -> Map {
        let token = Token::new(3);
        let mut ledger = Ledger::new();
        for transfer in transfers(3, 500, 60) {
            ledger.push(&transfer);
        }
        let mut report = analyse(&mut ledger, &token.subject(), &token.labels(), &Parameters::default());
        report.token.name = Some(name.to_owned());
        report.holders[0].label = Some(name.to_owned());
        Map::of(&report)
    }

    #[test]
    fn a_hostile_name_stays_text() {
        let svg = map("</title><script>alert(1)</script>\"'&\u{1}").to_svg();
        assert!(!svg.contains("<script") && !svg.contains('\u{1}'), "{svg}");
        assert!(svg.contains("&lt;script&gt;alert(1)"));
        assert_eq!(svg.matches("<title").count(), svg.matches("</title>").count());
    }

    #[test]
    fn a_drawing_has_every_circle_and_says_what_it_shows() {
        let map = map("Sample");
        let svg = map.to_svg();
        let circles = map.circles.len();
        // Each holder's has a title, and so has the drawing.
        assert_eq!(svg.matches("<title").count(), circles + 1);
        for part in ["role=\"img\"", "<desc id=\"description\">", "prefers-color-scheme:dark", "Cluster 1: "] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn small_shares_are_not_nothing() {
        assert_eq!(percent(0.000_001), "&lt; 0.01 %");
        assert_eq!(percent(0.0), "0.00 %");
        assert_eq!(percent(0.1234), "12.34 %");
    }
}
