//! Running what was built: pipelines as chains of awaited calls, pollers on their cadence, start, reload and stop in order.
//!
//! | room | what lives there |
//! |---|---|
//! | [`service`], `starting`, `stopping` | the running graph: start and stop |
//! | [`reload`], `swap`, `leaving` | another graph in its place, while data flows |
//! | `parts` | what runs: receivers, exporters, pipelines, connectors with their tasks |
//! | [`pipeline`], [`joint`], [`intake`] | the way of a batch |
//! | [`poll`], `progress` | polled sources |
//! | `invoke` | a graph that is called, for function runtimes |
//! | `sizes` | how the memory budget is shared out |

mod intake;
mod invoke;
mod joint;
mod leaving;
mod once;
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

pub use intake::{Feeds, SourceIntake, UnderWay};
pub use invoke::{Call, Callable, Called};
pub use joint::Joint;
pub use pipeline::{Outlets, Pipeline, SinkNode, Stage};
pub use poll::PollTask;
pub use progress::Progress;
pub use reload::{Changes, Reloaded};
pub use service::Running;
pub use stopping::StopReport;
pub use supervise::supervise;
