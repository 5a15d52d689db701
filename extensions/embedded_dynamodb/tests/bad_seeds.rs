//! Seed files with mistakes: each is refused with its place and with what was expected.
#![allow(clippy::unwrap_used)]

use steadyline_extension_embedded_dynamodb::{Error, Seed};

fn refused(text: &str) -> String {
    match Seed::parse("seed.yaml", text.to_owned()) {
        Err(error @ Error::Seed { .. }) => error.to_string(),
        other => panic!("expected a refusal: {other:?}"),
    }
}

/// A seed with one table, and `rest` after it.
fn with_table(rest: &str) -> String {
    format!("tables:\n  - name: accounts\n    key: {{hash: id}}\n{rest}")
}

#[test]
fn each_mistake_is_named_with_its_place() {
    let cases = [
        // (text, place, what the message says)
        ("", "seed.yaml", "missing field `tables`"),
        ("tables: []\n", "seed.yaml:1:9: tables", "expected at least one"),
        ("tables:\n\t- x\n", "seed.yaml:2:1", "cannot start any token"),
        ("tabels: []\n", "seed.yaml:1:1", "unknown field `tabels`, expected one of `seed`, `tables`"),
        ("tables: 5\n", "seed.yaml:1:9", "expected a sequence"),
        (&with_table("    itmes: []\n"), "seed.yaml:4:5", "unknown field `itmes`"),
        (
            &with_table("    items:\n      - {id: a}\n      - {name: b}\n"),
            "seed.yaml:6:9: tables[0].items[1]",
            "the key attribute `id` is missing, expected a text",
        ),
        (
            &with_table("    items:\n      - {id: 7}\n"),
            "seed.yaml:5:14: tables[0].items[0].id",
            "wrong type for a key, expected a text",
        ),
        (
            &with_table("    items: [{id: a}, {id: a}]\n"),
            "seed.yaml:4:22: tables[0].items[1]",
            "the same key as items[0]",
        ),
        (&with_table("    items: [{id: \"\"}]\n"), "tables[0].items[0].id", "the key is empty"),
        (&with_table("    items: [{id: a, tags: {SS: [x, x]}}]\n"), "tables[0].items[0].tags.SS[1]", "stands twice"),
        (
            &with_table("    items: [{id: a, id: b}]\n"),
            "seed.yaml:4:13: tables[0].items[0]",
            "`id` stands twice in one map",
        ),
        (&with_table("    items: [{id: a, when: !date 2026-01-01}]\n"), "seed.yaml:4", "without a YAML tag"),
        (
            &with_table("    items: [text]\n"),
            "seed.yaml:4:13: tables[0].items[0]",
            "found the text \"text\", expected an item",
        ),
        (
            &with_table("    generate: [{count: 1, item: {id: \"{x}\"}}]\n"),
            "tables[0].generate[0].item.id",
            "expected `{n}`",
        ),
        (&with_table("    generate: [{count: -1, item: {id: x}}]\n"), "seed.yaml:4", "integer `-1`, expected u64"),
        (
            &with_table("    key_types: {other: number}\n"),
            "seed.yaml:4:24: tables[0].key_types.other",
            "`other` is no key, expected one of `id`",
        ),
        (
            &with_table("    indexes: [{name: by, key: {hash: x}}]\n"),
            "tables[0].indexes[0].name",
            "expected 3 to 255 letters",
        ),
        (
            &with_table("    indexes: [{name: by_x, key: {hash: x}, projection: some}]\n"),
            "seed.yaml:4",
            "unknown variant `some`, expected one of `all`, `keys_only`, `include`",
        ),
        (
            &with_table("changes: [{after: 5s}]\n"),
            "seed.yaml:4:11: changes[0]",
            "expected exactly one of `put`, `delete` and `update`",
        ),
        (&with_table("changes: [{put: {id: a}}]\n"), "seed.yaml:4:11: changes[0]", "expected `after`, `every` or both"),
        (
            &with_table("changes: [{after: soon, put: {id: a}}]\n"),
            "seed.yaml:4:19: changes[0].after",
            "`soon` is not a duration, expected a duration such as",
        ),
        (&with_table("changes: [{every: 0s, put: {id: a}}]\n"), "changes[0].every", "at least 1ms"),
        (
            &with_table("changes: [{after: 1s, table: others, put: {id: a}}]\n"),
            "seed.yaml:4:30: changes[0].table",
            "no table `others`, expected one of `accounts`",
        ),
        (
            &with_table("changes: [{after: 1s, delete: {id: a, name: b}}]\n"),
            "changes[0].delete",
            "`name` is not part of the table's key, expected only `id`",
        ),
        (
            &with_table("changes: [{after: 1s, update: {key: {id: a}, set: {id: b}}}]\n"),
            "changes[0].update.set",
            "`id` is the table's key",
        ),
        (
            &with_table("changes: [{after: 1s, update: {key: {id: a}, next: {status: x}}}]\n"),
            "changes[0].update.next.status",
            "expected a list of values",
        ),
        (&with_table("loop: 5s\nchanges: [{after: 5s, put: {id: a}}]\n"), "changes[0].after", "below `loop`"),
        (&with_table("loop: 0s\n"), "seed.yaml:4:7: loop", "a round takes time"),
    ];
    for (text, place, message) in cases {
        let error = refused(text);
        assert!(error.starts_with("seed.yaml") && error.contains(place), "{text}\n{error}");
        assert!(error.contains(message), "{text}\n{error}");
    }
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_file() {
    let error = refused(&with_table(
        "    items: [{name: a}]\nchanges: [{after: x, put: {id: a}}, {after: 1s, table: nope, delete: {id: 3}}]\nloop: never\n",
    ));
    let places: Vec<&str> = error.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(places, ["tables[0].items[0]", "changes[0].after", "changes[1].table", "loop"]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from(
        "tables:\n  - name: accounts\n    key: {hash: id}\n    items:\n      - id: a\n        l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n",
    );
    for level in 1..9 {
        let aliases = vec![format!("*l{}", level - 1); 10].join(", ");
        text.push_str(&format!("        l{level}: &l{level} [{aliases}]\n"));
    }
    let error = refused(&text);
    assert!(error.contains("repetition limit"), "{error}");
}
