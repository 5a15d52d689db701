//! The parts of a config that belong to the engine: `service`, and what the component sections may hold.

mod plan;
mod service;

pub use plan::{PipelinePlan, Plan};
pub use service::{
    LogEncoding, LogLevel, LogsConfig, MetricsLevel, MetricsTelemetry, PipelineConfig, PrometheusReader, PullExporter,
    PullReader, Reader, ServiceConfig, ServiceKeys, TelemetryConfig,
};
