//! The probe as a processor.

use crate::exports::steadyline::plugin::{metrics_processor as metrics, otlp_processor as otlp};
use crate::steadyline::plugin::state;
use crate::steadyline::plugin::types::{Attribute, Kind, Metric, Number, Point, ResourceMetrics, Value};
use crate::{Probe, bad, begin, count, number, word};
use metrics::{AttributeChange, Batch, Change, NameChange, Outcome, ValueChange};

impl metrics::Guest for Probe {
    fn start(config: String) -> Result<(), String> {
        begin(config)
    }

    fn process(batch: Batch) -> Result<Outcome, String> {
        let calls = count();
        let what = word("do");
        if word("once") == "" || calls == number("at").max(1) {
            bad::be(what);
        }
        let points = 0..batch.points.len() as u32;
        let label = |of: u32, key: &str, value: Option<Value>| AttributeChange { of, key: key.into(), value };
        let text = |text: &str| Some(Value::Text(text.into()));
        let mut created = vec![];
        let changes = match what {
            "drop" => points.map(Change::Drop).collect(),
            "drop_odd" => points
                .filter(|point| point % 2 == 1)
                .flat_map(|point| [Change::Drop(point), Change::Drop(point)])
                .collect(),
            "double" => points.filter_map(|point| double(&batch, point)).collect(),
            "end" => points.map(|point| set(point, Number::Ended)).collect(),
            "forget" => points.map(|point| set(point, Number::Unknown)).collect(),
            "label" => points
                .flat_map(|point| {
                    let name = batch.metrics[batch.points[point as usize].metric as usize].name.clone();
                    [
                        label(point, "seen", text(&name)),
                        label(point, "old", None),
                        label(point, "n", Some(Value::Integer(7))),
                    ]
                })
                .map(Change::SetAttribute)
                .collect(),
            "resource" => vec![
                Change::SetResourceAttribute(label(0, "zone", text("b"))),
                Change::SetResourceAttribute(label(0, "host", None)),
            ],
            "rename" => vec![Change::SetName(NameChange { metric: 0, name: "renamed".into() })],
            "create" => {
                created = count_of(&batch);
                vec![]
            }
            "show" => {
                created = show(&batch);
                vec![]
            }
            "no_point" => vec![Change::Drop(batch.points.len() as u32)],
            "no_metric" => vec![Change::Drop(0), Change::SetName(NameChange { metric: 99, name: "x".into() })],
            "no_name" => vec![Change::SetName(NameChange { metric: 0, name: String::new() })],
            "no_text" => vec![Change::SetName(NameChange { metric: 0, name: bad::no_text() })],
            "no_key" => vec![Change::SetAttribute(label(0, "", None))],
            "structured" => vec![Change::SetAttribute(label(0, "x", Some(Value::Structured("[]".into()))))],
            "flood" => (0..5_000_000).map(|_| Change::Drop(0)).collect(),
            "error" => return Err("no idea".into()),
            "state" => {
                let seen = state::get("seen").map_or(0, |bytes| bytes[0]) + 1;
                state::set("seen", &[seen])?;
                points.map(|point| set(point, Number::Integer(seen.into()))).collect()
            }
            _ => vec![],
        };
        Ok(Outcome { changes, created })
    }
}

fn set(point: u32, value: Number) -> Change {
    Change::SetValue(ValueChange { point, value })
}

fn double(batch: &Batch, point: u32) -> Option<Change> {
    Some(match batch.points[point as usize].value {
        Number::Integer(value) => set(point, Number::Integer(2 * value)),
        Number::Double(value) => set(point, Number::Double(2.0 * value)),
        _ => return None,
    })
}

fn of(resource: Vec<Attribute>, name: &str, points: Vec<Point>) -> Vec<ResourceMetrics> {
    let (unit, description) = (String::new(), String::new());
    let metric = Metric { name: name.into(), unit, description, kind: Kind::Gauge, points };
    vec![ResourceMetrics { resource, metrics: vec![metric] }]
}

fn count_of(batch: &Batch) -> Vec<ResourceMetrics> {
    let value = Number::Integer(batch.points.len() as i64);
    of(batch.resources[0].clone(), "points", vec![Point { attributes: vec![], value, time: 0, start: 0 }])
}

/// Everything that is seen, as text in attributes.
fn show(batch: &Batch) -> Vec<ResourceMetrics> {
    let point = |point: &metrics::BatchPoint| {
        let metric = &batch.metrics[point.metric as usize];
        let resource = words(&batch.resources[metric.resource as usize]);
        let said =
            format!("{} {:?} {:?} {}{}", metric.name, metric.kind, point.value, words(&point.attributes), resource);
        let attributes = vec![Attribute { key: "said".into(), value: Value::Text(said) }];
        Point { attributes, value: Number::Integer(1), time: 0, start: 0 }
    };
    of(vec![], "shown", batch.points.iter().map(point).collect())
}

fn words(attributes: &[Attribute]) -> String {
    attributes.iter().map(|attribute| format!("[{} {:?}]", attribute.key, attribute.value)).collect()
}

impl otlp::Guest for Probe {
    fn start(config: String) -> Result<(), String> {
        begin(config)
    }

    fn process(signal: otlp::Signal, request: Vec<u8>) -> Result<Vec<u8>, String> {
        let what = word("do");
        bad::be(what);
        match what {
            "drop" => Ok(vec![]),
            "twice" => Ok([&request[..], &request[..]].concat()),
            "garbage" => Ok(vec![0x0a, 0x7f]),
            "error" => Err(format!("no {signal:?} today")),
            _ => Ok(request),
        }
    }
}
