//! A processor under test.

use std::sync::OnceLock;

use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::ProcessorHarness;
use steadyline_processor_wasm::WasmFactory;
pub(crate) use steadyline_wasm::testkit::probe;

/// Compiled once for all tests.
pub(crate) fn cache() -> &'static str {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    CACHE.get_or_init(|| tempfile::tempdir().unwrap()).path().to_str().unwrap()
}

/// A slow machine compiles within the first call of a test.
pub(crate) fn yaml(config: &str, rest: &str) -> String {
    let timeout = if rest.contains("timeout") { "" } else { "\ntimeout: 300s" };
    format!("path: {}\ncache_directory: {}{timeout}\nconfig: {config}\n{rest}", probe(), cache())
}

pub(crate) fn harness(what: &str, rest: &str) -> ProcessorHarness {
    ProcessorHarness::new::<WasmFactory>(&yaml(&format!("{{do: {what}}}"), rest))
}

pub(crate) fn harness_for(signal: Signal, what: &str, rest: &str) -> ProcessorHarness {
    ProcessorHarness::for_signal::<WasmFactory>(signal, &yaml(&format!("{{do: {what}}}"), rest))
}
