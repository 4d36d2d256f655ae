use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn a_json_line_has_its_fields_at_the_top_and_its_span_beside_them() {
    let lines = Lines::default();
    tracing::subscriber::with_default(json("info", lines.clone()).unwrap(), || {
        let _span = tracing::error_span!("request", request_id = "id-12345").entered();
        tracing::info!(status = 200, "request");
    });
    let mut line: Value = serde_json::from_str(&lines.text()).unwrap();
    assert!(line.as_object_mut().unwrap().remove("timestamp").is_some_and(|time| time.as_str().is_some()));
    assert_eq!(
        line,
        json!({
            "level": "INFO", "message": "request", "status": 200, "target": module_path!(),
            "span": {"name": "request", "request_id": "id-12345"},
        })
    );
}

#[test]
fn a_filter_sets_levels_by_target() {
    let lines = Lines::default();
    tracing::subscriber::with_default(json("warn,loud=debug", lines.clone()).unwrap(), || {
        tracing::info!("dropped");
        tracing::debug!(target: "loud", "kept");
    });
    assert!(!lines.text().contains("dropped"), "{}", lines.text());
    assert!(lines.text().contains("kept"), "{}", lines.text());
}

#[test]
fn text_lines_are_for_people() {
    let lines = Lines::default();
    tracing::subscriber::with_default(text("info", lines.clone()).unwrap(), || {
        tracing::info!(port = 3000, "listening");
    });
    assert!(lines.text().contains("listening port=3000"), "{}", lines.text());
}

#[test]
fn an_unreadable_filter_is_named() {
    let error = levels("info,=loud=quiet").map(drop).unwrap_err();
    assert_eq!(error.to_string(), "`info,=loud=quiet` is not a log filter");
}

/// The only test that installs anything for the whole process.
#[test]
fn emf_lines_carry_names_units_and_labels_and_a_second_init_fails() {
    let options = Options {
        format: Format::Json,
        filter: "off".to_owned(),
        namespace: "Holdfast".to_owned(),
        metrics: Metrics::Emf,
    };
    let telemetry = init(options.clone()).unwrap();
    metrics::counter!("requests", "endpoint" => "a", "status" => "200").increment(2);
    metrics::histogram!("latency", "endpoint" => "a").record(1.5);

    let lines = Lines::default();
    telemetry.flush_to(lines.clone());
    let mut documents: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for document in &mut documents {
        assert!(document["_aws"].as_object_mut().unwrap().remove("Timestamp").is_some_and(|time| time.is_u64()));
    }
    let described = |labels: Value, name: &str, unit: &str| {
        json!({"CloudWatchMetrics": [
            {"Namespace": "Holdfast", "Dimensions": [labels], "Metrics": [{"Name": name, "Unit": unit}]},
        ]})
    };
    assert_eq!(
        documents,
        [
            json!({"_aws": described(json!(["endpoint"]), "latency", "Milliseconds"), "endpoint": "a", "latency": [1.5]}),
            json!({
                "_aws": described(json!(["endpoint", "status"]), "requests", "Count"),
                "endpoint": "a", "status": "200", "requests": 2,
            }),
        ]
    );

    let quiet = Lines::default();
    telemetry.flush_to(quiet.clone());
    assert_eq!(quiet.text(), "", "what was flushed is not written again");

    assert!(matches!(init(options), Err(TelemetryError::Log(_))));
}
