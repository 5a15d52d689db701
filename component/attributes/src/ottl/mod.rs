//! Conditions as texts: the part of the OpenTelemetry Transformation Language (OTTL) that says yes or no.
//! Parsed once, at load; no condition can fail while data passes.
//!
//! # What is understood
//! - Comparisons `==`, `!=`, `<`, `<=`, `>`, `>=` of paths, texts, integers, floats, `true`, `false`, `nil` and the names of
//!   enumerations (`SPAN_KIND_SERVER`, `STATUS_CODE_ERROR`, `SEVERITY_NUMBER_WARN`, `METRIC_DATA_TYPE_SUM`,
//!   `AGGREGATION_TEMPORALITY_DELTA`). Integers and floats compare as numbers; values of different types are unequal and
//!   in no order; an absent attribute is `nil`.
//! - `and`, `or`, `not`, parentheses, `true`, `false`.
//! - `IsMatch(path, "expression")`: the regular expression matches somewhere in the value as text; never in `nil`. What it says may be
//!   compared with `true` or `false`.
//! - `HasAttrKeyOnDatapoint("key")` and `HasAttrOnDatapoint("key", "value")` where the context is the metric.
//!
//! | context | paths, bare or behind `context.` |
//! |---|---|
//! | `resource` | `attributes["k"]`, `dropped_attributes_count` |
//! | `scope`, `instrumentation_scope` | `name`, `version`, `attributes["k"]` |
//! | `metric` | `name`, `description`, `unit`, `type`, `aggregation_temporality`, `is_monotonic` |
//! | `datapoint` | `attributes["k"]`, `value_int`, `value_double`, `time_unix_nano`, `start_time_unix_nano`, `flags` |
//! | `span` | `name`, `kind`, `kind.string`, `status.code`, `status.message`, `trace_state`, `trace_id.string`, `span_id.string`, `parent_span_id.string`, `start_time_unix_nano`, `end_time_unix_nano`, `attributes["k"]` |
//! | `spanevent` | `name`, `time_unix_nano`, `attributes["k"]` |
//! | `log` | `body`, `body["k"]`, `body.string`, `severity_number`, `severity_text`, `event_name`, `time_unix_nano`, `observed_time_unix_nano`, `trace_id.string`, `span_id.string`, `flags`, `attributes["k"]` |
//!
//! A context sees itself and what stands above it: resource and scope from everywhere, the metric from its points, the span
//! from its events. Everything else of the language (functions, arithmetic, maps and lists, statements that change data) is an
//! error at load that says where it stands.
//!
//! # Room for more
//! Statements that change data come in a later release. They belong beside this: `parse` gives expressions, [`Source`] reads
//! paths; an editor needs a counterpart of [`Source`] that writes, and [`crate::actions`] shows how to do it by shape.

mod eval;
mod lex;
mod parse;
mod path;
mod sources;

use thiserror::Error;

pub use eval::Source;
pub use path::{Field, Path};
pub use sources::{Above, EventSource, MetricSource, PointSource, RecordSource, SpanSource, item_holds};

use eval::Expr;

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// A resource.
    Resource,
    /// An instrumentation scope.
    Scope,
    /// A metric.
    Metric,
    /// A data point.
    Datapoint,
    /// A span.
    Span,
    /// An event of a span.
    SpanEvent,
    /// A log record.
    Log,
}

impl Context {
    /// The context's name in paths and config.
    pub fn name(self) -> &'static str {
        match self {
            Context::Resource => "resource",
            Context::Scope => "scope",
            Context::Metric => "metric",
            Context::Datapoint => "datapoint",
            Context::Span => "span",
            Context::SpanEvent => "spanevent",
            Context::Log => "log",
        }
    }

    /// The context of a name.
    pub fn from_name(name: &str) -> Option<Context> {
        use Context::{Datapoint, Log, Metric, Resource, Scope, Span, SpanEvent};
        match name {
            "instrumentation_scope" => Some(Scope),
            _ => [Resource, Scope, Metric, Datapoint, Span, SpanEvent, Log]
                .into_iter()
                .find(|known| known.name() == name),
        }
    }

    /// Whether a path about `other` has a meaning here.
    pub(crate) fn sees(self, other: Context) -> bool {
        self == other
            || match other {
                Context::Resource => true,
                Context::Scope => self != Context::Resource,
                Context::Metric => self == Context::Datapoint,
                Context::Span => self == Context::SpanEvent,
                Context::Datapoint | Context::SpanEvent | Context::Log => false,
            }
    }
}

/// Why a text is no condition that is understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {message}")]
pub struct OttlError {
    /// Where in the text, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// A condition.
#[derive(Debug)]
pub struct Condition {
    context: Context,
    expr: Expr,
}

impl Condition {
    /// Parses a condition about a context.
    ///
    /// # Errors
    /// What is no OTTL, or not supported.
    pub fn parse(text: &str, context: Context) -> Result<Condition, OttlError> {
        let expr = parse::parse(text, Some(context))?.0;
        Ok(Condition { context, expr })
    }

    /// Parses a condition all of whose paths say their context; the lowest of them is what it is about.
    ///
    /// # Errors
    /// What is no OTTL, or not supported; a path without a context.
    pub fn infer(text: &str) -> Result<Condition, OttlError> {
        let (expr, context) = parse::parse(text, None)?;
        Ok(Condition { context, expr })
    }

    /// What it is about.
    pub fn context(&self) -> Context {
        self.context
    }

    /// Whether it holds.
    pub fn holds(&self, source: &impl Source) -> bool {
        self.expr.holds(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_says_where() {
        let rows = [
            ("", "column 1: expected a condition, found the end"),
            ("name ==", "column 8: expected a value, found the end"),
            ("name = \"x\"", "column 6: expected `==`"),
            ("name == \"x", "column 9: the text has no end"),
            (r#"IsMatch(name, "\d")"#, "column 15: unknown escape `\\d`; a backslash is written `\\\\`"),
            (r#"IsMatch(name, "(")"#, "column 15: not a regular expression: unclosed group"),
            (r#"ParseJSON(name) == nil"#, "column 1: the function `ParseJSON` is not supported yet"),
            ("set(name, \"x\")", "column 1: `set` changes data: statements are not supported yet"),
            ("name == \"x\" foo", "column 13: expected `and`, `or` or the end, found `foo`"),
            ("(name == \"x\"", "column 13: expected `)`, found the end"),
            ("nmae == \"x\"", "column 1: unknown path `nmae` of a span; did you mean `name`?"),
            ("metric.name == \"x\"", "column 1: a condition about a span does not see `metric`"),
            ("attributes == nil", "column 1: `attributes` needs a key: `attributes[\"key\"]`"),
            ("attributes[\"a\"][\"b\"] == 1", "column 16: keys inside of values are not supported yet"),
            ("attributes[0] == 1", "column 12: expected a key in quotes, found `0`"),
            ("name", "column 5: expected a comparison, found the end"),
            ("1 + 1 == 2", "column 3: arithmetic is not supported yet"),
            ("kind == SPAN_KIND_FOO", "column 9: unknown name `SPAN_KIND_FOO`"),
            ("HasAttrKeyOnDatapoint(\"a\")", "column 1: `HasAttrKeyOnDatapoint` is about the points of a metric"),
            ("IsMatch(name, \"x\") == 1", "column 23: expected `true` or `false`, found `1`"),
            ("name == [1]", "column 9: lists and maps are not supported yet"),
            ("name == 99999999999999999999", "column 9: the number `99999999999999999999` is too large"),
        ];
        for (text, expected) in rows {
            assert_eq!(Condition::parse(text, Context::Span).unwrap_err().to_string(), expected, "{text}");
        }
        let deep = "(".repeat(5000) + "true" + &")".repeat(5000);
        assert!(Condition::parse(&deep, Context::Span).unwrap_err().message.contains("too deep"));
    }

    #[test]
    fn the_context_is_the_lowest_that_is_named() {
        let context = |text| Condition::infer(text).map(|condition| condition.context());
        let rows = [
            (r#"resource.attributes["a"] == 1"#, Context::Resource),
            (r#"resource.attributes["a"] == 1 and metric.name == "x""#, Context::Metric),
            (r#"metric.name == "x" or datapoint.value_int > 1"#, Context::Datapoint),
            (r#"span.name == "x" and spanevent.name == "y""#, Context::SpanEvent),
            (r#"log.severity_number < SEVERITY_NUMBER_WARN"#, Context::Log),
            (r#"scope.name == "x""#, Context::Scope),
            (r#"HasAttrKeyOnDatapoint("x") and resource.attributes["a"] == 1"#, Context::Metric),
        ];
        for (text, expected) in rows {
            assert_eq!(context(text), Ok(expected), "{text}");
        }
        let error = |text| context(text).unwrap_err().to_string();
        assert_eq!(error("name == \"x\""), "column 1: say what `name` is about: `metric.name`, `span.name`, ...");
        assert!(error("log.body == \"x\" and span.name == \"y\"").contains("`span` and `log` do not go together"));
    }
}
