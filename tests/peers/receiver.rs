//! A receiver of remote write that takes everything, right or wrong, and shows it as lines.

use std::sync::{Arc, Mutex, PoisonError};

use crate::common::backend::said_to_be_written;
use crate::common::remote_write::{self, Exemplar, Metadata, Native, STALE, Sample, Series, Written};
use crate::common::server::{Reply, Server};

/// The receiver.
pub struct Receiver {
    server: Server,
    taken: Arc<Mutex<Vec<Written>>>,
}

impl Receiver {
    pub async fn start() -> Receiver {
        let taken: Arc<Mutex<Vec<Written>>> = Arc::default();
        let log = Arc::clone(&taken);
        let server = Server::start(move |request| {
            let written = remote_write::read(&request);
            let reply = said_to_be_written(Reply::status(204, ""), &written.series);
            log.lock().unwrap_or_else(PoisonError::into_inner).push(written);
            async move { reply }
        })
        .await;
        Receiver { server, taken }
    }

    pub fn url(&self) -> String {
        format!("{}/api/v1/write", self.server.url())
    }

    /// All series so far, request by request.
    pub fn series(&self) -> Vec<Series> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().flat_map(|written| written.series.clone()).collect()
    }

    /// Metadata of version 1.0 so far.
    pub fn families(&self) -> Vec<(String, Metadata)> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().flat_map(|written| written.families.clone()).collect()
    }
}

/// What a series says, a line for each thing: its labels in their order, but for the name, which goes first. Times are
/// told only where they are not `now`, in milliseconds.
pub fn lines(series: &Series, now: i64) -> Vec<String> {
    let others = series.labels.iter().filter(|(name, _)| name != "__name__");
    let others: Vec<String> = others.map(|(name, value)| format!("{name}={value:?}")).collect();
    let labels = if others.is_empty() { String::new() } else { format!("{{{}}}", others.join(",")) };
    let labels = format!("{}{labels}", series.name());
    let mut lines = Vec::new();
    lines.extend(series.samples.iter().map(|sample| format!("{labels} {}", number(sample, now))));
    lines.extend(series.histograms.iter().map(|native| format!("{labels} {}", buckets(native, now))));
    lines.extend(series.exemplars.iter().map(|exemplar| format!("{labels} # {}", measured(exemplar, now))));
    if lines.is_empty() {
        lines.push(format!("{labels} nothing"));
    }
    lines
}

/// The lines of several series, sorted by series; those of one series stay in their order.
pub fn sorted<'a>(series: impl IntoIterator<Item = &'a Series>, now: i64) -> Vec<String> {
    let mut all: Vec<&Series> = series.into_iter().collect();
    all.sort_by_key(|series| (series.name(), &series.labels));
    all.into_iter().flat_map(|series| lines(series, now)).collect()
}

fn at(time: i64, now: i64) -> String {
    match time - now {
        0 => String::new(),
        ms if ms.abs() < 1_000_000 => format!(" @now{ms:+}"),
        _ => format!(" @{time}"),
    }
}

fn number(sample: &Sample, now: i64) -> String {
    let stale = sample.value.to_bits() == STALE;
    let value = if stale { "stale".to_string() } else { format!("{:?}", sample.value) };
    format!("{value}{}", at(sample.time, now))
}

fn buckets(native: &Native, now: i64) -> String {
    format!(
        "native(count {}, sum {}, schema {}, zero {} below {:e}, {:?}, {:?}){}",
        native.count,
        native.sum,
        native.schema,
        native.zero_count,
        native.zero_threshold,
        native.positive(),
        native.negative(),
        at(native.time, now)
    )
}

fn measured(exemplar: &Exemplar, now: i64) -> String {
    let labels: Vec<String> = exemplar.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}} {:?}{}", labels.join(","), exemplar.value, at(exemplar.time, now))
}
