//! `once`: one poll through the processors, printed in exposition format as it would be sent.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use steadyline_component::{Batch, Clock, Kind, PassEnd, Sink, Tally, async_trait};
use steadyline_engine::{Registry, Shared};

use super::config::ConfigArgs;
use super::{Failure, data, message, runtime};
use crate::exposition;

/// Arguments of `once`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Poll only this receiver.
    #[arg(long, value_name = "ID")]
    receiver: Option<String>,
    /// Read the source's items from this file instead (for dynamodb: DynamoDB JSON, `{"Items": [...]}` or one item a line).
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
}

pub(super) fn run(args: &Args, registry: &Registry) -> Result<(), Failure> {
    let document = match &args.items {
        Some(path) => Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let capture = Arc::new(Capture::default());
    let shared = Shared::new(Clock::system());
    let sink: Arc<dyn Sink> = capture.clone();
    let (graph, _) = args.config.build(|tree, diagnostics| {
        steadyline_engine::build::build_with_sink(&tree.root, registry, &shared, sink, diagnostics)
    })?;
    crate::logging::start(&graph.plan.service.telemetry.logs);
    let ends = runtime.block_on(graph.once(args.receiver.as_deref(), document.as_deref()))?;
    let batches = std::mem::take(&mut *capture.0.lock().unwrap_or_else(PoisonError::into_inner));
    data(&exposition::render(&batches))?;
    explain(&shared);
    judge(&ends)
}

/// What came out of the pipelines, in order.
#[derive(Default)]
struct Capture(Mutex<Vec<Batch>>);

#[async_trait]
impl Sink for Capture {
    async fn consume(&self, batch: Batch, _tally: &Tally) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }
}

fn explain(shared: &Shared) {
    for account in shared.books.read().iter().filter(|account| account.kind != Kind::Exporter) {
        let balance = account.tally.balance();
        let mut line =
            format!("# {} {}: {} in, {} out", account.kind.name(), account.id, balance.incoming, balance.outgoing);
        if balance.merged > 0 {
            line += &format!(", {} merged", balance.merged);
        }
        for (why, items) in &balance.created {
            line += &format!(", {items} created ({why})");
        }
        for (reason, items) in &balance.dropped {
            line += &format!(", {items} dropped ({reason})");
        }
        message(&line);
    }
}

fn judge(ends: &[(String, PassEnd)]) -> Result<(), Failure> {
    let check = || {
        if ends.is_empty() {
            bail!("no polled receiver to run once");
        }
        let bad: Vec<&str> =
            ends.iter().filter(|(_, end)| *end != PassEnd::Complete).map(|(id, _)| id.as_str()).collect();
        if !bad.is_empty() {
            bail!("the pass was not complete: {}", bad.join(", "));
        }
        Ok(())
    };
    Ok(check()?)
}
