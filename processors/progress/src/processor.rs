//! The processor: finds the series of each sample, and appends what its rule makes of it.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use steadyline_component::{
    Batch, Data, Host, Instrument, LogPause, Meter, Processor, StartError, StorageError, Work, async_trait,
};
use steadyline_telemetry::metrics::Metric;
use steadyline_telemetry::text::series;
use steadyline_telemetry::{MetricKind, Metrics, NO_RECORDED_VALUE, NumberKind, Point, Slot, Temporality};

use crate::append::{Made, append};
use crate::config::{Config, Names, Rule};
use crate::identity::{self, Secret};
use crate::keep::{Keep, Keeper};
use crate::series::{Number, Series, When};

/// How often a series that found no room is named in the log.
const NAMING_PAUSE: Duration = Duration::from_secs(60);
const COUNTER: MetricKind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };

/// Makes counters of gauges.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The component's id, for logs.
    id: String,
    rules: Vec<Rule>,
    max_series: usize,
    max_stale: u64,
    secret: Secret,
    table: HashMap<u128, Followed>,
    keep: Option<Keep>,
    keeper: Option<Keeper>,
    /// When to look for series that were silent for too long.
    next_sweep: Option<Duration>,
    refused: Arc<Instrument>,
    /// Between series that found no room and are named.
    naming: LogPause,
    scratch: Vec<u8>,
}

/// A series, and when something came of it.
#[derive(Debug)]
pub(crate) struct Followed {
    pub series: Series,
    /// On the monotonic clock.
    heard: Duration,
    /// The time of the sample that storage knows.
    pub written: u64,
}

/// What one metric is made into.
struct Making {
    counter: Vec<Point>,
    stalled: Vec<Point>,
    eta: Vec<Point>,
}

impl Progress {
    pub(crate) fn new(config: &Config, rules: Vec<Rule>, keep: Option<Keep>, id: String, meter: &Meter) -> Progress {
        let help = "Series of which nothing is made, because `max_series` are followed already.";
        Progress {
            id,
            rules,
            max_series: config.max_series as usize,
            max_stale: config.max_stale.get().as_nanos() as u64,
            secret: Secret::random(),
            table: HashMap::new(),
            keep,
            keeper: None,
            next_sweep: None,
            refused: meter.counter("progress_refused_series", help, &[]),
            naming: LogPause::new(NAMING_PAUSE),
            scratch: Vec::new(),
        }
    }

    /// What is made of a batch.
    fn derive(&mut self, batch: &Batch, metrics: &Metrics, work: &Work<'_>) -> Vec<Made> {
        let mut all = Vec::new();
        let epoch = batch.header.pass.as_ref().map(|pass| pass.epoch);
        for (row, metric) in metrics.tables().metrics.iter().enumerate() {
            if metric.kind != MetricKind::Gauge || metric.points.is_empty() {
                continue;
            }
            let name = metrics.text(metric.name);
            for at in 0..self.rules.len() {
                let Some(names) = self.rules[at].names(name) else { continue };
                let making = self.follow(at, metrics, metric, &names, epoch, work);
                all.extend(self.rules[at].made(row, name, names, making));
            }
        }
        all
    }

    fn follow(
        &mut self,
        rule: usize,
        metrics: &Metrics,
        metric: &Metric,
        names: &Names,
        epoch: Option<u64>,
        work: &Work<'_>,
    ) -> Making {
        let mut making = Making { counter: Vec::new(), stalled: Vec::new(), eta: Vec::new() };
        let mut scratch = std::mem::take(&mut self.scratch);
        identity::metric(&mut scratch, metrics, metric, &names.counter);
        for point in metrics.points_of(metric) {
            let key = identity::point(&self.secret, &mut scratch, metrics, point);
            let time = if point.time == 0 { work.now.unix_nanos } else { point.time };
            let point = Point { time, ..*point };
            if let Some(when) = self.sample(rule, key, &point, epoch, work.now.mono, &mut making) {
                self.newcomer(metrics, metric, key, &point, when, work.now.mono, &mut making);
            }
        }
        self.scratch = scratch;
        making
    }

    /// Takes the sample of a series that is followed; if it is not, and could be: where the sample stands.
    fn sample(
        &mut self,
        rule: usize,
        key: u128,
        point: &Point,
        epoch: Option<u64>,
        now: Duration,
        making: &mut Making,
    ) -> Option<When> {
        let when = When { time: point.time, epoch };
        let value = if point.held || point.is_no_value() { None } else { Number::of(point) };
        let Some(followed) = self.table.get_mut(&key) else { return value.map(|_| when) };
        followed.heard = now;
        if point.is_no_value() {
            making.echo(Point { number: NumberKind::None, flags: NO_RECORDED_VALUE, ..*point });
            return None;
        }
        let Some(value) = value else {
            making.echo(Point { number: NumberKind::None, held: true, flags: 0, ..*point });
            return None;
        };
        let before = (followed.series.value, followed.series.total);
        if !followed.series.take(&self.rules[rule], value, when) {
            return None;
        }
        making.say(&self.rules[rule], &followed.series, point);
        followed.series.rotate(&self.rules[rule]);
        let changed = before != (followed.series.value, followed.series.total);
        let old = when.time.abs_diff(followed.written) > self.max_stale / 4;
        if let Some(keeper) = self.keeper.as_mut().filter(|_| changed || old) {
            followed.written = when.time;
            keeper.changed(key);
        }
        None
    }

    #[expect(clippy::too_many_arguments, reason = "a sample, where it was found, and when")]
    fn newcomer(
        &mut self,
        metrics: &Metrics,
        metric: &Metric,
        key: u128,
        point: &Point,
        when: When,
        now: Duration,
        making: &mut Making,
    ) {
        if self.table.len() >= self.max_series {
            self.refused.add(1.0);
            self.name(metrics, metric, point, now);
            return;
        }
        let Some(value) = Number::of(point) else { return };
        let series = Series::new(value, when);
        making.counter(&series, point);
        making.stalled(&series, point);
        self.table.insert(key, Followed { series, heard: now, written: when.time });
        if let Some(keeper) = &mut self.keeper {
            keeper.changed(key);
        }
        if self.next_sweep.is_none() {
            self.next_sweep = Some(now + self.sweep_pause());
        }
    }

    /// A series is forgotten at most a quarter of its patience late.
    fn sweep_pause(&self) -> Duration {
        Duration::from_nanos(self.max_stale / 4).max(Duration::from_secs(1))
    }

    fn sweep(&mut self, now: Duration) {
        let patience = Duration::from_nanos(self.max_stale);
        let Progress { table, keeper, .. } = self;
        table.retain(|key, followed| {
            let stays = now.saturating_sub(followed.heard) < patience;
            if let Some(keeper) = keeper.as_mut().filter(|_| !stays) {
                keeper.changed(*key);
            }
            stays
        });
        if table.capacity() > 4 * table.len().max(64) {
            table.shrink_to(2 * table.len());
        }
        self.next_sweep = (!self.table.is_empty()).then(|| now + self.sweep_pause());
    }

    /// Names a series that found no room, once in a while.
    #[cold]
    fn name(&mut self, metrics: &Metrics, metric: &Metric, point: &Point, now: Duration) {
        if self.naming.pass(now).is_none() {
            return;
        }
        tracing::warn!(
            component = %self.id,
            "{} series are followed and that is `max_series`: nothing is made of {} and perhaps others",
            self.max_series,
            series(metrics, metric, point.attributes()),
        );
    }

    fn keep_step(&mut self, now: Duration) {
        if let Some(keeper) = &mut self.keeper {
            keeper.step(&self.table, &self.secret, now);
        }
    }
}

impl Rule {
    fn made(&self, from: usize, gauge: &str, names: Names, making: Making) -> Vec<Made> {
        let description = self.description(gauge);
        let counter =
            Made { from, name: names.counter, description, unit: None, kind: COUNTER, points: making.counter };
        let seconds = |name: Option<String>, description: String, points| {
            let (unit, kind) = (Some("s"), MetricKind::Gauge);
            name.map(|name| Made { from, name, description, unit, kind, points })
        };
        let stalled = format!("For how long {gauge} has not changed; 0 while nothing is left to do.");
        let eta = format!("How long it takes at the present pace until {gauge} is at its target.");
        let stalled = seconds(names.stalled, stalled, making.stalled);
        let eta = seconds(names.eta, eta, making.eta);
        [Some(counter), stalled, eta].into_iter().flatten().collect()
    }
}

impl Making {
    /// All three are confirmed, or end.
    fn echo(&mut self, point: Point) {
        let point = Point { bits: 0, body: Slot::NONE, start: 0, ..point };
        for points in [&mut self.counter, &mut self.stalled, &mut self.eta] {
            points.push(point);
        }
    }

    fn say(&mut self, rule: &Rule, series: &Series, point: &Point) {
        self.counter(series, point);
        self.stalled(series, point);
        if let Some(eta) = series.eta(rule) {
            self.eta.push(double(point, eta));
        }
    }

    fn counter(&mut self, series: &Series, point: &Point) {
        let (number, bits) = series.total.parts();
        self.counter.push(Point { number, bits, start: series.start, ..bare(point) });
    }

    fn stalled(&mut self, series: &Series, point: &Point) {
        self.stalled.push(double(point, series.stalled as f64 / 1e9));
    }
}

/// A point of the same series of attributes at the same time, without exemplars and flags.
fn bare(point: &Point) -> Point {
    Point { body: Slot::NONE, flags: 0, held: false, start: 0, ..*point }
}

fn double(point: &Point, value: f64) -> Point {
    Point { number: NumberKind::Double, bits: value.to_bits(), ..bare(point) }
}

#[async_trait]
impl Processor for Progress {
    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        let Some(keep) = self.keep.take() else { return Ok(()) };
        let now = host.clock.now();
        let started = keep.start(&mut self.secret, self.max_series, self.max_stale, host).await;
        self.keep = Some(keep);
        let (keeper, kept) = started?;
        let followed = |series: Series| Followed { heard: now.mono, written: series.time, series };
        self.table.extend(kept.into_iter().map(|(key, series)| (key, followed(series))));
        self.next_sweep = (!self.table.is_empty()).then(|| now.mono + self.sweep_pause());
        self.keeper = Some(keeper);
        Ok(())
    }

    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &batch.data {
            // Cheap: a batch shares its buffers.
            let metrics = metrics.clone();
            let made = self.derive(&batch, &metrics, work);
            drop(metrics);
            if let Data::Metrics(metrics) = &mut batch.data {
                work.tally.created("progress", append(metrics, made));
            }
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.schedule(work.now.mono);
        }
        work.emit(batch);
    }

    fn wake_at(&self) -> Option<Duration> {
        let kept = self.keeper.as_ref().and_then(Keeper::wake_at);
        [self.next_sweep, kept].into_iter().flatten().min()
    }

    fn wake(&mut self, work: &mut Work<'_>) {
        let now = work.now.mono;
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.sweep(now);
        }
        if self.keeper.as_ref().and_then(Keeper::wake_at).is_some_and(|at| at <= now) {
            self.keep_step(now);
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.schedule(now);
        }
    }

    async fn keep(&mut self) -> Result<(), StorageError> {
        match &mut self.keeper {
            Some(keeper) => keeper.keep(&self.table, &self.secret).await,
            None => Ok(()),
        }
    }

    async fn resume(&mut self, host: &Host) -> Result<(), StartError> {
        // One that cannot take it back keeps nothing.
        self.keeper = None;
        if let Some(keep) = &self.keep {
            let mut keeper = keep.take_back(self.table.keys().copied(), host).await?;
            keeper.schedule(host.clock.now().mono);
            self.keeper = Some(keeper);
        }
        Ok(())
    }

    fn series(&self) -> u64 {
        self.table.len() as u64
    }
}
