//! The worked example of `docs/funnel.md`, link by link: steps that arrive as records and spans of many instances become
//! one steady, rising line for each step.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use steadyline_attributes::Tree;
use steadyline_attributes::value::to_any;
use steadyline_component::telemetry::{Signal, Value};
use steadyline_component::testkit::{ProcessorHarness, create_for};
use steadyline_component::{Batch, Clock, Connector, Data, Header, Tally, Work};
use steadyline_connector_count::CountFactory;
use steadyline_processor_deltatocumulative::DeltaToCumulativeFactory;
use steadyline_processor_labels::LabelsFactory;
use steadyline_processor_lastvalue::LastValueFactory;
use steadyline_processor_resource::ResourceFactory;

/// The config of the page: its one block of YAML.
fn config() -> serde_yaml::Value {
    let page = include_str!("../../../docs/funnel.md");
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    serde_yaml::from_str(block).unwrap()
}

/// The body of a component, as the page has it.
fn body(section: &str, id: &str) -> String {
    serde_yaml::to_string(&config()[section][id]).unwrap()
}

struct Chain {
    counts: [(Signal, ProcessorHarness, Box<dyn Connector>); 2],
    tail: [ProcessorHarness; 3],
    clock: Clock,
}

impl Chain {
    fn new() -> Chain {
        let count = |signal| {
            let resource =
                ProcessorHarness::for_signal::<ResourceFactory>(signal, &body("processors", "resource/funnel"));
            (signal, resource, create_for::<CountFactory>(signal, &body("connectors", "count/funnel")).unwrap())
        };
        Chain {
            counts: [Signal::Logs, Signal::Traces].map(count),
            tail: [
                ProcessorHarness::new::<DeltaToCumulativeFactory>(&body("processors", "deltatocumulative/funnel")),
                ProcessorHarness::new::<LabelsFactory>(&body("processors", "labels/funnel")),
                // At once, so that the test need not move the clock.
                ProcessorHarness::new::<LastValueFactory>(&(body("processors", "lastvalue/funnel") + "coalesce: 0s")),
            ],
            clock: Clock::manual(1_000_000_000_000_000),
        }
    }

    /// Sends a batch through; the lines that come out at the end, without their times.
    fn push(&mut self, tree: &Tree) -> Vec<String> {
        let data = Data::Opaque(tree.encode());
        let (_, resource, count) = self
            .counts
            .iter_mut()
            .find(|(signal, ..)| matches!(&data, Data::Opaque(o) if o.signal() == *signal))
            .unwrap();
        resource.push_batch(Batch { header: Header::default(), data });
        let mut batches = Vec::new();
        for batch in resource.batches.drain(..) {
            let tally = Tally::default();
            count.process(batch, &mut Work { now: self.clock.now(), tally: &tally, out: &mut batches });
        }
        self.clock.advance(Duration::from_secs(1));
        let mut lines = Vec::new();
        for harness in &mut self.tail {
            lines.clear();
            let mut next = Vec::new();
            for batch in batches {
                lines.extend(harness.push_batch(batch));
                next.append(&mut harness.batches);
            }
            assert_eq!(harness.tally.balance().dropped, [].into());
            batches = next;
        }
        lines.iter().map(|line| line.split(" @").next().unwrap().to_owned()).collect()
    }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(to_any(Value::text(value))), ..KeyValue::default() }
}

fn resource(instance: &str) -> Option<Resource> {
    let attributes = vec![
        pair("service.name", "shop"),
        pair("service.instance.id", instance),
        pair("process.pid", instance),
        pair("deployment.environment.name", "prod"),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

/// Records of some steps, from some instances.
fn records(steps: &[(&str, &str)]) -> Tree {
    let root = |(instance, step): &(&str, &str)| {
        let log_records = vec![LogRecord { attributes: vec![pair("step", step)], ..LogRecord::default() }];
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        ResourceLogs { resource: resource(instance), scope_logs, ..ResourceLogs::default() }
    };
    Tree::Logs(LogsData { resource_logs: steps.iter().map(root).collect() })
}

fn spans(instance: &str, steps: &[&str]) -> Tree {
    let spans = steps.iter().map(|step| Span { attributes: vec![pair("step", step)], ..Span::default() }).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    Tree::Traces(TracesData {
        resource_spans: vec![ResourceSpans { resource: resource(instance), scope_spans, ..ResourceSpans::default() }],
    })
}

fn line(step: &str, total: u64) -> String {
    format!("counter funnel_events_total{{env=\"prod\",job=\"shop\",step=\"{step}\"}} {total}")
}

#[test]
fn steps_of_all_instances_become_one_rising_line_each() {
    let mut chain = Chain::new();
    let first =
        chain.push(&records(&[("a", "OrgCreated"), ("b", "OrgCreated"), ("a", "Checkout"), ("b", "DeviceRegistered")]));
    let mut points: Vec<String> = first.into_iter().filter(|line| line.starts_with("counter")).collect();
    points.sort();
    assert_eq!(points, [line("DeviceRegistered", 1), line("OrgCreated", 2)]);
    let later = chain.push(&records(&[("c", "OrgCreated")]));
    assert_eq!(later.last(), Some(&line("OrgCreated", 3)));
    let span = chain.push(&spans("d", &["FirstDeviceData", "GET /", "FirstDeviceData"]));
    assert_eq!(span.last(), Some(&line("FirstDeviceData", 2)));
    assert!(chain.push(&records(&[("a", "Checkout")])).is_empty());
}
