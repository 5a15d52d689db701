//! Joining and cutting: what comes out is, point for point and under the same heads, what went in.
//! Checked on the generated structs, for batches as they arrived, changed ones, and mixtures.

#![allow(clippy::unwrap_used)]

mod otlp;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use steadyline_telemetry::{Limits, Metrics, Opaque, ShapeId, Signal, Value};

fn decode(request: &ExportMetricsServiceRequest) -> Metrics {
    Metrics::decode(request.encode_to_vec().into(), &Limits::default()).unwrap()
}

/// A batch whose points have one more attribute, in the batch's own buffer.
fn changed(mut metrics: Metrics) -> Metrics {
    let points = metrics.points();
    let mut editor = metrics.edit();
    let added = editor.push_text("added");
    for row in 0..points {
        let point = editor.tables.points[row];
        let keys: Vec<_> = editor.tables.shapes.keys(point.shape).iter().copied().chain([added]).collect();
        let start = point.values as usize;
        let mut values = editor.tables.values[start..start + keys.len() - 1].to_vec();
        values.push(editor.push_value(Value::Int(row as i64)));
        let attributes = editor.attributes(&keys, &values);
        let point = &mut editor.tables.points[row];
        (point.shape, point.values) = (attributes.shape, attributes.values);
    }
    metrics
}

fn proto(metrics: &Metrics) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(metrics.encode()).unwrap()
}

/// Every point under all that is above it, as bytes: those tell -0.0 from 0.0.
fn flat(request: &ExportMetricsServiceRequest) -> Vec<Vec<u8>> {
    let mut points = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                for metric in single_points(metric) {
                    let scope = ScopeMetrics { metrics: vec![metric], ..scope.clone() };
                    points.push(ResourceMetrics { scope_metrics: vec![scope], ..resource.clone() }.encode_to_vec());
                }
            }
        }
    }
    points
}

/// The metric once for each of its points.
fn single_points(metric: &Metric) -> Vec<Metric> {
    macro_rules! singles {
        ($kind:ident, $data:expr) => {{
            let single = |point: &_| {
                let mut data = $data.clone();
                data.data_points = vec![Clone::clone(point)];
                Metric { data: Some(Data::$kind(data)), ..metric.clone() }
            };
            $data.data_points.iter().map(single).collect()
        }};
    }
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => singles!(Gauge, data),
        Some(Data::Sum(data)) => singles!(Sum, data),
        Some(Data::Histogram(data)) => singles!(Histogram, data),
        Some(Data::ExponentialHistogram(data)) => singles!(ExponentialHistogram, data),
        Some(Data::Summary(data)) => singles!(Summary, data),
    }
}

fn logs() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    vec(vec(vec(any::<u8>(), 0..6), 0..3), 0..3)
}

/// A request with these severities as log records, by resource and scope.
fn log_request(resources: &[Vec<Vec<u8>>]) -> ExportLogsServiceRequest {
    let record = |n: &u8| LogRecord { severity_number: i32::from(*n), ..LogRecord::default() };
    let scope = |(at, records): (usize, &Vec<u8>)| ScopeLogs {
        log_records: records.iter().map(record).collect(),
        schema_url: format!("scope {at}"),
        ..ScopeLogs::default()
    };
    let resource = |(at, scopes): (usize, &Vec<Vec<u8>>)| ResourceLogs {
        resource: Some(Resource { dropped_attributes_count: at as u32, ..Resource::default() }),
        scope_logs: scopes.iter().enumerate().map(scope).collect(),
        schema_url: format!("resource {at}"),
    };
    ExportLogsServiceRequest { resource_logs: resources.iter().enumerate().map(resource).collect() }
}

fn flat_logs(bytes: &Bytes) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(bytes.clone()).unwrap();
    let mut records = Vec::new();
    for resource in &request.resource_logs {
        for scope in &resource.scope_logs {
            let head = format!("{:?} {} {}", resource.resource, resource.schema_url, scope.schema_url);
            records.extend(scope.log_records.iter().map(|record| format!("{head} {record:?}")));
        }
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_joined_batch_says_what_its_parts_say_one_after_the_other(
        parts in vec((otlp::request(), any::<bool>()), 0..4),
    ) {
        let batches: Vec<Metrics> = parts
            .iter()
            .map(|(request, change)| if *change { changed(decode(request)) } else { decode(request) })
            .collect();
        let joined = Metrics::join(&batches).unwrap();
        let wanted: Vec<ResourceMetrics> =
            batches.iter().flat_map(|batch| proto(batch).resource_metrics).collect();
        let wanted = ExportMetricsServiceRequest { resource_metrics: wanted };
        prop_assert_eq!(joined.points(), batches.iter().map(Metrics::points).sum::<usize>());
        prop_assert_eq!(proto(&joined).encode_to_vec(), wanted.encode_to_vec());
        // And once more from the tables, whatever the bytes say.
        let mut tables = joined.clone();
        tables.edit();
        prop_assert_eq!(proto(&tables).encode_to_vec(), wanted.encode_to_vec());
        if parts.iter().all(|(_, change)| !change) {
            let bytes: Vec<u8> = batches.iter().flat_map(|batch| batch.encode()).collect();
            prop_assert_eq!(&joined.encode()[..], &bytes[..]);
        }
    }

    #[test]
    fn joined_batches_join_and_change_again(a in otlp::request(), b in otlp::request(), c in otlp::request()) {
        let [a, b, c] = [&a, &b, &c].map(decode);
        let whole = Metrics::join(&[a.clone(), changed(b.clone()), c.clone()]).unwrap();
        let first = Metrics::join(&[a, changed(b)]).unwrap();
        let stepwise = Metrics::join(&[first, c]).unwrap();
        prop_assert_eq!(whole.encode(), stepwise.encode());
        prop_assert_eq!(changed(whole).encode(), changed(stepwise).encode());
    }

    #[test]
    fn pieces_hold_every_point_once_in_order(
        requests in vec(otlp::request(), 1..3),
        change in any::<bool>(),
        most in 0..5usize,
    ) {
        let parts: Vec<Metrics> = requests.iter().map(decode).collect();
        let whole = Metrics::join(&parts).unwrap();
        let whole = if change { changed(whole) } else { whole };
        let pieces = whole.split(most);
        prop_assert!(pieces.iter().all(|piece| piece.points() <= most.max(1)));
        prop_assert!(pieces.len() == whole.points().div_ceil(most.max(1)).max(1));
        let got: Vec<_> = pieces.iter().flat_map(|piece| flat(&proto(piece))).collect();
        prop_assert_eq!(got, flat(&proto(&whole)));
        if let [piece] = &pieces[..] {
            prop_assert_eq!(piece.encode(), whole.encode());
        }
        // What was cut can be joined again.
        let again = Metrics::join(&pieces).unwrap();
        prop_assert_eq!(flat(&proto(&again)), flat(&proto(&whole)));
    }

    #[test]
    fn whatever_can_be_decoded_can_be_joined_and_cut(
        request in otlp::request(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        most in 1..4usize,
    ) {
        let mut bytes = request.encode_to_vec();
        for (at, value) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        if let Ok(metrics) = Metrics::decode(bytes.clone().into(), &Limits::default()) {
            let joined = Metrics::join(&[metrics.clone(), metrics.clone()]).unwrap();
            prop_assert_eq!(joined.points(), 2 * metrics.points());
            let again = Metrics::decode(changed(joined.clone()).encode(), &Limits::default()).unwrap();
            prop_assert_eq!(again.points(), joined.points());
            let pieces = joined.split(most);
            prop_assert_eq!(pieces.iter().map(Metrics::points).sum::<usize>(), joined.points());
            prop_assert!(pieces.iter().all(|piece| Metrics::decode(piece.encode(), &Limits::default()).is_ok()));
        }
        if let Ok(opaque) = Opaque::count(Signal::Traces, bytes.into(), &Limits::default()) {
            let pieces = opaque.split(most);
            for piece in &pieces {
                let counted = Opaque::count(Signal::Traces, piece.bytes().clone(), &Limits::default());
                prop_assert_eq!(counted.as_ref(), Ok(piece));
            }
            prop_assert_eq!(pieces.iter().map(Opaque::items).sum::<usize>(), opaque.items());
        }
    }

    #[test]
    fn requests_of_log_records_are_joined_and_cut(parts in vec(logs(), 1..3), most in 0..5usize) {
        let count = |part: &Vec<_>| {
            Opaque::count(Signal::Logs, log_request(part).encode_to_vec().into(), &Limits::default()).unwrap()
        };
        let parts: Vec<Opaque> = parts.iter().map(count).collect();
        let whole = Opaque::join(&parts).unwrap();
        let records: Vec<String> = parts.iter().flat_map(|part| flat_logs(part.bytes())).collect();
        prop_assert_eq!(whole.items(), records.len());
        prop_assert_eq!(flat_logs(whole.bytes()), &records[..]);
        let pieces = whole.split(most);
        prop_assert!(pieces.len() == whole.items().div_ceil(most.max(1)).max(1));
        for piece in &pieces {
            let counted = Opaque::count(Signal::Logs, piece.bytes().clone(), &Limits::default()).unwrap();
            prop_assert_eq!(&counted, piece);
            prop_assert!(piece.items() <= most.max(1));
        }
        let got: Vec<String> = pieces.iter().flat_map(|piece| flat_logs(piece.bytes())).collect();
        prop_assert_eq!(got, records);
    }
}

#[test]
fn shapes_are_one_again_in_the_joined_batch() {
    let request = |name: &str| {
        let mut builder = steadyline_telemetry::MetricsBuilder::new();
        let metric = builder.metric(steadyline_telemetry::metrics::MetricDef::gauge(name));
        let shape = builder.shape(["a", "b"]);
        let value = builder.value(Value::text(name));
        builder.number(metric, shape, &[value, value], 1, 0, steadyline_telemetry::metrics::NumberValue::Int(1));
        Metrics::decode(builder.finish().encode(), &Limits::default()).unwrap()
    };
    let parts: Vec<Metrics> = ["x", "y", "z"].map(request).to_vec();
    let joined = Metrics::join(&parts).unwrap();
    assert_eq!(joined.tables().shapes.len(), 2);
    assert!(joined.tables().points.iter().all(|point| point.shape == ShapeId(1)));
}

#[test]
fn signals_do_not_mix() {
    let [a, b] =
        [Signal::Logs, Signal::Traces].map(|signal| Opaque::count(signal, Bytes::new(), &Limits::default()).unwrap());
    assert!(Opaque::join(&[]).is_none());
    assert!(Opaque::join(&[a.clone(), b]).is_none());
    assert_eq!(Opaque::join(&[a.clone(), a.clone()]), Some(a));
}
