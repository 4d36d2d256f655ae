//! The table of `bench init`.

use std::fmt::Write;
use std::time::Duration;

use super::start::{Function, Sample};

/// Medians of one function.
pub(super) struct Row {
    name: String,
    init_cpu: Duration,
    init_wall: Duration,
    invocation_cpu: Duration,
    invocation_wall: Duration,
    /// Of the last start; the same event gets the same answer.
    status: Option<u16>,
}

impl Row {
    pub(super) fn of(function: &Function, samples: &[Sample]) -> Self {
        let of = |pick: fn(&Sample) -> Duration| median(samples.iter().map(pick).collect());
        Self {
            name: function.name.clone(),
            init_cpu: of(|sample| sample.init.cpu),
            init_wall: of(|sample| sample.init.wall),
            invocation_cpu: of(|sample| sample.invocation.cpu),
            invocation_wall: of(|sample| sample.invocation.wall),
            status: samples.last().and_then(|sample| sample.status),
        }
    }
}

/// The middle value, the upper one of two.
fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The first row is what the others are measured against.
pub(super) fn markdown(rows: &[Row], runs: u32, profile: &str) -> String {
    let mut text = format!(
        "# What a start costs\n\n\
         `cargo xtask bench init --runs {runs} --profile {profile}`: each function was started {runs} times in turn with \
         `bare`, a `lambda_runtime` hello; medians.\n\
         *Init* is from `exec` to the first question for work, *first* is the first invocation with the function's event, \
         against an AWS that answers at once and is empty. The events carry no valid token, so what needs one answers 403.\n\
         Times are of the machine they were taken on; the ratios of CPU time to `bare` are the message.\n\n\
         | function | init CPU ms | × bare | init wall ms | first CPU ms | × bare | first wall ms | answer |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
    );
    let Some(bare) = rows.first() else { return text };
    for row in rows {
        let answer = row.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
        let written = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {answer} |",
            row.name,
            milliseconds(row.init_cpu),
            ratio(row.init_cpu, bare.init_cpu),
            milliseconds(row.init_wall),
            milliseconds(row.invocation_cpu),
            ratio(row.invocation_cpu, bare.invocation_cpu),
            milliseconds(row.invocation_wall),
        );
        written.expect("writing to a string cannot fail");
    }
    text
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

fn ratio(duration: Duration, bare: Duration) -> String {
    if bare.is_zero() { "–".to_owned() } else { format!("{:.2}", duration.as_secs_f64() / bare.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::start::Cost;
    use super::*;

    #[test]
    fn medians_and_ratios_stand_in_the_table() {
        let sample = |milliseconds: u64, status| {
            let cost = Cost { wall: Duration::from_millis(milliseconds * 2), cpu: Duration::from_millis(milliseconds) };
            Sample { init: cost, invocation: cost, status }
        };
        let function = |name: &str| Function { name: name.into(), program: PathBuf::new(), event: String::new() };
        let rows = [
            Row::of(&function("bare"), &[sample(4, None), sample(900, None), sample(2, None)]),
            Row::of(&function("tokens-get-chains"), &[sample(5, Some(200))]),
        ];
        let text = markdown(&rows, 3, "release");
        assert!(text.contains("| bare | 4.00 | 1.00 | 8.00 | 4.00 | 1.00 | 8.00 | – |\n"), "{text}");
        assert!(text.contains("| tokens-get-chains | 5.00 | 1.25 | 10.00 | 5.00 | 1.25 | 10.00 | 200 |\n"), "{text}");
        assert!(text.ends_with("|\n") && text.lines().all(|line| line == line.trim_end()));
    }
}
