//! The values of expressions and the meaning of every operator on them.
//! Both evaluators, the native one and CEL, call these functions, so that an expression means one thing whichever runs it.
//!
//! `null` is what an absent or NULL attribute is. It equals only itself, every ordering with it is false, in arithmetic it stays `null`,
//! where a condition is asked for it counts as false, and its size is 0.

mod numbers;

use std::borrow::Cow;
use std::cmp::Ordering;

use super::elements::Elements;
use super::{EvalError, Reason};
use crate::item::Attribute;
use crate::number::{self, Number};
use numbers::{arith_float, arith_int, compare_numbers, overflow};

/// What an expression, or a part of one, gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Val<'a> {
    /// Absent, or NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(Cow<'a, str>),
    /// Binary.
    Bytes(Cow<'a, [u8]>),
    /// A list, a set or a map of an item.
    Coll(&'a Attribute),
    /// A list written in the expression.
    List(&'a [Val<'static>]),
    /// Something of CEL's own that has no counterpart here, by the name of its type.
    Other(&'static str),
}

/// An ordering operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Arith {
    /// `+`, which also joins strings
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`: the true quotient, whole only if it is whole
    Div,
    /// `%`
    Rem,
}

/// A test on two strings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StrTest {
    /// `a.contains(b)`
    Contains,
    /// `a.startsWith(b)`
    StartsWith,
    /// `a.endsWith(b)`
    EndsWith,
}

impl<'a> Val<'a> {
    /// An attribute as a value. A number beyond the finite `f64` has a type that is not known.
    pub fn from_attribute(attribute: &'a Attribute) -> Self {
        match attribute {
            Attribute::Text(text) => Val::Str(Cow::Borrowed(text)),
            Attribute::Number(text) => Val::from_number_text(text),
            Attribute::Bool(flag) => Val::Bool(*flag),
            Attribute::Null => Val::Null,
            Attribute::Bytes(blob) => Val::Bytes(Cow::Borrowed(blob)),
            Attribute::List(_)
            | Attribute::Map(_)
            | Attribute::Texts(_)
            | Attribute::Numbers(_)
            | Attribute::Blobs(_) => Val::Coll(attribute),
            Attribute::Other => Val::Other("unknown"),
        }
    }

    /// The text of a number.
    pub fn from_number_text(text: &str) -> Self {
        match number::parse(text).map(|parsed| parsed.number) {
            Some(Number::Int(int)) => Val::Int(int),
            Some(Number::Float(float)) => Val::Float(float),
            None => Val::Other("unknown"),
        }
    }

    /// What `type()` answers: `null`, `bool`, `number`, `string`, `bytes`, `list` (sets too) or `map`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Null => "null",
            Val::Bool(_) => "bool",
            Val::Int(_) | Val::Float(_) => "number",
            Val::Str(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::Coll(Attribute::Map(_)) => "map",
            Val::Coll(_) | Val::List(_) => "list",
            Val::Other(name) => name,
        }
    }

    /// The same value without a copy of its text.
    #[inline]
    pub fn borrowed(&self) -> Val<'_> {
        match self {
            Val::Str(text) => Val::Str(Cow::Borrowed(text)),
            Val::Bytes(bytes) => Val::Bytes(Cow::Borrowed(bytes)),
            Val::Null => Val::Null,
            Val::Bool(flag) => Val::Bool(*flag),
            Val::Int(int) => Val::Int(*int),
            Val::Float(float) => Val::Float(*float),
            Val::Coll(attribute) => Val::Coll(attribute),
            Val::List(list) => Val::List(list),
            Val::Other(name) => Val::Other(name),
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Val::Int(int) => Some(Number::Int(*int)),
            Val::Float(float) => Some(Number::Float(*float)),
            _ => None,
        }
    }

    /// The value where a condition is asked for: `null` counts as false.
    ///
    /// # Errors
    /// [`Reason::WrongType`] for anything but a bool or null.
    #[inline]
    pub fn truth(&self) -> Result<bool, EvalError> {
        match self {
            Val::Bool(flag) => Ok(*flag),
            Val::Null => Ok(false),
            other => Err(wrong_type(format!("a condition is needed here, not a {}", other.type_name()))),
        }
    }

    /// The number of characters, bytes, elements or entries; 0 for null.
    ///
    /// # Errors
    /// [`Reason::WrongType`] for a number or a bool.
    #[inline]
    pub fn size(&self) -> Result<i64, EvalError> {
        let size = match self {
            Val::Null => 0,
            Val::Str(text) => text.chars().count(),
            Val::Bytes(bytes) => bytes.len(),
            Val::List(list) => list.len(),
            Val::Coll(attribute) => attribute_size(attribute),
            other => return Err(wrong_type(format!("a {} has no size", other.type_name()))),
        };
        Ok(size as i64)
    }

    /// `==`: false for values of different types; numbers compare by value, lists and maps element by element.
    pub fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Val::Str(a), Val::Str(b)) => a == b,
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Bytes(a), Val::Bytes(b)) => a == b,
            (Val::Int(_) | Val::Float(_), Val::Int(_) | Val::Float(_)) => {
                compare_numbers(self, other) == Some(Ordering::Equal)
            }
            (Val::Coll(Attribute::Map(a)), Val::Coll(Attribute::Map(b))) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| {
                        b.get(key).is_some_and(|other| Val::from_attribute(value).equals(&Val::from_attribute(other)))
                    })
            }
            _ => match (self.elements(), other.elements()) {
                (Some(mut a), Some(mut b)) => loop {
                    match (a.next(), b.next()) {
                        (None, None) => break true,
                        (Some(a), Some(b)) if a.equals(&b) => {}
                        _ => break false,
                    }
                },
                _ => false,
            },
        }
    }

    /// `self in container`: an element of a list or set, or a key of a map; false in null.
    ///
    /// # Errors
    /// [`Reason::WrongType`] if `container` is none of these.
    pub fn is_in(&self, container: &Val<'_>) -> Result<bool, EvalError> {
        match container {
            Val::Null => Ok(false),
            Val::Coll(Attribute::Map(map)) => Ok(matches!(self, Val::Str(key) if map.contains_key(key.as_ref()))),
            Val::Coll(Attribute::Texts(set)) => {
                Ok(matches!(self, Val::Str(text) if set.iter().any(|element| element == text)))
            }
            _ => match container.elements() {
                Some(mut elements) => Ok(elements.any(|element| self.equals(&element))),
                None => Err(wrong_type(format!("nothing is in a {}", container.type_name()))),
            },
        }
    }

    /// The elements of a list or set.
    fn elements(&self) -> Option<Elements<'_>> {
        match self {
            Val::List(list) => Some(Elements::List(list.iter())),
            Val::Coll(Attribute::List(list)) => Some(Elements::Attributes(list.iter())),
            Val::Coll(Attribute::Texts(set)) => Some(Elements::Strings(set.iter())),
            Val::Coll(Attribute::Numbers(set)) => Some(Elements::Numbers(set.iter())),
            Val::Coll(Attribute::Blobs(set)) => Some(Elements::Blobs(set.iter())),
            _ => None,
        }
    }
}

/// An ordering; false if either side is null or a NaN.
///
/// # Errors
/// [`Reason::WrongType`] for values of different types, and for those that have no order.
#[inline]
pub(super) fn order(operator: Order, left: &Val<'_>, right: &Val<'_>) -> Result<bool, EvalError> {
    let ordering = match (left, right) {
        (Val::Null, _) | (_, Val::Null) => return Ok(false),
        (Val::Int(_) | Val::Float(_), Val::Int(_) | Val::Float(_)) => compare_numbers(left, right),
        (Val::Str(a), Val::Str(b)) => Some(a.cmp(b)),
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
        _ => return Err(wrong_type(format!("a {} and a {} have no order", left.type_name(), right.type_name()))),
    };
    Ok(ordering.is_some_and(|ordering| match operator {
        Order::Less => ordering.is_lt(),
        Order::LessEqual => ordering.is_le(),
        Order::Greater => ordering.is_gt(),
        Order::GreaterEqual => ordering.is_ge(),
    }))
}

/// Arithmetic; null if either side is null. A quotient is whole only if it is whole: 7 / 2 is 3.5, as numbers of items have one type.
///
/// # Errors
/// [`Reason::WrongType`] for what is no number (strings may be added), [`Reason::Overflow`], [`Reason::DivisionByZero`].
pub(super) fn arith<'a>(operator: Arith, left: &Val<'_>, right: &Val<'_>) -> Result<Val<'a>, EvalError> {
    match (left, right) {
        (Val::Null, _) | (_, Val::Null) => Ok(Val::Null),
        (Val::Int(a), Val::Int(b)) => arith_int(operator, *a, *b),
        (Val::Str(a), Val::Str(b)) if operator == Arith::Add => Ok(Val::Str(Cow::Owned(format!("{a}{b}")))),
        _ => match (left.as_number(), right.as_number()) {
            (Some(a), Some(b)) => arith_float(operator, a.as_f64(), b.as_f64()),
            _ => Err(wrong_type(format!(
                "a {} and a {} do not go together in arithmetic",
                left.type_name(),
                right.type_name()
            ))),
        },
    }
}

/// `-x`; null of null.
///
/// # Errors
/// As [`arith`].
pub(super) fn negate<'a>(value: &Val<'_>) -> Result<Val<'a>, EvalError> {
    match value {
        Val::Null => Ok(Val::Null),
        Val::Int(int) => int.checked_neg().map(Val::Int).ok_or_else(overflow),
        Val::Float(float) => Ok(Val::Float(-float)),
        other => Err(wrong_type(format!("a {} cannot be negated", other.type_name()))),
    }
}

/// A test on two strings; null if either is null.
///
/// # Errors
/// [`Reason::WrongType`] for what is no string.
pub(super) fn test_strings<'a>(test: StrTest, left: &Val<'_>, right: &Val<'_>) -> Result<Val<'a>, EvalError> {
    match (left, right) {
        (Val::Null, _) | (_, Val::Null) => Ok(Val::Null),
        (Val::Str(a), Val::Str(b)) => Ok(Val::Bool(match test {
            StrTest::Contains => a.contains(b.as_ref()),
            StrTest::StartsWith => a.starts_with(b.as_ref()),
            StrTest::EndsWith => a.ends_with(b.as_ref()),
        })),
        _ => Err(wrong_type(format!(
            "two strings are needed here, not a {} and a {}",
            left.type_name(),
            right.type_name()
        ))),
    }
}

/// `num(x)`: the number in a number, a bool (0 or 1) or a string; null of null.
///
/// # Errors
/// [`Reason::NotANumber`] for other text, [`Reason::WrongType`] for the rest.
pub fn to_number<'a>(value: &Val<'_>) -> Result<Val<'a>, EvalError> {
    match value {
        Val::Null => Ok(Val::Null),
        Val::Int(int) => Ok(Val::Int(*int)),
        Val::Float(float) => Ok(Val::Float(*float)),
        Val::Bool(flag) => Ok(Val::Int(i64::from(*flag))),
        Val::Str(text) => match Val::from_number_text(text.trim()) {
            Val::Other(_) => Err(EvalError::new(Reason::NotANumber, format!("{:?} holds no number", shorten(text)))),
            number => Ok(number),
        },
        other => Err(wrong_type(format!("a {} is no number", other.type_name()))),
    }
}

/// `date(x)`: Unix seconds of a date in a string; a number is taken as Unix seconds already; null of null.
///
/// # Errors
/// [`Reason::BadDate`] for other text, [`Reason::WrongType`] for the rest.
pub fn to_unix_seconds<'a>(value: &Val<'_>) -> Result<Val<'a>, EvalError> {
    match value {
        Val::Str(text) => super::date::parse(text.trim())
            .map(|number| match number {
                Number::Int(int) => Val::Int(int),
                Number::Float(float) => Val::Float(float),
            })
            .ok_or_else(|| EvalError::new(Reason::BadDate, format!("{:?} is no date", shorten(text)))),
        Val::Null => Ok(Val::Null),
        Val::Int(int) => Ok(Val::Int(*int)),
        Val::Float(float) => Ok(Val::Float(*float)),
        other => Err(wrong_type(format!("a {} is no date", other.type_name()))),
    }
}

/// `string(x)` of anything but a number attribute, whose own text is kept; null of null.
///
/// # Errors
/// [`Reason::WrongType`] for lists, maps and bytes.
pub fn to_text<'a>(value: Val<'a>) -> Result<Val<'a>, EvalError> {
    Ok(match value {
        Val::Null | Val::Str(_) => value,
        Val::Bool(flag) => Val::Str(Cow::Borrowed(if flag { "true" } else { "false" })),
        Val::Int(int) => Val::Str(Cow::Owned(int.to_string())),
        Val::Float(float) => Val::Str(Cow::Owned(float.to_string())),
        other => return Err(wrong_type(format!("a {} has no text", other.type_name()))),
    })
}

/// The size of a list, set or map attribute; strings and binaries too; 0 for NULL.
pub fn attribute_size(attribute: &Attribute) -> usize {
    match attribute {
        Attribute::List(list) => list.len(),
        Attribute::Map(map) => map.len(),
        Attribute::Texts(set) | Attribute::Numbers(set) => set.len(),
        Attribute::Blobs(set) => set.len(),
        Attribute::Text(text) => text.chars().count(),
        Attribute::Bytes(blob) => blob.len(),
        _ => 0,
    }
}

/// `text` cut to what a message can hold.
pub fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(64) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn wrong_type(detail: String) -> EvalError {
    EvalError::new(Reason::WrongType, detail)
}
