//! Batches as Prometheus text: what `once` prints.

use std::collections::BTreeMap;

use steadyline_component::{Batch, Data};
use steadyline_telemetry::{MetricKind, Metrics, Value};

/// Every sample, grouped by metric and sorted, with its timestamp in milliseconds. Points of the kinds that carry a
/// body are shown as a comment with their number of bytes: a histogram's series depend on the exporter.
pub(crate) fn render(batches: &[Batch]) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for batch in batches {
        if let Data::Metrics(metrics) = &batch.data {
            collect(metrics, &mut families);
        }
    }
    let mut text = String::new();
    for (name, mut family) in families {
        if !family.help.is_empty() {
            text += &format!("# HELP {name} {}\n", family.help.replace('\\', "\\\\").replace('\n', "\\n"));
        }
        text += &format!("# TYPE {name} {}\n", family.kind);
        family.lines.sort();
        for line in family.lines {
            text += &line;
            text.push('\n');
        }
    }
    text
}

struct Family {
    help: String,
    kind: &'static str,
    lines: Vec<String>,
}

fn collect(metrics: &Metrics, families: &mut BTreeMap<String, Family>) {
    for (_, _, metric) in metrics.iter() {
        let name = metrics.text(metric.name);
        let family = families.entry(name.to_string()).or_insert_with(|| Family {
            help: metrics.text(metric.description).to_string(),
            kind: type_name(metric.kind),
            lines: Vec::new(),
        });
        for point in metrics.points_of(metric).iter().filter(|point| !point.held) {
            let labels = labels(metrics, point.attributes());
            let millis = point.time / 1_000_000;
            let mut line = format!("{name}{labels} ");
            match point.as_f64() {
                _ if point.is_no_value() => line += "NaN",
                Some(value) => steadyline_prometheus::values::put_sample(&mut line, value),
                None => line = format!("# {name}{labels} carries {} bytes of buckets", point.body.len()),
            }
            family.lines.push(format!("{line} {millis}"));
        }
    }
}

fn type_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Sum { monotonic: true, .. } => "counter",
        MetricKind::Gauge | MetricKind::Sum { .. } => "gauge",
        MetricKind::Histogram { .. } | MetricKind::ExponentialHistogram { .. } => "histogram",
        MetricKind::Summary => "summary",
        MetricKind::Empty => "untyped",
    }
}

fn labels(metrics: &Metrics, attributes: steadyline_telemetry::metrics::Attributes) -> String {
    let pairs: Vec<String> = metrics
        .pairs(attributes)
        .filter_map(|(key, value)| {
            let text = match value {
                Value::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Value::Int(int) => int.to_string(),
                Value::Bool(bool) => bool.to_string(),
                Value::Double(double) => {
                    let mut text = String::new();
                    steadyline_prometheus::values::put_double(&mut text, double);
                    text
                }
                Value::Empty | Value::Array(_) | Value::Map(_) | Value::Bytes(_) => return None,
            };
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            (!text.is_empty()).then(|| format!("{key}=\"{escaped}\""))
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}
