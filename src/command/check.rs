//! `check`: online. Starts what others refer to, then asks every source and every backend, and prints one table.

use std::time::Duration;

use clap::Args as ClapArgs;
use steadyline_component::{CheckRow, Clock, Host, Shutdown, Verdict};
use steadyline_engine::build::{ExtensionNode, SourceKind};
use steadyline_engine::{Graph, Registry};

use super::config::ConfigArgs;
use super::{Failure, data, runtime};

/// Arguments of `check`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, registry: &Registry) -> Result<(), Failure> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let (graph, _) = args.config.graph(registry, Clock::system())?;
    let rows = runtime.block_on(ask(graph));
    let failed = rows.iter().filter(|(_, row)| row.verdict == Verdict::Fail).count();
    data(&if args.json { json(&rows)? } else { table(&rows) })?;
    if failed > 0 {
        return Err(anyhow::anyhow!("{failed} of {} checks failed", rows.len()).into());
    }
    Ok(())
}

async fn ask(graph: Graph) -> Vec<(String, CheckRow)> {
    let (_trigger, shutdown) = Shutdown::new();
    let host = Host { clock: graph.shared.clock.clone(), board: graph.shared.board.clone(), shutdown };
    let mut rows = Vec::new();
    for ExtensionNode { id, extension, .. } in graph.extensions.iter().filter(|node| node.referenced) {
        let name = format!("extension {id}");
        match extension.start(&host).await {
            Ok(()) => rows.extend(extension.check().await.into_iter().map(|row| (name.clone(), row))),
            Err(error) => rows.push((name, not_started(&error))),
        }
    }
    for receiver in graph.receivers {
        let name = format!("receiver {}", receiver.id);
        let mut polling = match receiver.source {
            SourceKind::Polled(polling) => polling,
            // One that runs is not started: a listener's port belongs to the process that works.
            SourceKind::Pushed(mut receiver) => {
                rows.extend(receiver.check().await.into_iter().map(|row| (name.clone(), row)));
                continue;
            }
            SourceKind::Running => continue,
        };
        match polling.poller.start(&host).await {
            Ok(()) => rows.extend(polling.poller.check().await.into_iter().map(|row| (name.clone(), row))),
            Err(error) => rows.push((name, not_started(&error))),
        }
    }
    for branch in graph.branches.values() {
        let name = branch.name.replacen(':', " ", 1);
        match branch.sender.start(&host).await {
            Ok(()) => rows.extend(branch.sender.check().await.into_iter().map(|row| (name.clone(), row))),
            Err(error) => rows.push((name, not_started(&error))),
        }
    }
    for node in graph.extensions.iter().rev().filter(|node| node.referenced) {
        let _ = tokio::time::timeout(Duration::from_secs(2), node.extension.shutdown()).await;
    }
    rows
}

fn not_started(error: &steadyline_component::StartError) -> CheckRow {
    CheckRow { what: "start".into(), verdict: Verdict::Fail, detail: error.to_string(), advice: String::new() }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    }
}

fn table(rows: &[(String, CheckRow)]) -> String {
    if rows.is_empty() {
        return "nothing to ask: no component of the enabled pipelines depends on anything remote\n".into();
    }
    let width = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or(0);
    let who = width(&mut rows.iter().map(|(who, _)| who.len()));
    let what = width(&mut rows.iter().map(|(_, row)| row.what.len()));
    let mut text = String::new();
    for (name, row) in rows {
        text += &format!("{:4}  {name:who$}  {:what$}  {}\n", word(row.verdict), row.what, row.detail);
        if !row.advice.is_empty() {
            text += &format!("{:4}  {:who$}  {:what$}  -> {}\n", "", "", "", row.advice);
        }
    }
    text
}

fn json(rows: &[(String, CheckRow)]) -> Result<String, Failure> {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|(name, row)| {
            serde_json::json!({
                "component": name, "what": row.what, "verdict": word(row.verdict).to_lowercase(),
                "detail": row.detail, "advice": row.advice,
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&rows)? + "\n")
}
