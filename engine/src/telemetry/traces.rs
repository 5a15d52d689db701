//! The process's own traces, by choice: a span for each pass of a poller, each batch that comes in, each block that
//! goes out; never one for a point. Without a tracer nothing is made, not even a name.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::{FutureExt as _, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use steadyline_component::{Clock, StartError, TraceParent};

use super::otlp;
use super::sdk::SCOPE;
use crate::config::{Level, Propagator, TracesTelemetry};
use crate::gate::LogGate;

/// Where spans are begun. Cheap to clone; all clones are one. Off until [`Traces::start`].
#[derive(Debug, Clone, Default)]
pub struct Traces(Arc<OnceLock<Tracing>>);

#[derive(Debug)]
struct Tracing {
    tracer: SdkTracer,
    carried_on: bool,
}

impl Traces {
    /// Begins to trace, if config wants it; the provider must be shut down to send what waits.
    ///
    /// # Errors
    /// An exporter cannot be made.
    pub(super) fn start(
        &self,
        config: &TracesTelemetry,
        resource: Resource,
        clock: &Clock,
    ) -> Result<Option<SdkTracerProvider>, StartError> {
        if config.level == Level::None || config.processors.is_empty() {
            return Ok(None);
        }
        let root = Sampler::TraceIdRatioBased(config.sampler.ratio());
        let sampler = Sampler::ParentBased(Box::new(root));
        let mut builder = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler);
        for processor in &config.processors {
            let batch = &processor.batch;
            let limits = BatchConfigBuilder::default()
                .with_max_queue_size(batch.max_queue_size)
                .with_max_export_batch_size(batch.max_export_batch_size)
                .with_scheduled_delay(batch.schedule_delay.get())
                .build();
            let mut push = batch.exporter.otlp.clone();
            push.timeout = push.timeout.min(batch.export_timeout);
            let exporter = Telling::new(otlp::spans(&push, clock)?, &push.endpoint);
            builder =
                builder.with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(limits).build());
        }
        let provider = builder.build();
        let carried_on = config.propagators.contains(&Propagator::TraceContext);
        // A second start in one process keeps the first tracer.
        let _ = self.0.set(Tracing { tracer: provider.tracer(SCOPE), carried_on });
        Ok(Some(provider))
    }

    /// Begins a span below the one at hand, if there is one.
    pub fn begin(&self, name: &'static str, kind: SpanKind, attributes: impl FnOnce() -> Vec<KeyValue>) -> Span {
        let Some(tracing) = self.0.get() else { return Span { context: None, carried_on: false } };
        let builder = tracing.tracer.span_builder(name).with_kind(kind).with_attributes(attributes());
        let parent = Context::current();
        let span = tracing.tracer.build_with_context(builder, &parent);
        Span { context: Some(parent.with_span(span)), carried_on: tracing.carried_on }
    }
}

/// A span, or nothing. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: Option<Context>,
    carried_on: bool,
}

impl Span {
    /// Runs a future in the span: what it logs carries the span's ids, spans that it begins are below it.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        match &self.context {
            None => future.await,
            Some(context) => future.with_context(context.clone()).await,
        }
    }

    /// Notes something about the work.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.context {
            context.span().set_attribute(KeyValue::new(name, value));
        }
    }

    /// Notes that the work failed, and why.
    pub fn fail(&self, why: &str) {
        if let Some(context) = &self.context {
            context.span().set_status(Status::error(why.to_string()));
        }
    }

    /// Notes that an attempt failed and will be repeated.
    pub fn retried(&self, reason: &str) {
        if let Some(context) = &self.context {
            context.span().add_event("retry", vec![KeyValue::new("reason", reason.to_string())]);
        }
    }

    /// For requests that say to which trace they belong; `None` if they shall not.
    pub fn parent(&self) -> Option<TraceParent> {
        let context = self.context.as_ref().filter(|_| self.carried_on)?;
        let span = context.span().span_context().clone();
        Some(TraceParent {
            trace_id: span.trace_id().to_bytes(),
            span_id: span.span_id().to_bytes(),
            sampled: span.is_sampled(),
        })
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.context {
            context.span().end();
        }
    }
}

/// Trace and span id of the work at hand, in hexadecimal; `None` if it is not recorded. For log lines.
pub fn current_ids() -> Option<(String, String)> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        (span.is_valid() && span.is_sampled()).then(|| (span.trace_id().to_string(), span.span_id().to_string()))
    })
}

/// Says that spans could not be sent; the SDK does not.
#[derive(Debug)]
struct Telling<E> {
    exporter: E,
    endpoint: String,
    gate: LogGate,
}

impl<E> Telling<E> {
    fn new(exporter: E, endpoint: &str) -> Self {
        Telling { exporter, endpoint: endpoint.to_string(), gate: LogGate::new(Duration::from_secs(300)) }
    }
}

impl<E: SpanExporter> SpanExporter for Telling<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => self.gate.reset(),
            Err(error) => {
                if let Some(more) = self.gate.pass() {
                    let endpoint = &self.endpoint;
                    let words = otlp::words(error);
                    tracing::warn!(endpoint, suppressed = more, "own traces could not be sent: {words}");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
