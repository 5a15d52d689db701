//! `lambda`: serves AWS Lambda's runtime API. Every call builds and starts the pipelines, takes the event in or polls once, flushes everything and only
//! then answers: between calls the process stands still, and nothing may wait in it.

use std::sync::Arc;

use anyhow::{Context, bail};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use steadyline_component::{Clock, PassEnd};
use steadyline_engine::Registry;
use steadyline_engine::run::{Call, Called};

use super::config::ConfigArgs;
use super::{Failure, runtime};

/// What Lambda sets, and where to look if it is not there.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

pub(super) fn run(args: ConfigArgs, registry: &Registry) -> Result<(), Failure> {
    for name in
        [RUNTIME_API, "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"]
    {
        if std::env::var_os(name).is_none() {
            return Err(anyhow::anyhow!(
                "{name} is not set: this command runs inside AWS Lambda, or beside its emulator"
            )
            .into());
        }
    }
    let runtime = runtime()?;
    let _inside = runtime.enter();
    // A config with errors must not wait for the first event to say so.
    let (graph, _tree) = args.graph(registry, Clock::system())?;
    crate::logging::start(&graph.plan.service.telemetry.logs);
    drop(graph);
    let shared = Arc::new((args, registry.clone()));
    let serve = service_fn(move |event: LambdaEvent<Value>| {
        let shared = Arc::clone(&shared);
        async move { handle(&shared.0, &shared.1, event.payload).await.map_err(lambda_runtime::Error::from) }
    });
    let served = runtime.block_on(lambda_runtime::run(serve));
    Ok(served.map_err(|error| anyhow::anyhow!("the runtime API failed: {error}"))?)
}

/// Serves one event. An error makes Lambda send the event again.
async fn handle(args: &ConfigArgs, registry: &Registry, event: Value) -> anyhow::Result<Value> {
    let graph = match args.graph(registry, Clock::system()) {
        Ok((graph, _tree)) => graph,
        Err(Failure::Config) => bail!("the config has errors; they are in the log"),
        Err(Failure::Run(error)) => return Err(error),
    };
    let text = event.to_string();
    let is_poll = is_schedule(&event);
    let call = if is_poll { Call::Poll } else { Call::Event(text.as_bytes()) };
    let Called { passes, answer, report } = graph.call(call).await?;
    tracing::info!(
        delivered = report.delivered,
        dropped = report.dropped,
        kept = report.kept,
        abandoned = report.abandoned,
        "call served"
    );
    if is_poll {
        return polled(&passes, report.abandoned);
    }
    let answer =
        answer.context("no receiver takes this event: an `awssqs` receiver must have the `queue_url` of its queue")?;
    Ok(serde_json::from_slice(&answer)?)
}

fn polled(passes: &[(String, PassEnd)], abandoned: u64) -> anyhow::Result<Value> {
    if passes.is_empty() {
        bail!("a schedule polls, and no polled receiver is configured");
    }
    let bad: Vec<&str> =
        passes.iter().filter(|(_, end)| *end != PassEnd::Complete).map(|(id, _)| id.as_str()).collect();
    if !bad.is_empty() {
        bail!("the pass was not complete: {}", bad.join(", "));
    }
    if abandoned > 0 {
        bail!("{abandoned} points could not be delivered in time");
    }
    Ok(serde_json::json!({"polled": passes.iter().map(|(id, _)| id).collect::<Vec<_>>()}))
}

/// Events of EventBridge's schedules, by rule or by scheduler; and `{}`, which a scheduler sends if nothing else is said.
fn is_schedule(event: &Value) -> bool {
    let source = event["source"].as_str().unwrap_or_default();
    matches!(source, "aws.events" | "aws.scheduler") || event.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_are_told_from_queues() {
        for (event, expected) in [
            (json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}), true),
            (json!({"source": "aws.scheduler"}), true),
            (json!({}), true),
            (json!({"Records": [{"eventSource": "aws:sqs"}]}), false),
            (json!(null), false),
        ] {
            assert_eq!(is_schedule(&event), expected, "{event}");
        }
    }
}
