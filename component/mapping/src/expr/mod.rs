//! Expressions over items: CEL text, parsed once, run natively where a native form exists and by the CEL interpreter elsewhere.
//! One meaning for both (see [`value`]); a property test holds the two against each other.

mod cel;
mod date;
mod elements;
mod native;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use crate::item::{Names, Path, Row};

pub use date::parse as parse_date;
pub use value::{Val, attribute_size, shorten, to_number, to_text, to_unix_seconds};

/// A compiled expression.
#[derive(Debug)]
pub struct Expr {
    text: String,
    program: Program,
}

#[derive(Debug)]
enum Program {
    Native(native::Node),
    Cel(cel::Program),
}

impl Expr {
    /// The value for one item.
    ///
    /// # Errors
    /// Why this item has none; another item may.
    #[inline]
    pub fn eval<'a>(&'a self, row: &Row<'a>) -> Result<Val<'a>, EvalError> {
        match &self.program {
            Program::Native(node) => node.eval(row),
            Program::Cel(program) => program.eval(row),
        }
    }

    /// The value as a condition: null is false.
    ///
    /// # Errors
    /// As [`Expr::eval`], and if the value is neither bool nor null.
    #[inline]
    pub fn test<'a>(&'a self, row: &Row<'a>) -> Result<bool, EvalError> {
        match &self.program {
            Program::Native(node) => node.test(row),
            Program::Cel(program) => program.eval(row)?.truth(),
        }
    }

    /// The path, if the expression is nothing else.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.program {
            Program::Native(node) => node.as_path(),
            Program::Cel(_) => None,
        }
    }

    /// Whether it runs without the CEL interpreter.
    pub fn is_native(&self) -> bool {
        matches!(self.program, Program::Native(_))
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Compiles expressions against one table of names.
#[derive(Debug)]
pub struct Compiler<'a> {
    /// Collects the attributes that expressions name.
    pub names: &'a mut Names,
    /// The lists of the config; `lists.steps` in an expression stands for the one called `steps`.
    pub lists: &'a BTreeMap<String, Vec<String>>,
}

/// The longest expression that is accepted, in bytes.
const MAX_TEXT: usize = 4096;

impl Compiler<'_> {
    /// Compiles CEL text.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the text and, where one is known, a way out.
    pub fn expression(&mut self, text: &str) -> Result<Expr, ExprError> {
        let tree = self.parse(text)?;
        let program = match native::compile(&tree, self.names) {
            Some(node) => Program::Native(node),
            None => Program::Cel(cel::compile(tree, self.names)?),
        };
        Ok(Expr { text: text.to_owned(), program })
    }

    /// Compiles CEL text for the interpreter even where a native form exists.
    #[cfg(test)]
    fn interpreted(&mut self, text: &str) -> Result<Expr, ExprError> {
        let tree = self.parse(text)?;
        let program = Program::Cel(cel::compile(tree, self.names)?);
        Ok(Expr { text: text.to_owned(), program })
    }

    fn parse(&self, text: &str) -> Result<tree::Tree, ExprError> {
        if text.len() > MAX_TEXT {
            return Err(ExprError::whole(format!(
                "an expression may have {MAX_TEXT} bytes, this one has {}",
                text.len()
            )));
        }
        if text.trim().is_empty() {
            return Err(ExprError::whole("the expression is empty".to_owned()));
        }
        tree::parse(text, self.lists)
    }
}

/// An expression that cannot be compiled.
#[derive(Clone, Debug, Error, PartialEq)]
pub struct ExprError {
    /// What is wrong.
    pub message: String,
    /// Line and column in the expression's text, both from 1, where known.
    pub position: Option<(usize, usize)>,
    /// What to write instead.
    pub help: Option<String>,
}

impl ExprError {
    fn whole(message: String) -> Self {
        Self { message, position: None, help: None }
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((1, column)) => write!(f, "at column {column} of the expression: {}", self.message)?,
            Some((line, column)) => write!(f, "at line {line}, column {column} of the expression: {}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// Why an expression has no value for one item.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{detail}")]
pub struct EvalError {
    /// The reason to count it under.
    pub reason: Reason,
    /// What happened, for the log.
    pub detail: String,
}

impl EvalError {
    /// An error of this reason.
    pub fn new(reason: Reason, detail: String) -> Self {
        Self { reason, detail }
    }
}

/// The reasons under which evaluation fails.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// A value of a type that the operation does not take.
    WrongType,
    /// Text that should hold a number and does not.
    NotANumber,
    /// Text that should hold a date and does not.
    BadDate,
    /// A result beyond what a number holds.
    Overflow,
    /// Division, or remainder, by zero.
    DivisionByZero,
    /// Anything else that CEL refuses.
    Expression,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 6] = [
        Reason::WrongType,
        Reason::NotANumber,
        Reason::BadDate,
        Reason::Overflow,
        Reason::DivisionByZero,
        Reason::Expression,
    ];

    /// The label value of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::WrongType => "wrong_type",
            Reason::NotANumber => "not_a_number",
            Reason::BadDate => "bad_date",
            Reason::Overflow => "overflow",
            Reason::DivisionByZero => "division_by_zero",
            Reason::Expression => "expression_failed",
        }
    }
}
