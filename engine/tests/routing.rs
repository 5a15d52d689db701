//! Connectors that choose among their pipelines, and bounds on the memory budget: what the engine does for them.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::time::Duration;

use steadyline_component::factory::Component;
use steadyline_component::*;
use steadyline_config::ComponentId;
use steadyline_engine::{Registry, Reloaded, Running, Shared};
use steadyline_telemetry::Signal;
use support::{
    BackendFactory, NameConfig, SourceFactory, assert_conserved, output, reload_with, send, spec, stage, start_with,
    until,
};

/// Chooses the first of its pipelines, by name, that fares best.
struct Pick {
    fed: Vec<ComponentId>,
    choice: Vec<ComponentId>,
}

struct PickFactory;

impl Component for PickFactory {
    type Config = NameConfig;
    type Made = Box<dyn Connector>;
    const SPEC: Spec = Spec { signals: &[], ..spec("pick") };

    fn create(_: NameConfig, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let mut fed = context.extensions.fed_by(context.id);
        fed.sort();
        Some(Box::new(Pick { fed, choice: Vec::new() }))
    }
}

impl Connector for Pick {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        work.emit(batch);
    }

    fn as_router(&mut self) -> Option<&mut dyn Router> {
        Some(self)
    }
}

impl Router for Pick {
    fn route(&mut self, _: Now, outlook: &dyn Fn(&ComponentId) -> Outlook) -> &[ComponentId] {
        let best = self.fed.iter().min_by_key(|id| outlook(id)).unwrap();
        self.choice = vec![best.clone()];
        &self.choice
    }
}

/// A processor that bounds the memory budget to so many bytes.
struct BoundFactory;

struct Pass;

impl Component for BoundFactory {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("bound");

    fn create(config: NameConfig, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        context.extensions.limit_memory(config.queue.unwrap().as_usize() as u64);
        assert_eq!(context.pipeline, "metrics");
        Some(Box::new(Pass))
    }
}

impl Processor for Pass {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        work.emit(batch);
    }
}

fn registry() -> Registry {
    Registry::new([
        Factory::receiver::<SourceFactory>(),
        Factory::exporter::<BackendFactory>(),
        Factory::processor::<BoundFactory>(),
        Factory::connector::<PickFactory>(&[(Signal::Metrics, Signal::Metrics)]),
    ])
}

async fn start(yaml: &str) -> (Running, Shared) {
    start_with(&registry(), yaml, Clock::scaled(0, 1.0)).await
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_chooses_knows_how_its_pipelines_fare() {
    let yaml = "receivers: {source: {name: pick}}\nconnectors: {pick: }\n\
         exporters: {backend/a: {name: pick_a, queue: 600}, backend/b: {name: pick_b}}\n\
         service:\n  telemetry: {metrics: {level: none}}\n  pipelines:\n    \
         metrics: {receivers: [source], exporters: [pick]}\n    \
         metrics/a: {receivers: [pick], exporters: [backend/a]}\n    \
         metrics/b: {receivers: [pick], exporters: [backend/b]}\n    \
         metrics/off: {enabled: false, receivers: [pick], exporters: [backend/b]}\n";
    let (running, shared) = start(yaml).await;
    let (out, a, b) = (output("pick").await, stage("pick_a"), stage("pick_b"));
    send(&out, "m 0", Until::Enqueued).await.unwrap();
    until("the first has it", || a.delivered.lock().unwrap().len() == 1).await;
    // The backend fails: what is sent at once still goes there, what comes after 10 s does not.
    let failing = || Outcome::Retry { reason: "x".into(), message: "x".into(), after: Some(Duration::from_secs(1)) };
    a.script.lock().unwrap().extend((0..9).map(|_| failing()));
    send(&out, "m 1", Until::Enqueued).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    send(&out, "m 2", Until::Enqueued).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    send(&out, "m 3", Until::Enqueued).await.unwrap();
    until("the second has it", || b.delivered.lock().unwrap().len() == 1).await;
    until("what the first holds arrives", || a.delivered.lock().unwrap().len() == 3).await;
    send(&out, "m 4", Until::Enqueued).await.unwrap();
    until("it works again", || a.delivered.lock().unwrap().len() == 4).await;
    // A queue that is full is left at once, but for what found it so.
    *a.hang.lock().unwrap() = true;
    for n in 5..7 {
        send(&out, &format!("m {n}"), Until::Enqueued).await.unwrap();
    }
    let found_it_full = tokio::spawn({
        let out = out.clone();
        async move { send(&out, "m 7", Until::Enqueued).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    *a.hang.lock().unwrap() = false;
    found_it_full.await.unwrap().unwrap();
    until("all arrived", || a.delivered.lock().unwrap().len() == 7).await;
    assert_eq!(*a.delivered.lock().unwrap(), ["m 0", "m 1", "m 2", "m 4", "m 5", "m 6", "m 7"]);
    assert_eq!(*b.delivered.lock().unwrap(), ["m 3"]);
    let report = running.shutdown().await;
    assert_eq!((report.delivered, report.dropped, report.kept), (8, 0, 0));
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn the_lowest_bound_on_memory_holds_and_follows_a_reload() {
    let yaml = |bounds: &str, list: &str, budget: &str| {
        format!(
            "receivers: {{source: {{name: bound}}}}\nprocessors: {{{bounds}}}\n\
             exporters: {{backend: {{name: bound, queue: 16MiB}}}}\n\
             service:\n  memory_budget: {budget}\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
             metrics: {{receivers: [source], processors: [{list}], exporters: [backend]}}\n"
        )
    };
    let two = "bound/1: {queue: 80MiB}, bound/2: {queue: 60MiB}";
    let (mut running, _) = start(&yaml(two, "bound/1, bound/2", "1GiB")).await;
    // What the queue may hold is part of it.
    assert_eq!(running.budget().total(), 44 << 20);
    let permit = running.budget().acquire(u64::MAX).await;
    for (bounds, list, budget, expected) in [
        (two, "bound/1, bound/2", "900MiB", 44),
        (two, "bound/1, bound/2", "40MiB", 24),
        ("bound/1: {queue: 80MiB}", "bound/1", "1GiB", 64),
        ("", "", "200MiB", 184),
    ] {
        let yaml = yaml(bounds, list, budget);
        let (verdict, _) = reload_with(&registry(), &mut running, &yaml).await;
        assert!(matches!(verdict, Reloaded::Done(_)), "{verdict:?}");
        assert_eq!(running.budget().total(), expected << 20, "{bounds} {budget}");
    }
    assert_eq!(running.budget().used(), 11 << 20);
    drop(permit);
    assert_eq!(running.budget().used(), 0);
    running.shutdown().await;
}
