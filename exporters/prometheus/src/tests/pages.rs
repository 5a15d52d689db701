//! What a page shows: names, labels, order, newest values, ends, expiry, conflicts and bounds.

use super::Harness;
use steadyline_component::testkit;

use crate::PrometheusFactory;

#[tokio::test]
async fn points_that_are_final_are_shown_as_they_are() {
    let harness = Harness::new("namespace: ignored, const_labels: {region: eu, env: never}");
    harness
        .take(
            r#"resource{service.name="api",host="h"}
               onboarding_completed_steps{account_id="acct-7",env="dev"} 3 @60
               onboarding_completed_steps{account_id="acct-10",env="dev"} 5 @60
               counter hits{env="dev"} 7 @60
               up.time{env="dev"} 0.5 @60"#,
            true,
        )
        .await;
    let expected = concat!(
        "# TYPE hits counter\n",
        "hits{env=\"dev\",region=\"eu\"} 7\n",
        "# TYPE onboarding_completed_steps gauge\n",
        "onboarding_completed_steps{account_id=\"acct-10\",env=\"dev\",region=\"eu\"} 5\n",
        "onboarding_completed_steps{account_id=\"acct-7\",env=\"dev\",region=\"eu\"} 3\n",
        "# TYPE up_time gauge\n",
        "up_time{env=\"dev\",region=\"eu\"} 0.5\n",
    );
    assert_eq!(harness.page(), expected);
}

#[tokio::test]
async fn all_others_are_translated_as_the_collector_does() {
    // Config, points, the lines of the page.
    let resource = r#"resource{service.namespace="shop",service.name="api",service.instance.id="i-1",host.name="h"}"#;
    let info = r#"target_info{host_name="h",instance="i-1",job="shop/api"} 1"#;
    let rows: &[(&str, &str, &[&str])] = &[
        ("", "counter http.requests{status.code=200} 7 @1", &[r#"http_requests_total{status_code="200"} 7"#]),
        ("translation_strategy: UnderscoreEscapingWithoutSuffixes", "counter http.requests 7 @1", &["http_requests 7"]),
        ("add_metric_suffixes: false", "counter http.requests 7 @1", &["http_requests 7"]),
        ("add_metric_suffixes: true", "counter http.requests 7 @1", &["http_requests_total 7"]),
        ("translation_strategy: NoTranslation", r#"a.b{c.d="x"} 7 @1"#, &[r#"a_b{c_d="x"} 7"#]),
        ("namespace: my-ns", "up 1 @1", &["my_ns_up 1"]),
        ("", "a{x=1,y=true,z=0.5,e=} 1 @1", &[r#"a{x="1",y="true",z="0.5"} 1"#]),
        ("", r#"a{b.c="2",b_c="1"} 1 @1"#, &[r#"a{b_c="2;1"} 1"#]),
        ("", r#"a{b.c="same",b_c="same"} 1 @1"#, &[r#"a{b_c="same"} 1"#]),
        ("", r#"a{__name__="b",le="5"} 1 @1"#, &[r#"a{le="5"} 1"#]),
        ("const_labels: {x: const, y.z: gap}", r#"a{x="own"} 1 @1"#, &[r#"a{x="own",y_z="gap"} 1"#]),
        ("const_labels: {x: const}", r#"a{x=""} 1 @1"#, &[r#"a{x="const"} 1"#]),
    ];
    for (config, points, expected) in rows {
        assert_eq!(Harness::new(config).take(points, false).await.lines(), *expected, "{config} {points}");
    }
    let with_resource: &[(&str, &str, &[&str])] = &[
        ("", r#"a{job="mine",x="1"} 1 @1"#, &[r#"a{instance="i-1",job="shop/api",x="1"} 1"#, info]),
        (
            "resource_to_telemetry_conversion: {enabled: true, exclude_service_attributes: true}",
            r#"a{host_name="own"} 1 @1"#,
            &[r#"a{host_name="own",instance="i-1",job="shop/api"} 1"#, info],
        ),
        (
            "resource_to_telemetry_conversion: {enabled: true}, const_labels: {region: eu}",
            "a 1 @1",
            &[
                r#"a{host_name="h",instance="i-1",job="shop/api",region="eu",service_instance_id="i-1",service_name="api",service_namespace="shop"} 1"#,
                r#"target_info{host_name="h",instance="i-1",job="shop/api",region="eu"} 1"#,
            ],
        ),
        (
            "namespace: ns",
            "a 1 @1",
            &[
                r#"ns_a{instance="i-1",job="shop/api"} 1"#,
                r#"ns_target_info{host_name="h",instance="i-1",job="shop/api"} 1"#,
            ],
        ),
    ];
    for (config, points, expected) in with_resource {
        let points = format!("{resource}\n{points}");
        assert_eq!(Harness::new(config).take(&points, false).await.lines(), *expected, "{config} {points}");
    }
}

#[tokio::test]
async fn scopes_are_labels_unless_they_are_not_wanted() {
    use steadyline_telemetry::metrics::{MetricDef, MetricsBuilder, NumberValue};
    let metrics = || {
        let mut builder = MetricsBuilder::new();
        builder.scope("lib", "1.2");
        let metric = builder.metric(MetricDef { unit: "s", description: "how long", ..MetricDef::gauge("wait") });
        let shape = builder.shape([]);
        builder.number(metric, shape, &[], 1, 0, NumberValue::Int(2));
        builder.finish()
    };
    let harness = Harness::new("");
    harness.take_metrics(metrics(), false).await;
    let expected = "# HELP wait_seconds how long\n# TYPE wait_seconds gauge\nwait_seconds{otel_scope_name=\"lib\",otel_scope_version=\"1.2\"} 2\n";
    assert_eq!(harness.page(), expected);
    let harness = Harness::new("without_scope_info: true");
    assert_eq!(harness.take_metrics(metrics(), false).await.lines(), ["wait_seconds 2"]);
    let harness = Harness::new("");
    assert_eq!(harness.take_metrics(metrics(), true).await.lines(), ["wait 2"]);
}

#[tokio::test]
async fn the_newest_value_is_shown_and_the_later_one_of_equals() {
    // What arrives, one batch a line; what is shown then.
    let rows: &[(&str, &[&str])] = &[
        ("a 1 @60", &["a 1"]),
        ("a 2 @61", &["a 2"]),
        ("a 3 @60", &["a 2"]),
        ("a 4 @61", &["a 4"]),
        ("a stale @61", &["a 4"]),
        ("a stale @60", &["a 4"]),
        ("a held @62", &["a 4"]),
        ("a stale @62", &[]),
        ("a 5 @63", &["a 5"]),
        ("updown a 6 @64", &["a 6"]),
    ];
    let harness = Harness::new("");
    for (points, expected) in rows {
        assert_eq!(harness.take(points, true).await.lines(), *expected, "{points}");
    }
    assert_eq!(harness.tally.balance().merged, 3);
    assert_eq!(harness.dropped(), [("confirmation".to_owned(), 1)]);
}

#[tokio::test]
async fn series_are_gone_when_nothing_is_heard_of_them_for_a_while() {
    let harness = Harness::new("metric_expiration: 30s");
    harness.take("a{x=\"1\"} 1 @1\na{x=\"2\"} 1 @1", true).await;
    harness.advance(20);
    harness.take("a{x=\"1\"} 1 @1", true).await;
    harness.advance(10);
    assert_eq!(harness.lines(), ["a{x=\"1\"} 1"], "an old event time does not matter, silence does");
    harness.advance(20);
    assert_eq!(harness.page(), "");
}

#[tokio::test]
async fn conflicts_are_counted_and_the_first_stays() {
    let harness = Harness::new("");
    harness.take("a 1 @1\ncounter a 2 @1\ncounter b 1 @1\nb 1 @2\nb 1 @3", true).await;
    assert_eq!(harness.lines(), ["a 1", "b 1"]);
    assert_eq!(harness.dropped(), [("type_conflict".to_owned(), 3)]);
    // A name is free again when its last series has ended.
    harness.take("a stale @2", true).await;
    harness.take("counter a 9 @3", true).await;
    assert_eq!(harness.page(), "# TYPE a counter\na 9\n# TYPE b counter\nb 1\n");
}

#[tokio::test]
async fn of_two_descriptions_the_first_stays() {
    use steadyline_telemetry::metrics::{MetricDef, MetricsBuilder, NumberValue};
    let harness = Harness::new("");
    for (description, value) in [("first", 1), ("second\nline", 2)] {
        let mut builder = MetricsBuilder::new();
        let metric = builder.metric(MetricDef { description, ..MetricDef::gauge("a") });
        let shape = builder.shape([]);
        builder.number(metric, shape, &[], value, 0, NumberValue::Int(value as i64));
        harness.take_metrics(builder.finish(), true).await;
    }
    assert_eq!(harness.page(), "# HELP a first\n# TYPE a gauge\na 2\n");
}

#[tokio::test]
async fn newcomers_beyond_the_limit_are_refused_and_counted() {
    let harness = Harness::new("max_series: 2");
    let points: String = (0..1000).map(|n| format!("a{{n=\"{n:04}\"}} {n} @1\n")).collect();
    harness.take(&points, true).await;
    harness.take("a{n=\"0001\"} 7 @2\na{n=\"0500\"} 7 @2", true).await;
    assert_eq!(harness.lines(), ["a{n=\"0000\"} 0", "a{n=\"0001\"} 7"]);
    assert_eq!(harness.dropped(), [("series_limit".to_owned(), 999)]);
    assert_eq!(harness.instrument("exporter_prometheus_series"), 2.0);
    harness.take("a{n=\"0000\"} stale @3", true).await;
    harness.take("a{n=\"0500\"} 8 @3", true).await;
    assert_eq!(harness.lines(), ["a{n=\"0001\"} 7", "a{n=\"0500\"} 8"]);
}

#[test]
fn bad_configs_say_what_is_wrong() {
    let rows = [
        ("{}", "prometheus.endpoint: `endpoint` is not given; expected where to listen"),
        ("{endpoint: 9464}", "`9464` is not an address to listen on; expected `host:port`"),
        ("{endpoint: \"h:1\", path: metrics}", "`metrics` is not the path of a page"),
        ("{endpoint: \"h:1\", metric_expiration: 0}", "every series would be gone at once"),
        ("{endpoint: \"h:1\", max_series: 0}", "max_series"),
        ("{endpoint: \"h:1\", const_labels: {a.b: x, a_b: y}}", "`a.b` and `a_b` would be one label, `a_b`"),
        ("{endpoint: \"h:1\", const_labels: {____: x}}", "`____` cannot be a label"),
        (
            "{endpoint: \"h:1\", translation_strategy: NoTranslation, add_metric_suffixes: false}",
            "`translation_strategy` is given too; remove `add_metric_suffixes`",
        ),
        ("{endpoint: \"h:1\", tls: {cert_file: x}}", "the endpoint speaks plain HTTP"),
        ("{endpoint: \"h:1\", sending_queue: {enabled: false}}", "a pull endpoint has no queue"),
        ("{endpoint: \"h:1\", metric_expiraton: 5m}", "did you mean `metric_expiration`"),
        ("{endpoint: \"h:1\", translation_strategy: NoTranslations}", "did you mean `NoTranslation`"),
    ];
    for (yaml, expected) in rows {
        let text = testkit::create::<PrometheusFactory>(yaml).err().unwrap_or_default();
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
    assert!(testkit::create::<PrometheusFactory>("{endpoint: \":9464\", enable_open_metrics: true}").is_ok());
}
