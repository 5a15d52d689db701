//! One reading of everything that the process counts, as metric families.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_component::{Kind, Status};
use steadyline_prometheus::MetricKind;
use steadyline_prometheus::exposition::{self, SampleValue};

use super::process;
use crate::books::Account;
use crate::build::Shared;
use crate::delivery::Branch;

/// Families by name.
#[derive(Debug, Default)]
pub struct Families(BTreeMap<String, Family>);

/// One metric with its series.
#[derive(Debug)]
pub struct Family {
    help: &'static str,
    counter: bool,
    series: Vec<(Vec<(String, String)>, f64)>,
}

/// Reads everything.
pub fn read(shared: &Shared, branches: &[Arc<Branch>]) -> Families {
    let mut families = Families::default();
    for account in shared.books.read() {
        families.account(&account);
        families.collector_names(&account);
    }
    for branch in branches {
        families.branch(branch);
    }
    for instrument in shared.meter.read() {
        let suffix = if instrument.counter { "_total" } else { "" };
        let name = format!("steadyline_{}{suffix}", instrument.name);
        families.add(&name, instrument.help, instrument.counter, instrument.labels.clone(), instrument.value());
    }
    families.board(shared);
    families.process(shared);
    families
}

impl Families {
    fn add(&mut self, name: &str, help: &'static str, counter: bool, labels: Vec<(String, String)>, value: f64) {
        let family = self.0.entry(name.to_string()).or_insert_with(|| Family { help, counter, series: Vec::new() });
        family.series.push((labels, value));
    }

    /// Conservation: `in + created = out + merged + dropped + held`.
    fn account(&mut self, account: &Account) {
        let balance = account.tally.balance();
        let base = |more: &[(&str, &str)]| {
            let own = [
                ("kind", account.kind.name()),
                ("id", account.id.as_str()),
                ("signal", account.signal.name()),
                ("pipeline", account.pipeline.as_str()),
            ];
            own.iter().chain(more).map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>()
        };
        let items = "Data points, spans or log records that came in, went out or were absorbed by a newer one.";
        let directions = [("in", balance.incoming), ("out", balance.outgoing), ("merged", balance.merged)];
        for (direction, count) in directions {
            let labels = base(&[("direction", direction)]);
            self.add("steadyline_component_items_total", items, true, labels, count as f64);
        }
        let held = "Items that came in and have neither gone out nor been dropped yet.";
        self.add("steadyline_component_held_items", held, false, base(&[]), balance.held as f64);
        for (reason, count) in &balance.refused {
            let help = "Items that a sender was told to keep, by reason.";
            let labels = base(&[("reason", reason)]);
            self.add("steadyline_component_refused_items_total", help, true, labels, *count as f64);
        }
        for (why, count) in &balance.created {
            let help = "Items that were made inside, by why.";
            self.add("steadyline_component_created_items_total", help, true, base(&[("why", why)]), *count as f64);
        }
        for (reason, count) in &balance.dropped {
            let help = "Items that were lost inside, by reason.";
            self.add(
                "steadyline_component_dropped_items_total",
                help,
                true,
                base(&[("reason", reason)]),
                *count as f64,
            );
        }
    }

    /// The same under the Collector's names, so that its dashboards work.
    fn collector_names(&mut self, account: &Account) {
        let balance = account.tally.balance();
        let items = account.signal.item_name();
        let label = |name: &str| vec![(name.to_string(), account.id.clone())];
        let dropped = balance.dropped.values().sum::<u64>() as f64;
        let mut add = |name: &str, labels: Vec<(String, String)>, value: f64| {
            self.add(&format!("otelcol_{name}_total"), "As in the OpenTelemetry Collector.", true, labels, value);
        };
        match account.kind {
            Kind::Receiver => {
                add(&format!("receiver_accepted_{items}"), label("receiver"), balance.outgoing as f64);
                let refused = balance.refused.values().sum::<u64>() as f64;
                add(&format!("receiver_refused_{items}"), label("receiver"), refused);
            }
            Kind::Processor => {
                let labels = || {
                    let signal = ("otel_signal".to_string(), account.signal.name().to_string());
                    let pipeline = ("pipeline".to_string(), account.pipeline.clone());
                    [label("processor"), vec![signal, pipeline]].concat()
                };
                add("processor_incoming_items", labels(), balance.incoming as f64);
                add("processor_outgoing_items", labels(), balance.outgoing as f64);
            }
            Kind::Exporter => {
                add(&format!("exporter_sent_{items}"), label("exporter"), balance.outgoing as f64);
                add(&format!("exporter_send_failed_{items}"), label("exporter"), dropped);
            }
            Kind::Connector | Kind::Extension => {}
        }
    }

    fn branch(&mut self, branch: &Branch) {
        let id = &branch.account.id;
        let signal = branch.account.signal.name().to_string();
        let labels = || vec![("data_type".to_string(), signal.clone()), ("exporter".to_string(), id.clone())];
        let queue = &branch.queue;
        let mut gauge = |name: &str, help, value: f64| self.add(name, help, false, labels(), value);
        gauge("otelcol_exporter_queue_size", "Bytes in the queue.", queue.bytes() as f64);
        gauge("otelcol_exporter_queue_capacity", "Bytes that the queue may hold.", queue.capacity() as f64);
        gauge("steadyline_exporter_queue_blocks", "Requests in the queue.", queue.len() as f64);
        gauge("steadyline_exporter_queue_items", "Items in the queue.", queue.items() as f64);
        gauge(
            "steadyline_exporter_queue_oldest_age_seconds",
            "How long the oldest request has waited.",
            queue.oldest_age(),
        );
    }

    fn board(&mut self, shared: &Shared) {
        for (id, entry) in shared.board.read() {
            let ok = matches!(entry.status, Status::Ok);
            let labels = vec![("component".to_string(), id.to_string())];
            self.add(
                "steadyline_component_ok",
                "1 if the component does its work, else 0.",
                false,
                labels,
                f64::from(ok),
            );
        }
    }

    fn process(&mut self, shared: &Shared) {
        let uptime = shared.clock.now().mono.as_secs_f64();
        let help = "As in the OpenTelemetry Collector.";
        self.add("otelcol_process_uptime_seconds_total", help, true, Vec::new(), uptime);
        self.add("otelcol_process_cpu_seconds_total", help, true, Vec::new(), process::cpu_seconds());
        self.add("otelcol_process_memory_rss_bytes", help, false, Vec::new(), process::resident_bytes() as f64);
    }

    /// Writes the families in a format of Prometheus.
    pub fn write(&self, out: &mut Vec<u8>, format: exposition::Format) {
        let mut writer = exposition::Writer::new(out, format);
        for (name, family) in &self.0 {
            let kind = if family.counter { MetricKind::Counter } else { MetricKind::Gauge };
            let head = exposition::Family { name, help: family.help, unit: "", kind };
            writer.family_with(&head, |out| {
                for (labels, value) in &family.series {
                    let pairs: Vec<(&str, &str)> = labels
                        .iter()
                        .filter(|(_, value)| !value.is_empty())
                        .map(|(name, value)| (name.as_str(), value.as_str()))
                        .collect();
                    out.series(&exposition::Series::new(&pairs, SampleValue::Number(*value)));
                }
            });
        }
        writer.finish();
    }
}
