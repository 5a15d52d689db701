//! From samples to batches: numbers as they are, histograms and summaries put together from their series, stale markers
//! for what ended, and what the scraper has to say about the scrape itself.

mod batch;
mod group;

use hashbrown::HashSet;
use steadyline_telemetry::{Metrics, NO_RECORDED_VALUE, NumberKind, Point};

use crate::ingest::{Item, Memory, Sample, Scraped, nanos};
use crate::report::Report;
use crate::series::{Cache, Form, Head, LabelSet, Role};
use batch::{BatchBuilder, Generation};

pub(crate) use batch::Place;

/// A batch is closed when it has this many points and the family changes.
const BATCH_POINTS: usize = 10_000;

/// Makes the batches of one scrape, one at a time, so that a large target does not lie in memory twice.
pub(crate) struct Emitter {
    scraped: Scraped,
    at: usize,
    /// When the scrape was, in milliseconds.
    time: i64,
    report: Option<Report>,
    /// How many of the ended series are marked, by the memory in use and the one before.
    marked: [usize; 2],
    /// Groups that are marked.
    marked_groups: HashSet<(Generation, u32)>,
    /// Points whose timestamp OTLP cannot say.
    pub(crate) untimely: u64,
}

/// A value and where it belongs.
#[derive(Clone, Copy)]
struct Dot {
    origin: u32,
    head: u32,
    labels: LabelSet,
    point: Point,
}

impl Emitter {
    /// Everything of a scrape at `time` (milliseconds), and the report about it.
    pub(crate) fn new(scraped: Scraped, time: i64, report: Report) -> Emitter {
        Emitter {
            scraped,
            at: 0,
            time,
            report: Some(report),
            marked: [0; 2],
            marked_groups: HashSet::new(),
            untimely: 0,
        }
    }

    /// Whether everything is out.
    pub(crate) fn is_done(&self) -> bool {
        self.report.is_none()
    }

    /// The next batch; `None` when everything is out.
    pub(crate) fn next_batch(&mut self, memory: &mut Memory, place: &Place) -> Option<Metrics> {
        self.report.as_ref()?;
        let mut builder = BatchBuilder::new(place);
        builder.infos(&memory.cache, &self.scraped.infos);
        let mut family = None;
        while let Some(sample) = self.scraped.samples.get(self.at).copied() {
            let next = family_of(&memory.cache, sample.item);
            if builder.len() >= BATCH_POINTS && family != next {
                return Some(builder.finish());
            }
            family = next;
            self.at += 1;
            self.sample(&mut builder, &mut memory.cache, &sample);
        }
        while let Some(id) = self.scraped.ended.get(self.marked[0]).copied() {
            if builder.len() >= BATCH_POINTS {
                return Some(builder.finish());
            }
            self.marked[0] += 1;
            self.end(&mut builder, Generation::Now, &mut memory.cache, id);
        }
        while let (Some(id), Some(before)) =
            (self.scraped.ended_before.get(self.marked[1]).copied(), memory.before.as_deref_mut())
        {
            if builder.len() >= BATCH_POINTS {
                return Some(builder.finish());
            }
            self.marked[1] += 1;
            self.end(&mut builder, Generation::Before, before, id);
        }
        if let (Some(report), Some(time)) = (self.report.take(), nanos(self.time)) {
            builder.report(&report, time);
        }
        Some(builder.finish())
    }

    fn sample(&mut self, builder: &mut BatchBuilder<'_>, cache: &mut Cache, sample: &Sample) {
        let Some(time) = nanos(sample.time.unwrap_or(self.time)) else {
            self.untimely += 1;
            return;
        };
        let body = sample.body.0 as usize..(sample.body.0 + sample.body.1) as usize;
        match sample.item {
            Item::Number(id) => {
                let head = match cache.series[id as usize].role {
                    Role::Number(head) => head,
                    // A type further down the page made it part of a group, after its value had been taken.
                    _ => group::separate(cache, id),
                };
                let series = &cache.series[id as usize];
                let start = start(series.start, series.started == series.seen);
                let body = builder.body(&self.scraped.bodies[body]);
                let point = Point { bits: sample.bits, start, body, ..number(time) };
                builder.put(Generation::Now, cache, Dot { origin: series.origin, head, labels: series.labels, point });
            }
            Item::Native(id) => {
                let series = &cache.series[id as usize];
                let Role::Native(head) = series.role else { return };
                let start = start(series.start, series.started == series.seen);
                let body = builder.body(&self.scraped.bodies[body]);
                let point = Point { start, body, number: NumberKind::Body, ..number(time) };
                builder.put(Generation::Now, cache, Dot { origin: series.origin, head, labels: series.labels, point });
            }
            Item::Group(row) => group::put(builder, cache, row, time),
        }
    }

    /// Marks a series as ended.
    fn end(&mut self, builder: &mut BatchBuilder<'_>, generation: Generation, cache: &mut Cache, id: u32) {
        let Some(time) = nanos(self.time) else { return };
        let series = &cache.series[id as usize];
        let (seen, origin, labels) = (series.seen, series.origin, series.labels);
        let dot = |head, point| Dot { origin, head, labels, point };
        match series.role {
            Role::Number(head) => builder.put(generation, cache, dot(head, stale(time))),
            Role::Native(head) => {
                let point = Point { number: NumberKind::Body, ..stale(time) };
                builder.put(generation, cache, dot(head, point));
            }
            Role::TargetInfo | Role::Unknown => {}
            Role::Bucket(row, _) | Role::Quantile(row, _) | Role::Sum(row) | Role::Count(row) => {
                // A group of which something is left goes on; only the part is over.
                let group = &cache.groups[row as usize];
                let is_gone = generation == Generation::Now && group.seen == seen;
                let is_over = group.is_whole && (self.scraped.is_lost || is_gone);
                if !is_over {
                    let head = group::separate(cache, id);
                    builder.put(generation, cache, dot(head, stale(time)));
                } else if self.marked_groups.insert((generation, row)) {
                    group::end(builder, generation, cache, row, time);
                }
            }
        }
    }
}

/// What must not be torn apart by the end of a batch.
fn family_of(cache: &Cache, item: Item) -> Option<(u32, bool)> {
    let head = match item {
        Item::Number(id) | Item::Native(id) => match cache.series[id as usize].role {
            Role::Number(head) | Role::Native(head) => head,
            _ => return None,
        },
        Item::Group(row) => cache.groups[row as usize].head,
    };
    let of: &Head = cache.heads.get(head);
    Some(of.family.map_or((head, false), |family| (family, true)))
}

/// A point with a number and a time, and nothing else yet.
fn number(time: u64) -> Point {
    Point::bare(time, NumberKind::Double)
}

/// A point that says that there is no value any more.
fn stale(time: u64) -> Point {
    Point { number: NumberKind::None, flags: NO_RECORDED_VALUE, ..number(time) }
}

/// A start time in nanoseconds, if this scrape said it.
fn start(millis: i64, is_current: bool) -> u64 {
    if is_current && millis > 0 { nanos(millis).unwrap_or_default() } else { 0 }
}

/// How a head's points look in OTLP.
fn kind_of(head: &Head) -> steadyline_telemetry::MetricKind {
    use steadyline_prometheus::MetricKind::{Counter, Info, StateSet};
    use steadyline_telemetry::{MetricKind, Temporality};
    let temporality = Temporality::Cumulative;
    match (head.form, head.kind) {
        (Form::Histogram, _) => MetricKind::Histogram { temporality },
        (Form::Exponential, _) => MetricKind::ExponentialHistogram { temporality },
        (Form::Summary, _) => MetricKind::Summary,
        (Form::Number, Counter) => MetricKind::Sum { temporality, monotonic: true },
        (Form::Number, Info | StateSet) => MetricKind::Sum { temporality, monotonic: false },
        (Form::Number, _) => MetricKind::Gauge,
    }
}
