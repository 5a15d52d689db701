//! The CEL interpreter for what has no native form: macros (`exists`, `all`, `filter`, `map`), regular expressions, times, string functions.
//!
//! The tree is rewritten once ([`rewrite`]) so that operators call the functions of [`super::value`] and attributes become numbered variables;
//! one environment with these functions is shared by the whole process, as building one costs more than a thousand evaluations.

mod functions;
mod rewrite;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp,
};
use cel::common::value::{CowVal, Val as CelVal};
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, IdedExpr, Value};

use super::native::text_of;
use super::tree::Tree;
use super::value::Val;
use super::{EvalError, ExprError, Reason};
use crate::item::{Attribute, Item, Names, Path, Row};

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(functions::environment()));

/// A parser that knows the macros of the environment.
pub(super) fn parser() -> cel::parser::Parser {
    ENV.parser().enable_optional_syntax(false)
}

/// An expression for the interpreter.
#[derive(Debug)]
pub(super) struct Program {
    tree: IdedExpr,
    paths: Vec<Path>,
}

/// Rewrites a tree for the interpreter.
///
/// # Errors
/// An unknown function, or syntax that has no meaning for items.
pub(super) fn compile(tree: Tree, names: &mut Names) -> Result<Program, ExprError> {
    let (tree, paths) = rewrite::rewrite(tree, names)?;
    Ok(Program { tree, paths })
}

impl Program {
    pub(super) fn eval<'a>(&'a self, row: &Row<'a>) -> Result<Val<'a>, EvalError> {
        let bindings = Bindings { row: *row, paths: &self.paths };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&bindings);
        match Value::resolve_val(&self.tree, &context) {
            Ok(value) => Ok(owned(value.as_ref())),
            Err(error) => Err(bindings.explain(error)),
        }
    }
}

/// What the rewritten tree's variables stand for, converted only when asked for.
struct Bindings<'a> {
    row: Row<'a>,
    paths: &'a [Path],
}

/// The variables of a rewritten tree.
#[derive(Clone, Copy)]
enum Variable {
    Path(usize),
    Has(usize),
    Text(usize),
    Item,
    Now,
}

impl Variable {
    fn name(self) -> String {
        match self {
            Variable::Path(index) => format!("@p{index}"),
            Variable::Has(index) => format!("@h{index}"),
            Variable::Text(index) => format!("@t{index}"),
            Variable::Item => "@item".to_owned(),
            Variable::Now => "@now".to_owned(),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "@item" => return Some(Variable::Item),
            "@now" => return Some(Variable::Now),
            _ => {}
        }
        let build = match name.get(..2)? {
            "@p" => Variable::Path,
            "@h" => Variable::Has,
            "@t" => Variable::Text,
            _ => return None,
        };
        name[2..].parse().ok().map(build)
    }
}

impl Bindings<'_> {
    fn value<'b>(&'b self, variable: Variable) -> Result<CowVal<'b, 'b>, EvalError> {
        Ok(match variable {
            Variable::Path(index) => match self.paths[index].resolve(&self.row)? {
                Some(attribute) => CowVal::Owned(from_attribute(attribute)),
                None => CowVal::owned(CelNull),
            },
            Variable::Has(index) => CowVal::owned(CelBool::from(self.paths[index].find(&self.row)?.is_some())),
            Variable::Text(index) => give(text_of(&self.paths[index], &self.row)?),
            Variable::Item => CowVal::owned(map(self.row.item)),
            Variable::Now => CowVal::owned(CelInt::from(self.row.now)),
        })
    }

    /// Turns the interpreter's error into ours. A variable whose value failed looks undeclared to it; the true reason is found by asking again.
    fn explain(&self, error: ExecutionError) -> EvalError {
        match &error {
            ExecutionError::UndeclaredReference(name) => {
                match Variable::parse(name).map(|variable| self.value(variable)) {
                    Some(Err(error)) => error,
                    _ => EvalError::new(Reason::Expression, error.to_string()),
                }
            }
            ExecutionError::FunctionError { function, message } => {
                let reason =
                    Reason::ALL.into_iter().find(|reason| reason.as_str() == function).unwrap_or(Reason::Expression);
                EvalError::new(reason, message.clone())
            }
            ExecutionError::NoSuchOverload(_) | ExecutionError::UnexpectedType { .. } => {
                EvalError::new(Reason::WrongType, error.to_string())
            }
            ExecutionError::Overflow(..) => EvalError::new(Reason::Overflow, error.to_string()),
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                EvalError::new(Reason::DivisionByZero, error.to_string())
            }
            _ => EvalError::new(Reason::Expression, error.to_string()),
        }
    }
}

impl VariableResolver for Bindings<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        self.value(Variable::parse(name)?).ok()
    }
}

/// An attribute as a CEL value; text and binary are borrowed, sets become lists.
fn from_attribute<'v>(attribute: &'v Attribute) -> Box<dyn CelVal + 'v> {
    match attribute {
        Attribute::List(list) => Box::new(CelList::from(list.iter().map(from_attribute).collect::<Vec<_>>())),
        Attribute::Map(fields) => Box::new(map(fields)),
        Attribute::Texts(set) => {
            Box::new(CelList::from(set.iter().map(|text| boxed(Val::Str(Cow::Borrowed(text)))).collect::<Vec<_>>()))
        }
        Attribute::Numbers(set) => {
            Box::new(CelList::from(set.iter().map(|text| boxed(Val::from_number_text(text))).collect::<Vec<_>>()))
        }
        Attribute::Blobs(set) => {
            Box::new(CelList::from(set.iter().map(|blob| boxed(Val::Bytes(Cow::Borrowed(blob)))).collect::<Vec<_>>()))
        }
        scalar => boxed(Val::from_attribute(scalar)),
    }
}

fn map<'a>(fields: &'a Item) -> CelMap<'a> {
    let entry = |(key, value): (&'a str, &'a Attribute)| (CelMapKey::from(key), from_attribute(value));
    CelMap::from(fields.iter().map(entry).collect::<HashMap<_, _>>())
}

fn give<'b, 'v>(value: Val<'v>) -> CowVal<'b, 'v> {
    CowVal::Owned(boxed(value))
}

/// A scalar as a CEL value.
fn boxed<'v>(value: Val<'v>) -> Box<dyn CelVal + 'v> {
    match value {
        Val::Bool(flag) => Box::new(CelBool::from(flag)),
        Val::Int(int) => Box::new(CelInt::from(int)),
        Val::Float(float) => Box::new(CelDouble::from(float)),
        Val::Str(text) => Box::new(CelString::from(text)),
        Val::Bytes(Cow::Borrowed(bytes)) => Box::new(CelBytes::from(bytes)),
        Val::Bytes(Cow::Owned(bytes)) => Box::new(CelBytes::from(bytes)),
        Val::Coll(attribute) => from_attribute(attribute),
        Val::List(list) => Box::new(CelList::from(list.iter().cloned().map(boxed).collect::<Vec<_>>())),
        Val::Null | Val::Other(_) => Box::new(CelNull),
    }
}

/// The interpreter's result as a value of its own: times become Unix seconds, durations seconds.
fn owned<'a>(value: &dyn CelVal) -> Val<'a> {
    if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        let time = time.inner();
        return seconds(time.timestamp(), time.timestamp_subsec_nanos());
    }
    if let Some(duration) = value.downcast_ref::<CelDuration>() {
        let duration = duration.inner();
        return match duration.num_nanoseconds() {
            Some(nanoseconds) if nanoseconds % 1_000_000_000 != 0 => Val::Float(nanoseconds as f64 / 1e9),
            _ => Val::Int(duration.num_seconds()),
        };
    }
    match functions::view(value) {
        Val::Null => Val::Null,
        Val::Bool(flag) => Val::Bool(flag),
        Val::Int(int) => Val::Int(int),
        Val::Float(float) => Val::Float(float),
        Val::Str(text) => Val::Str(Cow::Owned(text.into_owned())),
        Val::Bytes(bytes) => Val::Bytes(Cow::Owned(bytes.into_owned())),
        other => Val::Other(other.type_name()),
    }
}

fn seconds<'a>(whole: i64, nanoseconds: u32) -> Val<'a> {
    match nanoseconds {
        0 => Val::Int(whole),
        _ => Val::Float(whole as f64 + f64::from(nanoseconds) / 1e9),
    }
}
