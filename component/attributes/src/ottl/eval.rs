//! Whether a condition holds.

use std::cmp::Ordering;

use regex::Regex;
use steadyline_telemetry::Value;

use super::path::Path;
use crate::value::{Fixed, Read, text};

/// Something that conditions are about.
pub trait Source {
    /// The value at a path that its context sees; nothing where there is none.
    fn read(&self, path: &Path) -> Read<'_>;

    /// Whether a point of the metric has an attribute, perhaps with a value as text.
    fn has_on_datapoint(&self, _key: &str, _value: Option<&str>) -> bool {
        false
    }
}

#[derive(Debug)]
pub(super) enum Expr {
    Always(bool),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Operand, Comparison, Operand),
    IsMatch(Operand, Regex),
    OnDatapoint { key: String, value: Option<String> },
}

#[derive(Debug)]
pub(super) enum Operand {
    Path(Path),
    Literal(Fixed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(super) fn from_sign(sign: &str) -> Option<Comparison> {
        Some(match sign {
            "==" => Comparison::Equal,
            "!=" => Comparison::Unequal,
            "<" => Comparison::Less,
            "<=" => Comparison::AtMost,
            ">" => Comparison::Greater,
            ">=" => Comparison::AtLeast,
            _ => return None,
        })
    }

    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::Unequal => order != Some(Ordering::Equal),
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Greater => order == Some(Ordering::Greater),
            Comparison::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl Expr {
    pub(super) fn holds(&self, source: &impl Source) -> bool {
        match self {
            Expr::Always(value) => *value,
            Expr::Not(inner) => !inner.holds(source),
            Expr::And(all) => all.iter().all(|inner| inner.holds(source)),
            Expr::Or(any) => any.iter().any(|inner| inner.holds(source)),
            Expr::Compare(left, comparison, right) => {
                let (left, right) = (left.read(source), right.read(source));
                comparison.holds(order(left.value(), right.value()))
            }
            Expr::IsMatch(operand, regex) => match operand.read(source).value() {
                Value::Empty => false,
                value => regex.is_match(&text(value)),
            },
            Expr::OnDatapoint { key, value } => source.has_on_datapoint(key, value.as_deref()),
        }
    }
}

impl Operand {
    fn read<'a>(&'a self, source: &'a impl Source) -> Read<'a> {
        match self {
            Operand::Path(path) => source.read(path),
            Operand::Literal(fixed) => Read::Plain(fixed.value()),
        }
    }
}

/// The order of two values; `None` where they have none. What has no order but is the same is equal.
fn order(left: Value<'_>, right: Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Empty, Value::Empty) => Some(Ordering::Equal),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(&b)),
        (Value::Int(a), Value::Double(b)) => (a as f64).partial_cmp(&b),
        (Value::Double(a), Value::Int(b)) => a.partial_cmp(&(b as f64)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(&b),
        (Value::Str(a), Value::Str(b)) | (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
        (Value::Array(a), Value::Array(b)) | (Value::Map(a), Value::Map(b)) => (a == b).then_some(Ordering::Equal),
        _ => None,
    }
}
