//! Requests by hand, of every kind that OTLP has.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::*;
use opentelemetry_proto::tonic::resource::v1::Resource;

pub const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
pub const DELTA: i32 = AggregationTemporality::Delta as i32;
pub const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since the epoch, in whole seconds.
pub fn now() -> u64 {
    crate::common::steadyline::unix_seconds() as u64 * SECOND
}

pub fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    pair(key, any_value::Value::StringValue(value.into()))
}

pub fn number(value: f64, now: u64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

pub fn gauge(points: Vec<NumberDataPoint>) -> metric::Data {
    metric::Data::Gauge(Gauge { data_points: points })
}

pub fn sum(point: NumberDataPoint, aggregation_temporality: i32, is_monotonic: bool) -> metric::Data {
    metric::Data::Sum(Sum { data_points: vec![point], aggregation_temporality, is_monotonic })
}

/// Four measurements.
pub fn buckets(now: u64) -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: now,
        count: 4,
        sum: Some(6.5),
        bucket_counts: vec![1, 2, 1],
        explicit_bounds: vec![1.0, 2.0],
        ..HistogramDataPoint::default()
    }
}

pub fn histogram(point: HistogramDataPoint, aggregation_temporality: i32) -> metric::Data {
    metric::Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality })
}

pub fn summary(point: SummaryDataPoint) -> metric::Data {
    metric::Data::Summary(Summary { data_points: vec![point] })
}

/// Buckets of an exponential histogram above zero.
pub fn spread(scale: i32, offset: i32, counts: &[u64], now: u64) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        time_unix_nano: now,
        count: counts.iter().sum(),
        sum: Some(6.5),
        scale,
        positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
        ..ExponentialHistogramDataPoint::default()
    }
}

pub fn exponential(point: ExponentialHistogramDataPoint, aggregation_temporality: i32) -> metric::Data {
    metric::Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![point], aggregation_temporality })
}

pub fn exemplar(value: f64, attributes: Vec<KeyValue>, now: u64) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes,
        time_unix_nano: now,
        span_id: vec![0xcd; 8],
        trace_id: vec![0xab; 16],
        value: Some(exemplar::Value::AsDouble(value)),
    }
}

pub fn metric(name: &str, unit: &str, data: metric::Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), description: "words".into(), data: Some(data), ..Metric::default() }
}

pub fn request(
    resource: Vec<KeyValue>,
    scope: InstrumentationScope,
    metrics: Vec<Metric>,
) -> ExportMetricsServiceRequest {
    let resource = Resource { attributes: resource, ..Resource::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let one = ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![one] }
}

/// Without resource and scope.
pub fn alone(metric: Metric) -> ExportMetricsServiceRequest {
    request(Vec::new(), InstrumentationScope::default(), vec![metric])
}

/// The resource of a service.
pub fn shop() -> Vec<KeyValue> {
    vec![
        text("service.name", "shop"),
        text("service.namespace", "ns"),
        text("service.instance.id", "i-1"),
        text("host.name", "h"),
    ]
}

/// Native histograms, exemplars and start times, as they are meant.
pub fn distributions(now: u64) -> Vec<Metric> {
    let start = now - 60 * SECOND;
    let negative = ExponentialHistogramDataPoint {
        start_time_unix_nano: start,
        count: 12,
        zero_count: 2,
        negative: Some(Buckets { offset: -3, bucket_counts: vec![1, 0, 0, 0, 3] }),
        attributes: vec![text("route", "/")],
        exemplars: vec![exemplar(1.5, Vec::new(), now)],
        ..spread(3, 3, &[1, 0, 5], now)
    };
    let with_exemplars = HistogramDataPoint {
        start_time_unix_nano: start,
        exemplars: vec![exemplar(0.5, Vec::new(), now - 2 * SECOND), exemplar(1.5, vec![text("user", "7")], now)],
        ..buckets(now)
    };
    let counted = NumberDataPoint {
        start_time_unix_nano: start,
        exemplars: vec![exemplar(1.0, vec![text("user", "7")], now)],
        ..number(3.0, now)
    };
    vec![
        metric("spread.fine", "s", exponential(spread(12, 70_000, &[1, 2, 3, 4, 5], now), CUMULATIVE)),
        metric("spread.plain", "s", exponential(negative, CUMULATIVE)),
        metric("spread.coarse", "", exponential(spread(-4, -2, &[1, 1, 1], now), CUMULATIVE)),
        metric("spread.gaps", "", exponential(spread(0, 0, &[1, 0, 0, 0, 0, 0, 2], now), CUMULATIVE)),
        metric(
            "spread.empty",
            "",
            exponential(ExponentialHistogramDataPoint { sum: Some(0.0), ..spread(0, 0, &[], now) }, CUMULATIVE),
        ),
        metric("took", "s", histogram(with_exemplars, CUMULATIVE)),
        metric("served", "1", sum(counted, CUMULATIVE, true)),
    ]
}

/// Names, units, labels and values at the edges of what the translation rules say.
pub fn edges(now: u64) -> ExportMetricsServiceRequest {
    let of = |value: &str| AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    let labels = vec![
        text("http.route", "/a b\"c\\\n"),
        text("9lives", "nine"),
        text("_private", "one"),
        text("__two", "two"),
        text("a.b", "dot"),
        text("a_b", "underscore"),
        text("empty", ""),
        text("ünï", "código"),
        pair("bool", any_value::Value::BoolValue(true)),
        pair("int", any_value::Value::IntValue(-5)),
        pair("double", any_value::Value::DoubleValue(1e21)),
        pair("bytes", any_value::Value::BytesValue(vec![1, 2, 255])),
        pair("list", any_value::Value::ArrayValue(ArrayValue { values: vec![of("x"), of("y")] })),
        pair("map", any_value::Value::KvlistValue(KeyValueList { values: vec![text("k", "v")] })),
    ];
    let gauge = |value: f64| gauge(vec![NumberDataPoint { attributes: labels.clone(), ..number(value, now) }]);
    let sum = |monotonic: bool| sum(number(3.0, now), CUMULATIVE, monotonic);
    let mut metrics: Vec<Metric> =
        ["", "1", "%", "s", "ms", "By", "KiBy", "MBy", "Cel", "{things}", "By/s", "m/{x}", "Hz"]
            .iter()
            .enumerate()
            .flat_map(|(n, unit)| {
                [
                    metric(&format!("edge.gauge.{n}"), unit, gauge(n as f64)),
                    metric(&format!("edge counter-{n}"), unit, sum(true)),
                    metric(&format!("edge_updown_{n}"), unit, sum(false)),
                ]
            })
            .collect();
    metrics.push(metric("9.starts.with.digit", "", gauge(1.0)));
    metrics.push(metric("ends_total", "", sum(true)));
    metrics.push(metric("infinite", "", gauge(f64::INFINITY)));
    let buckets = HistogramDataPoint {
        time_unix_nano: now,
        count: 10,
        sum: Some(12.5),
        bucket_counts: vec![1, 2, 3, 4],
        explicit_bounds: vec![0.001, 1.0, 1e9],
        attributes: labels.clone(),
        ..HistogramDataPoint::default()
    };
    metrics.push(metric("edge.histogram", "s", histogram(buckets, CUMULATIVE)));
    let quantile = |quantile, value| summary_data_point::ValueAtQuantile { quantile, value };
    let quantiles = SummaryDataPoint {
        time_unix_nano: now,
        count: 4,
        sum: 9.0,
        quantile_values: vec![quantile(0.0, 1.0), quantile(0.5, 2.0), quantile(1.0, 3.0)],
        ..SummaryDataPoint::default()
    };
    metrics.push(metric("edge.summary", "By", summary(quantiles)));
    let scope = InstrumentationScope {
        name: "scope".into(),
        version: "1".into(),
        attributes: vec![text("scope.attr", "x")],
        ..InstrumentationScope::default()
    };
    request(shop(), scope, metrics)
}
