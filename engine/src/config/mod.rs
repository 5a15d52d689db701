//! The parts of a config that belong to the engine: `service`, and what the component sections may hold.

mod diff;
mod mismatch;
mod plan;
mod service;
mod telemetry;
mod values;

pub use diff::same;
pub use plan::{PipelinePlan, Plan};
pub use service::{PipelineConfig, ServiceConfig, ServiceKeys};
pub use telemetry::{
    BatchProcessor, IncludeExclude, Level, LogEncoding, LogLevel, LogSampling, LogsConfig, MetricsTelemetry,
    OtlpCompression, OtlpProtocol, OtlpPush, ParentBased, PeriodicReader, PrometheusReader, Propagator, PullExporter,
    PullReader, PushExporter, Ratio, Reader, Sampler, SpanProcessor, TelemetryConfig, TracesTelemetry,
};
pub use values::{AttributeValue, HeaderList, Millis};
