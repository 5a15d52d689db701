//! A config file: a report or a tree; and a tree that is written out reads back as the same one.
//! Files are not read, so that what is found can be found again elsewhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadyline_config::{Redact, Source, load, to_json, to_yaml};

fuzz_target!(|text: &str| {
    if text.contains("file:") {
        return;
    }
    let env = |name: &str| (name == "A").then(|| "1".to_owned());
    let (tree, diagnostics) = load(&[Source::inline("config.yaml", text)], &[], &env);
    let _ = (diagnostics.to_text(false), diagnostics.to_json());
    let Some(tree) = tree else { return };
    let yaml = to_yaml(&tree.root, Redact::Nothing);
    let (again, report) = load(&[Source::inline("again.yaml", yaml.clone())], &[], &env);
    let Some(again) = again else { panic!("{yaml}\n{}", report.to_text(false)) };
    assert_eq!(to_json(&again.root, Redact::Nothing), to_json(&tree.root, Redact::Nothing), "{yaml}");
});
