//! Logs and metrics of a process: what is written where. Set up once, first thing in `main`.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use metrics_cloudwatch_embedded::{Builder, Collector};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use summary::Summary;

mod summary;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line on standard output, the event's fields at the top and those of its innermost span under
    /// `span`: for CloudWatch.
    Json,
    /// Text on standard error, in colour where that is a terminal.
    Text,
}

/// Where metrics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Standard output, in CloudWatch's embedded metric format: one line for each set of labels. A histogram holds 100
    /// values between two flushes, the format's own limit; more are dropped and logged as errors.
    Emf,
    /// The log, as one line at debug level for each flush in which something changed.
    Log,
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub format: Format,
    /// Levels by target, as in `RUST_LOG`: `info,access=debug`.
    pub filter: String,
    /// CloudWatch's namespace.
    pub namespace: String,
    pub metrics: Metrics,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("`{filter}` is not a log filter")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("a process has one log, and this one has it already")]
    Log(#[from] tracing::subscriber::SetGlobalDefaultError),
    #[error("a process has one recorder of metrics, and this one has it already")]
    Metrics(#[source] Box<dyn Error + Send + Sync>),
}

/// Flushes the metrics. Copies are the same.
#[derive(Clone, Copy)]
pub struct Telemetry(Sink);

#[derive(Clone, Copy)]
enum Sink {
    Emf(&'static Collector),
    Log(&'static Summary),
    Off,
}

/// Installs the log and the recorder of metrics, and tells the recorder the units of the HTTP edge's metrics. Fails
/// the second time.
pub fn init(options: Options) -> Result<Telemetry, TelemetryError> {
    let Options { format, filter, namespace, metrics } = options;
    match format {
        Format::Json => tracing::subscriber::set_global_default(json(&filter, io::stdout)?)?,
        Format::Text => tracing::subscriber::set_global_default(text(&filter, io::stderr)?)?,
    }
    let sink = match metrics {
        Metrics::Emf => {
            Sink::Emf(Builder::new().cloudwatch_namespace(namespace).init().map_err(TelemetryError::Metrics)?)
        }
        Metrics::Log => {
            let summary: &'static Summary = Box::leak(Box::default());
            metrics::set_global_recorder(summary).map_err(|_| TelemetryError::Metrics("set already".into()))?;
            Sink::Log(summary)
        }
        Metrics::Off => Sink::Off,
    };
    api::describe_metrics();
    Ok(Telemetry(sink))
}

impl Telemetry {
    /// Writes what was counted since the last flush. In Lambda at the end of every invocation, before the process is
    /// frozen; elsewhere every few seconds.
    pub fn flush(&self) {
        self.flush_to(io::stdout().lock());
    }

    fn flush_to(&self, writer: impl Write) {
        match self.0 {
            Sink::Emf(collector) => {
                if let Err(error) = collector.flush(writer) {
                    tracing::warn!(%error, "metrics could not be written");
                }
            }
            Sink::Log(summary) => {
                if let Some(summary) = summary.take() {
                    tracing::debug!(summary, "metrics");
                }
            }
            Sink::Off => {}
        }
    }
}

fn json<W>(filter: &str, writer: W) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(levels(filter)?).with_writer(writer);
    Ok(lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
}

fn text<W>(filter: &str, writer: W) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(levels(filter)?).with_writer(writer);
    Ok(lines.with_ansi(io::stderr().is_terminal()).compact().finish())
}

fn levels(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder().parse(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests;
