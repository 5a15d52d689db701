//! Pollers on their cadence: alignment, overruns, failures, panics; every pass ends with a verdict.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::time::Duration;

use steadyline_component::{Clock, PassEnd, Status};
use support::*;

fn config(name: &str) -> String {
    format!(
        "receivers: {{poll: {{name: {name}, interval: 10s}}}}\n\
         exporters: {{witness: {{name: {name}}}}}\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  \
         pipelines: {{metrics: {{receivers: [poll], exporters: [witness]}}}}\n"
    )
}

const START: u64 = 1_700_000_003_000_000_000;

#[tokio::test(start_paused = true)]
async fn ticks_are_aligned_and_passes_end_with_a_verdict() {
    let stage = stage("aligned");
    stage.poll_script.lock().unwrap().extend([
        PollAct::Points("a 1"),
        PollAct::Fail,
        PollAct::Hang,
        PollAct::Points("a 2"),
    ]);
    let (running, shared) = start(&config("aligned"), Clock::scaled(START, 1.0)).await;
    until("five passes", || stage.passes.lock().unwrap().len() >= 5).await;
    let ends = stage.passes.lock().unwrap().clone();
    use PassEnd::{Complete, Partial};
    // The pass that hangs is broken off after its interval.
    assert_eq!(ends[..5], [(1, Complete), (2, Partial), (3, Partial), (4, Complete), (5, Complete)]);
    assert_eq!(*stage.delivered.lock().unwrap(), ["a 1", "a 2"]);
    let polls = stage.polls.lock().unwrap().clone();
    assert_eq!(polls[0].1, START + 1_000_000_000, "the first poll is after the initial delay");
    let spans: Vec<u64> = polls.windows(2).skip(1).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(
        spans.iter().all(|span| span.is_multiple_of(10_000_000_000)),
        "later ones are whole intervals apart: {spans:?}"
    );
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_readiness_and_is_said() {
    let stage = stage("panic");
    stage.poll_script.lock().unwrap().push_back(PollAct::Panic);
    let (running, shared) = start(&config("panic"), Clock::scaled(START, 1.0)).await;
    let status = || shared.board.read()["receiver:poll"].status.clone();
    until("the panic shows", || matches!(status(), Status::Failed(_))).await;
    assert_eq!(status(), Status::Failed("a worker panicked: the poller fell over".into()));
    tokio::time::timeout(Duration::from_secs(30), running.shutdown()).await.unwrap();
}
