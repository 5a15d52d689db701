//! What travels with the points: headers, receipts, permits, resources, metadata, exemplars, distributions.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::PassEnd::Complete;
use steadyline_component::testkit::{ProcessorHarness, metrics};
use steadyline_component::{Batch, Budget, Data, Header, Pass, PassEnd, Receipt};
use steadyline_processor_lastvalue::LastValueFactory;
use steadyline_telemetry::metrics::{HistogramView, MetricDef, exemplars};
use steadyline_telemetry::wire::{put_bytes, put_fixed64};
use steadyline_telemetry::{
    MetricKind, Metrics, MetricsBuilder, NO_RECORDED_VALUE, NumberKind, Opaque, Signal, Temporality, Value,
};

const SECOND: Duration = Duration::from_secs(1);

fn harness(yaml: &str) -> ProcessorHarness {
    ProcessorHarness::new::<LastValueFactory>(yaml)
}

fn batch(header: Header, points: &str) -> Batch {
    Batch { header, data: Data::Metrics(metrics(points)) }
}

#[test]
fn the_header_goes_on_with_the_points() {
    let mut harness = harness("");
    let identity: Arc<[Arc<str>]> = Arc::from([Arc::from("id")]);
    let interval = Duration::from_secs(30);
    let pass = Pass { epoch: 7, time: 1_000_000_000_000_000, interval, timeout: interval, end: None };
    let header =
        Header { source: "table".into(), pass: Some(pass.clone()), identity, labels_final: true, ..Header::default() };
    harness.push_batch(batch(header.clone(), "m{id=\"a\"} 1 @1000000"));
    harness.push_batch(batch(Header { source: "other".into(), ..Header::default() }, "n 2 @1000000"));
    harness.advance(SECOND);
    let headers: Vec<_> = harness.batches.iter().map(|batch| batch.header.clone()).collect();
    let sources: Vec<&str> = headers.iter().map(|header| &*header.source).collect();
    assert_eq!(sources, ["table", "other"], "a batch for each source");
    assert_eq!(headers[0].pass, Some(pass.clone()));
    assert!(headers[0].labels_final && !headers[1].labels_final);
    assert_eq!((headers[0].identity.len(), headers[1].pass.is_none()), (1, true));
    let end = Pass { end: Some(PassEnd::Partial), ..pass };
    harness.push_batch(batch(Header { pass: Some(end.clone()), ..header }, ""));
    assert_eq!(harness.batches.len(), 1);
    assert_eq!(harness.batches[0].header.pass, Some(end));
    harness.advance(Duration::from_secs(60));
    assert!(harness.batches.iter().all(|batch| batch.header.pass.is_none()), "nobody polled what is sent again");
}

#[test]
fn receipts_settle_with_the_flush_that_carries_the_data() {
    let mut harness = harness("");
    let (first, settled_first) = Receipt::new();
    let (second, settled_second) = Receipt::new();
    let carry = |receipt| Header { receipts: vec![receipt], ..Header::default() };
    harness.push_batch(batch(carry(first), "m 1 @10\nn 1 @10"));
    harness.push_batch(batch(carry(second), "m 2 @20"));
    assert!(pending(settled_first) && pending(settled_second));
    harness.advance(SECOND);
    assert_eq!(harness.batches[0].header.receipts.len(), 2);
    let (late, settlement) = Receipt::new();
    harness.push_batch(batch(carry(late), "m 1 @10"));
    assert!(!pending(settlement), "a point that changes nothing keeps nobody waiting");
}

#[test]
fn receipts_are_released_under_constant_load() {
    let mut harness = harness("");
    let points = |from: usize| -> String { (from..from + 5000).map(|n| format!("m{{n=\"{n}\"}} 1 @10\n")).collect() };
    let mut settlements = Vec::new();
    for page in 0..6 {
        let (receipt, settlement) = Receipt::new();
        let header = Header { receipts: vec![receipt], ..Header::default() };
        harness.push_batch(batch(header, &points(page * 5000)));
        assert!(harness.processor().held() < 8192);
        settlements.push(settlement);
    }
    harness.batches.clear();
    let waiting: Vec<bool> = settlements.into_iter().map(pending).collect();
    assert_eq!(waiting, [false, false, false, false, true, true], "only those whose points still wait");
    harness.drain();
    assert_eq!(harness.tally.balance().outgoing, 30_000);
}

/// Whether a settlement is still open.
fn pending(settlement: steadyline_component::Settlement) -> bool {
    let mut settlement = std::pin::pin!(settlement);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    settlement.as_mut().poll(&mut context).is_pending()
}

#[test]
fn the_permit_of_what_arrived_goes_back_at_once() {
    let budget = Budget::new(4 << 20);
    let mut harness = harness("");
    let header = Header { permit: budget.try_acquire(1 << 20), ..Header::default() };
    assert!(budget.used() > 0);
    harness.push_batch(batch(header, "m 1 @10"));
    assert_eq!(budget.used(), 0);
    harness.advance(SECOND);
    assert!(harness.batches[0].header.permit.is_none());
}

#[test]
fn resources_scopes_and_heads_of_metrics_survive() {
    let mut harness = harness("coalesce: 0s");
    let mut builder = MetricsBuilder::new();
    builder.resource([("host.name", Value::text("a")), ("nothing", Value::Empty), ("n", Value::Int(-3))]);
    builder.scope("library", "1.2");
    let def = MetricDef { name: "m", description: "what it is", unit: "By", kind: MetricKind::Gauge };
    let metric = builder.metric(def);
    let shape = builder.shape(["z", "a"]);
    let values = [builder.value(Value::Double(0.5)), builder.value(Value::Bool(true))];
    let number = steadyline_telemetry::metrics::NumberValue::Int(5);
    builder.number(metric, shape, &values, 10_000_000_000, 7, number);
    let mut sent = builder.finish();
    let mut editor = sent.edit();
    let (key, value) = (editor.push_text("prometheus.type"), editor.push_text("gauge"));
    editor.tables.metrics[0].metadata = editor.attributes(&[key], &[value]);
    editor.tables.resources[0].schema_url = editor.push_text("https://example.org/1");
    editor.tables.scopes[0].dropped_attributes = 4;
    harness.push_batch(Batch::metrics(sent.clone()));
    let got = harness.batches[0].as_metrics().unwrap();
    let pairs = |m: &Metrics, attributes| format!("{:?}", m.pairs(attributes).collect::<Vec<_>>());
    let (resource, scope, metric) = got.iter().next().unwrap();
    let (resource_in, _, metric_in) = sent.iter().next().unwrap();
    assert_eq!(pairs(got, resource.attributes), pairs(&sent, resource_in.attributes));
    assert_eq!(got.text(resource.schema_url), "https://example.org/1");
    assert_eq!((got.text(scope.name), got.text(scope.version), scope.dropped_attributes), ("library", "1.2", 4));
    assert_eq!(
        (got.text(metric.description), got.text(metric.unit), metric.kind),
        ("what it is", "By", MetricKind::Gauge)
    );
    assert_eq!(pairs(got, metric.metadata), pairs(&sent, metric_in.metadata));
    let point = got.points_of(metric)[0];
    assert_eq!((point.time, point.start, point.bits, point.number), (10_000_000_000, 7, 5, NumberKind::Int));
    assert_eq!(pairs(got, point.attributes()), r#"[("a", Bool(true)), ("z", Double(0.5))]"#);
}

#[test]
fn start_times_follow_resets() {
    let mut harness = harness("coalesce: 0s");
    let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
    for (time, start, value) in [(10, 0, 5), (20, 11, 1), (30, 22, 1)] {
        let mut builder = MetricsBuilder::new();
        let metric = builder.metric(MetricDef { kind, ..MetricDef::gauge("c") });
        let shape = builder.shape(["a"]);
        let values = [builder.value(Value::text("x"))];
        let number = steadyline_telemetry::metrics::NumberValue::Int(value);
        builder.number(metric, shape, &values, time * 1_000_000_000, start, number);
        harness.push_batch(Batch::metrics(builder.finish()));
        let got = harness.batches[0].as_metrics().unwrap().tables().points[0];
        assert_eq!((got.start, got.bits), (start, value as u64));
    }
    assert_eq!(harness.processor().series(), 1);
}

fn histogram(temporality: Temporality, time: u64, flags: u32, counts: [u64; 2], bound: f64) -> Batch {
    let mut body = Vec::new();
    put_fixed64(&mut body, 4, counts.iter().sum());
    put_bytes(&mut body, 6, &counts.map(u64::to_le_bytes).concat());
    put_bytes(&mut body, 7, &bound.to_le_bytes());
    let mut builder = MetricsBuilder::new();
    let metric = builder.metric(MetricDef { kind: MetricKind::Histogram { temporality }, ..MetricDef::gauge("h") });
    let shape = builder.shape(["a"]);
    let values = [builder.value(Value::text("x"))];
    builder.body(metric, shape, &values, time * 1_000_000_000, 0, flags, &body);
    Batch::metrics(builder.finish())
}

/// The counts of the first bucket and the flags of everything in the batches of the last call.
fn told(harness: &ProcessorHarness) -> Vec<(u64, u32)> {
    let points = harness.batches.iter().filter_map(Batch::as_metrics).flat_map(|metrics| {
        metrics.tables().points.iter().map(|point| {
            let first = HistogramView::new(metrics.bytes(point.body)).bucket_counts().next();
            (first.unwrap_or_default(), point.flags)
        })
    });
    points.collect()
}

#[test]
fn distributions_last_or_add_by_their_temporality() {
    let mut harness = harness("hold: 100s");
    for (time, count) in [(10, 1), (20, 2)] {
        harness.push_batch(histogram(Temporality::Cumulative, time, 0, [count, 9], 1.0));
    }
    harness.advance(SECOND);
    assert_eq!(told(&harness), [(2, 0)]);
    harness.advance(Duration::from_secs(60));
    assert_eq!(told(&harness), [(2, 0)], "sent again");
    harness.push_batch(histogram(Temporality::Cumulative, 30, NO_RECORDED_VALUE, [0, 0], 1.0));
    harness.advance(SECOND);
    assert_eq!(told(&harness), [(0, NO_RECORDED_VALUE)]);
    for (time, count) in [(10, 1), (20, 2)] {
        harness.push_batch(histogram(Temporality::Delta, time, 0, [count, 9], 1.0));
    }
    harness.push_batch(histogram(Temporality::Delta, 30, 0, [5, 0], 2.0));
    assert_eq!(told(&harness), [(3, 0)], "other bounds: what waits goes first");
    harness.advance(SECOND);
    assert_eq!(told(&harness), [(5, 0)]);
    harness.advance(Duration::from_secs(600));
    assert_eq!((harness.processor().series(), harness.tally.balance().created["republished"]), (0, 1));
}

#[test]
fn added_increments_keep_their_exemplars_and_their_first_start() {
    let mut harness = harness("");
    for (value, start) in [(1.5, 0), (2.5, 90), (3.5, 70), (4.5, 0)] {
        let mut exemplar = Vec::new();
        put_fixed64(&mut exemplar, 3, f64::to_bits(value));
        let mut body = Vec::new();
        put_bytes(&mut body, 5, &exemplar);
        let mut sent = metrics("delta d 1 @10");
        let mut editor = sent.edit();
        editor.tables.points[0].start = start;
        editor.tables.points[0].body = editor.push(steadyline_telemetry::ValueKind::Bytes, &body);
        harness.push_batch(Batch::metrics(sent));
    }
    assert_eq!(harness.advance(SECOND), ["delta d 4 @10"]);
    let got = harness.batches[0].as_metrics().unwrap();
    let point = got.tables().points[0];
    let values: Vec<f64> = exemplars(got.bytes(point.body), 5).map(|exemplar| exemplar.value).collect();
    assert_eq!((point.start, values), (70, vec![1.5, 2.5, 3.5, 4.5]));
}

#[test]
fn exemplars_are_sent_once() {
    let mut harness = harness("");
    let mut exemplar = Vec::new();
    put_fixed64(&mut exemplar, 3, 2.5_f64.to_bits());
    let mut body = Vec::new();
    put_bytes(&mut body, 5, &exemplar);
    let mut sent = metrics("m 1 @10");
    let mut editor = sent.edit();
    editor.tables.points[0].body = editor.push(steadyline_telemetry::ValueKind::Bytes, &body);
    harness.push_batch(Batch::metrics(sent));
    let count = |harness: &ProcessorHarness| {
        let metrics = harness.batches[0].as_metrics().unwrap();
        exemplars(metrics.bytes(metrics.tables().points[0].body), 5).map(|exemplar| exemplar.value).collect::<Vec<_>>()
    };
    harness.advance(SECOND);
    assert_eq!(count(&harness), [2.5]);
    harness.advance(Duration::from_secs(60));
    assert_eq!(count(&harness), [0.0; 0]);
}

/// An info metric about account `a`.
fn info(status: &str, time: u64) -> Metrics {
    let mut metrics = metrics(&format!("account_info{{id=\"a\",status=\"{status}\"}} 1 @{time}"));
    let mut editor = metrics.edit();
    let (key, value) = (editor.push_text("prometheus.type"), editor.push_text("info"));
    editor.tables.metrics[0].metadata = editor.attributes(&[key], &[value]);
    metrics
}

#[test]
fn info_metrics_end_and_restart_whatever_the_policy() {
    let mut harness = harness("on_fork: refuse");
    harness.source("table", &["id"]);
    harness.pass(1, "", Complete);
    let header = |epoch| {
        let interval = Duration::from_secs(60);
        let pass = Pass { epoch, time: 0, interval, timeout: interval, end: None };
        let identity = Arc::from([Arc::from("id")]);
        Header { source: "table".into(), pass: Some(pass), identity, ..Header::default() }
    };
    for (epoch, status, time) in [(2, "new", 1_000_000), (2, "seen", 1_000_000), (3, "done", 1_000_001)] {
        harness.push_batch(Batch { header: header(epoch), data: Data::Metrics(info(status, time)) });
        let mut lines = harness.advance(SECOND);
        lines.sort();
        let ended = [("seen", "new", 1_000_001), ("done", "seen", 1_000_002)].iter().find(|(now, ..)| *now == status);
        let mut expected = vec![format!("account_info{{id=\"a\",status=\"{status}\"}} 1 @{time}")];
        expected
            .extend(ended.map(|(_, old, at)| format!("account_info{{id=\"a\",status=\"{old}\"}} stale @{}", at + 1)));
        expected.sort();
        assert_eq!(lines, expected);
    }
    assert_eq!(harness.processor().series(), 1);
}

#[test]
fn other_signals_pass_untouched() {
    let mut harness = harness("");
    let opaque = Opaque::count(Signal::Logs, bytes::Bytes::new(), &Default::default()).unwrap();
    let (receipt, _settlement) = Receipt::new();
    let header = Header { receipts: vec![receipt], ..Header::default() };
    harness.push_batch(Batch { header, data: Data::Opaque(opaque) });
    assert_eq!((harness.batches.len(), harness.batches[0].signal()), (1, Signal::Logs));
}

#[test]
fn points_without_a_number_are_counted() {
    let mut harness = harness("");
    let mut sent = metrics("m 1 @10\nn 2 @10");
    sent.edit().tables.points[0].number = NumberKind::None;
    harness.push_batch(Batch::metrics(sent));
    assert_eq!(harness.advance(SECOND), ["n 2 @10"]);
    assert_eq!(harness.tally.balance().dropped["no_number"], 1);
}

/// A term of leadership that only tests hold.
#[derive(Debug)]
struct TestTerm(u64);

impl steadyline_component::leadership::TermState for TestTerm {
    fn number(&self) -> u64 {
        self.0
    }

    fn holds(&self) -> bool {
        true
    }

    fn floor(&self) -> u64 {
        1_000_100_000_000_000
    }

    fn ceiling(&self) -> u64 {
        u64::MAX
    }

    fn time(&self) -> u64 {
        1_000_200_000_000_000 + self.0 * 1_000_000_000
    }
}

#[test]
fn what_is_sent_carries_the_newest_term_of_its_source_and_no_batch_has_two() {
    use steadyline_component::Term;
    let mut harness = harness("");
    let [first, second] = [1, 2].map(|number| Term::new(Arc::new(TestTerm(number))));
    let interval = Duration::from_secs(60);
    let header = |term: &Term, epoch| {
        let pass = Pass { epoch, time: 0, interval, timeout: interval, end: None };
        Header { source: "table".into(), pass: Some(pass), term: Some(term.clone()), ..Header::default() }
    };
    let numbers = |harness: &ProcessorHarness| -> Vec<Option<u64>> {
        harness.batches.iter().map(|batch| batch.header.term.as_ref().map(|term| term.number())).collect()
    };
    assert_eq!(harness.push_batch(batch(header(&first, 1), "m 1 @1000000")), [""; 0]);
    // Another term begins while a point of the first waits: that one goes under its own.
    let lines = harness.push_batch(batch(header(&second, 1), "m 2 @1000201\nn 2 @1000201"));
    assert_eq!((lines, numbers(&harness)), (vec!["m 1 @1000100.001".to_owned()], vec![Some(1)]));
    assert_eq!(harness.advance(SECOND).len(), 2);
    assert_eq!(numbers(&harness), [Some(2)]);
    harness.push_batch(batch(Header { source: "other".into(), ..Header::default() }, "o 1 @1000001"));
    harness.push_batch(batch(header(&second, 2), "m 3 @1000203"));
    assert_eq!(harness.advance(SECOND).len(), 2);
    assert_eq!(numbers(&harness), [Some(2), None], "a batch for each source");
    // Sent again: under the newest term, at its time.
    let lines = harness.advance(Duration::from_secs(130));
    assert!(lines.contains(&"n 2 @1000202".to_owned()), "{lines:?}");
    assert!(lines.contains(&"m 3 @1000203.001".to_owned()), "{lines:?}");
}
