//! What a point costs that a plugin makes, beside one that is made by code that is compiled in: the same 1,000 points of five
//! attributes, in the same run, from the poll to the pipeline's door.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops at what is wrong")]

use std::path::Path;
use std::time::{Duration, Instant};

use steadyline_component::telemetry::metrics::{MetricDef, NumberValue};
use steadyline_component::telemetry::{Metrics, MetricsBuilder, Signal, Slot, Value};
use steadyline_component::testkit::{TestExtensions, TestIntake, create_with};
use steadyline_component::{
    Clock, Header, Meter, PassEnd, PollError, PollOutput, Poller, Polling, Schedule, Shutdown, Tick, async_trait,
};
use steadyline_receiver_wasm::WasmFactory;
use steadyline_wasm::testkit::plugin;

const POINTS: usize = 1000;
const POLLS: usize = 300;
const ROUNDS: usize = 5;

/// The same points, compiled in.
struct Compiled;

#[async_trait]
impl Poller for Compiled {
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        output.send(points(tick.time)).await?;
        Ok(PassEnd::Complete)
    }
}

fn points(time: u64) -> Metrics {
    let mut builder = MetricsBuilder::new();
    builder.resource([]);
    let metric = builder.metric(MetricDef::gauge("completed_steps"));
    for n in 0..POINTS {
        let account = format!("account-{n:08}");
        let pairs = [
            ("account_id", account.as_str()),
            ("env", "production"),
            ("region", "eu-central-1"),
            ("service", "onboarding"),
            ("status", "active"),
        ];
        let shape = builder.shape(pairs.map(|(key, _)| key));
        let values: Vec<Slot> = pairs.iter().map(|(_, value)| builder.value(Value::text(value))).collect();
        builder.number(metric, shape, &values, time, 0, NumberValue::Double(n as f64));
    }
    builder.finish()
}

fn compiled() -> Polling {
    let schedule =
        Schedule { interval: Duration::from_secs(60), initial_delay: Duration::ZERO, timeout: Duration::ZERO };
    Polling { poller: Box::new(Compiled), schedule, identity: [].into(), leadership: None }
}

fn wasm(path: &Path) -> Polling {
    let yaml = format!("path: {}\nconfig: {{do: points, points: {POINTS}}}", path.display());
    create_with::<WasmFactory>(&yaml, &mut TestExtensions::default(), &Clock::system(), &Meter::default()).unwrap()
}

/// Nanoseconds a point, the best of the rounds; every point that was asked for arrived.
async fn measure(polling: &mut Polling) -> f64 {
    let (clock, mut best) = (Clock::system(), f64::MAX);
    for round in 0..=ROUNDS {
        let intake = TestIntake::new(1 << 30);
        let output = PollOutput::of(intake.outputs(&[Signal::Metrics]), Header::default());
        let (_trigger, shutdown) = Shutdown::new();
        let began = Instant::now();
        for epoch in 0..POLLS as u64 {
            let deadline = clock.now().mono + Duration::from_secs(300);
            let tick = Tick { epoch, time: 60_000_000_000, deadline, last_complete: None, shutdown: shutdown.clone() };
            assert_eq!(polling.poller.poll(&tick, &output).await.unwrap(), PassEnd::Complete);
            let batches = intake.take();
            assert_eq!(batches.iter().map(|batch| batch.items()).sum::<u64>(), POINTS as u64);
        }
        // The first round compiles and warms up.
        if round > 0 {
            best = best.min(began.elapsed().as_nanos() as f64 / (POLLS * POINTS) as f64);
        }
    }
    best
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let compiled = measure(&mut compiled()).await;
    let wasm = measure(&mut wasm(&plugin("probe"))).await;
    println!("receiver, {POINTS} points of 5 attributes a poll");
    println!("  compiled in   {compiled:7.0} ns a point");
    println!("  WASM, Rust    {wasm:7.0} ns a point, {:.1} times", wasm / compiled);
}
