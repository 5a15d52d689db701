//! Names as tables: what goes in, what a backend shows. Then the laws that hold for every name.
//! The rows follow the described rules of the Collector, and the differences that `metric_name` documents.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use steadyline_prometheus::NameKind::{self, Gauge, MonotonicSum, Other};
use steadyline_prometheus::TranslationStrategy::{
    self, NoTranslation, NoUtf8EscapingWithSuffixes as Utf8, UnderscoreEscapingWithSuffixes as Full,
    UnderscoreEscapingWithoutSuffixes as Plain,
};
use steadyline_prometheus::names::{Escaping, put_escaped, unit_words};
use steadyline_prometheus::{NameError, is_legal_label_name, is_legal_metric_name, label_name, metric_name};

fn metric(
    name: &str,
    unit: &str,
    kind: NameKind,
    namespace: &str,
    strategy: TranslationStrategy,
) -> Result<String, NameError> {
    let mut out = String::new();
    metric_name(&mut out, name, unit, kind, namespace, strategy)?;
    Ok(out)
}

fn label(key: &str, strategy: TranslationStrategy, permissive: bool) -> Result<String, NameError> {
    let mut out = String::new();
    label_name(&mut out, key, strategy, permissive)?;
    Ok(out)
}

#[test]
fn metric_names_with_suffixes() {
    let rows: &[(&str, &str, NameKind, &str, &str)] = &[
        ("onboarding_completed_steps", "{step}", Gauge, "", "onboarding_completed_steps"),
        ("system.filesystem.usage", "By", Gauge, "", "system_filesystem_usage_bytes"),
        ("system.network.io", "By", MonotonicSum, "", "system_network_io_bytes_total"),
        ("http.server.duration", "ms", Other, "", "http_server_duration_milliseconds"),
        ("request_duration_seconds", "s", Other, "", "request_duration_seconds"),
        ("seconds.spent", "s", Gauge, "", "seconds_spent"),
        ("cpu.utilization", "1", Gauge, "", "cpu_utilization_ratio"),
        ("hit.ratio.cache", "1", Gauge, "", "hit_cache_ratio"),
        ("requests", "1", MonotonicSum, "", "requests_total"),
        ("requests", "1", Other, "", "requests"),
        ("total.requests", "", MonotonicSum, "", "requests_total"),
        ("a.total.b.total", "s", MonotonicSum, "", "a_b_seconds_total"),
        ("subtotal", "", MonotonicSum, "", "subtotal_total"),
        ("broken.metric.speed", "km/h", Gauge, "", "broken_metric_speed_km_per_hour"),
        ("speed", "m/s", Gauge, "", "speed_meters_per_second"),
        ("speed_per_second", "m/s", Gauge, "", "speed_per_second_meters"),
        ("astro.light", "By/m", Gauge, "", "astro_light_bytes_per_minute"),
        ("x", "{packet}/s", Gauge, "", "x_per_second"),
        ("x", "By/{packet}", Gauge, "", "x_bytes"),
        ("x", "{packet}By", Gauge, "", "x"),
        ("x", "/s", Gauge, "", "x_per_second"),
        ("x", "s/", Gauge, "", "x_seconds"),
        ("x", "1/y", Gauge, "", "x_per_year"),
        ("x", " By ", Gauge, "", "x_bytes"),
        ("disk", "TiBy", Gauge, "", "disk_tebibytes"),
        ("disk", "kBy", Gauge, "", "disk_kilobytes"),
        ("disk", "KBy", Gauge, "", "disk_kilobytes"),
        ("temp", "Cel", Gauge, "", "temp_celsius"),
        ("load", "%", Gauge, "", "load_percent"),
        ("odd", "s%", MonotonicSum, "", "odd_s_total"),
        ("odd", "foo-bar", Gauge, "", "odd_foo_bar"),
        ("odd.foo.bar", "foo-bar", Gauge, "", "odd_foo_bar"),
        ("odd", "m/s/s", Gauge, "", "odd_meters_per_s_s"),
        ("a::b", "", Gauge, "", "a::b"),
        ("__a__b__", "", Gauge, "", "a_b"),
        ("a..b", "", Gauge, "", "a_b"),
        ("prix.été", "", Gauge, "", "prix_t"),
        ("1st", "", Gauge, "", "_1st"),
        ("1st", "", Gauge, "app", "app_1st"),
        ("m", "", Gauge, "my-app", "my_app_m"),
        ("m", "", Gauge, "9to5", "_9to5_m"),
        ("total", "", MonotonicSum, "", "total"),
    ];
    for (name, unit, kind, namespace, expected) in rows {
        let built = metric(name, unit, *kind, namespace, Full);
        assert_eq!(built.as_deref(), Ok(*expected), "{name:?} {unit:?} {kind:?} {namespace:?}");
    }
}

#[test]
fn metric_names_under_the_other_strategies() {
    let rows: &[(&str, &str, NameKind, &str, TranslationStrategy, &str)] = &[
        ("system.network.io", "By", MonotonicSum, "", Plain, "system_network_io"),
        ("a..b--c", "s", Gauge, "", Plain, "a_b_c"),
        ("__a__b", "s", Gauge, "", Plain, "__a__b"),
        (".a.", "", Gauge, "", Plain, "a"),
        ("1a", "", Gauge, "", Plain, "_1a"),
        ("1a", "", Gauge, "ns.x", Plain, "ns_x_1a"),
        ("system.network.io", "By", MonotonicSum, "", Utf8, "system.network.io_bytes_total"),
        ("system.network.io.total", "By", MonotonicSum, "", Utf8, "system.network.io_bytes_total"),
        ("io_bytes_total", "By", MonotonicSum, "", Utf8, "io_bytes_total"),
        ("température", "Cel", Gauge, "", Utf8, "température_celsius"),
        ("rate_per_second", "By/s", Gauge, "", Utf8, "rate_bytes_per_second"),
        ("per_second", "1/s", Gauge, "", Utf8, "per_second"),
        ("subtotal", "", MonotonicSum, "", Utf8, "subtotal_total"),
        ("total", "", MonotonicSum, "", Utf8, "total"),
        ("hits.ratio", "1", Gauge, "", Utf8, "hits_ratio"),
        ("x", "", Gauge, "my.ns", Utf8, "my.ns_x"),
        ("a.b c", "By", MonotonicSum, "", NoTranslation, "a.b c"),
        ("1", "", Gauge, "", NoTranslation, "1"),
        ("a", "s", Gauge, "ns", NoTranslation, "ns_a"),
    ];
    for (name, unit, kind, namespace, strategy, expected) in rows {
        let built = metric(name, unit, *kind, namespace, *strategy);
        assert_eq!(built.as_deref(), Ok(*expected), "{name:?} {unit:?} {kind:?} {strategy:?}");
    }
}

#[test]
fn names_without_substance_are_errors_and_leave_the_buffer_alone() {
    for strategy in [Full, Plain, Utf8, NoTranslation] {
        assert_eq!(metric("", "s", MonotonicSum, "ns", strategy), Err(NameError::Empty));
        assert_eq!(metric("__", "s", MonotonicSum, "ns", strategy), Err(NameError::NothingLegal));
    }
    assert_eq!(metric("...", "s", MonotonicSum, "ns", Full), Err(NameError::NothingLegal));
    assert_eq!(metric("温度", "", Gauge, "", Plain), Err(NameError::NothingLegal));
    let mut out = String::from("kept");
    assert!(metric_name(&mut out, "-", "s", Gauge, "ns", Full).is_err());
    assert!(label_name(&mut out, "____", Full, false).is_err());
    assert_eq!(out, "kept");
}

#[test]
fn label_names() {
    type Row<'a> = (&'a str, Result<&'a str, NameError>, Result<&'a str, NameError>);
    let rows: &[Row<'_>] = &[
        // key, as the Collector by default, with permissive sanitization
        ("account_id", Ok("account_id"), Ok("account_id")),
        ("http.status_code", Ok("http_status_code"), Ok("http_status_code")),
        ("a..b", Ok("a_b"), Ok("a_b")),
        ("a__b", Ok("a_b"), Ok("a_b")),
        ("a:b", Ok("a_b"), Ok("a_b")),
        ("a_", Ok("a_"), Ok("a_")),
        ("a-", Ok("a_"), Ok("a_")),
        ("9lives", Ok("key_9lives"), Ok("key_9lives")),
        ("_private", Ok("key_private"), Ok("_private")),
        ("__private", Ok("key_private"), Ok("_private")),
        (".dot", Ok("key_dot"), Ok("_dot")),
        ("__name__", Ok("__name__"), Ok("__name__")),
        ("__a.b__", Ok("__a_b__"), Ok("__a_b__")),
        ("clé", Ok("cl_"), Ok("cl_")),
        ("日本", Ok("key_"), Err(NameError::NothingLegal)),
        ("_", Ok("key_"), Err(NameError::NothingLegal)),
        ("__", Ok("key_"), Err(NameError::NothingLegal)),
        ("___", Ok("key_"), Err(NameError::NothingLegal)),
        ("...", Ok("key_"), Err(NameError::NothingLegal)),
        ("____", Err(NameError::NothingLegal), Err(NameError::NothingLegal)),
        ("______", Err(NameError::NothingLegal), Err(NameError::NothingLegal)),
        ("", Err(NameError::Empty), Err(NameError::Empty)),
    ];
    for (key, strict, permissive) in rows {
        assert_eq!(label(key, Full, false).as_deref(), strict.as_ref().copied(), "{key:?}");
        assert_eq!(label(key, Plain, true).as_deref(), permissive.as_ref().copied(), "{key:?}");
    }
    assert_eq!(label("http.status", Utf8, false).as_deref(), Ok("http.status"));
    assert_eq!(label("_x", NoTranslation, false).as_deref(), Ok("_x"));
    assert_eq!(label("__", NoTranslation, false), Err(NameError::NothingLegal));
}

#[test]
fn units_as_words() {
    let rows =
        [("By/s", "bytes_per_second"), ("{step}", ""), ("1", ""), ("/s", "per_second"), ("", ""), ("By", "bytes")];
    for (unit, words) in rows {
        let mut out = String::new();
        unit_words(&mut out, unit);
        assert_eq!(out, words, "{unit:?}");
    }
}

#[test]
fn legal_names() {
    for (name, as_metric, as_label) in [
        ("a", true, true),
        ("_", true, true),
        ("a:b", true, false),
        (":", true, false),
        ("a1", true, true),
        ("1a", false, false),
        ("", false, false),
        ("a.b", false, false),
        ("é", false, false),
        ("a b", false, false),
    ] {
        assert_eq!(is_legal_metric_name(name), as_metric, "{name:?}");
        assert_eq!(is_legal_label_name(name), as_label, "{name:?}");
    }
}

#[test]
fn escaping_for_scrapers() {
    let rows: &[(&str, &str, &str, &str)] = &[
        // name, underscores, dots, values
        ("metric", "metric", "metric", "metric"),
        ("metric_name", "metric_name", "metric__name", "metric_name"),
        ("metric.name", "metric_name", "metric_dot_name", "U__metric_2e_name"),
        ("a_b.c", "a_b_c", "a__b_dot_c", "U__a__b_2e_c"),
        ("1a", "_a", "__a", "U___31_a"),
        ("名", "_", "__", "U___540d_"),
    ];
    for (name, underscores, dots, values) in rows {
        for (escaping, expected) in [
            (Escaping::Underscores, underscores),
            (Escaping::Dots, dots),
            (Escaping::Values, values),
            (Escaping::AllowUtf8, name),
        ] {
            let mut out = Vec::new();
            put_escaped(&mut out, name, escaping, true);
            assert_eq!(std::str::from_utf8(&out).unwrap(), *expected, "{name} {escaping:?}");
        }
    }
}

#[test]
fn strategies_are_spelled_as_the_specification_has_them() {
    for strategy in [Full, Plain, Utf8, NoTranslation] {
        let spelled = serde_json::to_value(strategy).unwrap();
        assert_eq!(spelled, strategy.as_str());
        assert_eq!(serde_json::from_value::<TranslationStrategy>(spelled).unwrap(), strategy);
    }
    assert_eq!(TranslationStrategy::default(), Full);
    assert_eq!(Utf8.as_str(), "NoUTF8EscapingWithSuffixes");
    let schema = serde_json::to_string(&schemars::schema_for!(TranslationStrategy)).unwrap();
    assert!(schema.contains("NoUTF8EscapingWithSuffixes"), "{schema}");
}

fn any_strategy() -> impl Strategy<Value = TranslationStrategy> {
    prop::sample::select(vec![Full, Plain, Utf8, NoTranslation])
}

/// Names and units made of the parts that the rules look at, so that the rules meet.
fn any_parts() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "B",
        "7",
        "_",
        "__",
        ".",
        ":",
        "-",
        "é",
        "total",
        "ratio",
        "seconds",
        "second",
        "per",
        "bytes",
        "_per_second",
        "_total",
        "s",
        "By",
        "/",
        "/s",
        "1",
        "{x}",
        "foo-bar",
        "%",
    ]);
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn any_kind() -> impl Strategy<Value = NameKind> {
    prop::sample::select(vec![Gauge, MonotonicSum, Other])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_metric_name_is_a_fixed_point_and_legal(
        name in prop_oneof![any_parts(), ".*"],
        unit in any_parts(),
        kind in any_kind(),
        strategy in any_strategy(),
    ) {
        if let Ok(once) = metric(&name, &unit, kind, "", strategy) {
            prop_assert_eq!(metric(&once, &unit, kind, "", strategy), Ok(once.clone()));
            if strategy.escapes() {
                prop_assert!(is_legal_metric_name(&once), "{:?}", once);
            }
        }
    }

    #[test]
    fn a_namespace_never_makes_a_name_illegal(name in ".*", namespace in ".*", kind in any_kind()) {
        for strategy in [Full, Plain] {
            if let Ok(built) = metric(&name, "By", kind, &namespace, strategy) {
                prop_assert!(is_legal_metric_name(&built), "{:?}", built);
            }
        }
    }

    #[test]
    fn a_label_name_is_a_fixed_point_and_legal(
        key in prop_oneof![any_parts(), ".*"],
        strategy in any_strategy(),
        permissive: bool,
    ) {
        if let Ok(once) = label(&key, strategy, permissive) {
            prop_assert_eq!(label(&once, strategy, permissive), Ok(once.clone()));
            if strategy.escapes() {
                prop_assert!(is_legal_label_name(&once), "{:?}", once);
            }
        }
    }
}
