//! Reload inside the engine: what goes on, what is handed over, what is told, what is lost. Time is tokio's, paused.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadyline_component::factory::Component;
use steadyline_component::testkit;
use steadyline_component::*;
use steadyline_config::{Diagnostics, Source, load};
use steadyline_engine::{Changes, Registry, Reloaded, Running, Shared, build};
use steadyline_telemetry::Signal;
use support::{
    BackendFactory, FolderFactory, HalvesFactory, JoinFactory, NameConfig, PollAct, PollFactory, SourceFactory,
    WitnessFactory, assert_conserved, dropped, output, send, stage, until,
};

const fn spec(name: &'static str) -> Spec {
    Spec {
        name,
        aliases: &[],
        stability: Stability::Alpha,
        signals: &[Signal::Metrics],
        summary: "for tests",
        unsupported: &[],
    }
}

/// Remembers the last line of each series and whose it is; says what it remembers when it is asked for `recall`, and
/// ends the series of a source that is removed.
#[derive(Default)]
struct Latest(BTreeMap<String, (Arc<str>, String)>);

struct LatestFactory;

impl Component for LatestFactory {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("latest");

    fn create(_: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::<Latest>::default())
    }
}

impl Processor for Latest {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        let header = batch.header.clone();
        let lines = batch.as_metrics().map(testkit::render).unwrap_or_default();
        if batch.pass_end() == Some(PassEnd::Removed) {
            self.0.retain(|series, (source, _)| {
                let is_over = *source == header.source;
                if is_over {
                    work.tally.created("stale", 1);
                    let data = Data::Metrics(testkit::metrics(&format!("{series} stale")));
                    work.emit(Batch { header: Header::default(), data });
                }
                !is_over
            });
        }
        for line in lines {
            let (series, _) = line.split_once(' ').unwrap();
            if series == "recall" {
                let known: Vec<&str> = self.0.values().map(|(_, line)| line.as_str()).collect();
                work.tally.created("recalled", known.len() as u64);
                let data = Data::Metrics(testkit::metrics(&known.join("\n")));
                work.emit(Batch { header: Header::default(), data });
            } else {
                self.0.insert(series.to_string(), (header.source.clone(), line.clone()));
            }
        }
        work.emit(batch);
    }

    fn series(&self) -> u64 {
        self.0.len() as u64
    }
}

static PORTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A source that holds a port while it lives; the port is the part of its name before a slash.
struct Listener {
    port: Option<String>,
    name: String,
}

struct ListenerFactory;

impl Component for ListenerFactory {
    type Config = NameConfig;
    type Made = Box<dyn Receiver>;
    const SPEC: Spec = spec("listener");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(Listener { port: None, name: config.name }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(port) = &self.port {
            // Unless somebody takes it in that very moment.
            if !self.name.ends_with("/stolen") {
                PORTS.lock().unwrap().remove(port);
            }
        }
    }
}

#[async_trait]
impl Receiver for Listener {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        let port = self.name.split('/').next().unwrap_or_default().to_string();
        if !PORTS.lock().unwrap().insert(port.clone()) {
            return Err(StartError(format!("{port} is in use")));
        }
        self.port = Some(port);
        Ok(())
    }

    async fn run(self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError> {
        stage(&self.name).outputs.lock().unwrap().push(outputs.of(Signal::Metrics).unwrap().clone());
        shutdown.wait().await;
        stage(&self.name).outputs.lock().unwrap().clear();
        Ok(())
    }
}

fn registry() -> Registry {
    Registry::new([
        Factory::receiver::<SourceFactory>(),
        Factory::receiver::<ListenerFactory>(),
        Factory::poller::<PollFactory>(),
        Factory::processor::<HalvesFactory>(),
        Factory::processor::<LatestFactory>(),
        Factory::exporter::<BackendFactory>(),
        Factory::exporter::<WitnessFactory>(),
        Factory::connector::<JoinFactory>(&[(Signal::Metrics, Signal::Metrics)]),
        Factory::extension::<FolderFactory>(),
    ])
}

/// A running engine.
struct Rig {
    running: Running,
    shared: Shared,
}

impl Rig {
    async fn start(yaml: &str) -> Rig {
        let (tree, mut diagnostics) = load(&[Source::inline("test.yaml", yaml)], &[], &|_: &str| None);
        let shared = Shared::new(Clock::scaled(1_000_000_000_000_000, 1.0));
        let graph = tree.and_then(|tree| build(&tree.root, &registry(), &shared, &mut diagnostics));
        let graph = graph.unwrap_or_else(|| panic!("{}", diagnostics.to_text(false)));
        Rig { running: graph.start().await.unwrap(), shared }
    }

    async fn try_reload(&mut self, yaml: &str) -> (Reloaded, Diagnostics) {
        let (tree, mut diagnostics) = load(&[Source::inline("test.yaml", yaml)], &[], &|_: &str| None);
        let (_never, abort) = Shutdown::new();
        let root = tree.unwrap().root;
        let verdict = self.running.reload(&root, &registry(), &abort, &mut diagnostics).await;
        (verdict, diagnostics)
    }

    async fn reload(&mut self, yaml: &str) -> Changes {
        match self.try_reload(yaml).await {
            (Reloaded::Done(changes), _) => changes,
            (other, diagnostics) => panic!("{other:?}: {}", diagnostics.to_text(false)),
        }
    }

    async fn stop(self) {
        self.running.shutdown().await;
        assert_conserved(&self.shared);
        for account in self.shared.books.read().iter().filter(|account| account.kind == Kind::Exporter) {
            assert_eq!(account.tally.balance().held, 0, "{}", account.id);
        }
    }
}

/// A config of receivers, processors and exporters, each one line of YAML, and pipelines.
fn config(receivers: &str, processors: &str, exporters: &str, pipelines: &str) -> String {
    format!(
        "receivers: {{{receivers}}}\nprocessors: {{{processors}}}\nexporters: {{{exporters}}}\nconnectors: {{join: }}\n\
         service:\n  shutdown_timeout: 20s\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines: {{{pipelines}}}\n"
    )
}

/// One pipeline from one source through the processors to one backend.
fn simple(name: &str, processors: &str, list: &str, backend: &str) -> String {
    config(
        &format!("source: {{name: {name}}}"),
        processors,
        &format!("backend: {{name: {name}{backend}}}"),
        &format!("metrics: {{receivers: [source], processors: [{list}], exporters: [backend]}}"),
    )
}

fn delivered(name: &str) -> Vec<String> {
    stage(name).delivered.lock().unwrap().clone()
}

async fn until_delivered(name: &str, expected: &[&str]) {
    until(&format!("{expected:?} at {name}"), || delivered(name).len() >= expected.len()).await;
    assert_eq!(delivered(name), expected);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_goes_on_with_its_state() {
    let mut rig = Rig::start(&simple("state", "latest: {}, halves: {}", "latest, halves", "")).await;
    let out = output("state").await;
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    // Nothing changed; then the other processor did, then the exporter, then a new one stands before all.
    let all = rig.reload(&simple("state", "latest: {}, halves: {}", "latest, halves", "")).await;
    assert_eq!(all, Changes { kept: 4, begun: 0, ended: 0 });
    let one = rig.reload(&simple("state", "latest: {}, halves: {name: x}", "latest, halves", "")).await;
    assert_eq!(one, Changes { kept: 3, begun: 1, ended: 1 });
    let one =
        rig.reload(&simple("state", "latest: {}, halves: {name: x}", "latest, halves", ", max_elapsed: 9m")).await;
    assert_eq!(one, Changes { kept: 3, begun: 1, ended: 1 });
    let processors = "latest: {}, halves: {name: x}, halves/2: {}";
    rig.reload(&simple("state", processors, "halves/2, latest, halves", ", max_elapsed: 9m")).await;
    send(&out, "recall 1", Until::Enqueued).await.unwrap();
    until_delivered("state", &["a 1", "b 2", "a 1", "b 2", "recall 1"]).await;
    assert_eq!(stage("state").outputs.lock().unwrap().len(), 1, "the source was never stopped");
    // Another id, and the state is another's.
    rig.reload(&simple("state", "latest/other: {}", "latest/other", "")).await;
    send(&out, "recall 2", Until::Enqueued).await.unwrap();
    until("the recall", || delivered("state").last().is_some_and(|last| last == "recall 2")).await;
    assert_eq!(delivered("state").len(), 6);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_exporter_hands_its_queue_over_in_order() {
    let mut rig = Rig::start(&simple("handover", "", "", "")).await;
    let (out, backend) = (output("handover").await, stage("handover"));
    *backend.hang.lock().unwrap() = true;
    for n in 0..3 {
        send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
    }
    let settled = tokio::spawn({
        let out = out.clone();
        async move { send(&out, "a 3", Until::Settled).await }
    });
    until("an attempt", || !backend.attempts.lock().unwrap().is_empty()).await;
    let began = tokio::time::Instant::now();
    rig.reload(&simple("handover", "", "", ", multiplier: 3")).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    *backend.hang.lock().unwrap() = false;
    send(&out, "a 4", Until::Enqueued).await.unwrap();
    until_delivered("handover", &["a 0", "a 1", "a 2", "a 3", "a 4"]).await;
    settled.await.unwrap().unwrap();
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_waited_for_and_not_repeated() {
    let mut rig = Rig::start(&simple("underway", "", "", "")).await;
    let (out, backend) = (output("underway").await, stage("underway"));
    let pause = Outcome::Retry { reason: "x".into(), message: "x".into(), after: Some(Duration::from_secs(60)) };
    backend.script.lock().unwrap().push_back(pause);
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until("the attempt", || backend.attempts.lock().unwrap().len() == 1).await;
    let began = tokio::time::Instant::now();
    rig.reload(&simple("underway", "", "", ", multiplier: 3")).await;
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for a pause between attempts");
    until_delivered("underway", &["a 1"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_config_with_errors_changes_nothing_and_says_why() {
    let mut rig = Rig::start(&simple("bad", "latest: {}", "latest", "")).await;
    let out = output("bad").await;
    let wrong = simple("bad", "latest: {nmae: x}", "latest", ", queue: lots");
    let (verdict, diagnostics) = rig.try_reload(&wrong).await;
    assert!(matches!(verdict, Reloaded::Rejected), "{verdict:?}");
    let text = diagnostics.to_text(false);
    assert!(
        text.contains("test.yaml:2") && text.contains("`nmae`") && text.contains("exporters.backend.queue"),
        "{text}"
    );
    let (tree, mut alone) = load(&[Source::inline("test.yaml", wrong)], &[], &|_: &str| None);
    assert!(build(&tree.unwrap().root, &registry(), &Shared::new(Clock::manual(0)), &mut alone).is_none());
    assert_eq!(text, alone.to_text(false), "exactly what a check says");
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("bad", &["a 1"]).await;
    assert!(rig.shared.board.read().values().all(|entry| entry.status == Status::Ok), "{:?}", rig.shared.board.read());
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_leaves_the_old_as_it_was() {
    let (receivers, more) = ("listener: {name: p1}", "listener: {name: p1}, source/2: {name: sad, fail_start: true}");
    let to = "exporters: [backend]";
    let old = config(receivers, "", "backend: {name: sad}", &format!("metrics: {{receivers: [listener], {to}}}"));
    let new = config(more, "", "backend: {name: sad}", &format!("metrics: {{receivers: [listener, source/2], {to}}}"));
    let mut rig = Rig::start(&old).await;
    let out = output("p1").await;
    let (verdict, _) = rig.try_reload(&new).await;
    assert!(
        matches!(&verdict, Reloaded::Failed(why) if why.contains("source/2") && why.contains("taken")),
        "{verdict:?}"
    );
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("sad", &["a 1"]).await;
    assert_eq!(rig.reload(&old).await.begun, 0, "what runs is the old config, whole");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_goes_from_the_old_to_the_new_and_back_if_that_fails() {
    let pipelines = |list: &str| format!("metrics: {{receivers: [{list}], exporters: [backend]}}");
    let one = |name: &str| {
        config(&format!("listener: {{name: {name}}}"), "", "backend: {name: port}", &pipelines("listener"))
    };
    let mut rig = Rig::start(&one("p2/a")).await;
    send(&output("p2/a").await, "a 1", Until::Enqueued).await.unwrap();
    rig.reload(&one("p2/b")).await;
    send(&output("p2/b").await, "a 2", Until::Enqueued).await.unwrap();
    // The same address for a changed one, and another that somebody else holds.
    PORTS.lock().unwrap().insert("p3".into());
    let two = config(
        "listener: {name: p2/c}, listener/3: {name: p3}",
        "",
        "backend: {name: port}",
        &pipelines("listener, listener/3"),
    );
    let (verdict, _) = rig.try_reload(&two).await;
    assert!(matches!(&verdict, Reloaded::Failed(why) if why.contains("p3 is in use")), "{verdict:?}");
    send(&output("p2/b").await, "a 3", Until::Enqueued).await.unwrap();
    assert_eq!(rig.shared.board.read()["receiver:listener"].status, Status::Ok);
    PORTS.lock().unwrap().remove("p3");
    rig.reload(&two).await;
    send(&output("p3").await, "a 4", Until::Enqueued).await.unwrap();
    until_delivered("port", &["a 1", "a 2", "a 3", "a 4"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_back_is_told_and_tried_again() {
    let one = |name: &str| {
        config(
            &format!("listener: {{name: {name}}}"),
            "",
            "backend: {name: lost}",
            "metrics: {receivers: [listener], exporters: [backend]}",
        )
    };
    let mut rig = Rig::start(&one("p4/stolen")).await;
    output("p4/stolen").await;
    PORTS.lock().unwrap().insert("p5".into());
    let (verdict, _) = rig.try_reload(&one("p5")).await;
    let Reloaded::Failed(why) = verdict else { panic!("{verdict:?}") };
    assert!(why.contains("p5 is in use") && why.contains("p4 is in use"), "{why}");
    let status = rig.shared.board.read()["receiver:listener"].status.clone();
    assert!(matches!(&status, Status::Failed(words) if words.contains("p4")), "not ready, and it says why: {status:?}");
    PORTS.lock().unwrap().remove("p4");
    rig.reload(&one("p4/stolen")).await;
    send(&output("p4/stolen").await, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("lost", &["a 1"]).await;
    assert_eq!(rig.shared.board.read()["receiver:listener"].status, Status::Ok);
    PORTS.lock().unwrap().remove("p5");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_exporter_does_not_hold_a_reload() {
    let mut rig = Rig::start(&simple("stuck_reload", "latest: {}", "latest", ", queue: 600")).await;
    let (out, backend) = (output("stuck_reload").await, stage("stuck_reload"));
    *backend.hang.lock().unwrap() = true;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    send(&out, "b 2", Until::Enqueued).await.unwrap();
    let waits = tokio::spawn({
        let out = out.clone();
        async move { send(&out, "c 3", Until::Enqueued).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    rig.reload(&simple("stuck_reload", "latest: {}, halves: {}", "latest, halves", ", queue: 700")).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let told = waits.await.unwrap();
    assert!(matches!(told, Err(SendError::NotSettled(SettleError::Retryable(_)))), "try again: {told:?}");
    assert_eq!(dropped(&rig.shared, "backend", "reload"), 1);
    assert_conserved(&rig.shared);
    *backend.hang.lock().unwrap() = false;
    send(&out, "c 3\nrecall 1", Until::Enqueued).await.unwrap();
    until("the rest", || delivered("stuck_reload").len() >= 7).await;
    assert_eq!(delivered("stuck_reload"), ["a 1", "b 2", "a 1", "b 2", "c 3", "c 3", "recall 1"]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_receiver_ends_its_series_a_changed_one_and_a_stop_do_not() {
    let with = |receivers: &str, list: &str| {
        let exporters = "backend: {name: ends}, witness: {name: ends_seen}";
        let pipeline = format!("metrics: {{receivers: [{list}], processors: [latest], exporters: [backend, witness]}}");
        config(receivers, "latest: {}", exporters, &pipeline)
    };
    stage("ends_a").poll_script.lock().unwrap().extend([PollAct::Points("a 1"), PollAct::Points("a 2")]);
    stage("ends_b").poll_script.lock().unwrap().push_back(PollAct::Points("b 1"));
    let polls = |seconds: u32| {
        format!("poll/a: {{name: ends_a, interval: {seconds}s}}, poll/b: {{name: ends_b}}, source: {{name: ends}}")
    };
    let mut rig = Rig::start(&with(&polls(30), "poll/a, poll/b, source")).await;
    until("both polls", || delivered("ends").len() == 2).await;
    rig.reload(&with(&polls(20), "poll/a, poll/b, source")).await;
    until("the changed one polls", || delivered("ends").len() == 3).await;
    assert!(!delivered("ends").iter().any(|line| line.contains("stale")), "{:?}", delivered("ends"));
    let epochs: Vec<u64> = stage("ends_a").polls.lock().unwrap().iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(epochs[..2], [1, 2], "passes of a source are counted on");
    // Two go: one that polls and one that was told nothing of passes.
    let out = output("ends").await;
    let header = Header { source: "source".into(), ..Header::default() };
    out.send(Batch { header, data: Data::Metrics(testkit::metrics("c 9")) }, Until::Enqueued).await.unwrap();
    let only_b = "poll/b: {name: ends_b}";
    rig.reload(&with(only_b, "poll/b")).await;
    until("the markers", || delivered("ends").iter().filter(|line| line.contains("stale")).count() == 2).await;
    let mut tail = delivered("ends").split_off(4);
    tail.sort();
    assert_eq!(tail, ["a stale", "c stale"]);
    assert!(!rig.shared.board.read().keys().any(|id| id.contains("poll/a")), "it left the board");
    let ends = stage("ends_seen").passes.lock().unwrap().clone();
    assert!(ends.iter().any(|(epoch, end)| *end == PassEnd::Removed && *epoch >= 2), "{ends:?}");
    rig.stop().await;
    assert_eq!(delivered("ends").iter().filter(|line| line.contains("stale")).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_goes_with_its_receiver_ends_the_series_too() {
    let both = config(
        "source: {name: gone}, poll: {name: gone_poll}",
        "latest: {}, halves: {wait: true}",
        "backend: {name: gone}",
        "metrics/a: {receivers: [source], exporters: [backend]}, \
         metrics/b: {receivers: [poll], processors: [latest, halves], exporters: [backend]}",
    );
    let one = config(
        "source: {name: gone}",
        "",
        "backend: {name: gone}",
        "metrics/a: {receivers: [source], exporters: [backend]}",
    );
    stage("gone_poll").poll_script.lock().unwrap().push_back(PollAct::Points("a 1"));
    let mut rig = Rig::start(&both).await;
    let is_held = |shared: &Shared| shared.books.read().iter().any(|a| a.id == "halves" && a.tally.balance().held == 1);
    until("the point is held", || is_held(&rig.shared)).await;
    rig.reload(&one).await;
    // What the processor held back, and the marker behind it.
    until_delivered("gone", &["a 1", "a stale"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_exporter_drains_and_is_given_up_at_the_deadline() {
    let with = |exporters: &str, list: &str| {
        let pipeline = format!("metrics: {{receivers: [source], exporters: [{list}]}}");
        config("source: {name: drains}", "", exporters, &pipeline)
    };
    let all = with(
        "backend: {name: drains}, backend/b: {name: drains_b}, backend/c: {name: drains_c}",
        "backend, backend/b, backend/c",
    );
    let one = with("backend: {name: drains}", "backend");
    let mut rig = Rig::start(&all).await;
    let out = output("drains").await;
    for name in ["drains_b", "drains_c"] {
        *stage(name).hang.lock().unwrap() = true;
    }
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    let began = tokio::time::Instant::now();
    rig.reload(&one).await;
    assert!(began.elapsed() < Duration::from_secs(6), "nobody waits for them: {:?}", began.elapsed());
    *stage("drains_b").hang.lock().unwrap() = false;
    send(&out, "c 3", Until::Enqueued).await.unwrap();
    until_delivered("drains_b", &["a 1", "b 2"]).await;
    until("the other is given up", || dropped(&rig.shared, "backend/c", "removed") == 2).await;
    assert!(began.elapsed() >= Duration::from_secs(20), "not before the deadline");
    until("it left the board", || !rig.shared.board.read().keys().any(|id| id.contains("backend/"))).await;
    assert_conserved(&rig.shared);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_comes_back_in_time_goes_on_with_its_queue() {
    let with = |exporters: &str, list: &str| {
        let pipeline = format!("metrics: {{receivers: [source], exporters: [{list}]}}");
        config("source: {name: back}", "", exporters, &pipeline)
    };
    let both = with("backend: {name: back}, backend/b: {name: back_b}", "backend, backend/b");
    let mut rig = Rig::start(&both).await;
    let out = output("back").await;
    *stage("back_b").hang.lock().unwrap() = true;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    rig.reload(&with("backend: {name: back}", "backend")).await;
    send(&out, "b 2", Until::Enqueued).await.unwrap();
    rig.reload(&both).await;
    *stage("back_b").hang.lock().unwrap() = false;
    send(&out, "c 3", Until::Enqueued).await.unwrap();
    until_delivered("back_b", &["a 1", "c 3"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn connectors_lead_to_what_stands_behind_them_now() {
    let with = |halves: &str, list: &str| {
        config(
            "source: {name: joints}",
            &format!("halves: {{wait: true{halves}}}, latest: {{}}"),
            "backend: {name: joints}, backend/2: {name: joints_2}",
            &format!(
                "metrics/in: {{receivers: [source], processors: [latest, halves], exporters: [join]}}, \
                 metrics/out: {{receivers: [join], exporters: [{list}]}}"
            ),
        )
    };
    let mut rig = Rig::start(&with("", "backend")).await;
    let out = output("joints").await;
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    // The processor that holds them goes: they take the old way. What comes then takes the new one.
    rig.reload(&with(", name: x", "backend/2")).await;
    until_delivered("joints", &["a 1", "b 2"]).await;
    send(&out, "recall 1", Until::Enqueued).await.unwrap();
    rig.stop().await;
    assert_eq!(delivered("joints_2"), ["a 1", "b 2", "recall 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_is_given_up_leaves_everything_as_it_was() {
    let mut rig = Rig::start(&simple("abort", "", "", "")).await;
    let out = output("abort").await;
    let yaml = simple("abort", "halves: {}", "halves", "");
    let (tree, mut diagnostics) = load(&[Source::inline("test.yaml", yaml)], &[], &|_: &str| None);
    let (trigger, abort) = Shutdown::new();
    trigger.fire();
    let verdict = rig.running.reload(&tree.unwrap().root, &registry(), &abort, &mut diagnostics).await;
    assert!(matches!(&verdict, Reloaded::Failed(why) if why.contains("stops")), "{verdict:?}");
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("abort", &["a 1"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_set_up_once_is_said_to_wait_for_a_restart() {
    let mut rig = Rig::start(&simple("once", "", "", "")).await;
    let changed = simple("once", "", "", "")
        .replace("{metrics: {level: none}}", "{metrics: {level: basic}, logs: {level: debug}}");
    let (verdict, diagnostics) = rig.try_reload(&changed).await;
    assert!(matches!(verdict, Reloaded::Done(_)), "{verdict:?}");
    let found = diagnostics.sorted();
    let stays: Vec<&str> = found.iter().filter(|d| d.rule == "needs-restart").map(|d| d.path.as_str()).collect();
    assert_eq!(stays, ["service.telemetry.metrics"]);
    rig.stop().await;
}

/// Files are real, so time is, too.
#[tokio::test]
async fn a_queue_on_disk_is_handed_over_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let with = |queue: &str| {
        simple("on_disk", "", "", &format!(", sending_queue: {{{queue}}}")).replace("20s", "100ms")
            + &format!("extensions: {{folder: {{name: {}}}}}\n", folder.path().display())
    };
    let mut rig = Rig::start(&with("storage: folder, memory_size: 1KiB, max_shards: 1")).await;
    let (out, backend) = (output("on_disk").await, stage("on_disk"));
    let busy = || {
        let after = Some(Duration::from_secs(60));
        let busy = Outcome::Retry { reason: "x".into(), message: "x".into(), after };
        backend.script.lock().unwrap().push_back(busy);
    };
    let send_all = async |numbers: std::ops::Range<u64>| {
        for n in numbers {
            send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
        }
    };
    let all = |numbers: std::ops::Range<u64>| numbers.map(|n| format!("a {n}")).collect::<Vec<_>>();
    busy();
    send_all(0..20).await;
    rig.reload(&with("storage: folder, memory_size: 2KiB, durable: true, max_shards: 1, max_age: 1h")).await;
    send_all(20..25).await;
    until("all are delivered", || delivered("on_disk").len() == 25).await;
    assert_eq!(delivered("on_disk"), all(0..25), "in order, each once");
    // Another place: what does not get away in time stays in the first, and is found there.
    let before = backend.attempts.lock().unwrap().len();
    busy();
    send_all(25..30).await;
    until("the attempt", || backend.attempts.lock().unwrap().len() > before).await;
    rig.reload(&with("max_shards: 1")).await;
    send_all(30..33).await;
    until("the new ones", || delivered("on_disk").len() == 28).await;
    until("the old ones are put away", || dropped(&rig.shared, "backend", "kept_on_disk") == 5).await;
    assert_conserved(&rig.shared);
    rig.reload(&with("storage: folder, max_shards: 1")).await;
    until("those that were kept", || delivered("on_disk").len() == 33).await;
    let mut found = delivered("on_disk").split_off(28);
    found.sort();
    assert_eq!(found, all(25..30));
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_and_nothing_overtakes_through_many_reloads() {
    let variants = [
        simple("storm", "", "", ""),
        simple("storm", "halves: {}", "halves", ""),
        simple("storm", "halves: {}, latest: {}", "latest, halves", ", multiplier: 3"),
        simple("storm", "halves: {name: x}, latest: {}", "halves, latest", ", multiplier: 4"),
        config(
            "source: {name: storm}",
            "halves: {}",
            "backend: {name: storm}, backend/2: {name: storm_2}",
            "metrics: {receivers: [source], processors: [halves], exporters: [join]}, \
             metrics/2: {receivers: [join], exporters: [backend, backend/2]}",
        ),
    ];
    let mut rig = Rig::start(&variants[0]).await;
    let (out, backend) = (output("storm").await, stage("storm"));
    let feeding = tokio::spawn(async move {
        for n in 0..2_000_u32 {
            send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
            if n % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    for round in 0..40_usize {
        let hiccup = Outcome::Retry { reason: "x".into(), message: "x".into(), after: None };
        backend.script.lock().unwrap().push_back(hiccup);
        rig.reload(&variants[round * 3 % variants.len()]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    feeding.await.unwrap();
    until("all are delivered", || delivered("storm").len() == 2_000).await;
    let expected: Vec<String> = (0..2_000).map(|n| format!("a {n}")).collect();
    assert_eq!(delivered("storm"), expected, "in order, each once");
    assert_conserved(&rig.shared);
    rig.stop().await;
}
