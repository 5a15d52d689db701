//! What conditions are about: metrics and points of a batch; spans, events and records of a tree; what stands above them.
//! A condition about a resource is asked of anything below it.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use steadyline_telemetry::metrics::Attributes;
use steadyline_telemetry::{Metric, MetricKind, Metrics, NumberKind, Point, Value};

use super::eval::Source;
use super::path::{Field, Path};
use super::{Condition, Context};
use crate::lookup::{Lookup, Set};
use crate::tree::ItemRef;
use crate::value::{Read, text};

/// A metric of a batch.
#[derive(Debug, Clone, Copy)]
pub struct MetricSource<'a> {
    /// The batch.
    pub metrics: &'a Metrics,
    /// The metric.
    pub metric: &'a Metric,
}

impl Source for MetricSource<'_> {
    fn read(&self, path: &Path) -> Read<'_> {
        let (metrics, metric) = (self.metrics, self.metric);
        let scope = &metrics.tables().scopes[metric.scope as usize];
        let text = |slot| Read::Plain(Value::Str(metrics.bytes(slot)));
        match (path.context, &path.field) {
            (Context::Resource, _) => {
                let resource = &metrics.tables().resources[scope.resource as usize];
                match &path.field {
                    Field::Attribute(key) => of_set(metrics, resource.attributes, key),
                    Field::DroppedAttributes => int(resource.dropped_attributes.into()),
                    _ => Read::NOTHING,
                }
            }
            (Context::Scope, Field::Name) => text(scope.name),
            (Context::Scope, Field::Version) => text(scope.version),
            (Context::Scope, Field::Attribute(key)) => of_set(metrics, scope.attributes, key),
            (_, Field::Name) => text(metric.name),
            (_, Field::Description) => text(metric.description),
            (_, Field::Unit) => text(metric.unit),
            (_, Field::Type) => int(kind_number(metric.kind)),
            (_, Field::AggregationTemporality) => metric.kind.temporality().map_or(Read::NOTHING, |t| int(t as i64)),
            (_, Field::IsMonotonic) => match metric.kind {
                MetricKind::Sum { monotonic, .. } => Read::Plain(Value::Bool(monotonic)),
                _ => Read::NOTHING,
            },
            _ => Read::NOTHING,
        }
    }

    fn has_on_datapoint(&self, key: &str, value: Option<&str>) -> bool {
        self.metrics.points_of(self.metric).iter().any(|point| {
            let set = Set { metrics: self.metrics, attributes: point.attributes() };
            set.read(key).is_some_and(|found| value.is_none_or(|value| text(found.value()) == value))
        })
    }
}

/// OTTL's number of a kind of metric.
fn kind_number(kind: MetricKind) -> i64 {
    match kind {
        MetricKind::Empty => 0,
        MetricKind::Gauge => 1,
        MetricKind::Sum { .. } => 2,
        MetricKind::Histogram { .. } => 3,
        MetricKind::ExponentialHistogram { .. } => 4,
        MetricKind::Summary => 5,
    }
}

/// A point of a batch.
#[derive(Debug, Clone, Copy)]
pub struct PointSource<'a> {
    /// Its metric.
    pub metric: MetricSource<'a>,
    /// The point.
    pub point: &'a Point,
}

impl Source for PointSource<'_> {
    fn read(&self, path: &Path) -> Read<'_> {
        if path.context != Context::Datapoint {
            return self.metric.read(path);
        }
        let point = self.point;
        match &path.field {
            Field::Attribute(key) => of_set(self.metric.metrics, point.attributes(), key),
            Field::ValueInt if point.number == NumberKind::Int => int(point.bits as i64),
            Field::ValueDouble if point.number == NumberKind::Double => {
                Read::Plain(Value::Double(f64::from_bits(point.bits)))
            }
            Field::Time => int(point.time as i64),
            Field::StartTime => int(point.start as i64),
            Field::Flags => int(point.flags.into()),
            _ => Read::NOTHING,
        }
    }
}

/// What stands above a span or record.
#[derive(Debug, Clone, Copy)]
pub struct Above<'a> {
    /// The resource.
    pub resource: Option<&'a Resource>,
    /// The scope.
    pub scope: Option<&'a InstrumentationScope>,
}

impl Source for Above<'_> {
    fn read(&self, path: &Path) -> Read<'_> {
        match (path.context, self.scope, &path.field) {
            (Context::Scope, Some(scope), Field::Name) => Read::text(&scope.name),
            (Context::Scope, Some(scope), Field::Version) => Read::text(&scope.version),
            (Context::Scope, Some(scope), Field::Attribute(key)) => of_list(&scope.attributes, key),
            (Context::Resource, _, Field::Attribute(key)) => {
                self.resource.map_or(Read::NOTHING, |resource| of_list(&resource.attributes, key))
            }
            (Context::Resource, _, Field::DroppedAttributes) => {
                int(self.resource.map_or(0, |resource| resource.dropped_attributes_count.into()))
            }
            _ => Read::NOTHING,
        }
    }
}

/// A span.
#[derive(Debug, Clone, Copy)]
pub struct SpanSource<'a> {
    /// What stands above it.
    pub above: Above<'a>,
    /// The span.
    pub span: &'a Span,
}

impl Source for SpanSource<'_> {
    fn read(&self, path: &Path) -> Read<'_> {
        if path.context != Context::Span {
            return self.above.read(path);
        }
        let span = self.span;
        let status = |of: fn(&Status) -> Read<'_>, unset| span.status.as_ref().map_or(unset, of);
        match &path.field {
            Field::Attribute(key) => of_list(&span.attributes, key),
            Field::Name => Read::text(&span.name),
            Field::Kind => int(span.kind.into()),
            Field::KindString => Read::text(kind_name(span.kind)),
            Field::StatusCode => status(|status| int(status.code.into()), int(0)),
            Field::StatusMessage => status(|status| Read::text(&status.message), Read::text("")),
            Field::TraceState => Read::text(&span.trace_state),
            Field::TraceId => hex(&span.trace_id),
            Field::SpanId => hex(&span.span_id),
            Field::ParentSpanId => hex(&span.parent_span_id),
            Field::StartTime => int(span.start_time_unix_nano as i64),
            Field::EndTime => int(span.end_time_unix_nano as i64),
            _ => Read::NOTHING,
        }
    }
}

/// OTTL's word for a kind of span.
fn kind_name(kind: i32) -> &'static str {
    let names = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
    usize::try_from(kind).ok().and_then(|kind| names.get(kind)).copied().unwrap_or_default()
}

/// An event of a span.
#[derive(Debug, Clone, Copy)]
pub struct EventSource<'a> {
    /// The span.
    pub span: SpanSource<'a>,
    /// The event.
    pub event: &'a Event,
}

impl Source for EventSource<'_> {
    fn read(&self, path: &Path) -> Read<'_> {
        if path.context != Context::SpanEvent {
            return self.span.read(path);
        }
        match &path.field {
            Field::Attribute(key) => of_list(&self.event.attributes, key),
            Field::Name => Read::text(&self.event.name),
            Field::Time => int(self.event.time_unix_nano as i64),
            _ => Read::NOTHING,
        }
    }
}

/// A log record.
#[derive(Debug, Clone, Copy)]
pub struct RecordSource<'a> {
    /// What stands above it.
    pub above: Above<'a>,
    /// The record.
    pub record: &'a LogRecord,
}

impl Source for RecordSource<'_> {
    fn read(&self, path: &Path) -> Read<'_> {
        if path.context != Context::Log {
            return self.above.read(path);
        }
        let record = self.record;
        match &path.field {
            Field::Attribute(key) => of_list(&record.attributes, key),
            Field::Body => Read::any(record.body.as_ref()),
            Field::BodyString => match Read::any(record.body.as_ref()) {
                read @ Read::Plain(Value::Str(_) | Value::Empty) => read,
                read => {
                    Read::Encoded(steadyline_telemetry::ValueKind::Str, text(read.value()).into_owned().into_bytes())
                }
            },
            Field::BodyKey(key) => match record.body.as_ref().and_then(|body| body.value.as_ref()) {
                Some(Any::KvlistValue(map)) => of_list(&map.values, key),
                _ => Read::NOTHING,
            },
            Field::SeverityNumber => int(record.severity_number.into()),
            Field::SeverityText => Read::text(&record.severity_text),
            Field::EventName => Read::text(&record.event_name),
            Field::Time => int(record.time_unix_nano as i64),
            Field::ObservedTime => int(record.observed_time_unix_nano as i64),
            Field::TraceId => hex(&record.trace_id),
            Field::SpanId => hex(&record.span_id),
            Field::Flags => int(record.flags.into()),
            _ => Read::NOTHING,
        }
    }
}

/// Whether a condition about a span or a record holds of one.
pub fn item_holds(condition: &Condition, above: Above<'_>, item: ItemRef<'_>) -> bool {
    match item {
        ItemRef::Span(span) => condition.holds(&SpanSource { above, span }),
        ItemRef::Log(record) => condition.holds(&RecordSource { above, record }),
    }
}

fn int(value: i64) -> Read<'static> {
    Read::Plain(Value::Int(value))
}

fn hex(bytes: &[u8]) -> Read<'static> {
    use std::fmt::Write as _;
    let text = bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Read::Encoded(steadyline_telemetry::ValueKind::Str, text.into_bytes())
}

fn of_list<'a>(list: &'a [KeyValue], key: &str) -> Read<'a> {
    let pair = list.iter().find(|pair| pair.key == key);
    pair.map_or(Read::NOTHING, |pair| Read::any(pair.value.as_ref()))
}

fn of_set<'a>(metrics: &'a Metrics, attributes: Attributes, key: &str) -> Read<'a> {
    let keys = metrics.keys(attributes.shape);
    let at = keys.iter().position(|slot| metrics.bytes(*slot) == key.as_bytes());
    at.map_or(Read::NOTHING, |at| Read::Plain(metrics.value(metrics.values(attributes)[at])))
}
