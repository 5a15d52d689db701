//! Whatever arrives: no panic, and what our own writer shows is read back as it was.
#![allow(clippy::unwrap_used)]

mod reading;

use proptest::prelude::*;
use reading::{read, read_as};
use steadyline_prometheus::exposition::{Encoding, Family, Histogram, SampleValue, Series, Summary, Writer};
use steadyline_prometheus::names::Escaping;
use steadyline_prometheus::{Buckets, Exemplar, MetricKind, NativeHistogram, ResetHint, Span};
use steadyline_scrape::{Format, Histograms};

const FORMATS: [(Encoding, Format); 3] = [
    (Encoding::Text, Format::Text),
    (Encoding::OpenMetrics, Format::OpenMetrics),
    (Encoding::Protobuf, Format::Protobuf),
];

fn written(encoding: Encoding, family: &Family<'_>, series: &[Series<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let format = steadyline_prometheus::exposition::Format { encoding, escaping: Escaping::AllowUtf8 };
    let mut writer = Writer::new(&mut out, format);
    writer.family(family, series.iter().copied());
    writer.finish();
    out
}

fn samples(encoding: Encoding, format: Format, family: &Family<'_>, series: &[Series<'_>]) -> Vec<String> {
    let body = written(encoding, family, series);
    let entries = read(&body, format).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)));
    let mut samples: Vec<String> = entries.into_iter().filter(|entry| !is_description(entry)).collect();
    samples.sort();
    samples
}

fn is_description(entry: &str) -> bool {
    ["TYPE ", "HELP ", "UNIT "].iter().any(|keyword| entry.starts_with(keyword))
}

#[test]
fn what_the_writer_shows_is_what_is_read() {
    let labels = [("code", "2\"0\\0\n"), ("z.ü", "")];
    let exemplar_labels = [("trace_id", "x")];
    let exemplars = [Exemplar { labels: &exemplar_labels, value: 0.5, timestamp_ms: Some(1500) }];
    let values = [
        (MetricKind::Gauge, SampleValue::Number(f64::NEG_INFINITY)),
        (MetricKind::Counter, SampleValue::Number(5.0)),
        (MetricKind::Unknown, SampleValue::Number(-0.0)),
        (
            MetricKind::Histogram,
            SampleValue::Histogram(Histogram { buckets: &[(0.25, 1), (1.0, 2)], sum: Some(1.5), count: 3 }),
        ),
        (
            MetricKind::Summary,
            SampleValue::Summary(Summary { quantiles: &[(0.5, 1.0), (0.99, f64::NAN)], sum: 2.0, count: 4 }),
        ),
    ];
    for (kind, value) in values {
        let name = if kind == MetricKind::Counter { "a.b_total" } else { "a.b" };
        let family = Family { name, help: "text\nmore", unit: "", kind };
        let mut series = Series::new(&labels, value);
        series.timestamp_ms = Some(1_700_000_000_123);
        series.exemplars = &exemplars;
        let [text, open, protobuf] = FORMATS.map(|(encoding, format)| samples(encoding, format, &family, &[series]));
        assert!(!text.is_empty());
        assert_eq!(open, protobuf, "{kind:?}");
        let without_exemplars: Vec<&str> = open.iter().map(|sample| sample.split(" # ").next().unwrap()).collect();
        assert_eq!(text, without_exemplars, "{kind:?}");
    }
}

#[test]
fn what_the_writer_says_of_a_family_is_read() {
    let family = Family { name: "age_seconds", help: "how \"old\"\n\\", unit: "seconds", kind: MetricKind::Gauge };
    for (encoding, format) in FORMATS {
        let body = written(encoding, &family, &[Series::new(&[], SampleValue::Number(1.0))]);
        let mut entries = read(&body, format).unwrap();
        entries.sort();
        let mut expected = vec![r#"HELP age_seconds "how \"old\"\n\\""#, "TYPE age_seconds Gauge", "age_seconds{} 1"];
        if format != Format::Text {
            expected.insert(2, "UNIT age_seconds seconds");
        }
        assert_eq!(entries, expected, "{format:?}");
    }
}

#[test]
fn a_native_histogram_of_the_writer_is_read() {
    let histogram = NativeHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 1,
        count: 10,
        sum_bits: 2.5f64.to_bits(),
        positive: Buckets {
            spans: &[Span { offset: 4, length: 1 }, Span { offset: 2, length: 2 }],
            deltas: &[1, 1, 1],
        },
        negative: Buckets { spans: &[Span { offset: -3, length: 1 }], deltas: &[3] },
        custom_bounds: &[],
        reset_hint: ResetHint::Unknown,
    };
    let family = Family { name: "h", help: "", unit: "", kind: MetricKind::Histogram };
    let mut series = Series::new(&[("b", "c")], SampleValue::NativeHistogram(histogram));
    series.start_ms = Some(1001);
    let body = written(Encoding::Protobuf, &family, &[series]);
    let shown = format!(
        r#"h{{b="c"}} int schema=3 zero=1/{} count=10 sum=2.5 +[4:1,2:2][1, 1, 1] -[-3:1][3] Unknown ^1001"#,
        1e-128
    );
    assert_eq!(read(&body, Format::Protobuf).unwrap(), ["TYPE h Histogram".to_owned(), shown]);
    assert_eq!(samples(Encoding::Text, Format::Text, &family, &[series]).len(), 3);
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), any::<i32>().prop_map(f64::from)]
}

/// Bytes that look like a body here and there.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "# TYPE a counter\n",
            "# HELP a b\\n\n",
            "# UNIT a_s s\n",
            "# EOF\n",
            "a_created 1\n",
            "a{b=\"c\"} 1\n",
            "{\"a\",",
            "b=\"",
            "\\\"",
            "\\",
            "\"",
            "{",
            "}",
            ",",
            "=",
            "#",
            " # {",
            " 1",
            " 1.5e3",
            "\n",
            " ",
            "\t",
            "NaN",
            "_total",
            "\0",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Field headers and lengths that often fit.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        (1u8..17, any::<u8>()).prop_map(|(field, value)| vec![field << 3, value & 0x7f]),
        (1u8..16, any::<f64>()).prop_map(|(field, value)| [&[field << 3 | 1][..], &value.to_le_bytes()].concat()),
        (1u8..16, "[a-c]{0,3}")
            .prop_map(|(field, text)| [&[field << 3 | 2, text.len() as u8][..], text.as_bytes()].concat()),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        (1u8..16, prop::collection::vec(inner, 0..6)).prop_map(|(field, parts)| {
            let content = parts.concat();
            let len = content.len().min(127);
            [&[field << 3 | 2, len as u8][..], &content[..len]].concat()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_panics(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), pieces()]) {
        for (_, format) in FORMATS {
            let _ = read(&bytes, format);
        }
    }

    #[test]
    fn nothing_panics_in_protobuf(fields in prop::collection::vec(messages(), 0..6)) {
        let content: Vec<u8> = fields.concat();
        let content = &content[..content.len().min(127)];
        let body = [&[content.len() as u8], content].concat();
        for histograms in [Histograms::Native, Histograms::Both, Histograms::Classic] {
            let _ = read_as(&body, Format::Protobuf, histograms);
        }
    }

    #[test]
    fn every_series_comes_back(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,8}|\\PC{1,6}",
        pairs in prop::collection::btree_map("[a-z]{1,4}|\\PC{1,4}", any::<String>(), 0..5),
        number in value(),
        millis in prop::option::of(-1_000_000_000_000i64..1_000_000_000_000_000),
    ) {
        // The parser takes a timestamp of 0 in protobuf for none, as Prometheus does.
        prop_assume!(millis != Some(0) && !pairs.contains_key("__name__"));
        let labels: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let family = Family { name: &name, help: "", unit: "", kind: MetricKind::Gauge };
        let mut series = Series::new(&labels, SampleValue::Number(number));
        series.timestamp_ms = millis;
        let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let at = millis.map_or(String::new(), |millis| format!(" @{millis}"));
        let expected = vec![format!("{name}{{{}}} {number}{at}", shown.join(","))];
        for (encoding, format) in FORMATS {
            prop_assert_eq!(&samples(encoding, format, &family, &[series]), &expected, "{:?}", format);
        }
    }
}
