//! An OTLP backend that is not ours: Python, with the official generated types, over gRPC and HTTP. What it receives it
//! prints, one JSON line a request.

use std::process::Command;

use serde_json::Value;

use super::process::Process;
use super::tools::{python, script};

/// The running backend.
pub struct OtlpBackend {
    process: Process,
    /// `127.0.0.1:port` of gRPC.
    pub grpc: String,
    /// `http://127.0.0.1:port` of HTTP.
    pub http: String,
}

impl OtlpBackend {
    /// Starts it; `options` as its script takes them.
    pub async fn start(options: &[&str]) -> OtlpBackend {
        let mut process =
            Process::start("otlp_backend", Command::new(python()).arg(script("otlp_backend.py")).args(options));
        let ports: Value = process
            .wait_line("where it listens", |line| {
                serde_json::from_str::<Value>(line).ok().filter(|line| line["grpc"].is_u64())
            })
            .await;
        OtlpBackend {
            grpc: format!("127.0.0.1:{}", ports["grpc"]),
            http: format!("http://127.0.0.1:{}", ports["http"]),
            process,
        }
    }

    /// All requests so far: `{protocol, headers, taken, request}`.
    pub fn requests(&self) -> Vec<Value> {
        let lines = self.process.stdout();
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["request"].is_object()).collect()
    }

    /// The points that were taken: metric name, `account_id`, value, flags.
    pub fn points(&self) -> Vec<(String, String, f64, u64)> {
        let mut points = Vec::new();
        for request in self.requests().iter().filter(|request| request["taken"] == true) {
            let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
            for resource in list(&request["request"], "resourceMetrics") {
                for metric in list(&resource, "scopeMetrics").iter().flat_map(|scope| list(scope, "metrics")) {
                    let name = metric["name"].as_str().unwrap_or_default();
                    for point in list(&metric["gauge"], "dataPoints") {
                        let account = list(&point, "attributes").iter().find_map(|attribute| {
                            (attribute["key"] == "account_id").then(|| attribute["value"]["stringValue"].clone())
                        });
                        let account = account.as_ref().and_then(Value::as_str).unwrap_or_default().to_string();
                        points.push((name.to_string(), account, number(&point), point["flags"].as_u64().unwrap_or(0)));
                    }
                }
            }
        }
        points
    }
}

/// Protobuf's JSON has 64-bit integers as text.
fn number(point: &Value) -> f64 {
    let int = point["asInt"].as_str().and_then(|text| text.parse().ok());
    int.or_else(|| point["asDouble"].as_f64()).unwrap_or(f64::NAN)
}
