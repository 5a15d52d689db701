//! Protobuf bodies, written by an independent model of the messages.
#![allow(clippy::unwrap_used)]

mod reading;

use reading::client_model::{
    Bucket, COUNTER, Exemplar, Family, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, Histogram, Label, Metric, Number, Quantile,
    SUMMARY, Span, Summary, Time, UNTYPED, body, exemplar, labels, number,
};
use reading::{read, read_as};
use steadyline_scrape::{Entry, Format, Histograms, parse};

fn found(families: &[Family]) -> Vec<String> {
    read(&body(families), Format::Protobuf).unwrap()
}

fn message(families: &[Family]) -> String {
    read(&body(families), Format::Protobuf).unwrap_err().to_string()
}

fn histograms(kind: i32, histogram: Histogram) -> Family {
    let metric = Metric { label: labels(&[("b", "c")]), histogram: Some(histogram), ..Metric::default() };
    Family::new("h", kind, vec![metric])
}

#[test]
fn numbers() {
    let counter = Number {
        value: 5.0,
        exemplar: Some(exemplar("x", 0.5, Some(1))),
        created: Some(Time { seconds: 1_700_000_000, nanos: 123_456_789 }),
    };
    let families = [
        Family {
            help: "what \"it\" is".into(),
            unit: "bytes".into(),
            ..Family::new("a_bytes_total", COUNTER, vec![Metric { counter: Some(counter), ..Metric::default() }])
        },
        Family::new(
            "g",
            GAUGE,
            vec![
                Metric { gauge: number(-1.5), timestamp_ms: Some(-5), ..Metric::default() },
                Metric { gauge: number(0.0), label: labels(&[("z", "1"), ("a", "x\"\\\n")]), ..Metric::default() },
                Metric {
                    gauge: number(f64::from_bits(0x7ff0_0000_0000_0002)),
                    timestamp_ms: Some(0),
                    ..Metric::default()
                },
            ],
        ),
        Family { unit: "of nothing".into(), ..Family::new("empty", GAUGE, vec![]) },
        Family::new("u", UNTYPED, vec![Metric { untyped: number(7.0), ..Metric::default() }]),
    ];
    assert_eq!(
        found(&families),
        [
            "TYPE a_bytes_total Counter",
            r#"HELP a_bytes_total "what \"it\" is""#,
            "UNIT a_bytes_total bytes",
            r#"a_bytes_total{} 5 ^1700000000123 # {id="x"} 0.5 @1000"#,
            "TYPE g Gauge",
            "g{} -1.5 @-5",
            r#"g{a="x\"\\\n",z="1"} 0"#,
            "g{} NaN",
            "TYPE u Unknown",
            "u{} 7",
        ]
    );
}

#[test]
fn no_measurement_is_a_stale_marker() {
    let stale = Metric { gauge: number(f64::from_bits(0x7ff0_0000_0000_0002)), ..Metric::default() };
    let body = body(&[Family::new("g", GAUGE, vec![stale])]);
    let mut parser = parse(&body, Format::Protobuf);
    parser.next_entry().unwrap().unwrap();
    let Some(Ok(Entry::Sample(sample))) = parser.next_entry() else { panic!("a sample") };
    assert_eq!(sample.value.to_bits(), 0x7ff8_0000_0000_0001);
}

#[test]
fn a_series_has_the_text_that_a_text_format_would_show() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let rows: &[Row<'_>] = &[
        ("a", &[], "a"),
        ("a:b", &[("c", "d")], r#"a:b{c="d"}"#),
        ("a", &[("z", "\\\"\n"), ("b", "")], r#"a{z="\\\"\n",b=""}"#),
        ("a.b", &[], r#"{"a.b"}"#),
        ("a \"b\"", &[("c", "d")], r#"{"a \"b\"",c="d"}"#),
        ("a", &[("c.d", "e")], r#"a{"c.d"="e"}"#),
        ("1a", &[("1", "2")], r#"{"1a","1"="2"}"#),
    ];
    for (name, pairs, expected) in rows {
        let metric = Metric { label: labels(pairs), gauge: number(1.0), ..Metric::default() };
        let body = body(&[Family::new(name, GAUGE, vec![metric])]);
        let mut parser = parse(&body, Format::Protobuf);
        parser.next_entry().unwrap().unwrap();
        let Some(Ok(Entry::Sample(sample))) = parser.next_entry() else { panic!("a sample") };
        assert_eq!(String::from_utf8_lossy(sample.series), *expected);
    }
}

#[test]
fn summaries() {
    let summary = Summary {
        count: 3,
        sum: 4.5,
        quantile: vec![Quantile { quantile: 0.5, value: 1.0 }, Quantile { quantile: 1.0, value: f64::NAN }],
        created: Some(Time { seconds: 1, nanos: 0 }),
    };
    let metric =
        Metric { label: labels(&[("b", "c")]), summary: Some(summary), timestamp_ms: Some(9), ..Metric::default() };
    let bare = Metric { summary: Some(Summary::default()), ..Metric::default() };
    assert_eq!(
        found(&[Family::new("s.t", SUMMARY, vec![metric, bare])]),
        [
            "TYPE s.t Summary",
            r#"s.t_count{b="c"} 3 @9 ^1000"#,
            r#"s.t_sum{b="c"} 4.5 @9 ^1000"#,
            r#"s.t{b="c",quantile="0.5"} 1 @9 ^1000"#,
            r#"s.t{b="c",quantile="1"} NaN @9 ^1000"#,
            "s.t_count{} 0",
            "s.t_sum{} 0",
        ]
    );
}

#[test]
fn classic_histograms() {
    let bucket = |bound, count| Bucket { bound, count, ..Bucket::default() };
    let mut histogram =
        Histogram { count: 3, sum: 4.5, bucket: vec![bucket(1.0, 1), bucket(2.5, 2)], ..Histogram::default() };
    histogram.bucket[1].exemplar = Some(exemplar("x", 2.0, None));
    let text = [
        "TYPE h Histogram",
        r#"h_count{b="c"} 3"#,
        r#"h_sum{b="c"} 4.5"#,
        r#"h_bucket{b="c",le="1"} 1"#,
        r#"h_bucket{b="c",le="2.5"} 2 # {id="x"} 2"#,
        r#"h_bucket{b="c",le="+Inf"} 3"#,
    ];
    assert_eq!(found(&[histograms(HISTOGRAM, histogram.clone())]), text);
    histogram.bucket.push(bucket(f64::INFINITY, 3));
    assert_eq!(found(&[histograms(HISTOGRAM, histogram)]), text);
    assert_eq!(
        found(&[histograms(GAUGE_HISTOGRAM, Histogram::default())]),
        ["TYPE h GaugeHistogram", r#"h_count{b="c"} 0"#, r#"h_sum{b="c"} 0"#, r#"h_bucket{b="c",le="+Inf"} 0"#]
    );
}

#[test]
fn classic_histograms_of_floats() {
    let bucket = Bucket { bound: 1.0, count_float: 0.5, ..Bucket::default() };
    let histogram = Histogram { count_float: 1.5, bucket: vec![bucket], ..Histogram::default() };
    assert_eq!(
        found(&[histograms(HISTOGRAM, histogram)])[1..],
        [
            r#"h_count{b="c"} 1.5"#,
            r#"h_sum{b="c"} 0"#,
            r#"h_bucket{b="c",le="1"} 0.5"#,
            r#"h_bucket{b="c",le="+Inf"} 1.5"#
        ]
    );
}

fn native() -> Histogram {
    Histogram {
        count: 10,
        sum: 4.5,
        schema: -2,
        zero_threshold: 0.25,
        zero_count: 2,
        positive_span: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive_delta: vec![1, 2, -1],
        negative_span: vec![Span { offset: 0, length: 1 }],
        negative_delta: vec![2],
        ..Histogram::default()
    }
}

#[test]
fn native_histograms() {
    let timed = |id, seconds| exemplar(id, 1.0, Some(seconds));
    let mut histogram = native();
    histogram.created = Some(Time { seconds: 2, nanos: 500_000_000 });
    histogram.exemplars = vec![timed("x", 1), exemplar("untimed", 1.0, None), timed("y", 2)];
    histogram.bucket =
        vec![Bucket { bound: 1.0, count: 10, exemplar: Some(timed("of a bucket", 3)), ..Bucket::default() }];
    let shown = r#"h{b="c"} int schema=-2 zero=2/0.25 count=10 sum=4.5 +[-1:2,3:1][1, 2, -1] -[0:1][2] "#;
    let times = r#" ^2500 # {id="x"} 1 @1000 # {id="y"} 1 @2000"#;
    assert_eq!(found(&[histograms(HISTOGRAM, histogram.clone())])[1..], [format!("{shown}Unknown{times}")]);
    assert_eq!(found(&[histograms(GAUGE_HISTOGRAM, histogram.clone())])[1..], [format!("{shown}Gauge{times}")]);
    histogram.exemplars.clear();
    let times = r#" ^2500 # {id="of a bucket"} 1 @3000"#;
    assert_eq!(found(&[histograms(HISTOGRAM, histogram)])[1..], [format!("{shown}Unknown{times}")]);
}

#[test]
fn native_histograms_of_floats() {
    let histogram = Histogram {
        count_float: 2.5,
        zero_count_float: 0.5,
        zero_threshold: 0.25,
        positive_span: vec![Span { offset: 1, length: 2 }],
        positive_count: vec![0.5, 1.0],
        negative_span: vec![Span { offset: 1, length: 1 }],
        negative_count: vec![0.5],
        ..Histogram::default()
    };
    assert_eq!(
        found(&[histograms(HISTOGRAM, histogram.clone())])[1..],
        [r#"h{b="c"} float schema=0 zero=0.5/0.25 count=2.5 sum=0 +[1:2][0.5, 1.0] -[1:1][0.5] Unknown"#]
    );
    let gauge = found(&[histograms(GAUGE_HISTOGRAM, histogram)]);
    assert!(gauge[1].starts_with(r#"h{b="c"} float"#) && gauge[1].ends_with(" Gauge"), "{gauge:?}");
}

#[test]
fn what_makes_a_histogram_a_native_one() {
    let no_op = vec![Span { offset: 0, length: 0 }];
    let rows = [
        (Histogram::default(), false),
        (Histogram { zero_threshold: 1e-128, ..Histogram::default() }, true),
        (Histogram { zero_count: 1, count: 1, ..Histogram::default() }, true),
        (Histogram { positive_span: no_op.clone(), ..Histogram::default() }, true),
        (Histogram { negative_span: no_op, ..Histogram::default() }, true),
    ];
    for (histogram, native) in rows {
        let entries = found(&[histograms(HISTOGRAM, histogram.clone())]);
        assert_eq!(entries[1].contains(" int schema="), native, "{histogram:?}: {entries:?}");
    }
}

#[test]
fn a_span_without_buckets_moves_the_next() {
    let histogram = Histogram {
        count: 3,
        positive_span: [(2, 1), (3, 0), (4, 1), (9, 0)].map(|(offset, length)| Span { offset, length }).to_vec(),
        positive_delta: vec![1, 1],
        ..Histogram::default()
    };
    assert!(found(&[histograms(HISTOGRAM, histogram)])[1].contains("+[2:1,7:1][1, 1]"));
}

#[test]
fn native_and_classic_by_choice() {
    let mut histogram = native();
    histogram.bucket = vec![Bucket { bound: 1.0, count: 4, ..Bucket::default() }];
    let bytes = body(&[histograms(HISTOGRAM, histogram), histograms(HISTOGRAM, native())]);
    let shown = |histograms| {
        let entries = read_as(&bytes, Format::Protobuf, histograms).unwrap();
        let kinds = entries.iter().map(|entry| match entry {
            entry if entry.contains("int schema") => "native",
            entry => entry.split(['{', ' ']).next().unwrap(),
        });
        kinds.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(Histograms::Native), "TYPE native TYPE native");
    assert_eq!(shown(Histograms::Both), "TYPE native h_count h_sum h_bucket h_bucket TYPE native");
    assert_eq!(shown(Histograms::Classic), "TYPE h_count h_sum h_bucket h_bucket TYPE h_count h_sum h_bucket");
}

#[test]
fn native_histograms_that_contradict_themselves() {
    let span = |offset, length| Span { offset, length };
    type Row = (fn(&mut Histogram), &'static str);
    let rows: &[Row] = &[
        (|h| h.schema = 9, "its schema is not between -4 and 8"),
        (|h| h.schema = -53, "its schema is not between -4 and 8"),
        (|h| h.count = 9, "its count is not what its buckets hold"),
        (|h| h.count = 11, "its count is not what its buckets hold"),
        (|h| (h.count, h.sum) = (9, f64::NAN), "its count is not what its buckets hold"),
        (|h| h.positive_delta.truncate(2), "its spans do not cover its buckets"),
        (|h| h.negative_span.clear(), "its spans do not cover its buckets"),
        (|h| h.positive_delta[1] = -2, "a count is negative"),
        (|h| h.positive_delta[1] = i64::MAX, "its counts overflow"),
        (|h| h.zero_count = u64::MAX, "its counts overflow"),
        (|h| h.positive_span[1].offset = -1, "its spans overlap"),
        (|h| h.positive_span[1].length = u32::MAX, "its spans do not cover its buckets"),
        (|h| h.count_float = -1.0, ""),
        (|h| (h.zero_count_float, h.count_float) = (1.0, -1.0), "a count is negative"),
        (|h| (h.zero_count_float, h.count_float) = (f64::NAN, 1.0), "a count is negative"),
        (|h| h.count_float = 1.0, "its spans do not cover its buckets"),
    ];
    for (at, (spoil, why)) in rows.iter().enumerate() {
        let mut histogram = native();
        spoil(&mut histogram);
        let result = read(&body(&[histograms(HISTOGRAM, histogram)]), Format::Protobuf);
        match result {
            Ok(entries) => assert!(why.is_empty(), "row {at}: {entries:?}"),
            Err(error) => {
                let name = r#"h{b="c"}"#;
                assert_eq!(
                    error.fault.to_string(),
                    format!("the native histogram `{name}` is not consistent: {why}"),
                    "row {at}"
                );
            }
        }
    }
    let mut floats = Histogram { count_float: 1.0, positive_span: vec![span(0, 1)], ..Histogram::default() };
    for count in [-1.0, f64::NAN] {
        floats.positive_count = vec![count];
        assert!(message(&[histograms(HISTOGRAM, floats.clone())]).ends_with("a count is negative"));
    }
    let mut more = native();
    (more.count, more.sum) = (11, f64::NAN);
    assert_eq!(found(&[histograms(HISTOGRAM, more)]).len(), 2, "what is not a number is counted, and in no bucket");
}

#[test]
fn what_is_no_family() {
    let gauge = || Metric { gauge: number(1.0), ..Metric::default() };
    let family = || Family::new("g", GAUGE, vec![gauge()]);
    let label = |name: &[u8], value: &[u8]| Label { name: name.to_vec(), value: value.to_vec() };
    let labelled = |label: Vec<Label>| Family::new("g", GAUGE, vec![Metric { label, ..gauge() }]);
    let rows = [
        (Family { name: vec![], ..family() }, "byte 0: `` has no metric name"),
        (Family { name: vec![0xff], ..family() }, "byte 0: `\u{fffd}` is not valid UTF-8"),
        (Family { kind: Some(6), ..family() }, "byte 0: unknown metric type `6`"),
        (Family { unit: "s".into(), ..family() }, "byte 0: the unit `s` is not the end of the metric name `g`"),
        (Family { kind: Some(COUNTER), ..family() }, "byte 6: a metric of the family `g` has no value of its type"),
        (Family { kind: None, ..family() }, "byte 4: a metric of the family `g` has no value of its type"),
        (labelled(labels(&[("a", "1"), ("a", "2")])), "byte 6: the label `a` is there twice"),
        (labelled(labels(&[("__name__", "x")])), "byte 6: the label `__name__` is there twice"),
        (labelled(labels(&[("", "x")])), "byte 6: expected the name of a label, found `\"\"`"),
        (labelled(vec![label(b"a", b"\xff")]), "byte 6: `\u{fffd}` is not valid UTF-8"),
        (labelled(vec![label(b"\xff", b"a")]), "byte 6: `\u{fffd}` is not valid UTF-8"),
    ];
    for (family, expected) in rows {
        assert_eq!(message(std::slice::from_ref(&family)), expected, "{family:?}");
    }
    let bad = Exemplar { label: vec![label(b"id", b"\xff")], ..Exemplar::default() };
    let counter = Number { exemplar: Some(bad), ..Number::default() };
    let counter = Metric { counter: Some(counter), ..Metric::default() };
    assert!(message(&[Family::new("c", COUNTER, vec![counter])]).ends_with("is not valid UTF-8"));
}

#[test]
fn a_body_that_is_cut_is_an_error_or_ends_between_two_families() {
    let whole = body(&[
        histograms(HISTOGRAM, native()),
        Family::new("g", GAUGE, vec![Metric { gauge: number(1.0), ..Metric::default() }]),
    ]);
    let first = body(&[histograms(HISTOGRAM, native())]).len();
    for end in 0..whole.len() {
        let result = read(&whole[..end], Format::Protobuf);
        assert_eq!(result.is_ok(), end == 0 || end == first, "{end}: {result:?}");
    }
}

#[test]
fn fields_that_nobody_knows_are_skipped() {
    let metric = Metric { gauge: number(1.0), ..Metric::default() };
    let mut bytes = body(&[Family::new("g", GAUGE, vec![metric])]);
    // Field 100 as a varint, field 101 as bytes.
    let more = [0xa0, 0x06, 0x05, 0xaa, 0x06, 0x01, b'x'];
    bytes.extend_from_slice(&more);
    bytes[0] += more.len() as u8;
    assert_eq!(read(&bytes, Format::Protobuf).unwrap(), ["TYPE g Gauge", "g{} 1"]);
}
