//! The receiver `keyvalue`: reads a file of names and numbers, one pair a line, and makes a gauge of it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::config::Duration;
use steadyline_component::factory::Component;
use steadyline_component::telemetry::metrics::{MetricDef, NumberValue};
use steadyline_component::telemetry::{MetricsBuilder, Signal, Value};
use steadyline_component::{
    CreateContext, Factory, Instrument, PassEnd, PollError, PollOutput, Poller, Polling, Schedule, Spec, Stability,
    Tick, async_trait,
};

/// The factory, for the list in `main`.
pub(crate) const FACTORY: Factory = Factory::poller::<KeyValueFactory>();

/// What the receiver can be told. These comments become its page.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeyValueConfig {
    /// The file to read.
    pub path: String,
    /// From poll to poll.
    pub collection_interval: Duration,
    /// Before the first poll.
    pub initial_delay: Duration,
}

impl Default for KeyValueConfig {
    fn default() -> Self {
        KeyValueConfig {
            path: String::new(),
            collection_interval: Duration::from_secs(60),
            initial_delay: Duration::from_secs(1),
        }
    }
}

/// Makes `keyvalue` receivers.
#[derive(Debug)]
pub(crate) struct KeyValueFactory;

impl Component for KeyValueFactory {
    type Config = KeyValueConfig;
    type Made = Polling;
    const SPEC: Spec = Spec {
        name: "keyvalue",
        aliases: &[],
        stability: Stability::Alpha,
        signals: &[Signal::Metrics],
        summary: "Reads names and numbers from a file.",
        unsupported: &[],
    };

    // Looks at nothing but the config, so that `validate` can run it.
    fn create(config: KeyValueConfig, context: &mut CreateContext<'_>) -> Option<Polling> {
        if config.path.is_empty() {
            context.error("path", "it must be set");
            return None;
        }
        let help = "Lines of the file whose number does not read.";
        Some(Polling {
            schedule: Schedule {
                interval: config.collection_interval.get(),
                initial_delay: config.initial_delay.get(),
                timeout: std::time::Duration::ZERO,
            },
            // What tells one entity of this source from another.
            identity: Arc::from([Arc::from("name")]),
            poller: Box::new(KeyValue { bad_lines: context.meter.counter("keyvalue_bad_lines", help, &[]), config }),
            leadership: None,
        })
    }
}

struct KeyValue {
    config: KeyValueConfig,
    bad_lines: Arc<Instrument>,
}

#[async_trait]
impl Poller for KeyValue {
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        // A source that is down is a failed poll: the last values are held, and the next tick tries again.
        let path = &self.config.path;
        let text = std::fs::read_to_string(path)
            .map_err(|error| PollError::new("unreadable", format!("cannot read {path}: {error}")))?;
        let mut batch = MetricsBuilder::new();
        let metric =
            batch.metric(MetricDef { description: "A number of the file.", ..MetricDef::gauge("keyvalue.value") });
        let shape = batch.shape(["name"]);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (name, number) = line.trim().rsplit_once(' ').unwrap_or((line.trim(), ""));
            let value = match number.parse() {
                Ok(number) => NumberValue::Double(number),
                // It is there, and its value is not known now: held, not gone.
                Err(_) => {
                    self.bad_lines.add(1.0);
                    NumberValue::Held
                }
            };
            let name = batch.value(Value::text(name));
            batch.number(metric, shape, &[name], tick.time, 0, value);
        }
        output.send(batch.finish()).await?;
        // Everything was read: what was not there has ended.
        Ok(PassEnd::Complete)
    }
}

#[cfg(test)]
mod tests {
    use steadyline_component::testkit::{PollHarness, create};

    use super::*;

    #[tokio::test]
    async fn lines_become_points() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut harness = PollHarness::new::<KeyValueFactory>(&format!("path: {}", file.path().display()));
        for (text, expected) in [
            ("a 1\nb 2.5\n", vec!["keyvalue.value{name=\"a\"} 1 @60", "keyvalue.value{name=\"b\"} 2.5 @60"]),
            ("two words 3\n\n", vec!["keyvalue.value{name=\"two words\"} 3 @60"]),
            ("a many\n", vec!["keyvalue.value{name=\"a\"} held @60"]),
            ("", vec![]),
        ] {
            std::fs::write(file.path(), text).expect("the file takes a text");
            assert_eq!(harness.poll().await.expect("the file is there"), PassEnd::Complete);
            assert_eq!(harness.points(), expected, "{text}");
        }
        assert_eq!(harness.measured("keyvalue_bad_lines"), 1.0);
        file.close().expect("the file goes away");
        assert_eq!(harness.poll().await.expect_err("the file is gone").reason, "unreadable");
    }

    #[test]
    fn bad_config_is_refused_in_words() {
        for (yaml, word) in [("{}", "path: it must be set"), ("file: x", "path")] {
            let words = create::<KeyValueFactory>(yaml).err().expect("it is refused");
            assert!(words.contains(word), "{words}");
        }
    }

    #[test]
    fn the_page_is_fresh() {
        let page = steadyline::reference::page_of(&FACTORY);
        let how = "run: cargo run -- reference --only keyvalue docs";
        assert_eq!(page, include_str!("../docs/receiver-keyvalue.md"), "{how}");
    }
}
