//! Running what was built: pipelines as chains of awaited calls, pollers on their cadence, start, reload and stop in order.
//!
//! | room | what lives there |
//! |---|---|
//! | [`service`], `starting`, `stopping` | the running graph: start and stop |
//! | [`reload`], `swap`, `leaving` | another graph in its place, while data flows |
//! | `parts` | what runs: receivers, exporters, pipelines, connectors with their tasks |
//! | [`pipeline`], [`outlets`], [`joint`], [`intake`], `transit` | the way of a batch |
//! | `alarm`, `fall`, `keeping` | timers, panics, and state that outlives its processor |
//! | [`poll`], `progress` | polled sources |
//! | `invoke` | a graph that is called, for function runtimes |
//! | `sizes` | how the memory budget is shared out |

mod alarm;
mod fall;
mod intake;
mod invoke;
mod joint;
mod keeping;
mod leaving;
mod once;
mod outlets;
mod parts;
mod pipeline;
mod poll;
mod progress;
mod reload;
mod service;
mod sizes;
mod starting;
mod stopping;
mod supervise;
mod swap;
mod transit;

pub use intake::{Feeds, SourceIntake, UnderWay};
pub use invoke::{Call, Callable, Called};
pub use joint::Joint;
pub use outlets::{Outlets, SinkNode};
pub use pipeline::{Pipeline, Stage};
pub use poll::PollTask;
pub use progress::Progress;
pub use reload::{Changes, Reloaded};
pub use service::Running;
pub use stopping::StopReport;
pub use supervise::supervise;
