//! Relabelling: one table for each action, and what is refused at load.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use steadyline_scrape::Labels;
use steadyline_scrape::relabel::{Action, RelabelConfig, Rules};

type Pairs = &'static [(&'static str, &'static str)];

fn rule(json: &str) -> RelabelConfig {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Applies the rules, written as a JSON list, to labels; `None` where they are refused.
fn apply(rules: &str, labels: Pairs) -> Option<Vec<(String, String)>> {
    let configs: Vec<RelabelConfig> = serde_json::from_str(rules).unwrap_or_else(|error| panic!("{rules}: {error}"));
    let rules = Rules::new(&configs).unwrap_or_else(|errors| panic!("{rules}: {errors:?}"));
    let mut set = Labels::from_iter(labels.iter().copied());
    rules.apply(&mut set).then(|| set.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn check(rows: &[(&str, Pairs, Option<Pairs>)]) {
    for (rules, labels, expected) in rows {
        let expected = expected.map(|labels| {
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        });
        assert_eq!(apply(rules, labels), expected, "{rules} {labels:?}");
    }
}

#[test]
fn replace() {
    check(&[
        (
            r#"[{"source_labels":["a"],"regex":"f(.*)","target_label":"d","replacement":"ch${1}-ch${1}"}]"#,
            &[("a", "foo"), ("b", "bar")],
            Some(&[("a", "foo"), ("b", "bar"), ("d", "choo-choo")]),
        ),
        (
            r#"[{"source_labels":["a","b"],"target_label":"c"}]"#,
            &[("a", "1"), ("b", "2")],
            Some(&[("a", "1"), ("b", "2"), ("c", "1;2")]),
        ),
        (
            r#"[{"source_labels":["a","gone"],"separator":"/","target_label":"c"}]"#,
            &[("a", "1")],
            Some(&[("a", "1"), ("c", "1/")]),
        ),
        (
            r#"[{"source_labels":["a","b"],"separator":"","target_label":"c"}]"#,
            &[("a", "1"), ("b", "2")],
            Some(&[("a", "1"), ("b", "2"), ("c", "12")]),
        ),
        // No match: nothing changes.
        (
            r#"[{"source_labels":["a"],"regex":"x","target_label":"b","replacement":"y"}]"#,
            &[("a", "1"), ("b", "2")],
            Some(&[("a", "1"), ("b", "2")]),
        ),
        // A part is no match.
        (
            r#"[{"source_labels":["a"],"regex":"oo","target_label":"b","replacement":"y"}]"#,
            &[("a", "foo")],
            Some(&[("a", "foo")]),
        ),
        // An empty replacement removes; so does a group that took no part.
        (
            r#"[{"source_labels":["a"],"target_label":"a","replacement":""}]"#,
            &[("a", "1"), ("b", "2")],
            Some(&[("b", "2")]),
        ),
        (
            r#"[{"source_labels":["a"],"regex":"(x)?.*","target_label":"b"}]"#,
            &[("a", "1"), ("b", "2")],
            Some(&[("a", "1")]),
        ),
        // Without sources the text is empty, and the default regex matches it.
        (r#"[{"target_label":"env","replacement":"dev"}]"#, &[("a", "1")], Some(&[("a", "1"), ("env", "dev")])),
        (r#"[{"source_labels":["gone"],"target_label":"a"}]"#, &[("a", "1")], Some(&[])),
        // The target may be filled in, and may come out empty.
        (
            r#"[{"source_labels":["a"],"regex":"(.*)-(.*)","target_label":"l_${1}","replacement":"$2"}]"#,
            &[("a", "x-y")],
            Some(&[("a", "x-y"), ("l_x", "y")]),
        ),
        (
            r#"[{"source_labels":["a"],"regex":"(x)?.*","target_label":"$1","replacement":"y"}]"#,
            &[("a", "1")],
            Some(&[("a", "1")]),
        ),
        (
            r#"[{"source_labels":["a"],"regex":"(?P<host>[^:]+):\\d+","target_label":"host","replacement":"${host}$$"}]"#,
            &[("a", "db:5432")],
            Some(&[("a", "db:5432"), ("host", "db$")]),
        ),
        (
            r#"[{"source_labels":["__name__"],"regex":"(.*)_total","target_label":"__name__"}]"#,
            &[("__name__", "a_total")],
            Some(&[("__name__", "a")]),
        ),
        // One after another.
        (
            r#"[{"source_labels":["a"],"target_label":"b"},{"source_labels":["b"],"target_label":"c"},{"regex":"a|b","action":"labeldrop"}]"#,
            &[("a", "1")],
            Some(&[("c", "1")]),
        ),
        (
            r#"[{"source_labels":["a"],"regex":"line\nline","target_label":"b","replacement":"two"}]"#,
            &[("a", "line\nline")],
            Some(&[("a", "line\nline"), ("b", "two")]),
        ),
        (r#"[{"source_labels":["ü.ü"],"target_label":"ö ö"}]"#, &[("ü.ü", "ä")], Some(&[("ö ö", "ä"), ("ü.ü", "ä")])),
    ]);
}

#[test]
fn keep_and_drop() {
    check(&[
        (r#"[{"source_labels":["a"],"regex":"foo","action":"keep"}]"#, &[("a", "foo")], Some(&[("a", "foo")])),
        (r#"[{"source_labels":["a"],"regex":"fo","action":"keep"}]"#, &[("a", "foo")], None),
        (r#"[{"source_labels":["a"],"regex":"","action":"keep"}]"#, &[("b", "foo")], Some(&[("b", "foo")])),
        (r#"[{"source_labels":["a"],"regex":".+","action":"keep"}]"#, &[("b", "foo")], None),
        (r#"[{"source_labels":["a"],"regex":"foo","action":"drop"}]"#, &[("a", "foo")], None),
        (r#"[{"source_labels":["a"],"regex":"fo","action":"drop"}]"#, &[("a", "foo")], Some(&[("a", "foo")])),
        (r#"[{"source_labels":["a","b"],"regex":"1;2","action":"drop"}]"#, &[("a", "1"), ("b", "2")], None),
        (r#"[{"source_labels":["a"],"regex":"foo","action":"DROP"}]"#, &[("a", "foo")], None),
        // What comes after a refusal does not run.
        (r#"[{"action":"drop"},{"action":"keep"}]"#, &[("a", "1")], None),
    ]);
}

#[test]
fn keepequal_and_dropequal() {
    check(&[
        (
            r#"[{"source_labels":["a"],"target_label":"b","action":"keepequal"}]"#,
            &[("a", "1"), ("b", "1")],
            Some(&[("a", "1"), ("b", "1")]),
        ),
        (r#"[{"source_labels":["a"],"target_label":"b","action":"keepequal"}]"#, &[("a", "1"), ("b", "2")], None),
        (r#"[{"source_labels":["a"],"target_label":"b","action":"keepequal"}]"#, &[("c", "1")], Some(&[("c", "1")])),
        (r#"[{"source_labels":["a"],"target_label":"b","action":"dropequal"}]"#, &[("a", "1"), ("b", "1")], None),
        (
            r#"[{"source_labels":["a"],"target_label":"b","action":"DropEqual"}]"#,
            &[("a", "1"), ("b", "2")],
            Some(&[("a", "1"), ("b", "2")]),
        ),
        (
            r#"[{"source_labels":["a","b"],"target_label":"c","action":"dropequal"}]"#,
            &[("a", "1"), ("b", "2"), ("c", "1;2")],
            None,
        ),
    ]);
}

#[test]
fn hashmod() {
    // The sums themselves are in the unit tests, from RFC 1321.
    check(&[
        (
            r#"[{"source_labels":["gone"],"target_label":"h","modulus":18446744073709551615,"action":"hashmod"}]"#,
            &[("a", "1")],
            Some(&[("a", "1"), ("h", "16825458760271544958")]),
        ),
        (
            r#"[{"source_labels":["a"],"target_label":"h","modulus":1,"action":"hashmod"}]"#,
            &[("a", "1")],
            Some(&[("a", "1"), ("h", "0")]),
        ),
        (
            r#"[{"source_labels":["a"],"target_label":"h","modulus":1000,"action":"hashmod"}]"#,
            &[("a", "abc")],
            Some(&[("a", "abc"), ("h", "458")]),
        ),
    ]);
}

#[test]
fn labelmap_labeldrop_and_labelkeep() {
    check(&[
        (
            r#"[{"regex":"__meta_(.*)","action":"labelmap"}]"#,
            &[("__meta_a", "1"), ("b", "2")],
            Some(&[("__meta_a", "1"), ("a", "1"), ("b", "2")]),
        ),
        (
            r#"[{"regex":"__meta_(.*)","replacement":"x_$1","action":"labelmap"}]"#,
            &[("__meta_a", "1"), ("__meta_b", "2")],
            Some(&[("__meta_a", "1"), ("__meta_b", "2"), ("x_a", "1"), ("x_b", "2")]),
        ),
        (r#"[{"regex":"meta_(.*)","action":"labelmap"}]"#, &[("__meta_a", "1")], Some(&[("__meta_a", "1")])),
        // New labels are not mapped again, and a name that comes out empty is none.
        (
            r#"[{"regex":"(.*)","replacement":"x_$1","action":"labelmap"}]"#,
            &[("a", "1")],
            Some(&[("a", "1"), ("x_a", "1")]),
        ),
        (r#"[{"regex":"a(.*)","action":"labelmap"}]"#, &[("a", "1")], Some(&[("a", "1")])),
        (
            r#"[{"regex":"a.*","replacement":"b","action":"labelmap"}]"#,
            &[("a1", "1"), ("a2", "2")],
            Some(&[("a1", "1"), ("a2", "2"), ("b", "2")]),
        ),
        (r#"[{"regex":"a.*","action":"labeldrop"}]"#, &[("a", "1"), ("ab", "2"), ("ba", "3")], Some(&[("ba", "3")])),
        (r#"[{"regex":"b","action":"labeldrop"}]"#, &[("a", "1")], Some(&[("a", "1")])),
        (
            r#"[{"regex":"a.*","action":"labelkeep"}]"#,
            &[("a", "1"), ("ab", "2"), ("ba", "3")],
            Some(&[("a", "1"), ("ab", "2")]),
        ),
        (r#"[{"action":"labelkeep"}]"#, &[("a", "1")], Some(&[("a", "1")])),
    ]);
}

#[test]
fn lowercase_and_uppercase() {
    check(&[
        (
            r#"[{"source_labels":["a"],"target_label":"b","action":"lowercase"}]"#,
            &[("a", "FoO")],
            Some(&[("a", "FoO"), ("b", "foo")]),
        ),
        (
            r#"[{"source_labels":["a"],"target_label":"a","action":"uppercase"}]"#,
            &[("a", "foä")],
            Some(&[("a", "FOÄ")]),
        ),
        (r#"[{"source_labels":["gone"],"target_label":"a","action":"lowercase"}]"#, &[("a", "1")], Some(&[])),
        (
            r#"[{"source_labels":["a","b"],"target_label":"c","action":"uppercase"}]"#,
            &[("a", "x"), ("b", "y")],
            Some(&[("a", "x"), ("b", "y"), ("c", "X;Y")]),
        ),
    ]);
}

#[test]
fn a_rule_that_cannot_work_is_refused_at_load() {
    let rows = [
        (r#"{}"#, "[0].target_label", "the action `replace` needs a target label"),
        (r#"{"action":"lowercase"}"#, "[0].target_label", "the action `lowercase` needs a target label"),
        (r#"{"action":"keepequal"}"#, "[0].target_label", "the action `keepequal` needs a target label"),
        (r#"{"action":"hashmod","target_label":"a"}"#, "[0].modulus", "the action `hashmod` needs a modulus above 0"),
        (
            r#"{"action":"labelmap","replacement":""}"#,
            "[0].replacement",
            "the action `labelmap` needs the new name of the labels",
        ),
        (r#"{"action":"keep","regex":"("}"#, "[0].regex", "the regex `(` is not valid: unclosed group"),
        (r#"{"action":"keep","source_labels":[""]}"#, "[0].source_labels", "the name of a label is not empty"),
        (
            r#"{"action":"uppercase","target_label":"a","replacement":"b"}"#,
            "[0].replacement",
            "the action `uppercase` takes no `replacement`",
        ),
        (
            r#"{"action":"dropequal","target_label":"a","regex":"b"}"#,
            "[0].regex",
            "the action `dropequal` takes no `regex`",
        ),
        (
            r#"{"action":"dropequal","target_label":"a","separator":","}"#,
            "[0].separator",
            "the action `dropequal` takes no `separator`",
        ),
        (
            r#"{"action":"labeldrop","source_labels":["a"]}"#,
            "[0].source_labels",
            "the action `labeldrop` takes no `source_labels`",
        ),
        (
            r#"{"action":"labelkeep","target_label":"a"}"#,
            "[0].target_label",
            "the action `labelkeep` takes no `target_label`",
        ),
        (r#"{"action":"labelkeep","modulus":2}"#, "[0].modulus", "the action `labelkeep` takes no `modulus`"),
    ];
    for (json, path, message) in rows {
        let errors = Rules::new(&[rule(json)]).expect_err(json);
        assert_eq!(errors, [(path.to_owned(), message.to_owned())], "{json}");
    }
    let errors = Rules::new(&[rule(r#"{"target_label":"a"}"#), rule(r#"{"action":"hashmod"}"#)]).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["[1].target_label", "[1].modulus"], "all errors at once");
}

#[test]
fn what_is_no_rule_does_not_parse() {
    for json in [r#"{"action":"rename"}"#, r#"{"source_label":["a"]}"#, r#"{"modulus":-1}"#, r#"{"action":1}"#] {
        assert!(serde_json::from_str::<RelabelConfig>(json).is_err(), "{json}");
    }
    assert_eq!(rule("{}"), RelabelConfig::default());
    for (json, action) in [(r#""labeldrop""#, Action::LabelDrop), (r#""KeepEqual""#, Action::KeepEqual)] {
        assert_eq!(rule(&format!(r#"{{"action":{json}}}"#)).action, action);
        assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{}\"", action.as_str()));
    }
}

proptest! {
    #[test]
    fn no_rule_makes_a_set_that_is_none(
        regex in "[a-c.*+()\\[\\]{}|$^\\\\d-]{0,12}",
        replacement in "[a-c$1{}]{0,6}",
        action in 0usize..3,
        pairs in prop::collection::vec(("[a-c]{1,3}", "[a-cü]{0,4}"), 0..6),
    ) {
        let action = [Action::Replace, Action::LabelMap, Action::LabelDrop][action];
        let mut config = RelabelConfig { regex, action, ..RelabelConfig::default() };
        if action != Action::LabelDrop {
            config.replacement = replacement;
        }
        if action == Action::Replace {
            (config.target_label, config.source_labels) = ("$1".into(), vec!["a".into()]);
        }
        let Ok(rules) = Rules::new(&[config]) else { return Ok(()) };
        let mut labels = Labels::from_iter(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        prop_assert!(rules.apply(&mut labels));
        let names: Vec<&str> = labels.iter().map(|(name, _)| name).collect();
        prop_assert!(names.is_sorted_by(|a, b| a < b), "{:?}", names);
        prop_assert!(labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
    }
}
