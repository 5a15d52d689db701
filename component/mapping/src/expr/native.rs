//! The native evaluator: the common part of CEL as a tree of enums that borrows from the item and allocates nothing.
//! [`compile`] answers `None` for whatever it has no form for; the CEL interpreter then takes the whole expression.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, operators};
use std::borrow::Cow;

use super::EvalError;
use super::tree::{self, Tree};
use super::value::{self, Arith, Order, StrTest, Val};
use crate::item::{Attribute, Names, Path, Row};

/// One operation.
#[derive(Debug)]
pub(super) enum Node {
    Const(Val<'static>),
    List(Vec<Val<'static>>),
    Path(Path),
    Has(Path),
    /// `string(path)`: a number keeps its own text.
    TextOf(Path),
    Text(Box<Node>),
    Number(Box<Node>),
    Date(Box<Node>),
    TypeOf(Box<Node>),
    Size(Box<Node>),
    Now,
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Equals(Box<Node>, Box<Node>),
    Differs(Box<Node>, Box<Node>),
    Order(Order, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Arith(Arith, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    StrTest(StrTest, Box<Node>, Box<Node>),
    Cond(Box<Node>, Box<Node>, Box<Node>),
}

impl Node {
    pub(super) fn as_path(&self) -> Option<&Path> {
        match self {
            Node::Path(path) => Some(path),
            _ => None,
        }
    }

    pub(super) fn test<'a>(&'a self, row: &Row<'a>) -> Result<bool, EvalError> {
        match self {
            Node::Not(inner) => Ok(!inner.test(row)?),
            Node::And(left, right) => both(left.test(row), || right.test(row)),
            Node::Or(left, right) => either(left.test(row), || right.test(row)),
            Node::Equals(left, right) => Ok(left.eval(row)?.equals(&right.eval(row)?)),
            Node::Differs(left, right) => Ok(!left.eval(row)?.equals(&right.eval(row)?)),
            Node::Order(operator, left, right) => value::order(*operator, &left.eval(row)?, &right.eval(row)?),
            Node::In(element, container) => element.eval(row)?.is_in(&container.eval(row)?),
            Node::Has(path) => Ok(path.find(row)?.is_some()),
            _ => self.eval(row)?.truth(),
        }
    }

    pub(super) fn eval<'a>(&'a self, row: &Row<'a>) -> Result<Val<'a>, EvalError> {
        match self {
            Node::Const(constant) => Ok(constant.borrowed()),
            Node::List(list) => Ok(Val::List(list)),
            Node::Path(path) => Ok(path.resolve(row)?.map_or(Val::Null, Val::from_attribute)),
            Node::TextOf(path) => text_of(path, row),
            Node::Text(inner) => value::to_text(inner.eval(row)?),
            Node::Number(inner) => value::to_number(&inner.eval(row)?),
            Node::Date(inner) => value::to_unix_seconds(&inner.eval(row)?),
            Node::TypeOf(inner) => Ok(Val::Str(Cow::Borrowed(inner.eval(row)?.type_name()))),
            Node::Size(inner) => inner.eval(row)?.size().map(Val::Int),
            Node::Now => Ok(Val::Int(row.now)),
            Node::Arith(operator, left, right) => value::arith(*operator, &left.eval(row)?, &right.eval(row)?),
            Node::Negate(inner) => value::negate(&inner.eval(row)?),
            Node::StrTest(test, left, right) => value::test_strings(*test, &left.eval(row)?, &right.eval(row)?),
            Node::Cond(condition, then, otherwise) => {
                if condition.test(row)? {
                    then.eval(row)
                } else {
                    otherwise.eval(row)
                }
            }
            Node::Not(_)
            | Node::And(..)
            | Node::Or(..)
            | Node::Equals(..)
            | Node::Differs(..)
            | Node::Order(..)
            | Node::In(..)
            | Node::Has(_) => self.test(row).map(Val::Bool),
        }
    }
}

/// `&&` as CEL has it: an error on one side is no error if the other side is false.
fn both(left: Result<bool, EvalError>, right: impl FnOnce() -> Result<bool, EvalError>) -> Result<bool, EvalError> {
    match left {
        Ok(false) => Ok(false),
        Ok(true) => right(),
        Err(error) => {
            if right()? {
                Err(error)
            } else {
                Ok(false)
            }
        }
    }
}

/// `||` as CEL has it: an error on one side is no error if the other side is true.
fn either(left: Result<bool, EvalError>, right: impl FnOnce() -> Result<bool, EvalError>) -> Result<bool, EvalError> {
    match left {
        Ok(true) => Ok(true),
        Ok(false) => right(),
        Err(error) => {
            if right()? {
                Ok(true)
            } else {
                Err(error)
            }
        }
    }
}

/// The text of an attribute; a number's digits as they are stored.
pub(super) fn text_of<'a>(path: &Path, row: &Row<'a>) -> Result<Val<'a>, EvalError> {
    match path.resolve(row)? {
        None => Ok(Val::Null),
        Some(Attribute::Number(text)) => Ok(Val::Str(Cow::Borrowed(text))),
        Some(attribute) => value::to_text(Val::from_attribute(attribute)),
    }
}

/// The native form of a tree, if it has one.
pub(super) fn compile(tree: &Tree, names: &mut Names) -> Option<Node> {
    node(&tree.root, names)
}

fn node(expr: &IdedExpr, names: &mut Names) -> Option<Node> {
    if let Some(path) = tree::path_of(&expr.expr, &[], names) {
        return (!path.is_whole_item()).then_some(Node::Path(path));
    }
    match &expr.expr {
        Expr::Literal(literal) => Some(Node::Const(tree::literal(literal))),
        Expr::List(list) if list.optional_indices.is_empty() => {
            list.elements.iter().map(constant).collect::<Option<_>>().map(Node::List)
        }
        Expr::Select(select) if select.test => {
            let operand = tree::path_of(&select.operand.expr, &[], names)?;
            let path = if operand.is_whole_item() {
                Path::attribute(names, &select.field)
            } else {
                operand.then(crate::item::Segment::Key(select.field.clone()))
            };
            Some(Node::Has(path))
        }
        Expr::Call(call) => call_node(call, names),
        _ => None,
    }
}

fn constant(expr: &IdedExpr) -> Option<Val<'static>> {
    match &expr.expr {
        Expr::Literal(literal) => Some(tree::literal(literal)),
        Expr::Call(CallExpr { func_name, target: None, args }) if func_name == operators::NEGATE => {
            value::negate(&constant(args.first()?)?).ok()
        }
        _ => None,
    }
}

fn call_node(call: &CallExpr, names: &mut Names) -> Option<Node> {
    let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
    let is_method = call.target.is_some();
    let name = call.func_name.as_str();
    match (name, operands.as_slice()) {
        ("now", []) => Some(Node::Now),
        ("string", [operand]) if !is_method => match node(operand, names)? {
            Node::Path(path) => Some(Node::TextOf(path)),
            inner => Some(Node::Text(Box::new(inner))),
        },
        ("size", [operand]) => unary(Node::Size, operand, names),
        ("num", [operand]) if !is_method => unary(Node::Number, operand, names),
        ("date", [operand]) if !is_method => unary(Node::Date, operand, names),
        ("type", [operand]) if !is_method => unary(Node::TypeOf, operand, names),
        (operators::LOGICAL_NOT, [operand]) => unary(Node::Not, operand, names),
        (operators::NEGATE, [operand]) => unary(Node::Negate, operand, names),
        (operators::CONDITIONAL, [condition, then, otherwise]) => Some(Node::Cond(
            Box::new(node(condition, names)?),
            Box::new(node(then, names)?),
            Box::new(node(otherwise, names)?),
        )),
        (_, [left, right]) => {
            let build = binary(name, is_method)?;
            Some(build(Box::new(node(left, names)?), Box::new(node(right, names)?)))
        }
        _ => None,
    }
}

fn unary(build: fn(Box<Node>) -> Node, operand: &IdedExpr, names: &mut Names) -> Option<Node> {
    Some(build(Box::new(node(operand, names)?)))
}

/// Makes a node of two operands.
type Binary = fn(Box<Node>, Box<Node>) -> Node;

fn binary(name: &str, is_method: bool) -> Option<Binary> {
    Some(match (name, is_method) {
        (operators::LOGICAL_AND, false) => Node::And,
        (operators::LOGICAL_OR, false) => Node::Or,
        (operators::EQUALS, false) => Node::Equals,
        (operators::NOT_EQUALS, false) => Node::Differs,
        (operators::LESS, false) => |a, b| Node::Order(Order::Less, a, b),
        (operators::LESS_EQUALS, false) => |a, b| Node::Order(Order::LessEqual, a, b),
        (operators::GREATER, false) => |a, b| Node::Order(Order::Greater, a, b),
        (operators::GREATER_EQUALS, false) => |a, b| Node::Order(Order::GreaterEqual, a, b),
        (operators::IN, false) => Node::In,
        (operators::ADD, false) => |a, b| Node::Arith(Arith::Add, a, b),
        (operators::SUBSTRACT, false) => |a, b| Node::Arith(Arith::Sub, a, b),
        (operators::MULTIPLY, false) => |a, b| Node::Arith(Arith::Mul, a, b),
        (operators::DIVIDE, false) => |a, b| Node::Arith(Arith::Div, a, b),
        (operators::MODULO, false) => |a, b| Node::Arith(Arith::Rem, a, b),
        ("contains", true) => |a, b| Node::StrTest(StrTest::Contains, a, b),
        ("startsWith", true) => |a, b| Node::StrTest(StrTest::StartsWith, a, b),
        ("endsWith", true) => |a, b| Node::StrTest(StrTest::EndsWith, a, b),
        _ => return None,
    })
}
