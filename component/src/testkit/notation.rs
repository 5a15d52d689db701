//! The one-line notation of points, both ways.

use std::fmt::Write as _;

use steadyline_telemetry::metrics::{MetricDef, MetricRef, NumberValue};
use steadyline_telemetry::{MetricKind, Metrics, MetricsBuilder, NumberKind, Temporality, Value};

/// Reads points, one a line. Kinds are `gauge` (the default), `counter` (monotonic cumulative sum), `updown`
/// (cumulative sum), `delta` (monotonic delta sum). A line `resource{...}` opens a resource. Times are in seconds.
///
/// # Panics
/// On a line that does not read; it is a test's own fault.
pub fn metrics(text: &str) -> Metrics {
    let mut builder = MetricsBuilder::new();
    let mut known: Vec<(String, MetricKind, MetricRef)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("resource{") {
            let (_, labels, _) = split(line);
            builder.resource(labels.iter().map(|(k, v)| (k.as_str(), value_of(v))));
            known.clear();
            continue;
        }
        point(&mut builder, &mut known, line);
    }
    builder.finish()
}

fn point(builder: &mut MetricsBuilder, known: &mut Vec<(String, MetricKind, MetricRef)>, line: &str) {
    let (head, labels, tail) = split(line);
    let (kind, name) = match head.split_once(' ') {
        Some((kind, name)) => (kind_of(kind), name),
        None => (MetricKind::Gauge, head),
    };
    let metric = known.iter().find(|(n, k, _)| n == name && *k == kind).map(|(_, _, metric)| *metric);
    let metric = metric.unwrap_or_else(|| {
        let metric = builder.metric(MetricDef { kind, ..MetricDef::gauge(name) });
        known.push((name.to_string(), kind, metric));
        metric
    });
    let mut words = tail.split_whitespace();
    let value = match words.next().expect("a value") {
        "stale" => NumberValue::NoValue,
        "held" => NumberValue::Held,
        number => match number.parse::<i64>() {
            Ok(int) => NumberValue::Int(int),
            Err(_) => NumberValue::Double(number.parse().expect("a number")),
        },
    };
    let time = words.next().map_or(0, |at| {
        let seconds: f64 = at.strip_prefix('@').expect("@seconds").parse().expect("seconds");
        (seconds * 1e9).round() as u64
    });
    let shape = builder.shape(labels.iter().map(|(key, _)| key.as_str()));
    let values: Vec<_> = labels.iter().map(|(_, v)| builder.value(value_of(v))).collect();
    builder.number(metric, shape, &values, time, 0, value);
}

/// `name{a="b",c=1} tail` as (name, labels, tail); an unquoted label value is a number or a bool.
fn split(line: &str) -> (&str, Vec<(String, String)>, &str) {
    let Some((head, rest)) = line.split_once('{') else {
        let (head, tail) = line.rsplit_once(char::is_whitespace).map_or((line, ""), |(head, _)| {
            let at = head.rfind(|c: char| !c.is_whitespace()).map_or(0, |at| at + 1);
            (&line[..at], &line[at..])
        });
        // `name value @time` without labels: the name ends at the last word that is no value.
        let words: Vec<&str> = line.split_whitespace().collect();
        let values = words.iter().rev().take_while(|w| is_value(w)).count();
        if values == 0 {
            return (head.trim(), Vec::new(), tail);
        }
        let cut = words[words.len() - values..].iter().rev().fold(line, |rest, word| {
            let rest = rest.trim_end();
            rest.strip_suffix(word).unwrap_or(rest)
        });
        let cut = cut.trim_end();
        return (cut, Vec::new(), &line[cut.len()..]);
    };
    let mut labels = Vec::new();
    let mut rest = rest;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(tail) = rest.strip_prefix('}') {
            return (head.trim(), labels, tail);
        }
        let (key, after) = rest.split_once('=').expect("key=value");
        if let Some(quoted) = after.strip_prefix('"') {
            let (value, after) = quoted.split_once('"').expect("a closing quote");
            labels.push((key.trim().to_string(), format!("\"{value}")));
            rest = after;
        } else {
            let end = after.find([',', '}']).expect("an end");
            labels.push((key.trim().to_string(), after[..end].trim().to_string()));
            rest = &after[end..];
        }
    }
}

fn is_value(word: &str) -> bool {
    matches!(word, "stale" | "held") || word.starts_with('@') || word.parse::<f64>().is_ok()
}

/// Quoted values keep their opening quote until here, to be told from bare ones.
fn value_of(text: &str) -> Value<'_> {
    if let Some(text) = text.strip_prefix('"') {
        return Value::text(text);
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "" => Value::Empty,
        _ => match text.parse::<i64>() {
            Ok(int) => Value::Int(int),
            Err(_) => Value::Double(text.parse().expect("a bare label value is a number or a bool")),
        },
    }
}

fn kind_of(word: &str) -> MetricKind {
    match word {
        "gauge" => MetricKind::Gauge,
        "counter" => MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true },
        "updown" => MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: false },
        "delta" => MetricKind::Sum { temporality: Temporality::Delta, monotonic: true },
        other => panic!("`{other}` is not a kind of the notation"),
    }
}

/// Writes points, one a line, in their order; resources that have attributes get a line of their own.
pub fn render(metrics: &Metrics) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = None;
    for (resource, scope, metric) in metrics.iter() {
        if last != Some(scope.resource) {
            last = Some(scope.resource);
            if !metrics.keys(resource.attributes.shape).is_empty() {
                lines.push(format!("resource{}", labels(metrics, resource.attributes)));
            }
        }
        for point in metrics.points_of(metric) {
            let mut line = String::new();
            line.push_str(kind_word(metric.kind));
            line.push_str(metrics.text(metric.name));
            line.push_str(&labels(metrics, point.attributes()));
            let _ = match point.number {
                _ if point.held => write!(line, " held"),
                _ if point.is_no_value() => write!(line, " stale"),
                NumberKind::Int => write!(line, " {}", point.bits as i64),
                NumberKind::Double => write!(line, " {}", f64::from_bits(point.bits)),
                NumberKind::None => write!(line, " none"),
                NumberKind::Body => write!(line, " body({})", point.body.len()),
            };
            if point.time != 0 {
                let _ = write!(line, " @{}", point.time as f64 / 1e9);
            }
            lines.push(line);
        }
    }
    lines
}

fn labels(metrics: &Metrics, attributes: steadyline_telemetry::metrics::Attributes) -> String {
    let pairs: Vec<String> = metrics
        .pairs(attributes)
        .map(|(key, value)| match value {
            Value::Str(bytes) => format!("{key}=\"{}\"", String::from_utf8_lossy(bytes)),
            Value::Int(int) => format!("{key}={int}"),
            Value::Double(double) => format!("{key}={double}"),
            Value::Bool(bool) => format!("{key}={bool}"),
            Value::Empty => format!("{key}="),
            Value::Array(bytes) | Value::Map(bytes) | Value::Bytes(bytes) => format!("{key}=<{} bytes>", bytes.len()),
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn kind_word(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Gauge | MetricKind::Empty => "",
        MetricKind::Sum { temporality: Temporality::Delta, .. } => "delta ",
        MetricKind::Sum { monotonic: true, .. } => "counter ",
        MetricKind::Sum { .. } => "updown ",
        MetricKind::Histogram { .. } => "histogram ",
        MetricKind::ExponentialHistogram { .. } => "exponential ",
        MetricKind::Summary => "summary ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_and_write_alike() {
        let text = [
            "resource{env=\"dev\"}",
            "steps{account_id=\"a\",n=3} 5 @60",
            "steps{account_id=\"b\",n=4} stale @60.5",
            "up 1.5",
            "up 5 @50",
            "counter hits{a=\"x\"} 7 @1",
            "delta bytes held",
        ];
        assert_eq!(render(&metrics(&text.join("\n"))), text);
    }
}
