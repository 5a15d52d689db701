//! Where ours differs from the Go Collector on purpose: what each of them writes, case by case, is in the files of the folder
//! `on_purpose`. The rows of `docs/from-the-collector.md` about series are these. Written anew by `STEADYLINE_REWRITE=1`.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, any_value};
use opentelemetry_proto::tonic::metrics::v1::*;

use crate::common::tools::root;
use crate::data::{
    self, CUMULATIVE, SECOND, alone, buckets, exemplar, exponential, gauge, histogram, metric, now, number, request,
    spread, sum, summary, text,
};
use crate::pair::Pair;
use crate::receiver::sorted;

/// What is sent, and what for.
type Case = (&'static str, ExportMetricsServiceRequest);

/// A metric of its own in a request of its own.
fn one(data: metric::Data) -> ExportMetricsServiceRequest {
    alone(metric("m", "", data))
}

fn points(points: Vec<NumberDataPoint>) -> ExportMetricsServiceRequest {
    one(gauge(points))
}

/// Sends the cases to both, and compares what they write with the file of that name.
async fn check(pair: &mut Pair, now: u64, file: &str, cases: Vec<Case>) {
    let ms = (now / 1_000_000) as i64;
    let mut found = String::new();
    for (what, request) in cases {
        found += &format!("{what}\n");
        for (who, side) in [("Collector", &pair.theirs), ("here", &pair.ours)] {
            let (status, series) = side.post(&request).await;
            assert_eq!(status, 200, "{what}: {who}");
            let lines = sorted(&series, ms);
            let nothing = vec!["-".to_string()];
            found.extend(
                (if lines.is_empty() { nothing } else { lines }).iter().map(|line| format!("  {who:9}  {line}\n")),
            );
        }
    }
    let path = root().join("tests/peers/on_purpose").join(file);
    if std::env::var_os("STEADYLINE_REWRITE").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(found == expected, "{} is now:\n{found}", path.display());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn values_and_times() {
    let mut pair = Pair::start("", "").await;
    let now = now();
    let cases = vec![
        ("negative zero", points(vec![number(-0.0, now)])),
        ("no value", points(vec![NumberDataPoint { value: None, ..number(0.0, now) }])),
        ("no time", points(vec![number(1.0, 0)])),
        ("a time beyond int64", points(vec![number(1.0, u64::MAX)])),
        ("a NaN with the bits of the marker", points(vec![number(f64::from_bits(0x7ff0_0000_0000_0002), now)])),
        ("one series twice at one time", points(vec![number(1.0, now), number(2.0, now)])),
        (
            "two metrics that become one",
            request(
                Vec::new(),
                InstrumentationScope::default(),
                vec![
                    metric("a.b", "", gauge(vec![number(1.0, now)])),
                    metric("a_b", "", gauge(vec![number(2.0, now)])),
                ],
            ),
        ),
    ];
    check(&mut pair, now, "values_and_times.txt", cases).await;
    pair.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn distributions() {
    let mut pair = Pair::start("", "").await;
    let now = now();
    let classic = |change: fn(&mut HistogramDataPoint)| {
        let mut point = buckets(now);
        change(&mut point);
        one(histogram(point, CUMULATIVE))
    };
    let native = |scale, offset, counts: &[u64]| one(exponential(spread(scale, offset, counts, now), CUMULATIVE));
    let quantiles = |values: &[(f64, f64)], label: &str| {
        let quantile_values = values
            .iter()
            .map(|(quantile, value)| summary_data_point::ValueAtQuantile { quantile: *quantile, value: *value });
        let attributes = if label.is_empty() { Vec::new() } else { vec![text(label, "mine")] };
        one(summary(SummaryDataPoint {
            time_unix_nano: now,
            count: 1,
            sum: 1.0,
            quantile_values: quantile_values.collect(),
            attributes,
            ..SummaryDataPoint::default()
        }))
    };
    let cases = vec![
        ("an attribute `le`", classic(|p| p.attributes = vec![text("le", "mine")])),
        ("an attribute `quantile`", quantiles(&[(0.5, 1.0)], "quantile")),
        ("a quantile twice", quantiles(&[(0.5, 1.0), (0.5, 2.0)], "")),
        ("bounds out of order", classic(|p| p.explicit_bounds = vec![2.0, 1.0])),
        ("a bound twice", classic(|p| p.explicit_bounds = vec![1.0, 1.0])),
        ("a bound that is no number", classic(|p| p.explicit_bounds = vec![1.0, f64::NAN])),
        ("a bucket too few", classic(|p| p.bucket_counts = vec![1, 3])),
        ("a bucket too many", classic(|p| p.bucket_counts = vec![1, 1, 1, 1])),
        ("a count below its buckets", classic(|p| p.count = 3)),
        ("a count above its buckets", classic(|p| p.count = 5)),
        ("native: finer than 8, a bucket that stays empty", native(10, 0, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])),
        ("native: out of order of time", {
            let data_points = vec![spread(0, 0, &[2], now), spread(0, 0, &[1], now - SECOND)];
            one(metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: CUMULATIVE,
            }))
        }),
        (
            "native: beside numbers of the same name",
            request(
                Vec::new(),
                InstrumentationScope::default(),
                vec![
                    metric("m", "", exponential(spread(0, 0, &[1], now), CUMULATIVE)),
                    metric("m", "", gauge(vec![number(1.0, now)])),
                ],
            ),
        ),
        ("native: at the end of the numbers", native(8, i32::MAX, &[1])),
        ("native: coarser than -4", native(-5, 0, &[1])),
        (
            "native: no sum",
            one(exponential(ExponentialHistogramDataPoint { sum: None, ..spread(0, 0, &[1], now) }, CUMULATIVE)),
        ),
        (
            "native: a count that contradicts the buckets",
            one(exponential(ExponentialHistogramDataPoint { count: 7, ..spread(0, 0, &[1], now) }, CUMULATIVE)),
        ),
    ];
    check(&mut pair, now, "distributions.txt", cases).await;
    pair.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn labels_and_names() {
    let mut pair = Pair::start("", "send_exemplars: true").await;
    let now = now();
    let labelled = |attributes| points(vec![NumberDataPoint { attributes, ..number(1.0, now) }]);
    let called = |name: &str, unit: &str, monotonic: bool| {
        let data = if monotonic { sum(number(1.0, now), CUMULATIVE, true) } else { gauge(vec![number(1.0, now)]) };
        alone(metric(name, unit, data))
    };
    let scoped = |attributes| {
        let scope = InstrumentationScope { name: "s".into(), attributes, ..InstrumentationScope::default() };
        request(Vec::new(), scope, vec![metric("m", "", gauge(vec![number(1.0, now)]))])
    };
    let measured = |attributes| {
        let point = HistogramDataPoint { exemplars: vec![exemplar(0.5, attributes, now)], ..buckets(now) };
        one(histogram(point, CUMULATIVE))
    };
    let list = ArrayValue { values: vec![AnyValue { value: Some(any_value::Value::DoubleValue(f64::NAN)) }] };
    let cases = vec![
        ("NaN in a list", labelled(vec![data::pair("list", any_value::Value::ArrayValue(list))])),
        ("an attribute without a name", labelled(vec![text("", "x")])),
        ("an empty attribute of the scope", scoped(vec![text("empty", "")])),
        ("a scope's label among the attributes", {
            let scope = InstrumentationScope { name: "s".into(), ..InstrumentationScope::default() };
            let point = NumberDataPoint { attributes: vec![text("otel_scope_name", "mine")], ..number(1.0, now) };
            request(Vec::new(), scope, vec![metric("m", "", gauge(vec![point]))])
        }),
        (
            "an empty namespace of the service",
            request(
                vec![text("service.namespace", ""), text("service.name", "shop")],
                InstrumentationScope::default(),
                vec![metric("m", "", gauge(vec![number(1.0, now)]))],
            ),
        ),
        ("an exemplar's labels", measured(vec![text("z.y", "1"), text("b", ""), text("a", "2")])),
        ("an exemplar with a `trace_id` of its own", measured(vec![text("trace_id", "mine")])),
        ("exemplars out of order of time", {
            let exemplars = vec![exemplar(0.5, Vec::new(), now), exemplar(0.25, Vec::new(), now - SECOND)];
            one(histogram(HistogramDataPoint { exemplars, ..buckets(now) }, CUMULATIVE))
        }),
        ("a counter without a legal character", called("§", "", true)),
        ("per second, twice", called("rate.per.second", "By/s", false)),
        ("unit TiBy", called("disk", "TiBy", false)),
        ("unit kBy", called("disk", "kBy", false)),
    ];
    check(&mut pair, now, "labels_and_names.txt", cases).await;
    pair.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn resource_labels_and_namespace() {
    let mut pair = Pair::start("namespace: my-app\n    resource_to_telemetry_conversion: {enabled: true}", "").await;
    let now = now();
    let cases = vec![(
        "one label of the resource and of the point",
        request(
            vec![text("host.name", "resource"), text("service.name", "shop"), text("service.instance.id", "1")],
            InstrumentationScope::default(),
            vec![metric(
                "m",
                "",
                gauge(vec![NumberDataPoint { attributes: vec![text("host.name", "point")], ..number(1.0, now) }]),
            )],
        ),
    )];
    check(&mut pair, now, "resource_labels_and_namespace.txt", cases).await;
    pair.steadyline.finish().await;
}

/// The Collector sends on what is no text, and the receiver, which cannot read it, breaks off; here the sender is told.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn texts_that_are_not_utf8() {
    let mut pair = Pair::start("", "").await;
    let attributes = vec![text("broken", "<<>>")];
    let request = points(vec![NumberDataPoint { attributes, ..number(1.0, now()) }]);
    let mut body = prost::Message::encode_to_vec(&request);
    let at = body.windows(4).position(|window| window == b"<<>>").unwrap();
    body[at + 1] = 0xff;
    assert_eq!(pair.theirs.post_bytes(body.clone()).await.0, 503);
    assert_eq!(pair.ours.post_bytes(body).await.0, 400);
    pair.steadyline.finish().await;
}
