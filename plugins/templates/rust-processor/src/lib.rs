//! The processor `classify`: says of each queue whether it is critical, and drops those that are of no interest.

use std::sync::OnceLock;

use serde::Deserialize;

wit_bindgen::generate!({ path: "../../wit", world: "processor", generate_all });

use exports::steadyline::plugin::metrics_processor::{AttributeChange, Batch, BatchPoint, Change, Guest, Outcome};
use steadyline::plugin::types::Value;

/// What the processor's key `config` may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Queues that are critical.
    critical: Vec<String>,
    /// Queues that are dropped.
    ignore: Vec<String>,
}

static CONFIG: OnceLock<Config> = OnceLock::new();

/// The processor.
pub struct Plugin;

// Elsewhere, as in tests, there is no host to be exported to.
#[cfg(target_arch = "wasm32")]
export!(Plugin);

impl Guest for Plugin {
    fn start(config: String) -> Result<(), String> {
        let config = serde_json::from_str(&config).map_err(|error| format!("config: {error}"))?;
        CONFIG.set(config).map_err(|_| "it was started before".to_string())
    }

    /// What is not mentioned here passes as it came.
    fn process(batch: Batch) -> Result<Outcome, String> {
        let config = CONFIG.get().ok_or("it was not started")?;
        let changes = (0..).zip(&batch.points).filter_map(|(place, point)| change(config, place, point)).collect();
        Ok(Outcome { changes, created: vec![] })
    }
}

fn change(config: &Config, place: u32, point: &BatchPoint) -> Option<Change> {
    let queue = point.attributes.iter().find_map(|attribute| match &attribute.value {
        Value::Text(text) if attribute.key == "queue" => Some(text),
        _ => None,
    })?;
    if config.ignore.contains(queue) {
        return Some(Change::Drop(place));
    }
    let value = Some(Value::Boolean(config.critical.contains(queue)));
    Some(Change::SetAttribute(AttributeChange { of: place, key: "critical".into(), value }))
}

// What needs no host is tested as any other code: `cargo test`.
#[cfg(test)]
mod tests {
    use super::*;
    use steadyline::plugin::types::{Attribute, Number};

    #[test]
    fn queues_are_told_apart() {
        let config = Config { critical: vec!["mail".into()], ignore: vec!["test".into()] };
        let of = |queue: &str| {
            let attributes = vec![Attribute { key: "queue".into(), value: Value::Text(queue.into()) }];
            change(&config, 3, &BatchPoint { metric: 0, attributes, value: Number::Integer(1), time: 0, start: 0 })
        };
        assert!(matches!(of("test"), Some(Change::Drop(3))));
        let Some(Change::SetAttribute(change)) = of("mail") else { panic!() };
        assert!(matches!(change.value, Some(Value::Boolean(true))));
    }
}
