//! Arbitrary OTLP metric requests, made of the generated structs: every kind, every optional part there or not.
//! Small in numbers and rich in form, because a case is worth what it covers, not what it weighs.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Any request.
pub(crate) fn request() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    vec(resource_metrics(), 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

pub(crate) fn resource_metrics() -> impl Strategy<Value = ResourceMetrics> {
    (option::of(resource()), vec(scope_metrics(), 0..3), text())
        .prop_map(|(resource, scope_metrics, schema_url)| ResourceMetrics { resource, scope_metrics, schema_url })
}

fn resource() -> impl Strategy<Value = Resource> {
    (attributes(), count(), vec(entity(), 0..2)).prop_map(|(attributes, dropped_attributes_count, entity_refs)| {
        Resource { attributes, dropped_attributes_count, entity_refs }
    })
}

fn entity() -> impl Strategy<Value = EntityRef> {
    (text(), text(), vec(text(), 0..3), vec(text(), 0..3)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef { schema_url, r#type, id_keys, description_keys },
    )
}

fn scope_metrics() -> impl Strategy<Value = ScopeMetrics> {
    (option::of(scope()), vec(metric(), 0..4), text()).prop_map(|(scope, metrics, schema_url)| ScopeMetrics {
        scope,
        metrics,
        schema_url,
    })
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (text(), text(), attributes(), count()).prop_map(|(name, version, attributes, dropped_attributes_count)| {
        InstrumentationScope { name, version, attributes, dropped_attributes_count }
    })
}

/// Any metric.
pub(crate) fn metric() -> impl Strategy<Value = Metric> {
    (text(), text(), text(), attributes(), option::weighted(0.95, data()))
        .prop_map(|(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        vec(number_point(), 0..4).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number_point(), 0..4), temporality(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
            }
        ),
        (vec(histogram_point(), 0..3), temporality()).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }),
        (vec(exponential_point(), 0..3), temporality()).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
        }),
        vec(summary_point(), 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

fn temporality() -> impl Strategy<Value = i32> {
    0..3i32
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        double().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
    ];
    (attributes(), time(), time(), vec(exemplar(), 0..2), flags(), option::of(value)).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            exemplars,
            flags,
            value,
        },
    )
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let head = (attributes(), time(), time(), any::<u64>(), option::of(double()));
    let tail = (
        vec(any::<u64>(), 0..4),
        vec(double(), 0..4),
        vec(exemplar(), 0..2),
        flags(),
        option::of(double()),
        option::of(double()),
    );
    (head, tail).prop_map(|(head, tail)| HistogramDataPoint {
        attributes: head.0,
        start_time_unix_nano: head.1,
        time_unix_nano: head.2,
        count: head.3,
        sum: head.4,
        bucket_counts: tail.0,
        explicit_bounds: tail.1,
        exemplars: tail.2,
        flags: tail.3,
        min: tail.4,
        max: tail.5,
    })
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let head = (attributes(), time(), time(), any::<u64>(), option::of(double()), any::<i32>(), any::<u64>());
    let buckets = || {
        option::of(
            (any::<i32>(), vec(any::<u64>(), 0..4))
                .prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }),
        )
    };
    let tail =
        (buckets(), buckets(), flags(), vec(exemplar(), 0..2), option::of(double()), option::of(double()), double());
    (head, tail).prop_map(|(head, tail)| ExponentialHistogramDataPoint {
        attributes: head.0,
        start_time_unix_nano: head.1,
        time_unix_nano: head.2,
        count: head.3,
        sum: head.4,
        scale: head.5,
        zero_count: head.6,
        positive: tail.0,
        negative: tail.1,
        flags: tail.2,
        exemplars: tail.3,
        min: tail.4,
        max: tail.5,
        zero_threshold: tail.6,
    })
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let quantiles = vec((double(), double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value }), 0..3);
    (attributes(), time(), time(), any::<u64>(), double(), quantiles, flags()).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, count, sum, quantile_values, flags)| SummaryDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            quantile_values,
            flags,
        },
    )
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    let value =
        prop_oneof![double().prop_map(exemplar::Value::AsDouble), any::<i64>().prop_map(exemplar::Value::AsInt),];
    (attributes(), time(), vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..17), option::of(value)).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    )
}

/// Few keys in changing company, so that shapes repeat, share beginnings and differ.
pub(crate) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop_oneof![4 => "[a-e]", 1 => text()];
    vec((key, option::weighted(0.9, any_value())), 0..5).prop_map(|pairs| {
        pairs.into_iter().map(|(key, value)| KeyValue { key, value, ..KeyValue::default() }).collect()
    })
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        3 => text().prop_map(|s| Some(any_value::Value::StringValue(s))),
        1 => any::<bool>().prop_map(|b| Some(any_value::Value::BoolValue(b))),
        1 => any::<i64>().prop_map(|i| Some(any_value::Value::IntValue(i))),
        1 => double().prop_map(|d| Some(any_value::Value::DoubleValue(d))),
        1 => vec(any::<u8>(), 0..5).prop_map(|b| Some(any_value::Value::BytesValue(b))),
        1 => Just(None),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 16, 3, |inner| {
        let pair = (text(), option::weighted(0.8, inner.clone())).prop_map(|(key, value)| KeyValue {
            key,
            value,
            ..KeyValue::default()
        });
        let value = prop_oneof![
            vec(inner, 0..3).prop_map(|values| any_value::Value::ArrayValue(ArrayValue { values })),
            vec(pair, 0..3).prop_map(|values| any_value::Value::KvlistValue(KeyValueList { values })),
        ];
        value.prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 4 => "[a-z._]{1,6}", 1 => "\\PC{0,5}", 1 => "[a-z]{130,140}"]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![4 => any::<u64>().prop_map(f64::from_bits), 1 => Just(0.0), 1 => Just(1.5)]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any::<u64>()]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), any::<u32>()]
}

fn flags() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), any::<u32>()]
}
