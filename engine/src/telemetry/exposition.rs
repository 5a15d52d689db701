//! What the SDK collected, in a format of Prometheus.

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use steadyline_prometheus::MetricKind;
use steadyline_prometheus::exposition::{Family, Format, SampleValue, Series, Writer};

use super::families::{Labels, prometheus_name};
use crate::config::PrometheusReader;

/// Writes `collected` as config wants it, sorted, with the resource as `target_info`.
pub(super) fn write(collected: &ResourceMetrics, config: &PrometheusReader, format: Format, out: &mut Vec<u8>) {
    let resource: Labels =
        collected.resource().iter().map(|(key, value)| (legal(key.as_str()), value.to_string())).collect();
    let chosen = |(key, _): &(&opentelemetry::Key, &opentelemetry::Value)| {
        config.with_resource_constant_labels.includes(key.as_str())
    };
    let constant = collected.resource().iter().filter(chosen);
    let constant: Labels = constant.map(|(key, value)| (legal(key.as_str()), value.to_string())).collect();
    let mut writer = Writer::new(out, format);
    let mut shown: Vec<Shown<'_>> = Vec::new();
    for scope in collected.scope_metrics() {
        let mut labels = constant.clone();
        if !config.without_scope_info {
            labels.push(("otel_scope_name".into(), scope.scope().name().to_string()));
            labels.push(("otel_scope_version".into(), scope.scope().version().unwrap_or_default().to_string()));
        }
        shown.extend(scope.metrics().filter_map(|metric| Shown::new(metric, &labels, config)));
    }
    shown.push(Shown {
        name: "target_info".into(),
        help: "What the process says about itself.",
        counter: false,
        series: vec![(resource, 1.0)],
    });
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    for family in &mut shown {
        family.write(&mut writer);
    }
    writer.finish();
}

/// A family with its series.
struct Shown<'a> {
    name: String,
    help: &'a str,
    counter: bool,
    series: Vec<(Labels, f64)>,
}

impl<'a> Shown<'a> {
    /// `None` for kinds that nothing here records.
    fn new(metric: &'a Metric, constant: &Labels, config: &PrometheusReader) -> Option<Shown<'a>> {
        let AggregatedMetrics::F64(data) = metric.data() else { return None };
        let labels = |attributes: &mut dyn Iterator<Item = &KeyValue>| -> Labels {
            let own = attributes.map(|pair| (pair.key.to_string(), pair.value.to_string()));
            own.chain(constant.iter().cloned()).collect()
        };
        let (counter, series) = match data {
            MetricData::Sum(sum) => {
                let series = sum.data_points().map(|point| (labels(&mut point.attributes()), point.value()));
                (sum.is_monotonic(), series.collect())
            }
            MetricData::Gauge(gauge) => {
                let series = gauge.data_points().map(|point| (labels(&mut point.attributes()), point.value()));
                (false, series.collect())
            }
            _ => return None,
        };
        let (with_unit, with_total) = (!config.without_units, !config.without_type_suffix);
        let name = prometheus_name(metric.name(), metric.unit(), counter, with_unit, with_total);
        Some(Shown { name, help: metric.description(), counter, series })
    }

    fn write(&mut self, writer: &mut Writer<'_>) {
        let kind = match (self.counter, self.name.ends_with("_total")) {
            (true, true) => MetricKind::Counter,
            // OpenMetrics knows no counter without its suffix.
            (true, false) => MetricKind::Unknown,
            (false, _) => MetricKind::Gauge,
        };
        let head = Family { name: &self.name, help: self.help, unit: "", kind };
        self.series.iter_mut().for_each(|(labels, _)| labels.sort());
        self.series.sort_by(|(a, _), (b, _)| a.cmp(b));
        writer.family_with(&head, |out| {
            for (labels, value) in &self.series {
                let pairs: Vec<(&str, &str)> =
                    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                out.series(&Series::new(&pairs, SampleValue::Number(*value)));
            }
        });
    }
}

/// A name of an attribute as a label.
fn legal(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    name.chars().map(fits).collect()
}
