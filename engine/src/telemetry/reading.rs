//! One reading of everything that the process counts. All numbers live in atomics beside the code that raises them;
//! nothing is counted for this file's sake, and nothing happens until somebody reads.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use steadyline_component::tally::Balance;
use steadyline_component::{Board, Budget, Clock, Kind, Meter, Status};

use super::families::{Families, Head, Labels};
use super::process;
use crate::books::{Account, Books};
use crate::delivery::Branch;

const COLLECTOR: &str = "As in the OpenTelemetry Collector.";

/// Reads the process. Cheap to clone; clones read the same.
#[derive(Clone)]
pub struct Reading {
    clock: Clock,
    meter: Meter,
    books: Books,
    board: Board,
    running: Arc<RwLock<Option<RunningParts>>>,
}

/// What there is to read only while a graph runs.
struct RunningParts {
    branches: Vec<Arc<Branch>>,
    budget: Budget,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reading")
    }
}

impl Reading {
    /// A reading of what components share.
    pub fn new(clock: Clock, meter: Meter, books: Books, board: Board) -> Reading {
        Reading { clock, meter, books, board, running: Arc::default() }
    }

    /// Says which queues and which budget there are.
    pub fn running(&self, branches: &[Arc<Branch>], budget: &Budget) {
        let parts = RunningParts { branches: branches.to_vec(), budget: budget.clone() };
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Some(parts);
    }

    /// Everything, now.
    pub fn read(&self) -> Families {
        let mut families = Families::default();
        let instruments = self.meter.read();
        let mut polled = BTreeSet::new();
        for instrument in &instruments {
            // A component that has a name of the Collector's for what it counts says so itself.
            let name = match instrument.name.starts_with("otelcol_") {
                true => instrument.name.clone(),
                false => format!("steadyline_{}", instrument.name),
            };
            let head = if instrument.counter { Head::counter } else { Head::gauge }(&name, instrument.help);
            families.add(head, instrument.labels.clone(), instrument.value());
            match instrument.name.as_str() {
                "receiver_polls" => {
                    let id = instrument.labels.iter().find(|(name, _)| name == "receiver");
                    polled.extend(id.map(|(_, id)| id.as_str()));
                }
                "exporter_in_flight_requests" => {
                    let head = Head::gauge("otelcol_exporter_in_flight_requests", COLLECTOR);
                    families.add(head, instrument.labels.clone(), instrument.value());
                }
                _ => {}
            }
        }
        for account in self.books.read() {
            let balance = account.tally.balance();
            conservation(&mut families, &account, &balance);
            collector_names(&mut families, &account, &balance, polled.contains(account.id.as_str()));
        }
        if let Some(running) = &*self.running.read().unwrap_or_else(PoisonError::into_inner) {
            running.branches.iter().for_each(|branch| queue(&mut families, branch));
            let (used, total) = (running.budget.used() as f64, running.budget.total() as f64);
            let help = "Bytes of data in flight, queues apart.";
            families.add(Head::gauge("steadyline_memory_in_flight_bytes", help), Labels::new(), used);
            let help = "Bytes of data that may be in flight, queues apart.";
            families.add(Head::gauge("steadyline_memory_budget_bytes", help), Labels::new(), total);
        }
        self.board(&mut families);
        self.process(&mut families);
        families
    }

    fn board(&self, families: &mut Families) {
        let head = Head::gauge("steadyline_component_ok", "1 if the component does its work, else 0.");
        for (id, entry) in self.board.read() {
            let ok = matches!(entry.status, Status::Ok);
            families.add(head, vec![("component".to_string(), id.to_string())], f64::from(ok));
        }
    }

    fn process(&self, families: &mut Families) {
        let uptime = self.clock.now().mono.as_secs_f64();
        let none = Labels::new;
        families.add(Head::counter("otelcol_process_uptime", COLLECTOR).unit("s"), none(), uptime);
        families.add(Head::counter("otelcol_process_cpu_seconds", COLLECTOR), none(), process::cpu_seconds());
        let resident = process::resident_bytes() as f64;
        families.add(Head::gauge("otelcol_process_memory_rss", COLLECTOR).unit("By"), none(), resident);
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// `in + created = out + merged + dropped + held`, and what senders were told to keep.
fn conservation(families: &mut Families, account: &Account, balance: &Balance) {
    let own = [
        ("kind", account.kind.name()),
        ("id", account.id.as_str()),
        ("signal", account.signal.name()),
        ("pipeline", account.pipeline.as_str()),
    ];
    let with = |name, value| labels(&[own.as_slice(), &[(name, value)]].concat());
    let help = "Data points, spans or log records that came in, went out or were absorbed by a newer one.";
    let head = Head::counter("steadyline_component_items", help);
    for (direction, count) in [("in", balance.incoming), ("out", balance.outgoing), ("merged", balance.merged)] {
        families.add(head, with("direction", direction), count as f64);
    }
    let help = "Items that came in and have neither gone out nor been dropped yet.";
    families.add(Head::gauge("steadyline_component_held_items", help), labels(&own), balance.held as f64);
    let reasons = [
        ("steadyline_component_refused_items", "Items that a sender was told to keep, by reason.", "reason"),
        ("steadyline_component_created_items", "Items that were made inside, by why.", "why"),
        ("steadyline_component_dropped_items", "Items that were lost inside, by reason.", "reason"),
    ];
    for ((name, help, label), counts) in reasons.into_iter().zip([&balance.refused, &balance.created, &balance.dropped])
    {
        for (reason, count) in counts {
            families.add(Head::counter(name, help), with(label, reason), *count as f64);
        }
    }
}

/// The same under the Collector's names, so that its dashboards work.
fn collector_names(families: &mut Families, account: &Account, balance: &Balance, polled: bool) {
    let (items, id) = (account.signal.item_name(), account.id.as_str());
    let mut add = |name: String, pairs: &[(&str, &str)], value: u64| {
        families.add(Head::counter(&format!("otelcol_{name}"), COLLECTOR), labels(pairs), value as f64);
    };
    match account.kind {
        Kind::Receiver => {
            let refused = balance.refused.values().sum();
            add(format!("receiver_accepted_{items}"), &[("receiver", id)], balance.outgoing);
            add(format!("receiver_refused_{items}"), &[("receiver", id)], refused);
            if polled {
                add(format!("scraper_scraped_{items}"), &[("receiver", id), ("scraper", id)], balance.outgoing);
            }
        }
        Kind::Processor => {
            let own = [("processor", id), ("otel_signal", account.signal.name()), ("pipeline", &account.pipeline)];
            add("processor_incoming_items".into(), &own, balance.incoming);
            add("processor_outgoing_items".into(), &own, balance.outgoing);
        }
        Kind::Exporter => {
            let full = balance.dropped.get("queue_full").copied().unwrap_or(0);
            let dropped = balance.dropped.values().sum::<u64>();
            add(format!("exporter_sent_{items}"), &[("exporter", id)], balance.outgoing);
            add(format!("exporter_send_failed_{items}"), &[("exporter", id)], dropped - full);
            add(format!("exporter_enqueue_failed_{items}"), &[("exporter", id)], full);
        }
        Kind::Connector | Kind::Extension => {}
    }
}

fn queue(families: &mut Families, branch: &Branch) {
    let (id, signal, queue) = (&branch.account.id, branch.account.signal.name(), &branch.queue);
    let mut gauge = |name, help, value| {
        families.add(Head::gauge(name, help), labels(&[("data_type", signal), ("exporter", id)]), value);
    };
    gauge("otelcol_exporter_queue_size", "Bytes in the queue.", queue.bytes() as f64);
    gauge("otelcol_exporter_queue_capacity", "Bytes that the queue may hold.", queue.capacity() as f64);
    gauge("steadyline_exporter_queue_blocks", "Requests in the queue.", queue.len() as f64);
    gauge("steadyline_exporter_queue_items", "Items in the queue.", queue.items() as f64);
    gauge("steadyline_exporter_queue_disk_bytes", "Bytes in the queue that are on disk.", queue.disk_bytes() as f64);
    let help = "Bytes that the queue's files take.";
    gauge("steadyline_exporter_queue_file_bytes", help, queue.file_bytes() as f64);
    gauge("steadyline_exporter_shards", "Shards that take what comes.", f64::from(queue.shards()));
    let help = "1 while the backend fails and is only probed.";
    gauge("steadyline_exporter_circuit_open", help, f64::from(branch.circuit.is_open()));
    let help = "How long the oldest request has waited.";
    gauge("steadyline_exporter_queue_oldest_age_seconds", help, queue.oldest_age());
}
