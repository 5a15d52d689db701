//! The data in flight: metrics as shapes and values, traces and logs as counted OTLP bytes.
//! No I/O, no async, nothing of ours below it; OTLP protobuf comes in and goes out here.
//!
//! | room | what lives there |
//! |---|---|
//! | [`wire`] | protobuf primitives: a bounds-checked reader, an append-only writer |
//! | [`slot`] | where one value lies in a batch's buffers |
//! | [`text`] | values as text, where a backend knows nothing else |
//! | [`shape`] | ordered lists of attribute keys, held once per batch |
//! | [`metrics`] | the metric batch: decode, encode, build, edit, look inside |
//! | [`fingerprint`] | what tells series apart, for whoever keeps state about them |
//! | [`streams`] | bounded state by fingerprint, forgotten when silent |
//! | [`reading`] | what a point says, for whoever calculates with it |
//! | [`opaque`] | traces and logs, carried as bytes and counted |
//! | [`limits`] | what a sender may ask of the decoder |

pub mod fingerprint;
pub mod limits;
pub mod metrics;
pub mod opaque;
pub mod reading;
pub mod shape;
pub mod slot;
pub mod streams;
pub mod text;
pub mod wire;

pub use fingerprint::Fingerprinter;
pub use limits::{DecodeError, Limits};
pub use metrics::{Metric, MetricKind, Metrics, MetricsBuilder, NumberKind, Point, Temporality};
pub use opaque::Opaque;
pub use reading::Reading;
pub use shape::{ShapeId, ShapeTable};
pub use slot::{Slot, Value, ValueKind};
pub use streams::Streams;

/// The OTLP data point flag "no recorded value": the series has no value now.
/// Source: opentelemetry-proto, `DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
pub const NO_RECORDED_VALUE: u32 = 1;

/// Which of the three OTLP signals a batch, a pipeline or a component speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Metrics, counted in data points.
    Metrics,
    /// Traces, counted in spans.
    Traces,
    /// Logs, counted in log records.
    Logs,
}

impl Signal {
    /// The signal's name as a pipeline id spells it: `metrics`, `traces`, `logs`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
            Signal::Logs => "logs",
        }
    }

    /// The signal named by a pipeline id's type, if it is one.
    pub fn from_name(name: &str) -> Option<Signal> {
        [Signal::Metrics, Signal::Traces, Signal::Logs].into_iter().find(|s| s.name() == name)
    }

    /// What one item of the signal is called in the Collector's metric names.
    pub fn item_name(self) -> &'static str {
        match self {
            Signal::Metrics => "metric_points",
            Signal::Traces => "spans",
            Signal::Logs => "log_records",
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
