//! WASM plugins: a component of the WebAssembly component model, loaded once, called once per batch, and held to what it was
//! granted. What plugins import and export is in `plugins/wit`.
//!
//! Without the cargo feature `runtime` there are the config types and their checks, and an error that says so.
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | the keys that receiver and processor share, and what is made of them |
//! | [`http`] | requests to the hosts that config allows |
//! | [`state`] | keys and values: undone when a call fails, kept by a storage extension |
//! | [`log`] | what plugins say |
//! | [`report`] | why calls fail, counted and told |
//! | [`backoff`] | when a plugin that fails is tried again |
//! | `loaded`, `ticker` | the engine: a file compiled, the tick by which a running plugin is interrupted |
//! | `bindings`, `data`, `wasi` | the border: generated types, what the host does when it is called |
//! | `records` | metrics that plugins make |
//! | `wait` | for callers that cannot `await` |
//! | `plugin`, `worlds` | an instance: started, called within its bounds, replaced |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod backoff;
pub mod config;
pub mod http;
pub mod log;
pub mod report;
pub mod state;

#[cfg(feature = "runtime")]
pub mod bindings;
#[cfg(feature = "runtime")]
mod data;
#[cfg(feature = "runtime")]
mod loaded;
#[cfg(feature = "runtime")]
pub mod plugin;
#[cfg(feature = "runtime")]
pub mod records;
#[cfg(feature = "runtime")]
mod ticker;
#[cfg(feature = "runtime")]
mod wait;
#[cfg(feature = "runtime")]
mod wasi;
#[cfg(feature = "runtime")]
mod worlds;

#[cfg(feature = "testkit")]
pub mod testkit;

#[cfg(feature = "runtime")]
pub use plugin::{Guest, Plugin};
#[cfg(feature = "runtime")]
pub use wait::Waiter;

pub use config::{HttpConfig, Keys, Limits, PluginConfig, Restart, Settings};
pub use report::Failure;

/// What a build without the feature says of a plugin.
pub const NOT_BUILT: &str = "this build has no WASM support; build with `--features wasm`";
