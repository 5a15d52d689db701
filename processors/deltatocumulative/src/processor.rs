//! The processor: finds the series of each delta and puts the total in its place.
//! A batch without deltas stays as it came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Batch, Data, Instrument, LogPause, Meter, Processor, Work};
use steadyline_telemetry::fingerprint::Fingerprints;
use steadyline_telemetry::metrics::Patch;
use steadyline_telemetry::text::series;
use steadyline_telemetry::{Fingerprinter, Metric, MetricKind, Metrics, Point, Reading, Streams, Temporality};

use crate::accumulate::{Reason, Stream, read};
use crate::config::Config;

/// How often a series that found no room is named in the log.
const NAMING_PAUSE: Duration = Duration::from_secs(60);

/// Adds up deltas.
#[derive(Debug)]
pub(crate) struct DeltaToCumulative {
    fingerprinter: Fingerprinter,
    totals: Totals,
}

/// The series, and what becomes of the batch at hand.
#[derive(Debug)]
struct Totals {
    /// The component's id, for logs.
    id: String,
    max_streams: u64,
    streams: Streams<Stream>,
    patch: Patch,
    dropped: BTreeMap<Reason, u64>,
    gaps: Arc<Instrument>,
    /// Between series that found no room and are named.
    naming: LogPause,
}

impl DeltaToCumulative {
    pub(crate) fn new(config: &Config, id: String, meter: &Meter) -> DeltaToCumulative {
        let help = "Deltas that did not begin where the one before them ended.";
        let totals = Totals {
            id,
            max_streams: config.max_streams,
            streams: Streams::new(config.max_streams as usize, Some(config.max_stale.get())),
            patch: Patch::default(),
            dropped: BTreeMap::new(),
            gaps: meter.counter("processor_deltatocumulative_gaps", help, &[]),
            naming: LogPause::new(NAMING_PAUSE),
        };
        DeltaToCumulative { fingerprinter: Fingerprinter::default(), totals }
    }
}

impl Totals {
    /// Notes in `self.patch` what becomes of the deltas of a batch.
    fn accumulate(&mut self, metrics: &Metrics, mut fingerprints: Fingerprints<'_>, now: Duration) {
        for (at, metric) in metrics.tables().metrics.iter().enumerate() {
            let Some(kind) = cumulative(metric.kind).filter(|_| !metric.points.is_empty()) else { continue };
            self.patch.set_kind(at, kind);
            let shared = fingerprints.metric(metric);
            for (row, point) in (metric.points.start as usize..).zip(metrics.points_of(metric)) {
                // Confirmations are no data.
                if !point.held {
                    let fingerprint = fingerprints.point(shared, point);
                    self.point(metrics, metric, row, point, fingerprint, now);
                }
            }
        }
    }

    fn point(&mut self, metrics: &Metrics, metric: &Metric, row: usize, point: &Point, key: u128, now: Duration) {
        if point.is_no_value() {
            let start = self.streams.get(key, now).map_or(point.start, |stream| stream.start);
            return self.patch.set_point(row, Point { start, ..*point });
        }
        let body = metrics.bytes(point.body);
        let added = read(metric.kind, point, body).and_then(|delta| self.add(point, delta, key, now));
        match added {
            Ok(()) => self.write(row, point, body, key, now),
            Err(reason) => {
                self.patch.drop_point(row);
                *self.dropped.entry(reason).or_default() += 1;
                if reason == "stream_limit" {
                    self.name(metrics, metric, point, now);
                }
            }
        }
    }

    fn add(&mut self, point: &Point, delta: Reading, key: u128, now: Duration) -> Result<(), Reason> {
        let Some(stream) = self.streams.get(key, now) else {
            let full = |_| "stream_limit";
            return self.streams.insert(key, now, Stream::new(point, delta)).map_err(full);
        };
        if stream.add(point, delta)? {
            self.gaps.add(1.0);
        }
        Ok(())
    }

    /// Puts the total of the series in the place of the delta; exemplars stay.
    fn write(&mut self, row: usize, point: &Point, exemplars: &[u8], key: u128, now: Duration) {
        let Some(stream) = self.streams.get(key, now) else { return };
        stream.total.put(&mut self.patch, row, Point { start: stream.start, ..*point }, exemplars);
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

/// The cumulative kind of a delta's.
fn cumulative(kind: MetricKind) -> Option<MetricKind> {
    let temporality = Temporality::Cumulative;
    match kind {
        MetricKind::Sum { temporality: Temporality::Delta, monotonic } => {
            Some(MetricKind::Sum { temporality, monotonic })
        }
        MetricKind::Histogram { temporality: Temporality::Delta } => Some(MetricKind::Histogram { temporality }),
        MetricKind::ExponentialHistogram { temporality: Temporality::Delta } => {
            Some(MetricKind::ExponentialHistogram { temporality })
        }
        _ => None,
    }
}

impl Processor for DeltaToCumulative {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            self.totals.accumulate(metrics, self.fingerprinter.of(metrics), work.now.mono);
            self.totals.patch.apply(metrics);
        }
        for (reason, points) in std::mem::take(&mut self.totals.dropped) {
            work.tally.dropped(reason, points);
        }
        work.emit(batch);
    }

    fn wake_at(&self) -> Option<Duration> {
        self.totals.streams.sweep_at()
    }

    fn wake(&mut self, work: &mut Work<'_>) {
        self.totals.streams.sweep(work.now.mono);
    }

    fn series(&self) -> u64 {
        self.totals.streams.len() as u64
    }
}
