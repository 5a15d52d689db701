//! Typed decoding where nothing is wrong: defaults, null, text as written, types that accept two forms.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use steadyline_config::{ByteSize, ComponentId, Duration, Flat, Secret, decode, decode_text};
use support::{Rule, Tls, Value, Verbosity, environment, everything, tree};

fn decoded<T: serde::de::DeserializeOwned>(value: &str) -> Option<T> {
    let tree = tree(&format!("it: {value}"));
    let mut diags = tree.diagnostics();
    let decoded = decode(tree.root.get("it").unwrap(), "it", &mut diags);
    assert_eq!(decoded.is_some(), !diags.has_errors(), "{}", diags.to_text(false));
    decoded
}

#[test]
fn everything_decodes() {
    let (value, diags) = everything(
        "it:
  endpoint: http://x
  name: 0123
  interval: 1m30s
  limit: 512KiB
  workers: 1e3
  ratio: 1
  enabled: true
  verbosity: changes
  value: {size: steps}
  password: 1e5
  headers: {a: 'Bearer ${env:TOKEN}', b: true}
  tls: {insecure: true}
  auth: sigv4auth/amp
  keep: [a, 1, 1.50]
  rules: [{from: a, to: b}]
  counts: {1: -1}
",
    );
    let value = value.unwrap_or_else(|| panic!("{}", diags.to_text(false)));
    assert!(diags.is_empty());
    assert_eq!(value.name, "0123");
    assert_eq!(value.interval, Duration::from_secs(90));
    assert_eq!(value.limit, ByteSize::kib(512));
    assert_eq!((value.workers, value.ratio, value.enabled), (1000, 1.0, true));
    assert_eq!((value.verbosity, value.value), (Verbosity::Changes, Some(Value::Size("steps".to_owned()))));
    assert_eq!(value.password.expose(), "1e5");
    assert_eq!(value.headers["a"].expose(), "Bearer hunter2-do-not-show");
    assert_eq!(value.headers["b"].expose(), "true");
    assert_eq!(value.tls, Some(Tls { insecure: true, ca_file: None }));
    assert_eq!(value.auth.as_ref().map(ComponentId::type_name), Some("sigv4auth"));
    assert_eq!(value.keep, ["a", "1", "1.50"]);
    assert_eq!(value.rules, [Rule { from: "a".to_owned(), to: "b".to_owned() }]);
    assert_eq!(value.counts, BTreeMap::from([(1, -1)]));
    assert_eq!(diags.secrets().iter().collect::<Vec<_>>(), ["it.headers.a", "it.headers.b", "it.password"]);
}

#[test]
fn text_from_a_variable_stays_as_it_is_where_text_is_wanted() {
    let cases = [
        ("${env:ZEROS}", "0123"),
        ("${env:EXPONENT}", "1e5"),
        ("${env:LIST}", "[a, b]"),
        ("${env:EMPTY}", ""),
        ("'${env:UNSET:-true}'", "true"),
    ];
    for (written, expected) in cases {
        assert_eq!(decoded::<String>(written).as_deref(), Some(expected), "{written}");
    }
    assert_eq!(decoded::<u32>("${env:ZEROS}"), Some(123));
    assert_eq!(decoded::<Vec<String>>("${env:LIST}"), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(decoded::<Option<ComponentId>>("'${env:UNSET:-}'"), Some(None));
}

#[test]
fn an_empty_body_keeps_the_defaults() {
    assert_eq!(decoded::<Tls>(""), Some(Tls::default()));
    let (value, diags) = everything(
        "it: {endpoint: e, name: n, interval: , workers: , tls: , keep: , headers: , verbosity: , password: '${env:EMPTY}', limit: '${env:EMPTY}'}",
    );
    let value = value.unwrap_or_else(|| panic!("{}", diags.to_text(false)));
    assert_eq!((value.workers, value.interval, value.tls, value.limit), (4, Duration::ZERO, None, ByteSize::default()));
    assert!(value.password.is_empty() && value.keep.is_empty() && value.headers.is_empty());
}

#[test]
fn a_value_is_given_beside_an_unknown_key_but_not_beside_a_wrong_one() {
    let (value, diags) = everything("it: {endpoint: e, name: n, colour: red}");
    assert!(value.is_some() && diags.error_count() == 1);
    let (value, diags) = everything("it: {endpoint: e, name: n, workers: red}");
    assert!(value.is_none() && diags.error_count() == 1);
}

/// A list of names, or one of them, or a map with details.
#[derive(Debug, PartialEq)]
enum Names {
    One(String),
    Rule(Rule),
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;

        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a rule")
            }

            fn visit_str<E>(self, text: &str) -> Result<Names, E> {
                Ok(Names::One(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Names, A::Error> {
                Rule::deserialize(MapAccessDeserializer::new(map)).map(Names::Rule)
            }
        }

        deserializer.deserialize_any(NamesVisitor)
    }
}

#[test]
fn a_type_may_accept_two_forms_and_still_report_everything() {
    assert_eq!(decoded::<Names>("a"), Some(Names::One("a".to_owned())));
    let rule = Rule { from: "a".to_owned(), to: "b".to_owned() };
    assert_eq!(decoded::<Names>("{from: a, to: b}"), Some(Names::Rule(rule)));

    let tree = tree("it: [{from: [1], too: x}, 5, {form: y, to: z}]");
    let mut diags = tree.diagnostics();
    assert_eq!(decode::<Vec<Names>>(tree.root.get("it").unwrap(), "it", &mut diags), None);
    let found: Vec<(&str, &str, Option<&str>)> =
        diags.sorted().into_iter().map(|found| (found.rule, found.path.as_str(), found.help.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("missing-field", "it[0].to", None),
            ("wrong-type", "it[0].from", None),
            ("unknown-key", "it[0].too", Some("did you mean `to`?")),
            ("wrong-type", "it[1]", None),
            ("missing-field", "it[2].from", None),
            ("unknown-key", "it[2].form", Some("did you mean `from`?")),
        ]
    );
}

#[test]
fn an_old_name_is_taken_and_both_names_are_refused() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Renamed {
        #[serde(alias = "old_name")]
        new_name: u8,
        other: u8,
    }
    assert_eq!(decoded::<Renamed>("{old_name: 1, other: 2}"), Some(Renamed { new_name: 1, other: 2 }));
    let error = decode_text::<Renamed>("{old_name: 1, new_name: 1, other: x}", &environment).unwrap_err();
    assert_eq!(error.sorted()[0].rule, "duplicate-key");
}

#[test]
fn a_required_part_that_is_missing_does_not_hide_other_errors() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        _id: ComponentId,
        _wait: Duration,
        _size: ByteSize,
        _secret: Secret,
        _rule: Rule,
        _value: Value,
        _pair: (u8, String),
        _number: f32,
    }
    let error = decode_text::<Outer>("{_number: x, colour: red}", &environment).map(|_| ()).unwrap_err();
    let rules: Vec<&str> = error.sorted().iter().map(|found| found.rule).collect();
    let missing = ["missing-field"; 7];
    assert_eq!(rules, [&missing[..], &["wrong-type", "unknown-key"]].concat());
}

#[test]
fn as_many_errors_as_there_can_be_are_reported() {
    let keys: String = (0..9_000).map(|at| format!("  key{at}: x\n")).collect();
    let numbers = "n, ".repeat(9_000);
    let (value, diags) = everything(&format!("it:\n{keys}  counts: {{1: x}}\n  endpoint: e\n  name: n\n"));
    assert!(value.is_none());
    assert_eq!(diags.error_count(), 9_001);
    // Wrong values are told up to a number that nobody reads to the end.
    let wrong = decode_text::<Vec<u8>>(&format!("[{numbers}]"), &environment).unwrap_err();
    assert_eq!(wrong.error_count(), 200);
}

#[test]
fn a_text_decodes_by_itself() {
    assert_eq!(decode_text::<Tls>("", &environment).unwrap(), Tls::default());
    assert_eq!(decode_text::<Tls>("insecure: true", &environment).unwrap().ca_file, None);
    assert!(decode_text::<Tls>("insecur: true", &environment).unwrap_err().to_text(false).contains("did you mean"));
    assert!(decode_text::<Tls>("insecure: [", &environment).is_err());
    assert_eq!(decode_text::<u16>("${env:PORT}", &environment).unwrap(), 8080);
}

#[test]
fn secrets_are_found_wherever_they_are() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nested {
        #[serde(rename = "list")]
        _list: Vec<BTreeMap<String, Secret>>,
        #[serde(rename = "maybe")]
        _maybe: Option<Secret>,
    }
    let tree = tree("it: {list: [{a: x}, {b.c: y}], maybe: z}");
    let mut diags = tree.diagnostics();
    assert!(decode::<Nested>(tree.root.get("it").unwrap(), "it", &mut diags).is_some());
    let found: Vec<&str> = diags.secrets().iter().collect();
    assert_eq!(found, ["it.list[0].a", "it.list[1][\"b.c\"]", "it.maybe"]);
}

/// What a component has of its own, with a field that it needs.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    table: String,
    #[serde(default)]
    size: u8,
}

/// What others have, too.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Access {
    region: String,
    password: Secret,
    wait: Duration,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
struct Wrapped(Flat<Access, Tls>);

#[test]
fn structs_that_share_a_map_each_take_their_own() {
    let text = "it: {table: t, region: r, password: hunter2, wait: 5s, insecure: true, size: 3}";
    let tree = tree(text);
    let mut diags = tree.diagnostics();
    let both: Flat<Own, Wrapped> = decode(tree.root.get("it").unwrap(), "it", &mut diags).unwrap();
    assert!(!diags.has_errors(), "{}", diags.to_text(false));
    assert_eq!(both.own, Own { table: "t".to_owned(), size: 3 });
    let Wrapped(Flat { own, shared }) = both.shared;
    assert_eq!((own.region.as_str(), own.password.expose(), own.wait), ("r", "hunter2", Duration::from_secs(5)));
    assert!(shared.insecure);
    assert_eq!(diags.secrets().iter().collect::<Vec<_>>(), ["it.password"]);
    assert_eq!(decoded::<Flat<Access, Tls>>(""), Some(Flat::default()));
}

#[test]
fn what_is_wrong_in_a_shared_map_is_all_reported_and_once() {
    let tree = tree("it: {regoin: r, colour: red, wait: soon, size: 300, insecure: 5}");
    let mut diags = tree.diagnostics();
    assert_eq!(decode::<Flat<Own, Wrapped>>(tree.root.get("it").unwrap(), "it", &mut diags), None);
    let found: Vec<(&str, &str, Option<&str>)> =
        diags.sorted().into_iter().map(|found| (found.rule, found.path.as_str(), found.help.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("missing-field", "it.table", None),
            ("unknown-key", "it.regoin", Some("did you mean `region`?")),
            ("unknown-key", "it.colour", None),
            ("invalid-value", "it.wait", None),
            ("invalid-value", "it.size", None),
            ("wrong-type", "it.insecure", None),
        ]
    );
    let unknown = diags.sorted()[2].expected.clone().unwrap();
    assert_eq!(unknown, "one of `table`, `size`, `region`, `password`, `wait`, `insecure`, `ca_file`");
    for text in ["[a]", "5"] {
        let wrong = decode_text::<Flat<Access, Tls>>(text, &environment).unwrap_err();
        assert_eq!((wrong.error_count(), wrong.sorted()[0].rule), (1, "wrong-type"), "{text}");
    }
}

#[test]
fn a_shared_map_describes_itself_as_one() {
    #[derive(schemars::JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[derive(Default)]
    struct First {
        _one: u8,
    }
    #[derive(schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Second {
        _two: u8,
    }
    #[derive(schemars::JsonSchema)]
    #[serde(transparent)]
    struct Around(#[allow(dead_code)] Flat<Second, First>);
    let schema = schemars::schema_for!(Flat<First, Around>).to_value();
    let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["_one", "_two"]);
    assert_eq!(schema["required"], serde_json::json!(["_two"]));
    assert_eq!((&schema["additionalProperties"], &schema["title"]), (&false.into(), &"First".into()));
}
