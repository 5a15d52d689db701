//! Bad configs: exit code 78, and every finding with its file, line and column, a path and what was expected.

use crate::common::steadyline::Launch;

/// A config that is right.
const GOOD: &str = "\
receivers:
  dynamodb:
    table: t
    metrics: [{name: m, value: {size: a}}]
    identity: {id: id}
exporters:
  debug:
  prometheus: {endpoint: 127.0.0.1:0}
service:
  pipelines:
    metrics: {receivers: [dynamodb], exporters: [debug, prometheus]}
";

/// Both `validate` and `run` refuse it in the same words, which contain all of `parts`.
async fn refused(name: &str, config: &str, parts: &[&str]) {
    let launch = Launch::new(config);
    let (code, out, words) = launch.output(&["validate"]).await;
    assert_eq!(code, 78, "{name}: {words}");
    assert_eq!(out, "", "{name}: what is wrong goes to standard error");
    for part in parts {
        assert!(words.contains(part), "{name}: `{part}` is not in\n{words}");
    }
    let (code, _, same) = launch.output(&["run"]).await;
    assert_eq!((code, same), (78, words), "{name}: `run` checks what `validate` checks");
}

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_good_one_is_good() {
    let (code, out, words) = Launch::new(GOOD).output(&["validate", "--strict"]).await;
    assert_eq!((code, words.as_str()), (0, ""));
    assert!(out.contains("pipelines: metrics"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_values_that_are_wrong_have_a_place() {
    let cases: &[(&str, String, &[&str])] = &[
        (
            "unknown key",
            changed("    table: t", "    tabel: t"),
            &["config.yaml:3:5", "receivers.dynamodb.tabel", "did you mean", "table"],
        ),
        ("unknown section", changed("exporters:", "exportres:"), &["config.yaml:6:1", "exportres", "did you mean"]),
        ("unknown component", changed("  debug:\n", "  debgu:\n"), &["config.yaml:7:3", "exporters.debgu", "debug"]),
        (
            "wrong type",
            changed("table: t", "table: [t]"),
            &["config.yaml:3:12", "receivers.dynamodb.table", "expected"],
        ),
        (
            "wrong duration",
            changed("table: t", "table: t\n    collection_interval: soon"),
            &["config.yaml:4:26", "collection_interval", "expected"],
        ),
        ("missing field", changed("    table: t\n", ""), &["config.yaml:3:5", "receivers.dynamodb.table"]),
        (
            "missing service",
            GOOD.split("service:").next().unwrap().to_string(),
            &["config.yaml:1:1", "service", "expected"],
        ),
        (
            "no pipeline",
            changed("    metrics: {receivers: [dynamodb], exporters: [debug, prometheus]}\n", ""),
            &["pipelines", "nothing to run"],
        ),
        (
            "reference to nothing",
            changed("[debug, prometheus]", "[debug, prometeus]"),
            &["config.yaml:11:57", "prometeus", "did you mean", "prometheus"],
        ),
        (
            "reference to no extension",
            changed("    table: t", "    table: t\n    endpoint: embeded_dynamodb"),
            &["config.yaml:4:15", "receivers.dynamodb.endpoint"],
        ),
        (
            "bad expression",
            changed("    table: t", "    table: t\n    where: size(a >"),
            &["config.yaml:4:12", "receivers.dynamodb.where"],
        ),
    ];
    for (name, config, parts) in cases {
        refused(name, config, parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn yaml_that_is_wrong_has_a_place() {
    let bomb: String = (1..10).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string(), |bomb, n| {
        let before = format!("*a{}, ", n - 1).repeat(10);
        format!("{bomb}a{n}: &a{n} [{}]\n", before.trim_end_matches(", "))
    });
    let cases: &[(&str, String, &[&str])] = &[
        ("tab", changed("  dynamodb:", "\tdynamodb:"), &["config.yaml:2:", "a tab cannot indent"]),
        (
            "duplicate key",
            changed("    table: t\n", "    table: t\n    table: u\n"),
            &["config.yaml:4:5", "table", "config.yaml:3"],
        ),
        ("alias bomb", bomb, &["config.yaml"]),
        ("empty file", String::new(), &["config.yaml", "empty"]),
        (
            "unset variable",
            changed("table: t", "table: ${env:STEADYLINE_TEST_UNSET}"),
            &["config.yaml:3:12", "STEADYLINE_TEST_UNSET"],
        ),
        ("not YAML", "receivers: [".to_string(), &["config.yaml"]),
        ("not UTF-8 text", "receivers: \u{0}".to_string(), &["config.yaml"]),
    ];
    for (name, config, parts) in cases {
        refused(name, config, parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_findings_come_at_once() {
    let config = changed("    table: t", "    tabel: t").replace("[debug, prometheus]", "[debug, prometeus]");
    refused("two mistakes", &config, &["config.yaml:3:5", "config.yaml:11:57", "errors"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_file_is_refused_or_read_and_never_hangs() {
    let line = "# a comment that says nothing at all, many times over\n";
    let config = line.repeat(10 * 1024 * 1024 / line.len()) + GOOD;
    let (code, _, words) = Launch::new(&config).output(&["validate"]).await;
    assert!(code == 78 && words.contains("config.yaml"), "{code} {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_uses_is_a_warning() {
    let config = changed("  debug:\n", "  debug:\n  debug/other:\n");
    let launch = Launch::new(&config);
    let (code, _, words) = launch.output(&["validate"]).await;
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("config.yaml:8:3") && words.contains("debug/other"), "{words}");
    assert_eq!(launch.output(&["validate", "--strict"]).await.0, 78);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unset_variable_of_what_nothing_uses_is_no_error() {
    let config =
        changed("  debug:\n", "  debug:\n  prometheusremotewrite: {endpoint: \"${env:STEADYLINE_TEST_UNSET}\"}\n");
    let (code, _, words) = Launch::new(&config).output(&["validate"]).await;
    assert_eq!(code, 0, "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_can_be_had_as_json() {
    let config = changed("    table: t", "    tabel: t");
    let (code, _, words) = Launch::new(&config).output(&["validate", "--output", "json"]).await;
    assert_eq!(code, 78);
    let found: serde_json::Value = serde_json::from_str(&words).unwrap();
    assert!(found.to_string().contains("receivers.dynamodb.tabel"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_and_a_bad_command_line_are_told_apart() {
    let (code, _, words) = Launch::bare().arg("--config").arg("/nowhere/config.yaml").output(&["validate"]).await;
    assert_eq!(code, 78, "{words}");
    assert!(words.contains("/nowhere/config.yaml"), "{words}");
    assert_eq!(Launch::bare().output(&["validate"]).await.0, 2, "no config named");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_ends_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = changed("127.0.0.1:0", &address);
    let (code, _, words) = Launch::new(&config).with_keys().output(&["run"]).await;
    assert_eq!(code, 1, "{words}");
    assert!(words.contains(&address) && words.contains("prometheus"), "{words}");
}

/// A config of the Collector, as somebody brings it along.
const BROUGHT: &str = "\
receivers:
  otlp: {protocols: {grpc: , http: }}
  mysql: {endpoint: db}
processors:
  cumulativetodelta:
  transform: {metric_statements: []}
exporters:
  prometheusremotewrite:
    endpoint: http://localhost:9009/api/v1/push
    sending_queue: {queue_size: 5000, storage: file_storage}
    wal: {directory: /tmp/wal}
service:
  pipelines:
    metrics: {receivers: [otlp, mysql], processors: [transform, cumulativetodelta], exporters: [prometheusremotewrite]}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_collectors_config_is_told_key_by_key_what_to_do_instead() {
    let parts = [
        "config.yaml:3:3",
        "the receiver `mysql` of the Collector is not supported",
        "sqlquery",
        "the processor `transform` of the Collector is not supported",
        "exporters.prometheusremotewrite.wal",
        "`cumulativetodelta` gives delta sums and histograms",
        "deltatocumulative",
    ];
    refused("brought along", BROUGHT, &parts).await;
    let requests = BROUGHT.replace(", storage: file_storage", "").replace("    wal: {directory: /tmp/wal}\n", "");
    let mended = requests.replace(", mysql]", "]").replace("transform, ", "").replace("  mysql: {endpoint: db}\n", "");
    let mended = mended.replace("  transform: {metric_statements: []}\n", "");
    refused("a queue of requests", &mended, &["sending_queue.queue_size", "counts requests", "64MiB"]).await;
    let (code, _, words) = Launch::new(&mended.replace("5000", "64MiB")).output(&["validate"]).await;
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("delta-to-cumulative"), "{words}");
}
