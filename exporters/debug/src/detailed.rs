//! `detailed`: everything that a batch of metrics says, in blocks that nest as OTLP does.

use std::fmt::Write as _;

use steadyline_component::Batch;
use steadyline_telemetry::metrics::{
    Attributes, Buckets, ExponentialHistogramView, HistogramView, Metric, Resource, Scope, SummaryView, exemplars,
};
use steadyline_telemetry::{MetricKind, Metrics, Point};

use crate::lines::basic;
use crate::style::{Style, put_escaped};
use crate::value::{double, kind_text, moment, put_value, value_text};

/// The line of `basic`, and a block for each resource.
pub(crate) fn detailed(batch: &Batch, metrics: &Metrics, now: u64) -> String {
    let mut out = Block { text: basic(batch, now), batch: metrics };
    for resource in &metrics.tables().resources {
        out.resource(resource);
    }
    out.text
}

struct Block<'b> {
    text: String,
    batch: &'b Metrics,
}

impl Block<'_> {
    fn resource(&mut self, resource: &Resource) {
        self.head(2, "resource", "", &self.schema(resource.schema_url));
        self.attributes(4, resource.attributes);
        self.dropped(4, resource.dropped_attributes);
        for row in resource.scopes.clone() {
            self.scope(&self.batch.tables().scopes[row as usize]);
        }
    }

    fn scope(&mut self, scope: &Scope) {
        let mut rest = String::new();
        put_escaped(&mut rest, self.batch.text(scope.version), false);
        let schema = self.schema(scope.schema_url);
        self.head(4, "scope", self.batch.text(scope.name), format!("{rest} {schema}").trim());
        self.attributes(6, scope.attributes);
        self.dropped(6, scope.dropped_attributes);
        for row in scope.metrics.clone() {
            self.metric(&self.batch.tables().metrics[row as usize]);
        }
    }

    fn metric(&mut self, metric: &Metric) {
        let mut rest = format!("({})", kind_text(metric.kind));
        for (word, slot) in [("unit", metric.unit), ("", metric.description)] {
            if !slot.is_empty() {
                rest.push_str(if word.is_empty() { " " } else { " unit " });
                put_escaped(&mut rest, self.batch.text(slot), false);
            }
        }
        self.head(6, "metric", self.batch.text(metric.name), &rest);
        self.attributes(8, metric.metadata);
        for point in self.batch.points_of(metric) {
            self.point(metric.kind, point);
        }
    }

    fn point(&mut self, kind: MetricKind, point: &Point) {
        let mut rest = format!("at {}", moment(point.time));
        if point.start != 0 {
            let _ = write!(rest, " since {}", moment(point.start));
        }
        if point.flags != 0 {
            let _ = write!(rest, " flags {}", point.flags);
        }
        self.head(8, "point", &value_text(self.batch, kind, point), &rest);
        self.attributes(10, point.attributes());
        let body = self.batch.bytes(point.body);
        let exemplar_field = match kind {
            MetricKind::Histogram { .. } => {
                self.histogram(&HistogramView::new(body));
                8
            }
            MetricKind::ExponentialHistogram { .. } => {
                self.exponential(&ExponentialHistogramView::new(body));
                11
            }
            MetricKind::Summary => {
                for (quantile, value) in SummaryView::new(body).quantiles() {
                    self.line(10, &format!("quantile {}: {}", double(quantile), double(value)));
                }
                return;
            }
            MetricKind::Gauge | MetricKind::Sum { .. } | MetricKind::Empty => 5,
        };
        for exemplar in exemplars(body, exemplar_field) {
            let id = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let (trace, span) = (id(exemplar.trace_id), id(exemplar.span_id));
            let mut line = format!("exemplar {} at {}", double(exemplar.value), moment(exemplar.time));
            let _ = write!(line, " trace {trace} span {span}");
            for (key, value) in exemplar.filtered_attributes() {
                line.push(' ');
                put_escaped(&mut line, key, false);
                line.push('=');
                put_value(&mut line, value);
            }
            self.line(10, &line);
        }
    }

    fn histogram(&mut self, view: &HistogramView<'_>) {
        self.extremes(view.min, view.max);
        let bounds = view.bounds().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(view.bucket_counts()) {
            self.line(10, &format!("bucket up to {}: {count}", double(bound)));
        }
    }

    fn exponential(&mut self, view: &ExponentialHistogramView<'_>) {
        self.extremes(view.min, view.max);
        let zero = format!("zero bucket: {}, up to {}", view.zero_count, double(view.zero_threshold));
        self.line(10, &format!("scale {}, {zero}", view.scale));
        for (name, Buckets { offset, counts }) in [("positive", &view.positive), ("negative", &view.negative)] {
            if !counts.is_empty() {
                self.line(10, &format!("{name} buckets from {offset}: {counts:?}"));
            }
        }
    }

    fn extremes(&mut self, min: Option<f64>, max: Option<f64>) {
        for (name, value) in [("min", min), ("max", max)] {
            if let Some(value) = value {
                self.line(10, &format!("{name} {}", double(value)));
            }
        }
    }

    fn attributes(&mut self, indent: usize, attributes: Attributes) {
        for (key, value) in self.batch.pairs(attributes) {
            let mut line = String::new();
            put_escaped(&mut line, key, false);
            line.push_str(": ");
            put_value(&mut line, value);
            self.line(indent, &line);
        }
    }

    fn dropped(&mut self, indent: usize, count: u32) {
        if count > 0 {
            self.line(indent, &format!("the sender left out {count} attributes"));
        }
    }

    fn schema(&self, url: steadyline_telemetry::Slot) -> String {
        let mut text = String::new();
        put_escaped(&mut text, self.batch.text(url), false);
        text
    }

    /// `word name rest`.
    fn head(&mut self, indent: usize, word: &str, name: &str, rest: &str) {
        let mut shown = String::new();
        put_escaped(&mut shown, name, false);
        let line = [Style::Dim.paint(word), shown, rest.to_owned()];
        let line: Vec<String> = line.into_iter().filter(|part| !part.is_empty()).collect();
        self.line(indent, &line.join(" "));
    }

    fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }
}
