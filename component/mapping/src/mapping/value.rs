//! Where a metric's number comes from: declared forms read the attribute directly, everything else is an expression.

use std::collections::BTreeMap;

use crate::config::{As, CountOf, ValueConfig};
use crate::expr::{Compiler, EvalError, Expr, ExprError, Reason, Val, attribute_size, parse_date, shorten};
use crate::item::{Attribute, Path, PathSyntaxError, Row, type_name};
use crate::number::{self, Number};

/// A compiled value.
#[derive(Debug)]
pub(super) enum ValuePlan {
    Constant(Number),
    Size(Path),
    Attribute(Path, As),
    Expr(Expr),
}

/// A number, and whether digits of it were lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) number: Number,
    pub(super) lossy: bool,
}

impl From<Number> for Measured {
    fn from(number: Number) -> Self {
        Self { number, lossy: false }
    }
}

impl ValuePlan {
    pub(super) fn compile(config: &ValueConfig, compiler: &mut Compiler<'_>) -> Result<Self, ExprError> {
        Ok(match config {
            ValueConfig::Constant(number) => ValuePlan::Constant(*number),
            ValueConfig::Expression(text) => ValuePlan::Expr(compiler.expression(text)?),
            ValueConfig::Size(text) => ValuePlan::Size(path(text, compiler)?),
            ValueConfig::Attribute(text, read_as) => ValuePlan::Attribute(path(text, compiler)?, *read_as),
            ValueConfig::Date(text) => ValuePlan::Attribute(path(text, compiler)?, As::Date),
            ValueConfig::CountOf(CountOf::Elements(elements)) => ValuePlan::Constant(count(elements)),
            ValueConfig::CountOf(CountOf::Named(name)) => ValuePlan::Constant(count(named_list(name, compiler.lists)?)),
        })
    }

    /// The number for one item; `None` where it is null.
    #[inline]
    pub(super) fn measure(&self, row: &Row<'_>) -> Result<Option<Measured>, EvalError> {
        match self {
            ValuePlan::Constant(number) => Ok(Some((*number).into())),
            ValuePlan::Size(path) => match path.resolve(row)? {
                None => Ok(Some(Number::Int(0).into())),
                Some(attribute) => size(path, attribute).map(Some),
            },
            ValuePlan::Attribute(path, read_as) => match path.resolve(row)? {
                None => Ok(None),
                Some(attribute) => read(path, attribute, *read_as).map(Some),
            },
            ValuePlan::Expr(expr) => number_of(expr, row),
        }
    }
}

/// The number an expression gives, bools as 0 or 1.
pub(super) fn number_of(expr: &Expr, row: &Row<'_>) -> Result<Option<Measured>, EvalError> {
    // A path that names a number is read as an attribute, so that lost digits are noticed.
    if let Some(path) = expr.as_path()
        && let Some(Attribute::Number(text)) = path.resolve(row)?
    {
        return parse_number(path, text).map(Some);
    }
    match expr.eval(row)? {
        Val::Null => Ok(None),
        Val::Int(int) => Ok(Some(Number::Int(int).into())),
        Val::Float(float) => Ok(Some(Number::Float(float).into())),
        Val::Bool(flag) => Ok(Some(Number::Int(i64::from(flag)).into())),
        other => Err(EvalError::new(
            Reason::WrongType,
            format!("{} gives a {}, not a number", expr.text(), other.type_name()),
        )),
    }
}

fn path(text: &str, compiler: &mut Compiler<'_>) -> Result<Path, ExprError> {
    Path::parse(text, compiler.names).map_err(|error: PathSyntaxError| ExprError {
        message: error.to_string(),
        position: None,
        help: Some("an attribute is written as account_id or address.city; an expression goes under `cel`".to_owned()),
    })
}

fn named_list<'c>(name: &str, lists: &'c BTreeMap<String, Vec<String>>) -> Result<&'c [String], ExprError> {
    lists.get(name).map(Vec::as_slice).ok_or_else(|| {
        let known: Vec<&str> = lists.keys().map(String::as_str).collect();
        let help = if known.is_empty() {
            "write the list here, or under `lists`".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        ExprError { message: format!("there is no list {name} under `lists`"), position: None, help: Some(help) }
    })
}

fn count(elements: &[String]) -> Number {
    Number::Int(elements.len() as i64)
}

fn size(path: &Path, attribute: &Attribute) -> Result<Measured, EvalError> {
    match attribute {
        Attribute::Number(_) | Attribute::Bool(_) => Err(wrong_type(path, attribute, "which has no size")),
        _ => Ok(Number::Int(attribute_size(attribute) as i64).into()),
    }
}

fn read(path: &Path, attribute: &Attribute, read_as: As) -> Result<Measured, EvalError> {
    match (read_as, attribute) {
        (As::Auto | As::Number, Attribute::Number(text)) => parse_number(path, text),
        (As::Auto | As::Bool, Attribute::Bool(flag)) => Ok(Number::Int(i64::from(*flag)).into()),
        (As::Auto | As::StringNumber, Attribute::Text(text)) => parse_number(path, text.trim()),
        (As::Date, Attribute::Text(text)) => match parse_date(text.trim()) {
            Some(number) => Ok(number.into()),
            None => Err(EvalError::new(Reason::BadDate, format!("{path} holds {:?}, which is no date", shorten(text)))),
        },
        (As::Date, Attribute::Number(text)) => parse_number(path, text),
        (As::Size, _) => size(path, attribute),
        (As::Number, _) => Err(wrong_type(path, attribute, "not a number")),
        (As::Bool, _) => Err(wrong_type(path, attribute, "not a bool")),
        (As::StringNumber, _) => Err(wrong_type(path, attribute, "not a string that holds a number")),
        (As::Date, _) => Err(wrong_type(path, attribute, "not a date")),
        (As::Auto, _) => Err(wrong_type(path, attribute, "from which no number can be had")),
    }
}

fn parse_number(path: &Path, text: &str) -> Result<Measured, EvalError> {
    match number::parse(text) {
        Some(parsed) => Ok(Measured { number: parsed.number, lossy: parsed.lossy }),
        None => {
            Err(EvalError::new(Reason::NotANumber, format!("{path} holds {:?}, which is no number", shorten(text))))
        }
    }
}

fn wrong_type(path: &Path, attribute: &Attribute, but: &str) -> EvalError {
    EvalError::new(Reason::WrongType, format!("{path} is a {}, {but}", type_name(attribute)))
}
