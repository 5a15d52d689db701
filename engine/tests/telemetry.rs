//! The process's own telemetry: scraped, sent, down a pipeline, traced; and none of it in the way of data.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use steadyline_component::{Clock, Outcome, OwnMetrics, Until};
use steadyline_config::{Source, load};
use steadyline_engine::{Shared, build};
use steadyline_http::testkit::{Backend, Recorded, Reply};
use steadyline_http::{Client, ClientOptions};
use steadyline_telemetry::{MetricKind, Value};
use support::*;

fn config(name: &str, telemetry: &str) -> String {
    format!(
        "receivers: {{source: {{name: {name}}}}}\n\
         processors: {{halves: {{}}}}\n\
         exporters: {{backend: {{name: {name}}}}}\n\
         service:\n  telemetry: {telemetry}\n  \
         pipelines: {{metrics: {{receivers: [source], processors: [halves], exporters: [backend]}}}}\n"
    )
}

fn pull(keys: &str) -> String {
    format!("{{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0{keys}}}}}}}}}]}}}}")
}

fn push(backend: &str, keys: &str) -> String {
    format!(
        "{{resource: {{deployment.environment: test}}, \
         metrics: {{readers: [{{periodic: {{interval: 20, exporter: {{otlp: {{endpoint: '{backend}'{keys}}}}}}}}}]}}}}"
    )
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let client = Client::build(&ClientOptions::default(), &Clock::system()).unwrap();
    let answer = client.get(&format!("http://{address}{path}").parse().unwrap()).await.unwrap();
    (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
}

fn grpc_ok() -> Reply {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    Reply::Trailers(Response::new(Bytes::from_static(&[0; 5])), trailers).with("content-type", "application/grpc")
}

#[tokio::test]
async fn a_scraper_finds_the_collectors_names_and_ours() {
    let (running, shared) = start(&config("scraped", &pull("")), Clock::system()).await;
    let source = output("scraped").await;
    send(&source, "a 1\nb 2", Until::Settled).await.unwrap();
    let address = running.telemetry().addresses()[0];
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "# TYPE otelcol_receiver_accepted_metric_points_total counter",
        r#"otelcol_receiver_accepted_metric_points_total{receiver="source"} 2"#,
        r#"otelcol_receiver_refused_metric_points_total{receiver="source"} 0"#,
        r#"otelcol_processor_outgoing_items_total{otel_signal="metrics",pipeline="metrics",processor="halves"} 2"#,
        r#"otelcol_exporter_sent_metric_points_total{exporter="backend"} 2"#,
        r#"otelcol_exporter_enqueue_failed_metric_points_total{exporter="backend"} 0"#,
        r#"otelcol_exporter_queue_size{data_type="metrics",exporter="backend"} 0"#,
        r#"otelcol_exporter_in_flight_requests{exporter="backend"} 0"#,
        "# TYPE otelcol_process_memory_rss_bytes gauge",
        r#"steadyline_component_held_items{id="backend",kind="exporter",signal="metrics"} 0"#,
        r#"steadyline_component_ok{component="exporter:backend"} 1"#,
        r#"service_name="steadyline""#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // A reason that shows up later is a new series of a family that is there.
    let stage = stage("scraped");
    stage.script.lock().unwrap().push_back(Outcome::Reject { reason: "bad".into(), message: "no".into() });
    send(&source, "a 3", Until::Enqueued).await.unwrap();
    until("it is refused", || dropped(&shared, "backend", "bad") == 1).await;
    let (_, text) = get(address, "/metrics").await;
    let line =
        r#"steadyline_component_dropped_items_total{id="backend",kind="exporter",reason="bad",signal="metrics"} 1"#;
    assert!(text.contains(line), "{text}");
    assert_eq!(get(address, "/").await.0, 404);
    running.shutdown().await;
}

#[tokio::test]
async fn a_scraper_gets_them_as_config_wants_them() {
    let keys = ", without_type_suffix: true, without_units: true, without_scope_info: false, \
                with_resource_constant_labels: {included: ['service.*'], excluded: [service.instance.id]}";
    let (running, _) = start(&config("shaped", &pull(keys)), Clock::system()).await;
    let (_, text) = get(running.telemetry().addresses()[0], "/metrics").await;
    let version = env!("CARGO_PKG_VERSION");
    let labels = format!(
        r#"{{otel_scope_name="steadyline",otel_scope_version="{version}",receiver="source",service_name="steadyline",service_version="{version}"}}"#
    );
    assert!(text.contains(&format!("otelcol_receiver_accepted_metric_points{labels} 0")), "{text}");
    assert!(text.contains("\notelcol_process_uptime{") && !text.contains("_total"), "{text}");
    running.shutdown().await;
}

#[tokio::test]
async fn none_opens_no_port_and_sends_nothing() {
    let backend = Backend::start(|_: &Recorded, _| Reply::status(200, "")).await;
    let telemetry = push(&backend.url(), ", protocol: http/protobuf").replace("metrics: {", "metrics: {level: none, ");
    let (running, _) = start(&config("silent", &telemetry), Clock::system()).await;
    assert_eq!(running.telemetry().addresses(), []);
    running.shutdown().await;
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_port_that_config_names_and_somebody_has_stops_the_start() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let telemetry = pull("").replace("port: 0", &format!("port: {port}"));
    let error = graph(&config("taken", &telemetry), Clock::system()).unwrap().start().await.err().unwrap();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn the_default_port_may_be_somebody_elses() {
    let default = |name| graph(&config(name, "{}"), Clock::system()).unwrap();
    let one = default("first").start().await.unwrap();
    let other = default("second").start().await.unwrap();
    one.shutdown().await;
    other.shutdown().await;
}

/// All metrics of a request by name, and its resource's attributes.
fn opened(body: &[u8]) -> (BTreeMap<String, Metric>, BTreeMap<String, String>) {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let [resource] = request.resource_metrics.try_into().unwrap();
    let attributes = attributes(resource.resource.as_ref().unwrap());
    let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
    (metrics.map(|metric| (metric.name.clone(), metric)).collect(), attributes)
}

fn attributes(resource: &Resource) -> BTreeMap<String, String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let text = |value: &Option<Value>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    let pairs = resource.attributes.iter();
    pairs.map(|pair| (pair.key.clone(), text(&pair.value.as_ref().unwrap().value))).collect()
}

fn sum(metric: &Metric) -> &NumberDataPoint {
    let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{metric:?}");
    &sum.data_points[0]
}

fn double(point: &NumberDataPoint) -> f64 {
    let Some(number_data_point::Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
    value
}

fn assert_is_own_telemetry(body: &[u8], accepted: f64) {
    let (metrics, resource) = opened(body);
    assert_eq!(resource["service.name"], "steadyline");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].len(), 36);
    assert_eq!(resource["deployment.environment"], "test");
    let point = sum(&metrics["otelcol_receiver_accepted_metric_points"]);
    assert_eq!(double(point), accepted);
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano < point.time_unix_nano);
    assert_eq!(metrics["otelcol_process_memory_rss"].unit, "By");
    assert!(matches!(metrics["otelcol_exporter_queue_size"].data, Some(metric::Data::Gauge(_))));
}

#[tokio::test]
async fn own_metrics_are_sent_over_grpc() {
    let backend = Backend::start(|_: &Recorded, _| grpc_ok()).await;
    let keys = ", headers: [{name: x-token, value: s3cret}]";
    let (running, _) = start(&config("grpc", &push(&backend.url(), keys)), Clock::system()).await;
    send(&output("grpc").await, "a 1", Until::Settled).await.unwrap();
    let before = backend.requests().len();
    until("it is sent again", || backend.requests().len() > before + 1).await;
    let last = backend.requests().pop().unwrap();
    assert_eq!(last.line, "POST /opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    assert_eq!((last.header("x-token"), last.header("content-type")), ("s3cret", "application/grpc"));
    assert_is_own_telemetry(&last.body[5..], 1.0);
    running.shutdown().await;
}

#[tokio::test]
async fn own_metrics_are_sent_over_http_and_once_more_at_the_end() {
    let backend = Backend::start(|_: &Recorded, _| Reply::status(200, "")).await;
    let keys = ", protocol: http/protobuf, compression: gzip, headers: {x-token: s3cret}";
    let telemetry = push(&backend.url(), keys).replace("interval: 20", "interval: 1h");
    let (running, _) = start(&config("http", &telemetry), Clock::system()).await;
    send(&output("http").await, "a 1\nb 1", Until::Settled).await.unwrap();
    assert!(backend.requests().is_empty());
    running.shutdown().await;
    let [only] = backend.requests().try_into().unwrap();
    assert_eq!(only.line, "POST /v1/metrics");
    assert_eq!(only.header("x-token"), "s3cret");
    assert_eq!((only.header("content-type"), only.header("content-encoding")), ("application/x-protobuf", "gzip"));
    assert!(only.header("user-agent").starts_with("steadyline/"));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(only.body.as_ref()).read_to_end(&mut body).unwrap();
    assert_is_own_telemetry(&body, 2.0);
}

#[tokio::test]
async fn a_backend_that_hangs_holds_up_neither_data_nor_the_exit() {
    let backend = Backend::start(|_: &Recorded, _| Reply::Hang).await;
    let keys = ", protocol: http/protobuf, timeout: 10m";
    let url = backend.url();
    let traces = format!("{{traces: {{processors: [{{batch: {{exporter: {{otlp: {{endpoint: '{url}'{keys}}}}}}}}}]}},");
    let telemetry = push(&url, keys).replacen('{', &traces, 1);
    let (running, _) = start(&config("hangs", &telemetry), Clock::system()).await;
    until("somebody waits", || !backend.requests().is_empty()).await;
    send(&output("hangs").await, "a 1", Until::Settled).await.unwrap();
    let report = tokio::time::timeout(Duration::from_secs(300), running.shutdown()).await.unwrap();
    assert_eq!((report.delivered, report.dropped), (1, 0));
}

/// All spans of all requests, and the resource of the first.
fn spans(backend: &Backend) -> Vec<Span> {
    let requests = backend.requests();
    assert!(requests.iter().all(|request| request.line == "POST /v1/traces"));
    let decoded = requests.iter().map(|request| ExportTraceServiceRequest::decode(request.body.clone()).unwrap());
    let scopes = decoded.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn tracing_to(url: &str, keys: &str) -> String {
    format!(
        "{{metrics: {{level: none}}, traces: {{{keys}processors: \
         [{{batch: {{exporter: {{otlp: {{protocol: http/protobuf, endpoint: '{url}'}}}}}}}}]}}}}"
    )
}

#[tokio::test]
async fn own_traces_have_a_span_for_what_comes_in_and_what_goes_out() {
    let backend = Backend::start(|_: &Recorded, _| Reply::status(200, "")).await;
    let (running, _) = start(&config("traced", &tracing_to(&backend.url(), "")), Clock::system()).await;
    let stage = stage("traced");
    stage.script.lock().unwrap().extend([
        Outcome::Retry { reason: "busy".into(), message: "later".into(), after: None },
        Outcome::DELIVERED,
        Outcome::Reject { reason: "bad".into(), message: "no such thing".into() },
    ]);
    let source = output("traced").await;
    send(&source, "a 1", Until::Settled).await.unwrap();
    send(&source, "a 2", Until::Settled).await.unwrap_err();
    running.shutdown().await;
    let spans = spans(&backend);
    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let [first, second] = of("export").try_into().unwrap();
    assert_eq!(of("receive").len(), 2);
    assert_eq!(first.events.len(), 1, "one retry: {first:?}");
    assert_eq!(first.status.as_ref().map_or(0, |status| status.code), 0);
    assert_eq!(second.status.as_ref().unwrap().message, "not delivered, refused: no such thing");
    assert!(first.attributes.iter().any(|pair| pair.key == "exporter"));
}

#[tokio::test]
async fn a_pass_and_what_it_sends_are_one_trace_that_logs_and_requests_can_name() {
    let backend = Backend::start(|_: &Recorded, _| Reply::status(200, "")).await;
    let yaml = config("passes", &tracing_to(&backend.url(), ""))
        .replace("{source: {name: passes}}", "{poll: {name: passes, interval: 1h}}")
        .replace("[source]", "[poll]");
    let stage = stage("passes");
    stage.poll_script.lock().unwrap().push_back(PollAct::Points("a 1"));
    let (running, shared) = start(&yaml, Clock::system()).await;
    until("it is delivered", || !stage.delivered.lock().unwrap().is_empty()).await;
    let span = shared.traces.begin("test", opentelemetry::trace::SpanKind::Internal, Vec::new);
    let (trace_id, span_id) = span.run(async { steadyline_engine::telemetry::current_ids() }).await.unwrap();
    assert_eq!(span.parent().unwrap().to_string(), format!("00-{trace_id}-{span_id}-01"));
    drop(span);
    running.shutdown().await;
    let spans = spans(&backend);
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(of("receive").parent_span_id, of("poll").span_id);
    assert_eq!(of("receive").trace_id, of("poll").trace_id);
    assert!(of("poll").parent_span_id.is_empty());
    assert_ne!(of("export").trace_id, of("poll").trace_id, "a queue stands between them");
}

#[tokio::test]
async fn propagation_can_be_kept_from_requests() {
    let backend = Backend::start(|_: &Recorded, _| Reply::status(200, "")).await;
    let (running, shared) =
        start(&config("private", &tracing_to(&backend.url(), "propagators: [], ")), Clock::system()).await;
    let span = shared.traces.begin("test", opentelemetry::trace::SpanKind::Internal, Vec::new);
    assert_eq!(span.parent(), None);
    drop(span);
    running.shutdown().await;
    assert_eq!(spans(&backend).len(), 1);
}

#[tokio::test]
async fn a_sampler_that_takes_none_sends_none() {
    let backend = Backend::start(|_: &Recorded, _| Reply::status(200, "")).await;
    let keys = "sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0}}}}, ";
    let (running, _) = start(&config("unsampled", &tracing_to(&backend.url(), keys)), Clock::system()).await;
    send(&output("unsampled").await, "a 1", Until::Settled).await.unwrap();
    running.shutdown().await;
    assert!(backend.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn own_metrics_as_data_stay_the_same_but_for_their_numbers() {
    let start_nanos = 1_700_000_000_000_000_000;
    let telemetry = "{metrics: {level: none}, resource: {env: test, service.version: null}}";
    let (running, shared) = start(&config("data", telemetry), Clock::scaled(start_nanos, 1.0)).await;
    let read = |time| {
        let metrics = shared.own.read(time);
        let mut series = Vec::new();
        for (resource, scope, metric) in metrics.iter() {
            let text = |(key, value): (&str, Value<'_>)| format!("{key}={}", value.as_str().unwrap());
            let resource: Vec<String> = metrics.pairs(resource.attributes).map(text).collect();
            assert_eq!(resource, ["env=test", "service.name=steadyline"]);
            assert_eq!(metrics.text(scope.version), "");
            for point in metrics.points_of(metric).iter() {
                let is_sum = matches!(metric.kind, MetricKind::Sum { .. });
                assert_eq!((point.time, point.start), (time, if is_sum { start_nanos } else { 0 }));
                let labels: Vec<String> = metrics.pairs(point.attributes()).map(text).collect();
                series.push(format!("{} {labels:?}", metrics.text(metric.name)));
            }
        }
        series
    };
    let before = read(start_nanos + 1);
    send(&output("data").await, "a 1", Until::Settled).await.unwrap();
    assert_eq!(read(start_nanos + 2), before);
    assert!(before.iter().any(|series| series.starts_with("otelcol_exporter_sent_metric_points ")));
    running.shutdown().await;
}

#[test]
fn keys_that_cannot_work_are_refused_in_words() {
    let wrong = |telemetry: &str| {
        let source = Source::inline("test.yaml", config("wrong", telemetry));
        let (tree, mut diagnostics) = load(&[source], &[], &|_: &str| None);
        build(&tree.unwrap().root, &registry(), &Shared::new(Clock::system()), &mut diagnostics);
        assert!(diagnostics.has_errors(), "{telemetry}");
        diagnostics.to_text(false)
    };
    for (telemetry, words) in [
        ("{metrics: {readers: [{periodic: {exporter: {otlp: {}}}}]}}", "readers[0].periodic.exporter.otlp.endpoint"),
        (
            "{metrics: {readers: [{periodic: {interval: 0, exporter: {otlp: {endpoint: 'http://h:1'}}}}]}}",
            "more than 0",
        ),
        ("{metrics: {readers: [{periodic: {exporter: {console: {}}}}]}}", "console"),
        ("{metrics: {readers: [{pull: {exporter: {prometheus: {translation_strategy: x}}}}]}}", "without_type_suffix"),
        ("{metrics: {address: ':8888'}}", "readers"),
        ("{traces: {processors: [{simple: {}}]}}", "batch"),
        ("{traces: {sampler: {trace_id_ratio_based: {ratio: 2}}}}", "from 0 to 1"),
        ("{traces: {propagators: [b3]}}", "tracecontext"),
        ("{logs: {output_paths: [/tmp/x]}}", "standard error"),
        ("{logs: {processors: []}}", "standard error"),
        ("{resource: {attributes: [{name: a, value: b}]}}", "directly below `resource`"),
        (
            "{metrics: {readers: [{periodic: {exporter: {otlp: {endpoint: 'h:1', insecure: true}}}}]}}",
            "tls: {insecure: true}",
        ),
    ] {
        let text = wrong(telemetry);
        assert!(text.contains(words), "{telemetry}: {text}");
    }
}

#[tokio::test]
async fn without_processors_nothing_is_traced() {
    let (running, shared) = start(&config("untraced", "{metrics: {level: none}}"), Clock::system()).await;
    let made = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&made);
    let span = shared.traces.begin("x", opentelemetry::trace::SpanKind::Internal, move || {
        seen.store(true, std::sync::atomic::Ordering::Relaxed);
        Vec::new()
    });
    assert_eq!(span.parent(), None);
    assert!(!made.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(span.run(async { steadyline_engine::telemetry::current_ids() }).await, None);
    running.shutdown().await;
}
