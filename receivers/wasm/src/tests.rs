//! Config that cannot be. What plugins do is in `tests/`.

use steadyline_component::testkit::create;

use crate::WasmFactory;

#[test]
fn bad_config_is_refused_in_words() {
    for (yaml, word) in [
        ("collection_interval: 60s", "it must name the plugin's file"),
        ("path: x\ncollection_interval: 0.5s", "at least 1s"),
        ("path: x\ntimeout: 2m", "at most `collection_interval`"),
        ("path: x\nlimits: {memory: 1KiB}", "one page"),
        ("path: x\nlimits: {memory: 5GiB}", "at most 4GiB"),
        ("path: x\nlimits: {output: 100MiB}", "64MiB"),
        ("path: x\nlimits: {cpu_time: 0s}", "limits.cpu_time"),
        ("path: x\nlimits: {fuel: 0}", "limits.fuel"),
        ("path: x\nlimits: {state: 100MiB}", "limits.state"),
        ("path: x\nrestart: {initial_interval: 2m}", "restart.max_interval"),
        ("path: x\ncache_directory: here", "an absolute path"),
        ("path: x\nstorage: nowhere", "there is no extension `nowhere`"),
        ("path: x\nhttp: {allow: ['https://x/']}", "http.allow"),
        ("path: x\nhttp: {timeout: 0s}", "http.timeout"),
        ("path: x\nhttp: {tls: {ca_pem: x}}", "http.tls.ca_pem"),
        ("path: x\nhttp: {auth: {authenticator: nobody}}", "nobody"),
        ("path: x\nurl: y", "url"),
    ] {
        let words = create::<WasmFactory>(yaml).err().unwrap();
        assert!(words.contains(word), "{yaml}: {words}");
    }
}

#[test]
fn any_config_of_the_plugin_is_taken() {
    let made = create::<WasmFactory>("path: x\nconfig: {a: [1, {b: null}], c: 1.5, d: true}");
    match (cfg!(feature = "runtime"), made) {
        (true, Ok(made)) => assert_eq!(made.schedule.interval.as_secs(), 60),
        (false, Err(words)) => assert!(words.contains("build with `--features wasm`"), "{words}"),
        (_, made) => panic!("{:?}", made.err()),
    }
}
