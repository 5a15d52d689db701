//! What the keys come to, what they cannot be, and that batches pass.

use std::sync::{Arc, Mutex};

use steadyline_component::factory::Extensions;
use steadyline_component::testkit::{ProcessorHarness, create};
use steadyline_component::{Clock, Extension, Meter, OwnMetrics};
use steadyline_config::{ComponentId, Diagnostics, Source, load};

use super::*;

/// Notes what was asked for.
#[derive(Default)]
struct Noted(Arc<Mutex<Vec<Limit>>>);

impl Extensions for Noted {
    fn resolve(&mut self, _: &ComponentId, _: &mut Diagnostics) -> Option<Arc<dyn Extension>> {
        None
    }

    fn ids(&self) -> Vec<String> {
        Vec::new()
    }

    fn limit_memory(&mut self, bytes: u64) {
        self.0.lock().unwrap().push(Limit::Bytes(bytes));
    }

    fn limit_memory_share(&mut self, percent: u32) {
        self.0.lock().unwrap().push(Limit::Percent(percent));
    }
}

struct NothingToRead;

impl OwnMetrics for NothingToRead {
    fn read(&self, _: u64) -> steadyline_component::telemetry::Metrics {
        Default::default()
    }
}

/// What a config asks of the engine, and what it is told.
fn noted(yaml: &str) -> (Vec<Limit>, Vec<String>) {
    let (tree, mut diagnostics) = load(&[Source::inline("x.yaml", format!("x: {yaml}"))], &[], &|_: &str| None);
    let tree = tree.unwrap();
    let own: Arc<dyn OwnMetrics> = Arc::new(NothingToRead);
    let mut extensions = Noted::default();
    let limits = Arc::clone(&extensions.0);
    let mut context = CreateContext {
        id: &"memory_limiter".parse().unwrap(),
        pipeline: "metrics",
        signal: Signal::Metrics,
        clock: &Clock::manual(0),
        meter: &Meter::default(),
        own_metrics: &own,
        node: tree.root.get("x").unwrap(),
        path: "x".into(),
        diagnostics: &mut diagnostics,
        extensions: &mut extensions,
    };
    let config = steadyline_config::decode(context.node, "x", context.diagnostics).unwrap();
    MemoryLimiterFactory::create(config, &mut context);
    let said = diagnostics.sorted().iter().map(|d| format!("{}: {}", d.path, d.message)).collect();
    let limits = limits.lock().unwrap().clone();
    (limits, said)
}

#[test]
fn the_soft_limit_bounds_the_budget() {
    for (yaml, expected) in [
        ("{check_interval: 1s, limit_mib: 400, spike_limit_mib: 80}", Limit::Bytes(320 << 20)),
        ("{limit_mib: 400}", Limit::Bytes(320 << 20)),
        ("{limit_mib: 4000000, spike_limit_mib: 1}", Limit::Bytes(3_999_999 << 20)),
        ("{limit_mib: 100, limit_percentage: 50}", Limit::Bytes(80 << 20)),
        ("{limit_percentage: 75, spike_limit_percentage: 25}", Limit::Percent(50)),
        ("{limit_percentage: 80}", Limit::Percent(64)),
    ] {
        assert_eq!(noted(yaml), (vec![expected], vec![]), "{yaml}");
    }
}

#[test]
fn keys_for_the_garbage_collector_have_no_effect_and_it_is_said() {
    let (limits, said) =
        noted("{limit_mib: 10, min_gc_interval_when_soft_limited: 10s, max_gc_interval_when_hard_limited: 0s}");
    assert_eq!(limits, [Limit::Bytes(8 << 20)]);
    let paths: Vec<&str> = said.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(paths, ["x.min_gc_interval_when_soft_limited", "x.max_gc_interval_when_hard_limited"]);
}

#[test]
fn what_cannot_be_is_said() {
    for (yaml, expected) in [
        ("check_interval: 1s", "there is no limit; expected `limit_mib`, or `limit_percentage`"),
        ("{limit_mib: 10, spike_limit_mib: 10}", "spike_limit_mib: 10 is not below the `limit_mib` of 10"),
        ("limit_percentage: 101", "limit_percentage: 101 is not between 1 and 100"),
        ("{limit_percentage: 50, spike_limit_percentage: 60}", "spike_limit_percentage: 60 is not below"),
        ("limit_mb: 10", "unknown key `limit_mb`"),
    ] {
        let error = create::<MemoryLimiterFactory>(yaml).err().unwrap();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

#[test]
fn batches_pass() {
    let mut harness = ProcessorHarness::new::<MemoryLimiterFactory>("limit_mib: 10");
    assert_eq!(harness.push("a 1 @1\nb{x=\"y\"} 2 @1"), ["a 1 @1", "b{x=\"y\"} 2 @1"]);
}
