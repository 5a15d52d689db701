//! Ten thousand connections that say nothing, on each listener of OTLP: who sends goes on sending, memory stays bounded, and
//! a listener that is full makes room.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    setrlimit(Resource::Nofile, limit.clone()).expect("the soft limit may rise to the hard one");
    let most = limit.maximum.map_or(usize::MAX, |most| most as usize);
    MANY.min(most.saturating_sub(OTHERS))
}

/// The preface of HTTP/2 and empty settings: what a client of gRPC says before its first request.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn open(port: u16, hello: &[u8], count: usize) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut one = TcpStream::connect(("127.0.0.1", port)).await.expect("it is accepted");
        // It may have been closed already for the sake of a newer one.
        let _ = one.write_all(hello).await;
        all.push(one);
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

async fn start(backend: &Backend, limit: &str) -> (Steadyline, u16, u16) {
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
    (Launch::new(&config).run().await, grpc, http)
}

/// One test: both halves together would need more files than many machines allow.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_disturb_nobody() {
    let many = how_many();
    assert!(many > 2 * DEFAULT, "ulimit -n is too low: {many}");
    let backend = Backend::willing().await;
    let (mut steadyline, grpc, http) = start(&backend, &format!(", max_connections: {}", 2 * MANY)).await;
    let before = resident(&steadyline.process);
    for (port, hello) in [(grpc, HELLO), (http, b"" as &[u8])] {
        let (busy, sent) = keep_sending(grpc);
        let idle = open(port, hello, many).await;
        by_grpc(&Grpc::metrics(grpc)).await;
        by_http(http).await;
        busy.store(false, Ordering::SeqCst);
        assert_eq!(idle.iter().filter(|one| is_open(one)).count(), many, "none is closed");
        let (after, sent) = (resident(&steadyline.process), sent.await.expect("every request was taken"));
        assert!(sent > 0);
        // 30 KiB each are room for the buffers of HTTP/2.
        assert!(after - before < many * 30 / 1024, "{before} MiB, then {after} MiB with {many} connections");
    }
    assert_eq!(steadyline.finish().await.of("exporter", "prometheusremotewrite").lost(), 0.0);

    let (mut steadyline, grpc, http) = start(&backend, "").await;
    for (port, hello) in [(grpc, HELLO), (http, b"" as &[u8])] {
        let (busy, sent) = keep_sending(grpc);
        let idle = open(port, hello, many).await;
        by_grpc(&Grpc::metrics(grpc)).await;
        by_http(http).await;
        until_true("room", async || idle.iter().filter(|one| is_open(one)).count() <= DEFAULT).await;
        busy.store(false, Ordering::SeqCst);
        assert!(sent.await.expect("every request was taken") > 0);
        assert!(!is_open(&idle[0]) && is_open(&idle[many - 1]), "those that idled longest went");
        assert!(idle.iter().filter(|one| is_open(one)).count() > DEFAULT / 2, "and no more than had to");
    }
    assert_eq!(steadyline.finish().await.of("exporter", "prometheusremotewrite").lost(), 0.0);
}

/// A sender that does not stop, over one connection; how often it sent, once it is told to stop.
fn keep_sending(port: u16) -> (Arc<AtomicBool>, tokio::task::JoinHandle<usize>) {
    let busy = Arc::new(AtomicBool::new(true));
    let goes_on = Arc::clone(&busy);
    let sender = tokio::spawn(async move {
        let (client, mut sent) = (Grpc::metrics(port), 0);
        while goes_on.load(Ordering::SeqCst) {
            by_grpc(&client).await;
            sent += 1;
        }
        sent
    });
    (busy, sender)
}

/// Fewer files than connections are allowed: it makes room as if the listener were full.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_runs_out_of_files_still_answers() {
    let backend = Backend::willing().await;
    let (grpc, http) = (free_port(), free_port());
    let config = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}, http: {{endpoint: \"127.0.0.1:{http}\"}}}}}}
exporters:
  prometheusremotewrite: {{endpoint: \"{}\"}}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [prometheusremotewrite]}}
",
        backend.url()
    );
    let mut steadyline = Launch::new(&config).under(&["prlimit", "--nofile=256:256"]).run().await;
    let idle = open(http, b"", 600).await;
    by_http(http).await;
    drop(idle);
    by_grpc(&Grpc::metrics(grpc)).await;
    steadyline.finish().await;
}
