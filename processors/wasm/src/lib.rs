//! The processor `wasm`: a plugin on the way. A WebAssembly component is called once per batch and says what is to change;
//! it can do nothing but what it was granted.
//!
//! ```yaml wasm
//! processors:
//!   wasm/classify:
//!     path: /etc/steadyline/plugins/classify.wasm
//!     config: {critical: [billing, login]}
//!     metrics: ["queue.*"]
//!     on_error: pass
//!     timeout: 1s
//! ```
//!
//! **What it is**: for metrics a component of the world `processor` in `plugins/wit`, for logs and traces one of the world
//! `logs-and-traces-processor`. `docs/wasm.md` is the guide.
//!
//! **Metrics** are shown as records, and the plugin answers with changes: drop a point, another value, an attribute of a
//! point or resource, the name of a metric, new points. What it does not mention passes as it came, whatever it is:
//! histograms, exemplars, units, scopes. With `metrics` only metrics of these names are shown, and a batch without any costs
//! no call. Logs and traces go in and out as OTLP requests.
//!
//! **When it fails** (it breaks off, goes beyond its limits, answers what does not read, or says that it failed) the batch
//! passes unchanged, or is dropped under the reason: `on_error`. A plugin that breaks off is replaced; one that fails again and
//! again is left alone for a while (`restart`), and batches go the way of `on_error` meanwhile.
//!
//! **What it may do**: keep keys and values (written in the background with `storage`; after a crash the last second may be
//! missing), write to our log, read the clock. No requests: data does not wait for other hosts. While it works nothing else
//! passes its pipeline, and everything else goes on.
//!
//! **Counted**: `wasm_calls`, `wasm_replaced` (instances), `wasm_failures` by reason. Books: `dropped{plugin}` and
//! `created{plugin}` are what the plugin dropped and made, `dropped{trap}` and so on what was lost with a call.
//!
//! The build needs the cargo feature `wasm`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "runtime")]
mod change;
mod config;
#[cfg(feature = "runtime")]
mod processor;
#[cfg(feature = "runtime")]
mod show;
#[cfg(test)]
mod tests;

use steadyline_component::config::Flat;
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Kind, Processor, Spec, Stability};
use steadyline_wasm::PluginConfig;

pub use config::{Config, OnError};

/// The factory.
pub const FACTORY: Factory = Factory::processor::<WasmFactory>();

/// Makes `wasm` processors.
#[derive(Debug)]
pub struct WasmFactory;

impl Component for WasmFactory {
    type Config = Flat<Config, PluginConfig>;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "wasm",
        aliases: &[],
        stability: Stability::Alpha,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Runs a WebAssembly plugin over every batch. Only in builds with the feature `wasm`.",
        unsupported: &[],
    };

    fn create(config: Self::Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let is_good = config.check(context);
        let settings = config.keys(&config.shared).check(Kind::Processor, context).filter(|_| is_good)?;
        #[cfg(feature = "runtime")]
        let made = Some(processor::make(&config, settings, context.signal));
        #[cfg(not(feature = "runtime"))]
        let made = {
            drop(settings);
            None
        };
        made
    }
}
