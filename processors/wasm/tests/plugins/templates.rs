//! The templates that `steadyline plugin new` writes.

use std::path::Path;

use steadyline_component::testkit::{ProcessorHarness, create};
use steadyline_processor_wasm::WasmFactory;
use steadyline_wasm::testkit::{plugin, python_plugin};

use crate::common::cache;

fn tells_queues_apart(component: &Path) {
    let yaml = |config: &str| {
        format!(
            "path: {}\ncache_directory: {}\ntimeout: 300s\non_error: drop\nconfig: {config}",
            component.display(),
            cache()
        )
    };
    let mut harness = ProcessorHarness::new::<WasmFactory>(&yaml("{critical: [mail], ignore: [test]}"));
    let lines =
        harness.push("a{queue=\"mail\"} 1 @60\na{queue=\"sms\"} 2 @60\na{queue=\"test\"} 3 @60\na{other=\"x\"} 4 @60");
    let plain: Vec<String> = lines.iter().map(|line| line.replace('"', "")).collect();
    assert_eq!(plain, ["a{queue=mail,critical=true} 1 @60", "a{queue=sms,critical=false} 2 @60", "a{other=x} 4 @60"]);
    assert_eq!(harness.dropped("plugin"), 1);
    let mut harness = ProcessorHarness::new::<WasmFactory>(&yaml("[wrong]"));
    assert!(harness.push("a 1 @60").is_empty());
    assert_eq!(harness.dropped("not_started"), 1);
    assert!(create::<WasmFactory>(&yaml("{}")).is_ok());
}

#[test]
fn rust() {
    tells_queues_apart(&plugin("classify"));
}

#[test]
#[ignore = "tests/wasm.sh builds the Python plugins"]
fn python() {
    tells_queues_apart(&python_plugin("classify"));
}
