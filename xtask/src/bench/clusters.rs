//! `bench clusters`: one CSV file → holders and their components, by us and by pipelines of other libraries, in turn.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::{Doing, Failure, Result};
use crate::{inventory, shell, venv};

pub(crate) const REQUIREMENTS: &str = "tests/peers/requirements-clusters.txt";
const PEERS: &str = "tests/peers/clusters";
const PROGRAM: &str = "report";
const REPORT: &str = "docs/benchmarks/clusters.md";

/// A script of `PEERS` without `.py`, and what it stands for.
const SCRIPTS: [(&str, &str); 4] = [
    ("polars_rustworkx", "polars + rustworkx"),
    ("pandas_scipy", "pandas + scipy"),
    ("igraph_csv", "csv + igraph"),
    ("networkx_csv", "csv + networkx"),
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows of the made-up file, about 240 bytes each
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    rows: u64,
    /// Runs of each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Leave the other libraries out
    #[arg(long)]
    alone: bool,
    /// Run ours with ten times the rows as well
    #[arg(long)]
    tenfold: bool,
    /// Store the tables as docs/benchmarks/clusters.md
    #[arg(long)]
    write: bool,
}

/// What each pipeline prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    holders: u64,
    components: u64,
    digest: String,
    cpu_seconds: f64,
    peak_bytes: u64,
}

impl Answer {
    fn agrees(&self, other: &Self) -> bool {
        (self.holders, self.components, &self.digest) == (other.holders, other.components, &other.digest)
    }
}

/// What ours prints besides.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    read_seconds: f64,
    analysis_seconds: f64,
}

#[derive(Deserialize)]
struct Scan {
    seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    ledger_seconds: f64,
    analysis_seconds: f64,
    balances_seconds: f64,
    keeping_seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    scan_bytes_per_second: f64,
    random_read_seconds: f64,
}

struct Contestant {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Contestant {
    fn command(&self, root: &Path) -> Command {
        shell::command(root, &self.program.to_string_lossy(), &self.arguments)
    }
}

/// Makes the file, runs everybody `runs` times in turn, so that whatever else the machine does meets all alike, checks
/// that all agree, and prints medians.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let program = build(root)?;
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
    let path = |rows: u64| folder.join(format!("transfers-{rows}.csv")).to_string_lossy().into_owned();
    let file = path(options.rows);
    let ours = |arguments: &[&str]| shell::command(root, &program.to_string_lossy(), arguments);
    let write = |rows: u64| shell::run(&mut ours(&["write", &rows.to_string(), &path(rows)]));
    write(options.rows)?;
    let tenfold = options.tenfold.then_some(10 * options.rows);
    tenfold.map(write).transpose()?;

    let mut contestants =
        vec![Contestant { name: "Holdfast", program: program.clone(), arguments: vec!["run".into(), file.clone()] }];
    if !options.alone {
        let python = venv::python(root, "bench-venv", REQUIREMENTS)?;
        contestants.extend(SCRIPTS.map(|(script, name)| {
            let arguments = vec![format!("{PEERS}/{script}.py"), file.clone()];
            Contestant { name, program: python.clone(), arguments }
        }));
    }
    let mut measured = Measured::default();
    let mut answers: Vec<Vec<Answer>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.runs {
        eprint!("\rround {round} of {} ", options.runs);
        for (contestant, answers) in contestants.iter().zip(&mut answers) {
            let text = shell::output(&mut contestant.command(root))?;
            answers.push(parse(&text)?);
            if contestant.program == program {
                measured.parts.push(parse(&text)?);
            }
        }
        measured.scans.push(parse(&shell::output(&mut ours(&["scan", &file]))?)?);
        measured.memory.push(parse(&shell::output(&mut ours(&["memory", &options.rows.to_string()]))?)?);
        if let Some(rows) = tenfold {
            let answer = parse(&shell::output(&mut ours(&["run", &path(rows)]))?)?;
            let memory = parse(&shell::output(&mut ours(&["memory", &rows.to_string()]))?)?;
            measured.tenfold.push((answer, memory));
        }
        measured.limits.push(parse(&shell::output(&mut ours(&["limits", &file]))?)?);
    }
    eprintln!();
    if let Some(rows) = tenfold {
        fs::remove_file(path(rows)).doing(|| format!("removing {}", path(rows)))?;
    }
    check(&contestants, &answers)?;
    let bytes = fs::metadata(&file).doing(|| format!("looking at {file}"))?.len();
    let rows: Vec<Row> = contestants.iter().zip(&answers).map(|(of, answers)| Row::of(of.name, answers)).collect();
    let text = markdown(options, bytes, &machine(root)?, &rows, &measured);
    print!("{text}");
    if options.write {
        fs::write(root.join(REPORT), &text).doing(|| format!("writing {REPORT}"))?;
        println!("\nwrote {REPORT}");
    }
    Ok(())
}

fn build(root: &Path) -> Result<PathBuf> {
    let arguments = [
        "build",
        "--release",
        "--package",
        "chains",
        "--example",
        PROGRAM,
        "--message-format",
        "json-render-diagnostics",
    ];
    let messages = shell::output(&mut shell::command(root, "cargo", &arguments))?;
    inventory::executable(&messages, PROGRAM).ok_or_else(|| {
        Failure::Refused("cargo built no `report` example; expected it in shared/chains/examples".into())
    })
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|error| Failure::Refused(format!("{last:?} is not an answer: {error}")))
}

fn check(contestants: &[Contestant], answers: &[Vec<Answer>]) -> Result<()> {
    let Some(first) = answers.iter().flatten().next() else { return Ok(()) };
    for (contestant, answers) in contestants.iter().zip(answers) {
        if let Some(other) = answers.iter().find(|answer| !answer.agrees(first)) {
            return Err(Failure::Refused(format!(
                "{} finds {} holders and {} components ({}), {} finds {} and {} ({})",
                contestant.name,
                other.holders,
                other.components,
                other.digest,
                contestants[0].name,
                first.holders,
                first.components,
                first.digest
            )));
        }
    }
    Ok(())
}

/// What all runs of ours took by part.
#[derive(Default)]
struct Measured {
    parts: Vec<Parts>,
    scans: Vec<Scan>,
    memory: Vec<Memory>,
    limits: Vec<Limits>,
    /// Of ten times the rows: from the file, and from memory.
    tenfold: Vec<(Answer, Memory)>,
}

/// Medians of one pipeline.
struct Row {
    name: &'static str,
    cpu_seconds: f64,
    peak_bytes: f64,
}

impl Row {
    fn of(name: &'static str, answers: &[Answer]) -> Self {
        Self {
            name,
            cpu_seconds: median(answers.iter().map(|answer| answer.cpu_seconds)),
            peak_bytes: median(answers.iter().map(|answer| answer.peak_bytes as f64)),
        }
    }
}

/// The middle value, the upper one of two.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Processor, how many of them, and the date.
pub(super) fn machine(root: &Path) -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo").doing(|| "reading /proc/cpuinfo".into())?;
    let models = processors.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let models: Vec<&str> = models.map(|(_, model)| model.trim()).collect();
    let date = shell::output(&mut shell::command(root, "date", &["+%F"]))?;
    Ok(format!("{} × {}, {}", models.len(), models.first().unwrap_or(&"unknown"), date.trim()))
}

fn markdown(options: &Options, bytes: u64, machine: &str, rows: &[Row], measured: &Measured) -> String {
    let megabytes = bytes as f64 / 1e6;
    let mut text = format!(
        "# From a CSV file to clusters\n\n\
         `cargo xtask bench clusters --rows {} --runs {}{}`: transfers of a made-up token, {megabytes:.0} MB of CSV, to its \
         holders and the connected components of the 1,000 largest, hubs and transfers of nothing included. Everybody \
         ran in turn on the same file and found the same; medians of CPU time (user and system). Ours gives the whole \
         report, the others the components alone.\n\n\
         Taken on {machine}.\n\n\
         | | CPU s | × ours | peak MB |\n| --- | ---: | ---: | ---: |\n",
        options.rows,
        options.runs,
        if options.tenfold { " --tenfold" } else { "" },
    );
    let ours = rows.first().map_or(0.0, |row| row.cpu_seconds);
    for Row { name, cpu_seconds, peak_bytes } in rows {
        let (ratio, peak) = (cpu_seconds / ours, peak_bytes / 1e6);
        writeln!(text, "| {name} | {cpu_seconds:.2} | {ratio:.1} | {peak:.0} |").expect(INFALLIBLE);
    }
    let scan = median(measured.scans.iter().map(|scan| scan.seconds));
    let read = median(measured.parts.iter().map(|parts| parts.read_seconds));
    let analysis = median(measured.parts.iter().map(|parts| parts.analysis_seconds));
    let total = read + analysis;
    text += "\nWhere ours goes:\n\n| | CPU ms | share |\n| --- | ---: | ---: |\n";
    for (name, seconds) in [
        ("reading the CSV text", scan),
        ("adding up balances and pairs", (read - scan).max(0.0)),
        ("analysis and report", analysis),
    ] {
        writeln!(text, "| {name} | {:.0} | {:.0} % |", 1e3 * seconds, 100.0 * seconds / total).expect(INFALLIBLE);
    }
    let plain = median(measured.limits.iter().map(|limits| limits.scan_bytes_per_second));
    let random = median(measured.limits.iter().map(|limits| limits.random_read_seconds));
    let [ledger, after, balances, keeping] = memory(measured.memory.iter());
    write!(
        text,
        "\nOf transfers in memory: {:.0} ms to add them up, {:.0} ms to report.\n\n\
         Limits of the machine, in the same run: the text is read at {:.2} GB/s, and a loop that does nothing but sum the \
         bytes of the file in memory goes at {:.1} GB/s. A read at random from a table of 32 MB takes {:.0} ns, though \
         none waits for another. Two loops over the same transfers in memory are parts of adding them up, and report \
         nothing: to change two balances where a hash of each address says, without comparing addresses, takes {:.0} ms; \
         to keep a transfer's hash, block, time, amount and accounts, 72 bytes in memory not used before, {:.0} ms.\n",
        1e3 * ledger,
        1e3 * after,
        bytes as f64 / scan / 1e9,
        plain / 1e9,
        1e9 * random,
        1e3 * balances,
        1e3 * keeping,
    )
    .expect(INFALLIBLE);
    if !measured.tenfold.is_empty() {
        let seconds = median(measured.tenfold.iter().map(|(answer, _)| answer.cpu_seconds));
        let peak = median(measured.tenfold.iter().map(|(answer, _)| answer.peak_bytes as f64));
        let [more_ledger, more_after, more_balances, more_keeping] =
            memory(measured.tenfold.iter().map(|(_, memory)| memory));
        write!(
            text,
            "\nTen times the rows and addresses:\n\n\
             | | CPU s | × a tenth of them |\n| --- | ---: | ---: |\n\
             | from the CSV file, peak {:.0} MB | {seconds:.2} | {:.1} |\n\
             | from memory | {:.2} | {:.1} |\n\
             | changing balances, as above | {more_balances:.2} | {:.1} |\n\
             | keeping, as above | {more_keeping:.2} | {:.1} |\n\n\
             The last two show what of it is the machine: that many accounts lie outside its caches, and memory not used \
             before costs more, the more of it.\n",
            peak / 1e6,
            seconds / ours,
            more_ledger + more_after,
            (more_ledger + more_after) / (ledger + after),
            more_balances / balances,
            more_keeping / keeping,
        )
        .expect(INFALLIBLE);
    }
    text
}

/// Medians of adding up, analysis, and two parts of adding up at their least.
fn memory<'a>(of: impl Iterator<Item = &'a Memory> + Clone) -> [f64; 4] {
    [
        median(of.clone().map(|memory| memory.ledger_seconds)),
        median(of.clone().map(|memory| memory.analysis_seconds)),
        median(of.clone().map(|memory| memory.balances_seconds)),
        median(of.map(|memory| memory.keeping_seconds)),
    ]
}

const INFALLIBLE: &str = "writing to a string cannot fail";

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(digest: &str, cpu_seconds: f64) -> Answer {
        Answer { holders: 3, components: 1, digest: digest.into(), cpu_seconds, peak_bytes: 2_000_000 }
    }

    #[test]
    fn who_finds_something_else_is_named() {
        let contestant = |name| Contestant { name, program: PathBuf::new(), arguments: Vec::new() };
        let contestants = [contestant("ours"), contestant("theirs")];
        let alike = [vec![answer("a", 1.0)], vec![answer("a", 2.0), answer("a", 2.0)]];
        assert!(check(&contestants, &alike).is_ok());
        let different = [vec![answer("a", 1.0)], vec![answer("a", 2.0), answer("b", 2.0)]];
        let said = check(&contestants, &different).unwrap_err().to_string();
        assert!(said.starts_with("theirs finds 3 holders and 1 components (b), ours finds"), "{said}");
    }

    #[test]
    fn medians_ratios_and_limits_stand_in_the_tables() {
        let rows = [
            Row::of("ours", &[answer("a", 0.5), answer("a", 9.0), answer("a", 0.25)]),
            Row::of("theirs", &[answer("a", 1.25)]),
        ];
        let measured = Measured {
            parts: vec![Parts { read_seconds: 0.4, analysis_seconds: 0.1 }],
            scans: vec![Scan { seconds: 0.2 }],
            memory: vec![Memory {
                ledger_seconds: 0.15,
                analysis_seconds: 0.1,
                balances_seconds: 0.05,
                keeping_seconds: 0.1,
            }],
            limits: vec![Limits { scan_bytes_per_second: 8e9, random_read_seconds: 1e-8 }],
            tenfold: vec![(
                answer("b", 6.0),
                Memory { ledger_seconds: 2.0, analysis_seconds: 1.0, balances_seconds: 0.6, keeping_seconds: 1.1 },
            )],
        };
        let options = Options { rows: 1000, runs: 3, alone: false, tenfold: true, write: false };
        let text = markdown(&options, 240_000_000, "2 × Processor, 2026-01-01", &rows, &measured);
        assert!(text.contains("| ours | 0.50 | 1.0 | 2 |\n| theirs | 1.25 | 2.5 | 2 |\n"), "{text}");
        assert!(text.contains("| adding up balances and pairs | 200 | 40 % |\n"), "{text}");
        assert!(text.contains("read at 1.20 GB/s") && text.contains("goes at 8.0 GB/s"), "{text}");
        assert!(
            text.contains("| from the CSV file, peak 2 MB | 6.00 | 12.0 |\n| from memory | 3.00 | 12.0 |\n"),
            "{text}"
        );
        assert!(text.contains("| changing balances, as above | 0.60 | 12.0 |\n"), "{text}");
        assert!(text.contains("| keeping, as above | 1.10 | 11.0 |\n"), "{text}");
        assert!(text.lines().all(|line| line == line.trim_end()));
    }
}
