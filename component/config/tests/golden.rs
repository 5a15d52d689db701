//! What a user sees for each thing that can be wrong with a config. `UPDATE_GOLDEN=1 cargo test` rewrites the files
//! under `tests/golden`; review what changed.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;

use steadyline_config::{Diagnostics, RULES, Source, load};
use support::{environment, everything};

fn check(name: &str, diags: &Diagnostics) {
    assert!(!diags.is_empty(), "{name}: nothing was found");
    let text = format!("{}\n{}\n\n{}", diags.to_text(false), diags.to_json(), diags.to_github());
    for diagnostic in diags.sorted() {
        assert!(RULES.iter().any(|(rule, _)| *rule == diagnostic.rule), "{} is not described", diagnostic.rule);
    }
    assert!(!text.contains("hunter2"), "{name} shows a secret:\n{text}");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(golden, text, "{name} has changed; UPDATE_GOLDEN=1 accepts it");
}

/// Decodes `it: {endpoint: e, name: n, <body>}` in block form.
fn decoded(name: &str, body: &str) {
    let (_, diags) = everything(&format!("it:\n  endpoint: e\n  name: n\n{body}"));
    check(name, &diags);
}

fn loaded(name: &str, text: &str) {
    let (tree, diags) = load(&[Source::inline("config.yaml", text)], &[], &environment);
    assert!(tree.is_none(), "{name} was accepted");
    check(name, &diags);
}

#[test]
fn unknown_key() {
    decoded("unknown_key", "  endpont: x\n  tls: {ca_flie: x}\n  colour: red\n");
}

#[test]
fn unsupported_key() {
    decoded("unsupported_key", "  wal: {directory: /x}\n  tls:\n    tpm: {enabled: true}\n");
}

#[test]
fn wrong_type() {
    decoded(
        "wrong_type",
        "  interval: [1]\n  workers: many\n  ratio: \"0.5\"\n  enabled: yes\n  tls: insecure\n  keep: one\n  headers: 3\n  counts: {one: 1, 2: x}\n",
    );
}

#[test]
fn out_of_range() {
    decoded("out_of_range", "  workers: 70000\n  limit: -1\n  interval: 30\n");
}

#[test]
fn missing_field() {
    let (_, diags) = everything("it:\n  interval: 5s\n  rules:\n  - {from: a}\n  - {to: b}\n  - {from: a, to: }\n");
    check("missing_field", &diags);
}

#[test]
fn unknown_variant() {
    decoded("unknown_variant", "  verbosity: detaild\n  value: {sise: x}\n");
}

#[test]
fn wrong_variant_shape() {
    decoded("wrong_variant_shape", "  verbosity: {basic: 1}\n  value: {size: a, constant: 1}\n");
    decoded("variant_without_value", "  value: size\n");
}

#[test]
fn wrong_spelling_of_values() {
    decoded("wrong_spelling", "  interval: 5 minutes\n  limit: 5M\n  auth: sig-v4/amp\n");
}

#[test]
fn everything_at_once() {
    decoded(
        "everything_at_once",
        "  intervall: 5s\n  interval: soon\n  workers: x\n  verbosity: loud\n  rules:\n  - {from: 1, too: 2}\n  - 7\n  tls:\n    insecure: 5\n",
    );
}

#[test]
fn unset_variable() {
    decoded("unset_variable", "  limit: ${env:UNSET_LIMIT}\n  auth: x/${UNSET_NAME}\n  keep: ['${env:LIST}', a]\n");
}

#[test]
fn unreadable_file() {
    decoded("unreadable_file", "  password: ${file:/nowhere/at/all}\n");
}

#[test]
fn bad_expansions() {
    decoded("bad_expansions", "  keep: ['${1}', '${https://x/y}', '${env:a-b}', '${env:LOOP}', '${env:BOMB}']\n");
}

#[test]
fn values_from_outside_are_not_shown() {
    decoded(
        "values_not_shown",
        "  interval: ${env:TOKEN}\n  workers: ${env:TOKEN}\n  verbosity: ${env:TOKEN}\n  limit: x${env:TOKEN}\n  auth: \"${env:TOKEN} a\"\n  value: {constant: \"${env:TOKEN}\"}\n  tls: ${env:TOKEN}\n  rules: [\"${env:USER_PASSWORD}\"]\n",
    );
}

#[test]
fn secrets_are_starred_out_of_excerpts() {
    let (_, diags) = everything(
        "it: {endpoint: e, name: n, password: hunter2, headers: {a: hunter2}, pasword: hunter2, colour: 1}\n",
    );
    check("secrets_in_excerpts", &diags);
}

#[test]
fn tab_indentation() {
    loaded("tab_indentation", "receivers:\n\totlp:\n");
}

#[test]
fn duplicate_key() {
    loaded("duplicate_key", "receivers:\n  otlp: {}\nexporters: {}\nservice:\n  telemetry:\n    a: 1\n    a: 2\n");
}

#[test]
fn alias_bomb() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    loaded("alias_bomb", &text);
}

#[test]
fn many_aliases() {
    let text = format!("a: &a x\nb: [{}]\n", vec!["*a"; 101].join(", "));
    loaded("many_aliases", &text);
}

#[test]
fn many_values() {
    let text = format!("a:\n{}", "- 1\n".repeat(20_000));
    loaded("many_values", &text);
}

#[test]
fn too_deep() {
    loaded("too_deep", &format!("a: {}{}", "[".repeat(70), "]".repeat(70)));
}

#[test]
fn syntax_errors() {
    loaded("unclosed_bracket", "exporters:\n  otlp: {endpoint: [a, b}\nservice:\n");
    loaded("missing_space", "exporters:\n  otlp:\n    endpoint:x\n    tls: {}\n");
    loaded("two_documents", "a: 1\n---\nb: 2\n");
    loaded("unknown_anchor", "a: *nothing\n");
    loaded("anchor_in_itself", "a: &x [*x]\n");
    loaded("not_a_map", "- a\n- b\n");
}

#[test]
fn empty_file() {
    loaded("empty_file", "");
    loaded("only_comments", "# nothing\n");
}

#[test]
fn bad_sets() {
    let sets = ["a.b", "=x", "a[0].b=1", "a.b=[1", "a..b=1"].map(str::to_owned);
    let (tree, diags) = load(&[Source::inline("config.yaml", "a: {b: 1}")], &sets, &environment);
    assert!(tree.is_none());
    check("bad_sets", &diags);
}

#[test]
fn bad_sources() {
    let sources =
        ["https://example.com/a.yaml", "env:UNSET", "file:/nowhere/config.yaml", "yaml:a: b: c"].map(Source::parse);
    let (tree, diags) = load(&sources, &[], &environment);
    assert!(tree.is_none());
    check("bad_sources", &diags);
}
