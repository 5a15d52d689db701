//! Rewrites a parsed expression for the interpreter: attributes become numbered variables, operators and a few functions become ours,
//! and every other function or method answers null for null instead of failing.

use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};
use cel::common::types::CelString;

use super::Variable;
use crate::expr::ExprError;
use crate::expr::tree::{self, Tree};
use crate::item::{Names, Path, Segment};

/// The functions of CEL's library that work on items, besides those we bring ourselves.
const GLOBALS: &[&str] =
    &["bool", "bytes", "double", "duration", "dyn", "int", "matches", "timestamp", "uint", "math.@max", "math.@min"];
/// The functions we bring ourselves, and how the rewritten tree calls them.
const OURS: &[(&str, &str)] =
    &[("date", "@date"), ("num", "@num"), ("size", "@size"), ("string", "@string"), ("type", "@type")];
/// What only macros and the parser make names of, for suggestions.
const MACROS: &[&str] = &["has", "now", "all", "exists", "exists_one", "filter", "map"];
/// The methods of CEL's library.
const METHODS: &[&str] = &[
    "charAt",
    "distinct",
    "flatten",
    "format",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "indexOf",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "matches",
    "replace",
    "reverse",
    "slice",
    "sort",
    "split",
    "substring",
    "trim",
    "upperAscii",
];
/// Methods that have a meaning of ours.
const OUR_METHODS: &[(&str, &str)] =
    &[("contains", "@contains"), ("endsWith", "@endsWith"), ("size", "@size"), ("startsWith", "@startsWith")];
/// Prefixes of functions, such as `math.greatest`.
const NAMESPACES: &[&str] = &["lists", "math", "strings"];

const OPERATORS: &[(&str, &str)] = &[
    (operators::EQUALS, "@eq"),
    (operators::NOT_EQUALS, "@ne"),
    (operators::LESS, "@lt"),
    (operators::LESS_EQUALS, "@le"),
    (operators::GREATER, "@gt"),
    (operators::GREATER_EQUALS, "@ge"),
    (operators::IN, "@contained"),
    (operators::ADD, "@add"),
    (operators::SUBSTRACT, "@sub"),
    (operators::MULTIPLY, "@mul"),
    (operators::DIVIDE, "@div"),
    (operators::MODULO, "@rem"),
    (operators::NEGATE, "@neg"),
    (operators::INDEX, "@index"),
];

/// The rewritten tree and the paths its variables number.
pub(super) fn rewrite(tree: Tree, names: &mut Names) -> Result<(IdedExpr, Vec<Path>), ExprError> {
    let mut rewriter = Rewriter { tree: &tree, names, paths: Vec::new(), bound: Vec::new() };
    let root = rewriter.node(&tree.root)?;
    Ok((root, rewriter.paths))
}

struct Rewriter<'t, 'n> {
    tree: &'t Tree,
    names: &'n mut Names,
    paths: Vec<Path>,
    /// The variables of the macros around the current node.
    bound: Vec<String>,
}

impl Rewriter<'_, '_> {
    fn node(&mut self, node: &IdedExpr) -> Result<IdedExpr, ExprError> {
        if let Some(path) = tree::path_of(&node.expr, &self.bound, self.names) {
            return Ok(ident(
                node.id,
                if path.is_whole_item() { Variable::Item } else { self.number(path, Variable::Path) },
            ));
        }
        let expr = match &node.expr {
            Expr::Select(select) => return self.select(node.id, select),
            Expr::Call(call) => return self.call(node.id, call),
            Expr::Comprehension(comprehension) => Expr::Comprehension(Box::new(self.comprehension(comprehension)?)),
            Expr::List(list) => {
                Expr::List(ListExpr::new_with_optionals(self.nodes(&list.elements)?, list.optional_indices.clone()))
            }
            Expr::Map(map) => Expr::Map(self.map(map)?),
            Expr::Struct(structure) => {
                return Err(self.tree.error(node.id, format!("an item has no type {}", structure.type_name), None));
            }
            Expr::Literal(_) | Expr::Ident(_) => node.expr.clone(),
            Expr::Unspecified => return Err(self.tree.error(node.id, "the expression is incomplete".to_owned(), None)),
        };
        Ok(IdedExpr { id: node.id, expr })
    }

    fn nodes(&mut self, nodes: &[IdedExpr]) -> Result<Vec<IdedExpr>, ExprError> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn number(&mut self, path: Path, variable: fn(usize) -> Variable) -> Variable {
        let index = self.paths.iter().position(|known| *known == path).unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        });
        variable(index)
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Result<IdedExpr, ExprError> {
        if select.test
            && let Some(operand) = tree::path_of(&select.operand.expr, &self.bound, self.names)
        {
            let path = if operand.is_whole_item() {
                Path::attribute(self.names, &select.field)
            } else {
                operand.then(Segment::Key(select.field.clone()))
            };
            return Ok(ident(id, self.number(path, Variable::Has)));
        }
        let field = IdedExpr { id, expr: Expr::Literal(LiteralValue::String(CelString::from(select.field.clone()))) };
        let operand = self.node(&select.operand)?;
        Ok(call(id, if select.test { "@has" } else { "@get" }, vec![operand, field]))
    }

    fn map(&mut self, map: &MapExpr) -> Result<MapExpr, ExprError> {
        let mut rewritten = map.clone();
        for entry in &mut rewritten.entries {
            if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                entry.key = self.node(&entry.key)?;
                entry.value = self.node(&entry.value)?;
            }
        }
        Ok(rewritten)
    }

    fn comprehension(&mut self, c: &ComprehensionExpr) -> Result<ComprehensionExpr, ExprError> {
        let range = self.node(&c.iter_range)?;
        let mut rewritten = ComprehensionExpr {
            iter_range: call(range.id, "@iterable", vec![range]),
            accu_init: self.node(&c.accu_init)?,
            ..c.clone()
        };
        let outside = self.bound.len();
        self.bound.push(c.iter_var.clone());
        self.bound.extend(c.iter_var2.clone());
        rewritten.loop_cond = self.node(&c.loop_cond)?;
        rewritten.loop_step = self.node(&c.loop_step)?;
        rewritten.result = self.node(&c.result)?;
        self.bound.truncate(outside);
        Ok(rewritten)
    }

    fn call(&mut self, id: u64, source: &CallExpr) -> Result<IdedExpr, ExprError> {
        match &source.target {
            Some(target) => self.method(id, target, source),
            None => self.function(id, source),
        }
    }

    fn function(&mut self, id: u64, source: &CallExpr) -> Result<IdedExpr, ExprError> {
        let name = source.func_name.as_str();
        if let ("string", [operand]) = (name, source.args.as_slice())
            && let Some(path) = tree::path_of(&operand.expr, &self.bound, self.names)
            && !path.is_whole_item()
        {
            return Ok(ident(id, self.number(path, Variable::Text)));
        }
        if let ("now", []) = (name, source.args.as_slice()) {
            return Ok(ident(id, Variable::Now));
        }
        let args = self.nodes(&source.args)?;
        match name {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
                Ok(call(id, name, args.into_iter().map(condition).collect()))
            }
            operators::CONDITIONAL => {
                let mut args = args.into_iter();
                let first = args.next().map(condition);
                Ok(call(id, name, first.into_iter().chain(args).collect()))
            }
            operators::NOT_STRICTLY_FALSE => Ok(call(id, name, args)),
            // The macros build their results with +; the interpreter knows that form and makes it cheap.
            operators::ADD if args.first().is_some_and(is_internal) => Ok(call(id, name, args)),
            _ => {
                let ours = OPERATORS.iter().chain(OURS).find(|(known, _)| *known == name);
                match ours {
                    Some((_, replacement)) => self.checked_arity(id, name, replacement, args),
                    None if GLOBALS.contains(&name) => Ok(null_of_null(id, source, None, args)),
                    None => Err(self.unknown(
                        id,
                        "function",
                        name,
                        GLOBALS.iter().chain(OURS.iter().map(|(known, _)| known)).chain(MACROS),
                    )),
                }
            }
        }
    }

    fn method(&mut self, id: u64, target: &IdedExpr, source: &CallExpr) -> Result<IdedExpr, ExprError> {
        let name = source.func_name.as_str();
        let args = self.nodes(&source.args)?;
        if let Expr::Ident(namespace) = &target.expr
            && NAMESPACES.contains(&namespace.as_str())
            && !self.bound.contains(namespace)
            && !METHODS.contains(&name)
        {
            let target = Some(Box::new(target.clone()));
            return Ok(IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target, args }) });
        }
        let target = self.node(target)?;
        if let Some((_, replacement)) = OUR_METHODS.iter().find(|(known, _)| *known == name) {
            let args = std::iter::once(target).chain(args).collect();
            return self.checked_arity(id, name, replacement, args);
        }
        if !METHODS.contains(&name) {
            return Err(self.unknown(
                id,
                "method",
                name,
                METHODS.iter().chain(OUR_METHODS.iter().map(|(known, _)| known)).chain(MACROS),
            ));
        }
        Ok(null_of_null(id, source, Some(target), args))
    }

    fn checked_arity(
        &self,
        id: u64,
        name: &str,
        replacement: &str,
        args: Vec<IdedExpr>,
    ) -> Result<IdedExpr, ExprError> {
        let wanted = match replacement {
            "@neg" | "@size" | "@num" | "@date" | "@string" | "@type" => 1,
            _ => 2,
        };
        if args.len() == wanted {
            return Ok(call(id, replacement, args));
        }
        Err(self.tree.error(
            id,
            format!("{name} takes {wanted} operand{}, not {}", if wanted == 1 { "" } else { "s" }, args.len()),
            None,
        ))
    }

    fn unknown<'k>(&self, id: u64, kind: &str, name: &str, known: impl Iterator<Item = &'k &'k str>) -> ExprError {
        let nearest = known
            .map(|known| (strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase()), *known))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let habit = [
            ("len", "size"),
            ("length", "size"),
            ("count", "size"),
            ("lower", "lowerAscii"),
            ("upper", "upperAscii"),
            ("float", "double"),
            ("str", "string"),
        ];
        let better = habit.iter().find(|(wrong, _)| *wrong == name.to_lowercase()).map(|(_, right)| *right);
        let suggestion = better.or(nearest.filter(|(similarity, _)| *similarity > 0.8).map(|(_, known)| known));
        self.tree.error(
            id,
            format!("there is no {kind} {name}()"),
            suggestion.map(|known| format!("did you mean {known}()?")),
        )
    }
}

fn ident(id: u64, variable: Variable) -> IdedExpr {
    IdedExpr { id, expr: Expr::Ident(variable.name()) }
}

fn call(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

/// Whether a node is a macro's own variable, such as `@result`.
fn is_internal(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name.starts_with('@') && Variable::parse(name).is_none())
}

/// A node where a condition is asked for: null becomes false. What is a bool in any case stays as it is.
fn condition(node: IdedExpr) -> IdedExpr {
    const BOOLEAN: &[&str] = &[
        operators::LOGICAL_AND,
        operators::LOGICAL_OR,
        operators::LOGICAL_NOT,
        operators::NOT_STRICTLY_FALSE,
        "@eq",
        "@ne",
        "@lt",
        "@le",
        "@gt",
        "@ge",
        "@contained",
        "@has",
        "@is_null",
    ];
    let is_boolean = match &node.expr {
        Expr::Call(call) => call.target.is_none() && BOOLEAN.contains(&call.func_name.as_str()),
        Expr::Literal(LiteralValue::Boolean(_)) => true,
        _ => is_internal(&node),
    };
    if is_boolean { node } else { call(node.id, "@truth", vec![node]) }
}

/// `f(x, ...)` or `x.f(...)` that is null where `x` is null.
fn null_of_null(id: u64, source: &CallExpr, target: Option<IdedExpr>, args: Vec<IdedExpr>) -> IdedExpr {
    let subject = target.as_ref().or(args.first()).cloned();
    let plain = IdedExpr {
        id,
        expr: Expr::Call(CallExpr { func_name: source.func_name.clone(), target: target.map(Box::new), args }),
    };
    let Some(subject) = subject else { return plain };
    let null = IdedExpr { id, expr: Expr::Literal(LiteralValue::Null) };
    call(id, operators::CONDITIONAL, vec![call(id, "@is_null", vec![subject]), null, plain])
}
