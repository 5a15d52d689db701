//! One trace from the producer through the queue: spans, links, and the trace ids of log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use steadyline_component::Data;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const LOG: &str = "types: {t: {log: {body: text, severity: level, attributes: {id: id}}}}\n";

fn traced(flags: &str) -> crate::testkit::Sent {
    let attributes = BTreeMap::from([
        ("traceparent".to_owned(), format!("00-{TRACE}-b7ad6b7169203331-{flags}")),
        ("tracestate".to_owned(), "vendor=x".to_owned()),
    ]);
    crate::testkit::Sent { attributes, ..r#"{"type": "t", "text": "it happened", "level": "warn", "id": 7}"#.into() }
}

/// The log records and spans that came.
async fn signals(bench: &Bench, messages: usize, with_spans: bool) -> (Vec<LogRecord>, Vec<Span>) {
    bench.until_deleted(messages).await;
    let (mut logs, mut spans) = (Vec::new(), Vec::new());
    for batch in bench.intake.take() {
        let Data::Opaque(opaque) = &batch.data else { continue };
        match opaque.signal() {
            Signal::Logs => {
                let request = ExportLogsServiceRequest::decode(opaque.bytes().clone()).unwrap();
                logs.extend(request.resource_logs.into_iter().flat_map(|r| r.scope_logs).flat_map(|s| s.log_records));
            }
            Signal::Traces => {
                let request = ExportTraceServiceRequest::decode(opaque.bytes().clone()).unwrap();
                spans.extend(request.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans));
            }
            Signal::Metrics => {}
        }
    }
    assert_eq!(!spans.is_empty(), with_spans, "{spans:?}");
    (logs, spans)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn spans_are_linked_and_log_records_belong_to_the_producers_trace() {
    let bench = Bench::start(LOG).await;
    let id = bench.fake.send("events", traced("01"));
    let (logs, spans) = signals(&bench, 1, true).await;
    let (log, span) = (&logs[0], &spans[0]);
    assert_eq!(
        (hex(&log.trace_id), hex(&log.span_id), log.flags),
        (TRACE.to_owned(), "b7ad6b7169203331".to_owned(), 1)
    );
    assert_eq!((log.severity_number, log.severity_text.as_str(), log.event_name.as_str()), (13, "warn", "t"));
    assert_eq!(log.attributes[0].key, "id");
    let link = &span.links[0];
    assert_eq!((hex(&link.trace_id), link.trace_state.as_str()), (TRACE.to_owned(), "vendor=x"));
    assert!(span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE && span.trace_id.len() == 16);
    assert_eq!((span.name.as_str(), span.kind), ("process events", 5));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
    let attribute = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        format!("{:?}", found.and_then(|attribute| attribute.value.clone()))
    };
    assert!(attribute("messaging.system").contains("aws_sqs") && attribute("messaging.message.id").contains(&id));
}

#[tokio::test]
async fn spans_can_be_in_the_producers_trace_itself() {
    let bench = Bench::start(&format!("span_relation: parent\n{LOG}")).await;
    bench.fake.send("events", traced("01"));
    let (logs, spans) = signals(&bench, 1, true).await;
    assert_eq!(
        (hex(&spans[0].trace_id), hex(&spans[0].parent_span_id)),
        (TRACE.to_owned(), "b7ad6b7169203331".to_owned())
    );
    assert_eq!(spans[0].trace_state, "vendor=x");
    assert_eq!((hex(&logs[0].trace_id), &logs[0].span_id), (TRACE.to_owned(), &spans[0].span_id), "one trace, whole");
    assert!(spans[0].links.is_empty());
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_gets_no_span_and_a_message_without_trace_its_own() {
    let bench = Bench::start(LOG).await;
    bench.fake.send("events", traced("00"));
    let (logs, _) = signals(&bench, 1, false).await;
    assert_eq!((hex(&logs[0].trace_id), logs[0].flags), (TRACE.to_owned(), 0));
    bench.fake.send("events", r#"{"type": "t", "text": "x"}"#);
    let (logs, spans) = signals(&bench, 2, true).await;
    assert_eq!(logs[0].trace_id, spans[0].trace_id);
    assert!(spans[0].links.is_empty());
}

#[tokio::test]
async fn x_rays_header_is_understood_and_one_span_can_stand_for_a_batch() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    let xray = Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".to_owned());
    fake.send("events", crate::testkit::Sent { xray, ..r#"{"type": "t", "text": "x"}"#.into() });
    fake.send("events", traced("01"));
    let bench = Bench::on(fake, &format!("spans: batch\n{LOG}"), &mut TestExtensions::default()).await;
    let (_, spans) = signals(&bench, 2, true).await;
    let links: Vec<String> = spans.iter().flat_map(|span| &span.links).map(|link| hex(&link.trace_id)).collect();
    assert_eq!(links, ["5759e988bd862e3fe1be46a994272793", TRACE]);
}
