//! Log records and spans as OTLP bytes. Source: opentelemetry-proto 1.x, `logs.proto` and `trace.proto`.

use bytes::Bytes;
use steadyline_component::telemetry::wire::{FIXED32, put_bytes, put_bytes_nonempty, put_fixed64, put_tag, put_uint};
use steadyline_component::telemetry::{Limits, Opaque, Signal};

use crate::context::TraceContext;

/// A log record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogRecord {
    pub(crate) time: u64,
    pub(crate) observed: u64,
    /// The event's type.
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) severity: Option<String>,
    pub(crate) event_name: Option<String>,
    pub(crate) attributes: Vec<(String, String)>,
}

/// A span of a consumer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) parent: Option<TraceContext>,
    pub(crate) links: Vec<TraceContext>,
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Vec<(&'static str, Text)>,
    /// What went wrong, if something did.
    pub(crate) error: Option<String>,
}

/// The value of a span's attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    Str(String),
    Int(u64),
}

/// The severities of OTLP, each with the number of its lowest level.
const SEVERITIES: [(&str, u64); 8] = [
    ("TRACE", 1),
    ("DEBUG", 5),
    ("INFO", 9),
    ("WARN", 13),
    ("WARNING", 13),
    ("ERROR", 17),
    ("FATAL", 21),
    ("CRITICAL", 21),
];

/// The records as one request; `place` is the trace and span that a record belongs to.
pub(crate) fn logs<'a>(
    resource: &[(String, String)],
    records: impl IntoIterator<Item = (&'a LogRecord, Option<([u8; 16], [u8; 8], bool)>)>,
) -> Option<Opaque> {
    let mut scope = Vec::new();
    for (record, place) in records {
        let mut out = Vec::with_capacity(128 + record.body.len());
        put_fixed64(&mut out, 1, record.time);
        let severity = record.severity.as_deref().unwrap_or("INFO");
        let known = SEVERITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(severity));
        put_uint(&mut out, 2, known.map_or(9, |(_, number)| *number));
        put_bytes(&mut out, 3, severity.as_bytes());
        put_bytes(&mut out, 5, &text(&record.body));
        for (key, value) in &record.attributes {
            put_bytes(&mut out, 6, &key_value(key, &text(value)));
        }
        if let Some((trace, span, sampled)) = place {
            put_fixed32(&mut out, 8, u32::from(sampled));
            put_bytes(&mut out, 9, &trace);
            put_bytes(&mut out, 10, &span);
        }
        put_fixed64(&mut out, 11, record.observed);
        put_bytes(&mut out, 12, record.event_name.as_ref().unwrap_or(&record.kind).as_bytes());
        put_bytes(&mut scope, 2, &out);
    }
    request(Signal::Logs, resource, &scope)
}

/// The spans as one request.
pub(crate) fn spans(resource: &[(String, String)], spans: &[Span]) -> Option<Opaque> {
    let mut scope = Vec::new();
    for span in spans {
        let mut out = Vec::with_capacity(256);
        put_bytes(&mut out, 1, &span.trace_id);
        put_bytes(&mut out, 2, &span.span_id);
        if let Some(parent) = &span.parent {
            put_bytes_nonempty(&mut out, 3, parent.state.as_bytes());
            put_bytes(&mut out, 4, &parent.span_id);
        }
        put_bytes(&mut out, 5, span.name.as_bytes());
        put_uint(&mut out, 6, CONSUMER);
        put_fixed64(&mut out, 7, span.start);
        put_fixed64(&mut out, 8, span.end.max(span.start));
        for (key, value) in &span.attributes {
            put_bytes(&mut out, 9, &key_value(key, &value.encoded()));
        }
        for link in &span.links {
            let mut encoded = Vec::new();
            put_bytes(&mut encoded, 1, &link.trace_id);
            put_bytes(&mut encoded, 2, &link.span_id);
            put_bytes_nonempty(&mut encoded, 3, link.state.as_bytes());
            put_fixed32(&mut encoded, 6, u32::from(link.sampled));
            put_bytes(&mut out, 13, &encoded);
        }
        if let Some(error) = &span.error {
            let mut status = Vec::new();
            put_bytes(&mut status, 2, error.as_bytes());
            put_uint(&mut status, 3, STATUS_ERROR);
            put_bytes(&mut out, 15, &status);
        }
        put_fixed32(&mut out, 16, 1);
        put_bytes(&mut scope, 2, &out);
    }
    request(Signal::Traces, resource, &scope)
}

/// `SPAN_KIND_CONSUMER`
const CONSUMER: u64 = 5;
/// `STATUS_CODE_ERROR`
const STATUS_ERROR: u64 = 2;

/// One scope of items under one resource; `None` if there are no items.
fn request(signal: Signal, resource: &[(String, String)], scope: &[u8]) -> Option<Opaque> {
    if scope.is_empty() {
        return None;
    }
    let mut attributes = Vec::new();
    for (key, value) in resource {
        put_bytes(&mut attributes, 1, &key_value(key, &text(value)));
    }
    let mut inner = Vec::with_capacity(scope.len() + attributes.len() + 16);
    put_bytes(&mut inner, 1, &attributes);
    put_bytes(&mut inner, 2, scope);
    let mut whole = Vec::with_capacity(inner.len() + 8);
    put_bytes(&mut whole, 1, &inner);
    let limits = Limits { max_bytes: usize::MAX, ..Limits::default() };
    Some(Opaque::count(signal, Bytes::from(whole), &limits).expect("what was just encoded decodes"))
}

impl Text {
    fn encoded(&self) -> Vec<u8> {
        match self {
            Text::Str(value) => text(value),
            Text::Int(value) => {
                let mut out = Vec::new();
                put_uint(&mut out, 3, *value);
                out
            }
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 4);
    put_bytes(&mut out, 1, text.as_bytes());
    out
}

fn key_value(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + value.len() + 8);
    put_bytes(&mut out, 1, key.as_bytes());
    put_bytes(&mut out, 2, value);
    out
}

fn put_fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    put_tag(out, number, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}
