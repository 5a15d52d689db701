//! The Go Collector and Steadyline side by side, each with a receiver of its own, and answering only when what they were
//! sent is there.

use std::process::Command;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use tempfile::TempDir;

use crate::common::http;
use crate::common::process::Process;
use crate::common::remote_write::Series;
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::tools::tool;
use crate::common::wait::{free_port, until_true};
use crate::receiver::Receiver;

/// Both, running.
pub struct Pair {
    pub theirs: Side,
    pub ours: Side,
    pub steadyline: Steadyline,
    _collector: Process,
    _folder: TempDir,
}

/// One of them.
pub struct Side {
    pub grpc: u16,
    http: u16,
    pub receiver: Receiver,
}

impl Side {
    async fn new() -> Side {
        Side { grpc: free_port(), http: free_port(), receiver: Receiver::start().await }
    }

    fn config(&self, exporter: &str, waits: &str) -> String {
        let Side { grpc, http, receiver } = self;
        format!(
            "
receivers:
  otlp:
    protocols: {{grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}, http: {{endpoint: \"127.0.0.1:{http}\"}}}}
    {waits}
exporters:
  prometheusremotewrite:
    endpoint: {}
    {exporter}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [prometheusremotewrite]}}
",
            receiver.url()
        )
    }

    /// Sends a request, and what came of it: the status, and the series that were written.
    pub async fn post(&self, request: &ExportMetricsServiceRequest) -> (u16, Vec<Series>) {
        self.post_bytes(request.encode_to_vec()).await
    }

    /// The same of a body.
    pub async fn post_bytes(&self, body: Vec<u8>) -> (u16, Vec<Series>) {
        let before = self.receiver.series().len();
        let url = format!("http://127.0.0.1:{}/v1/metrics", self.http);
        let headers = [("content-type", "application/x-protobuf")];
        let answer = http::post(&url, &headers, body).await.expect("an answer");
        (answer.status, self.receiver.series().split_off(before))
    }
}

impl Pair {
    /// Starts both with `shared` keys of the exporter, and `ours` beside them in Steadyline.
    pub async fn start(shared: &str, ours: &str) -> Pair {
        let (their_side, our_side) = (Side::new().await, Side::new().await);
        let folder = tempfile::tempdir().unwrap();
        // Without its queue it answers when the request was sent; with its own retries it would do so much later.
        let keys =
            format!("remote_write_queue: {{enabled: false}}\n    retry_on_failure: {{enabled: false}}\n    {shared}");
        let collector = collector(&folder, &their_side.config(&keys, ""), their_side.http).await;
        let config = our_side.config(&format!("{shared}\n    {ours}"), "wait_for_result: true");
        let steadyline = Launch::new(&config).run().await;
        Pair { theirs: their_side, ours: our_side, steadyline, _collector: collector, _folder: folder }
    }
}

/// Starts the Collector and waits until it listens on a port.
pub async fn collector(folder: &TempDir, config: &str, port: u16) -> Process {
    let path = folder.path().join("collector.yaml");
    let config = format!("{config}  telemetry: {{metrics: {{level: none}}}}\n");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(tool("peers/otelcol/otelcol"));
    let process = Process::start("otelcol", command.arg(format!("--config={}", path.display())));
    if port != 0 {
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        until_true("the Collector to listen", listens).await;
    }
    process
}
