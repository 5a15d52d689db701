//! Exposition: exact text for each kind, and a small independent parser that reads arbitrary families back.
#![allow(clippy::unwrap_used)]

mod parser;

use parser::{Line, parse};
use proptest::prelude::*;
use steadyline_prometheus::exposition::{Encoding, Family, Format, Histogram, SampleValue, Series, Summary, Writer};
use steadyline_prometheus::names::Escaping;
use steadyline_prometheus::{Exemplar, MetricKind, NativeHistogram, values};

const TEXT: Format = Format { encoding: Encoding::Text, escaping: Escaping::Underscores };
const OPEN: Format = Format { encoding: Encoding::OpenMetrics, escaping: Escaping::Underscores };
const UTF8: Format = Format { encoding: Encoding::OpenMetrics, escaping: Escaping::AllowUtf8 };

fn write(format: Format, family: &Family<'_>, series: &[Series<'_>]) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, format);
    writer.family(family, series.iter().copied());
    writer.finish();
    String::from_utf8(out).unwrap()
}

fn family(name: &'static str, kind: MetricKind) -> Family<'static> {
    Family { name, help: "", unit: "", kind }
}

#[test]
fn a_gauge_in_both_texts() {
    let family = Family {
        name: "onboarding_age_seconds",
        help: "how \"old\" \\ or\nnew",
        unit: "seconds",
        kind: MetricKind::Gauge,
    };
    let labels = [("account_id", "a\"b\\c\nd"), ("env", "dev")];
    let mut series = Series::new(&labels, SampleValue::Number(5.0));
    series.timestamp_ms = Some(1_700_000_000_250);
    let text = write(TEXT, &family, &[series]);
    assert_eq!(
        text,
        "# HELP onboarding_age_seconds how \"old\" \\\\ or\\nnew\n\
         # TYPE onboarding_age_seconds gauge\n\
         onboarding_age_seconds{account_id=\"a\\\"b\\\\c\\nd\",env=\"dev\"} 5 1700000000250\n"
    );
    let open = write(OPEN, &family, &[series]);
    assert_eq!(
        open,
        "# HELP onboarding_age_seconds how \\\"old\\\" \\\\ or\\nnew\n\
         # TYPE onboarding_age_seconds gauge\n\
         # UNIT onboarding_age_seconds seconds\n\
         onboarding_age_seconds{account_id=\"a\\\"b\\\\c\\nd\",env=\"dev\"} 5 1700000000.25\n\
         # EOF\n"
    );
}

#[test]
fn types_and_names_never_change_what_a_series_is_called() {
    use MetricKind::{Counter, Gauge, GaugeHistogram, Info, StateSet, Unknown};
    let rows = [
        // name, kind, TYPE in text, TYPE in OpenMetrics
        ("requests_total", Counter, "requests_total counter", "requests counter"),
        ("requests", Counter, "requests counter", "requests unknown"),
        ("_total", Counter, "_total counter", "_total unknown"),
        ("target_info", Info, "target_info gauge", "target info"),
        ("target", Info, "target gauge", "target gauge"),
        ("g", Gauge, "g gauge", "g gauge"),
        ("u", Unknown, "u untyped", "u unknown"),
        ("s", StateSet, "s gauge", "s gauge"),
        ("h", GaugeHistogram, "h histogram", "h gaugehistogram"),
    ];
    for (name, kind, text, open) in rows {
        let series = [Series::new(&[], SampleValue::Number(1.0))];
        assert_eq!(write(TEXT, &family(name, kind), &series), format!("# TYPE {text}\n{name} 1\n"));
        assert_eq!(write(OPEN, &family(name, kind), &series), format!("# TYPE {open}\n{name} 1\n# EOF\n"));
    }
}

#[test]
fn units_are_shown_only_where_the_name_ends_with_them() {
    for (name, unit, kind, shown) in [
        ("a_seconds_total", "seconds", MetricKind::Counter, Some("# UNIT a_seconds seconds\n")),
        ("a_seconds", "seconds", MetricKind::Gauge, Some("# UNIT a_seconds seconds\n")),
        ("aseconds", "seconds", MetricKind::Gauge, None),
        ("seconds", "seconds", MetricKind::Gauge, None),
        ("a", "", MetricKind::Gauge, None),
    ] {
        let family = Family { name, help: "", unit, kind };
        let text = write(OPEN, &family, &[Series::new(&[], SampleValue::Number(0.0))]);
        match shown {
            Some(line) => assert!(text.contains(line), "{text}"),
            None => assert!(!text.contains("UNIT"), "{text}"),
        }
    }
}

#[test]
fn a_histogram_with_exemplars() {
    let exemplars = [
        Exemplar { labels: &[("trace_id", "old")], value: 0.5, timestamp_ms: Some(1000) },
        Exemplar { labels: &[("trace_id", "new")], value: 0.7, timestamp_ms: None },
        Exemplar { labels: &[("trace_id", "edge")], value: 2.5, timestamp_ms: Some(1500) },
        Exemplar { labels: &[("trace_id", "far")], value: 99.0, timestamp_ms: None },
    ];
    let histogram = Histogram { buckets: &[(1.0, 4), (2.5, 6)], sum: Some(12.25), count: 7 };
    let mut series = Series::new(&[("path", "/")], SampleValue::Histogram(histogram));
    series.exemplars = &exemplars;
    let family = family("h", MetricKind::Histogram);
    assert_eq!(
        write(OPEN, &family, &[series]),
        "# TYPE h histogram\n\
         h_bucket{path=\"/\",le=\"1\"} 4 # {trace_id=\"new\"} 0.7\n\
         h_bucket{path=\"/\",le=\"2.5\"} 6 # {trace_id=\"edge\"} 2.5 1.5\n\
         h_bucket{path=\"/\",le=\"+Inf\"} 7 # {trace_id=\"far\"} 99\n\
         h_count{path=\"/\"} 7\n\
         h_sum{path=\"/\"} 12.25\n\
         # EOF\n"
    );
    let text = write(TEXT, &family, &[series]);
    assert!(text.contains("h_bucket{path=\"/\",le=\"1\"} 4\n"), "{text}");
    let unsummed = Histogram { buckets: &[(f64::INFINITY, 7)], sum: None, count: 7 };
    assert_eq!(
        write(TEXT, &family, &[Series::new(&[], SampleValue::Histogram(unsummed))]),
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 7\nh_count 7\n"
    );
}

#[test]
fn exemplars_that_openmetrics_forbids_are_left_out() {
    let long = "x".repeat(121);
    for (name, kind, text, allowed) in [
        ("a_total", MetricKind::Counter, "short", true),
        ("a_total", MetricKind::Counter, long.as_str(), false),
        ("a", MetricKind::Counter, "short", false),
        ("a", MetricKind::Gauge, "short", false),
    ] {
        let labels = [("trace_id", text)];
        let exemplars = [Exemplar { labels: &labels, value: 1.0, timestamp_ms: None }];
        let mut series = Series::new(&[], SampleValue::Number(1.0));
        series.exemplars = &exemplars;
        let written = write(OPEN, &family(name, kind), &[series]);
        assert_eq!(written.contains("trace_id"), allowed, "{written}");
    }
}

#[test]
fn a_summary_and_a_native_histogram_as_text() {
    let summary = Summary { quantiles: &[(0.5, 1.25), (1.0, f64::NAN)], sum: 3.0, count: 2 };
    assert_eq!(
        write(TEXT, &family("s", MetricKind::Summary), &[Series::new(&[], SampleValue::Summary(summary))]),
        "# TYPE s summary\ns{quantile=\"0.5\"} 1.25\ns{quantile=\"1\"} NaN\ns_count 2\ns_sum 3\n"
    );
    let native = NativeHistogram { count: 9, sum_bits: 4.5f64.to_bits(), ..NativeHistogram::STALE };
    assert_eq!(
        write(TEXT, &family("n", MetricKind::Histogram), &[Series::new(&[], SampleValue::NativeHistogram(native))]),
        "# TYPE n histogram\nn_bucket{le=\"+Inf\"} 9\nn_count 9\nn_sum 4.5\n"
    );
}

#[test]
fn names_that_are_not_classic_are_quoted_or_escaped() {
    let labels = [("http.status", "200"), ("ok", "1")];
    let series = [Series::new(&labels, SampleValue::Number(1.0))];
    let dotted = family("my.requests\"_total", MetricKind::Counter);
    assert_eq!(
        write(UTF8, &dotted, &series),
        "# TYPE \"my.requests\\\"\" counter\n\
         {\"my.requests\\\"_total\",\"http.status\"=\"200\",ok=\"1\"} 1\n# EOF\n"
    );
    assert_eq!(
        write(OPEN, &dotted, &series),
        "# TYPE my_requests_ counter\nmy_requests__total{http_status=\"200\",ok=\"1\"} 1\n# EOF\n"
    );
    let values = Format { escaping: Escaping::Values, ..TEXT };
    assert_eq!(
        write(values, &family("a.b", MetricKind::Gauge), &series),
        "# TYPE U__a_2e_b gauge\nU__a_2e_b{U__http_2e_status=\"200\",ok=\"1\"} 1\n"
    );
}

#[test]
fn a_family_without_series_leaves_no_trace() {
    for encoding in [Encoding::Text, Encoding::OpenMetrics, Encoding::Protobuf] {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Format { encoding, escaping: Escaping::Underscores });
        writer.family(&family("a", MetricKind::Gauge), []);
        drop(writer);
        assert!(out.is_empty(), "{encoding:?}");
    }
}

/// A family of plain numbers: name, help, and series of labels, value and time.
type Numbers = (String, String, Vec<(Vec<(String, String)>, f64, Option<i64>)>);

fn any_numbers() -> impl Strategy<Value = Numbers> {
    let labels = prop::collection::btree_map("[a-z.é]{1,5}", any::<String>(), 0..4)
        .prop_map(|labels| labels.into_iter().collect());
    let time = prop::option::of(-1_000_000_000_000..4_000_000_000_000i64);
    ("[a-z.\"\\\\é]{1,6}", any::<String>(), prop::collection::vec((labels, any::<f64>(), time), 1..5))
}

proptest! {
    #[test]
    fn what_is_written_reads_back(numbers in any_numbers(), open: bool) {
        let (name, help, rows) = &numbers;
        let encoding = if open { Encoding::OpenMetrics } else { Encoding::Text };
        let labels: Vec<Vec<(&str, &str)>> = rows
            .iter()
            .map(|(labels, ..)| labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect())
            .collect();
        let series: Vec<Series> = rows
            .iter()
            .zip(&labels)
            .map(|((_, value, timestamp_ms), labels)| Series {
                timestamp_ms: *timestamp_ms,
                ..Series::new(labels, SampleValue::Number(*value))
            })
            .collect();
        let family = Family { name, help, unit: "", kind: MetricKind::Gauge };
        let text = write(Format { encoding, escaping: Escaping::AllowUtf8 }, &family, &series);
        let mut lines = parse(&text, open).into_iter();
        if !help.is_empty() {
            prop_assert_eq!(lines.next(), Some(Line::Help(name.clone(), help.clone())));
        }
        prop_assert_eq!(lines.next(), Some(Line::Type(name.clone(), "gauge".into())));
        for (labels, value, time) in rows {
            let Some(Line::Sample { name: read, labels: read_labels, bits, millis }) = lines.next() else {
                return Err(TestCaseError::fail("no sample"));
            };
            prop_assert_eq!((&read, &read_labels, millis), (name, labels, *time));
            if value.is_nan() {
                prop_assert!(f64::from_bits(bits).is_nan());
            } else {
                prop_assert_eq!(bits, value.to_bits());
            }
        }
        prop_assert_eq!(lines.next(), open.then_some(Line::Eof));
        prop_assert_eq!(lines.next(), None);
    }
}

#[test]
fn a_stale_marker_has_no_form_as_text() {
    let value = SampleValue::Number(f64::from_bits(values::STALE_NAN_BITS));
    let text = write(TEXT, &family("a", MetricKind::Gauge), &[Series::new(&[], value)]);
    assert_eq!(text, "# TYPE a gauge\na NaN\n");
}
