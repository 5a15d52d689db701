//! The messages of OTLP 1.x as tables: which JSON key is which field of which type.
//! Source: opentelemetry-proto v1.9: `common`, `resource`, `metrics`, `trace`, `logs` and their collector requests.

/// A message: its fields.
#[derive(Debug)]
pub(super) struct Message(pub(super) &'static [Field]);

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// The name in JSON.
    pub(super) json: &'static str,
    /// The name in the `.proto` file, which readers must know too.
    pub(super) proto: &'static str,
    /// The field's number.
    pub(super) number: u32,
    /// What it holds.
    pub(super) kind: Kind,
    /// Whether it is a list.
    pub(super) repeated: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes in base64.
    Base64,
    /// Bytes in hex: trace and span ids.
    Hex,
    /// `true` or `false`.
    Bool,
    /// int32 and int64, as varints.
    Int,
    /// uint32 and uint64, as varints; the bits.
    Uint(u32),
    /// sint32, as a zigzag varint.
    Sint,
    /// fixed64.
    Fixed64,
    /// sfixed64.
    Sfixed64,
    /// fixed32.
    Fixed32,
    /// A double; `NaN` and the infinities as text.
    Double,
    /// An enum: names by number.
    Enum(&'static [&'static str]),
    /// A message.
    Message(&'static Message),
}

use Kind::{Base64, Bool, Double, Enum, Fixed32, Fixed64, Hex, Int, Sfixed64, Sint, Text, Uint};

const fn one(json: &'static str, proto: &'static str, number: u32, kind: Kind) -> Field {
    Field { json, proto, number, kind, repeated: false }
}

const fn many(json: &'static str, proto: &'static str, number: u32, kind: Kind) -> Field {
    Field { json, proto, number, kind, repeated: true }
}

const fn message(of: &'static Message) -> Kind {
    Kind::Message(of)
}

pub(super) static METRICS: Message =
    Message(&[many("resourceMetrics", "resource_metrics", 1, message(&RESOURCE_METRICS))]);
pub(super) static TRACES: Message = Message(&[many("resourceSpans", "resource_spans", 1, message(&RESOURCE_SPANS))]);
pub(super) static LOGS: Message = Message(&[many("resourceLogs", "resource_logs", 1, message(&RESOURCE_LOGS))]);

static ANY_VALUE: Message = Message(&[
    one("stringValue", "string_value", 1, Text),
    one("boolValue", "bool_value", 2, Bool),
    one("intValue", "int_value", 3, Int),
    one("doubleValue", "double_value", 4, Double),
    one("arrayValue", "array_value", 5, message(&ARRAY_VALUE)),
    one("kvlistValue", "kvlist_value", 6, message(&KEY_VALUE_LIST)),
    one("bytesValue", "bytes_value", 7, Base64),
]);
static ARRAY_VALUE: Message = Message(&[many("values", "values", 1, message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Message = Message(&[many("values", "values", 1, message(&KEY_VALUE))]);
static KEY_VALUE: Message = Message(&[one("key", "key", 1, Text), one("value", "value", 2, message(&ANY_VALUE))]);
static SCOPE: Message = Message(&[
    one("name", "name", 1, Text),
    one("version", "version", 2, Text),
    many("attributes", "attributes", 3, message(&KEY_VALUE)),
    one("droppedAttributesCount", "dropped_attributes_count", 4, Uint(32)),
]);
static ENTITY_REF: Message = Message(&[
    one("schemaUrl", "schema_url", 1, Text),
    one("type", "type", 2, Text),
    many("idKeys", "id_keys", 3, Text),
    many("descriptionKeys", "description_keys", 4, Text),
]);
static RESOURCE: Message = Message(&[
    many("attributes", "attributes", 1, message(&KEY_VALUE)),
    one("droppedAttributesCount", "dropped_attributes_count", 2, Uint(32)),
    many("entityRefs", "entity_refs", 3, message(&ENTITY_REF)),
]);

static RESOURCE_METRICS: Message = Message(&[
    one("resource", "resource", 1, message(&RESOURCE)),
    many("scopeMetrics", "scope_metrics", 2, message(&SCOPE_METRICS)),
    one("schemaUrl", "schema_url", 3, Text),
]);
static SCOPE_METRICS: Message = Message(&[
    one("scope", "scope", 1, message(&SCOPE)),
    many("metrics", "metrics", 2, message(&METRIC)),
    one("schemaUrl", "schema_url", 3, Text),
]);
static METRIC: Message = Message(&[
    one("name", "name", 1, Text),
    one("description", "description", 2, Text),
    one("unit", "unit", 3, Text),
    one("gauge", "gauge", 5, message(&GAUGE)),
    one("sum", "sum", 7, message(&SUM)),
    one("histogram", "histogram", 9, message(&HISTOGRAM)),
    one("exponentialHistogram", "exponential_histogram", 10, message(&EXPONENTIAL_HISTOGRAM)),
    one("summary", "summary", 11, message(&SUMMARY)),
    many("metadata", "metadata", 12, message(&KEY_VALUE)),
]);
const TEMPORALITY: Kind = Enum(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);
static GAUGE: Message = Message(&[many("dataPoints", "data_points", 1, message(&NUMBER_POINT))]);
static SUM: Message = Message(&[
    many("dataPoints", "data_points", 1, message(&NUMBER_POINT)),
    one("aggregationTemporality", "aggregation_temporality", 2, TEMPORALITY),
    one("isMonotonic", "is_monotonic", 3, Bool),
]);
static HISTOGRAM: Message = Message(&[
    many("dataPoints", "data_points", 1, message(&HISTOGRAM_POINT)),
    one("aggregationTemporality", "aggregation_temporality", 2, TEMPORALITY),
]);
static EXPONENTIAL_HISTOGRAM: Message = Message(&[
    many("dataPoints", "data_points", 1, message(&EXPONENTIAL_POINT)),
    one("aggregationTemporality", "aggregation_temporality", 2, TEMPORALITY),
]);
static SUMMARY: Message = Message(&[many("dataPoints", "data_points", 1, message(&SUMMARY_POINT))]);
static NUMBER_POINT: Message = Message(&[
    one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
    one("timeUnixNano", "time_unix_nano", 3, Fixed64),
    one("asDouble", "as_double", 4, Double),
    many("exemplars", "exemplars", 5, message(&EXEMPLAR)),
    one("asInt", "as_int", 6, Sfixed64),
    many("attributes", "attributes", 7, message(&KEY_VALUE)),
    one("flags", "flags", 8, Uint(32)),
]);
static HISTOGRAM_POINT: Message = Message(&[
    one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
    one("timeUnixNano", "time_unix_nano", 3, Fixed64),
    one("count", "count", 4, Fixed64),
    one("sum", "sum", 5, Double),
    many("bucketCounts", "bucket_counts", 6, Fixed64),
    many("explicitBounds", "explicit_bounds", 7, Double),
    many("exemplars", "exemplars", 8, message(&EXEMPLAR)),
    many("attributes", "attributes", 9, message(&KEY_VALUE)),
    one("flags", "flags", 10, Uint(32)),
    one("min", "min", 11, Double),
    one("max", "max", 12, Double),
]);
static EXPONENTIAL_POINT: Message = Message(&[
    many("attributes", "attributes", 1, message(&KEY_VALUE)),
    one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
    one("timeUnixNano", "time_unix_nano", 3, Fixed64),
    one("count", "count", 4, Fixed64),
    one("sum", "sum", 5, Double),
    one("scale", "scale", 6, Sint),
    one("zeroCount", "zero_count", 7, Fixed64),
    one("positive", "positive", 8, message(&BUCKETS)),
    one("negative", "negative", 9, message(&BUCKETS)),
    one("flags", "flags", 10, Uint(32)),
    many("exemplars", "exemplars", 11, message(&EXEMPLAR)),
    one("min", "min", 12, Double),
    one("max", "max", 13, Double),
    one("zeroThreshold", "zero_threshold", 14, Double),
]);
static BUCKETS: Message =
    Message(&[one("offset", "offset", 1, Sint), many("bucketCounts", "bucket_counts", 2, Uint(64))]);
static SUMMARY_POINT: Message = Message(&[
    one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
    one("timeUnixNano", "time_unix_nano", 3, Fixed64),
    one("count", "count", 4, Fixed64),
    one("sum", "sum", 5, Double),
    many("quantileValues", "quantile_values", 6, message(&QUANTILE)),
    many("attributes", "attributes", 7, message(&KEY_VALUE)),
    one("flags", "flags", 8, Uint(32)),
]);
static QUANTILE: Message = Message(&[one("quantile", "quantile", 1, Double), one("value", "value", 2, Double)]);
static EXEMPLAR: Message = Message(&[
    one("timeUnixNano", "time_unix_nano", 2, Fixed64),
    one("asDouble", "as_double", 3, Double),
    one("spanId", "span_id", 4, Hex),
    one("traceId", "trace_id", 5, Hex),
    one("asInt", "as_int", 6, Sfixed64),
    many("filteredAttributes", "filtered_attributes", 7, message(&KEY_VALUE)),
]);

static RESOURCE_SPANS: Message = Message(&[
    one("resource", "resource", 1, message(&RESOURCE)),
    many("scopeSpans", "scope_spans", 2, message(&SCOPE_SPANS)),
    one("schemaUrl", "schema_url", 3, Text),
]);
static SCOPE_SPANS: Message = Message(&[
    one("scope", "scope", 1, message(&SCOPE)),
    many("spans", "spans", 2, message(&SPAN)),
    one("schemaUrl", "schema_url", 3, Text),
]);
const SPAN_KIND: Kind = Enum(&[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
]);
static SPAN: Message = Message(&[
    one("traceId", "trace_id", 1, Hex),
    one("spanId", "span_id", 2, Hex),
    one("traceState", "trace_state", 3, Text),
    one("parentSpanId", "parent_span_id", 4, Hex),
    one("name", "name", 5, Text),
    one("kind", "kind", 6, SPAN_KIND),
    one("startTimeUnixNano", "start_time_unix_nano", 7, Fixed64),
    one("endTimeUnixNano", "end_time_unix_nano", 8, Fixed64),
    many("attributes", "attributes", 9, message(&KEY_VALUE)),
    one("droppedAttributesCount", "dropped_attributes_count", 10, Uint(32)),
    many("events", "events", 11, message(&EVENT)),
    one("droppedEventsCount", "dropped_events_count", 12, Uint(32)),
    many("links", "links", 13, message(&LINK)),
    one("droppedLinksCount", "dropped_links_count", 14, Uint(32)),
    one("status", "status", 15, message(&STATUS)),
    one("flags", "flags", 16, Fixed32),
]);
static EVENT: Message = Message(&[
    one("timeUnixNano", "time_unix_nano", 1, Fixed64),
    one("name", "name", 2, Text),
    many("attributes", "attributes", 3, message(&KEY_VALUE)),
    one("droppedAttributesCount", "dropped_attributes_count", 4, Uint(32)),
]);
static LINK: Message = Message(&[
    one("traceId", "trace_id", 1, Hex),
    one("spanId", "span_id", 2, Hex),
    one("traceState", "trace_state", 3, Text),
    many("attributes", "attributes", 4, message(&KEY_VALUE)),
    one("droppedAttributesCount", "dropped_attributes_count", 5, Uint(32)),
    one("flags", "flags", 6, Fixed32),
]);
static STATUS: Message = Message(&[
    one("message", "message", 2, Text),
    one("code", "code", 3, Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"])),
]);

static RESOURCE_LOGS: Message = Message(&[
    one("resource", "resource", 1, message(&RESOURCE)),
    many("scopeLogs", "scope_logs", 2, message(&SCOPE_LOGS)),
    one("schemaUrl", "schema_url", 3, Text),
]);
static SCOPE_LOGS: Message = Message(&[
    one("scope", "scope", 1, message(&SCOPE)),
    many("logRecords", "log_records", 2, message(&LOG_RECORD)),
    one("schemaUrl", "schema_url", 3, Text),
]);
const SEVERITY: Kind = Enum(&[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
]);
static LOG_RECORD: Message = Message(&[
    one("timeUnixNano", "time_unix_nano", 1, Fixed64),
    one("severityNumber", "severity_number", 2, SEVERITY),
    one("severityText", "severity_text", 3, Text),
    one("body", "body", 5, message(&ANY_VALUE)),
    many("attributes", "attributes", 6, message(&KEY_VALUE)),
    one("droppedAttributesCount", "dropped_attributes_count", 7, Uint(32)),
    one("flags", "flags", 8, Fixed32),
    one("traceId", "trace_id", 9, Hex),
    one("spanId", "span_id", 10, Hex),
    one("observedTimeUnixNano", "observed_time_unix_nano", 11, Fixed64),
    one("eventName", "event_name", 12, Text),
]);
