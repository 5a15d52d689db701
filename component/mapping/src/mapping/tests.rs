//! Mappings as tables: config and items in, points out.

use std::borrow::Cow;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::MappingConfig;
use crate::item::{Item, parse_items};
use crate::number::Number;

/// Writes down what a mapping makes.
#[derive(Default)]
struct Recorder {
    outputs: Vec<Output>,
    lines: Vec<String>,
    duplicates: Vec<String>,
    skips: Vec<String>,
}

impl Recorder {
    fn line(&self, output: usize, labels: &[Option<Cow<'_, str>>]) -> String {
        let output = &self.outputs[output];
        assert_eq!(labels.len(), output.labels.len(), "one value for each label of {}", output.name);
        let pairs = output
            .labels
            .iter()
            .zip(labels)
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
        format!("{}{{{}}}", output.name, pairs.collect::<Vec<_>>().join(","))
    }
}

impl Sink for Recorder {
    fn number(&mut self, output: usize, labels: &[Option<Cow<'_, str>>], value: Number) {
        let value = match value {
            Number::Int(int) => int.to_string(),
            Number::Float(float) => format!("{float:?}"),
        };
        self.lines.push(format!("{} {value}", self.line(output, labels)));
    }

    fn held(&mut self, output: usize, labels: &[Option<Cow<'_, str>>]) {
        self.lines.push(format!("{} held", self.line(output, labels)));
    }

    fn skipped(&mut self, skip: &Skip<'_>) {
        self.skips.push(format!("{} {}: {}", skip.reason.as_str(), skip.metric.unwrap_or("item"), skip.detail));
    }

    fn duplicate(&mut self, duplicate: &Duplicate<'_>) {
        let identity: Vec<&str> = duplicate.identity.iter().filter_map(Option::as_deref).collect();
        self.duplicates.push(format!(
            "{}: {} over {}{}",
            identity.join("/"),
            duplicate.winner,
            duplicate.loser,
            if duplicate.preferred { " by prefer" } else { "" }
        ));
    }
}

fn config(text: &str) -> MappingConfig {
    serde_json::from_str(text).expect("a config")
}

fn mapper(text: &str, key: &[&str]) -> Mapper {
    let plan = Plan::compile(&config(text)).expect("a plan");
    let mut mapper = Mapper::new(Arc::new(plan));
    mapper.set_key(TableKey(key.iter().map(|name| (*name).to_owned()).collect()));
    mapper
}

/// One pass over `items`, two to a page.
fn pass(mapper: &mut Mapper, items: &[Item], is_complete: bool) -> Recorder {
    let mut recorder = Recorder { outputs: mapper.plan().outputs().to_vec(), ..Recorder::default() };
    mapper.begin(1_000);
    for page in items.chunks(2) {
        mapper.page(page, &mut recorder);
    }
    mapper.end(is_complete, &mut recorder);
    recorder
}

fn items(text: &str) -> Vec<Item> {
    parse_items(text).expect("items")
}

const FLAGSHIP: &str = r#"{
    "where": "status in [\"visited\", \"registered\", \"submitted\", \"completed\"] || size(completed_steps) > 0",
    "identity": {"account_id": "system_account_id"},
    "metrics": [
        {"name": "onboarding_completed_steps", "unit": "{step}", "value": {"size": "completed_steps"}},
        {"name": "onboarding_total_steps", "value": {"count_of": ["pixel_installed", "pixel_receiving", "index_created"]}},
        {"name": "onboarding_account_info", "info": {"account_name": "account_name", "status": "status"}}
    ]
}"#;

const ACCOUNTS: &str = r#"[
    {"system_account_id": {"S": "a"}, "status": {"S": "visited"}, "account_name": {"S": "Acme"}, "completed_steps": {"SS": ["x", "y"]}},
    {"system_account_id": {"S": "b"}, "status": {"S": "expired"}},
    {"system_account_id": {"S": "c"}, "status": {"S": "expired"}, "completed_steps": {"L": [{"S": "x"}]}},
    {"system_account_id": {"N": "12345678901234567890123456789012345678"}, "status": {"S": "registered"}, "completed_steps": {"NULL": true}},
    {"status": {"S": "visited"}},
    {"system_account_id": {"S": ""}, "status": {"S": "visited"}},
    {"system_account_id": {"S": "d"}, "status": {"S": "visited"}, "completed_steps": {"N": "3"}},
    {"system_account_id": {"S": "e"}, "status": {"N": "4"}, "completed_steps": {"BOOL": true}}
]"#;

#[test]
fn the_onboarding_table_becomes_its_gauges() {
    let mut mapper = mapper(FLAGSHIP, &["system_account_id"]);
    let recorder = pass(&mut mapper, &items(ACCOUNTS), true);
    let big = "12345678901234567890123456789012345678";
    assert_eq!(
        recorder.lines,
        [
            "onboarding_completed_steps{account_id=a} 2".to_owned(),
            "onboarding_total_steps{account_id=a} 3".to_owned(),
            "onboarding_account_info{account_id=a,account_name=Acme,status=visited} 1".to_owned(),
            "onboarding_completed_steps{account_id=c} 1".to_owned(),
            "onboarding_total_steps{account_id=c} 3".to_owned(),
            "onboarding_account_info{account_id=c,status=expired} 1".to_owned(),
            format!("onboarding_completed_steps{{account_id={big}}} 0"),
            format!("onboarding_total_steps{{account_id={big}}} 3"),
            format!("onboarding_account_info{{account_id={big},status=registered}} 1"),
            // the status decides, so that the filter holds although the steps have a wrong type; the point is held
            "onboarding_completed_steps{account_id=d} held".to_owned(),
            "onboarding_total_steps{account_id=d} 3".to_owned(),
            "onboarding_account_info{account_id=d,status=visited} 1".to_owned(),
            // the filter itself fails: the item is there, so all its series are held
            "onboarding_completed_steps{account_id=e} held".to_owned(),
            "onboarding_total_steps{account_id=e} held".to_owned(),
            "onboarding_account_info{account_id=e,status=4} held".to_owned(),
        ]
    );
    assert_eq!(
        recorder.skips,
        [
            "missing_identity item: account_id has no value",
            "missing_identity item: account_id has no value",
            "wrong_type onboarding_completed_steps: completed_steps is a number, which has no size",
            "wrong_type item: a bool has no size",
        ]
    );
    let stats = mapper.stats();
    assert_eq!((stats.items, stats.filtered, stats.emitted, stats.held), (8, 1, 11, 4));
    assert_eq!(
        stats.skips().map(|(reason, count)| (reason.as_str(), count)).collect::<Vec<_>>(),
        [("missing_identity", 2), ("wrong_type", 2)]
    );
    assert_eq!(mapper.plan().projection().map(<[String]>::len), Some(4));
}

/// One metric over one item: value, options and item in, lines out.
#[test]
fn values_come_from_every_form() {
    let item = r#"{"id": {"S": "a"}, "n": {"N": "2.5"}, "big": {"N": "12345678901234567890"}, "on": {"BOOL": true}, "text": {"S": " 42 "}, "word": {"S": "many"},
        "when": {"S": "2026-09-30T12:00:00Z"}, "unix": {"N": "7"}, "deep": {"M": {"list": {"L": [{"N": "1"}, {"N": "9"}]}}}, "none": {"NULL": true}, "set": {"SS": ["x"]}}"#;
    let cases: &[(&str, &str)] = &[
        (r#""value": {"attribute": "n"}"#, "2.5"),
        (r#""value": {"attribute": "big"}"#, "1.2345678901234567e19"),
        (r#""value": {"attribute": "on"}"#, "1"),
        (r#""value": {"attribute": "text"}"#, "42"),
        (r#""value": {"attribute": "word"}"#, "held"),
        (r#""value": {"attribute": "set"}"#, "held"),
        (r#""value": {"attribute": "set", "as": "size"}"#, "1"),
        (r#""value": {"attribute": "text", "as": "number"}"#, "held"),
        (r#""value": {"attribute": "on", "as": "bool"}"#, "1"),
        (r#""value": {"attribute": "text", "as": "string_number"}"#, "42"),
        (r#""value": {"attribute": "when", "as": "date"}"#, "1790769600"),
        (r#""value": {"attribute": "deep.list.1"}"#, "9"),
        (r#""value": {"date": "when"}"#, "1790769600"),
        (r#""value": {"date": "unix"}"#, "7"),
        (r#""value": {"date": "word"}"#, "held"),
        (r#""value": {"size": "word"}"#, "4"),
        (r#""value": {"size": "nowhere"}"#, "0"),
        (r#""value": {"size": "n"}"#, "held"),
        (r#""value": {"constant": -3}"#, "-3"),
        (r#""value": 2.5"#, "2.5"),
        (r#""value": "n * 2""#, "5.0"),
        (r#""value": "size(set) == 1""#, "1"),
        (r#""value": {"cel": "big"}"#, "1.2345678901234567e19"),
        (r#""value": "word""#, "held"),
        (r#""value": "now() - unix""#, "993"),
        (r#""value": "timestamp(when)""#, "1790769600"),
        (r#""value": {"count_of": "steps"}"#, "2"),
        (r#""value": "size(lists.steps) - size(set)""#, "1"),
        (r#""value": {"attribute": "none"}"#, "held"),
        (r#""value": {"attribute": "nowhere"}, "on_null": "skip""#, ""),
        (r#""value": {"attribute": "nowhere"}, "on_null": "zero""#, "0"),
        (r#""value": "nowhere + 1""#, "held"),
        (r#""value": 1, "where": "on""#, "1"),
        (r#""value": 1, "where": "!on""#, ""),
        (r#""value": 1, "where": "nowhere""#, ""),
        (r#""value": 1, "where": "n""#, "held"),
    ];
    for (metric, expected) in cases {
        let text = format!(
            r#"{{"identity": {{"id": "id"}}, "lists": {{"steps": ["one", "two"]}}, "metrics": [{{"name": "m", {metric}}}]}}"#
        );
        let recorder = pass(&mut mapper(&text, &["id"]), &items(item), true);
        let expected: Vec<String> =
            if expected.is_empty() { Vec::new() } else { vec![format!("m{{id=a}} {expected}")] };
        assert_eq!(recorder.lines, expected, "{metric}");
    }
}

#[test]
fn labels_are_bounded_and_keep_the_text_of_numbers() {
    let text = r#"{"identity": {"id": "id"}, "max_label_bytes": 8, "attributes": {"kind": "kind-of", "upper": "note.upperAscii()"},
        "metrics": [{"name": "m", "value": 1, "attributes": {"note": "note"}}]}"#;
    let long = "ä".repeat(200_000);
    let source = format!(
        r#"[{{"id": {{"S": "a"}}, "kind-of": {{"N": "1.50000000000000000000000001"}}, "note": {{"S": "{long}"}}}}, {{"id": {{"S": "{long}"}}}}, {{"id": {{"S": "b"}}, "kind-of": {{"BOOL": false}}}}, {{"id": {{"S": "c"}}, "note": {{"L": []}}}}]"#
    );
    let mut mapper = mapper(text, &["id"]);
    let recorder = pass(&mut mapper, &items(&source), true);
    assert_eq!(
        recorder.lines,
        ["m{id=a,kind=1.500000,upper=ääää,note=ääää} 1", "m{id=b,kind=false} 1", "m{id=c} held"]
    );
    assert_eq!(recorder.skips[0], "identity_too_long item: id has 400000 bytes, more than the 8 of max_label_bytes");
    assert_eq!((mapper.stats().truncated, mapper.stats().skipped_for(SkipReason::IdentityTooLong)), (3, 1));
}

const AGGREGATES: &str = r#"{"aggregates": [
    {"name": "accounts", "op": "count", "by": {"status": "status"}},
    {"name": "engaged", "op": "count", "of": "size(steps) > 0"},
    {"name": "steps", "op": "sum", "of": "size(steps)", "where": "status != null"},
    {"name": "least", "op": "min", "of": "n", "by": {"status": "status"}},
    {"name": "most", "op": "max", "of": "n", "by": {"status": "status"}},
    {"name": "done", "op": "histogram", "of": "size(steps)", "buckets": [0, 1.5], "unit": "{step}"}
]}"#;

#[test]
fn aggregates_cover_whole_passes_only_and_remember_their_groups() {
    let mut mapper = mapper(AGGREGATES, &["id"]);
    let table = items(
        r#"[{"id": {"S": "a"}, "status": {"S": "on"}, "steps": {"SS": ["x", "y"]}, "n": {"N": "1.5"}}, {"id": {"S": "b"}, "status": {"S": "on"}, "n": {"N": "-2"}},
            {"id": {"S": "c"}, "status": {"S": "off"}, "steps": {"SS": ["x"]}}, {"id": {"S": "d"}, "n": {"S": "bad"}}]"#,
    );
    let sorted = |mut recorder: Recorder| {
        recorder.lines.sort();
        recorder.lines
    };
    let whole =
        ["done_bucket{le=+Inf} 4", "done_bucket{le=0} 2", "done_bucket{le=1.5} 3", "done_count{} 4", "done_sum{} 3"];
    let first = pass(&mut mapper, &table, true);
    assert_eq!(
        first.skips,
        ["wrong_type least: n gives a string, not a number", "wrong_type most: n gives a string, not a number"]
    );
    let mut expected = vec!["accounts{status=off} 1", "accounts{status=on} 2", "accounts{} 1"];
    expected.extend(whole);
    expected.extend(["engaged{} 2", "least{status=on} -2", "most{status=on} 1.5", "steps{} 3"]);
    assert_eq!(sorted(first), expected);

    assert_eq!(pass(&mut mapper, &table[..1], false).lines, [""; 0], "a partial pass says nothing");

    let emptied = [
        "accounts{status=off} 0",
        "accounts{status=on} 0",
        "accounts{} 0",
        "done_bucket{le=+Inf} 0",
        "done_bucket{le=0} 0",
        "done_bucket{le=1.5} 0",
        "done_count{} 0",
        "done_sum{} 0",
        "engaged{} 0",
        "steps{} 0",
    ];
    assert_eq!(sorted(pass(&mut mapper, &[], true)), emptied);
    assert_eq!(mapper.stats().emitted, emptied.len() as u64);
}

#[test]
fn groups_are_bounded_and_the_known_ones_keep_their_places() {
    let mut mapper =
        mapper(r#"{"aggregates": [{"name": "n", "op": "count", "by": {"s": "s"}, "max_groups": 2}]}"#, &["s"]);
    let table = items(r#"[{"s": {"S": "a"}}, {"s": {"S": "b"}}, {"s": {"S": "c"}}, {"s": {"S": "a"}}]"#);
    let mut recorder = pass(&mut mapper, &table, true);
    recorder.lines.sort();
    assert_eq!(recorder.lines, ["n{s=a} 2", "n{s=b} 1"]);
    assert_eq!(recorder.skips, ["group_limit n: n has 2 groups already"]);
}

const VERSIONED: &str = r#"{"identity": {"id": "id"}, "prefer": "updated", "metrics": [{"name": "m", "value": {"attribute": "v"}}], "aggregates": [{"name": "all", "op": "sum", "of": "v"}]}"#;
const VERSIONS: &str = r#"[
    {"id": {"S": "a"}, "sk": {"N": "9"}, "updated": {"S": "2026-01-02"}, "v": {"N": "1"}},
    {"id": {"S": "a"}, "sk": {"N": "10"}, "updated": {"S": "2026-01-01"}, "v": {"N": "2"}},
    {"id": {"S": "b"}, "sk": {"N": "9"}, "v": {"N": "3"}},
    {"id": {"S": "b"}, "sk": {"N": "10"}, "v": {"N": "4"}},
    {"id": {"S": "c"}, "sk": {"N": "1"}, "v": {"N": "5"}}
]"#;

#[test]
fn two_items_of_one_identity_resolve_by_preference_then_by_key() {
    let mut mapper = mapper(VERSIONED, &["id", "sk"]);
    let table = items(VERSIONS);
    let first = pass(&mut mapper, &table, true);
    assert_eq!(
        first.lines,
        ["m{id=a} 1", "m{id=b} 3", "m{id=b} 4", "m{id=c} 5"],
        "b's better item overrides; its sum would count both"
    );
    assert_eq!(first.duplicates, ["a: sk: 9 over sk: 10 by prefer", "b: sk: 10 over sk: 9"]);
    assert!(mapper.stats().aggregates_withheld);
    assert_eq!(mapper.stats().skipped_for(SkipReason::DuplicateIdentity), 2);

    let second = pass(&mut mapper, &table, true);
    let mut lines = second.lines.clone();
    lines.sort();
    assert_eq!(lines, ["all{} 10", "m{id=a} 1", "m{id=b} 4", "m{id=c} 5"], "from now on each goes out once");
    assert_eq!(second.duplicates, first.duplicates);

    let partial = pass(&mut mapper, &table[..3], false);
    assert_eq!(partial.lines, [""; 0], "a partial pass does not decide");

    let resolved = pass(&mut mapper, &table[1..3], true);
    assert_eq!(resolved.duplicates, [""; 0]);
    let third = pass(&mut mapper, &table[1..3], true);
    assert_eq!(third.lines[..2], ["m{id=a} 2", "m{id=b} 3"], "what is not contested any more goes out at once");
}

#[test]
fn the_same_item_read_twice_is_no_duplicate() {
    let table = items(VERSIONS);
    let again = [table[4].clone(), table[4].clone()];
    let mut mapper = mapper(VERSIONED, &["id", "sk"]);
    let recorder = pass(&mut mapper, &again, true);
    assert_eq!(recorder.lines, ["m{id=c} 5", "m{id=c} 5", "all{} 5"]);
    assert_eq!(recorder.duplicates, [""; 0]);
}

#[test]
fn an_identity_that_holds_the_key_needs_no_check() {
    let cases = [
        (r#"{"id": "id"}"#, vec!["id"], false),
        (r#"{"id": "id", "sort": "sk"}"#, vec!["id", "sk"], false),
        (r#"{"id": "id"}"#, vec!["id", "sk"], true),
        (r#"{"id": "id"}"#, vec![], true),
        (r#"{"id": "id + 'x'"}"#, vec!["id"], true),
        (r#"{"id": "item.id"}"#, vec!["id"], false),
    ];
    for (identity, key, may_collide) in cases {
        let plan =
            Plan::compile(&config(&format!(r#"{{"identity": {identity}, "metrics": [{{"name": "m", "value": 1}}]}}"#)))
                .expect("a plan");
        let key = TableKey(key.into_iter().map(str::to_owned).collect());
        assert_eq!(plan.may_collide(&key), may_collide, "{identity} over {key:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order of arrival, and whether the key is known or not, the last value of every identity is the same, pass after pass.
    #[test]
    fn arrival_does_not_decide(order in Just((0..5usize).collect::<Vec<_>>()).prop_shuffle(), knows_key in any::<bool>()) {
        let table = items(VERSIONS);
        let shuffled: Vec<Item> = order.iter().map(|index| table[*index].clone()).collect();
        let mut mapper = mapper(VERSIONED, if knows_key { &["id", "sk"] } else { &[] });
        for round in 0..3 {
            let recorder = pass(&mut mapper, &shuffled, true);
            for (id, value) in [("a", 1), ("b", 4), ("c", 5)] {
                let start = format!("m{{id={id}}} ");
                let of_id: Vec<&String> = recorder.lines.iter().filter(|line| line.starts_with(&start)).collect();
                prop_assert_eq!(of_id.last().copied(), Some(&format!("{start}{value}")));
                prop_assert!(round == 0 || of_id.len() == 1, "{:?}", recorder.lines);
            }
        }
    }
}

#[test]
fn what_is_wrong_with_a_mapping_is_said_at_its_place() {
    let cases: &[(&str, &[&str])] = &[
        ("{}", &["metrics: nothing is made of the items"]),
        (r#"{"metrics": [{"name": "m", "value": 1}]}"#, &["identity: metrics of single items need an identity"]),
        (
            r#"{"identity": {"id": "id"}, "where": "status = 'x'", "metrics": [{"name": "m"}, {"name": "n", "value": {"size": "a b"}}, {"name": "o", "value": "frob(x)"}]}"#,
            &[
                "where: at column 8 of the expression: ",
                "metrics[0]: a metric needs `value` or `info`",
                "metrics[1].value: \"a b\" is not an attribute path: it holds white space",
                "metrics[2].value: at column 5 of the expression: there is no function frob()",
            ],
        ),
        (
            r#"{"identity": {"id": "id"}, "metrics": [{"name": "m", "value": 1, "info": {"a": "a"}}, {"name": "n", "value": {"count_of": "steps"}}]}"#,
            &[
                "metrics[0].info: an info metric has the value 1",
                "metrics[1].value: there is no list steps under `lists`",
            ],
        ),
        (
            r#"{"identity": {"id": "id"}, "resource": {"env": "x"}, "attributes": {"id": "other", "env": "env"}, "metrics": [{"name": "m", "value": 1}]}"#,
            &[
                "metrics[0]: env is both a label of m and a resource attribute",
                "metrics[0]: the label id of m is declared twice",
            ],
        ),
        (
            r#"{"identity": {"id": "id"}, "metrics": [{"name": "m", "value": 1}, {"name": "m", "value": 2}, {"name": "m", "value": 2, "unit": "s"}, {"name": "", "value": 1, "monotonic": true}]}"#,
            &[
                "metrics[3].monotonic: a gauge may fall",
                "metrics[1]: another metric is called m and has the same labels",
                "metrics[2]: another metric is called m and has another type or unit",
                "metrics[3].name: the name is empty",
            ],
        ),
        (
            r#"{"prefer": "x", "aggregates": [{"name": "h", "op": "histogram", "of": "x", "buckets": [2, 1], "by": {"le": "y"}}, {"name": "s", "op": "sum", "buckets": [1]}]}"#,
            &[
                "aggregates[0].buckets: bounds must be finite and rise",
                "aggregates[0].by: a histogram's buckets have the label le already",
                "aggregates[1].of: every aggregate but count needs the value of an item",
                "aggregates[1].buckets: only a histogram has buckets",
                "prefer: it chooses between items of one identity",
                "aggregates: the label le of h_bucket is declared twice",
            ],
        ),
    ];
    for (text, expected) in cases {
        let errors: Vec<String> =
            Plan::compile(&config(text)).expect_err(text).iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), expected.len(), "{text}: {errors:#?}");
        for (error, start) in errors.iter().zip(*expected) {
            assert!(error.starts_with(start), "{text}: {error:?} should start with {start:?}");
        }
    }
}
