//! Transfers in memory → report, for 10⁶ made-up transfers, beside the same questions answered in the obvious way.
//!
//! `cargo bench -p clusters` prints criterion's times, then CPU milliseconds of both, measured in turns, and their
//! ratio.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hint::black_box;

use clusters::{Address, Amount, Labels, Ledger, Parameters, Subject, Transfer, TxHash, analyse, sample};
use criterion::{BatchSize, Criterion, Throughput};

const SEED: u64 = 1;
const ROWS: u64 = 1_000_000;
const ADDRESSES: u32 = 200_000;
const APPENDED: u64 = 10_000;

/// One member set per cluster, sorted.
type Partition = Vec<Vec<Address>>;

fn engine(transfers: &[Transfer], subject: &Subject, labels: &Labels) -> Partition {
    let mut ledger = Ledger::new();
    ledger.extend_from_slice(transfers);
    let report = analyse(&mut ledger, subject, labels, &Parameters::default());
    let mut partition: Partition = report.clusters.into_iter().map(|cluster| cluster.members).collect();
    partition.sort();
    partition
}

struct Edge {
    transfers: u64,
    total: Amount,
    first: (u64, TxHash),
    last: (u64, TxHash),
}

/// Standard maps keyed by addresses, sets of neighbours, breadth-first search. It computes less than the engine: sums
/// wrap at 256 bits, and there is neither a score nor a report.
fn obvious(transfers: &[Transfer], subject: &Subject, labels: &Labels) -> Partition {
    let parameters = Parameters::default();
    let mut received: HashMap<Address, Amount> = HashMap::new();
    let mut sent: HashMap<Address, Amount> = HashMap::new();
    let mut edges: HashMap<(Address, Address), Edge> = HashMap::new();
    let mut neighbours: HashMap<Address, HashSet<Address>> = HashMap::new();
    for transfer in transfers {
        let Transfer { block, tx, from, to, value, .. } = *transfer;
        let into = received.entry(to).or_default();
        *into = into.wrapping_add(value);
        let out = sent.entry(from).or_default();
        *out = out.wrapping_add(value);
        if value == Amount::ZERO || from == to || from == Address::ZERO || to == Address::ZERO {
            continue;
        }
        let new = Edge { transfers: 0, total: Amount::ZERO, first: (block, tx), last: (block, tx) };
        let edge = edges.entry((from, to)).or_insert(new);
        edge.transfers += 1;
        edge.total = edge.total.wrapping_add(value);
        if block < edge.first.0 {
            edge.first = (block, tx);
        }
        if block >= edge.last.0 {
            edge.last = (block, tx);
        }
        neighbours.entry(from).or_default().insert(to);
        neighbours.entry(to).or_default().insert(from);
    }

    received.remove(&Address::ZERO);
    let mut holders: Vec<(Amount, Address)> = Vec::new();
    for (&address, &into) in &received {
        let out = sent.get(&address).copied().unwrap_or_default();
        if into > out {
            holders.push((into - out, address));
        }
    }
    holders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    black_box(metrics(&holders));
    holders.truncate(parameters.top as usize);

    let is_hub = |address: &Address| {
        labels.get(*address).is_some()
            || subject.contracts.contains(address)
            || neighbours.get(address).is_some_and(|others| others.len() >= parameters.hub_degree as usize)
    };
    let top: HashSet<Address> = holders.iter().map(|&(_, address)| address).collect();
    let links = edges.iter().filter(|((from, to), _)| top.contains(from) && top.contains(to));
    black_box(links.map(|(_, edge)| edge.transfers).sum::<u64>());

    let mut seen: HashSet<Address> = HashSet::new();
    let mut partition = Partition::new();
    for &(_, start) in &holders {
        if is_hub(&start) || !seen.insert(start) {
            continue;
        }
        let mut members = Vec::new();
        let mut queue = VecDeque::from([start]);
        while let Some(address) = queue.pop_front() {
            members.push(address);
            for &next in neighbours.get(&address).into_iter().flatten() {
                if top.contains(&next) && !is_hub(&next) && seen.insert(next) {
                    queue.push_back(next);
                }
            }
        }
        if members.len() > 1 {
            members.sort_unstable();
            partition.push(members);
        }
    }
    partition.sort();
    partition
}

/// Gini, Herfindahl–Hirschman and Nakamoto, in floating point, of holders from the largest on.
fn metrics(holders: &[(Amount, Address)]) -> (f64, f64, usize) {
    let amounts: Vec<f64> = holders.iter().map(|(amount, _)| f64::from(amount)).collect();
    let (n, sum) = (amounts.len() as f64, amounts.iter().sum::<f64>());
    let weighted: f64 = amounts.iter().rev().enumerate().map(|(i, x)| (2.0 * (i + 1) as f64 - n - 1.0) * x).sum();
    let hhi = amounts.iter().map(|x| (x / sum) * (x / sum)).sum();
    let mut taken = 0.0;
    let half = |x: &f64| {
        taken += x;
        2.0 * taken >= sum
    };
    (weighted / (n * sum), hhi, amounts.iter().position(half).map_or(0, |index| index + 1))
}

/// Nanoseconds this thread has run, which other processes do not change.
fn cpu_nanoseconds() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn milliseconds<T>(run: impl FnOnce() -> T) -> f64 {
    let start = cpu_nanoseconds();
    black_box(run());
    (cpu_nanoseconds() - start) as f64 / 1e6
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
fn compare(transfers: &[Transfer], subject: &Subject, labels: &Labels) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        ours.push(milliseconds(|| engine(transfers, subject, labels)));
        theirs.push(milliseconds(|| obvious(transfers, subject, labels)));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{ROWS} transfers → report, CPU: engine {ours:.1} ms, obvious {theirs:.1} ms, ratio {:.1}", theirs / ours);
}

fn main() {
    let mut transfers: Vec<Transfer> = sample::transfers(SEED, ROWS + APPENDED, ADDRESSES).collect();
    let appended = transfers.split_off(transfers.len() - appended_rows());
    let token = sample::Token::new(SEED);
    let (subject, labels) = (token.subject(), token.labels());
    assert_eq!(engine(&transfers, &subject, &labels), obvious(&transfers, &subject, &labels));

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("report of a million transfers");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("engine", |bench| bench.iter(|| engine(&transfers, &subject, &labels)));
    group.bench_function("obvious", |bench| bench.iter(|| obvious(&transfers, &subject, &labels)));
    group.finish();

    let mut ledger = Ledger::new();
    ledger.extend_from_slice(&transfers);
    let mut saved = Vec::new();
    let mut group = criterion.benchmark_group("ledger of a million transfers");
    group.bench_function("analyse", |bench| {
        bench.iter(|| analyse(&mut ledger, &subject, &labels, &Parameters::default()));
    });
    group.bench_function("save", |bench| {
        bench.iter(|| {
            saved.clear();
            ledger.save(&mut saved).expect("writing to memory does not fail");
        });
    });
    group.bench_function("load", |bench| bench.iter(|| Ledger::load(&mut &saved[..])));
    // A ledger as a refresh finds it: just loaded.
    group.bench_function("append 10,000", |bench| {
        let load = || Ledger::load(&mut &saved[..]).expect("it was just saved");
        let append = |mut ledger: Ledger| {
            ledger.extend_from_slice(&appended);
            ledger
        };
        bench.iter_batched(load, append, BatchSize::PerIteration);
    });
    group.finish();

    if std::env::args().any(|argument| argument == "--bench") {
        compare(&transfers, &subject, &labels);
    }
    criterion.final_summary();
}

fn appended_rows() -> usize {
    usize::try_from(APPENDED).expect("ten thousand fit")
}
