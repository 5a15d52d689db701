//! Values, attributes and times as text for people.

use std::fmt::Write as _;

use steadyline_prometheus::put_attribute;
use steadyline_prometheus::values::put_sample;
use steadyline_telemetry::metrics::{Attributes, ExponentialHistogramView, HistogramView, SummaryView};
use steadyline_telemetry::{MetricKind, Metrics, NumberKind, Point, Value};

use crate::style::put_escaped;

/// The value of a point on one line.
pub(crate) fn value_text(batch: &Metrics, kind: MetricKind, point: &Point) -> String {
    if point.held {
        return "held".to_owned();
    }
    if point.is_no_value() {
        return "no value".to_owned();
    }
    let body = batch.bytes(point.body);
    match (point.number, kind) {
        (NumberKind::Int, _) => (point.bits as i64).to_string(),
        (NumberKind::Double, _) => double(f64::from_bits(point.bits)),
        (_, MetricKind::Histogram { .. }) => {
            let view = HistogramView::new(body);
            totals(view.count, view.sum)
        }
        (_, MetricKind::ExponentialHistogram { .. }) => {
            let view = ExponentialHistogramView::new(body);
            totals(view.count, view.sum)
        }
        (_, MetricKind::Summary) => {
            let view = SummaryView::new(body);
            totals(view.count, Some(view.sum))
        }
        _ => "none".to_owned(),
    }
}

fn totals(count: u64, sum: Option<f64>) -> String {
    sum.map_or(format!("count={count}"), |sum| format!("count={count} sum={}", double(sum)))
}

/// A double in its shortest form.
pub(crate) fn double(value: f64) -> String {
    let mut text = String::new();
    put_sample(&mut text, value);
    text
}

/// Appends `{key="value",...}`; nothing if there are no attributes. Text is quoted, all else is not.
pub(crate) fn put_attributes(out: &mut String, batch: &Metrics, attributes: Attributes) {
    let mut opened = false;
    for (key, value) in batch.pairs(attributes) {
        out.push(if opened { ',' } else { '{' });
        opened = true;
        put_escaped(out, key, false);
        out.push('=');
        put_value(out, value);
    }
    if opened {
        out.push('}');
    }
}

/// Appends the value of an attribute.
pub(crate) fn put_value(out: &mut String, value: Value<'_>) {
    let mut text = Vec::new();
    put_attribute(&mut text, value);
    let text = String::from_utf8_lossy(&text);
    match value {
        Value::Str(_) => {
            out.push('"');
            put_escaped(out, &text, true);
            out.push('"');
        }
        _ => put_escaped(out, &text, false),
    }
}

/// A word for the kind of a metric.
pub(crate) fn kind_text(kind: MetricKind) -> String {
    let name = match kind {
        MetricKind::Empty => "empty",
        MetricKind::Gauge => "gauge",
        MetricKind::Sum { monotonic: true, .. } => "monotonic sum",
        MetricKind::Sum { .. } => "sum",
        MetricKind::Histogram { .. } => "histogram",
        MetricKind::ExponentialHistogram { .. } => "exponential histogram",
        MetricKind::Summary => "summary",
    };
    kind.temporality().map_or(name.to_owned(), |temporality| format!("{name}, {temporality:?}").to_lowercase())
}

/// A moment as `2026-01-02T03:04:05Z`; `-` where none is said.
pub(crate) fn moment(unix_nanos: u64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(unix_nanos)) {
        Ok(moment) if unix_nanos > 0 => moment.to_string(),
        _ => "-".to_owned(),
    }
}

/// The time of day as `03:04:05`.
pub(crate) fn time_of_day(unix_nanos: u64) -> String {
    let second = unix_nanos / 1_000_000_000 % 86_400;
    let mut text = String::new();
    let _ = write!(text, "{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    text
}
