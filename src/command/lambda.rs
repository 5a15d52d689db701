//! `lambda`: serves AWS Lambda's runtime API. The pipelines are built and started once, before the first call, and stay as long
//! as the environment does. A call takes its event in, or polls once, and is answered when all of that is settled: between
//! calls the process stands still, and nothing may wait in it. Pipelines that broke are made anew at the next call.

use std::sync::Arc;

use anyhow::{Context, bail};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use steadyline_component::{Clock, PassEnd};
use steadyline_engine::Registry;
use steadyline_engine::run::{Call, Callable, Called};
use tokio::sync::Mutex;

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
    let served = runtime.block_on(async {
        // What cannot start now may at the first call, which says what is wrong if it cannot.
        let started =
            graph.callable().await.inspect_err(|error| tracing::error!("{error}; the first call tries again"));
        let function = Arc::new(Function { args, registry: registry.clone(), graph: Mutex::new(started.ok()) });
        let serve = service_fn(move |event: LambdaEvent<Value>| {
            let function = Arc::clone(&function);
            async move { function.handle(event.payload).await.map_err(lambda_runtime::Error::from) }
        });
        lambda_runtime::run(serve).await
    });
    Ok(served.map_err(|error| anyhow::anyhow!("the runtime API failed: {error}"))?)
}

/// What lasts from call to call.
struct Function {
    args: ConfigArgs,
    registry: Registry,
    /// None while a call is served, and after one that broke it.
    graph: Mutex<Option<Callable>>,
}

impl Function {
    /// Serves one event. An error makes Lambda send the event again.
    async fn handle(&self, event: Value) -> anyhow::Result<Value> {
        let text = event.to_string();
        let is_poll = is_schedule(&event);
        let call = if is_poll { Call::Poll } else { Call::Event(text.as_bytes()) };
        let mut place = self.graph.lock().await;
        let mut graph = match place.take() {
            Some(graph) => graph,
            None => self.start().await?,
        };
        let Called { passes, answer, undelivered, report } = match graph.call(call).await {
            Ok(called) => called,
            Err(error) => {
                let left = graph.close().await;
                tracing::error!(abandoned = left.abandoned, kept = left.kept, "{error}; the next call starts anew");
                return Err(error.into());
            }
        };
        *place = Some(graph);
        tracing::info!(delivered = report.delivered, dropped = report.dropped, "call served");
        if is_poll {
            return polled(&passes, undelivered.as_deref());
        }
        let answer = answer
            .context("no receiver takes this event: an `awssqs` receiver must have the `queue_url` of its queue")?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn start(&self) -> anyhow::Result<Callable> {
        match self.args.graph(&self.registry, Clock::system()) {
            Ok((graph, _tree)) => Ok(graph.callable().await?),
            Err(Failure::Config) => bail!("the config has errors; they are in the log"),
            Err(Failure::Run(error)) => Err(error),
        }
    }
}

fn polled(passes: &[(String, PassEnd)], undelivered: Option<&str>) -> anyhow::Result<Value> {
    if passes.is_empty() {
        bail!("a schedule polls, and no polled receiver is configured");
    }
    let bad: Vec<&str> =
        passes.iter().filter(|(_, end)| *end != PassEnd::Complete).map(|(id, _)| id.as_str()).collect();
    if !bad.is_empty() {
        bail!("the pass was not complete: {}", bad.join(", "));
    }
    if let Some(why) = undelivered {
        bail!("not everything was delivered: {why}");
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
