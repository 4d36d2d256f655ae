//! `bench map`: how long maps of few and many holders take to lay out, how large their pages are, and how many frames a
//! second Chromium shows of them while they are moved.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::clusters::{machine, median, parse};
use crate::failure::{Doing, Failure, Result};
use crate::{inventory, shell, venv};

const PROGRAM: &str = "page";
const SCRIPT: &str = "tests/browser/frames.py";
const REPORT: &str = "docs/benchmarks/map.md";
const HOLDERS: [u32; 4] = [10, 100, 1_000, 10_000];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs of each page
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Cargo profile to build with; `dev` optimises what is measured, too
    #[arg(long, default_value = "dev")]
    profile: String,
    /// Store the table as docs/benchmarks/map.md
    #[arg(long)]
    write: bool,
}

/// What the example says of a layout.
#[derive(Deserialize)]
struct Layout {
    holders: u32,
    seconds: f64,
}

/// What Chromium showed of a page, in frames a second.
#[derive(Deserialize)]
struct Shown {
    empty: f64,
    drag: Moved,
    keys: Moved,
    wheel: Moved,
}

#[derive(Deserialize)]
struct Moved {
    rate: f64,
    /// Milliseconds that 95 % of the frames were at most apart.
    slow95: Option<f64>,
}

struct Row {
    layout: Layout,
    bytes: u64,
    shown: Vec<Shown>,
}

/// Makes the pages, then shows each of them `runs` times, in turn, each time after an empty page.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    venv::prepare(root)?;
    let program = build(root, &options.profile)?.to_string_lossy().into_owned();
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
    let mut rows = Vec::new();
    let mut files = Vec::new();
    for holders in HOLDERS {
        let file = folder.join(format!("map-{holders}.html"));
        let made = |form: &str| shell::output(&mut shell::command(root, &program, &[&holders.to_string(), form]));
        let page = made("page")?;
        fs::write(&file, &page).doing(|| format!("writing {}", file.display()))?;
        rows.push(Row { layout: parse(&made("time")?)?, bytes: page.len() as u64, shown: Vec::new() });
        files.push(file.to_string_lossy().into_owned());
    }
    let python = root.join("target/venv/bin/python").to_string_lossy().into_owned();
    for round in 1..=options.runs {
        eprint!("\rround {round} of {} ", options.runs);
        for (row, file) in rows.iter_mut().zip(&files) {
            let told = shell::output(&mut shell::command(root, &python, &[SCRIPT, file]))?;
            if told.starts_with("skipped") {
                return Err(Failure::Refused(told.trim().to_owned()));
            }
            row.shown.push(parse(&told)?);
        }
    }
    eprintln!();
    let load = fs::read_to_string("/proc/loadavg").doing(|| "reading /proc/loadavg".into())?;
    let load = load.split(' ').next().unwrap_or("unknown");
    let text = markdown(options, &machine(root)?, load, &rows);
    print!("{text}");
    if options.write {
        fs::write(root.join(REPORT), &text).doing(|| format!("writing {REPORT}"))?;
        println!("\nwrote {REPORT}");
    }
    Ok(())
}

fn build(root: &Path, profile: &str) -> Result<PathBuf> {
    let arguments = ["build", "--profile", profile, "--package", "map", "--example", PROGRAM, "--message-format"];
    let mut command = shell::command(root, "cargo", &arguments);
    let messages = shell::output(command.arg("json-render-diagnostics"))?;
    inventory::executable(&messages, PROGRAM)
        .ok_or_else(|| Failure::Refused("cargo built no `page` example; expected it in shared/map/examples".into()))
}

fn markdown(options: &Options, machine: &str, load: &str, rows: &[Row]) -> String {
    let (runs, profile) = (options.runs, &options.profile);
    let mut text = format!(
        "# What a map costs\n\n\
         `cargo xtask bench map --runs {runs} --profile {profile}`: pages of the sample token's largest holders, shown \
         {runs} times in turn in Chromium without a screen or a graphics card, 1440 × 900: all drawing is the \
         processor's.\n\
         *Layout* is `Map::of` a report. Frames a second are those in which the view is another than in the one before, \
         while it is moved by real input that comes oftener than frames do: the median of the runs, and the best. \
         *Empty* is a page that paints one small rectangle a frame, just before: more is not to be had. *95 %* is how \
         many milliseconds apart 95 % of the frames are at most while it is dragged; 16.7 is none left out.\n\n\
         {machine}. Load average at the end: {load}; the browser makes up to 2 of it.\n\n\
         | holders | layout ms | page kB | empty | dragged | keys | wheel | 95 % |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for Row { layout, bytes, shown } in rows {
        let cell = |rate: fn(&Shown) -> f64| {
            let best = shown.iter().map(rate).fold(0.0, f64::max);
            format!("{:.1} ({best:.1})", median(shown.iter().map(rate)))
        };
        let slow = median(shown.iter().filter_map(|shown| shown.drag.slow95));
        writeln!(
            text,
            "| {} | {:.2} | {:.0} | {} | {} | {} | {} | {slow:.1} |",
            layout.holders,
            layout.seconds * 1e3,
            *bytes as f64 / 1e3,
            cell(|shown| shown.empty),
            cell(|shown| shown.drag.rate),
            cell(|shown| shown.keys.rate),
            cell(|shown| shown.wheel.rate),
        )
        .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_the_best_stand_in_the_table() {
        let shown = |rate: f64| {
            let moved = |rate| Moved { rate, slow95: Some(rate / 2.0) };
            Shown { empty: 60.0, drag: moved(rate), keys: moved(rate + 1.0), wheel: moved(rate + 2.0) }
        };
        let row = Row {
            layout: Layout { holders: 1000, seconds: 0.0123 },
            bytes: 400_400,
            shown: vec![shown(50.0), shown(40.0), shown(58.0)],
        };
        let options = Options { runs: 3, profile: "dev".into(), write: false };
        let text = markdown(&options, "2 × Processor, 2026-01-01", "1.00", &[row]);
        let expected = "| 1000 | 12.30 | 400 | 60.0 (60.0) | 50.0 (58.0) | 51.0 (59.0) | 52.0 (60.0) | 25.0 |\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn what_the_script_tells_is_read() {
        let told = r#"{"page":"a.html","holders":10,"empty":60.0,"drag":{"rate":59.5,"slow95":16.8},
            "keys":{"rate":60.0,"slow95":16.7},"wheel":{"rate":0.0,"slow95":null}}"#;
        let shown: Shown = serde_json::from_str(told).unwrap();
        assert_eq!((shown.empty, shown.drag.rate, shown.wheel.slow95), (60.0, 59.5, None));
    }
}
