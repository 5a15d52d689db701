//! Every loss counted: what becomes of a batch when whatever carries it falls over, is gone, or must not show it. Time is
//! tokio's, paused.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

#[path = "conservation/encoders.rs"]
mod encoders;
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use encoders::TouchyFactory;
use steadyline_component::factory::Component;
use steadyline_component::testkit;
use steadyline_component::*;
use steadyline_engine::{Registry, Reloaded, Running, Shared};
use steadyline_telemetry::Signal;
use support::lease::Lease;
use support::{
    BackendFactory, HalvesFactory, JoinFactory, NameConfig, SourceFactory, WitnessFactory, assert_conserved, dropped,
    output, reload_with, send, spec, stage, start_with, until,
};

fn says(batch: &Batch, word: &str) -> bool {
    batch.as_metrics().map(testkit::render).unwrap_or_default().iter().any(|line| line.starts_with(word))
}

/// Falls over at `boom`, with one point sent on and the rest in hand; at `tick` it asks to be woken, and falls over then.
/// With `wait` it lets go of what it has only when it is woken, a second later, point by point.
#[derive(Default)]
struct Clumsy {
    wait: bool,
    waiting: Vec<Batch>,
    at: Option<Duration>,
    ticks: bool,
}

struct ClumsyFactory;

impl Component for ClumsyFactory {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("clumsy");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(Clumsy { wait: config.wait, ..Clumsy::default() }))
    }
}

impl Processor for Clumsy {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        if says(&batch, "boom") {
            work.emit(Batch { header: Header::default(), data: Data::Metrics(testkit::metrics("before 1")) });
            panic!("boom");
        }
        self.ticks |= says(&batch, "tick");
        if self.wait || self.ticks {
            self.at = self.at.or(Some(work.now.mono + Duration::from_secs(1)));
            let lines = batch.as_metrics().map(testkit::render).unwrap_or_default();
            let point =
                |line: &String| Batch { header: batch.header.clone(), ..Batch::metrics(testkit::metrics(line)) };
            self.waiting.extend(lines.iter().map(point));
        } else {
            work.emit(batch);
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        self.at
    }

    fn wake(&mut self, work: &mut Work<'_>) {
        assert!(!self.ticks, "the timer fell over");
        self.drain(work);
    }

    fn drain(&mut self, work: &mut Work<'_>) {
        self.at = None;
        self.waiting.drain(..).for_each(|batch| work.emit(batch));
    }

    fn held(&self) -> u64 {
        self.waiting.iter().map(Batch::items).sum()
    }
}

/// A sink that falls over at `boom`, having counted one point as shown nowhere, and takes for ever at `hang`.
struct Brittle(String);

struct BrittleFactory;

impl Component for BrittleFactory {
    type Config = NameConfig;
    type Made = Exporter;
    const SPEC: Spec = spec("brittle");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Exporter> {
        Some(Exporter::Direct(Arc::new(Brittle(config.name))))
    }
}

#[async_trait]
impl Sink for Brittle {
    async fn consume(&self, batch: Batch, tally: &Tally) {
        if says(&batch, "boom") {
            tally.dropped("confirmation", 1);
            panic!("boom");
        }
        if says(&batch, "hang") {
            std::future::pending::<()>().await;
        }
        stage(&self.0).delivered.lock().unwrap().extend(batch.as_metrics().map(testkit::render).unwrap_or_default());
    }
}

/// A connector that falls over at `boom`.
struct Frail;

struct FrailFactory;

impl Component for FrailFactory {
    type Config = NameConfig;
    type Made = Box<dyn Connector>;
    const SPEC: Spec = Spec { signals: &[], ..spec("frail") };

    fn create(_: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(Frail))
    }
}

impl Connector for Frail {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        assert!(!says(&batch, "boom"), "boom");
        work.emit(batch);
    }
}

const PAIR: &[(Signal, Signal)] = &[(Signal::Metrics, Signal::Metrics)];

fn registry() -> Registry {
    Registry::new([
        Factory::receiver::<SourceFactory>(),
        Factory::processor::<ClumsyFactory>(),
        Factory::processor::<HalvesFactory>(),
        Factory::exporter::<BackendFactory>(),
        Factory::exporter::<WitnessFactory>(),
        Factory::exporter::<BrittleFactory>(),
        Factory::exporter::<TouchyFactory>(),
        Factory::connector::<FrailFactory>(PAIR),
        Factory::connector::<JoinFactory>(PAIR),
    ])
}

/// Components in one line each, pipelines in one line.
fn config(processors: &str, exporters: &str, pipelines: &str) -> String {
    let name = exporters.split("name: ").nth(1).and_then(|rest| rest.split([',', '}']).next()).unwrap();
    format!(
        "receivers: {{source: {{name: {name}}}}}\nprocessors: {{{processors}}}\nexporters: {{{exporters}}}\n\
         connectors: {{frail: , join: }}\nservice:\n  shutdown_timeout: 10s\n  \
         telemetry: {{metrics: {{level: none}}}}\n  pipelines: {{{pipelines}}}\n"
    )
}

async fn start(yaml: &str) -> (Running, Shared) {
    start_with(&registry(), yaml, Clock::scaled(1_000_000_000_000_000, 1.0)).await
}

async fn reload(running: &mut Running, yaml: &str) {
    let (verdict, diagnostics) = reload_with(&registry(), running, yaml).await;
    assert!(matches!(verdict, Reloaded::Done(_)), "{verdict:?}: {}", diagnostics.to_text(false));
}

/// Every account adds up, nothing is held, and what goes out of each of these comes into the next.
fn assert_whole(shared: &Shared, way: &[&str]) {
    assert_conserved(shared);
    let books = shared.books.read();
    assert!(books.iter().all(|account| account.tally.balance().held == 0), "{books:#?}");
    let balance = |id: &str| books.iter().find(|account| account.id == id).unwrap().tally.balance();
    for pair in way.windows(2) {
        assert_eq!(balance(pair[0]).outgoing, balance(pair[1]).incoming, "from {} to {}", pair[0], pair[1]);
    }
}

fn is_failed(shared: &Shared, name: &str) -> bool {
    shared.board.read().get(name).is_some_and(|entry| matches!(entry.status, Status::Failed(_)))
}

fn delivered(name: &str) -> Vec<String> {
    stage(name).delivered.lock().unwrap().clone()
}

fn is_retryable(sent: &Result<(), SendError>) -> bool {
    matches!(sent, Err(SendError::NotSettled(SettleError::Retryable(_))))
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_panics_loses_what_it_had_in_hand_and_that_is_counted() {
    let yaml = |clumsy: &str| {
        config(
            &format!("clumsy: {{{clumsy}}}, halves: {{}}"),
            "backend: {name: clumsy}",
            "metrics: {receivers: [source], processors: [clumsy, halves], exporters: [backend]}",
        )
    };
    let (mut running, shared) = start(&yaml("")).await;
    let out = output("clumsy").await;
    send(&out, "a 1", Until::Settled).await.unwrap();
    for how in [Until::Enqueued, Until::Settled] {
        let sent = send(&out, "boom 1\nb 2\nc 3", how).await;
        assert!(is_retryable(&sent), "{sent:?}");
    }
    assert!(is_failed(&shared, "pipeline:metrics"), "{:?}", shared.board.read());
    // Three came and one went on, twice.
    assert_eq!(dropped(&shared, "clumsy", "panicked"), 4);
    send(&out, "d 4", Until::Settled).await.unwrap();
    assert_eq!(delivered("clumsy"), ["a 1", "before 1", "before 1", "d 4"]);
    assert_whole(&shared, &["source", "clumsy", "halves", "backend"]);
    // A reload makes it anew, even if nothing changed.
    reload(&mut running, &yaml("")).await;
    assert_eq!(shared.board.read()["pipeline:metrics"].status, Status::Ok);
    running.shutdown().await;
    assert_whole(&shared, &["source", "clumsy", "halves", "backend"]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_learns_of_a_panic_beside_a_pipeline_that_delivers() {
    let yaml = config(
        "clumsy: {}",
        "backend: {name: beside}",
        "metrics/a: {receivers: [source], processors: [clumsy], exporters: [backend]}, \
         metrics/b: {receivers: [source], exporters: [backend]}",
    );
    let (running, shared) = start(&yaml).await;
    *stage("beside").delay.lock().unwrap() = Duration::from_secs(2);
    let (receipt, settlement) = Receipt::new();
    let header = Header { receipts: vec![receipt], ..Header::default() };
    let batch = Batch { header, data: Data::Metrics(testkit::metrics("boom 1")) };
    let sent = output("beside").await.send(batch, Until::Enqueued).await;
    assert!(is_retryable(&sent), "{sent:?}");
    assert!(matches!(settlement.await, Err(SettleError::Retryable(_))), "its other copy was delivered since");
    assert_eq!(delivered("beside"), ["before 1", "boom 1"]);
    running.shutdown().await;
    assert_whole(&shared, &[]);
}

#[tokio::test(start_paused = true)]
async fn timers_that_panic_end_and_what_waits_is_let_go_at_the_stop() {
    let yaml = config(
        "clumsy: {}",
        "backend: {name: ticking}",
        "metrics: {receivers: [source], processors: [clumsy], exporters: [backend]}",
    );
    let (running, shared) = start(&yaml).await;
    send(&output("ticking").await, "tick 1\na 2", Until::Enqueued).await.unwrap();
    until("the timer falls over", || is_failed(&shared, "pipeline:metrics")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_conserved(&shared);
    running.shutdown().await;
    assert_eq!(delivered("ticking"), ["tick 1", "a 2"]);
    assert_whole(&shared, &["source", "clumsy", "backend"]);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_or_a_connector_that_panics_costs_its_own_share() {
    let yaml = config(
        "",
        "touchy: {name: fragile_queue}, backend: {name: fragile}, brittle: {name: fragile_sink}, \
         backend/behind: {name: fragile_behind}",
        "metrics/a: {receivers: [source], exporters: [touchy, brittle, frail, backend]}, \
         metrics/b: {receivers: [frail], exporters: [backend/behind]}",
    );
    let (mut running, shared) = start(&yaml).await;
    let out = output("fragile_queue").await;
    send(&out, "a 1", Until::Settled).await.unwrap();
    let sent = send(&out, "boom 1\nb 2", Until::Settled).await;
    assert!(is_retryable(&sent), "{sent:?}");
    send(&out, "c 3", Until::Settled).await.unwrap();
    assert_eq!(delivered("fragile"), ["a 1", "boom 1", "b 2", "c 3"]);
    for name in ["fragile_sink", "fragile_queue"] {
        assert_eq!(delivered(name), ["a 1", "c 3"], "{name}");
    }
    assert_eq!(delivered("fragile_behind"), ["a 1", "c 3"]);
    assert_eq!((dropped(&shared, "brittle", "panicked"), dropped(&shared, "frail", "panicked")), (1, 2));
    assert_eq!(dropped(&shared, "touchy", "panicked"), 2);
    assert!(is_failed(&shared, "exporter:touchy") && is_failed(&shared, "exporter:brittle"));
    assert!(is_failed(&shared, "connector:frail:metrics:metrics"));
    reload(&mut running, &yaml).await;
    let failed = shared.board.read().values().filter(|entry| matches!(entry.status, Status::Failed(_))).count();
    assert_eq!(failed, 0, "{:?}", shared.board.read());
    send(&out, "d 4", Until::Settled).await.unwrap();
    running.shutdown().await;
    assert_whole(&shared, &["frail", "backend/behind"]);
}

/// What stands in the way when the process stops: an exporter with room for one point, whose backend does not answer.
async fn stopped_in_the_way(name: &str, processors: &str, pipelines: &str, way: &[&str]) {
    let yaml = config(processors, &format!("backend: {{name: {name}, queue: 300}}"), pipelines);
    let (running, shared) = start(&yaml).await;
    *stage(name).hang.lock().unwrap() = true;
    let out = output(name).await;
    let sending: Vec<_> = (0..4)
        .map(|n| {
            let out = out.clone();
            tokio::spawn(async move { send(&out, &format!("a {n}\nb {n}\nc {n}"), Until::Settled).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let report = running.shutdown().await;
    for sent in sending {
        let told = sent.await.unwrap();
        assert!(is_retryable(&told) || told == Err(SendError::ShuttingDown), "nobody is told it arrived: {told:?}");
    }
    assert_eq!((report.delivered, report.dropped), (0, 12), "{:#?}", shared.books.read());
    assert_whole(&shared, way);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_at_the_stop_is_counted_wherever_it_is() {
    let one = "metrics: {receivers: [source], processors: [halves], exporters: [backend]}";
    stopped_in_the_way("way_plain", "halves: {}", one, &["source", "halves", "backend"]).await;
    stopped_in_the_way("way_held", "halves: {wait: true}", one, &["source", "halves", "backend"]).await;
    let timer = "metrics: {receivers: [source], processors: [clumsy], exporters: [backend]}";
    stopped_in_the_way("way_timer", "clumsy: {wait: true}", timer, &["source", "clumsy", "backend"]).await;
    let joint = "metrics/a: {receivers: [source], processors: [clumsy], exporters: [join]}, \
                 metrics/b: {receivers: [join], processors: [halves], exporters: [backend]}";
    let way = ["source", "clumsy", "join", "halves", "backend"];
    stopped_in_the_way("way_joint", "clumsy: {wait: true}, halves: {}", joint, &way).await;
    stopped_in_the_way("way_joint_2", "clumsy: {}, halves: {wait: true}", joint, &way).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_at_the_stop_is_counted_and_its_waiters_are_told() {
    for (name, clumsy, expected) in [("cut_push", "", (3, 3)), ("cut_timer", "wait: true", (5, 1))] {
        let yaml = config(
            &format!("clumsy: {{{clumsy}}}"),
            &format!("brittle: {{name: {name}}}, backend: {{name: {name}_2}}"),
            "metrics: {receivers: [source], processors: [clumsy], exporters: [brittle, backend]}",
        );
        let (running, shared) = start(&yaml).await;
        let out = output(name).await;
        let first = tokio::spawn({
            let out = out.clone();
            async move { send(&out, "hang 1\na 2\nb 3", Until::Settled).await }
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        let second = tokio::spawn(async move { send(&out, "c 4", Until::Settled).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = tokio::time::Instant::now();
        let report = running.shutdown().await;
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert!(is_retryable(&first) || first == Err(SendError::ShuttingDown), "{name}: {first:?}");
        // Once the way is free, it may just get through.
        let through = delivered(name).len() == 1;
        assert_eq!(second.is_ok(), through, "{name}: {second:?}");
        let expected = if through { (expected.0, expected.1 + 2) } else { (expected.0 + 1, expected.1) };
        assert_eq!((report.dropped, report.delivered), expected, "{name}: {:#?}", shared.books.read());
        assert_whole(&shared, &["source", "clumsy"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_stop_is_refused_and_counted() {
    let yaml = config(
        "halves: {wait: true}",
        "backend: {name: late}",
        "metrics/a: {receivers: [source], processors: [halves], exporters: [backend]}, \
         metrics/b: {receivers: [source], exporters: [backend, join]}, \
         metrics/c: {receivers: [join], processors: [halves], exporters: [backend]}",
    );
    let (running, shared) = start(&yaml).await;
    let out = output("late").await;
    running.shutdown().await;
    let (receipt, settlement) = Receipt::new();
    let header = Header { receipts: vec![receipt], ..Header::default() };
    let batch = Batch { header, data: Data::Metrics(testkit::metrics("a 1\nb 2")) };
    assert_eq!(out.send(batch, Until::Enqueued).await, Err(SendError::ShuttingDown));
    assert!(matches!(settlement.await, Err(SettleError::Retryable(_))));
    assert_eq!((dropped(&shared, "halves", "shutdown"), dropped(&shared, "join", "shutdown")), (2, 2));
    assert_eq!(dropped(&shared, "backend", "shutdown"), 2);
    assert_whole(&shared, &[]);
}

#[tokio::test(start_paused = true)]
async fn direct_sinks_show_nothing_of_a_term_that_is_over() {
    let yaml = config(
        "",
        "witness: {name: fenced}, backend: {name: fenced_backend}",
        "metrics: {receivers: [source], exporters: [witness, backend]}",
    );
    let (running, shared) = start(&yaml).await;
    let out = output("fenced").await;
    let lease = Arc::new(Lease::default());
    let term = Some(lease.term());
    let pass = |end| Pass { epoch: 1, time: 1, interval: Duration::ZERO, timeout: Duration::ZERO, end };
    let settlements = Mutex::new(Vec::new());
    let batch = |points: &str, end| {
        let (receipt, settlement) = Receipt::new();
        settlements.lock().unwrap().push(settlement);
        let header = Header { term: term.clone(), pass: Some(pass(end)), receipts: vec![receipt], ..Header::default() };
        Batch { header, data: Data::Metrics(testkit::metrics(points)) }
    };
    out.send(batch("a 1", None), Until::Enqueued).await.unwrap();
    lease.end();
    out.send(batch("a 2\nb 2", None), Until::Enqueued).await.unwrap();
    out.send(batch("c 3", Some(PassEnd::Partial)), Until::Enqueued).await.unwrap();
    out.send(batch("", Some(PassEnd::SteppedDown)), Until::Enqueued).await.unwrap();
    assert_eq!(delivered("fenced"), ["a 1"]);
    assert_eq!(*stage("fenced").passes.lock().unwrap(), [(1, PassEnd::Partial), (1, PassEnd::SteppedDown)]);
    assert_eq!(dropped(&shared, "witness", "stepped_down"), 3);
    until("the queue does the same", || dropped(&shared, "backend", "stepped_down") == 3).await;
    let settled = futures_util::future::join_all(settlements.into_inner().unwrap()).await;
    let refused: Vec<bool> = settled.iter().map(|one| matches!(one, Err(SettleError::Final(_)))).collect();
    assert_eq!(refused, [false, true, true, false]);
    running.shutdown().await;
    assert_whole(&shared, &["source", "witness"]);
}
