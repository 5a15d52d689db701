//! The syntax tree that both evaluators compile from: parsed by the CEL parser, the config's lists put in, paths recognised.

use std::collections::BTreeMap;

use cel::common::ast::{CallExpr, Expr, ListExpr, LiteralValue, SourceInfo, operators};
use cel::common::types::CelString;
use cel::{IdedExpr, ParseErrors};

use super::{ExprError, Val};
use crate::item::{Names, Path, Segment};

/// A parsed expression, with what is needed to say where something stands in it.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: IdedExpr,
    info: SourceInfo,
}

/// How deep an expression may nest; evaluation recurses so deep on the poll's stack.
const MAX_DEPTH: usize = 100;
/// What parsing the longest text that is accepted can need at worst: the generated parser takes kilobytes a level. Only touched pages cost anything.
const PARSER_STACK: usize = 128 << 20;

/// Parses `text` and replaces `lists.<name>` by the list of that name.
pub(super) fn parse(text: &str, lists: &BTreeMap<String, Vec<String>>) -> Result<Tree, ExprError> {
    let parsed = std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().name("expression parser".to_owned()).stack_size(PARSER_STACK);
        // A parser that panics is reported like a text that does not parse: the text is the user's either way.
        parser.spawn_scoped(scope, || parse_here(text)).ok().and_then(|parsed| parsed.join().ok())
    });
    let mut tree = parsed.unwrap_or_else(|| Err(ExprError::whole("the expression could not be parsed".to_owned())))?;
    if !lists.is_empty() {
        insert_lists(&mut tree.root, lists);
    }
    Ok(tree)
}

fn parse_here(text: &str) -> Result<Tree, ExprError> {
    let (mut root, info) =
        super::cel::parser().parse_with_source_info(text).map_err(|errors| syntax_error(&errors, text))?;
    if depth(&mut root) > MAX_DEPTH {
        return Err(ExprError::whole(format!("the expression nests more than {MAX_DEPTH} deep")));
    }
    Ok(Tree { root, info })
}

fn depth(node: &mut IdedExpr) -> usize {
    let mut deepest = 0;
    for_each_child(&mut node.expr, &mut |child| deepest = deepest.max(depth(child)));
    deepest + 1
}

impl Tree {
    /// An error about the node `id`.
    pub(super) fn error(&self, id: u64, message: String, help: Option<String>) -> ExprError {
        let position = self.info.offset_for(id).map(|(start, _)| line_and_column(&self.info.source, start as usize));
        ExprError { message, position, help }
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before: String = text.chars().take(offset).collect();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn syntax_error(errors: &ParseErrors, text: &str) -> ExprError {
    let Some(first) = errors.errors.first() else {
        return ExprError { message: "it is no CEL expression".to_owned(), position: None, help: None };
    };
    let (line, column) = (usize::try_from(first.pos.0).unwrap_or(0), usize::try_from(first.pos.1).unwrap_or(0));
    let mut message = first.msg.clone();
    let mut help = None;
    if let Some(word) = message.strip_prefix("reserved identifier: ") {
        help = Some(format!("an attribute of that name is written item[{word:?}]"));
        message = format!("{word} is a reserved word of CEL");
    } else if let Some(wrong) = wrong_operator(text) {
        help = Some(wrong);
    }
    let position = (line > 0).then_some((line, column.max(1)));
    ExprError { message: message.to_lowercase_first(), position, help }
}

/// Operators of other languages that people write out of habit.
fn wrong_operator(text: &str) -> Option<String> {
    let words = [
        (" and ", "&&"),
        (" or ", "||"),
        (" AND ", "&&"),
        (" OR ", "||"),
        (" not in ", "!(x in y)"),
        ("not ", "!"),
        ("<>", "!="),
    ];
    if let Some((wrong, right)) = words.iter().find(|(wrong, _)| text.contains(wrong)) {
        return Some(format!("CEL writes {right} for {}", wrong.trim()));
    }
    let lone_equals = text
        .char_indices()
        .any(|(at, c)| c == '=' && !text[..at].ends_with(['=', '!', '<', '>']) && !text[at + 1..].starts_with('='));
    lone_equals.then(|| "CEL writes == to compare".to_owned())
}

trait LowercaseFirst {
    fn to_lowercase_first(&self) -> String;
}

impl LowercaseFirst for String {
    fn to_lowercase_first(&self) -> String {
        let mut chars = self.chars();
        match chars.next() {
            Some(first) => first.to_lowercase().chain(chars).collect(),
            None => String::new(),
        }
    }
}

fn insert_lists(node: &mut IdedExpr, lists: &BTreeMap<String, Vec<String>>) {
    if let Expr::Select(select) = &node.expr
        && !select.test
        && matches!(&select.operand.expr, Expr::Ident(name) if name == "lists")
        && let Some(list) = lists.get(&select.field)
    {
        let literal = |text: &String| IdedExpr {
            id: node.id,
            expr: Expr::Literal(LiteralValue::String(CelString::from(text.clone()))),
        };
        node.expr = Expr::List(ListExpr::new(list.iter().map(literal).collect()));
        return;
    }
    for_each_child(&mut node.expr, &mut |child| insert_lists(child, lists));
}

/// Calls `visit` with every direct child.
pub(super) fn for_each_child(expr: &mut Expr, visit: &mut dyn FnMut(&mut IdedExpr)) {
    use cel::common::ast::EntryExpr;
    match expr {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).for_each(visit),
        Expr::Comprehension(comprehension) => {
            let c = comprehension.as_mut();
            [&mut c.iter_range, &mut c.accu_init, &mut c.loop_cond, &mut c.loop_step, &mut c.result]
                .into_iter()
                .for_each(visit);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(visit),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    visit(&mut entry.key);
                    visit(&mut entry.value);
                }
            }
        }
        Expr::Select(select) => visit(&mut select.operand),
        Expr::Struct(structure) => {
            for entry in &mut structure.entries {
                if let EntryExpr::StructField(field) = &mut entry.expr {
                    visit(&mut field.value);
                }
            }
        }
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
}

/// The attribute path that `expr` spells, if it does: names joined by dots, `["text"]` and `[number]`. `bound` are the variables of macros around it.
pub(super) fn path_of(expr: &Expr, bound: &[String], names: &mut Names) -> Option<Path> {
    let mut segments = Vec::new();
    let root = walk_path(expr, &mut segments)?;
    if bound.iter().any(|variable| variable == root) || root.starts_with('@') {
        return None;
    }
    let mut segments = segments.into_iter().rev();
    let mut path = if root == "item" {
        match segments.next() {
            None => Path::whole_item(names),
            Some(Segment::Key(name)) => Path::attribute(names, &name),
            Some(_) => return None,
        }
    } else {
        Path::attribute(names, root)
    };
    for segment in segments {
        path = path.then(segment);
    }
    Some(path)
}

/// Collects the steps of a path from its end; returns its root.
fn walk_path<'e>(mut expr: &'e Expr, segments: &mut Vec<Segment>) -> Option<&'e str> {
    loop {
        match expr {
            Expr::Ident(name) => return Some(name.strip_prefix('.').unwrap_or(name)),
            Expr::Select(select) if !select.test => {
                segments.push(Segment::Key(select.field.clone()));
                expr = &select.operand.expr;
            }
            Expr::Call(CallExpr { func_name, target: None, args }) if func_name == operators::INDEX => {
                let [operand, index] = args.as_slice() else { return None };
                segments.push(match &index.expr {
                    Expr::Literal(LiteralValue::String(key)) => Segment::Key(key.inner().to_owned()),
                    Expr::Literal(LiteralValue::Int(index)) => Segment::Index(usize::try_from(*index.inner()).ok()?),
                    _ => return None,
                });
                expr = &operand.expr;
            }
            _ => return None,
        }
    }
}

/// A literal as a value.
pub(super) fn literal(literal: &LiteralValue) -> Val<'static> {
    match literal {
        LiteralValue::Boolean(flag) => Val::Bool(*flag.inner()),
        LiteralValue::Bytes(bytes) => Val::Bytes(bytes.inner().to_vec().into()),
        LiteralValue::Double(float) => Val::Float(*float.inner()),
        LiteralValue::Int(int) => Val::Int(*int.inner()),
        LiteralValue::Null => Val::Null,
        LiteralValue::String(text) => Val::Str(text.inner().to_owned().into()),
        LiteralValue::UInt(uint) => i64::try_from(*uint.inner()).map_or(Val::Float(*uint.inner() as f64), Val::Int),
    }
}
