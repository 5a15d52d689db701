//! What programs print, and what comes of it.

use steadyline_component::testkit::render;

use super::*;

fn reader(format: Format) -> Reader {
    Reader::new(format, &BTreeMap::from([("host".to_string(), "h".to_string())]), 1000)
}

/// Lines of the test kit's notation, and what was rejected.
fn read(format: Format, text: &str) -> (Vec<String>, Vec<String>) {
    let reading = reader(format).read(text.as_bytes(), 1, 60_000_000_000, true);
    let lines = reading.data.iter().flat_map(|data| match data {
        Data::Metrics(metrics) => render(metrics),
        Data::Opaque(opaque) => vec![format!("{} {}", opaque.items(), opaque.signal())],
    });
    let lines = lines.filter(|line| line != r#"resource{host="h"}"#).collect();
    (lines, reading.rejected.iter().map(Rejected::to_string).collect())
}

fn good(format: Format, text: &str, expected: &[&str]) {
    let (lines, rejected) = read(format, text);
    assert_eq!((lines.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), rejected), (expected, Vec::new()));
}

fn bad(format: Format, text: &str, word: &str) {
    let (lines, rejected) = read(format, text);
    assert!(lines.is_empty() && rejected.len() == 1 && rejected[0].contains(word), "{text}: {lines:?} {rejected:?}");
}

#[test]
fn prometheus_text() {
    good(
        Format::Prometheus,
        "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\",e=\"\"} 5 1000\n# TYPE b gauge\nb 2.5\nc NaN\n",
        &["counter a_total{x=\"1\"} 5 @1", "b 2.5 @60", "c NaN @60"],
    );
    good(
        Format::Prometheus,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n",
        &["histogram h body(46) @60"],
    );
    good(
        Format::Prometheus,
        "# TYPE s summary\ns{quantile=\"0.5\"} 2\ns_sum 4\ns_count 3\n",
        &["summary s body(38) @60"],
    );
    good(Format::Prometheus, "", &[]);
}

#[test]
fn histograms_hold_what_their_series_say() {
    let text = "# TYPE h histogram\nh_bucket{a=\"x\",le=\"1\"} 2\nh_bucket{a=\"x\",le=\"+Inf\"} 3\nh_sum{a=\"x\"} 4\nh_count{a=\"x\"} 3\n";
    let reading = reader(Format::Prometheus).read(text.as_bytes(), 1, 1, true);
    let Data::Metrics(metrics) = &reading.data[0] else { panic!("metrics") };
    let point = metrics.tables().points[0];
    let view = steadyline_component::telemetry::metrics::HistogramView::new(metrics.bytes(point.body));
    assert_eq!((view.count, view.sum), (3, Some(4.0)));
    assert_eq!(view.bounds().collect::<Vec<_>>(), [1.0]);
    assert_eq!(view.bucket_counts().collect::<Vec<_>>(), [2, 1]);
    assert_eq!(metrics.pairs(point.attributes()).count(), 1);
}

#[test]
fn what_is_no_whole_histogram_stays_its_series() {
    good(
        Format::Prometheus,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 4\n",
        &["h_bucket{le=\"1\"} 2 @60", "h_sum 4 @60"],
    );
    for wrong in [
        "h_bucket{le=\"1\"} 5\nh_count 3\n",
        "h_bucket{le=\"1\"} 2.5\nh_count 3\n",
        "h_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 1\nh_count 3\n",
    ] {
        let (lines, rejected) = read(Format::Prometheus, &format!("# TYPE h histogram\n{wrong}"));
        assert!(rejected.is_empty() && lines.iter().all(|line| line.starts_with("h_")), "{wrong} {lines:?}");
    }
}

#[test]
fn openmetrics() {
    let text = "# TYPE a counter\n# UNIT a_seconds seconds\na_total{x=\"1\"} 5 2.5\na_created{x=\"1\"} 1\n# EOF\n";
    good(Format::Openmetrics, text, &["counter a_total{x=\"1\"} 5 @2.5"]);
    let reading = reader(Format::Openmetrics).read(text.as_bytes(), 1, 1, true);
    let Data::Metrics(metrics) = &reading.data[0] else { panic!("metrics") };
    assert_eq!(metrics.tables().points[0].start, 1_000_000_000);
    bad(Format::Openmetrics, "a 1\n", "# EOF");
}

#[test]
fn a_document_that_does_not_read_is_named_by_its_line() {
    for (text, word) in [
        ("a 1\nnot a number here\n", "line 2"),
        ("a{x=\"1\",x=\"2\"} 1\n", "twice"),
        ("a 1\nb 1\na 2\n", "line 3: the series of `a` is there twice"),
        ("a 1 99999999999999999\n", "out of range"),
        ("\u{0}\u{1}\u{2}", "line 1"),
        ("# TYPE h histogram\nh_bucket 1\n", "no label `le`"),
    ] {
        bad(Format::Prometheus, text, word);
    }
    bad(Format::Prometheus, &format!("a 1\nb{{x=\"{}\"}} 1\n", "y".repeat(2000)), "line 2: it is longer");
}

#[test]
fn json_lines() {
    good(
        Format::JsonLines,
        r#"{"name": "a", "value": 3, "attributes": {"q": "x", "n": 1, "ok": true, "none": null}}

{"name": "b", "value": 2.5, "kind": "counter", "unit": "s", "description": "B.", "time": 30, "start": 10}
{"name": "c", "value": -1, "kind": "updown", "time": "1970-01-01T00:00:45Z"}
{"name": "d", "value": "NaN", "kind": "delta"}
{"name": "e", "value": null}
"#,
        &["a{q=\"x\",n=1,ok=true} 3 @60", "counter b 2.5 @30", "updown c -1 @45", "delta d NaN @60", "e held @60"],
    );
}

#[test]
fn json_lines_that_do_not_read_leave_the_others_alone() {
    for (line, word) in [
        ("nothing", "expected"),
        ("{\"name\": \"a\"}", "value"),
        ("{\"value\": 1}", "name"),
        ("{\"name\": \"\", \"value\": 1}", "empty"),
        ("{\"name\": \"a\", \"value\": 1, \"labels\": {}}", "labels"),
        ("{\"name\": \"a\", \"value\": \"1\"}", "number"),
        ("{\"name\": \"a\", \"value\": [1]}", "number"),
        ("{\"name\": \"a\", \"value\": 1, \"kind\": \"histogram\"}", "histogram"),
        ("{\"name\": \"a\", \"value\": 1, \"time\": -5}", "time"),
        ("{\"name\": \"a\", \"value\": 1, \"time\": \"yesterday\"}", "time"),
        ("{\"name\": \"a\", \"value\": 1, \"attributes\": {\"x\": [1]}}", "attributes.x"),
        ("[1]", "line 2"),
        (&"x".repeat(2000), "longer"),
    ] {
        let (lines, rejected) = read(
            Format::JsonLines,
            &format!("{{\"name\": \"ok\", \"value\": 1}}\n{line}\n{{\"name\": \"ok\", \"value\": 2}}"),
        );
        assert_eq!(lines, ["ok 1 @60", "ok 2 @60"], "{line}");
        assert!(
            rejected.len() == 1 && rejected[0].starts_with("line 2: ") && rejected[0].contains(word),
            "{rejected:?}"
        );
    }
}

const METRICS: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"asInt":"3"},{"asDouble":1.5,"timeUnixNano":"30000000000"}]}}]}]}]}"#;
const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#;

#[test]
fn otlp_json_of_every_signal() {
    let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s"},{"name":"t"}]}]}]}"#;
    let expected = ["a 3 @60", "a 1.5 @30", "1 logs", "2 traces"];
    good(Format::OtlpJson, &format!("{METRICS}\n{LOGS}\n\n{spans}\n{{}}\n"), &expected);
    let spread = METRICS.replace(",{\"asDouble", ",\n {\"asDouble");
    good(Format::OtlpJson, &format!("{spread}\n{LOGS} {spans}"), &expected);
    good(Format::OtlpJson, "", &[]);
}

#[test]
fn otlp_json_that_does_not_read_is_named() {
    bad(Format::OtlpJson, "{\"resourceMetrics\": [{\"scopeMetrics\": 5}]}", "line 1");
    bad(Format::OtlpJson, "{\"spans\": []}", "resourceMetrics");
    bad(Format::OtlpJson, "not json", "line 1");
    bad(Format::OtlpJson, "\n\n{\"resourceMetrics\":\n[", "line 4");
    let (lines, rejected) = read(Format::OtlpJson, &format!("{METRICS}\nnot json\n{LOGS}\n"));
    assert_eq!((lines.len(), rejected.len()), (3, 1));
    assert!(rejected[0].starts_with("line 2"));
}

#[test]
fn no_bytes_are_a_panic() {
    let mut state = 7u64;
    for size in 0..2000 {
        let bytes: Vec<u8> = (0..size % 97)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b"a_1{}\"=,# \n\\TYPEle.e-:[]\xff"[(state >> 33) as usize % 25]
            })
            .collect();
        for format in [Format::Prometheus, Format::Openmetrics, Format::JsonLines, Format::OtlpJson] {
            reader(format).read(&bytes, 1, 1, size % 2 == 0);
        }
    }
}
