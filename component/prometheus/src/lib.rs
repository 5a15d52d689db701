//! Prometheus' rules as pure functions: names and units, label sets, exposition formats, remote write messages.
//! No I/O and no async: every component that speaks to a Prometheus-like backend builds on the same rules.

mod attribute;
pub mod exposition;
pub mod labels;
mod metric;
pub mod names;
pub mod native;
pub mod values;
pub mod wire;

pub use attribute::put_attribute;
pub use metric::{Buckets, Exemplar, MetricKind, NativeHistogram, ResetHint, Span};
pub use names::{
    NameError, NameKind, TranslationStrategy, is_legal_label_name, is_legal_metric_name, label_name, metric_name,
};
pub use values::{STALE_NAN_BITS, is_stale};
