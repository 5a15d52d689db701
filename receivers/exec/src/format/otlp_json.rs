//! OTLP export requests as JSON, one a line; of a program that has ended also any number of them, however they are spread.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use steadyline_component::Data;
use steadyline_component::telemetry::{Limits, Metrics, Opaque, Signal};
use steadyline_otlp::json;

use super::{Reading, Rejected};

/// Which request it is.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceMetrics", alias = "resource_metrics")]
    metrics: Option<IgnoredAny>,
    #[serde(rename = "resourceSpans", alias = "resource_spans")]
    spans: Option<IgnoredAny>,
    #[serde(rename = "resourceLogs", alias = "resource_logs")]
    logs: Option<IgnoredAny>,
}

/// Reads the requests in `text`, whose first line is number `first`.
pub(super) fn read(text: &[u8], max_line: usize, first: u64, time: u64, is_whole: bool, reading: &mut Reading) {
    if is_whole && !each_line_is_json(text) {
        return spread(text, first, time, reading);
    }
    for (line, text) in (first..).zip(text.split(|byte| *byte == b'\n')) {
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let read = if text.len() > max_line {
            Err(format!("it is longer than `max_line_bytes` ({max_line} bytes)"))
        } else {
            request(text, time)
        };
        keep(read, line, reading);
    }
}

/// A document that begins on one line and ends on another cannot be read line by line.
fn each_line_is_json(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii()).find(|line| !line.is_empty());
    first.is_none_or(|line| serde_json::from_slice::<IgnoredAny>(line).is_ok())
}

fn spread(text: &[u8], first: u64, time: u64, reading: &mut Reading) {
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    let lines = |upto: usize| text[..upto].iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut at = 0;
    while let Some(document) = documents.next() {
        if let Err(error) = document {
            let line = first + (error.line() as u64).saturating_sub(1);
            return keep(Err(short(&error.to_string())), line, reading);
        }
        let end = documents.byte_offset();
        let blank = text[at..end].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        keep(request(&text[at + blank..end], time), first + lines(at + blank), reading);
        at = end;
    }
}

fn keep(read: Result<Option<Data>, String>, line: u64, reading: &mut Reading) {
    match read {
        Ok(data) => reading.data.extend(data),
        Err(why) => reading.rejected.push(Rejected { line, lines: 1, why }),
    }
}

/// The data of one request; none if it is `{}`.
fn request(text: &[u8], time: u64) -> Result<Option<Data>, String> {
    let head: Head = serde_json::from_slice(text).map_err(|error| short(&error.to_string()))?;
    let signal = match (&head.metrics, &head.spans, &head.logs) {
        (Some(_), None, None) => Signal::Metrics,
        (None, Some(_), None) => Signal::Traces,
        (None, None, Some(_)) => Signal::Logs,
        (None, None, None) if text == b"{}" => return Ok(None),
        _ => return Err("expected one of `resourceMetrics`, `resourceSpans`, `resourceLogs`".into()),
    };
    let protobuf = json::to_protobuf(signal, text).map_err(|error| short(&error.to_string()))?;
    let (protobuf, limits) = (Bytes::from(protobuf), Limits::default());
    if signal != Signal::Metrics {
        return Opaque::count(signal, protobuf, &limits).map(|opaque| Some(Data::Opaque(opaque))).map_err(words);
    }
    let mut metrics = Metrics::decode(protobuf, &limits).map_err(words)?;
    if metrics.tables().points.iter().any(|point| point.time == 0) {
        let undated = metrics.edit().tables.points.iter_mut().filter(|point| point.time == 0);
        undated.for_each(|point| point.time = time);
    }
    Ok(Some(Data::Metrics(metrics)))
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
