//! From sources to the resolved tree: sources, merging, `--set`, expansion, limits, printing.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;

use steadyline_config::{
    Diagnostic, Diagnostics, Kind, MAX_FILE_BYTES, Node, Origin, Redact, Source, Tree, decode, load, to_json, to_yaml,
};
use support::{environment, everything, load_text, tree};

fn rules(diags: &Diagnostics) -> Vec<&'static str> {
    diags.sorted().into_iter().map(|diagnostic| diagnostic.rule).collect()
}

fn plain(node: &Node) -> String {
    let json: serde_json::Value = serde_json::from_str(&to_json(node, Redact::Nothing)).unwrap();
    json.to_string()
}

fn loaded(sources: &[&str], sets: &[&str]) -> Tree {
    let sources: Vec<Source> =
        sources.iter().enumerate().map(|(at, text)| Source::inline(format!("{at}.yaml"), *text)).collect();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let (tree, diags) = load(&sources, &sets, &environment);
    tree.unwrap_or_else(|| panic!("{}", diags.to_text(false)))
}

#[test]
fn maps_merge_deeply_lists_are_replaced_and_null_removes() {
    let cases: [(&[&str], &str); 5] = [
        (&["a: {b: 1, c: 2}", "a: {c: 3, d: 4}"], r#"{"a":{"b":1,"c":3,"d":4}}"#),
        (&["a: [1, 2]", "a: [3]"], r#"{"a":[3]}"#),
        (&["a: {b: {c: 1}}", "a: {b: }"], r#"{"a":{"b":null}}"#),
        (&["a: {b: 1}", "a: 2"], r#"{"a":2}"#),
        (&["a: 1", "a: {b: 2}", "b: 3"], r#"{"a":{"b":2},"b":3}"#),
    ];
    for (sources, expected) in cases {
        assert_eq!(plain(&loaded(sources, &[]).root), expected, "{sources:?}");
    }
}

#[test]
fn sets_come_last_and_are_yaml() {
    let sets = ["a.b=2", "a.list=[x, y]", "new.deep.key=true", r#"a["x.y"]=z"#, "a.text='5'", "a.none=", "a.eq=b=c"];
    let tree = loaded(&["a: {b: 1, c: 3}"], &sets);
    let expected = r#"{"a":{"b":2,"c":3,"list":["x","y"],"x.y":"z","text":"5","none":null,"eq":"b=c"},"new":{"deep":{"key":true}}}"#;
    assert_eq!(plain(&tree.root), expected);
    let place = tree.root.at_path("a.b").unwrap().place();
    assert_eq!(place.to_string(), "--set:1:5");
}

#[test]
fn a_config_comes_from_a_file_a_variable_or_a_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "receivers: {{otlp: }}").unwrap();
    let path = file.path().display().to_string();
    let arguments = [
        path.clone(),
        format!("file:{path}"),
        "env:CONFIG".to_owned(),
        "yaml:exporters::debug::verbosity: detailed".to_owned(),
    ];
    let sources: Vec<Source> = arguments.iter().map(|argument| Source::parse(argument)).collect();
    let (tree, diags) = load(&sources, &[], &environment);
    let tree = tree.unwrap_or_else(|| panic!("{}", diags.to_text(false)));
    assert_eq!(plain(&tree.root), r#"{"receivers":{"otlp":null},"exporters":{"debug":{"verbosity":"detailed"}}}"#);
    assert_eq!(&*tree.root.get("receivers").unwrap().place().file, path);
}

#[test]
fn a_whole_expansion_has_the_type_of_what_it_brings() {
    let cases = [
        ("${env:PORT}", "8080"),
        ("${PORT}", "8080"),
        ("\"${env:PORT}\"", "8080"),
        ("${env:LIST}", r#"["a","b"]"#),
        ("${env:MAP}", r#"{"insecure":true}"#),
        ("${env:UNSET:-5}", "5"),
        ("'${env:UNSET:-[prometheus, debug]}'", r#"["prometheus","debug"]"#),
        ("'${env:UNSET:-${env:PORT}}'", "8080"),
        ("'${env:PORT:-${env:UNSET}}'", "8080"),
        ("'${env:${env:NAME}}'", "8080"),
        ("${env:INDIRECT}", "8080"),
        ("'${env:UNSET:-{a: {b: 1}}}'", r#"{"a":{"b":1}}"#),
        ("'${env:UNSET:-}'", r#""""#),
        ("${env:EMPTY:-default}", r#""""#),
        ("${env:EXPONENT}", "100000.0"),
    ];
    for (written, expected) in cases {
        assert_eq!(plain(tree(&format!("a: {written}")).root.get("a").unwrap()), expected, "{written}");
    }
}

#[test]
fn an_expansion_inside_of_text_is_text() {
    let cases = [
        ("x${env:PORT}y", "x8080y"),
        ("${env:PORT}0", "80800"),
        ("'http://h:${env:PORT}/${env:UNSET:-p}'", "http://h:8080/p"),
        ("'x ${env:LIST}'", "x [a, b]"),
        ("$${env:PORT}", "${env:PORT}"),
        ("$$$${a}", "$${a}"),
        ("a$$b", "a$b"),
        ("a$b ${", "a$b ${"),
        ("${env:PORT", "${env:PORT"),
        ("cost $5", "cost $5"),
        ("${env:DOLLARS}", "pa$$word$1"),
        ("x${env:DOLLARS}", "xpa$$word$1"),
        ("x${env:UNSET:-a$$b}", "xa$b"),
    ];
    for (written, expected) in cases {
        assert_eq!(tree(&format!("a: {written}")).root.get("a").unwrap().as_str(), Some(expected), "{written}");
    }
}

#[test]
fn a_value_cannot_add_keys_around_itself() {
    let tree = tree("a:\n  b: ${env:INJECTION}\n  c: x${env:INJECTION}\n  d: 1\n");
    let keys: Vec<&str> = tree.root.get("a").unwrap().entries().iter().map(|entry| &*entry.key.text).collect();
    assert_eq!(keys, ["b", "c", "d"]);
    assert_eq!(tree.root.at_path("a.b").unwrap().as_str(), Some("x\nadmin: true"));
}

#[test]
fn what_is_not_used_need_not_be_set() {
    let tree = tree("used: {a: 1}\nunused: {b: '${env:UNSET}', c: '${file:/nowhere}'}\n");
    let mut diags = tree.diagnostics();
    let used: Option<std::collections::BTreeMap<String, u8>> =
        decode(tree.root.get("used").unwrap(), "used", &mut diags);
    assert!(used.is_some() && diags.is_empty());
    assert!(matches!(tree.root.at_path("unused.b").unwrap().kind(), Kind::Poison(_)));
    let unused: Option<std::collections::BTreeMap<String, String>> =
        decode(tree.root.get("unused").unwrap(), "unused", &mut diags);
    assert!(unused.is_none());
    assert_eq!(rules(&diags), ["unset-variable", "unreadable-file"]);
}

#[test]
fn a_file_brings_its_text_without_the_last_newline() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "s3cr3t: x # not a comment").unwrap();
    let path = file.path().display();
    let (value, diags) =
        everything(&format!("it: {{endpoint: e, name: 'a ${{file:{path}}}', password: '${{file:{path}}}'}}"));
    let value = value.unwrap_or_else(|| panic!("{}", diags.to_text(false)));
    assert_eq!(value.password.expose(), "s3cr3t: x # not a comment");
    assert_eq!(value.name, "a s3cr3t: x # not a comment");
}

#[test]
fn limits_on_expansion_hold() {
    let many: String = (0..1001).map(|at| format!("k{at}: ${{env:PORT}}\n")).collect();
    assert_eq!(rules(&load_text(&many).1), ["too-many-expansions"]);

    let big = |name: &str| (name == "BIG").then(|| "x".repeat(6_000_000));
    let (tree, diags) = load(&[Source::inline("c", "a: ${env:BIG}\nb: '${env:BIG} '")], &[], &big);
    assert!(tree.is_none());
    assert_eq!(rules(&diags), ["expansion-too-large"]);

    let deep = |name: &str| (name == "DEEP").then(|| format!("{}{}", "[".repeat(60), "]".repeat(60)));
    let (_, diags) = load(&[Source::inline("c", "a: [[[[[['${env:DEEP}']]]]]]")], &[], &deep);
    assert_eq!(rules(&diags), ["too-deep"]);

    let wide = |name: &str| (name == "WIDE").then(|| format!("[{}]", "1, ".repeat(9_000)));
    let (_, diags) = load(
        &[Source::inline(
            "c",
            "[a: '${env:WIDE}', b: '${env:WIDE}', c: '${env:WIDE}']"
                .trim_matches(['[', ']'])
                .replace(", ", "\n")
                .as_str(),
        )],
        &[],
        &wide,
    );
    assert_eq!(rules(&diags), ["too-many-values"]);

    let nested = |name: &str| {
        let at: usize = name.strip_prefix('V')?.parse().ok()?;
        Some(format!("[\"${{env:V{}}}\"]", at + 1))
    };
    let (_, diags) = load(&[Source::inline("c", "a: ${env:V0}")], &[], &nested);
    assert_eq!(rules(&diags), ["too-deep"]);
}

#[test]
fn files_that_are_no_config_are_refused() {
    let check = |bytes: &[u8], rule: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let (tree, diags) = load(&[Source::File(file.path().into())], &[], &environment);
        assert!(tree.is_none());
        assert_eq!(rules(&diags), [rule]);
    };
    check(&vec![b'#'; MAX_FILE_BYTES + 1], "file-too-large");
    check(b"a: \xff\xfe", "not-text");
    check(b"", "empty-config");
    let (_, diags) = load(&[Source::File(std::env::temp_dir())], &[], &environment);
    assert_eq!(rules(&diags), ["unreadable-file"]);
    let (tree, diags) = load(&[], &[], &environment);
    assert!(tree.is_none());
    assert_eq!(rules(&diags), ["empty-config"]);
}

#[test]
fn a_file_of_ten_megabytes_is_read() {
    let text = format!("a: 1\n{}", "# a comment that fills the line up to some width\n".repeat(200_000));
    assert!(text.len() < MAX_FILE_BYTES && text.len() > 9_000_000);
    assert_eq!(plain(&tree(&text).root), r#"{"a":1}"#);
}

#[test]
fn the_flagship_reads_as_it_is_meant() {
    let text = r#"
extensions:
  health_check:
  sigv4auth/amp: {region: "${env:AMP_REGION:-us-east-1}", assume_role: {arn: "${env:AMP_WRITER_ROLE_ARN:-}"}}
receivers:
  dynamodb/onboarding:
    endpoint: ${env:DYNAMODB_ENDPOINT:-embedded_dynamodb}  # an extension's name, a URL, or `aws`
    where: status in ["visited", "registered"] || size(completed_steps) > 0
    metrics:
      - {name: onboarding_completed_steps, unit: "{step}", value: {size: completed_steps}}
exporters:
  otlp: {headers: {authorization: "Bearer ${env:OTLP_TOKEN:-}"}}
service:
  pipelines:
    metrics/onboarding: {receivers: [dynamodb/onboarding], exporters: "${env:EXPORTERS:-[prometheus, debug]}"}
"#;
    let root = tree(text).root;
    let at = |path: &str| plain(root.at_path(path).unwrap());
    assert_eq!(
        at("extensions"),
        r#"{"health_check":null,"sigv4auth/amp":{"region":"us-east-1","assume_role":{"arn":""}}}"#
    );
    assert_eq!(at("receivers.dynamodb/onboarding.endpoint"), r#""embedded_dynamodb""#);
    assert_eq!(
        at("receivers.dynamodb/onboarding.where"),
        r#""status in [\"visited\", \"registered\"] || size(completed_steps) > 0""#
    );
    assert_eq!(at("receivers.dynamodb/onboarding.metrics[0].unit"), r#""{step}""#);
    assert_eq!(at("exporters.otlp.headers.authorization"), r#""Bearer ""#);
    assert_eq!(at("service.pipelines.metrics/onboarding.exporters"), r#"["prometheus","debug"]"#);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    let tree = tree("\u{feff}a: 1\r\nb: x\r\n");
    assert_eq!(plain(&tree.root), r#"{"a":1,"b":"x"}"#);
    assert_eq!(tree.root.get("b").unwrap().place().to_string(), "config.yaml:2:4");
}

#[test]
fn anchors_and_merge_keys_work() {
    let tree =
        tree("base: &base {a: 1, b: 2}\nuse: *base\nmerged:\n  <<: *base\n  b: 3\ntwo:\n  <<: [*base, {c: 4}]\n");
    assert_eq!(plain(tree.root.get("use").unwrap()), r#"{"a":1,"b":2}"#);
    assert_eq!(plain(tree.root.get("merged").unwrap()), r#"{"b":3,"a":1}"#);
    assert_eq!(plain(tree.root.get("two").unwrap()), r#"{"a":1,"b":2,"c":4}"#);
    assert_eq!(tree.root.get("use").unwrap().place().line, 2);
    assert_eq!(tree.root.at_path("use.a").unwrap().place().line, 1);
}

#[test]
fn places_are_exact() {
    let text = "# é\nservice:\n  pipelines: {metrics: [\"a\", bcd]}\n";
    let tree = tree(text);
    let node = tree.root.at_path("service.pipelines.metrics[1]").unwrap();
    let place = node.place();
    assert_eq!((place.line, place.column), (3, 30));
    assert_eq!(&text[place.range()], "bcd");
    let key = &tree.root.get("service").unwrap().entry("pipelines").unwrap().key;
    assert_eq!(&text[key.place.range()], "pipelines");
    assert_eq!(tree.root.at_path("service.nothing"), None);
}

#[test]
fn printing_hides_secrets_and_nothing_else() {
    let text = "
exporters:
  a: {endpoint: e, name: '${env:TOKEN}', password: '${env:TOKEN}', headers: {x: y}, tls: {ca_file: /x}}
  undecoded: {password: literal, api_token: '${env:TOKEN}', key_file: /k, note: n, tokens: [t]}
";
    let tree = tree(text);
    let mut diags = tree.diagnostics();
    let _: Option<support::Everything> = decode(tree.root.at_path("exporters.a").unwrap(), "exporters.a", &mut diags);
    assert_eq!(diags.secrets().iter().collect::<Vec<_>>(), ["exporters.a.headers.x", "exporters.a.password"]);
    let yaml = to_yaml(&tree.root, Redact::Secrets(diags.secrets()));
    let expected = "\
exporters:
  a:
    endpoint: e
    name: hunter2-do-not-show
    password: '[redacted]'
    headers:
      x: '[redacted]'
    tls:
      ca_file: /x
  undecoded:
    password: '[redacted]'
    api_token: '[redacted]'
    key_file: /k
    note: n
    tokens:
    - t
";
    assert_eq!(yaml, expected);
    assert!(to_yaml(&tree.root, Redact::Nothing).contains("password: hunter2-do-not-show"));
    assert!(!to_json(&tree.root, Redact::Secrets(diags.secrets())).contains("literal"));
}

#[test]
fn origins_tell_what_was_written() {
    let tree = tree("a: x\nb: '${env:PORT}'\nc: 'h:${env:PORT}'\n");
    assert_eq!(*tree.root.get("a").unwrap().origin(), Origin::Literal);
    for (key, expected) in [("b", "${env:PORT}"), ("c", "h:${env:PORT}")] {
        let expected = Origin::Expanded { written: expected.into(), from_file: false };
        assert_eq!(*tree.root.get(key).unwrap().origin(), expected);
    }
}

#[test]
fn checks_of_ones_own_find_their_place() {
    let tree = tree("receivers:\n  x:\n    where: a ==\n    list: [1, 2]\n");
    let node = tree.root.at_path("receivers.x").unwrap();
    let mut diags = tree.diagnostics();
    diags.push(Diagnostic::error("bad-expression", "no right side").at_node(node, "receivers.x", "where"));
    diags.push(Diagnostic::warning("odd", "twice").at_node(node, "receivers.x", "list[1].deeper"));
    diags.push(Diagnostic::warning("odd", "twice").at_node(node, "receivers.x", "list[1].deeper"));
    let found: Vec<(String, String)> = diags
        .sorted()
        .into_iter()
        .map(|diagnostic| (diagnostic.path.clone(), diagnostic.place.as_ref().unwrap().to_string()))
        .collect();
    let pair = |path: &str, place: &str| (path.to_owned(), place.to_owned());
    assert_eq!(
        found,
        [pair("receivers.x.where", "config.yaml:3:12"), pair("receivers.x.list[1].deeper", "config.yaml:4:15")]
    );
    assert_eq!((diags.error_count(), diags.warning_count()), (1, 1));
}
