//! Spans and log records, one line each: decoded only here, and only as far as a line shows.

use std::fmt::Write as _;

use steadyline_component::Batch;
use steadyline_telemetry::wire::{FieldData, Reader};
use steadyline_telemetry::{Opaque, Signal};

use crate::lines::basic;
use crate::style::{Style, put_escaped};
use crate::value::moment;

/// The line of `basic`, and one for each span or log record.
pub(crate) fn items(batch: &Batch, opaque: &Opaque, now: u64) -> String {
    let mut out = basic(batch, now);
    // Resource, scope and item nest alike in both signals; the counts of the batch show that they read.
    for_each(Reader::new(opaque.bytes()), 1, &mut |resource| {
        for_each(resource, 2, &mut |scope| {
            for_each(scope, 2, &mut |item| {
                out.push_str("  ");
                match opaque.signal() {
                    Signal::Logs => put_record(&mut out, item),
                    Signal::Traces | Signal::Metrics => put_span(&mut out, item),
                }
                out.push('\n');
            });
        });
    });
    out
}

fn put_span(out: &mut String, span: Reader<'_>) {
    let (mut name, mut trace, mut id, mut start, mut end) = ("", String::new(), String::new(), 0, 0);
    fields(span, |number, data| match (number, data) {
        (1, FieldData::Len(bytes)) => trace = hex(bytes.rest()),
        (2, FieldData::Len(bytes)) => id = hex(bytes.rest()),
        (5, FieldData::Len(text)) => name = utf8(text),
        (7, FieldData::Fixed64(nanos)) => start = nanos,
        (8, FieldData::Fixed64(nanos)) => end = nanos,
        _ => {}
    });
    put_escaped(out, name, false);
    let took = std::time::Duration::from_nanos(end.saturating_sub(start));
    let ids = format!("{} trace {trace} span {id}", moment(start));
    let _ = write!(out, " {took:?} {}", Style::Dim.paint(&ids));
}

fn put_record(out: &mut String, record: Reader<'_>) {
    let (mut severity, mut body, mut time, mut observed) = ("", String::new(), 0, 0);
    fields(record, |number, data| match (number, data) {
        (1, FieldData::Fixed64(nanos)) => time = nanos,
        (3, FieldData::Len(text)) => severity = utf8(text),
        (5, FieldData::Len(value)) => put_body(&mut body, value),
        (11, FieldData::Fixed64(nanos)) => observed = nanos,
        _ => {}
    });
    let time = if time == 0 { observed } else { time };
    let _ = write!(out, "{} ", Style::Dim.paint(&moment(time)));
    if !severity.is_empty() {
        put_escaped(out, severity, false);
        out.push(' ');
    }
    out.push_str(&body);
}

/// The body of a record: its text, or its size if it is something else.
fn put_body(out: &mut String, value: Reader<'_>) {
    fields(value, |number, data| match (number, data) {
        (1, FieldData::Len(text)) => put_escaped(out, utf8(text), false),
        (2, FieldData::Varint(value)) => out.push_str(if value == 0 { "false" } else { "true" }),
        (3, FieldData::Varint(value)) => out.push_str(&(value as i64).to_string()),
        (4, FieldData::Fixed64(bits)) => out.push_str(&crate::value::double(f64::from_bits(bits))),
        (5..=7, FieldData::Len(bytes)) => {
            let _ = write!(out, "<{} bytes>", bytes.len());
        }
        _ => {}
    });
}

fn for_each<'a>(reader: Reader<'a>, wanted: u32, visit: &mut dyn FnMut(Reader<'a>)) {
    fields(reader, |number, data| match data {
        FieldData::Len(inner) if number == wanted => visit(inner),
        _ => {}
    });
}

/// The fields of a message, up to the first that does not read.
fn fields<'a>(mut reader: Reader<'a>, mut visit: impl FnMut(u32, FieldData<'a>)) {
    while let Ok(Some(field)) = reader.field() {
        visit(field.number, field.data);
    }
}

fn utf8(reader: Reader<'_>) -> &str {
    std::str::from_utf8(reader.rest()).unwrap_or("<not UTF-8>")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
