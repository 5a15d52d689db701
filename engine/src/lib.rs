//! Config -> checked graph -> running pipelines. Knows no component, only their traits.
//!
//! | room | what lives there |
//! |---|---|
//! | [`registry`] | the list of what a distribution contains |
//! | [`config`] | the `service` section and the plan: the checked graph |
//! | [`build`] | every component made, nothing started |
//! | [`run`] | pipelines, pollers, start, reload and stop |
//! | [`delivery`] | queues, workers, retry, split |
//! | [`telemetry`] | the process's own metrics |
//! | [`books`], [`gate`], [`memory`] | conservation, rate-limited logs, the memory budget |

pub mod books;
pub mod build;
pub mod config;
pub mod delivery;
pub mod gate;
pub mod memory;
pub mod registry;
pub mod run;
pub mod telemetry;

pub use books::{Account, Books};
pub use build::{Graph, Shared, build};
pub use config::Plan;
pub use registry::Registry;
pub use run::{Changes, Reloaded, Running, StopReport};
