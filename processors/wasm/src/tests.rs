//! Config that cannot be. What plugins do is in `tests/`.

use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{create, create_for};

use crate::WasmFactory;

#[test]
fn bad_config_is_refused_in_words() {
    for (yaml, word) in [
        ("timeout: 1s", "it must name the plugin's file"),
        ("path: x\ntimeout: 0s", "more than 0"),
        ("path: x\nmetrics: ['']", "a name is empty"),
        ("path: x\nmetrics: ['a*b']", "at the end"),
        ("path: x\nlimits: {memory: 1KiB}", "one page"),
        ("path: x\non_error: panic", "on_error"),
        ("path: x\nstorage: nowhere", "there is no extension `nowhere`"),
        ("path: x\nhttp: {allow: [x]}", "http"),
    ] {
        let words = create::<WasmFactory>(yaml).err().unwrap();
        assert!(words.contains(word), "{yaml}: {words}");
    }
    let words = create_for::<WasmFactory>(Signal::Logs, "path: x\nmetrics: [x]").err().unwrap();
    assert!(words.contains("no metrics to choose"), "{words}");
}

#[test]
fn any_config_of_the_plugin_is_taken() {
    let made = create::<WasmFactory>("path: x\nconfig: [1, {b: null}]\nmetrics: [a, 'b.*']");
    match (cfg!(feature = "runtime"), made) {
        (true, Ok(_)) => {}
        (false, Err(words)) => assert!(words.contains("build with `--features wasm`"), "{words}"),
        (_, made) => panic!("{:?}", made.err()),
    }
}
