//! OTLP protobuf -> batch, in one pass that records where values lie. The request buffer is kept, nothing is copied.
//! Source: opentelemetry-proto v1, `collector/metrics` and `metrics`; every length is checked against its message.

mod attributes;

use std::sync::Arc;

use bytes::Bytes;

use super::view;
use super::{Attributes, Metric, MetricKind, Metrics, NumberKind, Point, Resource, Scope, Tables, Temporality};
use crate::limits::{DecodeError, Limits};
use crate::shape::ShapeId;
use crate::slot::{Slot, ValueKind};
use crate::wire::{FIXED64, Field, FieldData, LEN, Reader, VARINT};
use attributes::{SetBuilder, check_type, slot_of};

pub(super) use attributes::{any_value, check_key_value, check_text};

type Result<T> = std::result::Result<T, DecodeError>;

impl Metrics {
    /// Decodes an `ExportMetricsServiceRequest` (or `MetricsData`: the same fields).
    ///
    /// # Errors
    /// Malformed, truncated or oversized bytes; the whole request is refused, nothing of it is kept.
    pub fn decode(request: Bytes, limits: &Limits) -> Result<Metrics> {
        let ceiling = limits.max_bytes.min(Slot::MAX_LEN);
        if request.len() > ceiling {
            return Err(DecodeError::Limit { what: "the size of the request in bytes", limit: ceiling });
        }
        let mut decoder =
            Decoder { wire: &request, limits, tables: Tables::default(), guess: ShapeId::EMPTY, keys: Vec::new() };
        decoder.tables.points.reserve(request.len() / 160);
        decoder.tables.values.reserve(request.len() / 32);
        decoder.request()?;
        let tables = Arc::new(decoder.tables);
        Ok(Metrics { wire: request, own: Arc::default(), tables, pristine: true, distinct: false })
    }
}

struct Decoder<'a> {
    wire: &'a [u8],
    limits: &'a Limits,
    tables: Tables,
    /// The shape that the next set most likely has: that of the set before it.
    guess: ShapeId,
    /// Keys of the set at hand, once it left the guess.
    keys: Vec<Slot>,
}

/// Which fields of a data point message mean what; the numbers differ by kind.
struct PointFields {
    attributes: u32,
    flags: u32,
}

/// The tag of `NumberDataPoint.attributes`: field 7, length-delimited.
const NUMBER_ATTRIBUTE: u8 = 7 << 3 | LEN as u8;

const HISTOGRAM: PointFields = PointFields { attributes: 9, flags: 10 };
const EXPONENTIAL: PointFields = PointFields { attributes: 1, flags: 10 };
const SUMMARY: PointFields = PointFields { attributes: 7, flags: 8 };

impl<'a> Decoder<'a> {
    fn request(&mut self) -> Result<()> {
        let mut reader = Reader::new(self.wire);
        while let Some(field) = reader.field()? {
            if let (1, FieldData::Len(inner)) = (field.number, field.data) {
                self.resource_metrics(inner)?;
            } else {
                check_type(field, 1, LEN)?;
            }
        }
        Ok(())
    }

    fn resource_metrics(&mut self, mut reader: Reader<'a>) -> Result<()> {
        let row = self.tables.resources.len();
        let first = self.tables.scopes.len() as u32;
        self.tables.resources.push(Resource::default());
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(inner)) => self.resource(row, inner)?,
                (2, FieldData::Len(inner)) => self.scope_metrics(row as u32, inner)?,
                (3, FieldData::Len(inner)) => self.tables.resources[row].schema_url = self.text(inner)?,
                (1..=3, _) => return Err(DecodeError::Malformed(field.at)),
                _ => {}
            }
        }
        self.tables.resources[row].scopes = first..self.tables.scopes.len() as u32;
        Ok(())
    }

    fn resource(&mut self, row: usize, mut reader: Reader<'a>) -> Result<()> {
        // A message may come in pieces: what an earlier one said stays.
        let before = self.tables.resources[row].clone();
        self.check_rows()?;
        let mut set = SetBuilder::resume(self, before.attributes);
        let entities = if before.entities.is_empty() { self.tables.extras.len() as u32 } else { before.entities.start };
        let mut dropped = before.dropped_attributes;
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(inner)) => set.add(self, inner)?,
                (2, FieldData::Varint(value)) => dropped = value as u32,
                (3, FieldData::Len(inner)) => {
                    view::check_entity(inner)?;
                    self.tables.extras.push(slot_of(ValueKind::Bytes, inner));
                }
                (1..=3, _) => return Err(DecodeError::Malformed(field.at)),
                _ => {}
            }
        }
        let attributes = set.finish(self);
        let resource = &mut self.tables.resources[row];
        resource.present = true;
        resource.attributes = attributes;
        resource.dropped_attributes = dropped;
        resource.entities = entities..self.tables.extras.len() as u32;
        Ok(())
    }

    fn scope_metrics(&mut self, resource: u32, mut reader: Reader<'a>) -> Result<()> {
        let row = self.tables.scopes.len();
        let first = self.tables.metrics.len() as u32;
        self.tables.scopes.push(Scope { resource, ..Scope::default() });
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(inner)) => self.scope(row, inner)?,
                (2, FieldData::Len(inner)) => self.metric(row as u32, inner)?,
                (3, FieldData::Len(inner)) => self.tables.scopes[row].schema_url = self.text(inner)?,
                (1..=3, _) => return Err(DecodeError::Malformed(field.at)),
                _ => {}
            }
        }
        self.tables.scopes[row].metrics = first..self.tables.metrics.len() as u32;
        Ok(())
    }

    fn scope(&mut self, row: usize, mut reader: Reader<'a>) -> Result<()> {
        self.check_rows()?;
        let mut set = SetBuilder::resume(self, self.tables.scopes[row].attributes);
        self.tables.scopes[row].present = true;
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(inner)) => self.tables.scopes[row].name = self.text(inner)?,
                (2, FieldData::Len(inner)) => self.tables.scopes[row].version = self.text(inner)?,
                (3, FieldData::Len(inner)) => set.add(self, inner)?,
                (4, FieldData::Varint(value)) => self.tables.scopes[row].dropped_attributes = value as u32,
                (1..=4, _) => return Err(DecodeError::Malformed(field.at)),
                _ => {}
            }
        }
        self.tables.scopes[row].attributes = set.finish(self);
        Ok(())
    }

    fn metric(&mut self, scope: u32, mut reader: Reader<'a>) -> Result<()> {
        let first = self.tables.points.len();
        let mut metric = Metric {
            scope,
            name: Slot::NONE,
            description: Slot::NONE,
            unit: Slot::NONE,
            kind: MetricKind::Empty,
            metadata: Attributes::default(),
            points: 0..0,
        };
        // Gathered first: the values of a set must stand together, and points may come between.
        let mut metadata = Vec::new();
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(inner)) => metric.name = self.text(inner)?,
                (2, FieldData::Len(inner)) => metric.description = self.text(inner)?,
                (3, FieldData::Len(inner)) => metric.unit = self.text(inner)?,
                (number @ (5 | 7 | 9 | 10 | 11), FieldData::Len(inner)) => {
                    let kind = kind_of(number);
                    if std::mem::discriminant(&kind) != std::mem::discriminant(&metric.kind) {
                        // A oneof that occurs twice: the last kind wins.
                        self.tables.points.truncate(first);
                        metric.kind = kind;
                    }
                    metric.kind = self.data(metric.kind, inner)?;
                }
                (12, FieldData::Len(inner)) => metadata.push(inner),
                (1..=3 | 5 | 7 | 9..=12, _) => return Err(DecodeError::Malformed(field.at)),
                _ => {}
            }
        }
        let mut set = SetBuilder::start(self);
        for inner in metadata {
            set.add(self, inner)?;
        }
        metric.metadata = set.finish(self);
        metric.points = first as u32..self.tables.points.len() as u32;
        self.tables.metrics.push(metric);
        Ok(())
    }

    fn data(&mut self, mut kind: MetricKind, mut reader: Reader<'a>) -> Result<MetricKind> {
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (1, FieldData::Len(inner)) => match kind {
                    MetricKind::Histogram { .. } => self.body_point(&HISTOGRAM, inner, view::check_histogram)?,
                    MetricKind::ExponentialHistogram { .. } => {
                        self.body_point(&EXPONENTIAL, inner, view::check_exponential)?;
                    }
                    MetricKind::Summary => self.body_point(&SUMMARY, inner, view::check_summary)?,
                    _ => self.number_point(inner)?,
                },
                (2, FieldData::Varint(value)) => set_temporality(&mut kind, value),
                (3, FieldData::Varint(value)) => {
                    if let MetricKind::Sum { monotonic, .. } = &mut kind {
                        *monotonic = value != 0;
                    }
                }
                (1, _) => return Err(DecodeError::Malformed(field.at)),
                (2, _) if kind.temporality().is_some() => return Err(DecodeError::Malformed(field.at)),
                (3, _) if matches!(kind, MetricKind::Sum { .. }) => return Err(DecodeError::Malformed(field.at)),
                _ => {}
            }
        }
        Ok(kind)
    }

    fn number_point(&mut self, mut reader: Reader<'a>) -> Result<()> {
        let whole = reader;
        let mut point = Point::bare(0, NumberKind::None);
        let mut set = SetBuilder::start(self);
        loop {
            if reader.short_tag() == Some(NUMBER_ATTRIBUTE) {
                set.add_expected(self, &mut reader);
            }
            let Some((number, wire_type)) = reader.tag()? else { break };
            match (number, wire_type) {
                (7, LEN) => set.add(self, reader.delimited()?)?,
                (3, FIXED64) => point.time = reader.fixed64()?,
                (2, FIXED64) => point.start = reader.fixed64()?,
                (4, FIXED64) => (point.number, point.bits) = (NumberKind::Double, reader.fixed64()?),
                (6, FIXED64) => (point.number, point.bits) = (NumberKind::Int, reader.fixed64()?),
                (5, LEN) => {
                    view::check_exemplar(reader.delimited()?, self.limits)?;
                    point.body = slot_of(ValueKind::Bytes, whole);
                }
                (8, VARINT) => point.flags = reader.varint()? as u32,
                (2..=8, _) => return Err(DecodeError::Malformed(reader.position())),
                _ => reader.skip(wire_type)?,
            }
        }
        self.push_point(point, set)
    }

    fn body_point(
        &mut self,
        fields: &PointFields,
        mut reader: Reader<'a>,
        check: fn(Field<'a>, &Limits) -> Result<()>,
    ) -> Result<()> {
        let mut point = Point::bare(0, NumberKind::Body);
        point.body = slot_of(ValueKind::Bytes, reader);
        let mut set = SetBuilder::start(self);
        while let Some(field) = reader.field()? {
            match (field.number, field.data) {
                (2, FieldData::Fixed64(value)) => point.start = value,
                (3, FieldData::Fixed64(value)) => point.time = value,
                (number, FieldData::Len(inner)) if number == fields.attributes => set.add(self, inner)?,
                (number, FieldData::Varint(value)) if number == fields.flags => point.flags = value as u32,
                (number, _) if number == 2 || number == 3 || number == fields.attributes || number == fields.flags => {
                    return Err(DecodeError::Malformed(field.at));
                }
                _ => check(field, self.limits)?,
            }
        }
        self.push_point(point, set)
    }

    /// Rows must stay in proportion to the bytes they came from: a point of two bytes takes 48, and a resource in a
    /// million pieces would repeat its attributes a million times.
    #[inline]
    fn check_rows(&self) -> Result<()> {
        let Tables { points, values, .. } = &self.tables;
        let (most_points, most_values) = (self.wire.len() / 6 + 16_384, self.wire.len() / 2 + 131_072);
        if points.len() > most_points {
            return Err(DecodeError::Limit {
                what: "the number of data points for the size of the request",
                limit: most_points,
            });
        }
        if values.len() > most_values {
            return Err(DecodeError::Limit {
                what: "the number of attributes for the size of the request",
                limit: most_values,
            });
        }
        Ok(())
    }

    fn push_point(&mut self, mut point: Point, set: SetBuilder) -> Result<()> {
        let attributes = set.finish(self);
        point.shape = attributes.shape;
        point.values = attributes.values;
        self.tables.points.push(point);
        self.check_rows()
    }

    fn text(&self, reader: Reader<'a>) -> Result<Slot> {
        check_text(reader)?;
        Ok(slot_of(ValueKind::Str, reader))
    }
}

fn kind_of(field: u32) -> MetricKind {
    let temporality = Temporality::Unspecified;
    match field {
        5 => MetricKind::Gauge,
        7 => MetricKind::Sum { temporality, monotonic: false },
        9 => MetricKind::Histogram { temporality },
        10 => MetricKind::ExponentialHistogram { temporality },
        _ => MetricKind::Summary,
    }
}

fn set_temporality(kind: &mut MetricKind, value: u64) {
    let new = match value {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    };
    match kind {
        MetricKind::Sum { temporality, .. }
        | MetricKind::Histogram { temporality }
        | MetricKind::ExponentialHistogram { temporality } => *temporality = new,
        MetricKind::Gauge | MetricKind::Summary | MetricKind::Empty => {}
    }
}
