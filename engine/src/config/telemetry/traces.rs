//! `service.telemetry.traces`: where the process's own spans go, and which are recorded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::values::Millis;
use super::otlp::PushExporter;
use super::{Level, half_a_minute};

/// The process's own traces: one span for each pass of a poller, each batch that comes in, each request that goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracesTelemetry {
    /// `none` switches them off, whatever the processors; the other levels are alike.
    pub level: Level,
    /// Where spans go. Without any there is no tracing, and no cost.
    pub processors: Vec<SpanProcessor>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// How outgoing OTLP requests say to which trace they belong; an empty list keeps it from them.
    pub propagators: Vec<Propagator>,
}

impl Default for TracesTelemetry {
    fn default() -> Self {
        TracesTelemetry {
            level: Level::default(),
            processors: Vec::new(),
            sampler: Sampler::default(),
            propagators: vec![Propagator::TraceContext],
        }
    }
}

/// One way for spans to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpanProcessor {
    /// In batches.
    pub batch: BatchProcessor,
}

/// Sends spans in batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchProcessor {
    /// How long spans wait for others; milliseconds, or a duration.
    #[serde(default = "five_seconds")]
    pub schedule_delay: Millis,
    /// How long one sending may take; milliseconds, or a duration.
    #[serde(default = "half_a_minute")]
    pub export_timeout: Millis,
    /// So many spans wait at most; further ones are dropped.
    #[serde(default = "queue_size")]
    pub max_queue_size: usize,
    /// So many spans go into one request at most.
    #[serde(default = "batch_size")]
    pub max_export_batch_size: usize,
    /// To whom.
    pub exporter: PushExporter,
}

fn five_seconds() -> Millis {
    Millis::from_secs(5)
}

fn queue_size() -> usize {
    2048
}

fn batch_size() -> usize {
    512
}

/// Which traces are recorded; decided where a trace begins, by its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// All of them.
    AlwaysOn {},
    /// None of them.
    AlwaysOff {},
    /// A share of them.
    TraceIdRatioBased(Ratio),
    /// As the parent; traces begin here, so it is `root` that decides.
    ParentBased(ParentBased),
}

/// A share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// From 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
}

/// As the parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParentBased {
    /// For traces without a parent.
    #[serde(default)]
    pub root: Box<Sampler>,
}

impl Default for Sampler {
    fn default() -> Self {
        Sampler::AlwaysOn {}
    }
}

impl Sampler {
    /// The share of traces that is recorded.
    pub fn ratio(&self) -> f64 {
        match self {
            Sampler::AlwaysOn {} => 1.0,
            Sampler::AlwaysOff {} => 0.0,
            Sampler::TraceIdRatioBased(ratio) => ratio.ratio,
            Sampler::ParentBased(parent) => parent.root.ratio(),
        }
    }
}

/// Notations of a trace's place in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Propagator {
    /// W3C's `traceparent`.
    TraceContext,
}
