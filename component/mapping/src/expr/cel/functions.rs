//! The functions that rewritten trees call: thin adapters from CEL's values to [`crate::expr::value`].
//! Their names start with `@`, which no source text can write, and differ from the interpreter's own operators, which it does not look up.

use std::borrow::Cow;
use std::cmp::Ordering;

use cel::common::functions::Function;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelTimestamp, CelUInt, DYN_TYPE, Kind,
};
use cel::common::value::{CowVal, Val as CelVal};
use cel::{Env, ExecutionError};

use super::give;
use crate::expr::value::{self, Arith, Order, StrTest, Val};
use crate::expr::{EvalError, Reason};

/// What a function takes and gives.
type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// The standard library, its string, list and mathematical extensions, and ours.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib();
    for extension in [cel::extensions::strings, cel::extensions::lists, cel::extensions::math] {
        env.add_extension(extension).expect("the library's own extensions do not collide");
    }
    for (name, arity, function) in OURS {
        let parameters = (0..*arity).map(|_| DYN_TYPE).collect();
        env.add_overload(name, name, parameters, *function).expect("names with @ are ours alone");
    }
    env
}

const OURS: &[(&str, usize, Function)] = &[
    ("@truth", 1, truth),
    ("@is_null", 1, is_null),
    ("@iterable", 1, iterable),
    ("@eq", 2, |args| Ok(give(Val::Bool(equal(args[0].as_ref(), args[1].as_ref()))))),
    ("@ne", 2, |args| Ok(give(Val::Bool(!equal(args[0].as_ref(), args[1].as_ref()))))),
    ("@lt", 2, |args| order(Order::Less, &args)),
    ("@le", 2, |args| order(Order::LessEqual, &args)),
    ("@gt", 2, |args| order(Order::Greater, &args)),
    ("@ge", 2, |args| order(Order::GreaterEqual, &args)),
    ("@contained", 2, contained),
    ("@add", 2, |args| arith(Arith::Add, &args)),
    ("@sub", 2, |args| arith(Arith::Sub, &args)),
    ("@mul", 2, |args| arith(Arith::Mul, &args)),
    ("@div", 2, |args| arith(Arith::Div, &args)),
    ("@rem", 2, |args| arith(Arith::Rem, &args)),
    ("@neg", 1, |args| value::negate(&view(args[0].as_ref())).map(give).map_err(failed)),
    ("@size", 1, size),
    ("@index", 2, index),
    ("@get", 2, index),
    ("@has", 2, has),
    ("@num", 1, |args| value::to_number(&view(args[0].as_ref())).map(give).map_err(failed)),
    ("@date", 1, |args| value::to_unix_seconds(&view(args[0].as_ref())).map(give).map_err(failed)),
    ("@string", 1, string),
    ("@type", 1, |args| Ok(give(Val::Str(Cow::Borrowed(view(args[0].as_ref()).type_name()))))),
    ("@contains", 2, |args| test_strings(StrTest::Contains, &args)),
    ("@startsWith", 2, |args| test_strings(StrTest::StartsWith, &args)),
    ("@endsWith", 2, |args| test_strings(StrTest::EndsWith, &args)),
];

/// A CEL value as ours; lists, maps and CEL's own types only by name.
pub(super) fn view<'b, 'v>(value: &'b (dyn CelVal + 'v)) -> Val<'b> {
    let seen = match value.get_type().kind() {
        Kind::NullType => Some(Val::Null),
        Kind::Boolean => value.downcast_ref::<CelBool>().map(|flag| Val::Bool(*flag.inner())),
        Kind::Int => value.downcast_ref::<CelInt>().map(|int| Val::Int(*int.inner())),
        Kind::Double => value.downcast_ref::<CelDouble>().map(|float| Val::Float(*float.inner())),
        Kind::UInt => value.downcast_ref::<CelUInt>().map(|uint| {
            let uint = *uint.inner();
            i64::try_from(uint).map_or(Val::Float(uint as f64), Val::Int)
        }),
        Kind::String => value.downcast_ref::<CelString<'v>>().map(|text| Val::Str(Cow::Borrowed(text.inner()))),
        Kind::Bytes => value.downcast_ref::<CelBytes<'v>>().map(|bytes| Val::Bytes(Cow::Borrowed(bytes.inner()))),
        Kind::List => Some(Val::Other("list")),
        Kind::Map => Some(Val::Other("map")),
        Kind::Timestamp => Some(Val::Other("timestamp")),
        Kind::Duration => Some(Val::Other("duration")),
        _ => None,
    };
    seen.unwrap_or(Val::Other("value of CEL's own"))
}

fn truth<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    view(args[0].as_ref()).truth().map(|flag| give(Val::Bool(flag))).map_err(failed)
}

fn is_null<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    Ok(give(Val::Bool(view(args[0].as_ref()) == Val::Null)))
}

/// What a macro goes over: nothing, for null.
fn iterable<'b, 'v>(mut args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let argument = args.swap_remove(0);
    match view(argument.as_ref()) {
        Val::Null => Ok(CowVal::owned(CelList::default())),
        Val::Other("list" | "map") => Ok(argument),
        other => Err(wrong_type(format!("a {} has no elements to go over", other.type_name()))),
    }
}

fn equal(left: &dyn CelVal, right: &dyn CelVal) -> bool {
    if let (Some(a), Some(b)) = (left.downcast_ref::<CelList>(), right.downcast_ref::<CelList>()) {
        return a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a.as_ref(), b.as_ref()));
    }
    if let (Some(a), Some(b)) = (left.downcast_ref::<CelMap>(), right.downcast_ref::<CelMap>()) {
        return a.inner().len() == b.inner().len()
            && a.inner()
                .iter()
                .all(|(key, value)| field(b, key.inner()).is_some_and(|other| equal(value.as_ref(), other)));
    }
    match (view(left), view(right)) {
        (Val::Other(_), Val::Other(_)) => left.equals(right),
        (a, b) => a.equals(&b),
    }
}

fn field<'b, 'v>(map: &'b CelMap<'v>, key: &dyn CelVal) -> Option<&'b (dyn CelVal + 'v)> {
    map.inner().iter().find(|(candidate, _)| equal(candidate.inner(), key)).map(|(_, value)| value.as_ref())
}

fn order<'b, 'v>(operator: Order, args: &[CowVal<'b, 'v>]) -> Answer<'b, 'v> {
    let (left, right) = (view(args[0].as_ref()), view(args[1].as_ref()));
    if is_time(&left) && is_time(&right) {
        let comparer = args[0].as_comparer().ok_or_else(|| no_order(&left, &right))?;
        let ordering = comparer.compare(args[1].as_ref()).map_err(|_| no_order(&left, &right))?;
        let holds = match operator {
            Order::Less => ordering == Ordering::Less,
            Order::LessEqual => ordering != Ordering::Greater,
            Order::Greater => ordering == Ordering::Greater,
            Order::GreaterEqual => ordering != Ordering::Less,
        };
        return Ok(give(Val::Bool(holds)));
    }
    value::order(operator, &left, &right).map(|holds| give(Val::Bool(holds))).map_err(failed)
}

fn contained<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let container = args[1].as_ref();
    let holds = if let Some(list) = container.downcast_ref::<CelList>() {
        list.iter().any(|element| equal(args[0].as_ref(), element.as_ref()))
    } else if let Some(map) = container.downcast_ref::<CelMap>() {
        field(map, args[0].as_ref()).is_some()
    } else {
        view(args[0].as_ref()).is_in(&view(container)).map_err(failed)?
    };
    Ok(give(Val::Bool(holds)))
}

fn arith<'b, 'v>(operator: Arith, args: &[CowVal<'b, 'v>]) -> Answer<'b, 'v> {
    let (left, right) = (args[0].as_ref(), args[1].as_ref());
    let (left_view, right_view) = (view(left), view(right));
    if is_time(&left_view) && is_time(&right_view) {
        // Times are CEL's own; what it does with them stands.
        let result = match operator {
            Arith::Add => left.as_adder().map(|adder| adder.add(right).map(CowVal::into_owned)),
            Arith::Sub => left.as_subtractor().map(|subtractor| subtractor.sub(right).map(CowVal::into_owned)),
            _ => None,
        };
        if let Some(result) = result {
            return result.map(CowVal::Owned);
        }
    }
    match value::arith(operator, &left_view, &right_view) {
        Ok(result) => Ok(give(result)),
        Err(error) => Err(failed(error)),
    }
}

fn size<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let counted = if let Some(list) = args[0].downcast_ref::<CelList>() {
        list.len() as i64
    } else if let Some(map) = args[0].downcast_ref::<CelMap>() {
        map.inner().len() as i64
    } else {
        view(args[0].as_ref()).size().map_err(failed)?
    };
    Ok(give(Val::Int(counted)))
}

/// An element of a list or a field of a map; null where there is none, and of null.
fn index<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let (container, key) = (args[0].as_ref(), args[1].as_ref());
    let found = match (view(container), view(key)) {
        (Val::Null, _) | (_, Val::Null) => None,
        (Val::Other("list"), Val::Int(index)) => {
            let list = container.downcast_ref::<CelList>();
            list.and_then(|list| list.get(usize::try_from(index).ok()?)).map(|element| element.clone_as_boxed())
        }
        (Val::Other("map"), _) => {
            container.downcast_ref::<CelMap>().and_then(|map| field(map, key)).map(|value| value.clone_as_boxed())
        }
        (container, key) => {
            return Err(wrong_type(format!("a {} has no element by a {}", container.type_name(), key.type_name())));
        }
    };
    Ok(found.map_or_else(|| CowVal::owned(CelNull), CowVal::Owned))
}

fn has<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let there = match view(args[0].as_ref()) {
        Val::Null => false,
        Val::Other("map") => args[0].downcast_ref::<CelMap>().is_some_and(|map| field(map, args[1].as_ref()).is_some()),
        other => return Err(wrong_type(format!("a {} has no fields", other.type_name()))),
    };
    Ok(give(Val::Bool(there)))
}

fn string<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    if let Some(time) = args[0].downcast_ref::<CelTimestamp>() {
        return Ok(CowVal::owned(CelString::from(time.inner().to_rfc3339())));
    }
    let text = match value::to_text(view(args[0].as_ref())).map_err(failed)? {
        Val::Str(text) => text.into_owned(),
        _ => return Ok(CowVal::owned(CelNull)),
    };
    Ok(CowVal::owned(CelString::from(text)))
}

fn test_strings<'b, 'v>(test: StrTest, args: &[CowVal<'b, 'v>]) -> Answer<'b, 'v> {
    value::test_strings(test, &view(args[0].as_ref()), &view(args[1].as_ref())).map(give).map_err(failed)
}

fn is_time(value: &Val<'_>) -> bool {
    matches!(value, Val::Other("timestamp" | "duration"))
}

fn no_order(left: &Val<'_>, right: &Val<'_>) -> ExecutionError {
    wrong_type(format!("a {} and a {} have no order", left.type_name(), right.type_name()))
}

fn wrong_type(detail: String) -> ExecutionError {
    failed(EvalError::new(Reason::WrongType, detail))
}

/// Our error through CEL's: the reason travels as the function's name.
fn failed(error: EvalError) -> ExecutionError {
    ExecutionError::FunctionError { function: error.reason.as_str().to_owned(), message: error.detail }
}
