//! One body, read: samples by their series, what vanished since the last scrape, and why a body counts for nothing.
//! A body counts as a whole or not at all, so nothing is sent before its last line has been read.

use steadyline_prometheus::NativeHistogram;
use steadyline_scrape::{
    Created, Entry, Exemplar, Fault, Flavour, Format, HistogramSample, Histograms, Labels, ParseError, Place, parse,
};
use thiserror::Error;

use crate::points::{self, CUSTOM_BOUNDS, IN_EXPONENTIAL, IN_HISTOGRAM, IN_NUMBER};
use crate::series::{Cache, DROPPED, NONE, Refused, Role, Rules, Variant};

/// How bodies of a target are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// What is done to series.
    pub(crate) rules: Rules,
    /// Whether timestamps of the target count.
    pub(crate) honor_timestamps: bool,
    /// Whether series with such timestamps are marked when they vanish.
    pub(crate) track_timestamps: bool,
    /// The most series; 0 = any number.
    pub(crate) sample_limit: u64,
    /// How native histograms are taken.
    pub(crate) histograms: Histograms,
}

/// Why a body counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    /// It does not parse.
    #[error("{0}")]
    Parse(ParseError),
    /// A series is refused.
    #[error("{place}: {refused}")]
    Series {
        /// Where.
        place: Place,
        /// Why.
        refused: Refused,
    },
    /// Too many series.
    #[error("the target has more series than `sample_limit` allows ({0})")]
    SampleLimit(u64),
}

impl BodyError {
    /// A short word for counters.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            BodyError::SampleLimit(_) => "sample_limit",
            BodyError::Series { refused, .. } if refused.is_limit() => "label_limit",
            BodyError::Parse(_) | BodyError::Series { .. } => "parse",
        }
    }
}

/// What a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// A series with one number.
    Number(u32),
    /// A series with a native histogram, encoded in the scrape's bodies.
    Native(u32),
    /// A group, whose parts are all known when the body has been read.
    Group(u32),
}

/// One point to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Of what.
    pub(crate) item: Item,
    /// The number's bits.
    pub(crate) bits: u64,
    /// The target's own timestamp, milliseconds.
    pub(crate) time: Option<i64>,
    /// Where exemplars or the histogram lie in [`Scraped::bodies`].
    pub(crate) body: (u32, u32),
}

/// What one scrape found.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    /// The points, in the target's order.
    pub(crate) samples: Vec<Sample>,
    /// Encoded exemplars and native histograms.
    pub(crate) bodies: Vec<u8>,
    /// Series that describe the target.
    pub(crate) infos: Vec<u32>,
    /// Series that were there before and are not any more.
    pub(crate) ended: Vec<u32>,
    /// The same, by the memory that was given up.
    pub(crate) ended_before: Vec<u32>,
    /// Whether nothing is there any more.
    pub(crate) is_lost: bool,
    /// Numbers about the scrape.
    pub(crate) counts: Counts,
    fresh: Vec<u32>,
    untracked: Vec<u32>,
    kept: usize,
}

/// Numbers about one scrape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Samples that the target exposed.
    pub(crate) scraped: u64,
    /// Those that relabelling left.
    pub(crate) kept: u64,
    /// Series that the scrape before did not have.
    pub(crate) added: u64,
    /// Samples of a series that was there already, at the same time.
    pub(crate) duplicates: u64,
    /// Native histograms that OTLP has no form for: float and gauge ones, and ones with too many buckets.
    pub(crate) unsupported: u64,
}

/// A target's memory and what the scrape at hand makes of it.
#[derive(Debug)]
pub(crate) struct Memory {
    /// What is remembered.
    pub(crate) cache: Cache,
    /// What was remembered before the cache was emptied; for one scrape.
    pub(crate) before: Option<Box<Cache>>,
    seed: u64,
    scrape: u32,
    last_good: u32,
    live: usize,
    /// Lines of the last body that counted.
    usual: usize,
    exemplar: Labels,
    stamp: Vec<u8>,
}

impl Memory {
    /// Nothing remembered.
    pub(crate) fn new(seed: u64) -> Memory {
        Memory {
            cache: Cache::new(seed),
            before: None,
            seed,
            scrape: 0,
            last_good: 0,
            live: 0,
            usual: 0,
            exemplar: Labels::new(),
            stamp: Vec::new(),
        }
    }

    /// Reads a body that was scraped at `now` (milliseconds).
    ///
    /// # Errors
    /// The body counts for nothing; [`Memory::lose`] is to follow.
    pub(crate) fn read(
        &mut self,
        body: &[u8],
        format: Format,
        now: i64,
        reading: &Reading,
    ) -> Result<Scraped, (BodyError, Counts)> {
        self.forget_if_stuffed();
        self.scrape += 1;
        self.cache.begin();
        let mut scraped = Scraped { samples: Vec::with_capacity(self.usual), ..Scraped::default() };
        let mut parser = parse(body, format).histograms(reading.histograms);
        while let Some(entry) = parser.next_entry() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Err((BodyError::Parse(error), scraped.counts)),
            };
            let taken = Taking { memory: self, scraped: &mut scraped, format, now, reading }.take(entry);
            if let Err(refused) = taken {
                return Err((located(parser.place(), refused), scraped.counts));
            }
        }
        if reading.sample_limit > 0 && scraped.counts.kept > reading.sample_limit {
            return Err((BodyError::SampleLimit(reading.sample_limit), scraped.counts));
        }
        self.commit(&mut scraped);
        Ok(scraped)
    }

    /// The scrape failed, or the target is gone: every series that was there is not any more.
    pub(crate) fn lose(&mut self) -> Scraped {
        let mut scraped = Scraped { is_lost: true, ..Scraped::default() };
        self.scrape += 1;
        self.end_unseen(&mut scraped);
        scraped
    }

    fn commit(&mut self, scraped: &mut Scraped) {
        if scraped.kept != self.live {
            self.end_unseen(scraped);
        }
        self.end_before(scraped);
        for id in &scraped.fresh {
            self.cache.series[*id as usize].live = true;
        }
        for id in &scraped.untracked {
            self.cache.series[*id as usize].live = false;
        }
        self.live = scraped.kept + scraped.fresh.len() - scraped.untracked.len();
        self.last_good = self.scrape;
        self.usual = scraped.counts.scraped as usize;
    }

    fn end_unseen(&mut self, scraped: &mut Scraped) {
        let scrape = self.scrape;
        for (id, series) in (0u32..).zip(&mut self.cache.series) {
            if series.live && series.seen != scrape {
                series.live = false;
                scraped.ended.push(id);
            }
        }
        self.end_before(scraped);
        self.live = scraped.kept;
    }

    /// What is still there in the memory that was given up, the scrape at hand did not have.
    fn end_before(&mut self, scraped: &mut Scraped) {
        let Some(before) = &mut self.before else { return };
        for (id, series) in (0u32..).zip(&mut before.series) {
            if std::mem::take(&mut series.live) {
                scraped.ended_before.push(id);
            }
        }
    }

    /// A target that shows ever new series must not fill the memory: what is remembered is given up when most of it is
    /// of no use any more. What was there stays known for one more scrape, so that its end is noticed.
    fn forget_if_stuffed(&mut self) {
        if self.before.take().is_some() || self.cache.size() <= self.usual * 2 + SPARE {
            return;
        }
        let old = std::mem::replace(&mut self.cache, Cache::new(self.seed));
        self.before = Some(Box::new(old));
        self.live = 0;
    }
}

/// So many lines are remembered of any target.
const SPARE: usize = 10_000;

fn located(place: Place, refused: Refused) -> BodyError {
    match refused {
        Refused::Fault(fault) => BodyError::Parse(ParseError { place, fault }),
        refused => BodyError::Series { place, refused },
    }
}

/// What it takes to take one entry in.
struct Taking<'a> {
    memory: &'a mut Memory,
    scraped: &'a mut Scraped,
    format: Format,
    now: i64,
    reading: &'a Reading,
}

/// What a series is given.
struct Given {
    role: Role,
    time: Option<i64>,
}

impl Taking<'_> {
    #[inline]
    fn take(mut self, entry: Entry<'_>) -> Result<(), Refused> {
        match entry {
            Entry::Sample(sample) => self.sample(&sample),
            Entry::Type { family, kind } => {
                self.memory.cache.families.set_kind(family, kind);
                Ok(())
            }
            Entry::Help { family, text } => {
                self.memory.cache.families.set_help(family, text);
                Ok(())
            }
            Entry::Unit { family, unit } => {
                self.memory.cache.families.set_unit(family, unit);
                Ok(())
            }
            Entry::Created(created) => self.created(&created),
            Entry::Histogram(histogram) => self.histogram(&histogram),
        }
    }

    #[inline]
    fn sample(&mut self, sample: &steadyline_scrape::Sample<'_>) -> Result<(), Refused> {
        let id = self.series(sample.series)?;
        self.scraped.counts.scraped += 1;
        if id == DROPPED {
            return Ok(());
        }
        self.scraped.counts.kept += 1;
        let Some(Given { role, time }) = self.see(id, Variant::Float, sample.timestamp) else { return Ok(()) };
        if let Some(created) = sample.created {
            self.set_start(id, created);
        }
        match role {
            Role::Number(_) => {
                let body = match &sample.exemplar {
                    Some(exemplar) => self.exemplar(exemplar, IN_NUMBER).map_err(Refused::Fault)?,
                    None => (0, 0),
                };
                self.scraped.samples.push(Sample { item: Item::Number(id), bits: sample.value.to_bits(), time, body });
            }
            Role::TargetInfo => self.scraped.infos.push(id),
            _ => {
                if let Some(group) = role.group() {
                    self.part(group, id, time, sample)?;
                }
            }
        }
        Ok(())
    }

    fn part(
        &mut self,
        row: u32,
        id: u32,
        time: Option<i64>,
        sample: &steadyline_scrape::Sample<'_>,
    ) -> Result<(), Refused> {
        let scrape = self.memory.scrape;
        let group = &mut self.memory.cache.groups[row as usize];
        if group.seen != scrape {
            group.seen = scrape;
            group.time = time;
            group.parts.clear();
            group.exemplars.clear();
            self.scraped.samples.push(Sample { item: Item::Group(row), bits: 0, time, body: (0, 0) });
        }
        group.parts.push((id, sample.value));
        if let Some(exemplar) = &sample.exemplar {
            exemplar.labels(&mut self.memory.exemplar).map_err(Refused::Fault)?;
            let (labels, out) = (&self.memory.exemplar, &mut group.exemplars);
            points::put_exemplar(out, IN_HISTOGRAM, exemplar.value, exemplar_time(exemplar, self.now), labels);
        }
        Ok(())
    }

    fn histogram(&mut self, histogram: &HistogramSample<'_>) -> Result<(), Refused> {
        let id = self.series(histogram.series)?;
        self.scraped.counts.scraped += 1;
        if id == DROPPED {
            return Ok(());
        }
        self.scraped.counts.kept += 1;
        let Flavour::Integer(native) = histogram.value() else {
            self.scraped.counts.unsupported += 1;
            return Ok(());
        };
        let is_custom = native.schema == CUSTOM_BOUNDS;
        let variant = if is_custom { Variant::Custom } else { Variant::Exponential };
        let Some(Given { time, .. }) = self.see(id, variant, histogram.timestamp) else { return Ok(()) };
        if let Some(created) = histogram.created {
            self.set_start(id, created);
        }
        let at = self.scraped.bodies.len();
        if is_gauge(&native) || !points::put_native(&mut self.scraped.bodies, &native) {
            self.scraped.counts.unsupported += 1;
            return Ok(());
        }
        let field = if is_custom { IN_HISTOGRAM } else { IN_EXPONENTIAL };
        for exemplar in histogram.exemplars() {
            self.exemplar(&exemplar, field).map_err(Refused::Fault)?;
        }
        let body = (at as u32, (self.scraped.bodies.len() - at) as u32);
        self.scraped.samples.push(Sample { item: Item::Native(id), bits: 0, time, body });
        Ok(())
    }

    fn created(&mut self, created: &Created<'_>) -> Result<(), Refused> {
        let Memory { cache, stamp, .. } = &mut *self.memory;
        // Another format shows the same text as a sample, so the line is remembered with a mark that no text begins with.
        stamp.clear();
        stamp.push(0);
        stamp.extend_from_slice(created.series);
        let line = cache.find_line(stamp);
        let known = if line == NONE { NONE } else { cache.series_of(line) };
        if known != NONE {
            self.set_start(known, created.created);
            return Ok(());
        }
        let found = cache.prepare_created(created.series, self.format, &self.reading.rules)?;
        match line {
            NONE => drop(cache.add_line(stamp, found)),
            line => cache.set_series(line, found),
        }
        if found != NONE {
            self.set_start(found, created.created);
        }
        Ok(())
    }

    fn set_start(&mut self, id: u32, created: i64) {
        let Memory { cache, scrape, .. } = &mut *self.memory;
        let series = &mut cache.series[id as usize];
        match series.role.group() {
            Some(group) => {
                let group = &mut cache.groups[group as usize];
                (group.start, group.started) = (created, *scrape);
            }
            None => (series.start, series.started) = (created, *scrape),
        }
    }

    /// The series of a text, or [`DROPPED`].
    #[inline]
    fn series(&mut self, text: &[u8]) -> Result<u32, Refused> {
        let cache = &mut self.memory.cache;
        let line = cache.find_line(text);
        if line != NONE {
            return Ok(cache.series_of(line));
        }
        let id = cache.prepare(text, self.format, &self.reading.rules)?;
        cache.add_line(text, id);
        self.inherit(id);
        Ok(id)
    }

    /// A series that was there before the memory was given up is no new one.
    fn inherit(&mut self, id: u32) {
        let Memory { cache, before: Some(before), live, last_good, .. } = &mut *self.memory else { return };
        let Some(old) = (id != DROPPED).then(|| before.same_series(cache, id)).flatten() else { return };
        let old = &mut before.series[old as usize];
        let series = &mut cache.series[id as usize];
        if old.live && !series.live {
            *live += 1;
            series.live = true;
            old.live = false;
        }
        series.seen = series.seen.max(*last_good);
    }

    /// Notes that a series is there. `None` if this scrape has had it at this time already.
    #[inline]
    fn see(&mut self, id: u32, variant: Variant, timestamp: Option<i64>) -> Option<Given> {
        let time = timestamp.filter(|_| self.reading.honor_timestamps);
        let Memory { cache, scrape, last_good, .. } = &mut *self.memory;
        let role = cache.settle_role(id, variant, &self.reading.rules);
        let series = &mut cache.series[id as usize];
        let scraped = &mut *self.scraped;
        if series.seen == *scrape {
            // Several timestamps of one series are several samples; a histogram has one.
            if time.is_none() || series.time == time || role.group().is_some() {
                scraped.counts.duplicates += 1;
                return None;
            }
            series.time = time;
            return Some(Given { role, time });
        }
        scraped.counts.added += u64::from(!series.live && series.seen != *last_good || series.seen == 0);
        (series.seen, series.time) = (*scrape, time);
        let is_tracked = (time.is_none() || self.reading.track_timestamps) && role != Role::TargetInfo;
        scraped.kept += usize::from(series.live);
        match (series.live, is_tracked) {
            (false, true) => scraped.fresh.push(id),
            (true, false) => scraped.untracked.push(id),
            _ => {}
        }
        Some(Given { role, time })
    }

    /// Appends an exemplar to the scrape's bodies.
    fn exemplar(&mut self, exemplar: &Exemplar<'_>, field: u32) -> Result<(u32, u32), Fault> {
        exemplar.labels(&mut self.memory.exemplar)?;
        let at = self.scraped.bodies.len();
        let (labels, out) = (&self.memory.exemplar, &mut self.scraped.bodies);
        points::put_exemplar(out, field, exemplar.value, exemplar_time(exemplar, self.now), labels);
        Ok((at as u32, (self.scraped.bodies.len() - at) as u32))
    }
}

/// When an exemplar was seen, in nanoseconds; at the scrape if it does not say.
fn exemplar_time(exemplar: &Exemplar<'_>, now: i64) -> u64 {
    nanos(exemplar.timestamp.unwrap_or(now)).unwrap_or_default()
}

/// Milliseconds as nanoseconds; `None` for times that OTLP cannot say. The epoch itself, which would mean "no time",
/// moves by a nanosecond.
pub(crate) fn nanos(millis: i64) -> Option<u64> {
    u64::try_from(millis).ok()?.checked_mul(1_000_000).map(|nanos| nanos.max(1))
}

fn is_gauge(native: &NativeHistogram<'_>) -> bool {
    native.reset_hint == steadyline_prometheus::ResetHint::Gauge
}
