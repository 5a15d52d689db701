//! Batches in, lines in a file out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadyline_component::receiver::Shutdown;
use steadyline_component::testkit::{self, TestExtensions};
use steadyline_component::{
    Batch, Clock, Data, Exporter, Header, Host, Meter, Pass, PassEnd, Sink, Tally, status::Board,
};
use steadyline_telemetry::wire::{put_bytes, put_fixed64};
use steadyline_telemetry::{Limits, Metrics, Opaque, Signal};

use crate::DebugFactory;

/// An exporter that prints into a file, with a clock that stands at 12:00:10.
struct Harness {
    sink: Arc<dyn Sink>,
    tally: Tally,
    clock: Clock,
    folder: tempfile::TempDir,
    epoch: u64,
}

impl Harness {
    async fn new(yaml: &str) -> Harness {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual((12 * 3600 + 10) * 1_000_000_000);
        let path = folder.path().join("out");
        let yaml = format!("{{output_paths: [\"{}\"], {yaml}}}", path.display());
        let made =
            testkit::create_with::<DebugFactory>(&yaml, &mut TestExtensions::default(), &clock, &Meter::default());
        let Exporter::Direct(sink) = made.unwrap() else { panic!("the exporter has no queue") };
        let board = Board::new(clock.clone());
        sink.start(&Host { clock: clock.clone(), board, shutdown: Shutdown::new().1 }).await.unwrap();
        Harness { sink, tally: Tally::default(), clock, folder, epoch: 0 }
    }

    async fn push(&self, points: &str) -> &Harness {
        self.push_batch(Batch { header: header(None), data: Data::Metrics(testkit::metrics(points)) }).await
    }

    async fn push_batch(&self, batch: Batch) -> &Harness {
        self.sink.consume(batch, &self.tally).await;
        self
    }

    /// A pass of the source: its points, then its end.
    async fn pass(&mut self, points: &str, end: PassEnd) -> &Harness {
        self.epoch += 1;
        let (interval, timeout) = (Duration::from_secs(60), Duration::from_secs(60));
        let pass = Pass { epoch: self.epoch, time: 0, interval, timeout, end: None };
        let data = Data::Metrics(testkit::metrics(points));
        self.push_batch(Batch { header: header(Some(pass.clone())), data }).await;
        let last = header(Some(Pass { end: Some(end), ..pass }));
        self.push_batch(Batch { header: last, data: Data::Metrics(Metrics::default()) }).await
    }

    /// Everything that was printed.
    async fn printed(self) -> String {
        self.sink.shutdown().await;
        std::fs::read_to_string(self.folder.path().join("out")).unwrap()
    }
}

fn header(pass: Option<Pass>) -> Header {
    Header { source: Arc::from("onboarding"), labels_final: true, pass, ..Header::default() }
}

#[tokio::test]
async fn basic_is_one_line_a_batch() {
    let mut harness = Harness::new("").await;
    harness.push("resource{env=\"dev\"}\na{x=\"1\"} 1 @60\na{x=\"2\"} held\nb 2 @60").await;
    harness.push("").await;
    harness.pass("a 1", PassEnd::Complete).await;
    assert_eq!(harness.tally.balance().dropped.into_iter().collect::<Vec<_>>(), [("confirmation".into(), 1)]);
    let expected = concat!(
        "12:00:10 metrics: 1 resource, 2 metrics, 3 data points (1 held) from onboarding\n",
        "12:00:10 metrics: 1 resource, 1 metric, 1 data point from onboarding, pass 1\n",
        "12:00:10 metrics: 0 resources, 0 metrics, 0 data points from onboarding, pass 1 ends complete\n",
    );
    assert_eq!(harness.printed().await, expected);
}

#[tokio::test]
async fn normal_is_one_line_a_point() {
    let harness = Harness::new("verbosity: normal").await;
    harness.push("a{x=\"q\\u\",n=1,b=true,e=} 1.5 @60\ncounter c 7\na stale @61\nc held").await;
    let batch = Batch::metrics(testkit::metrics("resource{env=\"dev\"}\nup 1"));
    harness.push_batch(batch).await;
    let expected = concat!(
        "12:00:10 metrics: 1 resource, 3 metrics, 4 data points (1 held) from onboarding\n",
        "  a{x=\"q\\\\u\",n=1,b=true,e=} 1.5 1970-01-01T00:01:00Z\n",
        "  a no value 1970-01-01T00:01:01Z\n",
        "  c 7\n",
        "  c held\n",
        "12:00:10 metrics: 1 resource, 1 metric, 1 data point\n",
        "  up 1 resource{env=\"dev\"}\n",
    );
    assert_eq!(harness.printed().await, expected);
}

#[tokio::test]
async fn detailed_is_everything() {
    use steadyline_telemetry::metrics::{MetricDef, MetricsBuilder};
    use steadyline_telemetry::{MetricKind, Temporality, Value};
    let harness = Harness::new("verbosity: detailed").await;
    let mut builder = MetricsBuilder::new();
    builder.resource([("env", Value::text("dev"))]);
    builder.scope("lib", "1.2");
    let kind = MetricKind::Histogram { temporality: Temporality::Cumulative };
    let metric = builder.metric(MetricDef { kind, name: "wait", unit: "s", description: "how\nlong" });
    let shape = builder.shape(["x"]);
    let value = builder.value(Value::Int(5));
    let mut exemplar = Vec::new();
    put_fixed64(&mut exemplar, 2, 60_000_000_000);
    put_fixed64(&mut exemplar, 3, 0.5f64.to_bits());
    put_bytes(&mut exemplar, 5, &[0xab; 2]);
    put_bytes(&mut exemplar, 4, &[0xcd]);
    let mut body = Vec::new();
    put_fixed64(&mut body, 4, 3);
    put_fixed64(&mut body, 5, 2.5f64.to_bits());
    put_bytes(&mut body, 6, &[1u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
    put_bytes(&mut body, 7, &1.0f64.to_bits().to_le_bytes());
    put_fixed64(&mut body, 11, 0.1f64.to_bits());
    put_bytes(&mut body, 8, &exemplar);
    builder.body(metric, shape, &[value], 60_000_000_000, 1_000_000_000, 0, &body);
    harness.push_batch(Batch::metrics(builder.finish())).await;
    let expected = r#"12:00:10 metrics: 1 resource, 1 metric, 1 data point
  resource
    env: "dev"
    scope lib 1.2
      metric wait (histogram, cumulative) unit s how\nlong
        point count=3 sum=2.5 at 1970-01-01T00:01:00Z since 1970-01-01T00:00:01Z
          x: 5
          min 0.1
          bucket up to 1: 1
          bucket up to +Inf: 2
          exemplar 0.5 at 1970-01-01T00:01:00Z trace abab span cd
"#;
    assert_eq!(harness.printed().await, expected);
}

#[tokio::test]
async fn changes_are_told_once_a_pass() {
    let mut harness = Harness::new("verbosity: changes").await;
    harness.pass("steps{id=\"1\"} 3\nsteps{id=\"2\"} 8\nsteps{id=\"3\"} 0", PassEnd::Complete).await;
    harness.clock.advance(Duration::from_secs(60));
    // Nothing changed; a time that moves on is no change; a re-publication between passes is none either.
    harness.pass("steps{id=\"1\"} 3 @90\nsteps{id=\"2\"} 8\nsteps{id=\"3\"} 0", PassEnd::Complete).await;
    harness.push("steps{id=\"1\"} 3 @120").await;
    harness.clock.advance(Duration::from_secs(60));
    // A change between passes is told with the next one; of two changes of a series, where it came from and got to.
    harness.push("steps{id=\"1\"} 4").await;
    harness
        .pass("steps{id=\"1\"} 5\nsteps{id=\"2\"} stale\nsteps{id=\"4\"} 1\nsteps{id=\"3\"} held", PassEnd::Complete)
        .await;
    harness.pass("steps{id=\"1\"} 5", PassEnd::Partial).await;
    let expected = r#"12:00:10 onboarding  +3 new, 0 unchanged
  + steps{id="1"} 3
  + steps{id="2"} 8
  + steps{id="3"} 0
12:02:10 onboarding  +1 new, 1 changed, 1 ended, 1 unchanged
    steps{id="1"} 3 -> 5
  - steps{id="2"} 8
  + steps{id="4"} 1
12:02:10 onboarding  3 unchanged, the pass was not complete
"#;
    assert_eq!(harness.printed().await, expected);
}

#[tokio::test]
async fn changes_of_sources_without_passes_are_told_at_once() {
    let harness = Harness::new("verbosity: changes, max_series: 2").await;
    harness.push("a{x=\"1\"} 1\na{x=\"2\"} 1\na{x=\"3\"} 1\nt_timestamp_seconds 5").await;
    harness.push("a{x=\"1\"} 1").await;
    harness.push("a{x=\"1\"} 2\na{x=\"2\"} stale").await;
    harness.push("t_timestamp_seconds 5").await;
    harness.push("t_timestamp_seconds 6\na{x=\"9\"} stale").await;
    let expected = r#"12:00:10 onboarding  +2 new, 0 unchanged, 2 points of series beyond `max_series`
  + a{x="1"} 1
  + a{x="2"} 1
12:00:10 onboarding  1 changed, 1 ended, 0 unchanged
    a{x="1"} 1 -> 2
  - a{x="2"} 1
12:00:10 onboarding  +1 new, 1 unchanged
  + t_timestamp_seconds 5
"#;
    assert_eq!(harness.printed().await, expected);
}

#[tokio::test]
async fn a_long_list_is_cut() {
    let harness = Harness::new("verbosity: changes").await;
    let points: String = (0..250).map(|n| format!("a{{n=\"{n:03}\"}} {n}\n")).collect();
    harness.push(&points).await;
    let printed = harness.printed().await;
    assert_eq!(printed.lines().count(), 102);
    assert!(printed.starts_with("12:00:10 onboarding  +250 new, 0 unchanged\n  + a{n=\"000\"} 0\n"), "{printed}");
    assert!(printed.ends_with("  + a{n=\"099\"} 99\n    ... and 150 more\n"), "{printed}");
}

fn request(item: &[u8]) -> Bytes {
    let mut request = item.to_vec();
    for number in [2, 2, 1] {
        let mut outer = Vec::new();
        put_bytes(&mut outer, number, &request);
        request = outer;
    }
    request.into()
}

#[tokio::test]
async fn spans_and_records_have_a_line_each() {
    let mut span = Vec::new();
    put_bytes(&mut span, 1, &[0x11; 2]);
    put_bytes(&mut span, 2, &[0x22]);
    put_bytes(&mut span, 5, b"GET /\x1b");
    put_fixed64(&mut span, 7, 60_000_000_000);
    put_fixed64(&mut span, 8, 60_250_000_000);
    let (mut record, mut body) = (Vec::new(), Vec::new());
    put_bytes(&mut body, 1, b"two\nlines");
    put_fixed64(&mut record, 1, 60_000_000_000);
    put_bytes(&mut record, 3, b"WARN");
    put_bytes(&mut record, 5, &body);
    let rows = [
        ("basic", Signal::Traces, &span, ["12:00:10 traces: 1 span", ""]),
        ("changes", Signal::Logs, &record, ["12:00:10 logs: 1 log record", ""]),
        (
            "normal",
            Signal::Traces,
            &span,
            ["12:00:10 traces: 1 span", "  GET /\\u{1b} 250ms 1970-01-01T00:01:00Z trace 1111 span 22\n"],
        ),
        (
            "detailed",
            Signal::Logs,
            &record,
            ["12:00:10 logs: 1 log record", "  1970-01-01T00:01:00Z WARN two\\nlines\n"],
        ),
    ];
    for (verbosity, signal, item, [first, second]) in rows {
        let harness = Harness::new(&format!("verbosity: {verbosity}")).await;
        let data = Opaque::count(signal, request(item), &Limits::default()).unwrap();
        harness.push_batch(Batch { header: Header::default(), data: Data::Opaque(data) }).await;
        assert_eq!(harness.printed().await, format!("{first}\n{second}"));
    }
}

#[tokio::test]
async fn what_is_sampled_out_is_counted() {
    let harness = Harness::new("sampling_initial: 1, sampling_thereafter: 3").await;
    for _ in 0..5 {
        harness.push("a 1\nb 2").await;
    }
    assert_eq!(harness.tally.balance().dropped.into_iter().collect::<Vec<_>>(), [("sampling".into(), 6)]);
    assert_eq!(harness.printed().await.lines().count(), 2);
}

#[test]
fn bad_configs_say_what_is_wrong() {
    let rows = [
        ("{verbosity: verbose}", "verbosity"),
        ("{verbosity: change}", "did you mean `changes`"),
        ("{output_paths: []}", "there is nowhere to print to"),
        ("{output_paths: [\"http://x\"]}", "debug.output_paths[0]: `http://x` is not the path of a file"),
        ("{max_series: 0}", "max_series"),
        ("{loglevel: debug}", "it is called `verbosity` now"),
        ("{sending_queue: {enabled: false}}", "what is printed is not queued"),
    ];
    for (yaml, expected) in rows {
        let text = testkit::create::<DebugFactory>(yaml).err().unwrap_or_default();
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
    for yaml in ["", "{use_internal_logger: false, sampling_initial: 5, sampling_thereafter: 200}"] {
        assert!(testkit::create::<DebugFactory>(yaml).is_ok(), "{yaml}");
    }
}
