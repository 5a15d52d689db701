//! Ten thousand connections that say nothing, on each listener of OTLP: who sends goes on sending, memory stays bounded, and
//! a listener that is full makes room.

use std::io::ErrorKind;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use prost::Message;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::backend::Backend;
use crate::common::grpc::Grpc;
use crate::common::http;
use crate::common::process::Process;
use crate::common::steadyline::{Launch, Steadyline, unix_seconds};
use crate::common::wait::{free_port, until_true};

const MANY: usize = 10_000;
/// What the rest of this process may have open.
const OTHERS: usize = 2000;
/// The limit of a listener, unless config says otherwise.
const DEFAULT: usize = 1024;

/// How many can be opened: as many as are wanted, where the machine lets us.
fn how_many() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may rise to the hard one");
    let most = limit.maximum.map_or(usize::MAX, |most| most as usize);
    MANY.min(most.saturating_sub(OTHERS))
}

/// The preface of HTTP/2 and empty settings: what a client of gRPC says before its first request.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Opens so many, while a sender goes on over a connection of its own.
async fn open(port: u16, hello: &[u8], count: usize, sender: &Grpc) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    for n in 0..count {
        let mut one = TcpStream::connect(("127.0.0.1", port)).await.expect("it is accepted");
        // It may have been closed already for the sake of a newer one.
        let _ = one.write_all(hello).await;
        all.push(one);
        if n % 100 == 0 {
            by_grpc(sender).await;
        }
    }
    all
}

/// Whether the other side has not closed it.
fn is_open(one: &TcpStream) -> bool {
    let mut greeting = [0; 256];
    loop {
        match one.try_read(&mut greeting) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn point() -> Vec<u8> {
    let point = NumberDataPoint {
        time_unix_nano: (unix_seconds() * 1e9) as u64,
        value: Some(number_data_point::Value::AsDouble(1.0)),
        ..NumberDataPoint::default()
    };
    let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
    let metrics = vec![Metric { name: "level".into(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

async fn by_grpc(client: &Grpc) {
    assert_eq!(client.send(&point()).await.expect("an answer").code, 0);
}

async fn by_http(port: u16) {
    let url = format!("http://127.0.0.1:{port}/v1/metrics");
    let answer = http::post(&url, &[("content-type", "application/x-protobuf")], point()).await.expect("an answer");
    assert_eq!(answer.status, 200);
}

/// What a process holds in memory, in MiB.
fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

/// OTLP in, remote write out; and the ports.
fn config(backend: &Backend, limit: &str) -> (String, u16, u16) {
    let (grpc, http) = (free_port(), free_port());
    let config = format!(
        "
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: \"127.0.0.1:{grpc}\"{limit}}}
      http: {{endpoint: \"127.0.0.1:{http}\"{limit}}}
exporters:
  prometheusremotewrite: {{endpoint: \"{}\"}}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [prometheusremotewrite]}}
",
        backend.url()
    );
    (config, grpc, http)
}

async fn start(backend: &Backend, limit: &str) -> (Steadyline, u16, u16) {
    let (config, grpc, http) = config(backend, limit);
    (Launch::new(&config).run().await, grpc, http)
}

/// One test: both halves together would need more files than many machines allow.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_disturb_nobody() {
    let many = how_many();
    assert!(many > 2 * DEFAULT, "ulimit -n is too low: {many}");
    let backend = Backend::willing().await;
    let (mut steadyline, grpc, http) = start(&backend, &format!(", max_connections: {}", 2 * MANY)).await;
    let (sender, before) = (Grpc::metrics(grpc), resident(&steadyline.process));
    for (port, hello) in [(grpc, HELLO), (http, b"" as &[u8])] {
        let idle = open(port, hello, many, &sender).await;
        by_grpc(&Grpc::metrics(grpc)).await;
        by_http(http).await;
        assert_eq!(idle.iter().filter(|one| is_open(one)).count(), many, "none is closed");
        let after = resident(&steadyline.process);
        // 30 KiB each are room for the buffers of HTTP/2.
        assert!(after - before < many * 30 / 1024, "{before} MiB, then {after} MiB with {many} connections");
    }
    assert_eq!(steadyline.finish().await.of("exporter", "prometheusremotewrite").lost(), 0.0);

    let (mut steadyline, grpc, http) = start(&backend, "").await;
    let sender = Grpc::metrics(grpc);
    for (port, hello) in [(grpc, HELLO), (http, b"" as &[u8])] {
        let idle = open(port, hello, many, &sender).await;
        by_grpc(&Grpc::metrics(grpc)).await;
        by_http(http).await;
        until_true("room", async || idle.iter().filter(|one| is_open(one)).count() <= DEFAULT).await;
        assert!(!is_open(&idle[0]) && is_open(&idle[many - 1]), "those that idled longest went");
        assert!(idle.iter().filter(|one| is_open(one)).count() > DEFAULT / 2, "and no more than had to");
    }
    assert_eq!(steadyline.finish().await.of("exporter", "prometheusremotewrite").lost(), 0.0);
}

/// Fewer files than connections are allowed: it makes room as if the listener were full.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_runs_out_of_files_still_answers() {
    let backend = Backend::willing().await;
    let (config, grpc, http) = config(&backend, "");
    let mut steadyline = Launch::new(&config).under(&["prlimit", "--nofile=256:256"]).run().await;
    let idle = open(http, b"", 600, &Grpc::metrics(grpc)).await;
    by_http(http).await;
    drop(idle);
    by_grpc(&Grpc::metrics(grpc)).await;
    steadyline.finish().await;
}
