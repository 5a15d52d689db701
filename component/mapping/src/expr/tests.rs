//! What expressions mean, as tables; and the property that the native evaluator and the CEL interpreter mean the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::item::{Attribute, Item, parse_items};

/// The result in a form that can be compared: a value's debug form, a collection's type, or the reason of the failure.
fn outcome(expr: &Expr, names: &Names, item: &Item) -> String {
    let mut slots = Vec::new();
    names.bind(item, &mut slots);
    match expr.eval(&Row { slots: &slots, item, now: 1_000 }) {
        Ok(value @ (Val::Coll(_) | Val::List(_) | Val::Other(_))) => value.type_name().to_owned(),
        Ok(Val::Float(float)) => format!("Float({float:?})"),
        Ok(Val::Str(text)) => format!("{text:?}"),
        Ok(value) => format!("{value:?}"),
        Err(error) => error.reason.as_str().to_owned(),
    }
}

fn lists() -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([("steps".to_owned(), vec!["one".to_owned(), "two".to_owned()])])
}

fn both_outcomes(text: &str, item: &Item) -> (String, String) {
    let (lists, mut names) = (lists(), Names::default());
    let mut compiler = Compiler { names: &mut names, lists: &lists };
    let native = compiler.expression(text).expect(text);
    let interpreted = compiler.interpreted(text).expect(text);
    (outcome(&native, &names, item), outcome(&interpreted, &names, item))
}

fn sample() -> Item {
    let text = r#"{
        "id": {"S": "acc-1"}, "status": {"S": "visited"}, "steps": {"SS": ["one", "two"]}, "empty": {"L": []}, "n": {"N": "7"}, "x": {"N": "2.5"},
        "big": {"N": "12345678901234567890123456789012345678"}, "on": {"BOOL": true}, "gone": {"NULL": true}, "type": {"S": "account"},
        "address": {"M": {"city": {"S": "Bern"}, "zip": {"N": "3000"}, "none": {"NULL": true}}}, "list": {"L": [{"N": "1"}, {"M": {"done": {"BOOL": true}}}, {"M": {}}]},
        "numbers": {"NS": ["1", "2.5"]}, "blob": {"B": "aGk="}, "odd-name": {"S": "odd"}, "when": {"S": "2026-09-30T12:00:00Z"}, "text5": {"S": " 5 "},
        "umlaut": {"S": "äö"}
    }"#;
    parse_items(text).expect("the sample").remove(0)
}

/// Expression and outcome; both evaluators must agree on every line.
const MEANING: &[(&str, &str)] = &[
    // the flagship filter, with everything there, and with what it names absent
    (r#"status in ["visited", "registered", "submitted", "completed"] || size(completed_steps) > 0"#, "Bool(true)"),
    (r#"nowhere in ["visited"] || size(completed_steps) > 0"#, "Bool(false)"),
    ("size(steps) == size(lists.steps)", "Bool(true)"),
    // null
    ("nowhere == null && gone == null && address.none == null && nowhere.at.all == null", "Bool(true)"),
    (
        "nowhere == 'x' || nowhere < 1 || nowhere >= 1 || 1 <= nowhere || nowhere in ['x'] || 'x' in nowhere",
        "Bool(false)",
    ),
    ("nowhere != 'x'", "Bool(true)"),
    ("nowhere", "Null"),
    ("nowhere + 1", "Null"),
    ("-nowhere", "Null"),
    ("nowhere && true", "Bool(false)"),
    ("!nowhere", "Bool(true)"),
    ("nowhere ? 1 : 2", "Int(2)"),
    ("nowhere.contains('x')", "Null"),
    ("size(nowhere) + size(gone)", "Int(0)"),
    ("num(nowhere)", "Null"),
    ("date(nowhere)", "Null"),
    ("string(nowhere)", "Null"),
    // size
    ("size(steps)", "Int(2)"),
    ("steps.size()", "Int(2)"),
    ("size(empty)", "Int(0)"),
    ("size(umlaut)", "Int(2)"),
    ("size(blob)", "Int(2)"),
    ("size(address)", "Int(3)"),
    ("size(n)", "wrong_type"),
    ("size(on)", "wrong_type"),
    // in
    ("'one' in steps", "Bool(true)"),
    ("'three' in steps", "Bool(false)"),
    ("2.5 in numbers && !(2 in numbers)", "Bool(true)"),
    ("1 in list", "Bool(true)"),
    ("'city' in address", "Bool(true)"),
    ("1 in address", "Bool(false)"),
    ("'v' in status", "wrong_type"),
    // has asks for presence, NULL included
    ("has(item.gone) && !has(item.nowhere) && has(address.none) && !has(nowhere.x)", "Bool(true)"),
    // paths
    ("address.city", "\"Bern\""),
    ("item.address.zip + 1", "Int(3001)"),
    ("item[\"odd-name\"]", "\"odd\""),
    ("list[0]", "Int(1)"),
    ("list[9]", "Null"),
    ("list[1].done", "Bool(true)"),
    ("status.deeper", "wrong_type"),
    ("type == 'account'", "Bool(true)"),
    // numbers
    ("n / 2", "Float(3.5)"),
    ("8 / 2", "Int(4)"),
    ("n + x", "Float(9.5)"),
    ("n % 4", "Int(3)"),
    ("n / 0", "division_by_zero"),
    ("9223372036854775807 + n", "overflow"),
    ("n == 7.0 && x > 2 && -n < 0", "Bool(true)"),
    ("big > 1e37", "Bool(true)"),
    ("string(big)", "\"12345678901234567890123456789012345678\""),
    ("string(n) + '/' + string(on)", "\"7/true\""),
    ("num(on) + num(text5)", "Int(6)"),
    ("num(status)", "not_a_number"),
    ("n < status", "wrong_type"),
    ("n == status", "Bool(false)"),
    ("steps + 1", "wrong_type"),
    ("n && true", "wrong_type"),
    // an error is absorbed where the other side decides
    ("n.x == 1 || on", "Bool(true)"),
    ("on || n.x == 1", "Bool(true)"),
    ("n.x == 1 && !on", "Bool(false)"),
    ("n.x == 1 || !on", "wrong_type"),
    // time
    ("date(when)", "Int(1790769600)"),
    ("date(status)", "bad_date"),
    ("now() - 10", "Int(990)"),
    ("type(n) + type(steps) + type(address) + type(nowhere)", "\"numberlistmapnull\""),
    ("on ? status : n", "\"visited\""),
    ("status.startsWith('vis') && status.endsWith('ed') && !status.contains('x')", "Bool(true)"),
    ("list", "list"),
    ("address == address && steps == ['one', 'two'] && list != empty", "Bool(true)"),
];

/// What only the interpreter can do, with the same meaning of null.
const INTERPRETED: &[(&str, &str)] = &[
    ("steps.exists(s, s.startsWith('t'))", "Bool(true)"),
    ("nowhere.exists(s, s == 'one')", "Bool(false)"),
    ("nowhere.all(s, s == 'one')", "Bool(true)"),
    ("steps.filter(s, s in ['one', 'zzz']).size()", "Int(1)"),
    ("size(steps.map(s, s + '!'))", "Int(2)"),
    ("list.exists(s, type(s) == 'map' && s.done)", "Bool(true)"),
    ("list.filter(s, type(s) == 'map').all(s, s.done)", "Bool(false)"),
    ("list.filter(s, type(s) == 'map').exists_one(s, has(s.done))", "Bool(true)"),
    ("steps.exists(id, id == 'one') && id == 'acc-1'", "Bool(true)"),
    ("status.matches('^v.*d$')", "Bool(true)"),
    ("nowhere.matches('^v')", "Null"),
    ("!nowhere.matches('^v')", "Bool(true)"),
    ("status.upperAscii()", "\"VISITED\""),
    ("nowhere.upperAscii()", "Null"),
    ("int(nowhere)", "Null"),
    ("int('12') + 1", "Int(13)"),
    ("math.greatest(n, 3)", "Int(7)"),
    ("timestamp(when)", "Int(1790769600)"),
    ("timestamp(when) - timestamp('2026-09-30T11:59:00Z')", "Int(60)"),
    ("timestamp(when) < timestamp('2027-01-01T00:00:00Z')", "Bool(true)"),
    ("timestamp(when).getHours()", "Int(12)"),
    ("timestamp(when).getHours('America/New_York')", "Int(8)"),
    ("timestamp(when).getHours('Mars/Olympus')", "expression_failed"),
    ("size(item) > 10 && 'odd-name' in item", "Bool(true)"),
    ("{'a': n}.a + {'a': n}['a']", "Int(14)"),
    ("[n, x, 1].exists(v, v == 2.5)", "Bool(true)"),
    ("list[n - 7]", "Int(1)"),
    ("steps.filter(s, n)", "wrong_type"),
    ("status.exists(c, true)", "wrong_type"),
    ("timestamp(status)", "expression_failed"),
];

#[test]
fn expressions_mean_the_same_in_both_evaluators() {
    for (text, expected) in MEANING {
        let (native, interpreted) = both_outcomes(text, &sample());
        assert_eq!(native, *expected, "natively: {text}");
        assert_eq!(interpreted, *expected, "interpreted: {text}");
    }
}

#[test]
fn the_common_forms_run_natively() {
    let (lists, mut names) = (lists(), Names::default());
    let mut compiler = Compiler { names: &mut names, lists: &lists };
    for (text, _) in MEANING {
        assert!(compiler.expression(text).expect(text).is_native(), "{text}");
    }
    for (text, _) in INTERPRETED {
        assert!(!compiler.expression(text).expect(text).is_native(), "{text}");
    }
}

#[test]
fn what_needs_the_interpreter_keeps_the_meaning_of_null() {
    for (text, expected) in INTERPRETED {
        assert_eq!(both_outcomes(text, &sample()).0, *expected, "{text}");
    }
}

#[test]
fn errors_say_where_and_what_instead() {
    let cases = [
        ("status = 'x'", Some((1, 8)), "CEL writes == to compare"),
        ("status == 'x' and n > 1", Some((1, 15)), "CEL writes && for and"),
        ("length(steps) > 0", Some((1, 1)), "did you mean size()?"),
        ("siz(steps) > 0", Some((1, 1)), "did you mean size()?"),
        ("status.startswith('x')", Some((1, 1)), "did you mean startsWith()?"),
        ("package == 'x'", Some((1, 1)), "item[\"package\"]"),
        ("size(steps, 2)", Some((1, 1)), "size takes 1 operand, not 2"),
        ("a == 1 &&\n  frobnicate(b)", Some((2, 3)), "there is no function frobnicate()"),
        ("status ==", Some((1, 10)), ""),
        ("", None, "the expression is empty"),
    ];
    let (lists, mut names) = (lists(), Names::default());
    let mut compiler = Compiler { names: &mut names, lists: &lists };
    for (text, position, part) in cases {
        let error = compiler.expression(text).expect_err(text);
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert_eq!(error.position.map(|place| place.0), position.map(|place| place.0), "{text}: {error}");
    }
    let long = "a == 1 && ".repeat(2_000) + "true";
    assert!(compiler.expression(&long).expect_err("too long").message.contains("may have 4096 bytes"));
    for deep in [
        "a".to_owned() + &"+a".repeat(2_000),
        "[".repeat(4_000),
        "(".repeat(2_000) + "a" + &")".repeat(2_000),
        "size(".repeat(500) + "a" + &")".repeat(500),
    ] {
        assert!(compiler.expression(&deep).is_err(), "nesting is bounded");
    }
    let wide = "a == 1".to_owned() + &" || a == 2".repeat(300);
    assert!(compiler.expression(&wide).is_ok(), "alternatives do not nest");
}

#[test]
fn names_are_collected_for_the_projection() {
    let (lists, mut names) = (lists(), Names::default());
    let mut compiler = Compiler { names: &mut names, lists: &lists };
    compiler
        .expression("status == 'x' && address.city == 'y' && size(lists.steps) > 0 && steps.exists(s, s == id)")
        .expect("valid");
    let mut projected = names.projection().expect("no whole item").to_vec();
    projected.sort();
    assert_eq!(projected, ["address", "id", "status", "steps"]);
    Compiler { names: &mut names, lists: &lists }.expression("size(item) > 3").expect("valid");
    assert_eq!(names.projection(), None);
}

/// Attribute values of every type, the odd ones included.
fn attribute() -> impl Strategy<Value = Attribute> {
    let text = prop::sample::select(vec!["", "a", "b", "ab", "ä", "5", "-1.5", "2026-09-30", "x y"]);
    let number = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "-3",
        "2.5",
        "9223372036854775807",
        "9223372036854775808",
        "1e-5",
        "12345678901234567890123456789012345678",
    ]);
    let scalar = prop_oneof![
        text.clone().prop_map(|text| Attribute::Text(text.to_owned())),
        number.clone().prop_map(|number| Attribute::Number(number.to_owned())),
        any::<bool>().prop_map(Attribute::Bool),
        Just(Attribute::Null),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(Attribute::Bytes),
        prop::collection::btree_set(text.clone(), 1..4)
            .prop_map(|set| Attribute::Texts(set.into_iter().map(str::to_owned).collect())),
        prop::collection::btree_set(number, 1..4)
            .prop_map(|set| Attribute::Numbers(set.into_iter().map(str::to_owned).collect())),
    ];
    scalar.prop_recursive(2, 8, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Attribute::List),
            prop::collection::hash_map(prop::sample::select(vec!["a".to_owned(), "b".to_owned()]), inner, 0..3)
                .prop_map(|fields| Attribute::Map(fields.into_iter().collect())),
        ]
    })
}

fn item() -> impl Strategy<Value = Item> {
    prop::collection::hash_map(
        prop::sample::select(vec!["a".to_owned(), "b".to_owned(), "c".to_owned(), "d".to_owned()]),
        attribute(),
        0..5,
    )
    .prop_map(|fields| fields.into_iter().collect())
}

/// Expression text from the part of CEL that has a native form, right and wrong types mixed.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "d",
        "a.b",
        "b.a",
        "c[0]",
        "d['a']",
        "item.a",
        "nowhere",
        "null",
        "true",
        "false",
        "0",
        "1",
        "-2",
        "2.5",
        "9223372036854775807",
        "''",
        "'a'",
        "'5'",
        "['a', 'b']",
        "[1, 2.5, null]",
        "lists.steps",
        "now()",
        "has(item.a)",
        "has(b.a)",
        "string(a)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let operator =
            prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">=", "in", "&&", "||", "+", "-", "*", "/", "%"]);
        let function = prop::sample::select(vec!["size", "num", "date", "string", "type", "!", "-"]);
        let method = prop::sample::select(vec!["contains", "startsWith", "endsWith"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            (function, inner.clone()).prop_map(|(function, a)| format!("{function}({a})")),
            (inner.clone(), method, inner.clone()).prop_map(|(a, method, b)| format!("({a}).{method}({b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn native_and_interpreted_agree_on_generated_expressions(text in expression(), items in prop::collection::vec(item(), 1..4)) {
        for item in &items {
            let (native, interpreted) = both_outcomes(&text, item);
            prop_assert_eq!(native, interpreted, "{} on {:?}", text, item);
        }
    }
}
