//! Running what was built: pipelines as chains of awaited calls, pollers on their cadence, start and stop in order.

mod intake;
mod invoke;
mod once;
mod pipeline;
mod poll;
mod service;
mod supervise;

pub use invoke::{Call, Called};
pub use intake::{SourceIntake, UnderWay};
pub use pipeline::{Joint, Pipeline, SinkNode, Stage};
pub use poll::PollTask;
pub use service::{Running, StopReport};
pub use supervise::supervise;
