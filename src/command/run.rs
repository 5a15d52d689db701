//! `run`: build, start, reload when asked, wait for a signal, drain, say what became of everything.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use steadyline_component::{Clock, Shutdown};
use steadyline_config::{Diagnostics, Severity};
use steadyline_engine::{Registry, Reloaded, Running, StopReport};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config::{ConfigArgs, rendered};
use super::control::{Answer, Call, Control, Request, Verdict};
use super::watch::Watch;
use super::{Failure, runtime};
use crate::logging::LogLevels;

/// Arguments of `run`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Reload when a file of the config changes, or one that it takes values from.
    #[arg(long)]
    watch: bool,
    /// Where `steadyline reload` reaches this process: a socket. Default: in the user's folder for such things.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

pub(super) fn run(args: &Args, registry: &Registry) -> Result<(), Failure> {
    let began = Instant::now();
    let runtime = runtime()?;
    // Some parts start timers when they are made.
    let _inside = runtime.enter();
    let watch = args.watch.then(|| Watch::new(&args.config.sources()));
    let (graph, _tree) = args.config.graph(registry, clock()?)?;
    let levels = crate::logging::start(&graph.plan.service.telemetry.logs);
    let outcome = runtime.block_on(async {
        let mut stops = Stops::new()?;
        let hangup = signal(SignalKind::hangup())?;
        let running = tokio::select! {
            started = graph.start() => started?,
            name = stops.next() => return stopped_early(name),
        };
        let control = control(args);
        tracing::info!(ready_after_ms = began.elapsed().as_millis() as u64, "everything is ready");
        let mut service = Service { args, registry, levels, running, stops, hangup, control, watch };
        let name = service.serve().await?;
        let Service { running, mut stops, control, .. } = service;
        drop(control);
        tracing::info!("{name}: draining");
        let stopping = Instant::now();
        tokio::select! {
            report = running.shutdown() => said(report, stopping.elapsed()),
            _ = stops.next() => return Err(impatient()),
        }
        Ok::<(), Failure>(())
    });
    // What still runs in the background (a hung lookup, say) must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

/// The signals that end the process.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> Result<Stops, Failure> {
        Ok(Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Where the process is told to reload by command; without, it goes on.
fn control(args: &Args) -> Option<Control> {
    match (Control::listen(args.control.as_deref()), &args.control) {
        (Ok(control), _) => {
            tracing::debug!(path = %control.path().display(), "`steadyline reload` reaches this process");
            Some(control)
        }
        (Err(error), Some(path)) => {
            tracing::warn!("`steadyline reload` will not reach this process at {}: {error}", path.display());
            None
        }
        (Err(error), None) => {
            tracing::debug!("`steadyline reload` will not reach this process: {error}");
            None
        }
    }
}

/// The process while it runs.
struct Service<'a> {
    args: &'a Args,
    registry: &'a Registry,
    levels: Option<LogLevels>,
    running: Running,
    stops: Stops,
    hangup: Signal,
    control: Option<Control>,
    watch: Option<Watch>,
}

/// What a reload came to.
struct Outcome {
    verdict: Reloaded,
    found: Diagnostics,
    /// The signal to stop that came meanwhile.
    stop: Option<&'static str>,
}

impl Service<'_> {
    /// Reloads whenever asked to; gives the signal that ends it.
    async fn serve(&mut self) -> Result<&'static str, Failure> {
        loop {
            let (why, call) = tokio::select! {
                biased;
                name = self.stops.next() => return Ok(name),
                _ = self.hangup.recv() => ("SIGHUP", None),
                call = next_call(&mut self.control) => ("`steadyline reload`", Some(call)),
                () = next_change(&mut self.watch) => ("a file of the config changed", None),
            };
            if let Some(name) = self.reload(why, call).await? {
                return Ok(name);
            }
        }
    }

    /// Reads the config and runs it; gives the signal to stop that came meanwhile, if one did.
    async fn reload(&mut self, why: &str, call: Option<Call>) -> Result<Option<&'static str>, Failure> {
        tracing::info!("{why}: reading the config again");
        let began = Instant::now();
        let Outcome { verdict, found, stop } = self.attempt().await?;
        let answer = tell(&verdict, &found, began.elapsed());
        if let (Reloaded::Done(_), Some(levels)) = (&verdict, &self.levels) {
            levels.set(self.running.telemetry_config().logs.level);
        }
        if let Some((Request::Reload { output, colour }, reply)) = call {
            // Whoever asked may have gone.
            let _ = reply.send(Answer { findings: rendered(&found, output, colour), ..answer });
        }
        Ok(stop)
    }

    async fn attempt(&mut self) -> Result<Outcome, Failure> {
        let (tree, mut found) = self.args.config.load();
        let Some(tree) = tree else { return Ok(Outcome { verdict: Reloaded::Rejected, found, stop: None }) };
        let (give_up, given_up) = Shutdown::new();
        let mut stop = None;
        let verdict = {
            let reload = self.running.reload(&tree.root, self.registry, &given_up, &mut found);
            tokio::pin!(reload);
            loop {
                tokio::select! {
                    verdict = &mut reload => break verdict,
                    name = self.stops.next() => {
                        if stop.is_some() {
                            return Err(impatient());
                        }
                        // What is half done is finished, which takes a few seconds at most; then everything stops.
                        stop = Some(name);
                        give_up.fire();
                    }
                }
            }
        };
        Ok(Outcome { verdict, found, stop })
    }
}

async fn next_call(control: &mut Option<Control>) -> Call {
    match control {
        Some(control) => control.call().await,
        None => std::future::pending().await,
    }
}

async fn next_change(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Says in the log what a reload came to, with every finding and its place.
fn tell(verdict: &Reloaded, found: &Diagnostics, took: Duration) -> Answer {
    for one in found.sorted() {
        let place = one.place.as_ref().map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
        let (place, path, rule) = (place.unwrap_or_default(), one.path.as_str(), one.rule);
        let help = [&one.expected, &one.help].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("; ");
        match one.severity {
            Severity::Error => tracing::error!(place, path, rule, help, "config: {}", one.message),
            Severity::Warning => tracing::warn!(place, path, rule, help, "config: {}", one.message),
        }
    }
    let took_ms = took.as_millis() as u64;
    let (verdict, message) = match verdict {
        Reloaded::Done(changes) => {
            let (kept, begun, ended) = (changes.kept, changes.begun, changes.ended);
            tracing::info!(kept, begun, ended, took_ms, "reloaded");
            (Verdict::Done, format!("reloaded: {kept} components went on, {begun} began, {ended} ended"))
        }
        Reloaded::Rejected => {
            tracing::error!(
                errors = found.error_count(),
                "not reloaded: the new config has errors, the old one runs on"
            );
            (Verdict::Rejected, "the config has errors, the old one runs on".into())
        }
        Reloaded::Failed(why) => {
            tracing::error!(took_ms, "not reloaded, the old config runs on: {why}");
            (Verdict::Failed, format!("not reloaded, the old config runs on: {why}"))
        }
    };
    Answer { verdict, message, findings: String::new() }
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
    let took_ms = took.as_millis() as u64;
    tracing::info!(
        delivered,
        kept,
        dropped,
        abandoned,
        took_ms,
        "stopped: {delivered} delivered, {kept} kept on disk, {dropped} dropped"
    );
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
