//! A plugin that does what its config says, good or bad: `{"do": "loop"}`. All worlds in one.

mod bad;
mod poll;
mod process;

use std::sync::{Mutex, OnceLock};

use serde_json::Value as Json;

wit_bindgen::generate!({
    inline: "
        package steadyline:probe;

        world probe {
            include steadyline:plugin/receiver@0.1.0;
            include steadyline:plugin/processor@0.1.0;
            include steadyline:plugin/logs-and-traces-processor@0.1.0;
        }
    ",
    path: "../../wit",
    world: "steadyline:probe/probe",
    generate_all,
});

struct Probe;
export!(Probe);

static CONFIG: OnceLock<Json> = OnceLock::new();
/// Calls of this instance.
static CALLS: Mutex<u64> = Mutex::new(0);

fn config() -> &'static Json {
    CONFIG.get().expect("start comes first")
}

/// A text of the config; empty if there is none.
fn word(key: &str) -> &'static str {
    config()[key].as_str().unwrap_or_default()
}

fn number(key: &str) -> u64 {
    config()[key].as_u64().unwrap_or_default()
}

fn begin(config: String) -> Result<(), String> {
    let config: Json = serde_json::from_str(&config).map_err(|error| error.to_string())?;
    let _ = CONFIG.set(config);
    match word("start") {
        "" => Ok(()),
        "refuse" => Err("not today".into()),
        what => {
            bad::be(what);
            Ok(())
        }
    }
}

/// Counts a call of this instance, from 1.
fn count() -> u64 {
    let mut calls = CALLS.lock().expect("one thread");
    *calls += 1;
    *calls
}
