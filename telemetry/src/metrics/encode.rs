//! Batch -> OTLP protobuf, without loss. A batch that nobody changed gives back the bytes that arrived.
//! Lengths are computed first, then everything is written once into one buffer.

use bytes::Bytes;

use super::view::fields;
use super::{Attributes, Metric, MetricKind, Metrics, NumberKind, Point, Resource, Scope};
use crate::slot::{Slot, ValueKind};
use crate::wire::{
    FieldData, LEN, len_field, put_bytes, put_bytes_nonempty, put_fixed64, put_tag, put_uint, put_varint, varint_len,
};

impl Metrics {
    /// The batch as an `ExportMetricsServiceRequest`. Confirmations ([`Point::held`]) are left out.
    pub fn encode(&self) -> Bytes {
        if self.pristine {
            return self.wire.clone();
        }
        let mut out = Vec::new();
        self.encode_into(&mut out);
        Bytes::from(out)
    }

    /// Appends the batch as an `ExportMetricsServiceRequest`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        if self.pristine {
            out.extend_from_slice(&self.wire);
            return;
        }
        let metrics: Vec<usize> = self.tables.metrics.iter().map(|m| self.metric_len(m)).collect();
        let lens =
            Lens { scopes: self.tables.scopes.iter().map(|s| self.scope_metrics_len(s, &metrics)).collect(), metrics };
        let resources: Vec<usize> = self.tables.resources.iter().map(|r| self.resource_metrics_len(r, &lens)).collect();
        out.reserve(resources.iter().map(|&len| len_field(len)).sum());
        for (resource, len) in self.tables.resources.iter().zip(resources) {
            put_tag(out, 1, LEN);
            put_varint(out, len as u64);
            self.put_resource_metrics(out, resource, &lens);
        }
    }

    fn resource_metrics_len(&self, resource: &Resource, lens: &Lens) -> usize {
        let scopes: usize = lens.scopes[range(&resource.scopes)].iter().map(|&len| len_field(len)).sum();
        let body = if resource.present { len_field(self.resource_len(resource)) } else { 0 };
        scopes + body + nonempty_len(resource.schema_url)
    }

    fn resource_len(&self, resource: &Resource) -> usize {
        let entities: usize =
            self.tables.extras[range(&resource.entities)].iter().map(|slot| len_field(slot.len())).sum();
        self.attributes_len(resource.attributes) + uint_len(resource.dropped_attributes) + entities
    }

    fn put_resource_metrics(&self, out: &mut Vec<u8>, resource: &Resource, lens: &Lens) {
        if resource.present {
            put_tag(out, 1, LEN);
            put_varint(out, self.resource_len(resource) as u64);
            self.put_attributes(out, 1, resource.attributes);
            put_uint_nonzero(out, 2, resource.dropped_attributes);
            for &slot in &self.tables.extras[range(&resource.entities)] {
                put_bytes(out, 3, self.bytes(slot));
            }
        }
        for row in range(&resource.scopes) {
            put_tag(out, 2, LEN);
            put_varint(out, lens.scopes[row] as u64);
            self.put_scope_metrics(out, &self.tables.scopes[row], lens);
        }
        put_bytes_nonempty(out, 3, self.bytes(resource.schema_url));
    }

    fn scope_metrics_len(&self, scope: &Scope, metrics: &[usize]) -> usize {
        let metrics: usize = metrics[range(&scope.metrics)].iter().map(|&len| len_field(len)).sum();
        let body = if scope.present { len_field(self.scope_len(scope)) } else { 0 };
        metrics + body + nonempty_len(scope.schema_url)
    }

    fn scope_len(&self, scope: &Scope) -> usize {
        nonempty_len(scope.name)
            + nonempty_len(scope.version)
            + self.attributes_len(scope.attributes)
            + uint_len(scope.dropped_attributes)
    }

    fn put_scope_metrics(&self, out: &mut Vec<u8>, scope: &Scope, lens: &Lens) {
        if scope.present {
            put_tag(out, 1, LEN);
            put_varint(out, self.scope_len(scope) as u64);
            put_bytes_nonempty(out, 1, self.bytes(scope.name));
            put_bytes_nonempty(out, 2, self.bytes(scope.version));
            self.put_attributes(out, 3, scope.attributes);
            put_uint_nonzero(out, 4, scope.dropped_attributes);
        }
        for row in range(&scope.metrics) {
            put_tag(out, 2, LEN);
            put_varint(out, lens.metrics[row] as u64);
            self.put_metric(out, &self.tables.metrics[row]);
        }
        put_bytes_nonempty(out, 3, self.bytes(scope.schema_url));
    }

    fn metric_len(&self, metric: &Metric) -> usize {
        let head = nonempty_len(metric.name) + nonempty_len(metric.description) + nonempty_len(metric.unit);
        let data = match metric.kind {
            MetricKind::Empty => 0,
            _ => len_field(self.data_len(metric)),
        };
        head + data + self.attributes_len(metric.metadata)
    }

    fn data_len(&self, metric: &Metric) -> usize {
        let points: usize = self.sent_points(metric).map(|p| len_field(self.point_len(metric.kind, p))).sum();
        points + kind_fields_len(metric.kind)
    }

    fn put_metric(&self, out: &mut Vec<u8>, metric: &Metric) {
        put_bytes_nonempty(out, 1, self.bytes(metric.name));
        put_bytes_nonempty(out, 2, self.bytes(metric.description));
        put_bytes_nonempty(out, 3, self.bytes(metric.unit));
        if let Some(number) = data_field(metric.kind) {
            put_tag(out, number, LEN);
            put_varint(out, self.data_len(metric) as u64);
            for point in self.sent_points(metric) {
                put_tag(out, 1, LEN);
                put_varint(out, self.point_len(metric.kind, point) as u64);
                self.put_point(out, metric.kind, point);
            }
            put_kind_fields(out, metric.kind);
        }
        self.put_attributes(out, 12, metric.metadata);
    }

    fn sent_points(&self, metric: &Metric) -> impl Iterator<Item = &Point> {
        self.points_of(metric).iter().filter(|point| !point.held)
    }

    fn point_len(&self, kind: MetricKind, point: &Point) -> usize {
        let number = match point.number {
            NumberKind::Int | NumberKind::Double => 9,
            NumberKind::None | NumberKind::Body => 0,
        };
        let times = fixed_len(point.start) + fixed_len(point.time);
        let kept: usize = kept_fields(self.bytes(point.body), kind).map(<[u8]>::len).sum();
        number + times + self.attributes_len(point.attributes()) + uint_len(point.flags) + kept
    }

    fn put_point(&self, out: &mut Vec<u8>, kind: MetricKind, point: &Point) {
        let (attributes, flags) = point_fields(kind);
        self.put_attributes(out, attributes, point.attributes());
        put_fixed64_nonzero(out, 2, point.start);
        put_fixed64_nonzero(out, 3, point.time);
        match point.number {
            NumberKind::Double => put_fixed64(out, 4, point.bits),
            NumberKind::Int => put_fixed64(out, 6, point.bits),
            NumberKind::None | NumberKind::Body => {}
        }
        for field in kept_fields(self.bytes(point.body), kind) {
            out.extend_from_slice(field);
        }
        put_uint_nonzero(out, flags, point.flags);
    }

    fn attributes_len(&self, attributes: Attributes) -> usize {
        let keys = self.keys(attributes.shape).iter();
        keys.zip(self.values(attributes)).map(|(&key, &value)| len_field(key_value_len(key, value))).sum()
    }

    fn put_attributes(&self, out: &mut Vec<u8>, number: u32, attributes: Attributes) {
        for (&key, &value) in self.keys(attributes.shape).iter().zip(self.values(attributes)) {
            put_tag(out, number, LEN);
            put_varint(out, key_value_len(key, value) as u64);
            put_bytes_nonempty(out, 1, self.bytes(key));
            if value != Slot::NONE {
                put_tag(out, 2, LEN);
                put_varint(out, any_value_len(value) as u64);
                put_any_value(out, value, self.bytes_of_value(value));
            }
        }
    }

    fn bytes_of_value(&self, value: Slot) -> &[u8] {
        if value.kind() == ValueKind::Empty { &[] } else { self.bytes(value) }
    }
}

/// A point message's fields without attributes, times and flags: what stays when those change.
/// `kind` must be one whose points have a body.
pub fn encode_body_without_attributes(body: &[u8], kind: MetricKind, out: &mut Vec<u8>) {
    for field in kept_fields(body, kind) {
        out.extend_from_slice(field);
    }
}

struct Lens {
    scopes: Vec<usize>,
    metrics: Vec<usize>,
}

/// The raw fields of a point's message that the columns of [`Point`] do not hold.
fn kept_fields(body: &[u8], kind: MetricKind) -> impl Iterator<Item = &[u8]> {
    let (attributes, flags) = point_fields(kind);
    let number = kind.is_number();
    let mut fields = fields(body).peekable();
    std::iter::from_fn(move || {
        loop {
            let field = fields.next()?;
            let end = match field.data {
                FieldData::Len(inner) => inner.end(),
                _ => fields.peek().map_or(body.len(), |next| next.at),
            };
            let column = matches!(field.number, 2 | 3) || field.number == attributes || field.number == flags;
            if column || number && field.number != 5 {
                continue;
            }
            return Some(&body[field.at..end]);
        }
    })
}

/// The field numbers of (attributes, flags) in a point's message.
fn point_fields(kind: MetricKind) -> (u32, u32) {
    match kind {
        MetricKind::Histogram { .. } => (9, 10),
        MetricKind::ExponentialHistogram { .. } => (1, 10),
        _ => (7, 8),
    }
}

fn data_field(kind: MetricKind) -> Option<u32> {
    match kind {
        MetricKind::Empty => None,
        MetricKind::Gauge => Some(5),
        MetricKind::Sum { .. } => Some(7),
        MetricKind::Histogram { .. } => Some(9),
        MetricKind::ExponentialHistogram { .. } => Some(10),
        MetricKind::Summary => Some(11),
    }
}

fn kind_fields_len(kind: MetricKind) -> usize {
    let temporality = kind.temporality().map_or(0, |t| uint_len(t as u32));
    let monotonic = matches!(kind, MetricKind::Sum { monotonic: true, .. });
    temporality + if monotonic { 2 } else { 0 }
}

fn put_kind_fields(out: &mut Vec<u8>, kind: MetricKind) {
    if let Some(temporality) = kind.temporality() {
        put_uint_nonzero(out, 2, temporality as u32);
    }
    if let MetricKind::Sum { monotonic: true, .. } = kind {
        put_uint(out, 3, 1);
    }
}

fn key_value_len(key: Slot, value: Slot) -> usize {
    nonempty_len(key) + if value == Slot::NONE { 0 } else { len_field(any_value_len(value)) }
}

#[inline]
fn any_value_len(value: Slot) -> usize {
    match value.kind() {
        ValueKind::Empty => 0,
        ValueKind::Bool | ValueKind::Int | ValueKind::Double => 1 + value.len(),
        ValueKind::Str | ValueKind::Array | ValueKind::Map | ValueKind::Bytes => len_field(value.len()),
    }
}

#[inline]
fn put_any_value(out: &mut Vec<u8>, value: Slot, bytes: &[u8]) {
    let number = value.kind() as u32;
    match value.kind() {
        ValueKind::Empty => {}
        ValueKind::Bool | ValueKind::Int => {
            put_tag(out, number, crate::wire::VARINT);
            out.extend_from_slice(bytes);
        }
        ValueKind::Double => {
            put_tag(out, number, crate::wire::FIXED64);
            out.extend_from_slice(bytes);
        }
        ValueKind::Str | ValueKind::Array | ValueKind::Map | ValueKind::Bytes => put_bytes(out, number, bytes),
    }
}

fn range(range: &std::ops::Range<u32>) -> std::ops::Range<usize> {
    range.start as usize..range.end as usize
}

fn nonempty_len(slot: Slot) -> usize {
    if slot.is_empty() { 0 } else { len_field(slot.len()) }
}

fn uint_len(value: u32) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(u64::from(value)) }
}

fn put_uint_nonzero(out: &mut Vec<u8>, number: u32, value: u32) {
    if value != 0 {
        put_uint(out, number, u64::from(value));
    }
}

fn fixed_len(value: u64) -> usize {
    if value == 0 { 0 } else { 9 }
}

fn put_fixed64_nonzero(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_fixed64(out, number, value);
    }
}
