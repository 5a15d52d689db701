//! How the process is watched: one reading function over books, instruments and queues, and whoever shows it.
//! The Collector's names where it has one (`otelcol_*`), ours beside them (`steadyline_*`).

mod process;
mod reading;
mod serve;

pub use reading::{Families, Family, read};
pub use serve::TelemetryServer;
