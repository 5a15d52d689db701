//! What the formats become in OTLP.

use steadyline_component::telemetry::metrics::{HistogramView, exemplars};
use steadyline_component::telemetry::{MetricKind, Metrics, Temporality};
use steadyline_http::testkit::{Backend, Reply};

use crate::common::{Rig, START, exposed, job, target};

async fn open_metrics(body: &str) -> Backend {
    let body = body.to_string();
    Backend::start(move |_, _| {
        Reply::status(200, &body).with("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
    })
    .await
}

fn described(metrics: &Metrics) -> Vec<String> {
    let tables = metrics.tables();
    let own = tables.metrics.iter().filter(|metric| {
        let name = metrics.text(metric.name);
        name != "up" && !name.starts_with("scrape_")
    });
    own.map(|metric| {
        let kind = metrics.pairs(metric.metadata).map(|(_, value)| value.as_str().unwrap().to_string());
        let texts = [metric.name, metric.unit, metric.description].map(|slot| metrics.text(slot).to_string());
        format!("{} {} {}", texts.join("|"), kind.collect::<String>(), word(metric.kind))
    })
    .collect()
}

fn word(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true } => "counter",
        MetricKind::Sum { .. } => "sum",
        MetricKind::Histogram { .. } => "histogram",
        MetricKind::ExponentialHistogram { .. } => "exponential",
        MetricKind::Summary => "summary",
        MetricKind::Empty => "empty",
    }
}

#[tokio::test]
async fn types_units_and_help_of_openmetrics() {
    let backend = open_metrics(concat!(
        "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n",
        "# TYPE g gauge\ng 1\n# TYPE u unknown\nu 1\n# TYPE i info\ni_info{v=\"1\"} 1\n",
        "# TYPE s stateset\ns{s=\"on\"} 1\n# TYPE gh gaugehistogram\ngh_bucket{le=\"+Inf\"} 1\ngh_gcount 1\ngh_gsum 1\n",
        "free 1\n# EOF\n",
    ))
    .await;
    let rig = Rig::start(&job(&backend, "")).await;
    assert_eq!(
        described(&rig.scrape_whole().await),
        [
            "a_seconds_total|s|Time. counter counter",
            "g|| gauge gauge",
            "u|| unknown gauge",
            "i_info|| info sum",
            "s|| stateset sum",
            "gh_bucket|| gaugehistogram gauge",
            "gh_gcount|| gaugehistogram gauge",
            "gh_gsum|| gaugehistogram gauge",
            "free|| unknown gauge",
        ]
    );
    let rig = Rig::start(&(job(&backend, "") + "trim_metric_suffixes: true\n")).await;
    assert!(described(&rig.scrape_whole().await)[0].starts_with("a|s|"));
}

#[tokio::test]
async fn created_stamps_are_start_times() {
    let backend = open_metrics(concat!(
        "# TYPE c counter\nc_total{a=\"1\"} 5\nc_created{a=\"1\"} 1600000000.5\nc_total{a=\"2\"} 5\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_created 1600000001\n# EOF\n",
    ))
    .await;
    let rig = Rig::start(&job(&backend, "")).await;
    for _ in 0..2 {
        let metrics = rig.scrape_whole().await;
        let starts: Vec<u64> = metrics.tables().points[..3].iter().map(|point| point.start / 1_000_000).collect();
        assert_eq!(starts, [1_600_000_000_500, 0, 1_600_000_001_000]);
        assert_eq!(described(&metrics).len(), 2, "stamps are no series");
    }
}

#[tokio::test]
async fn exemplars_are_kept() {
    let id = "0102030405060708090a0b0c0d0e0f10";
    let backend = open_metrics(&format!(
        "# TYPE c counter\nc_total 5 # {{trace_id=\"{id}\"}} 1 1600000000\n# TYPE h histogram\nh_bucket{{le=\"1\"}} 1 # {{a=\"b\"}} 0.5\nh_bucket{{le=\"+Inf\"}} 1\nh_count 1\nh_sum 0.5\n# EOF\n"
    ))
    .await;
    let rig = Rig::start(&job(&backend, "")).await;
    let metrics = rig.scrape_whole().await;
    let points = &metrics.tables().points;
    let of_counter: Vec<_> = exemplars(metrics.bytes(points[0].body), 5).collect();
    assert_eq!(
        (of_counter[0].value, of_counter[0].trace_id.len(), of_counter[0].time),
        (1.0, 16, 1_600_000_000_000_000_000)
    );
    let of_histogram: Vec<_> = HistogramView::new(metrics.bytes(points[1].body)).exemplars().collect();
    assert_eq!(of_histogram[0].filtered_attributes().count(), 1);
    assert!(of_histogram[0].time / 1_000_000_000 >= START);
}

#[tokio::test]
async fn what_the_target_says_about_itself_is_the_resource() {
    let backend = open_metrics(concat!(
        "# TYPE a gauge\na{otel_scope_name=\"lib\",otel_scope_version=\"1\",otel_scope_k=\"v\",x=\"y\"} 1\n",
        "# TYPE target info\ntarget_info{env=\"dev\",server_address=\"z\"} 1\n# EOF\n",
    ))
    .await;
    let rig = Rig::start(&job(&backend, "")).await;
    let metrics = rig.scrape_whole().await;
    assert_eq!(exposed(&metrics), ["a{x=\"y\"} 1"]);
    let (resource, scope, _) = metrics.iter().next().unwrap();
    let attributes: Vec<&str> = metrics.pairs(resource.attributes).map(|(key, _)| key).collect();
    assert_eq!(
        attributes,
        ["env", "server.address", "server.port", "server_address", "service.instance.id", "service.name", "url.scheme"]
    );
    assert_eq!((metrics.text(scope.name), metrics.text(scope.version)), ("lib", "1"));
    let (_, scope, _) = metrics.iter().last().unwrap();
    assert_eq!(metrics.text(scope.name), "", "the report is of no scope");
}

#[tokio::test]
async fn histograms_that_are_not_whole_go_as_they_are() {
    for (body, expected) in [
        // No count.
        ("h_bucket{le=\"1\"} 1\nh_sum 2\n", vec!["h_bucket{le=\"1\"} 1", "h_sum 2"]),
        // No buckets.
        ("h_sum 2\nh_count 1\n", vec!["h_sum 2", "h_count 1"]),
        // A fraction.
        ("h_bucket{le=\"+Inf\"} 1.5\nh_count 1.5\n", vec!["h_bucket{le=\"+Inf\"} 1.5", "h_count 1.5"]),
        // One bound, twice.
        (
            "h_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\nh_count 1\n",
            vec!["h_bucket{le=\"1\"} 1", "h_bucket{le=\"1.0\"} 1", "h_count 1"],
        ),
        // A bucket without a bound.
        ("h_bucket 1\nh_bucket{le=\"x\"} 1\n", vec!["h_bucket 1", "h_bucket{le=\"x\"} 1"]),
    ] {
        let backend = target(&[&format!("# TYPE h histogram\n{body}")]).await;
        let rig = Rig::start(&job(&backend, "")).await;
        let mut lines = exposed(&rig.scrape_whole().await);
        let mut expected = expected;
        lines.sort();
        expected.sort_unstable();
        assert_eq!(lines, expected, "{body}");
    }
}

#[tokio::test]
async fn counts_that_fall_within_a_histogram_are_mended() {
    let backend = target(&[
        "# TYPE h histogram\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 6\nh_count 4\n",
    ])
    .await;
    let rig = Rig::start(&job(&backend, "")).await;
    let metrics = rig.scrape_whole().await;
    let view = HistogramView::new(metrics.bytes(metrics.tables().points[0].body));
    assert_eq!((view.count, view.sum), (6, None));
    assert_eq!(view.bucket_counts().collect::<Vec<_>>(), [5, 0, 1]);
}

#[tokio::test]
async fn families_that_are_mixed_up_still_belong_together() {
    let body = "# TYPE h histogram\nh_bucket{le=\"+Inf\",x=\"1\"} 1\n# TYPE c counter\nc{x=\"1\"} 1\nh_count{x=\"1\"} 1\nc{x=\"2\"} 2\n";
    let backend = target(&[body]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    let metrics = rig.scrape_whole().await;
    let lines = exposed(&metrics);
    assert!(lines[0].starts_with("histogram h{x=\"1\"} body("), "{lines:?}");
    assert_eq!(lines[1..], ["counter c{x=\"1\"} 1", "counter c{x=\"2\"} 2"]);
    assert_eq!(described(&metrics), ["h|| histogram histogram", "c|| counter counter"]);
}

#[tokio::test]
async fn a_type_that_changes_changes_the_metric_and_not_the_series() {
    let backend = target(&["# TYPE a gauge\na 1\n", "# TYPE a counter\na 2\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    assert_eq!(exposed(&rig.scrape_whole().await), ["a 1"]);
    assert_eq!(exposed(&rig.scrape_whole().await), ["counter a 2"]);
}

#[tokio::test]
async fn series_are_relabelled_and_given_external_labels() {
    let keys = concat!(
        "metric_relabel_configs:\n",
        "  - {source_labels: [__name__], regex: noise_.*, action: drop}\n",
        "  - {source_labels: [path], regex: '/([a-z]+)/.*', target_label: route}\n",
        "  - {regex: path, action: labeldrop}\n",
        "  - {source_labels: [__name__], regex: old, target_label: __name__, replacement: new}\n",
    );
    let backend = target(&["old{path=\"/api/1\"} 1\nnoise_x 2\nkept 3\n"]).await;
    let config =
        job(&backend, keys).replace("config:\n", "config:\n  global: {external_labels: {region: eu, route: none}}\n");
    let rig = Rig::start(&config).await;
    let metrics = rig.scrape_whole().await;
    assert_eq!(exposed(&metrics), ["new{region=\"eu\",route=\"api\"} 1", "kept{region=\"eu\",route=\"none\"} 3"]);
    let report = steadyline_component::testkit::render(&metrics);
    let value = |name: &str| {
        let line = report.iter().find(|line| line.starts_with(name)).unwrap();
        line.split(' ').nth(1).unwrap().to_string()
    };
    assert_eq!(value("scrape_samples_scraped"), "3");
    assert_eq!(value("scrape_samples_post_metric_relabeling"), "2");
    assert_eq!(value("scrape_series_added"), "2");
    assert!(report.iter().any(|line| line.starts_with("up{region=\"eu\",route=\"none\"} 1")), "{report:?}");
}

#[tokio::test]
async fn samples_of_all_times_and_values_survive() {
    let backend = target(&["a 1 0\na 2 1000\nb NaN\nc +Inf\nd -0\ne 1 -1\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    let metrics = rig.scrape_whole().await;
    assert_eq!(exposed(&metrics), ["a 1", "a 2", "b NaN", "c inf", "d -0"]);
    let times: Vec<u64> = metrics.tables().points[..2].iter().map(|point| point.time).collect();
    assert_eq!(times, [1, 1_000_000_000]);
    assert_eq!(rig.count("prometheus_samples_untimely"), 1.0);
}

#[tokio::test]
async fn large_targets_come_in_several_batches_and_families_stay_whole() {
    let mut body = String::new();
    for family in 0..25 {
        body += &format!("# TYPE f{family} counter\n");
        (0..1000).for_each(|n| body += &format!("f{family}{{n=\"{n}\"}} {n}\n"));
    }
    let backend = target(&[&body]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.clock.advance(crate::common::INTERVAL);
    rig.intake.wait_for(3).await;
    let batches: Vec<_> = rig.intake.take().into_iter().map(crate::common::metrics_of).collect();
    assert_eq!(batches.iter().map(|batch| batch.points()).collect::<Vec<_>>(), [10_000, 10_000, 5_005]);
    let times: std::collections::BTreeSet<u64> =
        batches.iter().flat_map(|batch| batch.tables().points.iter().map(|point| point.time)).collect();
    assert_eq!(times.len(), 1, "all samples of a scrape are of one time");
}

/// A `MetricFamily` with one native histogram: schema 1, one observation at zero, 2 and 3 in buckets 1 and 4.
fn native(is_classic_too: bool) -> Vec<u8> {
    use steadyline_component::telemetry::wire::{put_bytes, put_fixed64, put_tag, put_uint, put_varint};
    let span = |offset: u64, length: u64| {
        let mut message = Vec::new();
        put_uint(&mut message, 1, offset << 1);
        put_uint(&mut message, 2, length);
        message
    };
    let mut histogram = Vec::new();
    put_uint(&mut histogram, 1, 6);
    put_fixed64(&mut histogram, 2, 12.5f64.to_bits());
    if is_classic_too {
        let mut bucket = Vec::new();
        put_uint(&mut bucket, 1, 4);
        put_fixed64(&mut bucket, 2, 1.0f64.to_bits());
        put_bytes(&mut histogram, 3, &bucket);
    }
    put_uint(&mut histogram, 5, 1 << 1);
    put_fixed64(&mut histogram, 6, 0.001f64.to_bits());
    put_uint(&mut histogram, 7, 1);
    put_bytes(&mut histogram, 12, &span(1, 1));
    put_bytes(&mut histogram, 12, &span(2, 1));
    let mut deltas = Vec::new();
    put_varint(&mut deltas, 2 << 1);
    put_varint(&mut deltas, 1 << 1);
    put_bytes(&mut histogram, 13, &deltas);
    let mut label = Vec::new();
    put_bytes(&mut label, 1, b"a");
    put_bytes(&mut label, 2, b"b");
    let mut metric = Vec::new();
    put_bytes(&mut metric, 1, &label);
    put_bytes(&mut metric, 7, &histogram);
    let mut family = Vec::new();
    put_bytes(&mut family, 1, b"n");
    put_bytes(&mut family, 2, b"Native.");
    put_tag(&mut family, 3, 0);
    put_varint(&mut family, 4);
    put_bytes(&mut family, 4, &metric);
    let mut body = Vec::new();
    put_varint(&mut body, family.len() as u64);
    body.extend_from_slice(&family);
    body
}

async fn protobuf(bodies: Vec<Vec<u8>>) -> Backend {
    Backend::start(move |_, number| {
        let mut response = http::Response::new(bytes::Bytes::from(bodies[number.min(bodies.len() - 1)].clone()));
        let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        Reply::Answer(response)
    })
    .await
}

#[tokio::test]
async fn native_histograms_are_exponential_and_end_as_such() {
    use steadyline_component::telemetry::metrics::ExponentialHistogramView;
    let backend = protobuf(vec![native(false), Vec::new()]).await;
    let rig = Rig::start(&job(&backend, "scrape_native_histograms: true")).await;
    let metrics = rig.scrape_whole().await;
    assert!(backend.requests()[0].header("accept").starts_with("application/vnd.google.protobuf"));
    assert_eq!(described(&metrics), ["n||Native. histogram exponential"]);
    let view = ExponentialHistogramView::new(metrics.bytes(metrics.tables().points[0].body));
    assert_eq!((view.count, view.sum, view.scale, view.zero_count), (6, Some(12.5), 1, 1));
    assert_eq!((view.positive.offset, view.positive.counts), (0, vec![2, 0, 0, 3]));
    let lines = exposed(&rig.scrape_whole().await);
    assert_eq!(lines, ["exponential n{a=\"b\"} stale"]);
}

#[tokio::test]
async fn native_histograms_may_be_classic_or_both() {
    let classic = "histogram n{a=\"b\"} body(";
    let exponential = "exponential n{a=\"b\"} body(";
    for (keys, expected) in [
        ("scrape_native_histograms: false\nscrape_protocols: [PrometheusProto]", vec![classic]),
        ("scrape_native_histograms: true\nalways_scrape_classic_histograms: true", vec![classic, exponential]),
    ] {
        let backend = protobuf(vec![native(true)]).await;
        let rig = Rig::start(&job(&backend, keys)).await;
        for _ in 0..2 {
            let mut lines = exposed(&rig.scrape_whole().await);
            lines.sort_by_key(|line| line.starts_with("exponential"));
            assert_eq!(lines.len(), expected.len(), "{lines:?}");
            for (line, start) in lines.iter().zip(&expected) {
                assert!(line.starts_with(start), "{lines:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_stamp_that_comes_as_a_sample_from_then_on_is_one() {
    let bodies = [
        ("application/openmetrics-text", "# TYPE c counter\nc_total 5\nc_created 1600000000\n# EOF\n"),
        ("text/plain", "# TYPE c_total counter\nc_total 6\n# TYPE c_created gauge\nc_created 1600000000\n"),
    ];
    let backend = Backend::start(move |_, number| {
        let (kind, body) = bodies[number.min(1)];
        Reply::status(200, body).with("content-type", kind)
    })
    .await;
    let rig = Rig::start(&job(&backend, "")).await;
    let first = rig.scrape_whole().await;
    assert_eq!(exposed(&first), ["counter c_total 5"]);
    let second = rig.scrape_whole().await;
    assert_eq!(exposed(&second), ["counter c_total 6", "c_created 1600000000"]);
    let starts = [&first, &second].map(|metrics| metrics.tables().points[0].start);
    assert_eq!(starts, [1_600_000_000_000_000_000, 0]);
}

#[tokio::test]
async fn federated_series_are_sorted_by_whose_they_are() {
    let body = "a{job=\"x\",instance=\"1\"} 1\na{job=\"y\",instance=\"\"} 2\nb 3\na{job=\"x\",instance=\"1\",n=\"2\"} 4\nb{job=\"y\",instance=\"\"} 5\n";
    let backend = target(&[body]).await;
    let rig = Rig::start(&job(&backend, "honor_labels: true")).await;
    let lines = crate::common::lines(&rig.scrape_whole().await);
    let lines: Vec<String> = lines
        .iter()
        .map(|line| {
            let label = |name: &str| line.split_once(name).and_then(|(_, rest)| rest.split('"').nth(1));
            let (job, instance) = (label("service.name="), label("service.instance.id="));
            let own = if instance == Some(&backend.address.to_string()) { Some("own") } else { instance };
            if line.starts_with("resource") { format!("{job:?} {own:?}") } else { line.clone() }
        })
        .collect();
    let expected = [
        "Some(\"x\") Some(\"1\")",
        "a 1",
        "a{n=\"2\"} 4",
        "Some(\"y\") None",
        "a 2",
        "b 5",
        "Some(\"test\") Some(\"own\")",
        "b 3",
        "up 1",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn names_of_any_characters_are_kept() {
    let backend =
        target(&["{\"my.metric\",\"a.b\"=\"c\"} 1\n# TYPE \"my.counter\" counter\n{\"my.counter\"} 2\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    assert_eq!(exposed(&rig.scrape_whole().await), ["my.metric{a.b=\"c\"} 1", "counter my.counter 2"]);
    let rig = Rig::start(&job(&backend, "metric_name_validation_scheme: legacy")).await;
    assert_eq!(rig.scrape().await[1..], ["up 0"]);
    assert!(backend.requests()[1].header("accept").contains("escaping=underscores"));
}
