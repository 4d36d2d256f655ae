//! What an answer about one cluster costs: a stored report's text → why its largest cluster is one, and how two of its
//! members are connected, as text again. With hubs included nearly all holders are one cluster: the worst there is.

use std::hint::black_box;

use clusters::{Ledger, Parameters, Report, analyse, sample};
use criterion::{BenchmarkId, Criterion};

const SEED: u64 = 1;
const ROWS: u64 = 300_000;
const ADDRESSES: u32 = 40_000;

fn read(text: &str) -> Report {
    serde_json::from_str(text).expect("it was written by the engine")
}

/// Mean CPU milliseconds of many runs: what else the machine does counts little, nor does how coarse the counter is.
fn cpu_milliseconds<T>(run: impl Fn() -> T) -> f64 {
    const RUNS: u32 = 50;
    let seconds = || -> f64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0) / 1e9
    };
    let start = seconds();
    for _ in 0..RUNS {
        black_box(run());
    }
    (seconds() - start) * 1e3 / f64::from(RUNS)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
fn main() {
    let token = sample::Token::new(SEED);
    let mut ledger = Ledger::new();
    sample::transfers(SEED, ROWS, ADDRESSES).for_each(|transfer| ledger.push(&transfer));
    let mut criterion = Criterion::default().configure_from_args();
    for include_hubs in [false, true] {
        let title = if include_hubs { "evidence, hubs included" } else { "evidence" };
        let mut group = criterion.benchmark_group(title);
        for top in [1_000, 10_000] {
            let parameters = Parameters { top, include_hubs, ..Parameters::default() };
            let report = analyse(&mut ledger, &token.subject(), &token.labels(), &parameters);
            assert_eq!(report.holders.len(), top as usize);
            let cluster = report.clusters.iter().max_by_key(|cluster| cluster.members.len()).expect("planted parties");
            let (id, ends) = (cluster.id, [cluster.members[0], cluster.members[cluster.members.len() - 1]]);
            let text = serde_json::to_string(&report).expect("a report is JSON");
            let read = || read(black_box(&text));
            let tell = || serde_json::to_vec(&read().evidence(&id)).expect("it is JSON");
            let explain = || {
                let way = read().path(ends[0], ends[1]).expect("both are members");
                serde_json::to_vec(&way).expect("it is JSON")
            };
            println!(
                "{title}, {top} holders: {} bytes, {} links, {} members in the largest cluster; CPU: read {:.1} ms, \
                 then cluster {:.1} ms, or explain {:.1} ms",
                text.len(),
                report.links.len(),
                cluster.members.len(),
                cpu_milliseconds(read),
                cpu_milliseconds(tell),
                cpu_milliseconds(explain),
            );
            group.bench_function(BenchmarkId::new("read", top), |bench| bench.iter(read));
            group.bench_function(BenchmarkId::new("read, then cluster", top), |bench| bench.iter(tell));
            group.bench_function(BenchmarkId::new("read, then explain", top), |bench| bench.iter(explain));
        }
        group.finish();
    }
    criterion.final_summary();
}
