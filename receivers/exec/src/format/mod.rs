//! What programs print, read into batches. A line or document that does not read is named, and nothing panics on it.

mod json_lines;
mod otlp_json;
mod prometheus;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use steadyline_component::Data;
use steadyline_component::telemetry::{Metrics, MetricsBuilder, Value};

use crate::config::Format;

/// How to read what a program prints.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    format: Format,
    resource: Vec<(String, String)>,
    max_line: usize,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The data, in the order in which it was printed.
    pub(crate) data: Vec<Data>,
    /// What does not read.
    pub(crate) rejected: Vec<Rejected>,
}

/// A line, or a document that begins at it, that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Counted from 1, from the start of the run.
    pub(crate) line: u64,
    /// How many lines are lost with it.
    pub(crate) lines: u64,
    /// Why.
    pub(crate) why: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl Reader {
    pub(crate) fn new(format: Format, resource: &BTreeMap<String, String>, max_line: usize) -> Reader {
        let resource = resource.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Reader { format, resource, max_line }
    }

    /// Reads whole lines, of which the first is number `first`. Points that say no time get `time`.
    /// `is_whole`: it is everything that the program printed.
    pub(crate) fn read(&self, text: &[u8], first: u64, time: u64, is_whole: bool) -> Reading {
        let mut reading = Reading::default();
        match self.format {
            Format::Prometheus | Format::Openmetrics => match self.prometheus(text, first, time) {
                Ok(metrics) => reading.data.push(Data::Metrics(metrics)),
                Err(rejected) => reading.rejected.push(rejected),
            },
            Format::JsonLines => {
                let metrics = self.json_lines(text, first, time, &mut reading.rejected);
                reading.data.push(Data::Metrics(metrics));
            }
            Format::OtlpJson => otlp_json::read(text, self.max_line, first, time, is_whole, &mut reading),
        }
        reading
    }

    fn prometheus(&self, text: &[u8], first: u64, time: u64) -> Result<Metrics, Rejected> {
        let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        let reject = |line: u64, why: String| Rejected { line, lines: lines.max(1), why };
        if let Some((line, _)) = self.too_long(text) {
            return Err(reject(first + line, self.too_long_words()));
        }
        prometheus::read(text, self.format == Format::Openmetrics, time, self.builder())
            .map_err(|(line, why)| reject(first + line.saturating_sub(1), why))
    }

    fn json_lines(&self, text: &[u8], first: u64, time: u64, rejected: &mut Vec<Rejected>) -> Metrics {
        let mut batch = json_lines::Batch::new(self.builder(), time);
        for (line, text) in (first..).zip(text.split(|byte| *byte == b'\n')) {
            let text = text.trim_ascii();
            let read = match text.len() {
                0 => continue,
                len if len > self.max_line => Err(self.too_long_words()),
                _ => batch.add(text),
            };
            if let Err(why) = read {
                rejected.push(Rejected { line, lines: 1, why });
            }
        }
        batch.finish()
    }

    /// The first line that is too long, counted from 0.
    fn too_long<'a>(&self, text: &'a [u8]) -> Option<(u64, &'a [u8])> {
        (0..).zip(text.split(|byte| *byte == b'\n')).find(|(_, line)| line.len() > self.max_line)
    }

    fn too_long_words(&self) -> String {
        format!("it is longer than `max_line_bytes` ({} bytes)", self.max_line)
    }

    fn builder(&self) -> MetricsBuilder {
        let mut builder = MetricsBuilder::new();
        builder.resource(self.resource.iter().map(|(key, value)| (key.as_str(), Value::text(value))));
        builder
    }
}
