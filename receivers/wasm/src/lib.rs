//! The receiver `wasm`: a plugin as a source. A WebAssembly component is called once per interval, and gives what it read;
//! it can do nothing but what it was granted.
//!
//! ```yaml wasm
//! receivers:
//!   wasm/queues:
//!     path: /etc/steadyline/plugins/queues.wasm
//!     config: {url: "https://queues.example.com/api/queues"}
//!     collection_interval: 60s
//!     timeout: 10s
//!     http:
//!       allow: [queues.example.com]
//!       headers: {authorization: "Bearer ${env:QUEUES_TOKEN}"}
//!     storage: file_storage
//!     cache_directory: /var/cache/steadyline
//! ```
//!
//! **What it is**: a component of the world `receiver` in `plugins/wit`, in any language that makes components; templates
//! for Rust and Python are written by `steadyline plugin new NAME --kind wasm-rust` and `--kind wasm-python`. `docs/wasm.md`
//! is the guide.
//!
//! **What it may do**: ask the hosts of `http.allow`, keep keys and values (`storage` makes them outlive the process), write
//! to our log, read the clock. There are no files, no environment, no arguments, no sockets. Credentials stay with the host:
//! `http.headers` and `http.auth` are added to its requests and it never sees them.
//!
//! **What bounds it**: `timeout` for a poll, and for each call `limits`: memory, processor time, what it hands over, fuel.
//! Who goes beyond is ended, and a new instance takes the next call; one that fails again and again waits
//! (`restart`). A failed poll holds the last values, as everywhere.
//!
//! **Counted**: `wasm_calls`, `wasm_replaced` (instances), `wasm_failures` by reason: `not_loaded`, `not_started`, `trap`,
//! `timeout`, `cpu_time`, `memory`, `too_large`, `garbage`, `plugin_error`.
//!
//! The build needs the cargo feature `wasm`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
#[cfg(feature = "runtime")]
mod poller;
#[cfg(test)]
mod tests;

use steadyline_component::config::Flat;
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Kind, Polling, Spec, Stability};
use steadyline_wasm::PluginConfig;

pub use config::Config;

/// The factory.
pub const FACTORY: Factory = Factory::poller::<WasmFactory>();

/// Makes `wasm` receivers.
#[derive(Debug)]
pub struct WasmFactory;

impl Component for WasmFactory {
    type Config = Flat<Config, PluginConfig>;
    type Made = Polling;
    const SPEC: Spec = Spec {
        name: "wasm",
        aliases: &[],
        stability: Stability::Alpha,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Runs a WebAssembly plugin that reads a source. Only in builds with the feature `wasm`.",
        unsupported: &[],
    };

    fn create(config: Self::Config, context: &mut CreateContext<'_>) -> Option<Polling> {
        let is_good = config.check(context);
        let settings = config.keys(&config.shared).check(Kind::Receiver, context).filter(|_| is_good)?;
        #[cfg(feature = "runtime")]
        let made = Some(poller::polling(&config, settings));
        #[cfg(not(feature = "runtime"))]
        let made = {
            drop(settings);
            None
        };
        made
    }
}
