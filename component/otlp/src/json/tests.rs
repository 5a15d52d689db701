//! What the rules of OTLP/JSON allow, compared with the protobuf that it stands for, and what they do not.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use steadyline_telemetry::Signal;

use super::to_protobuf;

fn metrics(json: &str) -> Result<ExportMetricsServiceRequest, String> {
    let bytes = to_protobuf(Signal::Metrics, json.as_bytes()).map_err(|error| error.to_string())?;
    Ok(ExportMetricsServiceRequest::decode(&*bytes).unwrap())
}

/// A request with one metric whose body is given.
fn metric(body: &str) -> String {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m",{body}}}]}}]}}]}}"#)
}

fn data(body: &str) -> Result<Data, String> {
    let mut request = metrics(&metric(body))?;
    Ok(request.resource_metrics.remove(0).scope_metrics.remove(0).metrics.remove(0).data.unwrap())
}

fn number(fields: &str) -> Result<NumberDataPoint, String> {
    let Data::Gauge(mut gauge) = data(&format!(r#""gauge":{{"dataPoints":[{{{fields}}}]}}"#))? else { panic!() };
    Ok(gauge.data_points.remove(0))
}

fn attribute(value: &str) -> Result<AnyValue, String> {
    let mut point = number(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))?;
    Ok(point.attributes.remove(0).value.unwrap())
}

fn span(fields: &str) -> Result<Span, String> {
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let bytes = to_protobuf(Signal::Traces, json.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    Ok(request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0))
}

#[test]
fn numbers_come_as_numbers_and_as_text() {
    use number_data_point::Value::{AsDouble, AsInt};
    for (fields, expected) in [
        (r#""asInt":"-9223372036854775808""#, AsInt(i64::MIN)),
        (r#""asInt":42"#, AsInt(42)),
        (r#""as_int":"42""#, AsInt(42)),
        (r#""asInt":1e3"#, AsInt(1000)),
        (r#""asDouble":1.5"#, AsDouble(1.5)),
        (r#""asDouble":3"#, AsDouble(3.0)),
        (r#""asDouble":"2.5e-3""#, AsDouble(0.0025)),
        (r#""asDouble":"Infinity""#, AsDouble(f64::INFINITY)),
        (r#""asDouble":"-Infinity""#, AsDouble(f64::NEG_INFINITY)),
        (r#""asDouble":18446744073709551615"#, AsDouble(18_446_744_073_709_551_615.0)),
    ] {
        assert_eq!(number(fields).unwrap().value, Some(expected), "{fields}");
    }
    let Some(AsDouble(nan)) = number(r#""asDouble":"NaN""#).unwrap().value else { panic!() };
    assert!(nan.is_nan());
    let Some(AsDouble(zero)) = number(r#""asDouble":-0.0"#).unwrap().value else { panic!() };
    assert!(zero == 0.0 && zero.is_sign_negative());
    let point = number(r#""timeUnixNano":"18446744073709551615","startTimeUnixNano":1,"flags":1"#).unwrap();
    assert_eq!((point.time_unix_nano, point.start_time_unix_nano, point.flags), (u64::MAX, 1, 1));
}

#[test]
fn attributes_have_every_kind_of_value() {
    use any_value::Value::*;
    let any = |value| AnyValue { value: Some(value) };
    let pair = |key: &str, value| KeyValue { key: key.into(), value: Some(any(value)), ..KeyValue::default() };
    for (json, expected) in [
        (r#"{"stringValue":"a \"b\" \u00fc"}"#, StringValue("a \"b\" \u{fc}".into())),
        (r#"{"stringValue":""}"#, StringValue(String::new())),
        (r#"{"boolValue":false}"#, BoolValue(false)),
        (r#"{"intValue":"-7"}"#, IntValue(-7)),
        (r#"{"intValue":-7}"#, IntValue(-7)),
        (r#"{"doubleValue":-0.5}"#, DoubleValue(-0.5)),
        (r#"{"bytesValue":"+/8="}"#, BytesValue(vec![0xfb, 0xff])),
        (r#"{"bytesValue":"-_8"}"#, BytesValue(vec![0xfb, 0xff])),
        (
            r#"{"arrayValue":{"values":[{"intValue":1},{"stringValue":"x"}]}}"#,
            ArrayValue(self::ArrayValue { values: vec![any(IntValue(1)), any(StringValue("x".into()))] }),
        ),
        (r#"{"arrayValue":{}}"#, ArrayValue(self::ArrayValue::default())),
        (
            r#"{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}}"#,
            KvlistValue(KeyValueList { values: vec![pair("a", BoolValue(true))] }),
        ),
    ] {
        assert_eq!(attribute(json).unwrap().value, Some(expected), "{json}");
    }
    assert_eq!(attribute("{}").unwrap().value, None);
}

#[test]
fn histograms_of_both_kinds_and_summaries_come_whole() {
    let histogram = data(
        r#""histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"3","sum":1.5,"min":-1,"max":2,
            "bucketCounts":["1",2,"0"],"explicitBounds":[0.5,"Infinity"],
            "exemplars":[{"asInt":"5","traceId":"0102","spanId":"ff","filteredAttributes":[{"key":"k"}]}]}]}"#,
    );
    let Ok(Data::Histogram(histogram)) = histogram else { panic!() };
    let HistogramDataPoint { count, sum, min, max, bucket_counts, explicit_bounds, exemplars, .. } =
        &histogram.data_points[0];
    assert_eq!((histogram.aggregation_temporality, *count, *sum), (2, 3, Some(1.5)));
    assert_eq!((*min, *max), (Some(-1.0), Some(2.0)));
    assert_eq!((&bucket_counts[..], &explicit_bounds[..]), (&[1, 2, 0][..], &[0.5, f64::INFINITY][..]));
    assert_eq!((&exemplars[0].trace_id[..], &exemplars[0].span_id[..]), (&[1, 2][..], &[0xff][..]));
    let exponential = data(
        r#""exponentialHistogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[
            {"scale":-3,"zeroCount":4,"zeroThreshold":0.25,"positive":{"offset":-2,"bucketCounts":["1",2]},"negative":{}}]}"#,
    );
    let Ok(Data::ExponentialHistogram(exponential)) = exponential else { panic!() };
    let ExponentialHistogramDataPoint { scale, zero_count, zero_threshold, positive, negative, .. } =
        &exponential.data_points[0];
    assert_eq!((exponential.aggregation_temporality, *scale, *zero_count, *zero_threshold), (1, -3, 4, 0.25));
    assert_eq!(positive, &Some(Buckets { offset: -2, bucket_counts: vec![1, 2] }));
    assert_eq!(negative, &Some(Buckets::default()));
    let summary = data(r#""summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":7}]}]}"#);
    let Ok(Data::Summary(summary)) = summary else { panic!() };
    let quantile = &summary.data_points[0].quantile_values[0];
    assert_eq!((quantile.quantile, quantile.value), (0.5, 7.0));
    let Ok(Data::Sum(sum)) = data(r#""sum":{"isMonotonic":true}"#) else { panic!() };
    assert!(sum.is_monotonic);
}

#[test]
fn spans_and_records_have_hex_ids_and_enums_by_name_or_number() {
    let span = span(
        r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"","flags":257,
           "traceState":"a=1","name":"n","kind":"SPAN_KIND_CLIENT","startTimeUnixNano":"1","endTimeUnixNano":2,
           "events":[{"name":"e","timeUnixNano":"3"}],"links":[{"traceId":"00","flags":1}],
           "status":{"code":2,"message":"no"},"droppedEventsCount":9"#,
    )
    .unwrap();
    assert_eq!(span.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!((span.trace_id.len(), span.span_id.len(), span.parent_span_id.len()), (16, 8, 0));
    assert_eq!((span.kind, span.flags, span.dropped_events_count), (3, 257, 9));
    assert_eq!((span.events[0].time_unix_nano, span.links[0].flags), (3, 1));
    let status = span.status.unwrap();
    assert_eq!((status.code, &*status.message), (2, "no"));
    let json = r#"{"resourceLogs":[{"schemaUrl":"s","resource":{"attributes":[],"entityRefs":[{"type":"t","idKeys":["a","b"]}]},
        "scopeLogs":[{"scope":{"name":"lib"},"logRecords":[{"severityNumber":"SEVERITY_NUMBER_ERROR2","severityText":"E",
        "body":{"stringValue":"hello"},"observedTimeUnixNano":"5","eventName":"x","traceId":"ab"}]}]}]}"#;
    let bytes = to_protobuf(Signal::Logs, json.as_bytes()).unwrap();
    let logs = ExportLogsServiceRequest::decode(&*bytes).unwrap();
    let entity = &logs.resource_logs[0].resource.as_ref().unwrap().entity_refs[0];
    assert_eq!((&*entity.r#type, &entity.id_keys[..]), ("t", &["a".to_string(), "b".to_string()][..]));
    let record = &logs.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!((record.severity_number, record.observed_time_unix_nano, &*record.event_name), (18, 5, "x"));
}

#[test]
fn unknown_fields_and_nulls_are_nothing() {
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    for json in [
        &deep,
        "{}",
        r#"{"resourceMetrics":null}"#,
        r#"{"resourceMetrics":[]}"#,
        r#"{"future":{"a":[1,{"b":null}]},"resourceMetrics":[]}"#,
    ] {
        assert_eq!(metrics(json).unwrap(), ExportMetricsServiceRequest::default());
    }
    let point = number(r#""asInt":null,"attributes":null,"strange":[[]],"timeUnixNano":7"#).unwrap();
    assert_eq!((point.value, point.time_unix_nano), (None, 7));
}

#[test]
fn what_is_not_otlp_json_is_refused_with_its_place() {
    let mut nested = r#"{"intValue":1}"#.to_string();
    for _ in 0..100 {
        nested = format!(r#"{{"arrayValue":{{"values":[{nested}]}}}}"#);
    }
    for (json, expected) in [
        (String::new(), "EOF"),
        ("[]".into(), "expected an object"),
        ("{".into(), "EOF"),
        (r#"{"resourceMetrics":{}}"#.into(), "expected an array for `resourceMetrics`"),
        (r#"{"resourceMetrics":[null]}"#.into(), "`null` is no element"),
        ("{} {}".into(), "trailing"),
        (metric(&format!(r#""gauge":{{"dataPoints":[{{"attributes":[{{"value":{nested}}}]}}]}}"#)), "recursion limit"),
        (metric(r#""unit":5"#), "expected text for `unit` at line 1 column"),
        (metric(r#""gauge":[]"#), "expected an object for `gauge`"),
        (metric(r#""unit":"\ud800""#), "hex escape"),
    ] {
        let error = metrics(&json).unwrap_err();
        assert!(error.starts_with("the body is not OTLP/JSON: ") && error.contains(expected), "{json}: {error}");
    }
    for fields in [
        r#""asInt":"1.5""#,
        r#""asInt":1.5"#,
        r#""asInt":"9223372036854775808""#,
        r#""asInt":true"#,
        r#""asInt":"""#,
        r#""timeUnixNano":-1"#,
        r#""timeUnixNano":"-1""#,
        r#""timeUnixNano":"99999999999999999999""#,
        r#""flags":4294967296"#,
        r#""asDouble":"inf""#,
        r#""asDouble":"x""#,
    ] {
        assert!(number(fields).is_err(), "{fields}");
    }
    for fields in [r#""traceId":"abc""#, r#""traceId":"xy""#, r#""kind":"SPAN_KIND_NONE""#, r#""kind":3000000000"#] {
        assert!(span(fields).is_err(), "{fields}");
    }
    assert!(attribute(r#"{"bytesValue":"*"}"#).is_err());
}

/// What the exporters write as JSON is read as what it was.
#[test]
fn json_that_we_write_is_read_as_what_it_was() {
    use any_value::Value::*;
    let any = |value| AnyValue { value: Some(value) };
    let pair = |key: &str, value| KeyValue { key: key.into(), value: Some(any(value)), ..KeyValue::default() };
    let list = ArrayValue(self::ArrayValue { values: vec![any(IntValue(i64::MIN)), any(DoubleValue(1e300))] });
    let map = KvlistValue(KeyValueList {
        values: vec![pair("a", BoolValue(true)), pair("", StringValue("\u{1f980}".into()))],
    });
    let attributes = vec![pair("list", list), pair("map", map), pair("bytes", BytesValue(vec![0, 255, 16]))];
    let exemplar = Exemplar {
        filtered_attributes: attributes.clone(),
        time_unix_nano: u64::MAX,
        span_id: vec![1; 8],
        trace_id: vec![0xab; 16],
        value: Some(exemplar::Value::AsInt(-1)),
    };
    let number = |value| NumberDataPoint {
        attributes: attributes.clone(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: vec![exemplar.clone()],
        flags: 1,
        value: Some(value),
    };
    let buckets = Some(Buckets { offset: i32::MIN, bucket_counts: vec![0, u64::MAX] });
    let data = [
        Data::Gauge(Gauge { data_points: vec![number(number_data_point::Value::AsInt(i64::MAX))] }),
        Data::Sum(Sum {
            data_points: vec![number(number_data_point::Value::AsDouble(-0.5))],
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        Data::Histogram(Histogram {
            data_points: vec![HistogramDataPoint {
                attributes: attributes.clone(),
                count: 3,
                sum: Some(0.0),
                bucket_counts: vec![1, 2],
                explicit_bounds: vec![0.1],
                exemplars: vec![exemplar.clone()],
                min: Some(-1.0),
                max: None,
                ..HistogramDataPoint::default()
            }],
            aggregation_temporality: 1,
        }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![ExponentialHistogramDataPoint {
                scale: -10,
                zero_count: 7,
                positive: buckets.clone(),
                negative: buckets,
                zero_threshold: 0.5,
                ..ExponentialHistogramDataPoint::default()
            }],
            aggregation_temporality: 2,
        }),
        Data::Summary(Summary {
            data_points: vec![SummaryDataPoint {
                count: 2,
                sum: 1.0,
                quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 2.0 }],
                ..SummaryDataPoint::default()
            }],
        }),
    ];
    let metric = |data| Metric { name: "m".into(), unit: "s".into(), data: Some(data), ..Metric::default() };
    let scope = ScopeMetrics { metrics: data.map(metric).into(), schema_url: "u".into(), ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
    let json = serde_json::to_string(&request).unwrap();
    assert_eq!(metrics(&json).unwrap(), request, "{json}");
}

#[test]
fn errors_are_short_whatever_was_sent() {
    let long = "\u{e9}".repeat(100_000);
    for json in [
        format!(r#""{long}""#),
        format!(r#"{{"resourceMetrics":"{long}"}}"#),
        format!(r#"{{"resourceMetrics":["{long}"]}}"#),
        metric(&format!(r#""gauge":{{"dataPoints":[{{"asInt":"{long}"}}]}}"#)),
        metric(&format!(r#""sum":{{"isMonotonic":"{long}"}}"#)),
    ] {
        assert!(metrics(&json).unwrap_err().len() < 300);
    }
}

#[test]
fn invalid_utf8_is_refused() {
    let mut json = metric(r#""unit":"?""#).into_bytes();
    let at = json.iter().position(|byte| *byte == b'?').unwrap();
    json[at] = 0xff;
    assert!(to_protobuf(Signal::Metrics, &json).is_err());
}
