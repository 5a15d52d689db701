//! OTLP -> batch -> OTLP equals the original as the generated structs see it; no bytes whatever panic.
//! Structs are compared by what they encode to: that tells -0.0 from 0.0 and one NaN from another.

mod otlp;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{
    DecodeError, Limits, MetricKind, Metrics, MetricsBuilder, NumberKind, Opaque, Signal, Temporality, Value, wire,
};

fn decode(bytes: &[u8]) -> Result<Metrics, DecodeError> {
    Metrics::decode(Bytes::copy_from_slice(bytes), &Limits::default())
}

/// Encodes a batch from its tables, not from the bytes that arrived.
fn reencode(mut metrics: Metrics) -> Bytes {
    metrics.edit();
    metrics.encode()
}

/// Puts a message into others, as the field of the given number each, from the inside out.
fn nest(numbers: &[u32], message: &[u8]) -> Vec<u8> {
    numbers.iter().fold(message.to_vec(), |inner, &number| {
        let mut outer = Vec::new();
        wire::put_bytes(&mut outer, number, &inner);
        outer
    })
}

fn points(request: &ExportMetricsServiceRequest) -> usize {
    let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    metrics
        .map(|metric| match &metric.data {
            None => 0,
            Some(Data::Gauge(data)) => data.data_points.len(),
            Some(Data::Sum(data)) => data.data_points.len(),
            Some(Data::Histogram(data)) => data.data_points.len(),
            Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
            Some(Data::Summary(data)) => data.data_points.len(),
        })
        .sum()
}

/// What must hold for any bytes: no panic; what the decoder takes, it gives back in a form that `prost` takes if and
/// only if it took the original, and that says the same to the decoder.
fn check_any_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(metrics) = decode(bytes) else { return Ok(()) };
    prop_assert_eq!(&metrics.encode()[..], bytes);
    let again = reencode(metrics.clone());
    let original = ExportMetricsServiceRequest::decode(bytes);
    let returned = ExportMetricsServiceRequest::decode(&again[..]);
    prop_assert_eq!(original.is_ok(), returned.is_ok(), "{:?} / {:?}", original, returned);
    let twice = decode(&again).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(twice.points(), metrics.points());
    prop_assert_eq!(reencode(twice), again);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_request_comes_back_as_it_was(request in otlp::request()) {
        let bytes = request.encode_to_vec();
        let metrics = decode(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(metrics.points(), points(&request));
        prop_assert_eq!(&metrics.encode()[..], &bytes[..]);
        let returned = ExportMetricsServiceRequest::decode(reencode(metrics))
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(format!("{returned:?}"), format!("{request:?}"));
        prop_assert_eq!(returned.encode_to_vec(), bytes);
    }

    #[test]
    fn messages_in_pieces_merge_as_protobuf_says(
        (a, b) in (otlp::resource_metrics(), otlp::resource_metrics()),
        (c, d) in (otlp::metric(), otlp::metric()),
    ) {
        // Two encodings of one message, one after the other, are one message; so for each message inside.
        let resources = nest(&[1], &[a.encode_to_vec(), b.encode_to_vec()].concat());
        let metrics = nest(&[2, 2, 1], &[c.encode_to_vec(), d.encode_to_vec()].concat());
        for bytes in [resources, metrics] {
            let merged = ExportMetricsServiceRequest::decode(&bytes[..])
                .map_err(|e| TestCaseError::fail(e.to_string()))?;
            let metrics = decode(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let returned = ExportMetricsServiceRequest::decode(reencode(metrics))
                .map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(returned.encode_to_vec(), merged.encode_to_vec());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_any_bytes(&bytes)?;
    }

    #[test]
    fn broken_requests_never_panic(
        request in otlp::request(),
        cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = request.encode_to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        check_any_bytes(&bytes[..cut.index(bytes.len())])?;
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check_any_bytes(&bytes)?;
    }

    #[test]
    fn spans_and_log_records_are_counted(counts in proptest::collection::vec(proptest::collection::vec(0..4usize, 0..3), 0..3)) {
        let total: usize = counts.iter().flatten().sum();
        let scope_spans = |n: &usize| ScopeSpans { spans: vec![Span { name: "s".into(), ..Span::default() }; *n], ..ScopeSpans::default() };
        let scope_logs = |n: &usize| ScopeLogs { log_records: vec![LogRecord::default(); *n], ..ScopeLogs::default() };
        let traces = ExportTraceServiceRequest { resource_spans: counts.iter().map(|scopes| ResourceSpans {
            resource: Some(Resource::default()),
            scope_spans: scopes.iter().map(scope_spans).collect(),
            schema_url: "u".into(),
        }).collect() };
        let logs = ExportLogsServiceRequest { resource_logs: counts.iter().map(|scopes| ResourceLogs {
            resource: Some(Resource::default()),
            scope_logs: scopes.iter().map(scope_logs).collect(),
            schema_url: "u".into(),
        }).collect() };
        for (signal, bytes) in [(Signal::Traces, traces.encode_to_vec()), (Signal::Logs, logs.encode_to_vec())] {
            let opaque = Opaque::count(signal, Bytes::from(bytes.clone()), &Limits::default())
                .map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(opaque.items(), total);
            prop_assert_eq!(&opaque.bytes()[..], &bytes[..]);
            for cut in 0..bytes.len() {
                let _ = Opaque::count(signal, Bytes::copy_from_slice(&bytes[..cut]), &Limits::default());
            }
        }
    }

    #[test]
    fn what_the_builder_makes_reads_as_it_was_asked_for(
        rows in proptest::collection::vec((0..2usize, 0..3usize, "[a-c]{0,2}", any::<i64>(), any::<u64>(), 0..4u8), 0..20),
    ) {
        let mut builder = MetricsBuilder::new();
        builder.resource([("env", Value::text("dev")), ("n", Value::Int(-1)), ("none", Value::Empty)]);
        builder.scope("scope", "1");
        let kinds = [MetricKind::Gauge, MetricKind::Sum { temporality: Temporality::Delta, monotonic: true }];
        let metrics = kinds.map(|kind| builder.metric(MetricDef { name: "m", description: "d", unit: "s", kind }));
        let shapes = [builder.shape([]), builder.shape(["a"]), builder.shape(["b", "a"])];
        for (metric, width, label, number, time, what) in &rows {
            let value = builder.value(Value::text(label));
            let number = match what {
                0 => NumberValue::Int(*number),
                1 => NumberValue::Double(f64::from_bits(*number as u64)),
                2 => NumberValue::NoValue,
                _ => NumberValue::Held,
            };
            builder.number(metrics[*metric], shapes[*width], &[value; 2][..*width], *time, 7, number);
        }
        prop_assert_eq!(builder.len(), rows.len());
        let batch = builder.finish();
        prop_assert_eq!(batch.points(), rows.len());
        let returned = ExportMetricsServiceRequest::decode(batch.encode())
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        let resource = returned.resource_metrics[0].resource.clone().ok_or(TestCaseError::fail("a resource"))?;
        prop_assert_eq!(resource.attributes.len(), 3);
        let scope = &returned.resource_metrics[0].scope_metrics[0];
        for (at, metric) in scope.metrics.iter().enumerate() {
            let data = match &metric.data {
                Some(Data::Gauge(gauge)) => &gauge.data_points,
                Some(Data::Sum(sum)) => {
                    prop_assert!(sum.is_monotonic && sum.aggregation_temporality == 1);
                    &sum.data_points
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            let wanted: Vec<NumberDataPoint> = rows.iter().filter(|row| row.0 == at && row.5 < 3).map(wanted_point).collect();
            let bytes = |points: &[NumberDataPoint]| points.iter().map(Message::encode_to_vec).collect::<Vec<_>>();
            prop_assert_eq!(bytes(data), bytes(&wanted));
        }
    }
}

type Row = (usize, usize, String, i64, u64, u8);

fn wanted_point((_, width, label, number, time, what): &Row) -> NumberDataPoint {
    let value = match what {
        0 => Some(number_data_point::Value::AsInt(*number)),
        1 => Some(number_data_point::Value::AsDouble(f64::from_bits(*number as u64))),
        _ => None,
    };
    let keys: &[&str] = [&[][..], &["a"], &["b", "a"]][*width];
    NumberDataPoint {
        attributes: keys.iter().map(|key| pair(key, any_value::Value::StringValue(label.clone()))).collect(),
        start_time_unix_nano: 7,
        time_unix_nano: *time,
        flags: u32::from(*what == 2),
        value,
        ..NumberDataPoint::default()
    }
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn gauge(attributes: Vec<KeyValue>) -> Vec<u8> {
    let point = NumberDataPoint { attributes, ..NumberDataPoint::default() };
    let data = Some(Data::Gauge(Gauge { data_points: vec![point] }));
    let metrics = vec![Metric { name: "m".into(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

#[test]
fn a_body_given_to_the_builder_keeps_its_own_fields_only() {
    let body = HistogramDataPoint {
        attributes: vec![pair("lost", any_value::Value::BoolValue(true))],
        time_unix_nano: 1,
        count: 3,
        sum: Some(2.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        flags: 8,
        ..HistogramDataPoint::default()
    };
    let kind = MetricKind::Histogram { temporality: Temporality::Cumulative };
    let mut builder = MetricsBuilder::new();
    let metric = builder.metric(MetricDef { kind, ..MetricDef::gauge("h") });
    let shape = builder.shape(["kept"]);
    let value = builder.value(Value::Double(1.5));
    builder.body(metric, shape, &[value], 20, 10, 0, &body.encode_to_vec());
    let batch = builder.finish();
    assert_eq!(batch.tables().points[0].number, NumberKind::Body);
    let returned = ExportMetricsServiceRequest::decode(batch.encode()).expect("what was built is a request");
    let data = returned.resource_metrics[0].scope_metrics[0].metrics[0].data.clone();
    let Some(Data::Histogram(histogram)) = data else { panic!("{data:?}") };
    let wanted = HistogramDataPoint {
        attributes: vec![pair("kept", any_value::Value::DoubleValue(1.5))],
        time_unix_nano: 20,
        start_time_unix_nano: 10,
        flags: 0,
        ..body
    };
    assert_eq!(histogram.data_points, [wanted]);
    assert_eq!(histogram.aggregation_temporality, 2);
}

#[test]
fn limits_hold_at_their_edge() {
    let nested = |depth: usize| {
        (0..depth).fold(any_value::Value::BoolValue(true), |inner, _| {
            any_value::Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(inner) }] })
        })
    };
    let limits = Limits { max_bytes: 10_000, max_attributes: 3, max_depth: 5 };
    let tried = |bytes: Vec<u8>, limits: &Limits| Metrics::decode(Bytes::from(bytes), limits).map(|m| m.points());
    let refused = |limit| Err(limit);
    assert_eq!(tried(gauge(vec![pair("a", nested(5))]), &limits), Ok(1));
    let what = "the nesting of an attribute value";
    assert_eq!(tried(gauge(vec![pair("a", nested(6))]), &limits), refused(DecodeError::Limit { what, limit: 5 }));
    let wide = |n| (0..n).map(|_| pair("a", any_value::Value::IntValue(1))).collect();
    assert_eq!(tried(gauge(wide(3)), &limits), Ok(1));
    let what = "the number of attributes of one set";
    assert_eq!(tried(gauge(wide(4)), &limits), refused(DecodeError::Limit { what, limit: 3 }));
    let bytes = gauge(vec![pair("a", any_value::Value::StringValue("x".repeat(500)))]);
    let exact = Limits { max_bytes: bytes.len(), ..limits };
    assert_eq!(tried(bytes.clone(), &exact), Ok(1));
    let what = "the size of the request in bytes";
    let limit = bytes.len() - 1;
    assert_eq!(
        tried(bytes.clone(), &Limits { max_bytes: limit, ..limits }),
        refused(DecodeError::Limit { what, limit })
    );
    let opaque = Opaque::count(Signal::Traces, Bytes::from(bytes), &Limits { max_bytes: limit, ..limits });
    assert_eq!(opaque, Err(DecodeError::Limit { what, limit }));
    assert_eq!(
        opaque.expect_err("too large").to_string(),
        format!("the size of the request in bytes exceeds the limit of {limit}")
    );
}

#[test]
fn a_very_deep_value_is_refused_and_does_not_exhaust_the_stack() {
    let mut value = vec![0x10, 1];
    for _ in 0..20_000 {
        let mut array = Vec::new();
        wire::put_bytes(&mut array, 1, &value);
        value.clear();
        wire::put_bytes(&mut value, 5, &array);
    }
    let bytes = nest(&[2, 7, 1, 5, 2, 2, 1], &value);
    assert!(matches!(decode(&bytes), Err(DecodeError::Limit { limit: 32, .. })));
}

#[test]
fn text_that_is_not_utf8_is_refused_where_protobuf_says_text() {
    let good = gauge(vec![pair("key", any_value::Value::StringValue("text".into()))]);
    for word in [&b"key"[..], b"text"] {
        let mut bad = good.clone();
        let at = bad.windows(word.len()).position(|window| window == word).expect("the word is there");
        bad[at] = 0xff;
        assert_eq!(decode(&bad).expect_err("not text"), DecodeError::InvalidUtf8(at));
    }
}

/// Small messages that would become large tables are refused before they do.
#[test]
fn rows_stay_in_proportion_to_the_bytes() {
    let empty_points = nest(&[5, 2, 2, 1], &[0x0a, 0x00].repeat(1 << 20));
    assert!(matches!(decode(&empty_points), Err(DecodeError::Limit { .. })));
    let attributes = [0x0a, 0x00].repeat(1000);
    let mut pieces = nest(&[1], &attributes);
    pieces.extend([0x0a, 0x00].repeat(1 << 18));
    assert!(matches!(decode(&nest(&[1], &pieces)), Err(DecodeError::Limit { .. })));
}
