//! The dashboards: they are laid out well; that of the shipped pipeline names only metrics that exist, and each of its
//! queries finds data in a real Prometheus. Harder expressions and alerts are held by promtool's tests in `dashboards/tests/`.
//! Needs what `tests/setup.sh` installs; `tests/run.sh` does both.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "common"]
mod common {
    pub mod dashboards;
    pub mod exposition;
    pub mod http;
    pub mod process;
    pub mod prometheus;
    pub mod tools;
    pub mod wait;
}

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use common::dashboards::{self, Dashboard};
use common::prometheus::Prometheus;
use common::tools::{root, tool};
use common::{http, process};
use prost::Message;
use serde_json::Value;

/// Every metric that its dashboard may show: what the shipped pipeline emits.
const CATALOGUE: [&str; 5] = [
    "dynamodb_onboarding_last_complete_pass_timestamp_seconds",
    "dynamodb_onboarding_up",
    "onboarding_account_info",
    "onboarding_completed_steps",
    "onboarding_total_steps",
];

/// The labels that their series have.
const LABELS: [&str; 4] = ["account_id", "account_name", "env", "status"];

/// Words of PromQL that are followed by no parenthesis of their own, or by a list of labels.
const WORDS: [&str; 10] =
    ["and", "bool", "by", "group_left", "group_right", "ignoring", "offset", "on", "or", "unless"];

/// The dashboard of the shipped pipeline.
fn onboarding() -> Dashboard {
    dashboards::named("onboarding.json")
}

#[test]
fn uids_and_ids_are_unique() {
    let mut uids = BTreeSet::new();
    for dashboard in dashboards::all() {
        let uid = dashboard.json["uid"].as_str().unwrap().to_owned();
        assert!(!uid.is_empty() && uids.insert(uid), "{}", dashboard.file);
        let ids: BTreeSet<u64> = dashboard.panels().iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), dashboard.panels().len(), "{}", dashboard.file);
    }
}

#[test]
fn panels_have_room_and_no_two_share_it() {
    for dashboard in dashboards::all() {
        let mut taken = BTreeSet::new();
        for panel in dashboard.panels() {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= 24, "{}: {}", dashboard.file, panel["title"]);
            for cell in (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row))) {
                assert!(taken.insert(cell), "{}: {} lies on another panel at {cell:?}", dashboard.file, panel["title"]);
            }
        }
    }
}

#[test]
fn panels_say_what_they_show_in_which_unit_and_from_where() {
    for dashboard in dashboards::all() {
        for panel in dashboard.panels() {
            let title = panel["title"].as_str().unwrap();
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}");
            assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{title}");
            for part in panel["targets"].as_array().unwrap().iter().chain([panel]) {
                assert_eq!(part["datasource"]["uid"], "${datasource}", "{title}");
            }
        }
    }
}

#[test]
fn every_variable_changes_something() {
    for dashboard in dashboards::all() {
        assert_eq!(dashboard.variable("datasource")["type"], "datasource", "{}", dashboard.file);
        for variable in dashboard.variables().iter().filter(|variable| variable["name"] != "datasource") {
            let name = variable["name"].as_str().unwrap();
            let is_named = |query: &str| query.contains(&format!("${name}")) || query.contains(&format!("${{{name}}}"));
            assert!(dashboard.queries().any(|(_, query)| is_named(query)), "{}: {name}", dashboard.file);
            if variable["type"] == "query" {
                assert_eq!(variable["datasource"]["uid"], "${datasource}", "{}: {name}", dashboard.file);
                assert!(variable["multi"] == true && variable["includeAll"] == true, "{}: {name}", dashboard.file);
            }
        }
    }
    for name in ["account_id", "env", "recent", "stalled"] {
        onboarding().variable(name);
    }
}

#[test]
fn steps_are_drawn_as_stairs() {
    let onboarding = onboarding();
    let panels = onboarding.panels().iter().filter(|panel| panel["type"] == "timeseries");
    let shows_steps = |panel: &&Value| {
        let targets = panel["targets"].as_array().unwrap();
        targets.iter().any(|target| target["expr"].as_str().unwrap().contains("onboarding_completed_steps"))
    };
    let stairs: Vec<&Value> = panels.filter(shows_steps).collect();
    assert!(!stairs.is_empty());
    for panel in stairs {
        assert_eq!(panel["fieldConfig"]["defaults"]["custom"]["lineInterpolation"], "stepAfter", "{}", panel["title"]);
    }
}

/// The names in an expression that are neither functions nor labels nor words of the language.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    let without_texts: String = expression.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut names = BTreeSet::new();
    let mut rest = without_texts.as_str();
    while let Some(start) = rest.find(is_part) {
        let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |len| start + len);
        let (word, after) = (&rest[start..end], &rest[end..]);
        let is_function = after.trim_start().starts_with('(');
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        // An aggregation may stand before its labels: `max by (...) (...)`.
        let is_aggregation = ["by", "without"].iter().any(|by| after.trim_start().starts_with(by));
        if !(is_function || is_number || is_aggregation || WORDS.contains(&word) || LABELS.contains(&word)) {
            names.insert(word.to_owned());
        }
        rest = after;
    }
    names
}

#[test]
fn every_metric_is_one_that_is_emitted() {
    let mut shown = BTreeSet::new();
    let onboarding = onboarding();
    for (title, query) in onboarding.queries() {
        let metrics = metrics_of(&onboarding.fill(query, &[]));
        assert!(!metrics.is_empty(), "{title}: {query}");
        shown.extend(metrics);
    }
    assert_eq!(shown, CATALOGUE.map(str::to_owned).into());
}

/// The unit tests of expressions and alerts: each file with what it says.
fn unit_tests() -> Vec<(PathBuf, Value)> {
    let entries = std::fs::read_dir(root().join("dashboards/tests")).unwrap();
    let read = |path: PathBuf| {
        let yaml = serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        (path, yaml)
    };
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

/// All entries of this kind.
fn entries<'a>(files: &'a [(PathBuf, Value)], kind: &'a str) -> impl Iterator<Item = (&'a PathBuf, &'a Value)> {
    let tests =
        files.iter().flat_map(|(path, yaml)| yaml["tests"].as_array().unwrap().iter().map(move |test| (path, test)));
    tests.flat_map(move |(path, test)| test[kind].as_array().into_iter().flatten().map(move |entry| (path, entry)))
}

#[tokio::test]
async fn unit_tests_are_about_the_dashboards_and_hold() {
    let filled = |dashboard: &Dashboard| -> Vec<String> {
        dashboard.queries().map(|(_, query)| dashboard.fill(query, &[])).collect()
    };
    let queries: BTreeSet<String> = dashboards::all().iter().flat_map(filled).collect();
    let files = unit_tests();
    let mut tested = 0;
    for (file, entry) in entries(&files, "promql_expr_test") {
        let expression = entry["expr"].as_str().unwrap();
        assert!(queries.contains(expression), "{}: no panel shows {expression}", file.display());
        tested += 1;
    }
    assert!(tested > 0);
    promtool(&["test", "rules"], files.iter().map(|(path, _)| path)).await;
}

#[tokio::test]
async fn alert_rules_are_sound_and_each_is_seen_to_fire_and_not_to_fire() {
    let rules = dashboards::files("rules.yml");
    promtool(&["check", "rules"], &rules).await;
    let files = unit_tests();
    for path in rules {
        let yaml: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let groups = yaml["groups"].as_array().unwrap().iter();
        for rule in groups.flat_map(|group| group["rules"].as_array().unwrap()) {
            let Some(name) = rule["alert"].as_str() else { continue };
            let about = entries(&files, "alert_rule_test").filter(|(_, entry)| entry["alertname"] == name);
            let (silent, firing): (Vec<_>, Vec<_>) =
                about.partition(|(_, entry)| entry["exp_alerts"].as_array().is_none_or(Vec::is_empty));
            assert!(!silent.is_empty() && !firing.is_empty(), "{name} is not tested both ways");
            assert!(rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(), "{name}");
        }
    }
}

async fn promtool(args: &[&str], files: impl IntoIterator<Item = &PathBuf>) {
    let mut promtool = Command::new(tool("bin/promtool"));
    let (code, out, err) = process::output(promtool.args(args).args(files), None).await;
    assert_eq!(code, 0, "{out}{err}");
}

/// Remote write 1.0, from its specification.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Minutes of data: more than the day after which an account is stalled.
const MINUTES: i64 = 26 * 60;

/// A series by its labels; the value at each minute.
struct Generated {
    labels: Vec<(&'static str, &'static str)>,
    value: fn(i64) -> f64,
}

/// One account at rest, one that moved half an hour ago, one that is done.
fn generated() -> Vec<Generated> {
    type Account = (&'static str, &'static str, &'static str, fn(i64) -> f64);
    let accounts: [Account; 3] = [
        ("acct-a", "Alpha", "registered", |_| 3.0),
        ("acct-b", "Beta", "submitted", |minute| if minute < MINUTES - 30 { 5.0 } else { 6.0 }),
        ("acct-c", "Gamma", "completed", |_| 8.0),
    ];
    let mut series = Vec::new();
    for (id, name, status, steps) in accounts {
        let named = |metric| vec![("__name__", metric), ("account_id", id), ("env", "test")];
        series.push(Generated { labels: named("onboarding_completed_steps"), value: steps });
        series.push(Generated { labels: named("onboarding_total_steps"), value: |_| 8.0 });
        let mut info = named("onboarding_account_info");
        info.splice(2..2, [("account_name", name)]);
        info.push(("status", status));
        series.push(Generated { labels: info, value: |_| 1.0 });
    }
    let last = "dynamodb_onboarding_last_complete_pass_timestamp_seconds";
    series.push(Generated { labels: vec![("__name__", last), ("env", "test")], value: |minute| minute as f64 * 60.0 });
    let up = "dynamodb_onboarding_up";
    series.push(Generated { labels: vec![("__name__", up), ("env", "test")], value: |_| 1.0 });
    series
}

/// Writes everything up to `end`, milliseconds since the epoch. Half an hour a request: Prometheus takes no sample that
/// is much older than the newest it has.
async fn feed(prometheus: &Prometheus, end: i64) {
    let series = generated();
    let minutes: Vec<i64> = (0..=MINUTES).collect();
    for chunk in minutes.chunks(30) {
        let sample = |value: fn(i64) -> f64, minute: &i64| Sample {
            value: value(*minute),
            timestamp: end - (MINUTES - minute) * 60_000,
        };
        let label = |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
        let one = |series: &Generated| TimeSeries {
            labels: series.labels.iter().map(label).collect(),
            samples: chunk.iter().map(|minute| sample(series.value, minute)).collect(),
        };
        let request = WriteRequest { timeseries: series.iter().map(one).collect() };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
        let headers = [
            ("content-encoding", "snappy"),
            ("content-type", "application/x-protobuf"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ];
        let answer = http::post(&prometheus.write_url(), &headers, body).await.unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
}

#[tokio::test]
async fn every_query_finds_data_in_a_real_prometheus() {
    let prometheus = Prometheus::start().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    feed(&prometheus, now * 1000).await;
    let onboarding = onboarding();
    for (title, query) in onboarding.queries() {
        let found = prometheus.instant(&onboarding.fill(query, &[]), now as f64).await;
        assert!(!found.is_empty(), "{title} shows nothing: {query}");
    }
    // And what they find is right, for those whose answer is one number.
    for panel in onboarding.panels().iter().filter(|panel| panel["type"] == "stat") {
        let query = onboarding.fill(panel["targets"][0]["expr"].as_str().unwrap(), &[]);
        let expected = match panel["title"].as_str().unwrap() {
            "Accounts" => 3.0,
            "Steps done" => 100.0 * 17.0 / 24.0,
            "Complete" | "Changed" | "Stalled" => 1.0,
            "Data as of" => now as f64 - MINUTES as f64 * 60.0,
            other => panic!("{other}: say here what it should show"),
        };
        let found = prometheus.instant(&query, now as f64).await;
        assert!((found[0].1 - expected).abs() < 1e-6, "{}: {found:?}, not {expected}", panel["title"]);
    }
}
