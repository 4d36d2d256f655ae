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
            println!(
                "{title}, {top} holders: {} bytes, {} links, {} members in the largest cluster",
                text.len(),
                report.links.len(),
                cluster.members.len()
            );
            group.bench_function(BenchmarkId::new("read", top), |bench| bench.iter(|| read(black_box(&text))));
            group.bench_function(BenchmarkId::new("read, then cluster", top), |bench| {
                bench.iter(|| serde_json::to_vec(&read(black_box(&text)).evidence(&id)).expect("it is JSON"));
            });
            group.bench_function(BenchmarkId::new("read, then explain", top), |bench| {
                bench.iter(|| {
                    let way = read(black_box(&text)).path(ends[0], ends[1]).expect("both are members");
                    serde_json::to_vec(&way).expect("it is JSON")
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
