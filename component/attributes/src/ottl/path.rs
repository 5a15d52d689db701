//! Paths: which field of which context.

use steadyline_component::config::suggest;

use super::Context;

/// A field that a condition reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Whose field.
    pub context: Context,
    /// Which.
    pub field: Field,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are called what OTLP and OTTL call them")]
pub enum Field {
    /// One attribute.
    Attribute(String),
    /// One entry of a body that is a map.
    BodyKey(String),
    AggregationTemporality,
    Body,
    BodyString,
    Description,
    DroppedAttributes,
    EndTime,
    EventName,
    Flags,
    IsMonotonic,
    Kind,
    KindString,
    Name,
    ObservedTime,
    ParentSpanId,
    SeverityNumber,
    SeverityText,
    SpanId,
    StartTime,
    StatusCode,
    StatusMessage,
    Time,
    TraceId,
    TraceState,
    Type,
    Unit,
    ValueDouble,
    ValueInt,
    Version,
}

/// The fields of a context without a key, by their names.
fn fields(context: Context) -> &'static [(&'static str, Field)] {
    match context {
        Context::Resource => &[("dropped_attributes_count", Field::DroppedAttributes)],
        Context::Scope => &[("name", Field::Name), ("version", Field::Version)],
        Context::Metric => &[
            ("name", Field::Name),
            ("description", Field::Description),
            ("unit", Field::Unit),
            ("type", Field::Type),
            ("aggregation_temporality", Field::AggregationTemporality),
            ("is_monotonic", Field::IsMonotonic),
        ],
        Context::Datapoint => &[
            ("value_int", Field::ValueInt),
            ("value_double", Field::ValueDouble),
            ("time_unix_nano", Field::Time),
            ("start_time_unix_nano", Field::StartTime),
            ("flags", Field::Flags),
        ],
        Context::Span => &[
            ("name", Field::Name),
            ("kind", Field::Kind),
            ("kind.string", Field::KindString),
            ("status.code", Field::StatusCode),
            ("status.message", Field::StatusMessage),
            ("trace_state", Field::TraceState),
            ("trace_id.string", Field::TraceId),
            ("span_id.string", Field::SpanId),
            ("parent_span_id.string", Field::ParentSpanId),
            ("start_time_unix_nano", Field::StartTime),
            ("end_time_unix_nano", Field::EndTime),
        ],
        Context::SpanEvent => &[("name", Field::Name), ("time_unix_nano", Field::Time)],
        Context::Log => &[
            ("body", Field::Body),
            ("body.string", Field::BodyString),
            ("severity_number", Field::SeverityNumber),
            ("severity_text", Field::SeverityText),
            ("event_name", Field::EventName),
            ("time_unix_nano", Field::Time),
            ("observed_time_unix_nano", Field::ObservedTime),
            ("trace_id.string", Field::TraceId),
            ("span_id.string", Field::SpanId),
            ("flags", Field::Flags),
        ],
    }
}

/// The field of a context by the words of a path and the key behind it; the error says what is wrong.
pub(super) fn field(context: Context, words: &str, key: Option<String>) -> Result<Field, String> {
    let has_attributes = context != Context::Metric;
    match (words, key) {
        ("attributes", Some(key)) if has_attributes => return Ok(Field::Attribute(key)),
        ("attributes", None) if has_attributes => {
            return Err("`attributes` needs a key: `attributes[\"key\"]`".into());
        }
        ("body", Some(key)) if context == Context::Log => return Ok(Field::BodyKey(key)),
        (_, Some(_)) => return Err(format!("`{words}` of a {} takes no key", context.name())),
        (_, None) => {}
    }
    if let Some((_, field)) = fields(context).iter().find(|(name, _)| *name == words) {
        return Ok(field.clone());
    }
    let names = fields(context).iter().map(|(name, _)| *name).chain(has_attributes.then_some("attributes"));
    let hint = suggest(words, names).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    Err(format!("unknown path `{words}` of a {}{hint}", context.name()))
}
