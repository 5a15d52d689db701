//! The processor: finds the series of each total and puts what was added in its place.
//! A batch in which nothing is turned stays as it came.

use std::collections::BTreeMap;
use std::time::Duration;

use steadyline_component::{Batch, Data, LogPause, Processor, Work};
use steadyline_telemetry::fingerprint::Fingerprints;
use steadyline_telemetry::metrics::Patch;
use steadyline_telemetry::text::series;
use steadyline_telemetry::{Fingerprinter, Metric, Metrics, Point, Reading, Streams};

use crate::config::{Config, InitialValue};
use crate::difference::{Delta, MAX_EXPONENTIAL_BUCKETS, Reason, Stream};
use crate::selection::Selection;

/// How often a series that found no room is named in the log.
const NAMING_PAUSE: Duration = Duration::from_secs(60);

/// Turns totals into deltas.
#[derive(Debug)]
pub(crate) struct CumulativeToDelta {
    fingerprinter: Fingerprinter,
    selection: Selection,
    differences: Differences,
}

/// The series, and what becomes of the batch at hand.
#[derive(Debug)]
struct Differences {
    /// The component's id, for logs.
    id: String,
    initial_value: InitialValue,
    /// When the component was made, nanoseconds since the epoch.
    started: u64,
    max_streams: u64,
    streams: Streams<Stream>,
    patch: Patch,
    dropped: BTreeMap<Reason, u64>,
    /// Between series that found no room and are named.
    naming: LogPause,
}

impl CumulativeToDelta {
    pub(crate) fn new(config: &Config, selection: Selection, started: u64, id: String) -> CumulativeToDelta {
        let patience = Some(config.max_staleness.get()).filter(|patience| !patience.is_zero());
        let differences = Differences {
            id,
            initial_value: config.initial_value,
            started,
            max_streams: config.max_streams,
            streams: Streams::new(config.max_streams as usize, patience),
            patch: Patch::default(),
            dropped: BTreeMap::new(),
            naming: LogPause::new(NAMING_PAUSE),
        };
        CumulativeToDelta { fingerprinter: Fingerprinter::default(), selection, differences }
    }
}

impl Differences {
    /// Notes in `self.patch` what becomes of the totals of a batch.
    fn take(&mut self, metrics: &Metrics, mut of: Fingerprints<'_>, selection: &Selection, now: Duration) {
        for (at, metric) in metrics.tables().metrics.iter().enumerate().filter(|(_, metric)| !metric.points.is_empty())
        {
            let Some(kind) = selection.delta(metrics.text(metric.name), metric.kind) else { continue };
            self.patch.set_kind(at, kind);
            let shared = of.metric(metric);
            for (row, point) in (metric.points.start as usize..).zip(metrics.points_of(metric)) {
                // "No value" has nothing to take a difference of, and confirmations are no data.
                if !point.held && !point.is_no_value() {
                    let fingerprint = of.point(shared, point);
                    self.point(metrics, metric, row, point, fingerprint, now);
                }
            }
        }
    }

    fn point(&mut self, metrics: &Metrics, metric: &Metric, row: usize, point: &Point, key: u128, now: Duration) {
        let body = metrics.bytes(point.body);
        let delta = Reading::of(metric.kind, point, body, MAX_EXPONENTIAL_BUCKETS)
            .and_then(|reading| self.delta(point, reading, key, now));
        match delta {
            // Exemplars stay.
            Ok(Delta { start, added }) => added.put(&mut self.patch, row, Point { start, ..*point }, body),
            Err(reason) => {
                self.patch.drop_point(row);
                *self.dropped.entry(reason).or_default() += 1;
                if reason == "stream_limit" {
                    self.name(metrics, metric, point, now);
                }
            }
        }
    }

    fn delta(&mut self, point: &Point, reading: Reading, key: u128, now: Duration) -> Result<Delta, Reason> {
        if let Some(stream) = self.streams.get(key, now) {
            return stream.advance(point, reading);
        }
        let first = Stream::new(point, reading.clone());
        self.streams.insert(key, now, first).map_err(|_| "stream_limit")?;
        let passes = match self.initial_value {
            InitialValue::Keep => true,
            InitialValue::Drop => false,
            InitialValue::Auto => point.start > self.started && point.start != point.time,
        };
        if passes { Ok(Delta { start: point.start, added: reading }) } else { Err("initial_value") }
    }

    /// Names a series that found no room, once in a while.
    #[cold]
    fn name(&mut self, metrics: &Metrics, metric: &Metric, point: &Point, now: Duration) {
        if self.naming.pass(now).is_none() {
            return;
        }
        tracing::warn!(
            component = %self.id,
            "{} series are followed and that is `max_streams`: {} and perhaps others are dropped",
            self.max_streams,
            series(metrics, metric, point.attributes()),
        );
    }
}

impl Processor for CumulativeToDelta {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            self.differences.take(metrics, self.fingerprinter.of(metrics), &self.selection, work.now.mono);
            self.differences.patch.apply(metrics);
        }
        for (reason, points) in std::mem::take(&mut self.differences.dropped) {
            work.tally.dropped(reason, points);
        }
        work.emit(batch);
    }

    fn wake_at(&self) -> Option<Duration> {
        self.differences.streams.sweep_at()
    }

    fn wake(&mut self, work: &mut Work<'_>) {
        self.differences.streams.sweep(work.now.mono);
    }

    fn series(&self) -> u64 {
        self.differences.streams.len() as u64
    }
}
