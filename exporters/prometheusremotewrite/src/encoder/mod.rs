//! Batches into blocks: the walk over a batch, and what it shares. Work on keys is done once per (resource, scope, shape) in
//! [`plan`]; a point costs copies of its values, a hash and its share of the compression.

mod context;
mod exemplar;
mod histogram;
mod losses;
mod metadata;
mod number;
mod plan;
mod stage;
mod target_info;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steadyline_component::{Batch, Block, Clock, Encoded, Encoder, Instrument, Meter, Tally};
use steadyline_prometheus::TranslationStrategy;
use steadyline_telemetry::{Metric, MetricKind, Metrics, Point, ShapeId, Temporality};

use crate::block::Protocol;
use crate::config::OnCollision;
use context::{Context, Names};
use losses::{Loss, Losses};
use metadata::Announcements;
use plan::{Class, Plan, Plans, Values};
use stage::{NO_FAMILY, Place, Sample, Stages};
use target_info::TargetInfos;
use write::{BlockWriter, Target};

pub(crate) use write::{BlockLimits, Family};

/// What the encoder needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The version to write.
    pub(crate) protocol: Protocol,
    /// How names are translated.
    pub(crate) strategy: TranslationStrategy,
    /// Goes before metric names.
    pub(crate) namespace: String,
    /// Labels that fill gaps, under their final names.
    pub(crate) external: Vec<(String, String)>,
    /// Which resource attributes become labels.
    pub(crate) resource_labels: ResourceLabels,
    /// Whether scopes become labels.
    pub(crate) scope_labels: bool,
    /// Whether `target_info` is sent.
    pub(crate) target_info: bool,
    /// Whether metadata of version 1.0 is sent.
    pub(crate) metadata: bool,
    /// Whether exemplars are sent.
    pub(crate) exemplars: bool,
    /// Whether native histograms are sent.
    pub(crate) natives: bool,
    /// What becomes of attributes that want one label.
    pub(crate) on_collision: OnCollision,
    /// How large requests may become.
    pub(crate) limits: BlockLimits,
}

/// Which resource attributes become labels of every series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResourceLabels {
    /// None.
    None,
    /// Those that are not in `job` and `instance`.
    NotIdentifying,
    /// All.
    All,
}

/// The encoder. Everything in it is a buffer or a bounded table; nothing grows with the series that pass.
pub(crate) struct RemoteWriteEncoder {
    settings: Settings,
    /// Set by the sender once the backend turned out to know version 1.0 only.
    fell_back: Arc<AtomicBool>,
    protocol: Protocol,
    clock: Clock,
    instruments: Instruments,
    is_final: bool,
    context: Context,
    names: Names,
    plans: Plans,
    stages: Stages,
    writer: BlockWriter,
    families: Vec<Family>,
    targets: TargetInfos,
    announcements: Announcements,
    losses: Losses,
    counts: Counts,
    text: Vec<u8>,
    natives: histogram::Scratch,
    blocks: Vec<Block>,
    /// A batch is being encoded, or its encoding ended with a panic.
    under_way: bool,
}

/// What the encoder measures about itself.
#[derive(Clone)]
struct Instruments {
    lossy: Arc<Instrument>,
    collisions: Arc<Instrument>,
}

/// What one batch adds up to.
#[derive(Debug, Default)]
struct Counts {
    merged: u64,
    lossy: u64,
    collisions: u64,
    histogram: u64,
    summary: u64,
    target_info: u64,
    /// Series of the point at hand.
    parts: u64,
}

impl RemoteWriteEncoder {
    /// An encoder with empty buffers.
    pub(crate) fn new(settings: Settings, fell_back: Arc<AtomicBool>, clock: Clock, meter: &Meter) -> Self {
        let instruments = Instruments {
            lossy: meter.counter(
                "remote_write_lossy_integers",
                "Integers beyond 2^53 that lost digits, because Prometheus knows floats only.",
                &[],
            ),
            collisions: meter.counter(
                "remote_write_label_collisions",
                "Attributes that shared a label with another, gave way to one, or had no name that can be sent.",
                &[],
            ),
        };
        Self::empty(settings, fell_back, clock, instruments)
    }

    fn empty(settings: Settings, fell_back: Arc<AtomicBool>, clock: Clock, instruments: Instruments) -> Self {
        let limits = settings.limits;
        RemoteWriteEncoder {
            protocol: settings.protocol,
            fell_back,
            clock,
            instruments,
            is_final: false,
            context: Context::default(),
            names: Names::default(),
            plans: Plans::default(),
            stages: Stages::new(limits.bytes),
            writer: BlockWriter::new(limits),
            families: Vec::new(),
            targets: TargetInfos::default(),
            announcements: Announcements::default(),
            losses: Losses::default(),
            counts: Counts::default(),
            text: Vec::new(),
            natives: histogram::Scratch::default(),
            blocks: Vec::new(),
            under_way: false,
            settings,
        }
    }

    /// Begins anew where a panic ended the encoding of a batch: what it left is lost, and the engine has counted it as
    /// that. What was sent about resources is still known, because its times must rise.
    fn recover(&mut self) {
        let Self { settings, fell_back, clock, instruments, .. } = self;
        let empty = Self::empty(settings.clone(), Arc::clone(fell_back), clock.clone(), instruments.clone());
        *self = Self { targets: std::mem::take(&mut self.targets), ..empty };
    }

    fn walk(&mut self, metrics: &Metrics) {
        let tables = metrics.tables();
        let mut scope = None;
        let mut resource = None;
        for metric in &tables.metrics {
            if metric.points.is_empty() {
                continue;
            }
            if scope != Some(metric.scope) {
                let next = tables.scopes[metric.scope as usize].resource;
                if resource != Some(next) {
                    self.finish_resource(metrics, resource);
                    resource = Some(next);
                }
                scope = Some(metric.scope);
                self.enter_scope(metrics, metric.scope);
            }
            self.metric(metrics, metric);
        }
        self.finish_resource(metrics, resource);
        self.flush();
    }

    fn metric(&mut self, metrics: &Metrics, metric: &Metric) {
        let points = metrics.points_of(metric);
        let refused = self.enter_metric(metrics, metric).err().or_else(|| refused_kind(metric.kind));
        for point in points {
            let refused = check(point).err().or(refused);
            self.counts.parts = 0;
            let written = match (refused, metric.kind) {
                (Some(loss), _) => Err(loss),
                (None, MetricKind::Sum { monotonic: true, .. }) => self.number(metrics, point, true),
                (None, MetricKind::Gauge | MetricKind::Sum { .. }) => self.number(metrics, point, false),
                (None, MetricKind::Histogram { .. }) => self.histogram(metrics, point),
                (None, MetricKind::ExponentialHistogram { .. }) => self.exponential(metrics, point),
                (None, MetricKind::Summary) => self.summary(metrics, point),
                (None, MetricKind::Empty) => Err(Loss::NoValue),
            };
            match written {
                Ok(()) => self.context.newest = self.context.newest.max(point.time),
                Err(loss) => self.losses.add(loss, 1, &self.names.base),
            }
            if self.stages.is_full() {
                self.flush();
            }
        }
    }

    /// The plan of a shape in the current scope.
    #[inline]
    fn plan(&mut self, metrics: &Metrics, shape: ShapeId, class: Class) -> Plan {
        let limits = (self.protocol == Protocol::V2, self.settings.limits.bytes);
        let (context, settings, is_final) = (&self.context, &self.settings, self.is_final);
        self.plans.of(shape, class, limits, || context::candidates(metrics, shape, class, context, settings, is_final))
    }

    /// Adds a float sample to the series of `point` with this name and bound.
    #[inline]
    fn put_float(
        &mut self,
        metrics: &Metrics,
        point: &Point,
        (plan, name, bound): (Plan, Part, &[u8]),
        sample: Sample,
        bits: u64,
    ) -> Result<Place, Loss> {
        let Self { plans, stages, names, text, counts, settings, .. } = self;
        let mut values = Values {
            metrics,
            values: metrics.values(point.attributes()),
            on_collision: settings.on_collision,
            collisions: &mut counts.collisions,
            text,
        };
        stages.put_float(sample, bits, |out| plans.write(plan, &mut values, names.label(name), bound, out))
    }

    /// Time, start and family of the samples of a point.
    #[inline]
    fn sample(&self, point: &Point, counts_from_start: bool) -> Sample {
        let start_ms = if counts_from_start { millis(point.start) } else { 0 };
        let family = if self.families.is_empty() { NO_FAMILY } else { self.families.len() as u32 - 1 };
        Sample { time_ms: millis(point.time), start_ms, family }
    }

    /// Writes everything that is staged into blocks.
    fn flush(&mut self) {
        for (shard, stage) in self.stages.iter_mut().enumerate() {
            if stage.is_empty() {
                continue;
            }
            self.counts.merged += stage.sort();
            let (protocol, shard) = (self.protocol, shard as u32);
            let mut target = Target { protocol, shard, families: &self.families, blocks: &mut self.blocks };
            self.writer.write(stage, &mut target);
            stage.clear();
        }
        self.stages.emptied();
    }

    /// Whether points of different series stay different series: names are final, nothing is added to the labels, and no
    /// metric becomes several.
    fn is_distinct(&self, metrics: &Metrics) -> bool {
        let tables = metrics.tables();
        let shapes = || (0..tables.shapes.len() as u32).map(ShapeId);
        let names_metric = |shape| metrics.keys(shape).iter().any(|key| metrics.bytes(*key) == b"__name__");
        let plain = self.is_final && self.settings.external.is_empty() && metrics.is_distinct();
        plain && tables.metrics.iter().all(|metric| metric.kind.is_number()) && !shapes().any(names_metric)
    }

    fn settle(&mut self, tally: &Tally) {
        self.losses.settle(tally, self.clock.now().mono, losses::warn);
        let counts = std::mem::take(&mut self.counts);
        tally.merged(counts.merged);
        tally.created("histogram", counts.histogram);
        tally.created("summary", counts.summary);
        tally.created("target_info", counts.target_info);
        if counts.lossy > 0 {
            self.instruments.lossy.add(counts.lossy as f64);
        }
        if counts.collisions > 0 {
            self.instruments.collisions.add(counts.collisions as f64);
        }
    }
}

impl Encoder for RemoteWriteEncoder {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        let Some(metrics) = batch.as_metrics() else {
            encoded.tally.dropped("wrong_signal", batch.items());
            return;
        };
        if self.under_way {
            self.recover();
        }
        self.under_way = true;
        let is_v1 = self.fell_back.load(Ordering::Relaxed);
        self.protocol = if is_v1 { Protocol::V1 } else { self.settings.protocol };
        self.is_final = batch.header.labels_final;
        self.stages.begin(shards, self.is_distinct(metrics));
        self.plans.begin();
        self.context.begin();
        self.walk(metrics);
        self.announce();
        self.settle(encoded.tally);
        self.families.clear();
        encoded.blocks.append(&mut self.blocks);
        self.under_way = false;
    }
}

/// Which of a metric's series a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The one of the metric's own name.
    Whole,
    /// `_bucket`.
    Bucket,
    /// `_sum`.
    Sum,
    /// `_count`.
    Count,
}

/// Nanoseconds to milliseconds, truncated.
#[inline]
fn millis(nanos: u64) -> i64 {
    (nanos / 1_000_000) as i64
}

#[inline]
fn check(point: &Point) -> Result<(), Loss> {
    if point.held {
        return Err(Loss::Confirmation);
    }
    if point.time == 0 {
        return Err(Loss::NoTimestamp);
    }
    Ok(())
}

fn refused_kind(kind: MetricKind) -> Option<Loss> {
    match kind.temporality()? {
        Temporality::Cumulative => None,
        Temporality::Delta => Some(Loss::Delta),
        Temporality::Unspecified => Some(Loss::NoTemporality),
    }
}
