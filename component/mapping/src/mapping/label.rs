//! Labels: the text of an attribute or expression. A number keeps its decimal text and never becomes a float on the way.

use std::borrow::Cow;

use crate::expr::{Compiler, EvalError, Expr, ExprError, Reason, Val, to_text};
use crate::item::{Attribute, Path, Row, type_name};

/// A label's name and where its value comes from.
#[derive(Debug)]
pub struct LabelPlan {
    /// The label's name.
    pub name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Path(Path),
    Expr(Expr),
}

/// A label's value; `None` where the attribute is absent or NULL.
pub type LabelValue<'a> = Option<Cow<'a, str>>;

impl LabelPlan {
    /// Text that reads as an attribute path is one (`account-id` too); anything else is CEL.
    ///
    /// # Errors
    /// The text is neither.
    pub fn compile(name: &str, text: &str, compiler: &mut Compiler<'_>) -> Result<Self, ExprError> {
        let source = match Path::parse(text, compiler.names) {
            Ok(path) => Source::Path(path),
            Err(_) => Source::Expr(compiler.expression(text)?),
        };
        Ok(Self { name: name.to_owned(), source })
    }

    /// The name of the top-level attribute that the label repeats as it is, if it does.
    pub fn attribute(&self) -> Option<&str> {
        match &self.source {
            Source::Path(path) => path.as_attribute(),
            Source::Expr(expr) => expr.as_path().and_then(Path::as_attribute),
        }
    }

    /// The value for one item.
    ///
    /// # Errors
    /// Why this item has none.
    #[inline]
    pub fn value<'a>(&'a self, row: &Row<'a>) -> Result<LabelValue<'a>, EvalError> {
        match &self.source {
            Source::Path(path) => match path.resolve(row)? {
                None => Ok(None),
                Some(Attribute::Text(text) | Attribute::Number(text)) => Ok(Some(Cow::Borrowed(text))),
                Some(Attribute::Bool(flag)) => Ok(Some(Cow::Borrowed(if *flag { "true" } else { "false" }))),
                Some(other) => Err(EvalError::new(
                    Reason::WrongType,
                    format!("{path} is a {}, which is no label", type_name(other)),
                )),
            },
            Source::Expr(expr) => match to_text(expr.eval(row)?)? {
                Val::Str(text) => Ok(Some(text)),
                _ => Ok(None),
            },
        }
    }
}

/// Cuts a value at `limit` bytes, between characters; says whether anything was cut.
pub fn truncate(value: &mut LabelValue<'_>, limit: usize) -> bool {
    let Some(text) = value else { return false };
    if text.len() <= limit {
        return false;
    }
    let end = text.floor_char_boundary(limit);
    match text {
        Cow::Borrowed(borrowed) => *text = Cow::Borrowed(&borrowed[..end]),
        Cow::Owned(owned) => owned.truncate(end),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_between_characters() {
        for (text, limit, expected, cut) in
            [("abc", 3, "abc", false), ("abcd", 3, "abc", true), ("aäb", 2, "a", true), ("ä", 1, "", true)]
        {
            let mut borrowed = Some(Cow::Borrowed(text));
            let mut owned = Some(Cow::Owned(text.to_owned()));
            assert_eq!((truncate(&mut borrowed, limit), borrowed.as_deref()), (cut, Some(expected)), "{text}");
            assert_eq!((truncate(&mut owned, limit), owned.as_deref()), (cut, Some(expected)), "{text}");
        }
        assert!(!truncate(&mut None, 0));
    }
}
