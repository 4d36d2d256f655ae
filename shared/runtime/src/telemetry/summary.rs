use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Metrics for people at a terminal: sums, last values and spreads of what was recorded since the last look.
#[derive(Default)]
pub(super) struct Summary {
    series: Mutex<BTreeMap<String, Series>>,
    units: Mutex<HashMap<String, Unit>>,
}

enum Series {
    Counter(Arc<AtomicU64>),
    /// A gauge and what it showed at the last look.
    Gauge(Arc<AtomicU64>, u64),
    Histogram(Arc<Spread>, &'static str),
}

#[derive(Default)]
struct Spread(Mutex<Values>);

#[derive(Default)]
struct Values {
    count: u32,
    sum: f64,
    max: f64,
}

/// A panic while one of these is held leaves whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HistogramFn for Spread {
    fn record(&self, value: f64) {
        let mut values = lock(&self.0);
        values.max = if values.count == 0 { value } else { values.max.max(value) };
        values.sum += value;
        values.count = values.count.saturating_add(1);
    }
}

impl Summary {
    /// One line of what changed, `None` when nothing did: `requests{endpoint=a,status=200} 3; latency{endpoint=a} 3 ×
    /// 1.5 ms, at most 2 ms`.
    pub(super) fn take(&self) -> Option<String> {
        let mut line = String::new();
        for (name, series) in &mut *lock(&self.series) {
            let value = match series {
                Series::Counter(count) => match count.swap(0, Ordering::Relaxed) {
                    0 => continue,
                    count => count.to_string(),
                },
                Series::Gauge(gauge, shown) => match gauge.load(Ordering::Relaxed) {
                    bits if bits == *shown => continue,
                    bits => {
                        *shown = bits;
                        f64::from_bits(bits).to_string()
                    }
                },
                Series::Histogram(spread, unit) => match std::mem::take(&mut *lock(&spread.0)) {
                    Values { count: 0, .. } => continue,
                    Values { count, sum, max } => {
                        let mean = sum / f64::from(count);
                        format!("{count} × {}{unit}, at most {}{unit}", thousandths(mean), thousandths(max))
                    }
                },
            };
            let separator = if line.is_empty() { "" } else { "; " };
            let _ = write!(line, "{separator}{name} {value}");
        }
        (!line.is_empty()).then_some(line)
    }

    fn unit(&self, name: &str) -> &'static str {
        match lock(&self.units).get(name) {
            Some(Unit::Milliseconds) => " ms",
            Some(Unit::Microseconds) => " µs",
            Some(Unit::Seconds) => " s",
            Some(Unit::Bytes) => " B",
            _ => "",
        }
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>) {
        if let Some(unit) = unit {
            lock(&self.units).insert(name.as_str().to_owned(), unit);
        }
    }
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// `name{label=value,…}`
fn series_name(key: &Key) -> String {
    let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    if labels.is_empty() { key.name().to_owned() } else { format!("{}{{{}}}", key.name(), labels.join(",")) }
}

/// A name is one sort of metric; recording it as another goes nowhere.
impl Recorder for Summary {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut series = lock(&self.series);
        match series.entry(series_name(key)).or_insert_with(|| Series::Counter(Arc::default())) {
            Series::Counter(count) => Counter::from_arc(Arc::clone(count)),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut series = lock(&self.series);
        match series.entry(series_name(key)).or_insert_with(|| Series::Gauge(Arc::default(), 0)) {
            Series::Gauge(gauge, _) => Gauge::from_arc(Arc::clone(gauge)),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let unit = self.unit(key.name());
        let mut series = lock(&self.series);
        match series.entry(series_name(key)).or_insert_with(|| Series::Histogram(Arc::default(), unit)) {
            Series::Histogram(spread, _) => Histogram::from_arc(Arc::clone(spread)),
            _ => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_changed_since_the_last_one() {
        let summary = Summary::default();
        metrics::with_local_recorder(&summary, || {
            metrics::describe_histogram!("latency", Unit::Milliseconds, "");
            metrics::counter!("requests", "endpoint" => "a", "status" => "200").increment(3);
            metrics::histogram!("latency", "endpoint" => "a").record(1.0);
            metrics::histogram!("latency", "endpoint" => "a").record(2.0);
            metrics::gauge!("depth").set(4.5);
        });
        let first = "depth 4.5; latency{endpoint=a} 2 × 1.5 ms, at most 2 ms; requests{endpoint=a,status=200} 3";
        assert_eq!(summary.take().as_deref(), Some(first));
        assert_eq!(summary.take(), None);
        metrics::with_local_recorder(&summary, || metrics::counter!("retries").increment(1));
        assert_eq!(summary.take().as_deref(), Some("retries 1"));
    }

    #[test]
    fn a_spread_of_negative_values_has_a_negative_maximum() {
        let summary = Summary::default();
        metrics::with_local_recorder(&summary, || metrics::histogram!("drift").record(-2.0));
        assert_eq!(summary.take().as_deref(), Some("drift 1 × -2, at most -2"));
    }

    #[test]
    fn a_name_used_for_another_sort_of_metric_is_left_alone() {
        let summary = Summary::default();
        metrics::with_local_recorder(&summary, || {
            metrics::counter!("x").increment(1);
            metrics::gauge!("x").set(7.0);
            metrics::histogram!("x").record(7.0);
        });
        assert_eq!(summary.take().as_deref(), Some("x 1"));
    }
}
