//! One `Metric`: labels, time, and the value that its family's type asks for.
//! Summaries and classic histograms become counts, sums and items.

use steadyline_prometheus::{MetricKind, is_legal_label_name};
use steadyline_telemetry::wire::{FieldData, Reader};

use super::exemplar::{read_exemplar, read_label, read_time};
use crate::entry::Exemplar;
use crate::error::{Fault, shown};
use crate::number::plain;

/// What of a metric is not a native histogram.
#[derive(Debug, Default)]
pub(super) struct Metric<'b> {
    /// `name="value"`, escaped, with commas between.
    pub(super) labels: Vec<u8>,
    pub(super) timestamp: Option<i64>,
    pub(super) created: Option<i64>,
    /// The value, or the sum of all observations.
    pub(super) value: f64,
    pub(super) exemplar: Option<Exemplar<'b>>,
    /// All observations.
    pub(super) count: f64,
    /// Buckets, the last one up to infinity, or quantiles.
    pub(super) items: Vec<Item<'b>>,
    /// There are buckets in the message itself.
    pub(super) has_buckets: bool,
    pub(super) is_native: bool,
    /// The message that holds the value.
    pub(super) content: &'b [u8],
}

/// A bucket or a quantile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'b> {
    /// The bucket's upper bound, or which quantile it is.
    pub(super) bound: f64,
    pub(super) value: f64,
    pub(super) exemplar: Option<Exemplar<'b>>,
}

impl<'b> Metric<'b> {
    /// Becomes what `message` says, for a family of type `kind`.
    pub(super) fn read(&mut self, mut message: Reader<'b>, family: &str, kind: MetricKind) -> Result<(), Fault> {
        self.reset();
        let mut content = None;
        while let Some(field) = message.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(label)) => self.put_label(label)?,
                // As an unset one was always written: Prometheus cannot tell the two apart.
                (6, FieldData::Varint(millis)) => self.timestamp = Some(millis as i64).filter(|millis| *millis != 0),
                (number, FieldData::Len(value)) if number == value_field(kind) => content = Some(value),
                (1..=7, FieldData::Len(_)) => {}
                (1..=7, _) => return Err(Fault::Protobuf),
                _ => {}
            }
        }
        let content = content.ok_or_else(|| Fault::OtherType(shown(family.as_bytes())))?;
        self.content = content.rest();
        match kind {
            MetricKind::Summary => self.read_summary(content),
            MetricKind::Histogram | MetricKind::GaugeHistogram => self.read_histogram(content),
            _ => self.read_number(content, kind == MetricKind::Counter),
        }
    }

    fn reset(&mut self) {
        self.labels.clear();
        self.items.clear();
        (self.timestamp, self.created, self.exemplar) = (None, None, None);
        (self.value, self.count) = (0.0, 0.0);
        (self.has_buckets, self.is_native) = (false, false);
    }

    /// The names and values need not be UTF-8: that is found when the series is seen for the first time.
    fn put_label(&mut self, message: Reader<'b>) -> Result<(), Fault> {
        let (name, value) = read_label(message)?;
        let out = &mut self.labels;
        if !out.is_empty() {
            out.push(b',');
        }
        if std::str::from_utf8(name).is_ok_and(is_legal_label_name) {
            out.extend_from_slice(name);
        } else {
            out.push(b'"');
            put_escaped(out, name);
            out.push(b'"');
        }
        out.extend_from_slice(b"=\"");
        put_escaped(out, value);
        out.push(b'"');
        Ok(())
    }

    /// `Gauge`, `Untyped` or `Counter`.
    fn read_number(&mut self, mut message: Reader<'b>, counter: bool) -> Result<(), Fault> {
        while let Some(field) = message.field()? {
            match (field.number, field.data) {
                (1, FieldData::Fixed64(bits)) => self.value = plain(f64::from_bits(bits)),
                (2, FieldData::Len(exemplar)) if counter => self.exemplar = Some(read_exemplar(exemplar.rest())?),
                (3, FieldData::Len(time)) if counter => self.created = Some(read_time(time)?),
                (1, _) => return Err(Fault::Protobuf),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, mut message: Reader<'b>) -> Result<(), Fault> {
        while let Some(field) = message.field()? {
            match (field.number, field.data) {
                (1, FieldData::Varint(count)) => self.count = count as f64,
                (2, FieldData::Fixed64(bits)) => self.value = plain(f64::from_bits(bits)),
                (3, FieldData::Len(quantile)) => self.items.push(read_quantile(quantile)?),
                (4, FieldData::Len(time)) => self.created = Some(read_time(time)?),
                (1..=4, _) => return Err(Fault::Protobuf),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_histogram(&mut self, mut message: Reader<'b>) -> Result<(), Fault> {
        let (mut count, mut count_float) = (0, 0.0);
        while let Some(field) = message.field()? {
            match (field.number, field.data) {
                (1, FieldData::Varint(number)) => count = number,
                (4, FieldData::Fixed64(bits)) => count_float = f64::from_bits(bits),
                (2, FieldData::Fixed64(bits)) => self.value = plain(f64::from_bits(bits)),
                (3, FieldData::Len(bucket)) => self.items.push(read_bucket(bucket)?),
                (15, FieldData::Len(time)) => self.created = Some(read_time(time)?),
                (16, FieldData::Len(exemplar)) => drop(read_exemplar(exemplar.rest())?),
                (6 | 8, FieldData::Fixed64(bits)) => self.is_native |= f64::from_bits(bits) > 0.0,
                (7, FieldData::Varint(zero_count)) => self.is_native |= zero_count > 0,
                (9 | 12, FieldData::Len(_)) => self.is_native = true,
                (1..=4 | 6..=9 | 12 | 15 | 16, _) => return Err(Fault::Protobuf),
                _ => {}
            }
        }
        self.count = plain(if count_float == 0.0 { count as f64 } else { count_float });
        self.has_buckets = !self.items.is_empty();
        if !self.items.iter().any(|item| item.bound == f64::INFINITY) {
            self.items.push(Item { bound: f64::INFINITY, value: self.count, exemplar: None });
        }
        Ok(())
    }
}

/// The field of a `Metric` that holds the value of this type.
fn value_field(kind: MetricKind) -> u32 {
    match kind {
        MetricKind::Gauge => 2,
        MetricKind::Counter => 3,
        MetricKind::Summary => 4,
        MetricKind::Histogram | MetricKind::GaugeHistogram => 7,
        _ => 5,
    }
}

fn read_quantile(mut message: Reader<'_>) -> Result<Item<'_>, Fault> {
    let mut item = Item { bound: 0.0, value: 0.0, exemplar: None };
    while let Some(field) = message.field()? {
        match (field.number, field.data) {
            (1, FieldData::Fixed64(bits)) => item.bound = f64::from_bits(bits),
            (2, FieldData::Fixed64(bits)) => item.value = plain(f64::from_bits(bits)),
            (1..=2, _) => return Err(Fault::Protobuf),
            _ => {}
        }
    }
    Ok(item)
}

fn read_bucket(mut message: Reader<'_>) -> Result<Item<'_>, Fault> {
    let (mut count, mut count_float) = (0, 0.0);
    let mut item = Item { bound: 0.0, value: 0.0, exemplar: None };
    while let Some(field) = message.field()? {
        match (field.number, field.data) {
            (1, FieldData::Varint(number)) => count = number,
            (4, FieldData::Fixed64(bits)) => count_float = f64::from_bits(bits),
            (2, FieldData::Fixed64(bits)) => item.bound = f64::from_bits(bits),
            (3, FieldData::Len(exemplar)) => item.exemplar = Some(read_exemplar(exemplar.rest())?),
            (1..=4, _) => return Err(Fault::Protobuf),
            _ => {}
        }
    }
    item.value = plain(if count_float == 0.0 { count as f64 } else { count_float });
    Ok(item)
}

/// Appends a label's value as a text format writes it.
pub(super) fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr3(b'\\', b'"', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\\' => b"\\\\",
            b'"' => b"\\\"",
            _ => b"\\n",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
