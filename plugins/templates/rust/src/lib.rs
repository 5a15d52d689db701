//! The receiver `queues`: asks an HTTP API for the length of each queue.
//!
//! The document is a list such as `[{"name": "mail", "length": 3}]`; a length of null is one that is not known now.

use std::sync::OnceLock;

use serde::Deserialize;

wit_bindgen::generate!({ path: "../../wit", world: "receiver", generate_all });

use exports::steadyline::plugin::poller::{Data, Guest, Page, Progress, Tick};
use steadyline::plugin::http::{self, Error, Request};
use steadyline::plugin::types::{Attribute, Kind, Metric, Number, Point, ResourceMetrics, Value};

/// What the receiver's key `config` may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where the document is. Its host must be in `http.allow`.
    url: String,
}

#[derive(Debug, Deserialize)]
struct Queue {
    name: String,
    length: Option<i64>,
}

static CONFIG: OnceLock<Config> = OnceLock::new();

/// The receiver.
pub struct Plugin;

// Elsewhere, as in tests, there is no host to be exported to.
#[cfg(target_arch = "wasm32")]
export!(Plugin);

impl Guest for Plugin {
    fn start(config: String) -> Result<(), String> {
        let config = serde_json::from_str(&config).map_err(|error| format!("config: {error}"))?;
        CONFIG.set(config).map_err(|_| "it was started before".to_string())
    }

    fn poll(_tick: Tick) -> Result<Page, String> {
        let config = CONFIG.get().ok_or("it was not started")?;
        let metrics = vec![lengths(&get(&config.url)?)?];
        let data = vec![Data::Metrics(vec![ResourceMetrics { resource: vec![], metrics }])];
        Ok(Page { data, progress: Progress::Complete })
    }
}

fn get(url: &str) -> Result<Vec<u8>, String> {
    let request = Request { method: "GET".into(), url: url.into(), headers: vec![], body: vec![] };
    let response = http::send(&request).map_err(|error| match error {
        Error::Denied(words) | Error::Invalid(words) | Error::Failed(words) => words,
        Error::TooLarge => format!("{url} is larger than `http.max_body_bytes`"),
    })?;
    match response.status {
        200 => Ok(response.body),
        status => Err(format!("{url} answers {status}")),
    }
}

/// One point for each queue. A point without a time gets that of the tick.
fn lengths(document: &[u8]) -> Result<Metric, String> {
    let queues: Vec<Queue> = serde_json::from_slice(document).map_err(|error| format!("the document: {error}"))?;
    let point = |queue: Queue| Point {
        attributes: vec![Attribute { key: "queue".into(), value: Value::Text(queue.name) }],
        // Not known now: the series goes on with its last value.
        value: queue.length.map_or(Number::Unknown, Number::Integer),
        time: 0,
        start: 0,
    };
    Ok(Metric {
        name: "queue.length".into(),
        unit: "{message}".into(),
        description: "Messages that wait.".into(),
        kind: Kind::Gauge,
        points: queues.into_iter().map(point).collect(),
    })
}

// What needs no host is tested as any other code: `cargo test`.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_points() {
        let metric = lengths(br#"[{"name": "mail", "length": 3}, {"name": "sms", "length": null}]"#).unwrap();
        assert_eq!((metric.name.as_str(), metric.points.len()), ("queue.length", 2));
        assert!(matches!(metric.points[0].value, Number::Integer(3)));
        assert!(matches!(metric.points[1].value, Number::Unknown));
        assert!(lengths(b"<html>").unwrap_err().starts_with("the document"));
    }
}
