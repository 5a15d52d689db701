//! What a point costs that a plugin is shown, beside the same work compiled in: batches of 1,000 points of five attributes, in
//! the same run, from the door of the processor to the next one's.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops at what is wrong")]

use std::path::Path;
use std::time::Instant;

use steadyline_component::telemetry::{Limits, Metrics, NumberKind};
use steadyline_component::testkit::{TestExtensions, create_with, metrics};
use steadyline_component::{Batch, Clock, Data, Header, Meter, Processor, Tally, Work};
use steadyline_processor_wasm::WasmFactory;
use steadyline_wasm::testkit::{plugin, python_plugin};

const POINTS: usize = 1000;
const BATCHES: usize = 300;
const ROUNDS: usize = 5;

/// Doubles every value, compiled in.
struct Double;

impl Processor for Double {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            for point in metrics.edit().tables.points.iter_mut().filter(|point| point.number == NumberKind::Int) {
                point.bits = (2 * point.bits as i64) as u64;
            }
        }
        work.emit(batch);
    }
}

fn batch() -> Metrics {
    let line = |n: usize| {
        format!(
            "completed_steps{{account_id=\"account-{n:08}\",env=\"production\",queue=\"mail-{}\",region=\"eu-central-1\",status=\"active\"}} {n} @60\n",
            n % 10
        )
    };
    let text: String = (0..POINTS).map(line).collect();
    Metrics::decode(metrics(&text).encode(), &Limits::default()).unwrap()
}

fn wasm(path: &Path, config: &str) -> Box<dyn Processor> {
    let yaml = format!("path: {}\ntimeout: 300s\non_error: drop\nconfig: {config}", path.display());
    create_with::<WasmFactory>(&yaml, &mut TestExtensions::default(), &Clock::system(), &Meter::default()).unwrap()
}

/// Nanoseconds a point, the best of the rounds; everything that came in went out, and the sum of values says what was done.
fn measure(processor: &mut dyn Processor, factor: i64) -> f64 {
    let (clock, input, mut best) = (Clock::system(), batch(), f64::MAX);
    let expected = factor * (0..POINTS as i64).sum::<i64>();
    for round in 0..=ROUNDS {
        let began = Instant::now();
        for _ in 0..BATCHES {
            let (tally, mut out) = (Tally::default(), Vec::new());
            let batch = Batch { header: Header::default(), data: Data::Metrics(input.clone()) };
            processor.process(batch, &mut Work { now: clock.now(), tally: &tally, out: &mut out });
            let points = out.iter().filter_map(Batch::as_metrics).flat_map(|metrics| &metrics.tables().points);
            assert_eq!(points.map(|point| point.bits as i64).sum::<i64>(), expected);
            assert_eq!(out.iter().map(Batch::items).sum::<u64>(), POINTS as u64);
        }
        // The first round compiles and warms up.
        if round > 0 {
            best = best.min(began.elapsed().as_nanos() as f64 / (BATCHES * POINTS) as f64);
        }
    }
    best
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // As in the pipeline: on a runtime of many threads.
    let _inside = runtime.enter();
    let probe = plugin("probe");
    let compiled = measure(&mut Double, 2);
    println!("processor, batches of {POINTS} points of 5 attributes");
    println!("  compiled in, every value doubled       {compiled:7.1} ns a point");
    let row = |what: &str, mut processor: Box<dyn Processor>, factor| {
        let cost = measure(&mut *processor, factor);
        println!("  {what:38} {cost:7.1} ns a point, {:.1} times", cost / compiled);
    };
    row("WASM, Rust, every value doubled", wasm(&probe, "{do: double}"), 2);
    row("WASM, Rust, all shown, nothing changed", wasm(&probe, "{do: pass}"), 1);
    row("WASM, Rust, an attribute on every point", wasm(&plugin("classify"), "{critical: [mail-3]}"), 1);
    if std::env::var_os("STEADYLINE_PYTHON_PLUGINS").is_some() {
        row("WASM, Python, an attribute on every point", wasm(&python_plugin("classify"), "{critical: [mail-3]}"), 1);
    }
}
