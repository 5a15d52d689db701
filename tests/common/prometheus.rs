//! A real Prometheus that receives by remote write, asked over its HTTP API, and its storage read by promtool.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::exposition::Labels;
use super::http::{self, encode};
use super::process::{Process, output};
use super::tools::tool;
use super::wait::{free_port, until};

/// A running Prometheus with a storage of its own.
pub struct Prometheus {
    process: Process,
    url: String,
    folder: TempDir,
}

/// One series with its samples: seconds since the epoch, and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its labels, the name among them.
    pub labels: Labels,
    /// Its samples in order of time.
    pub samples: Vec<(f64, f64)>,
}

impl Line {
    /// The longest time between two samples, in seconds.
    pub fn longest_gap(&self) -> f64 {
        self.samples.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max)
    }
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    pub async fn start() -> Prometheus {
        Self::start_with("global: {}\n").await
    }

    /// The same, scraping a target every second.
    #[allow(dead_code, reason = "not every test binary has something to scrape")]
    pub async fn scraping(address: &str) -> Prometheus {
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: test, static_configs: [{{targets: ['{address}']}}]}}]\n"
        );
        Self::start_with(&config).await
    }

    async fn start_with(text: &str) -> Prometheus {
        Self::launch("bin/prometheus", text, &[]).await
    }

    /// Version 3, which takes OTLP and both versions of remote write; built by `tests/peers/run.sh`.
    #[allow(dead_code, reason = "the peers' tests only")]
    pub async fn version_3(text: &str) -> Prometheus {
        let flags = [
            "--web.enable-otlp-receiver",
            "--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest",
            "--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request",
            "--enable-feature=native-histograms,exemplar-storage,metadata-wal-records",
        ];
        Self::launch("peers/prometheus3/prometheus", text, &flags).await
    }

    async fn launch(program: &str, text: &str, flags: &[&str]) -> Prometheus {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, text).expect("the temporary folder takes a file");
        let port = free_port();
        let mut command = Command::new(tool(program));
        command.arg("--web.enable-remote-write-receiver").arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.args(flags);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        let process = Process::start("prometheus", command.current_dir(folder.path()));
        let prometheus = Prometheus { process, url: format!("http://127.0.0.1:{port}"), folder };
        let ready = format!("{}/-/ready", prometheus.url);
        until("prometheus to be ready", async || http::get(&ready).await.filter(|answer| answer.status == 200)).await;
        prometheus
    }

    /// Where to write to.
    pub fn write_url(&self) -> String {
        format!("{}/api/v1/write", self.url)
    }

    /// Where to send metrics by OTLP over HTTP.
    #[allow(dead_code, reason = "the peers' tests only")]
    pub fn otlp_url(&self) -> String {
        format!("{}/api/v1/otlp/v1/metrics", self.url)
    }

    /// Everything that the series of a selector hold in `seconds` before a moment, native histograms included, as its
    /// API tells it.
    #[allow(dead_code, reason = "the peers' tests only")]
    pub async fn raw(&self, selector: &str, seconds: u64, at: f64) -> Vec<Value> {
        self.query(&format!("{selector}[{seconds}s]"), at).await
    }

    /// The exemplars of a selector between two moments, as its API tells them.
    #[allow(dead_code, reason = "the peers' tests only")]
    pub async fn exemplars(&self, selector: &str, start: f64, end: f64) -> Vec<Value> {
        let query = encode(selector);
        let url = format!("{}/api/v1/query_exemplars?query={query}&start={start:.3}&end={end:.3}", self.url);
        let answer = until("exemplars of prometheus", async || http::get(&url).await).await.json();
        answer["data"].as_array().expect("a list").clone()
    }

    /// What a chart shows at a moment, in seconds since the epoch.
    pub async fn instant(&self, query: &str, at: f64) -> Vec<(Labels, f64)> {
        let result = self.query(query, at).await;
        let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).expect("a number");
        result.iter().map(|one| (labels(&one["metric"]), number(&one["value"][1]))).collect()
    }

    /// The raw samples of the series that a selector takes, from `start` to `end`; stale markers are not among them.
    pub async fn lines(&self, selector: &str, start: f64, end: f64) -> Vec<Line> {
        let result = self.query(&format!("{selector}[{}s]", (end - start).ceil()), end).await;
        let sample = |pair: &Value| {
            (pair[0].as_f64().expect("a time"), pair[1].as_str().and_then(|text| text.parse().ok()).expect("a number"))
        };
        let samples = |one: &Value| one["values"].as_array().expect("a list").iter().map(sample).collect();
        result.iter().map(|one| Line { labels: labels(&one["metric"]), samples: samples(one) }).collect()
    }

    async fn query(&self, query: &str, at: f64) -> Vec<Value> {
        let url = format!("{}/api/v1/query?query={}&time={at:.3}", self.url, encode(query));
        let answer = until("an answer of prometheus", async || http::get(&url).await).await.json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().expect("a list").clone()
    }

    /// Every sample in the storage of the series that match, stale markers included: labels as promtool prints them,
    /// value, milliseconds. Ends Prometheus.
    pub async fn dump(mut self, matching: &str) -> Vec<(String, f64, i64)> {
        self.process.signal(rustix::process::Signal::TERM);
        self.process.exit().await;
        let mut command = Command::new(tool("bin/promtool"));
        command.args(["tsdb", "dump", &format!("--match={matching}")]).arg(self.folder.path().join("data"));
        let (code, out, err) = output(&mut command, None).await;
        assert_eq!(code, 0, "{err}");
        let read = |line: &str| {
            let (rest, time) = line.rsplit_once(' ')?;
            let (labels, value) = rest.rsplit_once(' ')?;
            Some((labels.to_string(), value.parse().ok()?, time.parse().ok()?))
        };
        out.lines().map(|line| read(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect()
    }
}

fn labels(metric: &Value) -> Labels {
    let pairs = metric.as_object().expect("labels are an object");
    pairs.iter().map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_string())).collect()
}
