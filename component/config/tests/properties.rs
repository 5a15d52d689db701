//! What holds for every config: parsing never panics, merging associates, what is written reads back.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use steadyline_config::{ByteSize, Duration, Redact, Secret, Source, decode, load, merge, to_yaml};
use support::{Everything, Rule, Tls, Value, Verbosity, environment, load_text, tree};

/// Maps in which a key has one kind of value: `m*` a map, `l*` a list, the rest a scalar.
fn map(depth: u32) -> BoxedStrategy<serde_json::Value> {
    let scalar = ("[ab]", any::<i32>()).prop_map(|(key, value)| (key, value.into()));
    let list = ("l[ab]", prop::collection::vec(any::<u8>(), 0..3)).prop_map(|(key, value)| (key, value.into()));
    let entry = if depth == 0 {
        prop_oneof![scalar, list].boxed()
    } else {
        prop_oneof![scalar, list, ("m[ab]", map(depth - 1)).prop_map(|(key, value)| (key, value))].boxed()
    };
    prop::collection::vec(entry, 0..4)
        .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect()))
        .boxed()
}

/// Texts that are hard on YAML or on expansion.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "[$ {}a:-]{0,10}",
        Just("null".to_owned()),
        Just("yes".to_owned()),
        Just("0123".to_owned()),
        Just("1e5".to_owned()),
        Just("a\nb: c\n".to_owned()),
        Just("é\u{1f600}".to_owned()),
        Just("${env:PORT}".to_owned()),
        Just("$$".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::Size),
        (-1e6..1e6_f64).prop_map(Value::Constant),
        prop::collection::vec(text(), 0..3).prop_map(|of| Value::Path { of }),
        Just(Value::Present),
    ]
}

fn config() -> impl Strategy<Value = Everything> {
    let first = (text(), text(), 0..=i64::MAX as u64, any::<u64>(), any::<u16>(), -1e9..1e9_f64, any::<bool>());
    let tls = prop::option::of((any::<bool>(), prop::option::of(text())));
    let rules = prop::collection::vec((text(), text()).prop_map(|(from, to)| Rule { from, to }), 0..3);
    let counts = prop::collection::btree_map(any::<u32>(), any::<i64>(), 0..3);
    let second = (prop::option::of(value()), tls, prop::collection::vec(text(), 0..3), rules, counts);
    (first, second).prop_map(
        |((endpoint, name, nanos, bytes, workers, ratio, enabled), (value, tls, keep, rules, counts))| Everything {
            endpoint,
            name,
            interval: std::time::Duration::from_nanos(nanos).into(),
            limit: ByteSize::new(bytes),
            workers,
            ratio,
            enabled,
            verbosity: if enabled { Verbosity::Changes } else { Verbosity::Detailed },
            value,
            password: Secret::default(),
            headers: BTreeMap::new(),
            tls: tls.map(|(insecure, ca_file)| Tls { insecure, ca_file }),
            auth: Some("sigv4auth/amp".parse().unwrap()),
            keep,
            rules,
            counts,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        let (tree, diags) = load_text(&text);
        prop_assert!(tree.is_some() != diags.has_errors());
        diags.to_text(true);
    }

    #[test]
    fn no_yaml_like_text_makes_it_panic(text in "([a-c]: |- |\\[|\\]|\\{|\\}|, |\n|\n  |\t|'|\"|&a |\\*a|\\$\\{env:PORT|\\$\\{|\\}|:-|\\$\\$|<<: |#|\\||>|!!str |é|---\n|%){0,30}") {
        let (tree, mut diags) = load_text(&text);
        prop_assert!(tree.is_some() != diags.has_errors());
        if let Some(tree) = tree {
            let _: Option<Everything> = decode(&tree.root, "", &mut diags);
            to_yaml(&tree.root, Redact::Nothing);
        }
        diags.to_text(false);
        diags.to_json();
        diags.to_github();
    }

    #[test]
    fn no_set_makes_it_panic(set in "[a-b.=\\[\\]\"\\\\{}$: 0-1é]{0,16}") {
        let (_, diags) = load(&[Source::inline("c", "a: {b: [1]}")], std::slice::from_ref(&set), &environment);
        diags.to_text(false);
    }

    #[test]
    fn merging_associates(a in map(2), b in map(2), c in map(2)) {
        let [a, b, c] = [a, b, c].map(|map| tree(&format!("root: {map}")).root);
        let left = merge(merge(a.clone(), b.clone()), c.clone());
        let right = merge(a.clone(), merge(b, c));
        prop_assert_eq!(left, right);
        prop_assert_eq!(merge(a.clone(), a.clone()), a);
    }

    #[test]
    fn durations_and_sizes_read_back(nanos in 0..=i64::MAX as u64, bytes in any::<u64>()) {
        let duration = Duration::from(std::time::Duration::from_nanos(nanos));
        prop_assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration);
        let size = ByteSize::new(bytes);
        prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
    }

    #[test]
    fn what_is_written_reads_back(config in config()) {
        // `$` is the one character that a config reads otherwise than YAML does.
        let json = serde_json::to_string(&config).unwrap().replace('$', "$$");
        let tree = tree(&format!("it: {json}"));
        let mut diags = tree.diagnostics();
        let decoded: Option<Everything> = decode(tree.root.get("it").unwrap(), "it", &mut diags);
        let expected = Everything { password: Secret::new("[redacted]"), ..config };
        prop_assert_eq!(decoded.as_ref(), Some(&expected), "{}", diags.to_text(false));
    }

    #[test]
    fn what_is_printed_reads_back(config in config()) {
        let json = serde_json::to_string(&config).unwrap().replace('$', "$$");
        let first = tree(&format!("it: {json}"));
        let printed = to_yaml(&first.root, Redact::Nothing);
        prop_assert_eq!(&tree(&printed).root, &first.root, "{}", printed);
    }
}
