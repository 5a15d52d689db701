//! A batch of metrics: flat tables over shared buffers, one row a point.
//! Cloning shares everything; the first edit of a shared batch copies its tables, never its buffers.

mod build;
mod decode;
mod edit;
mod encode;
mod exponential;
mod histogram;
mod join;
mod patch;
mod split;
pub(crate) mod view;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::shape::{ShapeId, ShapeTable};
use crate::slot::{Slot, Value};

pub use build::{MetricDef, MetricRef, MetricsBuilder, NumberValue};
pub use edit::Editor;
pub use encode::encode_body_without_attributes;
pub use exponential::ExponentialHistogram;
pub use histogram::{CannotAdd, Histogram, Totals};
pub use patch::Patch;
pub use view::{Buckets, Exemplar, ExponentialHistogramView, HistogramView, SummaryView, exemplars};

/// Metrics in flight. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    wire: Bytes,
    own: Arc<Vec<u8>>,
    tables: Arc<Tables>,
    /// Whether `wire` still says exactly what the tables say.
    pristine: bool,
    /// Whether its maker says that no series has two points.
    distinct: bool,
}

/// The tables of a batch: resources hold scopes, scopes hold metrics, metrics hold points, each as a range of rows.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// One row for each `ResourceMetrics`.
    pub resources: Vec<Resource>,
    /// One row for each `ScopeMetrics`.
    pub scopes: Vec<Scope>,
    /// One row for each `Metric`.
    pub metrics: Vec<Metric>,
    /// One row for each data point of any kind.
    pub points: Vec<Point>,
    /// Attribute values; an attribute set takes as many rows as its shape has keys.
    pub values: Vec<Slot>,
    /// Raw messages kept as they came (entity references).
    pub extras: Vec<Slot>,
    /// The attribute keys.
    pub shapes: ShapeTable,
}

/// Keys (a shape) and where their values start in [`Tables::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The ordered keys.
    pub shape: ShapeId,
    /// The first value's row.
    pub values: u32,
}

impl Default for Attributes {
    fn default() -> Self {
        Attributes { shape: ShapeId::EMPTY, values: 0 }
    }
}

/// What produced the metrics below it.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    /// Whether the message carried a `Resource` at all.
    pub present: bool,
    /// The resource's attributes.
    pub attributes: Attributes,
    /// OTLP `dropped_attributes_count`.
    pub dropped_attributes: u32,
    /// Rows of [`Tables::extras`] with the `EntityRef` messages.
    pub entities: Range<u32>,
    /// The schema URL of the `ResourceMetrics`.
    pub schema_url: Slot,
    /// Rows of [`Tables::scopes`].
    pub scopes: Range<u32>,
}

/// The instrumentation scope of the metrics below it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The resource's row.
    pub resource: u32,
    /// Whether the message carried an `InstrumentationScope` at all.
    pub present: bool,
    /// The scope's name.
    pub name: Slot,
    /// The scope's version.
    pub version: Slot,
    /// The scope's attributes.
    pub attributes: Attributes,
    /// OTLP `dropped_attributes_count`.
    pub dropped_attributes: u32,
    /// The schema URL of the `ScopeMetrics`.
    pub schema_url: Slot,
    /// Rows of [`Tables::metrics`].
    pub metrics: Range<u32>,
}

/// A metric: identity and kind of the points below it.
#[derive(Debug, Clone)]
pub struct Metric {
    /// The scope's row.
    pub scope: u32,
    /// The metric's name.
    pub name: Slot,
    /// The metric's description.
    pub description: Slot,
    /// The metric's unit (UCUM).
    pub unit: Slot,
    /// The kind of every point of the metric.
    pub kind: MetricKind,
    /// OTLP `Metric.metadata`.
    pub metadata: Attributes,
    /// Rows of [`Tables::points`].
    pub points: Range<u32>,
}

/// OTLP's five kinds of metric, and a metric without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A metric that carries no data at all.
    Empty,
    /// A value now.
    Gauge,
    /// A sum of increments.
    Sum {
        /// Since the last report, or since the start.
        temporality: Temporality,
        /// Whether it never falls.
        monotonic: bool,
    },
    /// Counts by explicit bounds.
    Histogram {
        /// Since the last report, or since the start.
        temporality: Temporality,
    },
    /// Counts by exponential bounds.
    ExponentialHistogram {
        /// Since the last report, or since the start.
        temporality: Temporality,
    },
    /// Quantiles computed by the source.
    Summary,
}

impl MetricKind {
    /// Whether points carry one number (gauge, sum) rather than a body.
    pub fn is_number(self) -> bool {
        matches!(self, MetricKind::Gauge | MetricKind::Sum { .. })
    }

    /// The temporality, for the kinds that have one.
    pub fn temporality(self) -> Option<Temporality> {
        match self {
            MetricKind::Sum { temporality, .. }
            | MetricKind::Histogram { temporality }
            | MetricKind::ExponentialHistogram { temporality } => Some(temporality),
            MetricKind::Gauge | MetricKind::Summary | MetricKind::Empty => None,
        }
    }
}

/// What a sum or histogram counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Temporality {
    /// Not said; OTLP calls it invalid.
    Unspecified = 0,
    /// Since the last report.
    Delta = 1,
    /// Since the start.
    Cumulative = 2,
}

/// How a number point's bits are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NumberKind {
    /// The point says no number.
    None = 0,
    /// A 64-bit integer.
    Int = 1,
    /// A double.
    Double = 2,
    /// A histogram or summary: look into the body.
    Body = 3,
}

/// One data point: 48 bytes, whatever it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Event time, nanoseconds since the epoch; 0 = not said.
    pub time: u64,
    /// Start time, nanoseconds since the epoch; 0 = not said.
    pub start: u64,
    /// The number's bits, by `number`.
    pub bits: u64,
    /// The point's whole message, where something beyond the columns here is in it (histograms, exemplars); else [`Slot::NONE`].
    pub body: Slot,
    /// The first attribute value's row.
    pub values: u32,
    /// The attribute keys.
    pub shape: ShapeId,
    /// OTLP data point flags.
    pub flags: u32,
    /// How to read `bits`.
    pub number: NumberKind,
    /// Not data but a confirmation: the source still has the series, and could not say its value.
    /// Ours, never on the wire: lastvalue keeps the series alive, and everything that encodes leaves the point out.
    pub held: bool,
}

impl Point {
    /// A point with a time, and nothing else yet.
    pub const fn bare(time: u64, number: NumberKind) -> Point {
        Point {
            time,
            start: 0,
            bits: 0,
            body: Slot::NONE,
            values: 0,
            shape: ShapeId::EMPTY,
            flags: 0,
            number,
            held: false,
        }
    }

    /// The point's number as a double; `None` for points without one.
    #[inline]
    pub fn as_f64(&self) -> Option<f64> {
        match self.number {
            NumberKind::Int => Some(self.bits as i64 as f64),
            NumberKind::Double => Some(f64::from_bits(self.bits)),
            NumberKind::None | NumberKind::Body => None,
        }
    }

    /// Whether the point says "no value now".
    #[inline]
    pub fn is_no_value(&self) -> bool {
        self.flags & crate::NO_RECORDED_VALUE != 0
    }

    /// The point's attributes.
    #[inline]
    pub fn attributes(&self) -> Attributes {
        Attributes { shape: self.shape, values: self.values }
    }
}

impl Metrics {
    /// The tables.
    #[inline]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Whether no series has two points, as far as the batch's maker knows: series as resource, scope, metric and
    /// attributes tell them apart, or metric and attributes alone where labels are final. Any edit forgets it.
    pub fn is_distinct(&self) -> bool {
        self.distinct
    }

    /// Says that no series has two points; for processors that keep one value a series. Whoever looks for duplicates
    /// need not look.
    pub fn set_distinct(&mut self) {
        self.distinct = true;
    }

    /// How many data points there are, confirmations included.
    pub fn points(&self) -> usize {
        self.tables.points.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.tables.points.is_empty()
    }

    /// The buffer that arrived.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The buffer that processors append to.
    #[inline]
    pub fn own(&self) -> &[u8] {
        &self.own
    }

    /// The bytes of a slot.
    #[inline]
    pub fn bytes(&self, slot: Slot) -> &[u8] {
        slot.bytes(&self.wire, &self.own)
    }

    /// The text of a slot; a slot that does not hold text reads as empty.
    pub fn text(&self, slot: Slot) -> &str {
        std::str::from_utf8(self.bytes(slot)).unwrap_or_default()
    }

    /// The value of a slot.
    #[inline]
    pub fn value(&self, slot: Slot) -> Value<'_> {
        slot.value(&self.wire, &self.own)
    }

    /// The keys of an attribute set.
    #[inline]
    pub fn keys(&self, shape: ShapeId) -> &[Slot] {
        self.tables.shapes.keys(shape)
    }

    /// Positions of keys in the order of their names. A set holds far fewer than 65,536 attributes: the decoder limits them.
    pub fn order_of(&self, keys: &[Slot]) -> Vec<u16> {
        let mut order: Vec<u16> = (0..keys.len().min(usize::from(u16::MAX)) as u16).collect();
        order.sort_by_key(|&n| self.bytes(keys[usize::from(n)]));
        order
    }

    /// The values of an attribute set, one for each key.
    #[inline]
    pub fn values(&self, attributes: Attributes) -> &[Slot] {
        let start = attributes.values as usize;
        &self.tables.values[start..start + self.tables.shapes.width(attributes.shape)]
    }

    /// Keys and values of an attribute set, for whoever need not be fast.
    pub fn pairs(&self, attributes: Attributes) -> impl Iterator<Item = (&str, Value<'_>)> {
        let keys = self.keys(attributes.shape).iter().map(|&key| self.text(key));
        keys.zip(self.values(attributes).iter().map(|&value| self.value(value)))
    }

    /// The points of a metric.
    #[inline]
    pub fn points_of(&self, metric: &Metric) -> &[Point] {
        &self.tables.points[metric.points.start as usize..metric.points.end as usize]
    }

    /// Every metric with its scope and resource, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Resource, &Scope, &Metric)> {
        self.tables.metrics.iter().map(|metric| {
            let scope = &self.tables.scopes[metric.scope as usize];
            (&self.tables.resources[scope.resource as usize], scope, metric)
        })
    }

    /// Memory that the batch holds, roughly: buffers and tables.
    pub fn memory(&self) -> usize {
        let t = &*self.tables;
        self.wire.len()
            + self.own.capacity()
            + t.points.capacity() * size_of::<Point>()
            + t.values.capacity() * size_of::<Slot>()
            + t.metrics.capacity() * size_of::<Metric>()
    }
}
