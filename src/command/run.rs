//! `run`: build, start, wait for a signal, drain, say what became of everything.

use std::time::{Duration, Instant};

use steadyline_component::Clock;
use steadyline_engine::{Registry, StopReport};
use tokio::signal::unix::{SignalKind, signal};

use super::config::ConfigArgs;
use super::{Failure, runtime};

pub(super) fn run(args: &ConfigArgs, registry: &Registry) -> Result<(), Failure> {
    let began = Instant::now();
    let runtime = runtime()?;
    // Some parts start timers when they are made.
    let _inside = runtime.enter();
    let (graph, _tree) = args.graph(registry, clock()?)?;
    crate::logging::start(&graph.plan.service.telemetry.logs);
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let running = tokio::select! {
            started = graph.start() => started?,
            _ = terminate.recv() => return stopped_early("SIGTERM"),
            _ = interrupt.recv() => return stopped_early("SIGINT"),
        };
        tracing::info!(ready_after_ms = began.elapsed().as_millis() as u64, "everything is ready");
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: draining");
        let stopping = Instant::now();
        tokio::select! {
            report = running.shutdown() => said(report, stopping.elapsed()),
            _ = terminate.recv() => return Err(impatient()),
            _ = interrupt.recv() => return Err(impatient()),
        }
        Ok::<(), Failure>(())
    });
    // What still runs in the background (a hung lookup, say) must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

fn stopped_early(name: &str) -> Result<(), Failure> {
    tracing::info!("{name} before everything was ready: nothing was taken in");
    Ok(())
}

fn impatient() -> Failure {
    anyhow::anyhow!("a second signal: exiting at once, what was queued is lost").into()
}

fn said(report: StopReport, took: Duration) {
    let StopReport { delivered, kept, dropped, abandoned } = report;
    tracing::info!(delivered, kept, dropped, abandoned, took_ms = took.as_millis() as u64, "stopped");
}

/// The machine's clock; `STEADYLINE_CLOCK=start=<unix seconds>,factor=<n>` gives another for tests and rehearsals:
/// it starts there and runs so many times as fast.
fn clock() -> Result<Clock, Failure> {
    let Ok(text) = std::env::var("STEADYLINE_CLOCK") else { return Ok(Clock::system()) };
    let parse = |key: &str| -> Option<f64> {
        text.split(',').find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    };
    match (parse("start"), parse("factor")) {
        (Some(start), Some(factor)) if start >= 0.0 && factor > 0.0 => Ok(Clock::scaled((start * 1e9) as u64, factor)),
        _ => Err(anyhow::anyhow!("STEADYLINE_CLOCK is `{text}`; expected `start=<unix seconds>,factor=<n>`").into()),
    }
}
